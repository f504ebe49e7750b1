package engine

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// Verify runs the handshake of an endpoint's dialect, as the platform's console does, and says what came of it. It records
// nothing. An error of kind KindInvalid means that the dialect has no handshake or that its settings allow none.
func (e *Engine) Verify(ctx context.Context, st store.Target) (hook.Verification, error) {
	if st.Endpoint.Transport == hook.TransportPoll {
		return hook.Verification{}, hook.Errorf(hook.KindInvalid, "the endpoint is polled: nothing is sent to it, so there is nothing to verify")
	}
	if st.Endpoint.Transport == hook.TransportLongConn {
		return hook.Verification{}, hook.Errorf(hook.KindInvalid, "the endpoint's application connects to this server, and signs for it: there is nothing to verify")
	}
	t := e.compile(st, false)
	if t.dialect.Handshake == nil {
		return hook.Verification{}, hook.Errorf(hook.KindInvalid, "the dialect %s has no handshake: there is nothing to verify", st.Endpoint.Dialect)
	}
	now := e.o.Clock.Now()
	nonce := dialect.Nonce{Now: now}
	_, _ = rand.Read(nonce.Seed[:]) // never fails
	signed, judge, err := t.dialect.Handshake(t.signing(now), nonce)
	if err != nil {
		return hook.Verification{}, hook.Errorf(hook.KindInvalid, "the handshake cannot be made: %v", err)
	}
	r := egress.Request{
		Method: signed.Method, URL: t.Endpoint.URL, To: t.to, Query: signed.Query, Header: signed.Header, Body: signed.Body, Allow: t.allow,
	}
	for _, h := range t.ownBeside(signed.Header) {
		replaceHeader(&r, h.name, h.value)
	}

	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	out := hook.Verification{State: hook.VerificationFailed, At: now}
	resp, err := t.send(ctx, r)
	if own := (*egress.Error)(nil); errors.As(err, &own) {
		out.Reason = own.Text
		return out, nil
	} else if err != nil {
		out.Reason = err.Error()
		return out, nil
	}
	v := judge(dialect.Response{Status: resp.Status, Header: resp.Header, Body: resp.Body, Truncated: resp.Truncated})
	out.Reason = v.Reason
	if v.Kind == dialect.Accepted {
		out.State = hook.VerificationPassed
	}
	return out, nil
}
