package sqlite

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// isKnown says whether an attempt has been recorded. Those that are newer than all that are written are not looked for.
func (t *tx) isKnown(id hook.AttemptID) (bool, error) {
	if t.unwritten.known[id] {
		return true, nil
	}
	if id > t.highestAttempt {
		return false, nil
	}
	return t.has(`SELECT 1 FROM attempts WHERE id = ?`, int64(id))
}

const (
	attemptFields  = `SELECT id, app, message, endpoint, event_type, url, n, manual, started, duration, status, verdict, reason, next_at, response`
	attemptColumns = attemptFields + ` FROM attempts `
	// labeledAttempts has the channels and tags of the message too.
	labeledAttempts = attemptFields + `, (SELECT envelope FROM messages m WHERE m.id = attempts.message) FROM attempts `
)

func getAttempt(q *stmt, content bool) hook.Attempt {
	a := hook.Attempt{
		ID: hook.AttemptID(q.getInt()), App: hook.ApplicationID(q.getInt()), Message: hook.MessageID(q.getInt()),
		Endpoint: hook.EndpointID(q.getInt()), EventType: q.getText(), URL: q.getText(), N: int(q.getInt()),
		Trigger: hook.Trigger(q.getInt()), At: fromMillis(q.getInt()), Duration: time.Duration(q.getInt()) * time.Microsecond,
		Status: int(q.getInt()), Verdict: hook.Verdict(q.getInt()), Reason: q.getText(), NextAt: q.getTime(),
	}
	if content {
		a.Response = q.getBlob()
	} else {
		q.col++
	}
	return a
}

// Attempt is part of store.Read.
func (db *DB) Attempt(ctx context.Context, app hook.ApplicationID, id hook.AttemptID) (a hook.Attempt, err error) {
	err = db.snapshot(ctx, func(c *conn) error {
		q := c.query(attemptColumns + `WHERE id = ? AND app = ?`).int(int64(id)).int(int64(app))
		found, err := q.first(func() { a = getAttempt(q, true) })
		if err != nil {
			return err
		}
		if found {
			found, err = c.has(`SELECT 1 FROM applications WHERE id = ?`, int64(app))
		}
		if err == nil && !found {
			a, err = hook.Attempt{}, noSuch("attempt", id.String())
		}
		return err
	})
	return a, err
}

// Attempts is part of store.Read. A message's attempts are found by the message, an endpoint's by the endpoint, its
// failed ones by an index of their own; what the filter says beyond is looked at row by row, scanLimit rows at most.
func (db *DB) Attempts(ctx context.Context, app hook.ApplicationID, f store.AttemptFilter, p store.Page) (l store.List[hook.Attempt], err error) {
	w, err := newWindow(p, hook.ParseID[hook.AttemptID])
	if err != nil {
		return l, err
	}
	if f.Message == 0 && f.Endpoint == 0 {
		return l, hook.Errorf(hook.KindInvalid, "attempts are listed by message, by endpoint, or both")
	}
	w.between(f.After, f.Before)
	err = db.list(ctx, func(c *conn) error {
		if err := c.hasApp(app); err != nil {
			return err
		}
		by, id := `WHERE message = ?`, int64(f.Message)
		if f.Message == 0 {
			by, id = `WHERE endpoint = ?`, int64(f.Endpoint)
			if onlyFailed(&f) {
				by += ` AND verdict <> 0`
			}
		}
		labeled, columns := f.Channel != "" || f.Tag != "", attemptColumns
		if labeled {
			columns = labeledAttempts
		}
		q := c.query(columns + by + w.order()).int(id)
		var bad error
		found, err := scan(w, q, pageBytes, func() (hook.Attempt, int64, bool) {
			a := getAttempt(q, f.WithContent)
			ok := a.App == app && matchesAttempt(&f, &a)
			if ok && labeled {
				var m hook.Message
				bad = errors.Join(bad, q.getLabels(&m))
				ok = carries(&m, f.Channel, f.Tag)
			}
			return a, int64(a.ID), ok
		})
		l = scanned(w, found, func(id int64) string { return hook.AttemptID(id).String() })
		return errors.Join(err, bad)
	})
	return l, err
}

// onlyFailed says whether a filter asks for attempts that did not succeed.
func onlyFailed(f *store.AttemptFilter) bool {
	return len(f.Verdicts) > 0 && !slices.Contains(f.Verdicts, hook.Success)
}

func matchesAttempt(f *store.AttemptFilter, a *hook.Attempt) bool {
	return (f.Endpoint == 0 || a.Endpoint == f.Endpoint) &&
		(len(f.Verdicts) == 0 || slices.Contains(f.Verdicts, a.Verdict)) &&
		(f.StatusClass == 0 || a.Status/100 == f.StatusClass) && (!f.NoAnswer || a.Status == 0) &&
		(len(f.EventTypes) == 0 || slices.Contains(f.EventTypes, a.EventType))
}

// getLabels reads the channels and tags out of an envelope.
func (s *stmt) getLabels(m *hook.Message) error {
	b := s.rawBlob()
	if len(b) == 0 {
		return nil
	}
	u := unpacker{b: b}
	m.Channels, m.Tags = u.list(), u.list()
	return u.err
}

// hasApp fails when there is no such application (any more).
func (c *conn) hasApp(app hook.ApplicationID) error {
	found, err := c.has(`SELECT 1 FROM applications WHERE id = ?`, int64(app))
	if err == nil && !found {
		err = noSuch("application", app.String())
	}
	return err
}
