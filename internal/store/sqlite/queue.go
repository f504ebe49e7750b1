package sqlite

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// A transaction takes at most this many rows and bytes of what is waiting, so that nobody waits long for a commit.
const (
	maxGroupRows  = 2048
	maxGroupBytes = 8 << 20
)

// A request is something to be written. run may be called twice, when a group must be tried again without one of its
// members, so it sets its results anew each time. An error of run that is a hook.Error is the answer to this request
// alone: run has written nothing then. Any other error undoes the whole transaction.
type request struct {
	run func(*tx) error
	// record appends to b what run has changed, for the journal. nil = only a commit makes it durable.
	record func(b []byte) []byte

	kind   requestKind
	inFlow bool // run looks at no table for what may be unwritten

	rows  int
	bytes int

	result store.Result // what run makes of it, for a receipt
	state  atomic.Int32
	done   chan struct{}
	err    error

	repeats func() bool // for Faults: whether run found nothing new
	early   bool        // a fault has answered already
}

type requestKind int

const (
	forOther  requestKind = iota
	forAccept             // new work: the first to be given up when the disk is full, and bounded while it waits
	forAlone              // not in a transaction, and in no company
	forFlush              // nothing but the commit of what is in the journal
)

// The states of a request.
const (
	waiting int32 = iota
	taken
	givenUp
)

// queue is what waits to be written, in order.
type queue struct {
	mu       sync.Mutex
	some     sync.Cond
	list     []*request
	bytes    int // of new work
	maxBytes int
	busy     bool // what was taken last is being written, or the log is being settled behind it
	closed   bool

	window time.Duration // Options.Window
	ended  time.Time     // when the last group was done
}

func newQueue(maxBytes int, window time.Duration) *queue {
	q := &queue{maxBytes: maxBytes, window: window}
	q.some.L = &q.mu
	return q
}

func (q *queue) put(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed()
	}
	if r.kind == forAccept {
		if q.bytes > 0 && q.bytes+r.bytes > q.maxBytes {
			return hook.Errorf(hook.KindUnavailable, "the store cannot keep up: %d bytes of messages are waiting to be written", q.bytes)
		}
		q.bytes += r.bytes
	}
	q.list = append(q.list, r)
	q.some.Signal()
	return nil
}

// take waits for something and returns as much of it as one transaction may hold, or nil when the queue is closed and empty.
func (q *queue) take() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = false
	if q.window > 0 {
		q.ended = time.Now()
	}
	for {
		for len(q.list) == 0 {
			if q.closed {
				return nil
			}
			q.some.Wait()
		}
		q.linger()
		if group := q.group(); len(group) > 0 {
			q.busy = true
			return group
		}
	}
}

// company is how many waiting requests are enough to be committed at once.
const company = 32

// linger waits a moment for company when one commit follows the other. After a pause nobody waits. The lock is held before and
// after.
func (q *queue) linger() {
	if q.window <= 0 || q.closed || len(q.list) >= company || time.Since(q.ended) >= 2*q.window {
		return
	}
	q.mu.Unlock()
	time.Sleep(q.window)
	q.mu.Lock()
}

// group takes the first requests off the list, without those that were given up.
func (q *queue) group() []*request {
	var group []*request
	rows, bytes, n := 0, 0, 0
	for _, r := range q.list {
		alone := r.kind == forAlone
		if len(group) > 0 && (alone || rows+r.rows > maxGroupRows || bytes+r.bytes > maxGroupBytes) {
			break
		}
		n++
		if r.kind == forAccept {
			q.bytes -= r.bytes
		}
		if !r.state.CompareAndSwap(waiting, taken) {
			continue
		}
		group = append(group, r)
		rows += r.rows
		bytes += r.bytes
		if alone {
			break
		}
	}
	rest := copy(q.list, q.list[n:])
	clear(q.list[rest:])
	q.list = q.list[:rest]
	return group
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.some.Signal()
}

// len says how many requests wait.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list)
}

// Waiting says how many calls wait to be written: a measure of load.
func (db *DB) Waiting() int { return db.queue.len() }
