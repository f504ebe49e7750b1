package sqlite

import (
	"context"
	"errors"

	"github.com/waypost/waypost/internal/hook"
)

// Consumer is part of store.Config.
func (db *DB) Consumer(ctx context.Context, app hook.ApplicationID, ep hook.EndpointID, name string) (r hook.Consumer, err error) {
	err = db.snapshot(ctx, func(c *conn) error {
		if _, err := c.ownEndpoint(app, ep); err != nil {
			return err
		}
		r, _, err = c.consumer(app, ep, name)
		return err
	})
	return r, err
}

// consumer reads a reader's place; one that was never kept is at the beginning.
func (c *conn) consumer(app hook.ApplicationID, ep hook.EndpointID, name string) (r hook.Consumer, kept bool, err error) {
	r = hook.Consumer{App: app, Endpoint: ep, Name: name}
	q := c.query(`SELECT at, leased, until FROM consumers WHERE endpoint = ? AND name = ?`).int(int64(ep)).text(name)
	kept, err = q.first(func() {
		r.At, r.Leased, r.Until = hook.MessageID(q.getInt()), hook.MessageID(q.getInt()), q.getTime()
	})
	return r, kept, err
}

// SwapConsumer is part of store.Config.
func (db *DB) SwapConsumer(ctx context.Context, before, after hook.Consumer) (done bool, err error) {
	if before.App != after.App || before.Endpoint != after.Endpoint || before.Name != after.Name {
		return false, hook.Errorf(hook.KindInvalid, "a reader's place is changed, not its name or endpoint")
	}
	err = db.do(ctx, func(t *tx) error {
		if l := t.lanes.byEndpoint[after.Endpoint]; l == nil || l.endpoint.App != after.App {
			return noSuch("endpoint", after.Endpoint.String())
		}
		present, kept, err := t.consumer(after.App, after.Endpoint, after.Name)
		if err != nil {
			return err
		}
		if !samePlace(&present, &before) {
			return errUnchanged
		}
		sql := `UPDATE consumers SET at = ?, leased = ?, until = ? WHERE endpoint = ? AND name = ?`
		if !kept {
			sql = `INSERT INTO consumers (at, leased, until, endpoint, name) VALUES (?, ?, ?, ?, ?)`
		}
		return t.query(sql).int(int64(after.At)).int(int64(after.Leased)).time(after.Until).
			int(int64(after.Endpoint)).text(after.Name).exec()
	})
	if errors.Is(err, errUnchanged) {
		return false, nil
	}
	return err == nil, err
}

// samePlace compares as they are stored.
func samePlace(a, b *hook.Consumer) bool {
	return a.At == b.At && a.Leased == b.Leased && momentOf(a.Until) == momentOf(b.Until)
}

// dropConsumers removes the readers of an endpoint that goes.
func (t *tx) dropConsumers(ep hook.EndpointID) error {
	return t.query(`DELETE FROM consumers WHERE endpoint = ?`).int(int64(ep)).exec()
}
