package egress

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// class is a kind of address that is not public.
type class struct {
	name   string // as in "a private address"
	never  bool   // not even an allow list opens it: it is no address of one machine
	prefix netip.Prefix
}

// The classes of IPv4, from the IANA special-purpose registry, and the one public address that is a cloud's
// management service. The first that contains an address names it.
var classes4 = []class{
	{name: "an unspecified address", never: true, prefix: netip.MustParsePrefix("0.0.0.0/32")},
	{name: "a \"this network\" address", prefix: netip.MustParsePrefix("0.0.0.0/8")},
	{name: "a private address", prefix: netip.MustParsePrefix("10.0.0.0/8")},
	{name: "a carrier-grade NAT address", prefix: netip.MustParsePrefix("100.64.0.0/10")},
	loopback4,
	{name: "a link-local address", prefix: netip.MustParsePrefix("169.254.0.0/16")},
	{name: "a private address", prefix: netip.MustParsePrefix("172.16.0.0/12")},
	{name: "a protocol-assignment address", prefix: netip.MustParsePrefix("192.0.0.0/24")},
	{name: "a documentation address", prefix: netip.MustParsePrefix("192.0.2.0/24")},
	{name: "a 6to4 relay address", prefix: netip.MustParsePrefix("192.88.99.0/24")},
	{name: "a private address", prefix: netip.MustParsePrefix("192.168.0.0/16")},
	{name: "a benchmarking address", prefix: netip.MustParsePrefix("198.18.0.0/15")},
	{name: "a documentation address", prefix: netip.MustParsePrefix("198.51.100.0/24")},
	{name: "a documentation address", prefix: netip.MustParsePrefix("203.0.113.0/24")},
	{name: "a cloud's management address", prefix: netip.MustParsePrefix("168.63.129.16/32")},
	{name: "a multicast address", never: true, prefix: netip.MustParsePrefix("224.0.0.0/4")},
	{name: "a broadcast address", never: true, prefix: netip.MustParsePrefix("255.255.255.255/32")},
	{name: "a reserved address", prefix: netip.MustParsePrefix("240.0.0.0/4")},
}

// The classes of IPv6. Global unicast is 2000::/3: what lies outside of it and is not named here is reserved.
var classes6 = []class{
	{name: "an unspecified address", never: true, prefix: netip.MustParsePrefix("::/128")},
	loopback6,
	{name: "an IPv4-translated address", prefix: netip.MustParsePrefix("::ffff:0:0:0/96")},
	{name: "an IPv4-compatible address", prefix: netip.MustParsePrefix("::/96")},
	{name: "a local NAT64 address", prefix: netip.MustParsePrefix("64:ff9b:1::/48")},
	{name: "a discard-only address", prefix: netip.MustParsePrefix("100::/64")},
	{name: "a Teredo address", prefix: netip.MustParsePrefix("2001::/32")},
	{name: "a benchmarking address", prefix: netip.MustParsePrefix("2001:2::/48")},
	{name: "a protocol-assignment address", prefix: netip.MustParsePrefix("2001::/23")},
	{name: "a documentation address", prefix: netip.MustParsePrefix("2001:db8::/32")},
	{name: "a 6to4 address", prefix: netip.MustParsePrefix("2002::/16")},
	{name: "a documentation address", prefix: netip.MustParsePrefix("3fff::/20")},
	{name: "a segment-routing address", prefix: netip.MustParsePrefix("5f00::/16")},
	{name: "a unique local (private) address", prefix: netip.MustParsePrefix("fc00::/7")},
	{name: "a link-local address", prefix: netip.MustParsePrefix("fe80::/10")},
	{name: "a site-local address", prefix: netip.MustParsePrefix("fec0::/10")},
	{name: "a multicast address", never: true, prefix: netip.MustParsePrefix("ff00::/8")},
}

var (
	loopback4 = class{name: "a loopback address", prefix: netip.MustParsePrefix("127.0.0.0/8")}
	loopback6 = class{name: "a loopback address", prefix: netip.MustParsePrefix("::1/128")}
	reserved6 = class{name: "a reserved address"}
	isatap    = class{name: "an ISATAP address"}
	zoned     = class{name: "an address with a zone", never: true}
	global6   = netip.MustParsePrefix("2000::/3")
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
)

// classify returns the class of an address that is not public, nil for a public one. An IPv4 address inside an IPv6 one
// is judged where the network would unpack it: mapped and NAT64. All other embeddings are forbidden as a whole.
func classify(a netip.Addr) *class {
	a = effective(a)
	if a.Is4() {
		return find(classes4, a)
	}
	if a.Zone() != "" {
		return &zoned
	}
	if c := find(classes6, a); c != nil {
		return c
	}
	if !global6.Contains(a) {
		return &reserved6
	}
	// ISATAP puts 0000:5efe or 0200:5efe before an IPv4 address in the lower half of any prefix.
	if b := a.As16(); binary.BigEndian.Uint32(b[8:12])&^0x02000000 == 0x00005efe {
		return &isatap
	}
	return nil
}

func find(table []class, a netip.Addr) *class {
	for i := range table {
		if table[i].prefix.Contains(a) {
			return &table[i]
		}
	}
	return nil
}

// effective is the address that packets end up at.
func effective(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		return netip.AddrFrom4([4]byte(b[12:16]))
	}
	return a
}

// judge returns the class for which an address is forbidden, nil when it may be reached.
func (c *Client) judge(a netip.Addr, allow []netip.Prefix) *class {
	found := classify(a)
	if found == nil {
		return nil
	}
	a = effective(a)
	if c.o.AllowLoopback && (loopback4.prefix.Contains(a) || loopback6.prefix.Contains(a)) {
		return nil
	}
	if !found.never && slices.ContainsFunc(allow, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return nil
	}
	return found
}

// forbidden tells the owner of the endpoint the class only. The address that a name has in our network is for the
// operator.
func forbidden(t *target, a netip.Addr, c *class) *Error {
	e := &Error{Kind: KindForbidden}
	if t.addr.IsValid() {
		e.Text = t.host + " is " + c.name + ", which endpoints may not reach"
	} else {
		e.Text = "the name " + t.host + " leads to " + c.name + ", which endpoints may not reach"
	}
	if c.never {
		return e
	}
	inner := effective(a)
	line := netip.PrefixFrom(inner, inner.BitLen()).String()
	e.Hint = "to allow it, add \"" + line + "\" to the application's allowed addresses (allow_cidrs in the file, allowCidrs in the API)"
	return e
}
