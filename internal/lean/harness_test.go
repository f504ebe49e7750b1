package lean_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/lean"
)

// server is what a lean.Server and an http.Server have in common.
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

// pipes is a listener of in-memory connections, whose deadlines follow the clock of a synctest bubble.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// dial opens a connection.
func (p *pipes) dial(t testing.TB) net.Conn {
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close() })
	p.conns <- far
	return near
}

// lines is a log that tests look at.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// config is how both servers are set up, unless a test says otherwise.
func config(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 10 * time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// both are the two servers of a configuration.
var both = map[string]func(*http.Server) server{
	"net/http": func(s *http.Server) server { return s },
	"lean":     func(s *http.Server) server { return lean.New(s) },
}

// start runs a server until the test ends.
func start(t testing.TB, s server) *pipes {
	t.Helper()
	l := newPipes()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != http.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
	})
	return l
}

// served counts the requests that were answered here and not by net/http: those have no http.Hijacker.
type served struct {
	http.Handler
	here, all atomic.Int32
}

func (s *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, theirs := w.(http.Hijacker)
	s.all.Add(1)
	if !theirs {
		s.here.Add(1)
	}
	s.Handler.ServeHTTP(w, r)
}

// talk sends the pieces of some requests with pauses between them, and returns all that comes back until the server closes the
// connection or is silent for a minute.
func talk(c net.Conn, pieces ...string) (answer string, closed bool) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, p := range pieces {
			time.Sleep(time.Millisecond)
			if _, err := io.WriteString(c, p); err != nil {
				return
			}
		}
	}()
	var got strings.Builder
	for buf := make([]byte, 4096); ; {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := c.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			closed = err == io.EOF
			break
		}
	}
	_ = c.Close()
	<-sent
	time.Sleep(time.Second) // net/http waits a moment before it closes some connections
	return got.String(), closed
}

// meaning is what answers say to a client: it may be the same though the headers are in another order, the date is another, or
// one server sends in chunks what the other knows the length of.
func meaning(answers string) string {
	var out strings.Builder
	r := bufio.NewReader(strings.NewReader(answers))
	for {
		a, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
		if err != nil {
			rest, _ := io.ReadAll(r)
			return out.String() + fmt.Sprintf("%v %q", err, rest)
		}
		body, err := io.ReadAll(a.Body)
		if date := a.Header["Date"]; len(date) > 0 && date[0] != "long ago" {
			_, wrong := http.ParseTime(date[0])
			a.Header.Set("Date", fmt.Sprint(wrong))
		}
		a.Header.Del("Content-Length")
		fmt.Fprintf(&out, "%s %s %v %v %q %v\n", a.Proto, a.Status, a.Header, a.Close, body, err)
	}
}

// echo tells all that a handler can see of a request.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	tell(w, r, fmt.Sprintf("%q %v", body, err))
}

func tell(w http.ResponseWriter, r *http.Request, more string) {
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	text := fmt.Sprintf("%s|%s|%s|%d.%d|%s|%+v|%d|%v|%v|%v\n", r.Method, r.RequestURI, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Host, *r.URL,
		r.ContentLength, r.TransferEncoding, r.Close, r.Trailer)
	for _, name := range names {
		text += fmt.Sprintf("%s=%q\n", name, r.Header[name])
	}
	text += more
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	_, _ = io.WriteString(w, text)
}

// ways is a handler that does what the path says: all that handlers do to an answer.
func ways(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	switch r.URL.Path {
	case "/unread":
		tell(w, r, "")
	case "/part":
		some := make([]byte, 5)
		n, err := io.ReadFull(r.Body, some)
		tell(w, r, fmt.Sprintf("%q %v", some[:n], err))
	case "/shut":
		err := r.Body.Close()
		_, again := r.Body.Read(make([]byte, 1))
		tell(w, r, fmt.Sprint(err, again))
	case "/close":
		h.Set("Connection", "close")
		tell(w, r, "")
	case "/options":
		h.Set("Connection", "x, close")
		h.Set("Transfer-Encoding", "chunked")
		_, _ = io.WriteString(w, "some text")
	case "/none":
		w.WriteHeader(http.StatusNoContent)
		_, err := io.WriteString(w, "x")
		if err != http.ErrBodyNotAllowed {
			panic(err)
		}
	case "/same":
		h.Set("Content-Type", "text/x")
		h.Set("Content-Length", "7")
		w.WriteHeader(http.StatusNotModified)
	case "/nothing":
	case "/guess":
		_, _ = io.WriteString(w, "<html><body>")
	case "/untyped":
		h["Content-Type"], h["Date"] = nil, []string{"long ago"}
		w.WriteHeader(299)
		w.WriteHeader(500)
		h.Set("Too-Late", "1")
		_, _ = io.WriteString(w, "<html>")
	case "/coded":
		h.Set("Content-Encoding", "x")
		h["Date"] = nil
		h.Set("Bad Name", "1")
		h.Set("Split", "a\r\nB: c")
		w.WriteHeader(799)
		_, _ = io.WriteString(w, "<html>")
	case "/short":
		h.Set("Content-Length", "10")
		_, _ = io.WriteString(w, "12345")
	case "/long":
		h.Set("Content-Length", "3")
		_, err := io.WriteString(w, "12345")
		_, _ = w.Write([]byte(fmt.Sprint(err)))
	case "/length":
		h.Set("Content-Length", "-3")
		_, _ = w.Write([]byte("123"))
	case "/flush":
		_, _ = w.Write([]byte("first "))
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write([]byte("second"))
	case "/hint":
		h.Set("Link", "</x>")
		w.WriteHeader(http.StatusEarlyHints)
		h.Del("Link")
		_, _ = w.Write([]byte("done"))
	case "/panic": // net/http would first read what is left of the body, for as long as that takes
		_, _ = io.Copy(io.Discard, r.Body)
		panic("a fault")
	case "/abort":
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write([]byte("never seen"))
		panic(http.ErrAbortHandler)
	default:
		echo(w, r)
	}
}
