package sqlite

import (
	"cmp"
	"maps"
	"slices"

	"github.com/waypost/waypost/internal/hook"
)

// A lane holds the pending deliveries of an endpoint until the endpoint is disabled or deleted. Closing the lane cancels
// them at once, whatever their number; the rows are rewritten later by Sweep.
type lane struct {
	id       int64
	endpoint hook.Endpoint // only what Matches looks at
}

// lanes is the writer's copy of all endpoints, so that Accept needs no query to match a message. Only the writing
// goroutine touches it.
type lanes struct {
	byApp      map[hook.ApplicationID][]*lane // by endpoint id; an application without endpoints has an empty list
	byEndpoint map[hook.EndpointID]*lane
	flags      map[hook.ApplicationID][]string // of those applications that are restricted
}

func newLanes() lanes {
	return lanes{
		byApp: map[hook.ApplicationID][]*lane{}, byEndpoint: map[hook.EndpointID]*lane{}, flags: map[hook.ApplicationID][]string{},
	}
}

// newLane keeps of an endpoint what is needed to match.
func newLane(id int64, e *hook.Endpoint) *lane {
	return &lane{id, hook.Endpoint{
		ID: e.ID, App: e.App, Disabled: e.Disabled, Transport: e.Transport, EventTypes: e.EventTypes, Channels: e.Channels,
	}}
}

func (w *writer) loadLanes() error {
	// Few are restricted, so few documents are worth being read at the start.
	q := w.query(`SELECT id, CASE WHEN instr(doc, '"featureFlags":[') > 0 THEN doc END FROM applications`)
	err := q.each(func() error {
		id := hook.ApplicationID(q.getInt())
		w.lanes.byApp[id] = nil
		if q.isNull() {
			return nil
		}
		var doc applicationDoc
		err := readDoc(q.getText(), &doc)
		if doc.FeatureFlags != nil {
			w.lanes.flags[id] = doc.FeatureFlags
		}
		return err
	})
	if err != nil {
		return err
	}
	q = w.query(`SELECT id, app, lane, disabled, doc FROM endpoints ORDER BY id`)
	return q.each(func() error {
		e := hook.Endpoint{ID: hook.EndpointID(q.getInt()), App: hook.ApplicationID(q.getInt())}
		id := q.getInt()
		e.Disabled = q.getBool()
		var doc endpointDoc
		if err := readDoc(q.getText(), &doc); err != nil {
			return err
		}
		e.EventTypes, e.Channels, e.Transport = doc.EventTypes, doc.Channels, doc.Transport
		l := newLane(id, &e)
		w.lanes.byEndpoint[e.ID] = l
		w.lanes.byApp[e.App] = append(w.lanes.byApp[e.App], l)
		return nil
	})
}

// The following change the copy, and change it back when the transaction is taken back.

// setApp keeps an application, new or changed.
func (t *tx) setApp(a *hook.Application) {
	if _, known := t.lanes.byApp[a.ID]; !known {
		t.lanes.byApp[a.ID] = nil
		t.onTakeBack(func() { delete(t.lanes.byApp, a.ID) })
	}
	t.setFlags(a.ID, a.FeatureFlags)
}

func (t *tx) dropApp(id hook.ApplicationID) {
	list := t.lanes.byApp[id]
	delete(t.lanes.byApp, id)
	t.onTakeBack(func() { t.lanes.byApp[id] = list })
	t.setFlags(id, nil)
}

// setFlags keeps what an application is restricted to; nil = it is not.
func (t *tx) setFlags(id hook.ApplicationID, flags []string) {
	set := func(flags []string) {
		delete(t.lanes.flags, id)
		if flags != nil {
			t.lanes.flags[id] = flags
		}
	}
	old := t.lanes.flags[id]
	set(flags)
	t.onTakeBack(func() { set(old) })
}

// setLane puts a lane in the place of the endpoint's earlier one.
func (t *tx) setLane(l *lane) {
	e := &l.endpoint
	old, had := t.lanes.byEndpoint[e.ID]
	list := t.lanes.byApp[e.App]
	at, found := slices.BinarySearchFunc(list, e.ID, func(l *lane, id hook.EndpointID) int { return cmp.Compare(l.endpoint.ID, id) })
	fresh := slices.Clone(list)
	if found {
		fresh[at] = l
	} else {
		fresh = slices.Insert(fresh, at, l)
	}
	t.lanes.byEndpoint[e.ID] = l
	t.lanes.byApp[e.App] = fresh
	t.onTakeBack(func() {
		t.lanes.byApp[e.App] = list
		delete(t.lanes.byEndpoint, e.ID)
		if had {
			t.lanes.byEndpoint[e.ID] = old
		}
	})
}

func (t *tx) dropLane(l *lane) {
	e := &l.endpoint
	list := t.lanes.byApp[e.App]
	t.lanes.byApp[e.App] = slices.DeleteFunc(slices.Clone(list), func(o *lane) bool { return o == l })
	delete(t.lanes.byEndpoint, e.ID)
	t.onTakeBack(func() {
		t.lanes.byApp[e.App] = list
		t.lanes.byEndpoint[e.ID] = l
	})
}

// openLane makes a new lane for an endpoint.
func (t *tx) openLane(ep hook.EndpointID) (int64, error) {
	err := t.query(`INSERT INTO lanes (endpoint, pending, open) VALUES (?, 0, 1)`).int(int64(ep)).exec()
	return t.LastInsertRowID(), err
}

// closeLane cancels what is pending in a lane. closed is false when there was nothing, and the lane then stays as it is.
func (t *tx) closeLane(id int64) (closed bool, err error) {
	var pending int64
	q := t.query(`SELECT pending FROM lanes WHERE id = ?`).int(id)
	if _, err := q.first(func() { pending = q.getInt() }); err != nil {
		return false, err
	}
	pending += t.pending[id] // what this transaction has done to it so far
	if pending == 0 {
		return false, nil
	}
	delete(t.pending, id)
	t.counts.Pending -= pending
	t.counts.Canceled += pending
	return true, t.query(`UPDATE lanes SET pending = 0, open = 0 WHERE id = ?`).int(id).exec()
}

// cancelPending cancels what is pending and wished for an endpoint that stays, and returns its lane from now on.
func (t *tx) cancelPending(l *lane) (id int64, err error) {
	if err := t.dropResends(l); err != nil {
		return 0, err
	}
	closed, err := t.closeLane(l.id)
	if err != nil || !closed {
		return l.id, err
	}
	if err := t.cancelDays(l.endpoint.ID); err != nil {
		return 0, err
	}
	return t.openLane(l.endpoint.ID)
}

// deleteLane cancels what is pending for an endpoint that goes.
func (t *tx) deleteLane(l *lane) error {
	closed, err := t.closeLane(l.id)
	if err == nil && !closed {
		delete(t.pending, l.id)
		err = t.query(`DELETE FROM lanes WHERE id = ?`).int(l.id).exec()
	}
	if err == nil {
		err = t.dropResends(l)
	}
	if err == nil {
		err = t.dropDays(l.endpoint.ID)
	}
	if err == nil {
		err = t.dropConsumers(l.endpoint.ID)
	}
	t.dropLane(l)
	return err
}

// dropResends removes the resends wished for an endpoint.
func (t *tx) dropResends(l *lane) error {
	return t.query(`DELETE FROM resends WHERE endpoint = ?`).int(int64(l.endpoint.ID)).exec()
}

// cloneMap is for a map that is changed though it is the caller's.
func cloneMap(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}
