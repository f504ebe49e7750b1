package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// maxHandshake bounds a handshake, whose caller waits for it, whatever the endpoint's own time-out.
const maxHandshake = 10 * time.Second

// verifyEndpoint runs the handshake and keeps what came of it.
func (h *Handler) verifyEndpoint(ctx context.Context, in *EndpointPath) (*output[endpointOut], error) {
	_, before, err := h.endpoint(ctx, in)
	if err != nil {
		return nil, err
	}
	if d := h.Dialects[before.Dialect]; h.Verify == nil || d == nil || d.Handshake == nil {
		return nil, conflict("the dialect %s has no handshake to verify an endpoint with", before.Dialect)
	}
	limited, cancel := context.WithTimeout(ctx, maxHandshake)
	defer cancel()
	v, err := h.Verify(limited, before)
	if err != nil {
		return nil, err
	}
	e, err := h.keepVerification(ctx, before, v)
	if err != nil {
		return nil, err
	}
	return &output[endpointOut]{h.showEndpoint(e)}, nil
}

// keepVerification writes what came of a handshake, unless what was verified is no longer what is there.
func (h *Handler) keepVerification(ctx context.Context, verified hook.Endpoint, v hook.Verification) (hook.Endpoint, error) {
	path := &EndpointPath{AppPath{verified.App.String()}, verified.ID.String()}
	return h.rewrite(ctx, path, h.verified, func(_ hook.Application, e *hook.Endpoint) error {
		if needsVerification(verified, *e) {
			return conflict("the endpoint was changed while it was being verified: try again")
		}
		e.Verification = v
		if e.Verification.At.IsZero() {
			e.Verification.At = h.now()
		}
		return nil
	})
}

// verified is the carry of a verification's answer.
func (h *Handler) verified(ctx context.Context, _ hook.Application, _, after *hook.Endpoint) context.Context {
	return answering(ctx, http.StatusOK, h.showEndpoint(*after))
}

// needsVerification says whether a handshake with the one says nothing of the other.
func needsVerification(before, after hook.Endpoint) bool {
	return before.URL != after.URL || before.Dialect != after.Dialect || before.Profile != after.Profile ||
		!reflect.DeepEqual(before.Settings, after.Settings)
}
