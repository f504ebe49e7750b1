package engine

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

func cancel(w *world, m hook.Message, ep hook.EndpointID) int {
	w.t.Helper()
	n, err := w.db.Cancel(context.Background(), m.App, m.ID, ep, time.Now())
	w.must(err)
	return n
}

func expunge(w *world, m hook.Message) {
	w.t.Helper()
	w.must(w.db.Expunge(context.Background(), m.App, m.ID, time.Now()))
}

// withdrawals are the ways to take a message back.
var withdrawals = map[string]func(w *world, m hook.Message){
	"canceled": func(w *world, m hook.Message) { cancel(w, m, 0) },
	"expunged": expunge,
}

// held makes whatever the engine reads from the store come when the returned func is called.
func held(f *flaky) (free func()) {
	hold := make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = hold
	return func() {
		f.mu.Lock()
		f.hold = nil
		f.mu.Unlock()
		close(hold)
	}
}

func nothingInHand(w *world) {
	w.t.Helper()
	if s := w.e.Stats(); s.InHand != 0 || s.CachedBytes != 0 || s.InFlight != 0 || s.Unrecorded != 0 {
		w.t.Errorf("%+v", s)
	}
}

func TestWhatWasTakenBackIsNotSent(t *testing.T) {
	t.Parallel()
	for name, takeBack := range withdrawals {
		t.Run(name+" while it is queued", func(t *testing.T) {
			in(t, func(o *Options) { o.Concurrency = 1 }, func(w *world) {
				w.answer(slow(time.Second))
				ep := w.endpoint("a", nil)
				list := w.publish(10, nil)
				time.Sleep(1500 * time.Millisecond) // the first has ended, the second is in flight
				for _, m := range list[1:9] {
					takeBack(w, m)
				}
				time.Sleep(day)
				if n := len(w.seen("")); n != 3 {
					t.Errorf("%d requests, want those of the first two and of the last", n)
				}
				if d := w.delivery(list[1], ep); d.State != hook.Delivered {
					t.Errorf("what was in flight: %+v", d)
				}
				if d := w.delivery(list[5], ep); d.State != hook.Canceled || d.Attempts != 0 {
					t.Errorf("what was queued: %+v", d)
				}
				nothingInHand(w)
			})
		})
		t.Run(name+" while it waits for its next attempt", func(t *testing.T) {
			in(t, nil, func(w *world) {
				w.answer(status(500))
				ep := w.endpoint("a", nil)
				list := w.publish(2, nil)
				time.Sleep(time.Minute)
				takeBack(w, list[0])
				time.Sleep(30 * day)
				if a, b := w.delivery(list[0], ep), w.delivery(list[1], ep); a.State != hook.Canceled || a.Attempts != 2 || b.State != hook.Failed || b.Attempts != 8 {
					t.Errorf("%+v and %+v", a, b)
				}
				if n := len(w.seen("")); n != 10 {
					t.Errorf("%d requests", n)
				}
			})
		})
		t.Run(name+" while it is in flight", func(t *testing.T) {
			in(t, nil, func(w *world) {
				w.answer(func(rw http.ResponseWriter, _ *http.Request) {
					time.Sleep(time.Second)
					rw.WriteHeader(500)
				})
				ep := w.endpoint("a", nil)
				m := w.publish(1, nil)[0]
				time.Sleep(500 * time.Millisecond)
				takeBack(w, m)
				time.Sleep(30 * day)
				if d := w.delivery(m, ep); d.State != hook.Canceled || d.Attempts != 1 || len(w.seen("")) != 1 {
					t.Errorf("%+v after %d requests", d, len(w.seen("")))
				}
				if list := w.attempts(ep); len(list) != 1 || list[0].Status != 500 {
					t.Errorf("%+v", list)
				}
				nothingInHand(w)
			})
		})
		t.Run(name+" while it is being prepared", func(t *testing.T) {
			broken(t, func(o *Options) { o.CacheBytes = 1 }, func(w *world, f *flaky) {
				ep := w.endpoint("a", nil)
				settled()
				free := held(f)
				m := w.publish(1, nil)[0]
				settled() // its content is being read
				takeBack(w, m)
				free()
				time.Sleep(day)
				if d := w.delivery(m, ep); d.State != hook.Canceled || len(w.seen("")) != 0 || len(w.attempts(ep)) != 0 {
					t.Errorf("%+v after %d requests, attempts %+v", d, len(w.seen("")), w.attempts(ep))
				}
				nothingInHand(w)
			})
		})
		t.Run(name+" while the due ones are being read", func(t *testing.T) {
			broken(t, nil, func(w *world, f *flaky) {
				ep := w.endpoint("a", func(e *hook.Endpoint) { e.Paused = true })
				list := w.publish(3, nil)
				settled()
				free := held(f)
				w.update(ep, func(e *hook.Endpoint) { e.Paused = false })
				settled() // read, and not yet handed over
				takeBack(w, list[1])
				free()
				time.Sleep(day)
				if n := len(w.seen("")); n != 2 || w.delivery(list[1], ep).State != hook.Canceled {
					t.Errorf("%d requests, %+v", n, w.delivery(list[1], ep))
				}
				nothingInHand(w)
			})
		})
		t.Run(name+" with its resend", func(t *testing.T) {
			in(t, nil, func(w *world) {
				ep := w.endpoint("a", nil)
				m := w.publish(1, nil)[0]
				settled()
				ep = w.update(w.stored(ep), func(e *hook.Endpoint) { e.Paused = true })
				resend(w, m, ep)
				takeBack(w, m)
				w.update(ep, func(e *hook.Endpoint) { e.Paused = false })
				time.Sleep(day)
				if d := w.delivery(m, ep); d.State != hook.Delivered || len(w.seen("")) != 1 {
					t.Errorf("%+v after %d requests", d, len(w.seen("")))
				}
				nothingInHand(w)
			})
		})
	}
}

func TestCancelingForOneEndpointLeavesTheOthers(t *testing.T) {
	in(t, nil, func(w *world) {
		w.answer(status(500))
		a, b := w.endpoint("a", nil), w.endpoint("b", nil)
		m := w.publish(1, nil)[0]
		time.Sleep(time.Second)
		if n := cancel(w, m, a.ID); n != 1 {
			t.Errorf("%d canceled", n)
		}
		w.answer(status(200))
		time.Sleep(day)
		if x, y := w.delivery(m, a), w.delivery(m, b); x.State != hook.Canceled || y.State != hook.Delivered {
			t.Errorf("%+v and %+v", x, y)
		}
		if n := len(w.seen("a.example")); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestAResendAfterACancellationIsSent(t *testing.T) {
	in(t, nil, func(w *world) {
		w.answer(status(500))
		ep := w.endpoint("a", nil)
		m := w.publish(1, nil)[0]
		settled()
		cancel(w, m, 0)
		w.answer(status(200))
		resend(w, m, ep)
		settled()
		if d := w.delivery(m, ep); d.State != hook.Delivered || len(w.seen("")) != 2 {
			t.Errorf("%+v after %d requests", d, len(w.seen("")))
		}
	})
}

// TestAResendThatSucceededStopsAnAttemptThatIsBeingPrepared has the scheduled attempt off the queue, its content being read,
// when the resend is accepted.
func TestAResendThatSucceededStopsAnAttemptThatIsBeingPrepared(t *testing.T) {
	t.Parallel()
	for name, slowly := range map[string]bool{"recorded before it is prepared": false, "recorded long after": true} {
		t.Run(name, func(t *testing.T) {
			broken(t, func(o *Options) { o.CacheBytes = 1 }, func(w *world, f *flaky) {
				w.answer(status(500))
				ep := w.endpoint("a", nil)
				m := w.publish(1, nil)[0]
				settled()
				release := make(chan struct{})
				w.answer(func(http.ResponseWriter, *http.Request) { <-release })
				resend(w, m, ep) // in flight
				settled()
				f.claims = true
				free := held(f)
				time.Sleep(6 * time.Second) // the scheduled attempt is due at 5 s: its content is being read
				if s := w.e.Stats(); s.InFlight != 2 {
					t.Errorf("%+v", s)
				}
				if slowly {
					f.fail(hook.Errorf(hook.KindUnavailable, "the disk is full for a moment"))
				}
				close(release)
				settled()
				free()
				time.Sleep(time.Minute)
				f.fail(nil)
				time.Sleep(day)
				if list := w.seen(""); len(list) != 2 {
					t.Errorf("arrived at %v", times(list))
				}
				if d := w.delivery(m, ep); d.State != hook.Delivered {
					t.Errorf("%+v", d)
				}
				nothingInHand(w)
			})
		})
	}
}

func TestContentThatIsGoneIsCanceledQuietly(t *testing.T) {
	in(t, nil, func(w *world) {
		ep := w.endpoint("a", func(e *hook.Endpoint) { e.Paused = true })
		m := w.publish(1, nil)[0]
		w.must(w.db.Expunge(context.Background(), w.app, m.ID, time.Now()))
		w.update(ep, func(e *hook.Endpoint) { e.Paused = false })
		time.Sleep(day)
		if d := w.delivery(m, ep); d.State != hook.Canceled || len(w.seen("")) != 0 || len(w.attempts(ep)) != 0 {
			t.Errorf("%+v after %d requests, attempts %+v", d, len(w.seen("")), w.attempts(ep))
		}
		if h := w.stored(ep); h.Disabled || !h.FailingSince.IsZero() {
			t.Errorf("%+v", h)
		}
	})
}
