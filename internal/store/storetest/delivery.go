package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var deliveryTests = map[string]func(*testing.T, *fixture){
	"a resend of what does not exist is not found":            resendMissing,
	"a resend of what retention took is gone":                 resendGone,
	"a resend makes the delivery that never was":              resendFresh,
	"a resend is wished until it is made":                     resendUntilMade,
	"a resend is told before the call returns":                resendChange,
	"two wishes are two attempts":                             twoWishes,
	"claim gives what is due, oldest first":                   claimOrder,
	"claim does not give what is not due":                     claimFuture,
	"claim is bounded and says when the next is due":          claimBounded,
	"claim gives again what is not finished":                  claimAgain,
	"claim puts wishes first":                                 claimWishes,
	"claim for an unknown endpoint gives nothing":             claimUnknown,
	"pending lists every endpoint with its earliest work":     pendingList,
	"disabling cancels what is pending and nothing else":      disableCancels,
	"deleting an endpoint cancels what is pending":            deleteCancels,
	"what was canceled stays so when the endpoint comes back": canceledForGood,
	"what is pending can be hastened, and nothing else":       hasten,
	"an endpoint that is paused keeps its deliveries":         pausedKeeps,
}

func resendMissing(_ *testing.T, f *fixture) {
	app, other := f.app(), f.app()
	e, elsewhere := f.endpoint(app.ID), f.endpoint(other.ID)
	m, theirs := f.message(app.ID), f.message(other.ID)
	f.fails(f.Resend(f.ctx, app.ID, hook.NewID[hook.MessageID](f.ids, f.now), e.ID, f.now), hook.KindNotFound)
	f.fails(f.Resend(f.ctx, app.ID, m.ID, hook.NewID[hook.EndpointID](f.ids, f.now), f.now), hook.KindNotFound)
	f.fails(f.Resend(f.ctx, app.ID, theirs.ID, e.ID, f.now), hook.KindNotFound)
	f.fails(f.Resend(f.ctx, app.ID, m.ID, elsewhere.ID, f.now), hook.KindNotFound)
	f.fails(f.Resend(f.ctx, hook.NewID[hook.ApplicationID](f.ids, f.now), m.ID, e.ID, f.now), hook.KindNotFound)
}

// hasten brings forward what is planned for later, of its endpoint only, and what is pending only.
func hasten(t *testing.T, f *fixture) {
	app := f.app()
	e, other := f.endpoint(app.ID), f.endpoint(app.ID)
	later, done, now := f.message(app.ID), f.message(app.ID), f.message(app.ID)
	of := func(m hook.Message, ep hook.EndpointID) hook.Delivery { return f.delivery(app.ID, m.ID, ep) }
	f.finish(f.outcome(of(later, e.ID), hook.Retry, time.Hour), f.outcome(of(later, other.ID), hook.Retry, time.Hour), f.outcome(of(done, e.ID), hook.Success))
	elsewhere, delivered, due := of(later, other.ID), of(done, e.ID), of(now, e.ID)
	f.later(time.Minute)
	f.told()
	unknown := hook.NewID[hook.MessageID](f.ids, f.now)
	f.ok(f.Hasten(f.ctx, e.ID, []hook.MessageID{later.ID, done.ID, now.ID, unknown}, f.now))
	if c := f.told(); len(c) != 1 || !c[0].Config || c[0].Endpoint != e.ID {
		t.Fatalf("hastening told %+v", c)
	}
	if d := of(later, e.ID); d.State != hook.Pending || !d.NextAt.Equal(f.now) || d.Attempts != 1 {
		t.Fatalf("hastened to %+v", d)
	}
	same(t, of(later, other.ID), elsewhere)
	same(t, of(done, e.ID), delivered)
	same(t, of(now, e.ID), due) // what is due is not put off
	f.ok(f.Hasten(f.ctx, e.ID, nil, f.now))
	f.fails(f.Hasten(f.ctx, hook.NewID[hook.EndpointID](f.ids, f.now), []hook.MessageID{later.ID}, f.now), hook.KindNotFound)
	e.Disabled = true
	f.ok(f.UpdateEndpoint(f.ctx, e))
	f.ok(f.Hasten(f.ctx, e.ID, []hook.MessageID{later.ID}, f.later(time.Minute)))
	f.wantState(app.ID, later.ID, e.ID, hook.Canceled)
}

func resendGone(_ *testing.T, f *fixture) {
	app := f.app()
	m := f.message(app.ID)
	e := f.endpoint(app.ID)
	f.later(time.Hour)
	f.sweep(store.Sweep{Now: f.now, PayloadBefore: f.now, Limit: 10})
	f.fails(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now), hook.KindGone)
	if work, _ := f.claim(e.ID, 10); len(work) != 0 {
		f.t.Fatalf("a refused wish can be claimed: %+v", work)
	}
}

func resendFresh(t *testing.T, f *fixture) {
	app := f.app()
	m := f.message(app.ID)
	e := f.endpoint(app.ID)
	f.ok(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now))
	if d := f.delivery(app.ID, m.ID, e.ID); d.State != hook.Canceled || !d.NextAt.IsZero() {
		t.Fatalf("the delivery is %+v, want canceled", d)
	}
	f.wantCounts(store.Counts{Messages: 1, Canceled: 1})
}

// manual is a manual attempt of what was claimed.
func (f *fixture) manual(w hook.Work, v hook.Verdict) hook.Outcome {
	o := f.outcome(w.Delivery, v)
	o.Delivery = w.Delivery.Step(v, hook.Manual, f.now, nil, 0)
	o.Attempt.N, o.Attempt.Trigger, o.Resend = 0, hook.Manual, w.Resend
	return o
}

func resendUntilMade(t *testing.T, f *fixture) {
	app := f.app()
	m := f.message(app.ID)
	e := f.endpoint(app.ID)
	f.ok(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now))
	for range 2 {
		work, _ := f.claim(e.ID, 10)
		if len(work) != 1 || work[0].Trigger != hook.Manual || work[0].Resend == 0 || work[0].Delivery.Message != m.ID {
			t.Fatalf("claimed %+v, want the wish", work)
		}
	}
	work, _ := f.claim(e.ID, 10)
	o := f.manual(work[0], hook.Success)
	f.finish(o)
	if work, _ := f.claim(e.ID, 10); len(work) != 0 {
		t.Fatalf("a wish that was made is claimed again: %+v", work)
	}
	if d := f.delivery(app.ID, m.ID, e.ID); d.State != hook.Delivered {
		t.Fatalf("the delivery is %s", d.State)
	}
	got, err := f.Attempt(f.ctx, app.ID, o.Attempt.ID)
	f.ok(err)
	same(t, got, o.Attempt)
}

func resendChange(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := f.message(app.ID)
	f.told()
	f.ok(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now))
	same(t, f.told(), []store.Change{{Resend: e.ID}})
}

func twoWishes(t *testing.T, f *fixture) {
	app := f.app()
	m := f.message(app.ID)
	e := f.endpoint(app.ID)
	f.ok(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now))
	f.ok(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now))
	work, _ := f.claim(e.ID, 10)
	if len(work) != 2 || work[0].Resend == work[1].Resend {
		t.Fatalf("claimed %+v, want two wishes", work)
	}
	f.finish(f.manual(work[0], hook.Retry))
	if left, _ := f.claim(e.ID, 10); len(left) != 1 || left[0].Resend != work[1].Resend {
		t.Fatalf("left is %+v, want the second wish", left)
	}
	f.wantCounts(store.Counts{Messages: 1, Canceled: 1})
}

func claimOrder(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	a, b, c := f.message(app.ID), f.message(app.ID), f.message(app.ID)
	f.finish(f.outcome(f.delivery(app.ID, a.ID, e.ID), hook.Retry, time.Minute)) // a is due last now
	f.later(time.Hour)
	work, next := f.claim(e.ID, 10)
	var got []hook.MessageID
	for _, w := range work {
		got = append(got, w.Delivery.Message)
		if w.Trigger != hook.Scheduled || w.Resend != 0 || w.Delivery.App != app.ID || w.Delivery.Endpoint != e.ID {
			t.Fatalf("claimed %+v", w)
		}
		same(t, w.Delivery, f.delivery(app.ID, w.Delivery.Message, e.ID))
	}
	same(t, got, []hook.MessageID{b.ID, c.ID, a.ID})
	if !next.IsZero() {
		t.Fatalf("next is %v with nothing left", next)
	}
}

func claimFuture(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := f.message(app.ID)
	f.finish(f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Retry, time.Minute))
	due := f.now.Add(time.Minute)
	f.later(time.Minute - time.Millisecond)
	if work, next := f.claim(e.ID, 10); len(work) != 0 || !next.Equal(due) {
		t.Fatalf("claimed %+v before its time, next %v", work, next)
	}
	f.later(time.Millisecond)
	if work, _ := f.claim(e.ID, 10); len(work) != 1 || work[0].Delivery.Attempts != 1 {
		t.Fatalf("claimed %+v, want the second attempt", work)
	}
}

func claimBounded(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	start := f.now
	for range 5 {
		f.message(app.ID)
		f.later(time.Second)
	}
	work, next := f.claim(e.ID, 2)
	if len(work) != 2 || !next.Equal(start.Add(2*time.Second)) {
		t.Fatalf("%d claimed and next at %v, want 2 and the third's time", len(work), next)
	}
	if work, next := f.claim(e.ID, 0); len(work) != 0 || !next.Equal(start) {
		t.Fatalf("%d claimed of none, next at %v", len(work), next)
	}
}

func claimAgain(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	f.message(app.ID)
	first, _ := f.claim(e.ID, 10)
	second, _ := f.claim(e.ID, 10)
	same(t, second, first)
	f.finish(f.outcome(first[0].Delivery, hook.Success))
	if work, next := f.claim(e.ID, 10); len(work) != 0 || !next.IsZero() {
		t.Fatalf("claimed %+v after it was finished, next %v", work, next)
	}
}

func claimWishes(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	a, b := f.message(app.ID), f.message(app.ID)
	f.finish(f.outcome(f.delivery(app.ID, b.ID, e.ID), hook.Refuse))
	f.ok(f.Resend(f.ctx, app.ID, b.ID, e.ID, f.now))
	work, _ := f.claim(e.ID, 10)
	if len(work) != 2 || work[0].Delivery.Message != b.ID || work[0].Trigger != hook.Manual || work[1].Delivery.Message != a.ID {
		t.Fatalf("claimed %+v, want the wish and then the schedule", work)
	}
	same(t, work[0].Delivery, f.delivery(app.ID, b.ID, e.ID))
	if work, next := f.claim(e.ID, 1); len(work) != 1 || work[0].Trigger != hook.Manual || !next.Equal(f.now) {
		t.Fatalf("claimed %+v, next %v; want the wish, and the other as next", work, next)
	}
}

func claimUnknown(t *testing.T, f *fixture) {
	if work, next := f.claim(hook.NewID[hook.EndpointID](f.ids, f.now), 10); len(work) != 0 || !next.IsZero() {
		t.Fatalf("claimed %+v, next %v", work, next)
	}
}

func pendingList(t *testing.T, f *fixture) {
	app := f.app()
	retrying, fresh, wished, idle := f.newEndpoint(app.ID), f.newEndpoint(app.ID), f.newEndpoint(app.ID), f.newEndpoint(app.ID)
	for _, e := range []*hook.Endpoint{&retrying, &fresh, &wished, &idle} {
		e.EventTypes = []string{e.ID.String()}
		f.ok(f.CreateEndpoint(f.ctx, *e))
	}
	send := func(e hook.Endpoint) hook.Message {
		m := f.newMessage(app.ID)
		m.EventType = e.ID.String()
		return f.accept(hook.Accept{Message: m}).Message
	}
	for range 2 {
		m := send(retrying)
		f.finish(f.outcome(f.delivery(app.ID, m.ID, retrying.ID), hook.Retry, time.Minute))
		f.later(time.Second)
	}
	retryAt := f.now.Add(time.Minute - 2*time.Second)
	freshAt := f.now
	send(fresh)
	m := send(wished)
	f.finish(f.outcome(f.delivery(app.ID, m.ID, wished.ID), hook.Success))
	f.later(time.Second)
	f.ok(f.Resend(f.ctx, app.ID, m.ID, wished.ID, f.now))
	m = send(idle)
	f.finish(f.outcome(f.delivery(app.ID, m.ID, idle.ID), hook.Success))

	got, err := f.Pending(f.ctx)
	f.ok(err)
	byID := map[hook.EndpointID]time.Time{}
	for _, p := range got {
		byID[p.Endpoint] = p.NextAt
	}
	same(t, byID, map[hook.EndpointID]time.Time{retrying.ID: retryAt, fresh.ID: freshAt, wished.ID: f.now})
}

// mixed makes a delivery of every state and returns what is pending.
func mixed(f *fixture, app hook.ApplicationID, ep hook.EndpointID) (pending []hook.MessageID) {
	for i := range 4 {
		m := f.message(app)
		switch i {
		case 0:
			f.finish(f.outcome(f.delivery(app, m.ID, ep), hook.Success))
		case 1:
			f.finish(f.outcome(f.delivery(app, m.ID, ep), hook.Refuse))
		case 2:
			f.finish(f.outcome(f.delivery(app, m.ID, ep), hook.Retry, time.Minute))
			fallthrough
		case 3:
			pending = append(pending, m.ID)
		}
	}
	return pending
}

func allCanceled(f *fixture, app hook.ApplicationID, ep hook.EndpointID, pending []hook.MessageID) {
	f.t.Helper()
	f.later(24 * time.Hour)
	if work, next := f.claim(ep, 10); len(work) != 0 || !next.IsZero() {
		f.t.Fatalf("canceled work can be claimed: %+v, next %v", work, next)
	}
	if list, err := f.Pending(f.ctx); err != nil || len(list) != 0 {
		f.t.Fatalf("pending is %+v, %v", list, err)
	}
	for _, m := range pending {
		if d := f.delivery(app, m, ep); d.State != hook.Canceled || !d.NextAt.IsZero() {
			f.t.Fatalf("delivery is %+v, want canceled", d)
		}
	}
	f.wantCounts(store.Counts{Messages: 4, Delivered: 1, Failed: 1, Canceled: 2})
}

func disableCancels(_ *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	pending := mixed(f, app.ID, e.ID)
	f.ok(f.Resend(f.ctx, app.ID, pending[0], e.ID, f.now))
	e.Disabled = true
	f.ok(f.UpdateEndpoint(f.ctx, e))
	allCanceled(f, app.ID, e.ID, pending)
	f.sweep(store.Sweep{Now: f.now, Limit: 1}) // rewriting the rows changes nothing that can be seen
	allCanceled(f, app.ID, e.ID, pending)
}

func deleteCancels(_ *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	pending := mixed(f, app.ID, e.ID)
	f.ok(f.Resend(f.ctx, app.ID, pending[0], e.ID, f.now))
	f.ok(f.DeleteEndpoint(f.ctx, app.ID, e.ID, f.now))
	allCanceled(f, app.ID, e.ID, pending)
	f.sweep(store.Sweep{Now: f.now, Limit: 1})
	allCanceled(f, app.ID, e.ID, pending)
}

func canceledForGood(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	pending := mixed(f, app.ID, e.ID)
	f.ok(f.Resend(f.ctx, app.ID, pending[0], e.ID, f.now))
	for _, disabled := range []bool{true, false} {
		e.Disabled = disabled
		f.ok(f.UpdateEndpoint(f.ctx, e))
	}
	allCanceled(f, app.ID, e.ID, pending)
	m := f.message(app.ID)
	if work, _ := f.claim(e.ID, 10); len(work) != 1 || work[0].Delivery.Message != m.ID {
		t.Fatalf("claimed %+v, want the message that came after", work)
	}
}

func pausedKeeps(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	e.Paused = true
	f.ok(f.UpdateEndpoint(f.ctx, e))
	for i := range 3 {
		f.message(app.ID)
		if work, _ := f.claim(e.ID, 10); len(work) != i+1 {
			t.Fatal(fmt.Sprint(len(work), " deliveries kept, want ", i+1))
		}
	}
}
