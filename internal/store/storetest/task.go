package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var taskTests = map[string]func(*testing.T, *fixture){
	"a task that is not whole is refused":                   badTasks,
	"a task needs an endpoint that can be sent to":          tasksNeedEndpoints,
	"a task that does not exist is not found":               unknownTask,
	"a task is kept as it is given and told":                taskRoundTrip,
	"tasks are listed by kind, state and application":       taskLists,
	"recover wishes what failed, once and in order":         recoverFailed,
	"recover keeps to its time":                             recoverInTime,
	"a step looks at no more than it may":                   boundedTaskSteps,
	"replay sends what never went there":                    replayMissing,
	"replay keeps to the application's flags":               replayFlags,
	"replay waits for a message's time":                     replayLater,
	"bulk replay selects by everything":                     bulkReplay,
	"tasks do as the plain model does":                      tasksByModel,
	"what comes after its start is not a task's":            taskEndsWithStart,
	"a message without content is skipped":                  taskSkipsGone,
	"a broadcast reaches every application once":            broadcast,
	"a broadcast is bounded by what it writes":              broadcastBounded,
	"a broadcast skips those who had the event":             broadcastRepeats,
	"a task fails with its endpoint":                        taskFails,
	"a task that has ended stays as it is":                  taskEnded,
	"tasks that ended long ago go, running ones do not":     tasksGo,
	"a task cannot be stepped by one who has given up":      taskGivenUp,
	"steps of one task at the same time do everything once": taskStepsAtOnce,
}

func (f *fixture) newTask(kind hook.TaskKind, e *hook.Endpoint) hook.Task {
	t := hook.Task{ID: hook.NewID[hook.TaskID](f.ids, f.now), Kind: kind, State: hook.TaskRunning, CreatedAt: f.now, UpdatedAt: f.now}
	if e != nil {
		t.App, t.Endpoint = e.App, e.ID
	}
	return t
}

func (f *fixture) next() int64 { return f.ids.Next(f.now) }

func (f *fixture) step(id hook.TaskID, n int) hook.Task {
	f.t.Helper()
	k, err := f.StepTask(f.ctx, id, f.now, f.now, n, f.next)
	f.ok(err)
	return k
}

// run starts a task and goes on with it to its end.
func (f *fixture) run(k hook.Task, n int) hook.Task {
	f.t.Helper()
	f.ok(f.StartTask(f.ctx, k))
	return f.goOn(k.ID, n)
}

func (f *fixture) goOn(id hook.TaskID, n int) hook.Task {
	f.t.Helper()
	for range 10_000 {
		if k := f.step(id, n); k.State != hook.TaskRunning {
			return k
		}
	}
	f.t.Fatal("the task never comes to an end")
	return hook.Task{}
}

// wants checks how a task ended.
func (f *fixture) wants(k hook.Task, state hook.TaskState, looked, done int64) {
	f.t.Helper()
	if k.State != state || k.Looked != looked || k.Done != done || (k.Reason == "") != (state != hook.TaskFailed) {
		f.t.Fatalf("the task is %s (%q), looked at %d and did %d; want %s, %d and %d", k.State, k.Reason, k.Looked, k.Done, state, looked, done)
	}
}

// wished lists the messages of which a resend is wished, in the order of the wishes.
func (f *fixture) wished(ep hook.EndpointID) (ids []hook.MessageID) {
	f.t.Helper()
	work, _ := f.claim(ep, 1000)
	for _, w := range work {
		if w.Resend != 0 {
			ids = append(ids, w.Delivery.Message)
		}
	}
	return ids
}

// failed makes a message whose delivery has failed.
func (f *fixture) failed(e *hook.Endpoint) hook.MessageID {
	f.t.Helper()
	m := f.message(e.App)
	f.finish(f.outcome(f.delivery(e.App, m.ID, e.ID), hook.Refuse))
	return m.ID
}

func badTasks(_ *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	for _, spoil := range []func(*hook.Task){
		func(k *hook.Task) { k.ID = 0 },
		func(k *hook.Task) { k.CreatedAt = time.Time{} },
		func(k *hook.Task) { k.Kind = "endpoint.other" },
		func(k *hook.Task) { k.Kind = "" },
		func(k *hook.Task) { k.EventTypes = make([]string, 101) },
		func(k *hook.Task) { k.Message = &hook.Accept{} },
		func(k *hook.Task) { k.Kind = hook.TaskBroadcast },
	} {
		k := f.newTask(hook.TaskRecover, &e)
		spoil(&k)
		f.fails(f.StartTask(f.ctx, k), hook.KindInvalid)
	}
	for _, spoil := range []func(*hook.Task){
		func(k *hook.Task) { k.Message = nil },
		func(k *hook.Task) { k.App = e.App },
		func(k *hook.Task) { k.Endpoint = e.ID },
		func(k *hook.Task) { k.Message.Message.Raw = &hook.Raw{} },
	} {
		k := f.newBroadcast()
		spoil(&k)
		f.fails(f.StartTask(f.ctx, k), hook.KindInvalid)
	}
	if running, err := f.RunningTasks(f.ctx); err != nil || len(running) != 0 {
		f.t.Fatalf("refused tasks run: %v, %v", running, err)
	}
	k := f.newTask(hook.TaskRecover, &e)
	f.ok(f.StartTask(f.ctx, k))
	f.failsField(f.StartTask(f.ctx, k), hook.KindConflict, "id")
}

func tasksNeedEndpoints(_ *testing.T, f *fixture) {
	app := f.app()
	e, other := f.endpoint(app.ID), f.endpoint(f.app().ID)
	unknown := f.newEndpoint(app.ID)
	stray := other
	stray.App = app.ID
	nobodys := unknown
	nobodys.App = hook.NewID[hook.ApplicationID](f.ids, f.now)
	for _, kind := range []hook.TaskKind{hook.TaskRecover, hook.TaskReplay, hook.TaskBulk} {
		for _, e := range []*hook.Endpoint{&unknown, &stray, &nobodys} {
			f.fails(f.StartTask(f.ctx, f.newTask(kind, e)), hook.KindNotFound)
		}
		off := e
		off.Disabled = true
		f.ok(f.UpdateEndpoint(f.ctx, off))
		f.fails(f.StartTask(f.ctx, f.newTask(kind, &e)), hook.KindConflict)
		polled := e
		polled.Transport = hook.TransportPoll
		f.ok(f.UpdateEndpoint(f.ctx, polled))
		f.fails(f.StartTask(f.ctx, f.newTask(kind, &e)), hook.KindConflict)
	}
}

func unknownTask(_ *testing.T, f *fixture) {
	id := hook.NewID[hook.TaskID](f.ids, f.now)
	_, err := f.Task(f.ctx, id)
	f.fails(err, hook.KindNotFound)
	_, err = f.StepTask(f.ctx, id, f.now, f.now, 10, f.next)
	f.fails(err, hook.KindNotFound)
}

func taskRoundTrip(t *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	k := f.newTask(hook.TaskBulk, &e)
	k.Since, k.Until, k.EventTypes, k.Channel, k.Tag = f.now.Add(-time.Hour), f.now, []string{"a", "b"}, "c", "t"
	k.States = []hook.State{hook.Failed, hook.Pending}
	b := f.newBroadcast()
	b.Message = &hook.Accept{
		Message: hook.Message{
			EventType: "notice", EventID: "e1", Channels: []string{"c"}, Tags: []string{"t"}, Platform: map[string]string{"k": "v"},
			Payload: []byte(`{"a": 1.50}`), DeliverAt: f.now.Add(time.Hour), ContentUntil: f.now.Add(2 * time.Hour),
		},
		Dedup:  hook.Dedup{Scope: "s", Key: "k", Keep: time.Hour, Twin: "w", TwinKeep: time.Minute, TwinMark: "m"},
		Unique: true, UniqueKeep: time.Hour, Needs: []string{"flag"},
	}
	f.told()
	for _, want := range []hook.Task{k, b} {
		f.ok(f.StartTask(f.ctx, want))
		same(t, f.told(), []store.Change{{Task: want.ID}})
		got, err := f.Task(f.ctx, want.ID)
		f.ok(err)
		same(t, got, want)
	}
	running, err := f.RunningTasks(f.ctx)
	f.ok(err)
	same(t, running, []hook.TaskID{k.ID, b.ID})
	if highest, err := f.HighestID(f.ctx); err != nil || highest < int64(b.ID) {
		t.Fatalf("the highest id is %d (%v), below a task's", highest, err)
	}
}

func taskLists(t *testing.T, f *fixture) {
	a, b := f.endpoint(f.app().ID), f.endpoint(f.app().ID)
	var all, recovers, ofB, ended []hook.TaskID
	for i := range 12 {
		k := f.newTask([]hook.TaskKind{hook.TaskRecover, hook.TaskReplay, hook.TaskBulk}[i%3], []*hook.Endpoint{&a, &b}[i%2])
		all = append(all, k.ID)
		if i%3 == 0 {
			recovers = append(recovers, k.ID)
		}
		if i%2 == 1 {
			ofB = append(ofB, k.ID)
		}
		if f.ok(f.StartTask(f.ctx, k)); i%4 == 0 {
			f.goOn(k.ID, 10)
			ended = append(ended, k.ID)
		}
	}
	for name, c := range map[string]struct {
		f    store.TaskFilter
		want []hook.TaskID
	}{
		"all":            {store.TaskFilter{}, all},
		"kind":           {store.TaskFilter{Kind: hook.TaskRecover}, recovers},
		"application":    {store.TaskFilter{App: b.App}, ofB},
		"state":          {store.TaskFilter{State: hook.TaskFinished}, ended},
		"nobody's":       {store.TaskFilter{App: hook.NewID[hook.ApplicationID](f.ids, f.now)}, nil},
		"kind and state": {store.TaskFilter{Kind: hook.TaskRecover, State: hook.TaskFailed}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			read := func(p store.Page) (store.List[hook.TaskID], error) {
				l, err := f.Tasks(f.ctx, c.f, p)
				list := store.List[hook.TaskID]{First: l.First, Last: l.Last, Done: l.Done}
				for _, k := range l.Items {
					list.Items = append(list.Items, k.ID)
				}
				return list, err
			}
			walk(t, 5, false, c.want, read)
			down := slices.Clone(c.want)
			slices.Reverse(down)
			walk(t, 5, true, down, read)
		})
	}
	_, err := f.Tasks(f.ctx, store.TaskFilter{}, store.Page{After: "x"})
	f.fails(err, hook.KindInvalid)
}

func taskEndsWithStart(t *testing.T, f *fixture) {
	app := f.app()
	f.message(app.ID)
	e := f.endpoint(app.ID)
	k := f.newTask(hook.TaskReplay, &e)
	k.Until = f.now.Add(time.Hour)
	f.ok(f.StartTask(f.ctx, k))
	f.message(app.ID)
	f.wants(f.goOn(k.ID, 1), hook.TaskFinished, 1, 1)

	b := f.newBroadcast()
	f.ok(f.StartTask(f.ctx, b))
	late := f.app()
	f.wants(f.goOn(b.ID, 10), hook.TaskFinished, 1, 1)
	if l, err := f.Messages(f.ctx, late.ID, store.MessageFilter{}, store.Page{}); err != nil || len(l.Items) != 0 {
		t.Fatalf("a later application got %d messages (%v)", len(l.Items), err)
	}
}

func taskSkipsGone(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	failed := f.failed(&e)
	f.later(time.Hour)
	f.sweep(store.Sweep{Now: f.now, PayloadBefore: f.now, Limit: 10})
	kept := f.failed(&e)
	f.wants(f.run(f.newTask(hook.TaskRecover, &e), 10), hook.TaskFinished, 2, 1)
	same(t, f.wished(e.ID), []hook.MessageID{kept})
	f.wants(f.run(f.newTask(hook.TaskBulk, &e), 10), hook.TaskFinished, 2, 0)
	fresh := f.endpoint(app.ID)
	f.wants(f.run(f.newTask(hook.TaskReplay, &fresh), 10), hook.TaskFinished, 2, 1)
	if _, there := f.stateOf(app.ID, failed, fresh.ID); there {
		t.Fatal("a message without content is to be sent")
	}
}

func taskFails(t *testing.T, f *fixture) {
	for name, end := range map[string]func(hook.Endpoint){
		"the endpoint is deleted":    func(e hook.Endpoint) { f.ok(f.DeleteEndpoint(f.ctx, e.App, e.ID, f.now)) },
		"the application is deleted": func(e hook.Endpoint) { f.ok(f.DeleteApplication(f.ctx, e.App, f.now)) },
		"the endpoint is disabled":   func(e hook.Endpoint) { e.Disabled = true; f.ok(f.UpdateEndpoint(f.ctx, e)) },
		"the endpoint is polled":     func(e hook.Endpoint) { e.Transport = hook.TransportPoll; f.ok(f.UpdateEndpoint(f.ctx, e)) },
	} {
		for _, kind := range []hook.TaskKind{hook.TaskRecover, hook.TaskReplay, hook.TaskBulk} {
			e := f.endpoint(f.app().ID)
			f.failed(&e)
			f.failed(&e)
			k := f.newTask(kind, &e)
			f.ok(f.StartTask(f.ctx, k))
			before := f.step(k.ID, 1)
			end(e)
			k = f.step(k.ID, 1)
			if k.State != hook.TaskFailed || k.Reason == "" || k.Looked != 1 || k.Done != before.Done {
				t.Fatalf("%s: %s is %+v", name, kind, k)
			}
		}
	}
}

func taskEnded(t *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	k := f.run(f.newTask(hook.TaskRecover, &e), 10)
	f.failed(&e)
	f.told()
	f.later(time.Hour)
	same(t, f.step(k.ID, 10), k)
	if len(f.told()) != 0 {
		t.Fatal("a step of nothing is told")
	}
	running, err := f.RunningTasks(f.ctx)
	f.ok(err)
	if len(running) != 0 {
		t.Fatalf("%d tasks run", len(running))
	}
}

func tasksGo(t *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	old := f.run(f.newTask(hook.TaskRecover, &e), 10)
	running := f.newTask(hook.TaskRecover, &e)
	f.ok(f.StartTask(f.ctx, running))
	f.later(24 * time.Hour)
	fresh := f.run(f.newTask(hook.TaskReplay, &e), 10)
	f.later(29 * 24 * time.Hour)
	f.sweep(store.Sweep{Now: f.now.Add(-time.Millisecond), Limit: 1})
	if _, err := f.Task(f.ctx, old.ID); err != nil {
		t.Fatalf("gone too early: %v", err)
	}
	f.sweep(store.Sweep{Now: f.now, Limit: 1})
	_, err := f.Task(f.ctx, old.ID)
	f.fails(err, hook.KindNotFound)
	for _, id := range []hook.TaskID{running.ID, fresh.ID} {
		_, err := f.Task(f.ctx, id)
		f.ok(err)
	}
}

func taskGivenUp(_ *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	f.failed(&e)
	k := f.newTask(hook.TaskRecover, &e)
	f.ok(f.StartTask(f.ctx, k))
	ctx, cancel := contextCanceled(f.ctx)
	defer cancel()
	_, err := f.StepTask(ctx, k.ID, f.now, f.now, 10, f.next)
	f.fails(err, hook.KindUnavailable)
	if len(f.wished(e.ID)) != 0 {
		f.t.Fatal("a step that was given up was done")
	}
	f.wants(f.goOn(k.ID, 10), hook.TaskFinished, 1, 1)
}

func taskStepsAtOnce(t *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	var want []hook.MessageID
	for range 30 {
		want = append(want, f.failed(&e))
	}
	k := f.newTask(hook.TaskRecover, &e)
	f.ok(f.StartTask(f.ctx, k))
	atOnce(8, func() {
		for range 5 {
			if _, err := f.StepTask(f.ctx, k.ID, f.now, f.now, 1, f.next); err != nil {
				t.Error(err)
			}
		}
	})
	f.wants(f.goOn(k.ID, 10), hook.TaskFinished, 30, 30)
	same(t, f.wished(e.ID), want)
}
