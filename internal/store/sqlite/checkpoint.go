package sqlite

import (
	"errors"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
)

// The write-ahead log is bounded in steps of Options.LogPages. Each time it has grown by one step, what it holds is
// copied to the file in the background, beside the commits. Under a steady load there is always something newer, so the
// log never gets empty that way; after logLimit steps the writer copies the short rest itself, and the next commit starts
// the log over. A reader that is still looking at an old state prevents that; after logPinned steps new readers wait
// until the old ones are gone.
const (
	pageSize  = 4096
	logLimit  = 4
	logPinned = 16
)

// checkpointer moves the log into the file in the background, on a connection of its own.
type checkpointer struct {
	*conn
	db   *DB
	copy chan struct{}
	quit chan struct{}
	gone chan struct{}
	last int // pages of the log when the last copy was asked for
}

func (db *DB) newCheckpointer() (*checkpointer, error) {
	c, err := openConn(db.uri, sqlite3.OPEN_READWRITE, readerCacheKiB)
	if err != nil {
		return nil, err
	}
	return &checkpointer{
		conn: c, db: db,
		copy: make(chan struct{}, 1), quit: make(chan struct{}), gone: make(chan struct{}),
	}, nil
}

func (p *checkpointer) run() {
	defer close(p.gone)
	for {
		select {
		case <-p.quit:
			return
		case <-p.copy:
			if p.db.sound() == nil {
				_ = p.db.logError(passive(p.conn))
			}
		}
	}
}

func (p *checkpointer) stop() {
	close(p.quit)
	<-p.gone
}

// after is called by the writer after each commit.
func (p *checkpointer) after(w *writer) error {
	if w.logPages < p.last { // it was started over
		p.last = 0
	}
	step := p.db.o.LogPages
	if w.logPages-p.last >= step {
		p.last = w.logPages
		if p.db.o.Faults.InStep {
			return p.db.logError(passive(p.conn))
		}
		select {
		case p.copy <- struct{}{}:
		default: // one is under way, and another asked for
		}
	}
	switch {
	case w.logPages >= logPinned*step:
		return p.db.readers.without(func() error {
			_, _, err := w.WALCheckpoint("main", sqlite3.CHECKPOINT_RESTART)
			return p.db.logError(err)
		})
	case w.logPages >= logLimit*step && p.db.queue.len() == 0 || w.logPages >= 2*logLimit*step:
		return p.db.logError(passive(w.conn))
	}
	return nil
}

// passive copies what can be copied without waiting for anybody.
func passive(c *conn) error {
	_, _, err := c.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	return err
}

// logError drops what only means that the log stays longer: a full disk, or somebody else at it. The rest breaks the store.
func (db *DB) logError(err error) error {
	if err = db.failure(err); hook.KindOf(err) == hook.KindUnavailable {
		return nil
	}
	return err
}

// settle moves all of the log into the file, so that the file alone is the store.
func (w *writer) settle() error {
	_, _, err := w.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
	if err != nil {
		if isFull(err) || errors.Is(err, sqlite3.BUSY) { // the log keeps what the file could not take
			return nil
		}
		return err
	}
	_, err = w.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, false)
	return err
}
