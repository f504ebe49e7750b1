package sqlite

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// history is a store with messages of one application, each tried once at one endpoint. One message in ten is labeled, one in a hundred
// failed.
type history struct {
	*DB
	ids      *hook.Generator
	app      hook.ApplicationID
	ep       hook.EndpointID
	messages []hook.MessageID
	attempts []hook.AttemptID
}

func newHistory(t *testing.T) *history {
	t.Helper()
	sealer, err := store.NewSealer(make([]byte, store.MainKeySize))
	if err != nil {
		t.Fatal(err)
	}
	// One reader, so that it is known whose statements are counted.
	db, err := Open(t.Context(), Options{Dir: t.TempDir(), Sealer: sealer, Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	h := &history{DB: db, ids: hook.NewGenerator(1, 0)}
	now := time.Now()
	h.app, h.ep = hook.NewID[hook.ApplicationID](h.ids, now), hook.NewID[hook.EndpointID](h.ids, now)
	if err := db.CreateApplication(t.Context(), hook.Application{ID: h.app, CreatedAt: now}); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateEndpoint(t.Context(), hook.Endpoint{ID: h.ep, App: h.app, URL: "https://example.com/hook", CreatedAt: now}); err != nil {
		t.Fatal(err)
	}
	return h
}

// grow adds messages until there are so many.
func (h *history) grow(t *testing.T, to int) {
	t.Helper()
	for len(h.messages) < to {
		var batch []hook.Accept
		for i := len(h.messages); i < min(to, len(h.messages)+1000); i++ {
			m := hook.Message{ID: hook.NewID[hook.MessageID](h.ids, time.Now()), App: h.app, EventType: "common", CreatedAt: time.Now(),
				Payload: fmt.Appendf(nil, `{"order":%d}`, i)}
			if i%10 == 0 {
				m.EventType, m.Channels, m.Tags = "special", []string{"c"}, []string{"t"}
			}
			batch = append(batch, hook.Accept{Message: m})
		}
		out, err := h.Accept(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		var done []hook.Outcome
		for _, a := range out {
			verdict, status := hook.Success, 200
			if len(h.messages)%100 == 0 {
				verdict, status = hook.Retry, 500
			}
			d := a.Deliveries[0].Step(verdict, hook.Scheduled, time.Now(), nil, 0)
			attempt := hook.Attempt{ID: hook.NewID[hook.AttemptID](h.ids, time.Now()), App: h.app, Message: d.Message, Endpoint: d.Endpoint,
				EventType: a.Message.EventType, URL: "https://example.com/hook", N: 1, At: time.Now(), Status: status, Verdict: verdict, Response: []byte("ok")}
			done = append(done, hook.Outcome{Delivery: d, Attempt: attempt})
			h.messages, h.attempts = append(h.messages, a.Message.ID), append(h.attempts, attempt.ID)
		}
		if err := h.Finish(t.Context(), done); err != nil {
			t.Fatal(err)
		}
	}
}

// historyList reads a page of a list, and says how many items it has.
type historyList struct {
	name string
	read func(context.Context, *history, store.Page) (int, error)
	own  bool // pages go by attempts, not by messages
}

func historyLists() []historyList {
	messages := func(f store.MessageFilter) func(context.Context, *history, store.Page) (int, error) {
		return func(ctx context.Context, h *history, p store.Page) (int, error) {
			l, err := h.Messages(ctx, h.app, f, p)
			return len(l.Items), err
		}
	}
	attempted := func(f store.AttemptedFilter) func(context.Context, *history, store.Page) (int, error) {
		return func(ctx context.Context, h *history, p store.Page) (int, error) {
			l, err := h.Attempted(ctx, h.app, h.ep, f, p)
			return len(l.Items), err
		}
	}
	attempts := func(f store.AttemptFilter) func(context.Context, *history, store.Page) (int, error) {
		return func(ctx context.Context, h *history, p store.Page) (int, error) {
			f.Endpoint = h.ep
			l, err := h.Attempts(ctx, h.app, f, p)
			return len(l.Items), err
		}
	}
	return []historyList{
		{name: "messages", read: messages(store.MessageFilter{WithPayload: true})},
		{name: "messages of a type", read: messages(store.MessageFilter{EventTypes: []string{"special"}, WithPayload: true})},
		{name: "messages of two types", read: messages(store.MessageFilter{EventTypes: []string{"special", "common"}})},
		{name: "messages of a type that has none", read: messages(store.MessageFilter{EventTypes: []string{"none"}})},
		{name: "messages of a channel", read: messages(store.MessageFilter{Channel: "c"})},
		{name: "messages with a tag", read: messages(store.MessageFilter{Tag: "t"})},
		{name: "messages with a tag that has none", read: messages(store.MessageFilter{Tag: "none"})},
		{name: "messages of the last hour", read: messages(store.MessageFilter{After: time.Now().Add(-time.Hour)})},
		{name: "messages at an endpoint", read: attempted(store.AttemptedFilter{WithPayload: true})},
		{name: "messages of a type at an endpoint", read: attempted(store.AttemptedFilter{EventTypes: []string{"special"}})},
		{name: "messages that failed at an endpoint", read: attempted(store.AttemptedFilter{States: []hook.State{hook.Failed}})},
		{name: "messages that wait at an endpoint", read: attempted(store.AttemptedFilter{States: []hook.State{hook.Pending}})},
		{name: "attempts at an endpoint", read: attempts(store.AttemptFilter{WithContent: true}), own: true},
		{name: "attempts that failed at an endpoint", read: attempts(store.AttemptFilter{Verdicts: []hook.Verdict{hook.Retry}}), own: true},
		{name: "attempts answered 5xx at an endpoint", read: attempts(store.AttemptFilter{StatusClass: 5}), own: true},
		{name: "attempts of a type at an endpoint", read: attempts(store.AttemptFilter{EventTypes: []string{"special"}}), own: true},
		{name: "attempts of a channel at an endpoint", read: attempts(store.AttemptFilter{Channel: "c"}), own: true},
		{name: "attempts of a message", own: true, read: func(ctx context.Context, h *history, p store.Page) (int, error) {
			p.After = ""
			l, err := h.Attempts(ctx, h.app, store.AttemptFilter{Message: h.messages[len(h.messages)/2]}, p)
			return len(l.Items), err
		}},
		{name: "endpoints of a message", read: func(ctx context.Context, h *history, p store.Page) (int, error) {
			p.After = ""
			l, err := h.Destinations(ctx, h.app, h.messages[len(h.messages)/2], p)
			return len(l.Items), err
		}},
	}
}

// pages are the newest page, one amid everything, and the oldest.
func (h *history) pages(own bool) []store.Page {
	middle := h.messages[len(h.messages)/2].String()
	if own {
		middle = h.attempts[len(h.attempts)/2].String()
	}
	return []store.Page{{Descending: true}, {Descending: true, After: middle}, {}}
}

// cost is the most that a page takes: in steps of SQLite's machine, which are the same on every computer, and in time.
func (h *history) cost(t *testing.T, l historyList) (steps int, took time.Duration, items int) {
	t.Helper()
	for _, p := range h.pages(l.own) {
		h.steps()
		var times []time.Duration
		for range 5 {
			began := time.Now()
			n, err := l.read(t.Context(), h, p)
			if err != nil {
				t.Fatalf("%s: %v", l.name, err)
			}
			times = append(times, time.Since(began))
			items = max(items, n)
		}
		slices.Sort(times)
		steps, took = max(steps, h.steps()/len(times)), max(took, times[len(times)/2])
	}
	return steps, took, items
}

// steps returns how many steps the reader has made since it was asked last.
func (h *history) steps() (n int) {
	reader := <-h.readers.slots
	defer func() { h.readers.slots <- reader }()
	for _, s := range reader.stmts {
		n += s.s.Status(sqlite3.STMTSTATUS_VM_STEP, true)
	}
	return n
}

// plans are those of the statements that a list makes in a store of its own.
func (l historyList) plans(t *testing.T) (lines []string) {
	t.Helper()
	h := newHistory(t)
	h.grow(t, 10)
	known := map[string]bool{}
	reader := <-h.readers.slots
	for sql := range reader.stmts {
		known[sql] = true
	}
	h.readers.slots <- reader
	if _, err := l.read(t.Context(), h, store.Page{Descending: true}); err != nil {
		t.Fatal(err)
	}
	reader = <-h.readers.slots
	defer func() { h.readers.slots <- reader }()
	for sql := range reader.stmts {
		if !known[sql] && strings.HasPrefix(strings.TrimSpace(sql), "SELECT") {
			lines = append(lines, plan(t, reader, sql)...)
		}
	}
	return lines
}

// TestAPageCostsTheSameWhateverTheHistory counts what a page of every list takes in a store, and again when it has grown:
//
//	WAYPOST_LONG=1 go test ./internal/store/sqlite -run TestAPageCosts -v -timeout 1h # grows it to 1,000,000 messages, and prints plans
func TestAPageCostsTheSameWhateverTheHistory(t *testing.T) {
	small, large := 6_000, 12_000 // more than a page ever looks at
	long := os.Getenv("WAYPOST_LONG") != ""
	switch {
	case long:
		large = 1_000_000
	case testing.Short():
		t.Skip("stores thousands of messages")
	}
	h := newHistory(t)
	h.grow(t, small)
	before := map[string]int{}
	for _, l := range historyLists() {
		before[l.name], _, _ = h.cost(t, l)
	}
	h.grow(t, large)
	for _, l := range historyLists() {
		steps, took, items := h.cost(t, l)
		t.Logf("%-37s %6d steps among %d, %6d among %d, %v, a page of %d", l.name, before[l.name], small, steps, large, took.Round(time.Microsecond), items)
		if steps == 0 || steps > before[l.name]*3/2 {
			t.Errorf("%s: %d steps among %d messages, %d among %d", l.name, before[l.name], small, steps, large)
		}
		if long {
			for _, line := range l.plans(t) {
				t.Logf("    %s", line)
			}
		}
	}
}
