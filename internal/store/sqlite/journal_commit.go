package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// open says whether the transaction has changes that only the journal makes durable.
func (w *writer) open() bool { return w.journal.n > 0 }

// keep makes a group durable, whose changes are made: in the journal when it can, otherwise by a commit.
func (w *writer) keep(t *tx, group []*request) error {
	content, ok := w.record(group)
	if ok && len(content) == contentStart && w.open() { // repeats and refusals only: what they answer is durable
		return nil
	}
	if ok && len(content) > contentStart {
		err := w.journal.write(content)
		if err == nil {
			w.unwritten.shed()
			w.leaveOpen()
			return nil
		}
		if !isNoSpace(err) || errors.As(err, new(*syncError)) {
			return w.db.breakWith(err)
		}
		w.journal.named = w.journal.named && w.open() // should the record be whole all the same, the commit makes it void
	}
	return w.commit(t)
}

// record makes the content of a group's record. It says no when the journal is not for it.
func (w *writer) record(group []*request) ([]byte, bool) {
	if !w.journal.named || w.db.o.JournalBytes < 0 || w.db.room.isLow() {
		return nil, false
	}
	b := w.journal.begin()
	for _, r := range group {
		if r.record == nil {
			return nil, false
		}
		if r.err == nil {
			b = r.record(b)
		}
	}
	w.journal.record = b
	return b, w.journal.fits(len(b))
}

// leaveOpen keeps the transaction for what comes next, and sees to it that it is committed soon.
func (w *writer) leaveOpen() {
	db := w.db
	if db.dirty.Swap(true) || db.o.Faults.InStep {
		return
	}
	time.AfterFunc(commitEvery, func() { _ = db.queue.put(&request{kind: forFlush, run: nothing, done: make(chan struct{})}) })
}

func nothing(*tx) error { return nil }

// commitOpen commits what is open, if anything is.
func (w *writer) commitOpen() error {
	if err := w.catchUp(); err != nil || !w.open() {
		return err
	}
	w.db.o.Faults.at(AtIndex)
	err := w.commit(w.begin())
	if err != nil {
		err = errors.Join(err, w.rollback())
	}
	return err
}

// commit commits all that is open, which makes the journal's records void.
func (w *writer) commit(t *tx) error {
	next := w.journal.epoch.next()
	if !w.journal.named {
		next = newEpoch()
	}
	if err := w.writeOut(); err != nil {
		return err
	}
	begins := w.open() || !w.journal.named && w.db.o.JournalBytes > 0
	if begins {
		if w.GetAutocommit() { // by itself the row would make the journal void
			return w.db.breakWith(errors.New("the transaction that the journal goes with has ended"))
		}
		if err := t.putMeta(journalRow, next.bytes()); err != nil {
			return err
		}
	}
	if err := w.query(`COMMIT`).exec(); err != nil {
		return err
	}
	if begins {
		w.restart(next)
	}
	w.db.receipts.Clear()
	if t.removed {
		if err := w.journal.wipe(); err != nil {
			w.db.o.Log.Warn("the journal could not be emptied: content that was removed stays in it until it is written over", "dir", w.db.o.Dir, "err", err)
		}
	}
	return nil
}

func (w *writer) restart(e epoch) {
	w.journal.restart(e)
	w.behind = false
	w.db.dirty.Store(false)
}

// rollback ends the transaction after a commit that failed, if it has not ended.
func (w *writer) rollback() error {
	w.behind = w.open()
	w.unwritten.forget()
	if w.GetAutocommit() {
		return nil
	}
	if err := w.Exec(`ROLLBACK`); err != nil {
		return w.db.breakWith(err)
	}
	return nil
}

// catchUp makes the changes of the journal again that a failed commit took back.
func (w *writer) catchUp() error {
	if !w.behind {
		return nil
	}
	return w.unwritable(w.replay(w.journal.since, w.journal.epoch.next()))
}

// recover makes the changes of the journal that the database has not, when the store is opened. On a full disk that waits until
// there is room, and so does everybody who reads what they change.
func (w *writer) recover() (err error) {
	if w.journal, err = w.db.disk.openJournal(w.db.o.Dir, w.db.o.JournalBytes); err != nil {
		return err
	}
	row, err := w.meta(journalRow)
	if err != nil {
		return err
	}
	e, ok := epochOf(row)
	if !ok {
		return nil
	}
	contents, err := w.journal.contents(e)
	if err != nil || len(contents) == 0 {
		return err
	}
	err = w.replay(contents, newEpoch())
	if isFull(err) {
		w.journal.epoch, w.journal.since, w.journal.n = e, contents, uint32(len(contents))
		w.behind = true
		w.db.dirty.Store(true)
		w.db.o.Log.Warn("the disk is full: what was accepted last is safe and cannot be read before there is room", "dir", w.db.o.Dir)
		return nil
	}
	if err != nil {
		return fmt.Errorf("take what the journal holds into the database: %w", err)
	}
	return nil
}

// replay makes changes of the journal again and commits them, and begins an epoch.
func (w *writer) replay(contents [][]byte, next epoch) error {
	err := w.atomically(func(t *tx) error {
		for _, content := range contents {
			if err := t.replay(content); err != nil {
				return err
			}
		}
		t.flush()
		if err := t.writeOut(); err != nil {
			return err
		}
		return t.putMeta(journalRow, next.bytes())
	})
	if err != nil {
		w.unwritten.forget()
		return err
	}
	w.restart(next)
	return nil
}

// close leaves an empty journal behind when all that it had is in the database.
func (w *writer) close() error {
	var err error
	if w.journal != nil {
		if w.db.sound() == nil && !w.open() {
			err = w.journal.wipe()
		}
		err = errors.Join(err, w.journal.file.Close())
	}
	return errors.Join(err, w.conn.close())
}

// flush has what is open committed, so that a reader sees all that was answered.
func (db *DB) flush(ctx context.Context) error {
	if !db.dirty.Load() {
		return nil
	}
	return db.wait(ctx, &request{kind: forFlush, run: nothing})
}
