package sqlite

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// along makes a request carry what its context does. The receipt's key is looked at before anything is written, because a
// request that is refused must have written nothing; those of one transaction see one another's.
func (db *DB) along(ctx context.Context, r *request) {
	a := store.AlongOf(ctx)
	if r.kind == forAlone || a.Receipt == nil && len(a.Events) == 0 {
		return
	}
	run, record := r.run, r.record
	var kept *receipt
	r.rows += 1 + len(a.Events)
	r.run = func(t *tx) error {
		if err := t.freeReceipt(a.Receipt); err != nil {
			return err
		}
		if err := run(t); err != nil {
			return err
		}
		if err := t.tellOperator(a.Events); err != nil {
			return err
		}
		kept = t.newReceipt(a.Receipt, r.result)
		return t.keepReceipt(kept)
	}
	r.record = nil
	if record != nil && len(a.Events) == 0 { // events are not for the journal
		r.record = func(b []byte) []byte { return kept.pack(record(b)) }
	}
}

// errUnchanged is what a request says that found nothing to write and is no failure: what would go along with it is not kept.
var errUnchanged = hook.Errorf(hook.KindConflict, "nothing was written")

// tellOperator accepts events for the operator's endpoints. One that no endpoint wants costs nothing.
func (t *tx) tellOperator(events []hook.Accept) error {
	for i := range events {
		in := events[i]
		in.Message.App = hook.Operational
		if !wanted(t.lanes.byApp[hook.Operational], &in.Message) {
			continue
		}
		var e entry
		var out hook.Accepted
		e.prepare(t.db.packs, &in, &out)
		if err := t.accept(&e); err != nil {
			return err
		}
		if out.Err != nil { // it must not keep from being written what it tells of
			t.db.o.Log.Error("an operational event was not accepted", "type", in.Message.EventType, "err", out.Err)
		}
	}
	return nil
}

// wanted says whether an endpoint selects a message, to be sent or to be polled.
func wanted(lanes []*lane, m *hook.Message) bool {
	for _, l := range lanes {
		if ok, _ := l.endpoint.Selects(m); ok && !l.endpoint.Disabled {
			return true
		}
	}
	return false
}

// freeReceipt fails when a receipt's key is taken by a live one.
func (t *tx) freeReceipt(r *store.Receipt) error {
	if r == nil {
		return nil
	}
	q := t.query(`SELECT 1 FROM receipts WHERE key = ? AND expires > ?`).blob(r.Key[:]).int(millisOr0(r.Now))
	taken, err := q.first(func() {})
	if err == nil && taken {
		err = &hook.Error{Kind: hook.KindConflict, Field: store.ReceiptField, Text: "a request with this key was answered before"}
	}
	return err
}

// millisOr0 is before every stored time when there is no time.
func millisOr0(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// receipt is an answer as it is stored.
type receipt struct {
	key     [32]byte
	expires int64
	status  int
	sealed  []byte
}

// newReceipt asks for the answer; nil = there is none to be kept.
func (t *tx) newReceipt(r *store.Receipt, of store.Result) *receipt {
	if r == nil {
		return nil
	}
	status, body, ok := r.Answer(of)
	if !ok {
		return nil
	}
	return &receipt{r.Key, r.Expires.UnixMilli(), status, t.seal(body, receiptPlace(r.Key))}
}

// keepReceipt writes an answer in the place of one that has run out. It is in the table before it is committed, so that the next
// request finds it.
func (t *tx) keepReceipt(r *receipt) error {
	if r == nil {
		return nil
	}
	t.db.receipts.Store(r.key, true)
	return t.query(`INSERT INTO receipts (key, expires, status, body) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE
		SET expires = excluded.expires, status = excluded.status, body = excluded.body`).
		blob(r.key[:]).int(r.expires).int(int64(r.status)).blob(r.sealed).exec()
}

// receiptPlace names where a receipt is sealed for.
func receiptPlace(key [32]byte) string { return "receipt/" + hex.EncodeToString(key[:]) }

// Receipt is part of store.Read. It has a commit made only where the receipt itself waits for one: most requests have a new key.
func (db *DB) Receipt(ctx context.Context, key [32]byte, now time.Time) (status int, body []byte, found bool, err error) {
	read := db.readSettled
	if _, waits := db.receipts.Load(key); waits {
		read = db.read
	}
	err = read(ctx, func(c *conn) error {
		var bad error
		q := c.query(`SELECT status, body FROM receipts WHERE key = ? AND expires > ?`).blob(key[:]).int(now.UnixMilli())
		found, err = q.first(func() {
			status = int(q.getInt())
			body, bad = db.unseal(q.rawBlob(), receiptPlace(key))
		})
		if err == nil && bad != nil {
			err = &hook.Error{Kind: hook.KindInternal, Text: "a kept answer cannot be read", Err: bad}
		}
		return err
	})
	if err != nil {
		return 0, nil, false, err
	}
	return status, body, found, nil
}
