package ingest

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

const (
	refusedQueue = 256      // refusals that wait to be recorded; more are only counted
	refusedBatch = 32       // recorded in one commit
	refusedBody  = 64 << 10 // bytes kept of a body
	refusedBurst = 20       // kept at once of one source; then one a second
	maxSources   = 4096     // sources with a bucket
	refuseWithin = 10 * time.Second
)

// refusals keeps the last refused requests of each source. A stranger who sends wrong signatures as fast as he can makes
// neither the store nor the log busy: what is over a source's rate, or does not fit the queue, is dropped.
type refusals struct {
	record func(ctx context.Context, batch []hook.Refused, keep int) error
	keep   int
	log    *slog.Logger
	fails  pace
	queue  chan hook.Refused
	done   chan struct{}

	mu      sync.Mutex
	closed  bool
	buckets map[hook.SourceID]bucket
}

// bucket is the state of one source's rate limit.
type bucket struct {
	tokens float64
	at     time.Time
}

func newRefusals(o Options) *refusals {
	q := &refusals{
		record: o.Refuse, keep: o.KeepRefused, log: o.Log,
		queue: make(chan hook.Refused, refusedQueue), done: make(chan struct{}),
		buckets: map[hook.SourceID]bucket{},
	}
	go q.run()
	return q
}

// allow takes a token of a source.
func (q *refusals) allow(id hook.SourceID, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	b, ok := q.buckets[id]
	if !ok {
		if len(q.buckets) >= maxSources {
			clear(q.buckets)
		}
		b = bucket{refusedBurst, now}
	}
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens, b.at = min(refusedBurst, b.tokens+passed.Seconds()), now
	}
	allowed := b.tokens >= 1
	if allowed {
		b.tokens--
	}
	q.buckets[id] = b
	return allowed
}

// add hands a refusal to the recorder, unless that is behind.
func (q *refusals) add(r hook.Refused) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	select {
	case q.queue <- r:
	default:
	}
}

func (q *refusals) close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.queue)
	}
	q.mu.Unlock()
	<-q.done
}

// run records what waits, in batches, until the queue is closed and empty.
func (q *refusals) run() {
	defer close(q.done)
	for first := range q.queue {
		batch := []hook.Refused{first}
		for more := true; more && len(batch) < refusedBatch; {
			select {
			case r, ok := <-q.queue:
				if more = ok; ok {
					batch = append(batch, r)
				}
			default:
				more = false
			}
		}
		q.write(batch)
	}
}

func (q *refusals) write(batch []hook.Refused) {
	ctx, cancel := context.WithTimeout(context.Background(), refuseWithin)
	defer cancel()
	if err := q.record(ctx, batch, q.keep); err != nil && q.fails.allow(batch[0].At) {
		q.log.Warn("refused requests are not kept", "err", err)
	}
}

// remote is the address of the one who sent the request, "" where it cannot be known.
func (v *visit) remote() string {
	if !v.client.IsValid() {
		return ""
	}
	return v.client.String()
}

// keep notes a refused request: in the log and for the explainer, as far as the source's rate allows.
func (v *visit) keep(result Result, detail string) {
	source := &v.entry.route.Source
	if !v.refusals.allow(source.ID, v.now) {
		return
	}
	remote := v.remote()
	v.opt.Log.Warn("a push is refused", "source", source.ID.String(), "dialect", v.entry.dialect.Name,
		"reason", string(result), "detail", detail, "remote", remote)
	if v.opt.Refuse == nil {
		return
	}
	body := v.body.bytes
	v.refusals.add(hook.Refused{
		ID: v.opt.IDs.Next(v.now), Source: source.ID, At: v.now, Reason: string(result), Detail: detail, Remote: remote,
		Raw: hook.Raw{
			Method: v.r.Method,
			Query:  refusedQuery(v.r.URL.RawQuery),
			Header: refusedHeader(v.r.Header, v.entry.signs),
			Body:   slices.Clone(body[:min(len(body), refusedBody)]),
		},
	})
}
