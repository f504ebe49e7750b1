package proof

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Pushers post messages by several ways until they are told to stop, each message until it is acknowledged, and remember
// which were. The payloads are written so that they come out of any JSON encoder unchanged.
type Pushers struct {
	Ledger *Ledger
	Ways   []Way
	Each   int // at once, by each way
	Client *http.Client
	Prefix string // of keys
	// Acknowledged is told of every acknowledgement before it counts; its error ends the load. nil = nobody.
	Acknowledged func(ctx context.Context, key string, body [32]byte) error

	mu    sync.Mutex
	acked map[string][32]byte
	next  int
	err   error
}

// Run posts until the context ends, or until what is told of acknowledgements fails. What is not acknowledged by then is given up.
func (p *Pushers) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	for w := range p.Ways {
		for range p.Each {
			all.Go(func() {
				for ctx.Err() == nil {
					if err := p.one(ctx, &p.Ways[w]); err != nil {
						p.fail(err)
						cancel()
					}
				}
			})
		}
	}
	all.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *Pushers) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

// Count returns how many messages were acknowledged so far.
func (p *Pushers) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acked)
}

// Keys returns a copy of what was acknowledged so far, with the SHA-256 of each body.
func (p *Pushers) Keys() map[string][32]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.acked)
}

func (p *Pushers) one(ctx context.Context, w *Way) error {
	p.mu.Lock()
	n := p.next
	p.next++
	p.mu.Unlock()
	key := fmt.Sprintf("%s-%06d", p.Prefix, n)
	payload := fmt.Appendf(nil, `{"key":%q,"filler":"%0*d"}`, key, 1+n*37%600, n)
	p.Ledger.Sent(key, w.Name, w.Endpoint, payload)
	copies := 1
	if n%twinEvery == 0 {
		copies = 2
	}
	results := make(chan error, copies)
	for range copies {
		go func() { results <- p.untilAcknowledged(ctx, w, key, payload) }()
	}
	var err error
	for range copies {
		err = errors.Join(err, <-results)
	}
	return err
}

// twinEvery is how many messages there are for one that is sent twice at once, as impatient platforms do: the answer to
// the second must not come before the first is durable.
const twinEvery = 4

// untilAcknowledged posts a message until it is acknowledged or the context ends.
func (p *Pushers) untilAcknowledged(ctx context.Context, w *Way, key string, payload []byte) error {
	for wait := 5 * time.Millisecond; !p.try(ctx, w, key, payload); wait = min(2*wait, 50*time.Millisecond) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
	sum := sha256.Sum256(payload)
	if p.Acknowledged != nil {
		if err := p.Acknowledged(ctx, key, sum); err != nil {
			return err
		}
	}
	p.Ledger.Acknowledged(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.acked == nil {
		p.acked = map[string][32]byte{}
	}
	p.acked[key] = sum
	return nil
}

// try posts once. An answer that did not come whole is none.
func (p *Pushers) try(ctx context.Context, w *Way, key string, payload []byte) bool {
	req, err := w.Request(ctx, key, payload)
	if err != nil {
		p.fail(fmt.Errorf("make a request: %w", err))
		return false
	}
	resp, err := p.Client.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return err == nil && w.Accepted(resp.StatusCode, body)
}

// Sum is a SHA-256, in hex where it is text.
type Sum [32]byte

// MarshalText writes hex.
func (s Sum) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(s[:])), nil }

// UnmarshalText reads hex of just that length.
func (s *Sum) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(s) {
		return fmt.Errorf("a SHA-256 has %d hex digits, not %d", 2*len(s), len(text))
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// Stored is what is in a store: the SHA-256 of each payload by the key that it names.
type Stored map[string][32]byte

// See notes a payload. One that names no key is not the load's.
func (s Stored) See(payload []byte) {
	var mark struct {
		Key string `json:"key"`
	}
	if json.Unmarshal(payload, &mark) == nil && mark.Key != "" {
		s[mark.Key] = sha256.Sum256(payload)
	}
}

// Holds says whether messages of all these keys are in the store.
func (s Stored) Holds(keys map[string][32]byte) bool {
	for key := range keys {
		if _, ok := s[key]; !ok {
			return false
		}
	}
	return true
}

// Missing returns which of some acknowledged messages are not in the store, or are there with another body. The lists are
// sorted and never nil.
func (s Stored) Missing(acknowledged map[string][32]byte) (missing, altered []string) {
	missing, altered = []string{}, []string{}
	for key, sum := range acknowledged {
		switch there, ok := s[key]; {
		case !ok:
			missing = append(missing, key)
		case there != sum:
			altered = append(altered, key)
		}
	}
	slices.Sort(missing)
	slices.Sort(altered)
	return missing, altered
}
