package engine

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// TestLargeMessagesInFlightAreBounded has many endpoints hang on large messages: there are places for all of them, but not
// memory. What is small, and what goes to endpoints that work, goes on.
func TestLargeMessagesInFlightAreBounded(t *testing.T) {
	const (
		size   = 256 << 10
		budget = 8 << 20
	)
	hung := sized(60, 40)
	in(t, func(o *Options) { o.CacheBytes, o.FlightBytes = 1, budget }, func(w *world) {
		var hanging gauge
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.Host, "hangs") {
				hanging.around(hang)(rw, r)
				return
			}
			rw.WriteHeader(200)
		})
		w.endpoint("works", nil)
		large := func(m *hook.Message) { m.Payload = fmt.Appendf(nil, `{"x": %q}`, strings.Repeat("y", size)) }
		w.publish(1, large) // it becomes known as one that works
		settled()
		for i := range hung {
			w.endpoint(fmt.Sprint("hangs", i), func(e *hook.Endpoint) { e.Schedule = []time.Duration{time.Minute, time.Hour} })
		}
		w.publish(1, large)
		settled()
		held := w.e.Stats().FlightBytes
		if n := hanging.most(); held > budget || n*size > budget || n < budget/size/2 {
			t.Errorf("%d bytes in flight to %d endpoints, %d are allowed", held, n, budget)
		}
		began := time.Since(w.begin)
		w.publish(10, large)
		w.publish(10, nil)
		time.Sleep(time.Second)
		if list := w.seen("works.example"); len(list) != 22 || list[21].at > began+500*time.Millisecond {
			t.Errorf("beside them %d messages arrived at one that works, published after %v: %v", len(list), began, times(list))
		}
		w.answer(status(200))
		time.Sleep(24 * time.Hour)
		if n := w.counts(); n.Pending != 0 || n.Delivered != int64(22*(hung+1)-hung) {
			t.Errorf("%+v", n)
		}
		if s := w.e.Stats(); s.FlightBytes != 0 || s.InFlight != 0 || s.InHand != 0 {
			t.Errorf("at the end: %+v", s)
		}
		for app, s := range w.e.shares {
			if s.bytes != 0 {
				t.Errorf("application %v is thought to hold %d bytes", app, s.bytes)
			}
		}
	})
}

func TestAMessageLargerThanTheMemoryForThemGoesAlone(t *testing.T) {
	in(t, func(o *Options) { o.CacheBytes, o.FlightBytes = 1, 100<<10 }, func(w *world) {
		w.answer(slow(time.Second))
		for i := range 3 {
			w.endpoint(fmt.Sprint("e", i), nil)
		}
		w.publish(1, func(m *hook.Message) { m.Payload = fmt.Appendf(nil, `{"x": %q}`, strings.Repeat("y", 500<<10)) })
		time.Sleep(time.Minute)
		list := times(w.seen(""))
		if len(list) != 3 || list[1] < time.Second || list[2] < 2*time.Second || list[2] > 3*time.Second {
			t.Errorf("they arrived at %v, want one after the other", list)
		}
	})
}

func TestRatesAreForgottenWithTheirApplications(t *testing.T) {
	in(t, func(o *Options) { o.SweepEvery = time.Minute }, func(w *world) {
		for i := range 20 {
			w.app = w.newApp(func(a *hook.Application) { a.ThrottleRate = 5 })
			w.endpoint(fmt.Sprint("a", i), nil)
			w.publish(2, nil)
		}
		known := func() int {
			w.e.mu.Lock()
			defer w.e.mu.Unlock()
			return len(w.e.apps)
		}
		settled()
		if n := known(); n != 20 {
			t.Errorf("the rates of %d applications are kept while they have work", n)
		}
		time.Sleep(time.Hour)
		if n := known(); n != 0 {
			t.Errorf("the rates of %d applications are kept for nothing", n)
		}
	})
}

func TestFewSourcesAreKept(t *testing.T) {
	in(t, nil, func(w *world) {
		settings, example := sample(t, "pandapon")
		src := w.source("pandapon", settings)
		w.endpoint("a", nil)
		w.e.mu.Lock()
		for i := range hook.SourceID(maxSources) {
			w.e.sources[i+1] = &source{}
		}
		w.e.mu.Unlock()
		w.publish(1, func(m *hook.Message) {
			m.Source, m.EventType, m.Payload = src.ID, example.EventType, example.Payload
			m.Raw = &hook.Raw{Method: "POST", Body: example.Payload}
		})
		settled()
		w.e.mu.Lock()
		defer w.e.mu.Unlock()
		if n := len(w.e.sources); n == 0 || n > maxSources || len(w.seen("")) != 1 {
			t.Errorf("%d sources are kept, %d messages arrived", n, len(w.seen("")))
		}
	})
}

// TestManyEndpointsWithABacklogKeepLittleOfItInMemory has every endpoint hang with more due than fits. Whoever works among them has
// everything all the same.
func TestManyEndpointsWithABacklogKeepLittleOfItInMemory(t *testing.T) {
	const endpoints, hand = 60, 200
	messages := sized(60, 20)
	in(t, func(o *Options) { o.Hand, o.Concurrency = hand, 2 }, func(w *world) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			if r.Host == "works.example" {
				slow(time.Millisecond)(rw, r)
				return
			}
			hang(rw, r)
		})
		for i := range endpoints {
			w.endpoint(fmt.Sprint("hangs", i), nil)
		}
		w.endpoint("works", nil)
		most := 0
		for range messages {
			w.publish(1, nil)
			settled()
			most = max(most, w.e.Stats().InHand)
		}
		time.Sleep(time.Second)
		settled()
		most = max(most, w.e.Stats().InHand)
		w.close()
		w.open() // from now on all of it comes from the disk
		settled()
		most = max(most, w.e.Stats().InHand)
		// Beyond the limits there is what a few fills had asked for when they were reached, and of each endpoint what is in flight
		// and one more.
		if limit := 2*hand + maxFilling*messages + 3*(endpoints+1); most > limit || most < hand {
			t.Errorf("%d deliveries in memory, at most %d are allowed", most, limit)
		}
		if n := len(w.seen("works.example")); n != messages {
			t.Errorf("%d messages arrived at the one that works, want %d", n, messages)
		}
		w.answer(status(200))
		time.Sleep(48 * time.Hour)
		if n := w.counts(); n.Pending != 0 || n.Delivered != int64((endpoints+1)*messages) {
			t.Errorf("%+v", n)
		}
	})
}
