package storetest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

func (f *fixture) newBroadcast() hook.Task {
	t := f.newTask(hook.TaskBroadcast, nil)
	t.Message = &hook.Accept{Message: hook.Message{EventType: "notice", Payload: []byte(`{ "text": "all" }`)}}
	return t
}

func broadcast(t *testing.T, f *fixture) {
	var apps []hook.Application
	for range 7 {
		apps = append(apps, f.app())
	}
	e := f.endpoint(apps[3].ID)
	b := f.newBroadcast()
	b.Message.Message.Channels, b.Message.Message.Tags = []string{"c"}, []string{"t"}
	f.ok(f.StartTask(f.ctx, b))
	f.ok(f.DeleteApplication(f.ctx, apps[5].ID, f.now))
	f.later(time.Minute)
	f.told()
	f.wants(f.goOn(b.ID, 4), hook.TaskFinished, 6, 6)
	var told []hook.Accepted
	for _, c := range f.told() {
		told = append(told, c.Accepted...)
	}
	seen := map[hook.MessageID]bool{}
	for i, a := range slices.Delete(apps, 5, 6) {
		l, err := f.Messages(f.ctx, a.ID, store.MessageFilter{WithPayload: true}, store.Page{})
		f.ok(err)
		if len(l.Items) != 1 || seen[l.Items[0].ID] || i >= len(told) {
			t.Fatalf("application %d has %d messages, or not one of its own; told of %d", i, len(l.Items), len(told))
		}
		m := l.Items[0]
		seen[m.ID] = true
		want := b.Message.Message
		want.ID, want.App, want.CreatedAt = m.ID, a.ID, f.now
		same(t, m, want)
		if told[i].Message.ID != m.ID || string(told[i].Message.Payload) != string(want.Payload) || (len(told[i].Deliveries) == 1) != (a.ID == e.App) {
			t.Fatalf("told of %+v", told[i])
		}
	}
	f.delivery(e.App, told[3].Message.ID, e.ID)
	k, err := f.Task(f.ctx, b.ID)
	f.ok(err)
	if k.Message == nil || k.Message.Message.Payload != nil {
		t.Fatalf("what a broadcast sent is kept behind its end: %+v", k.Message)
	}
	f.wantCounts(store.Counts{Messages: 6, Pending: 1})
}

func broadcastBounded(t *testing.T, f *fixture) {
	for range 12 {
		f.app()
	}
	b := f.newBroadcast()
	b.Message.Message.Payload = []byte(`"` + strings.Repeat("a", 1<<20) + `"`)
	f.ok(f.StartTask(f.ctx, b))
	k := f.step(b.ID, 100)
	if k.State != hook.TaskRunning || k.Looked < 1 || k.Looked > 8 {
		t.Fatalf("one step wrote %d copies of a MiB and is %s", k.Looked, k.State)
	}
	f.wants(f.goOn(b.ID, 100), hook.TaskFinished, 12, 12)
	l, err := f.Tasks(f.ctx, store.TaskFilter{}, store.Page{})
	f.ok(err)
	if len(l.Items) != 1 || l.Items[0].Message.Message.Payload != nil {
		t.Fatal("a list of tasks holds payloads")
	}
}

func broadcastRepeats(_ *testing.T, f *fixture) {
	a, _ := f.app(), f.app()
	m := f.newMessage(a.ID)
	m.EventID = "evt"
	f.accept(hook.Accept{Message: m, Unique: true, UniqueKeep: time.Hour})
	b := f.newBroadcast()
	b.Message.Message.EventID, b.Message.Unique, b.Message.UniqueKeep = "evt", true, time.Hour
	f.wants(f.run(b, 10), hook.TaskFinished, 2, 1)
	again := f.newBroadcast()
	again.Message = b.Message
	f.wants(f.run(again, 10), hook.TaskFinished, 2, 0)
}
