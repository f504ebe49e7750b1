package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

func TestAMessageWhoseLongConnectionEndedIsSentAgainAtOnce(t *testing.T) {
	// cut attempts are made again at once, and not counted, up to maxCuts of a message in a row; then its schedule takes over.
	for name, c := range map[string]struct{ cuts, attempts, last int }{
		"once":                   {1, 2, 1},
		"as often as allowed":    {maxCuts, maxCuts + 1, 1},
		"once more than allowed": {maxCuts + 1, maxCuts + 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int32
			in(t, func(o *Options) {
				o.Connected = map[string]*dialect.Dialect{"standard": o.Dialects["standard"]}
				o.Listening = func(hook.EndpointID) bool { return true }
				o.Senders = map[string]Sender{"longconn": func(context.Context, *store.Target, egress.Request) (egress.Response, error) {
					if int(sent.Add(1)) <= c.cuts {
						return egress.Response{}, &egress.Error{Kind: egress.KindReset, Text: "it ended"}
					}
					return egress.Response{Status: 200}, nil
				}}
			}, func(w *world) {
				ep := w.endpoint("a", func(e *hook.Endpoint) {
					e.URL, e.Transport, e.Schedule = "longconn:", hook.TransportLongConn, []time.Duration{time.Hour}
				})
				w.publish(1, nil)
				time.Sleep(time.Minute)
				atOnce := len(w.attempts(ep))
				time.Sleep(2 * time.Hour)
				list := w.attempts(ep)
				if len(list) != c.attempts || atOnce != min(c.attempts, maxCuts+1) {
					t.Fatalf("%d attempts, %d of them within a minute, want %d", len(list), atOnce, c.attempts)
				}
				var last hook.Attempt
				for _, a := range list {
					if a.ID > last.ID {
						last = a
					}
				}
				if last.Verdict != hook.Success || last.N != c.last {
					t.Errorf("the last attempt is %+v, want number %d", last, c.last)
				}
			})
		})
	}
}

func TestAResendWhoseLongConnectionEndedHasFailed(t *testing.T) {
	in(t, func(o *Options) {
		o.Connected = map[string]*dialect.Dialect{"standard": o.Dialects["standard"]}
		o.Listening = func(hook.EndpointID) bool { return true }
		var sent atomic.Int32
		o.Senders = map[string]Sender{"longconn": func(context.Context, *store.Target, egress.Request) (egress.Response, error) {
			if sent.Add(1) == 1 {
				return egress.Response{Status: 200}, nil
			}
			return egress.Response{}, &egress.Error{Kind: egress.KindReset, Text: "it ended"}
		}}
	}, func(w *world) {
		ep := w.endpoint("a", func(e *hook.Endpoint) { e.URL, e.Transport = "longconn:", hook.TransportLongConn })
		ids := w.publish(1, nil)
		time.Sleep(time.Second)
		if err := w.db.Resend(context.Background(), ep.App, ids[0].ID, ep.ID, time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := len(w.attempts(ep)); n != 2 {
			t.Errorf("%d attempts, want the first and the resend", n)
		}
	})
}

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
