package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

func replayMissing(t *testing.T, f *fixture) {
	app := f.app()
	var before []hook.MessageID
	for i := range 5 {
		m := f.newMessage(app.ID)
		m.EventType = []string{"order.created", "order.paid"}[i%2]
		before = append(before, f.accept(hook.Accept{Message: m}).Message.ID)
	}
	e := f.newEndpoint(app.ID)
	e.EventTypes = []string{"order.created"}
	f.ok(f.CreateEndpoint(f.ctx, e))
	pending, done, manual := f.message(app.ID), f.message(app.ID), f.message(app.ID)
	f.finish(f.outcome(f.delivery(app.ID, done.ID, e.ID), hook.Refuse))
	canceled := f.message(app.ID)
	_, err := f.Cancel(f.ctx, app.ID, canceled.ID, e.ID, f.now)
	f.ok(err)
	_, err = f.Cancel(f.ctx, app.ID, manual.ID, e.ID, f.now)
	f.ok(err)
	f.ok(f.Resend(f.ctx, app.ID, manual.ID, e.ID, f.now))
	work, _ := f.claim(e.ID, 1)
	f.finish(f.manual(work[0], hook.Retry)) // canceled, but it has been there
	f.later(time.Minute)
	f.told()

	f.wants(f.run(f.newTask(hook.TaskReplay, &e), 2), hook.TaskFinished, 9, 4)
	for i, id := range before {
		if i%2 == 1 {
			continue
		}
		d := f.delivery(app.ID, id, e.ID)
		if d.State != hook.Pending || !d.NextAt.Equal(f.now) || d.Attempts != 0 {
			t.Fatalf("what never went there is %+v, want it pending and due", d)
		}
	}
	same(t, f.wished(e.ID), []hook.MessageID{canceled.ID}) // what is not pending never becomes so
	if d := f.delivery(app.ID, pending.ID, e.ID); !d.NextAt.Equal(pending.CreatedAt) {
		t.Fatalf("a pending delivery was touched: %+v", d)
	}
	if told := f.told(); len(told) < 2 || told[len(told)-1].Resend != e.ID {
		t.Fatalf("told %+v", told)
	}
	f.wantCounts(store.Counts{Messages: 9, Pending: 4, Failed: 1, Canceled: 2})
	f.wants(f.run(f.newTask(hook.TaskReplay, &e), 100), hook.TaskFinished, 9, 0)
}

func replayFlags(t *testing.T, f *fixture) {
	app := f.app()
	f.ok(f.CreateEventType(f.ctx, hook.EventType{Name: "closed", FeatureFlags: []string{"vip"}, CreatedAt: f.now}))
	f.ok(f.CreateEventType(f.ctx, hook.EventType{Name: "open", CreatedAt: f.now}))
	var m []hook.MessageID
	for _, name := range []string{"closed", "open", "undescribed"} {
		msg := f.newMessage(app.ID)
		msg.EventType = name
		m = append(m, f.accept(hook.Accept{Message: msg}).Message.ID)
	}
	for _, kind := range []hook.TaskKind{hook.TaskReplay, hook.TaskBulk} {
		for _, flags := range [][]string{{"other"}, {"vip"}, nil} {
			app.FeatureFlags = flags
			f.ok(f.UpdateApplication(f.ctx, app))
			e := f.endpoint(app.ID)
			want := m
			if len(flags) > 0 && flags[0] == "other" {
				want = m[1:]
			}
			f.wants(f.run(f.newTask(kind, &e), 10), hook.TaskFinished, 3, int64(len(want)))
			work, _ := f.claim(e.ID, 10)
			var got []hook.MessageID
			for _, w := range work {
				got = append(got, w.Delivery.Message)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s with %q sends %v, want %v", kind, flags, got, want)
			}
		}
	}
}

func replayLater(t *testing.T, f *fixture) {
	app := f.app()
	m := f.newMessage(app.ID)
	m.DeliverAt = f.now.Add(time.Hour)
	id := f.accept(hook.Accept{Message: m}).Message.ID
	e := f.endpoint(app.ID)
	f.wants(f.run(f.newTask(hook.TaskReplay, &e), 10), hook.TaskFinished, 1, 1)
	if d := f.delivery(app.ID, id, e.ID); !d.NextAt.Equal(m.DeliverAt) {
		t.Fatalf("it is due at %v, want %v", d.NextAt, m.DeliverAt)
	}
}

func bulkReplay(t *testing.T, f *fixture) {
	app := f.app()
	none := f.newMessage(app.ID) // never went there
	none.Channels, none.Tags = []string{"c", "d"}, []string{"t"}
	f.accept(hook.Accept{Message: none})
	e := f.endpoint(app.ID)
	typed := f.newMessage(app.ID)
	typed.EventType = "order.paid"
	f.accept(hook.Accept{Message: typed})
	f.finish(f.outcome(f.delivery(app.ID, typed.ID, e.ID), hook.Success))
	failed, pending := f.failed(&e), f.message(app.ID).ID
	for name, c := range map[string]struct {
		set  func(*hook.Task)
		want []hook.MessageID
	}{
		"types":      {func(k *hook.Task) { k.EventTypes = []string{"order.paid", "x"} }, []hook.MessageID{typed.ID}},
		"no channel": {func(k *hook.Task) { k.Channel = "t" }, nil},
		"failed":     {func(k *hook.Task) { k.States = []hook.State{hook.Failed} }, []hook.MessageID{failed}},
		"two states": {func(k *hook.Task) { k.States = []hook.State{hook.Pending, hook.Delivered} }, []hook.MessageID{typed.ID, pending}},
		"canceled":   {func(k *hook.Task) { k.States = []hook.State{hook.Canceled} }, nil},
	} {
		k := f.newTask(hook.TaskBulk, &e)
		c.set(&k)
		f.wants(f.run(k, 3), hook.TaskFinished, 4, int64(len(c.want)))
		if got := f.wished(e.ID); !slices.Equal(got, c.want) {
			t.Fatalf("%s: wished %v, want %v", name, got, c.want)
		}
		k.ID = hook.NewID[hook.TaskID](f.ids, f.now)
		f.wants(f.run(k, 3), hook.TaskFinished, 4, 0) // all are wished
		f.dropWishes(e.ID)
	}
	for _, set := range []func(*hook.Task){ // the first makes the delivery
		func(k *hook.Task) { k.Channel = "d" }, func(k *hook.Task) { k.Tag, k.States = "t", []hook.State{hook.Canceled} },
	} {
		k := f.newTask(hook.TaskBulk, &e)
		set(&k)
		f.wants(f.run(k, 3), hook.TaskFinished, 4, 1)
		same(t, f.wished(e.ID), []hook.MessageID{none.ID})
		if d := f.delivery(app.ID, none.ID, e.ID); d.State != hook.Canceled {
			t.Fatalf("what never went there is %s", d.State)
		}
		f.dropWishes(e.ID)
	}
	f.wants(f.run(f.newTask(hook.TaskBulk, &e), 3), hook.TaskFinished, 4, 4)
	same(t, f.wished(e.ID), []hook.MessageID{none.ID, typed.ID, failed, pending})

	picky := f.newEndpoint(app.ID)
	picky.EventTypes = []string{"order.paid"}
	f.ok(f.CreateEndpoint(f.ctx, picky))
	f.wants(f.run(f.newTask(hook.TaskBulk, &picky), 3), hook.TaskFinished, 4, 1)
	same(t, f.wished(picky.ID), []hook.MessageID{typed.ID})
}
