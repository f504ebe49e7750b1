package engine

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

func withHeader(code int, name, value string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(name, value)
		w.WriteHeader(code)
	}
}

func TestRetryAfterIsHonouredBetweenThePlannedWaitAndTwiceIt(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 1, 1, 0, 0, 8, 0, time.UTC).Format(http.TimeFormat)
	for value, want := range map[string]time.Duration{
		"0": 5 * time.Second, "1": 5 * time.Second, "5": 5 * time.Second, "7": 7 * time.Second, "10": 10 * time.Second,
		"11": 10 * time.Second, "86400": 10 * time.Second, "4294967296": 10 * time.Second, "-1": 5 * time.Second, "soon": 5 * time.Second,
		date: 8 * time.Second, "Thu, 01 Jan 1970 00:00:00 GMT": 5 * time.Second, "Fri, 01 Jan 2100 00:00:00 GMT": 10 * time.Second,
	} {
		t.Run(value, func(t *testing.T) {
			in(t, nil, func(w *world) {
				w.answer(withHeader(503, "Retry-After", value))
				w.endpoint("a", nil)
				w.publish(1, nil)
				time.Sleep(time.Minute)
				if got := times(w.seen("")); len(got) != 2 || got[1] != want {
					t.Errorf("attempts at %v, want the second at %v", got, want)
				}
			})
		})
	}
	t.Run("not by a platform that does not know it", func(t *testing.T) {
		in(t, nil, func(w *world) {
			_, message := platformEndpoint(w, "douyin")
			w.answer(withHeader(503, "Retry-After", "1"))
			w.publish(1, message)
			time.Sleep(time.Minute)
			if got, want := times(w.seen("")), plan(platforms["douyin"].waits, 0); !slices.Equal(got, want) {
				t.Errorf("attempts at %v", got)
			}
		})
	})
}

func TestJitterIsOnlyEverAdded(t *testing.T) {
	t.Parallel()
	t.Run("to the wait", func(t *testing.T) {
		in(t, func(o *Options) { o.Jitter = func(d time.Duration) time.Duration { return d / 10 } }, func(w *world) {
			w.answer(status(500))
			w.endpoint("a", nil)
			w.publish(1, nil)
			time.Sleep(time.Hour)
			want := []time.Duration{0, 5500 * time.Millisecond, 5500*time.Millisecond + 330*time.Second, 5500*time.Millisecond + 330*time.Second + 33*time.Minute}
			if got := times(w.seen("")); !slices.Equal(got, want) {
				t.Errorf("attempts at %v, want %v", got, want)
			}
		})
	})
	t.Run("never beyond what Retry-After may ask", func(t *testing.T) {
		in(t, func(o *Options) { o.Jitter = func(d time.Duration) time.Duration { return d / 10 } }, func(w *world) {
			w.answer(withHeader(503, "Retry-After", "1000"))
			w.endpoint("a", nil)
			w.publish(1, nil)
			time.Sleep(time.Minute)
			if got := times(w.seen("")); len(got) != 2 || got[1] != 10*time.Second {
				t.Errorf("attempts at %v", got)
			}
		})
	})
	t.Run("not for a platform", func(t *testing.T) {
		in(t, func(o *Options) { o.Jitter = func(time.Duration) time.Duration { return time.Hour } }, func(w *world) {
			_, message := platformEndpoint(w, "alipay")
			w.answer(status(500))
			w.publish(1, message)
			time.Sleep(30 * 24 * time.Hour)
			if got, want := times(w.seen("")), plan(platforms["alipay"].waits, 0); !slices.Equal(got, want) {
				t.Errorf("attempts at %v", got)
			}
		})
	})
	t.Run("by default a tenth at most", func(t *testing.T) {
		t.Parallel()
		different := map[time.Duration]bool{}
		for range 1000 {
			d := upToATenth(time.Minute)
			if different[d] = true; d < 0 || d >= 6*time.Second {
				t.Fatalf("%v", d)
			}
		}
		if len(different) < 900 {
			t.Errorf("%d different ones of 1000", len(different))
		}
		if upToATenth(0) != 0 {
			t.Error("something is added to nothing")
		}
	})
}

func TestAnEndpointThatIsGoneIsDisabledAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("with its pending deliveries", func(t *testing.T) {
		in(t, func(o *Options) { o.Concurrency = 1 }, func(w *world) {
			w.answer(status(410))
			ep := w.endpoint("a", nil)
			list := w.publish(20, nil)
			time.Sleep(24 * time.Hour)
			if n := len(w.seen("")); n != 1 {
				t.Errorf("%d requests", n)
			}
			got := w.stored(ep)
			if !got.Disabled || !strings.Contains(got.DisabledReason, "410") {
				t.Errorf("disabled %v because %q", got.Disabled, got.DisabledReason)
			}
			if a, b := w.delivery(list[0], ep), w.delivery(list[19], ep); a.State != hook.Failed || b.State != hook.Canceled {
				t.Errorf("%v and %v", a.State, b.State)
			}
		})
	})
	t.Run("not when its application receives for a platform", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.source("standard", hook.Settings{"secret": {secret}})
			w.answer(status(410))
			ep := w.endpoint("a", nil)
			w.publish(1, nil)
			time.Sleep(time.Minute)
			if n := len(w.seen("")); n != 2 || w.stored(ep).Disabled {
				t.Errorf("%d requests, disabled %v", n, w.stored(ep).Disabled)
			}
		})
	})
	t.Run("not by received messages, though their source was deleted", func(t *testing.T) {
		in(t, nil, func(w *world) {
			ep, list := orphans(w)
			w.answer(status(410))
			time.Sleep(time.Hour)
			for _, m := range list {
				if d := w.delivery(m, ep); d.State != hook.Pending || d.Attempts != 4 {
					t.Errorf("%+v", d)
				}
			}
			if got := w.stored(ep); got.Disabled {
				t.Errorf("disabled because %q", got.DisabledReason)
			}
		})
	})
	t.Run("nor after a restart", func(t *testing.T) {
		in(t, nil, func(w *world) {
			ep, list := orphans(w)
			w.close()
			w.answer(status(410))
			w.open()
			time.Sleep(time.Minute)
			if d := w.delivery(list[0], ep); d.State != hook.Pending || d.Attempts != 2 || w.stored(ep).Disabled {
				t.Errorf("%+v, disabled %v", d, w.stored(ep).Disabled)
			}
		})
	})
	t.Run("not by a message that goes before received ones", func(t *testing.T) {
		in(t, func(o *Options) { o.Concurrency = 1 }, func(w *world) {
			src := w.source("standard", hook.Settings{"secret": {secret}})
			ep := w.endpoint("a", func(e *hook.Endpoint) { e.Paused = true })
			w.publish(1, nil)
			m := w.publish(1, func(m *hook.Message) { m.Source = src.ID })[0]
			w.must(w.db.DeleteSource(context.Background(), w.app, src.ID))
			w.answer(status(410))
			w.update(ep, func(e *hook.Endpoint) { e.Paused = false })
			settled()
			if d := w.delivery(m, ep); d.State != hook.Pending || d.Attempts != 1 || w.stored(ep).Disabled {
				t.Errorf("%+v, disabled %v", d, w.stored(ep).Disabled)
			}
		})
	})
	t.Run("not by another message while received ones wait", func(t *testing.T) {
		in(t, nil, func(w *world) {
			ep, list := orphans(w)
			w.answer(status(410))
			m := w.publish(1, nil)[0]
			time.Sleep(time.Second)
			if d := w.delivery(m, ep); d.State != hook.Pending || w.stored(ep).Disabled {
				t.Errorf("%v, disabled %v", d.State, w.stored(ep).Disabled)
			}
			w.answer(status(200))
			time.Sleep(time.Hour)
			for _, m := range append(list, m) {
				if d := w.delivery(m, ep); d.State != hook.Delivered {
					t.Errorf("%+v", d)
				}
			}
			time.Sleep(day) // by then nothing is known to wait
			w.answer(status(410))
			w.publish(1, nil)
			settled()
			if !w.stored(ep).Disabled {
				t.Error("not disabled when all received messages were delivered")
			}
		})
	})
	t.Run("not by a platform that does not know it", func(t *testing.T) {
		in(t, nil, func(w *world) {
			ep, message := platformEndpoint(w, "pandapon")
			w.answer(status(410))
			w.publish(1, message)
			time.Sleep(24 * time.Hour)
			if n := len(w.seen("")); n != 6 || w.stored(ep).Disabled {
				t.Errorf("%d requests, disabled %v", n, w.stored(ep).Disabled)
			}
		})
	})
}

// orphans are received messages that wait at an endpoint after a failure, and whose source is deleted.
func orphans(w *world) (hook.Endpoint, []hook.Message) {
	w.t.Helper()
	src := w.source("standard", hook.Settings{"secret": {secret}})
	ep := w.endpoint("a", nil)
	w.answer(status(500))
	list := w.publish(5, func(m *hook.Message) { m.Source = src.ID })
	settled()
	w.must(w.db.DeleteSource(context.Background(), w.app, src.ID))
	return ep, list
}

func TestAReceiverMayEndOneMessage(t *testing.T) {
	in(t, nil, func(w *world) {
		w.answer(withHeader(422, "webhook-delivery", "abort-message"))
		ep := w.endpoint("a", nil)
		m := w.publish(1, nil)[0]
		time.Sleep(24 * time.Hour)
		if d := w.delivery(m, ep); d.State != hook.Failed || d.Attempts != 1 || w.stored(ep).Disabled || !w.stored(ep).FailingSince.IsZero() {
			t.Errorf("%+v, %+v", d, w.stored(ep))
		}
	})
}

const day = 24 * time.Hour

func TestAnEndpointThatFailsForDaysIsDisabled(t *testing.T) {
	t.Parallel()
	quick := func(e *hook.Endpoint) { e.Schedule = []time.Duration{time.Minute} }
	t.Run("after five days of exhausted messages", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.answer(status(500))
			ep := w.endpoint("a", quick)
			for d := range 5 {
				w.publish(1, nil)
				time.Sleep(day)
				got := w.stored(ep)
				if got.Disabled || got.FailingSince.Sub(w.begin) != time.Minute {
					t.Fatalf("on day %d: disabled %v, failing since %v", d, got.Disabled, got.FailingSince)
				}
			}
			w.publish(1, nil)
			time.Sleep(time.Hour)
			got := w.stored(ep)
			if !got.Disabled || !strings.Contains(got.DisabledReason, "2026-01-01T00:01:00Z") {
				t.Errorf("disabled %v because %q", got.Disabled, got.DisabledReason)
			}
		})
	})
	t.Run("not with a success between", func(t *testing.T) {
		in(t, nil, func(w *world) {
			ep := w.endpoint("a", quick)
			for d := range 20 {
				w.answer(status(500))
				if d == 3 || d == 7 || d == 11 || d == 15 {
					w.answer(status(200))
				}
				w.publish(1, nil)
				time.Sleep(day)
				if got := w.stored(ep); got.Disabled || got.FailingSince.IsZero() != (d == 3 || d == 7 || d == 11 || d == 15) {
					t.Errorf("on day %d: disabled %v, failing since %v", d, got.Disabled, got.FailingSince)
				}
			}
		})
	})
	t.Run("not when failures are far apart", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.answer(status(500))
			ep := w.endpoint("a", quick)
			for range 10 {
				w.publish(1, nil)
				time.Sleep(11 * day)
			}
			if w.stored(ep).Disabled {
				t.Error("disabled")
			}
		})
	})
	t.Run("and the clock begins anew when failures were far apart", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.answer(status(500))
			ep := w.endpoint("a", quick)
			w.publish(1, nil)
			time.Sleep(11 * day)
			w.close()
			w.open()
			for d := range 5 {
				w.publish(1, nil)
				time.Sleep(day)
				got := w.stored(ep)
				if got.Disabled || got.FailingSince.Sub(w.begin).Truncate(time.Second) != 11*day+time.Minute {
					t.Errorf("on day %d: disabled %v, failing since %v", d, got.Disabled, got.FailingSince)
				}
			}
			w.publish(1, nil)
			time.Sleep(day)
			if !w.stored(ep).Disabled {
				t.Error("not disabled five days later")
			}
		})
	})
	t.Run("not with a success that somebody asked for", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.answer(status(500))
			ep := w.endpoint("a", quick)
			first := w.publish(1, nil)[0]
			time.Sleep(4 * day)
			w.answer(status(200))
			resend(w, first, ep)
			settled()
			w.answer(status(500))
			w.publish(1, nil)
			time.Sleep(2 * day)
			w.publish(1, nil)
			time.Sleep(day)
			if got := w.stored(ep); got.Disabled || got.FailingSince.Sub(w.begin).Truncate(time.Second) != 4*day+time.Minute {
				t.Errorf("disabled %v, failing since %v", got.Disabled, got.FailingSince)
			}
		})
	})
	t.Run("not over a restart either, nor forgotten by it", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.answer(status(500))
			ep := w.endpoint("a", quick)
			for d := range 6 {
				if w.stored(ep).Disabled {
					t.Errorf("disabled on day %d", d)
				}
				w.publish(1, nil)
				time.Sleep(day)
				w.close()
				w.open()
			}
			if !w.stored(ep).Disabled {
				t.Error("not disabled")
			}
		})
	})
}

func TestSomeEndpointsAreNeverDisabled(t *testing.T) {
	t.Parallel()
	t.Run("whose application receives for a platform", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.source("standard", hook.Settings{"secret": {secret}})
			w.answer(status(500))
			ep := w.endpoint("a", func(e *hook.Endpoint) { e.Schedule = []time.Duration{time.Minute} })
			for range 12 {
				w.publish(1, nil)
				time.Sleep(day)
			}
			if got := w.stored(ep); got.Disabled || got.FailingSince.IsZero() {
				t.Errorf("disabled %v, failing since %v", got.Disabled, got.FailingSince)
			}
		})
	})
	t.Run("while received messages wait, though their source was deleted", func(t *testing.T) {
		in(t, nil, func(w *world) {
			ep, list := orphans(w)
			for range 38 { // others run out of attempts for more than five days
				w.publish(1, nil)
				time.Sleep(4 * time.Hour)
			}
			if got := w.stored(ep); got.Disabled || time.Since(got.FailingSince) < 5*day {
				t.Errorf("disabled because %q, failing since %v", got.DisabledReason, got.FailingSince)
			}
			if d := w.delivery(list[0], ep); d.State != hook.Pending {
				t.Errorf("a received message: %+v", d)
			}
		})
	})
	t.Run("that are served in the name of a platform", func(t *testing.T) {
		in(t, nil, func(w *world) {
			ep, message := platformEndpoint(w, "douyin")
			w.answer(status(500))
			for range 12 {
				w.publish(1, message)
				time.Sleep(day)
			}
			if w.stored(ep).Disabled {
				t.Error("disabled")
			}
		})
	})
}

func TestABreakerProbes(t *testing.T) {
	t.Parallel()
	t.Run("one at a time with growing waits, and everything goes when one succeeds", func(t *testing.T) {
		in(t, func(o *Options) { o.Concurrency = 5 }, func(w *world) {
			w.answer(status(500))
			ep := w.endpoint("a", func(e *hook.Endpoint) { e.Schedule = []time.Duration{24 * time.Hour} })
			list := w.publish(200, nil)
			settled()
			if n := len(w.seen("")); n < 10 || n > 15 {
				t.Errorf("%d requests before it opened, want 10 and what was in flight beside them", n)
			}
			opened := len(w.seen(""))
			time.Sleep(10 * time.Minute)
			want := []time.Duration{1, 3, 7, 15, 31, 63}
			for i := range want {
				want[i] *= time.Second
			}
			for at := want[5] + time.Minute; at <= 10*time.Minute; at += time.Minute {
				want = append(want, at)
			}
			if got := times(w.seen("")[opened:]); !slices.Equal(got, want) {
				t.Errorf("probes at %v, want %v", got, want)
			}
			if d := w.delivery(list[199], ep); d.State != hook.Pending || d.Attempts != 0 {
				t.Errorf("a delivery that waited: %+v", d)
			}
			probed := len(w.seen(""))
			w.answer(status(200))
			time.Sleep(time.Minute)
			if n := len(w.seen("")); n != 200 {
				t.Errorf("%d requests when it closed, want 200", n)
			}
			if late := w.seen("")[probed+1:]; late[0].at != late[len(late)-1].at {
				t.Errorf("after the first success the others went out between %v and %v", late[0].at, late[len(late)-1].at)
			}
		})
	})
	t.Run("a resend does not wait for the probe", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.answer(status(500))
			ep := w.endpoint("a", nil)
			m := w.publish(40, nil)[0]
			time.Sleep(10 * time.Minute)
			w.answer(status(200))
			w.must(w.db.Resend(context.Background(), w.app, m.ID, ep.ID, time.Now()))
			settled()
			if d := w.delivery(m, ep); d.State != hook.Delivered {
				t.Errorf("%+v", d)
			}
		})
	})
	t.Run("not for a platform", func(t *testing.T) {
		in(t, nil, func(w *world) {
			_, message := platformEndpoint(w, "douyin")
			w.answer(status(500))
			w.publish(50, message)
			time.Sleep(2 * time.Second)
			got := times(w.seen(""))
			if last := got[len(got)-1]; len(got) != 200 || last.Truncate(100*time.Millisecond) != 1500*time.Millisecond {
				t.Errorf("%d requests, the last at %v", len(got), got[len(got)-1])
			}
		})
	})
}

func TestReceivedMessagesArePatient(t *testing.T) {
	in(t, nil, func(w *world) {
		src := w.source("standard", hook.Settings{"secret": {secret}})
		w.answer(status(500))
		w.endpoint("a", nil)
		w.publish(1, func(m *hook.Message) { m.Source = src.ID })
		time.Sleep(30 * day)
		want := plan(append(slices.Clone(platforms["standard"].waits), slices.Repeat([]time.Duration{12 * time.Hour}, 11)...), 0)
		if got := times(w.seen("")); !slices.Equal(got, want) || want[len(want)-1] > 7*day {
			t.Errorf("attempts at %v, want %v", got, want)
		}
	})
}

func TestAnEndpointsOwnScheduleAndTimeout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		schedule []time.Duration
		want     []time.Duration
	}{
		"its own":      {[]time.Duration{time.Second, 2 * time.Second}, []time.Duration{0, 3 * time.Second, 7 * time.Second}},
		"an empty one": {[]time.Duration{}, []time.Duration{0}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, nil, func(w *world) {
				src := w.source("standard", hook.Settings{"secret": {secret}})
				w.answer(hang)
				w.endpoint("a", func(e *hook.Endpoint) { e.Schedule, e.Timeout = c.schedule, 2*time.Second })
				w.publish(1, func(m *hook.Message) { m.Source = src.ID })
				time.Sleep(30 * day)
				if got := times(w.seen("")); !slices.Equal(got, c.want) {
					t.Errorf("attempts at %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestObserveHearsOfEveryAttempt(t *testing.T) {
	var mu sync.Mutex
	var got []string
	in(t, func(o *Options) {
		o.Observe = func(ev Event) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprintln(ev.Dialect, ev.Verdict, ev.Status, ev.Failure, ev.State, ev.Duration, ev.Late))
		}
	}, func(w *world) {
		w.answer(slow(20 * time.Second))
		w.endpoint("a", nil)
		w.publish(1, nil)
		time.Sleep(16 * time.Second)
		w.answer(slow(time.Second))
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		want := []string{"standard 1 0 timeout pending 15s 0s\n", "standard 0 200  delivered 1s 0s\n"}
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}
