package storetest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var consumerTests = map[string]func(*testing.T, *fixture){
	"a reader of another's endpoint is not found":  othersConsumers,
	"a reader's place is changed and not its name": renamedConsumer,
	"a reader begins at the beginning":             freshConsumer,
	"a place is kept unless it has changed":        swapConsumer,
	"of two that move a place one does":            swapConsumerAtOnce,
	"readers go with their endpoint":               consumersGo,
}

func othersConsumers(_ *testing.T, f *fixture) {
	app, e := f.app(), f.endpoint(f.app().ID)
	for _, r := range []hook.Consumer{
		{App: app.ID, Endpoint: e.ID, Name: "a"}, {App: e.App, Endpoint: hook.NewID[hook.EndpointID](f.ids, f.now), Name: "a"}, {Name: "a"},
	} {
		_, err := f.Consumer(f.ctx, r.App, r.Endpoint, r.Name)
		f.fails(err, hook.KindNotFound)
		after := r
		after.At = 1
		_, err = f.SwapConsumer(f.ctx, r, after)
		f.fails(err, hook.KindNotFound)
	}
}

func renamedConsumer(_ *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	before := hook.Consumer{App: e.App, Endpoint: e.ID, Name: "a"}
	for _, change := range []func(*hook.Consumer){
		func(r *hook.Consumer) { r.Name = "b" }, func(r *hook.Consumer) { r.Endpoint++ }, func(r *hook.Consumer) { r.App++ },
	} {
		after := before
		change(&after)
		_, err := f.SwapConsumer(f.ctx, before, after)
		f.fails(err, hook.KindInvalid)
	}
}

func freshConsumer(t *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	got, err := f.Consumer(f.ctx, e.App, e.ID, "somebody 一")
	f.ok(err)
	same(t, got, hook.Consumer{App: e.App, Endpoint: e.ID, Name: "somebody 一"})
}

func swapConsumer(t *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	read := func(name string) hook.Consumer {
		t.Helper()
		r, err := f.Consumer(f.ctx, e.App, e.ID, name)
		f.ok(err)
		return r
	}
	move := func(before, after hook.Consumer, want bool) {
		t.Helper()
		done, err := f.SwapConsumer(f.ctx, before, after)
		f.ok(err)
		if done != want {
			t.Fatalf("from %+v to %+v: done is %t", before, after, done)
		}
	}
	fresh := read("a")
	given := fresh
	given.Leased, given.Until = 17, f.now.Add(30*time.Second)
	move(fresh, given, true)
	same(t, read("a"), given)
	same(t, read("b"), hook.Consumer{App: e.App, Endpoint: e.ID, Name: "b"}) // another reader's place is its own

	taken := given
	taken.At, taken.Leased, taken.Until = 17, 0, time.Time{}
	move(fresh, taken, false) // it has changed meanwhile
	same(t, read("a"), given)
	move(given, taken, true)
	same(t, read("a"), taken)
	move(given, fresh, false)
	move(taken, fresh, true) // back to the beginning
	same(t, read("a"), fresh)

	kept := false
	answer := func(store.Result) (int, []byte, bool) { kept = true; return 200, nil, true }
	ctx := store.With(f.ctx, store.Along{Receipt: &store.Receipt{Key: [32]byte{1}, Expires: f.now.Add(time.Hour), Answer: answer}})
	for i, before := range []hook.Consumer{taken, fresh} { // a request that was too late tries again under its key
		done, err := f.SwapConsumer(ctx, before, given)
		f.ok(err)
		if done != (i == 1) || kept != done {
			t.Fatalf("try %d: done is %t, an answer was kept: %t", i, done, kept)
		}
	}
}

func swapConsumerAtOnce(t *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	before := hook.Consumer{App: e.App, Endpoint: e.ID, Name: "a"}
	var won, n atomic.Int64
	atOnce(8, func() {
		after := before
		after.At = hook.MessageID(n.Add(1))
		done, err := f.SwapConsumer(f.ctx, before, after)
		if err != nil {
			t.Error(err)
		}
		if done {
			won.Add(1)
		}
	})
	if won.Load() != 1 {
		t.Fatalf("%d of them have moved it", won.Load())
	}
}

func consumersGo(t *testing.T, f *fixture) {
	app := f.app()
	for _, end := range []func(hook.Endpoint){
		func(e hook.Endpoint) { f.ok(f.DeleteEndpoint(f.ctx, app.ID, e.ID, f.now)) },
		func(hook.Endpoint) {
			f.ok(f.DeleteApplication(f.ctx, app.ID, f.now))
			f.ok(f.CreateApplication(f.ctx, app))
		},
	} {
		e := f.endpoint(app.ID)
		fresh := hook.Consumer{App: e.App, Endpoint: e.ID, Name: "a"}
		moved := fresh
		moved.At = 5
		if done, err := f.SwapConsumer(f.ctx, fresh, moved); err != nil || !done {
			t.Fatal(done, err)
		}
		end(e)
		_, err := f.Consumer(f.ctx, e.App, e.ID, "a")
		f.fails(err, hook.KindNotFound)
		f.ok(f.CreateEndpoint(f.ctx, e))
		got, err := f.Consumer(f.ctx, e.App, e.ID, "a")
		f.ok(err)
		same(t, got, fresh)
	}
}
