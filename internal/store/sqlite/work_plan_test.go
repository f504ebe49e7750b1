package sqlite

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// touchWork is touch for tasks, readers, counters and the lists of what was attempted.
func touchWork(ctx context.Context, db *DB, now time.Time) {
	app := hook.Application{ID: 50, CreatedAt: now, FeatureFlags: []string{"f"}}
	_ = db.CreateApplication(ctx, app)
	_ = db.CreateEventType(ctx, hook.EventType{Name: "described"})
	for id := hook.MessageID(1); id < 4; id++ {
		_, _ = db.Accept(ctx, []hook.Accept{{Message: hook.Message{ID: 1000 + id, App: 50, EventType: "described", CreatedAt: now}}})
	}
	ep := hook.Endpoint{ID: 51, App: 50, CreatedAt: now}
	_ = db.CreateEndpoint(ctx, ep)
	n := int64(2000)
	next := func() int64 { n++; return n }
	for i, kind := range []hook.TaskKind{hook.TaskReplay, hook.TaskBulk, hook.TaskRecover, hook.TaskBroadcast} {
		k := hook.Task{ID: hook.TaskID(60 + i), Kind: kind, App: 50, Endpoint: 51, CreatedAt: now}
		if kind == hook.TaskBroadcast {
			k.App, k.Endpoint, k.Message = 0, 0, &hook.Accept{}
		}
		_ = db.StartTask(ctx, k)
		_, _ = db.StepTask(ctx, k.ID, now, now, 10, next)
		_, _ = db.Task(ctx, k.ID)
	}
	_, _ = db.RunningTasks(ctx)
	for _, p := range []store.Page{{}, {Descending: true}} {
		_, _ = db.Tasks(ctx, store.TaskFilter{}, p)
		_, _ = db.Tasks(ctx, store.TaskFilter{App: 50}, p)
		_, _ = db.Destinations(ctx, 50, 1001, p)
		_, _ = db.Attempts(ctx, 50, store.AttemptFilter{Endpoint: 51, Tag: "t"}, p)
		_, _ = db.Attempts(ctx, 50, store.AttemptFilter{Message: 1001, Endpoint: 51, Channel: "c"}, p)
		_, _ = db.Attempts(ctx, 50, store.AttemptFilter{Endpoint: 51, Tag: "t", Verdicts: []hook.Verdict{hook.Retry}}, p)
		for _, f := range []store.AttemptedFilter{{}, {EventTypes: []string{"a"}}, {States: []hook.State{hook.Failed}}} {
			_, _ = db.Attempted(ctx, 50, 51, f, p)
		}
	}
	_, _ = db.Stats(ctx, 50, 51, now, now)
	for at := range 2 {
		before := hook.Consumer{App: 50, Endpoint: 51, Name: "r", At: hook.MessageID(at)}
		after := before
		after.At++
		_, _ = db.SwapConsumer(ctx, before, after)
	}
	_, _ = db.Consumer(ctx, 50, 51, "r")
	ep.Disabled = true
	_ = db.UpdateEndpoint(ctx, ep)
	_ = db.DeleteEndpoint(ctx, 50, 51, now)
	_ = db.DeleteEventType(ctx, "described")
	_ = db.DeleteApplication(ctx, 50, now)
}

// What is asked for is found by an index, and every row that goes with it by its key.
func TestWhatWasAttemptedIsFoundByIndex(t *testing.T) {
	t.Parallel()
	db := openBounded(t)
	reader := <-db.readers.slots
	defer func() { db.readers.slots <- reader }()
	w := window{down: true}
	for name, c := range map[string]struct {
		sql  string
		want []string
	}{
		"attempted messages": {messageColumns + deliveryColumns + fromMessages + joinDelivery + `WHERE m.app = ?` + w.orderMessages(), []string{
			"SEARCH m USING INDEX messages_app (app=? AND rowid>? AND rowid<?)",
			"SEARCH p USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
			"SEARCH d USING PRIMARY KEY (message=? AND endpoint=?) LEFT-JOIN",
		}},
		"attempted messages of a type": {messageColumns + deliveryColumns + fromTyped + joinDelivery + `WHERE m.app = ? AND m.event_type = ?` + w.orderMessages(), []string{
			"SEARCH m USING INDEX messages_type (app=? AND event_type=? AND rowid>? AND rowid<?)",
			"SEARCH p USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
			"SEARCH d USING PRIMARY KEY (message=? AND endpoint=?) LEFT-JOIN",
		}},
		"failed messages": {fromFailed + ` AND d.message > ? AND d.message < ? ORDER BY d.message DESC LIMIT ?`, []string{
			"SEARCH d USING INDEX deliveries_failed (endpoint=? AND message>? AND message<?)",
			"SEARCH m USING INTEGER PRIMARY KEY (rowid=?)",
			"SEARCH p USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
		}},
		"what a recover looks at": {failedCandidates, []string{
			"SEARCH d USING INDEX deliveries_failed (endpoint=? AND message>? AND message<?)",
			"SEARCH m USING INTEGER PRIMARY KEY (rowid=?)",
			"SEARCH p USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
			"CORRELATED SCALAR SUBQUERY 1",
			"SEARCH r USING INDEX resends_message (message=?)",
			"CORRELATED SCALAR SUBQUERY 2",
			"SEARCH a USING INDEX attempts_message (message=?)",
		}},
		"what a replay looks at": {allCandidates, []string{
			"SEARCH m USING INDEX messages_app (app=? AND rowid>? AND rowid<?)",
			"SEARCH p USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
			"SEARCH d USING PRIMARY KEY (message=? AND endpoint=?) LEFT-JOIN",
			"CORRELATED SCALAR SUBQUERY 1",
			"SEARCH r USING INDEX resends_message (message=?)",
			"CORRELATED SCALAR SUBQUERY 2",
			"SEARCH a USING INDEX attempts_message (message=?)",
		}},
		"attempts by the labels of their message": {labeledAttempts + `WHERE endpoint = ?` + w.order(), []string{
			"SEARCH attempts USING INDEX attempts_endpoint (endpoint=? AND rowid>? AND rowid<?)",
			"CORRELATED SCALAR SUBQUERY 1",
			"SEARCH m USING INTEGER PRIMARY KEY (rowid=?)",
		}},
		"messages of a type": {messageColumns + fromTyped + `WHERE m.app = ? AND m.event_type = ?` + w.orderMessages(), []string{
			"SEARCH m USING INDEX messages_type (app=? AND event_type=? AND rowid>? AND rowid<?)",
			"SEARCH p USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN",
		}},
		"the last message": {`SELECT max(id) FROM messages`, []string{"SEARCH messages"}},
	} {
		if got := plan(t, reader, c.sql); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n\t%s\nwant\n\t%s", name, strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
		}
	}
}
