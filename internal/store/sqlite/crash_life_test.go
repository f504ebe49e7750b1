package sqlite_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
	"github.com/waypost/waypost/internal/store/sqlite/powercut"
)

// life is one disk with one store on it, that goes through a number of crashes. The seed decides what the workers do,
// when the power goes, and what the disk then keeps.
type life struct {
	seed    uint64
	rng     *rand.Rand
	disk    *powercut.Disk
	dir     string
	o       sqlite.Options
	ids     *hook.Generator
	workers []*worker
	crowd   bool // the workers run as they like; otherwise the order of everything is the seed's
	gate    lifeGate
	order   sync.Mutex

	mu        sync.Mutex
	clock     time.Time
	full      bool
	before    time.Time // the latest moment that a sweep was asked for
	sure      int       // messages that sweeps were told to have removed
	maybe     bool      // a sweep had no answer
	gone      int       // messages that were seen to be gone
	pointAt   int       // crash at this passage of a named point, 0 = never
	pointKill bool
	fresh     bool // the process before ended itself and the machine stayed up
	broken    int  // how often the store said that it broke, since it was opened
	problems  []string

	tally tally
}

// tally is what a life went through.
type tally struct {
	cuts, kills, failures, answered, unanswered, done, refused, repeats, messages int
}

func (t *tally) add(o tally) {
	t.cuts += o.cuts
	t.kills += o.kills
	t.failures += o.failures
	t.answered += o.answered
	t.unanswered += o.unanswered
	t.done += o.done
	t.refused += o.refused
	t.repeats += o.repeats
	t.messages += o.messages
}

// String is the line for the log of a build.
func (t tally) String() string {
	return fmt.Sprintf("%d power cuts, %d kills, %d failed syncs and writes; %d calls answered, %d refused for want of room; "+
		"%d had no answer, %d of those were done; %d batches posted again; %d messages accepted",
		t.cuts, t.kills, t.failures, t.answered, t.refused, t.unanswered, t.done, t.repeats, t.messages)
}

// newLife makes a disk with nothing on it.
func newLife(t testing.TB, seed uint64, faults sqlite.Faults) *life {
	l := &life{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0x6c696665)), dir: t.TempDir(), disk: powercut.New(t.TempDir(), seed),
		ids: hook.NewGenerator(1, 0), clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), crowd: seed%4 == 3,
	}
	faults.At, faults.InStep, faults.SmallRuns = l.at, !l.crowd, int(seed%5)*2
	l.o = sqlite.Options{
		Dir: l.dir, VFS: l.disk.VFS(), Sealer: sealer(t, 1), Faults: faults, LogPages: 4 << (seed % 8), Readers: 1,
		JournalBytes: []int{1 << 14, -1, 1 << 12, 1 << 16}[seed/8%4],
		FreeSpace:    func() (uint64, error) { return 1 << 40, nil },
		Changed: func(c store.Change) {
			if c.Broken != nil {
				l.mu.Lock()
				l.broken++
				l.mu.Unlock()
			}
		},
	}
	for n := range 1 + l.rng.IntN(4) {
		w := &worker{life: l, n: n, rng: rand.New(rand.NewPCG(seed, uint64(n))), side: newSide()}
		l.workers = append(l.workers, w)
	}
	return l
}

func (l *life) problem(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

// now is a clock that never stands still.
func (l *life) now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock = l.clock.Add(100 * time.Millisecond)
	return l.clock
}

func (l *life) sweptBefore(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.After(l.before) {
		l.before = t
	}
}

func (l *life) swept(n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sure += n
	l.maybe = l.maybe || err != nil && !refused(err)
}

// mayBeGone says whether retention may have taken a message.
func (l *life) mayBeGone(s *side, m hook.MessageID) bool {
	l.mu.Lock()
	before := l.before
	l.mu.Unlock()
	return !before.IsZero() && m < firstID(before) && !s.kept(m)
}

// lifeGate holds the writer at its next commit, so that what comes meanwhile is written as one group in a known order.
type lifeGate struct {
	mu       sync.Mutex
	in, wait chan struct{}
}

func (g *lifeGate) arm() (in, wait chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.in, g.wait = make(chan struct{}), make(chan struct{})
	return g.in, g.wait
}

func (g *lifeGate) disarm() { g.mu.Lock(); g.in, g.wait = nil, nil; g.mu.Unlock() }

func (g *lifeGate) pass() {
	g.mu.Lock()
	in, wait := g.in, g.wait
	g.in, g.wait = nil, nil
	g.mu.Unlock()
	if in != nil {
		close(in)
		<-wait
	}
}

// at is called by the store at its named points.
func (l *life) at(point string) {
	l.mu.Lock()
	if l.pointAt > 0 {
		if l.pointAt--; l.pointAt == 0 {
			if l.pointKill {
				l.disk.Kill()
			} else {
				l.disk.Cut()
			}
		}
	}
	l.mu.Unlock()
	if point == sqlite.AtBeforeCommit {
		l.gate.pass()
	}
}

// run goes through crashes until there were enough or something is wrong.
func (l *life) run(ctx context.Context, crashes int) {
	defer l.disk.Close()
	db := l.open(ctx, false)
	for range crashes {
		if db == nil || len(l.problems) > 0 {
			break
		}
		idle(db)
		kind := l.doom()
		if l.crowd {
			l.workAtOnce(ctx, db, kind)
		} else {
			l.workInStep(ctx, db, kind)
		}
		l.crash(db, kind)
		if db = l.open(ctx, true); db != nil {
			l.check(ctx, db)
		}
	}
	if db != nil {
		if err := db.Close(); err != nil && len(l.problems) == 0 {
			l.problem("close: %v", err)
		}
	}
	for _, w := range l.workers {
		l.tally.repeats += w.repeats
		l.tally.messages += len(w.side.messages)
	}
	l.tally.messages += l.gone
}

// The ways in which a process ends.
type doom int

const (
	byCut doom = iota
	byKill
	byFailure // of a sync or a write; the process ends itself
	byClose   // in good order, but the power goes meanwhile
)

// doom decides how this process is going to end.
func (l *life) doom() doom {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := l.rng.IntN(12)
	if l.fresh { // soon, while what the last process left behind is what there is
		l.fresh = false
		l.disk.CutAfter(1 + l.rng.IntN(12))
		return byCut
	}
	switch kind {
	case 0, 1:
		l.disk.KillAfter(1 + l.rng.IntN(80))
		return byKill
	case 2:
		l.pointAt, l.pointKill = 1+l.rng.IntN(60), true
		return byKill
	case 3, 4:
		l.pointAt, l.pointKill = 1+l.rng.IntN(60), false
		return byCut
	case 5:
		l.disk.Fail(powercut.Sync, 1+l.rng.IntN(25), syscall.EIO)
		return byFailure
	case 6:
		l.disk.Fail(powercut.Write, 1+l.rng.IntN(60), syscall.EIO)
		return byFailure
	case 7:
		return byClose
	}
	l.disk.CutAfter(1 + l.rng.IntN(80))
	return byCut
}

// crash ends the process, if it has not ended, and gives the power back.
func (l *life) crash(db *sqlite.DB, kind doom) {
	if kind == byClose && !l.disk.Off() {
		l.disk.CutAfter(1 + l.rng.IntN(10))
	} else if !l.disk.Off() && kind != byFailure {
		for _, w := range l.workers {
			if w.lost != nil {
				l.problem("the work ended with the power on: worker %d, after %s", w.n, w.lostName())
			}
		}
	}
	_ = db.Close()
	l.mu.Lock()
	l.pointAt = 0
	if l.broken > 1 {
		l.problems = append(l.problems, fmt.Sprintf("the store said %d times that it broke", l.broken))
	}
	l.mu.Unlock()
	switch {
	case kind == byFailure && l.rng.IntN(2) == 0:
		l.tally.failures++
		l.tally.kills++
		l.disk.Kill()
		l.fresh = l.rng.IntN(2) == 0
	case kind == byFailure:
		l.tally.failures++
		l.tally.cuts++
	case kind == byKill:
		l.tally.kills++
	default:
		l.tally.cuts++
	}
	l.full = false
	l.disk.SetFree(-1)
	l.disk.Restart()
}

// open starts the process again. When it may, the power goes once or twice while it starts.
func (l *life) open(ctx context.Context, mayFail bool) *sqlite.DB {
	for try := range 3 {
		if mayFail && try < 2 && l.rng.IntN(4) == 0 {
			l.disk.CutAfter(1 + l.rng.IntN(6))
		}
		l.mu.Lock()
		l.broken = 0
		l.mu.Unlock()
		db, err := sqlite.Open(ctx, l.o)
		if err == nil && !l.disk.Off() {
			l.disk.Spare()
			return db
		}
		if !l.disk.Off() {
			l.problem("the store does not open: %v\n%s", err, l.disk)
			return nil
		}
		if err == nil {
			_ = db.Close()
		}
		l.tally.cuts++
		l.disk.Restart()
	}
	l.problem("the store does not open")
	return nil
}

const maxOps = 60 // rounds, or calls of a worker in a crowd, before a crash that does not come by itself

func rounds(kind doom) int {
	if kind == byClose {
		return maxOps / 4
	}
	return maxOps
}

// workAtOnce lets every worker go its own way until it gets no answer.
func (l *life) workAtOnce(ctx context.Context, db *sqlite.DB, kind doom) {
	var wg sync.WaitGroup
	for _, w := range l.workers {
		wg.Go(func() {
			for range rounds(kind) {
				l.order.Lock() // the model foretells the ids of messages: they are committed in the order in which they are drawn
				o := w.next(ctx, db)
				accepts := o.batch != nil
				if !accepts {
					l.order.Unlock()
				}
				o.results = make([]result, len(o.deeds))
				var both sync.WaitGroup
				for i, do := range o.deeds {
					both.Go(func() { o.results[i].answer, o.results[i].err = do(ctx, db) })
				}
				both.Wait()
				if accepts {
					l.order.Unlock()
				}
				if !w.settle(o) {
					return
				}
			}
		})
	}
	wg.Wait()
	l.end(kind)
}

// end cuts the power when the work has ended for want of rounds.
func (l *life) end(kind doom) {
	if kind == byClose || l.disk.Off() || slices.ContainsFunc(l.workers, func(w *worker) bool { return w.lost != nil }) {
		return
	}
	l.disk.Cut()
}

// workInStep has some of the workers do something at once, over and over: the first is held at its commit until the
// others wait in line.
func (l *life) workInStep(ctx context.Context, db *sqlite.DB, kind doom) {
	for range rounds(kind) {
		alive := true
		order := l.rng.Perm(len(l.workers))[:1+l.rng.IntN(len(l.workers))]
		ops := make([]*op, len(order))
		for i, n := range order {
			ops[i] = l.workers[n].next(ctx, db)
		}
		l.inStep(ctx, db, ops)
		for i, n := range order {
			alive = l.workers[n].settle(ops[i]) && alive
		}
		if !alive || len(l.problems) > 0 {
			return
		}
	}
	l.end(kind)
}

func (l *life) inStep(ctx context.Context, db *sqlite.DB, ops []*op) {
	in, wait := l.gate.arm()
	var wg sync.WaitGroup
	line := 0
	for i, o := range ops {
		o.results = make([]result, len(o.deeds))
		for k, do := range o.deeds {
			done := make(chan struct{})
			wg.Go(func() {
				defer close(done)
				o.results[k].answer, o.results[k].err = do(ctx, db)
			})
			if i == 0 && k == 0 {
				select {
				case <-in:
					l.changeRoom()
				case <-done:
				}
				continue
			}
			line++
			for waiting(db, done) < line {
				runtime.Gosched()
			}
			if isDone(done) {
				line--
			}
		}
	}
	l.gate.disarm()
	close(wait)
	wg.Wait()
	idle(db)
}

// idle waits for what the store does after its answers: the log is copied to the file, and the power must not go at a random place
// in that.
func idle(db *sqlite.DB) {
	for !db.Idle() {
		runtime.Gosched()
	}
}

// waiting says how many wait in line; many when the call that was to join them has ended.
func waiting(db *sqlite.DB, done chan struct{}) int {
	if isDone(done) {
		return 1 << 30
	}
	return db.Waiting()
}

func isDone(done chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// changeRoom fills the disk now and then, and makes room again. The writer stands still meanwhile.
func (l *life) changeRoom() {
	switch {
	case l.full && l.rng.IntN(3) == 0:
		l.full = false
		l.disk.SetFree(-1)
	case !l.full && l.rng.IntN(25) == 0:
		l.full = true
		l.disk.SetFree(l.rng.Int64N(20_000))
	}
}

// settle takes the answers of an op. It says whether the worker goes on.
func (w *worker) settle(o *op) bool {
	var left []outcome
	for i := range o.outcomes {
		if o.possible(&o.outcomes[i]) {
			left = append(left, o.outcomes[i])
		}
	}
	w.life.mu.Lock()
	for _, r := range o.results {
		switch {
		case r.err == nil:
			w.tally.answered++
		case refused(r.err):
			w.tally.refused++
		default:
			w.tally.unanswered++
		}
	}
	w.life.mu.Unlock()
	if len(left) == 0 {
		w.problem("%s: the answers are %+v; possible were %q", o.name, o.results, o.outcomes[1].answers)
		return false
	}
	if o.uncertain() {
		o.outcomes, w.lost = left, o
		return false
	}
	w.side = left[0].side
	return true
}

// firstID is the smallest id of a moment.
func firstID(t time.Time) hook.MessageID {
	var at func(time.Time) hook.MessageID = hook.IDAt
	return at(t)
}
