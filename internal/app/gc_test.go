package app

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheHeapHasRoomWhateverIsInUse(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{0: 800, 1 << 20: 800, 4 << 20: 800, 8 << 20: 400, 32 << 20: 100, 33 << 20: 100, 1 << 40: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("with %d bytes in use: %d %%, want %d %%", live, got, want)
		}
	}
}

// collectorPercent is what is set at the moment.
func collectorPercent() int {
	p := debug.SetGCPercent(100)
	debug.SetGCPercent(p)
	return p
}

// These tests change what the process has once. So they are not parallel.

func TestWhatTheOperatorSetForTheCollectorStays(t *testing.T) {
	t.Setenv("GOGC", "77")
	before := debug.SetGCPercent(77) // as the runtime does at its start
	defer debug.SetGCPercent(before)
	k := keepMemory(time.Hour, bytesInUse)
	runtime.GC()
	if p := collectorPercent(); p != 77 {
		t.Errorf("it is %d %%, want 77 %%", p)
	}
	k.stop()
	k.stop()
	if p := collectorPercent(); p != 77 {
		t.Errorf("after its end it is %d %%, want 77 %%", p)
	}
}

func TestTheCollectorFollowsWhatIsInUse(t *testing.T) {
	t.Setenv("GOGC", "")
	before := collectorPercent()
	var used atomic.Uint64
	used.Store(8 << 20)
	k := keepMemory(time.Hour, used.Load)
	want := func(what string, percent int) {
		t.Helper()
		set := func() int {
			k.mu.Lock() // collectorPercent sets it, too
			defer k.mu.Unlock()
			return collectorPercent()
		}
		for end := time.Now().Add(time.Minute); set() != percent; time.Sleep(time.Millisecond) {
			if runtime.GC(); time.Now().After(end) {
				t.Fatalf("%s: %d %% is set, want %d %%", what, set(), percent)
			}
		}
	}
	want("little is in use", 400)
	used.Store(16 << 20)
	want("more is in use", 200)
	used.Store(1 << 30)
	want("much is in use", 100)
	used.Store(4 << 20)
	want("little is in use again", 800)
	k.stop()
	if p := collectorPercent(); p != before {
		t.Errorf("after its end it is %d %%, want %d %% as before", p, before)
	}
	runtime.GC()
	if k.pace() || collectorPercent() != before {
		t.Errorf("a collection after its end made it %d %%", collectorPercent())
	}
}

func TestWhatIsInUseIsCounted(t *testing.T) {
	much := make([]byte, 64<<20)
	runtime.GC()
	if n := bytesInUse(); n < uint64(len(much)) {
		t.Errorf("%d bytes are said to be in use, and %d are", n, len(much))
	}
	runtime.KeepAlive(much)
}

var garbage []byte

func TestMemoryIsHandedBackWhenItIsQuietAfterWork(t *testing.T) {
	work := func() { garbage = make([]byte, worthHanding); garbage = nil }
	synctest.Test(t, func(t *testing.T) {
		k := keepMemory(quietTime, bytesInUse)
		defer k.stop()
		want := func(what string, n int64) {
			t.Helper()
			synctest.Wait()
			if got := k.handed.Load(); got != n {
				t.Errorf("%s: memory was handed back %d times, want %d", what, got, n)
			}
		}
		want("after the start", 1)
		time.Sleep(10 * time.Minute)
		want("nothing happened", 1)
		for range 10 {
			work()
			runtime.GC()
			time.Sleep(quietTime)
		}
		want("there was work all the time", 1)
		time.Sleep(2 * quietTime)
		want("quiet after work", 2)
		time.Sleep(10 * time.Minute)
		want("quiet since then", 2)
		work()
		time.Sleep(3 * quietTime)
		want("quiet after more work", 3)
	})
}
