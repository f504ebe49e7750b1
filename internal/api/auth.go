package api

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/waypost/waypost/internal/hook"
)

// access says who may call an operation.
type access int

const (
	anyone       access = iota // no token needed
	member                     // any live token; an application's token only within its own application
	organisation               // the organisation's token; others are told 403, or 404 of an application not their own
)

// actor is who makes a request: the organisation, or one application.
type actor struct {
	token        hook.TokenID
	app          hook.ApplicationID // 0 = the organisation
	declaring    bool               // the configuration file: see Declaring
	capabilities []hook.Capability  // of an application's token; nil = all
	flags        []string           // of a token that was made for the portal; nil = it was not
}

func (a actor) isOrganisation() bool { return a.app == 0 }

type actorKey struct{}

func actorOf(ctx context.Context) actor {
	a, _ := ctx.Value(actorKey{}).(actor)
	return a
}

const (
	maxTokenLength = 512
	appParam       = "app_id"
)

// authenticate finds out who makes a request. It fails with 401.
func (h *Handler) authenticate(r *http.Request) (actor, error) {
	if a := actorOf(r.Context()); a.declaring {
		return a, nil // no request from outside has a context with an actor in it
	}
	token, ok := bearer(r.Header.Get("Authorization"))
	if !ok {
		return actor{}, unauthenticated("an Authorization header of the form `Bearer <token>` is needed")
	}
	hash, now := sha256.Sum256([]byte(token)), h.Now()
	t, turn, ok := h.tokens.get(hash, now)
	if !ok {
		var err error
		if t, err = h.Store.Token(r.Context(), hash, now); hook.KindOf(err) == hook.KindNotFound {
			return actor{}, unauthenticated("this token is not known, or has expired")
		} else if err != nil {
			return actor{}, err
		}
		h.tokens.put(hash, t, turn, now)
	}
	if !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt) {
		return actor{}, unauthenticated("this token has expired")
	}
	declaring := t.App == 0 && r.Header.Get(DeclaringHeader) != ""
	return actor{token: t.ID, app: t.App, declaring: declaring, capabilities: t.Capabilities, flags: t.FeatureFlags}, nil
}

func bearer(header string) (string, bool) {
	scheme, token, ok := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != "" && len(token) <= maxTokenLength
}

func unauthenticated(detail string) *apiError {
	e := newError(http.StatusUnauthorized, "authentication_failed", "%s", detail)
	e.headers = http.Header{"Www-Authenticate": {"Bearer"}}
	return e
}

// admit says whether an actor may call an operation on the application that the path names ("" when it names none). What
// belongs to others does not exist for an application's token, whatever the operation. What the token may do within its own
// is another question: see actor.may.
func (h *Handler) admit(ctx context.Context, a actor, who access, appRef string) error {
	if a.isOrganisation() {
		return nil
	}
	if appRef != "" {
		own, err := h.Store.Application(ctx, a.app.String())
		if err != nil {
			return err
		}
		if appRef != own.ID.String() && (own.UID == "" || appRef != own.UID) {
			return notFound("application")
		}
	}
	if who == organisation {
		return forbidden("only the organisation's token may do this")
	}
	return nil
}

// guard is the middleware that authenticates, admits, and answers what was answered before.
func (h *Handler) guard(operation, method string, who access) func(huma.Context, func(huma.Context)) {
	need := neededFor(operation, method)
	return func(hc huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(hc)
		a, err := h.authenticate(r)
		if err == nil {
			err = h.admit(r.Context(), a, who, hc.Param(appParam))
		}
		if err == nil {
			err = a.may(need)
		}
		if err != nil {
			writeError(w, h.answer(r.Context(), err))
			return
		}
		h.once(w, r, a, func(ctx context.Context) {
			next(huma.WithContext(hc, context.WithValue(ctx, actorKey{}, a)))
		})
	}
}

// appID resolves an application's id or uid. It fails with KindNotFound.
func (h *Handler) appID(ctx context.Context, ref string) (hook.ApplicationID, error) {
	now := h.Now()
	id, turn, ok := h.apps.get(ref, now)
	if ok {
		return id, nil
	}
	app, err := h.app(ctx, ref)
	if err != nil {
		return 0, err
	}
	h.apps.put(ref, app.ID, turn, now)
	return app.ID, nil
}

func (h *Handler) app(ctx context.Context, ref string) (hook.Application, error) {
	app, err := h.Store.Application(ctx, ref)
	if hook.KindOf(err) == hook.KindNotFound {
		return app, notFound("application")
	}
	return app, err
}
