package engine

import (
	"context"
	"fmt"
	"net"
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
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer sink.Close()
	sealer, _ := store.NewSealer(make([]byte, store.MainKeySize))
	var e atomic.Pointer[Engine]
	db, err := sqlite.Open(ctx, sqlite.Options{Dir: b.TempDir(), Sealer: sealer, Changed: func(c store.Change) {
		if e := e.Load(); e != nil {
			e.Changed(c)
		}
	}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	ids := hook.NewGenerator(1, 0)
	client := egress.New(egress.Options{AllowLoopback: true, Dial: (&net.Dialer{}).DialContext})
	defer client.Close()
	engine := New(Options{Store: db, Dialects: all.Table(), Egress: client, IDs: ids, SeedKey: hook.NewSecret("seed")})
	e.Store(engine)
	if err := engine.Start(ctx); err != nil {
		b.Fatal(err)
	}
	var apps []hook.ApplicationID
	for range endpoints {
		app := hook.NewID[hook.ApplicationID](ids, time.Now())
		apps = append(apps, app)
		if err := db.CreateApplication(ctx, hook.Application{ID: app, CreatedAt: time.Now()}); err != nil {
			b.Fatal(err)
		}
		if err := db.CreateEndpoint(ctx, hook.Endpoint{
			ID: hook.NewID[hook.EndpointID](ids, time.Now()), App: app, URL: sink.URL, Dialect: "standard",
			Settings: hook.Settings{"secret": {secret}}, CreatedAt: time.Now(),
		}); err != nil {
			b.Fatal(err)
		}
	}
	payload := fmt.Appendf(nil, `{"text": "%01000d"}`, 7)
	b.ResetTimer()
	cpu := cpuTime()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 16 {
		wg.Go(func() {
			for {
				batch := make([]hook.Accept, 0, 8)
				for range cap(batch) {
					if n := next.Add(1); n <= int64(b.N) {
						batch = append(batch, hook.Accept{Message: hook.Message{
							ID: hook.NewID[hook.MessageID](ids, time.Now()), App: apps[int(n)%len(apps)], EventType: "order.created", Payload: payload, CreatedAt: time.Now(),
						}})
					}
				}
				if len(batch) == 0 {
					return
				}
				if _, err := db.Accept(ctx, batch); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	accepted := b.Elapsed()
	for {
		c, err := db.Counts(ctx)
		if err != nil || c.Delivered == int64(b.N) {
			break
		}
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

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
