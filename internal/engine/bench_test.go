package engine

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect/all"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// BenchmarkDeliver accepts messages in batches and delivers them to a sink on loopback in the same process: real store,
// real sockets. CPU/op is of the whole process, accepting and sink included.
func BenchmarkDeliver(b *testing.B) {
	for _, endpoints := range []int{1, 20} {
		b.Run(fmt.Sprint(endpoints, " endpoints"), func(b *testing.B) { benchDeliver(b, endpoints) })
	}
}

func benchDeliver(b *testing.B, endpoints int) {
	ctx := context.Background()
	var arrived atomic.Int64
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer sink.Close()
	ids := hook.NewGenerator(1, 0)
	db, engine := benchEngine(b, ids)
	apps := benchApps(b, db, ids, sink.URL, endpoints)
	b.ResetTimer()
	cpu := cpuTime()
	benchAccept(b, db, ids, apps)
	accepted := b.Elapsed()
	for c, err := db.Counts(ctx); err == nil && c.Delivered < int64(b.N); c, err = db.Counts(ctx) {
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64(b.N)/accepted.Seconds(), "accepts/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "CPU-us/op")
	if arrived.Load() != int64(b.N) {
		b.Errorf("%d arrived of %d", arrived.Load(), b.N)
	}
	if err := engine.Stop(ctx); err != nil {
		b.Error(err)
	}
}

func benchEngine(b *testing.B, ids *hook.Generator) (*sqlite.DB, *Engine) {
	sealer, err := store.NewSealer(make([]byte, store.MainKeySize))
	if err != nil {
		b.Fatal(err)
	}
	var e atomic.Pointer[Engine]
	db, err := sqlite.Open(context.Background(), sqlite.Options{Dir: b.TempDir(), Sealer: sealer, Changed: func(c store.Change) {
		if e := e.Load(); e != nil {
			e.Changed(c)
		}
	}})
	if err != nil {
		b.Fatal(err)
	}
	client := egress.New(egress.Options{AllowLoopback: true})
	b.Cleanup(func() {
		client.Close()
		_ = db.Close()
	})
	engine := New(Options{Store: db, Dialects: all.Table(), Egress: client, IDs: ids, SeedKey: hook.NewSecret("seed")})
	e.Store(engine)
	if err := engine.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	return db, engine
}

// benchApps makes applications with one endpoint each.
func benchApps(b *testing.B, db *sqlite.DB, ids *hook.Generator, url string, n int) []hook.ApplicationID {
	apps := make([]hook.ApplicationID, n)
	for i := range apps {
		apps[i] = hook.NewID[hook.ApplicationID](ids, time.Now())
		err := db.CreateApplication(context.Background(), hook.Application{ID: apps[i], CreatedAt: time.Now()})
		if err == nil {
			err = db.CreateEndpoint(context.Background(), hook.Endpoint{
				ID: hook.NewID[hook.EndpointID](ids, time.Now()), App: apps[i], URL: url, Dialect: "standard",
				Settings: hook.Settings{"secret": {secret}}, CreatedAt: time.Now(),
			})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return apps
}

// benchAccept accepts b.N messages of 1 KiB from 16 callers, eight at a time.
func benchAccept(b *testing.B, db *sqlite.DB, ids *hook.Generator, apps []hook.ApplicationID) {
	payload := fmt.Appendf(nil, `{"text": "%01000d"}`, 7)
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 16 {
		wg.Go(func() {
			for {
				var batch []hook.Accept
				for range 8 {
					if n := next.Add(1); n <= int64(b.N) {
						batch = append(batch, hook.Accept{Message: hook.Message{
							ID: hook.NewID[hook.MessageID](ids, time.Now()), App: apps[int(n)%len(apps)], EventType: "order.created",
							Payload: payload, CreatedAt: time.Now(),
						}})
					}
				}
				if len(batch) == 0 {
					return
				}
				if _, err := db.Accept(context.Background(), batch); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
