//go:build unix

package sqlite_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// BenchmarkFinishBatch records first attempts, in batches from one caller.
func BenchmarkFinishBatch(b *testing.B) {
	for _, n := range []int{64, 512} {
		b.Run(fmt.Sprint("batch=", n), func(b *testing.B) {
			s := newBench(b, *benchStored)
			var outcomes []hook.Outcome
			for len(outcomes) < b.N {
				var batch []hook.Accept
				for range min(1000, b.N-len(outcomes)) {
					batch = append(batch, s.event())
				}
				out, err := s.Accept(context.Background(), batch)
				must(b, err)
				for _, a := range out {
					outcomes = append(outcomes, s.outcome(a.Deliveries[0]))
				}
			}
			before, bytes := cpu(), s.settled()
			b.ResetTimer()
			for done := 0; done < b.N; done += n {
				must(b, s.Finish(context.Background(), outcomes[done:min(done+n, b.N)]))
			}
			s.report(b, before, bytes)
		})
	}
}

// BenchmarkAttemptedRead shows that these lists cost the same whatever the history: run it with different -stored.
func BenchmarkAttemptedRead(b *testing.B) {
	ctx := context.Background()
	s := newBench(b, *benchStored)
	list, err := s.Endpoints(ctx, s.app.ID, store.Page{})
	must(b, err)
	ep := list.Items[0].ID
	newest, err := s.Messages(ctx, s.app.ID, store.MessageFilter{}, store.Page{Limit: 1, Descending: true})
	must(b, err)
	latest := store.Page{Descending: true}
	attempted := func(f store.AttemptedFilter) func() error {
		return func() error { _, err := s.Attempted(ctx, s.app.ID, ep, f, latest); return err }
	}
	for name, f := range map[string]func() error{
		"attempted messages":          attempted(store.AttemptedFilter{}),
		"attempted messages, by type": attempted(store.AttemptedFilter{EventTypes: []string{"order.created"}}),
		"failed messages":             attempted(store.AttemptedFilter{States: []hook.State{hook.Failed}}),
		"messages of a rare type": func() error {
			_, err := s.Messages(ctx, s.app.ID, store.MessageFilter{EventTypes: []string{"rare"}}, latest)
			return err
		},
		"destinations": func() error { _, err := s.Destinations(ctx, s.app.ID, newest.Items[0].ID, store.Page{}); return err },
		"stats":        func() error { _, err := s.Stats(ctx, s.app.ID, ep, time.Time{}, time.Time{}); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				must(b, f())
			}
		})
	}
}

// BenchmarkStep does steps of 500 messages: how long each holds up other writes is its time.
func BenchmarkStep(b *testing.B) {
	ctx := context.Background()
	const rows = 500
	for _, kind := range []hook.TaskKind{hook.TaskReplay, hook.TaskBulk} {
		b.Run(string(kind), func(b *testing.B) {
			s := newBench(b, max(*benchStored, rows))
			steps := max(*benchStored, rows) / rows
			var k hook.Task
			for n := 0; b.Loop(); n++ {
				if n%steps == 0 { // all are done: a new endpoint
					b.StopTimer()
					e := hook.Endpoint{ID: hook.NewID[hook.EndpointID](s.ids, time.Now()), App: s.app.ID, CreatedAt: time.Now()}
					must(b, s.CreateEndpoint(ctx, e))
					k = hook.Task{ID: hook.NewID[hook.TaskID](s.ids, time.Now()), Kind: kind, App: s.app.ID, Endpoint: e.ID, CreatedAt: time.Now()}
					must(b, s.StartTask(ctx, k))
					b.StartTimer()
				}
				got, err := s.StepTask(ctx, k.ID, time.Now(), time.Now(), rows, nil)
				must(b, err)
				if got.Done != int64(n%steps+1)*rows {
					b.Fatalf("after %d steps: %+v", n%steps+1, got)
				}
			}
		})
	}
}
