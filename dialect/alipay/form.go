package alipay

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// maxParams bounds the parameters of one request. A message has about ten, the largest payment notification about thirty.
const maxParams = 256

// Param is one parameter of a form or query: name and value as raw bytes of the sender's charset, percent-decoded.
type Param struct{ Name, Value string }

// ParseForm reads an application/x-www-form-urlencoded body strictly, in the order of the wire: pairs are separated by
// "&", a pair is divided at its first "=", and both halves are percent-decoded exactly once, "+" being a blank. Bytes
// stay in the sender's charset, because that is what was signed. A pair without "=" or without a name, a name that is
// repeated, a "%" without two hexadecimal digits and more than 256 pairs are errors.
func ParseForm(body []byte) ([]Param, error) {
	params, err := parsePairs(body)
	if err != nil {
		return nil, err
	}
	sorted := slices.Clone(params)
	sortByName(sorted)
	if repeats(sorted) {
		return nil, errRepeated
	}
	return params, nil
}

// errRepeated is about a name that occurs twice: receivers disagree about which one counts.
var errRepeated = errors.New("a parameter occurs twice")

func repeats(sorted []Param) bool {
	for i := 1; i < len(sorted); i++ {
		if sorted[i].Name == sorted[i-1].Name {
			return true
		}
	}
	return false
}

func parsePairs(body []byte) ([]Param, error) {
	if len(body) == 0 {
		return nil, errors.New("the body is empty")
	}
	text := string(body) // one copy: values that need no decoding are slices of it
	n := strings.Count(text, "&") + 1
	if n > maxParams {
		return nil, fmt.Errorf("there are more than %d parameters", maxParams)
	}
	params := make([]Param, 0, n)
	for pair := range strings.SplitSeq(text, "&") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("part %d of the body is not name=value", len(params)+1)
		}
		var p Param
		var err error
		if p.Name, err = unescape(name); err == nil {
			p.Value, err = unescape(value)
		}
		if err != nil {
			return nil, fmt.Errorf("part %d of the body: %w", len(params)+1, err)
		}
		params = append(params, p)
	}
	return params, nil
}

func unescape(s string) (string, error) {
	if !strings.ContainsAny(s, "%+") {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(s) {
				return "", errors.New("a percent sign without two hexadecimal digits behind it")
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return "", errors.New("a percent sign without two hexadecimal digits behind it")
			}
			b = append(b, byte(hi<<4|lo))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b), nil
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// EncodeForm writes parameters in the order given, escaped as java.net.URLEncoder does: letters, digits and ". - * _"
// stand for themselves, a blank is "+", every other byte is "%XX" in upper case. (url.QueryEscape differs in "*" and "~".)
func EncodeForm(params []Param) []byte {
	n := 0
	for _, p := range params {
		n += len(p.Name) + 3*len(p.Value) + 2
	}
	b := make([]byte, 0, n)
	for i, p := range params {
		if i > 0 {
			b = append(b, '&')
		}
		b = appendEscaped(b, p.Name)
		b = append(b, '=')
		b = appendEscaped(b, p.Value)
	}
	return b
}

func appendEscaped(b []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '*', c == '_':
			b = append(b, c)
		case c == ' ':
			b = append(b, '+')
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// WireOrder sorts parameters, in the order in which they were inserted, into the order in which a Java HashMap of them
// is iterated, which is the platform's order on the wire. Names must be UTF-8. The order has no effect on a signature.
func WireOrder(params []Param) {
	// A HashMap doubles its table when it is filled over three quarters, and keeps the order within a bucket.
	size := uint32(16)
	for len(params) > int(size/4*3) {
		size *= 2
	}
	slices.SortStableFunc(params, func(a, b Param) int {
		return cmp.Compare(bucket(a.Name, size), bucket(b.Name, size))
	})
}

// bucket is java.util.HashMap's place of a key: String.hashCode, its halves mixed, modulo the table's size.
func bucket(name string, size uint32) uint32 {
	var h uint32
	for _, r := range name {
		if r < 0x10000 {
			h = 31*h + uint32(r)
			continue
		}
		hi, lo := utf16.EncodeRune(r)
		h = 31*(31*h+uint32(hi)) + uint32(lo)
	}
	return (h ^ h>>16) & (size - 1)
}
