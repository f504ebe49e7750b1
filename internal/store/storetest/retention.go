package storetest

import (
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var retentionTests = map[string]func(*testing.T, *fixture){
	"nothing goes when nothing is asked for":           nothingGoes,
	"a message with a pending delivery stays":          pendingStays,
	"a message with a wished resend stays":             wishedStays,
	"a message goes with all that is of it":            messageGoes,
	"a younger message stays":                          youngerStays,
	"a payload goes before its message":                payloadGoes,
	"a step is bounded and says whether there is more": boundedSteps,
	"what must stay does not hold up the rest":         stayingDoesNotBlock,
	"keys that have run out go":                        keysGo,
	"tokens that have run out go":                      tokensGo,
	"totals do not go back":                            totalsStay,
}

func nothingGoes(t *testing.T, f *fixture) {
	m := f.message(f.app().ID)
	f.later(1000 * time.Hour)
	if s := f.sweep(store.Sweep{Now: f.now, Limit: 10}); s != (store.Swept{}) {
		t.Fatalf("swept %+v", s)
	}
	got, err := f.Load(f.ctx, m.ID)
	f.ok(err)
	same(t, got, m)
}

// all is a sweep that takes everything that may go.
func (f *fixture) all() store.Sweep {
	return store.Sweep{Now: f.now, Before: f.now, PayloadBefore: f.now, Limit: 10}
}

func pendingStays(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := f.message(app.ID)
	f.finish(f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Retry, 1000*time.Hour))
	f.later(100 * time.Hour)
	if s := f.sweep(f.all()); s != (store.Swept{}) {
		t.Fatalf("swept %+v", s)
	}
	got, err := f.Load(f.ctx, m.ID)
	f.ok(err)
	same(t, got, m) // with its payload
	f.finish(f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Refuse))
	if s := f.sweep(f.all()); s.Messages != 1 {
		t.Fatalf("swept %+v after it was settled", s)
	}
}

func wishedStays(t *testing.T, f *fixture) {
	app := f.app()
	m := f.message(app.ID)
	e := f.endpoint(app.ID)
	f.ok(f.Resend(f.ctx, app.ID, m.ID, e.ID, f.now))
	f.later(100 * time.Hour)
	if s := f.sweep(f.all()); s != (store.Swept{}) {
		t.Fatalf("swept %+v", s)
	}
	work, _ := f.claim(e.ID, 1)
	f.finish(f.manual(work[0], hook.Retry))
	if s := f.sweep(f.all()); s.Messages != 1 {
		t.Fatalf("swept %+v after the wish was made", s)
	}
}

func messageGoes(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := f.message(app.ID)
	d := f.delivery(app.ID, m.ID, e.ID)
	o := f.outcome(d, hook.Success)
	f.finish(o)
	f.later(time.Hour)
	f.sweep(f.all())
	_, err := f.Load(f.ctx, m.ID)
	f.fails(err, hook.KindNotFound)
	_, err = f.Deliveries(f.ctx, app.ID, m.ID)
	f.fails(err, hook.KindNotFound)
	_, err = f.Attempt(f.ctx, app.ID, o.Attempt.ID)
	f.fails(err, hook.KindNotFound)
	list, err := f.Attempts(f.ctx, app.ID, store.AttemptFilter{Endpoint: e.ID}, store.Page{})
	f.ok(err)
	if len(list.Items) != 0 {
		t.Fatalf("%d attempts are left", len(list.Items))
	}
	f.finish(f.outcome(d, hook.Retry, time.Minute)) // an attempt that was still under way is dropped
	if work, _ := f.claim(e.ID, 10); len(work) != 0 {
		t.Fatalf("claimed %+v of a message that is gone", work)
	}
}

func youngerStays(t *testing.T, f *fixture) {
	app := f.app()
	f.message(app.ID)
	f.later(time.Millisecond)
	m := f.message(app.ID)
	if s := f.sweep(store.Sweep{Now: f.now, Before: f.now, Limit: 10}); s.Messages != 1 {
		t.Fatalf("swept %+v, want the older one", s)
	}
	_, err := f.Load(f.ctx, m.ID)
	f.ok(err)
}

func payloadGoes(t *testing.T, f *fixture) {
	app := f.app()
	m := received(f, app.ID, []byte(`{"a":{}}`), []byte(`{}`))
	f.accept(hook.Accept{Message: m})
	f.later(time.Hour)
	sweep := store.Sweep{Now: f.now, PayloadBefore: f.now, Limit: 10}
	if s := f.sweep(sweep); s.Payloads != 1 || s.Messages != 0 {
		t.Fatalf("swept %+v", s)
	}
	if s := f.sweep(sweep); s != (store.Swept{}) {
		t.Fatalf("swept %+v twice", s)
	}
	m.Payload, m.Raw, m.Expired = nil, nil, true
	got, err := f.Message(f.ctx, app.ID, m.ID.String(), true)
	f.ok(err)
	same(t, got, m)
	for _, with := range []bool{true, false} {
		list, err := f.Messages(f.ctx, app.ID, store.MessageFilter{WithPayload: with}, store.Page{})
		f.ok(err)
		same(t, list.Items, []hook.Message{m})
	}
	if s := f.sweep(f.all()); s.Messages != 1 {
		t.Fatalf("swept %+v", s)
	}
}

func boundedSteps(t *testing.T, f *fixture) {
	app := f.app()
	for range 25 {
		f.accept(hook.Accept{Message: f.newMessage(app.ID), Dedup: hook.Dedup{Key: f.now.String(), Keep: time.Second}})
		f.later(time.Second)
	}
	f.later(time.Hour)
	s := store.Sweep{Now: f.now, Before: f.now, PayloadBefore: f.now, Limit: 4}
	var total store.Swept
	for steps := 1; ; steps++ {
		done, more, err := f.Sweep(f.ctx, s)
		f.ok(err)
		if done.Messages > 4 || done.Payloads > 4 || done.Keys > 4 {
			t.Fatalf("a step of %+v, want at most 4 of each", done)
		}
		total.Messages, total.Keys = total.Messages+done.Messages, total.Keys+done.Keys
		if !more {
			break
		}
		if steps > 100 {
			t.Fatal("there is always more")
		}
	}
	if total.Messages != 25 || total.Keys != 25 {
		t.Fatalf("swept %+v in all", total)
	}
}

func stayingDoesNotBlock(t *testing.T, f *fixture) {
	app := f.app()
	e := f.newEndpoint(app.ID)
	e.EventTypes = []string{"keep"}
	f.ok(f.CreateEndpoint(f.ctx, e))
	for i := range 30 {
		m := f.newMessage(app.ID)
		if i < 20 {
			m.EventType = "keep"
		}
		f.accept(hook.Accept{Message: m})
	}
	f.later(time.Hour)
	s := f.all()
	s.Limit = 4
	if total := f.sweep(s); total.Messages != 10 {
		t.Fatalf("swept %+v, want the 10 that may go", total)
	}
	if work, _ := f.claim(e.ID, 100); len(work) != 20 {
		t.Fatalf("%d deliveries are left, want 20", len(work))
	}
}

func keysGo(t *testing.T, f *fixture) {
	app := f.app()
	f.accept(hook.Accept{Message: f.newMessage(app.ID), Dedup: hook.Dedup{Key: "short", Keep: time.Hour}})
	f.accept(hook.Accept{Message: f.newMessage(app.ID), Dedup: hook.Dedup{Key: "long", Keep: 2 * time.Hour}})
	f.later(time.Hour)
	if s := f.sweep(store.Sweep{Now: f.now, Limit: 10}); s.Keys != 1 {
		t.Fatalf("swept %+v, want one key", s)
	}
	long := hook.Accept{Message: f.newMessage(app.ID), Dedup: hook.Dedup{Key: "long", Keep: 2 * time.Hour}}
	if out := f.acceptAll(long)[0]; !out.Duplicate {
		t.Fatal("a key went that had not run out")
	}
}

func tokensGo(t *testing.T, f *fixture) {
	for i, end := range []time.Time{{}, f.now.Add(time.Hour), f.now.Add(2 * time.Hour)} {
		f.ok(f.PutToken(f.ctx, hook.Token{ID: hook.NewID[hook.TokenID](f.ids, f.now), Hash: [32]byte{byte(i)}, ExpiresAt: end}))
	}
	f.later(time.Hour)
	f.sweep(store.Sweep{Now: f.now, Limit: 10})
	list, err := f.Tokens(f.ctx, store.Page{})
	f.ok(err)
	if len(list.Items) != 2 {
		t.Fatalf("%d tokens are left, want 2", len(list.Items))
	}
}

func totalsStay(_ *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	f.finish(f.outcome(f.delivery(app.ID, f.message(app.ID).ID, e.ID), hook.Success))
	f.later(time.Hour)
	f.sweep(f.all())
	f.wantCounts(store.Counts{Messages: 1, Delivered: 1})
}
