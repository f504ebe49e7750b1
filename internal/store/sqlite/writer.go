package sqlite

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"

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
	run   func(*tx) error
	kind  requestKind
	rows  int
	bytes int

	state atomic.Int32
	done  chan struct{}
	err   error
}

type requestKind int

const (
	forOther  requestKind = iota
	forAccept             // new work: the first to be given up when the disk is full, and bounded while it waits
	forAlone              // not in a transaction, and in no company
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
	closed   bool
}

func newQueue(maxBytes int) *queue {
	q := &queue{maxBytes: maxBytes}
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
	for {
		for len(q.list) == 0 {
			if q.closed {
				return nil
			}
			q.some.Wait()
		}
		if group := q.group(); len(group) > 0 {
			return group
		}
	}
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

// write has a request written and returns when it is durable. A caller that gives up before the writer has taken the
// request can be sure that nothing of it is written; later it gets the true answer.
func (db *DB) write(ctx context.Context, r *request) error {
	if err := db.sound(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return gaveUp(err)
	}
	r.done = make(chan struct{})
	if err := db.queue.put(r); err != nil {
		return err
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, givenUp) {
			return gaveUp(ctx.Err())
		}
		<-r.done
	}
	return r.err
}

// do is write for a single change of configuration and the like.
func (db *DB) do(ctx context.Context, run func(*tx) error) error {
	return db.write(ctx, &request{run: run, rows: 1, bytes: 1 << 10})
}

// writeAll is the writing goroutine.
func (db *DB) writeAll() {
	defer close(db.written)
	for {
		group := db.queue.take()
		if group == nil {
			return
		}
		db.writeGroup(group)
		if db.sound() == nil {
			if err := db.check.after(db.writer); err != nil {
				_ = db.failure(err)
			}
		}
	}
}

// writeGroup writes requests and answers each.
func (db *DB) writeGroup(group []*request) {
	err := db.sound()
	if err == nil {
		err = db.try(group)
	}
	switch {
	case isFull(err) && hasKind(group, forAccept):
		db.noRoom(err)
		if fresh, rest := split(group); len(rest) > 0 {
			// What was delivered is recorded before anything new is taken.
			answer(fresh, db.failure(err))
			db.writeGroup(rest)
			return
		}
	case len(group) > 1 && isFault(err):
		for _, r := range group { // one of them is at fault: the others are not touched by it
			db.writeGroup([]*request{r})
		}
		return
	}
	answer(group, db.failure(err))
}

// isFault says whether an error is about a row, not about the database.
func isFault(err error) bool {
	return errors.Is(err, sqlite3.CONSTRAINT) || errors.Is(err, sqlite3.TOOBIG)
}

// try writes a group in one transaction.
func (db *DB) try(group []*request) error {
	w := db.writer
	if group[0].kind == forAlone {
		group[0].err = group[0].run(w.begin()) // it is about another file: that one's failure does not break this
		return nil
	}
	err := w.query(`BEGIN IMMEDIATE`).exec()
	if err != nil {
		return err
	}
	t := w.begin()
	for _, r := range group {
		r.err = r.run(t)
		var refusal *hook.Error
		if r.err != nil && !errors.As(r.err, &refusal) {
			err = r.err
			break
		}
	}
	if err == nil {
		err = t.flush()
	}
	if err == nil {
		err = w.query(`COMMIT`).exec()
	}
	if err != nil {
		t.takeBack()
		if !w.GetAutocommit() {
			if e := w.Exec(`ROLLBACK`); e != nil {
				return db.breakWith(errors.Join(err, e))
			}
		}
		return err
	}
	t.tell(db.o.Changed)
	return nil
}

func answer(group []*request, err error) {
	for _, r := range group {
		if err != nil {
			r.err = err
		}
		close(r.done)
	}
}

func hasKind(group []*request, k requestKind) bool {
	for _, r := range group {
		if r.kind == k {
			return true
		}
	}
	return false
}

func split(group []*request) (fresh, rest []*request) {
	for _, r := range group {
		if r.kind == forAccept {
			fresh = append(fresh, r)
		} else {
			rest = append(rest, r)
		}
	}
	return fresh, rest
}

// writer is the connection of the writing goroutine and what that goroutine keeps in memory.
type writer struct {
	*conn
	db       *DB
	lanes    lanes
	highest  int64
	logPages int // of the write-ahead log after the last commit
}

// newWriter opens the file, brings its schema up to date and reads what the writer keeps in memory.
func (db *DB) newWriter(ctx context.Context) (_ *writer, err error) {
	c, err := openWriter(db.uri, logLimit*db.o.LogPages*pageSize)
	if err != nil {
		return nil, err
	}
	w := &writer{conn: c, db: db, lanes: newLanes()}
	defer func() {
		if err != nil {
			_ = w.close()
		}
	}()
	w.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error {
		w.logPages = pages
		return nil
	})
	if err := migrate(ctx, c); err != nil {
		return nil, err
	}
	if err := w.checkMainKey(db.o.Sealer); err != nil {
		return nil, err
	}
	if err := w.loadLanes(); err != nil {
		return nil, err
	}
	q := w.query(`SELECT highest FROM counts`)
	_, err = q.first(func() { w.highest = q.getInt() })
	return w, err
}

// begin starts the bookkeeping of a transaction.
func (w *writer) begin() *tx { return &tx{writer: w, pending: map[int64]int64{}} }

// tx is one transaction: what it changes in the counters and in the writer's memory, and whom it will tell.
type tx struct {
	*writer
	counts   store.Counts // changes of the counters
	pending  map[int64]int64
	highest  int64
	undo     []func()
	accepted []hook.Accepted
	changes  []store.Change
}

// issued notes an id, so that HighestID never goes back.
func (t *tx) issued(id int64) { t.highest = max(t.highest, id) }

// on notes something to be undone in memory when the transaction is taken back.
func (t *tx) onTakeBack(f func()) { t.undo = append(t.undo, f) }

func (t *tx) takeBack() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
	}
}

// flush writes the counters.
func (t *tx) flush() error {
	for lane, n := range t.pending {
		if n == 0 {
			continue
		}
		if err := t.query(`UPDATE lanes SET pending = pending + ? WHERE id = ?`).int(n).int(lane).exec(); err != nil {
			return err
		}
	}
	if t.counts == (store.Counts{}) && t.highest <= t.writer.highest {
		return nil
	}
	before := t.writer.highest
	t.onTakeBack(func() { t.writer.highest = before })
	t.writer.highest = max(before, t.highest)
	c := &t.counts
	return t.query(`UPDATE counts SET messages = messages + ?, pending = pending + ?, delivered = delivered + ?,
		failed = failed + ?, canceled = canceled + ?, highest = ?`).
		int(c.Messages).int(c.Pending).int(c.Delivered).int(c.Failed).int(c.Canceled).int(t.writer.highest).exec()
}

// tell says what was committed.
func (t *tx) tell(changed func(store.Change)) {
	if len(t.accepted) > 0 {
		changed(store.Change{Accepted: t.accepted})
	}
	for _, c := range t.changes {
		changed(c)
	}
}

// move counts a delivery that goes from one state to another.
func (t *tx) move(from, to hook.State, lane int64) {
	t.count(from, -1, lane)
	t.count(to, 1, lane)
}

// count adds n deliveries of a state; lane matters to pending ones only.
func (t *tx) count(s hook.State, n int64, lane int64) {
	switch s {
	case hook.Pending:
		t.counts.Pending += n
		t.pending[lane] += n
	case hook.Delivered:
		t.counts.Delivered += n
	case hook.Failed:
		t.counts.Failed += n
	case hook.Canceled:
		t.counts.Canceled += n
	}
}
