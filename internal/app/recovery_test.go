package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// TestABacklogStaysOnTheDisk starts a server over deliveries that are pending: it begins at once, and what it takes into memory
// does not grow with them. WAYPOST_LONG=1 has a million of them, and holds it to two seconds and to a limit of its heap; the
// short run has enough to see that they are not all read.
//
//	WAYPOST_LONG=1 go test ./internal/app -run TestABacklogStaysOnTheDisk -v -timeout 1h
func TestABacklogStaysOnTheDisk(t *testing.T) {
	// Not parallel: it measures the memory of the process.
	pending := 20_000
	switch {
	case long():
		pending = 1_000_000
	case testing.Short():
		pending = 8_000
	}
	const (
		inHand  = 72 << 10 // deliveries in memory at most, whatever their number
		ofOne   = 4 << 10  // of one endpoint
		maxHeap = 128 << 20
		soon    = 2 * time.Second
	)
	for _, endpoints := range []int{1, 100} {
		t.Run(fmt.Sprint(endpoints, " endpoints"), func(t *testing.T) {
			var arrived atomic.Int64
			first := make(chan struct{}, 1)
			sink := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				if arrived.Add(1) == 1 {
					first <- struct{}{}
				}
			}))
			defer sink.Close()
			o := quiet(t.TempDir())
			o.Dev = true // the sink is on loopback
			backlog(t, o, sink.URL, endpoints, pending)
			debug.FreeOSMemory()
			before := heap()

			began := time.Now()
			a, err := Start(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = a.Stop(context.Background()) }()
			select {
			case <-first:
			case <-time.After(time.Minute):
				t.Fatal("nothing is delivered")
			}
			took, most, hand := time.Since(began), uint64(0), 0
			limit := inHand
			if endpoints == 1 {
				limit = ofOne
			}
			for end := time.Now().Add(20 * time.Second); arrived.Load() < int64(pending/10) && time.Now().Before(end); {
				s := a.engine.Stats()
				hand, most = max(hand, s.InHand), max(most, heap())
				time.Sleep(5 * time.Millisecond)
			}
			c, err := a.store.Counts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Stop(context.Background()); err != nil {
				t.Error(err)
			}
			grown := max(int64(most)-int64(before), 0)
			t.Logf("of %d pending the first is delivered %v after the start; then %d in memory at most, %d MiB of heap beyond those before",
				pending, took.Round(time.Millisecond), hand, grown>>20)
			if hand > limit || hand == 0 {
				t.Errorf("%d deliveries in memory, at most %d are allowed", hand, limit)
			}
			if c.Pending == 0 {
				t.Error("all was delivered before it could be measured")
			}
			if long() && (took > soon || grown > maxHeap) {
				t.Errorf("at most %v and %d MiB are promised", soon, maxHeap>>20)
			}
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// backlog leaves a stopped server with deliveries that are pending: as many messages as it takes for that number of endpoints.
func backlog(t *testing.T, o Options, url string, endpoints, pending int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, now := context.Background(), time.Now()
	db, _, err := openStore(ctx, o.Defaults(), sqlite.Options{LowWater: 1 << 20})
	must(err)
	ids := hook.NewGenerator(0, 0)
	app := hook.Application{ID: hook.NewID[hook.ApplicationID](ids, now), Name: "backlog", CreatedAt: now}
	must(db.CreateApplication(ctx, app))
	for range endpoints {
		must(db.CreateEndpoint(ctx, hook.Endpoint{
			ID: hook.NewID[hook.EndpointID](ids, now), App: app.ID, URL: url, Dialect: "standard", Format: hook.FormatPayload,
			Settings: hook.Settings{"secret": {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}, CreatedAt: now,
		}))
	}
	messages := pending / endpoints
	for n := 0; n < messages; {
		var batch []hook.Accept
		for range max(1, min(messages-n, 2000/endpoints)) {
			batch = append(batch, hook.Accept{Message: hook.Message{
				ID: hook.NewID[hook.MessageID](ids, now), App: app.ID, EventType: "e", CreatedAt: now,
				Payload: fmt.Appendf(nil, `{"n":%d,"filler":"%0900d"}`, n, n),
			}})
			n++
		}
		done, err := db.Accept(ctx, batch)
		must(err)
		for i := range done {
			must(done[i].Err)
		}
	}
	must(db.Close())
	files, err := filepath.Glob(filepath.Join(o.Data, "*"))
	must(err)
	for _, name := range files { // what was filled in must not wait for the disk when the start is measured
		f, err := os.Open(name)
		must(err)
		must(errors.Join(f.Sync(), f.Close()))
	}
}
