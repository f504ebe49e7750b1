package engine

import (
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// The waits between probes of an endpoint whose breaker is open: each is twice the one before.
const (
	firstProbe = time.Second
	lastProbe  = time.Minute
)

// breaker keeps an endpoint that fails attempt after attempt from being hammered: attempts are then made one at a time,
// with a growing wait between them, until one succeeds. A delivery that waits for its turn loses no attempt by it.
type breaker struct {
	failures int           // attempts in a row that failed, over all messages
	spacing  time.Duration // between probes; zero = closed
	probed   time.Time     // when spacing was set last
}

func (b *breaker) probing() bool { return b.spacing > 0 }

// failed counts a failure and returns how long to wait before the next attempt. What was in flight before the last
// decision says nothing new.
func (b *breaker) failed(started, now time.Time, after int) time.Duration {
	b.failures++
	switch {
	case b.failures < after:
		return 0
	case b.spacing == 0:
		b.spacing = firstProbe
	case !started.After(b.probed):
		return 0
	default:
		b.spacing = min(2*b.spacing, lastProbe)
	}
	b.probed = now
	return b.spacing
}

func (b *breaker) succeeded() { *b = breaker{} }

// health updates what is known of an endpoint from a judged attempt, and returns what is to be recorded of it, nil when
// nothing changed. exhausted says that the message ran out of attempts by it.
func (e *Engine) health(l *lane, t *target, o *outcome, now time.Time) *hook.EndpointHealth {
	v := o.Attempt.Verdict
	if v == hook.Retry {
		if wait := l.failed(o.flight.began, now, e.o.BreakAfter); t.policy.Breaker && wait > 0 {
			l.pause = now.Add(wait)
		}
		if !t.policy.Breaker {
			l.spacing = 0
		}
	} else {
		l.succeeded() // somebody answers there, if only to refuse
		l.proven = true
	}
	// A clock that was just set ahead must not make a short trouble a long one.
	sure, since := e.o.Clock.Sure(2*e.o.DisableAfter), t.failingSince
	switch {
	case v == hook.Success && !since.IsZero():
		t.failingSince = time.Time{}
		return &hook.EndpointHealth{}
	case v == hook.Gone:
		return e.disable(l, t, "the endpoint said that it is gone: "+o.Attempt.Reason)
	case !o.exhausted:
		return nil
	case since.IsZero() || sure.Sub(since) > 2*e.o.DisableAfter:
		// What failed so long ago and never since is not the same trouble.
		t.failingSince = sure
		return &hook.EndpointHealth{FailingSince: sure}
	case t.policy.AutoDisable && !o.flight.spared && sure.Sub(since) >= e.o.DisableAfter:
		return e.disable(l, t, "messages have run out of attempts since "+since.UTC().Format(time.RFC3339)+" without one success")
	}
	return nil
}

// disable stops an endpoint here at once; the record of the attempt does it for good.
func (e *Engine) disable(l *lane, t *target, reason string) *hook.EndpointHealth {
	l.asleep = true
	e.clearQueue(l)
	h := &hook.EndpointHealth{FailingSince: t.failingSince, Disable: true, Reason: reason}
	if t.Endpoint.App != hook.Operational {
		since := t.failingSince
		if since.IsZero() {
			since = e.o.Clock.Now()
		}
		h.Events = []hook.Accept{e.notice(t).Disabled(&t.Endpoint, since)}
	}
	return h
}
