package sqlite

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
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
	if b := t.unwritten.keys[k.id()]; b != nil {
		if b.expires > now {
			k.row = b.row
			return b.message, nil
		}
		if err := t.writeOut(); err != nil { // so that it is found and used again
			return 0, err
		}
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

// rememberAll binds keys to messages; recall has been asked before.
func (w *writer) rememberAll(all []boundKey) error {
	slices.SortFunc(all, func(a, b boundKey) int { return cmp.Compare(a.hash, b.hash) })
	var fresh []boundKey
	for i := range all {
		k := &all[i]
		if k.row == 0 {
			fresh = append(fresh, *k)
			continue
		}
		err := w.query(`UPDATE keys SET message = ?, expires = ? WHERE id = ?`).int(int64(k.message)).int(k.expires).int(k.row).exec()
		if err != nil {
			return err
		}
	}
	return w.bulk(insertKeys, len(fresh), func(s *stmt, i int) {
		k := &fresh[i]
		s.int(k.hash).blob(k.rest[:]).int(int64(k.message)).int(k.expires)
	})
}

var insertKeys = newBulk(`INSERT OR ROLLBACK INTO keys (hash, full, message, expires) VALUES `, 4)

// keyText is what is stored of a key's text.
type keyText struct {
	hash int64
	rest [16]byte
}

func (k *key) id() keyText { return keyText{k.hash, k.rest} }
