package dialect

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// maxDepth is how deep values may lie in one another, as in encoding/json.
const maxDepth = 10_000

// validJSON is json.Valid in a third of the time: every push is looked at by it. A test holds the two to the same answers.
func validJSON(doc []byte) bool {
	v := validator{doc: doc}
	return v.value(0) && v.blanks() == len(doc)
}

// validator reads a document; i is where it is. What it notes of the members of the document's own object counts only when the
// whole turns out to be right.
type validator struct {
	doc []byte
	i   int

	collect bool
	limit   int
	all     []Member // with collect: all, names as they are written, but no more than one beyond limit

	find  bool
	name  string
	found []byte // with find: of the first member of the name
}

// object says whether the document is one object in UTF-8, and notes its members.
func (v *validator) object() bool {
	return v.next() == '{' && v.value(0) && v.blanks() == len(v.doc) && utf8.Valid(v.doc)
}

func (v *validator) note(name, value []byte) {
	if v.collect && len(v.all) <= v.limit {
		v.all = append(v.all, Member{name, value})
	}
	if v.find && v.found == nil {
		if text, err := Unquote(name); err == nil && string(text) == v.name {
			v.found = value
		}
	}
}

func (v *validator) blanks() int {
	for v.i < len(v.doc) {
		switch v.doc[v.i] {
		case ' ', '\n', '\t', '\r':
			v.i++
		default:
			return v.i
		}
	}
	return v.i
}

// next goes past blanks and returns the byte there, 0 at the end.
func (v *validator) next() byte {
	if v.blanks() < len(v.doc) {
		return v.doc[v.i]
	}
	return 0
}

func (v *validator) value(depth int) bool {
	switch c := v.next(); c {
	case '{', '[':
		v.i++
		return depth < maxDepth && v.members(c, depth+1)
	case '"':
		return v.text()
	case 't':
		return v.word("true")
	case 'f':
		return v.word("false")
	case 'n':
		return v.word("null")
	default:
		return v.number()
	}
}

// members reads what is in an object or a list, and its end.
func (v *validator) members(open byte, depth int) bool {
	end := open + 2 // in ASCII, of both
	if v.next() == end {
		v.i++
		return true
	}
	noted := depth == 1 && (v.collect || v.find)
	for {
		var name []byte
		if open == '{' {
			if v.next() != '"' {
				return false
			}
			start := v.i
			if !v.text() {
				return false
			}
			name = v.doc[start:v.i]
			if v.next() != ':' {
				return false
			}
			v.i++
		}
		start := v.blanks()
		if !v.value(depth) {
			return false
		}
		if noted {
			v.note(name, v.doc[start:v.i])
		}
		c := v.next()
		v.i++
		if c != ',' {
			return c == end
		}
	}
}

// plain are the bytes that stand for themselves in a text.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

// plainBytes is how many bytes from the first on, which is the lowest of word, stand for themselves in a text. It looks at all
// eight at once: what is subtracted borrows from a byte's highest bit where the byte is less, and of several such bits the lowest
// is right.
func plainBytes(word uint64) int {
	const each, high = 0x0101010101010101, 0x8080808080808080
	quote, slash := word^each*'"', word^each*'\\'
	ends := ((word-each*' ')&^word | (quote-each)&^quote | (slash-each)&^slash) & high
	return bits.TrailingZeros64(ends) / 8
}

// text reads a text from its first quotation mark on.
func (v *validator) text() bool {
	doc, i := v.doc, v.i+1
	for i < len(doc) {
		for i+8 <= len(doc) {
			n := plainBytes(binary.LittleEndian.Uint64(doc[i:]))
			if i += n; n < 8 {
				break
			}
		}
		if i == len(doc) {
			return false
		}
		c := doc[i]
		i++
		switch {
		case plain[c]:
		case c == '"':
			v.i = i
			return true
		case c != '\\' || i == len(doc):
			return false
		default:
			var ok bool
			if i, ok = escapeEnd(doc, i); !ok {
				return false
			}
		}
	}
	return false
}

// escapeEnd returns the index behind an escape; i is that of what follows its backslash.
func escapeEnd(doc []byte, i int) (int, bool) {
	switch doc[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1, true
	case 'u':
		if i+5 > len(doc) {
			return i, false
		}
		for _, c := range doc[i+1 : i+5] {
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return i, false
			}
		}
		return i + 5, true
	}
	return i, false
}

func (v *validator) word(w string) bool {
	if len(v.doc)-v.i < len(w) || string(v.doc[v.i:v.i+len(w)]) != w {
		return false
	}
	v.i += len(w)
	return true
}

func (v *validator) number() bool {
	v.take('-')
	if !v.take('0') && v.digits() == 0 {
		return false
	}
	if v.take('.') && v.digits() == 0 {
		return false
	}
	if v.take('e') || v.take('E') {
		if !v.take('+') {
			v.take('-')
		}
		return v.digits() > 0
	}
	return true
}

// take goes past a byte if it is there.
func (v *validator) take(c byte) bool {
	if v.i < len(v.doc) && v.doc[v.i] == c {
		v.i++
		return true
	}
	return false
}

func (v *validator) digits() (n int) {
	for v.i < len(v.doc) && '0' <= v.doc[v.i] && v.doc[v.i] <= '9' {
		v.i++
		n++
	}
	return n
}
