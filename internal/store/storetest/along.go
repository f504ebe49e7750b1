package storetest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var alongTests = map[string]func(*testing.T, *fixture){
	"a receipt is kept with its write until it runs out": receiptKept,
	"a refused write keeps no receipt":                   receiptRefused,
	"a receipt whose answer is none is not kept":         receiptNone,
	"a key that is taken refuses the write":              receiptTaken,
	"a key that has run out is free again":               receiptAgain,
	"the answer is told what the write made":             receiptResult,
	"of twins one is written":                            receiptTwins,
	"receipts that have run out go":                      receiptsGo,
	"every kind of write carries a receipt":              receiptOfAll,
	"a receipt is no receipt of the writes before it":    receiptOnce,
}

// receipt is an answer under a key for an hour.
func (f *fixture) receipt(key byte, text string) *store.Receipt {
	return &store.Receipt{Key: [32]byte{key}, Now: f.now, Expires: f.now.Add(time.Hour),
		Answer: func(store.Result) (int, []byte, bool) { return 201, []byte(text), true }}
}

// under is a context that carries a receipt.
func (f *fixture) under(r *store.Receipt) context.Context {
	return store.With(f.ctx, store.Along{Receipt: r})
}

// wantReceipt wants an answer under a key; "" = none.
func (f *fixture) wantReceipt(key byte, want string) {
	f.t.Helper()
	status, body, found, err := f.Receipt(f.ctx, [32]byte{key}, f.now)
	f.ok(err)
	if found != (want != "") || string(body) != want || found && status != 201 {
		f.t.Fatalf("under key %d there is %d %q, %v; want %q", key, status, body, found, want)
	}
}

func receiptKept(t *testing.T, f *fixture) {
	f.wantReceipt(1, "")
	app := hook.Application{ID: hook.NewID[hook.ApplicationID](f.ids, f.now), CreatedAt: f.now}
	big := string(bytes.Repeat([]byte("0123456789"), 10_000)) + "\xff\x00"
	f.ok(f.CreateApplication(f.under(f.receipt(1, big)), app))
	f.wantReceipt(1, big)
	f.wantReceipt(2, "")
	f.later(time.Hour - time.Millisecond)
	f.wantReceipt(1, big)
	f.later(time.Millisecond)
	f.wantReceipt(1, "")
	r := f.receipt(3, "")
	r.Answer = func(store.Result) (int, []byte, bool) { return 204, nil, true }
	f.ok(f.UpdateApplication(f.under(r), app))
	if status, body, found, err := f.Receipt(f.ctx, r.Key, f.now); err != nil || !found || status != 204 || len(body) != 0 {
		t.Fatalf("an answer without a body is %d %q, %v, %v", status, body, found, err)
	}
}

func receiptRefused(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	asked := false
	r := f.receipt(1, "no")
	r.Answer = func(store.Result) (int, []byte, bool) { asked = true; return 201, nil, true }
	f.fails(f.CreateApplication(f.under(r), app), hook.KindConflict)
	f.fails(f.DeleteProfile(f.under(r), hook.NewID[hook.ProfileID](f.ids, f.now)), hook.KindNotFound)
	if done, err := f.SwapEndpoint(f.under(r), hook.Endpoint{ID: e.ID, App: app.ID}, e); err != nil || done {
		t.Fatalf("swapped %v, %v", done, err)
	}
	if asked {
		t.Fatal("a refused write was answered")
	}
	f.wantReceipt(1, "")
	f.ok(f.UpdateApplication(f.under(f.receipt(1, "yes")), app)) // and the key is free
	f.wantReceipt(1, "yes")
}

func receiptNone(_ *testing.T, f *fixture) {
	app := f.app()
	r := f.receipt(1, "")
	r.Answer = func(store.Result) (int, []byte, bool) { return 409, []byte("a repeat"), false }
	app.Name = "written all the same"
	f.ok(f.UpdateApplication(f.under(r), app))
	f.wantReceipt(1, "")
	got, err := f.Application(f.ctx, app.ID.String())
	f.ok(err)
	same(f.t, got, app)
}

func receiptTaken(t *testing.T, f *fixture) {
	f.operator()
	app := f.app()
	f.endpoint(app.ID)
	f.ok(f.UpdateApplication(f.under(f.receipt(1, "first")), app))
	before := f.counts()
	f.told()
	a := store.Along{Receipt: f.receipt(1, "second"), Events: []hook.Accept{f.event("x")}}
	m := hook.Accept{Message: f.newMessage(app.ID), Dedup: hook.Dedup{Key: "k", Keep: time.Hour}}
	_, err := f.Accept(store.With(f.ctx, a), []hook.Accept{m})
	f.failsField(err, hook.KindConflict, store.ReceiptField)
	other := hook.Application{ID: hook.NewID[hook.ApplicationID](f.ids, f.now)}
	f.failsField(f.CreateApplication(store.With(f.ctx, a), other), hook.KindConflict, store.ReceiptField)
	f.wantReceipt(1, "first")
	f.wantEvents()
	f.wantCounts(before)
	if told := f.told(); len(told) != 0 {
		t.Fatalf("told %+v of writes that were refused", told)
	}
	_, err = f.Application(f.ctx, other.ID.String())
	f.fails(err, hook.KindNotFound)
	f.accept(m) // it left no key
}

func receiptAgain(_ *testing.T, f *fixture) {
	app := f.app()
	f.ok(f.UpdateApplication(f.under(f.receipt(1, "first")), app))
	f.later(time.Hour - time.Millisecond)
	f.failsField(f.UpdateApplication(f.under(f.receipt(1, "second")), app), hook.KindConflict, store.ReceiptField)
	f.later(time.Millisecond)
	f.ok(f.UpdateApplication(f.under(f.receipt(1, "third")), app))
	f.wantReceipt(1, "third")
}

func receiptResult(t *testing.T, f *fixture) {
	app := f.app()
	f.endpoint(app.ID)
	f.later(time.Second)
	late := f.newMessage(app.ID)
	f.message(app.ID) // now its id is below the last
	r := f.receipt(1, "")
	r.Answer = func(made store.Result) (int, []byte, bool) {
		return 201, fmt.Append(nil, made.Accepted[0].Message.ID, len(made.Accepted[0].Deliveries), made.Accepted[1].Duplicate), true
	}
	dedup := hook.Dedup{Key: "k", Keep: time.Hour}
	out, err := f.Accept(f.under(r), []hook.Accept{{Message: late, Dedup: dedup}, {Message: f.newMessage(app.ID), Dedup: dedup}})
	f.ok(err)
	f.wantReceipt(1, fmt.Sprint(out[0].Message.ID, 1, true))
	if out[0].Message.ID == late.ID {
		t.Fatal("the id was not replaced: the test shows nothing")
	}
	r = f.receipt(2, "")
	r.Answer = func(made store.Result) (int, []byte, bool) { return 201, fmt.Append(nil, made.Canceled), true }
	if n, err := f.Cancel(f.under(r), app.ID, out[0].Message.ID, 0, f.now); err != nil || n != 1 {
		t.Fatalf("canceled %d, %v", n, err)
	}
	f.wantReceipt(2, "1")
}

// receiptTwins: many post the same at once, under one key; one of them is written, whether they meet in a commit or not.
func receiptTwins(t *testing.T, f *fixture) {
	app := f.app()
	for round := range 20 {
		key := byte(round + 1)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won []hook.MessageID
		for range 8 {
			m := f.newMessage(app.ID)
			r := f.receipt(key, "")
			r.Answer = func(made store.Result) (int, []byte, bool) {
				return 201, []byte(made.Accepted[0].Message.ID.String()), true
			}
			wg.Go(func() {
				out, err := f.Accept(f.under(r), []hook.Accept{{Message: m}})
				switch e, ok := err.(*hook.Error); {
				case err == nil:
					mu.Lock()
					won = append(won, out[0].Message.ID)
					mu.Unlock()
				case !ok || e.Kind != hook.KindConflict || e.Field != store.ReceiptField:
					t.Errorf("a twin gets %v", err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d of the twins were written", len(won))
		}
		f.wantReceipt(key, won[0].String())
	}
	f.wantCounts(store.Counts{Messages: 20})
}

func receiptsGo(t *testing.T, f *fixture) {
	app := f.app()
	for key := range byte(10) {
		f.ok(f.UpdateApplication(f.under(f.receipt(key, "answer")), app))
	}
	f.later(time.Minute)
	f.ok(f.UpdateApplication(f.under(f.receipt(100, "younger")), app))
	f.later(59 * time.Minute)
	_, more, err := f.Sweep(f.ctx, store.Sweep{Now: f.now, Limit: 4})
	f.ok(err)
	if !more {
		t.Fatal("a step of 4 took 10")
	}
	f.sweep(store.Sweep{Now: f.now, Limit: 4})
	status, _, found, err := f.Receipt(f.ctx, [32]byte{}, f.now.Add(-time.Minute)) // it would be live then
	f.ok(err)
	if found {
		t.Fatalf("a receipt of status %d is left", status)
	}
	f.wantReceipt(100, "younger")
}

// receiptOfAll writes everything once under a receipt.
func receiptOfAll(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	m := f.message(app.ID)
	o := f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Refuse)
	p, s, other := f.newProfile(), f.newSource(app.ID), f.newEndpoint(app.ID)
	token := hook.Token{ID: hook.NewID[hook.TokenID](f.ids, f.now), Hash: [32]byte{1}, App: app.ID}
	for i, c := range []struct {
		name  string
		write func(context.Context) error
	}{
		{"create application", func(ctx context.Context) error {
			return f.CreateApplication(ctx, hook.Application{ID: hook.NewID[hook.ApplicationID](f.ids, f.now)})
		}},
		{"create profile", func(ctx context.Context) error { return f.CreateProfile(ctx, p) }},
		{"update profile", func(ctx context.Context) error { return f.UpdateProfile(ctx, p) }},
		{"delete profile", func(ctx context.Context) error { return f.DeleteProfile(ctx, p.ID) }},
		{"create source", func(ctx context.Context) error { return f.CreateSource(ctx, s) }},
		{"update source", func(ctx context.Context) error { return f.UpdateSource(ctx, s) }},
		{"delete source", func(ctx context.Context) error { return f.DeleteSource(ctx, app.ID, s.ID) }},
		{"create endpoint", func(ctx context.Context) error { return f.CreateEndpoint(ctx, other) }},
		{"update endpoint", func(ctx context.Context) error { return f.UpdateEndpoint(ctx, other) }},
		{"swap endpoint", func(ctx context.Context) error { _, err := f.SwapEndpoint(ctx, other, other); return err }},
		{"delete endpoint", func(ctx context.Context) error { return f.DeleteEndpoint(ctx, app.ID, other.ID, f.now) }},
		{"create event type", func(ctx context.Context) error { return f.CreateEventType(ctx, hook.EventType{Name: "a"}) }},
		{"update event type", func(ctx context.Context) error { return f.UpdateEventType(ctx, hook.EventType{Name: "a"}) }},
		{"delete event type", func(ctx context.Context) error { return f.DeleteEventType(ctx, "a") }},
		{"put token", func(ctx context.Context) error { return f.PutToken(ctx, token) }},
		{"expire tokens", func(ctx context.Context) error { return f.ExpireTokens(ctx, app.ID, nil, f.now) }},
		{"delete token", func(ctx context.Context) error { return f.DeleteToken(ctx, token.ID) }},
		{"accept", func(ctx context.Context) error {
			_, err := f.Accept(ctx, []hook.Accept{{Message: f.newMessage(app.ID)}})
			return err
		}},
		{"finish", func(ctx context.Context) error { return f.Finish(ctx, []hook.Outcome{o}) }},
		{"resend", func(ctx context.Context) error { return f.Resend(ctx, app.ID, m.ID, e.ID, f.now) }},
		{"cancel", func(ctx context.Context) error { _, err := f.Cancel(ctx, app.ID, m.ID, 0, f.now); return err }},
		{"expunge", func(ctx context.Context) error { return f.Expunge(ctx, app.ID, m.ID, f.now) }},
		{"expunge response", func(ctx context.Context) error { return f.ExpungeResponse(ctx, app.ID, o.Attempt.ID) }},
		{"delete application", func(ctx context.Context) error { return f.DeleteApplication(ctx, app.ID, f.now) }},
	} {
		if err := c.write(f.under(f.receipt(byte(i+1), c.name))); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		f.wantReceipt(byte(i+1), c.name)
	}
}

func receiptOnce(_ *testing.T, f *fixture) {
	app := f.app()
	f.ok(f.UpdateApplication(f.under(f.receipt(1, "one")), app))
	f.ok(f.UpdateApplication(f.ctx, app))
	f.ok(f.UpdateApplication(f.under(f.receipt(2, "two")), app))
	f.wantReceipt(1, "one")
	f.wantReceipt(2, "two")
}
