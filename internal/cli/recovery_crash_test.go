package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/proof"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// TestARestartWithABacklogServesAtOnce kills a server that has much stored and much pending, and measures how long the
// next start takes until it accepts, and until it delivers. The figures count from the start of the process.
// WAYPOST_LONG=1 stores 1,000,000 messages, 100,000 of them pending, and holds the promise of 500 ms and 5 s; the short
// run logs the same figures of 50,000 and 5,000, and wants only that both happen: what they are there tells more of the
// machine's other work than of this.
func TestARestartWithABacklogServesAtOnce(t *testing.T) {
	stored, pending, accept, deliver := 50_000, 5_000, patience, patience
	switch {
	case long():
		stored, pending, accept, deliver = 1_000_000, 100_000, 500*time.Millisecond, 5*time.Second
	case testing.Short() || underRace:
		stored, pending = 5_000, 1_000
	}
	r := newRig(t)
	var first atomic.Int64 // Unix nanoseconds of the first arrival since it was set to zero
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if r.mood.Down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		first.CompareAndSwap(0, time.Now().UnixNano())
	}))
	defer receiver.Close()
	r.start("")
	r.furnish()
	if err := r.around.Endpoint(proof.SendingApp, "backlog", "standard", map[string]any{"url": receiver.URL, "filterTypes": []string{"backlog"}}); err != nil {
		t.Fatal(err)
	}
	var shop struct{ ID string }
	if err := newClient("http://"+r.admin, r.token).call(t.Context(), http.MethodGet, "/app/shop", nil, &shop); err != nil {
		t.Fatal(err)
	}
	if err := r.process.Stop(patience); err != nil {
		t.Fatal(err)
	}
	filled := time.Now()
	fill(t, r.dir, shop.ID, stored, pending)
	t.Logf("filled in %v", time.Since(filled).Round(time.Second))

	r.mood.Down.Store(true)
	r.start("")
	stop := r.load("k", time.Millisecond)
	r.acknowledged(300)
	r.kill()
	r.mood.Down.Store(false)
	first.Store(0)
	began := time.Now()
	r.launch("")
	way, n := r.around.API("first", "to.standard", "to-standard"), 0
	p := &proof.Producers{Ledger: r.ledger, Client: r.client}
	p.Post(t.Context(), &way, fmt.Sprint("first-", n), false)
	accepting := time.Since(began)
	for first.Load() == 0 && time.Since(began) < patience {
		time.Sleep(time.Millisecond)
	}
	delivering := time.Unix(0, first.Load()).Sub(began)
	stop()
	info, err := os.Stat(filepath.Join(r.dir, "waypost.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d stored (%d MiB), %d pending: accepted again %v after the start of the process, first of the backlog delivered after %v",
		stored, info.Size()>>20, pending, accepting.Round(time.Millisecond), delivering.Round(time.Millisecond))
	if accepting > accept || first.Load() == 0 || delivering > deliver {
		t.Errorf("at most %v and %v are promised here\n%s", accept, deliver, r.process.Tail())
	}
	if v := r.settle(); !v.OK() {
		t.Error(v)
	}
}

// fill puts messages into the store of a stopped server: delivered ones, and at the end those that are pending.
func fill(t *testing.T, dir, appID string, stored, pending int) {
	t.Helper()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "main.key"))
	fatal(err)
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	fatal(err)
	sealer, err := store.NewSealer(key)
	fatal(err)
	ctx := context.Background()
	db, err := sqlite.Open(ctx, sqlite.Options{Dir: dir, Sealer: sealer, LowWater: 1 << 20})
	fatal(err)
	highest, err := db.HighestID(ctx)
	fatal(err)
	ids := hook.NewGenerator(0, highest)
	app, err := hook.ParseID[hook.ApplicationID](appID)
	fatal(err)
	const step = 1000
	for n := 0; n < stored; n += step {
		now := time.Now()
		batch := make([]hook.Accept, 0, step)
		for i := range step {
			payload := fmt.Appendf(nil, `{"key":"old-%d","filler":"%0300d"}`, n+i, n)
			batch = append(batch, hook.Accept{Message: hook.Message{
				ID: hook.NewID[hook.MessageID](ids, now), App: app, EventType: "backlog", Payload: payload, CreatedAt: now,
			}})
		}
		out, err := db.Accept(ctx, batch)
		fatal(err)
		if n >= stored-pending {
			continue
		}
		done := make([]hook.Outcome, 0, step)
		for _, a := range out {
			d := a.Deliveries[0]
			done = append(done, hook.Outcome{Delivery: d.Step(hook.Success, hook.Scheduled, now, nil, 0), Attempt: hook.Attempt{
				ID: hook.NewID[hook.AttemptID](ids, now), App: d.App, Message: d.Message, Endpoint: d.Endpoint, EventType: "backlog",
				N: 1, At: now, Status: 200, Verdict: hook.Success,
			}})
		}
		fatal(db.Finish(ctx, done))
	}
	fatal(db.Close())
}
