package sqlite

import (
	"context"
	"slices"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// Destinations is part of store.Read.
func (db *DB) Destinations(ctx context.Context, app hook.ApplicationID, m hook.MessageID, p store.Page) (l store.List[hook.Delivery], err error) {
	w, err := newWindow(p, hook.ParseID[hook.EndpointID])
	if err != nil {
		return l, err
	}
	err = db.list(ctx, func(c *conn) error {
		if err := c.ownMessage(app, m); err != nil {
			return err
		}
		order := ` AND d.endpoint > ? AND d.endpoint < ? ORDER BY d.endpoint LIMIT ?`
		if w.down {
			order = ` AND d.endpoint > ? AND d.endpoint < ? ORDER BY d.endpoint DESC LIMIT ?`
		}
		q := c.query(`SELECT d.endpoint, coalesce(e.lane, 0), d.lane, d.state, d.attempts, d.next_at
			FROM deliveries d LEFT JOIN endpoints e ON e.id = d.endpoint WHERE d.message = ?` + order).int(int64(m))
		get := func(q *stmt) (hook.Delivery, error) {
			d := hook.Delivery{App: app, Message: m, Endpoint: hook.EndpointID(q.getInt())}
			q.getDelivery(&d, q.getInt())
			return d, nil
		}
		l, err = collect(w, q, get, func(d *hook.Delivery) string { return d.Endpoint.String() })
		return err
	})
	return l, err
}

// What failed at an endpoint has an index of its own. Everything else is found by the application's messages, as there is
// no index of deliveries by endpoint: it would cost every delivery a write.
const (
	deliveryColumns = `, d.lane, d.state, d.attempts, d.next_at`
	joinDelivery    = `LEFT JOIN deliveries d ON d.message = m.id AND d.endpoint = ? `
	fromFailed      = messageColumns + deliveryColumns + ` FROM deliveries d CROSS JOIN messages m ON m.id = d.message
		LEFT JOIN payloads p ON p.message = m.id WHERE d.endpoint = ? AND d.state = 2`
)

// Attempted is part of store.Read. Messages without a delivery to the endpoint are looked at too, scanLimit of them at most,
// but for a list of what failed.
func (db *DB) Attempted(ctx context.Context, app hook.ApplicationID, ep hook.EndpointID, f store.AttemptedFilter, p store.Page) (l store.List[store.Attempted], err error) {
	w, err := newWindow(p, hook.ParseID[hook.MessageID])
	if err != nil {
		return l, err
	}
	if len(f.EventTypes) > maxEventTypes {
		return l, hook.FieldErrorf("eventTypes", "at most %d event types can be asked for at once", maxEventTypes)
	}
	w.between(f.After, f.Before)
	err = db.list(ctx, func(c *conn) error {
		lane, err := c.ownEndpoint(app, ep)
		if err != nil {
			return err
		}
		get := func(q *stmt) (a store.Attempted, id hook.MessageID, ok bool, err error) {
			a.Message, err = getMessage(q)
			a.Delivery = hook.Delivery{App: app, Message: a.Message.ID, Endpoint: ep}
			there := q.getMaybeDelivery(&a.Delivery, lane)
			return a, a.Message.ID, there && matchesAttempted(&f, &a), err
		}
		all, err := c.scanAttempted(w, app, ep, &f, get)
		if err == nil && f.WithPayload {
			err = addContent(c, w, &all, func(a *store.Attempted) *hook.Message { return &a.Message })
		}
		l = scanned(w, all, func(id int64) string { return hook.MessageID(id).String() })
		return err
	})
	return l, err
}

func (c *conn) scanAttempted(w window, app hook.ApplicationID, ep hook.EndpointID, f *store.AttemptedFilter,
	get func(*stmt) (store.Attempted, hook.MessageID, bool, error),
) (found[store.Attempted], error) {
	if !onlyState(f.States, hook.Failed) {
		from := func(tables, where string) *stmt {
			return c.query(messageColumns + deliveryColumns + tables + joinDelivery + where).int(int64(ep)).int(int64(app))
		}
		return scanMessages(w, f.EventTypes, from, get)
	}
	order := ` AND d.message > ? AND d.message < ? ORDER BY d.message LIMIT ?`
	if w.down {
		order = ` AND d.message > ? AND d.message < ? ORDER BY d.message DESC LIMIT ?`
	}
	return scanPart(w, c.query(fromFailed+order).int(int64(ep)), pageBytes, get)
}

// onlyState says whether states are one, though perhaps repeated.
func onlyState(states []hook.State, one hook.State) bool {
	return len(states) > 0 && !slices.ContainsFunc(states, func(s hook.State) bool { return s != one })
}

// getMaybeDelivery is getDelivery for one that need not be there.
func (s *stmt) getMaybeDelivery(d *hook.Delivery, present int64) (there bool) {
	if s.isNull() {
		s.col += 4
		return false
	}
	s.getDelivery(d, present)
	return true
}

func matchesAttempted(f *store.AttemptedFilter, a *store.Attempted) bool {
	return (len(f.States) == 0 || slices.Contains(f.States, a.Delivery.State)) &&
		(len(f.EventTypes) == 0 || slices.Contains(f.EventTypes, a.Message.EventType)) && carries(&a.Message, f.Channel, f.Tag)
}
