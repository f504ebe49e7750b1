package sqlite

import (
	"context"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

type applicationDoc struct {
	Name           string            `json:"name"`
	ThrottleRate   int               `json:"throttleRate,omitempty"`
	FeatureFlags   []string          `json:"featureFlags"`
	EnforceSchemas bool              `json:"enforceSchemas,omitempty"`
	Metadata       map[string]string `json:"metadata"`
	AllowCIDRs     []string          `json:"allowCidrs"`
	Managed        bool              `json:"managed,omitempty"`
	UpdatedAt      moment            `json:"updatedAt"`
}

func applicationText(a *hook.Application) string {
	return writeDoc(applicationDoc{
		a.Name, a.ThrottleRate, a.FeatureFlags, a.EnforceSchemas, a.Metadata, a.AllowCIDRs, a.Managed, momentOf(a.UpdatedAt),
	})
}

const applicationColumns = `SELECT id, uid, doc, created FROM applications WHERE `

func getApplication(q *stmt) (a hook.Application, err error) {
	a.ID, a.UID = hook.ApplicationID(q.getInt()), q.getText()
	var d applicationDoc
	if err := readDoc(q.getText(), &d); err != nil {
		return a, err
	}
	a.Name, a.ThrottleRate, a.Metadata, a.AllowCIDRs = d.Name, d.ThrottleRate, d.Metadata, d.AllowCIDRs
	a.FeatureFlags, a.EnforceSchemas = d.FeatureFlags, d.EnforceSchemas
	a.Managed, a.UpdatedAt = d.Managed, d.UpdatedAt.time()
	a.CreatedAt = q.getTime()
	return a, nil
}

// CreateApplication is part of store.Config.
func (db *DB) CreateApplication(ctx context.Context, a hook.Application) error {
	return db.do(ctx, func(t *tx) error {
		if _, ok := t.lanes.byApp[a.ID]; ok {
			return sameID("application", a.ID)
		}
		if err := t.freeUID(`SELECT id FROM applications WHERE uid = ?`, "application", a.UID, int64(a.ID)); err != nil {
			return err
		}
		t.setApp(&a)
		t.issued(int64(a.ID))
		t.changes = append(t.changes, store.Change{Config: true})
		return t.query(`INSERT INTO applications (id, uid, doc, created) VALUES (?, ?, ?, ?)`).
			int(int64(a.ID)).optional(a.UID).text(applicationText(&a)).time(a.CreatedAt).exec()
	})
}

// freeUID fails when another row has a uid. The query finds the row with it; its parameters are those given and the uid.
func (t *tx) freeUID(query, noun, uid string, self int64, scope ...int64) error {
	if uid == "" {
		return nil
	}
	q := t.query(query)
	for _, v := range scope {
		q.int(v)
	}
	q.text(uid)
	var owner int64
	found, err := q.first(func() { owner = q.getInt() })
	if err != nil {
		return err
	}
	if found && owner != self {
		return sameUID(noun, uid)
	}
	return nil
}

// UpdateApplication is part of store.Config.
func (db *DB) UpdateApplication(ctx context.Context, a hook.Application) error {
	return db.do(ctx, func(t *tx) error {
		if _, ok := t.lanes.byApp[a.ID]; !ok {
			return noSuch("application", a.ID.String())
		}
		if err := t.freeUID(`SELECT id FROM applications WHERE uid = ?`, "application", a.UID, int64(a.ID)); err != nil {
			return err
		}
		t.setApp(&a)
		t.changes = append(t.changes, store.Change{Config: true})
		return t.query(`UPDATE applications SET uid = ?, doc = ? WHERE id = ?`).
			optional(a.UID).text(applicationText(&a)).int(int64(a.ID)).exec()
	})
}

// Application is part of store.Config. No reference leads to hook.Operational.
func (db *DB) Application(ctx context.Context, ref string) (a hook.Application, err error) {
	err = db.readSettled(ctx, func(c *conn) error {
		id, e := hook.ParseID[hook.ApplicationID](ref)
		switch {
		case id == hook.Operational:
			return noSuch("application", ref)
		case e == nil:
			a, err = c.application(id)
		default:
			a, err = oneApplication(c.query(applicationColumns+`uid = ?`).text(ref), ref)
		}
		return err
	})
	return a, err
}

func (c *conn) application(id hook.ApplicationID) (hook.Application, error) {
	return oneApplication(c.query(applicationColumns+`id = ?`).int(int64(id)), id.String())
}

func oneApplication(q *stmt, ref string) (a hook.Application, err error) {
	var bad error
	found, err := q.first(func() { a, bad = getApplication(q) })
	switch {
	case err != nil:
		return a, err
	case !found:
		return a, noSuch("application", ref)
	}
	return a, bad
}

// Applications is part of store.Config.
func (db *DB) Applications(ctx context.Context, p store.Page) (l store.List[hook.Application], err error) {
	w, err := newWindow(p, hook.ParseID[hook.ApplicationID])
	if err != nil {
		return l, err
	}
	w.lo = max(w.lo, int64(hook.Operational)) // which is hidden
	err = db.list(ctx, func(c *conn) error {
		l, err = collect(w, c.query(applicationColumns+`true`+w.order()), getApplication, func(a *hook.Application) string { return a.ID.String() })
		return err
	})
	return l, err
}

// DeleteApplication is part of store.Config. The application's tokens go with it.
func (db *DB) DeleteApplication(ctx context.Context, id hook.ApplicationID, _ time.Time) error {
	return db.do(ctx, func(t *tx) error {
		endpoints, ok := t.lanes.byApp[id]
		if !ok || id == hook.Operational {
			return noSuch("application", id.String())
		}
		t.changes = append(t.changes, store.Change{Config: true})
		for _, l := range endpoints {
			if err := t.removeEndpoint(l); err != nil {
				return err
			}
		}
		var sources []hook.SourceID
		q := t.query(`SELECT id FROM sources WHERE app = ?`).int(int64(id))
		err := q.each(func() error {
			sources = append(sources, hook.SourceID(q.getInt()))
			return nil
		})
		if err != nil {
			return err
		}
		for _, s := range sources {
			if err := t.removeSource(s); err != nil {
				return err
			}
		}
		t.dropApp(id)
		if err := t.query(`DELETE FROM tokens WHERE app = ?`).int(int64(id)).exec(); err != nil {
			return err
		}
		return t.query(`DELETE FROM applications WHERE id = ?`).int(int64(id)).exec()
	})
}
