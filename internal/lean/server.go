// Package lean owns an HTTP/1.1 server for the plain requests of plain connections, in front of net/http's.
//
// Nearly every push is plain: a POST with a Host, a short Content-Length and a handful of headers. Such a request is read,
// handed to the handler and answered here, in one goroutine and with one write. Whatever is not plain (another method,
// another version, chunks, an upgrade, a line that is wrong) goes to a net/http.Server, connection and all, with the bytes
// that were read. So what is rare, and what is to be refused, is net/http's own; and what is answered here means the same to
// both.
package lean

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves connections as the http.Server does that it is made of.
type Server struct {
	http  *http.Server // the configuration of both, and who serves what is not plain
	hook  func(net.Conn, http.ConnState)
	queue *handovers
	max   int // bytes of a plain head
	date  date

	stopping atomic.Bool
	loops    sync.WaitGroup // Serve
	mu       sync.Mutex
	conns    map[*conn]struct{}
	listens  map[net.Listener]struct{}
	ended    chan struct{} // when net/http's Serve has ended; nil = it was not started
}

// New makes a Server of an http.Server, which must not be used for anything else. Of its fields Handler (required), the four
// time-outs, MaxHeaderBytes, ErrorLog and ConnState hold for all requests; BaseContext and ConnContext for those only that
// net/http serves. ConnState hears of each connection once that it is new and once that it is closed or hijacked. It hears
// of the states between only when net/http serves the connection.
//
// The ResponseWriter of a plain request is an http.Flusher and an io.StringWriter and knows deadlines. It is no http.Hijacker
// and sends no trailers. The context of a plain request ends when its handler returns or Close is called; that the client
// hung up is seen when the answer is written.
func New(h *http.Server) *Server {
	s := &Server{
		http: h, hook: h.ConnState, max: maxHead, queue: newHandovers(),
		conns: map[*conn]struct{}{}, listens: map[net.Listener]struct{}{},
	}
	if h.MaxHeaderBytes > 0 {
		s.max = min(s.max, h.MaxHeaderBytes)
	}
	if s.hook == nil {
		s.hook = func(net.Conn, http.ConnState) {}
	}
	h.ConnState = func(c net.Conn, state http.ConnState) {
		if state != http.StateNew { // told when it was accepted
			s.hook(c.(*handed).Conn, state)
		}
	}
	return s
}

// Serve accepts connections until Shutdown or Close, and then returns http.ErrServerClosed.
func (s *Server) Serve(l net.Listener) error {
	if !s.begin(l) {
		_ = l.Close()
		return http.ErrServerClosed
	}
	defer s.end(l)
	var pause time.Duration
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			if c := s.admit(c); c != nil {
				go c.serve()
			}
		case s.stopping.Load():
			return http.ErrServerClosed
		case !passing(err):
			return err
		default:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.logf("lean: accept: %v; once more in %v", err, pause)
			time.Sleep(pause)
		}
	}
}

// passing says whether accepting may go well again: no file handle was left, or the client was gone already.
func passing(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Temporary() //lint:ignore SA1019 net/http asks so, and there is no other way
}

func (s *Server) begin(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return false
	}
	s.loops.Add(1)
	s.listens[l] = struct{}{}
	if s.ended == nil {
		s.ended = make(chan struct{})
		go func() {
			defer close(s.ended)
			_ = s.http.Serve(s.queue)
		}()
	}
	return true
}

func (s *Server) end(l net.Listener) {
	_ = l.Close()
	s.mu.Lock()
	delete(s.listens, l)
	s.mu.Unlock()
	s.loops.Done()
}

// admit counts a new connection. nil = the server was closed meanwhile.
func (s *Server) admit(n net.Conn) *conn {
	c := newConn(s, n)
	s.hook(n, http.StateNew)
	s.mu.Lock()
	closed := s.conns == nil
	if !closed {
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	if closed {
		_ = n.Close()
		s.hook(n, http.StateClosed)
		return nil
	}
	return c
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Shutdown stops accepting, closes the connections that wait for a request, and waits until those under way are answered or
// ctx ends. It is http.Server.Shutdown but for this: a request whose head has come when Shutdown is called, or that comes
// as the first on a new connection, is still answered.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.stop()
	rest := make(chan error, 1)
	go func() { rest <- s.http.Shutdown(ctx) }()
	pause := time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for s.closeIdle() > 0 {
		select {
		case <-ctx.Done():
			<-rest
			return ctx.Err()
		case <-timer.C:
			pause = min(2*pause, 500*time.Millisecond)
			timer.Reset(pause)
		}
	}
	if e := <-rest; e != nil {
		return e
	}
	s.wait()
	return err
}

// Close closes every connection and returns without waiting for handlers. The contexts of their requests end.
func (s *Server) Close() error {
	err := s.stop()
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for c := range conns {
		c.abort()
	}
	err = errors.Join(err, s.http.Close())
	s.wait()
	return err
}

// stop closes the listeners, and waits until nothing more is accepted.
func (s *Server) stop() error {
	s.stopping.Store(true)
	s.mu.Lock()
	var errs []error
	for l := range s.listens {
		errs = append(errs, l.Close())
		delete(s.listens, l)
	}
	s.mu.Unlock()
	s.loops.Wait()
	return errors.Join(errs...)
}

// wait waits until net/http's Serve has ended.
func (s *Server) wait() {
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

// silence is how long a new connection may keep Shutdown waiting without a request.
const silence = 5 * time.Second

// closeIdle closes the connections that wait for a request, and returns how many are left.
func (s *Server) closeIdle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := 0
	for c := range s.conns {
		if c.state.CompareAndSwap(idle, closing) || time.Since(c.since) > silence && c.state.CompareAndSwap(fresh, closing) {
			_ = c.net.Close()
			delete(s.conns, c)
			continue
		}
		left++
	}
	return left
}

func (s *Server) logf(format string, args ...any) {
	if s.http.ErrorLog != nil {
		s.http.ErrorLog.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}

// headTime, idleTime: a server without one of these time-outs takes its ReadTimeout instead. 0 = none.
func (s *Server) headTime() time.Duration {
	if s.http.ReadHeaderTimeout != 0 {
		return s.http.ReadHeaderTimeout
	}
	return s.http.ReadTimeout
}

func (s *Server) idleTime() time.Duration {
	if s.http.IdleTimeout != 0 {
		return s.http.IdleTimeout
	}
	return s.http.ReadTimeout
}

// after is the end of a time-out that begins now; the zero time when there is none.
func after(now time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return now.Add(d)
}

// date is the present time as a Date header has it. It is written once a second.
type date struct{ last atomic.Pointer[dated] }

type dated struct {
	second int64
	text   [len(http.TimeFormat)]byte
}

func (d *date) at(now time.Time) *dated {
	if last := d.last.Load(); last != nil && last.second == now.Unix() {
		return last
	}
	next := &dated{second: now.Unix()}
	now.UTC().AppendFormat(next.text[:0], http.TimeFormat)
	d.last.Store(next)
	return next
}
