package engine

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// failing publishes to an endpoint that always fails until its breaker waits a minute between probes, and returns right after one.
func failing(w *world) hook.Endpoint {
	w.answer(status(500))
	ep := w.endpoint("a", func(e *hook.Endpoint) { e.Schedule = []time.Duration{24 * time.Hour} })
	w.publish(40, nil)
	settled()
	opened := len(w.seen(""))
	time.Sleep(2*time.Minute + 5*time.Second) // probes come after 1, 3, 7, 15, 31, 63 and 123 s
	if n := len(w.seen("")) - opened; n != 7 {
		w.t.Fatalf("%d probes, want 7", n)
	}
	return ep
}

// TestAFailingEndpointIsTriedAtOnceWhenItMayHaveBeenMended changes one thing of an endpoint whose breaker is open.
func TestAFailingEndpointIsTriedAtOnceWhenItMayHaveBeenMended(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*hook.Endpoint)
		again  func(*hook.Endpoint) // nil = one change is all
		atOnce bool
	}{
		"description": {change: func(e *hook.Endpoint) { e.Description = "another" }},
		"uid":         {change: func(e *hook.Endpoint) { e.UID = "another" }},
		"metadata":    {change: func(e *hook.Endpoint) { e.Metadata = map[string]string{"a": "b"} }},
		"event types": {change: func(e *hook.Endpoint) { e.EventTypes = []string{"order.paid"} }},
		"schedule":    {change: func(e *hook.Endpoint) { e.Schedule = []time.Duration{time.Hour} }},
		"rate":        {change: func(e *hook.Endpoint) { e.ThrottleRate = 100 }},
		"two that cannot matter": {
			change: func(e *hook.Endpoint) { e.Description = "another" }, again: func(e *hook.Endpoint) { e.Description = "a third" },
		},
		"url":      {change: func(e *hook.Endpoint) { e.URL += "/elsewhere" }, atOnce: true},
		"headers":  {change: func(e *hook.Endpoint) { e.Headers = map[string]string{"x-key": "1"} }, atOnce: true},
		"time-out": {change: func(e *hook.Endpoint) { e.Timeout = 30 * time.Second }, atOnce: true},
		"secret": {
			change: func(e *hook.Endpoint) {
				e.Settings = hook.Settings{"secret": {"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}}
			}, atOnce: true,
		},
		"format": {change: func(e *hook.Endpoint) { e.Format = hook.FormatCloudEvents }, atOnce: true},
		"paused and unpaused": {
			change: func(e *hook.Endpoint) { e.Paused = true }, again: func(e *hook.Endpoint) { e.Paused = false }, atOnce: true,
		},
		"url, then description": {
			change: func(e *hook.Endpoint) { e.URL += "/elsewhere" }, again: func(e *hook.Endpoint) { e.Description = "another" }, atOnce: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, nil, func(w *world) {
				ep := failing(w)
				before := len(w.seen(""))
				ep = w.update(ep, c.change)
				settled()
				if c.again != nil {
					w.update(ep, c.again)
					settled()
				}
				want := 0
				if c.atOnce {
					want = 1 // it is a probe: the others wait for what comes of it
				}
				if n := len(w.seen("")) - before; n != want {
					t.Errorf("%d requests at once, want %d", n, want)
				}
				time.Sleep(50 * time.Second)
				if n := len(w.seen("")) - before; n != want {
					t.Errorf("%d requests in less than a minute, want %d", n, want)
				}
				w.answer(status(200))
				time.Sleep(2 * time.Minute)
				if c := w.counts(); c.Delivered == 0 {
					t.Errorf("nothing was delivered when the receiver was mended: %+v", c)
				}
			})
		})
	}
}

// TestWhatTheEngineItselfNotesOfAnEndpointEndsNoWait has a message run out of attempts while the breaker is open: that the endpoint
// fails is written down then, which is a change of it.
func TestWhatTheEngineItselfNotesOfAnEndpointEndsNoWait(t *testing.T) {
	in(t, nil, func(w *world) {
		w.answer(status(500))
		ep := w.endpoint("a", func(e *hook.Endpoint) { e.Schedule = []time.Duration{} })
		w.publish(40, nil)
		settled()
		opened := len(w.seen(""))
		if w.stored(ep).FailingSince.IsZero() {
			t.Fatal("that it fails is not written down")
		}
		time.Sleep(10 * time.Second)
		if n := len(w.seen("")) - opened; n != 3 {
			t.Errorf("%d probes in ten seconds, want those after 1, 3 and 7", n)
		}
	})
}

// TestAListenerThatComesBackIsTriedAtOnce has the service behind a listener fail, and the listener go and come again.
func TestAListenerThatComesBackIsTriedAtOnce(t *testing.T) {
	var there, works atomic.Bool
	var sent atomic.Int32
	there.Store(true)
	in(t, func(o *Options) {
		o.Listening = func(hook.EndpointID) bool { return there.Load() }
		o.Senders = map[string]Sender{"listen": func(context.Context, *store.Target, egress.Request) (egress.Response, error) {
			sent.Add(1)
			if works.Load() {
				return egress.Response{Status: http.StatusOK}, nil
			}
			return egress.Response{Status: http.StatusInternalServerError}, nil
		}}
	}, func(w *world) {
		ep := w.endpoint("a", func(e *hook.Endpoint) {
			e.URL, e.Transport, e.Schedule = "listen:", hook.TransportListen, []time.Duration{24 * time.Hour}
		})
		changed := func(is bool) {
			there.Store(is)
			w.e.Changed(store.Change{Config: true, Endpoint: ep.ID})
			settled()
		}
		w.publish(40, nil)
		settled()
		time.Sleep(2*time.Minute + 5*time.Second)
		before := sent.Load()
		changed(false)
		time.Sleep(time.Second)
		if n := sent.Load() - before; n != 0 {
			t.Errorf("%d requests to nobody", n)
		}
		works.Store(true)
		changed(true)
		if n := sent.Load() - before; n == 0 {
			t.Error("nothing is sent to a listener that came back")
		}
		if c := w.counts(); c.Delivered == 0 {
			t.Errorf("%+v", c)
		}
	})
}
