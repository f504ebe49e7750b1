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

// ownBeside returns the endpoint's own headers without those that the dialect has set.
func (t *target) ownBeside(dialects http.Header) []header {
	if !slices.ContainsFunc(t.headers, func(h header) bool { return hasHeader(dialects, h.name) }) {
		return t.headers
	}
	return slices.DeleteFunc(slices.Clone(t.headers), func(h header) bool { return hasHeader(dialects, h.name) })
}

// hasHeader says whether a header is there, whatever its spelling.
func hasHeader(h http.Header, name string) bool {
	for k := range h {
		if strings.EqualFold(k, name) {
			return true
		}
	}
	return false
}

// add adds a header to a request.
func add(r *egress.Request, name, value string) {
	r.Fields = append(r.Fields, egress.Field{Name: name, Value: value})
}

// replaceHeader sets a header whatever the spelling of the one that is there.
func replaceHeader(r *egress.Request, name, value string) {
	dropHeader(r, name)
	add(r, name, value)
}

func dropHeader(r *egress.Request, name string) {
	deleteHeader(r.Header, name)
	r.Fields = slices.DeleteFunc(r.Fields, func(f egress.Field) bool { return strings.EqualFold(f.Name, name) })
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
	var b []byte // nil = s is as it should be, so far
	for i := 0; i < len(s); i++ {
		if plain(s[i]) {
			continue
		}
		if b == nil {
			b = []byte(s)
		}
		b[i] = '-'
	}
	if b == nil {
		return s
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
