package engine

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

const month = 30 * day

// setting is how far a test has set the system clock.
type setting struct{ atomic.Int64 }

// settable gives an engine a system clock that the test sets.
func settable(shift *setting, more func(*Options)) func(*Options) {
	return func(o *Options) {
		o.Clock = hook.NewClock(func() time.Duration { return time.Duration(shift.Load()) }, nil)
		if more != nil {
			more(o)
		}
	}
}

// Each course sets the clock after the first, second … attempt.
func TestRetriesComeInTheirTimeWhateverTheClockIsSetTo(t *testing.T) {
	schedule := []time.Duration{5 * time.Second, 5 * time.Minute, 2 * time.Hour, day}
	want := []time.Duration{0, 5 * time.Second, 5*time.Minute + 5*time.Second, 2*time.Hour + 5*time.Minute + 5*time.Second}
	want = append(want, want[3]+day)
	for name, course := range map[string][]time.Duration{
		"ahead once":              {40 * day, 40 * day, 40 * day, 40 * day},
		"back once":               {-40 * day, -40 * day, -40 * day, -40 * day},
		"ahead for one interval":  {0, time.Hour, 0, 0},
		"back for one interval":   {0, 0, -time.Hour, 0},
		"to and fro":              {time.Minute, -3 * day, 40 * day, -5 * time.Second},
		"a little, again and yet": {time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var shift setting
			in(t, settable(&shift, nil), func(w *world) {
				w.answer(status(503))
				ep := w.endpoint("down", func(e *hook.Endpoint) { e.Schedule = schedule })
				m := w.publish(1, nil)[0]
				for i, to := range course {
					settled()
					shift.Store(int64(to))
					if i < len(want)-1 {
						time.Sleep((want[i+1] - want[i]) / 2)
						w.stir()
						time.Sleep(want[i+1] - time.Since(w.begin))
					}
				}
				settled()
				if got := times(w.seen("")); !slices.Equal(got, want) {
					t.Errorf("attempts at %v, want %v", got, want)
				}
				if d := w.delivery(m, ep); d.State != hook.Failed || d.Attempts != len(want) {
					t.Errorf("%+v", d)
				}
			})
		})
	}
}

func TestAnAttemptTellsItsTimesByTheClock(t *testing.T) {
	var shift setting
	in(t, settable(&shift, nil), func(w *world) {
		w.answer(status(503))
		ep := w.endpoint("down", func(e *hook.Endpoint) { e.Schedule = []time.Duration{time.Minute, time.Hour} })
		shift.Store(int64(-3 * day))
		w.publish(1, nil)
		time.Sleep(time.Minute)
		settled()
		list := w.attempts(ep)
		if len(list) != 2 {
			t.Fatalf("%d attempts", len(list))
		}
		for i, a := range list {
			at := w.begin.Add(time.Duration(i)*time.Minute - 3*day)
			if a.At.Sub(at).Abs() > time.Second || a.NextAt.Sub(at.Add([]time.Duration{time.Minute, time.Hour}[i])).Abs() > time.Second {
				t.Errorf("attempt %d at %v, the next one at %v", i, a.At, a.NextAt)
			}
			if stamp := w.seen("")[i].header.Get("webhook-timestamp"); stamp != fmt.Sprint(at.Unix()) {
				t.Errorf("attempt %d is signed for %s, want %d", i, stamp, at.Unix())
			}
		}
	})
}

func TestAClockThatIsSetDoesNotEndAnAttempt(t *testing.T) {
	for name, to := range map[string]time.Duration{"ahead": 40 * day, "back": -40 * day} {
		t.Run(name, func(t *testing.T) {
			var shift setting
			in(t, settable(&shift, nil), func(w *world) {
				w.answer(slow(10 * time.Second))
				ep := w.endpoint("slow", nil)
				w.publish(1, nil)
				time.Sleep(5 * time.Second)
				shift.Store(int64(to))
				w.stir()
				time.Sleep(6 * time.Second)
				settled()
				if list := w.attempts(ep); len(list) != 1 || list[0].Verdict != hook.Success || list[0].Duration != 10*time.Second {
					t.Errorf("attempts: %+v", list)
				}
			})
		})
	}
}

func TestARateIsKeptWhateverTheClockIsSetTo(t *testing.T) {
	var shift setting
	in(t, settable(&shift, nil), func(w *world) {
		w.endpoint("limited", func(e *hook.Endpoint) { e.ThrottleRate = 1 })
		w.publish(6, nil)
		for i := range 10 {
			settled()
			if i < 5 {
				shift.Store(int64([]time.Duration{time.Hour, -time.Hour, 40 * day, 0, -40 * day}[i]))
				w.publish(1, nil)
			}
			time.Sleep(time.Second)
		}
		settled()
		got := times(w.seen(""))
		if len(got) != 11 {
			t.Fatalf("attempts at %v", got)
		}
		for i := 1; i < len(got); i++ {
			if d := got[i] - got[i-1]; d < 990*time.Millisecond || d > 1010*time.Millisecond {
				t.Errorf("attempts at %v", got)
				break
			}
		}
	})
}

func (w *world) kept(m hook.Message) bool {
	w.t.Helper()
	_, err := w.db.Load(context.Background(), m.ID)
	if err != nil && hook.KindOf(err) != hook.KindNotFound {
		w.t.Fatal(err)
	}
	return err == nil
}

func keepsAMonth(o *Options) { o.KeepMessages, o.SweepEvery = month, 6*time.Hour }

func TestRetentionDoesNotBelieveAClockThatIsSetAhead(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"for a minute": time.Minute, "for three weeks": 21 * day, "for good": 0} {
		t.Run(name, func(t *testing.T) {
			var shift setting
			in(t, settable(&shift, keepsAMonth), func(w *world) {
				w.endpoint("up", nil)
				m := w.publish(1, nil)[0]
				time.Sleep(day)
				shift.Store(int64(40 * day))
				w.stir()
				if ahead > 0 {
					time.Sleep(ahead)
					w.e.retain()
					shift.Store(int64(0))
				}
				time.Sleep(month - 12*time.Hour - time.Since(w.begin))
				settled()
				if !w.kept(m) {
					t.Error("a message was removed before its time had passed")
				}
				time.Sleep(3 * day)
				settled()
				if w.kept(m) {
					t.Error("a message was kept after its time had passed")
				}
			})
		})
	}
}

func TestATroubleDoesNotGetLongerByTheClock(t *testing.T) {
	var shift setting
	in(t, settable(&shift, nil), func(w *world) {
		w.answer(status(503))
		ep := w.endpoint("down", func(e *hook.Endpoint) { e.Schedule = []time.Duration{} })
		exhaust := func() hook.Endpoint {
			w.publish(1, nil)
			settled()
			return w.stored(ep)
		}
		if got := exhaust(); got.FailingSince.IsZero() {
			t.Fatal("nobody noted the trouble")
		}
		for _, to := range []time.Duration{6 * day, 0, 40 * day} {
			shift.Store(int64(to))
			if got := exhaust(); got.Disabled || got.FailingSince.IsZero() {
				t.Fatalf("with the clock set by %v: disabled %t, failing since %v", to, got.Disabled, got.FailingSince)
			}
			time.Sleep(time.Minute)
		}
		shift.Store(int64(0))
		time.Sleep(5 * day)
		if got := exhaust(); !got.Disabled {
			t.Error("not disabled after five days of trouble")
		}
	})
}

// stir has the engine look at the clock and at all that it waits for.
func (w *world) stir() { w.e.Changed(store.Change{Config: true}) }
