package lean

import (
	"bytes"
	"math"
)

const (
	maxHead   = 16 << 10      // bytes of a plain head; its places are counted in 16 bits
	maxFields = 64            // headers of a plain request
	maxBody   = 256<<10 - 1   // bytes of a plain body: net/http reads at most so many that a handler left
	maxDigits = len("262143") // of a plain Content-Length
)

var _ [math.MaxUint16 - maxHead]struct{} // it fits

// verdict is what the bytes of a request, as far as they have come, show.
type verdict int

const (
	unfinished verdict = iota // nothing yet: the head goes on
	plain                     // the head is whole, and the request is served here
	special                   // the request is for net/http
)

// span is a piece of a head.
type span struct{ from, to uint16 }

func (s span) of(data []byte) []byte { return data[s.from:s.to] }

// field is a header line.
type field struct{ name, value span }

// head reads the head of a request, line by line as they come, and finds out whether it is plain. It says no when in doubt.
type head struct {
	next   int // where the next line begins
	max    int // bytes it may have
	target span
	query  uint16 // where the target's query begins; 0 = it has none
	host   span
	length int64 // of the body; -1 = not told yet
	fields [maxFields]field
	count  int // of fields
}

func (h *head) reset(limit int) {
	h.next, h.max, h.target, h.query, h.host, h.length, h.count = 0, limit, span{}, 0, span{}, -1, 0
}

// feed looks at all bytes of the request that have come. Data must begin with those of the last call.
func (h *head) feed(data []byte) verdict {
	for {
		n := bytes.IndexByte(data[h.next:min(len(data), h.max)], '\n')
		if n < 0 {
			if len(data) >= h.max {
				return special
			}
			return unfinished
		}
		line := span{uint16(h.next), uint16(h.next + n - 1)}
		if n == 0 || data[line.to] != '\r' {
			return special
		}
		h.next += n + 1
		switch {
		case h.target.to == 0:
			if !h.requestLine(data, line) {
				return special
			}
		case line.from == line.to:
			if h.host.to == 0 || h.length < 0 {
				return special
			}
			return plain
		case !h.field(data, line):
			return special
		}
	}
}

const (
	method  = "POST "
	version = " HTTP/1.1"
)

// requestLine takes POST with a target that is a path and perhaps a query, neither with anything that needs decoding.
func (h *head) requestLine(data []byte, line span) bool {
	text := line.of(data)
	if len(text) <= len(method)+len(version) || string(text[:len(method)]) != method || string(text[len(text)-len(version):]) != version {
		return false
	}
	h.target = span{line.from + uint16(len(method)), line.to - uint16(len(version))}
	target := h.target.of(data)
	if target[0] != '/' {
		return false
	}
	for i, c := range target {
		if classes[c]&inPath != 0 {
			continue
		}
		if c != '?' {
			return false
		}
		h.query = h.target.from + uint16(i) + 1
		return i+1 < len(target) && all(target[i+1:], inQuery)
	}
	return true
}

// field takes a header whose name is a token, whose value has no control characters, and that net/http attaches no meaning
// to beyond what is done here.
func (h *head) field(data []byte, line span) bool {
	text := line.of(data)
	colon := bytes.IndexByte(text, ':')
	if colon <= 0 || h.count == maxFields {
		return false
	}
	name, value := text[:colon], text[colon+1:]
	if !all(name, inName) || !all(value, inValue) {
		return false
	}
	f := field{span{line.from, line.from + uint16(colon)}, span{line.from + uint16(colon) + 1, line.to}}
	for f.value.from < f.value.to && blank(data[f.value.from]) {
		f.value.from++
	}
	for f.value.from < f.value.to && blank(data[f.value.to-1]) {
		f.value.to--
	}
	value = f.value.of(data)
	switch len(name) {
	case len("host"):
		if is(name, "host") {
			again := h.host.to != 0
			h.host = f.value
			return !again && len(value) > 0 && all(value, inHost) // no field: it stands apart in a request
		}
	case len("expect"): // and pragma
		if is(name, "expect") || is(name, "pragma") {
			return false
		}
	case len("upgrade"): // and trailer
		if is(name, "upgrade") || is(name, "trailer") {
			return false
		}
	case len("connection"):
		if is(name, "connection") && !is(value, "keep-alive") {
			return false
		}
	case len("content-length"):
		if is(name, "content-length") && !h.setLength(value) {
			return false
		}
	case len("transfer-encoding"):
		if is(name, "transfer-encoding") {
			return false
		}
	}
	h.fields[h.count] = f
	h.count++
	return true
}

// setLength reads the one Content-Length.
func (h *head) setLength(value []byte) bool {
	if h.length >= 0 || len(value) == 0 || len(value) > maxDigits {
		return false
	}
	h.length = 0
	for _, c := range value {
		if c < '0' || c > '9' {
			return false
		}
		h.length = 10*h.length + int64(c-'0')
	}
	return h.length <= maxBody
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// is compares a text with one in lower case.
func is(text []byte, lower string) bool { return bytes.EqualFold(text, []byte(lower)) }

// The classes of bytes.
const (
	inName  = 1 << iota // of a header's name: a token
	inValue             // of a header's value
	inPath
	inQuery
	inHost
)

// classes says where a byte may be in a plain head.
var classes = func() (out [256]uint8) {
	set := func(class uint8, chars string) {
		for i := range len(chars) {
			out[chars[i]] |= class
		}
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	set(inName|inPath|inQuery|inHost, letters)
	set(inName, "!#$%&'*+-.^_`|~")
	set(inPath, "/-._~")
	set(inQuery, "/-._~!$&'()*+,;=:@?%")
	set(inHost, ".:-_[]")
	for c := range 256 {
		if c >= ' ' && c != 0x7f || c == '\t' {
			out[c] |= inValue
		}
	}
	return out
}()

func all(text []byte, class uint8) bool {
	for _, c := range text {
		if classes[c]&class == 0 {
			return false
		}
	}
	return true
}
