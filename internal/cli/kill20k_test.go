package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/proof"
	"github.com/waypost/waypost/internal/simulate"
)

// bigKill is a rig with one source, one endpoint and a load that is as fast as it is answered.
type bigKill struct{ *rig }

// bigProducer posts messages under known keys and remembers which were acknowledged.
type bigProducer struct {
	client *http.Client
	mu     sync.Mutex
	sent   map[string][32]byte
	acked  []string
}

// post sends until it is acknowledged, as platforms do, but gives up at the deadline. A message that was given up may
// still arrive; only acknowledged ones must.
func (p *bigProducer) post(key string, payload []byte, request func() (*http.Request, error), ok func(int) bool) {
	p.mu.Lock()
	p.sent[key] = sha256.Sum256(payload)
	p.mu.Unlock()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		req, err := request()
		if err != nil {
			return
		}
		resp, err := p.client.Do(req)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if ok(resp.StatusCode) {
			p.mu.Lock()
			p.acked = append(p.acked, key)
			p.mu.Unlock()
			return
		}
	}
}

// The kills of TestKillInTheMiddleLosesNothing come often and at chosen points; here they are few, amid a load of some size.
func TestKillsAmid20000MessagesLoseNone(t *testing.T) {
	messages, kills := 20_000, 3
	if testing.Short() {
		messages, kills = 1_500, 2
	}
	const inFlight = 16 // attempts at once to the one endpoint
	sink := &proof.Sink{Answer: func(_ string, n int, _ http.ResponseWriter, r *http.Request) int {
		if n == 1 && r.ContentLength%17 == 0 {
			return http.StatusServiceUnavailable // some need a retry, across the kill
		}
		return http.StatusOK
	}}
	receiver := httptest.NewServer(sink)
	defer receiver.Close()

	k := &bigKill{newRig(t)}
	k.start("")
	api := newClient("http://"+k.admin, k.token)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%v\n%s", err, k.process.Tail())
		}
	}
	pandapon := app.Dialects()["pandapon"]
	sending, receiving, err := simulate.Keys(pandapon)
	must(err)
	must(api.call(ctx, http.MethodPost, "/app", map[string]any{"uid": "kill", "name": "kill"}, nil))
	var source struct{ Path string }
	must(api.call(ctx, http.MethodPost, "/app/kill/source", map[string]any{"uid": "in", "dialect": "pandapon", "settings": receiving}, &source))
	must(api.call(ctx, http.MethodPost, "/app/kill/endpoint", map[string]any{
		"uid": "out", "url": receiver.URL, "concurrency": inFlight, "retrySchedule": []float64{0.1, 0.5, 1, 2, 5, 5, 5},
	}, nil))

	p := &bigProducer{client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, sent: map[string][32]byte{}}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= messages {
					return
				}
				key := fmt.Sprintf("k%06d", i)
				payload := fmt.Appendf(nil, `{"key":%q,"filler":"%*d"}`, key, i%40+1, i)
				if i%2 == 0 {
					p.post(key, payload, k.push(pandapon, sending, source.Path, payload), func(s int) bool { return s == 200 })
				} else {
					p.post(key, payload, k.publish(key, payload), func(s int) bool { return s == 202 || s == 409 })
				}
			}
		})
	}
	restarts := k.nemesis(&next, messages, kills)
	wg.Wait()
	// Once more when nothing new comes: only what the start reads of the store can still bring the rest on its way.
	k.kill()
	restarts = append(restarts, k.start("").Round(time.Millisecond))
	kills++

	var got proof.Check
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if got = proof.Compare(p.sent, p.acked, sink.Arrivals()); len(got.Lost) == 0 {
			break
		}
	}
	t.Logf("%d kills, accepting again after %v: %v", kills, restarts, got)
	if !got.OK() {
		t.Errorf("%v; lost %v\n%s", got, got.Lost[:min(len(got.Lost), 10)], k.process.Tail())
	}
	if got.Acknowledged != messages {
		t.Errorf("%d of %d messages were never acknowledged", messages-got.Acknowledged, messages)
	}
	// What was in flight, and what was judged and not yet recorded, is sent again; each is bounded by the endpoint's concurrency.
	if limit := kills * 2 * inFlight; got.Duplicates > limit {
		t.Errorf("%d duplicates; %d kills with a concurrency of %d allow %d", got.Duplicates, kills, inFlight, limit)
	}
	if err := k.process.Stop(30 * time.Second); err != nil {
		t.Errorf("stop in good order: %v", err)
	}
}

// nemesis kills the process whenever another share of the messages is under way, and starts it again at once. It returns
// how long each start took until the front door answered.
func (k *bigKill) nemesis(next *atomic.Int64, messages, kills int) []time.Duration {
	var took []time.Duration
	for i := range kills {
		for int(next.Load()) < messages*(i+1)/(kills+1) {
			time.Sleep(2 * time.Millisecond)
		}
		k.kill()
		took = append(took, k.start("").Round(time.Millisecond))
	}
	return took
}

func (k *bigKill) push(d *dialect.Dialect, s dialect.Settings, path string, payload []byte) func() (*http.Request, error) {
	return func() (*http.Request, error) {
		now := time.Now()
		signed, err := d.Sign(s, dialect.Outbound{EventType: "ORDER_CREATE", Payload: payload, Created: now, Now: now})
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(k.t.Context(), signed.Method, "http://"+k.public+path, bytes.NewReader(signed.Body))
		if err == nil {
			req.Header = signed.Header
		}
		return req, err
	}
}

func (k *bigKill) publish(key string, payload []byte) func() (*http.Request, error) {
	return func() (*http.Request, error) {
		body, err := json.Marshal(map[string]any{"eventType": "kill.test", "eventId": key, "payload": json.RawMessage(payload)})
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(k.t.Context(), http.MethodPost, "http://"+k.admin+"/api/v1/app/kill/msg", bytes.NewReader(body))
		if err == nil {
			req.Header.Set("Authorization", "Bearer "+k.token)
			req.Header.Set("Content-Type", "application/json")
		}
		return req, err
	}
}
