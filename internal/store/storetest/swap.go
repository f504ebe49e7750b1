package storetest

import (
	"testing"

	"github.com/waypost/waypost/internal/hook"
)

func swap(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	read := func() hook.Endpoint {
		t.Helper()
		e, err := f.Endpoint(f.ctx, app.ID, e.ID.String())
		f.ok(err)
		return e
	}
	d := f.delivery(app.ID, f.message(app.ID).ID, e.ID)
	before := read()
	after := before
	after.Description = "changed"
	done, err := f.SwapEndpoint(f.ctx, before, after)
	f.ok(err)
	if !done {
		t.Fatal("an endpoint that nobody changed is not written")
	}
	same(t, read(), after)

	before = after
	after.Paused = true
	o := f.outcome(d, hook.Gone) // meanwhile the engine disables it
	o.Health = &hook.EndpointHealth{FailingSince: f.now, Disable: true, Reason: "answered 410"}
	f.finish(o)
	disabled := read()
	f.told()
	done, err = f.SwapEndpoint(f.ctx, before, after)
	f.ok(err)
	if done || len(f.told()) != 0 {
		t.Fatal("an endpoint is written over what the engine made of it")
	}
	same(t, read(), disabled)

	f.ok(f.DeleteEndpoint(f.ctx, app.ID, e.ID, f.now))
	_, err = f.SwapEndpoint(f.ctx, disabled, after)
	f.fails(err, hook.KindNotFound)
}
