package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

type sourceDoc struct {
	Name        string         `json:"name"`
	Dialect     string         `json:"dialect"`
	Transport   hook.Transport `json:"transport,omitempty"`
	Door        string         `json:"door"`
	OldDoors    []doorDoc      `json:"oldDoors"`
	VerifyUntil moment         `json:"verifyUntil,omitempty"`
	AllowFrom   []string       `json:"allowFrom"`
	Disabled    bool           `json:"disabled,omitempty"`
	Managed     bool           `json:"managed,omitempty"`
	UpdatedAt   moment         `json:"updatedAt"`
}

type doorDoc struct {
	Door  string `json:"door"`
	Until moment `json:"until"`
}

func sourceText(s *hook.Source) string {
	d := sourceDoc{
		Name: s.Name, Dialect: s.Dialect, Transport: s.Transport, Door: s.Door, VerifyUntil: momentOf(s.VerifyUntil), AllowFrom: s.AllowFrom,
		Disabled: s.Disabled, Managed: s.Managed, UpdatedAt: momentOf(s.UpdatedAt),
	}
	for _, o := range s.OldDoors {
		d.OldDoors = append(d.OldDoors, doorDoc{o.Door, momentOf(o.Until)})
	}
	return writeDoc(d)
}

func (t *tx) sourceSecrets(s *hook.Source) []byte {
	return t.sealSecrets(place("source", s.ID), secrets{settings: s.Settings})
}

const sourceColumns = `SELECT id, app, uid, profile, doc, secrets, created FROM sources WHERE `

func (db *DB) getSource(q *stmt) (s hook.Source, err error) {
	s.ID, s.App, s.UID = hook.SourceID(q.getInt()), hook.ApplicationID(q.getInt()), q.getText()
	s.Profile = hook.ProfileID(q.getInt())
	var d sourceDoc
	if err := readDoc(q.getText(), &d); err != nil {
		return s, err
	}
	s.Name, s.Dialect, s.Transport, s.Door, s.AllowFrom = d.Name, d.Dialect, d.Transport, d.Door, d.AllowFrom
	s.VerifyUntil, s.Disabled, s.Managed, s.UpdatedAt = d.VerifyUntil.time(), d.Disabled, d.Managed, d.UpdatedAt.time()
	for _, o := range d.OldDoors {
		s.OldDoors = append(s.OldDoors, hook.OldDoor{Door: o.Door, Until: o.Until.time()})
	}
	own, err := db.openSecrets(place("source", s.ID), q.rawBlob())
	s.Settings = own.settings
	s.CreatedAt = q.getTime()
	return s, err
}

// CreateSource is part of store.Config.
func (db *DB) CreateSource(ctx context.Context, s hook.Source) error {
	return db.do(ctx, func(t *tx) error {
		if known, err := t.has(`SELECT 1 FROM sources WHERE id = ?`, int64(s.ID)); err != nil {
			return err
		} else if known {
			return sameID("source", s.ID)
		}
		if err := t.checkSource(&s); err != nil {
			return err
		}
		t.issued(int64(s.ID))
		t.changes = append(t.changes, store.Change{Config: true})
		err := t.query(`INSERT INTO sources (id, app, uid, profile, doc, secrets, created) VALUES (?, ?, ?, ?, ?, ?, ?)`).
			int(int64(s.ID)).int(int64(s.App)).optional(s.UID).int(int64(s.Profile)).text(sourceText(&s)).
			blob(t.sourceSecrets(&s)).time(s.CreatedAt).exec()
		if err != nil {
			return err
		}
		return t.writeDoors(&s)
	})
}

// checkSource fails when something that a source names is missing, or something that must be its own is another's.
func (t *tx) checkSource(s *hook.Source) error {
	if err := t.namesApp(s.App); err != nil {
		return err
	}
	if err := t.namesProfile(s.Profile); err != nil {
		return err
	}
	if err := t.freeUID(`SELECT id FROM sources WHERE app = ? AND uid = ?`, "source of the application", s.UID, int64(s.ID), int64(s.App)); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, door := range doorsOf(s) {
		var owner hook.SourceID
		q := t.query(`SELECT source FROM doors WHERE door = ?`).text(door.Door)
		found, err := q.first(func() { owner = hook.SourceID(q.getInt()) })
		if err != nil {
			return err
		}
		if found && owner != s.ID || seen[door.Door] {
			return &hook.Error{Kind: hook.KindConflict, Field: "door", Text: fmt.Sprintf("the door %q is taken", door.Door)}
		}
		seen[door.Door] = true
	}
	return nil
}

// doorsOf lists the doors of a source; the present one has no end.
func doorsOf(s *hook.Source) []hook.OldDoor {
	var all []hook.OldDoor
	if s.Door != "" {
		all = append(all, hook.OldDoor{Door: s.Door})
	}
	return append(all, s.OldDoors...)
}

func (t *tx) writeDoors(s *hook.Source) error {
	if err := t.query(`DELETE FROM doors WHERE source = ?`).int(int64(s.ID)).exec(); err != nil {
		return err
	}
	for _, d := range doorsOf(s) {
		q := t.query(`INSERT INTO doors (door, source, until) VALUES (?, ?, ?)`).text(d.Door).int(int64(s.ID))
		if d.Door == s.Door {
			q.null()
		} else {
			q.int(d.Until.UnixMilli())
		}
		if err := q.exec(); err != nil {
			return err
		}
	}
	return nil
}

// UpdateSource is part of store.Config.
func (db *DB) UpdateSource(ctx context.Context, s hook.Source) error {
	return db.do(ctx, func(t *tx) error {
		if known, err := t.has(`SELECT 1 FROM sources WHERE id = ? AND app = ?`, int64(s.ID), int64(s.App)); err != nil {
			return err
		} else if !known {
			return noSuch("source", s.ID.String())
		}
		if err := t.checkSource(&s); err != nil {
			return err
		}
		t.changes = append(t.changes, store.Change{Config: true})
		err := t.query(`UPDATE sources SET uid = ?, profile = ?, doc = ?, secrets = ? WHERE id = ?`).
			optional(s.UID).int(int64(s.Profile)).text(sourceText(&s)).blob(t.sourceSecrets(&s)).int(int64(s.ID)).exec()
		if err != nil {
			return err
		}
		return t.writeDoors(&s)
	})
}

// Source is part of store.Config.
func (db *DB) Source(ctx context.Context, app hook.ApplicationID, ref string) (s hook.Source, err error) {
	err = db.readSettled(ctx, func(c *conn) error {
		var q *stmt
		if id, e := hook.ParseID[hook.SourceID](ref); e == nil {
			q = c.query(sourceColumns + `id = ? AND app = ?`).int(int64(id)).int(int64(app))
		} else {
			q = c.query(sourceColumns + `app = ? AND uid = ?`).int(int64(app)).text(ref)
		}
		s, err = db.oneSource(q, ref)
		return err
	})
	return s, err
}

func (db *DB) oneSource(q *stmt, ref string) (s hook.Source, err error) {
	var bad error
	found, err := q.first(func() { s, bad = db.getSource(q) })
	switch {
	case err != nil:
		return s, err
	case !found:
		return s, noSuch("source", ref)
	}
	return s, bad
}

// Sources is part of store.Config. It waits for no other list: whoever sends asks whether an application has any.
func (db *DB) Sources(ctx context.Context, app hook.ApplicationID, p store.Page) (l store.List[hook.Source], err error) {
	w, err := newWindow(p, hook.ParseID[hook.SourceID])
	if err != nil {
		return l, err
	}
	err = db.readSettled(ctx, func(c *conn) error {
		var q *stmt
		if app == 0 {
			q = c.query(sourceColumns + `true` + w.order())
		} else {
			q = c.query(sourceColumns + `app = ?` + w.order()).int(int64(app))
		}
		l, err = collect(w, q, db.getSource, func(s *hook.Source) string { return s.ID.String() })
		return err
	})
	return l, err
}

// DeleteSource is part of store.Config. The refused requests that were kept go with it.
func (db *DB) DeleteSource(ctx context.Context, app hook.ApplicationID, id hook.SourceID) error {
	return db.do(ctx, func(t *tx) error {
		if known, err := t.has(`SELECT 1 FROM sources WHERE id = ? AND app = ?`, int64(id), int64(app)); err != nil {
			return err
		} else if !known {
			return noSuch("source", id.String())
		}
		t.changes = append(t.changes, store.Change{Config: true})
		return t.removeSource(id)
	})
}

func (t *tx) removeSource(id hook.SourceID) error {
	for _, sql := range []string{
		`DELETE FROM doors WHERE source = ?`,
		`DELETE FROM refusals WHERE source = ?`,
		`DELETE FROM sources WHERE id = ?`,
	} {
		if err := t.query(sql).int(int64(id)).exec(); err != nil {
			return err
		}
	}
	return nil
}

// Route is part of store.Config.
func (db *DB) Route(ctx context.Context, door string, now time.Time) (r hook.Route, err error) {
	err = db.snapshotSettled(ctx, func(c *conn) error {
		q := c.query(sourceColumns + `id = (SELECT source FROM doors WHERE door = ? AND (until IS NULL OR until > ?))`).
			text(door).int(now.UnixMilli())
		if r.Source, err = db.oneSource(q, door); err != nil {
			return err
		}
		r.Settings, err = db.sourceSettings(c, &r.Source)
		return err
	})
	return r, err
}

// SourceRoute is part of store.Config.
func (db *DB) SourceRoute(ctx context.Context, id hook.SourceID) (r hook.Route, err error) {
	err = db.snapshotSettled(ctx, func(c *conn) error {
		if r.Source, err = db.oneSource(c.query(sourceColumns+`id = ?`).int(int64(id)), id.String()); err != nil {
			return err
		}
		r.Settings, err = db.sourceSettings(c, &r.Source)
		return err
	})
	return r, err
}

func (db *DB) sourceSettings(c *conn, s *hook.Source) (hook.Settings, error) {
	shared, err := db.profileSettings(c, s.Profile)
	if err != nil {
		return nil, err
	}
	return shared.Merge(s.Settings), nil
}
