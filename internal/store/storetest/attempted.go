package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var attemptedTests = map[string]func(*testing.T, *fixture){
	"destinations of another's message are not found":        othersDestinations,
	"destinations are paged by endpoint":                     destinationPages,
	"what went to another's endpoint is not found":           othersAttempted,
	"attempted messages are those with a delivery":           attemptedMessages,
	"attempted messages are narrowed by every filter":        attemptedFilters,
	"attempted messages are paged":                           attemptedPages,
	"attempted messages have payloads when that is asked":    attemptedPayloads,
	"failed messages are found among any number of others":   failedAmongMany,
	"attempts are narrowed by the labels of their message":   attemptLabels,
	"attempts of a message at one endpoint are that":         attemptsOfBoth,
	"messages are narrowed to any of some channels":          anyChannel,
	"a window of attempted messages is bounded in its rows":  attemptedBounded,
	"labels of attempts are looked at in windows that close": labelsBounded,
}

func othersDestinations(_ *testing.T, f *fixture) {
	app, m := f.app(), f.message(f.app().ID)
	for _, id := range []hook.MessageID{m.ID, hook.NewID[hook.MessageID](f.ids, f.now)} {
		_, err := f.Destinations(f.ctx, app.ID, id, store.Page{})
		f.fails(err, hook.KindNotFound)
	}
	_, err := f.Destinations(f.ctx, m.App, m.ID, store.Page{After: m.ID.String()})
	f.fails(err, hook.KindInvalid)
}

func destinationPages(t *testing.T, f *fixture) {
	app := f.app()
	var endpoints []hook.Endpoint
	for range 9 {
		endpoints = append(endpoints, f.endpoint(app.ID))
	}
	m := f.message(app.ID)
	f.message(app.ID)
	f.finish(f.outcome(f.delivery(app.ID, m.ID, endpoints[1].ID), hook.Success), f.outcome(f.delivery(app.ID, m.ID, endpoints[2].ID), hook.Retry, time.Hour))
	endpoints[3].Disabled = true
	f.ok(f.UpdateEndpoint(f.ctx, endpoints[3]))
	f.ok(f.DeleteEndpoint(f.ctx, app.ID, endpoints[4].ID, f.now))
	want, err := f.Deliveries(f.ctx, app.ID, m.ID)
	f.ok(err)
	states := []hook.State{hook.Pending, hook.Delivered, hook.Pending, hook.Canceled, hook.Canceled}
	for i, s := range states {
		if want[i].State != s {
			t.Fatalf("delivery %d is %s, want %s", i, want[i].State, s)
		}
	}
	read := func(p store.Page) (store.List[hook.Delivery], error) { return f.Destinations(f.ctx, app.ID, m.ID, p) }
	down := slices.Clone(want)
	slices.Reverse(down)
	for _, limit := range []int{1, 4, 9, 10} {
		walk(t, limit, false, want, read)
		walk(t, limit, true, down, read)
	}
}

func othersAttempted(_ *testing.T, f *fixture) {
	app, e := f.app(), f.endpoint(f.app().ID)
	read := func(app hook.ApplicationID, ep hook.EndpointID, p store.Page) error {
		_, err := f.Attempted(f.ctx, app, ep, store.AttemptedFilter{}, p)
		return err
	}
	f.fails(read(app.ID, e.ID, store.Page{}), hook.KindNotFound)
	f.fails(read(e.App, hook.NewID[hook.EndpointID](f.ids, f.now), store.Page{}), hook.KindNotFound)
	f.fails(read(e.App, e.ID, store.Page{After: e.ID.String()}), hook.KindInvalid)
	f.fails(read(e.App, e.ID, store.Page{Limit: 251}), hook.KindInvalid)
	_, err := f.Attempted(f.ctx, e.App, e.ID, store.AttemptedFilter{EventTypes: make([]string, 101)}, store.Page{})
	f.failsField(err, hook.KindInvalid, "eventTypes")
	f.ok(f.DeleteEndpoint(f.ctx, e.App, e.ID, f.now))
	f.fails(read(e.App, e.ID, store.Page{}), hook.KindNotFound)
}

// attempted lists the messages that went to an endpoint, newest first.
func (f *fixture) attempted(e *hook.Endpoint, filter store.AttemptedFilter) []store.Attempted {
	f.t.Helper()
	return collectAll(f.t, store.Page{Limit: 3, Descending: true}, func(p store.Page) (store.List[store.Attempted], error) {
		return f.Attempted(f.ctx, e.App, e.ID, filter, p)
	})
}

func attemptedMessages(t *testing.T, f *fixture) {
	app := f.app()
	f.message(app.ID) // before there was an endpoint
	e, other := f.endpoint(app.ID), f.endpoint(app.ID)
	var want []store.Attempted
	for i := range 6 {
		m := f.message(app.ID)
		d := f.delivery(app.ID, m.ID, e.ID)
		if i%2 == 0 {
			o := f.outcome(d, []hook.Verdict{hook.Success, hook.Refuse, hook.Retry}[i/2], time.Hour)
			f.finish(o)
			d = o.Delivery
		}
		m.Payload = nil
		want = append(want, store.Attempted{Message: m, Delivery: d})
	}
	slices.Reverse(want)
	same(t, f.attempted(&e, store.AttemptedFilter{}), want)

	e.Disabled = true // its lane is closed, the rows are not rewritten
	f.ok(f.UpdateEndpoint(f.ctx, e))
	for i := range want {
		if d := &want[i].Delivery; d.State == hook.Pending {
			d.State, d.NextAt = hook.Canceled, time.Time{}
		}
	}
	same(t, f.attempted(&e, store.AttemptedFilter{}), want)
	if n := len(f.attempted(&e, store.AttemptedFilter{States: []hook.State{hook.Canceled}})); n != 4 {
		t.Fatalf("%d are canceled", n)
	}
	if n := len(f.attempted(&e, store.AttemptedFilter{States: []hook.State{hook.Pending}})); n != 0 {
		t.Fatalf("%d are pending at a disabled endpoint", n)
	}
	if n := len(f.attempted(&other, store.AttemptedFilter{States: []hook.State{hook.Pending}})); n != 6 {
		t.Fatalf("%d are pending at the other endpoint", n)
	}
}

func attemptedFilters(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	start := f.now
	var m []hook.MessageID
	for i, set := range []func(*hook.Message){
		func(m *hook.Message) { m.EventType, m.Channels = "a", []string{"x", "y"} },
		func(m *hook.Message) { m.EventType, m.Tags = "b", []string{"t"} },
		func(m *hook.Message) { m.EventType = "a" },
		func(m *hook.Message) { m.EventType, m.Channels = "c", []string{"y"} },
	} {
		msg := f.newMessage(app.ID)
		set(&msg)
		d := f.accept(hook.Accept{Message: msg}).Deliveries[0]
		if i < 3 {
			f.finish(f.outcome(d, []hook.Verdict{hook.Refuse, hook.Success, hook.Refuse}[i]))
		}
		m = append(m, d.Message)
		f.later(time.Second)
	}
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second) }
	failed := []hook.State{hook.Failed}
	for name, c := range map[string]struct {
		f    store.AttemptedFilter
		want []hook.MessageID
	}{
		"none":                {store.AttemptedFilter{}, m},
		"failed":              {store.AttemptedFilter{States: failed}, []hook.MessageID{m[0], m[2]}},
		"failed, twice":       {store.AttemptedFilter{States: []hook.State{hook.Failed, hook.Failed}}, []hook.MessageID{m[0], m[2]}},
		"two states":          {store.AttemptedFilter{States: []hook.State{hook.Failed, hook.Pending}}, []hook.MessageID{m[0], m[2], m[3]}},
		"type":                {store.AttemptedFilter{EventTypes: []string{"a"}}, []hook.MessageID{m[0], m[2]}},
		"types":               {store.AttemptedFilter{EventTypes: []string{"c", "b", "c"}}, []hook.MessageID{m[1], m[3]}},
		"failed, of types":    {store.AttemptedFilter{States: failed, EventTypes: []string{"a", "b"}}, []hook.MessageID{m[0], m[2]}},
		"failed, of a type":   {store.AttemptedFilter{States: failed, EventTypes: []string{"b"}}, nil},
		"channel":             {store.AttemptedFilter{Channel: "y"}, []hook.MessageID{m[0], m[3]}},
		"failed on a channel": {store.AttemptedFilter{States: failed, Channel: "y"}, m[:1]},
		"tag":                 {store.AttemptedFilter{Tag: "t"}, m[1:2]},
		"before, exclusive":   {store.AttemptedFilter{Before: at(2)}, m[:2]},
		"after, exclusive":    {store.AttemptedFilter{After: at(1)}, m[2:]},
		"failed, after":       {store.AttemptedFilter{States: failed, After: at(0), Before: at(3)}, m[2:3]},
		"type and time":       {store.AttemptedFilter{EventTypes: []string{"a"}, Before: at(2)}, m[:1]},
	} {
		var got []hook.MessageID
		for _, a := range f.attempted(&e, c.f) {
			got = append(got, a.Message.ID)
		}
		slices.Reverse(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func attemptedPages(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	var up []hook.MessageID
	for i := range 17 {
		m := f.newMessage(app.ID)
		m.EventType = fmt.Sprint("t", i%3)
		f.accept(hook.Accept{Message: m})
		f.finish(f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Refuse))
		up = append(up, m.ID)
	}
	down := slices.Clone(up)
	slices.Reverse(down)
	for name, filter := range map[string]store.AttemptedFilter{
		"all": {}, "by types": {EventTypes: []string{"t0", "t1", "t2"}}, "failed": {States: []hook.State{hook.Failed}},
	} {
		for _, limit := range []int{1, 5, 17, 18} {
			t.Run(fmt.Sprint(name, " ", limit), func(t *testing.T) {
				read := func(p store.Page) (store.List[hook.MessageID], error) {
					l, err := f.Attempted(f.ctx, app.ID, e.ID, filter, p)
					list := store.List[hook.MessageID]{First: l.First, Last: l.Last, Done: l.Done}
					for _, a := range l.Items {
						list.Items = append(list.Items, a.Message.ID)
					}
					return list, err
				}
				walk(t, limit, false, up, read)
				walk(t, limit, true, down, read)
			})
		}
	}
}

func attemptedPayloads(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	a, b := received(f, app.ID, []byte(`{"a":{}}`), []byte(`{}`)), f.newMessage(app.ID)
	for _, m := range []hook.Message{a, b} {
		f.finish(f.outcome(f.accept(hook.Accept{Message: m}).Deliveries[0], hook.Refuse))
	}
	for _, states := range [][]hook.State{nil, {hook.Failed}} {
		got := f.attempted(&e, store.AttemptedFilter{WithPayload: true, States: states})
		if len(got) != 2 || string(got[1].Message.Payload) != `{}` || string(got[0].Message.Payload) != string(b.Payload) || got[1].Message.Raw != nil {
			t.Fatalf("got %+v", got)
		}
	}
	f.later(time.Hour)
	f.sweep(store.Sweep{Now: f.now, PayloadBefore: f.now, Limit: 10})
	for _, a := range f.attempted(&e, store.AttemptedFilter{WithPayload: true}) {
		if !a.Message.Expired || a.Message.Payload != nil {
			t.Fatalf("got %+v", a.Message)
		}
	}
}

// manyMessages accepts n in batches, without an answer to each.
func (f *fixture) manyMessages(app hook.ApplicationID, n int) {
	f.t.Helper()
	for n > 0 {
		batch := make([]hook.Accept, min(n, 1000))
		for i := range batch {
			batch[i].Message = f.newMessage(app)
		}
		n -= len(f.acceptAll(batch...))
	}
}

func failedAmongMany(t *testing.T, f *fixture) {
	app := f.app()
	e := f.newEndpoint(app.ID)
	e.EventTypes = []string{"rare"}
	f.ok(f.CreateEndpoint(f.ctx, e))
	var want []hook.MessageID
	for range 3 {
		m := f.newMessage(app.ID)
		m.EventType = "rare"
		f.finish(f.outcome(f.accept(hook.Accept{Message: m}).Deliveries[0], hook.Refuse))
		want = append(want, m.ID)
		f.manyMessages(app.ID, 2000)
	}
	l, err := f.Attempted(f.ctx, app.ID, e.ID, store.AttemptedFilter{States: []hook.State{hook.Failed}}, store.Page{})
	f.ok(err)
	if len(l.Items) != 3 || !l.Done || l.Items[0].Message.ID != want[0] || l.Items[2].Message.ID != want[2] {
		t.Fatalf("%d of 3 found at once, done %t", len(l.Items), l.Done)
	}
}

func attemptedBounded(t *testing.T, f *fixture) {
	app := f.app()
	e := f.newEndpoint(app.ID)
	e.EventTypes = []string{"rare"}
	f.ok(f.CreateEndpoint(f.ctx, e))
	m := f.newMessage(app.ID)
	m.EventType = "rare"
	f.accept(hook.Accept{Message: m})
	f.manyMessages(app.ID, 5500)
	l, err := f.Attempted(f.ctx, app.ID, e.ID, store.AttemptedFilter{}, store.Page{Descending: true})
	f.ok(err)
	if len(l.Items) != 0 || l.Done || l.Last == "" {
		t.Fatalf("a window over 5,500 others has %d items, done %t, last %q", len(l.Items), l.Done, l.Last)
	}
	all := f.attempted(&e, store.AttemptedFilter{})
	if len(all) != 1 || all[0].Message.ID != m.ID {
		t.Fatalf("found %d", len(all))
	}
}

func attemptLabels(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	attempt := func(set func(*hook.Message), status int) hook.AttemptID {
		m := f.newMessage(app.ID)
		set(&m)
		o := f.outcome(f.accept(hook.Accept{Message: m}).Deliveries[0], hook.Refuse)
		o.Attempt.Status = status
		f.finish(o)
		return o.Attempt.ID
	}
	a := attempt(func(m *hook.Message) { m.Channels, m.Tags = []string{"x", "y"}, []string{"t"} }, 500)
	b := attempt(func(m *hook.Message) { m.Channels, m.Tags = []string{"y"}, []string{"u", "t"} }, 0)
	c := attempt(func(*hook.Message) {}, 0)
	for name, v := range map[string]struct {
		f    store.AttemptFilter
		want []hook.AttemptID
	}{
		"none":              {store.AttemptFilter{}, []hook.AttemptID{a, b, c}},
		"channel":           {store.AttemptFilter{Channel: "y"}, []hook.AttemptID{a, b}},
		"tag":               {store.AttemptFilter{Tag: "u"}, []hook.AttemptID{b}},
		"both":              {store.AttemptFilter{Channel: "x", Tag: "t"}, []hook.AttemptID{a}},
		"a tag's a channel": {store.AttemptFilter{Channel: "t"}, nil},
		"no answer":         {store.AttemptFilter{NoAnswer: true}, []hook.AttemptID{b, c}},
		"no answer, tagged": {store.AttemptFilter{NoAnswer: true, Tag: "t", Verdicts: []hook.Verdict{hook.Refuse}}, []hook.AttemptID{b}},
		"with content":      {store.AttemptFilter{Channel: "y", WithContent: true}, []hook.AttemptID{a, b}},
	} {
		v.f.Endpoint = e.ID
		l, err := f.Attempts(f.ctx, app.ID, v.f, store.Page{})
		f.ok(err)
		var got []hook.AttemptID
		for _, a := range l.Items {
			got = append(got, a.ID)
		}
		if !slices.Equal(got, v.want) || !l.Done {
			t.Errorf("%s: %v, want %v", name, got, v.want)
		}
	}
}

func labelsBounded(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := f.newMessage(app.ID)
	m.Tags = []string{"rare"}
	first := f.outcome(f.accept(hook.Accept{Message: m}).Deliveries[0], hook.Refuse)
	f.finish(first)
	d := f.delivery(app.ID, f.message(app.ID).ID, e.ID)
	var batch []hook.Outcome
	for range 5500 {
		batch = append(batch, f.outcome(d, hook.Refuse))
	}
	f.finish(batch...)
	p, filter := store.Page{Descending: true}, store.AttemptFilter{Endpoint: e.ID, Tag: "rare"}
	l, err := f.Attempts(f.ctx, app.ID, filter, p)
	f.ok(err)
	if len(l.Items) != 0 || l.Done || l.Last == "" {
		t.Fatalf("a window has %d items, done %t, last %q", len(l.Items), l.Done, l.Last)
	}
	all := collectAll(t, p, func(p store.Page) (store.List[hook.Attempt], error) { return f.Attempts(f.ctx, app.ID, filter, p) })
	if len(all) != 1 || all[0].ID != first.Attempt.ID {
		t.Fatalf("found %d", len(all))
	}
}

func attemptsOfBoth(t *testing.T, f *fixture) {
	app := f.app()
	a, b := f.endpoint(app.ID), f.endpoint(app.ID)
	m, other := f.message(app.ID), f.message(app.ID)
	var want []hook.AttemptID
	for range 3 {
		for _, e := range []hook.Endpoint{a, b} {
			for _, m := range []hook.Message{m, other} {
				o := f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Retry, time.Hour, time.Hour, time.Hour)
				f.finish(o)
				if o.Attempt.Endpoint == b.ID && o.Attempt.Message != other.ID {
					want = append(want, o.Attempt.ID)
				}
			}
		}
	}
	read := func(p store.Page) (store.List[hook.AttemptID], error) {
		l, err := f.Attempts(f.ctx, app.ID, store.AttemptFilter{Message: m.ID, Endpoint: b.ID}, p)
		list := store.List[hook.AttemptID]{First: l.First, Last: l.Last, Done: l.Done}
		for _, a := range l.Items {
			list.Items = append(list.Items, a.ID)
		}
		return list, err
	}
	walk(t, 2, false, want, read)
}

func anyChannel(t *testing.T, f *fixture) {
	app := f.app()
	var m []hook.MessageID
	for _, channels := range [][]string{{"x", "y"}, {"y"}, nil, {"z"}} {
		msg := f.newMessage(app.ID)
		msg.Channels = channels
		m = append(m, f.accept(hook.Accept{Message: msg}).Message.ID)
	}
	for _, c := range []struct {
		channels []string
		want     []hook.MessageID
	}{
		{nil, m}, {[]string{"x", "z"}, []hook.MessageID{m[0], m[3]}}, {[]string{"y"}, m[:2]}, {[]string{"w"}, nil},
	} {
		l, err := f.Messages(f.ctx, app.ID, store.MessageFilter{Channels: c.channels}, store.Page{})
		f.ok(err)
		if got := ids(l); !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.channels, got, c.want)
		}
	}
}
