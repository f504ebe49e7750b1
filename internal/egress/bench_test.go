package egress

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

var benchHeader = http.Header{
	"webhook-id": {"msg_0123456789abc"}, "webhook-timestamp": {"1700000000"}, "webhook-signature": {"v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="},
	"Content-Type": {"application/json"}, "User-Agent": {"Waypost/1"},
}

func benchSink(b *testing.B) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	b.Cleanup(s.Close)
	return s.URL + "/hook"
}

// The two benchmarks send the same requests to the same server: what the guard costs beside a bare http.Client.
func BenchmarkDo(b *testing.B) {
	url, body := benchSink(b), make([]byte, 1<<10)
	c := New(Options{AllowLoopback: true})
	defer c.Close()
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Do(b.Context(), Request{URL: url, Header: benchHeader, Body: body}); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkDoAlone sends to a server that costs next to nothing, as the engine does: what is left is the client, and the system.
func BenchmarkDoAlone(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerLastBytes(conn)
		}
	}()
	to := Locate("http://" + l.Addr().String() + "/hook")
	body := append(make([]byte, 1<<10), lastByte)
	c := New(Options{AllowLoopback: true})
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Do(b.Context(), Request{To: to, Header: benchHeader, Body: body, Deadline: time.Now().Add(time.Minute)}); err != nil {
			b.Fatal(err)
		}
	}
}

const lastByte = '!' // of a request

// answerLastBytes reads what comes over a connection and answers whenever the last byte of a request is among it.
func answerLastBytes(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	said := []byte("HTTP/1.1 204 No Content\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n\r\n")
	in := make([]byte, 4<<10)
	for {
		n, err := conn.Read(in)
		if err != nil {
			return
		}
		if bytes.IndexByte(in[:n], lastByte) >= 0 {
			if _, err := conn.Write(said); err != nil {
				return
			}
		}
	}
}

func BenchmarkBareHTTPClient(b *testing.B) {
	url, body := benchSink(b), make([]byte, 1<<10)
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxIdleConns: 2048, DisableCompression: true}}
	defer c.CloseIdleConnections()
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader(body))
			r.Header = benchHeader.Clone()
			resp, err := c.Do(r)
			if err != nil {
				b.Error(err)
				continue
			}
			_, _ = io.ReadAll(io.LimitReader(resp.Body, 16<<10))
			_ = resp.Body.Close()
		}
	})
}
