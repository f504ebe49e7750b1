package lean

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// The states of a connection. Whoever changes one from fresh or idle has the connection: its own goroutine, to serve a
// request, or Shutdown, to close it.
const (
	fresh   = iota // waits for its first request
	idle           // waits for another
	active         // has a request, or is net/http's
	closing        // Shutdown closes it
)

// conn is a connection whose requests have been plain so far.
type conn struct {
	server *Server
	net    net.Conn
	in     input
	since  time.Time // it was accepted
	begun  time.Time // the present request; kept only for the read time
	remote string
	values context.Context // what the contexts of its requests hold
	state  atomic.Int32
	given  bool // to net/http

	mu      sync.Mutex
	aborted bool
	cancel  context.CancelFunc // of the present request; nil = there is none
	body    *body              // of the present request
}

func newConn(s *Server, n net.Conn) *conn {
	now := time.Now()
	c := &conn{server: s, net: n, since: now, begun: now}
	if addr := n.RemoteAddr(); addr != nil {
		c.remote = addr.String()
	}
	c.values = context.WithValue(context.WithValue(context.Background(), http.ServerContextKey, s.http), http.LocalAddrContextKey, n.LocalAddr())
	return c
}

// serve answers the connection's requests until one is not plain, or there are no more.
func (c *conn) serve() {
	defer c.leave()
	c.in.open(c.net)
	c.in.until(after(c.since, c.server.headTime()))
	for state := int32(fresh); c.next(state); state = idle {
		if !c.rest() {
			return
		}
	}
}

// leave ends the connection, also after a panic of the handler.
func (c *conn) leave() {
	if p := recover(); p != nil && p != http.ErrAbortHandler {
		stack := make([]byte, 64<<10)
		stack = stack[:runtime.Stack(stack, false)]
		c.server.logf("http: panic serving %v: %v\n%s", c.remote, p, stack)
	}
	c.begin(nil)
	if c.given {
		return
	}
	_ = c.net.Close()
	if c.body != nil {
		_ = c.body.Close() // whoever still reads it is done before the buffer is another's
	}
	c.in.close()
	c.server.forget(c)
	c.server.hook(c.net, http.StateClosed)
}

// rest waits until another request begins, and says whether one does.
func (c *conn) rest() bool {
	c.state.Store(idle)
	c.in.shrink()
	// The rules of net/http: a request has begun with its fourth byte, and line ends in front of it are an old mistake of
	// clients behind a POST.
	if len(c.in.ahead()) < 4 {
		c.in.until(after(time.Now(), c.server.idleTime()))
	}
	for len(c.in.ahead()) < 4 {
		if c.in.fill() != nil {
			return false
		}
	}
	n := 0
	for n < 4 && (c.in.ahead()[n] == '\r' || c.in.ahead()[n] == '\n') {
		n++
	}
	c.in.skip(n)
	if c.server.http.ReadTimeout > 0 {
		c.begun = time.Now()
	}
	return true
}

// next reads a request's head and answers the request if it is plain. It says whether another may follow.
func (c *conn) next(state int32) bool {
	w := works.Get().(*work)
	w.head.reset(c.server.max)
	again := c.handle(w, state)
	w.release() // not after a panic: who knows who holds it
	return again
}

func (c *conn) handle(w *work, state int32) bool {
	began := state == fresh
	for {
		switch w.head.feed(c.in.ahead()) {
		case plain:
			return c.state.CompareAndSwap(state, active) && c.answer(w)
		case special:
			if c.state.CompareAndSwap(state, active) {
				c.handOver(nil)
			}
			return false
		}
		if !began {
			began = true
			c.in.until(after(time.Now(), c.server.headTime()))
		}
		if err := c.in.fill(); err != nil {
			if len(c.in.ahead()) > 0 && c.state.CompareAndSwap(state, active) {
				c.handOver(err)
			}
			return false
		}
	}
}

// handOver gives the connection to net/http, with what was read of it and the error that ended the reading.
func (c *conn) handOver(err error) {
	c.in.until(time.Time{})
	if !c.in.set.IsZero() {
		c.in.tell()
	}
	h := &handed{Conn: c.net, again: append([]byte(nil), c.in.ahead()...), err: err}
	c.in.close()
	c.server.forget(c)
	c.given = c.server.queue.give(h)
}

// answer has the handler answer a request, and says whether another may follow.
func (c *conn) answer(w *work) bool {
	srv := c.server.http
	c.in.until(after(c.begun, srv.ReadTimeout))
	if srv.WriteTimeout > 0 {
		_ = c.net.SetWriteDeadline(time.Now().Add(srv.WriteTimeout))
	}
	ctx, cancel := context.WithCancel(c.values)
	c.begin(cancel)
	a := &response{conn: c, work: w, header: make(http.Header), length: -1, deadline: srv.WriteTimeout > 0}
	a.body.in, a.body.left = &c.in, w.head.length
	c.body = &a.body
	r := w.head.request(c.in.ahead(), ctx, &a.url)
	r.RemoteAddr = c.remote
	if a.body.left > 0 {
		r.Body = &a.body
	}
	c.in.skip(w.head.next)
	srv.Handler.ServeHTTP(a, r)
	c.begin(nil)
	again := a.finish()
	c.body = nil // nobody reads it any more, and an idle connection keeps nothing
	return again
}

// begin ends the context of the last request; cancel ends that of the next one.
func (c *conn) begin(cancel context.CancelFunc) {
	c.mu.Lock()
	last := c.cancel
	c.cancel = cancel
	if c.aborted && cancel != nil {
		cancel()
	}
	c.mu.Unlock()
	if last != nil {
		last()
	}
}

// abort closes the connection under its request.
func (c *conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	if c.cancel != nil {
		c.cancel()
	}
	_ = c.net.Close()
}
