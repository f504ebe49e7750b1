package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var statsTests = map[string]func(*testing.T, *fixture){
	"stats of another's endpoint are not found":      othersStats,
	"stats count by state":                           statsByState,
	"stats keep to their days":                       statsByDay,
	"disabling makes what is pending canceled":       statsDisable,
	"stats agree with the deliveries after anything": statsAfterAnything,
}

func (f *fixture) stats(e *hook.Endpoint, since, until time.Time) store.DeliveryCounts {
	f.t.Helper()
	n, err := f.Stats(f.ctx, e.App, e.ID, since, until)
	f.ok(err)
	return n
}

func othersStats(_ *testing.T, f *fixture) {
	app, e := f.app(), f.endpoint(f.app().ID)
	for _, c := range []struct {
		app hook.ApplicationID
		ep  hook.EndpointID
	}{{app.ID, e.ID}, {e.App, hook.NewID[hook.EndpointID](f.ids, f.now)}, {hook.NewID[hook.ApplicationID](f.ids, f.now), e.ID}} {
		_, err := f.Stats(f.ctx, c.app, c.ep, time.Time{}, time.Time{})
		f.fails(err, hook.KindNotFound)
	}
	f.ok(f.DeleteEndpoint(f.ctx, e.App, e.ID, f.now))
	_, err := f.Stats(f.ctx, e.App, e.ID, time.Time{}, time.Time{})
	f.fails(err, hook.KindNotFound)
}

func statsByState(t *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	same(t, f.stats(&e, time.Time{}, time.Time{}), store.DeliveryCounts{})
	second := f.endpoint(e.App)
	d := func() hook.Delivery { return f.delivery(e.App, f.message(e.App).ID, e.ID) }
	f.finish(f.outcome(d(), hook.Success), f.outcome(d(), hook.Refuse), f.outcome(d(), hook.Refuse), f.outcome(d(), hook.Retry, time.Hour))
	last := d()
	_, err := f.Cancel(f.ctx, e.App, last.Message, e.ID, f.now)
	f.ok(err)
	same(t, f.stats(&e, time.Time{}, time.Time{}), store.DeliveryCounts{Pending: 1, Delivered: 1, Failed: 2, Canceled: 1})
	same(t, f.stats(&second, time.Time{}, time.Time{}), store.DeliveryCounts{Pending: 5})
	f.finish(f.outcome(last, hook.Success)) // it was under way
	same(t, f.stats(&e, time.Time{}, time.Time{}), store.DeliveryCounts{Pending: 1, Delivered: 2, Failed: 2})
}

func statsByDay(t *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	f.now = time.Date(2026, 3, 1, 23, 59, 59, 999_000_000, time.UTC)
	start := f.now
	for range 3 { // the last millisecond of a day, and the first of the next
		f.message(e.App)
		f.later(time.Millisecond)
		f.failed(&e)
		f.later(24*time.Hour - time.Millisecond)
	}
	both := store.DeliveryCounts{Pending: 1, Failed: 1}
	at := func(days int, hour int) time.Time { return time.Date(2026, 3, 1+days, hour, 0, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		since, until time.Time
		want         store.DeliveryCounts
	}{
		"all":                   {time.Time{}, time.Time{}, store.DeliveryCounts{Pending: 3, Failed: 3}},
		"the first day":         {time.Time{}, start, store.DeliveryCounts{Pending: 1}},
		"one day, whatever the": {at(1, 5), at(1, 4), both},
		"two days":              {at(1, 23), at(2, 0), store.DeliveryCounts{Pending: 2, Failed: 2}},
		"the last day":          {at(3, 0), time.Time{}, store.DeliveryCounts{Failed: 1}},
		"another zone's day":    {at(1, 23).In(time.FixedZone("", 3600)), at(1, 23).In(time.FixedZone("", 3600)), both},
		"later":                 {at(4, 0), time.Time{}, store.DeliveryCounts{}},
		"earlier":               {time.Time{}, at(-1, 0), store.DeliveryCounts{}},
		"turned round":          {at(3, 0), at(1, 0), store.DeliveryCounts{}},
		"far away":              {time.Unix(0, 0), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), store.DeliveryCounts{Pending: 3, Failed: 3}},
	} {
		if got := f.stats(&e, c.since, c.until); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	f.sweep(store.Sweep{Now: f.now, Before: at(2, 0), Limit: 1})
	same(t, f.stats(&e, time.Time{}, at(1, 0)), store.DeliveryCounts{Pending: 2}) // what is pending stays
}

func statsDisable(t *testing.T, f *fixture) {
	e := f.endpoint(f.app().ID)
	for range 3 {
		f.message(e.App)
		f.failed(&e)
		f.later(24 * time.Hour)
	}
	e.Disabled = true
	f.ok(f.UpdateEndpoint(f.ctx, e))
	want := store.DeliveryCounts{Failed: 3, Canceled: 3}
	same(t, f.stats(&e, time.Time{}, time.Time{}), want)
	f.sweep(store.Sweep{Now: f.now, Limit: 2}) // rewrites what was canceled
	same(t, f.stats(&e, time.Time{}, time.Time{}), want)
	e.Disabled = false
	f.ok(f.UpdateEndpoint(f.ctx, e))
	f.message(e.App)
	want.Pending = 1
	same(t, f.stats(&e, time.Time{}, time.Time{}), want)
}

// statsAgree holds the counters of an application's endpoints against its deliveries, day by day.
func (f *fixture) statsAgree(app hook.ApplicationID) {
	f.t.Helper()
	type row struct {
		ep  hook.EndpointID
		day time.Time
	}
	want := map[row]store.DeliveryCounts{}
	messages := collectAll(f.t, store.Page{Limit: 250}, func(p store.Page) (store.List[hook.Message], error) {
		return f.Messages(f.ctx, app, store.MessageFilter{}, p)
	})
	for _, m := range messages {
		all, err := f.Deliveries(f.ctx, app, m.ID)
		f.ok(err)
		for _, d := range all {
			for _, day := range []time.Time{{}, m.ID.Time().UTC().Truncate(24 * time.Hour)} {
				n := want[row{d.Endpoint, day}]
				switch d.State {
				case hook.Pending:
					n.Pending++
				case hook.Delivered:
					n.Delivered++
				case hook.Failed:
					n.Failed++
				case hook.Canceled:
					n.Canceled++
				}
				want[row{d.Endpoint, day}] = n
			}
		}
	}
	endpoints, err := f.Endpoints(f.ctx, app, store.Page{Limit: 250})
	f.ok(err)
	first := hook.Epoch
	if len(messages) > 0 {
		first = messages[0].ID.Time().Truncate(24 * time.Hour)
	}
	for _, e := range endpoints.Items {
		if got := f.stats(&e, time.Time{}, time.Time{}); got != want[row{ep: e.ID}] {
			f.t.Fatalf("endpoint %s has %+v, by its deliveries %+v", e.ID, got, want[row{ep: e.ID}])
		}
		for day := first; !day.After(f.now); day = day.Add(24 * time.Hour) {
			if got := f.stats(&e, day, day); got != want[row{e.ID, day}] {
				f.t.Fatalf("endpoint %s has %+v on %v, by its deliveries %+v", e.ID, got, day, want[row{e.ID, day}])
			}
		}
	}
}

func statsAfterAnything(t *testing.T, f *fixture) {
	const steps = 400
	rng := rand.New(rand.NewPCG(11, 11))
	app := f.app()
	var endpoints []hook.Endpoint
	add := func() {
		e := f.newEndpoint(app.ID)
		if rng.IntN(3) == 0 {
			e.EventTypes = []string{"a"}
		}
		f.ok(f.CreateEndpoint(f.ctx, e))
		endpoints = append(endpoints, e)
	}
	add()
	var messages []hook.MessageID
	var known []hook.Delivery // as they were when they were last looked at: attempts under way
	for i := range steps {
		e := rng.IntN(len(endpoints))
		switch n := rng.IntN(20); {
		case n < 5:
			var batch []hook.Accept
			for range 1 + rng.IntN(4) {
				m := f.newMessage(app.ID)
				m.EventType = []string{"a", "b"}[rng.IntN(2)]
				batch = append(batch, hook.Accept{Message: m})
			}
			for _, a := range f.acceptAll(batch...) {
				messages = append(messages, a.Message.ID)
				known = append(known, a.Deliveries...)
			}
		case n < 11 && len(known) > 0:
			d := known[rng.IntN(len(known))]
			o := f.outcome(d, []hook.Verdict{hook.Success, hook.Retry, hook.Refuse}[rng.IntN(3)], time.Hour)
			if rng.IntN(8) == 0 {
				o.Health = &hook.EndpointHealth{Disable: true, FailingSince: f.now, Reason: "exhausted"}
			}
			f.finish(o)
		case n == 11 && len(messages) > 0:
			err := f.Resend(f.ctx, app.ID, messages[rng.IntN(len(messages))], endpoints[e].ID, f.now)
			if k := hook.KindOf(err); err != nil && k != hook.KindNotFound && k != hook.KindConflict && k != hook.KindGone {
				t.Fatal(err)
			}
		case n == 12 && len(messages) > 0:
			_, err := f.Cancel(f.ctx, app.ID, messages[rng.IntN(len(messages))], []hook.EndpointID{0, endpoints[e].ID}[rng.IntN(2)], f.now)
			if err != nil && hook.KindOf(err) != hook.KindNotFound {
				t.Fatal(err)
			}
		case n < 15:
			endpoints[e].Disabled = rng.IntN(2) == 0
			f.ok(f.UpdateEndpoint(f.ctx, endpoints[e]))
		case n == 15 && len(endpoints) > 1 && rng.IntN(3) == 0:
			f.ok(f.DeleteEndpoint(f.ctx, app.ID, endpoints[e].ID, f.now))
			endpoints = append(endpoints[:e], endpoints[e+1:]...)
		case n == 16 && len(endpoints) < 4:
			add()
		case n == 17:
			k := f.newTask([]hook.TaskKind{hook.TaskRecover, hook.TaskReplay, hook.TaskBulk}[rng.IntN(3)], &endpoints[e])
			if err := f.StartTask(f.ctx, k); err == nil {
				f.goOn(k.ID, 1+rng.IntN(30))
			} else if hook.KindOf(err) != hook.KindConflict {
				t.Fatal(err)
			}
		case n == 18:
			s := store.Sweep{Now: f.now, Limit: 1 + rng.IntN(20)}
			if rng.IntN(2) == 0 {
				s.Before = f.now.Add(-time.Duration(rng.IntN(100)) * time.Hour)
			}
			_, _, err := f.Sweep(f.ctx, s)
			f.ok(err)
		default:
			f.later(time.Duration(rng.IntN(10)) * time.Hour)
		}
		if i%10 == 9 {
			f.statsAgree(app.ID)
		}
	}
	f.later(1000 * time.Hour)
	for _, e := range endpoints {
		e.Disabled = true
		f.ok(f.UpdateEndpoint(f.ctx, e))
	}
	f.sweep(store.Sweep{Now: f.now, Before: f.now, Limit: 100})
	f.statsAgree(app.ID)
	for _, e := range endpoints {
		if n := f.stats(&e, time.Time{}, time.Time{}); n != (store.DeliveryCounts{}) {
			t.Fatalf("%+v is left of nothing: %s", n, fmt.Sprint(e.ID))
		}
	}
}
