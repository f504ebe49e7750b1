package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var keyTests = map[string]func(*testing.T, *fixture){
	"a repeat is answered with the first id and writes nothing": repeat,
	"repeats within one batch are found":                        repeatInBatch,
	"of 32 at once exactly one is new":                          repeatAtOnce,
	"another scope, application or kind is another key":         otherKeys,
	"keys that share their joined text are two keys":            joinedKeys,
	"no key is never a repeat":                                  noKey,
	"a key that has run out is forgotten before it is swept":    forgotten,
	"a repeat does not prolong the memory":                      notProlonged,
	"an event id is unique when that is asked for":              uniqueEvent,
	"an event id is not unique when it is not":                  plainEvent,
	"either of both keys finds the repeat":                      bothKeys,
	"a twin is taken and marked":                                twin,
	"a twin outside its time is not marked":                     lateTwin,
	"the caller's map is left alone":                            callersMap,
}

func keyed(m hook.Message, key string) hook.Accept {
	return hook.Accept{Message: m, Dedup: hook.Dedup{Scope: "alipay/1", Key: key, Keep: 7 * 24 * time.Hour}}
}

func repeat(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	first := f.accept(keyed(f.newMessage(app.ID), "n1"))
	second := f.newMessage(app.ID)
	out := f.acceptAll(keyed(second, "n1"))[0]
	f.ok(out.Err)
	if !out.Duplicate || out.Message.ID != first.Message.ID {
		t.Fatalf("a repeat is answered with %+v, want a duplicate of %s", out, first.Message.ID)
	}
	_, err := f.Load(f.ctx, second.ID)
	f.fails(err, hook.KindNotFound)
	if work, _ := f.claim(e.ID, 10); len(work) != 1 {
		t.Fatalf("%d deliveries of a message that came twice", len(work))
	}
	f.wantCounts(store.Counts{Messages: 1, Pending: 1})
}

func repeatInBatch(t *testing.T, f *fixture) {
	app := f.app()
	out := f.acceptAll(
		keyed(f.newMessage(app.ID), "n1"), keyed(f.newMessage(app.ID), "n2"),
		keyed(f.newMessage(app.ID), "n1"), keyed(f.newMessage(app.ID), "n2"), keyed(f.newMessage(app.ID), "n1"),
	)
	for i, want := range []struct {
		dup bool
		as  int
	}{{false, 0}, {false, 1}, {true, 0}, {true, 1}, {true, 0}} {
		if out[i].Duplicate != want.dup || out[i].Message.ID != out[want.as].Message.ID {
			t.Fatalf("answer %d is %+v", i, out[i])
		}
	}
	f.wantCounts(store.Counts{Messages: 2})
}

func repeatAtOnce(t *testing.T, f *fixture) {
	app := f.app()
	const callers, keys = 32, 20
	messages := make([][]hook.Accept, callers)
	for i := range messages {
		for k := range keys {
			messages[i] = append(messages[i], keyed(f.newMessage(app.ID), fmt.Sprint("n", k)))
		}
	}
	var mu sync.Mutex
	fresh, ids := map[int]int{}, map[int][]hook.MessageID{}
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for k := range keys {
				out, err := f.Accept(f.ctx, messages[i][k:k+1])
				if err != nil || out[0].Err != nil {
					t.Errorf("%v, %v", err, out)
					return
				}
				// Whoever has an answer can read the message: a repeat is not answered before the first copy is stored.
				if _, err := f.Load(f.ctx, out[0].Message.ID); err != nil {
					t.Errorf("answered before it was stored: %v", err)
				}
				mu.Lock()
				if !out[0].Duplicate {
					fresh[k]++
				}
				ids[k] = append(ids[k], out[0].Message.ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for k := range keys {
		if fresh[k] != 1 || len(slices.Compact(ids[k])) != 1 {
			t.Fatalf("key %d was new %d times, under the ids %v", k, fresh[k], slices.Compact(ids[k]))
		}
	}
	f.wantCounts(store.Counts{Messages: keys})
}

func otherKeys(_ *testing.T, f *fixture) {
	app, other := f.app(), f.app()
	f.accept(keyed(f.newMessage(app.ID), "n1"))
	f.accept(keyed(f.newMessage(other.ID), "n1"))
	a := keyed(f.newMessage(app.ID), "n1")
	a.Dedup.Scope = "alipay/2"
	f.accept(a)
	event := hook.Accept{Message: f.newMessage(app.ID), Unique: true, UniqueKeep: time.Hour}
	event.Message.EventID = "n1"
	f.accept(event)
	plain := keyed(f.newMessage(app.ID), "n1")
	plain.Dedup.Scope = ""
	f.accept(plain)
	f.wantCounts(store.Counts{Messages: 5})
}

func joinedKeys(_ *testing.T, f *fixture) {
	app := f.app()
	for _, k := range []struct{ scope, key string }{{"ab", "c"}, {"a", "bc"}, {"", "abc"}, {"abc", "\x00"}, {"abc\x00", "\x00"}} {
		f.accept(hook.Accept{Message: f.newMessage(app.ID), Dedup: hook.Dedup{Scope: k.scope, Key: k.key, Keep: time.Hour}})
	}
}

func noKey(_ *testing.T, f *fixture) {
	app := f.app()
	for range 2 {
		f.accept(hook.Accept{Message: f.newMessage(app.ID), Dedup: hook.Dedup{Scope: "s", Keep: time.Hour}})
		f.accept(hook.Accept{Message: f.newMessage(app.ID), Dedup: hook.Dedup{Scope: "s", Key: "not kept"}})
		f.accept(hook.Accept{Message: f.newMessage(app.ID), Unique: true, UniqueKeep: time.Hour})
	}
}

func forgotten(_ *testing.T, f *fixture) {
	app := f.app()
	key := func() hook.Accept {
		return hook.Accept{Message: f.newMessage(app.ID), Dedup: hook.Dedup{Key: "k", Keep: time.Hour}}
	}
	f.accept(key())
	f.later(time.Hour - time.Millisecond)
	if out := f.acceptAll(key())[0]; !out.Duplicate {
		f.t.Fatal("forgotten a millisecond too early")
	}
	f.later(time.Millisecond)
	second := f.accept(key())
	f.later(time.Minute)
	if out := f.acceptAll(key())[0]; !out.Duplicate || out.Message.ID != second.Message.ID {
		f.t.Fatalf("after the first was forgotten, a repeat of the second is answered with %+v", out)
	}
}

func notProlonged(_ *testing.T, f *fixture) {
	app := f.app()
	key := func() hook.Accept {
		return hook.Accept{Message: f.newMessage(app.ID), Dedup: hook.Dedup{Key: "k", Keep: time.Hour}}
	}
	f.accept(key())
	f.later(59 * time.Minute)
	if out := f.acceptAll(key())[0]; !out.Duplicate {
		f.t.Fatal("forgotten too early")
	}
	f.later(time.Minute)
	f.accept(key())
}

func uniqueEvent(t *testing.T, f *fixture) {
	app := f.app()
	event := func(id string) hook.Accept {
		a := hook.Accept{Message: f.newMessage(app.ID), Unique: true, UniqueKeep: time.Hour}
		a.Message.EventID = id
		return a
	}
	first := f.accept(event("e1"))
	f.accept(event("e2"))
	out := f.acceptAll(event("e1"))[0]
	if !out.Duplicate || out.Message.ID != first.Message.ID {
		t.Fatalf("a repeated event id is answered with %+v", out)
	}
	f.later(time.Hour)
	f.accept(event("e1"))
}

func plainEvent(_ *testing.T, f *fixture) {
	app := f.app()
	for range 2 {
		m := f.newMessage(app.ID)
		m.EventID = "e1"
		f.accept(hook.Accept{Message: m})
	}
}

func bothKeys(t *testing.T, f *fixture) {
	app := f.app()
	both := func(key, event string) hook.Accept {
		a := keyed(f.newMessage(app.ID), key)
		a.Message.EventID, a.Unique, a.UniqueKeep = event, true, time.Hour
		return a
	}
	first := f.accept(both("k1", "e1"))
	for _, c := range []struct {
		a       hook.Accept
		byEvent bool
	}{{both("k1", "e2"), false}, {both("k1", "e1"), false}, {both("k2", "e1"), true}} {
		if out := f.acceptAll(c.a)[0]; !out.Duplicate || out.ByEvent != c.byEvent || out.Message.ID != first.Message.ID {
			t.Fatalf("answered with %+v, by event: want %t", out, c.byEvent)
		}
	}
	f.accept(both("k2", "e2")) // the refused ones left nothing behind
}

func twins(m hook.Message, key string) hook.Accept {
	return hook.Accept{Message: m, Dedup: hook.Dedup{
		Scope: "s", Key: key, Keep: 24 * time.Hour, Twin: "body", TwinKeep: 10 * time.Minute, TwinMark: "possibleDuplicateOf",
	}}
}

func twin(t *testing.T, f *fixture) {
	app := f.app()
	first := f.accept(twins(f.newMessage(app.ID), "nonce1"))
	if len(first.Message.Platform) != 0 {
		t.Fatalf("the first is marked: %v", first.Message.Platform)
	}
	f.later(6 * time.Minute)
	m := f.newMessage(app.ID)
	m.Platform = map[string]string{"k": "v"}
	second := f.accept(twins(m, "nonce2"))
	want := map[string]string{"k": "v", "possibleDuplicateOf": first.Message.ID.String()}
	same(t, second.Message.Platform, want)
	got, err := f.Load(f.ctx, m.ID)
	f.ok(err)
	same(t, got.Platform, want)
	f.later(6 * time.Minute) // each one is remembered for its own ten minutes
	third := f.accept(twins(f.newMessage(app.ID), "nonce3"))
	same(t, third.Message.Platform, map[string]string{"possibleDuplicateOf": second.Message.ID.String()})
	if out := f.acceptAll(twins(f.newMessage(app.ID), "nonce1"))[0]; !out.Duplicate || out.Message.ID != first.Message.ID {
		t.Fatalf("a true repeat is answered with %+v", out)
	}
}

func lateTwin(t *testing.T, f *fixture) {
	app := f.app()
	f.accept(twins(f.newMessage(app.ID), "nonce1"))
	f.later(10 * time.Minute)
	if out := f.accept(twins(f.newMessage(app.ID), "nonce2")); len(out.Message.Platform) != 0 {
		t.Fatalf("marked after its time: %v", out.Message.Platform)
	}
}

func callersMap(t *testing.T, f *fixture) {
	app := f.app()
	f.accept(twins(f.newMessage(app.ID), "nonce1"))
	m := f.newMessage(app.ID)
	m.Platform = map[string]string{"k": "v"}
	f.accept(twins(m, "nonce2"))
	same(t, m.Platform, map[string]string{"k": "v"})
}
