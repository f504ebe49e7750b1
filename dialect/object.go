package dialect

import (
	"errors"
	"unicode/utf8"
)

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
	if !utf8.Valid(doc) || !validJSON(doc) {
		return nil, ErrNotObject
	}
	i := skipBlanks(doc, 0)
	if doc[i] != '{' {
		return nil, ErrNotObject
	}
	members := make([]Member, 0, 8)
	// From here on the syntax is known to be right, so that only the ends of the values have to be found.
	for i = skipBlanks(doc, i+1); doc[i] != '}'; i = skipBlanks(doc, i) {
		if doc[i] == ',' {
			i = skipBlanks(doc, i+1)
		}
		end := stringEnd(doc, i)
		name, _ := Unquote(doc[i:end])
		colon := skipBlanks(doc, end)
		start := skipBlanks(doc, colon+1)
		i = valueEnd(doc, start)
		if len(members) == limit {
			return nil, ErrTooMany
		}
		members = append(members, Member{name, doc[start:i]})
	}
	return members, nil
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

func skipBlanks(doc []byte, i int) int {
	for doc[i] == ' ' || doc[i] == '\n' || doc[i] == '\t' || doc[i] == '\r' {
		i++
	}
	return i
}

// stringEnd returns the index behind the string that begins at i.
func stringEnd(doc []byte, i int) int {
	for i++; doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// valueEnd returns the index behind the value that begins at i.
func valueEnd(doc []byte, i int) int {
	depth := 0
	for {
		switch doc[i] {
		case '"':
			i = stringEnd(doc, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // the end of what holds a number, true, false or null
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
}
