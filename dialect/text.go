package dialect

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxPrintable = 256  // bytes of an event type or a platform's id
	maxRestName  = 64   // bytes of the name of a member that RestOfMembers takes over
	maxRestValue = 1024 // bytes of its text
)

// Unquote decodes a string of a document that ReadObject accepted, given with its quotes. Unlike encoding/json it does
// not put U+FFFD in the place of half a surrogate pair, for which signers and parsers have different bytes: that is
// ErrString, as is anything but a string. The result is a slice of the literal when that has no escapes.
func Unquote(literal []byte) ([]byte, error) {
	n := len(literal)
	if n < 2 || literal[0] != '"' || literal[n-1] != '"' {
		return nil, ErrString
	}
	s := literal[1 : n-1]
	i := bytes.IndexByte(s, '\\')
	if i < 0 {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i >= 0 {
		r, width := escape(s[i:])
		if width == 0 {
			return nil, ErrString
		}
		out = utf8.AppendRune(append(out, s[:i]...), r)
		s = s[i+width:]
		i = bytes.IndexByte(s, '\\')
	}
	return append(out, s...), nil
}

// escape decodes the escape sequence that s begins with; width 0 means that it stands for no character.
func escape(s []byte) (r rune, width int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := unit(s)
	switch {
	case !ok:
		return 0, 0
	case !utf16.IsSurrogate(r):
		return r, 6
	}
	low, _ := unit(s[6:])
	if pair := utf16.DecodeRune(r, low); pair != unicode.ReplacementChar {
		return pair, 12
	}
	return 0, 0
}

// unit reads one \uXXXX.
func unit(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	return rune(n), err == nil
}

// AppendQuote appends a text as a JSON string with no more escapes than JSON needs: as the encoders of the platforms do,
// and not as encoding/json, which also escapes <, >, & and the line separators. The text must be valid UTF-8.
func AppendQuote[T string | []byte](dst []byte, text T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, text[start:]...), '"')
}

// RestOfMembers returns the members that are not taken, as texts: a string decoded, any other value as it came. null,
// what has no text fit for a header, and what is too long (a name of over 64 bytes, a text of over 1 KiB) is left out.
func RestOfMembers(members []Member, taken ...string) map[string]string {
	out := make(map[string]string, len(members))
	for _, m := range members {
		if slices.Contains(taken, string(m.Name)) || !headerName(m.Name) {
			continue
		}
		if text, ok := MemberText(m.Value); ok && len(text) <= maxRestValue && !strings.ContainsFunc(text, unicode.IsControl) {
			out[string(m.Name)] = text
		}
	}
	return out
}

// MemberText returns a value as text: a string decoded, any other value as it came. Without a text are null, nothing,
// and a string that has no UTF-8 form.
func MemberText(value []byte) (text string, ok bool) {
	if len(value) == 0 || string(value) == "null" {
		return "", false
	}
	if value[0] != '"' {
		return string(value), true
	}
	b, err := Unquote(value)
	return string(b), err == nil
}

func headerName(name []byte) bool {
	if len(name) == 0 || len(name) > maxRestName {
		return false
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// Printable says whether a text is fit to be an event type or an id: 1 to 256 bytes of UTF-8, all printable.
func Printable(text string) bool {
	return text != "" && len(text) <= maxPrintable && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Digits says whether a text is 1 to limit decimal digits.
func Digits(text string, limit int) bool {
	return text != "" && len(text) <= limit && strings.Trim(text, "0123456789") == ""
}

// CheckSecret says what is wrong with a secret that was typed or pasted: it is empty, or there is something around or
// inside it that is not seen. The error never holds a part of it.
func CheckSecret(secret string) error {
	switch {
	case secret == "":
		return errors.New("must not be empty")
	case !utf8.ValidString(secret):
		return errors.New("is not UTF-8: paste it again as text")
	case strings.TrimSpace(secret) != secret:
		return errors.New("begins or ends with a blank or a line end: paste it again without")
	case strings.ContainsFunc(secret, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("holds something invisible, such as a line end, a byte order mark or a zero-width character: paste it again without")
	}
	return nil
}
