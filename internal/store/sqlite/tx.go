package sqlite

import (
	"maps"
	"slices"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// tx is one transaction: what it changes in the counters and in the writer's memory, and whom it will tell.
type tx struct {
	*writer
	tally
	undo []func()

	lastMessage hook.MessageID // in place of the writer's
	removed     bool           // content that the journal shall not keep either

	accepted []hook.Accepted
	changes  []store.Change
}

// tally is what is to be added to the counters.
type tally struct {
	counts  store.Counts
	pending map[int64]int64                  // by lane
	days    map[dayKey]*store.DeliveryCounts // nil = none
	top     int64                            // the highest id
}

func newTally() tally { return tally{pending: map[int64]int64{}} }

// add takes over what another has.
func (y *tally) add(o *tally) {
	c := &o.counts
	y.counts.Messages += c.Messages
	y.counts.Pending += c.Pending
	y.counts.Delivered += c.Delivered
	y.counts.Failed += c.Failed
	y.counts.Canceled += c.Canceled
	for lane, n := range o.pending {
		y.pending[lane] += n
	}
	for k, c := range o.days {
		y.addDay(k, c)
	}
	y.top = max(y.top, o.top)
}

// issued notes an id, so that HighestID never goes back.
func (t *tx) issued(id int64) { t.top = max(t.top, id) }

// onTakeBack notes something to be undone in memory when the transaction is taken back.
func (t *tx) onTakeBack(f func()) { t.undo = append(t.undo, f) }

func (t *tx) takeBack() {
	for i := len(t.undo) - 1; i >= 0; i-- {
		t.undo[i]()
	}
}

// flush leaves the counters to writeOut.
func (t *tx) flush() {
	lastMessage, highest := t.writer.lastMessage, t.writer.highest
	t.onTakeBack(func() { t.writer.lastMessage, t.writer.highest = lastMessage, highest })
	t.writer.lastMessage = t.lastMessage
	t.writer.highest = max(highest, t.top)
	t.unwritten.tally.add(&t.tally)
}

// writeTally writes the counters and sets them to nothing.
func (w *writer) writeTally(y *tally) error {
	for _, lane := range slices.Sorted(maps.Keys(y.pending)) {
		if n := y.pending[lane]; n != 0 {
			if err := w.query(`UPDATE lanes SET pending = pending + ? WHERE id = ?`).int(n).int(lane).exec(); err != nil {
				return err
			}
		}
	}
	if err := w.writeDays(y); err != nil {
		return err
	}
	c := y.counts
	if c != (store.Counts{}) || y.top > 0 {
		err := w.query(`UPDATE counts SET messages = messages + ?, pending = pending + ?, delivered = delivered + ?,
			failed = failed + ?, canceled = canceled + ?, highest = max(highest, ?)`).
			int(c.Messages).int(c.Pending).int(c.Delivered).int(c.Failed).int(c.Canceled).int(y.top).exec()
		if err != nil {
			return err
		}
	}
	*y = newTally()
	return nil
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
