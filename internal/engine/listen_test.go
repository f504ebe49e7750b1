package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// TestDeliveriesWaitUntilSomebodyListens has listeners come and go. One that goes after the engine has asked for it, and before
// anything is sent to it, costs no attempt.
func TestDeliveriesWaitUntilSomebodyListens(t *testing.T) {
	var there, gone atomic.Bool
	var sent atomic.Int32
	in(t, func(o *Options) {
		o.Listening = func(hook.EndpointID) bool { return there.Load() }
		o.Senders = map[string]Sender{"listen": func(context.Context, *store.Target, egress.Request) (egress.Response, error) {
			if gone.Load() {
				there.Store(false)
				return egress.Response{}, &egress.Error{Kind: egress.KindCanceled, Text: "nobody listens"}
			}
			sent.Add(1)
			return egress.Response{Status: 200}, nil
		}}
	}, func(w *world) {
		ep := w.endpoint("a", func(e *hook.Endpoint) { e.URL, e.Transport = "listen:", hook.TransportListen })
		changed := func() { w.e.Changed(store.Change{Config: true, Endpoint: ep.ID}) }
		w.publish(3, nil)
		time.Sleep(time.Hour)
		if n := len(w.attempts(ep)); n != 0 || sent.Load() != 0 {
			t.Fatalf("%d attempts while nobody listens", n)
		}
		gone.Store(true)
		there.Store(true)
		changed()
		time.Sleep(10 * time.Second)
		changed() // it is told that the listener went
		time.Sleep(time.Hour)
		if n := len(w.attempts(ep)); n != 0 {
			t.Fatalf("%d attempts of what was never sent", n)
		}
		gone.Store(false)
		there.Store(true)
		changed()
		time.Sleep(5 * time.Second)
		for _, a := range w.attempts(ep) {
			if a.N != 1 || a.Verdict != hook.Success {
				t.Errorf("%+v", a)
			}
		}
		if n := len(w.attempts(ep)); n != 3 || sent.Load() != 3 {
			t.Errorf("%d attempts, %d sent", n, sent.Load())
		}
	})
}
