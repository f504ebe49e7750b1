package engine

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

func TestADeadEndpointDelaysNoOther(t *testing.T) {
	in(t, func(o *Options) { o.Workers, o.MaxInFlight = 8, 32 }, func(w *world) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			if r.Host == "good.example" {
				rw.WriteHeader(200)
				return
			}
			hang(rw, r)
		})
		for i := range 20 {
			w.endpoint(fmt.Sprintf("dead%d", i), nil)
		}
		w.publish(50, nil) // every dead endpoint has more to do than there are places
		settled()
		w.endpoint("good", nil)
		time.Sleep(time.Second)
		w.publish(30, nil)
		settled()
		for _, a := range w.seen("good.example") {
			if a.at != time.Second {
				t.Errorf("arrived at %v, want 1s", a.at)
			}
		}
		if got := len(w.seen("good.example")); got != 30 {
			t.Errorf("%d messages arrived at once, want 30", got)
		}
	})
}

// gauge measures how many requests are answered at once.
type gauge struct {
	mu       sync.Mutex
	now, max int
}

func (g *gauge) around(h func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.now++
		g.max = max(g.max, g.now)
		g.mu.Unlock()
		defer func() {
			g.mu.Lock()
			g.now--
			g.mu.Unlock()
		}()
		h(w, r)
	}
}

func (g *gauge) most() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.max
}

func TestRequestsAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	t.Run("by the endpoint", func(t *testing.T) {
		in(t, nil, func(w *world) {
			var g gauge
			w.answer(g.around(slow(time.Second)))
			w.endpoint("a", func(e *hook.Endpoint) { e.Concurrency = 3 })
			w.publish(30, nil)
			time.Sleep(time.Minute)
			list := w.seen("")
			if g.most() != 3 || len(list) != 30 || list[29].at != 9*time.Second {
				t.Errorf("%d at once, %d arrived, the last at %v", g.most(), len(list), list[len(list)-1].at)
			}
		})
	})
	t.Run("by default", func(t *testing.T) {
		in(t, func(o *Options) { o.Concurrency = 5 }, func(w *world) {
			var g gauge
			w.answer(g.around(slow(time.Second)))
			w.endpoint("a", nil)
			w.publish(30, nil)
			time.Sleep(time.Minute)
			if g.most() != 5 {
				t.Errorf("%d at once, want 5", g.most())
			}
		})
	})
	t.Run("by an even share of the workers", func(t *testing.T) {
		in(t, func(o *Options) { o.Workers = 10 }, func(w *world) {
			var a, b gauge
			w.answer(func(rw http.ResponseWriter, r *http.Request) {
				g := &a
				if r.Host == "b.example" {
					g = &b
				}
				g.around(slow(time.Second))(rw, r)
			})
			w.endpoint("a", nil)
			w.endpoint("b", nil)
			w.publish(100, nil)
			time.Sleep(time.Hour)
			if len(w.seen("")) != 200 || a.most() > 10 || b.most() > 10 {
				t.Fatalf("%d arrived, at once %d and %d", len(w.seen("")), a.most(), b.most())
			}
			if half := w.seen("b.example")[49].at; half > 11*time.Second {
				t.Errorf("half of b's messages took %v", half)
			}
		})
	})
	t.Run("in all", func(t *testing.T) {
		in(t, func(o *Options) { o.Workers, o.MaxInFlight = 4, 6 }, func(w *world) {
			var g gauge
			w.answer(g.around(slow(time.Second)))
			for i := range 12 {
				w.app = w.newApp(nil)
				w.endpoint(fmt.Sprint("e", i), nil)
				w.publish(3, nil)
			}
			time.Sleep(time.Minute)
			if g.most() != 6 || len(w.seen("")) != 36 {
				t.Errorf("%d at once, %d arrived", g.most(), len(w.seen("")))
			}
		})
	})
}

func TestEndpointsThatFailLeavePlacesForThoseThatWork(t *testing.T) {
	in(t, func(o *Options) { o.Workers, o.MaxInFlight, o.Concurrency = 1, 8, 1 }, func(w *world) {
		once := map[string]bool{}
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			if r.Host == "good.example" {
				rw.WriteHeader(200)
				return
			}
			w.mu.Lock()
			first := !once[r.Host]
			once[r.Host] = true
			w.mu.Unlock()
			if first {
				rw.WriteHeader(500)
				return
			}
			hang(rw, r)
		})
		for i := range 20 {
			w.endpoint(fmt.Sprintf("bad%d", i), nil)
		}
		w.publish(3, nil) // each fails once, and then hangs
		time.Sleep(time.Second)
		w.endpoint("good", nil)
		w.publish(1, nil)
		settled()
		if list := w.seen("good.example"); len(list) != 1 || list[0].at != time.Second {
			t.Errorf("arrived at %v", times(list))
		}
	})
}

func TestOneApplicationLeavesPlacesForTheOthers(t *testing.T) {
	t.Parallel()
	const n = 80 // endpoints, more than there are places
	few := func(o *Options) { o.Workers, o.MaxInFlight, o.Concurrency = 4, 32, 4 }
	crowd := func(w *world) {
		for i := range n {
			w.endpoint(fmt.Sprint("crowd", i), func(e *hook.Endpoint) { e.Timeout = 10 * time.Minute })
		}
	}
	unlessOther := func(h func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) {
		return func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.Host, "other") {
				rw.WriteHeader(200)
				return
			}
			h(rw, r)
		}
	}
	arrivesAtOnce := func(w *world, hosts ...string) {
		w.t.Helper()
		for _, host := range hosts {
			w.app = w.newApp(nil)
			w.endpoint(host, nil)
			at := time.Since(w.begin).Truncate(time.Millisecond)
			w.publish(1, nil)
			settled()
			if list := w.seen(host + ".example"); len(list) != 1 || list[0].at != at {
				w.t.Errorf("%s: published at %v, arrived at %v", host, at, times(list))
			}
		}
	}
	t.Run("when its endpoints hang from the first attempt", func(t *testing.T) {
		in(t, few, func(w *world) {
			w.answer(unlessOther(hang))
			crowd(w)
			w.publish(1, nil)
			time.Sleep(time.Second)
			arrivesAtOnce(w, "other1", "other2", "other3")
		})
	})
	t.Run("when its endpoints worked until now", func(t *testing.T) {
		in(t, few, func(w *world) {
			crowd(w)
			w.publish(1, nil)
			settled()
			w.answer(unlessOther(hang))
			w.publish(2, nil)
			time.Sleep(time.Second)
			arrivesAtOnce(w, "other1", "other2", "other3")
		})
	})
	t.Run("and so do two", func(t *testing.T) {
		in(t, few, func(w *world) {
			w.answer(unlessOther(hang))
			crowd(w)
			w.publish(1, nil)
			w.app = w.newApp(nil)
			crowd(w)
			w.publish(1, nil)
			time.Sleep(time.Second)
			arrivesAtOnce(w, "other1", "other2")
		})
	})
	t.Run("and has three quarters of them for itself", func(t *testing.T) {
		in(t, few, func(w *world) {
			crowd(w)
			w.publish(1, nil) // they become known
			settled()
			var g gauge
			w.answer(g.around(slow(time.Second)))
			w.publish(2, nil)
			time.Sleep(time.Minute)
			if got := len(w.seen("")); g.most() != 24 || got != 3*n {
				t.Errorf("%d at once, %d arrived", g.most(), got)
			}
		})
	})
}

func TestEndpointsThatNobodyKnowsLeavePlacesForThoseThatWork(t *testing.T) {
	in(t, func(o *Options) { o.Workers, o.MaxInFlight, o.Concurrency = 1, 24, 1 }, func(w *world) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			if r.Host == "good.example" {
				rw.WriteHeader(200)
				return
			}
			hang(rw, r)
		})
		w.endpoint("good", nil)
		w.publish(1, nil)
		settled()
		for i := range 40 {
			w.endpoint(fmt.Sprint("new", i), nil)
		}
		w.publish(1, nil)
		time.Sleep(time.Second)
		w.publish(1, nil)
		settled()
		if list := w.seen("good.example"); len(list) != 3 || list[2].at != time.Second {
			t.Errorf("arrived at %v", times(list))
		}
	})
}

func TestASinglePlaceIsEnough(t *testing.T) {
	in(t, func(o *Options) { o.Workers, o.MaxInFlight = 1, 1 }, func(w *world) {
		w.answer(status(500))
		ep := w.endpoint("a", nil)
		m := w.publish(1, nil)[0]
		settled()
		w.answer(status(200))
		time.Sleep(time.Minute)
		if d := w.delivery(m, ep); d.State != hook.Delivered || d.Attempts != 2 {
			t.Errorf("%+v", d)
		}
	})
}

func TestThrottling(t *testing.T) {
	t.Parallel()
	t.Run("an endpoint", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.endpoint("a", func(e *hook.Endpoint) { e.ThrottleRate = 4 })
			w.endpoint("b", nil)
			w.publish(9, nil)
			time.Sleep(time.Minute)
			want := []time.Duration{0}
			for i := range 8 {
				want = append(want, time.Duration(i+1)*250*time.Millisecond)
			}
			if got := times(w.seen("a.example")); !slices.Equal(got, want) {
				t.Errorf("arrived at %v", got)
			}
			if got := w.seen("b.example"); len(got) != 9 || got[8].at != 0 {
				t.Errorf("the other endpoint's arrived at %v", times(got))
			}
		})
	})
	t.Run("an application over its endpoints", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.app = w.newApp(func(a *hook.Application) { a.ThrottleRate = 2 })
			w.endpoint("a", nil)
			w.endpoint("b", nil)
			w.publish(4, nil)
			time.Sleep(time.Minute)
			want := []time.Duration{}
			for i := range 8 {
				want = append(want, time.Duration(i)*500*time.Millisecond)
			}
			if got := times(w.seen("")); !slices.Equal(got, want) {
				t.Errorf("arrived at %v", got)
			}
		})
	})
	t.Run("a quiet endpoint does not collect permissions", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.endpoint("a", func(e *hook.Endpoint) { e.ThrottleRate = 1 })
			w.publish(1, nil)
			time.Sleep(time.Hour)
			w.publish(3, nil)
			time.Sleep(time.Hour)
			want := []time.Duration{0, time.Hour, time.Hour + time.Second, time.Hour + 2*time.Second}
			if got := times(w.seen("")); !slices.Equal(got, want) {
				t.Errorf("arrived at %v", got)
			}
		})
	})
	t.Run("holds over lanes that were forgotten", func(t *testing.T) {
		in(t, func(o *Options) { o.SweepEvery = time.Second }, func(w *world) {
			w.endpoint("a", func(e *hook.Endpoint) { e.ThrottleRate = 1 })
			for range 5 {
				w.publish(1, nil)
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(time.Minute)
			for i, at := range times(w.seen("")) {
				if at < time.Duration(i)*time.Second {
					t.Errorf("message %d arrived at %v", i, at)
				}
			}
		})
	})
}

func TestABacklogIsReadInWindows(t *testing.T) {
	n := sized(5_000, 2_000) // what is in memory is bounded by numbers far below: any backlog looks the same
	in(t, func(o *Options) { o.Window = 64 }, func(w *world) {
		ep := w.endpoint("a", func(e *hook.Endpoint) { e.Paused = true })
		for range n / 1000 {
			w.publish(1000, nil)
		}
		var mu sync.Mutex
		most := Stats{}
		w.answer(func(rw http.ResponseWriter, _ *http.Request) {
			s := w.e.Stats()
			mu.Lock()
			most.InHand, most.CachedBytes = max(most.InHand, s.InHand), max(most.CachedBytes, s.CachedBytes)
			mu.Unlock()
			rw.WriteHeader(200)
		})
		w.update(ep, func(e *hook.Endpoint) { e.Paused = false })
		time.Sleep(time.Second)
		settled()
		mu.Lock()
		defer mu.Unlock()
		if got := w.counts(); got.Delivered != int64(n) || got.Pending != 0 {
			t.Errorf("%+v", got)
		}
		if most.InHand > 2*64+maxUnrecorded+16 || most.InHand < 64 || most.CachedBytes > 1<<20 {
			t.Errorf("in memory at most: %+v", most)
		}
		if got := w.e.Stats(); got.InHand != 0 || got.InFlight != 0 || got.CachedBytes != 0 || got.Unrecorded != 0 {
			t.Errorf("in memory afterwards: %+v", got)
		}
		seen := map[string]bool{}
		for _, a := range w.seen("") {
			if seen[a.id] {
				t.Fatalf("%s arrived twice", a.id)
			}
			seen[a.id] = true
		}
	})
}

func TestAFloodOfMessagesIsNotKeptInMemory(t *testing.T) {
	in(t, func(o *Options) { o.CacheBytes = 100 << 10 }, func(w *world) {
		w.answer(hang)
		for i := range 10 {
			w.endpoint(fmt.Sprint("dead", i), nil)
		}
		for range 20 {
			w.publish(100, func(m *hook.Message) { m.Payload = fmt.Appendf(nil, `{"text": %q}`, make([]byte, 1000)) })
		}
		if s := w.e.Stats(); s.CachedBytes > 100<<10 || s.InHand > 10*(1024+16) {
			t.Errorf("%+v", s)
		}
	})
}

func TestAMessageInMemoryIsCountedWithAllThatItHolds(t *testing.T) {
	t.Parallel()
	long := string(make([]byte, 30<<10))
	for name, m := range map[string]hook.Message{
		"room behind the payload": {Payload: make([]byte, 1, 30<<10)},
		"room behind the body":    {Raw: &hook.Raw{Body: make([]byte, 1, 30<<10)}},
		"the query":               {Raw: &hook.Raw{Query: long}},
		"a header":                {Raw: &hook.Raw{Header: http.Header{"A": {"b", long}}}},
		"a header's name":         {Raw: &hook.Raw{Header: http.Header{long: {}}}},
		"the platform's envelope": {Platform: map[string]string{"a": long}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := sizeOf(&m); got < 30<<10 || got > 40<<10 {
				t.Errorf("%d bytes", got)
			}
		})
	}
}

func TestApplicationsAreForgottenWithTheirEndpoints(t *testing.T) {
	in(t, func(o *Options) { o.SweepEvery = time.Minute }, func(w *world) {
		for i := range 20 {
			w.app = w.newApp(nil)
			w.endpoint(fmt.Sprint("a", i), nil)
			w.endpoint(fmt.Sprint("b", i), nil)
			w.publish(2, nil)
		}
		known := func() (apps, listed int) {
			w.e.mu.Lock()
			defer w.e.mu.Unlock()
			return len(w.e.shares), w.e.ready.len()
		}
		settled()
		if n, _ := known(); n != 20 {
			t.Errorf("%d applications are known while they have lanes", n)
		}
		time.Sleep(time.Hour)
		if n, listed := known(); n != 0 || listed != 0 {
			t.Errorf("%d applications are kept, %d of them listed", n, listed)
		}
	})
}

func TestIdleEndpointsCostLittle(t *testing.T) {
	const n = 2_000
	in(t, func(o *Options) { o.SweepEvery = time.Minute }, func(w *world) {
		var wg sync.WaitGroup
		for part := range 100 {
			wg.Go(func() {
				for i := range n / 100 {
					w.endpoint(fmt.Sprint("e", part, "-", i), nil)
				}
			})
		}
		wg.Wait()
		time.Sleep(5 * time.Minute)
		if s := w.e.Stats(); s.Lanes != 0 || len(w.e.wakes) != 0 {
			t.Errorf("%d lanes are kept for endpoints without work", s.Lanes)
		}
	})
}
