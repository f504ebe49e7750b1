package egress

import (
	"slices"
	"strconv"
	"strings"
)

const maxHeaderBytes = 256 << 10 // of a request's own headers

// framing are the headers that say how a request is cut out of its connection, or that only a proxy may set. They are
// this package's business: one more of them and the two sides no longer agree where a request ends.
var framing = []string{
	"connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer",
	"transfer-encoding", "upgrade",
}

// Framing says whether a header, in any spelling, is one that Do refuses.
func Framing(name string) bool {
	return slices.ContainsFunc(framing, func(f string) bool { return strings.EqualFold(f, name) })
}

// appendHead writes the request line and the headers, ordered by name, so that equal requests are equal bytes.
func (c *Client) appendHead(b []byte, t *target, r *Request) ([]byte, error) {
	if !token(r.Method) {
		return nil, &Error{Kind: KindHeader, Text: "the method of the request is not a word of HTTP"}
	}
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, t.uri...)
	if r.Query != "" {
		sep := byte('?')
		if strings.Contains(t.uri, "?") {
			sep = '&'
		}
		b = append(b, sep)
		b = append(b, cleanQuery(r.Query)...)
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, t.authority...)
	b = append(b, "\r\n"...)
	b, err := c.appendHeaders(b, t, r)
	if err != nil {
		return nil, err
	}
	if len(r.Body) > 0 || r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH" {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(r.Body)), 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...), nil
}

func (c *Client) appendHeaders(b []byte, t *target, r *Request) ([]byte, error) {
	var space [24]Field
	list := space[:0]
	agent, auth := false, false
	seen := func(name string) {
		agent = agent || strings.EqualFold(name, "User-Agent")
		auth = auth || strings.EqualFold(name, "Authorization")
	}
	for name, values := range r.Header {
		seen(name)
		for _, value := range values {
			list = append(list, Field{name, value})
		}
	}
	for _, f := range r.Fields {
		seen(f.Name)
		list = append(list, f)
	}
	slices.SortStableFunc(list, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	if !agent {
		b = appendField(b, "User-Agent", c.agent)
	}
	if !auth && t.auth != "" {
		b = appendField(b, "Authorization", t.auth)
	}
	begin := len(b)
	for _, f := range list {
		if !token(f.Name) || Framing(f.Name) {
			return nil, &Error{Kind: KindHeader, Text: "the header " + strconv.Quote(f.Name) + " must not be sent"}
		}
		if !fieldValue(f.Value) {
			return nil, &Error{Kind: KindHeader, Text: "the value of the header " + f.Name + " holds a character that no header may hold"}
		}
		b = appendField(b, f.Name, f.Value)
		if len(b)-begin > maxHeaderBytes {
			return nil, &Error{Kind: KindHeader, Text: "the headers of the request are longer than 256 KiB"}
		}
	}
	return b, nil
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, strings.Trim(value, " \t")...)
	return append(b, "\r\n"...)
}

// inToken are the bytes of a token of RFC 9110.
var inToken = func() (t [256]bool) {
	for c := range t {
		t[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

// token says whether a text is a token of RFC 9110, as a method and the name of a header must be.
func token[T string | []byte](s T) bool {
	for i := 0; i < len(s); i++ {
		if !inToken[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

// fieldValue refuses control characters, above all the line ends that would begin another header. Bytes over 0x7f pass.
func fieldValue[T string | []byte](s T) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
