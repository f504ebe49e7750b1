package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var operationalTests = map[string]func(*testing.T, *fixture){
	"the operational application is hidden":                 operationalHidden,
	"the operational application has endpoints":             operationalEndpoints,
	"an event is accepted with the write that it goes with": eventsAlong,
	"an event that nobody wants is forgotten":               eventsUnwanted,
	"a refused write leaves no event":                       eventsRefused,
	"an outcome's events come with the state that it made":  outcomeEvents,
	"health's events come when it disables":                 healthEvents,
}

func operationalHidden(t *testing.T, f *fixture) {
	ref := hook.Operational.String()
	_, err := f.Application(f.ctx, ref)
	f.fails(err, hook.KindNotFound)
	f.fails(f.DeleteApplication(f.ctx, hook.Operational, f.now), hook.KindNotFound)
	f.failsField(f.CreateApplication(f.ctx, hook.Application{ID: hook.Operational}), hook.KindConflict, "id")
	a := f.app()
	for _, p := range []store.Page{{}, {Descending: true}, {Before: a.ID.String()}, {After: ref}} {
		l, err := f.Applications(f.ctx, p)
		f.ok(err)
		for _, a := range l.Items {
			if a.ID == hook.Operational {
				t.Fatalf("page %+v shows it", p)
			}
		}
		if !l.Done {
			t.Fatalf("page %+v is not done", p)
		}
	}
	f.wantCounts(store.Counts{})
}

// operator makes an endpoint of the operator's.
func (f *fixture) operator(types ...string) hook.Endpoint {
	f.t.Helper()
	e := f.newEndpoint(hook.Operational)
	e.EventTypes = types
	f.ok(f.CreateEndpoint(f.ctx, e))
	return e
}

// event is something to be told to the operator.
func (f *fixture) event(name string) hook.Accept {
	return hook.Accept{Message: hook.Message{
		ID: hook.NewID[hook.MessageID](f.ids, f.now), App: hook.Operational, EventType: name, CreatedAt: f.now,
		Payload: fmt.Appendf(nil, `{"type":%q}`, name),
	}}
}

func operationalEndpoints(t *testing.T, f *fixture) {
	e := f.operator()
	f.ok(f.UpdateApplication(f.ctx, hook.Application{ID: hook.Operational, Name: "operational", AllowCIDRs: []string{"10.0.0.0/8"}}))
	target, err := f.Target(f.ctx, e.ID)
	f.ok(err)
	same(t, target.AllowCIDRs, []string{"10.0.0.0/8"})
	l, err := f.Endpoints(f.ctx, hook.Operational, store.Page{})
	f.ok(err)
	same(t, l.Items, []hook.Endpoint{e})
	out := f.accept(f.event("endpoint.created"))
	if len(out.Deliveries) != 1 || out.Deliveries[0].Endpoint != e.ID {
		t.Fatalf("deliveries are %+v", out.Deliveries)
	}
	m, err := f.Load(f.ctx, out.Message.ID)
	f.ok(err)
	same(t, m, out.Message)
}

// wantEvents wants the event types that were accepted for the operator since the start, in order.
func (f *fixture) wantEvents(want ...string) {
	f.t.Helper()
	l, err := f.Messages(f.ctx, hook.Operational, store.MessageFilter{}, store.Page{})
	f.ok(err)
	var got []string
	for _, m := range l.Items {
		got = append(got, m.EventType)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		f.t.Fatalf("the operator was told %q, want %q", got, want)
	}
}

func eventsAlong(t *testing.T, f *fixture) {
	op := f.operator("endpoint.created", "endpoint.deleted")
	app := f.app()
	e := f.newEndpoint(app.ID)
	f.told()
	event := f.event("endpoint.created")
	event.Message.App = 0 // wherever it says it belongs
	f.ok(f.CreateEndpoint(store.With(f.ctx, store.Along{Events: []hook.Accept{event}}), e))
	f.wantEvents("endpoint.created")
	var told []hook.Accepted
	for _, c := range f.told() {
		told = append(told, c.Accepted...)
	}
	if len(told) != 1 || told[0].Message.App != hook.Operational || len(told[0].Deliveries) != 1 || told[0].Deliveries[0].Endpoint != op.ID {
		t.Fatalf("told %+v, want the event with its delivery", told)
	}
	work, _ := f.claim(op.ID, 10)
	same(t, work, []hook.Work{{Delivery: told[0].Deliveries[0]}})

	// Any write may carry them, one that makes a message too: the message is first.
	ctx := store.With(f.ctx, store.Along{Events: []hook.Accept{f.event("endpoint.deleted"), f.event("endpoint.created")}})
	m := f.newMessage(app.ID)
	out, err := f.Accept(ctx, []hook.Accept{{Message: m}})
	f.ok(err)
	f.wantEvents("endpoint.created", "endpoint.deleted", "endpoint.created")
	if out[0].Message.ID > f.lastEvent() {
		t.Fatal("the message is behind the event that goes along with it")
	}
	f.wantCounts(store.Counts{Messages: 4, Pending: 4})
}

func (f *fixture) lastEvent() hook.MessageID {
	f.t.Helper()
	l, err := f.Messages(f.ctx, hook.Operational, store.MessageFilter{}, store.Page{Limit: 1, Descending: true})
	f.ok(err)
	return l.Items[0].ID
}

func eventsUnwanted(t *testing.T, f *fixture) {
	app := f.app()
	send := func() {
		t.Helper()
		f.ok(f.CreateEndpoint(store.With(f.ctx, store.Along{Events: []hook.Accept{f.event("endpoint.created")}}), f.newEndpoint(app.ID)))
	}
	send() // there is no endpoint
	e := f.operator("another.type")
	send()
	e.EventTypes, e.Disabled = nil, true
	f.ok(f.UpdateEndpoint(f.ctx, e))
	send()
	f.wantEvents()
	f.wantCounts(store.Counts{})
	e.Disabled, e.Transport = false, hook.TransportPoll // kept for being polled
	f.ok(f.UpdateEndpoint(f.ctx, e))
	send()
	f.wantEvents("endpoint.created")
	f.wantCounts(store.Counts{Messages: 1})
}

func eventsRefused(t *testing.T, f *fixture) {
	f.operator()
	app := f.app()
	e := f.endpoint(app.ID)
	with := func(name string) store.Along { return store.Along{Events: []hook.Accept{f.event(name)}} }
	f.fails(f.CreateEndpoint(store.With(f.ctx, with("refused")), e), hook.KindConflict)
	stale := e
	stale.Description = "somebody else has seen it otherwise"
	done, err := f.SwapEndpoint(store.With(f.ctx, with("unchanged")), stale, e)
	f.ok(err)
	if done {
		t.Fatal("a swap of what is not there was done")
	}
	f.wantEvents()
	done, err = f.SwapEndpoint(store.With(f.ctx, with("changed")), e, stale)
	f.ok(err)
	if !done {
		t.Fatal("a swap was not done")
	}
	f.wantEvents("changed")
}

func outcomeEvents(_ *testing.T, f *fixture) {
	op := f.operator()
	app := f.app()
	e := f.endpoint(app.ID)
	finish := func(o hook.Outcome, event string) {
		o.Events = []hook.Accept{f.event(event)}
		f.finish(o)
	}
	a, b, c := f.message(app.ID), f.message(app.ID), f.message(app.ID)
	finish(f.outcome(f.delivery(app.ID, a.ID, e.ID), hook.Retry, time.Minute), "failing")
	f.wantEvents("failing")
	stale := f.delivery(app.ID, a.ID, e.ID)
	finish(f.outcome(f.delivery(app.ID, a.ID, e.ID), hook.Refuse), "exhausted")
	f.wantEvents("failing", "exhausted")
	finish(f.outcome(stale, hook.Retry, time.Minute), "too late") // it had failed meanwhile
	f.ok(f.Resend(f.ctx, app.ID, a.ID, e.ID, f.now))
	work, _ := f.claim(e.ID, 1)
	finish(f.manual(work[0], hook.Retry), "a manual failure makes nothing")
	f.wantEvents("failing", "exhausted")
	f.ok(f.Resend(f.ctx, app.ID, a.ID, e.ID, f.now))
	work, _ = f.claim(e.ID, 1)
	finish(f.manual(work[0], hook.Success), "recovered")
	f.wantEvents("failing", "exhausted", "recovered")
	finish(f.manual(work[0], hook.Success), "delivered twice")

	stale = f.delivery(app.ID, b.ID, e.ID)
	if n, err := f.Cancel(f.ctx, app.ID, b.ID, 0, f.now); err != nil || n != 1 {
		f.t.Fatalf("canceled %d, %v", n, err)
	}
	finish(f.outcome(stale, hook.Refuse), "canceled meanwhile")
	f.later(time.Hour)
	f.sweep(store.Sweep{Now: f.now, Before: c.CreatedAt, Limit: 10})
	f.wantEvents("failing", "exhausted", "recovered")
	if work, _ := f.claim(op.ID, 10); len(work) != 3 {
		f.t.Fatalf("%d events are to be delivered, want 3", len(work))
	}
}

func healthEvents(_ *testing.T, f *fixture) {
	f.operator()
	app := f.app()
	e := f.endpoint(app.ID)
	health := func(disable bool, event string) {
		o := f.outcome(f.delivery(app.ID, f.message(app.ID).ID, e.ID), hook.Refuse)
		o.Health = &hook.EndpointHealth{FailingSince: f.now, Disable: disable, Reason: "because", Events: []hook.Accept{f.event(event)}}
		f.finish(o)
	}
	health(false, "not disabled")
	f.wantEvents()
	m := f.message(app.ID)
	late := f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Refuse)
	late.Health = &hook.EndpointHealth{FailingSince: f.now, Disable: true, Events: []hook.Accept{f.event("again")}}
	health(true, "disabled")
	f.wantEvents("disabled")
	f.finish(late)
	f.wantEvents("disabled")
	f.ok(f.DeleteEndpoint(f.ctx, app.ID, e.ID, f.now))
	late = f.outcome(hook.Delivery{App: app.ID, Message: m.ID, Endpoint: e.ID}, hook.Refuse)
	late.Health = &hook.EndpointHealth{Disable: true, Events: []hook.Accept{f.event("gone")}}
	f.finish(late)
	f.wantEvents("disabled")
}
