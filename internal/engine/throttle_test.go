package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// most is how many moments lie in the fullest second, its end excluded.
func most(at []time.Duration) (n int) {
	slices.Sort(at)
	first := 0
	for last := range at {
		for at[last]-at[first] >= time.Second {
			first++
		}
		n = max(n, last-first+1)
	}
	return n
}

func TestAThrottleAllowsNoMoreInAnySecond(t *testing.T) {
	t.Parallel()
	for _, perSecond := range []int{1, 2, 3, 7, 9, 10, 11, 19, 64, 99, 1000} {
		for seed := range uint64(20) {
			t.Run(fmt.Sprint(perSecond, " ", seed), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(seed, uint64(perSecond)))
				limit := (*throttle)(nil).withRate(perSecond)
				now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
				start := now
				var waiting []rates // let through, not begun
				var begun []time.Duration
				for range 20 * perSecond {
					r := rates{nil, limit}
					wait := r.take(now)
					if wait == 0 {
						waiting = append(waiting, r)
					}
					for len(waiting) > 0 && random.IntN(2) == 0 {
						i := random.IntN(len(waiting))
						if random.IntN(8) == 0 {
							waiting[i].giveBack()
						} else {
							waiting[i].begin(now)
							begun = append(begun, now.Sub(start))
						}
						waiting = slices.Delete(waiting, i, i+1)
					}
					if wait > 0 && random.IntN(4) > 0 {
						now = now.Add(wait)
					} else if random.IntN(3) == 0 {
						now = now.Add(time.Duration(random.Int64N(int64(2 * time.Second / time.Duration(perSecond)))))
					}
				}
				if n := most(begun); n > perSecond || n == 0 {
					t.Errorf("%d in one second", n)
				}
				if limit.held != len(waiting) {
					t.Errorf("%d are thought to be under way, %d are", limit.held, len(waiting))
				}
			})
		}
	}
}

func TestAThrottleAllowsAsMuchAsItMay(t *testing.T) {
	t.Parallel()
	for _, perSecond := range []int{1, 3, 9, 10, 64, 100, 1000} {
		limit := (*throttle)(nil).withRate(perSecond)
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		n := 0
		for now := start; now.Sub(start) < 10*time.Second; {
			r := rates{limit}
			if wait := r.take(now); wait > 0 {
				now = now.Add(wait)
				continue
			}
			r.begin(now)
			n++
		}
		if n != 10*perSecond {
			t.Errorf("%d in ten seconds at %d a second", n, perSecond)
		}
	}
}

// TestARateHoldsForAttemptsAsTheyBegin lets attempts take a while between being taken and being begun, and measures what
// arrives.
func TestARateHoldsForAttemptsAsTheyBegin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		endpoint, app int
		endpoints     int
	}{
		"of an endpoint":                        {endpoint: 30, endpoints: 1},
		"of an endpoint, one a second":          {endpoint: 1, endpoints: 1},
		"of an application":                     {app: 25, endpoints: 6},
		"of an application and of its endpoint": {app: 40, endpoint: 15, endpoints: 4},
	} {
		t.Run(name, func(t *testing.T) {
			broken(t, func(o *Options) { o.CacheBytes = 1 }, func(w *world, f *flaky) {
				w.app = w.newApp(func(a *hook.Application) { a.ThrottleRate = c.app })
				var eps []hook.Endpoint
				for i := range c.endpoints {
					eps = append(eps, w.endpoint(fmt.Sprint("e", i), func(e *hook.Endpoint) { e.ThrottleRate, e.Concurrency = c.endpoint, 40 }))
				}
				random := rand.New(rand.NewPCG(1, 2))
				f.mu.Lock()
				f.slow = func() time.Duration { return time.Duration(random.IntN(80)) * time.Millisecond }
				f.mu.Unlock()
				list := w.publish(150, nil)
				for i := range 30 { // a person cannot go beyond it either
					time.Sleep(100 * time.Millisecond)
					resend(w, list[i], eps[i%len(eps)])
				}
				time.Sleep(time.Hour)
				all := w.seen("")
				if len(all) < 150*c.endpoints {
					t.Errorf("%d arrived", len(all))
				}
				if n := most(times(all)); c.app > 0 && (n > c.app || n < c.app*3/4) {
					t.Errorf("%d in one second, all together, want %d", n, c.app)
				}
				for i := range eps {
					if n := most(times(w.seen(fmt.Sprintf("e%d.example", i)))); c.endpoint > 0 && n > c.endpoint {
						t.Errorf("%d in one second at one endpoint, want at most %d", n, c.endpoint)
					}
				}
				nothingInHand(w)
			})
		})
	}
}

func TestAnAttemptThatDoesNotBeginCostsNoPermission(t *testing.T) {
	broken(t, func(o *Options) { o.CacheBytes = 1 }, func(w *world, f *flaky) {
		w.app = w.newApp(func(a *hook.Application) { a.ThrottleRate = 40 })
		ep := w.endpoint("a", func(e *hook.Endpoint) { e.ThrottleRate = 20 })
		settled()
		f.claims = true
		free := held(f)
		w.publish(20, nil)
		settled() // some are being read
		w.update(w.stored(ep), func(e *hook.Endpoint) { e.Description = "changed" })
		free()
		time.Sleep(time.Minute)
		got := times(w.seen(""))
		if len(got) != 20 || got[19] > 2*time.Second || most(got) > 20 {
			t.Errorf("they arrived at %v", got)
		}
	})
}

func TestARateMayChange(t *testing.T) {
	in(t, nil, func(w *world) {
		ep := w.endpoint("a", func(e *hook.Endpoint) { e.ThrottleRate = 2 })
		w.publish(100, nil)
		time.Sleep(9900 * time.Millisecond)
		if n := len(w.seen("")); n != 20 {
			t.Errorf("%d in ten seconds", n)
		}
		ep = w.update(ep, func(e *hook.Endpoint) { e.ThrottleRate = 10 })
		time.Sleep(5 * time.Second)
		if n, all := most(times(w.seen(""))), len(w.seen("")); n != 10 || all < 68 || all > 71 { // five seconds, both their ends with them
			t.Errorf("%d in one second, %d in all", n, all)
		}
		w.update(ep, func(e *hook.Endpoint) { e.ThrottleRate = 0 })
		time.Sleep(time.Second) // what was told to wait does
		if n := len(w.seen("")); n != 100 {
			t.Errorf("%d without a rate", n)
		}
	})
}
