package sqlite

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// writeDoc writes the part of a row that is only read whole. Its types have plain fields, so it does not fail.
func writeDoc(doc any) string {
	b, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("sqlite: a doc cannot be written: %v", err))
	}
	return string(b)
}

func readDoc(text string, doc any) error {
	if err := json.Unmarshal([]byte(text), doc); err != nil {
		return fmt.Errorf("read a stored document: %w", err)
	}
	return nil
}

// moment is a time in a doc: Unix milliseconds, 0 for the zero time.
type moment int64

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	return moment(t.UnixMilli())
}

func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return fromMillis(int64(m))
}

// secrets are what is sealed of a row: settings and, of an endpoint, its headers and its earlier signing secrets.
type secrets struct {
	settings hook.Settings
	headers  map[string]string
	old      []hook.OldSecret
}

// sealSecrets packs secrets and seals them for their place.
func (t *tx) sealSecrets(place string, v secrets) []byte {
	text := packMap(packLists(nil, v.settings), v.headers)
	if v.old != nil {
		text = binary.AppendUvarint(text, uint64(len(v.old))+1)
	}
	for _, o := range v.old {
		text = binary.AppendVarint(packText(text, o.Value), int64(momentOf(o.Until)))
	}
	return t.seal(text, place)
}

// openSecrets reads what sealSecrets made. What was sealed before there were earlier secrets ends without them.
func (db *DB) openSecrets(place string, sealed []byte) (v secrets, err error) {
	text, err := db.unseal(sealed, place)
	if err != nil {
		return v, &hook.Error{Kind: hook.KindInternal, Text: place + " cannot be read", Err: err}
	}
	u := unpacker{b: text}
	v.settings, v.headers = u.lists(), u.stringMap()
	if len(u.b) > 0 {
		n, isNil := u.count()
		if !isNil {
			v.old = make([]hook.OldSecret, 0, n)
		}
		for range n {
			v.old = append(v.old, hook.OldSecret{Value: u.text(), Until: moment(u.int()).time()})
		}
	}
	if u.err != nil {
		return secrets{}, &hook.Error{Kind: hook.KindInternal, Text: place + " cannot be read", Err: u.err}
	}
	return v, nil
}

// place names where secrets are stored. It is bound to them, so that a row's cannot be moved to another.
func place(noun string, id fmt.Stringer) string { return noun + "/" + id.String() + "/secrets" }

// sameUID is the error for a uid that is taken.
func sameUID(noun, uid string) error {
	return &hook.Error{Kind: hook.KindConflict, Field: "uid", Text: fmt.Sprintf("another %s has the uid %q", noun, uid)}
}

func sameID(noun string, id fmt.Stringer) error {
	return &hook.Error{Kind: hook.KindConflict, Field: "id", Text: fmt.Sprintf("there is a %s %s already", noun, id)}
}

func noSuch(noun, ref string) error {
	return hook.Errorf(hook.KindNotFound, "there is no %s %q", noun, ref)
}
