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
	return slices.Contains(framing, strings.ToLower(name))
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
	var space [32]string
	names := space[:0]
	agent, auth := false, false
	for name := range r.Header {
		names = append(names, name)
		agent = agent || strings.EqualFold(name, "User-Agent")
		auth = auth || strings.EqualFold(name, "Authorization")
	}
	slices.Sort(names)
	if !agent {
		b = appendField(b, "User-Agent", c.agent)
	}
	if !auth && t.auth != "" {
		b = appendField(b, "Authorization", t.auth)
	}
	begin := len(b)
	for _, name := range names {
		if !token(name) || Framing(name) {
			return nil, &Error{Kind: KindHeader, Text: "the header " + strconv.Quote(name) + " must not be sent"}
		}
		for _, value := range r.Header[name] {
			if !fieldValue(value) {
				return nil, &Error{Kind: KindHeader, Text: "the value of the header " + name + " holds a character that no header may hold"}
			}
			b = appendField(b, name, value)
		}
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

// token says whether a text is a token of RFC 9110, as a method and the name of a header must be.
func token(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// fieldValue refuses control characters, above all the line ends that would begin another header. Bytes over 0x7f pass.
func fieldValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
