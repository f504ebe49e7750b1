package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// maxDials bounds how many addresses of one name are tried.
const maxDials = 8

// conn is an open connection to a judged address.
type conn struct {
	net.Conn            // TLS on top, where there is TLS
	raw        net.Conn // below it
	addr       netip.Addr
	key        string
	br         *bufio.Reader
	in         meter
	born, idle time.Time // opened; last used
	reused     bool
}

// connect looks the name up, judges, dials and shakes hands. It dials nothing but the addresses that it judged itself, so a
// name whose answer changes in between gains nothing, and neither does one whose answer is remembered.
func (c *Client) connect(ctx context.Context, t *target, allow []netip.Prefix) (*conn, error) {
	limited, cancel := context.WithTimeout(ctx, c.o.ConnectTimeout)
	defer cancel()
	addrs, err := c.resolve(limited, t, allow, c.names.lookUp)
	if err != nil {
		c.names.forget(t.host)
		return nil, err
	}
	raw, addr, err := c.dial(limited, t, addrs)
	if err != nil {
		c.names.forget(t.host)
		return nil, err
	}
	cn := &conn{Conn: raw, raw: raw, addr: addr, key: t.key(), born: time.Now()}
	if t.tls {
		conf := c.tls.Clone()
		conf.ServerName = t.host
		over := tls.Client(raw, conf)
		if err := over.HandshakeContext(limited); err != nil {
			_ = raw.Close()
			return nil, tlsError(limited, t, err)
		}
		cn.Conn = over
	}
	cn.in.r = cn.Conn
	cn.br = bufio.NewReaderSize(&cn.in, 4<<10)
	return cn, nil
}

// dial tries the addresses in the resolver's order, each with its share of the time that is left.
func (c *Client) dial(ctx context.Context, t *target, addrs []netip.Addr) (net.Conn, netip.Addr, error) {
	addrs = addrs[:min(len(addrs), maxDials)]
	deadline, _ := ctx.Deadline() // connect sets one
	var first error
	for i, a := range addrs {
		now := time.Now()
		share := deadline.Sub(now) / time.Duration(len(addrs)-i)
		one, cancel := context.WithDeadline(ctx, now.Add(share))
		raw, err := c.o.Dial(one, "tcp", net.JoinHostPort(a.String(), strconv.Itoa(int(t.port))))
		cancel()
		if err == nil {
			return raw, a, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, netip.Addr{}, dialError(ctx, t, first)
}
