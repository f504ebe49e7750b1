package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/proof"
)

const day = 24 * time.Hour

// newClockedStation is one whose server has a system clock that the test sets.
func newClockedStation(t *testing.T, faults Faults) (s *station, set func(time.Duration)) {
	t.Helper()
	var shift atomic.Int64
	faults.BeatEvery = time.Hour // what is noted of the clock is noted because it was set
	faults.ClockShift = func() time.Duration { return time.Duration(shift.Load()) }
	return furnished(t, nil, faults), func(d time.Duration) { shift.Store(int64(d)) }
}

// awaitLook waits until the server has noticed that its clock was set, and has noted that.
func (s *station) awaitLook() {
	s.t.Helper()
	s.await(func() bool {
		last, err := s.app.store.LastBeat(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		return (last.Wall.Sub(last.Steady) - s.app.clock.Now().Sub(s.app.clock.Steady())).Abs() < time.Second
	})
}

// TestTheClockIsSetUnderLoad by minutes and by days, ahead and back, and once over a restart: nothing is lost, nothing
// comes twice but for the restart, and no retry comes before its time.
func TestTheClockIsSetUnderLoad(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		course []time.Duration
		tells  func(dialect string) bool // whether what we send tells its time, and is refused when that is wrong
		twice  int                       // see proof.Producers; not across a jump that is longer than the memory for repeats
	}{
		"by minutes": {[]time.Duration{4 * time.Minute, 0, -4 * time.Minute, 3 * time.Second, -3 * time.Second, 0}, func(string) bool { return false }, 7},
		"by days":    {[]time.Duration{40 * day, 0, -3 * day, time.Hour, -time.Hour, 400 * day}, func(name string) bool { return name != "pandapon" }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, set := newClockedStation(t, Faults{})
			defer s.abandon()
			waits := []float64{0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3}
			s.mayAdd("waits", map[string]any{"retrySchedule": waits})
			s.failed = func(key string, n int) bool { return strings.Contains(key, "waits") && n <= 2 }
			if c.tells("standard") { // nor is it told of gaps then
				if status, body := s.call(http.MethodDelete, "/app/"+proof.ReceivingApp+"/endpoint/"+proof.ServiceName, nil); status/100 != 2 {
					t.Fatalf("delete: %d %s", status, body)
				}
			}
			p := s.producers("k")
			p.Twice = c.twice
			p.Ways = slices.DeleteFunc(p.Ways, func(w proof.Way) bool {
				return w.Endpoint == proof.ServiceName && c.tells("standard") || w.Endpoint != proof.ServiceName && c.tells(strings.TrimPrefix(w.Endpoint, "to-"))
			})
			p.Ways = append(p.Ways, s.around.API("waits", "waits", "waits"))
			ctx, stop := context.WithCancel(t.Context())
			var load sync.WaitGroup
			load.Go(func() { p.Run(ctx) })
			more := 150 // messages between two settings
			if underRace {
				more = 30
			}
			for i, to := range c.course {
				want := s.ledger.Count() + more
				s.await(func() bool { return s.ledger.Count() >= want })
				set(to)
				if i == len(c.course)/2 {
					s.awaitLook()
					from := time.Now()
					s.abandon()
					s.start()
					s.ledger.Crashed(from, time.Now()) // a stop on a slow machine may cut attempts off
				}
			}
			want := s.ledger.Count() + more
			s.await(func() bool { return s.ledger.Count() >= want })
			stop()
			load.Wait()
			v := s.settle(30 * time.Second)
			t.Log(v)
			if !v.OK() {
				t.Error(v)
			}
		})
	}
}

// TestARetryInAnHourWaitsForThatHour also when the clock is set ahead, and over restarts; the API says when it comes.
func TestARetryInAnHourWaitsForThatHour(t *testing.T) {
	t.Parallel()
	s, set := newClockedStation(t, Faults{})
	defer func() { s.abandon() }()
	s.failed = func(key string, _ int) bool { return key == "later" }
	s.mayAdd("hourly", map[string]any{"retrySchedule": []float64{3600, 3600}})
	s.publish("later", "hourly", "hourly")
	s.await(func() bool { return len(s.attempts("later")) == 1 })
	clock := time.Duration(0)
	for i, to := range []time.Duration{40 * day, 40 * day, 80 * day, 0} {
		clock = to
		set(to)
		s.awaitLook()
		if i%2 == 1 {
			s.abandon()
			s.start()
		}
		key := fmt.Sprint("now-", i)
		s.publish(key, "hourly", "hourly") // behind which nothing that is due stays back
		s.await(func() bool { return s.ledger.Missing() == 1 })
		if n := len(s.attempts("later")); n != 1 {
			t.Fatalf("with the clock set by %v the retry came at once: %d attempts", to, n)
		}
		var next struct {
			Data []struct{ NextAttempt time.Time }
		}
		if _, body := s.call(http.MethodGet, "/app/shop/msg/later/delivery", nil); json.Unmarshal(body, &next) != nil {
			t.Fatalf("%s", body)
		}
		if in := next.Data[0].NextAttempt.Sub(time.Now().Add(clock)); in > time.Hour || in < 50*time.Minute {
			t.Errorf("with the clock set by %v the API says that the retry comes in %v", to, in)
		}
	}
}

// TestARetryInAMomentDoesNotWaitForTheClock that was set back, or was put right while the server was down.
func TestARetryInAMomentDoesNotWaitForTheClock(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after time.Duration
		restart       bool
	}{
		"set back":                                         {0, -3 * day, false},
		"set back, then a restart":                         {0, -3 * day, true},
		"ahead from the start, put right":                  {8 * time.Hour, 0, false},
		"ahead from the start, put right before a restart": {8 * time.Hour, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, set := newClockedStation(t, Faults{})
			defer func() { s.abandon() }()
			if c.before != 0 { // a server that never knew another time
				s.abandon()
				s.dir = t.TempDir()
				set(c.before)
				s.start()
				s.furnish()
			}
			var open atomic.Bool
			s.failed = func(string, int) bool { return !open.Load() }
			s.mayAdd("soon", map[string]any{"retrySchedule": slices.Repeat([]float64{0.5}, 100)})
			s.publish("retried", "soon", "soon")
			s.await(func() bool { return len(s.attempts("retried")) >= 1 })
			if c.restart {
				s.abandon()
				set(c.after)
				s.start()
			} else {
				set(c.after)
			}
			s.publish("fresh", "soon", "soon")
			open.Store(true)
			if v := s.settle(30 * time.Second); !v.OK() || v.Delivered != 2 {
				t.Error(v)
			}
		})
	}
}

// TestAResendThatWasCutOffIsMadeAfterARestart also when the clock was ahead as it was wished.
func TestAResendThatWasCutOffIsMadeAfterARestart(t *testing.T) {
	t.Parallel()
	s, set := newClockedStation(t, Faults{})
	defer func() { s.abandon() }()
	quit := make(chan struct{})
	defer close(quit)
	var came atomic.Int64
	s.failed = func(key string, n int) bool {
		if key != "resent" {
			return false
		}
		came.Store(int64(n))
		if n == 2 {
			<-quit
		}
		return false
	}
	s.mayAdd("slow", map[string]any{})
	s.publish("resent", "slow", "slow")
	s.await(func() bool { return s.ledger.Missing() == 0 })
	set(40 * day)
	s.ledger.Resent("resent")
	if status, body := s.call(http.MethodPost, "/app/shop/msg/resent/endpoint/slow/resend", map[string]any{}); status != http.StatusAccepted {
		t.Fatalf("resend: %d %s", status, body)
	}
	s.await(func() bool { return came.Load() == 2 })
	s.awaitLook()
	s.abandon()
	s.start()
	s.await(func() bool { return came.Load() == 3 })
}

// TestWhatWaitedIsSentUnderAClockThatIsAhead at once: its turn came by the time that passes, when it was accepted.
func TestWhatWaitedIsSentUnderAClockThatIsAhead(t *testing.T) {
	t.Parallel()
	s, set := newClockedStation(t, Faults{})
	defer s.abandon()
	s.mayAdd("waiting", map[string]any{})
	pause := func(is bool) {
		t.Helper()
		if status, body := s.call(http.MethodPatch, "/app/shop/endpoint/waiting", map[string]any{"paused": is}); status/100 != 2 {
			t.Fatalf("pause: %d %s", status, body)
		}
	}
	pause(true)
	set(40 * day)
	s.publish("one", "waiting", "waiting")
	pause(false)
	s.await(func() bool { return s.ledger.Missing() == 0 })
}

// TestRetentionTakesNothingForAClockThatIsAhead: not while the server runs, and not when it is started with such a clock.
func TestRetentionTakesNothingForAClockThatIsAhead(t *testing.T) {
	t.Parallel()
	var sweeps atomic.Int64
	faults := Faults{SweepEvery: 5 * time.Millisecond}
	faults.Store.At = func(point string) {
		if point == "retention" {
			sweeps.Add(1)
		}
	}
	s, set := newClockedStation(t, faults)
	defer func() { s.abandon() }()
	s.mayAdd("kept", map[string]any{})
	s.publish("old", "kept", "kept")
	s.await(func() bool { return s.ledger.Missing() == 0 })
	swept := func() {
		t.Helper()
		done := sweeps.Load()
		s.await(func() bool { return sweeps.Load() >= done+3 })
		if status, body := s.call(http.MethodGet, "/app/shop/msg/old", nil); status != http.StatusOK {
			t.Fatalf("the message is gone: %d %s", status, body)
		}
	}
	set(40 * day)
	swept()
	s.awaitLook()
	s.abandon()
	s.start() // the clock is still wrong
	swept()
	set(0)
	s.awaitLook()
	s.abandon()
	set(90 * day)
	s.start() // now it is the start that finds it wrong
	swept()
	set(0)
	swept()
}

// TestIDsDoNotFollowAClockThatIsAheadForAMoment, and of those that are ahead the start warns.
func TestIDsDoNotFollowAClockThatIsAheadForAMoment(t *testing.T) {
	t.Parallel()
	s, set := newClockedStation(t, Faults{})
	defer func() { s.abandon() }()
	s.mayAdd("any", map[string]any{})
	idOf := func(key string) time.Time {
		t.Helper()
		s.publish(key, "any", "any")
		var made struct{ ID string }
		s.app.get(t, "/api/v1/app/shop/msg/"+key, &made)
		id, err := hook.ParseID[hook.MessageID](made.ID)
		if err != nil {
			t.Fatal(err)
		}
		return id.Time()
	}
	set(40 * day)
	if ahead := time.Until(idOf("glitch")); ahead > time.Minute {
		t.Errorf("the id is %v ahead", ahead)
	}
	s.abandon()
	s.start()
	if ahead := time.Until(idOf("restarted")); ahead > time.Minute {
		t.Errorf("after a restart the id is %v ahead", ahead)
	}
	s.abandon()
	s.dir = t.TempDir() // on which nothing says that the clock was ever another
	s.start()
	s.furnish()
	s.mayAdd("any", map[string]any{})
	if ahead := time.Until(idOf("ahead")); ahead < 39*day {
		t.Fatalf("the id is %v ahead, this test is no test", ahead)
	}
	s.abandon()
	set(0)
	var log bytes.Buffer
	o := quiet(s.dir)
	o.Dev, o.Token, o.Faults, o.Log = true, testToken, s.faults, slog.New(slog.NewTextHandler(&log, nil))
	a, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Stop(context.Background()) }()
	for _, want := range []string{"ids are ahead of the clock", "the clock is behind the last sign of life"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
	if ahead := a.idsAhead(); ahead < 39*day {
		t.Errorf("the metric says %v", ahead)
	}
}

// TestPushesAreTakenThoughOurClockIsWrong: every platform's, whatever their protocols think of old and new.
func TestPushesAreTakenThoughOurClockIsWrong(t *testing.T) {
	t.Parallel()
	s, set := newClockedStation(t, Faults{})
	defer s.abandon()
	for i, to := range []time.Duration{40 * day, 0, -40 * day, 0, 30 * time.Second} {
		set(to)
		for way, status := range s.answers(fmt.Sprint("round-", i, "-")) {
			if status/100 != 2 {
				t.Errorf("with the clock set by %v: %s was answered %d", to, way, status)
			}
		}
	}
	// Set ahead by days it may as well be a machine that slept, and every source hears of that.
	want := float64(5*len(s.around.Ways) + 2*len(Dialects()))
	s.await(func() bool { return s.count("waypost_messages_total") >= want })
	if n := s.count("waypost_messages_total"); n != want {
		t.Errorf("%v messages, want %v", n, want)
	}
	if n := s.count("waypost_clock_jumps_total"); n != 5 {
		t.Errorf("%v jumps were counted, want 5", n)
	}
}

// count reads a metric.
func (s *station) count(name string) float64 {
	s.t.Helper()
	resp, err := s.client.Get("http://" + s.app.AdminAddr() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		var n float64
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &n); err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	s.t.Fatalf("there is no metric %s", name)
	return 0
}
