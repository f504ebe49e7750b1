package engine

import (
	"net/http"
	"slices"
	"strings"

	"github.com/waypost/waypost/internal/egress"
)

// ownHeaders are the headers of an endpoint's own that may be sent, by name. Those that only we may set are left out; the
// API refuses them, but a configuration may be older than a rule.
func ownHeaders(h map[string]string) []header {
	out := make([]header, 0, len(h))
	for name, value := range h {
		lower := strings.ToLower(name)
		if !egress.Framing(lower) && !slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(lower, p) }) {
			out = append(out, header{name, value})
		}
	}
	slices.SortFunc(out, func(a, b header) int { return strings.Compare(a.name, b.name) })
	return out
}

// reservedPrefixes begin the names of headers that say who sent a message and what it is.
var reservedPrefixes = []string{"webhook-", "svix-", "waypost-", "ce-"}

// reservedBy returns the names of headers in lower case.
func reservedBy(h http.Header) map[string]bool {
	out := make(map[string]bool, len(h))
	for name := range h {
		out[strings.ToLower(name)] = true
	}
	return out
}

// replaceHeader sets a header whatever the spelling of the one that is there.
func replaceHeader(h http.Header, name, value string) {
	deleteHeader(h, name)
	h[name] = []string{value}
}

func deleteHeader(h http.Header, name string) {
	for k := range h {
		if strings.EqualFold(k, name) {
			delete(h, k)
		}
	}
}

// headerName turns the name of a platform's field into a part of a header's name: ASCII letters, digits and dashes stay,
// everything else becomes a dash. An underscore too: common servers drop headers with one.
func headerName(s string) string {
	plain := func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-'
	}
	b := []byte(s)
	for i, c := range b {
		if !plain(c) {
			b[i] = '-'
		}
	}
	return string(b)
}

// encodeValue makes any text a header value, as CloudEvents does over HTTP: printable ASCII stays, and everything else, as
// well as space, quotation mark and percent sign, becomes percent and two hexadecimal digits a byte of UTF-8.
func encodeValue(s string) string {
	stays := func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' }
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = stays(s[i])
	}
	if plain {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); i++ {
		if c := s[i]; stays(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}
