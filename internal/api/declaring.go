package api

import (
	"context"
	"net/http"
)

// DeclaringHeader, with any value, marks a request of the organisation as one that applies a configuration file: what it writes is
// managed, and judged as the file's declarations are at the server's start. An application's token gains nothing by it.
const DeclaringHeader = "Waypost-Declaring"

// Declaring returns a context whose requests come from the server's own configuration: they need no token, may do all that the
// organisation may, and mark what they write as managed. Only code of this process can make such a request.
func Declaring(ctx context.Context) context.Context {
	return context.WithValue(ctx, actorKey{}, actor{declaring: true})
}

// Organisation guards a handler that is no operation of the API but needs the organisation's token all the same.
func (h *Handler) Organisation(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := h.authenticate(r)
		if err == nil {
			err = h.admit(r.Context(), a, organisation, "")
		}
		if err != nil {
			writeError(w, h.answer(r.Context(), err))
			return
		}
		next.ServeHTTP(w, r)
	})
}
