package lean_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/waypost/waypost/internal/lean"
)

// pushed is a push as Go's client sends it.
var pushed = []byte(post("/in/01j9z4m6c8e2f5k7", `{"type":"order.paid","data":"`+strings.Repeat("x", 950)+`"}`, "User-Agent: Go-http-client/1.1",
	"Content-Type: application/json", "Webhook-Id: msg_01j9z4m6c8e2f", "Webhook-Signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
	"Webhook-Timestamp: 1767225600", "Accept-Encoding: gzip"))

// taken is a handler that does as little as the front door must.
func taken(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h := w.Header()
	h["Content-Type"] = nil
	h["Content-Length"] = []string{"0"}
	w.WriteHeader(http.StatusOK)
}

// loop is a server that knows nothing of HTTP: it waits for so many bytes and answers. What it costs is the kernel and the
// client, which the others pay, too.
type loop struct{ open sync.Map }

func (s *loop) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return http.ErrServerClosed
		}
		s.open.Store(c, l)
		go func() {
			buf := make([]byte, len(pushed))
			for {
				if _, err := io.ReadFull(c, buf); err != nil {
					return
				}
				if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n\r\n"); err != nil {
					return
				}
			}
		}()
	}
}

func (s *loop) Close() error {
	s.open.Range(func(c, l any) bool { _, _ = c.(net.Conn).Close(), l.(net.Listener).Close(); return true })
	return nil
}

// BenchmarkServer sends a push again and again over 64 connections. cpu-µs/op is the processor time of the server and of the
// client together.
func BenchmarkServer(b *testing.B) {
	type serving interface {
		Serve(net.Listener) error
		Close() error
	}
	for _, c := range []struct {
		name string
		make func() serving
	}{
		{"loop", func() serving { return &loop{} }},
		{"lean", func() serving { return lean.New(config(http.HandlerFunc(taken))) }},
		{"net_http", func() serving { return config(http.HandlerFunc(taken)) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			s := c.make()
			ended := make(chan error, 1)
			go func() { ended <- s.Serve(l) }()
			defer func() { _ = s.Close(); <-ended }()
			load(b, l.Addr().String())
		})
	}
}

func load(b *testing.B, addr string) {
	const clients = 64
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	began := processorTime()
	for range clients {
		all.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			buf := make([]byte, 512)
			for left.Add(-1) >= 0 {
				_, _ = c.Write(pushed)
				if n, err := c.Read(buf); err != nil || !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 200")) {
					b.Errorf("answered %q, %v", buf[:n], err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64((processorTime()-began).Microseconds())/float64(b.N), "cpu-µs/op")
}

// BenchmarkIdle opens connections that have had a request and wait for another. bytes/conn is what one takes of the heap and of
// the stacks, the client's end with it.
func BenchmarkIdle(b *testing.B) {
	const many = 400 // fewer files than the smallest usual limit
	for _, name := range []string{"lean", "net/http"} {
		b.Run(strings.ReplaceAll(name, "/", "_"), func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			s := both[name](config(http.HandlerFunc(taken)))
			ended := make(chan error, 1)
			go func() { ended <- s.Serve(l) }()
			defer func() { _ = s.Close(); <-ended }()
			var conns []net.Conn
			before := memory()
			for b.Loop() {
				for range many {
					c, err := net.Dial("tcp", l.Addr().String())
					if err != nil {
						b.Fatal(err)
					}
					conns = append(conns, c)
					_, _ = c.Write(pushed)
					if _, err := c.Read(make([]byte, 512)); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(memory()-before)/many, "bytes/conn")
				for _, c := range conns {
					_ = c.Close()
				}
				conns = nil
			}
		})
	}
}

// memory is what is in use of heap and stacks.
func memory() int64 {
	for range 3 { // pools forget in the second round; stacks shrink, too
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
