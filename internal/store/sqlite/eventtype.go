package sqlite

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

type eventTypeDoc struct {
	Description  string   `json:"description,omitempty"`
	GroupName    string   `json:"groupName,omitempty"`
	Schemas      string   `json:"schemas,omitempty"` // a text, so that its bytes stay as they were given
	FeatureFlags []string `json:"featureFlags"`
	Deprecated   bool     `json:"deprecated,omitempty"`
	Managed      bool     `json:"managed,omitempty"`
	UpdatedAt    moment   `json:"updatedAt"`
}

func eventTypeText(e *hook.EventType) string {
	return writeDoc(eventTypeDoc{
		e.Description, e.GroupName, string(e.Schemas), e.FeatureFlags, e.Deprecated, e.Managed, momentOf(e.UpdatedAt),
	})
}

const eventTypeColumns = `SELECT name, archived, doc, created FROM event_types WHERE `

func getEventType(q *stmt) (e hook.EventType, err error) {
	e.Name, e.Archived = q.getText(), q.getBool()
	var d eventTypeDoc
	if err := readDoc(q.getText(), &d); err != nil {
		return e, err
	}
	e.Description, e.GroupName, e.FeatureFlags, e.Deprecated, e.Managed = d.Description, d.GroupName, d.FeatureFlags, d.Deprecated, d.Managed
	if d.Schemas != "" {
		e.Schemas = json.RawMessage(d.Schemas)
	}
	e.UpdatedAt, e.CreatedAt = d.UpdatedAt.time(), q.getTime()
	return e, nil
}

// CreateEventType is part of store.Config.
func (db *DB) CreateEventType(ctx context.Context, e hook.EventType) error {
	return db.do(ctx, func(t *tx) error {
		known, err := t.hasEventType(e.Name)
		switch {
		case err != nil:
			return err
		case e.Name == "":
			return hook.FieldErrorf("name", "an event type needs a name")
		case known:
			return &hook.Error{Kind: hook.KindConflict, Field: "name", Text: "there is an event type " + e.Name + " already"}
		}
		t.changes = append(t.changes, store.Change{Config: true})
		return t.query(`INSERT INTO event_types (name, archived, doc, created) VALUES (?, ?, ?, ?)`).
			text(e.Name).bool(e.Archived).text(eventTypeText(&e)).time(e.CreatedAt).exec()
	})
}

func (c *conn) hasEventType(name string) (bool, error) {
	return c.query(`SELECT 1 FROM event_types WHERE name = ?`).text(name).first(func() {})
}

// UpdateEventType is part of store.Config.
func (db *DB) UpdateEventType(ctx context.Context, e hook.EventType) error {
	return db.do(ctx, func(t *tx) error {
		n, err := t.query(`UPDATE event_types SET archived = ?, doc = ? WHERE name = ?`).
			bool(e.Archived).text(eventTypeText(&e)).text(e.Name).changed()
		return t.oneEventType(n, e.Name, err)
	})
}

// DeleteEventType is part of store.Config.
func (db *DB) DeleteEventType(ctx context.Context, name string) error {
	return db.do(ctx, func(t *tx) error {
		n, err := t.query(`DELETE FROM event_types WHERE name = ?`).text(name).changed()
		return t.oneEventType(n, name, err)
	})
}

// oneEventType tells of a change of one row, or fails when there was none.
func (t *tx) oneEventType(n int64, name string, err error) error {
	switch {
	case err != nil:
		return err
	case n == 0:
		return noSuch("event type", name)
	}
	t.changes = append(t.changes, store.Change{Config: true})
	return nil
}

// EventType is part of store.Config.
func (db *DB) EventType(ctx context.Context, name string) (e hook.EventType, err error) {
	err = db.readSettled(ctx, func(c *conn) error {
		var bad error
		q := c.query(eventTypeColumns + `name = ?`).text(name)
		found, err := q.first(func() { e, bad = getEventType(q) })
		switch {
		case err != nil:
			return err
		case !found:
			return noSuch("event type", name)
		}
		return bad
	})
	return e, err
}

// EventTypes is part of store.Config. What the filter leaves out is looked at row by row, scanLimit rows at most.
func (db *DB) EventTypes(ctx context.Context, f store.EventTypeFilter, p store.Page) (l store.List[hook.EventType], err error) {
	w, err := newWindow(store.Page{Limit: p.Limit}, hook.ParseID[hook.MessageID])
	switch {
	case err != nil:
		return l, err
	case p.Before != "" && p.After != "":
		return l, hook.FieldErrorf("iterator", "only one of a cursor to continue after and one to go back before can be given")
	}
	w.reverse = p.Before != ""
	w.down = p.Descending != w.reverse
	err = db.list(ctx, func(c *conn) error {
		l, err = c.scanEventTypes(w, &f, p.After+p.Before)
		return err
	})
	return l, err
}

// scanEventTypes reads a page in the order of names, from a name on.
func (c *conn) scanEventTypes(w window, f *store.EventTypeFilter, from string) (l store.List[hook.EventType], err error) {
	q := c.query(eventTypeColumns + `name > ? ORDER BY name LIMIT ?`)
	if w.down {
		q = c.query(eventTypeColumns + `name < ? ORDER BY name DESC LIMIT ?`)
	}
	if from == "" && w.down {
		q.blob([]byte{}) // every text is below a blob
	} else {
		q.text(from)
	}
	last, looked := "", 0
	l.Done = true
	for q.int(scanLimit + 1); q.next(); looked++ {
		if looked == scanLimit || len(l.Items) == w.limit || looked > 0 && q.read >= pageBytes {
			l.Done = false
			break
		}
		e, bad := getEventType(q)
		if bad != nil {
			_ = q.done()
			return store.List[hook.EventType]{}, bad
		}
		last = e.Name
		if (f.Archived || !e.Archived) && e.OpenTo(f.Flags) {
			l.Items = append(l.Items, e)
		}
	}
	if err := q.done(); err != nil {
		return store.List[hook.EventType]{}, err
	}
	if w.reverse {
		slices.Reverse(l.Items)
	}
	if n := len(l.Items); n > 0 {
		l.First, l.Last = l.Items[0].Name, l.Items[n-1].Name
	}
	if !l.Done { // it goes on behind the row that was looked at last, which the filter may have left out
		if w.reverse || l.First == "" {
			l.First = last
		}
		if !w.reverse || l.Last == "" {
			l.Last = last
		}
	}
	return l, nil
}
