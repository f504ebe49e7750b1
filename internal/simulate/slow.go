package simulate

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waypost/waypost/internal/egress"
)

// How a slow body comes: in pieces, over a time that is a fraction of the shortest deadline of any platform.
const (
	slowPieces = 8
	slowFor    = 240 * time.Millisecond
)

// Slow sends requests whose bodies come in pieces, as over a bad line, and notices who answers before the last piece.
type Slow struct {
	client *egress.Client
	early  atomic.Bool // an answer began before its request was written whole
}

// NewSlow makes a slow client. Its options are those of the run's own client.
func NewSlow(o egress.Options) *Slow {
	s := &Slow{}
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &slowConn{Conn: c, early: &s.early}, nil
	}
	s.client = egress.New(o)
	return s
}

// Close closes the connections that are kept open.
func (s *Slow) Close() { s.client.Close() }

// slowConn writes slowly what is written at once.
type slowConn struct {
	net.Conn
	early *atomic.Bool

	mu    sync.Mutex
	until time.Time // the reader's deadline
	ahead []byte    // read while writing
}

// Write writes the head of a request at once and the rest in pieces. While it waits between them it listens, but only
// where a head begins the text: then nobody else reads, and what comes is not part of a TLS handshake.
func (c *slowConn) Write(p []byte) (int, error) {
	head := bytes.Index(p, []byte("\r\n\r\n")) + len("\r\n\r\n")
	plain := head >= len("\r\n\r\n")
	if !plain {
		head = 0
	}
	n, err := c.Conn.Write(p[:head])
	if err != nil || head == len(p) {
		return n, err
	}
	for piece := range slices.Chunk(p[head:], max((len(p)-head+slowPieces-1)/slowPieces, 1)) {
		if plain {
			c.listen(slowFor / slowPieces)
		} else {
			time.Sleep(slowFor / slowPieces)
		}
		m, err := c.Conn.Write(piece)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// listen waits, and keeps what comes meanwhile.
func (c *slowConn) listen(d time.Duration) {
	began := time.Now()
	c.mu.Lock()
	until := began.Add(d)
	if !c.until.IsZero() && c.until.Before(until) {
		until = c.until
	}
	_ = c.Conn.SetReadDeadline(until)
	c.mu.Unlock()
	b := make([]byte, 1024)
	n, _ := c.Conn.Read(b) // an error shows again when the answer is read
	c.mu.Lock()
	c.ahead = append(c.ahead, b[:n]...)
	_ = c.Conn.SetReadDeadline(c.until)
	c.mu.Unlock()
	if n > 0 {
		c.early.Store(true)
	}
	time.Sleep(d - time.Since(began))
}

func (c *slowConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	if len(c.ahead) > 0 {
		n := copy(p, c.ahead)
		c.ahead = c.ahead[n:]
		c.mu.Unlock()
		return n, nil
	}
	c.mu.Unlock()
	return c.Conn.Read(p)
}

func (c *slowConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	return c.Conn.SetDeadline(t)
}

func (c *slowConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	return c.Conn.SetReadDeadline(t)
}

// trySlowBody sends a message whose body takes its time; a receiver that answers meanwhile has not read it.
func trySlowBody(ctx context.Context, r *run) words {
	switch {
	case r.Slow == nil:
		return noSuchHabit
	case !r.healthy():
		return notAcknowledged
	}
	r.Slow.early.Store(false)
	_, _, a, ok := r.good(ctx, variant{habit: "slow-body", key: "slow_body_refused", slow: true})
	if ok && a.status/100 == 2 && r.Slow.early.Load() {
		r.find("answered_early", a)
	}
	return words{}
}
