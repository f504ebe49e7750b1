package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/waypost/waypost/internal/hook"
)

const (
	portalExpiry = 7 * 24 * 3600 // seconds that a token for the portal lives unless it is said, as with Svix
	portalPath   = "/portal"     // where the portal is, on the public address
)

// portalAccessIn is a request for a token of the portal.
type portalAccessIn struct {
	_            struct{}                `json:"-" additionalProperties:"true"`
	Application  optional[applicationIn] `json:"application,omitempty" doc:"An application to make first when the path names none yet; its uid must be that of the path. Left alone when there is one"`
	Capabilities optional[[]capability]  `json:"capabilities,omitempty" maxItems:"20" doc:"What the token may do; ViewBase is always needed. null = everything that a token of an application may"`
	Expiry       optional[int]           `json:"expiry,omitempty" minimum:"3600" maximum:"604800" doc:"Seconds that the token lives; default 7 days"`
	FeatureFlags optional[[]flag]        `json:"featureFlags,omitempty" maxItems:"100" doc:"Flags that the token holds beside those of the application"`
	ReadOnly     optional[bool]          `json:"readOnly,omitempty" doc:"The same as capabilities with ViewBase only"`
	SessionID    optional[string]        `json:"sessionId,omitempty" minLength:"1" maxLength:"256" doc:"Of tokens that are expired together"`
}

// capability is the name of something that a token may do.
type capability string

var capabilities = []hook.Capability{
	hook.ViewBase, hook.ViewEndpointSecret, hook.ManageEndpointSecret, hook.ManageTransformations, hook.CreateAttempts, hook.ManageEndpoint,
}

// Schema has the names.
func (capability) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, c := range capabilities {
		s.Enum = append(s.Enum, string(c))
	}
	return s
}

type portalAccessOut struct {
	URL   string `json:"url" doc:"Where the portal opens with this token; the token is behind the #, which browsers send to nobody"`
	Token string `json:"token" doc:"A token of the application, shown this once"`
}

type portalAccessInput struct {
	AppPath
	Body *portalAccessIn
}

type expireAllIn struct {
	_          struct{}           `json:"-" additionalProperties:"true"`
	Expiry     optional[int64]    `json:"expiry,omitempty" minimum:"0" maximum:"259200" doc:"Seconds until they end; default 0"`
	SessionIDs optional[[]string] `json:"sessionIds,omitempty" maxItems:"100" doc:"Only tokens of these sessions; none = all"`
}

type expireAllInput struct {
	AppPath
	Body *expireAllIn
}

func (h *Handler) authentication() {
	access := operation("authentication.app-portal-access", http.MethodPost, "/auth/app-portal-access/{app_id}", "Make a token and an address of the portal for an application")
	add(h, access, organisation, h.portalAccess)
	legacy := operation("authentication.dashboard-access", http.MethodPost, "/auth/dashboard-access/{app_id}", "The older form of app-portal-access")
	legacy.Deprecated = true
	add(h, legacy, organisation, func(ctx context.Context, in *AppPath) (*output[portalAccessOut], error) {
		return h.portalAccess(ctx, &portalAccessInput{AppPath: *in})
	})
	logout := operation("authentication.logout", http.MethodPost, "/auth/logout", "End the application's token that makes the request")
	logout.DefaultStatus = http.StatusNoContent
	add(h, logout, member, h.logout)
	expire := operation("authentication.expire-all", http.MethodPost, "/auth/app/{app_id}/expire-all", "End the tokens of an application, now or soon")
	expire.DefaultStatus = http.StatusNoContent
	add(h, expire, organisation, h.expireAll)
}

// portalAccess makes a token of an application that lives for a while.
func (h *Handler) portalAccess(ctx context.Context, in *portalAccessInput) (*output[portalAccessOut], error) {
	body := portalAccessIn{}
	if in.Body != nil {
		body = *in.Body
	}
	now := h.now()
	t := hook.Token{ID: hook.NewID[hook.TokenID](h.IDs, now), Name: "portal", CreatedAt: now, FeatureFlags: []string{}}
	if err := fillPortalToken(&t, &body); err != nil {
		return nil, err
	}
	app, err := h.portalApp(ctx, in.App, body.Application)
	if err != nil {
		return nil, err
	}
	t.App = app.ID
	text := newTokenText(&t)
	out := portalAccessOut{Token: text}
	if out.URL, err = h.portalURL(app.ID, text); err != nil {
		return nil, err
	}
	if err := h.Store.PutToken(answering(ctx, http.StatusOK, out), t); err != nil {
		return nil, err
	}
	return &output[portalAccessOut]{out}, nil
}

func fillPortalToken(t *hook.Token, in *portalAccessIn) error {
	var p problems
	life := portalExpiry
	if in.Expiry.given() {
		life = in.Expiry.Value
	}
	t.ExpiresAt = t.CreatedAt.Add(time.Duration(life) * time.Second)
	t.FeatureFlags = append(t.FeatureFlags, texts(in.FeatureFlags.Value)...)
	if t.Session = in.SessionID.Value; !isText(t.Session) {
		p.add("body.sessionId", "holds control characters")
	}
	if in.Capabilities.given() {
		for _, c := range texts(in.Capabilities.Value) {
			t.Capabilities = append(t.Capabilities, hook.Capability(c))
		}
		if !slices.Contains(t.Capabilities, hook.ViewBase) {
			p.add("body.capabilities", "must hold ViewBase, which every use of the portal needs")
		}
	}
	if in.ReadOnly.Value {
		t.Capabilities = []hook.Capability{hook.ViewBase}
	}
	return p.err()
}

// portalApp finds the application of a path, or makes the one that the request brings along.
func (h *Handler) portalApp(ctx context.Context, ref string, in optional[applicationIn]) (hook.Application, error) {
	if !in.given() {
		return h.app(ctx, ref)
	}
	app, err := h.Store.Application(ctx, ref)
	if hook.KindOf(err) != hook.KindNotFound || err == nil {
		return app, err
	}
	a := h.newApplication()
	if err := within422("body.application", fillApplication(&a, in.Value.Name, in.Value.ApplicationFields, false)); err != nil {
		return a, err
	}
	if a.UID == "" || a.UID != ref {
		return a, invalidRequest(wrong("body.application.uid", "must be the uid that the path names: there is no such application yet"))
	}
	defer h.Forget()
	if err := h.Store.CreateApplication(ctx, a); hook.KindOf(err) == hook.KindConflict {
		return h.app(ctx, ref) // made by another request a moment ago
	} else if err != nil {
		return a, err
	}
	return a, nil
}

// portalURL is where the portal opens with a token.
func (h *Handler) portalURL(app hook.ApplicationID, token string) (string, error) {
	key, err := plainJSON(struct {
		App   hook.ApplicationID `json:"appId"`
		Token string             `json:"token"`
	}{app, token})
	return h.PublicURL + portalPath + "#key=" + base64.StdEncoding.EncodeToString(key), err
}

// logout ends the calling token. It keeps no answer for an Idempotency-Key: a repeat has no token any more, and another
// token of the application that happens to use the same key must not be told that it was ended.
func (h *Handler) logout(ctx context.Context, _ *struct{}) (*struct{}, error) {
	a := actorOf(ctx)
	if a.isOrganisation() {
		return nil, forbidden("only a token of an application can be logged out; delete the organisation's with DELETE /token/{id}")
	}
	defer h.Forget()
	err := h.Store.DeleteToken(ctx, a.token)
	if hook.KindOf(err) == hook.KindNotFound {
		err = nil // ended by another request a moment ago
	}
	return nil, err
}

func (h *Handler) expireAll(ctx context.Context, in *expireAllInput) (*struct{}, error) {
	app, err := h.app(ctx, in.App)
	if err != nil {
		return nil, err
	}
	at, sessions := h.now(), []string(nil)
	if in.Body != nil {
		at = at.Add(time.Duration(in.Body.Expiry.Value) * time.Second)
		sessions = in.Body.SessionIDs.Value
	}
	defer h.Forget()
	return nil, h.Store.ExpireTokens(answering(ctx, http.StatusNoContent, nil), app.ID, sessions, at)
}
