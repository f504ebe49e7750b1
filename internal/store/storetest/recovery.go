package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

func recoverFailed(t *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	second := f.endpoint(e.App)
	var want []hook.MessageID
	for i := range 9 {
		switch m := f.message(e.App); i % 3 {
		case 0:
			f.finish(f.outcome(f.delivery(e.App, m.ID, e.ID), hook.Refuse))
			want = append(want, m.ID)
		case 1:
			f.finish(f.outcome(f.delivery(e.App, m.ID, e.ID), hook.Success), f.outcome(f.delivery(e.App, m.ID, second.ID), hook.Refuse))
		}
	}
	f.ok(f.Resend(f.ctx, e.App, want[1], e.ID, f.now)) // wished already
	f.told()
	k := f.run(f.newTask(hook.TaskRecover, &e), 2)
	f.wants(k, hook.TaskFinished, 3, 2)
	same(t, f.wished(e.ID), []hook.MessageID{want[1], want[0], want[2]})
	if told := f.told(); len(told) != 3 || told[1].Resend != e.ID || told[2].Resend != e.ID {
		t.Fatalf("told %+v, want the task and a wish for each step that made some", told)
	}
	if len(f.wished(second.ID)) != 0 {
		t.Fatal("another endpoint's are recovered")
	}
	f.wants(f.run(f.newTask(hook.TaskRecover, &e), 100), hook.TaskFinished, 3, 0) // all are wished

	work, _ := f.claim(e.ID, 1)
	f.finish(f.manual(work[0], hook.Retry)) // it stays failed
	f.wants(f.run(f.newTask(hook.TaskRecover, &e), 100), hook.TaskFinished, 3, 1)
	f.wantCounts(store.Counts{Messages: 9, Pending: 12 - 3, Delivered: 3, Failed: 6})
}

func recoverInTime(t *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	start := f.now
	var m []hook.MessageID
	for range 4 {
		m = append(m, f.failed(&e))
		f.later(time.Second)
	}
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second) }
	for name, c := range map[string]struct {
		since, until time.Time
		want         []hook.MessageID
	}{
		"since, inclusive": {at(2), time.Time{}, m[2:]},
		"since, later":     {at(2).Add(time.Microsecond), time.Time{}, m[3:]},
		"until, exclusive": {time.Time{}, at(2), m[:2]},
		"until, later":     {time.Time{}, at(2).Add(time.Microsecond), m[:3]},
		"both":             {at(1), at(3), m[1:3]},
		"turned round":     {at(3), at(1), nil},
		"never":            {at(100), at(200), nil},
		"before all ids":   {hook.Epoch.Add(-time.Hour), hook.Epoch, nil},
	} {
		k := f.newTask(hook.TaskRecover, &e)
		k.Since, k.Until = c.since, c.until
		f.wants(f.run(k, 10), hook.TaskFinished, int64(len(c.want)), int64(len(c.want)))
		if got := f.wished(e.ID); !slices.Equal(got, c.want) {
			t.Fatalf("%s: wished %v, want %v", name, got, c.want)
		}
		for work, _ := f.claim(e.ID, 100); len(work) > 0; work, _ = f.claim(e.ID, 100) {
			f.finish(f.manual(work[0], hook.Retry))
		}
	}
}

func boundedTaskSteps(t *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	for range 7 {
		f.failed(&e)
	}
	for _, kind := range []hook.TaskKind{hook.TaskRecover, hook.TaskReplay, hook.TaskBulk} {
		k := f.newTask(kind, &e)
		f.ok(f.StartTask(f.ctx, k))
		for i := range 3 {
			k = f.step(k.ID, 3)
			if want := min(int64(i+1)*3, 7); k.Looked != want || (k.State == hook.TaskRunning) != (i < 2) {
				t.Fatalf("%s: after %d steps of 3 it has looked at %d and is %s", kind, i+1, k.Looked, k.State)
			}
		}
		got, err := f.Task(f.ctx, k.ID)
		f.ok(err)
		same(t, got, k)
	}
	k := f.newTask(hook.TaskRecover, &e)
	f.ok(f.StartTask(f.ctx, k))
	if k = f.step(k.ID, 0); k.Looked != 1 {
		t.Fatalf("a step of none looks at %d", k.Looked)
	}
}
