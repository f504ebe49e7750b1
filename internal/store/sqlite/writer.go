package sqlite

import (
	"context"
	"errors"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
)

// writer is the connection of the writing goroutine and what that goroutine keeps in memory.
type writer struct {
	*conn
	db      *DB
	lanes   lanes
	highest int64
	// lastMessage is the id of the message that was accepted last, or one above it: the next gets a higher one, so that ids
	// grow in the order of the commits.
	lastMessage hook.MessageID
	logPages    int // of the write-ahead log after the last commit

	unwritten      unwritten
	highestAttempt hook.AttemptID // of those that are written
	remembered     *keyMemory     // nil = to be read

	journal *journal
	behind  bool // a commit failed, and what the journal has is not in the open transaction any more
}

// newWriter opens the file, brings its schema up to date and reads what the writer keeps in memory.
func (db *DB) newWriter(ctx context.Context) (_ *writer, err error) {
	c, err := openWriter(db.uri, logLimit*db.o.LogPages*pageSize)
	if err != nil {
		return nil, err
	}
	w := &writer{conn: c, db: db, lanes: newLanes(), unwritten: newUnwritten()}
	defer func() {
		if err != nil {
			_ = w.close()
		}
	}()
	w.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error {
		w.logPages = pages
		return nil
	})
	c.at = db.o.Faults.at
	if err := w.certifyLog(); err != nil {
		return nil, err
	}
	if err := w.recognise(); err != nil {
		return nil, err
	}
	if err := migrate(ctx, c); err != nil {
		return nil, err
	}
	w.packs = db.packs
	if err := w.loadDictionaries(); err != nil {
		return nil, err
	}
	if err := w.readKeys(); err != nil {
		return nil, err
	}
	if err := w.loadLanes(); err != nil {
		return nil, err
	}
	q := w.query(`SELECT highest FROM counts`)
	_, err = q.first(func() { w.highest = q.getInt() })
	if err != nil {
		return nil, err
	}
	w.lastMessage = hook.MessageID(w.highest)
	q = w.query(`SELECT max(id) FROM attempts`)
	if _, err := q.first(func() { w.highestAttempt = hook.AttemptID(q.getInt()) }); err != nil {
		return nil, err
	}
	return w, w.recover()
}

// begin starts the bookkeeping of a transaction.
func (w *writer) begin() *tx {
	return &tx{writer: w, tally: newTally(), lastMessage: w.lastMessage}
}

// write has a request written and returns when it is durable. A caller that gives up before the writer has taken the
// request can be sure that nothing of it is written; later it gets the true answer.
func (db *DB) write(ctx context.Context, r *request) error {
	if err := db.sound(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return gaveUp(err)
	}
	db.along(ctx, r)
	return db.wait(ctx, r)
}

// wait puts a request into the queue and waits for its answer.
func (db *DB) wait(ctx context.Context, r *request) error {
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
			_ = db.failure(db.writer.writeBeside())
		}
		if db.sound() == nil && !db.writer.open() {
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

// try writes a group: to the journal, or with all that is open to the database.
func (db *DB) try(group []*request) error {
	w := db.writer
	if err := w.catchUp(); err != nil {
		return err
	}
	switch group[0].kind {
	case forAlone:
		if err := w.commitOpen(); err != nil {
			return err
		}
		group[0].err = group[0].run(w.begin()) // it is about another file: that one's failure does not break this
		return nil
	case forFlush:
		if len(group) == 1 {
			return w.commitOpen()
		}
	default:
	}
	t, err := w.run(group)
	if err != nil {
		return err
	}
	db.answerEarly(group)
	db.o.Faults.at(AtBeforeCommit)
	if err := w.keep(t, group); err != nil {
		t.takeBack()
		return errors.Join(err, w.rollback())
	}
	db.o.Faults.at(AtAfterCommit)
	t.tell(db.o.Changed)
	return nil
}

// run makes the changes of a group in the open transaction. When one fails, which is rare, all that is open is undone: what
// the journal has of it is made again before anything else.
func (w *writer) run(group []*request) (*tx, error) {
	if !w.open() {
		if err := w.query(`BEGIN IMMEDIATE`).exec(); err != nil {
			return nil, err
		}
	}
	t := w.begin()
	if err := t.runAll(group); err != nil {
		t.takeBack()
		return nil, errors.Join(err, w.rollback())
	}
	t.flush()
	return t, nil
}

// runAll runs requests until one fails for another reason than a refusal.
func (t *tx) runAll(group []*request) error {
	t.accepted = make([]hook.Accepted, 0, count(group, forAccept))
	for _, r := range group {
		if !r.inFlow {
			if err := t.writeOut(); err != nil {
				return err
			}
		}
		r.err = r.run(t)
		var refusal *hook.Error
		if r.err != nil && !errors.As(r.err, &refusal) {
			return r.err
		}
	}
	return nil
}

func answer(group []*request, err error) {
	for _, r := range group {
		if r.early { // by a fault
			continue
		}
		if err != nil {
			r.err = err
		}
		close(r.done)
	}
}

// count says how many rows the requests of a kind have.
func count(group []*request, k requestKind) (rows int) {
	for _, r := range group {
		if r.kind == k {
			rows += r.rows
		}
	}
	return rows
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
