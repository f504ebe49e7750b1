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
	"an unknown application is that message's error alone":  unknownApplication,
	"a message without id or time is refused alone":         unfinishedMessage,
	"an id is taken once":                                   takenMessageID,
	"an empty batch is no work":                             emptyBatch,
	"a message goes to the endpoints that match":            fanOut,
	"a delivery is due when its message was made or at Due": dueAtOnce,
	"config changes decide for what comes after":            matchAfterChange,
	"a received message comes back as it came":              messageRoundTrip,
	"a published message comes back as it came":             publishedRoundTrip,
	"bodies of any bytes and size come back":                anyBytes,
	"time is kept to the millisecond in UTC":                timeRoundTrip,
	"new messages are told before the call returns":         acceptChanges,
	"a batch is taken in order":                             batchOrder,
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

func takenMessageID(_ *testing.T, f *fixture) {
	app := f.app()
	m := f.message(app.ID)
	again := f.newMessage(app.ID)
	again.ID = m.ID
	dedup := hook.Dedup{Key: "k", Keep: time.Hour}
	out := f.acceptAll(hook.Accept{Message: again, Dedup: dedup}, hook.Accept{Message: f.newMessage(app.ID)})
	f.failsField(out[0].Err, hook.KindConflict, "id")
	f.ok(out[1].Err)
	f.accept(hook.Accept{Message: f.newMessage(app.ID), Dedup: dedup}) // the refused one left no key
	f.wantCounts(store.Counts{Messages: 3})
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
	m.Raw = &hook.Raw{Method: "POST", Query: "a=b&a=c", Header: http.Header{"X-A": {"1", "\xff"}, "X-B": {""}}, Body: body}
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
