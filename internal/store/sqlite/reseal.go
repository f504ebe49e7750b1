package sqlite

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// A rotation of the main key goes from one commit to another: the first writes keyNextName, and from it on everything is
// sealed under the new key and opened with either; the last seals keyCheckName anew and removes keyNextName. Between them
// every sealed value is sealed anew, in steps. Whatever happens between two commits, both keys together open everything.

// What the store keeps in meta for its main key. Values are sealed, each for its own name.
const (
	keyCheckName = "main key check" // under the main key, or the one that is being left: a wrong key is found at once
	keyNextName  = "main key next"  // under the key that a rotation goes to; there is none without a rotation
	keyCheckText = "waypost"

	seedName = "outbound seed" // what the seeds of outgoing messages are drawn from
	seedSize = 32
)

// sealedColumn is a column that holds sealed values. Its table's rows have an id.
type sealedColumn struct {
	table, column string
	named         string                             // the column that the place is named after
	place         func(id int64, name []byte) string // where a value is sealed for
}

// sealedColumns are all of them, but for meta. A rotation of the main key seals what they hold anew.
var sealedColumns = []sealedColumn{
	{"profiles", "secrets", "id", func(id int64, _ []byte) string { return place("profile", hook.ProfileID(id)) }},
	{"sources", "secrets", "id", func(id int64, _ []byte) string { return place("source", hook.SourceID(id)) }},
	{"endpoints", "secrets", "id", func(id int64, _ []byte) string { return place("endpoint", hook.EndpointID(id)) }},
	{"receipts", "body", "key", func(_ int64, key []byte) string { return receiptPlace([32]byte(key)) }},
}

// sealers are what the store seals and opens with.
type sealers struct {
	now    *store.Sealer
	before *store.Sealer // of the key that a rotation leaves; nil = there is no rotation
}

// seal encrypts under the store's main key. Only the writer does: so no value is written after a rotation began that was
// sealed before it.
func (t *tx) seal(text []byte, place string) []byte { return t.db.keys.Load().now.Seal(text, place) }

// unseal opens what seal made. It fails with store.ErrMainKey.
func (db *DB) unseal(sealed []byte, place string) ([]byte, error) {
	k := db.keys.Load()
	text, err := k.now.Open(sealed, place)
	if err != nil && k.before != nil {
		text, err = k.before.Open(sealed, place)
	}
	return text, err
}

// readKeys finds out which of the keys given are the store's, and reads its seed. A store that is new takes the key given; one
// that is under the old key begins a rotation.
func (w *writer) readKeys() error {
	check, err := w.meta(keyCheckName)
	if err != nil {
		return err
	}
	next, err := w.meta(keyNextName)
	if err != nil {
		return err
	}
	seed, err := w.meta(seedName)
	if err != nil {
		return err
	}
	k, err := w.db.o.fit(check, next)
	if err != nil {
		return err
	}
	w.db.keys.Store(&k)
	switch {
	case check == nil: // nobody shall find the seed out who finds a main key out
		w.db.seed = make([]byte, seedSize)
		_, _ = crand.Read(w.db.seed) // never fails: crypto/rand ends the process instead
	case seed == nil && k.before != nil:
		w.db.seed = k.before.EarlySeed()
	case seed == nil:
		w.db.seed = k.now.EarlySeed()
	default:
		if w.db.seed, err = w.db.unseal(seed, seedName); err != nil {
			return fmt.Errorf("the seed of outgoing messages cannot be read: restore a backup (%w)", err)
		}
	}
	return w.atomically(func(t *tx) error {
		if check == nil {
			if err := t.putSealed(keyCheckName, []byte(keyCheckText)); err != nil {
				return err
			}
		}
		if seed == nil {
			if err := t.putSealed(seedName, w.db.seed); err != nil {
				return err
			}
		}
		if k.before != nil && next == nil {
			return t.putSealed(keyNextName, []byte(keyCheckText))
		}
		return nil
	})
}

// fit chooses among the keys given by what the store says of its own. Its errors say which key is missing.
func (o *Options) fit(check, next []byte) (sealers, error) {
	is := func(s *store.Sealer, sealed []byte, name string) bool {
		if s == nil || sealed == nil {
			return false
		}
		text, err := s.Open(sealed, name)
		return err == nil && bytes.Equal(text, []byte(keyCheckText))
	}
	var text string
	switch isNow, isNext := is(o.Sealer, check, keyCheckName), is(o.Sealer, next, keyNextName); {
	case check == nil, isNow && next == nil:
		return sealers{now: o.Sealer}, nil
	case is(o.OldSealer, check, keyCheckName) && (next == nil || isNext):
		return sealers{o.Sealer, o.OldSealer}, nil
	case isNow && is(o.OldSealer, next, keyNextName):
		text = "a rotation of the main key is under way, and the two keys are given the wrong way round: the new one belongs into " +
			"WAYPOST_MAIN_KEY, the earlier one into WAYPOST_MAIN_KEY_OLD; once that rotation is done, rotate back"
	case isNow:
		text = "a rotation of the main key is under way, and only the earlier key is given: put main.key.next back into the folder beside " +
			"main.key, or set WAYPOST_MAIN_KEY to the new key and WAYPOST_MAIN_KEY_OLD to the earlier one"
	case isNext:
		text = "a rotation of the main key is under way, and the earlier key is missing: set WAYPOST_MAIN_KEY_OLD to it as well, or put " +
			"its main.key back into the folder beside main.key.next; it is needed until the rotation is done"
	case is(o.OldSealer, check, keyCheckName):
		text = "a rotation to another main key is under way: set WAYPOST_MAIN_KEY to that key, or put its main.key.next back into the " +
			"folder; once that rotation is done, rotate again"
	default:
		text = "the main key is not the one that this store was made with: set WAYPOST_MAIN_KEY to that key, or put its main.key back into the folder"
	}
	return sealers{}, fmt.Errorf("%s (%w)", text, store.ErrMainKey)
}

// meta returns a value of meta, nil when there is none.
func (c *conn) meta(name string) (value []byte, err error) {
	q := c.query(`SELECT value FROM meta WHERE name = ?`).text(name)
	_, err = q.first(func() { value = q.getBlob() })
	return value, err
}

func (t *tx) putSealed(name string, text []byte) error { return t.putMeta(name, t.seal(text, name)) }

// atomically runs a transaction before the writing goroutine does.
func (w *writer) atomically(run func(*tx) error) error {
	err := w.Exec(`BEGIN IMMEDIATE`)
	if err == nil {
		err = run(w.begin())
	}
	if err == nil {
		err = w.Exec(`COMMIT`)
	}
	if err != nil && !w.GetAutocommit() {
		err = errors.Join(err, w.Exec(`ROLLBACK`))
	}
	return err
}

// Seed is what the seeds of outgoing messages are drawn from: see dialect.Outbound.Seed. It stays the same as long as the store
// lives, whatever its main key.
func (db *DB) Seed() []byte { return bytes.Clone(db.seed) }

// Rotating says whether a rotation of the main key has begun and not ended.
func (db *DB) Rotating() bool { return db.keys.Load().before != nil }

// Rotate begins to seal under another main key; Reseal does the rest. next must be kept before: from the commit on the store
// needs both keys. It fails with KindConflict while a rotation is under way.
func (db *DB) Rotate(ctx context.Context, next *store.Sealer) error {
	return db.do(ctx, func(t *tx) error {
		k := db.keys.Load()
		switch {
		case k.before != nil:
			return hook.Errorf(hook.KindConflict, "a rotation of the main key is under way: wait until it is done")
		case k.now.Same(next):
			return hook.Errorf(hook.KindConflict, "the store is under this main key already")
		}
		db.keys.Store(&sealers{next, k.now})
		t.onTakeBack(func() { db.keys.Store(k) })
		return t.putSealed(keyNextName, []byte(keyCheckText))
	})
}

// A step of Reseal takes at most this many rows and, but for one value, bytes.
const (
	resealRows  = 100
	resealBytes = 256 << 10
)

// Reseal seals everything anew under the main key that a rotation goes to, in short steps beside the other work, and ends the
// rotation: from then on the key before opens nothing. When it fails, the rotation is still under way and Reseal may be
// called again, or after the next start. progress is told how many of how many values it has looked at; nil = nobody is.
// Without a rotation it does nothing.
func (db *DB) Reseal(ctx context.Context, progress func(done, total int64)) error {
	db.resealing.Lock()
	defer db.resealing.Unlock()
	if !db.Rotating() {
		return nil
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	total, err := db.sealedValues(ctx)
	if err != nil {
		return err
	}
	if err := db.overwrite(ctx, true); err != nil {
		return err
	}
	defer func() { _ = db.overwrite(context.WithoutCancel(ctx), false) }() // a closed store needs it no more
	var done int64
	for i := range sealedColumns {
		for step := (resealed{more: true}); step.more; {
			if step, err = db.resealStep(ctx, &sealedColumns[i], step.last); err != nil {
				return err
			}
			done += step.looked
			progress(done, max(done, total))
		}
	}
	err = db.do(ctx, func(t *tx) error {
		if err := t.putSealed(seedName, db.seed); err != nil {
			return err
		}
		if err := t.putSealed(keyCheckName, []byte(keyCheckText)); err != nil {
			return err
		}
		return t.query(`DELETE FROM meta WHERE name = ?`).text(keyNextName).exec()
	})
	if err != nil {
		return err
	}
	return db.forgetKey(ctx)
}

// forgetKey drops the key before from memory, once nobody reads an old state any more, and what it sealed from the log.
func (db *DB) forgetKey(ctx context.Context) error {
	if err := db.readers.passed(ctx); err != nil {
		return db.failure(err)
	}
	db.keys.Store(&sealers{now: db.keys.Load().now})
	for wait := time.Millisecond; ; wait *= 2 {
		emptied, err := db.emptyLog(ctx)
		if err != nil || emptied {
			return err
		}
		if wait > maxEmptyWait { // no harm but that what is there stays until it is written over
			db.o.Log.Warn("the log could not be emptied: values under the key before stay in it until they are written over", "dir", db.o.Dir)
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// maxEmptyWait is the longest pause between two tries to empty the log. All pauses together are twice that.
const maxEmptyWait = 2 * time.Second

// emptyLog moves the log into the file and cuts it, unless somebody reads from it or copies it just now.
func (db *DB) emptyLog(ctx context.Context) (emptied bool, err error) {
	err = db.write(ctx, &request{kind: forAlone, run: func(*tx) error {
		if err := db.writer.BusyTimeout(0); err != nil { // who reads now would hold the writer up
			return err
		}
		_, _, err := db.writer.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
		emptied = err == nil && db.writer.journal.wipe() == nil
		return errors.Join(db.logError(err), db.writer.BusyTimeout(busyTimeout))
	}})
	return emptied, err
}

// overwrite has SQLite overwrite all that is replaced or deleted, or as much as it does otherwise: see overwriteCheap.
func (db *DB) overwrite(ctx context.Context, on bool) error {
	return db.write(ctx, &request{kind: forAlone, run: func(*tx) error {
		if on {
			return db.writer.Exec(`PRAGMA secure_delete=ON`)
		}
		return db.writer.Exec(overwriteCheap)
	}})
}

// sealedValues counts what Reseal looks at.
func (db *DB) sealedValues(ctx context.Context) (n int64, err error) {
	err = db.list(ctx, func(c *conn) error {
		for i := range sealedColumns {
			q := c.query(`SELECT count(*) FROM ` + sealedColumns[i].table)
			if _, err := q.first(func() { n += q.getInt() }); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// resealed is what a step has done.
type resealed struct {
	last   int64 // the row that it ended with
	looked int64
	more   bool // there may be rows behind it
}

// resealStep seals the next rows of a column behind one. Rows that come later are sealed under the new key already.
func (db *DB) resealStep(ctx context.Context, col *sealedColumn, after int64) (step resealed, err error) {
	var damaged []string
	err = db.write(ctx, &request{rows: resealRows, bytes: resealBytes, run: func(t *tx) error {
		step, damaged = resealed{last: after}, nil
		values, more, err := t.sealedRows(col, after)
		if err != nil {
			return err
		}
		keys := db.keys.Load()
		for _, v := range values {
			step.last = v.id
			if _, err := keys.now.Open(v.sealed, v.place); err == nil {
				continue
			}
			text, err := keys.before.Open(v.sealed, v.place)
			if err != nil { // neither key opens it, so none is lost
				damaged = append(damaged, v.place)
				continue
			}
			q := t.query(`UPDATE ` + col.table + ` SET ` + col.column + ` = ? WHERE id = ?`).blob(t.seal(text, v.place)).int(v.id)
			if err := q.exec(); err != nil {
				return err
			}
		}
		step.looked, step.more = int64(len(values)), more
		db.o.Faults.at(AtReseal)
		return nil
	}})
	for _, place := range damaged {
		db.o.Log.Error("a sealed value cannot be read and stays as it is: it was damaged before the rotation", "place", place)
	}
	return step, err
}

type sealedRow struct {
	id     int64
	place  string
	sealed []byte
}

// sealedRows reads the next values of a column that a step may take.
func (t *tx) sealedRows(col *sealedColumn, after int64) (rows []sealedRow, more bool, err error) {
	q := t.query(`SELECT id, ` + col.named + `, ` + col.column + ` FROM ` + col.table + ` WHERE id > ? ORDER BY id LIMIT ?`).
		int(after).int(resealRows)
	for bytes := 0; q.next(); {
		r := sealedRow{id: q.getInt()}
		r.place = col.place(r.id, q.rawBlob())
		r.sealed = q.getBlob()
		rows = append(rows, r)
		if bytes += len(r.sealed); bytes >= resealBytes {
			break
		}
	}
	return rows, len(rows) > 0, q.done()
}
