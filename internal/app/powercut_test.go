package app

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/engine"
	"github.com/waypost/waypost/internal/proof"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// totals add up the verdicts of several runs.
type totals struct {
	sync.Mutex
	cuts, acknowledged, lost, repeats int
	ways                              map[string]int
}

func (n *totals) add(v proof.Verdict) {
	n.Lock()
	defer n.Unlock()
	n.cuts, n.acknowledged, n.lost, n.repeats = n.cuts+v.Crashes, n.acknowledged+v.Acknowledged, n.lost+len(v.Lost), n.repeats+v.Repeats
	if n.ways == nil {
		n.ways = map[string]int{}
	}
	for way, count := range v.Ways {
		n.ways[way] += count
	}
}

// TestPowerCutsLoseNothing cuts the power of the whole server 200 times, at seeded operations of its disk, while every
// platform pushes and a program publishes: while it serves, while it starts, and over a backlog. WAYPOST_LONG=1 does
// 5,000, and the race detector, which is ten times slower, 10.
func TestPowerCutsLoseNothing(t *testing.T) {
	perRun, fixed := 25, []uint64{1, 2, 3, 4, 5, 6, 7}
	if underRace {
		perRun, fixed = 5, fixed[:1]
	}
	for long() && len(fixed) < 199 {
		fixed = append(fixed, uint64(len(fixed)+1))
	}
	var sum totals
	began := time.Now()
	t.Run("from", func(t *testing.T) {
		for _, seed := range seeds(t, fixed...) {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel()
				repeatable(t, seed)
				s := newStation(t, seed, Faults{})
				defer s.abandon()
				s.cuts(rand.New(rand.NewPCG(seed, 2)), perRun-1)
				s.lastCut()
				v := s.settle(30 * time.Second)
				if !v.OK() {
					t.Error(v)
				}
				sum.add(v)
			})
		}
	})
	t.Logf("%d power cuts, %d acknowledged, %d lost; %d attempts were made again; %v", sum.cuts, sum.acknowledged, sum.lost, sum.repeats, time.Since(began).Round(time.Second))
	t.Logf("acknowledged by way: %v", sum.ways)
	for name := range Dialects() {
		if sum.ways[name] == 0 || sum.ways["api-to-"+name] == 0 {
			t.Errorf("%s took no part", name)
		}
	}
}

// TestTheSuiteFindsWhatIsBroken is a test of the test: each of these faults, any of which would be a fine optimisation,
// must make the suite report a loss; and the same course without a fault must not.
func TestTheSuiteFindsWhatIsBroken(t *testing.T) {
	cuts := func(s *station, rng *rand.Rand) { s.untilLost(rng, 6) }
	backlog := func(s *station, _ *rand.Rand) { s.lastCut() }
	for _, m := range []struct {
		name   string
		faults Faults
		course func(*station, *rand.Rand)
		sound  bool
		slow   bool
	}{
		{"nothing is broken", Faults{Store: sqlite.Faults{At: slowCommit}}, cuts, true, true},
		{"nothing is broken, with a backlog", Faults{}, backlog, true, false},
		{"nothing is synced", Faults{Store: sqlite.Faults{NoSync: true}}, backlog, false, false},
		{"the answer leaves before the commit", Faults{Store: sqlite.Faults{AnswerEarly: true, At: slowCommit}}, cuts, false, true},
		{"a duplicate is answered before the first copy is durable", Faults{Store: sqlite.Faults{DuplicateEarly: true, At: slowCommit}}, cuts, false, true},
		{"what was pending is not read at the start", Faults{Engine: engine.Faults{NoRescue: true}}, backlog, false, false},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			if m.slow && underRace {
				t.Skip("several power cuts; the run without the race detector does them")
			}
			var v proof.Verdict
			patience := 2 * time.Second
			if m.sound {
				patience = 30 * time.Second
			}
			for seed := uint64(1); seed < 6 && len(v.Lost) == 0; seed++ {
				s := newStation(t, seed, m.faults)
				m.course(s, rand.New(rand.NewPCG(seed, 2)))
				v = s.settle(patience)
				s.abandon()
				if m.sound {
					break
				}
			}
			t.Log(v)
			if m.sound && !v.OK() {
				t.Error("the course itself breaks a promise")
			} else if !m.sound && len(v.Lost) == 0 {
				t.Error("the suite did not notice")
			}
		})
	}
}

// slowCommit gives commits the time that a real disk takes, so that several messages wait for one.
func slowCommit(point string) {
	if point == sqlite.AtBeforeCommit {
		time.Sleep(2 * time.Millisecond)
	}
}
