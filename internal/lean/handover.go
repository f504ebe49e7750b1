package lean

import (
	"net"
	"net/http"
	"sync"
)

// handovers is the listener through which net/http gets the connections that are not plain.
type handovers struct {
	conns  chan *handed
	once   sync.Once
	closed chan struct{}
}

func newHandovers() *handovers {
	return &handovers{conns: make(chan *handed), closed: make(chan struct{})}
}

// give says whether net/http has taken a connection. It does until its server is stopped.
func (q *handovers) give(c *handed) bool {
	select {
	case q.conns <- c:
		return true
	case <-q.closed:
		return false
	}
}

// Accept is part of net.Listener.
func (q *handovers) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

// Close is part of net.Listener.
func (q *handovers) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// Addr is part of net.Listener.
func (q *handovers) Addr() net.Addr { return lent{} }

// lent is the address of a listener that has none.
type lent struct{}

func (lent) Network() string { return "lean" }
func (lent) String() string  { return "lean" }

// handed is a connection of which something was read already: those bytes come again, and then the error that ended the
// reading, if one did. So net/http meets what it would have met by itself.
type handed struct {
	net.Conn
	again []byte
	err   error
}

// Read is part of net.Conn.
func (c *handed) Read(p []byte) (int, error) {
	if len(c.again) > 0 {
		n := copy(p, c.again)
		if c.again = c.again[n:]; len(c.again) == 0 {
			c.again = nil
		}
		return n, nil
	}
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

// CloseWrite ends the writing side, as a TCP connection can: net/http does so before it closes a connection on which more
// may come, so that its answer is not lost.
func (c *handed) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return http.ErrNotSupported
}
