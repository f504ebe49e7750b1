package storetest

import (
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var finishTests = map[string]func(*testing.T, *fixture){
	"an impossible outcome is refused and writes nothing": impossibleOutcome,
	"an attempt id is taken once":                         takenAttemptID,
	"an attempt comes back as it went in":                 attemptRoundTrip,
	"a delivery takes the state that it is given":         statesGiven,
	"a canceled delivery keeps its state":                 canceledKeeps,
	"a success delivers what was canceled or failed":      successDelivers,
	"a delivered one stays delivered":                     deliveredStays,
	"a manual failure changes nothing but the history":    manualFailure,
	"an outcome after the endpoint is gone is recorded":   endpointGone,
	"health is written in the same commit":                healthWritten,
	"health that disables cancels what is pending":        healthDisables,
	"attempts are counted once each":                      attemptCount,
}

func impossibleOutcome(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	d := f.delivery(app.ID, f.message(app.ID).ID, e.ID)
	good := f.outcome(d, hook.Success)
	for name, spoil := range map[string]func(*hook.Outcome){
		"no id":                  func(o *hook.Outcome) { o.Attempt.ID = 0 },
		"of another message":     func(o *hook.Outcome) { o.Attempt.Message++ },
		"of another endpoint":    func(o *hook.Outcome) { o.Attempt.Endpoint++ },
		"pending without a time": func(o *hook.Outcome) { o.Attempt.Verdict, o.Delivery.State = hook.Retry, hook.Pending },
		"a time without pending": func(o *hook.Outcome) { o.Delivery.NextAt = f.now },
		"unknown state":          func(o *hook.Outcome) { o.Attempt.Verdict, o.Delivery.State = hook.Retry, 4 },
		"unknown verdict":        func(o *hook.Outcome) { o.Attempt.Verdict = 4 },
		"unknown trigger":        func(o *hook.Outcome) { o.Attempt.Trigger = 2 },
		"success not delivered":  func(o *hook.Outcome) { o.Delivery.State = hook.Failed },
	} {
		bad := f.outcome(d, hook.Success)
		spoil(&bad)
		if err := f.Finish(f.ctx, []hook.Outcome{good, bad}); hook.KindOf(err) != hook.KindInvalid {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
	}
	if work, _ := f.claim(e.ID, 10); len(work) != 1 {
		t.Fatal("a part of a refused batch was written")
	}
	f.finish(good)
}

func takenAttemptID(_ *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	a, b := f.delivery(app.ID, f.message(app.ID).ID, e.ID), f.delivery(app.ID, f.message(app.ID).ID, e.ID)
	first := f.outcome(a, hook.Success)
	f.finish(first)
	second := f.outcome(b, hook.Success)
	second.Attempt.ID = first.Attempt.ID
	f.fails(f.Finish(f.ctx, []hook.Outcome{second}), hook.KindConflict)
	f.wantCounts(store.Counts{Messages: 2, Pending: 1, Delivered: 1})
}

func attemptRoundTrip(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	d := f.delivery(app.ID, f.message(app.ID).ID, e.ID)
	o := f.outcome(d, hook.Retry, time.Minute)
	o.Attempt.EventType, o.Attempt.URL, o.Attempt.Status = "类型", "https://例子.example/?a", 503
	o.Attempt.Duration, o.Attempt.Reason = 1234567*time.Microsecond, "忙"
	o.Attempt.Response = []byte("\xff\x00 busy")
	f.finish(o)
	got, err := f.Attempt(f.ctx, app.ID, o.Attempt.ID)
	f.ok(err)
	same(t, got, o.Attempt)
	_, err = f.Attempt(f.ctx, f.app().ID, o.Attempt.ID)
	f.fails(err, hook.KindNotFound)
	_, err = f.Attempt(f.ctx, app.ID, o.Attempt.ID+1)
	f.fails(err, hook.KindNotFound)
}

func statesGiven(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	for _, c := range []struct {
		verdict  hook.Verdict
		schedule []time.Duration
		state    hook.State
		next     time.Time
	}{
		{hook.Success, nil, hook.Delivered, time.Time{}},
		{hook.Retry, []time.Duration{time.Minute}, hook.Pending, f.now.Add(time.Minute)},
		{hook.Retry, nil, hook.Failed, time.Time{}},
		{hook.Refuse, []time.Duration{time.Minute}, hook.Failed, time.Time{}},
		{hook.Gone, []time.Duration{time.Minute}, hook.Failed, time.Time{}},
	} {
		m := f.message(app.ID)
		f.finish(f.outcome(f.delivery(app.ID, m.ID, e.ID), c.verdict, c.schedule...))
		want := hook.Delivery{App: app.ID, Message: m.ID, Endpoint: e.ID, State: c.state, Attempts: 1, NextAt: c.next}
		same(t, f.delivery(app.ID, m.ID, e.ID), want)
	}
	f.wantCounts(store.Counts{Messages: 5, Pending: 1, Delivered: 1, Failed: 3})
}

// inFlight makes a delivery whose endpoint was disabled while its attempt was under way.
func inFlight(f *fixture) (hook.Application, hook.Delivery) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := f.message(app.ID)
	work, _ := f.claim(e.ID, 1)
	e.Disabled = true
	f.ok(f.UpdateEndpoint(f.ctx, e))
	if work[0].Delivery.Message != m.ID {
		f.t.Fatalf("claimed %+v", work)
	}
	return app, work[0].Delivery
}

func canceledKeeps(t *testing.T, f *fixture) {
	for _, v := range []hook.Verdict{hook.Retry, hook.Refuse} {
		app, d := inFlight(f)
		o := f.outcome(d, v, time.Minute)
		f.finish(o)
		if got := f.delivery(app.ID, d.Message, d.Endpoint); got.State != hook.Canceled || !got.NextAt.IsZero() || got.Attempts != 1 {
			t.Fatalf("the delivery is %+v, want canceled with one attempt", got)
		}
		_, err := f.Attempt(f.ctx, app.ID, o.Attempt.ID)
		f.ok(err)
	}
	f.wantCounts(store.Counts{Messages: 2, Canceled: 2})
}

func successDelivers(t *testing.T, f *fixture) {
	app, d := inFlight(f)
	f.finish(f.outcome(d, hook.Success))
	if got := f.delivery(app.ID, d.Message, d.Endpoint); got.State != hook.Delivered {
		t.Fatalf("the delivery is %s", got.State)
	}
	f.wantCounts(store.Counts{Messages: 1, Delivered: 1})

	e := f.endpoint(app.ID)
	m := f.message(app.ID)
	f.finish(f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Refuse))
	f.ok(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now))
	work, _ := f.claim(e.ID, 1)
	f.finish(f.manual(work[0], hook.Success))
	if got := f.delivery(app.ID, m.ID, e.ID); got.State != hook.Delivered || got.Attempts != 1 {
		t.Fatalf("the delivery is %+v, want delivered after one scheduled attempt", got)
	}
	f.wantCounts(store.Counts{Messages: 2, Delivered: 2})
}

func deliveredStays(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	d := f.delivery(app.ID, f.message(app.ID).ID, e.ID)
	f.finish(f.outcome(d, hook.Success))
	f.finish(f.outcome(d, hook.Retry, time.Minute)) // another attempt that was under way
	if got := f.delivery(app.ID, d.Message, e.ID); got.State != hook.Delivered || !got.NextAt.IsZero() {
		t.Fatalf("the delivery is %+v", got)
	}
	f.finish(f.outcome(d, hook.Success))
	f.wantCounts(store.Counts{Messages: 1, Delivered: 1})
}

func manualFailure(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := f.message(app.ID)
	f.ok(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now))
	work, _ := f.claim(e.ID, 10)
	// The schedule goes on while the manual attempt is under way.
	f.finish(f.outcome(work[1].Delivery, hook.Retry, time.Minute))
	want := f.delivery(app.ID, m.ID, e.ID)
	o := f.manual(work[0], hook.Retry)
	f.finish(o)
	same(t, f.delivery(app.ID, m.ID, e.ID), want)
	_, err := f.Attempt(f.ctx, app.ID, o.Attempt.ID)
	f.ok(err)
}

func endpointGone(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	d := f.delivery(app.ID, f.message(app.ID).ID, e.ID)
	f.ok(f.DeleteEndpoint(f.ctx, app.ID, e.ID, f.now))
	o := f.outcome(d, hook.Success)
	o.Health = &hook.EndpointHealth{}
	f.finish(o)
	if got := f.delivery(app.ID, d.Message, e.ID); got.State != hook.Delivered {
		t.Fatalf("the delivery is %s", got.State)
	}
	_, err := f.Attempt(f.ctx, app.ID, o.Attempt.ID)
	f.ok(err)
	f.wantCounts(store.Counts{Messages: 1, Delivered: 1})
}

func healthWritten(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	d := f.delivery(app.ID, f.message(app.ID).ID, e.ID)
	for _, since := range []time.Time{f.now, {}} {
		o := f.outcome(d, hook.Retry, time.Minute)
		o.Health = &hook.EndpointHealth{FailingSince: since, Reason: "not used without Disable"}
		f.told()
		f.finish(o)
		e.FailingSince = since
		got, err := f.Endpoint(f.ctx, app.ID, e.ID.String())
		f.ok(err)
		same(t, got, e)
		same(t, f.told(), []store.Change{{Config: true, Endpoint: e.ID}})
	}
}

func healthDisables(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	a, b := f.delivery(app.ID, f.message(app.ID).ID, e.ID), f.delivery(app.ID, f.message(app.ID).ID, e.ID)
	f.ok(f.Resend(f.ctx, app.ID, a.Message, e.ID, f.now))
	o := f.outcome(a, hook.Gone)
	o.Health = &hook.EndpointHealth{FailingSince: f.now, Disable: true, Reason: "answered 410"}
	f.finish(o)
	e.FailingSince, e.Disabled, e.DisabledReason = f.now, true, "answered 410"
	got, err := f.Endpoint(f.ctx, app.ID, e.ID.String())
	f.ok(err)
	same(t, got, e)
	if d := f.delivery(app.ID, b.Message, e.ID); d.State != hook.Canceled {
		t.Fatalf("the other delivery is %s", d.State)
	}
	if work, _ := f.claim(e.ID, 10); len(work) != 0 {
		t.Fatalf("work of a disabled endpoint can be claimed: %+v", work)
	}
	if out := f.accept(hook.Accept{Message: f.newMessage(app.ID)}); len(out.Deliveries) != 0 {
		t.Fatal("a message goes to a disabled endpoint")
	}
	f.wantCounts(store.Counts{Messages: 3, Failed: 1, Canceled: 1})
}

func attemptCount(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := f.message(app.ID)
	schedule := []time.Duration{time.Second, time.Second, time.Second}
	for n := 1; n <= 4; n++ {
		f.finish(f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Retry, schedule...))
		f.later(time.Second)
		if d := f.delivery(app.ID, m.ID, e.ID); d.Attempts != n || (d.State == hook.Failed) != (n == 4) {
			t.Fatalf("after %d attempts the delivery is %+v", n, d)
		}
	}
}
