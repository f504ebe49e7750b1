package engine

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

func TestADelayedMessageIsSentWhenItIsDue(t *testing.T) {
	t.Parallel()
	after := func(d time.Duration) func(*hook.Message) {
		return func(m *hook.Message) { m.DeliverAt = time.Now().Add(d) }
	}
	t.Run("to the millisecond, among others", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.endpoint("a", nil)
			w.endpoint("b", nil)
			w.publish(3, after(time.Hour))
			w.publish(2, nil)
			w.publish(1, after(1500*time.Millisecond))
			w.publish(1, after(-time.Hour)) // the past is now
			time.Sleep(time.Minute)
			w.publish(1, nil)
			time.Sleep(day)
			want := []time.Duration{0, 0, 0, 1500 * time.Millisecond, time.Minute, time.Hour, time.Hour, time.Hour}
			for _, host := range []string{"a.example", "b.example"} {
				if got := times(w.seen(host)); !slices.Equal(got, want) {
					t.Errorf("%s: at %v", host, got)
				}
			}
			nothingInHand(w)
		})
	})
	t.Run("over restarts", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.endpoint("a", nil)
			w.publish(1, after(time.Hour))
			for range 3 {
				time.Sleep(10 * time.Minute)
				w.close()
				w.open()
			}
			time.Sleep(day)
			if got := times(w.seen("")); !slices.Equal(got, []time.Duration{time.Hour}) {
				t.Errorf("at %v", got)
			}
		})
	})
	t.Run("with its schedule from there", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.answer(status(500))
			w.endpoint("a", everyMinute(2))
			w.publish(1, after(time.Hour))
			time.Sleep(day)
			if got := times(w.seen("")); !slices.Equal(got, []time.Duration{time.Hour, time.Hour + time.Minute, time.Hour + 2*time.Minute}) {
				t.Errorf("at %v", got)
			}
		})
	})
	t.Run("not when it was canceled before", func(t *testing.T) {
		in(t, nil, func(w *world) {
			ep := w.endpoint("a", nil)
			m := w.publish(1, after(time.Hour))[0]
			time.Sleep(59 * time.Minute)
			cancel(w, m, 0)
			time.Sleep(day)
			if d := w.delivery(m, ep); d.State != hook.Canceled || len(w.seen("")) != 0 {
				t.Errorf("%+v after %d requests", d, len(w.seen("")))
			}
		})
	})
	t.Run("and costs no memory until then", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.endpoint("a", nil)
			w.publish(1000, after(time.Hour))
			settled()
			if s := w.e.Stats(); s.InHand != 0 || s.CachedBytes != 0 {
				t.Errorf("%+v", s)
			}
			time.Sleep(day)
			if got := times(w.seen("")); len(got) != 1000 || got[0] != time.Hour || got[999] != time.Hour {
				t.Errorf("%d arrived", len(got))
			}
		})
	})
}

func TestNothingIsSentToAPolledEndpoint(t *testing.T) {
	t.Parallel()
	t.Run("ever", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.endpoint("a", func(e *hook.Endpoint) { e.Transport = hook.TransportPoll })
			w.publish(5, nil)
			time.Sleep(day)
			if got := w.counts(); len(w.seen("")) != 0 || got.Pending != 0 {
				t.Errorf("%d requests, %+v", len(w.seen("")), got)
			}
		})
	})
	t.Run("once it is polled", func(t *testing.T) {
		in(t, func(o *Options) { o.Concurrency = 2 }, func(w *world) {
			w.answer(slow(time.Second))
			ep := w.endpoint("a", nil)
			list := w.publish(10, nil)
			time.Sleep(500 * time.Millisecond)
			polled := w.update(ep, func(e *hook.Endpoint) { e.Transport = hook.TransportPoll })
			time.Sleep(day)
			if n, c := len(w.seen("")), w.counts(); n != 2 || c.Delivered != 2 || c.Canceled != 8 {
				t.Errorf("%d requests, %+v", n, c)
			}
			if err := w.db.Resend(context.Background(), w.app, list[0].ID, ep.ID, time.Now()); hook.KindOf(err) != hook.KindConflict {
				t.Errorf("a resend: %v", err)
			}
			w.update(polled, func(e *hook.Endpoint) { e.Transport = hook.TransportHTTP })
			w.publish(1, nil)
			time.Sleep(day)
			if n := len(w.seen("")); n != 3 {
				t.Errorf("%d requests", n)
			}
			nothingInHand(w)
		})
	})
	t.Run("nor when its attempts are made by hand", func(t *testing.T) {
		in(t, nil, func(w *world) {
			ep := w.endpoint("a", nil)
			polled := w.stored(ep)
			polled.Transport = hook.TransportPoll
			_, err := w.e.Verify(context.Background(), store.Target{Endpoint: polled, Settings: polled.Settings})
			if hook.KindOf(err) != hook.KindInvalid || len(w.seen("")) != 0 {
				t.Errorf("%v after %d requests", err, len(w.seen("")))
			}
		})
	})
}
