package egress

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
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
