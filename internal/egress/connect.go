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
	body       counted   // of an answer that commonAnswer read
	born, idle time.Time // opened; last used
	reused     bool
	peek       peek
	watch      watch
}

// close closes the connection. It may be called while it is written on.
func (cn *conn) close() {
	cn.watch.stop()
	_ = cn.raw.Close()
}

// watch ends what a connection does when a context is over. It stays from one request to the next under the same context, for
// to begin it and to end it costs about as much as a request's head.
type watch struct {
	done <-chan struct{} // of the context; nil = nothing is watched
	off  func() bool     // false: the context was over first
}

// start watches a context. false means that an earlier one is over, and the connection of no use any more.
func (w *watch) start(ctx context.Context, raw net.Conn) bool {
	done := ctx.Done()
	if done == w.done {
		return true
	}
	if !w.stop() {
		return false
	}
	if done != nil {
		w.done, w.off = done, context.AfterFunc(ctx, func() { _ = raw.SetDeadline(past) })
	}
	return true
}

// stop ends the watching. false means that the context was over: nobody knows when the connection will be told.
func (w *watch) stop() bool {
	if w.done == nil {
		return true
	}
	ok := w.off()
	w.done, w.off = nil, nil
	return ok
}

// connectBy is connect with a moment at which it must be over, beside the context's.
func (c *Client) connectBy(ctx context.Context, end time.Time, t *target, allow []netip.Prefix) (*conn, error) {
	if !end.IsZero() {
		limited, cancel := context.WithDeadline(ctx, end)
		defer cancel()
		ctx = limited
	}
	return c.connect(ctx, t, allow)
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
	cn.peek.at(raw)
	cn.in.r = cn.Conn
	cn.br = bufio.NewReaderSize(&cn.in, 4<<10)
	cn.body.br = cn.br
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
