package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

const (
	tokenPrefix = "wp_"
	tokenBytes  = 32

	tokensPath = "/token"
)

type tokenIn struct {
	Name      string              `json:"name" minLength:"1" maxLength:"256" example:"portal of shop 17"`
	App       optional[string]    `json:"app,omitempty" maxLength:"256" doc:"Id or uid of the application that it is for; null = the organisation: everything"`
	ExpiresAt optional[time.Time] `json:"expiresAt,omitempty" doc:"null = never"`
}

type tokenOut struct {
	ID        string     `json:"id" example:"tok_0123456789abc"`
	Name      string     `json:"name"`
	App       *string    `json:"app" doc:"Id of the application; null = the organisation"`
	Managed   bool       `json:"managed" doc:"Given by configuration"`
	CreatedAt time.Time  `json:"createdAt"`
	ExpiresAt *time.Time `json:"expiresAt"`

	Capabilities []hook.Capability `json:"capabilities" doc:"What it may do; null = everything that a token of its kind may"`
	FeatureFlags []string          `json:"featureFlags" doc:"That it holds beside those of its application; null = it was not made for the portal"`
	SessionID    *string           `json:"sessionId"`

	Token string `json:"token,omitempty" doc:"The token itself, in the answer to its creation only"`
}

func showToken(t hook.Token) tokenOut {
	return tokenOut{
		ID: t.ID.String(), Name: t.Name, App: pointer(t.App.String()), Managed: t.Managed, CreatedAt: t.CreatedAt.UTC(), ExpiresAt: pointer(t.ExpiresAt),
		Capabilities: t.Capabilities, FeatureFlags: t.FeatureFlags, SessionID: pointer(t.Session),
	}
}

type tokenCreateInput struct{ Body tokenIn }

type tokenListInput struct {
	PageIn
	OrderIn
}

type tokenPath struct {
	Token string `path:"token_id" maxLength:"64" doc:"Id of the token"`
}

func (h *Handler) tokenRoutes() {
	create := operation("token.create", http.MethodPost, tokensPath, "Make a token; it is shown this once")
	create.DefaultStatus = http.StatusCreated
	add(h, create, organisation, h.createToken)
	add(h, operation("token.list", http.MethodGet, tokensPath, "List tokens"), organisation,
		func(ctx context.Context, in *tokenListInput) (*output[listResponse[tokenOut]], error) {
			list, err := h.Store.Tokens(ctx, in.page(in.Order, false))
			return listed(list, err, showToken)
		})
	del := operation("token.delete", http.MethodDelete, "/token/{token_id}", "Delete a token: it is refused from now on")
	del.DefaultStatus = http.StatusNoContent
	add(h, del, organisation, func(ctx context.Context, in *tokenPath) (*struct{}, error) {
		id, err := hook.ParseID[hook.TokenID](in.Token)
		if err != nil {
			return nil, notFound("token")
		}
		if err = h.Store.DeleteToken(ctx, id); hook.KindOf(err) == hook.KindNotFound {
			err = notFound("token")
		}
		h.Forget()
		return nil, err
	})
}

func (h *Handler) createToken(ctx context.Context, in *tokenCreateInput) (*output[tokenOut], error) {
	now := h.now()
	t := hook.Token{ID: hook.NewID[hook.TokenID](h.IDs, now), Name: in.Body.Name, CreatedAt: now}
	if !isText(t.Name) {
		return nil, invalidRequest(wrong("body.name", "holds control characters"))
	}
	if in.Body.App.given() {
		app, err := h.Store.Application(ctx, in.Body.App.Value)
		if hook.KindOf(err) == hook.KindNotFound {
			return nil, invalidRequest(wrong("body.app", "there is no such application"))
		}
		if err != nil {
			return nil, err
		}
		t.App = app.ID
	}
	if in.Body.ExpiresAt.given() {
		if t.ExpiresAt = in.Body.ExpiresAt.Value.UTC().Truncate(time.Millisecond); !t.ExpiresAt.After(now) {
			return nil, invalidRequest(wrong("body.expiresAt", "lies in the past"))
		}
	}
	text := newTokenText(&t)
	out := showToken(t)
	out.Token = text
	if err := h.Store.PutToken(answering(ctx, http.StatusCreated, out), t); err != nil {
		return nil, err
	}
	return &output[tokenOut]{out}, nil
}

// newTokenText makes the text of a token, of which only the hash is stored.
func newTokenText(t *hook.Token) string {
	b := make([]byte, tokenBytes)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	text := tokenPrefix + strings.TrimRight(base64.URLEncoding.EncodeToString(b), "=")
	t.Hash = sha256.Sum256([]byte(text))
	return text
}
