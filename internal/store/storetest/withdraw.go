package storetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var withdrawTests = map[string]func(*testing.T, *fixture){
	"what is not there cannot be withdrawn":                       withdrawMissing,
	"a resend to an endpoint that is sent nothing is refused":     resendNowhere,
	"cancel withdraws what is pending of a message":               cancelAll,
	"cancel for one endpoint leaves the others":                   cancelOne,
	"cancel takes back wished resends":                            cancelWishes,
	"cancel of what is settled changes nothing":                   cancelSettled,
	"an attempt under way when its delivery is canceled is kept":  cancelInFlight,
	"a canceled message can be sent again":                        cancelThenResend,
	"a canceled message goes with retention":                      cancelThenSweep,
	"expunge removes content and cancels":                         expunge,
	"expunge leaves what became of the message":                   expungeSettled,
	"an expunged answer says so":                                  expungeResponse,
	"content that has its own time goes then":                     contentUntil,
	"content stays while something is pending or wished":          contentWanted,
	"content that must stay does not hold up the rest":            contentBlocked,
	"cancel, finish and resend at once leave one of their states": withdrawAtOnce,
}

func withdrawMissing(_ *testing.T, f *fixture) {
	app, other := f.app(), f.app()
	e := f.endpoint(app.ID)
	m, theirs := f.message(app.ID), f.message(other.ID)
	o := f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Refuse)
	f.finish(o)
	nobody := hook.NewID[hook.ApplicationID](f.ids, f.now)
	for _, c := range []struct {
		app hook.ApplicationID
		m   hook.MessageID
	}{{app.ID, hook.NewID[hook.MessageID](f.ids, f.now)}, {app.ID, theirs.ID}, {other.ID, m.ID}, {nobody, m.ID}} {
		_, err := f.Cancel(f.ctx, c.app, c.m, 0, f.now)
		f.fails(err, hook.KindNotFound)
		f.fails(f.Expunge(f.ctx, c.app, c.m, f.now), hook.KindNotFound)
	}
	f.fails(f.ExpungeResponse(f.ctx, app.ID, o.Attempt.ID+1), hook.KindNotFound)
	f.fails(f.ExpungeResponse(f.ctx, other.ID, o.Attempt.ID), hook.KindNotFound)
	f.ok(f.DeleteApplication(f.ctx, app.ID, f.now))
	_, err := f.Cancel(f.ctx, app.ID, m.ID, 0, f.now)
	f.fails(err, hook.KindNotFound)
	f.fails(f.Expunge(f.ctx, app.ID, m.ID, f.now), hook.KindNotFound)
	f.fails(f.ExpungeResponse(f.ctx, app.ID, o.Attempt.ID), hook.KindNotFound)
}

func resendNowhere(t *testing.T, f *fixture) {
	app := f.app()
	m := f.message(app.ID)
	e := f.endpoint(app.ID)
	for _, change := range []func(){
		func() { e.Disabled = true },
		func() { e.Disabled, e.Transport = false, hook.TransportPoll },
	} {
		change()
		f.ok(f.UpdateEndpoint(f.ctx, e))
		f.fails(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now), hook.KindConflict)
		if work, _ := f.claim(e.ID, 10); len(work) != 0 {
			t.Fatalf("a refused wish can be claimed: %+v", work)
		}
	}
	f.wantCounts(store.Counts{Messages: 1})
	e.Transport = hook.TransportHTTP
	f.ok(f.UpdateEndpoint(f.ctx, e))
	f.ok(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now))
}

// cancel withdraws and wants a number, and that those endpoints are told.
func (f *fixture) cancel(app hook.ApplicationID, m hook.MessageID, ep hook.EndpointID, want ...hook.EndpointID) {
	f.t.Helper()
	f.told()
	n, err := f.Cancel(f.ctx, app, m, ep, f.now)
	f.ok(err)
	var told, all []store.Withdrawn
	for _, c := range f.told() {
		told = append(told, c.Canceled...)
	}
	for _, ep := range want {
		all = append(all, store.Withdrawn{Message: m, Endpoint: ep})
	}
	if n != len(want) || !slices.Equal(told, all) {
		f.t.Fatalf("canceled %d and told %+v, want %+v", n, told, all)
	}
}

func (f *fixture) wantState(app hook.ApplicationID, m hook.MessageID, ep hook.EndpointID, want hook.State) {
	f.t.Helper()
	if d := f.delivery(app, m, ep); d.State != want || (want == hook.Pending) == d.NextAt.IsZero() {
		f.t.Fatalf("the delivery is %+v, want %s", d, want)
	}
}

func cancelAll(t *testing.T, f *fixture) {
	app := f.app()
	a, b, c := f.endpoint(app.ID), f.endpoint(app.ID), f.endpoint(app.ID)
	m, other := f.message(app.ID), f.message(app.ID)
	f.finish(f.outcome(f.delivery(app.ID, m.ID, b.ID), hook.Retry, time.Minute))
	f.finish(f.outcome(f.delivery(app.ID, m.ID, c.ID), hook.Success))
	f.cancel(app.ID, m.ID, 0, a.ID, b.ID)
	f.wantState(app.ID, m.ID, a.ID, hook.Canceled)
	f.wantState(app.ID, m.ID, b.ID, hook.Canceled)
	f.wantState(app.ID, m.ID, c.ID, hook.Delivered)
	if d := f.delivery(app.ID, m.ID, b.ID); d.Attempts != 1 {
		t.Fatalf("%d attempts are left of one", d.Attempts)
	}
	for _, e := range []hook.Endpoint{a, b, c} {
		work, next := f.claim(e.ID, 10)
		if len(work) != 1 || work[0].Delivery.Message != other.ID || !next.IsZero() {
			t.Fatalf("claimed %+v, next %v; want the other message", work, next)
		}
	}
	f.wantCounts(store.Counts{Messages: 2, Pending: 3, Delivered: 1, Canceled: 2})
	f.cancel(app.ID, m.ID, 0)
	f.wantCounts(store.Counts{Messages: 2, Pending: 3, Delivered: 1, Canceled: 2})
}

func cancelOne(_ *testing.T, f *fixture) {
	app := f.app()
	a, b := f.endpoint(app.ID), f.endpoint(app.ID)
	m := f.message(app.ID)
	f.cancel(app.ID, m.ID, hook.NewID[hook.EndpointID](f.ids, f.now))
	f.cancel(app.ID, m.ID, b.ID, b.ID)
	f.wantState(app.ID, m.ID, a.ID, hook.Pending)
	f.wantState(app.ID, m.ID, b.ID, hook.Canceled)
	// What went with a closed lane is canceled already, rewritten or not.
	a.Disabled = true
	f.ok(f.UpdateEndpoint(f.ctx, a))
	f.cancel(app.ID, m.ID, 0)
	f.ok(f.DeleteEndpoint(f.ctx, app.ID, a.ID, f.now))
	f.cancel(app.ID, m.ID, 0)
	f.wantCounts(store.Counts{Messages: 1, Canceled: 2})
	f.sweep(store.Sweep{Now: f.now, Limit: 1})
	f.wantCounts(store.Counts{Messages: 1, Canceled: 2})
}

func cancelWishes(t *testing.T, f *fixture) {
	app := f.app()
	a, b := f.endpoint(app.ID), f.endpoint(app.ID)
	m, other := f.message(app.ID), f.message(app.ID)
	f.finish(f.outcome(f.delivery(app.ID, m.ID, a.ID), hook.Refuse))
	for _, w := range []struct {
		m  hook.MessageID
		ep hook.EndpointID
	}{{m.ID, a.ID}, {m.ID, a.ID}, {m.ID, b.ID}, {other.ID, a.ID}} {
		f.ok(f.Resend(f.ctx, app.ID, w.m, w.ep, f.now))
	}
	f.cancel(app.ID, m.ID, 0, a.ID, b.ID) // wished twice, and pending and wished: one delivery each
	f.wantState(app.ID, m.ID, a.ID, hook.Failed)
	f.wantState(app.ID, m.ID, b.ID, hook.Canceled)
	work, _ := f.claim(a.ID, 10)
	if len(work) != 2 || work[0].Trigger != hook.Manual || work[0].Delivery.Message != other.ID || work[1].Delivery.Message != other.ID {
		t.Fatalf("claimed %+v, want what there is of the other message", work)
	}
	if work, _ := f.claim(b.ID, 10); len(work) != 1 || work[0].Delivery.Message != other.ID {
		t.Fatalf("claimed %+v, want the other message", work)
	}
	f.wantCounts(store.Counts{Messages: 2, Pending: 2, Failed: 1, Canceled: 1})
}

func cancelSettled(_ *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	done, failed := f.message(app.ID), f.message(app.ID)
	f.finish(f.outcome(f.delivery(app.ID, done.ID, e.ID), hook.Success), f.outcome(f.delivery(app.ID, failed.ID, e.ID), hook.Refuse))
	f.cancel(app.ID, done.ID, 0)
	f.cancel(app.ID, failed.ID, e.ID)
	f.wantState(app.ID, done.ID, e.ID, hook.Delivered)
	f.wantState(app.ID, failed.ID, e.ID, hook.Failed)
	f.wantCounts(store.Counts{Messages: 2, Delivered: 1, Failed: 1})
}

func cancelInFlight(t *testing.T, f *fixture) {
	for _, c := range []struct {
		verdict hook.Verdict
		want    hook.State
	}{{hook.Success, hook.Delivered}, {hook.Retry, hook.Canceled}, {hook.Refuse, hook.Canceled}} {
		app := f.app()
		e := f.endpoint(app.ID)
		m := f.message(app.ID)
		f.ok(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now))
		work, _ := f.claim(e.ID, 10)
		f.cancel(app.ID, m.ID, 0, e.ID)
		manual, scheduled := f.manual(work[0], hook.Retry), f.outcome(work[1].Delivery, c.verdict, time.Minute)
		f.finish(manual, scheduled)
		f.wantState(app.ID, m.ID, e.ID, c.want)
		for _, o := range []hook.Outcome{manual, scheduled} {
			if _, err := f.Attempt(f.ctx, app.ID, o.Attempt.ID); err != nil {
				t.Fatal(err)
			}
		}
		if work, next := f.claim(e.ID, 10); len(work) != 0 || !next.IsZero() {
			t.Fatalf("claimed %+v, next %v", work, next)
		}
	}
	f.wantCounts(store.Counts{Messages: 3, Delivered: 1, Canceled: 2})
}

func cancelThenResend(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := f.message(app.ID)
	f.cancel(app.ID, m.ID, 0, e.ID)
	f.ok(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now))
	work, _ := f.claim(e.ID, 10)
	if len(work) != 1 || work[0].Trigger != hook.Manual {
		t.Fatalf("claimed %+v, want the wish", work)
	}
	f.finish(f.manual(work[0], hook.Success))
	f.wantState(app.ID, m.ID, e.ID, hook.Delivered)
	f.wantCounts(store.Counts{Messages: 1, Delivered: 1})
}

func cancelThenSweep(t *testing.T, f *fixture) {
	app := f.app()
	f.endpoint(app.ID)
	m := f.message(app.ID)
	f.later(time.Hour)
	if s := f.sweep(f.all()); s != (store.Swept{}) {
		t.Fatalf("swept %+v of what is pending", s)
	}
	_, err := f.Cancel(f.ctx, app.ID, m.ID, 0, f.now)
	f.ok(err)
	if s := f.sweep(f.all()); s.Messages != 1 {
		t.Fatalf("swept %+v", s)
	}
}

func expunge(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := received(f, app.ID, []byte(`{"a":{}}`), []byte(`{}`))
	m.ContentUntil = f.now.Add(time.Hour)
	f.accept(hook.Accept{Message: m})
	work, _ := f.claim(e.ID, 1)
	f.told()
	f.ok(f.Expunge(f.ctx, app.ID, m.ID, f.now))
	same(t, f.told(), []store.Change{{Canceled: []store.Withdrawn{{Message: m.ID, Endpoint: e.ID}}}})
	m.Payload, m.Raw, m.Expired, m.ContentUntil = nil, nil, true, time.Time{}
	got, err := f.Message(f.ctx, app.ID, m.ID.String(), true)
	f.ok(err)
	same(t, got, m)
	got, err = f.Load(f.ctx, m.ID)
	f.ok(err)
	same(t, got, m)
	for _, with := range []bool{true, false} {
		l, err := f.Messages(f.ctx, app.ID, store.MessageFilter{WithPayload: with}, store.Page{})
		f.ok(err)
		same(t, l.Items, []hook.Message{m})
	}
	f.wantState(app.ID, m.ID, e.ID, hook.Canceled)
	f.fails(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now), hook.KindGone)
	f.ok(f.Expunge(f.ctx, app.ID, m.ID, f.now))
	f.finish(f.outcome(work[0].Delivery, hook.Retry, time.Minute)) // what was under way is recorded
	f.wantState(app.ID, m.ID, e.ID, hook.Canceled)
	f.later(2 * time.Hour)
	if s := f.sweep(f.all()); s.Payloads != 0 || s.Messages != 1 {
		t.Fatalf("swept %+v", s)
	}
	f.wantCounts(store.Counts{Messages: 1, Canceled: 1})
}

func expungeSettled(_ *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := f.message(app.ID)
	o := f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Success)
	f.finish(o)
	f.ok(f.Expunge(f.ctx, app.ID, m.ID, f.now))
	f.wantState(app.ID, m.ID, e.ID, hook.Delivered)
	_, err := f.Attempt(f.ctx, app.ID, o.Attempt.ID)
	f.ok(err)
	f.wantCounts(store.Counts{Messages: 1, Delivered: 1})
}

func expungeResponse(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	for _, response := range [][]byte{[]byte("a secret"), {}, nil} {
		o := f.outcome(f.delivery(app.ID, f.message(app.ID).ID, e.ID), hook.Refuse)
		o.Attempt.Response = response
		f.finish(o)
		for range 2 {
			f.ok(f.ExpungeResponse(f.ctx, app.ID, o.Attempt.ID))
		}
		o.Attempt.Response = []byte("EXPUNGED")
		got, err := f.Attempt(f.ctx, app.ID, o.Attempt.ID)
		f.ok(err)
		same(t, got, o.Attempt)
	}
}

// until accepts a message whose content goes at a moment.
func (f *fixture) until(app hook.ApplicationID, at time.Time) hook.Message {
	f.t.Helper()
	m := f.newMessage(app)
	m.ContentUntil = at
	return f.accept(hook.Accept{Message: m}).Message
}

func contentUntil(t *testing.T, f *fixture) {
	app := f.app()
	late, early, kept := f.until(app.ID, f.now.Add(2*time.Hour)), f.until(app.ID, f.now.Add(time.Hour)), f.message(app.ID)
	sweep := func() store.Swept { return f.sweep(store.Sweep{Now: f.now, Limit: 10}) }
	wantGone := func(m hook.Message, gone bool) {
		t.Helper()
		if gone {
			m.Payload, m.Expired, m.ContentUntil = nil, true, time.Time{}
		}
		got, err := f.Load(f.ctx, m.ID)
		f.ok(err)
		same(t, got, m)
	}
	f.later(time.Hour - time.Millisecond)
	if s := sweep(); s != (store.Swept{}) {
		t.Fatalf("swept %+v before the time", s)
	}
	f.later(time.Millisecond)
	if s := sweep(); s != (store.Swept{Payloads: 1}) {
		t.Fatalf("swept %+v, want the one whose time has come", s)
	}
	wantGone(early, true)
	wantGone(late, false)
	f.later(time.Hour)
	if s := sweep(); s != (store.Swept{Payloads: 1}) {
		t.Fatalf("swept %+v, want the other", s)
	}
	wantGone(late, true)
	wantGone(kept, false)
	if s := sweep(); s != (store.Swept{}) {
		t.Fatalf("swept %+v twice", s)
	}
	// What retention has taken for its age is not counted again.
	f.until(app.ID, f.now.Add(time.Hour))
	f.later(2 * time.Hour)
	if s := f.sweep(store.Sweep{Now: f.now.Add(-2 * time.Hour), PayloadBefore: f.now, Limit: 10}); s != (store.Swept{Payloads: 2}) {
		t.Fatalf("swept %+v, want what is left", s)
	}
	if s := sweep(); s != (store.Swept{}) {
		t.Fatalf("swept %+v of what had gone", s)
	}
}

func contentWanted(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := f.until(app.ID, f.now.Add(time.Second))
	f.later(time.Hour)
	sweep := store.Sweep{Now: f.now, Limit: 10}
	if s := f.sweep(sweep); s != (store.Swept{}) {
		t.Fatalf("swept %+v of what is pending", s)
	}
	f.finish(f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Refuse))
	f.ok(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now))
	if s := f.sweep(sweep); s != (store.Swept{}) {
		t.Fatalf("swept %+v of what is wished for", s)
	}
	work, _ := f.claim(e.ID, 1)
	f.finish(f.manual(work[0], hook.Success))
	if s := f.sweep(sweep); s != (store.Swept{Payloads: 1}) {
		t.Fatalf("swept %+v after it was done", s)
	}
	f.fails(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now), hook.KindGone)
}

func contentBlocked(t *testing.T, f *fixture) {
	app := f.app()
	e := f.newEndpoint(app.ID)
	e.EventTypes = []string{"keep"}
	f.ok(f.CreateEndpoint(f.ctx, e))
	at := f.now.Add(time.Second)
	for i := range 30 {
		m := f.newMessage(app.ID)
		m.ContentUntil = at
		if i < 20 {
			m.EventType = "keep"
		}
		f.accept(hook.Accept{Message: m})
	}
	f.later(time.Hour)
	if s := f.sweep(store.Sweep{Now: f.now, Limit: 4}); s != (store.Swept{Payloads: 10}) {
		t.Fatalf("swept %+v, want the 10 that may go", s)
	}
	for _, m := range []int{0, 1} { // and those that had to stay go in a later round
		work, _ := f.claim(e.ID, 100)
		f.finish(f.outcome(work[m].Delivery, hook.Success))
	}
	if s := f.sweep(store.Sweep{Now: f.now, Limit: 4}); s != (store.Swept{Payloads: 2}) {
		t.Fatalf("swept %+v, want the 2 that were delivered", s)
	}
}

// withdrawAtOnce: whatever comes first, the state is one that the order allows, and the books balance.
func withdrawAtOnce(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	for round := range 40 {
		m := f.message(app.ID)
		verdict := []hook.Verdict{hook.Success, hook.Refuse, hook.Retry}[round%3]
		o := f.outcome(f.delivery(app.ID, m.ID, e.ID), verdict, time.Minute)
		var wg sync.WaitGroup
		for _, call := range []func() error{
			func() error { _, err := f.Cancel(f.ctx, app.ID, m.ID, 0, f.now); return err },
			func() error { return f.Finish(f.ctx, []hook.Outcome{o}) },
			func() error { return f.Expunge(f.ctx, app.ID, m.ID, f.now) },
			func() error {
				err := f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now)
				if hook.KindOf(err) == hook.KindGone {
					return nil
				}
				return err
			},
		} {
			wg.Go(func() {
				if err := call(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		allowed := []hook.State{hook.Canceled, hook.Delivered}
		if verdict != hook.Success {
			allowed = []hook.State{hook.Canceled, hook.Failed}
		}
		if d := f.delivery(app.ID, m.ID, e.ID); !slices.Contains(allowed, d.State) || verdict == hook.Success && d.State != hook.Delivered {
			t.Fatalf("after %v the delivery is %+v", verdict, d)
		}
		if work, _ := f.claim(e.ID, 10); len(work) != 0 {
			t.Fatalf("there is work for a message without content: %+v", work)
		}
	}
	c := f.counts()
	if c.Pending != 0 || c.Messages != 40 || c.Delivered+c.Failed+c.Canceled != 40 {
		t.Fatalf("counts are %+v", c)
	}
}
