package sqlite

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

type taskDoc struct {
	Since      moment        `json:"since,omitempty"`
	Until      moment        `json:"until,omitempty"`
	EventTypes []string      `json:"eventTypes,omitempty"`
	Channel    string        `json:"channel,omitempty"`
	Tag        string        `json:"tag,omitempty"`
	States     []hook.State  `json:"states,omitempty"`
	Broadcast  *broadcastDoc `json:"broadcast,omitempty"`
}

// broadcastDoc is what a broadcast sends, without the payload.
type broadcastDoc struct {
	EventType    string            `json:"eventType"`
	EventID      string            `json:"eventId,omitempty"`
	Channels     []string          `json:"channels"`
	Tags         []string          `json:"tags"`
	Platform     map[string]string `json:"platform"`
	DeliverAt    moment            `json:"deliverAt,omitempty"`
	ContentUntil moment            `json:"contentUntil,omitempty"`
	Dedup        hook.Dedup        `json:"dedup"`
	Unique       bool              `json:"unique,omitempty"`
	UniqueKeep   time.Duration     `json:"uniqueKeep,omitempty"` // nanoseconds
	Needs        []string          `json:"needs"`
}

func taskText(t *hook.Task) string {
	d := taskDoc{
		Since: momentOf(t.Since), Until: momentOf(t.Until), EventTypes: t.EventTypes, Channel: t.Channel, Tag: t.Tag, States: t.States,
	}
	if a := t.Message; a != nil {
		m := &a.Message
		d.Broadcast = &broadcastDoc{
			EventType: m.EventType, EventID: m.EventID, Channels: m.Channels, Tags: m.Tags, Platform: m.Platform,
			DeliverAt: momentOf(m.DeliverAt), ContentUntil: momentOf(m.ContentUntil),
			Dedup: a.Dedup, Unique: a.Unique, UniqueKeep: a.UniqueKeep, Needs: a.Needs,
		}
	}
	return writeDoc(d)
}

func (d *taskDoc) fill(t *hook.Task) {
	t.Since, t.Until, t.EventTypes, t.Channel, t.Tag, t.States = d.Since.time(), d.Until.time(), d.EventTypes, d.Channel, d.Tag, d.States
	if b := d.Broadcast; b != nil {
		t.Message = &hook.Accept{Dedup: b.Dedup, Unique: b.Unique, UniqueKeep: b.UniqueKeep, Needs: b.Needs, Message: hook.Message{
			EventType: b.EventType, EventID: b.EventID, Channels: b.Channels, Tags: b.Tags, Platform: b.Platform,
			DeliverAt: b.DeliverAt.time(), ContentUntil: b.ContentUntil.time(),
		}}
	}
}

// task is a task with its place: what was looked at last, and what it ends with.
type task struct {
	hook.Task
	place, last int64
}

const (
	taskFields  = `SELECT id, kind, state, reason, app, endpoint, place, last, looked, done, doc, created, updated`
	taskColumns = taskFields + ` FROM tasks WHERE `
	fullTask    = taskFields + `, content FROM tasks WHERE id = ?`
)

func getTask(q *stmt) (k task, err error) {
	k.ID, k.Kind, k.State, k.Reason = hook.TaskID(q.getInt()), hook.TaskKind(q.getText()), hook.TaskState(q.getText()), q.getText()
	k.App, k.Endpoint = hook.ApplicationID(q.getInt()), hook.EndpointID(q.getInt())
	k.place, k.last, k.Looked, k.Done = q.getInt(), q.getInt(), q.getInt(), q.getInt()
	var d taskDoc
	if err := readDoc(q.getText(), &d); err != nil {
		return k, err
	}
	d.fill(&k.Task)
	k.CreatedAt, k.UpdatedAt = q.getTime(), q.getTime()
	return k, nil
}

// task reads one with what it sends.
func (c *conn) task(id hook.TaskID) (k task, err error) {
	q := c.query(fullTask).int(int64(id))
	var bad error
	found, err := q.first(func() {
		if k, bad = getTask(q); bad == nil && k.Message != nil {
			k.Message.Message.Payload = q.getBlob()
		}
	})
	switch {
	case err != nil:
		return k, err
	case !found:
		return k, noSuch("task", id.String())
	}
	return k, bad
}

// StartTask is part of store.Flow. A task ends with what was stored when it started, so it never runs after new messages.
func (db *DB) StartTask(ctx context.Context, h hook.Task) error {
	if err := checkTask(&h); err != nil {
		return err
	}
	if err := db.sound(); err != nil {
		return err
	}
	if err := db.hasRoom(); err != nil {
		return err
	}
	var content []byte
	size := 1 << 10
	if h.Message != nil {
		content = notNil(h.Message.Message.Payload)
		size += len(content)
	}
	return db.write(ctx, &request{kind: forAccept, rows: 1, bytes: size, run: func(t *tx) error {
		if taken, err := t.has(`SELECT 1 FROM tasks WHERE id = ?`, int64(h.ID)); err != nil {
			return err
		} else if taken {
			return sameID("task", h.ID)
		}
		if h.Kind != hook.TaskBroadcast {
			if err := t.workable(h.App, h.Endpoint); err != nil {
				return err
			}
		}
		place, last, err := t.reach(&h)
		if err != nil {
			return err
		}
		t.issued(int64(h.ID))
		t.changes = append(t.changes, store.Change{Task: h.ID})
		return t.query(`INSERT INTO tasks (id, kind, state, reason, app, endpoint, place, last, looked, done, doc, content, created, updated)
			VALUES (?, ?, ?, '', ?, ?, ?, ?, 0, 0, ?, ?, ?, ?)`).
			int(int64(h.ID)).text(string(h.Kind)).text(string(hook.TaskRunning)).int(int64(h.App)).int(int64(h.Endpoint)).
			int(place).int(last).text(taskText(&h)).blob(content).time(h.CreatedAt).int(h.CreatedAt.UnixMilli()).exec()
	}})
}

// checkTask refuses a task that is not whole.
func checkTask(h *hook.Task) error {
	switch {
	case h.ID <= 0 || h.CreatedAt.IsZero():
		return hook.Errorf(hook.KindInvalid, "a task needs an id and a time")
	case h.Kind == hook.TaskBroadcast:
		if h.Message == nil || h.Message.Message.Raw != nil || h.App != 0 || h.Endpoint != 0 {
			return hook.Errorf(hook.KindInvalid, "a broadcast needs a message that was not received, and no application")
		}
	case h.Kind != hook.TaskRecover && h.Kind != hook.TaskReplay && h.Kind != hook.TaskBulk:
		return hook.FieldErrorf("kind", "there are no tasks of the kind %q", h.Kind)
	case h.Message != nil:
		return hook.Errorf(hook.KindInvalid, "only a broadcast comes with a message")
	case len(h.EventTypes) > maxEventTypes:
		return hook.FieldErrorf("eventTypes", "at most %d event types can be asked for at once", maxEventTypes)
	}
	return nil
}

// workable fails when nothing can be sent to an endpoint of an application.
func (t *tx) workable(app hook.ApplicationID, ep hook.EndpointID) error {
	if _, ok := t.lanes.byApp[app]; !ok {
		return noSuch("application", app.String())
	}
	l := t.lanes.byEndpoint[ep]
	if l == nil || l.endpoint.App != app {
		return noSuch("endpoint", ep.String())
	}
	return l.takesResends()
}

// reach returns where a task begins, exclusive, and where it ends, inclusive.
func (t *tx) reach(h *hook.Task) (place, last int64, err error) {
	sql := `SELECT max(id) FROM messages`
	if h.Kind == hook.TaskBroadcast {
		sql, place = `SELECT max(id) FROM applications`, int64(hook.Operational)
	} else if !h.Since.IsZero() {
		place = firstFrom(h.Since) - 1
	}
	q := t.query(sql)
	if _, err = q.first(func() { last = q.getInt() }); err != nil { // NULL reads as 0
		return 0, 0, err
	}
	if !h.Until.IsZero() && h.Kind != hook.TaskBroadcast {
		last = min(last, firstFrom(h.Until)-1)
	}
	return max(place, 0), last, nil
}

// firstFrom is the smallest id whose moment, to the millisecond, is not before t.
func firstFrom(t time.Time) int64 {
	return idAt(t.Add(time.Millisecond - 1).Truncate(time.Millisecond))
}

// What a step does at most, so that others who write do not wait long for it.
const (
	maxStep      = 500
	maxStepBytes = 4 << 20
)

// StepTask is part of store.Flow. A task that is not running any more is returned as it is.
func (db *DB) StepTask(ctx context.Context, id hook.TaskID, now, due time.Time, n int, next func() int64) (h hook.Task, err error) {
	if err := db.sound(); err != nil {
		return h, err
	}
	if err := db.hasRoom(); err != nil { // what a task makes is new work
		return h, err
	}
	n = min(max(n, 1), maxStep)
	err = db.write(ctx, &request{kind: forAccept, rows: n, bytes: maxStepBytes, run: func(t *tx) error {
		k, err := t.task(id)
		if err != nil {
			return err
		}
		if k.State == hook.TaskRunning {
			err = t.step(&k, now, due, n, next)
		}
		h = k.Task
		return err
	}})
	if err != nil {
		return hook.Task{}, err
	}
	return h, nil
}

func (t *tx) step(k *task, now, due time.Time, n int, next func() int64) error {
	var more bool
	var err error
	if k.Kind == hook.TaskBroadcast {
		more, err = t.stepBroadcast(k, now, due, n, next)
	} else {
		more, err = t.stepMessages(k, now, due, n)
	}
	if err != nil {
		return err
	}
	if k.State == hook.TaskRunning && !more {
		k.State = hook.TaskFinished
	}
	k.UpdatedAt = fromMillis(now.UnixMilli())
	err = t.query(`UPDATE tasks SET state = ?, reason = ?, place = ?, looked = ?, done = ?, updated = ? WHERE id = ?`).
		text(string(k.State)).text(k.Reason).int(k.place).int(k.Looked).int(k.Done).int(now.UnixMilli()).int(int64(k.ID)).exec()
	if err == nil && k.State != hook.TaskRunning {
		err = t.query(`UPDATE tasks SET content = NULL WHERE id = ?`).int(int64(k.ID)).exec()
	}
	return err
}

func (k *task) fail(reason string) { k.State, k.Reason = hook.TaskFailed, reason }

// candidate is a message that a task looks at, and where it stands at the task's endpoint.
type candidate struct {
	message   hook.Message
	delivery  hook.Delivery
	there     bool // there is a delivery at all
	wished    bool // a resend is wished
	attempted bool
}

const (
	candidateColumns = messageColumns + deliveryColumns + `,
		EXISTS (SELECT 1 FROM resends r WHERE r.message = d.message AND +r.endpoint = d.endpoint),
		EXISTS (SELECT 1 FROM attempts a WHERE a.message = d.message AND +a.endpoint = d.endpoint)` // not by the endpoint's index
	failedCandidates = candidateColumns + ` FROM deliveries d CROSS JOIN messages m ON m.id = d.message LEFT JOIN payloads p ON p.message = m.id
		WHERE d.endpoint = ? AND d.state = 2 AND d.message > ? AND d.message <= ? ORDER BY d.message LIMIT ?`
	allCandidates = candidateColumns + fromMessages + joinDelivery + `WHERE m.app = ? AND m.id > ? AND m.id <= ? ORDER BY m.id LIMIT ?`
)

// stepMessages looks at the next messages of a task that is about an endpoint.
func (t *tx) stepMessages(k *task, now, due time.Time, n int) (more bool, err error) {
	if err := t.workable(k.App, k.Endpoint); err != nil {
		k.fail(err.Error())
		return false, nil
	}
	l := t.lanes.byEndpoint[k.Endpoint]
	all, err := t.candidates(k, l, n)
	if err != nil {
		return false, err
	}
	open, done := t.openTypes(k.App), k.Done
	for i := range all {
		c := &all[i]
		k.place, k.Looked = int64(c.message.ID), k.Looked+1
		if c.message.Expired || c.wished || !k.selects(&c.message) {
			continue
		}
		if ok, err := t.act(k, l, c, open, now, due); err != nil {
			return false, err
		} else if ok {
			k.Done++
		}
	}
	if k.Done > done {
		t.changes = append(t.changes, store.Change{Resend: k.Endpoint})
	}
	return len(all) == n, nil
}

func (t *tx) candidates(k *task, l *lane, n int) (all []candidate, err error) {
	var q *stmt
	if k.Kind == hook.TaskRecover {
		q = t.query(failedCandidates).int(int64(k.Endpoint))
	} else {
		q = t.query(allCandidates).int(int64(k.Endpoint)).int(int64(k.App))
	}
	q = q.int(k.place).int(k.last).int(int64(n))
	err = q.each(func() error {
		var c candidate
		var err error
		c.message, err = getMessage(q)
		c.delivery = hook.Delivery{App: k.App, Message: c.message.ID, Endpoint: k.Endpoint}
		c.there = q.getMaybeDelivery(&c.delivery, l.id)
		c.wished, c.attempted = q.getBool(), q.getBool()
		all = append(all, c)
		return err
	})
	return all, err
}

// selects says whether a task is about a message, by the task's own filter.
func (k *task) selects(m *hook.Message) bool {
	return (len(k.EventTypes) == 0 || slices.Contains(k.EventTypes, m.EventType)) && carries(m, k.Channel, k.Tag)
}

// act does with a message what its task is for, if it is for this one.
func (t *tx) act(k *task, l *lane, c *candidate, open func(string) (bool, error), now, due time.Time) (done bool, err error) {
	if k.Kind == hook.TaskRecover {
		return true, t.wish(c.message.ID, l, due)
	}
	if ok, _ := l.endpoint.Selects(&c.message); !ok {
		return false, nil
	}
	if ok, err := open(c.message.EventType); err != nil || !ok {
		return false, err
	}
	switch {
	case k.Kind == hook.TaskBulk:
		if len(k.States) > 0 && (!c.there || !slices.Contains(k.States, c.delivery.State)) {
			return false, nil
		}
		return true, t.wish(c.message.ID, l, due)
	case !c.there:
		return true, t.deliver(&c.message, l, now, due)
	case c.attempted || c.delivery.State == hook.Pending:
		return false, nil
	}
	return true, t.wish(c.message.ID, l, due) // it was canceled, and what is not pending never becomes so again
}

// openTypes returns a func that says whether an application may have messages of an event type.
func (t *tx) openTypes(app hook.ApplicationID) func(name string) (bool, error) {
	flags, restricted := t.lanes.flags[app]
	known := map[string]bool{}
	return func(name string) (bool, error) {
		if !restricted {
			return true, nil
		}
		if open, ok := known[name]; ok {
			return open, nil
		}
		var e hook.EventType // a name that is not described needs no flag
		var bad error
		q := t.query(eventTypeColumns + `name = ?`).text(name)
		if _, err := q.first(func() { e, bad = getEventType(q) }); err != nil || bad != nil {
			return false, errors.Join(err, bad)
		}
		known[name] = e.OpenTo(flags)
		return known[name], nil
	}
}

// deliver makes a pending delivery of a message that never went to an endpoint.
func (t *tx) deliver(m *hook.Message, l *lane, now, due time.Time) error {
	at := due.UnixMilli() + max(m.DeliverAt.UnixMilli()-now.UnixMilli(), 0)
	t.count(hook.Pending, 1, l.id, m.ID, l.endpoint.ID)
	return t.query(`INSERT INTO deliveries (message, endpoint, lane, state, attempts, next_at) VALUES (?, ?, ?, 0, 0, ?)`).
		int(int64(m.ID)).int(int64(l.endpoint.ID)).int(l.id).int(at).exec()
}

// stepBroadcast accepts a copy of the task's message for each of the next applications.
func (t *tx) stepBroadcast(k *task, now, due time.Time, n int, next func() int64) (more bool, err error) {
	apps := make([]hook.ApplicationID, 0, n)
	q := t.query(`SELECT id FROM applications WHERE id > ? AND id <= ? ORDER BY id LIMIT ?`).int(k.place).int(k.last).int(int64(n))
	err = q.each(func() error {
		apps = append(apps, hook.ApplicationID(q.getInt()))
		return nil
	})
	if err != nil {
		return false, err
	}
	rows, bytes := 0, 0
	for i, app := range apps {
		in, out, e := *k.Message, hook.Accepted{}, entry{}
		in.Message.ID, in.Message.App, in.Message.CreatedAt, in.Due = hook.MessageID(next()), app, now, due
		e.prepare(t.db.packs, &in, &out)
		if err := t.accept(&e); err != nil {
			return false, err
		}
		k.place, k.Looked = int64(app), k.Looked+1
		if !out.Duplicate && out.Err == nil {
			k.Done++
		}
		rows, bytes = rows+1+len(out.Deliveries), bytes+e.weight()
		if i+1 < len(apps) && (rows >= maxGroupRows || bytes >= maxStepBytes) {
			return true, nil
		}
	}
	return len(apps) == n, nil
}

// RunningTasks is part of store.Flow.
func (db *DB) RunningTasks(ctx context.Context) (ids []hook.TaskID, err error) {
	err = db.readSettled(ctx, func(c *conn) error {
		q := c.query(`SELECT id FROM tasks WHERE state = 'running' ORDER BY id`)
		return q.each(func() error {
			ids = append(ids, hook.TaskID(q.getInt()))
			return nil
		})
	})
	return ids, err
}

// Task is part of store.Read. The payload of a broadcast is kept until it has ended.
func (db *DB) Task(ctx context.Context, id hook.TaskID) (h hook.Task, err error) {
	err = db.readSettled(ctx, func(c *conn) error {
		k, err := c.task(id)
		h = k.Task
		return err
	})
	return h, err
}

// Tasks is part of store.Read. An application's are found by index; kind and state are looked at row by row, scanLimit rows at
// most. The payloads of broadcasts are left out.
func (db *DB) Tasks(ctx context.Context, f store.TaskFilter, p store.Page) (l store.List[hook.Task], err error) {
	w, err := newWindow(p, hook.ParseID[hook.TaskID])
	if err != nil {
		return l, err
	}
	err = db.list(ctx, func(c *conn) error {
		q := c.query(taskColumns + `true` + w.order())
		if f.App != 0 {
			q = c.query(taskColumns + `app = ?` + w.order()).int(int64(f.App))
		}
		var bad error
		found, err := scan(w, q, pageBytes, func() (hook.Task, int64, bool) {
			k, err := getTask(q)
			if bad == nil {
				bad = err
			}
			return k.Task, int64(k.ID), (f.Kind == "" || k.Kind == f.Kind) && (f.State == "" || k.State == f.State)
		})
		l = scanned(w, found, func(id int64) string { return hook.TaskID(id).String() })
		return errors.Join(err, bad)
	})
	return l, err
}

// keepTasks is how long a task is shown after its end.
const keepTasks = 30 * 24 * time.Hour

func (t *tx) sweepTasks(s *store.Sweep, _ *store.Swept, _ *sweepFrom) (more bool, err error) {
	n, err := t.query(`DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE state <> 'running' AND updated <= ? ORDER BY updated LIMIT ?)`).
		int(s.Now.Add(-keepTasks).UnixMilli()).int(int64(s.Limit)).changed()
	return n == int64(s.Limit), err
}
