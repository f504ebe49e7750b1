package storetest

import (
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var readTests = map[string]func(*testing.T, *fixture){
	"of another application is not found":                othersMessages,
	"attempts need a message or an endpoint":             attemptsNeedOne,
	"a message is found by id and by event id":           messageRef,
	"the raw request comes when it is asked for":         rawOnRequest,
	"messages are narrowed by every filter":              messageFilters,
	"messages have payloads when that is asked for":      payloadOnRequest,
	"attempts are narrowed by every filter":              attemptFilters,
	"refused requests are kept, the last of each source": refusals,
	"refused requests of no source are not kept":         refusalsOfNobody,
	"a filter that hardly matches still finds all":       rareMatch,
}

func othersMessages(_ *testing.T, f *fixture) {
	app, other := f.app(), f.app()
	m := f.newMessage(other.ID)
	m.EventID = "evt"
	f.accept(hook.Accept{Message: m})
	for _, ref := range []string{m.ID.String(), "evt", "", "msg_", hook.NewID[hook.MessageID](f.ids, f.now).String()} {
		_, err := f.Message(f.ctx, app.ID, ref, true)
		f.fails(err, hook.KindNotFound)
	}
	_, err := f.Deliveries(f.ctx, app.ID, m.ID)
	f.fails(err, hook.KindNotFound)
	_, err = f.Load(f.ctx, m.ID+1)
	f.fails(err, hook.KindNotFound)
	list, err := f.Messages(f.ctx, app.ID, store.MessageFilter{}, store.Page{})
	f.ok(err)
	if len(list.Items) != 0 {
		f.t.Fatalf("an application lists another's %d messages", len(list.Items))
	}
}

func attemptsNeedOne(_ *testing.T, f *fixture) {
	_, err := f.Attempts(f.ctx, f.app().ID, store.AttemptFilter{}, store.Page{})
	f.fails(err, hook.KindInvalid)
}

func messageRef(t *testing.T, f *fixture) {
	app := f.app()
	m := f.newMessage(app.ID)
	m.EventID = "evt 一"
	f.accept(hook.Accept{Message: m})
	for _, ref := range []string{m.ID.String(), m.EventID} {
		got, err := f.Message(f.ctx, app.ID, ref, false)
		f.ok(err)
		same(t, got, m)
	}
	later := f.newMessage(app.ID)
	later.EventID = m.EventID
	f.accept(hook.Accept{Message: later})
	got, err := f.Message(f.ctx, app.ID, m.EventID, false)
	f.ok(err)
	same(t, got, later) // of several, the latest
}

func rawOnRequest(t *testing.T, f *fixture) {
	app := f.app()
	m := received(f, app.ID, []byte(`{"a":{}}`), []byte(`{}`))
	f.accept(hook.Accept{Message: m})
	got, err := f.Message(f.ctx, app.ID, m.ID.String(), true)
	f.ok(err)
	same(t, got, m)
	m.Raw = nil
	got, err = f.Message(f.ctx, app.ID, m.ID.String(), false)
	f.ok(err)
	same(t, got, m)
}

func ids(list store.List[hook.Message]) []hook.MessageID {
	var all []hook.MessageID
	for _, m := range list.Items {
		all = append(all, m.ID)
	}
	return all
}

func messageFilters(t *testing.T, f *fixture) {
	app := f.app()
	start := f.now
	src := f.source(app.ID)
	var m []hook.MessageID
	for _, set := range []func(*hook.Message){
		func(m *hook.Message) { m.EventType, m.Channels = "a", []string{"x", "y"} },
		func(m *hook.Message) { m.EventType, m.Tags = "b", []string{"t", "u"} },
		func(m *hook.Message) { m.EventType, m.Source = "a", src.ID },
		func(m *hook.Message) { m.EventType, m.Channels = "c", []string{"y"} },
	} {
		msg := f.newMessage(app.ID)
		set(&msg)
		m = append(m, f.accept(hook.Accept{Message: msg}).Message.ID)
		f.later(time.Second)
	}
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second) }
	for name, c := range map[string]struct {
		f    store.MessageFilter
		want []hook.MessageID
	}{
		"none":              {store.MessageFilter{}, m},
		"type":              {store.MessageFilter{EventTypes: []string{"a"}}, []hook.MessageID{m[0], m[2]}},
		"types":             {store.MessageFilter{EventTypes: []string{"c", "b", "c", "none"}}, []hook.MessageID{m[1], m[3]}},
		"unknown type":      {store.MessageFilter{EventTypes: []string{"A"}}, nil},
		"channel":           {store.MessageFilter{Channel: "y"}, []hook.MessageID{m[0], m[3]}},
		"tag":               {store.MessageFilter{Tag: "u"}, []hook.MessageID{m[1]}},
		"source":            {store.MessageFilter{Source: src.ID}, []hook.MessageID{m[2]}},
		"type and channel":  {store.MessageFilter{EventTypes: []string{"a", "b"}, Channel: "y"}, []hook.MessageID{m[0]}},
		"before, exclusive": {store.MessageFilter{Before: at(2)}, m[:2]},
		"before, later":     {store.MessageFilter{Before: at(2).Add(time.Microsecond)}, m[:3]},
		"after, exclusive":  {store.MessageFilter{After: at(1)}, m[2:]},
		"after, earlier":    {store.MessageFilter{After: at(1).Add(-time.Millisecond)}, m[1:]},
		"between and type":  {store.MessageFilter{After: at(0), Before: at(3), EventTypes: []string{"a"}}, m[2:3]},
	} {
		list, err := f.Messages(f.ctx, app.ID, c.f, store.Page{})
		f.ok(err)
		if !list.Done {
			t.Errorf("%s: not done", name)
		}
		if got := ids(list); len(got) != len(c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		} else if len(got) > 0 {
			same(t, got, c.want)
		}
	}
}

func payloadOnRequest(t *testing.T, f *fixture) {
	app := f.app()
	m := received(f, app.ID, []byte(`{"a":{}}`), []byte(`{}`))
	f.accept(hook.Accept{Message: m})
	m.Raw = nil
	for _, with := range []bool{true, false} {
		list, err := f.Messages(f.ctx, app.ID, store.MessageFilter{WithPayload: with}, store.Page{})
		f.ok(err)
		if !with {
			m.Payload = nil
		}
		same(t, list.Items, []hook.Message{m})
	}
}

func attemptFilters(t *testing.T, f *fixture) {
	app := f.app()
	e1, e2 := f.endpoint(app.ID), f.endpoint(app.ID)
	start := f.now
	m1, m2 := f.message(app.ID), f.message(app.ID)
	var a []hook.Attempt
	for _, c := range []struct {
		m       hook.Message
		ep      hook.EndpointID
		verdict hook.Verdict
		status  int
		typ     string
	}{
		{m1, e1.ID, hook.Retry, 503, "a"},
		{m1, e2.ID, hook.Success, 204, "a"},
		{m1, e1.ID, hook.Success, 200, "a"},
		{m2, e1.ID, hook.Refuse, 400, "b"},
		{m2, e2.ID, hook.Retry, 0, "b"},
	} {
		o := f.outcome(f.delivery(app.ID, c.m.ID, c.ep), c.verdict, time.Minute)
		o.Attempt.Status, o.Attempt.EventType, o.Attempt.Response = c.status, c.typ, []byte("text")
		f.finish(o)
		a = append(a, o.Attempt)
		f.later(time.Second)
	}
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second) }
	for name, c := range map[string]struct {
		f    store.AttemptFilter
		want []int
	}{
		"message":              {store.AttemptFilter{Message: m1.ID}, []int{0, 1, 2}},
		"endpoint":             {store.AttemptFilter{Endpoint: e1.ID}, []int{0, 2, 3}},
		"both":                 {store.AttemptFilter{Message: m1.ID, Endpoint: e1.ID}, []int{0, 2}},
		"failed":               {store.AttemptFilter{Endpoint: e1.ID, Verdicts: []hook.Verdict{hook.Retry, hook.Refuse}}, []int{0, 3}},
		"one verdict":          {store.AttemptFilter{Endpoint: e1.ID, Verdicts: []hook.Verdict{hook.Refuse}}, []int{3}},
		"succeeded":            {store.AttemptFilter{Message: m1.ID, Verdicts: []hook.Verdict{hook.Success}}, []int{1, 2}},
		"some of both":         {store.AttemptFilter{Endpoint: e1.ID, Verdicts: []hook.Verdict{hook.Success, hook.Refuse}}, []int{2, 3}},
		"class":                {store.AttemptFilter{Message: m1.ID, StatusClass: 2}, []int{1, 2}},
		"types":                {store.AttemptFilter{Endpoint: e1.ID, EventTypes: []string{"b", "c"}}, []int{3}},
		"before":               {store.AttemptFilter{Endpoint: e1.ID, Before: at(2)}, []int{0}},
		"after":                {store.AttemptFilter{Endpoint: e1.ID, After: at(0)}, []int{2, 3}},
		"of a foreign message": {store.AttemptFilter{Message: m1.ID + 1000}, nil},
	} {
		for _, content := range []bool{true, false} {
			c.f.WithContent = content
			list, err := f.Attempts(f.ctx, app.ID, c.f, store.Page{})
			f.ok(err)
			if len(list.Items) != len(c.want) || !list.Done {
				t.Errorf("%s: got %+v, want %v", name, list, c.want)
				continue
			}
			for i, n := range c.want {
				want := a[n]
				if !content {
					want.Response = nil
				}
				same(t, list.Items[i], want)
			}
		}
	}
	list, err := f.Attempts(f.ctx, f.app().ID, store.AttemptFilter{Endpoint: e1.ID}, store.Page{})
	f.ok(err)
	if len(list.Items) != 0 {
		t.Fatal("another application's attempts are listed")
	}
}

func (f *fixture) refused(src hook.SourceID) hook.Refused {
	return hook.Refused{
		ID: f.ids.Next(f.now), Source: src, At: f.now, Reason: "signature", Detail: "不对", Remote: "192.0.2.1",
		Raw: hook.Raw{Method: "POST", Query: "q", Header: map[string][]string{"A": {"\xff"}}, Body: []byte("\x00body")},
	}
}

func refusals(t *testing.T, f *fixture) {
	app := f.app()
	a, b := f.source(app.ID), f.source(app.ID)
	var all []hook.Refused
	for range 7 {
		r := f.refused(a.ID)
		f.ok(f.Refuse(f.ctx, []hook.Refused{r, f.refused(b.ID)}, 3))
		all = append([]hook.Refused{r}, all...)
		f.later(time.Second)
	}
	got, err := f.Refusals(f.ctx, a.ID, 10)
	f.ok(err)
	same(t, got, all[:3])
	got, err = f.Refusals(f.ctx, a.ID, 2)
	f.ok(err)
	same(t, got, all[:2])
	f.ok(f.DeleteSource(f.ctx, app.ID, a.ID))
	if got, err := f.Refusals(f.ctx, a.ID, 10); err != nil || len(got) != 0 {
		t.Fatalf("%d are kept of a deleted source, %v", len(got), err)
	}
	if got, err := f.Refusals(f.ctx, b.ID, 10); err != nil || len(got) != 3 {
		t.Fatalf("%d are kept of the other source, %v", len(got), err)
	}
}

func refusalsOfNobody(t *testing.T, f *fixture) {
	nobody := hook.NewID[hook.SourceID](f.ids, f.now)
	f.ok(f.Refuse(f.ctx, []hook.Refused{f.refused(nobody)}, 3))
	if got, err := f.Refusals(f.ctx, nobody, 10); err != nil || len(got) != 0 {
		t.Fatalf("%d are kept, %v", len(got), err)
	}
}

// rareMatch makes a list longer than a backend looks at in one call, with one match at each end.
func rareMatch(t *testing.T, f *fixture) {
	app := f.app()
	const n = 6000
	var want []hook.MessageID
	batch := make([]hook.Accept, 0, n)
	for i := range n {
		m := f.newMessage(app.ID)
		if i == 0 || i == n-1 {
			m.Tags = []string{"rare"}
			want = append(want, m.ID)
		}
		m.EventType = []string{"a", "b"}[i%2]
		batch = append(batch, hook.Accept{Message: m})
	}
	f.acceptAll(batch...)
	for name, filter := range map[string]store.MessageFilter{
		"all types": {Tag: "rare"},
		"two types": {Tag: "rare", EventTypes: []string{"a", "b"}},
	} {
		for _, down := range []bool{false, true} {
			var got []hook.MessageID
			page := store.Page{Limit: 10, Descending: down}
			for calls := 1; ; calls++ {
				list, err := f.Messages(f.ctx, app.ID, filter, page)
				f.ok(err)
				got = append(got, ids(list)...)
				if list.Done {
					break
				}
				if list.Last == "" || list.Last == page.After || calls > n {
					t.Fatalf("%s: a page that is not done has no way on: %+v", name, list)
				}
				page.After = list.Last
			}
			if down {
				got[0], got[1] = got[1], got[0]
			}
			same(t, got, want)
		}
	}
}
