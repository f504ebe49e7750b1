package sqlite

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

const (
	beatName  = "beat"
	cleanName = "clean"
	clockName = "clock"
)

// clockRow is what is kept of a clock beside the beat. Times are Unix milliseconds.
type clockRow struct {
	Steady int64       `json:"steady"`
	Jumps  []clockJump `json:"jumps,omitempty"`
}

type clockJump struct {
	At    int64         `json:"at"`
	Ahead time.Duration `json:"ahead"`
	Away  bool          `json:"away,omitempty"`
}

// Beat is part of store.Flow.
func (db *DB) Beat(ctx context.Context, now hook.ClockState, clean bool) error {
	if now.Steady.IsZero() {
		now.Steady = now.Wall
	}
	row := clockRow{Steady: now.Steady.UnixMilli()}
	for _, j := range now.Jumps {
		row.Jumps = append(row.Jumps, clockJump{j.At.UnixMilli(), j.Ahead, j.Away})
	}
	clock, err := json.Marshal(row)
	if err != nil {
		return err
	}
	return db.do(ctx, func(t *tx) error {
		if err := t.putMeta(beatName, binary.BigEndian.AppendUint64(nil, uint64(now.Wall.UnixMilli()))); err != nil {
			return err
		}
		if err := t.putMeta(clockName, clock); err != nil {
			return err
		}
		flag := byte(0)
		if clean {
			flag = 1
		}
		return t.putMeta(cleanName, []byte{flag})
	})
}

// LastBeat is part of store.Flow.
func (db *DB) LastBeat(ctx context.Context) (last hook.ClockState, err error) {
	var row clockRow
	err = db.snapshot(ctx, func(c *conn) error {
		q := c.query(`SELECT value FROM meta WHERE name = ?`).text(beatName)
		_, err := q.first(func() {
			if b := q.rawBlob(); len(b) == 8 {
				last.Wall = fromMillis(int64(binary.BigEndian.Uint64(b)))
			}
		})
		if err != nil {
			return err
		}
		row = clockRow{Steady: last.Wall.UnixMilli()} // of a store whose last process kept no clock
		q = c.query(`SELECT value FROM meta WHERE name = ?`).text(clockName)
		var bad error
		if _, err := q.first(func() { bad = json.Unmarshal(q.rawBlob(), &row) }); err != nil {
			return err
		}
		return bad
	})
	if err != nil || last.Wall.IsZero() {
		return hook.ClockState{}, err
	}
	last.Steady = fromMillis(row.Steady)
	for _, j := range row.Jumps {
		last.Jumps = append(last.Jumps, hook.ClockJump{At: fromMillis(j.At), Ahead: j.Ahead, Away: j.Away})
	}
	return last, nil
}

func (t *tx) putMeta(name string, value []byte) error {
	return t.query(`INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value`).
		text(name).blob(value).exec()
}

// sweepFrom is where the next step of retention goes on looking. What may not go yet (a delivery is pending) would be
// looked at again in every step otherwise. A round that has reached the end starts over.
type sweepFrom struct {
	messages, payloads int64
	until, content     int64 // of content that goes before its time: the moment, and the message
}

const defaultSweep = 500

// Sweep is part of store.Flow. Besides what it counts it rewrites deliveries that were canceled with their lane.
func (db *DB) Sweep(ctx context.Context, s store.Sweep) (done store.Swept, more bool, err error) {
	db.sweeping.Lock()
	defer db.sweeping.Unlock()
	if s.Limit <= 0 {
		s.Limit = defaultSweep
	}
	from := db.sweepFrom
	err = db.write(ctx, &request{rows: s.Limit, run: func(t *tx) error {
		done, more, from = store.Swept{}, false, db.sweepFrom
		for _, step := range []func(*store.Sweep, *store.Swept, *sweepFrom) (bool, error){
			t.sweepLanes, t.sweepContent, t.sweepPayloads, t.sweepMessages, t.sweepKeys, t.sweepTokens, t.sweepReceipts, t.sweepTasks,
		} {
			again, err := step(&s, &done, &from)
			if err != nil {
				return err
			}
			more = more || again
		}
		db.o.Faults.at(AtRetention)
		return nil
	}})
	if err != nil {
		return store.Swept{}, false, err
	}
	db.sweepFrom = from
	return done, more, nil
}

// sweepLanes rewrites the deliveries of one closed lane.
func (t *tx) sweepLanes(s *store.Sweep, _ *store.Swept, _ *sweepFrom) (more bool, err error) {
	var lane int64
	q := t.query(`SELECT id FROM lanes WHERE open = 0 ORDER BY id LIMIT 1`)
	found, err := q.first(func() { lane = q.getInt() })
	if err != nil || !found {
		return false, err
	}
	n, err := t.query(`UPDATE deliveries SET state = 3, next_at = NULL WHERE (message, endpoint) IN
		(SELECT message, endpoint FROM deliveries WHERE lane = ? AND state = 0 LIMIT ?)`).int(lane).int(int64(s.Limit)).changed()
	if err != nil || n == int64(s.Limit) {
		return true, err
	}
	if err := t.query(`DELETE FROM lanes WHERE id = ?`).int(lane).exec(); err != nil {
		return false, err
	}
	return t.has(`SELECT 1 FROM lanes WHERE open = 0`)
}

// openWork says that a message must stay: one of its deliveries is pending, or a resend of it is wished.
const openWork = `(EXISTS (SELECT 1 FROM deliveries d JOIN endpoints e ON e.id = d.endpoint AND e.lane = d.lane
	WHERE d.message = m.id AND d.state = 0) OR EXISTS (SELECT 1 FROM resends r WHERE r.message = m.id))`

// oldest lists the next messages before a moment from a position on, with whether they must stay.
func (t *tx) oldest(sql string, from int64, before time.Time, limit int) (ids []int64, stay []bool, err error) {
	q := t.query(sql).int(from).int(idAt(before)).int(int64(limit))
	err = q.each(func() error {
		ids, stay = append(ids, q.getInt()), append(stay, q.getBool())
		return nil
	})
	return ids, stay, err
}

// sweepContent removes content that was to be kept for a shorter time than the rest.
func (t *tx) sweepContent(s *store.Sweep, done *store.Swept, from *sweepFrom) (more bool, err error) {
	var ids, until []int64
	var stay []bool
	q := t.query(`SELECT m.id, m.content_until, ` + openWork + ` FROM messages m WHERE (m.content_until, m.id) > (?, ?)
		AND m.content_until <= ? ORDER BY m.content_until, m.id LIMIT ?`).
		int(from.until).int(from.content).int(s.Now.UnixMilli()).int(int64(s.Limit))
	err = q.each(func() error {
		ids, until, stay = append(ids, q.getInt()), append(until, q.getInt()), append(stay, q.getBool())
		return nil
	})
	if err != nil {
		return false, err
	}
	for i, id := range ids {
		if stay[i] {
			continue
		}
		was, err := t.removeContent(id)
		if err != nil {
			return false, err
		}
		if was {
			done.Payloads++
		}
	}
	if from.content, more = nextFrom(ids, s.Limit); more {
		from.until = until[len(until)-1]
	} else {
		from.until = 0
	}
	return more, nil
}

func (t *tx) sweepPayloads(s *store.Sweep, done *store.Swept, from *sweepFrom) (more bool, err error) {
	if s.PayloadBefore.IsZero() {
		return false, nil
	}
	ids, stay, err := t.oldest(`SELECT m.message, `+openPayload+` FROM payloads m WHERE m.message > ? AND m.message < ?
		ORDER BY m.message LIMIT ?`, from.payloads, s.PayloadBefore, s.Limit)
	if err != nil {
		return false, err
	}
	for i, id := range ids {
		if stay[i] {
			continue
		}
		if _, err := t.removeContent(id); err != nil {
			return false, err
		}
		done.Payloads++
	}
	from.payloads, more = nextFrom(ids, s.Limit)
	return more, nil
}

// openPayload is openWork for a row of payloads.
const openPayload = `(EXISTS (SELECT 1 FROM deliveries d JOIN endpoints e ON e.id = d.endpoint AND e.lane = d.lane
	WHERE d.message = m.message AND d.state = 0) OR EXISTS (SELECT 1 FROM resends r WHERE r.message = m.message))`

func (t *tx) sweepMessages(s *store.Sweep, done *store.Swept, from *sweepFrom) (more bool, err error) {
	if s.Before.IsZero() {
		return false, nil
	}
	ids, stay, err := t.oldest(`SELECT m.id, `+openWork+` FROM messages m WHERE m.id > ? AND m.id < ? ORDER BY m.id LIMIT ?`,
		from.messages, s.Before, s.Limit)
	if err != nil {
		return false, err
	}
	for i, id := range ids {
		if stay[i] {
			continue
		}
		t.removed = true
		if err := t.removeDeliveries(hook.MessageID(id)); err != nil {
			return false, err
		}
		for _, sql := range []string{
			`DELETE FROM attempts WHERE message = ?`,
			`DELETE FROM payloads WHERE message = ?`,
			`DELETE FROM messages WHERE id = ?`,
		} {
			if err := t.query(sql).int(id).exec(); err != nil {
				return false, err
			}
		}
		done.Messages++
	}
	from.messages, more = nextFrom(ids, s.Limit)
	return more, nil
}

// nextFrom is where to go on: behind the last row, or at the start again after a step that was not full.
func nextFrom(ids []int64, limit int) (from int64, more bool) {
	if len(ids) < limit {
		return 0, false
	}
	return ids[len(ids)-1], true
}

// sweepKeys removes those of before schema 6 as well, until there are none.
func (t *tx) sweepKeys(s *store.Sweep, done *store.Swept, _ *sweepFrom) (more bool, err error) {
	m, err := t.memory()
	if err != nil {
		return false, err
	}
	if done.Keys, more, err = m.sweep(s); err != nil || !m.before {
		return more, err
	}
	n, err := t.query(`DELETE FROM keys WHERE id IN (SELECT id FROM keys WHERE expires <= ? ORDER BY expires LIMIT ?)`).
		int(s.Now.UnixMilli()).int(int64(s.Limit)).changed()
	if err != nil {
		return false, err
	}
	done.Keys += int(n)
	return more || n == int64(s.Limit), m.readBefore()
}

func (t *tx) sweepTokens(s *store.Sweep, _ *store.Swept, _ *sweepFrom) (more bool, err error) {
	n, err := t.query(`DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE expires <= ? LIMIT ?)`).
		int(s.Now.UnixMilli()).int(int64(s.Limit)).changed()
	return n == int64(s.Limit), err
}

func (t *tx) sweepReceipts(s *store.Sweep, _ *store.Swept, _ *sweepFrom) (more bool, err error) {
	n, err := t.query(`DELETE FROM receipts WHERE id IN (SELECT id FROM receipts WHERE expires <= ? ORDER BY expires LIMIT ?)`).
		int(s.Now.UnixMilli()).int(int64(s.Limit)).changed()
	return n == int64(s.Limit), err
}
