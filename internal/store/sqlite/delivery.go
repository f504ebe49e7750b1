package sqlite

import (
	"context"
	"slices"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// Pending is part of store.Flow.
func (db *DB) Pending(ctx context.Context) (all []store.PendingEndpoint, err error) {
	err = db.read(ctx, func(c *conn) error {
		q := c.query(`SELECT id,
			(SELECT next_at FROM deliveries WHERE lane = e.lane AND state = 0 ORDER BY next_at LIMIT 1),
			(SELECT wished FROM resends WHERE endpoint = e.id ORDER BY id LIMIT 1)
			FROM endpoints e ORDER BY id`)
		return q.each(func() error {
			ep, next, wished := hook.EndpointID(q.getInt()), q.getTime(), q.getTime()
			if next.IsZero() || !wished.IsZero() && wished.Before(next) {
				next = wished
			}
			if !next.IsZero() {
				all = append(all, store.PendingEndpoint{Endpoint: ep, NextAt: next})
			}
			return nil
		})
	})
	return all, err
}

// Claim is part of store.Flow. There is one owner, so it writes nothing and the lease is not needed.
func (db *DB) Claim(ctx context.Context, ep hook.EndpointID, now time.Time, _ time.Duration, n int) (work []hook.Work, next time.Time, err error) {
	n = max(n, 0)
	err = db.snapshot(ctx, func(c *conn) error {
		var app hook.ApplicationID
		var lane int64
		q := c.query(`SELECT app, lane FROM endpoints WHERE id = ?`).int(int64(ep))
		found, err := q.first(func() { app, lane = hook.ApplicationID(q.getInt()), q.getInt() })
		if err != nil || !found {
			return err
		}
		if work, err = c.wishes(app, ep, lane, n); err != nil {
			return err
		}
		q = c.query(`SELECT message, attempts, next_at FROM deliveries WHERE lane = ? AND state = 0
			ORDER BY next_at, message LIMIT ?`).int(lane).int(int64(n-len(work)) + 1)
		return q.each(func() error {
			d := hook.Delivery{App: app, Message: hook.MessageID(q.getInt()), Endpoint: ep, Attempts: int(q.getInt()), NextAt: q.getTime()}
			if len(work) < n && !d.NextAt.After(now) {
				work = append(work, hook.Work{Delivery: d, Trigger: hook.Scheduled})
			} else if next.IsZero() {
				next = d.NextAt
			}
			return nil
		})
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return work, next, nil
}

// wishes lists wished resends, oldest first, with the state of their deliveries.
func (c *conn) wishes(app hook.ApplicationID, ep hook.EndpointID, lane int64, n int) (work []hook.Work, err error) {
	q := c.query(`SELECT r.id, r.message, d.lane, d.state, d.attempts, d.next_at
		FROM resends r CROSS JOIN deliveries d ON d.message = r.message AND d.endpoint = r.endpoint
		WHERE r.endpoint = ? ORDER BY r.id LIMIT ?`).int(int64(ep)).int(int64(n))
	err = q.each(func() error {
		w := hook.Work{Trigger: hook.Manual, Resend: q.getInt()}
		w.Delivery = hook.Delivery{App: app, Message: hook.MessageID(q.getInt()), Endpoint: ep}
		q.getDelivery(&w.Delivery, lane)
		work = append(work, w)
		return nil
	})
	return work, err
}

// getDelivery reads lane, state, attempts and next_at. A row that is pending in another lane than its endpoint's
// present one was canceled with that lane.
func (s *stmt) getDelivery(d *hook.Delivery, present int64) {
	lane := s.getInt()
	d.State, d.Attempts, d.NextAt = hook.State(s.getInt()), int(s.getInt()), s.getTime()
	if d.State == hook.Pending && lane != present {
		d.State, d.NextAt = hook.Canceled, time.Time{}
	}
}

// Deliveries is part of store.Read.
func (db *DB) Deliveries(ctx context.Context, app hook.ApplicationID, m hook.MessageID) (all []hook.Delivery, err error) {
	err = db.snapshot(ctx, func(c *conn) error {
		if err := c.ownMessage(app, m); err != nil {
			return err
		}
		q := c.query(`SELECT d.endpoint, coalesce(e.lane, 0), d.lane, d.state, d.attempts, d.next_at
			FROM deliveries d LEFT JOIN endpoints e ON e.id = d.endpoint WHERE d.message = ? ORDER BY d.endpoint`).int(int64(m))
		return q.each(func() error {
			d := hook.Delivery{App: app, Message: m, Endpoint: hook.EndpointID(q.getInt())}
			q.getDelivery(&d, q.getInt())
			all = append(all, d)
			return nil
		})
	})
	return all, err
}

// ownMessage fails when a message is not an application's, or the application is gone.
func (c *conn) ownMessage(app hook.ApplicationID, m hook.MessageID) error {
	own, err := c.has(`SELECT 1 FROM messages m JOIN applications a ON a.id = m.app WHERE m.id = ? AND m.app = ?`, int64(m), int64(app))
	if err == nil && !own {
		err = noSuch("message", m.String())
	}
	return err
}

// Resend is part of store.Flow.
func (db *DB) Resend(ctx context.Context, app hook.ApplicationID, m hook.MessageID, ep hook.EndpointID, now time.Time) error {
	return db.do(ctx, func(t *tx) error {
		if err := t.ownMessage(app, m); err != nil {
			return err
		}
		l := t.lanes.byEndpoint[ep]
		if l == nil || l.endpoint.App != app {
			return noSuch("endpoint", ep.String())
		}
		if err := l.takesResends(); err != nil {
			return err
		}
		if kept, err := t.has(`SELECT 1 FROM payloads WHERE message = ?`, int64(m)); err != nil {
			return err
		} else if !kept {
			return hook.Errorf(hook.KindGone, "the content of message %s was removed: it cannot be sent again", m)
		}
		t.changes = append(t.changes, store.Change{Resend: ep})
		return t.wish(m, l, now)
	})
}

// wish asks for one more attempt, and makes the delivery when there is none.
func (t *tx) wish(m hook.MessageID, l *lane, now time.Time) error {
	ep := l.endpoint.ID
	made, err := t.query(`INSERT INTO deliveries (message, endpoint, lane, state, attempts) VALUES (?, ?, ?, ?, 0)
		ON CONFLICT DO NOTHING`).int(int64(m)).int(int64(ep)).int(l.id).int(int64(hook.Canceled)).changed()
	if err != nil {
		return err
	}
	t.count(hook.Canceled, made, l.id, m, ep)
	return t.query(`INSERT INTO resends (message, endpoint, wished) VALUES (?, ?, ?)`).
		int(int64(m)).int(int64(ep)).int(now.UnixMilli()).exec()
}

// Hasten is part of store.Flow.
func (db *DB) Hasten(ctx context.Context, ep hook.EndpointID, messages []hook.MessageID, now time.Time) error {
	if len(messages) == 0 {
		return nil
	}
	return db.do(ctx, func(t *tx) error {
		l := t.lanes.byEndpoint[ep]
		if l == nil {
			return noSuch("endpoint", ep.String())
		}
		for _, m := range messages {
			err := t.query(`UPDATE deliveries SET next_at = ? WHERE message = ? AND endpoint = ? AND state = 0 AND lane = ? AND next_at > ?`).
				time(now).int(int64(m)).int(int64(ep)).int(l.id).time(now).exec()
			if err != nil {
				return err
			}
		}
		t.changes = append(t.changes, store.Change{Config: true, Endpoint: ep})
		return nil
	})
}

// takesResends fails when nothing is sent to an endpoint: a resend would be wished for ever.
func (l *lane) takesResends() error {
	switch {
	case l.endpoint.Disabled:
		return hook.Errorf(hook.KindConflict, "endpoint %s is disabled: enable it first", l.endpoint.ID)
	case l.endpoint.Transport == hook.TransportPoll:
		return hook.Errorf(hook.KindConflict, "endpoint %s is polled: nothing is sent to it", l.endpoint.ID)
	}
	return nil
}

// Finish is part of store.Flow. An outcome whose message retention has taken meanwhile is dropped: there is nothing
// left that it could be recorded of.
func (db *DB) Finish(ctx context.Context, batch []hook.Outcome) error {
	if len(batch) == 0 {
		return nil
	}
	size := 0
	for i := range batch {
		if err := checkOutcome(&batch[i]); err != nil {
			return err
		}
		size += 512 + len(batch[i].Attempt.Response)
	}
	r := &request{rows: len(batch), bytes: size, run: func(t *tx) error {
		if err := t.areNew(batch); err != nil {
			return err
		}
		for i := range batch {
			if err := t.finish(&batch[i]); err != nil {
				return err
			}
		}
		return nil
	}}
	if !slices.ContainsFunc(batch, changesMore) {
		r.inFlow = true
		r.record = func(b []byte) []byte {
			for i := range batch {
				b = packOutcome(b, &batch[i])
			}
			return b
		}
	}
	return db.write(ctx, r)
}

// areNew refuses a batch with an attempt that has been recorded.
func (t *tx) areNew(batch []hook.Outcome) error {
	for i := range batch {
		id := batch[i].Attempt.ID
		known, err := t.isKnown(id)
		if err != nil {
			return err
		}
		if known || slices.ContainsFunc(batch[:i], func(o hook.Outcome) bool { return o.Attempt.ID == id }) {
			return hook.Errorf(hook.KindConflict, "there is an attempt %s already", id)
		}
	}
	return nil
}

// changesMore says whether an outcome changes an endpoint or tells the operator something: rare, and not for the journal.
func changesMore(o hook.Outcome) bool { return o.Health != nil || len(o.Events) > 0 }

// checkOutcome refuses what the schema would refuse, before a transaction is spoiled by it.
func checkOutcome(o *hook.Outcome) error {
	a, d := &o.Attempt, &o.Delivery
	switch {
	case a.ID <= 0 || a.Message != d.Message || a.Endpoint != d.Endpoint:
		return hook.Errorf(hook.KindInvalid, "an attempt needs an id and is of the delivery that it comes with")
	case d.State < hook.Pending || d.State > hook.Canceled || (d.State == hook.Pending) == d.NextAt.IsZero():
		return hook.Errorf(hook.KindInvalid, "a delivery has a next time when it is pending, and only then")
	case a.N < 0 || d.Attempts < 0 || a.Duration < 0 || a.Status < 0 || a.Status > 999:
		return hook.Errorf(hook.KindInvalid, "an attempt has no number, duration or status below zero, and no status above 999")
	case a.Verdict < hook.Success || a.Verdict > hook.Gone || a.Trigger < hook.Scheduled || a.Trigger > hook.Manual:
		return hook.Errorf(hook.KindInvalid, "an attempt has one of the verdicts and triggers that there are")
	case a.Verdict == hook.Success && d.State != hook.Delivered:
		return hook.Errorf(hook.KindInvalid, "an attempt that succeeds delivers")
	}
	return nil
}

// finish records one attempt.
func (t *tx) finish(o *hook.Outcome) error {
	stored, err := t.settle(o)
	if err != nil {
		return err
	}
	if stored {
		t.issued(int64(o.Attempt.ID))
		t.unwritten.addAttempt(o.Attempt)
	}
	if o.Resend != 0 {
		if err := t.query(`DELETE FROM resends WHERE id = ? AND message = ? AND endpoint = ?`).
			int(o.Resend).int(int64(o.Attempt.Message)).int(int64(o.Attempt.Endpoint)).exec(); err != nil {
			return err
		}
	}
	if o.Health != nil {
		return t.health(o.Attempt.Endpoint, o.Health)
	}
	return nil
}

// settle moves a delivery to its next state and says whether there is such a delivery at all.
func (t *tx) settle(o *hook.Outcome) (found bool, err error) {
	a, d := &o.Attempt, &o.Delivery
	var present int64
	if l := t.lanes.byEndpoint[a.Endpoint]; l != nil {
		present = l.id
	}
	changes := a.Verdict == hook.Success || a.Trigger == hook.Scheduled
	if p := t.unwritten.delivery(a.Message, a.Endpoint); p != nil {
		return true, t.settleUnwritten(p, o, changes)
	}
	if changes && present != 0 {
		n, err := t.query(`UPDATE deliveries SET state = ?, attempts = max(attempts, ?), next_at = ?
			WHERE message = ? AND endpoint = ? AND state = 0 AND lane = ?`).
			int(int64(d.State)).int(int64(d.Attempts)).time(d.NextAt).int(int64(a.Message)).int(int64(a.Endpoint)).int(present).changed()
		if err != nil {
			return false, err
		}
		if n == 1 {
			t.move(hook.Pending, d.State, present, a.Message, a.Endpoint)
			return true, t.tellOperator(o.Events)
		}
	}
	return t.settleLate(o, present, changes)
}

// settleUnwritten is settle for a delivery that is not in the tables yet. Its lane is its endpoint's present one: whatever changes
// lanes has everything written before.
func (t *tx) settleUnwritten(p *recipient, o *hook.Outcome, changes bool) error {
	if !changes {
		return nil
	}
	a, d, was := &o.Attempt, &o.Delivery, p.state
	p.attempts = max(p.attempts, d.Attempts)
	switch {
	case was == hook.Pending:
		p.state, p.next = d.State, millisOr0(d.NextAt)
	case a.Verdict == hook.Success && was != hook.Delivered:
		p.state = hook.Delivered
	default:
		return nil
	}
	t.move(was, p.state, p.lane, a.Message, a.Endpoint)
	return t.tellOperator(o.Events)
}

// settleLate is for a delivery that is not pending any more: only a success still moves it.
func (t *tx) settleLate(o *hook.Outcome, present int64, changes bool) (found bool, err error) {
	a := &o.Attempt
	var was hook.Delivery
	q := t.query(`SELECT lane, state, attempts, next_at FROM deliveries WHERE message = ? AND endpoint = ?`).
		int(int64(a.Message)).int(int64(a.Endpoint))
	found, err = q.first(func() { q.getDelivery(&was, present) })
	if err != nil || !found || !changes {
		return found, err
	}
	if a.Verdict == hook.Success && was.State != hook.Delivered {
		t.move(was.State, hook.Delivered, present, a.Message, a.Endpoint)
		err := t.query(`UPDATE deliveries SET state = ?, attempts = max(attempts, ?), next_at = NULL WHERE message = ? AND endpoint = ?`).
			int(int64(hook.Delivered)).int(int64(o.Delivery.Attempts)).int(int64(a.Message)).int(int64(a.Endpoint)).exec()
		if err != nil {
			return true, err
		}
		return true, t.tellOperator(o.Events)
	}
	return true, t.query(`UPDATE deliveries SET attempts = max(attempts, ?) WHERE message = ? AND endpoint = ?`).
		int(int64(o.Delivery.Attempts)).int(int64(a.Message)).int(int64(a.Endpoint)).exec()
}
