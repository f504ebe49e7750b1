package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/store/sqlite"
)

// The size of the crash suite.
const (
	crashLives     = 112
	crashesALife   = 12
	crashLivesRace = 12
	crashLivesLong = 20 * crashLives
)

// long says whether the variants for nights are to run.
func long() bool { return os.Getenv("WAYPOST_LONG") != "" }

// seeds returns what WAYPOST_SEED says, or n fixed seeds and a random one.
func seeds(t testing.TB, n int) []uint64 {
	t.Helper()
	if text := os.Getenv("WAYPOST_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("WAYPOST_SEED: %v", err)
		}
		return []uint64{seed}
	}
	all := make([]uint64, n, n+1)
	for i := range all {
		all[i] = uint64(i + 1)
	}
	return append(all, rand.Uint64())
}

// Everything that the store has acknowledged is there after a crash, and nothing that was never asked for: whenever the
// power goes or the process is killed, whatever chance leaves of what was not synced, and again after the next crash.
//
//	go test ./internal/store/sqlite -run TestACrashLosesNothing -v                     # 1,000 power cuts and 600 other ends
//	WAYPOST_LONG=1 go test ./internal/store/sqlite -run TestACrashLosesNothing -v -timeout 1h # 20 times that
//	WAYPOST_SEED=17 go test ./internal/store/sqlite -run TestACrashLosesNothing -v     # one life again
//
// Three lives of four are the seed's to the last operation of the disk. In the fourth kind (seed % 4 = 3) the callers run
// as they like, so the seed repeats what they do and not how they meet.
func TestACrashLosesNothing(t *testing.T) {
	t.Parallel()
	lives := crashLives
	switch {
	case long():
		lives = crashLivesLong
	case underRace:
		lives = crashLivesRace
	}
	all := seeds(t, lives)
	start := time.Now()
	var mu sync.Mutex
	var sum tally
	wrong := 0
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all) && !t.Failed(); i = int(next.Add(1)) - 1 {
				l := newLife(t, all[i], sqlite.Faults{})
				l.run(t.Context(), crashesALife)
				mu.Lock()
				sum.add(l.tally)
				wrong += len(l.problems)
				mu.Unlock()
				for _, p := range l.problems {
					t.Errorf("seed %d: %s", all[i], p)
				}
				if len(l.problems) > 0 {
					t.Errorf("again: WAYPOST_SEED=%d go test ./internal/store/sqlite -run TestACrashLosesNothing -v", all[i])
				}
			}
		})
	}
	wg.Wait()
	t.Logf("crash suite: %d things lost, changed or made up; %v; %d seeds, last %d; %v",
		wrong, sum, len(all), all[len(all)-1], time.Since(start).Round(time.Millisecond))
	if os.Getenv("WAYPOST_SEED") == "" && !t.Failed() && sum.cuts < 8*lives {
		t.Errorf("only %d power cuts", sum.cuts)
	}
}

// The seed decides every operation on the disk, so that a failure can be looked at again. Among these seeds are lives in which
// the disk fills up (6), in which the log is copied at nearly every commit (8), and the random one of today.
func TestTheSeedRepeatsALife(t *testing.T) {
	t.Parallel()
	list := []uint64{1, 2, 6, 8, 9, rand.Uint64()&^3 | 2}
	if underRace {
		list = list[:1]
	}
	for _, seed := range list {
		var lines [2]string
		for i := range lines {
			l := newLife(t, seed, sqlite.Faults{})
			l.run(t.Context(), crashesALife)
			lines[i] = fmt.Sprintf("trace %x, %v, %v", l.disk.Trace(), l.tally, l.problems)
		}
		if lines[0] != lines[1] {
			t.Errorf("seed %d is not the same twice:\n%s\n%s", seed, lines[0], lines[1])
		}
	}
}

// The suite proves something only because it finds these mistakes, each within a few seeds.
func TestTheCrashSuiteFindsMistakes(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]sqlite.Faults{
		"the log is not synced":                             {NoSync: true},
		"the answer leaves before the commit":               {AnswerEarly: true},
		"a duplicate is answered before the first copy":     {DuplicateEarly: true},
		"what a process left unsynced is taken for durable": {TrustLog: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const enough = 60
			for seed := uint64(1); seed <= enough; seed++ {
				l := newLife(t, seed, f)
				l.run(t.Context(), crashesALife)
				if len(l.problems) > 0 {
					t.Logf("found with seed %d: %s", seed, l.problems[0])
					return
				}
			}
			t.Errorf("not found in %d lives of %d crashes", enough, crashesALife)
		})
	}
}
