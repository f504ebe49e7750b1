package api

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

// The overlap of a rotation, and how many rotated secrets may be live at once: Svix's.
const (
	defaultSecretOverlap = 24 * time.Hour
	maxSecretOverlap     = 7 * 24 * time.Hour
	maxOldSecrets        = 10
)

type endpointSecretRotateIn struct {
	_           struct{}         `json:"-" additionalProperties:"true"`
	Key         optional[string] `json:"key,omitempty" maxLength:"512" doc:"The new secret, as whsec_… or whsk_…; null = one of the present one's kind is made"`
	GracePeriod optional[int]    `json:"gracePeriodSeconds,omitempty" minimum:"0" maximum:"604800" doc:"How long the present secret is signed with beside the new one, in seconds; default 86400"`
}

type rotateInput struct {
	EndpointPath
	UserAgent string `header:"User-Agent" hidden:"true"`
	Body      endpointSecretRotateIn
}

// rotateOut writes the answer to a rotation: empty, as Svix's open server has it, or the new secret for client libraries that
// cannot do without (Svix's since 2.7.0).
type rotateOut struct{ Body func(huma.Context) }

func (h *Handler) rotateRoute() {
	op := operation("endpoint.rotate-secret", http.MethodPost, "/app/{app_id}/endpoint/{endpoint_id}/secret/rotate",
		"Replace the signing secret; messages are signed with the old one too for a while")
	op.DefaultStatus = http.StatusNoContent
	op.Responses = map[string]*huma.Response{
		"200": h.documented("The new secret, for client libraries of Svix's since 2.7.0", reflect.TypeFor[secretOut]()),
		"204": {Description: http.StatusText(http.StatusNoContent)},
	}
	add(h, op, member, h.rotateAnswered)
}

// rotateAnswered rotates the secret of an endpoint and answers as the client expects it.
func (h *Handler) rotateAnswered(ctx context.Context, in *rotateInput) (*rotateOut, error) {
	told := secretOut{}
	along := h.rotated
	if wantsRotated(in.UserAgent) {
		along = func(ctx context.Context, app hook.Application, before, after *hook.Endpoint) context.Context {
			told.Key, _ = receiversKey(after.Settings.Get(standardSecret)) // of a secret that was checked a moment ago
			return answering(h.updated(ctx, app, before, after), http.StatusOK, told)
		}
	}
	if err := h.rotateSecret(ctx, &in.EndpointPath, in.Body, along); err != nil {
		return nil, err
	}
	return &rotateOut{func(hc huma.Context) {
		if told.Key == "" {
			hc.SetStatus(http.StatusNoContent)
			return
		}
		hc.SetHeader("Content-Type", jsonType)
		hc.SetStatus(http.StatusOK)
		_ = marshal(hc.BodyWriter(), told) // it is done whether or not the caller hears of it
	}}, nil
}

// wantsRotated says whether a client library reads the answer to a rotation: the endpoint's new secret, in Svix's Python library
// since 2.7.0. Libraries of all languages have the same versions.
func wantsRotated(agent string) bool {
	_, major, minor, ok := libraryOf(agent)
	return ok && (major > 2 || major == 2 && minor >= 7)
}

func (h *Handler) rotateSecret(ctx context.Context, path *EndpointPath, in endpointSecretRotateIn, along carry) error {
	overlap := defaultSecretOverlap
	if in.GracePeriod.given() {
		overlap = min(time.Duration(in.GracePeriod.Value)*time.Second, maxSecretOverlap)
	}
	_, err := h.rewrite(ctx, path, along, func(_ hook.Application, e *hook.Endpoint) error {
		return h.rotate(e, in.Key, overlap)
	})
	return err
}

// rotated is the carry of a rotation: the operator is told, and the answer is empty.
func (h *Handler) rotated(ctx context.Context, app hook.Application, before, after *hook.Endpoint) context.Context {
	return answering(h.updated(ctx, app, before, after), http.StatusNoContent, nil)
}

// rotate puts a new secret in the place of an endpoint's own ones, which are old from now on.
func (h *Handler) rotate(e *hook.Endpoint, key optional[string], overlap time.Duration) error {
	present := e.Settings[standardSecret]
	switch {
	case e.Dialect != standardDialect:
		return conflict("the dialect %s has its keys in settings: PATCH them there, the new one in front of \"%s\"", e.Dialect, redacted)
	case len(present) == 0:
		return conflict("the secret belongs to the endpoint's profile, whose settings the organisation can change")
	}
	fresh := key.Value
	if !key.given() {
		fresh = secretLike(present[0])
	}
	var p problems
	d := h.Dialects[standardDialect]
	h.checkSettings(&p, d, hook.Settings{standardSecret: {fresh}}, dialect.Sending, false, map[string]string{standardSecret: "body.key"})
	if err := p.err(); err != nil {
		return err
	}
	now := h.now()
	var old []hook.OldSecret
	for _, s := range present {
		old = append(old, hook.OldSecret{Value: s, Until: now.Add(overlap)})
	}
	old = slices.DeleteFunc(slices.Concat(old, e.OldSecrets), func(o hook.OldSecret) bool {
		return o.Value == fresh || !o.Until.After(now) // also at once, when there is no overlap
	})
	if len(old) > maxOldSecrets {
		return newError(http.StatusBadRequest, "limit_reached",
			"%d earlier secrets are still signed with, and there may be no more: wait until one ends, or give gracePeriodSeconds 0", maxOldSecrets)
	}
	e.Settings = e.Settings.Merge(hook.Settings{standardSecret: {fresh}})
	e.OldSecrets = old
	e.UpdatedAt = now
	return nil
}

// secretLike makes a secret of the kind of another.
func secretLike(secret string) string {
	if !strings.HasPrefix(secret, "whsk_") {
		return newSecret()
	}
	_, key, _ := ed25519.GenerateKey(nil) // never fails: crypto/rand ends the process instead
	return "whsk_" + base64.StdEncoding.EncodeToString(key)
}
