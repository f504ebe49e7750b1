package api

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
)

const (
	requestIDHeader = "X-Request-Id"
	jsonType        = "application/json"
)

// ServeHTTP answers one request. It never lets a panic out: the caller hears of an internal error, our log of the rest.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	aw := &answerWriter{ResponseWriter: w, request: r}
	id := rand.Text()[:16]
	aw.Header().Set(requestIDHeader, id)
	aw.Header().Set("X-Content-Type-Options", "nosniff")
	aw.Header().Set("Cache-Control", "no-store")
	r = r.WithContext(withRequestID(r.Context(), id))
	aw.request = r

	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		h.Log.Error("request ended in a panic", "request", id, "method", r.Method, "route", r.Pattern,
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		if !aw.wrote {
			writeError(aw, internalError())
		}
	}()

	// Old clients end their paths with a slash; both forms are one route.
	if p := r.URL.Path; len(p) > 1 && strings.HasSuffix(p, "/") {
		u := *r.URL
		u.Path, u.RawPath = strings.TrimRight(p, "/"), strings.TrimRight(u.RawPath, "/")
		r.URL = &u
	}
	if r.Body != nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
		// Bodies are JSON whatever they are labelled: curl -d alone says that it is a form.
		if r.Header.Get("Content-Type") != jsonType {
			r.Header.Set("Content-Type", jsonType)
		}
		aw.body = h.hold(w, r)
		defer aw.body.release()
		r.Body = http.MaxBytesReader(aw, aw.body, h.MaxBody+1)
	}
	if wantsPlain(r) {
		h.servePlain(aw, r)
		return
	}
	h.mux.ServeHTTP(aw, r)
}

// answerWriter turns the mux's own plain-text refusals into our error shape, and knows whether an answer has begun.
type answerWriter struct {
	http.ResponseWriter
	request   *http.Request
	body      *heldBody // nil = it has none
	wrote     bool
	swallowed bool // the rest of an answer for which another was given
}

func (w *answerWriter) WriteHeader(status int) {
	if w.wrote {
		return
	}
	w.wrote = true
	if w.body != nil && w.body.refused {
		// Whatever the handler makes of a body that it could not read.
		w.swallowed = true
		w.Header().Del("Content-Length")
		writeError(w.ResponseWriter, unavailable("too many requests are in memory: try again"))
		return
	}
	// The mux sets Pattern before it calls a handler of ours, so without one the refusal is its own.
	if w.request.Pattern == "" && (status == http.StatusNotFound || status == http.StatusMethodNotAllowed) {
		w.swallowed = true
		e := newError(status, "not_found", "there is nothing at this path")
		if status == http.StatusMethodNotAllowed {
			e = newError(status, "method_not_allowed", "this path does not take %s", w.request.Method)
		}
		writeError(w.ResponseWriter, e)
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answerWriter) Write(b []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	if w.swallowed {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func writeError(w http.ResponseWriter, e *apiError) {
	for k, v := range e.headers {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(e.status)
	body, err := plainJSON(e)
	if err != nil {
		return // an apiError holds texts only
	}
	_, _ = w.Write(append(body, '\n'))
}
