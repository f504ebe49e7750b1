package sqlite

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
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

// sealSecrets packs settings, and an endpoint's headers, and seals them for their place.
func sealSecrets(s *store.Sealer, place string, settings hook.Settings, headers map[string]string) []byte {
	return s.Seal(packMap(packLists(nil, settings), headers), place)
}

func openSecrets(s *store.Sealer, place string, sealed []byte) (hook.Settings, map[string]string, error) {
	text, err := s.Open(sealed, place)
	if err != nil {
		return nil, nil, &hook.Error{Kind: hook.KindInternal, Text: place + " cannot be read", Err: err}
	}
	u := unpacker{b: text}
	settings, headers := u.lists(), u.stringMap()
	if u.err != nil {
		return nil, nil, &hook.Error{Kind: hook.KindInternal, Text: place + " cannot be read", Err: u.err}
	}
	return settings, headers, nil
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
