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
// What is stored is the first 24 bytes of the text's SHA-256: 8 that find the row, and 16 that decide. Two texts with the same
// 192 bits are not known, and nobody can make a pair. Rows of before schema 5 have the text in the place of the 16 bytes.
type key struct {
	full    []byte
	hash    int64
	rest    [16]byte
	expires int64
	row     int64 // a row with this key that has run out, to be used again; 0 = none
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

// recall returns the message that a key is remembered for, 0 when there is none. A row that has run out does not count,
// though Sweep has not deleted it yet.
func (t *tx) recall(k *key, now int64) (hook.MessageID, error) {
	k.row = 0
	if k.full == nil {
		return 0, nil
	}
	var id, message, expires int64
	q := t.query(`SELECT id, message, expires FROM keys WHERE hash = ? AND full IN (?, ?)`).int(k.hash).blob(k.rest[:]).blob(k.full)
	found, err := q.first(func() { id, message, expires = q.getInt(), q.getInt(), q.getInt() })
	if err != nil || !found {
		return 0, err
	}
	k.row = id
	if expires <= now {
		return 0, nil
	}
	return hook.MessageID(message), nil
}

// remember binds a key to a message; recall has been asked before.
func (t *tx) remember(k *key, m hook.MessageID) error {
	switch {
	case k.full == nil:
		return nil
	case k.row != 0:
		return t.query(`UPDATE keys SET message = ?, expires = ? WHERE id = ?`).int(int64(m)).int(k.expires).int(k.row).exec()
	}
	return t.query(`INSERT INTO keys (hash, full, message, expires) VALUES (?, ?, ?, ?)`).
		int(k.hash).blob(k.rest[:]).int(int64(m)).int(k.expires).exec()
}
