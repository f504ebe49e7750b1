package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
	"github.com/waypost/waypost/internal/store/sqlite/powercut"
)

// daysDiffer counts the rows of the days' counters that are not what a scan of the deliveries finds.
const daysDiffer = `WITH scan AS (SELECT d.endpoint AS endpoint, (d.message >> 22) / 86400000 AS day, sum(d.state = 0 AND d.lane = e.lane) AS pending,
		sum(d.state = 1) AS delivered, sum(d.state = 2) AS failed, sum(d.state = 3 OR d.state = 0 AND d.lane <> e.lane) AS canceled
		FROM deliveries d JOIN endpoints e ON e.id = d.endpoint GROUP BY 1, 2)
	SELECT (SELECT count(*) FROM (SELECT * FROM days EXCEPT SELECT * FROM scan)) + (SELECT count(*) FROM (SELECT * FROM scan EXCEPT SELECT * FROM days))`

// errand is a task of the crash test, with what it has to do and how much of it the store shows.
type errand struct {
	name  string
	task  hook.Task // as answered last
	want  []string
	shown func() []string
}

// errands are one task of each kind in a store that has work for all of them.
type errands struct {
	*small
	t   *testing.T
	all []*errand
}

// newErrands makes a store in which 40 messages have failed at one endpoint, gone to a second, and to a third never; and 25
// more applications.
func newErrands(t *testing.T, o sqlite.Options) *errands {
	s := &errands{small: newSmall(t, o), t: t}
	ctx := t.Context()
	second, third := s.ep, s.ep
	second.ID = hook.NewID[hook.EndpointID](s.ids, s.now)
	must(t, s.CreateEndpoint(ctx, second))
	var batch []hook.Accept
	for i := range 40 {
		batch = append(batch, s.new(fmt.Sprint(i)))
	}
	out, err := s.Accept(ctx, batch)
	must(t, err)
	var outcomes []hook.Outcome
	var all []string
	for _, a := range out {
		all = append(all, a.Message.ID.String())
		outcomes = append(outcomes, s.outcome(a.Deliveries[0], hook.Refuse), s.outcome(a.Deliveries[1], hook.Success))
	}
	must(t, s.Finish(ctx, outcomes))
	third.ID = hook.NewID[hook.EndpointID](s.ids, s.now)
	must(t, s.CreateEndpoint(ctx, third))
	apps := []string{s.app.ID.String()}
	for range 25 {
		a := hook.Application{ID: hook.NewID[hook.ApplicationID](s.ids, s.now), CreatedAt: s.now}
		must(t, s.CreateApplication(ctx, a))
		apps = append(apps, a.ID.String())
	}
	s.start("recover", hook.TaskRecover, s.ep.ID, all, func() []string { return s.work(s.ep.ID, hook.Manual) })
	s.start("bulk replay", hook.TaskBulk, second.ID, all, func() []string { return s.work(second.ID, hook.Manual) })
	s.start("replay", hook.TaskReplay, third.ID, all, func() []string { return s.work(third.ID, hook.Scheduled) })
	s.start("broadcast", hook.TaskBroadcast, 0, apps, func() []string { return s.receivers(apps) })
	return s
}

func (s *errands) start(name string, kind hook.TaskKind, ep hook.EndpointID, want []string, shown func() []string) {
	k := hook.Task{ID: hook.NewID[hook.TaskID](s.ids, s.now), Kind: kind, State: hook.TaskRunning, App: s.app.ID, Endpoint: ep, CreatedAt: s.now, UpdatedAt: s.now}
	if kind == hook.TaskBroadcast {
		k.App, k.Message = 0, &hook.Accept{Message: hook.Message{EventType: "notice", Payload: []byte(`{}`)}}
	} else {
		k.EventTypes = []string{"t"} // not what the broadcast sends meanwhile
	}
	must(s.t, s.StartTask(s.t.Context(), k))
	s.all = append(s.all, &errand{name, k, want, shown})
}

// work lists the messages of one kind of work of an endpoint, but for the broadcast's.
func (s *errands) work(ep hook.EndpointID, trigger hook.Trigger) (ids []string) {
	s.t.Helper()
	work, _, err := s.Claim(s.t.Context(), ep, farAway, 0, 10_000)
	must(s.t, err)
	for _, w := range work {
		m, err := s.Load(s.t.Context(), w.Delivery.Message)
		must(s.t, err)
		if w.Trigger == trigger && m.EventType == "t" {
			ids = append(ids, m.ID.String())
		}
	}
	return ids
}

// receivers lists the applications that have the broadcast, once for each copy.
func (s *errands) receivers(apps []string) (have []string) {
	s.t.Helper()
	for _, ref := range apps {
		app, err := hook.ParseID[hook.ApplicationID](ref)
		must(s.t, err)
		l, err := s.Messages(s.t.Context(), app, store.MessageFilter{EventTypes: []string{"notice"}}, store.Page{})
		must(s.t, err)
		for range l.Items {
			have = append(have, ref)
		}
	}
	return have
}

// check wants of every task that what it says it has done is done, each once and from the front, and that nothing which was
// answered is lost. At most one step of one task had no answer.
func (s *errands) check(lost *errand, n int) {
	s.t.Helper()
	for _, e := range s.all {
		k, err := s.Task(s.t.Context(), e.task.ID)
		must(s.t, err)
		done := e.shown()
		if int64(len(done)) != k.Done || k.Looked != k.Done || !slices.Equal(done, e.want[:len(done)]) {
			s.t.Fatalf("%s says it has done %d of %d, and the store shows %d: %v", e.name, k.Done, k.Looked, len(done), done)
		}
		switch {
		case k.Done < e.task.Done:
			s.t.Fatalf("%s had answered %d and is back at %d", e.name, e.task.Done, k.Done)
		case k.Done > e.task.Done && (e != lost || k.Done > e.task.Done+int64(n)):
			s.t.Fatalf("%s had answered %d and is at %d", e.name, e.task.Done, k.Done)
		}
		e.task = k
	}
	running, err := s.RunningTasks(s.t.Context())
	must(s.t, err)
	for _, e := range s.all {
		if slices.Contains(running, e.task.ID) != (e.task.State == hook.TaskRunning) {
			s.t.Fatalf("%s is %s, and the running ones are %v", e.name, e.task.State, running)
		}
	}
}

// step does a step of a task and says whether it was answered.
func (s *errands) step(e *errand, n int) bool {
	k, err := s.StepTask(s.t.Context(), e.task.ID, s.now, s.now, n, func() int64 { return s.ids.Next(s.now) })
	if err != nil {
		return false
	}
	e.task = k
	return true
}

// A task whose process is killed, or whose machine loses its power, at any moment goes on where it was: it skips nothing and
// does nothing twice.
//
//	go test ./internal/store/sqlite -run TestACrashNeitherSkipsNorRepeats -v -cuts 1000
func TestACrashNeitherSkipsNorRepeats(t *testing.T) {
	t.Parallel()
	crashes, unanswered := 0, 0
	for _, seed := range seeds(t, *cuts/2) {
		rng := rand.New(rand.NewPCG(seed, 0x7461736b))
		d := powercut.New(t.TempDir(), seed)
		o := sqlite.Options{Dir: t.TempDir(), VFS: d.VFS(), LogPages: 8 << (seed % 4), Readers: 1}
		s := newErrands(t, o)
		for open := slices.Clone(s.all); len(open) > 0; {
			if end := 1 + rng.IntN(60); rng.IntN(3) == 0 {
				d.KillAfter(end)
			} else {
				d.CutAfter(end)
			}
			var lost *errand
			n := 1 + rng.IntN(12)
			for len(open) > 0 && lost == nil {
				i := rng.IntN(len(open))
				if e := open[i]; !s.step(e, n) {
					lost = e
				} else if e.task.State != hook.TaskRunning {
					open = slices.Delete(open, i, i+1)
				}
			}
			if lost == nil {
				d.Cut()
			}
			_ = s.Close()
			d.Restart()
			s.DB = openAgain(t, d, o)
			before := int64(0)
			if lost != nil {
				before = lost.task.Done
			}
			s.check(lost, n)
			if lost != nil && lost.task.Done > before {
				unanswered++
			}
			crashes++
			open = slices.DeleteFunc(open, func(e *errand) bool { return e.task.State != hook.TaskRunning })
		}
		for _, e := range s.all {
			if e.task.State != hook.TaskFinished || int(e.task.Done) != len(e.want) {
				t.Errorf("seed %d: %s ended as %+v", seed, e.name, e.task)
			}
		}
		must(t, s.Close())
		daysAgree(t, d, o.Dir)
		d.Close()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d crashes; %d steps were done though they had no answer", crashes, unanswered)
	if unanswered == 0 && crashes > 50 {
		t.Error("no crash came between a commit and its answer")
	}
}

// openAgain opens a store after a crash, with the power on.
func openAgain(t *testing.T, d *powercut.Disk, o sqlite.Options) *sqlite.DB {
	t.Helper()
	d.Spare()
	o.Sealer = sealer(t, 1)
	db, err := sqlite.Open(t.Context(), o)
	must(t, err)
	return db
}

// daysAgree looks into the file.
func daysAgree(t *testing.T, d *powercut.Disk, dir string) {
	t.Helper()
	c, err := sqlite3.Open("file:" + filepath.Join(dir, "waypost.db") + "?vfs=" + d.VFS())
	must(t, err)
	defer c.Close()
	q, _, err := c.Prepare(daysDiffer)
	must(t, err)
	defer q.Close()
	if !q.Step() || q.ColumnInt(0) != 0 {
		t.Fatalf("%d rows of the days' counters are wrong (%v)", q.ColumnInt(0), q.Err())
	}
}

// A task is new work: it waits while the disk is nearly full, and goes on when there is room.
func TestATaskWaitsForRoom(t *testing.T) {
	t.Parallel()
	o := sqlite.Options{Dir: t.TempDir(), FreeSpace: func() (uint64, error) { return 1 << 40, nil }}
	s := newErrands(t, o)
	must(t, s.Close())
	full := o
	full.FreeSpace = func() (uint64, error) { return 0, nil }
	s.DB = open(t, full)
	for _, e := range s.all {
		if _, err := s.StepTask(t.Context(), e.task.ID, s.now, s.now, 10, nil); hook.KindOf(err) != hook.KindUnavailable {
			t.Errorf("%s: without room a step answers %v", e.name, err)
		}
	}
	another := s.all[0].task
	another.ID++
	if err := s.StartTask(t.Context(), another); hook.KindOf(err) != hook.KindUnavailable {
		t.Errorf("without room a task starts with %v", err)
	}
	s.check(nil, 0)
	must(t, s.Close())
	s.DB = open(t, o)
	for _, e := range s.all {
		if !s.step(e, 500) || e.task.State != hook.TaskFinished {
			t.Errorf("%s with room: %+v", e.name, e.task)
		}
	}
	s.check(nil, 0)
}
