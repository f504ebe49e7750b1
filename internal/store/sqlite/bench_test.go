//go:build unix

package sqlite_test

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

var benchStored = flag.Int("stored", 10_000, "messages in the store before a benchmark starts")

// bench is a store with messages in it.
type bench struct {
	*sqlite.DB
	dir string
	ids *hook.Generator
	app hook.Application
	n   atomic.Int64
}

func newBench(b *testing.B, stored int) *bench {
	s := &bench{dir: b.TempDir(), ids: hook.NewGenerator(1, 0)}
	s.DB = open(b, sqlite.Options{Dir: s.dir})
	s.app = hook.Application{ID: hook.NewID[hook.ApplicationID](s.ids, time.Now()), CreatedAt: time.Now()}
	must(b, s.CreateApplication(b.Context(), s.app))
	must(b, s.CreateEndpoint(b.Context(), hook.Endpoint{
		ID: hook.NewID[hook.EndpointID](s.ids, time.Now()), App: s.app.ID, URL: "https://example.com/hook", CreatedAt: time.Now(),
	}))
	const chunk = 1000
	for left := stored; left > 0; left -= chunk {
		var batch []hook.Accept
		for range min(chunk, left) {
			batch = append(batch, s.event())
		}
		out, err := s.Accept(b.Context(), batch)
		must(b, err)
		var done []hook.Outcome
		for _, a := range out {
			done = append(done, s.outcome(a.Deliveries[0]))
		}
		must(b, s.Finish(b.Context(), done))
	}
	return s
}

// event is a received message of about 1 KiB with a key that is new.
func (s *bench) event() hook.Accept {
	n := s.n.Add(1)
	now := time.Now()
	content := fmt.Sprintf(`{"order_id":"%016x","shop":"shop-%d","pad":"%0900d"}`, uint64(n)*0x9E3779B97F4A7C15, n%97, n)
	body := []byte(`{"event":"order","content":` + content + `}`)
	return hook.Accept{
		Message: hook.Message{
			ID: hook.NewID[hook.MessageID](s.ids, now), App: s.app.ID, Source: 1, EventType: "order.created", CreatedAt: now,
			Payload: body[27 : len(body)-1], Platform: map[string]string{"client_key": "key"},
			Raw: &hook.Raw{Method: "POST", Header: http.Header{"Content-Type": {"application/json"}, "X-Signature": {"0123456789abcdef0123456789abcdef"}}, Body: body},
		},
		Dedup: hook.Dedup{Scope: "douyin/key", Key: fmt.Sprintf("%016x-%d", uint64(n)*0x9E3779B97F4A7C15, n), Keep: 7 * 24 * time.Hour},
	}
}

func (s *bench) outcome(d hook.Delivery) hook.Outcome {
	now := time.Now()
	return hook.Outcome{Delivery: d.Step(hook.Success, hook.Scheduled, now, nil, 0), Attempt: hook.Attempt{
		ID: hook.NewID[hook.AttemptID](s.ids, now), App: d.App, Message: d.Message, Endpoint: d.Endpoint, EventType: "order.created",
		URL: "https://example.com/hook", N: 1, At: now, Duration: 3 * time.Millisecond, Status: 200, Reason: "200 OK", Response: []byte("success"),
	}}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func size(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, _ error) error {
		if i, err := e.Info(); err == nil && !e.IsDir() {
			n += i.Size()
		}
		return nil
	})
	return n
}

// report adds what a run cost per event to a benchmark. The disk is measured by the file, after the log is moved into it.
func (s *bench) report(b *testing.B, before time.Duration, bytes int64) {
	used := cpu() - before
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/event")
	must(b, s.Close())
	b.ReportMetric(float64(size(s.dir)-bytes)/float64(b.N), "disk-B/event")
}

// settled is the size of the store without its log.
func (s *bench) settled() int64 {
	i, err := os.Stat(filepath.Join(s.dir, "waypost.db"))
	if err != nil {
		return 0
	}
	return i.Size()
}

// BenchmarkLifecycle takes a message and records its delivery, from many callers, each durably. With -stored 1000000 it
// does so in a store of a million.
func BenchmarkLifecycle(b *testing.B) {
	for _, callers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			s := newBench(b, *benchStored)
			left := atomic.Int64{}
			left.Store(int64(b.N))
			before, bytes := cpu(), s.settled()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						out, err := s.Accept(context.Background(), []hook.Accept{s.event()})
						if err == nil {
							err = out[0].Err
						}
						if err == nil {
							err = s.Finish(context.Background(), []hook.Outcome{s.outcome(out[0].Deliveries[0])})
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			s.report(b, before, bytes)
		})
	}
}

// BenchmarkAcceptBatch takes messages in batches from one caller.
func BenchmarkAcceptBatch(b *testing.B) {
	for _, n := range []int{1, 64, 512} {
		b.Run(fmt.Sprint("batch=", n), func(b *testing.B) {
			s := newBench(b, *benchStored)
			before, bytes := cpu(), s.settled()
			b.ResetTimer()
			for done := 0; done < b.N; {
				var batch []hook.Accept
				for range min(n, b.N-done) {
					batch = append(batch, s.event())
				}
				if _, err := s.Accept(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
				done += len(batch)
			}
			s.report(b, before, bytes)
		})
	}
}

// BenchmarkRead shows that a page costs the same whatever the history: run it with different -stored.
func BenchmarkRead(b *testing.B) {
	s := newBench(b, *benchStored)
	for name, f := range reads(s) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func reads(s *bench) map[string]func() error {
	ctx := context.Background()
	m := s.event().Message
	_, _ = s.Accept(ctx, []hook.Accept{{Message: m}})
	list, _ := s.Endpoints(ctx, s.app.ID, store.Page{})
	ep := list.Items[0].ID
	latest := store.Page{Descending: true}
	return map[string]func() error{
		"load":            func() error { _, err := s.Load(ctx, m.ID); return err },
		"latest messages": func() error { _, err := s.Messages(ctx, s.app.ID, store.MessageFilter{}, latest); return err },
		"by type": func() error {
			_, err := s.Messages(ctx, s.app.ID, store.MessageFilter{EventTypes: []string{"order.created"}}, latest)
			return err
		},
		"attempts of an endpoint": func() error {
			_, err := s.Attempts(ctx, s.app.ID, store.AttemptFilter{Endpoint: ep}, latest)
			return err
		},
		"failed of an endpoint": func() error {
			_, err := s.Attempts(ctx, s.app.ID, store.AttemptFilter{Endpoint: ep, Verdicts: []hook.Verdict{hook.Retry}}, latest)
			return err
		},
		"counts":  func() error { _, err := s.Counts(ctx); return err },
		"pending": func() error { _, err := s.Pending(ctx); return err },
		"claim":   func() error { _, _, err := s.Claim(ctx, ep, time.Now(), 0, 100); return err },
		"target":  func() error { _, err := s.Target(ctx, ep); return err },
	}
}
