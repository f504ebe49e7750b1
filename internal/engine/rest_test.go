package engine

import (
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// TestFewGoroutinesWaitForAttempts: those that made an attempt make the next ones, few of them wait for it, and none for long.
// That all are gone behind Stop is held by every test that runs in virtual time.
func TestFewGoroutinesWaitForAttempts(t *testing.T) {
	in(t, nil, func(w *world) {
		resting := func() int {
			settled()
			w.e.mu.Lock()
			defer w.e.mu.Unlock()
			return len(w.e.resting)
		}
		w.answer(slow(time.Second))
		w.endpoint("a", func(e *hook.Endpoint) { e.Concurrency = 2 * maxResting })
		w.publish(1, nil)
		time.Sleep(2 * time.Second)
		for range 3 {
			if n := resting(); n != 1 {
				t.Errorf("%d wait after one attempt at a time, want 1", n)
			}
			w.publish(1, nil)
			time.Sleep(2 * time.Second)
		}
		w.publish(2*maxResting, nil)
		time.Sleep(2 * time.Second)
		if n := resting(); n != maxResting {
			t.Errorf("%d wait after %d attempts at once, want %d", n, 2*maxResting, maxResting)
		}
		time.Sleep(2 * w.e.o.SweepEvery)
		if n := resting(); n != 0 {
			t.Errorf("%d wait although there was nothing to do for a while", n)
		}
		w.publish(1, nil)
		time.Sleep(2 * time.Second)
		if c := w.counts(); c.Pending != 0 || c.Delivered != int64(5+2*maxResting) {
			t.Errorf("%+v", c)
		}
	})
}
