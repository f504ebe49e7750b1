package douyinspi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

const maxParams = 64

// param is one URL parameter: as signed, and decoded.
type param struct{ name, value, decoded string }

var errQuery = errors.New("has two parameters of the same name, more than 64, or one that is not printable UTF-8")

// parseQuery reads the URL parameters, sorted by the bytes of their names, without the old scheme's sign. Control
// characters and bytes that are not UTF-8 are refused: they are what a lengthened digest would bring along.
func parseQuery(s dialect.Settings, query string) ([]param, error) {
	encoded := s.Get("param_values") == "encoded"
	var out []param
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, errName := url.QueryUnescape(rawName)
		value, errValue := url.QueryUnescape(rawValue)
		if errName != nil || errValue != nil || !plain(name) || !plain(value) || !plain(pair) || len(out) == maxParams {
			return nil, errQuery
		}
		p := param{name, value, value}
		if encoded {
			p = param{rawName, rawValue, value}
		}
		if slices.ContainsFunc(out, func(q param) bool { return q.name == p.name }) {
			return nil, errQuery
		}
		out = append(out, p)
	}
	out = slices.DeleteFunc(out, func(p param) bool { return p.name == "sign" })
	slices.SortFunc(out, func(a, b param) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

func plain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

func find(params []param, name string) string {
	for _, p := range params {
		if p.name == name {
			return p.decoded
		}
	}
	return ""
}

// signatureOf is SHA-256 over the secret, &name=value of each parameter, and &http_body= with the raw body; no HMAC.
func signatureOf(s dialect.Settings, secret string, params []param, body []byte) (text [2 * sha256.Size]byte) {
	h := sha256.New()
	_, _ = io.WriteString(h, secret)
	for _, p := range params {
		_, _ = io.WriteString(h, "&"+p.name+"="+p.value)
	}
	if len(body) > 0 || s.Get("empty_body") != "without_http_body" {
		_, _ = io.WriteString(h, "&http_body=")
		h.Write(body)
	}
	var sum [sha256.Size]byte
	hex.Encode(text[:], h.Sum(sum[:0]))
	return text
}
