package aop1688

import (
	"crypto/hmac"
	"crypto/sha1"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const maxParams = 64

// param is one parameter of the form or the query, decoded.
type param struct{ name, value string }

var (
	errForm      = errors.New("is not a form in UTF-8 of at most 64 parameters")
	errDuplicate = errors.New("has two parameters of the same name")
)

// parseForm reads the parameters of the query and the body. Two of one name are refused, since servers do not agree on
// which of them counts.
func parseForm(parts ...string) ([]param, error) {
	var out []param
	for _, part := range parts {
		for pair := range strings.SplitSeq(part, "&") {
			if pair == "" {
				continue
			}
			name, value, _ := strings.Cut(pair, "=")
			name, errName := url.QueryUnescape(name)
			value, errValue := url.QueryUnescape(value)
			if errName != nil || errValue != nil || !utf8.ValidString(name) || !utf8.ValidString(value) || len(out) == maxParams {
				return nil, errForm
			}
			if _, twice := find(out, name); twice {
				return nil, errDuplicate
			}
			out = append(out, param{name, value})
		}
	}
	return out, nil
}

func find(params []param, name string) (string, bool) {
	for _, p := range params {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

// signedText joins the parameters as the platform signs them: name and value with nothing between, the joined strings
// (and not the names) in the order of their UTF-16 units, the signature left out.
func signedText(params []param) string {
	pairs := make([]string, 0, len(params))
	for _, p := range params {
		if p.name != signatureParam {
			pairs = append(pairs, p.name+p.value)
		}
	}
	slices.SortFunc(pairs, compareUTF16)
	return strings.Join(pairs, "")
}

// compareUTF16 orders as Java does, which differs from the order of bytes where a character beyond the first plane meets
// one between U+E000 and U+FFFF.
func compareUTF16(a, b string) int {
	for a != "" && b != "" {
		ra, na := utf8.DecodeRuneInString(a)
		rb, nb := utf8.DecodeRuneInString(b)
		if ra != rb {
			return compareUnits(ra, rb)
		}
		a, b = a[na:], b[nb:]
	}
	return len(a) - len(b)
}

func compareUnits(a, b rune) int {
	firstA, firstB := a, b
	if high, _ := utf16.EncodeRune(a); a > 0xFFFF {
		firstA = high
	}
	if high, _ := utf16.EncodeRune(b); b > 0xFFFF {
		firstB = high
	}
	if firstA != firstB {
		return int(firstA - firstB)
	}
	return int(a - b) // two of one high unit: their low units are ordered as they are
}

// signatureOf is the HMAC-SHA1 of the signed text, as bytes; the platform writes it in upper-case hex.
func signatureOf(secret, text string) []byte {
	h := hmac.New(sha1.New, []byte(secret))
	_, _ = io.WriteString(h, text)
	return h.Sum(nil)
}
