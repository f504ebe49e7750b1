package cli

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/app"
)

// TestKillInTheMiddleLosesNothing kills a server process 50 times under load, at random and at named points of its work,
// while every platform pushes and a program publishes. WAYPOST_LONG=1 does 500.
func TestKillInTheMiddleLosesNothing(t *testing.T) {
	kills := 50
	switch {
	case long():
		kills = 500
	case testing.Short() || underRace:
		kills = 8
	}
	seed := seeded(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	// A short retention has its steps run all the time, over messages that were delivered.
	r := newRig(t, "--retention", "1s")
	r.start("")
	r.furnish()
	stop := r.load("k", 5*time.Millisecond)
	points := map[string]int{}
	var restarts []time.Duration
	for i := range kills {
		point, n := []string{"random", "before-commit", "after-commit", "after-send", "retention"}[i%5], 1+rng.IntN(60)
		if point == "retention" {
			n = 1 + rng.IntN(3)
		}
		fault := "sweep:20ms"
		if point != "random" {
			fault += fmt.Sprintf(",%s:%d", point, n)
		}
		r.kill()
		restarts = append(restarts, r.restart(fault))
		if point == "random" {
			r.acknowledged(rng.IntN(40))
		} else if !r.fallen(patience) {
			t.Errorf("the point %s was not passed %d times", point, n)
		}
		points[point]++
	}
	r.kill()
	r.start("sweep:20ms")
	stop()
	v := r.settle()
	slices.Sort(restarts)
	t.Logf("%d kills (%v), %d acknowledged, %d lost, %d attempts made again; serving again after %v (median), %v (worst)",
		v.Crashes, points, v.Acknowledged, len(v.Lost), v.Repeats, restarts[len(restarts)/2].Round(time.Millisecond), restarts[len(restarts)-1].Round(time.Millisecond))
	if !v.OK() {
		t.Errorf("%v\n%s", v, r.process.Tail())
	}
	for name := range app.Dialects() {
		if v.Ways[name] == 0 || v.Ways["api-to-"+name] == 0 {
			t.Errorf("%s took no part: %v", name, v.Ways)
		}
	}
	if err := r.process.Stop(30 * time.Second); err != nil {
		t.Errorf("stop in good order: %v", err)
	}
}

// TestKillDuringAMigration kills the process while it makes its tables; the next start makes them.
func TestKillDuringAMigration(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 2 { // what a killed migration left is built on by another that is killed
		r.launch("migration:1")
		if !r.fallen(patience) {
			t.Fatalf("the point was never reached:\n%s", r.process.Tail())
		}
	}
	r.start("")
	r.furnish()
	stop := r.load("k", 5*time.Millisecond)
	r.acknowledged(50)
	stop()
	if v := r.settle(); !v.OK() {
		t.Error(v)
	}
}

// TestSIGTERMUnderLoadDrains stops a server at random moments under load: nothing is lost, and nothing is sent twice.
func TestSIGTERMUnderLoadDrains(t *testing.T) {
	rounds := 6
	switch {
	case long():
		rounds = 60
	case testing.Short() || underRace:
		rounds = 2
	}
	rng := rand.New(rand.NewPCG(seeded(t), 2))
	r := newRig(t)
	r.start("")
	r.furnish()
	stop := r.load("k", 5*time.Millisecond)
	for range rounds {
		r.acknowledged(1 + rng.IntN(100))
		time.Sleep(time.Duration(rng.IntN(10_000)) * time.Microsecond)
		if err := r.process.StopBy(syscall.SIGTERM, 30*time.Second); err != nil {
			t.Errorf("the exit code is not 0: %v\n%s", err, r.process.Tail())
		}
		r.start("")
	}
	stop()
	v := r.settle()
	t.Logf("%d stops by SIGTERM, %d acknowledged, %d lost, %d sent twice", rounds, v.Acknowledged, len(v.Lost), len(v.Again)+v.Repeats)
	if !v.OK() || v.Repeats > 0 {
		t.Errorf("%v\n%s", v, r.process.Tail())
	}
}

// TestSIGTERMDuringTheStartIsAStop: at whatever moment of its start a server is told to stop, it does so in good order.
func TestSIGTERMDuringTheStartIsAStop(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(seeded(t), 3))
	r := newRig(t)
	r.start("")
	r.furnish()
	stop := r.load("k", 5*time.Millisecond)
	r.acknowledged(20)
	if err := r.process.Stop(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	for range 12 {
		r.launch("")
		time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond)
		if err := r.process.StopBy(syscall.SIGTERM, 30*time.Second); err != nil && r.process.Wait() != -1 { // -1: before it listened to signals
			t.Errorf("%v\n%s", err, r.process.Tail())
		}
	}
	r.start("")
	stop()
	if v := r.settle(); !v.OK() || v.Repeats > 0 {
		t.Errorf("%v\n%s", v, r.process.Tail())
	}
}

// TestKillDuringRetriesLosesNone kills a server while everything that it has waits for its second attempt or is on it.
func TestKillDuringRetriesLosesNone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start("")
	r.furnish()
	r.mood.Down.Store(true)
	stop := r.load("k", 2*time.Millisecond)
	r.acknowledged(100)
	stop()
	time.Sleep(100 * time.Millisecond) // first attempts are over, further ones under way
	r.kill()
	r.mood.Down.Store(false)
	r.start("")
	v := r.settle()
	if !v.OK() || v.Acknowledged < 100 {
		t.Errorf("%v\n%s", v, r.process.Tail())
	}
}

// TestASecondProcessOnOneFolderIsRefused says which folder, what to do, and does no harm to the first.
func TestASecondProcessOnOneFolderIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start("")
	r.furnish()
	other := newRig(t)
	other.dir = r.dir
	other.launch("")
	if code := other.exit(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	said := other.process.Tail()
	for _, want := range []string{r.dir, "another process uses this folder", "stop it, or give this one a folder of its own"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if err := r.process.Stop(patience); err != nil {
		t.Errorf("the first one: %v", err)
	}
}

// TestAnErrorOfTheDiskEndsTheProcess: after a failed fsync nobody can say what is on the disk. The server takes nothing
// more, exits with a code that is not 0 and says what happened; the next start recovers from what the disk holds.
func TestAnErrorOfTheDiskEndsTheProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start("")
	r.furnish()
	if err := r.process.Stop(patience); err != nil {
		t.Fatal(err)
	}
	r.start("sync-error:60")
	stop := r.load("k", 2*time.Millisecond)
	code := r.exit()
	r.ledger.Crashed(r.born, time.Now())
	said := r.process.Tail()
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"the store is broken", "input/output error", "start again to recover", "look at the disk"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	r.start("")
	stop()
	if v := r.settle(); !v.OK() || v.Acknowledged == 0 {
		t.Errorf("%v\n%s", v, r.process.Tail())
	}
}

// TestAFullDiskIsNoEnd: the server stays up and tells everybody to come again; what it had acknowledged is there when the
// next start finds room.
func TestAFullDiskIsNoEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start("")
	r.furnish()
	if err := r.process.Stop(patience); err != nil {
		t.Fatal(err)
	}
	r.start("full:40")
	stop := r.load("k", 2*time.Millisecond)
	way := r.around.API("probe", "to.standard", "to-standard")
	refused := false
	for end := time.Now().Add(patience); !refused && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		payload := []byte(`{"key":"probe"}`)
		r.ledger.Sent("probe", "probe", "to-standard", payload)
		req, err := way.Request(t.Context(), "probe", payload)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatalf("%v\n%s", err, r.process.Tail())
		}
		_ = resp.Body.Close()
		refused = resp.StatusCode/100 == 5
		if !refused && resp.StatusCode != 202 && resp.StatusCode != 409 {
			t.Fatalf("answered %s", resp.Status)
		}
	}
	if !refused {
		t.Error("it never refused")
	}
	select {
	case <-r.process.Ended():
		t.Errorf("it ended:\n%s", r.process.Tail())
	case <-time.After(200 * time.Millisecond):
	}
	r.kill()
	r.start("")
	stop()
	if v := r.settle(); !v.OK() || v.Acknowledged == 0 {
		t.Errorf("%v\n%s", v, r.process.Tail())
	}
}
