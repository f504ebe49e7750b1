package proof

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waypost/waypost/dialect"
)

// Way is a way into the server: a source of a platform, or the API.
type Way struct {
	Name     string
	Endpoint string // of the ledger, where its messages must arrive
	// Request makes the request that posts a message; it is made anew for every try, as platforms sign anew.
	Request func(ctx context.Context, key string, payload []byte) (*http.Request, error)
	// Accepted says whether an answer is an acknowledgement.
	Accepted func(status int, body []byte) bool
}

// Source is the way of a platform that pushes to a door. url may change while the load runs.
func Source(d *dialect.Dialect, platform dialect.Settings, url func() string, endpoint string) Way {
	eventType, extra := "ORDER_CREATE", map[string]string(nil)
	if len(d.Examples) > 0 {
		eventType, extra = d.Examples[0].EventType, d.Examples[0].Platform
	}
	return Way{
		Name: d.Name, Endpoint: endpoint,
		Request: func(ctx context.Context, key string, payload []byte) (*http.Request, error) {
			seed := sha256.Sum256([]byte(key))
			signed, err := d.Sign(platform, dialect.Outbound{
				ID: key, EventType: eventType, Payload: payload, Platform: extra, Created: begun, Now: time.Now(), Seed: seed,
			})
			if err != nil {
				return nil, err
			}
			target := url()
			if signed.Query != "" {
				target += "?" + signed.Query
			}
			req, err := http.NewRequestWithContext(ctx, signed.Method, target, bytes.NewReader(signed.Body))
			if err == nil {
				req.Header = signed.Header
			}
			return req, err
		},
		Accepted: func(status int, body []byte) bool {
			return d.Judge(platform, dialect.Response{Status: status, Body: body}).Kind == dialect.Accepted
		},
	}
}

// begun stands for the time at which events happened: the same over all tries of a message.
var begun = time.Now()

// API is the way of a program that publishes with an event id, so that it may repeat.
func API(name, eventType string, url func() string, token, endpoint string) Way {
	return Way{
		Name: name, Endpoint: endpoint,
		Request: func(ctx context.Context, key string, payload []byte) (*http.Request, error) {
			body := fmt.Appendf(nil, `{"eventType":%q,"eventId":%q,"payload":%s}`, eventType, key, payload)
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, url(), bytes.NewReader(body))
			if err == nil {
				req.Header.Set("Authorization", "Bearer "+token)
				req.Header.Set("Content-Type", "application/json")
			}
			return req, err
		},
		Accepted: func(status int, _ []byte) bool { return status == http.StatusAccepted || status == http.StatusConflict },
	}
}

// Producers post messages by every way, each until it is acknowledged, as platforms do.
type Producers struct {
	Ledger *Ledger
	Ways   []Way
	Each   int           // producers for each way; 0 = 1
	Pause  time.Duration // of one producer, between two messages
	Limit  int64         // messages in all; 0 = until the context ends
	Twice  int           // one of how many is sent twice at once, as impatient platforms do; 0 = none
	Client *http.Client
	Prefix string // of keys, so that several runs on one ledger differ

	posted atomic.Int64
}

// Posted returns how many messages were begun so far.
func (p *Producers) Posted() int64 { return p.posted.Load() }

// Run posts until the limit is reached or the context ends. What is not acknowledged by then is given up.
func (p *Producers) Run(ctx context.Context) {
	var all sync.WaitGroup
	for w := range p.Ways {
		for range max(p.Each, 1) {
			all.Go(func() { p.one(ctx, &p.Ways[w]) })
		}
	}
	all.Wait()
}

func (p *Producers) one(ctx context.Context, w *Way) {
	for ctx.Err() == nil {
		n := p.posted.Add(1)
		if p.Limit > 0 && n > p.Limit {
			return
		}
		p.Post(ctx, w, fmt.Sprintf("%s%s-%d", p.Prefix, w.Name, n), p.Twice > 0 && n%int64(p.Twice) == 0)
		if p.Pause > 0 {
			pause(ctx, p.Pause)
		}
	}
}

// Post sends one message until it is acknowledged or the context ends. twice sends two copies at once, of which the answer
// to either is enough: a platform that has heard it once repeats no more.
func (p *Producers) Post(ctx context.Context, w *Way, key string, twice bool) {
	payload := fmt.Appendf(nil, `{"key":%q, "filler":"%0*d"}`, key, 1+rand.IntN(400), 7)
	p.Ledger.Sent(key, w.Name, w.Endpoint, payload)
	copies := 1
	if twice {
		copies = 2
	}
	var both sync.WaitGroup
	var acknowledged atomic.Bool
	for range copies {
		both.Go(func() {
			for ctx.Err() == nil && !acknowledged.Load() {
				if p.try(ctx, w, key, payload) {
					acknowledged.Store(true)
					p.Ledger.Acknowledged(key)
					return
				}
				pause(ctx, 3*time.Millisecond)
			}
		})
	}
	both.Wait()
}

// try posts once and says whether that was acknowledged.
func (p *Producers) try(ctx context.Context, w *Way, key string, payload []byte) bool {
	req, err := w.Request(ctx, key, payload)
	if err != nil {
		panic("proof: a request cannot be made: " + err.Error()) // a fault of the test itself
	}
	resp, err := p.Client.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return err == nil && w.Accepted(resp.StatusCode, body)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
