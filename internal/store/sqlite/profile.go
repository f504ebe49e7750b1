package sqlite

import (
	"context"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

type profileDoc struct {
	Name      string `json:"name"`
	Dialect   string `json:"dialect"`
	Managed   bool   `json:"managed,omitempty"`
	UpdatedAt moment `json:"updatedAt"`
}

func profileText(p *hook.Profile) string {
	return writeDoc(profileDoc{p.Name, p.Dialect, p.Managed, momentOf(p.UpdatedAt)})
}

func (t *tx) profileSecrets(p *hook.Profile) []byte {
	return t.sealSecrets(place("profile", p.ID), secrets{settings: p.Settings})
}

const profileColumns = `SELECT id, uid, doc, secrets, created FROM profiles WHERE `

func (db *DB) getProfile(q *stmt) (p hook.Profile, err error) {
	p.ID, p.UID = hook.ProfileID(q.getInt()), q.getText()
	var d profileDoc
	if err := readDoc(q.getText(), &d); err != nil {
		return p, err
	}
	p.Name, p.Dialect, p.Managed, p.UpdatedAt = d.Name, d.Dialect, d.Managed, d.UpdatedAt.time()
	own, err := db.openSecrets(place("profile", p.ID), q.rawBlob())
	p.Settings = own.settings
	p.CreatedAt = q.getTime()
	return p, err
}

// CreateProfile is part of store.Config.
func (db *DB) CreateProfile(ctx context.Context, p hook.Profile) error {
	return db.do(ctx, func(t *tx) error {
		if known, err := t.has(`SELECT 1 FROM profiles WHERE id = ?`, int64(p.ID)); err != nil {
			return err
		} else if known {
			return sameID("profile", p.ID)
		}
		if err := t.freeUID(`SELECT id FROM profiles WHERE uid = ?`, "profile", p.UID, int64(p.ID)); err != nil {
			return err
		}
		t.issued(int64(p.ID))
		t.changes = append(t.changes, store.Change{Config: true})
		return t.query(`INSERT INTO profiles (id, uid, doc, secrets, created) VALUES (?, ?, ?, ?, ?)`).
			int(int64(p.ID)).optional(p.UID).text(profileText(&p)).blob(t.profileSecrets(&p)).time(p.CreatedAt).exec()
	})
}

// has says whether a query by numbers finds a row.
func (c *conn) has(query string, args ...int64) (bool, error) {
	q := c.query(query)
	for _, v := range args {
		q.int(v)
	}
	return q.first(func() {})
}

// UpdateProfile is part of store.Config.
func (db *DB) UpdateProfile(ctx context.Context, p hook.Profile) error {
	return db.do(ctx, func(t *tx) error {
		if known, err := t.has(`SELECT 1 FROM profiles WHERE id = ?`, int64(p.ID)); err != nil {
			return err
		} else if !known {
			return noSuch("profile", p.ID.String())
		}
		if err := t.freeUID(`SELECT id FROM profiles WHERE uid = ?`, "profile", p.UID, int64(p.ID)); err != nil {
			return err
		}
		t.changes = append(t.changes, store.Change{Config: true})
		return t.query(`UPDATE profiles SET uid = ?, doc = ?, secrets = ? WHERE id = ?`).
			optional(p.UID).text(profileText(&p)).blob(t.profileSecrets(&p)).int(int64(p.ID)).exec()
	})
}

// Profile is part of store.Config.
func (db *DB) Profile(ctx context.Context, ref string) (p hook.Profile, err error) {
	err = db.readSettled(ctx, func(c *conn) error {
		var q *stmt
		if id, e := hook.ParseID[hook.ProfileID](ref); e == nil {
			q = c.query(profileColumns + `id = ?`).int(int64(id))
		} else {
			q = c.query(profileColumns + `uid = ?`).text(ref)
		}
		var bad error
		found, err := q.first(func() { p, bad = db.getProfile(q) })
		switch {
		case err != nil:
			return err
		case !found:
			return noSuch("profile", ref)
		}
		return bad
	})
	return p, err
}

// profileSettings returns the settings of a profile, nil when id is 0.
func (db *DB) profileSettings(c *conn, id hook.ProfileID) (s hook.Settings, err error) {
	if id == 0 {
		return nil, nil
	}
	var shared secrets
	var bad error
	q := c.query(`SELECT secrets FROM profiles WHERE id = ?`).int(int64(id))
	if _, err = q.first(func() { shared, bad = db.openSecrets(place("profile", id), q.rawBlob()) }); err == nil {
		err = bad
	}
	return shared.settings, err
}

// Profiles is part of store.Config.
func (db *DB) Profiles(ctx context.Context, p store.Page) (l store.List[hook.Profile], err error) {
	w, err := newWindow(p, hook.ParseID[hook.ProfileID])
	if err != nil {
		return l, err
	}
	err = db.list(ctx, func(c *conn) error {
		l, err = collect(w, c.query(profileColumns+`true`+w.order()), db.getProfile, func(p *hook.Profile) string { return p.ID.String() })
		return err
	})
	return l, err
}

// DeleteProfile is part of store.Config.
func (db *DB) DeleteProfile(ctx context.Context, id hook.ProfileID) error {
	return db.do(ctx, func(t *tx) error {
		if known, err := t.has(`SELECT 1 FROM profiles WHERE id = ?`, int64(id)); err != nil {
			return err
		} else if !known || id == 0 {
			return noSuch("profile", id.String())
		}
		used, err := t.has(`SELECT 1 FROM sources WHERE profile = ?1 AND profile <> 0
			UNION ALL SELECT 1 FROM endpoints WHERE profile = ?1 AND profile <> 0 LIMIT 1`, int64(id))
		if err != nil {
			return err
		}
		if used {
			return hook.Errorf(hook.KindConflict, "profile %s is in use: point its sources and endpoints at another one first", id)
		}
		t.changes = append(t.changes, store.Change{Config: true})
		return t.query(`DELETE FROM profiles WHERE id = ?`).int(int64(id)).exec()
	})
}

// namesProfile fails when a profile is named that does not exist.
func (t *tx) namesProfile(id hook.ProfileID) error {
	if id == 0 {
		return nil
	}
	known, err := t.has(`SELECT 1 FROM profiles WHERE id = ?`, int64(id))
	if err == nil && !known {
		err = &hook.Error{Kind: hook.KindNotFound, Field: "profile", Text: "there is no profile " + id.String()}
	}
	return err
}

// namesApp fails when an application is named that does not exist.
func (t *tx) namesApp(id hook.ApplicationID) error {
	if _, ok := t.lanes.byApp[id]; !ok {
		return noSuch("application", id.String())
	}
	return nil
}
