package engine

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// platforms are the promises of the platforms' own documents, in numbers of their own: not read from the dialects.
var platforms = map[string]struct {
	deadline time.Duration
	waits    []time.Duration
	wrong    func(http.ResponseWriter, *http.Request) // an answer that does not acknowledge
	right    func(http.ResponseWriter, *http.Request)
}{
	"pandapon": {time.Second, slices.Repeat([]time.Duration{30 * time.Minute}, 5), status(302), status(200)},
	"douyin":   {3 * time.Second, slices.Repeat([]time.Duration{500 * time.Millisecond}, 3), status(404), status(200)},
	"alipay": {16 * time.Second, []time.Duration{
		2 * time.Minute, 10 * time.Minute, 10 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 15 * time.Hour,
	}, says("fail"), says("success")},
	"yunzhimeng": {5 * time.Second, []time.Duration{5 * time.Second, 30 * time.Second}, status(503), status(200)},
	"standard": {15 * time.Second, []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
	}, status(400), status(204)},
}

// plan is when attempts arrive that each take a while.
func plan(waits []time.Duration, each time.Duration) []time.Duration {
	out := []time.Duration{0}
	for _, w := range waits {
		out = append(out, out[len(out)-1]+each+w)
	}
	return out
}

func platformEndpoint(w *world, name string) (hook.Endpoint, func(*hook.Message)) {
	settings, example := sample(w.t, name)
	ep := w.endpoint("hooks", func(e *hook.Endpoint) { e.Dialect, e.Settings = name, settings })
	return ep, func(m *hook.Message) {
		m.EventType, m.Payload, m.Platform = example.EventType, example.Payload, example.Platform
	}
}

func TestEveryDialectKeepsItsPlatformsScheduleToTheMillisecond(t *testing.T) {
	t.Parallel()
	for name, p := range platforms {
		for how, c := range map[string]struct {
			answer func(http.ResponseWriter, *http.Request)
			each   time.Duration
		}{
			"500":                {status(500), 0},
			"no acknowledgement": {p.wrong, 0},
			"no answer":          {hang, p.deadline},
			"a body without end": {drip, p.deadline},
			"a broken connection": {func(w http.ResponseWriter, r *http.Request) {
				slow(700*time.Millisecond)(w, r)
				panic(http.ErrAbortHandler)
			}, 700 * time.Millisecond},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				in(t, nil, func(w *world) {
					ep, message := platformEndpoint(w, name)
					w.answer(c.answer)
					m := w.publish(1, message)[0]
					time.Sleep(30 * 24 * time.Hour)
					want := plan(p.waits, c.each)
					if got := times(w.seen("")); !slices.Equal(got, want) {
						t.Errorf("attempts at\n%v, want\n%v", got, want)
					}
					d := w.delivery(m, ep)
					if d.State != hook.Failed || d.Attempts != len(want) {
						t.Errorf("afterwards %v after %d attempts", d.State, d.Attempts)
					}
					for i, a := range w.attempts(ep) {
						if a.N != i+1 || planned(a.Duration) != c.each || a.Verdict != hook.Retry || a.Reason == "" {
							t.Errorf("attempt %d: %+v", i+1, a)
						}
						if last := i == len(want)-1; last != a.NextAt.IsZero() || !last && planned(a.NextAt.Sub(w.begin)) != want[i+1] {
							t.Errorf("attempt %d says that the next one is at %v", i+1, a.NextAt.Sub(w.begin))
						}
					}
				})
			})
		}
	}
}

func TestAnAcknowledgementEndsTheSchedule(t *testing.T) {
	t.Parallel()
	for name, p := range platforms {
		t.Run(name, func(t *testing.T) {
			in(t, nil, func(w *world) {
				ep, message := platformEndpoint(w, name)
				calls := 0
				w.answer(func(rw http.ResponseWriter, r *http.Request) {
					if calls++; calls < 3 {
						p.wrong(rw, r)
					} else {
						p.right(rw, r)
					}
				})
				m := w.publish(1, message)[0]
				time.Sleep(30 * 24 * time.Hour)
				if got, want := times(w.seen("")), plan(p.waits[:2], 0); !slices.Equal(got, want) {
					t.Errorf("attempts at %v, want %v", got, want)
				}
				if d := w.delivery(m, ep); d.State != hook.Delivered || d.Attempts != 3 {
					t.Errorf("afterwards %v after %d attempts", d.State, d.Attempts)
				}
			})
		})
	}
}
