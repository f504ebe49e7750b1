// Package egress owns the only door out: an HTTP/1.1 client that judges every address that a name leads to, and connects to
// a judged address or to nothing.
//
// It follows no redirect, asks no proxy of the environment, keeps no cookie and decompresses nothing. It speaks HTTP/1.1
// alone: a delivery is one request and one short answer, for which HTTP/2 costs more than it saves.
package egress

import (
	"context"
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// The limits of an answer. Only the first is an option.
const (
	DefaultMaxResponse = 16 << 10 // bytes of the body that are kept
	maxDrain           = 64 << 10 // bytes of the body that are read at all; beyond them the connection is closed
	maxHead            = 64 << 10 // bytes of status lines and headers, interim answers included
	maxInterim         = 8        // interim (1xx) answers before the final one
)

// Options set a Client up. The zero value is a safe one: public addresses only.
type Options struct {
	// Dial opens a connection to an address that was judged, "203.0.113.7:443". nil = a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Resolve returns every address of a host name. nil = the system's resolver. Do uses an answer for five seconds.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// TLS is the base of every TLS connection, for root certificates of one's own. nil = the system's roots.
	TLS *tls.Config

	AllowLoopback bool   // 127.0.0.0/8 and ::1 may be reached by everybody: for a laptop
	Version       string // stands in the User-Agent, Waypost/VERSION; "" = dev

	MaxResponse    int           // bytes of an answer's body that are kept; 0 = DefaultMaxResponse
	ConnectTimeout time.Duration // for resolving, connecting and TLS together, within the request's own deadline; 0 = 10 s
	IdlePerHost    int           // connections to one host kept open for the next request; 0 = 256
	Idle           int           // connections kept open in all; 0 = 2048
	IdleTimeout    time.Duration // how long an unused one is kept; 0 = 30 s
}

// Client sends requests. It may be used from any number of goroutines.
type Client struct {
	o     Options
	agent string
	tls   *tls.Config
	pool  *pool
	names *names
	heads sync.Pool // of *[]byte
}

// New makes a Client.
func New(o Options) *Client {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	o.MaxResponse = or(o.MaxResponse, DefaultMaxResponse)
	o.ConnectTimeout = or(o.ConnectTimeout, 10*time.Second)
	o.IdlePerHost = or(o.IdlePerHost, 256)
	o.Idle = or(o.Idle, 2048)
	o.IdleTimeout = or(o.IdleTimeout, 30*time.Second)
	if o.Version == "" {
		o.Version = "dev"
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.TLS != nil {
		conf = o.TLS.Clone()
	}
	conf.NextProtos = []string{"http/1.1"}
	if conf.ClientSessionCache == nil {
		conf.ClientSessionCache = tls.NewLRUClientSessionCache(4096)
	}
	return &Client{
		o:     o,
		agent: "Waypost/" + o.Version,
		tls:   conf,
		pool:  newPool(o.IdlePerHost, o.Idle, o.IdleTimeout),
		names: newNames(&o),
		heads: sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }},
	}
}

func or[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// Close closes the connections that are kept open. Requests under way are not touched.
func (c *Client) Close() { c.pool.close() }

// Request is one request.
type Request struct {
	Method string // "" = POST
	URL    string // http or https; a user and password in it become basic authorization
	// To is where URL leads, read before: for an address that many requests go to. nil = URL is read for this one.
	To    *Destination
	Query string // added to the URL's own, "" = none
	// Header is sent in the spelling of the map's keys, ordered by name. Headers that frame the request (Host,
	// Content-Length, Connection …) are refused.
	Header http.Header
	// Fields are more headers, sent as if they stood in Header: for callers who have many, for which a map costs more than the
	// rest of the request.
	Fields []Field
	Body   []byte // not kept after Do returned
	// Allow are the addresses that this request may reach although they are not public.
	Allow []netip.Prefix
	// Deadline is when it must be over, as the context's deadline is, whichever comes first. It is for callers with many requests
	// under one context: a context for each costs about as much as making the request. Zero = the context's alone.
	Deadline time.Time
}

// Field is one line of a header.
type Field struct{ Name, Value string }

// Headers returns Header and Fields together.
func (r *Request) Headers() http.Header {
	if len(r.Fields) == 0 {
		return r.Header
	}
	h := make(http.Header, len(r.Header)+len(r.Fields))
	maps.Copy(h, r.Header)
	for _, f := range r.Fields {
		h[f.Name] = append(slices.Clip(h[f.Name]), f.Value)
	}
	return h
}

// end is the moment at which the request must be over; the zero time means never.
func (r *Request) end(ctx context.Context) time.Time {
	end, ok := ctx.Deadline()
	if !ok || !r.Deadline.IsZero() && r.Deadline.Before(end) {
		return r.Deadline
	}
	return end
}

// Destination is a URL that was read, or why it cannot be. It does not change.
type Destination struct {
	target target
	key    string // of the target
	err    error
}

// Locate reads a URL for Request.To. What is wrong with it is the error of each Do.
func Locate(rawURL string) *Destination {
	t, err := parse(rawURL)
	return &Destination{t, t.key(), err}
}

// Response is an answer, whatever its status: a redirect is an answer like any other.
type Response struct {
	Status    int
	Header    http.Header
	Body      []byte
	Truncated bool // there was more
}

// Do sends a request and reads the answer. The context's deadline covers connecting, TLS, headers and body.
//
// Every error is an *Error. When the answer's headers had come before it, the Response holds what was read.
//
// A kept connection that its server closed before the request was written whole is replaced by a new one once. A request
// that may have arrived is never sent again: one call is one request as far as the server can have acted on it.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	to := r.To
	if to == nil {
		to = Locate(r.URL)
	}
	if to.err != nil {
		return Response{}, to.err
	}
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	buf := c.heads.Get().(*[]byte)
	defer c.heads.Put(buf)
	head, err := c.appendHead((*buf)[:0], &to.target, &r)
	if err != nil {
		return Response{}, err
	}
	x := exchange{ctx: ctx, end: r.end(ctx), shared: !r.Deadline.IsZero(), method: r.Method, head: head, body: r.Body}
	if len(x.body) <= inlineBody {
		x.head, x.body = append(head, x.body...), nil
	}
	*buf = x.head[:0]

	if kept := c.pool.get(to.key, &x, func(a netip.Addr) bool { return c.judge(a, r.Allow) == nil }); kept != nil {
		resp, stale, err := c.exchange(&x, kept)
		if !stale {
			return resp, err
		}
	}
	fresh, err := c.connectBy(ctx, x.end, &to.target, r.Allow)
	if err != nil {
		return Response{}, err
	}
	x.begin(fresh)
	resp, _, err := c.exchange(&x, fresh)
	return resp, err
}

// Check judges a URL before it is configured: its form, and where it leads as far as that is known now. A name that does
// not resolve at the moment is accepted, because Do judges again. The error's Hint holds the line that would allow the
// address.
func (c *Client) Check(ctx context.Context, rawURL string, allow []netip.Prefix) error {
	t, err := parse(rawURL)
	if err != nil {
		return err
	}
	_, err = c.resolve(ctx, &t, allow, c.o.Resolve)
	if e, ok := err.(*Error); ok && e.Kind != KindForbidden {
		return nil
	}
	return err
}

// resolve asks for the addresses of a target and returns them, all of them judged. One that is forbidden forbids all: a name that answers
// with a public and a private address is an attack or a mistake.
func (c *Client) resolve(ctx context.Context, t *target, allow []netip.Prefix, ask func(context.Context, string) ([]netip.Addr, error)) ([]netip.Addr, error) {
	addrs := []netip.Addr{t.addr}
	if !t.addr.IsValid() {
		found, err := ask(ctx, t.host)
		if err != nil {
			return nil, resolveError(ctx, t.host, err)
		}
		addrs = make([]netip.Addr, 0, len(found))
		for _, a := range found {
			if a = a.Unmap(); !slices.Contains(addrs, a) {
				addrs = append(addrs, a)
			}
		}
		if len(addrs) == 0 {
			return nil, &Error{Kind: KindDNS, Text: "the name " + t.host + " has no address"}
		}
	}
	for _, a := range addrs {
		if class := c.judge(a, allow); class != nil {
			return nil, forbidden(t, a, class)
		}
	}
	return addrs, nil
}
