package sqlite

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// The content of a record is one change after another, each with its kind in front. Numbers are varints, times Unix
// milliseconds, 0 for none.
const (
	journalArrival = 1
	journalOutcome = 2
	journalReceipt = 3
)

// packNil keeps nil apart from empty.
func packNil(b, s []byte) []byte {
	if s == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(s))+1)
	return append(b, s...)
}

func (u *unpacker) bytesOrNil() []byte {
	n, isNil := u.count()
	if isNil {
		return nil
	}
	v := u.b[:n:n]
	u.b = u.b[n:]
	return v
}

func packInts(b []byte, ints ...int64) []byte {
	for _, v := range ints {
		b = binary.AppendVarint(b, v)
	}
	return b
}

// packTime keeps the millisecond.
func packTime(b []byte, t time.Time) []byte { return binary.AppendVarint(b, millisOr0(t)) }

func (u *unpacker) time() time.Time {
	if ms := u.int(); ms != 0 {
		return fromMillis(ms)
	}
	return time.Time{}
}

func (k *key) pack(b []byte) []byte { return binary.AppendVarint(packNil(b, k.full), k.expires) }

func (u *unpacker) key() (k key) {
	full, expires := u.bytesOrNil(), u.int()
	if full == nil {
		return key{}
	}
	return keyOfText(full, expires)
}

// pack appends a message as it was stored.
func (e *entry) pack(b []byte) []byte {
	m := &e.msg
	b = append(b, journalArrival)
	b = packInts(b, int64(m.ID), int64(m.App), int64(m.Source), e.now, e.due)
	b = packTime(packTime(packTime(b, m.CreatedAt), m.DeliverAt), m.ContentUntil)
	b = packText(packText(b, m.EventType), m.EventID)
	b = packBytes(packNil(b, e.written), e.content)
	b = e.twin.pack(e.event.pack(e.same.pack(b)))
	b = binary.AppendUvarint(b, uint64(len(e.to))+1)
	for _, p := range e.to {
		b = packInts(b, int64(p.endpoint), p.lane)
	}
	return b
}

func (u *unpacker) entry() *entry {
	e := &entry{}
	m := &e.msg
	m.ID, m.App, m.Source = hook.MessageID(u.int()), hook.ApplicationID(u.int()), hook.SourceID(u.int())
	e.now, e.due = u.int(), u.int()
	m.CreatedAt, m.DeliverAt, m.ContentUntil = u.time(), u.time(), u.time()
	m.EventType, m.EventID = u.text(), u.text()
	e.written = u.bytesOrNil()
	e.content = u.bytes()
	e.same, e.event, e.twin = u.key(), u.key(), u.key()
	n, _ := u.count()
	for range n {
		e.to = append(e.to, recipient{endpoint: hook.EndpointID(u.int()), lane: u.int()})
	}
	return e
}

// packOutcome appends what an attempt came to.
func packOutcome(b []byte, o *hook.Outcome) []byte {
	a, d := &o.Attempt, &o.Delivery
	b = append(b, journalOutcome)
	b = packInts(b, int64(a.ID), int64(a.App), int64(a.Message), int64(a.Endpoint), int64(a.N), int64(a.Trigger),
		int64(a.Duration), int64(a.Status), int64(a.Verdict), o.Resend, int64(d.App), int64(d.Message), int64(d.Endpoint), int64(d.State), int64(d.Attempts))
	b = packTime(packTime(packTime(b, a.At), a.NextAt), d.NextAt)
	b = packText(packText(packText(b, a.EventType), a.URL), a.Reason)
	return packNil(b, a.Response)
}

func (u *unpacker) outcome() *hook.Outcome {
	o := &hook.Outcome{}
	a, d := &o.Attempt, &o.Delivery
	a.ID, a.App, a.Message = hook.AttemptID(u.int()), hook.ApplicationID(u.int()), hook.MessageID(u.int())
	a.Endpoint, a.N, a.Trigger = hook.EndpointID(u.int()), int(u.int()), hook.Trigger(u.int())
	a.Duration, a.Status, a.Verdict = time.Duration(u.int()), int(u.int()), hook.Verdict(u.int())
	o.Resend = u.int()
	d.App, d.Message, d.Endpoint = hook.ApplicationID(u.int()), hook.MessageID(u.int()), hook.EndpointID(u.int())
	d.State, d.Attempts = hook.State(u.int()), int(u.int())
	a.At, a.NextAt, d.NextAt = u.time(), u.time(), u.time()
	a.EventType, a.URL, a.Reason = u.text(), u.text(), u.text()
	a.Response = u.bytesOrNil()
	return o
}

// pack appends a kept answer, if there is one.
func (r *receipt) pack(b []byte) []byte {
	if r == nil {
		return b
	}
	b = append(append(b, journalReceipt), r.key[:]...)
	return packBytes(packInts(b, r.expires, int64(r.status)), r.sealed)
}

func (u *unpacker) receipt() *receipt {
	r := &receipt{}
	if u.err != nil || len(u.b) < len(r.key) {
		u.fail()
		return r
	}
	u.b = u.b[copy(r.key[:], u.b):]
	r.expires, r.status, r.sealed = u.int(), int(u.int()), u.bytes()
	return r
}

// replay makes the changes of a record again.
func (t *tx) replay(content []byte) error {
	u := unpacker{b: content}
	for len(u.b) > 0 {
		kind := u.b[0]
		u.b = u.b[1:]
		var err error
		switch kind {
		case journalArrival:
			e := u.entry()
			if err = u.err; err == nil {
				err = t.arrive(e)
			}
		case journalOutcome:
			o := u.outcome()
			if err = u.err; err == nil {
				err = t.finish(o)
			}
		case journalReceipt:
			r := u.receipt()
			if err = u.err; err == nil {
				err = t.keepReceipt(r)
			}
		default:
			err = fmt.Errorf("%s holds a change of an unknown kind (%d)", journalName, kind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// arrive inserts a message of the journal.
func (t *tx) arrive(e *entry) error {
	for _, k := range []*key{&e.same, &e.event, &e.twin} {
		if _, err := t.recall(k, e.now); err != nil { // for a row that has run out and is used again
			return err
		}
	}
	t.insert(e)
	return nil
}
