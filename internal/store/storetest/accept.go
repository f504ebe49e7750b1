package storetest

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var acceptTests = map[string]func(*testing.T, *fixture){
	"an unknown application is that message's error alone":            unknownApplication,
	"a message without id or time is refused alone":                   unfinishedMessage,
	"ids grow in the order of the commits":                            idsGrow,
	"due at a later moment when it is to be delivered then":           deliverAt,
	"flags that an application lacks keep deliveries from being made": needs,
	"a message for one endpoint goes to no other":                     onlyOne,
	"nothing is sent to a polled endpoint":                            polled,
	"an empty batch is no work":                                       emptyBatch,
	"a message goes to the endpoints that match":                      fanOut,
	"a delivery is due when its message was made or at Due":           dueAtOnce,
	"config changes decide for what comes after":                      matchAfterChange,
	"a received message comes back as it came":                        messageRoundTrip,
	"a published message comes back as it came":                       publishedRoundTrip,
	"bodies of any bytes and size come back":                          anyBytes,
	"time is kept to the millisecond in UTC":                          timeRoundTrip,
	"new messages are told before the call returns":                   acceptChanges,
	"a batch is taken in order":                                       batchOrder,
}

func unknownApplication(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	nobody := hook.NewID[hook.ApplicationID](f.ids, f.now)
	out := f.acceptAll(
		hook.Accept{Message: f.newMessage(app.ID)},
		hook.Accept{Message: f.newMessage(nobody), Dedup: hook.Dedup{Key: "k", Keep: time.Hour}},
		hook.Accept{Message: f.newMessage(app.ID)},
	)
	f.ok(out[0].Err)
	f.fails(out[1].Err, hook.KindNotFound)
	f.ok(out[2].Err)
	if len(out[0].Deliveries) != 1 || len(out[1].Deliveries) != 0 || len(out[2].Deliveries) != 1 {
		t.Fatalf("deliveries are %v, %v, %v", out[0].Deliveries, out[1].Deliveries, out[2].Deliveries)
	}
	if work, _ := f.claim(e.ID, 10); len(work) != 2 {
		t.Fatalf("%d deliveries, want the two good ones", len(work))
	}
	f.wantCounts(store.Counts{Messages: 2, Pending: 2})
}

func unfinishedMessage(_ *testing.T, f *fixture) {
	app := f.app()
	noID, noTime := f.newMessage(app.ID), f.newMessage(app.ID)
	noID.ID, noTime.CreatedAt = 0, time.Time{}
	out := f.acceptAll(hook.Accept{Message: noID}, hook.Accept{Message: noTime}, hook.Accept{Message: f.newMessage(app.ID)})
	f.fails(out[0].Err, hook.KindInvalid)
	f.fails(out[1].Err, hook.KindInvalid)
	f.ok(out[2].Err)
	f.wantCounts(store.Counts{Messages: 1})
}

// idsGrow: whoever follows the messages by their ids misses none, whatever ids they come with.
func idsGrow(t *testing.T, f *fixture) {
	app, other := f.app(), f.app()
	e := f.endpoint(app.ID)
	early := f.newMessage(app.ID)
	f.later(time.Second)
	last := f.message(other.ID) // of any application
	again := f.newMessage(app.ID)
	again.ID = last.ID
	high := f.newMessage(app.ID)
	out := f.acceptAll(hook.Accept{Message: early}, hook.Accept{Message: again}, hook.Accept{Message: high})
	for i, want := range []hook.MessageID{last.ID + 1, last.ID + 2, high.ID} {
		f.ok(out[i].Err)
		if out[i].Message.ID != want || out[i].Deliveries[0].Message != want {
			t.Fatalf("message %d got the id %d, delivery %d, want %d", i, out[i].Message.ID, out[i].Deliveries[0].Message, want)
		}
		got, err := f.Load(f.ctx, want)
		f.ok(err)
		same(t, got, out[i].Message)
		f.delivery(app.ID, want, e.ID)
	}
	if _, err := f.Load(f.ctx, early.ID); hook.KindOf(err) != hook.KindNotFound {
		t.Fatalf("there is a message with the id that was replaced: %v", err)
	}
	repeat := func() hook.Accept {
		m := f.newMessage(app.ID)
		m.ID = early.ID
		return hook.Accept{Message: m, Dedup: hook.Dedup{Key: "k", Keep: time.Hour}}
	}
	first := f.accept(repeat()).Message.ID
	if first != high.ID+1 {
		t.Fatalf("got the id %d, want %d", first, high.ID+1)
	}
	if out := f.acceptAll(repeat())[0]; !out.Duplicate || out.Message.ID != first {
		t.Fatalf("a repeat is answered %+v, want the id %s", out, first)
	}
	if id, err := f.HighestID(f.ctx); err != nil || id != int64(first) {
		t.Fatalf("the highest id is %d, %v; want %d", id, err, first)
	}
}

func deliverAt(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	later := f.newMessage(app.ID)
	later.DeliverAt, later.ContentUntil = f.now.Add(time.Hour).Add(123*time.Microsecond), f.now.Add(2*time.Hour)
	later.EventID = "e"
	dedup := hook.Dedup{Key: "k", Keep: time.Minute, Twin: "t", TwinKeep: time.Minute, TwinMark: "twin"}
	out := f.accept(hook.Accept{Message: later, Dedup: dedup, Unique: true, UniqueKeep: time.Minute})
	later.DeliverAt = f.now.Add(time.Hour)
	got, err := f.Load(f.ctx, later.ID)
	f.ok(err)
	same(t, got, later)
	same(t, out.Message, later)
	if d := f.delivery(app.ID, later.ID, e.ID); !d.NextAt.Equal(later.DeliverAt) {
		t.Fatalf("due at %v, want %v", d.NextAt, later.DeliverAt)
	}
	same(t, f.delivery(app.ID, later.ID, e.ID), out.Deliveries[0])
	past := f.newMessage(app.ID)
	past.DeliverAt = f.now.Add(-time.Hour)
	f.accept(hook.Accept{Message: past})
	if work, next := f.claim(e.ID, 10); len(work) != 1 || work[0].Delivery.Message != past.ID || !next.Equal(later.DeliverAt) {
		t.Fatalf("claimed %+v, next %v; want what was to be delivered in the past", work, next)
	}
	if d := f.delivery(app.ID, past.ID, e.ID); !d.NextAt.Equal(f.now) {
		t.Fatalf("due at %v, want %v", d.NextAt, f.now)
	}
	// Keys are remembered from the moment that the message was made.
	f.later(time.Minute)
	again := f.newMessage(app.ID)
	again.EventID = "e"
	out = f.accept(hook.Accept{Message: again, Dedup: dedup, Unique: true, UniqueKeep: time.Minute})
	same(t, out.Message, again) // without a mark
}

func needs(t *testing.T, f *fixture) {
	app := f.app()
	f.endpoint(app.ID)
	reach := func(needs ...string) int {
		t.Helper()
		return len(f.accept(hook.Accept{Message: f.newMessage(app.ID), Needs: needs}).Deliveries)
	}
	want := func(flags []string, anything, one, either int) {
		t.Helper()
		app.FeatureFlags = flags
		f.ok(f.UpdateApplication(f.ctx, app))
		if a, b, c := reach(), reach("x"), reach("x", "y"); a != anything || b != one || c != either {
			t.Fatalf("with %q there are %d, %d and %d deliveries, want %d, %d and %d", flags, a, b, c, anything, one, either)
		}
	}
	want(nil, 1, 1, 1)
	want([]string{}, 1, 0, 0)
	want([]string{"y"}, 1, 0, 1)
	want([]string{"x"}, 1, 1, 1)
	want(nil, 1, 1, 1)
	restricted := hook.Application{ID: hook.NewID[hook.ApplicationID](f.ids, f.now), FeatureFlags: []string{}, CreatedAt: f.now}
	f.ok(f.CreateApplication(f.ctx, restricted))
	f.endpoint(restricted.ID)
	out := f.accept(hook.Accept{Message: f.newMessage(restricted.ID), Needs: []string{"x"}})
	if len(out.Deliveries) != 0 {
		t.Fatal("an application that was made without flags gets what needs one")
	}
	_, err := f.Load(f.ctx, out.Message.ID)
	f.ok(err)
}

func onlyOne(t *testing.T, f *fixture) {
	app, other := f.app(), f.app()
	f.endpoint(app.ID)
	e, elsewhere := f.newEndpoint(app.ID), f.endpoint(other.ID)
	e.EventTypes, e.Channels = []string{"another"}, []string{"c"}
	f.ok(f.CreateEndpoint(f.ctx, e))
	for _, c := range []struct {
		only hook.EndpointID
		want int
	}{{e.ID, 1}, {elsewhere.ID, 0}, {hook.NewID[hook.EndpointID](f.ids, f.now), 0}} {
		out := f.accept(hook.Accept{Message: f.newMessage(app.ID), Only: c.only})
		if len(out.Deliveries) != c.want || c.want == 1 && out.Deliveries[0].Endpoint != e.ID {
			t.Fatalf("deliveries are %+v", out.Deliveries)
		}
	}
	e.Disabled = true
	f.ok(f.UpdateEndpoint(f.ctx, e))
	if out := f.accept(hook.Accept{Message: f.newMessage(app.ID), Only: e.ID}); len(out.Deliveries) != 0 {
		t.Fatalf("deliveries to a disabled endpoint: %+v", out.Deliveries)
	}
}

func polled(t *testing.T, f *fixture) {
	app := f.app()
	e := f.newEndpoint(app.ID)
	e.Transport = hook.TransportPoll
	f.ok(f.CreateEndpoint(f.ctx, e))
	send := func(only hook.EndpointID) int {
		return len(f.accept(hook.Accept{Message: f.newMessage(app.ID), Only: only}).Deliveries)
	}
	if send(0)+send(e.ID) != 0 {
		t.Fatal("a message is sent to a polled endpoint")
	}
	e.Transport = hook.TransportHTTP
	f.ok(f.UpdateEndpoint(f.ctx, e))
	if send(0) != 1 {
		t.Fatal("no message is sent to an endpoint that is polled no more")
	}
	e.Transport = hook.TransportPoll // what is pending is canceled
	f.ok(f.UpdateEndpoint(f.ctx, e))
	f.wantCounts(store.Counts{Messages: 3, Canceled: 1})
	if work, _ := f.claim(e.ID, 10); len(work) != 0 {
		t.Fatalf("claimed %+v for a polled endpoint", work)
	}
}

func emptyBatch(t *testing.T, f *fixture) {
	if out := f.acceptAll(); len(out) != 0 {
		t.Fatalf("an empty batch gives %v", out)
	}
	f.ok(f.Finish(f.ctx, nil))
	f.ok(f.Refuse(f.ctx, nil, 5))
}

func fanOut(t *testing.T, f *fixture) {
	app, other := f.app(), f.app()
	var want []hook.EndpointID
	for _, c := range []struct {
		types, channels []string
		disabled, takes bool
	}{
		{nil, nil, false, true},
		{[]string{"order.created", "x"}, nil, false, true},
		{[]string{"order"}, nil, false, false},
		{nil, []string{"east", "north"}, false, true},
		{nil, []string{"west"}, false, false},
		{[]string{"order.created"}, []string{"west"}, false, false},
		{nil, nil, true, false},
	} {
		e := f.newEndpoint(app.ID)
		e.EventTypes, e.Channels, e.Disabled = c.types, c.channels, c.disabled
		f.ok(f.CreateEndpoint(f.ctx, e))
		if c.takes {
			want = append(want, e.ID)
		}
	}
	f.endpoint(other.ID)
	m := f.newMessage(app.ID)
	m.Channels = []string{"east", "south"}
	out := f.accept(hook.Accept{Message: m})
	var got []hook.EndpointID
	for _, d := range out.Deliveries {
		got = append(got, d.Endpoint)
		if d.App != app.ID || d.Message != m.ID || d.State != hook.Pending || d.Attempts != 0 {
			t.Fatalf("delivery is %+v", d)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("goes to %v, want %v", got, want)
	}
	stored, err := f.Deliveries(f.ctx, app.ID, m.ID)
	f.ok(err)
	same(t, stored, out.Deliveries)
	f.wantCounts(store.Counts{Messages: 1, Pending: int64(len(want))})
}

func dueAtOnce(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := f.message(app.ID)
	if d := f.delivery(app.ID, m.ID, e.ID); !d.NextAt.Equal(f.now) {
		t.Fatalf("due at %v, want %v", d.NextAt, f.now)
	}
	for name, due := range map[string]time.Time{"earlier": f.now.Add(-time.Hour), "later": f.now.Add(time.Hour)} {
		out := f.accept(hook.Accept{Message: f.newMessage(app.ID), Due: due})
		if d := f.delivery(app.ID, out.Message.ID, e.ID); !d.NextAt.Equal(due) || !out.Deliveries[0].NextAt.Equal(due) || !out.Message.CreatedAt.Equal(f.now) {
			t.Fatalf("%s: due at %v, said %v, made at %v; want %v", name, d.NextAt, out.Deliveries[0].NextAt, out.Message.CreatedAt, due)
		}
	}
}

func matchAfterChange(t *testing.T, f *fixture) {
	app := f.app()
	reach := func() int {
		return len(f.accept(hook.Accept{Message: f.newMessage(app.ID)}).Deliveries)
	}
	if n := reach(); n != 0 {
		t.Fatalf("%d deliveries without an endpoint", n)
	}
	e := f.endpoint(app.ID)
	if n := reach(); n != 1 {
		t.Fatalf("%d deliveries to a new endpoint", n)
	}
	e.EventTypes = []string{"other"}
	f.ok(f.UpdateEndpoint(f.ctx, e))
	if n := reach(); n != 0 {
		t.Fatalf("%d deliveries of a type that was unsubscribed", n)
	}
	e.EventTypes = nil
	f.ok(f.UpdateEndpoint(f.ctx, e))
	if n := reach(); n != 1 {
		t.Fatalf("%d deliveries after all types were subscribed", n)
	}
	f.ok(f.DeleteEndpoint(f.ctx, app.ID, e.ID, f.now))
	if n := reach(); n != 0 {
		t.Fatalf("%d deliveries to a deleted endpoint", n)
	}
}

func received(f *fixture, app hook.ApplicationID, body, payload []byte) hook.Message {
	m := f.newMessage(app)
	m.Source = hook.NewID[hook.SourceID](f.ids, f.now)
	m.EventID, m.Channels, m.Tags = "evt\x00\xff1", []string{"c1", "c2"}, []string{"t1"}
	m.Platform = map[string]string{"client_key": "值", "bytes": "\xfe"}
	m.Payload = payload
	m.Unreadable = "the content is no JSON"
	m.Raw = &hook.Raw{Method: "POST", Query: "a=b&a=c", Header: http.Header{"X-A": {"1", "\xff"}, "X-B": {""}}, Body: body, Remote: "2001:db8::1"}
	return m
}

func messageRoundTrip(t *testing.T, f *fixture) {
	app := f.app()
	whole := []byte(`{"notify":"x","biz_content":{"a":1}}`)
	for name, payload := range map[string][]byte{
		"a part of the body": whole[26:33],
		"the whole body":     whole,
		"not in the body":    []byte(`{"a":2}`),
		"nothing":            {},
	} {
		m := received(f, app.ID, whole, payload)
		f.accept(hook.Accept{Message: m})
		got, err := f.Load(f.ctx, m.ID)
		f.ok(err)
		if !bytes.Equal(got.Payload, payload) {
			t.Fatalf("a payload that is %s comes back as %q, want %q", name, got.Payload, payload)
		}
		got.Payload = m.Payload
		same(t, got, m)
	}
}

func publishedRoundTrip(t *testing.T, f *fixture) {
	m := f.newMessage(f.app().ID)
	m.Payload = []byte(`{ "spacing" :  1.0, "a":"\u4e2d" }`)
	f.accept(hook.Accept{Message: m})
	got, err := f.Load(f.ctx, m.ID)
	f.ok(err)
	same(t, got, m)
}

func anyBytes(t *testing.T, f *fixture) {
	app := f.app()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for name, body := range map[string][]byte{
		"every byte": every,
		"empty":      {},
		"1 MiB":      bytes.Repeat([]byte("0123456789abcdef"), 1<<16),
	} {
		m := f.newMessage(app.ID)
		m.Payload = []byte("{}")
		m.Raw = &hook.Raw{Method: "POST", Header: http.Header{}, Body: body}
		m.EventType = strings.Repeat("类", 80)
		f.accept(hook.Accept{Message: m})
		got, err := f.Load(f.ctx, m.ID)
		f.ok(err)
		if got.Raw == nil || !bytes.Equal(got.Raw.Body, body) {
			t.Fatalf("a body of %s does not come back", name)
		}
		got.Raw.Body = m.Raw.Body
		same(t, got, m)
	}
}

func timeRoundTrip(t *testing.T, f *fixture) {
	app := f.app()
	m := f.newMessage(app.ID)
	m.CreatedAt = time.Date(2026, 3, 1, 20, 0, 0, 123_999_999, time.FixedZone("CST", 8*3600))
	want := time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC)
	out := f.accept(hook.Accept{Message: m})
	got, err := f.Load(f.ctx, m.ID)
	f.ok(err)
	for name, at := range map[string]time.Time{"answered": out.Message.CreatedAt, "stored": got.CreatedAt} {
		if at != want { // with its location
			t.Fatalf("the %s time is %v, want %v", name, at, want)
		}
	}
}

func acceptChanges(t *testing.T, f *fixture) {
	app := f.app()
	f.endpoint(app.ID)
	f.told()
	dedup := hook.Dedup{Key: "k", Keep: time.Hour}
	out := f.acceptAll(
		hook.Accept{Message: f.newMessage(app.ID), Dedup: dedup},
		hook.Accept{Message: f.newMessage(app.ID), Dedup: dedup},
		hook.Accept{Message: f.newMessage(hook.NewID[hook.ApplicationID](f.ids, f.now))},
		hook.Accept{Message: f.newMessage(app.ID)},
	)
	var told []hook.Accepted
	for _, c := range f.told() {
		told = append(told, c.Accepted...)
	}
	same(t, told, []hook.Accepted{out[0], out[3]})
	if len(told[0].Message.Payload) == 0 || len(told[0].Deliveries) != 1 {
		t.Fatalf("told without payload or deliveries: %+v", told[0])
	}
}

func batchOrder(t *testing.T, f *fixture) {
	app := f.app()
	var batch []hook.Accept
	for range 100 {
		batch = append(batch, hook.Accept{Message: f.newMessage(app.ID)})
	}
	for i, out := range f.acceptAll(batch...) {
		if out.Message.ID != batch[i].Message.ID {
			t.Fatalf("answer %d is about %s, want %s", i, out.Message.ID, batch[i].Message.ID)
		}
	}
}
