package sqlite

import (
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// tx is one transaction: what it changes in the counters and in the writer's memory, and whom it will tell.
type tx struct {
	*writer
	counts  store.Counts // changes of the counters
	pending map[int64]int64
	days    map[dayKey]*store.DeliveryCounts // changes of the days' counters
	highest int64
	undo    []func()

	lastMessage hook.MessageID // in place of the writer's
	removed     bool           // content that the journal shall not keep either

	accepted []hook.Accepted
	changes  []store.Change
}

// issued notes an id, so that HighestID never goes back.
func (t *tx) issued(id int64) { t.highest = max(t.highest, id) }

// onTakeBack notes something to be undone in memory when the transaction is taken back.
func (t *tx) onTakeBack(f func()) { t.undo = append(t.undo, f) }

func (t *tx) takeBack() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
	}
}

// flush writes the counters.
func (t *tx) flush() error {
	if before := t.writer.lastMessage; t.lastMessage != before {
		t.onTakeBack(func() { t.writer.lastMessage = before })
		t.writer.lastMessage = t.lastMessage
	}
	for lane, n := range t.pending {
		if n == 0 {
			continue
		}
		if err := t.query(`UPDATE lanes SET pending = pending + ? WHERE id = ?`).int(n).int(lane).exec(); err != nil {
			return err
		}
	}
	if err := t.flushDays(); err != nil {
		return err
	}
	if t.counts == (store.Counts{}) && t.highest <= t.writer.highest {
		return nil
	}
	before := t.writer.highest
	t.onTakeBack(func() { t.writer.highest = before })
	t.writer.highest = max(before, t.highest)
	c := &t.counts
	return t.query(`UPDATE counts SET messages = messages + ?, pending = pending + ?, delivered = delivered + ?,
		failed = failed + ?, canceled = canceled + ?, highest = ?`).
		int(c.Messages).int(c.Pending).int(c.Delivered).int(c.Failed).int(c.Canceled).int(t.writer.highest).exec()
}

// tell says what was committed.
func (t *tx) tell(changed func(store.Change)) {
	if len(t.accepted) > 0 {
		changed(store.Change{Accepted: t.accepted})
	}
	for _, c := range t.changes {
		changed(c)
	}
}

// move counts a delivery that goes from one state to another.
func (t *tx) move(from, to hook.State, lane int64, m hook.MessageID, ep hook.EndpointID) {
	t.count(from, -1, lane, m, ep)
	t.count(to, 1, lane, m, ep)
}

// count adds n deliveries of a message to an endpoint in a state. lane is the endpoint's present one, 0 when the endpoint is gone.
func (t *tx) count(s hook.State, n int64, lane int64, m hook.MessageID, ep hook.EndpointID) {
	switch s {
	case hook.Pending:
		t.counts.Pending += n
		t.pending[lane] += n
	case hook.Delivered:
		t.counts.Delivered += n
	case hook.Failed:
		t.counts.Failed += n
	case hook.Canceled:
		t.counts.Canceled += n
	}
	if lane != 0 {
		t.countDay(s, n, m, ep)
	}
}
