package sqlite

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

type endpointDoc struct {
	URL             string            `json:"url"`
	Description     string            `json:"description,omitempty"`
	Version         int               `json:"version,omitempty"`
	EventTypes      []string          `json:"eventTypes"`
	Channels        []string          `json:"channels"`
	Dialect         string            `json:"dialect"`
	Schedule        []time.Duration   `json:"schedule"` // nanoseconds
	Timeout         time.Duration     `json:"timeout,omitempty"`
	Format          hook.Format       `json:"format"`
	ThrottleRate    int               `json:"throttleRate,omitempty"`
	Concurrency     int               `json:"concurrency,omitempty"`
	Paused          bool              `json:"paused,omitempty"`
	RequireVerified bool              `json:"requireVerified,omitempty"`
	Verification    verificationDoc   `json:"verification"`
	PublicOnly      bool              `json:"publicOnly,omitempty"`
	Transport       hook.Transport    `json:"transport,omitempty"`
	Metadata        map[string]string `json:"metadata"`
	Managed         bool              `json:"managed,omitempty"`
	UpdatedAt       moment            `json:"updatedAt"`
}

type verificationDoc struct {
	State  hook.VerificationState `json:"state"`
	At     moment                 `json:"at,omitempty"`
	Reason string                 `json:"reason,omitempty"`
}

func endpointText(e *hook.Endpoint) string {
	return writeDoc(endpointDoc{
		URL: e.URL, Description: e.Description, Version: e.Version, EventTypes: e.EventTypes, Channels: e.Channels, Dialect: e.Dialect,
		Schedule: e.Schedule, Timeout: e.Timeout, Format: e.Format, ThrottleRate: e.ThrottleRate, Concurrency: e.Concurrency,
		Paused: e.Paused, RequireVerified: e.RequireVerified, PublicOnly: e.PublicOnly, Transport: e.Transport,
		Metadata: e.Metadata, Managed: e.Managed,
		Verification: verificationDoc{e.Verification.State, momentOf(e.Verification.At), e.Verification.Reason},
		UpdatedAt:    momentOf(e.UpdatedAt),
	})
}

func (d *endpointDoc) fill(e *hook.Endpoint) {
	e.URL, e.Description, e.EventTypes, e.Channels, e.Dialect = d.URL, d.Description, d.EventTypes, d.Channels, d.Dialect
	e.Version, e.Schedule, e.Timeout, e.Format = d.Version, d.Schedule, d.Timeout, d.Format
	e.ThrottleRate, e.Concurrency = d.ThrottleRate, d.Concurrency
	e.Paused, e.RequireVerified, e.PublicOnly, e.Transport = d.Paused, d.RequireVerified, d.PublicOnly, d.Transport
	e.Verification = hook.Verification{State: d.Verification.State, At: d.Verification.At.time(), Reason: d.Verification.Reason}
	e.Metadata, e.Managed, e.UpdatedAt = d.Metadata, d.Managed, d.UpdatedAt.time()
}

func (t *tx) endpointSecrets(e *hook.Endpoint) []byte {
	return t.sealSecrets(place("endpoint", e.ID), secrets{e.Settings, e.Headers, e.OldSecrets})
}

const endpointColumns = `SELECT id, app, uid, profile, account, disabled, disabled_reason, failing_since, doc, secrets, created FROM endpoints WHERE `

func (db *DB) getEndpoint(q *stmt) (e hook.Endpoint, err error) {
	e.ID, e.App, e.UID = hook.EndpointID(q.getInt()), hook.ApplicationID(q.getInt()), q.getText()
	e.Profile, e.Account = hook.ProfileID(q.getInt()), q.getText()
	e.Disabled, e.DisabledReason, e.FailingSince = q.getBool(), q.getText(), q.getTime()
	var d endpointDoc
	if err := readDoc(q.getText(), &d); err != nil {
		return e, err
	}
	d.fill(&e)
	s, err := db.openSecrets(place("endpoint", e.ID), q.rawBlob())
	e.Settings, e.Headers, e.OldSecrets = s.settings, s.headers, s.old
	e.CreatedAt = q.getTime()
	return e, err
}

// CreateEndpoint is part of store.Config.
func (db *DB) CreateEndpoint(ctx context.Context, e hook.Endpoint) error {
	return db.do(ctx, func(t *tx) error {
		if t.lanes.byEndpoint[e.ID] != nil {
			return sameID("endpoint", e.ID)
		}
		if err := t.checkEndpoint(&e); err != nil {
			return err
		}
		lane, err := t.openLane(e.ID)
		if err != nil {
			return err
		}
		t.setLane(newLane(lane, &e))
		t.issued(int64(e.ID))
		t.changes = append(t.changes, store.Change{Config: true, Endpoint: e.ID})
		return t.query(`INSERT INTO endpoints (id, app, uid, profile, account, lane, disabled, disabled_reason, failing_since, doc, secrets, created)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`).
			int(int64(e.ID)).int(int64(e.App)).optional(e.UID).int(int64(e.Profile)).optional(e.Account).int(lane).bool(e.Disabled).
			text(e.DisabledReason).time(e.FailingSince).text(endpointText(&e)).blob(t.endpointSecrets(&e)).time(e.CreatedAt).exec()
	})
}

// checkEndpoint fails when something that an endpoint names is missing, or its uid is another's.
func (t *tx) checkEndpoint(e *hook.Endpoint) error {
	if err := t.namesApp(e.App); err != nil {
		return err
	}
	if err := t.namesProfile(e.Profile); err != nil {
		return err
	}
	if err := t.freeAccount(e); err != nil {
		return err
	}
	return t.freeUID(`SELECT id FROM endpoints WHERE app = ? AND uid = ?`, "endpoint of the application", e.UID, int64(e.ID), int64(e.App))
}

// freeAccount fails when the long connections of an endpoint are those of another.
func (t *tx) freeAccount(e *hook.Endpoint) error {
	if e.Account == "" {
		return nil
	}
	var owner hook.EndpointID
	q := t.query(`SELECT id FROM endpoints WHERE account = ? AND profile = ?`).text(e.Account).int(int64(e.Profile))
	found, err := q.first(func() { owner = hook.EndpointID(q.getInt()) })
	if err != nil || !found || owner == e.ID {
		return err
	}
	return &hook.Error{Kind: hook.KindConflict, Field: "account", Text: "the long connections of " + e.Account + " under this profile are another endpoint's"}
}

// UpdateEndpoint is part of store.Config.
func (db *DB) UpdateEndpoint(ctx context.Context, e hook.Endpoint) error {
	return db.do(ctx, func(t *tx) error { return t.updateEndpoint(&e) })
}

// SwapEndpoint is part of store.Config.
func (db *DB) SwapEndpoint(ctx context.Context, before, after hook.Endpoint) (done bool, err error) {
	err = db.do(ctx, func(t *tx) error {
		q := t.query(endpointColumns + `id = ? AND app = ?`).int(int64(after.ID)).int(int64(after.App))
		present, err := db.oneEndpoint(q, after.ID.String())
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(present, before) {
			return errUnchanged
		}
		return t.updateEndpoint(&after)
	})
	if errors.Is(err, errUnchanged) {
		return false, nil
	}
	return err == nil, err
}

func (t *tx) updateEndpoint(e *hook.Endpoint) error {
	l := t.lanes.byEndpoint[e.ID]
	if l == nil || l.endpoint.App != e.App {
		return noSuch("endpoint", e.ID.String())
	}
	if err := t.checkEndpoint(e); err != nil {
		return err
	}
	lane, err := l.id, error(nil)
	if e.Disabled || e.Transport == hook.TransportPoll {
		if lane, err = t.cancelPending(l); err != nil {
			return err
		}
	}
	t.setLane(newLane(lane, e))
	t.changes = append(t.changes, store.Change{Config: true, Endpoint: e.ID})
	return t.query(`UPDATE endpoints SET uid = ?, profile = ?, account = ?, lane = ?, disabled = ?, disabled_reason = ?, failing_since = ?,
		doc = ?, secrets = ? WHERE id = ?`).
		optional(e.UID).int(int64(e.Profile)).optional(e.Account).int(lane).bool(e.Disabled).text(e.DisabledReason).time(e.FailingSince).
		text(endpointText(e)).blob(t.endpointSecrets(e)).int(int64(e.ID)).exec()
}

// health writes what the engine decided about an endpoint. One that is gone is none of its business any more.
func (t *tx) health(id hook.EndpointID, h *hook.EndpointHealth) error {
	l := t.lanes.byEndpoint[id]
	if l == nil {
		return nil
	}
	t.changes = append(t.changes, store.Change{Config: true, Endpoint: id})
	if !h.Disable {
		return t.query(`UPDATE endpoints SET failing_since = ? WHERE id = ?`).time(h.FailingSince).int(int64(id)).exec()
	}
	lane, err := t.cancelPending(l)
	if err != nil {
		return err
	}
	e := l.endpoint
	if !e.Disabled {
		if err := t.tellOperator(h.Events); err != nil {
			return err
		}
	}
	e.Disabled = true
	t.setLane(newLane(lane, &e))
	return t.query(`UPDATE endpoints SET failing_since = ?, disabled = 1, disabled_reason = ?, lane = ? WHERE id = ?`).
		time(h.FailingSince).text(h.Reason).int(lane).int(int64(id)).exec()
}

// Endpoint is part of store.Config.
func (db *DB) Endpoint(ctx context.Context, app hook.ApplicationID, ref string) (e hook.Endpoint, err error) {
	err = db.readSettled(ctx, func(c *conn) error {
		var q *stmt
		if id, bad := hook.ParseID[hook.EndpointID](ref); bad == nil {
			q = c.query(endpointColumns + `id = ? AND app = ?`).int(int64(id)).int(int64(app))
		} else {
			q = c.query(endpointColumns + `app = ? AND uid = ?`).int(int64(app)).text(ref)
		}
		e, err = db.oneEndpoint(q, ref)
		return err
	})
	return e, err
}

func (db *DB) oneEndpoint(q *stmt, ref string) (e hook.Endpoint, err error) {
	var bad error
	found, err := q.first(func() { e, bad = db.getEndpoint(q) })
	switch {
	case err != nil:
		return e, err
	case !found:
		return e, noSuch("endpoint", ref)
	}
	return e, bad
}

// Endpoints is part of store.Config.
func (db *DB) Endpoints(ctx context.Context, app hook.ApplicationID, p store.Page) (l store.List[hook.Endpoint], err error) {
	w, err := newWindow(p, hook.ParseID[hook.EndpointID])
	if err != nil {
		return l, err
	}
	err = db.list(ctx, func(c *conn) error {
		q := c.query(endpointColumns + `app = ?` + w.order()).int(int64(app))
		l, err = collect(w, q, db.getEndpoint, func(e *hook.Endpoint) string { return e.ID.String() })
		return err
	})
	return l, err
}

// AccountEndpoints is part of store.Config.
func (db *DB) AccountEndpoints(ctx context.Context, account string) (all []hook.EndpointID, err error) {
	err = db.read(ctx, func(c *conn) error {
		q := c.query(`SELECT id FROM endpoints WHERE account = ? ORDER BY profile LIMIT ?`).text(account).int(store.MaxAccountEndpoints)
		return q.each(func() error {
			all = append(all, hook.EndpointID(q.getInt()))
			return nil
		})
	})
	slices.Sort(all)
	return all, err
}

// DeleteEndpoint is part of store.Config.
func (db *DB) DeleteEndpoint(ctx context.Context, app hook.ApplicationID, id hook.EndpointID, _ time.Time) error {
	return db.do(ctx, func(t *tx) error {
		l := t.lanes.byEndpoint[id]
		if l == nil || l.endpoint.App != app {
			return noSuch("endpoint", id.String())
		}
		return t.removeEndpoint(l)
	})
}

func (t *tx) removeEndpoint(l *lane) error {
	id := l.endpoint.ID
	t.changes = append(t.changes, store.Change{Config: true, Endpoint: id})
	if err := t.deleteLane(l); err != nil {
		return err
	}
	return t.query(`DELETE FROM endpoints WHERE id = ?`).int(int64(id)).exec()
}

// Target is part of store.Config.
func (db *DB) Target(ctx context.Context, id hook.EndpointID) (t store.Target, err error) {
	err = db.snapshotSettled(ctx, func(c *conn) error {
		if t.Endpoint, err = db.oneEndpoint(c.query(endpointColumns+`id = ?`).int(int64(id)), id.String()); err != nil {
			return err
		}
		shared, err := db.profileSettings(c, t.Endpoint.Profile)
		if err != nil {
			return err
		}
		t.Settings = shared.Merge(t.Endpoint.Settings)
		if t.Endpoint.PublicOnly {
			return nil
		}
		a, err := c.application(t.Endpoint.App)
		t.AllowCIDRs = a.AllowCIDRs
		return err
	})
	return t, err
}
