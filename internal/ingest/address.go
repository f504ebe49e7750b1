package ingest

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// client returns the address of the one who sent the request: the peer, or, where the peer is a trusted proxy, the
// nearest address in X-Forwarded-For that is not one. Each proxy appends the peer that it saw, so the list is read from
// the right and what stands left of the first stranger is only his word. The zero Addr means that it cannot be known.
func (d *Door) client(r *http.Request) netip.Addr {
	addr := parseAddr(r.RemoteAddr)
	if !contains(d.trusted, addr) {
		return addr
	}
	list := r.Header["X-Forwarded-For"]
	for i := len(list) - 1; i >= 0; i-- {
		for rest, more := list[i], true; more; {
			var last string
			rest, last, more = cutLast(rest)
			addr = parseAddr(strings.TrimSpace(last))
			if !contains(d.trusted, addr) {
				return addr
			}
		}
	}
	return addr
}

// Client returns the address of the one who sent a request, as the door sees it: behind trusted proxies the client's, else the
// peer's with its port.
func (d *Door) Client(r *http.Request) string {
	if addr := d.client(r); addr.IsValid() && addr != parseAddr(r.RemoteAddr) {
		return addr.String()
	}
	return r.RemoteAddr
}

func cutLast(list string) (before, last string, found bool) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		return list[:i], list[i+1:], true
	}
	return "", list, false
}

// parseAddr reads an address with or without port; IPv4 written as IPv6 becomes IPv4, and a zone is dropped.
func parseAddr(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// parsePrefix reads a CIDR or a single address.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return unmap(netip.PrefixFrom(a, a.BitLen())), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a CIDR such as 203.0.113.0/24", s)
	}
	return unmap(p), nil
}

// unmap turns a prefix of IPv4-mapped addresses into the IPv4 one, so that it matches addresses from parseAddr.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

func unmapAll(list []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(list))
	for _, p := range list {
		out = append(out, unmap(p))
	}
	return out
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}
