package sqlite

import (
	"context"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// touch calls every method in every variant that makes a statement of its own.
func touch(ctx context.Context, db *DB) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	app := hook.Application{ID: 6, UID: "u", CreatedAt: now}
	prof := hook.Profile{ID: 2, UID: "u", CreatedAt: now}
	src := hook.Source{ID: 3, App: 6, UID: "u", Profile: 2, Door: "d", CreatedAt: now}
	ep := hook.Endpoint{ID: 4, App: 6, UID: "u", Profile: 2, CreatedAt: now}
	_ = db.CreateApplication(ctx, app)
	_ = db.UpdateApplication(ctx, app)
	_ = db.CreateProfile(ctx, prof)
	_ = db.UpdateProfile(ctx, prof)
	_ = db.CreateSource(ctx, src)
	_ = db.UpdateSource(ctx, src)
	_ = db.CreateEndpoint(ctx, ep)
	_ = db.UpdateEndpoint(ctx, ep)
	_ = db.PutToken(ctx, hook.Token{ID: 5})
	_ = db.PutToken(ctx, hook.Token{ID: 7, App: 6, Hash: [32]byte{1}})
	_ = db.ExpireTokens(ctx, 6, nil, now)
	touchEventTypes(ctx, db)
	for _, ref := range []string{"u", app.ID.String()} {
		_, _ = db.Application(ctx, ref)
	}
	for _, ref := range []string{"u", prof.ID.String()} {
		_, _ = db.Profile(ctx, ref)
	}
	for _, ref := range []string{"u", src.ID.String()} {
		_, _ = db.Source(ctx, 6, ref)
	}
	for _, ref := range []string{"u", ep.ID.String()} {
		_, _ = db.Endpoint(ctx, 6, ref)
	}
	for _, p := range []store.Page{{}, {Descending: true}} {
		_, _ = db.Applications(ctx, p)
		_, _ = db.Profiles(ctx, p)
		_, _ = db.Sources(ctx, 0, p)
		_, _ = db.Sources(ctx, 6, p)
		_, _ = db.Endpoints(ctx, 6, p)
		_, _ = db.Tokens(ctx, p)
		for _, with := range []bool{false, true} {
			_, _ = db.Messages(ctx, 6, store.MessageFilter{WithPayload: with, Channel: "c"}, p)
			_, _ = db.Messages(ctx, 6, store.MessageFilter{WithPayload: with, EventTypes: []string{"a", "b"}}, p)
		}
		_, _ = db.Attempts(ctx, 6, store.AttemptFilter{Message: 1}, p)
		_, _ = db.Attempts(ctx, 6, store.AttemptFilter{Endpoint: 4}, p)
		_, _ = db.Attempts(ctx, 6, store.AttemptFilter{Endpoint: 4, Verdicts: []hook.Verdict{hook.Retry}}, p)
	}
	_, _ = db.Route(ctx, "d", now)
	_, _ = db.SourceRoute(ctx, 3)
	_, _ = db.Target(ctx, 4)
	_, _ = db.AccountEndpoints(ctx, "a")
	_ = db.UpdateEndpoint(ctx, hook.Endpoint{ID: 4, App: 6, UID: "u", Profile: 2, Account: "a", CreatedAt: now})
	_ = db.Hasten(ctx, 4, []hook.MessageID{10}, now)
	_, _ = db.Token(ctx, [32]byte{}, now)
	touchWork(ctx, db, now)
	touchFlow(ctx, db, now)
	_ = db.DeleteToken(ctx, 5)
	_ = db.DeleteEndpoint(ctx, 6, 4, now)
	_ = db.DeleteSource(ctx, 6, 3)
	_ = db.DeleteProfile(ctx, 2)
	_ = db.DeleteApplication(ctx, 6, now)
}

func touchEventTypes(ctx context.Context, db *DB) {
	_ = db.CreateEventType(ctx, hook.EventType{Name: "a"})
	_ = db.UpdateEventType(ctx, hook.EventType{Name: "a"})
	_, _ = db.EventType(ctx, "a")
	for _, p := range []store.Page{{}, {Descending: true}, {After: "a"}} {
		_, _ = db.EventTypes(ctx, store.EventTypeFilter{}, p)
	}
	_ = db.DeleteEventType(ctx, "a")
}

func touchFlow(ctx context.Context, db *DB, now time.Time) {
	dedup := hook.Dedup{Key: "k", Keep: time.Hour, Twin: "t", TwinKeep: time.Hour, TwinMark: "m"}
	m := hook.Message{ID: 10, App: 6, EventID: "e", CreatedAt: now, Tags: []string{"t"}}
	_, _ = db.Accept(ctx, []hook.Accept{{Message: m, Dedup: dedup}, {Message: m, Dedup: dedup}})
	m.ID, m.CreatedAt = 11, now.Add(2*time.Hour)
	_, _ = db.Accept(ctx, []hook.Accept{{Message: m, Dedup: dedup}}) // the key has run out
	for n, v := range []hook.Verdict{hook.Retry, hook.Success, hook.Retry} {
		d := hook.Delivery{App: 6, Message: 10, Endpoint: 4}.Step(v, hook.Scheduled, now, []time.Duration{time.Minute}, 0)
		a := hook.Attempt{ID: hook.AttemptID(20 + n), App: 6, Message: 10, Endpoint: 4, Verdict: v, At: now}
		_ = db.Finish(ctx, []hook.Outcome{{Attempt: a, Delivery: d, Resend: 1, Health: &hook.EndpointHealth{Disable: n == 2}}})
	}
	a := hook.Attempt{ID: 30, App: 6, Message: 11, Endpoint: 4, Verdict: hook.Success, At: now}
	_ = db.Finish(ctx, []hook.Outcome{{Attempt: a, Delivery: hook.Delivery{Message: 11, Endpoint: 4, State: hook.Delivered}}})
	_ = db.UpdateEndpoint(ctx, hook.Endpoint{ID: 4, App: 6, Profile: 2})
	_ = db.Resend(ctx, 6, 10, 4, now)
	_, _ = db.Cancel(ctx, 6, 10, 4, now)
	_ = db.Resend(ctx, 6, 10, 4, now)
	_ = db.ExpungeResponse(ctx, 6, 20)
	answer := func(store.Result) (int, []byte, bool) { return 200, nil, true }
	_ = db.Beat(store.With(ctx, store.Along{Receipt: &store.Receipt{Expires: now, Answer: answer}}), hook.ClockState{Wall: now}, false)
	_, _, _, _ = db.Receipt(ctx, [32]byte{}, now)
	_ = db.Refuse(ctx, []hook.Refused{{ID: 40, Source: 3}}, 1)
	_ = db.Beat(ctx, hook.ClockState{Wall: now}, false)
	_, _ = db.LastBeat(ctx)
	_, _, _ = db.Claim(ctx, 4, now, 0, 10)
	_, _ = db.Pending(ctx)
	_, _ = db.Load(ctx, 10)
	_, _ = db.Deliveries(ctx, 6, 10)
	_, _ = db.Attempt(ctx, 6, 20)
	_, _ = db.Refusals(ctx, 3, 5)
	_, _ = db.Counts(ctx)
	_, _ = db.HighestID(ctx)
	for _, ref := range []string{"e", hook.MessageID(10).String()} {
		_, _ = db.Message(ctx, 6, ref, true)
	}
	m.ID, m.CreatedAt, m.EventID, m.ContentUntil = 12, now.Add(3*time.Hour), "", now
	_, _ = db.Accept(ctx, []hook.Accept{{Message: m}})
	_ = db.Expunge(ctx, 6, 12, now)
	later := now.Add(1000 * time.Hour)
	for range 3 {
		_, _, _ = db.Sweep(ctx, store.Sweep{Now: later, Before: later, PayloadBefore: later, Limit: 1})
	}
}

// Tables that are as long as somebody's list of endpoints and read whole at start, the one with one row, and the index of
// closed lanes, which is empty but for a moment; the index of the tasks that run; dictionaries, of which there are 64 at most;
// the keys that were remembered last and the list of the runs of others, both bounded.
var short = regexp.MustCompile(`^SCAN (applications$|dictionaries$|key_news$|key_runs$|endpoints$|e$|e USING INTEGER|counts$|lanes USING COVERING INDEX lanes_closed$|tasks USING COVERING INDEX tasks_running$)`)

func TestNoStatementScansHistory(t *testing.T) {
	t.Parallel()
	key := make([]byte, store.MainKeySize)
	sealer, err := store.NewSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), Options{Dir: t.TempDir(), Sealer: sealer, Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	touch(t.Context(), db)

	reader := <-db.readers.slots
	defer func() { db.readers.slots <- reader }()
	var texts []string
	for _, c := range []*conn{db.writer.conn, reader} {
		for sql := range c.stmts {
			texts = append(texts, sql)
		}
	}
	if len(texts) < 90 {
		t.Fatalf("only %d statements: not everything was touched", len(texts))
	}
	for _, sql := range texts {
		if sql == `BEGIN` || sql == `BEGIN IMMEDIATE` || sql == `COMMIT` || sql == `ROLLBACK` {
			continue
		}
		for _, line := range plan(t, reader, sql) {
			if bad.MatchString(line) && !short.MatchString(line) {
				t.Errorf("%s\n\tin: %s", line, sql)
			}
		}
	}
}

var bad = regexp.MustCompile(`^SCAN |TEMP B-TREE`)

func plan(t *testing.T, c *conn, sql string) (lines []string) {
	t.Helper()
	s, _, err := c.Prepare(fmt.Sprint(`EXPLAIN QUERY PLAN `, sql))
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer s.Close()
	for s.Step() {
		lines = append(lines, s.ColumnText(3))
	}
	return lines
}
