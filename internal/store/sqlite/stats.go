package sqlite

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// The deliveries of an endpoint are counted by the day of their message, in the commits that make and move them. A row is
// what a scan of the endpoint's deliveries of that day would find: retention takes its part of it with the messages.
//
// All that is pending at an endpoint lies in its present lane, so closing the lane moves the whole column.

const msPerDay = 24 * 60 * 60 * 1000

// dayKey names a row: days since hook.Epoch, in UTC.
type dayKey struct {
	endpoint hook.EndpointID
	day      int64
}

// dayOf returns the day of a moment.
func dayOf(t time.Time) int64 { return t.Sub(hook.Epoch).Milliseconds() / msPerDay }

// countDay adds n deliveries of a message in a state to an endpoint that exists.
func (y *tally) countDay(s hook.State, n int64, m hook.MessageID, ep hook.EndpointID) {
	c := y.day(dayKey{ep, dayOf(m.Time())})
	switch s {
	case hook.Pending:
		c.Pending += n
	case hook.Delivered:
		c.Delivered += n
	case hook.Failed:
		c.Failed += n
	case hook.Canceled:
		c.Canceled += n
	}
}

// day returns the counters of a day, to be added to.
func (y *tally) day(k dayKey) *store.DeliveryCounts {
	c := y.days[k]
	if c == nil {
		if y.days == nil {
			y.days = map[dayKey]*store.DeliveryCounts{}
		}
		c = &store.DeliveryCounts{}
		y.days[k] = c
	}
	return c
}

func (y *tally) addDay(k dayKey, n *store.DeliveryCounts) {
	c := y.day(k)
	c.Pending += n.Pending
	c.Delivered += n.Delivered
	c.Failed += n.Failed
	c.Canceled += n.Canceled
}

// writeDays writes the days' counters, in an order that does not depend on chance.
func (w *writer) writeDays(y *tally) error {
	if len(y.days) == 0 {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(y.days), func(a, b dayKey) int {
		return cmp.Or(cmp.Compare(a.endpoint, b.endpoint), cmp.Compare(a.day, b.day))
	})
	for _, k := range keys {
		if err := w.writeDay(k, y.days[k]); err != nil {
			return err
		}
	}
	clear(y.days)
	return nil
}

func (w *writer) writeDay(k dayKey, c *store.DeliveryCounts) error {
	if *c == (store.DeliveryCounts{}) {
		return nil
	}
	n, err := w.query(`UPDATE days SET pending = pending + ?, delivered = delivered + ?, failed = failed + ?, canceled = canceled + ?
		WHERE endpoint = ? AND day = ?`).
		int(c.Pending).int(c.Delivered).int(c.Failed).int(c.Canceled).int(int64(k.endpoint)).int(k.day).changed()
	if err == nil && n == 0 {
		err = w.query(`INSERT INTO days (endpoint, day, pending, delivered, failed, canceled) VALUES (?, ?, ?, ?, ?, ?)`).
			int(int64(k.endpoint)).int(k.day).int(c.Pending).int(c.Delivered).int(c.Failed).int(c.Canceled).exec()
	}
	if err == nil && c.Pending+c.Delivered+c.Failed+c.Canceled < 0 { // retention took some, perhaps the last
		err = w.query(`DELETE FROM days WHERE endpoint = ? AND day = ? AND pending = 0 AND delivered = 0 AND failed = 0 AND canceled = 0`).
			int(int64(k.endpoint)).int(k.day).exec()
	}
	return err
}

// cancelDays counts what is pending at an endpoint as canceled.
func (t *tx) cancelDays(ep hook.EndpointID) error {
	if err := t.writeDays(&t.tally); err != nil {
		return err
	}
	return t.query(`UPDATE days SET canceled = canceled + pending, pending = 0 WHERE endpoint = ? AND pending <> 0`).int(int64(ep)).exec()
}

// dropDays removes the counters of an endpoint that goes.
func (t *tx) dropDays(ep hook.EndpointID) error {
	maps.DeleteFunc(t.days, func(k dayKey, _ *store.DeliveryCounts) bool { return k.endpoint == ep })
	return t.query(`DELETE FROM days WHERE endpoint = ?`).int(int64(ep)).exec()
}

// removeDeliveries deletes the deliveries of a message that retention takes, which are no part of the days any more.
func (t *tx) removeDeliveries(m hook.MessageID) error {
	q := t.query(`DELETE FROM deliveries WHERE message = ? RETURNING endpoint, lane, state, attempts, next_at`).int(int64(m))
	return q.each(func() error {
		d := hook.Delivery{Message: m, Endpoint: hook.EndpointID(q.getInt())}
		if l := t.lanes.byEndpoint[d.Endpoint]; l != nil {
			q.getDelivery(&d, l.id)
			t.countDay(d.State, -1, m, d.Endpoint)
		}
		return nil
	})
}

// Stats is part of store.Read.
func (db *DB) Stats(ctx context.Context, app hook.ApplicationID, ep hook.EndpointID, since, until time.Time) (n store.DeliveryCounts, err error) {
	first, last := int64(0), dayOf(hook.MessageID(1<<63-1).Time())
	if !since.IsZero() {
		first = dayOf(since)
	}
	if !until.IsZero() {
		last = dayOf(until)
	}
	err = db.snapshot(ctx, func(c *conn) error {
		if _, err := c.ownEndpoint(app, ep); err != nil {
			return err
		}
		q := c.query(`SELECT coalesce(sum(pending), 0), coalesce(sum(delivered), 0), coalesce(sum(failed), 0), coalesce(sum(canceled), 0)
			FROM days WHERE endpoint = ? AND day BETWEEN ? AND ?`).int(int64(ep)).int(first).int(last)
		_, err := q.first(func() {
			n = store.DeliveryCounts{Pending: q.getInt(), Delivered: q.getInt(), Failed: q.getInt(), Canceled: q.getInt()}
		})
		return err
	})
	return n, err
}

// ownEndpoint returns the present lane of an endpoint, and fails when it is not an application's.
func (c *conn) ownEndpoint(app hook.ApplicationID, ep hook.EndpointID) (lane int64, err error) {
	q := c.query(`SELECT lane FROM endpoints WHERE id = ? AND app = ?`).int(int64(ep)).int(int64(app))
	found, err := q.first(func() { lane = q.getInt() })
	if err == nil && !found {
		err = noSuch("endpoint", ep.String())
	}
	return lane, err
}
