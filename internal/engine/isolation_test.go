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

// crowd is many endpoints of one application. Those that work answer after a while, and their times are kept.
type crowd struct {
	w     *world
	times map[string]time.Time // when a message was published, by its id

	mu   sync.Mutex
	took []time.Duration // from the publication to the answer, of those that work
}

const works = 10 * time.Millisecond

// crowdOf makes good endpoints, and others that answer as they like.
func crowdOf(w *world, good int, bad ...func(http.ResponseWriter, *http.Request)) *crowd {
	c := &crowd{w: w, times: map[string]time.Time{}}
	w.answer(func(rw http.ResponseWriter, r *http.Request) {
		var n int
		if _, err := fmt.Sscanf(r.Host, "bad%d.example", &n); err == nil {
			bad[n](rw, r)
			return
		}
		time.Sleep(works)
		rw.WriteHeader(200)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.took = append(c.took, time.Since(c.times[r.Header.Get("webhook-id")]))
	})
	var wg sync.WaitGroup
	for i := range good {
		wg.Go(func() { w.endpoint(fmt.Sprint("good", i), nil) })
	}
	for i := range bad {
		wg.Go(func() { w.endpoint(fmt.Sprint("bad", i), nil) })
	}
	wg.Wait()
	return c
}

// publishes messages with a pause after each, then waits until those that work have them.
func (c *crowd) publishes(n int, pause time.Duration) {
	for range n {
		m := hook.NewID[hook.MessageID](c.w.ids, time.Now())
		c.mu.Lock()
		c.times[m.String()] = time.Now()
		c.mu.Unlock()
		c.w.publish(1, func(msg *hook.Message) { msg.ID = m })
		time.Sleep(pause)
	}
	time.Sleep(time.Minute)
	settled()
}

// p99 is what ninety-nine of a hundred took at most.
func (c *crowd) p99(want int) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.took) != want {
		c.w.t.Errorf("%d deliveries to endpoints that work, want %d", len(c.took), want)
		return 0
	}
	slices.Sort(c.took)
	return c.took[len(c.took)*99/100]
}

// resets closes the connection without an answer.
func resets(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// repeated is n times the same receiver.
func repeated(n int, h func(http.ResponseWriter, *http.Request)) []func(http.ResponseWriter, *http.Request) {
	return slices.Repeat([]func(http.ResponseWriter, *http.Request){h}, n)
}

// TestEndpointsThatWorkAreAsFastBesideThoseThatDoNot measures the same endpoints under the same load, alone and beside others
// that do not work, with places to spare and with fewer than there are endpoints. The time is that of a bubble: what is
// measured is the waiting for others, and nothing of the machine.
func TestEndpointsThatWorkAreAsFastBesideThoseThatDoNot(t *testing.T) {
	t.Parallel()
	const messages, pause = 10, 300 * time.Millisecond
	few := func(o *Options) { o.Workers, o.MaxInFlight = 32, 128 }
	for name, c := range map[string]struct {
		good int
		bad  []func(http.ResponseWriter, *http.Request)
		o    func(*Options)
	}{
		"one hangs and one is dead, of a hundred":             {98, append(repeated(1, hang), resets), nil},
		"one hangs and one is dead, of a hundred, few places": {98, append(repeated(1, hang), resets), few},
		"one of a hundred fails":                              {99, repeated(1, status(500)), nil},
		"every second of a hundred fails, few places":         {50, repeated(50, status(500)), few},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			measure := func(bad []func(http.ResponseWriter, *http.Request)) (p99 time.Duration) {
				t.Run(fmt.Sprint(len(bad), " do not work"), func(t *testing.T) {
					inTurn(t, c.o, func(w *world) {
						crowd := crowdOf(w, c.good, bad...)
						crowd.publishes(messages, pause)
						p99 = crowd.p99(messages * c.good)
					})
				})
				return p99
			}
			alone, beside := measure(nil), measure(c.bad)
			t.Logf("p99 alone %v, beside those that do not work %v", alone, beside)
			if alone < works || beside > alone*12/10 {
				t.Errorf("p99 is %v alone and %v beside those that do not work", alone, beside)
			}
		})
	}
}

func TestAThousandEndpointsGetEverythingWhateverSomeDo(t *testing.T) {
	const messages = 3
	good, bad := sized(900, 180), sized(100, 20)
	in(t, nil, func(w *world) {
		c := crowdOf(w, good, repeated(bad, hang)...)
		most := make(chan int, 1)
		end := make(chan struct{})
		go func() {
			n := 0
			for tick := time.NewTicker(time.Millisecond); ; {
				select {
				case <-end:
					most <- n
					return
				case <-tick.C:
					n = max(n, w.e.Stats().InFlight)
				}
			}
		}()
		c.publishes(messages, time.Second)
		close(end)
		if got := c.p99(good * messages); got > 3*works {
			t.Errorf("the p99 of those that work is %v", got)
		}
		if n := <-most; n > w.e.o.MaxInFlight || n < bad {
			t.Errorf("%d requests at once", n)
		}
		w.answer(status(200))
		time.Sleep(24 * time.Hour)
		if n := w.counts(); n.Delivered != int64((good+bad)*messages) || n.Pending != 0 {
			t.Errorf("%+v", n)
		}
	})
}

// TestRetriesNeitherGoFirstNorStarve keeps endpoints that work busy on all the places that they may have. What failed
// elsewhere and falls due meanwhile waits behind them, but not for as long as they are busy.
func TestRetriesNeitherGoFirstNorStarve(t *testing.T) {
	const (
		places  = 32
		usable  = places * 3 / 4 // by one application
		few     = (usable + leastPart - 1) / leastPart
		failing = 20
		working = 40
		backlog = 60 // for each that works: more than a minute's work at a second each
	)
	in(t, func(o *Options) { o.Workers, o.MaxInFlight, o.Concurrency = 1, places, 1 }, func(w *world) {
		w.answer(status(500))
		for i := range failing {
			w.endpoint(fmt.Sprint("fails", i), func(e *hook.Endpoint) {
				e.EventTypes = []string{"order.created"}
				e.Schedule = []time.Duration{30 * time.Second, time.Second, time.Second}
			})
		}
		w.publish(1, nil)
		settled()
		var retries gauge
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.Host, "fails") {
				retries.around(hang)(rw, r)
				return
			}
			slow(time.Second)(rw, r)
		})
		for i := range working {
			w.endpoint(fmt.Sprint("works", i), func(e *hook.Endpoint) { e.EventTypes = []string{"order.paid"} })
		}
		paid := func(m *hook.Message) { m.EventType = "order.paid" }
		w.publish(1, paid)
		time.Sleep(20 * time.Second)
		w.publish(backlog, paid)
		time.Sleep(70 * time.Second)
		done, tried := 0, map[string]bool{}
		for _, a := range w.seen("") {
			if a.at < 30*time.Second {
				continue
			}
			if strings.HasPrefix(a.host, "works") {
				done++
			} else {
				tried[a.host] = true
			}
		}
		if least := (usable - few - 1) * 60; done < least {
			t.Errorf("%d attempts at those that work in a minute, beside retries, want %d", done, least)
		}
		if retries.most() > 2*few { // one that is given up may be seen to end after the next has begun
			t.Errorf("%d retries at once while others had more to do than places, want at most %d", retries.most(), few)
		}
		if len(tried) < few*60/15-1 {
			t.Errorf("%d of those that fail were tried again in a minute", len(tried))
		}
		w.answer(status(200))
		time.Sleep(time.Hour)
		if n := w.counts(); n.Pending != 0 || n.Failed != 0 {
			t.Errorf("%+v", n)
		}
	})
}

func TestPlacesOfAnApplicationByTrust(t *testing.T) {
	t.Parallel()
	const places = 64
	lanes := [trustLevels]lane{0: {breaker: breaker{failures: 1}}, 1: {}, 2: {proven: true}}
	for name, c := range map[string]struct {
		ready, want [trustLevels]int // that fail, that nobody knows, that work
	}{
		"those that work go first, but for a part":    {[...]int{100, 100, 100}, [...]int{3, 3, 42}},
		"those that fail fill it up to half":          {[...]int{100, 0, 10}, [...]int{22, 0, 10}},
		"those that fail have half of all":            {[...]int{100, 0, 0}, [...]int{32, 0, 0}},
		"those that nobody knows have two thirds":     {[...]int{0, 100, 0}, [...]int{0, 43, 0}},
		"those that work have three quarters":         {[...]int{0, 0, 100}, [...]int{0, 0, 48}},
		"few of all have what they want":              {[...]int{8, 8, 8}, [...]int{8, 8, 8}},
		"those that nobody knows before those failed": {[...]int{100, 100, 0}, [...]int{3, 40, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &share{}
			for level, n := range c.ready {
				for range n {
					s.ready[level].push(&lanes[level])
				}
			}
			flying := 0
			var flights []*flight
			for l := s.next(places); l != nil; l = s.next(places - flying) {
				f := &flight{lane: l}
				flights = append(flights, f)
				s.take(f)
				flying++
			}
			if s.aloft != c.want || s.flying != flying {
				t.Errorf("%v places by trust, want %v", s.aloft, c.want)
			}
			for _, f := range flights {
				s.giveBack(f)
			}
			if s.flying != 0 || s.aloft != [trustLevels]int{} {
				t.Errorf("%d and %v are thought to be held at the end", s.flying, s.aloft)
			}
		})
	}
}

// TestApplicationsTakeTurns has a large application busy with more than there are places for. A small one beside it gets its
// own as if it were alone.
func TestApplicationsTakeTurns(t *testing.T) {
	const large, small, messages = 60, 4, 20
	in(t, func(o *Options) { o.Workers, o.MaxInFlight, o.Concurrency = 1, 32, 1 }, func(w *world) {
		w.answer(slow(time.Second))
		for i := range large {
			w.endpoint(fmt.Sprint("large", i), nil)
		}
		w.publish(messages, nil)
		time.Sleep(10 * time.Second)
		began := time.Since(w.begin)
		w.app = w.newApp(nil)
		for i := range small {
			w.endpoint(fmt.Sprint("small", i), nil)
		}
		w.publish(messages, nil)
		time.Sleep(time.Hour)
		var last time.Duration
		n := map[string]int{}
		for _, a := range w.seen("") {
			app := a.host[:len("large")]
			n[app]++
			if app == "small" {
				last = a.at
			}
		}
		if alone := (messages - 1) * time.Second; last-began > alone*12/10 {
			t.Errorf("the last of the small application's messages was sent after %v; alone it would be after %v", last-began, alone)
		}
		if n["large"] != large*messages || n["small"] != small*messages {
			t.Errorf("%v arrived", n)
		}
	})
}
