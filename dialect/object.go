package dialect

import "errors"

// The bounds of ReadObject. Envelopes have a handful of members; what lies deeper is not counted.
const (
	maxMembers = 128
	maxName    = 256 // bytes
)

// The errors of ReadObject and Unquote. None of them repeats a byte of the document.
var (
	// ErrNotObject means that the document as a whole is something else: another value, text, nothing, bytes.
	ErrNotObject = errors.New("is not one JSON object in UTF-8")
	// ErrDuplicate means that parsers would disagree on which of two members counts.
	ErrDuplicate = errors.New("has two members of the same name")
	// ErrTooMany means that a bound is exceeded.
	ErrTooMany = errors.New("has too many members, or one with too long a name")
	// ErrString means that a text has no UTF-8 form: it holds half of a surrogate pair.
	ErrString = errors.New("is not a JSON string with a UTF-8 form")
)

// Member is one member of an object. Value is a slice of the document; Name is one too unless it had escapes.
type Member struct {
	Name  []byte // decoded; nil when it has no UTF-8 form
	Value []byte // as it came, without the blanks around it
}

// ReadObject reads a document that must be exactly one JSON object in which every parser sees the same: valid UTF-8, no
// byte order mark, nothing after it, no two members of one name. Its errors are ErrNotObject, ErrDuplicate, ErrTooMany
// (over 128 members, or a name of over 256 bytes) and ErrString.
func ReadObject(doc []byte) ([]Member, error) {
	members, err := split(doc, maxMembers)
	if err != nil {
		return nil, err
	}
	for i, m := range members {
		switch {
		case m.Name == nil:
			return nil, ErrString
		case len(m.Name) > maxName:
			return nil, ErrTooMany
		case FindMember(members[:i], string(m.Name)) != nil:
			return nil, ErrDuplicate
		}
	}
	return members, nil
}

// SplitObject splits a document that must be one JSON object in UTF-8 with nothing after it, and says nothing about the
// names. Its only error is ErrNotObject.
func SplitObject(doc []byte) ([]Member, error) { return split(doc, len(doc)) }

func split(doc []byte, limit int) ([]Member, error) {
	v := validator{doc: doc, collect: true, limit: limit, all: make([]Member, 0, min(limit, 12))}
	if !v.object() {
		return nil, ErrNotObject
	}
	if len(v.all) > limit {
		return nil, ErrTooMany
	}
	for i := range v.all {
		v.all[i].Name, _ = Unquote(v.all[i].Name)
	}
	return v.all, nil
}

// Lookup returns the value of the first member of a name in a document that must be one JSON object in UTF-8 with nothing
// after it, nil when there is none. It is SplitObject and FindMember for whom one member is enough. Its only error is ErrNotObject.
func Lookup(doc []byte, name string) (value []byte, err error) {
	v := validator{doc: doc, find: true, name: name}
	if !v.object() {
		return nil, ErrNotObject
	}
	return v.found, nil
}

// FindMember returns the value of the first member of exactly that name, or nil when there is none.
func FindMember(members []Member, name string) []byte {
	for _, m := range members {
		if string(m.Name) == name {
			return m.Value
		}
	}
	return nil
}
