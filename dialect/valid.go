package dialect

// maxDepth is how deep values may lie in one another, as in encoding/json.
const maxDepth = 10_000

// validJSON is json.Valid in a third of the time: every push is looked at by it. A test holds the two to the same answers.
func validJSON(doc []byte) bool {
	v := validator{doc: doc}
	return v.value(0) && v.blanks() == len(doc)
}

// validator reads a document; i is where it is.
type validator struct {
	doc []byte
	i   int
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
	for {
		if open == '{' {
			if v.next() != '"' || !v.text() || v.next() != ':' {
				return false
			}
			v.i++
		}
		if !v.value(depth) {
			return false
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

// text reads a text from its first quotation mark on.
func (v *validator) text() bool {
	doc, i := v.doc, v.i+1
	for i < len(doc) {
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
