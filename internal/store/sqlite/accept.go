package sqlite

import (
	"context"
	"slices"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// entry is one message on its way in. All that can be made of it before the transaction is made by the caller's
// goroutine, so that the one that writes has less to do.
type entry struct {
	in       *hook.Accept
	msg      hook.Message // as stored: times to the millisecond, and the id that it got
	now      int64        // when it was made
	due      int64        // when its deliveries are
	envelope []byte
	written  []byte // the envelope as it is stored
	content  []byte // packed
	size     int    // of the content, in bytes, before it was packed
	same     key    // "" = never a duplicate
	event    key    // of the sender's own id, when it must be unique
	twin     key
	to       []recipient // where it is delivered to
	out      *hook.Accepted
}

// recipient is an endpoint, its lane when the message came, and how its delivery stands.
type recipient struct {
	endpoint hook.EndpointID
	lane     int64
	state    hook.State
	attempts int
	next     int64 // when it is due, in Unix milliseconds, as long as it is pending
}

// keys are those that the message is remembered by.
func (e *entry) keys() []*key {
	all := make([]*key, 0, 3)
	for _, k := range []*key{&e.same, &e.event, &e.twin} {
		if k.full != nil {
			all = append(all, k)
		}
	}
	return all
}

// Accept is part of store.Flow.
func (db *DB) Accept(ctx context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	if err := db.sound(); err != nil {
		return nil, err
	}
	if err := db.hasRoom(); err != nil {
		return nil, err
	}
	out := make([]hook.Accepted, len(batch))
	entries := make([]entry, len(batch))
	size := 0
	for i := range batch {
		entries[i].prepare(db.packs, &batch[i], &out[i])
		size += entries[i].weight()
	}
	if db.o.Faults.InStep {
		db.packs.learning.Wait()
	}
	repeats := func() bool { return !slices.ContainsFunc(out, func(a hook.Accepted) bool { return !a.Duplicate }) }
	result := store.Result{Accepted: out}
	run := func(t *tx) error {
		for i := range entries {
			if err := t.accept(&entries[i]); err != nil {
				return err
			}
		}
		return nil
	}
	record := func(b []byte) []byte {
		for i := range entries {
			if out[i].Err == nil && !out[i].Duplicate {
				b = entries[i].pack(b)
			}
		}
		return b
	}
	err := db.write(ctx, &request{kind: forAccept, inFlow: true, rows: len(batch), bytes: size, repeats: repeats, result: result, run: run, record: record})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// weight is about what an entry takes in memory while it waits, in bytes.
func (e *entry) weight() int {
	return 512 + e.size + len(e.envelope)
}

func (e *entry) prepare(packs *packer, in *hook.Accept, out *hook.Accepted) {
	e.in, e.out, e.msg = in, out, in.Message
	m := &e.msg
	e.now = m.CreatedAt.UnixMilli()
	m.CreatedAt, m.DeliverAt, m.ContentUntil = fromMillis(e.now), toMillis(m.DeliverAt), toMillis(m.ContentUntil)
	if e.due = e.now; !in.Due.IsZero() {
		e.due = in.Due.UnixMilli()
	}
	if m.DeliverAt.After(m.CreatedAt) {
		e.due += m.DeliverAt.Sub(m.CreatedAt).Milliseconds()
	}
	e.envelope = packEnvelope(m)
	e.content, e.size = packs.pack(m)
	d := &in.Dedup
	e.same = newKey(keySame, m.App, d.Scope, d.Key, e.now, d.Keep)
	e.twin = newKey(keyTwin, m.App, d.Scope, d.Twin, e.now, d.TwinKeep)
	if in.Unique {
		e.event = newKey(keyEvent, m.App, "", m.EventID, e.now, in.UniqueKeep)
	}
}

// packRemote puts the sender's address behind a head. What was stored before there was one has none.
func packRemote(head []byte, remote string) []byte {
	if remote == "" {
		return head
	}
	return packText(head, remote)
}

func packEnvelope(m *hook.Message) []byte {
	if len(m.Channels) == 0 && len(m.Tags) == 0 && len(m.Platform) == 0 && m.Unreadable == "" && m.Trace == "" {
		return nil
	}
	b := packText(packMap(packList(packList(nil, m.Channels), m.Tags), m.Platform), m.Unreadable)
	if m.Trace != "" {
		b = packText(b, m.Trace)
	}
	return b
}

// accept takes one message, or finds what it repeats. Every refusal is the message's own.
func (t *tx) accept(e *entry) error {
	m := &e.msg
	*e.out = hook.Accepted{}
	lanes, ok := t.lanes.byApp[m.App]
	switch {
	case !ok:
		e.out.Err = noSuch("application", m.App.String())
		return nil
	case e.in.Message.ID <= 0 || e.in.Message.CreatedAt.IsZero():
		e.out.Err = hook.Errorf(hook.KindInvalid, "a message needs an id and a time")
		return nil
	}
	for _, k := range []*key{&e.same, &e.event} {
		earlier, err := t.recall(k, e.now)
		if err != nil {
			return err
		}
		if earlier != 0 {
			e.out.Duplicate, e.out.ByEvent, e.out.Message.ID = true, k == &e.event, earlier
			return nil
		}
	}
	envelope, platform, err := t.markTwin(e)
	if err != nil {
		return err
	}
	e.written = envelope
	m.ID = max(e.in.Message.ID, t.lastMessage+1)
	e.choose(t, lanes)
	t.insert(e)
	e.out.Message = *m
	e.out.Message.Platform = platform
	for _, p := range e.to {
		e.out.Deliveries = append(e.out.Deliveries, hook.Delivery{
			App: m.App, Message: m.ID, Endpoint: p.endpoint, State: hook.Pending, NextAt: fromMillis(e.due),
		})
	}
	t.accepted = append(t.accepted, *e.out)
	return nil
}

// choose finds the endpoints that a message goes to.
func (e *entry) choose(t *tx, lanes []*lane) {
	e.to = e.to[:0]
	if flags, restricted := t.lanes.flags[e.msg.App]; restricted && !hook.Permits(flags, e.in.Needs) {
		return
	}
	for _, l := range lanes {
		if e.in.GoesTo(&l.endpoint) {
			e.to = append(e.to, recipient{endpoint: l.endpoint.ID, lane: l.id})
		}
	}
}

// insert takes a new message and its pending deliveries; writeOut writes them. Nothing is decided here any more: what goes in is
// what the journal has of it.
func (t *tx) insert(e *entry) {
	m := &e.msg
	t.lastMessage = max(t.lastMessage, m.ID)
	for i := range e.to {
		p := &e.to[i]
		p.state, p.attempts, p.next = hook.Pending, 0, e.due
		t.count(hook.Pending, 1, p.lane, m.ID, p.endpoint)
	}
	t.unwritten.addMessage(e)
	t.issued(int64(m.ID))
	t.counts.Messages++
}

// markTwin returns the envelope and the platform map, with the mark when a weaker key is remembered.
func (t *tx) markTwin(e *entry) ([]byte, map[string]string, error) {
	earlier, err := t.recall(&e.twin, e.now)
	if err != nil || earlier == 0 || e.in.Dedup.TwinMark == "" {
		return e.envelope, e.msg.Platform, err
	}
	marked := e.msg
	marked.Platform = cloneMap(e.msg.Platform)
	marked.Platform[e.in.Dedup.TwinMark] = earlier.String()
	return packEnvelope(&marked), marked.Platform, nil
}
