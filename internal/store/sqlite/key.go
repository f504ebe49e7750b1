package sqlite

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// A key is what a message is recognised by. Its full text says what kind of key it is, of which application and in what
// scope, so that keys of different kinds, applications or scopes are never the same. The zero key is no key.
//
// What is stored is its place, the first 24 bytes of the text's SHA-256. Two texts with the same 192 bits are not known, and
// nobody can make a pair. Rows of before schema 5 have the text in the place of the last 16 bytes.
type key struct {
	full    []byte
	hash    int64
	rest    [16]byte
	expires int64
	stored  int64 // when what is stored of this key runs out, or has run out; 0 = nothing is. recall finds out
}

// boundKey is a key and the message that it is remembered for.
type boundKey struct {
	key
	message hook.MessageID
}

// The kinds of key. The numbers are stored: they never change.
const (
	keySame  = 0
	keyEvent = 1
	keyTwin  = 2
)

// newKey makes a key that is remembered for a time from now on (Unix milliseconds). There is none without a text, and
// none that would be forgotten at once.
func newKey(kind byte, app hook.ApplicationID, scope, text string, now int64, keep time.Duration) key {
	if text == "" || keep <= 0 {
		return key{}
	}
	full := make([]byte, 0, 9+2+len(scope)+len(text))
	full = append(full, kind)
	full = binary.BigEndian.AppendUint64(full, uint64(app))
	full = packText(full, scope)
	return keyOfText(append(full, text...), now+max(1, keep.Milliseconds()))
}

// keyOfText makes the key of a full text.
func keyOfText(full []byte, expires int64) key {
	sum := sha256.Sum256(full)
	return key{full: full, hash: int64(binary.BigEndian.Uint64(sum[:])), rest: [16]byte(sum[8:]), expires: expires}
}

func (k *key) place() (p keyPlace) {
	binary.BigEndian.PutUint64(p[:], uint64(k.hash))
	copy(p[8:], k.rest[:])
	return p
}

// recall returns the message that a key is remembered for, 0 when there is none. What has run out does not count, though
// Sweep has not removed it yet.
func (t *tx) recall(k *key, now int64) (hook.MessageID, error) {
	k.stored = 0
	if k.full == nil {
		return 0, nil
	}
	place := k.place()
	if b := t.unwritten.keys[place]; b != nil { // which is never written when k is remembered
		k.stored = b.stored
		if b.expires <= now {
			return 0, nil
		}
		return b.message, nil
	}
	m, err := t.memory()
	if err != nil {
		return 0, err
	}
	b, found, err := m.find(&place)
	if err == nil && !found && m.before {
		b, found, err = t.recallBefore(k)
	}
	if err != nil || !found {
		return 0, err
	}
	k.stored = b.expires
	if b.expires <= now {
		return 0, nil
	}
	return b.message, nil
}

// rememberAll binds keys to messages; recall has been asked for each before. Of two bindings of one key the later counts.
func (w *writer) rememberAll(all []boundKey) error {
	m, err := w.memory()
	if err != nil {
		return err
	}
	if len(all) > m.room() {
		all = lastOfEach(all)
	}
	for len(all) > 0 {
		n := min(len(all), m.room())
		if err := m.add(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// lastOfEach leaves the last binding of each key. What was recalled is about none of the others.
func lastOfEach(all []boundKey) []boundKey {
	last := make(map[keyPlace]int, len(all))
	for i := range all {
		last[all[i].place()] = i
	}
	var left []boundKey
	for i := range all {
		if last[all[i].place()] == i {
			left = append(left, all[i])
		}
	}
	return left
}

// recallBefore looks among the rows of before schema 6.
func (w *writer) recallBefore(k *key) (b binding, found bool, err error) {
	q := w.query(`SELECT message, expires FROM keys WHERE hash = ? AND full IN (?, ?)`).int(k.hash).blob(k.rest[:]).blob(k.full)
	found, err = q.first(func() { b = binding{hook.MessageID(q.getInt()), q.getInt()} })
	return b, found, err
}

// forgetBefore removes what there is of a key among the rows of before schema 6.
func (w *writer) forgetBefore(k *key) error {
	return w.query(`DELETE FROM keys WHERE hash = ? AND full IN (?, ?)`).int(k.hash).blob(k.rest[:]).blob(k.full).exec()
}
