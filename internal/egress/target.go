package egress

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const maxURL = 8 << 10

// target is a URL as it was understood, once, for the check and for the connection.
type target struct {
	tls       bool
	host      string     // name in lower case, or the address in its one spelling; no brackets, no dot at the end
	addr      netip.Addr // valid when the host is an address
	port      uint16
	authority string // for the Host header
	uri       string // path and query
	auth      string // "Basic …" from user and password, "" = none
}

// key is what a kept connection must share.
func (t *target) key() string {
	if t.tls {
		return "s" + t.authority
	}
	return "p" + t.authority
}

func badURL(text string) *Error { return &Error{Kind: KindURL, Text: text} }

// parse reads an absolute http or https URL. Hosts have one spelling each: a name of ASCII letters, digits, dashes and
// underscores, four decimal numbers, or an IPv6 address in brackets. Every other way to write an address (decimal, octal,
// hex, short, percent-encoded, full-width digits) is refused rather than guessed at.
//
// No error holds the URL itself: a password may stand in it.
func parse(raw string) (target, error) {
	if len(raw) > maxURL {
		return target{}, badURL("the URL is longer than 8 KiB")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return target{}, badURL("this is not a URL such as https://example.com/path")
	}
	t := target{tls: u.Scheme == "https", port: 80}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return target{}, badURL("the URL must begin with https:// or http://")
	case u.Host == "":
		return target{}, badURL("the URL has no host")
	case t.tls:
		t.port = 443
	}
	if err := t.setHost(u); err != nil {
		return target{}, err
	}
	if err := t.setPort(u.Port()); err != nil {
		return target{}, err
	}
	if u.User != nil {
		password, _ := u.User.Password()
		t.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	u.RawQuery = cleanQuery(u.RawQuery)
	t.uri = u.RequestURI()
	return t, nil
}

func (t *target) setHost(u *url.URL) error {
	host := strings.ToLower(u.Hostname())
	if strings.HasPrefix(u.Host, "[") {
		a, err := netip.ParseAddr(host)
		switch {
		case err != nil || !a.Is6():
			return badURL("the address in brackets is not an IPv6 address")
		case a.Zone() != "":
			return badURL("an address with a zone is not reachable for endpoints")
		}
		t.addr = a.Unmap()
		t.host, t.authority = t.addr.String(), "["+a.String()+"]"
		return nil
	}
	name := strings.TrimSuffix(host, ".")
	if err := checkName(name); err != nil {
		return err
	}
	t.host, t.authority = name, host
	last := name[strings.LastIndexByte(name, '.')+1:]
	if !numeric(last) {
		return nil
	}
	a, err := netip.ParseAddr(host)
	if err != nil || !a.Is4() {
		return badURL("an IPv4 address must be written as four decimal numbers, such as 198.51.100.7")
	}
	t.addr = a
	return nil
}

func checkName(name string) error {
	if len(name) == 0 || len(name) > 253 {
		return badURL("the host name is empty or longer than 253 characters")
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 {
			return badURL("a part of the host name is empty or longer than 63 characters")
		}
		for i := 0; i < len(label); i++ {
			c := label[i]
			switch {
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			case c >= 0x80:
				return badURL("a host name with other than ASCII letters must be given in its xn-- form")
			default:
				return badURL("the host name holds a character that no name has")
			}
		}
	}
	return nil
}

// numeric says whether some parser would take a name's last label for a number, and so the name for an IPv4 address.
func numeric(label string) bool {
	digits := label
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(digits, "0123456789") == ""
}

func (t *target) setPort(port string) error {
	if port == "" {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return badURL("the port must be between 1 and 65535")
	}
	t.port = uint16(n)
	t.authority += ":" + strconv.FormatUint(n, 10)
	return nil
}

// cleanQuery percent-encodes what would break the request line: url.Parse leaves a query as it is.
func cleanQuery(q string) string {
	plain := true
	for i := 0; i < len(q); i++ {
		plain = plain && q[i] > ' ' && q[i] < 0x7f
	}
	if plain {
		return q
	}
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, len(q)+16)
	for i := 0; i < len(q); i++ {
		if c := q[i]; c <= ' ' || c >= 0x7f {
			out = append(out, '%', hex[c>>4], hex[c&15])
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}
