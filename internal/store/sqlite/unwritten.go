package sqlite

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// unwritten is what the journal makes durable and the tables do not have yet: messages, what became of their deliveries, attempts,
// and counts. Most messages are delivered before they are written, and then their deliveries are written once, as they ended.
// Rows of one table are written together, which costs a fraction of writing each by itself.
//
// It is the writing goroutine's. Whatever else that goroutine is asked for than to accept and to finish, it writes everything out
// before: so only these two look here, and every statement sees all rows.
type unwritten struct {
	entries  []*entry // in the order of their ids
	byID     map[hook.MessageID]*entry
	keys     map[keyPlace]*boundKey
	attempts []hook.Attempt
	known    map[hook.AttemptID]bool // those of attempts
	tally    tally
}

func newUnwritten() unwritten {
	return unwritten{byID: map[hook.MessageID]*entry{}, keys: map[keyPlace]*boundKey{}, known: map[hook.AttemptID]bool{}, tally: newTally()}
}

// forget drops everything, which is made again from the journal.
func (u *unwritten) forget() { *u = newUnwritten() }

// shed lets go of what messages came with and are not written from: the group is durable, so it is never run again.
func (u *unwritten) shed() {
	for _, e := range slices.Backward(u.entries) {
		if e.in == nil { // as all before
			break
		}
		e.in, e.out, e.envelope = nil, nil, nil
		e.msg.Payload, e.msg.Raw, e.msg.Platform = nil, nil, nil
	}
}

// delivery returns the delivery of a message to an endpoint; nil = it is in the tables, or nowhere.
func (u *unwritten) delivery(m hook.MessageID, ep hook.EndpointID) *recipient {
	e := u.byID[m]
	if e == nil {
		return nil
	}
	i, found := slices.BinarySearchFunc(e.to, ep, func(r recipient, ep hook.EndpointID) int { return cmp.Compare(r.endpoint, ep) })
	if !found {
		return nil
	}
	return &e.to[i]
}

func (u *unwritten) addMessage(e *entry) {
	u.entries = append(u.entries, e)
	u.byID[e.msg.ID] = e
	for _, k := range e.keys() {
		u.keys[k.place()] = &boundKey{*k, e.msg.ID}
	}
}

func (u *unwritten) addAttempt(a hook.Attempt) {
	a.Response = bytes.Clone(a.Response) // the caller may use its bytes again
	u.attempts = append(u.attempts, a)
	u.known[a.ID] = true
}

// writeOut writes all that is unwritten into the open transaction.
func (w *writer) writeOut() error {
	u := &w.unwritten
	if err := w.writeOldest(len(u.entries)); err != nil {
		return err
	}
	return w.writeTally(&u.tally)
}

// writeBeside writes the oldest messages when there are many, between two groups, so that nobody waits long for a commit.
func (w *writer) writeBeside() error {
	most := w.db.o.Unwritten
	if n := len(w.unwritten.entries); n < most || !w.open() || w.behind {
		return nil
	}
	if err := w.writeOldest(max(1, most/3)); err != nil {
		return w.unwritable(errors.Join(err, w.rollback()))
	}
	return nil
}

// unwritable judges an error of writing what the journal has. A full disk may have room later, and who holds the file may let go;
// about another error no caller could do anything.
func (w *writer) unwritable(err error) error {
	if err == nil || isFull(err) || errors.Is(err, sqlite3.BUSY) || errors.Is(err, store.ErrBroken) {
		return err
	}
	return w.db.breakWith(fmt.Errorf("write what is in the journal: %w", err))
}

// writeOldest writes the first n messages and all attempts.
func (w *writer) writeOldest(n int) error {
	u := &w.unwritten
	some := u.entries[:n]
	if err := w.insertMessages(some); err != nil {
		return err
	}
	if err := w.insertKeys(some); err != nil {
		return err
	}
	if err := w.insertDeliveries(some); err != nil {
		return err
	}
	if err := w.insertAttempts(u.attempts); err != nil {
		return err
	}
	for _, e := range some {
		delete(u.byID, e.msg.ID)
	}
	for i := range u.attempts {
		w.highestAttempt = max(w.highestAttempt, u.attempts[i].ID)
	}
	clear(u.attempts)
	u.attempts = u.attempts[:0]
	clear(u.known)
	rest := copy(u.entries, u.entries[n:])
	clear(u.entries[rest:])
	u.entries = u.entries[:rest]
	return nil
}

// insertKeys writes the keys of messages, those excepted that a later message has taken over.
func (w *writer) insertKeys(entries []*entry) error {
	var all []boundKey
	for _, e := range entries {
		for _, k := range e.keys() {
			place := k.place()
			if b := w.unwritten.keys[place]; b != nil && b.message == e.msg.ID {
				all = append(all, *b)
				delete(w.unwritten.keys, place)
			}
		}
	}
	return w.rememberAll(all)
}

var insertMessages = newBulk(`INSERT OR ROLLBACK INTO messages (id, app, source, event_type, event_id, envelope, created, deliver_at, content_until) VALUES `, 9)

// insertPayloads leaves the columns empty that are only filled in rows of before there was packed.
var insertPayloads = newBulk(`INSERT OR ROLLBACK INTO payloads (message, format, payload, packed) VALUES `, 4)

func (w *writer) insertMessages(entries []*entry) error {
	err := w.bulk(insertMessages, len(entries), func(s *stmt, i int) {
		m := &entries[i].msg
		s.int(int64(m.ID)).int(int64(m.App)).int(int64(m.Source)).text(m.EventType).optional(m.EventID).
			blob(entries[i].written).time(m.CreatedAt).time(m.DeliverAt).time(m.ContentUntil)
	})
	if err != nil {
		return err
	}
	return w.bulk(insertPayloads, len(entries), func(s *stmt, i int) {
		s.int(int64(entries[i].msg.ID)).int(0).blob([]byte{}).blob(entries[i].content)
	})
}

var insertDeliveries = newBulk(`INSERT OR ROLLBACK INTO deliveries (message, endpoint, lane, state, attempts, next_at) VALUES `, 6)

func (w *writer) insertDeliveries(entries []*entry) error {
	type row struct {
		m *hook.MessageID
		r *recipient
	}
	var rows []row
	for _, e := range entries {
		for i := range e.to {
			rows = append(rows, row{&e.msg.ID, &e.to[i]})
		}
	}
	return w.bulk(insertDeliveries, len(rows), func(s *stmt, i int) {
		r := rows[i].r
		s.int(int64(*rows[i].m)).int(int64(r.endpoint)).int(r.lane).int(int64(r.state)).int(int64(r.attempts))
		if r.state == hook.Pending {
			s.int(r.next)
		} else {
			s.null()
		}
	})
}

var insertAttempts = newBulk(`INSERT OR ROLLBACK INTO attempts (id, app, message, endpoint, event_type, url, n, manual, started, duration, status,
	verdict, reason, response, next_at) VALUES `, 15)

func (w *writer) insertAttempts(attempts []hook.Attempt) error {
	return w.bulk(insertAttempts, len(attempts), func(s *stmt, i int) {
		a := &attempts[i]
		s.int(int64(a.ID)).int(int64(a.App)).int(int64(a.Message)).int(int64(a.Endpoint)).text(a.EventType).text(a.URL).
			int(int64(a.N)).int(int64(a.Trigger)).int(a.At.UnixMilli()).int(a.Duration.Microseconds()).int(int64(a.Status)).
			int(int64(a.Verdict)).text(a.Reason).blob(a.Response).time(a.NextAt)
	})
}

// bulk is a statement that inserts one row, or several at once. It takes back the transaction when it fails, as whoever runs it would:
// so SQLite keeps no copies of the pages that it changes.
type bulk [len(bulkRows)]string

// bulkRows are how many rows are inserted at once, the most first.
var bulkRows = [...]int{32, 8, 1}

// newBulk makes the statements of a text that ends with VALUES.
func newBulk(text string, columns int) (b bulk) {
	row := "(" + strings.Repeat("?, ", columns-1) + "?)"
	for i, n := range bulkRows {
		b[i] = text + strings.Repeat(row+", ", n-1) + row
	}
	return b
}

// bulk inserts n rows; bind binds the columns of one.
func (w *writer) bulk(b bulk, n int, bind func(s *stmt, i int)) error {
	for done := 0; done < n; {
		size := slices.IndexFunc(bulkRows[:], func(rows int) bool { return rows <= n-done })
		s := w.query(b[size])
		for range bulkRows[size] {
			bind(s, done)
			done++
		}
		if err := s.exec(); err != nil {
			return err
		}
		s.unbind()
	}
	return nil
}
