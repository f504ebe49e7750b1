package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/proof"
	"github.com/waypost/waypost/internal/simulate"
)

// Names within the store of a trial.
const (
	trialApp      = "selftest"
	trialEndpoint = "out"
)

const (
	trialConcurrency = 16 // attempts at once to the one endpoint
	trialPushers     = 8  // by each way
)

// trialSchedule is patient enough for a restart.
var trialSchedule = []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 5 * time.Second, 10 * time.Second}

// trial is a server under load: messages through the API and through a PandaPon source, delivered to a receiver in this
// process, with a ledger of it all. Where the server is may change while the load runs.
type trial struct {
	token    string
	ledger   *proof.Ledger
	pushers  *proof.Pushers
	receiver *http.Server
	sink     string // URL of the receiver
	secret   dialect.Settings

	admin, public atomic.Pointer[string]
	door          string // path of the source
}

// newTrial starts the receiver.
func newTrial(prefix string) (*trial, error) {
	t := &trial{token: app.NewToken(), ledger: proof.NewLedger()}
	standard := app.Dialects()["standard"]
	sending, receiving, err := simulate.Keys(standard)
	if err != nil {
		return nil, err
	}
	t.secret = sending
	t.ledger.Add(proof.Destination{
		Name: trialEndpoint, Dialect: standard, Settings: receiving, Schedule: trialSchedule, Concurrency: trialConcurrency,
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t.sink = "http://" + l.Addr().String()
	t.receiver = proof.NewServer(t.ledger.Receiver(trialEndpoint, firstsFail))
	go func() { _ = t.receiver.Serve(l) }() // ends with Close
	t.pushers = &proof.Pushers{
		Ledger: t.ledger, Each: trialPushers, Prefix: prefix,
		Client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4 * trialPushers}},
	}
	return t, nil
}

// firstsFail lets some first attempts fail, so that there are retries to be remembered across a cut.
func firstsFail(_ string, n int, _ http.ResponseWriter, r *http.Request) int {
	if n == 1 && r.ContentLength%17 == 0 {
		return http.StatusServiceUnavailable
	}
	return 0
}

func (t *trial) close() error {
	t.pushers.Client.CloseIdleConnections()
	return t.receiver.Close()
}

// at tells the load where the server is.
func (t *trial) at(admin, public string) {
	t.admin.Store(&admin)
	t.public.Store(&public)
}

func (t *trial) client() *client { return newClient(*t.admin.Load(), t.token) }

// setUp makes application, source and endpoint in a new store, and the ways of the load.
func (t *trial) setUp(ctx context.Context) error {
	pandapon := app.Dialects()["pandapon"]
	platform, receiver, err := simulate.Keys(pandapon)
	if err != nil {
		return err
	}
	c := t.client()
	if err := c.call(ctx, http.MethodPost, "/app", map[string]any{"uid": trialApp, "name": "selftest"}, nil); err != nil {
		return err
	}
	var source struct{ Path string }
	err = c.call(ctx, http.MethodPost, "/app/"+trialApp+"/source", map[string]any{"uid": "in", "dialect": pandapon.Name, "settings": receiver}, &source)
	if err != nil {
		return err
	}
	t.door = source.Path
	var schedule []float64
	for _, d := range trialSchedule {
		schedule = append(schedule, d.Seconds())
	}
	err = c.call(ctx, http.MethodPost, "/app/"+trialApp+"/endpoint", map[string]any{
		"uid": trialEndpoint, "url": t.sink, "concurrency": trialConcurrency, "retrySchedule": schedule, "settings": t.secret,
	}, nil)
	if err != nil {
		return err
	}
	t.pushers.Ways = []proof.Way{
		proof.API("api", "selftest.run", func() string { return *t.admin.Load() + "/api/v1/app/" + trialApp + "/msg" }, t.token, trialEndpoint),
		proof.Source(pandapon, platform, func() string { return *t.public.Load() + t.door }, trialEndpoint),
	}
	return nil
}

// settle waits until every acknowledged message has arrived, but for some that are known to be lost, or until none has for
// as long as the longest wait between attempts takes.
func (t *trial) settle(ctx context.Context, lost []string) error {
	known := map[string]bool{}
	for _, key := range lost {
		known[key] = true
	}
	still := 2 * slices.Max(trialSchedule)
	before, since := -1, time.Now()
	for {
		left := 0
		for _, key := range t.ledger.Unsettled() {
			if !known[key] {
				left++
			}
		}
		if left != before {
			before, since = left, time.Now()
		}
		if left == 0 || time.Since(since) > still {
			return nil
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// storedAt reads what a running server holds of an application's messages, newest first, until it has found the wanted
// ones; nil = all.
func storedAt(ctx context.Context, c *client, app string, wanted map[string][32]byte) (proof.Stored, error) {
	stored := proof.Stored{}
	for iterator := ""; ; {
		query := url.Values{"limit": {"250"}, "with_content": {"true"}, "order": {"descending"}}
		if iterator != "" {
			query.Set("iterator", iterator)
		}
		var page struct {
			Data []struct {
				Payload json.RawMessage
			}
			Iterator string
			Done     bool
		}
		if err := c.call(ctx, http.MethodGet, "/app/"+app+"/msg?"+query.Encode(), nil, &page); err != nil {
			return nil, fmt.Errorf("read what is stored: %w", err)
		}
		for _, m := range page.Data {
			stored.See(m.Payload)
		}
		if page.Done || wanted != nil && stored.Holds(wanted) {
			return stored, nil
		}
		if page.Iterator == "" || page.Iterator == iterator {
			return nil, errors.New("read what is stored: the list does not go on")
		}
		iterator = page.Iterator
	}
}
