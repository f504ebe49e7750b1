package sqlite

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// findText finds the text of JSON in a body that stands for payload: its place and length between the quotation marks. at is
// -1 when there is none. Every byte of the body is looked at a bounded number of times.
func findText(body, payload []byte) (at, size int) {
	for i := 0; ; {
		open := bytes.IndexByte(body[i:], '"')
		if open < 0 {
			return -1, 0
		}
		i += open + 1
		n := textLen(body[i:])
		if n < 0 {
			return -1, 0
		}
		if n >= len(payload) && isText(body[i:i+n], payload) {
			return i, n
		}
		i += n + 1
	}
}

// textLen returns how many bytes there are before the closing quotation mark, -1 when there is none.
func textLen(b []byte) int {
	for i := 0; ; {
		end := bytes.IndexByte(b[i:], '"')
		if end < 0 {
			return -1
		}
		end += i
		slashes := 0
		for end-slashes > 0 && b[end-1-slashes] == '\\' && end-slashes > i {
			slashes++
		}
		if slashes%2 == 0 {
			return end
		}
		i = end + 1
	}
}

// isText says whether a text stands for what is wanted.
func isText(text, want []byte) bool {
	for len(text) > 0 {
		if text[0] != '\\' {
			n := bytes.IndexByte(text, '\\')
			if n < 0 {
				return bytes.Equal(text, want)
			}
			if n > len(want) || !bytes.Equal(text[:n], want[:n]) {
				return false
			}
			text, want = text[n:], want[n:]
			continue
		}
		var room [utf8.UTFMax]byte
		one, rest, ok := appendEscaped(room[:0], text)
		if !ok || !bytes.HasPrefix(want, one) {
			return false
		}
		text, want = rest, want[len(one):]
	}
	return len(want) == 0
}

// appendText appends what a text stands for. Bytes that are not escaped stay as they are, whether they are UTF-8 or not.
func appendText(b, text []byte) ([]byte, bool) {
	for {
		n := bytes.IndexByte(text, '\\')
		if n < 0 {
			return append(b, text...), true
		}
		b, text = append(b, text[:n]...), text[n:]
		var ok bool
		if b, text, ok = appendEscaped(b, text); !ok {
			return nil, false
		}
	}
}

// appendEscaped appends the character that a text begins with after a backslash. A half of a surrogate pair is refused.
func appendEscaped(b, text []byte) (out, rest []byte, ok bool) {
	if len(text) < 2 {
		return nil, nil, false
	}
	switch c := text[1]; c {
	case '"', '\\', '/':
		return append(b, c), text[2:], true
	case 'b':
		return append(b, '\b'), text[2:], true
	case 'f':
		return append(b, '\f'), text[2:], true
	case 'n':
		return append(b, '\n'), text[2:], true
	case 'r':
		return append(b, '\r'), text[2:], true
	case 't':
		return append(b, '\t'), text[2:], true
	case 'u':
		r, ok := hex4(text[2:])
		if !ok {
			return nil, nil, false
		}
		if text = text[6:]; !utf16.IsSurrogate(r) {
			return utf8.AppendRune(b, r), text, true
		}
		if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
			return nil, nil, false
		}
		low, ok := hex4(text[2:])
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return nil, nil, false
		}
		return utf8.AppendRune(b, r), text[6:], true
	}
	return nil, nil, false
}

// hex4 reads four hexadecimal digits.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
