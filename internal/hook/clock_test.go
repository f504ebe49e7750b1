package hook

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// wrist is a Clock on a system clock that a test sets, in virtual time.
type wrist struct {
	*Clock
	t     *testing.T
	shift time.Duration
	told  []time.Duration
	begin time.Time
}

func onWrist(t *testing.T, test func(w *wrist)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
		w := &wrist{t: t, begin: time.Now()}
		w.renew(ClockState{})
		test(w)
	})
}

// renew is a restart.
func (w *wrist) renew(last ClockState) {
	w.Clock = NewClock(func() time.Duration { return w.shift }, func(by time.Duration) { w.told = append(w.told, by) })
	w.Resume(last)
}

// want compares a time with one that is counted from the beginning.
func (w *wrist) want(what string, got time.Time, after time.Duration) {
	w.t.Helper()
	if d := got.Sub(w.begin); (d - after).Abs() > 5*time.Millisecond { // a restart keeps milliseconds
		w.t.Errorf("%s is %v after the beginning, want %v", what, d, after)
	}
}

const day = 24 * time.Hour

func TestTheClockIsTheSystemsUntilItIsSet(t *testing.T) {
	onWrist(t, func(w *wrist) {
		time.Sleep(40 * day)
		for what, got := range map[string]time.Time{"Now": w.Now(), "Steady": w.Steady(), "Sure": w.Sure(day), "ForIDs": w.ForIDs(), "Wall": w.Wall(w.Steady())} {
			w.want(what, got, 40*day)
		}
		if _, ok := w.Otherwise(); ok || len(w.told) > 0 || len(w.State().Jumps) > 0 {
			t.Errorf("a jump where there was none: %v", w.told)
		}
	})
}

func TestAClockThatIsSetAheadForAMinute(t *testing.T) {
	onWrist(t, func(w *wrist) {
		time.Sleep(time.Hour)
		w.shift = 40 * day
		w.want("Now", w.Now(), 40*day+time.Hour)
		w.want("Steady", w.Steady(), time.Hour)
		w.want("what Wall makes of Steady", w.Wall(w.Steady()), 40*day+time.Hour)
		w.want("Sure", w.Sure(30*day), time.Hour)
		w.want("ForIDs", w.ForIDs(), time.Hour)
		if other, ok := w.Otherwise(); !ok {
			t.Error("nobody asks what the time was")
		} else {
			w.want("Otherwise", other, time.Hour)
		}
		time.Sleep(time.Minute)
		w.shift = 0
		for what, got := range map[string]time.Time{"Now": w.Now(), "Steady": w.Steady(), "Sure": w.Sure(30 * day), "ForIDs": w.ForIDs()} {
			w.want(what+" afterwards", got, time.Hour+time.Minute)
		}
		if len(w.told) != 2 || w.told[0] != 40*day || w.told[1] != -40*day {
			t.Errorf("told of %v", w.told)
		}
	})
}

func TestAClockThatStaysAheadIsBelievedInTheEnd(t *testing.T) {
	onWrist(t, func(w *wrist) {
		w.shift = 40 * day
		w.Now()
		time.Sleep(idPause - time.Second)
		w.want("ForIDs, early", w.ForIDs(), idPause-time.Second)
		time.Sleep(time.Second)
		w.want("ForIDs", w.ForIDs(), 40*day+idPause)
		time.Sleep(secondSay - idPause)
		if _, ok := w.Otherwise(); ok {
			t.Error("after an hour it is still asked what the time was")
		}
		time.Sleep(30*day - secondSay - time.Second)
		w.want("Sure, early", w.Sure(30*day), 30*day-time.Second)
		w.want("a shorter Sure", w.Sure(29*day), 70*day-time.Second)
		time.Sleep(time.Second)
		w.want("Sure", w.Sure(30*day), 70*day)
		w.want("Steady", w.Steady(), 30*day)
	})
}

func TestAClockThatIsSetBack(t *testing.T) {
	onWrist(t, func(w *wrist) {
		w.shift = -3 * day
		for what, got := range map[string]time.Time{"Now": w.Now(), "Sure": w.Sure(day), "ForIDs": w.ForIDs(), "what Wall makes of Steady": w.Wall(w.Steady())} {
			w.want(what, got, -3*day)
		}
		time.Sleep(time.Hour / 2)
		w.want("Steady", w.Steady(), time.Hour/2)
		if other, ok := w.Otherwise(); !ok {
			t.Error("nobody asks what the time was")
		} else {
			w.want("Otherwise", other, time.Hour/2)
		}
	})
}

func TestSteadyTimeOverRestarts(t *testing.T) {
	for name, c := range map[string]struct {
		before, down              time.Duration // how the clock was set before the stop and while it was down
		away                      time.Duration
		steady, now, sure, forIDs time.Duration
	}{
		"nothing was set":              {away: time.Minute, steady: 61 * time.Minute, now: 61 * time.Minute, sure: 61 * time.Minute, forIDs: 61 * time.Minute},
		"ahead before":                 {before: 8 * time.Hour, away: time.Minute, steady: 61 * time.Minute, now: 541 * time.Minute, sure: 61 * time.Minute, forIDs: 61 * time.Minute},
		"back before":                  {before: -8 * time.Hour, away: time.Minute, steady: 61 * time.Minute, now: -419 * time.Minute, sure: -419 * time.Minute, forIDs: -419 * time.Minute},
		"back while it was down":       {down: -8 * time.Hour, away: time.Minute, steady: time.Hour, now: -419 * time.Minute, sure: -419 * time.Minute, forIDs: -419 * time.Minute},
		"away for two days":            {away: 2 * day, steady: 2*day + time.Hour, now: 2*day + time.Hour, sure: time.Hour, forIDs: 2*day + time.Hour},
		"ahead by years while down":    {down: 3 * 365 * day, away: time.Minute, steady: 3*365*day + 61*time.Minute, now: 3*365*day + 61*time.Minute, sure: time.Hour, forIDs: time.Hour},
		"put right while it was down":  {before: 8 * time.Hour, down: -8 * time.Hour, away: time.Minute, steady: time.Hour, now: 61 * time.Minute, sure: 60 * time.Minute, forIDs: 60 * time.Minute},
		"put right, and away for long": {before: 8 * time.Hour, down: -8 * time.Hour, away: 10 * time.Hour, steady: 3 * time.Hour, now: 11 * time.Hour, sure: time.Hour, forIDs: 11 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			onWrist(t, func(w *wrist) {
				time.Sleep(time.Hour)
				w.shift = c.before
				last := w.State()
				time.Sleep(c.away)
				w.shift += c.down
				w.renew(last)
				for n := range 2 { // a second restart changes nothing
					w.want("Steady", w.Steady(), c.steady)
					w.want("Now", w.Now(), c.now)
					w.want("Sure", w.Sure(30*day), c.sure)
					if n == 0 {
						w.want("ForIDs", w.ForIDs(), c.forIDs)
					}
					w.renew(w.State())
				}
			})
		})
	}
}

// Whatever the clock is set to and however often the server is started: steady time is the time that has passed, Sure is
// never later than the clock and no part of a message's age that has not passed, ids never go back.
func TestTheClockUnderAnySettings(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { underAnySettings(t, seed) })
	}
}

func underAnySettings(t *testing.T, seed uint64) {
	onWrist(t, func(w *wrist) {
		rng := rand.New(rand.NewPCG(seed, 1))
		const keep = 10 * day
		type message struct {
			said time.Time // what the clock showed
			at   time.Time // the true time
		}
		var kept []message
		ids, last := NewGenerator(1, 0), int64(0)
		ids.Limit(func() time.Time { return w.ForIDs() })
		for range 300 {
			passed := time.Duration(rng.Int64N(int64(2 * day)))
			before := w.Steady()
			time.Sleep(passed)
			switch rng.IntN(6) {
			case 0:
				w.shift = 0
			case 1:
				w.shift = time.Duration(rng.Int64N(int64(100*day))) - 50*day
			case 2:
				w.renew(w.State())
			}
			if d := w.Steady().Sub(before); (d - passed).Abs() > 5*time.Millisecond {
				t.Fatalf("seed %d: %v passed, steady time went on by %v", seed, passed, d)
			}
			now, sure := w.Now(), w.Sure(keep)
			if sure.After(now) {
				t.Fatalf("seed %d: sure of %v at %v", seed, sure, now)
			}
			for _, m := range kept {
				if age := time.Since(m.at); age < keep-time.Second && m.said.Before(sure.Add(-keep)) {
					t.Fatalf("seed %d: a message of %v ago would be removed", seed, age)
				}
			}
			kept = append(kept, message{now, time.Now()})
			id := ids.Next(now)
			if id <= last {
				t.Fatalf("seed %d: id %d after %d", seed, id, last)
			}
			last = id
		}
	})
}

func TestManyJumpsAreTakenTogether(t *testing.T) {
	onWrist(t, func(w *wrist) {
		for range 3 * maxJumps {
			w.shift += time.Hour
			w.Now()
			time.Sleep(time.Minute)
		}
		if n := len(w.State().Jumps); n > maxJumps {
			t.Errorf("%d jumps are remembered", n)
		}
		w.want("Sure", w.Sure(day), 3*maxJumps*time.Minute)
		time.Sleep(day)
		w.want("Sure a day later", w.Sure(day), 3*maxJumps*(time.Minute+time.Hour)+day)
	})
}

func TestAnImpossibleClockMakesPossibleIDs(t *testing.T) {
	t.Parallel()
	g := NewGenerator(3, 0)
	last := g.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	for _, now := range []time.Time{{}, time.Unix(0, 0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(math.MaxInt64>>8, 0), time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)} {
		id := g.Next(now)
		if id <= last {
			t.Errorf("at %v: id %d after %d", now, id, last)
		}
		last = id
	}
	if got := g.Last(); !got.Equal(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("the last id is of %v", got)
	}
}
