package storetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var eventTypeTests = map[string]func(*testing.T, *fixture){
	"an event type that does not exist is not found":  missingEventType,
	"a name is taken once":                            takenEventType,
	"an event type comes back as it went in":          eventTypeRoundTrip,
	"an update replaces the row and keeps its birth":  updateEventType,
	"the list is by name, in both directions":         eventTypePages,
	"a bad page of event types is refused":            badEventTypePage,
	"archived and hidden ones are left out":           eventTypeFilter,
	"a change of an event type is told when it comes": eventTypeChanges,
}

func missingEventType(_ *testing.T, f *fixture) {
	_, err := f.EventType(f.ctx, "nobody")
	f.fails(err, hook.KindNotFound)
	f.fails(f.UpdateEventType(f.ctx, hook.EventType{Name: "nobody"}), hook.KindNotFound)
	f.fails(f.DeleteEventType(f.ctx, "nobody"), hook.KindNotFound)
	f.failsField(f.CreateEventType(f.ctx, hook.EventType{}), hook.KindInvalid, "name")
}

func (f *fixture) eventType(name string) hook.EventType {
	f.t.Helper()
	e := hook.EventType{Name: name, CreatedAt: f.now, UpdatedAt: f.now}
	f.ok(f.CreateEventType(f.ctx, e))
	return e
}

func takenEventType(_ *testing.T, f *fixture) {
	e := f.eventType("order.created")
	f.failsField(f.CreateEventType(f.ctx, e), hook.KindConflict, "name")
	e.Archived = true
	f.ok(f.UpdateEventType(f.ctx, e))
	f.failsField(f.CreateEventType(f.ctx, e), hook.KindConflict, "name")
	f.eventType("Order.created") // another name
	f.ok(f.DeleteEventType(f.ctx, e.Name))
	f.eventType(e.Name)
}

func eventTypeRoundTrip(t *testing.T, f *fixture) {
	full := hook.EventType{
		Name: "alipay.open.审核", Description: "说明", GroupName: "审核", Schemas: json.RawMessage(`{ "1": {"type" : "object","a":1.0} }`),
		FeatureFlags: []string{"a", "值"}, Deprecated: true, Archived: true, Managed: true, CreatedAt: f.now, UpdatedAt: f.now.Add(time.Second),
	}
	empty := hook.EventType{Name: "b", FeatureFlags: []string{}, CreatedAt: f.now}
	complete(t, full)
	for _, e := range []hook.EventType{full, empty} {
		f.ok(f.CreateEventType(f.ctx, e))
		got, err := f.EventType(f.ctx, e.Name)
		f.ok(err)
		same(t, got, e)
	}
	list, err := f.EventTypes(f.ctx, store.EventTypeFilter{Archived: true}, store.Page{})
	f.ok(err)
	same(t, list.Items, []hook.EventType{full, empty})
}

func updateEventType(t *testing.T, f *fixture) {
	e := f.eventType("a")
	e.Description, e.FeatureFlags, e.Archived, e.Schemas = "new", []string{"x"}, true, json.RawMessage(`{}`)
	e.UpdatedAt = f.now.Add(time.Hour)
	asked := e
	asked.CreatedAt = f.now.Add(time.Hour)
	f.ok(f.UpdateEventType(f.ctx, asked))
	got, err := f.EventType(f.ctx, "a")
	f.ok(err)
	same(t, got, e)
	bare := hook.EventType{Name: "a", CreatedAt: f.now}
	f.ok(f.UpdateEventType(f.ctx, bare))
	got, err = f.EventType(f.ctx, "a")
	f.ok(err)
	same(t, got, bare)
}

func names(list []hook.EventType) (all []string) {
	for _, e := range list {
		all = append(all, e.Name)
	}
	return all
}

// eventTypePages walks the whole list forward, and back again from its end.
func eventTypePages(t *testing.T, f *fixture) {
	sorted := []string{"A", "a", "a.b", "a.c", "b", "é", "审核"}
	for _, i := range []int{3, 0, 6, 2, 5, 1, 4} {
		f.eventType(sorted[i])
	}
	for _, down := range []bool{false, true} {
		want := append([]string(nil), sorted...)
		if down {
			for i := range want {
				want[i] = sorted[len(sorted)-1-i]
			}
		}
		var got []string
		p := store.Page{Limit: 3, Descending: down}
		for {
			l, err := f.EventTypes(f.ctx, store.EventTypeFilter{}, p)
			f.ok(err)
			got = append(got, names(l.Items)...)
			p.After = l.Last
			if l.Done {
				break
			}
			if len(l.Items) != 3 || l.First != l.Items[0].Name || l.Last != l.Items[2].Name || len(got) > 10 {
				t.Fatalf("page %+v", l)
			}
		}
		same(t, got, want)
		l, err := f.EventTypes(f.ctx, store.EventTypeFilter{}, store.Page{Limit: 3, Descending: down, Before: want[5]})
		f.ok(err)
		same(t, names(l.Items), want[2:5])
		if l.Done {
			t.Fatal("a page in front of which there is more is done")
		}
		l, err = f.EventTypes(f.ctx, store.EventTypeFilter{}, store.Page{Limit: 3, Descending: down, Before: want[2]})
		f.ok(err)
		same(t, names(l.Items), want[:2])
		if !l.Done {
			t.Fatal("the first page is not done")
		}
	}
}

func badEventTypePage(_ *testing.T, f *fixture) {
	_, err := f.EventTypes(f.ctx, store.EventTypeFilter{}, store.Page{Limit: 251})
	f.failsField(err, hook.KindInvalid, "limit")
	_, err = f.EventTypes(f.ctx, store.EventTypeFilter{}, store.Page{After: "a", Before: "b"})
	f.failsField(err, hook.KindInvalid, "iterator")
}

func eventTypeFilter(t *testing.T, f *fixture) {
	for name, flags := range map[string][]string{"free": nil, "x": {"x"}, "xy": {"x", "y"}, "z": {"z"}} {
		f.ok(f.CreateEventType(f.ctx, hook.EventType{Name: name, FeatureFlags: flags}))
		f.ok(f.CreateEventType(f.ctx, hook.EventType{Name: name + ".old", FeatureFlags: flags, Archived: true}))
	}
	for _, c := range []struct {
		f    store.EventTypeFilter
		want []string
	}{
		{store.EventTypeFilter{}, []string{"free", "x", "xy", "z"}},
		{store.EventTypeFilter{Flags: []string{}}, []string{"free"}},
		{store.EventTypeFilter{Flags: []string{"y", "other"}}, []string{"free", "xy"}},
		{store.EventTypeFilter{Flags: []string{"x"}, Archived: true}, []string{"free", "free.old", "x", "x.old", "xy", "xy.old"}},
	} {
		l, err := f.EventTypes(f.ctx, c.f, store.Page{})
		f.ok(err)
		same(t, names(l.Items), c.want)
	}
}

func eventTypeChanges(t *testing.T, f *fixture) {
	e := hook.EventType{Name: "a"}
	for _, change := range []func() error{
		func() error { return f.CreateEventType(f.ctx, e) },
		func() error { return f.UpdateEventType(f.ctx, e) },
		func() error { return f.DeleteEventType(f.ctx, e.Name) },
	} {
		f.told()
		f.ok(change())
		same(t, f.told(), []store.Change{{Config: true}})
	}
}
