package sqlite

import (
	"context"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// Cancel is part of store.Flow.
func (db *DB) Cancel(ctx context.Context, app hook.ApplicationID, m hook.MessageID, ep hook.EndpointID, _ time.Time) (n int, err error) {
	r := &request{rows: 1, bytes: 1 << 10}
	r.run = func(t *tx) error {
		n = 0
		if err := t.ownMessage(app, m); err != nil {
			return err
		}
		n, err = t.withdraw(m, ep)
		r.result.Canceled = n
		return err
	}
	if err := db.write(ctx, r); err != nil {
		return 0, err
	}
	return n, nil
}

// Expunge is part of store.Flow.
func (db *DB) Expunge(ctx context.Context, app hook.ApplicationID, m hook.MessageID, _ time.Time) error {
	return db.do(ctx, func(t *tx) error {
		if err := t.ownMessage(app, m); err != nil {
			return err
		}
		err := t.erasing(func() error {
			_, err := t.removeContent(int64(m))
			return err
		})
		if err != nil {
			return err
		}
		_, err = t.withdraw(m, 0)
		return err
	})
}

// erasing overwrites what is deleted with zeros, so that it is not left in the free room of the file. That costs a write of
// every page, so retention goes without: see overwriteCheap.
func (t *tx) erasing(f func() error) error {
	on, err := t.one(`PRAGMA secure_delete`)
	switch {
	case err != nil:
		return err
	case on == "1": // while secrets are sealed anew
		return f()
	}
	if err := t.Exec(`PRAGMA secure_delete=ON`); err != nil {
		return err
	}
	err = f()
	if e := t.Exec(overwriteCheap); err == nil {
		err = e
	}
	return err
}

// removeContent removes a message's payload and raw request, and says whether they were there.
func (t *tx) removeContent(m int64) (was bool, err error) {
	t.removed = true
	n, err := t.query(`DELETE FROM payloads WHERE message = ?`).int(m).changed()
	if err != nil {
		return false, err
	}
	return n > 0, t.query(`UPDATE messages SET content_until = NULL WHERE id = ? AND content_until IS NOT NULL`).int(m).exec()
}

// withdraw cancels what is pending of a message and takes back what is wished: of one endpoint, or of all when ep is 0. n
// counts the endpoints at which there was something.
func (t *tx) withdraw(m hook.MessageID, ep hook.EndpointID) (n int, err error) {
	var gone []store.Withdrawn
	q := t.query(`SELECT d.endpoint, d.lane, d.state, d.attempts, d.next_at,
		EXISTS (SELECT 1 FROM resends r WHERE r.message = d.message AND r.endpoint = d.endpoint)
		FROM deliveries d WHERE d.message = ?1 AND (?2 = 0 OR d.endpoint = ?2)`).int(int64(m)).int(int64(ep))
	var pending []*lane
	err = q.each(func() error {
		d := hook.Delivery{Message: m, Endpoint: hook.EndpointID(q.getInt())}
		l := t.lanes.byEndpoint[d.Endpoint]
		if l == nil {
			return nil // it was deleted, and everything of it canceled with it
		}
		q.getDelivery(&d, l.id)
		if d.State == hook.Pending {
			pending = append(pending, l)
		}
		if wished := q.getBool(); wished || d.State == hook.Pending {
			gone = append(gone, store.Withdrawn{Message: m, Endpoint: d.Endpoint})
		}
		return nil
	})
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	for _, l := range pending {
		to := l.endpoint.ID
		if err := t.query(`UPDATE deliveries SET state = 3, next_at = NULL WHERE message = ? AND endpoint = ?`).
			int(int64(m)).int(int64(to)).exec(); err != nil {
			return 0, err
		}
		t.move(hook.Pending, hook.Canceled, l.id, m, to)
	}
	for _, w := range gone {
		if err := t.query(`DELETE FROM resends WHERE message = ? AND endpoint = ?`).
			int(int64(m)).int(int64(w.Endpoint)).exec(); err != nil {
			return 0, err
		}
	}
	t.changes = append(t.changes, store.Change{Canceled: gone})
	return len(gone), nil
}

// expunged stands in the place of an answer that was removed.
const expunged = "EXPUNGED"

// ExpungeResponse is part of store.Flow.
func (db *DB) ExpungeResponse(ctx context.Context, app hook.ApplicationID, id hook.AttemptID) error {
	return db.do(ctx, func(t *tx) error {
		if _, ok := t.lanes.byApp[app]; !ok {
			return noSuch("attempt", id.String())
		}
		return t.erasing(func() error {
			n, err := t.query(`UPDATE attempts SET response = ? WHERE id = ? AND app = ?`).
				blob([]byte(expunged)).int(int64(id)).int(int64(app)).changed()
			if err == nil && n == 0 {
				return noSuch("attempt", id.String())
			}
			t.removed = true
			return err
		})
	})
}
