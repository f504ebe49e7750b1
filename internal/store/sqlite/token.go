package sqlite

import (
	"context"
	"slices"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

type tokenDoc struct {
	Name         string            `json:"name"`
	Capabilities []hook.Capability `json:"capabilities"`
	FeatureFlags []string          `json:"featureFlags"`
	Session      string            `json:"session,omitempty"`
	Managed      bool              `json:"managed,omitempty"`
}

const tokenColumns = `SELECT id, hash, app, doc, created, expires FROM tokens WHERE `

func getToken(q *stmt) (k hook.Token, err error) {
	k.ID = hook.TokenID(q.getInt())
	copy(k.Hash[:], q.rawBlob())
	k.App = hook.ApplicationID(q.getInt())
	var d tokenDoc
	if err := readDoc(q.getText(), &d); err != nil {
		return k, err
	}
	k.Name, k.Capabilities, k.FeatureFlags, k.Session, k.Managed = d.Name, d.Capabilities, d.FeatureFlags, d.Session, d.Managed
	k.CreatedAt, k.ExpiresAt = q.getTime(), q.getTime()
	return k, nil
}

// PutToken is part of store.Config. A token with the same id or the same hash is replaced: it is the same token.
func (db *DB) PutToken(ctx context.Context, k hook.Token) error {
	return db.do(ctx, func(t *tx) error {
		if k.App != 0 {
			if err := t.namesApp(k.App); err != nil {
				return err
			}
		}
		if err := t.query(`DELETE FROM tokens WHERE id = ? OR hash = ?`).int(int64(k.ID)).blob(k.Hash[:]).exec(); err != nil {
			return err
		}
		t.issued(int64(k.ID))
		t.changes = append(t.changes, store.Change{Config: true})
		return t.query(`INSERT INTO tokens (id, hash, app, doc, created, expires) VALUES (?, ?, ?, ?, ?, ?)`).
			int(int64(k.ID)).blob(k.Hash[:]).int(int64(k.App)).
			text(writeDoc(tokenDoc{k.Name, k.Capabilities, k.FeatureFlags, k.Session, k.Managed})).
			time(k.CreatedAt).time(k.ExpiresAt).exec()
	})
}

// ExpireTokens is part of store.Config.
func (db *DB) ExpireTokens(ctx context.Context, app hook.ApplicationID, sessions []string, at time.Time) error {
	return db.do(ctx, func(t *tx) error {
		if err := t.namesApp(app); err != nil {
			return err
		}
		var ids []int64
		q := t.query(tokenColumns + `app = ? AND (expires IS NULL OR expires > ?)`).int(int64(app)).int(at.UnixMilli())
		err := q.each(func() error {
			k, err := getToken(q)
			if err == nil && !k.Managed && (len(sessions) == 0 || slices.Contains(sessions, k.Session)) {
				ids = append(ids, int64(k.ID))
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := t.query(`UPDATE tokens SET expires = ? WHERE id = ?`).int(at.UnixMilli()).int(id).exec(); err != nil {
				return err
			}
		}
		t.changes = append(t.changes, store.Change{Config: true})
		return nil
	})
}

// Token is part of store.Config.
func (db *DB) Token(ctx context.Context, hash [32]byte, now time.Time) (k hook.Token, err error) {
	err = db.readSettled(ctx, func(c *conn) error {
		var bad error
		q := c.query(tokenColumns + `hash = ? AND (expires IS NULL OR expires > ?)`).blob(hash[:]).int(now.UnixMilli())
		found, err := q.first(func() { k, bad = getToken(q) })
		switch {
		case err != nil:
			return err
		case !found:
			return hook.Errorf(hook.KindNotFound, "there is no such token, or it has expired")
		}
		return bad
	})
	return k, err
}

// Tokens is part of store.Config.
func (db *DB) Tokens(ctx context.Context, p store.Page) (l store.List[hook.Token], err error) {
	w, err := newWindow(p, hook.ParseID[hook.TokenID])
	if err != nil {
		return l, err
	}
	err = db.list(ctx, func(c *conn) error {
		l, err = collect(w, c.query(tokenColumns+`true`+w.order()), getToken, func(k *hook.Token) string { return k.ID.String() })
		return err
	})
	return l, err
}

// DeleteToken is part of store.Config.
func (db *DB) DeleteToken(ctx context.Context, id hook.TokenID) error {
	return db.do(ctx, func(t *tx) error {
		n, err := t.query(`DELETE FROM tokens WHERE id = ?`).int(int64(id)).changed()
		if err == nil && n == 0 {
			return noSuch("token", id.String())
		}
		t.changes = append(t.changes, store.Change{Config: true})
		return err
	})
}
