package sqlite

import (
	"context"
	"errors"
	"slices"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

const messageColumns = `SELECT m.id, m.app, m.source, m.event_type, m.event_id, m.envelope, m.created, m.deliver_at, m.content_until,
	p.message IS NULL`

func getMessage(q *stmt) (m hook.Message, err error) {
	m.ID, m.App, m.Source = hook.MessageID(q.getInt()), hook.ApplicationID(q.getInt()), hook.SourceID(q.getInt())
	m.EventType, m.EventID = q.getText(), q.getText()
	if b := q.rawBlob(); len(b) > 0 {
		u := unpacker{b: b}
		m.Channels, m.Tags, m.Platform, m.Unreadable = u.list(), u.list(), u.stringMap(), u.text()
		if len(u.b) > 0 { // where a trace came with the request
			m.Trace = u.text()
		}
		err = u.err
	}
	m.CreatedAt, m.DeliverAt, m.ContentUntil, m.Expired = q.getTime(), q.getTime(), q.getTime(), q.getBool()
	return m, err
}

// Every use of a payload joins it, so that one statement sees one state.
const (
	joinPayloads = ` LEFT JOIN payloads p ON p.message = m.id `
	fromMessages = ` FROM messages m` + joinPayloads
	// fromTyped is for messages of one event type. Left to itself the planner takes the index of the application's messages, and
	// looks at all of them.
	fromTyped      = ` FROM messages m INDEXED BY messages_type` + joinPayloads
	contentColumns = `p.head, p.body, p.payload, p.at, p.size, p.packed`
	fullMessage    = messageColumns + `, ` + contentColumns + fromMessages
)

// getContent reads head, body, payload, at and size, or packed, which rows have since there is that column.
func (s *stmt) getContent(m *hook.Message, raw bool) error {
	head, body, payload := s.rawBlob(), s.getBlob(), s.getBlob()
	at, size := s.getInt(), s.getInt()
	packed := s.rawBlob()
	if m.Expired {
		return nil
	}
	if packed != nil {
		var err error
		if head, body, payload, err = s.c.packs.unpack(packed); err != nil {
			return &hook.Error{Kind: hook.KindInternal, Text: "the content of message " + m.ID.String() + " cannot be read", Err: err}
		}
		s.read += len(head) + len(body) + len(payload)
	} else if payload == nil {
		payload = body[at : at+size : at+size] // in range by a CHECK
	}
	m.Payload = payload
	if !raw || head == nil {
		return nil
	}
	u := unpacker{b: head}
	m.Raw = &hook.Raw{Method: u.text(), Query: u.text(), Header: u.lists(), Body: body}
	if len(u.b) > 0 { // where the sender's address is known
		m.Raw.Remote = u.text()
	}
	return u.err
}

// Message is part of store.Read. A ref that is no id is an event id; of several messages with it the latest is meant.
func (db *DB) Message(ctx context.Context, app hook.ApplicationID, ref string, raw bool) (m hook.Message, err error) {
	err = db.snapshot(ctx, func(c *conn) error {
		if err := c.hasApp(app); err != nil {
			return err
		}
		var q *stmt
		if id, bad := hook.ParseID[hook.MessageID](ref); bad == nil {
			q = c.query(fullMessage + `WHERE m.id = ? AND m.app = ?`).int(int64(id)).int(int64(app))
		} else {
			q = c.query(fullMessage + `WHERE m.app = ? AND m.event_id = ? ORDER BY m.id DESC LIMIT 1`).int(int64(app)).text(ref)
		}
		m, err = oneMessage(q, ref, raw)
		return err
	})
	return m, err
}

func oneMessage(q *stmt, ref string, raw bool) (m hook.Message, err error) {
	var bad error
	found, err := q.first(func() {
		if m, bad = getMessage(q); bad == nil {
			bad = q.getContent(&m, raw)
		}
	})
	switch {
	case err != nil:
		return m, err
	case !found:
		return m, noSuch("message", ref)
	}
	return m, bad
}

// Load is part of store.Read.
func (db *DB) Load(ctx context.Context, id hook.MessageID) (m hook.Message, err error) {
	err = db.read(ctx, func(c *conn) error {
		q := c.query(fullMessage + `JOIN applications a ON a.id = m.app WHERE m.id = ?`).int(int64(id))
		m, err = oneMessage(q, id.String(), true)
		return err
	})
	return m, err
}

// maxEventTypes bounds a filter: each type is a look-up of its own.
const maxEventTypes = 100

// Messages is part of store.Read. Application and event types are found by index; channel, tag and source are looked at
// row by row, scanLimit rows at most.
func (db *DB) Messages(ctx context.Context, app hook.ApplicationID, f store.MessageFilter, p store.Page) (l store.List[hook.Message], err error) {
	w, err := newWindow(p, hook.ParseID[hook.MessageID])
	if err != nil {
		return l, err
	}
	if len(f.EventTypes) > maxEventTypes {
		return l, hook.FieldErrorf("eventTypes", "at most %d event types can be asked for at once", maxEventTypes)
	}
	w.between(f.After, f.Before)
	err = db.list(ctx, func(c *conn) error {
		if err := c.hasApp(app); err != nil {
			return err
		}
		from := func(tables, where string) *stmt { return c.query(messageColumns + tables + where).int(int64(app)) }
		all, err := scanMessages(w, f.EventTypes, from, func(q *stmt) (m hook.Message, id hook.MessageID, ok bool, err error) {
			m, err = getMessage(q)
			return m, m.ID, matchesMessage(&f, &m), err
		})
		if err == nil && f.WithPayload {
			err = addContent(c, w, &all, func(m *hook.Message) *hook.Message { return m })
		}
		l = scanned(w, all, func(id int64) string { return hook.MessageID(id).String() })
		return err
	})
	return l, err
}

// scanMessages scans messages of an application: all of them, or those of some event types, each type by the index. from makes
// the query of tables and a condition, and binds what it has before the application and the application itself.
func scanMessages[T any](w window, types []string, from func(tables, where string) *stmt,
	get func(*stmt) (v T, id hook.MessageID, ok bool, err error),
) (found[T], error) {
	if len(types) == 0 {
		return scanPart(w, from(fromMessages, `WHERE m.app = ?`+w.orderMessages()), pageBytes, get)
	}
	types = slices.Compact(slices.Sorted(slices.Values(types)))
	parts := make([]found[T], 0, len(types))
	for _, name := range types {
		q := from(fromTyped, `WHERE m.app = ? AND m.event_type = ?`+w.orderMessages()).text(name)
		part, err := scanPart(w, q, max(pageBytes/len(types), minPartBytes), get)
		if err != nil {
			return part, err
		}
		parts = append(parts, part)
	}
	return merge(w, parts), nil
}

// minPartBytes is what may be read for one event type at least, however many are asked for.
const minPartBytes = 256 << 10

// addContent reads the payloads of a page, and cuts it where they are more than pageBytes.
func addContent[T any](c *conn, w window, all *found[T], message func(*T) *hook.Message) error {
	size := 0
	for i := range all.rows[:min(len(all.rows), w.limit)] {
		m := message(&all.rows[i].value)
		if m.Expired {
			continue
		}
		q := c.query(`SELECT ` + contentColumns + ` FROM payloads p WHERE p.message = ?`).int(int64(m.ID))
		var bad error
		if _, err := q.first(func() { bad = q.getContent(m, false) }); err != nil || bad != nil {
			return errors.Join(err, bad)
		}
		if size += q.read; size >= pageBytes && i+1 < len(all.rows) {
			all.rows, all.cut, all.last = all.rows[:i+1], true, all.rows[i].id
			break
		}
	}
	return nil
}

func scanPart[T any](w window, q *stmt, bytes int, get func(*stmt) (v T, id hook.MessageID, ok bool, err error)) (found[T], error) {
	var bad error
	part, err := scan(w, q, bytes, func() (T, int64, bool) {
		v, id, ok, err := get(q)
		if bad == nil {
			bad = err
		}
		return v, int64(id), ok
	})
	if err == nil {
		err = bad
	}
	return part, err
}

func matchesMessage(f *store.MessageFilter, m *hook.Message) bool {
	return carries(m, f.Channel, f.Tag) && (f.Source == 0 || m.Source == f.Source) &&
		(len(f.Channels) == 0 || slices.ContainsFunc(m.Channels, func(c string) bool { return slices.Contains(f.Channels, c) }))
}

// carries says whether a message is on a channel and has a tag; an empty one is not asked for.
func carries(m *hook.Message, channel, tag string) bool {
	return (channel == "" || slices.Contains(m.Channels, channel)) && (tag == "" || slices.Contains(m.Tags, tag))
}

// orderMessages is order for a query in which messages are called m.
func (w window) orderMessages() string {
	if w.down {
		return ` AND m.id > ? AND m.id < ? ORDER BY m.id DESC LIMIT ?`
	}
	return ` AND m.id > ? AND m.id < ? ORDER BY m.id LIMIT ?`
}

// Counts is part of store.Read.
func (db *DB) Counts(ctx context.Context) (n store.Counts, err error) {
	err = db.read(ctx, func(c *conn) error {
		q := c.query(`SELECT messages, pending, delivered, failed, canceled FROM counts`)
		_, err := q.first(func() {
			n = store.Counts{Messages: q.getInt(), Pending: q.getInt(), Delivered: q.getInt(), Failed: q.getInt(), Canceled: q.getInt()}
		})
		return err
	})
	return n, err
}

// HighestID is part of store.Flow. It is kept beside the counters, so that it does not go back when the row is deleted.
func (db *DB) HighestID(ctx context.Context) (id int64, err error) {
	err = db.read(ctx, func(c *conn) error {
		q := c.query(`SELECT highest FROM counts`)
		_, err := q.first(func() { id = q.getInt() })
		return err
	})
	return id, err
}
