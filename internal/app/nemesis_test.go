package app

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/proof"
)

// nemeses are receivers that misbehave, each in its own way; what is left of the connection is closed afterwards.
func nemeses(elsewhere string, quit <-chan struct{}) map[string]func(c *net.TCPConn) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	forever := func(c *net.TCPConn, start, again string, every time.Duration) {
		if _, err := io.WriteString(c, start); err != nil {
			return
		}
		more := []byte(again) // once: what the flood allocates would be counted
		for {
			if _, err := c.Write(more); err != nil {
				return
			}
			if every > 0 {
				select {
				case <-quit:
					return
				case <-time.After(every):
				}
			}
		}
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 32<<20)) // 32 KiB on the wire
	_ = z.Close()
	line := "X-Filler: " + string(bytes.Repeat([]byte("x"), 1000)) + "\r\n"
	return map[string]func(*net.TCPConn){
		"reset":           func(c *net.TCPConn) { _ = c.SetLinger(0) },
		"stall":           func(*net.TCPConn) { <-quit },
		"drip":            func(c *net.TCPConn) { forever(c, ok+"Content-Length: 100\r\n\r\n", "x", time.Second) },
		"endless-headers": func(c *net.TCPConn) { forever(c, ok, line, 0) },
		"endless-body":    func(c *net.TCPConn) { forever(c, ok+"\r\n", line, 0) },
		"1xx-flood":       func(c *net.TCPConn) { forever(c, "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 0) },
		"gzip-bomb": func(c *net.TCPConn) {
			_, _ = fmt.Fprintf(c, "HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", bomb.Len(), bomb.Bytes())
		},
		"redirect": func(c *net.TCPConn) {
			_, _ = fmt.Fprintf(c, "HTTP/1.1 307 Over There\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", elsewhere)
		},
	}
}

// misbehave serves a nemesis: it reads a request's head, and then does its worst.
func misbehave(t *testing.T, worst func(*net.TCPConn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				if _, err := c.Read(make([]byte, 4<<10)); err == nil {
					worst(c.(*net.TCPConn))
				}
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/hook"
}

// delivery is what the API shows of where a message stands.
type delivery struct {
	EndpointID string `json:"endpointId"`
	State      string
	Attempts   int
}

func (s *station) deliveries(ref string) []delivery {
	s.t.Helper()
	status, body := s.call(http.MethodGet, "/app/shop/msg/"+ref+"/delivery", nil)
	var out struct{ Data []delivery }
	if status != http.StatusOK || json.Unmarshal(body, &out) != nil {
		s.t.Fatalf("deliveries of %s: %d %s", ref, status, body)
	}
	return out.Data
}

// TestReceiversThatMisbehaveHarmNobodyElse sends every message to a receiver that works and to one of each that does not.
func TestReceiversThatMisbehaveHarmNobodyElse(t *testing.T) {
	const messages = 60
	quit := make(chan struct{})
	defer close(quit)
	var strayed atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strayed.Add(1) }))
	defer elsewhere.Close()
	s := newPlainStation(t)
	defer s.abandon()
	add := func(name, dialectName string, extra map[string]any) {
		t.Helper()
		extra["filterTypes"] = []string{"storm"}
		if err := s.around.Endpoint(proof.SendingApp, name, dialectName, extra); err != nil {
			t.Fatal(err)
		}
	}
	add("good", "standard", map[string]any{})
	bad := nemeses(elsewhere.URL, quit)
	ids := map[string]string{} // of the endpoints that misbehave
	for name, worst := range bad {
		// In a dialect whose platform hammers on: the breaker would spare us most of it.
		add(name, "pandapon", map[string]any{"url": misbehave(t, worst), "timeoutMs": 300, "retrySchedule": []float64{0.02}, "concurrency": 16})
		var made struct{ ID string }
		_, body := s.call(http.MethodGet, "/app/shop/endpoint/"+name, nil)
		if err := json.Unmarshal(body, &made); err != nil {
			t.Fatal(err)
		}
		ids[made.ID] = name
	}
	memory := watchMemory()
	p := &proof.Producers{
		Ledger: s.ledger, Ways: []proof.Way{s.around.API("storm", "storm", "good")}, Each: 4, Limit: messages, Client: s.client,
	}
	began := time.Now()
	p.Run(t.Context())
	v := s.settle(30 * time.Second)
	took, grown := time.Since(began), memory()
	t.Logf("%d messages beside %d receivers that misbehave: all delivered within %v, memory grew by at most %d MiB", v.Delivered, len(bad), took.Round(time.Millisecond), grown>>20)
	if !v.OK() || v.Delivered != messages {
		t.Error(v)
	}
	if limit := uint64(32 << 20); grown > limit {
		t.Errorf("memory grew by %d bytes", grown)
	}

	s.endInSight("storm-1", ids)
	if n := strayed.Load(); n > 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
	for _, a := range s.attempts("storm-1") {
		if len(a.Response) > 16<<10 {
			t.Errorf("%d bytes of an answer were kept", len(a.Response))
		}
	}
}

// endInSight waits until the deliveries of a message to receivers that misbehave have ended, and looks how. names are by
// endpoint id.
func (s *station) endInSight(ref string, names map[string]string) {
	s.t.Helper()
	states := map[string]delivery{}
	s.await(func() bool {
		pending := false
		for _, d := range s.deliveries(ref) {
			if name := names[d.EndpointID]; name != "" {
				states[name] = d
				pending = pending || d.State == "pending"
			}
		}
		return !pending
	})
	for _, name := range names {
		d := states[name]
		switch {
		case name == "endless-body": // the status was 200; what follows is cut off, if need be by the deadline
			if d.State == "pending" || d.State == "" {
				s.t.Errorf("%s: %q", name, d.State)
			}
		case d.State != "failed" || d.Attempts != 2:
			s.t.Errorf("%s: %q after %d attempts, want failed after 2", name, d.State, d.Attempts)
		}
	}
}

type attempt struct {
	EndpointID         string `json:"endpointId"`
	ResponseStatusCode int    `json:"responseStatusCode"`
	Response           string
	Status             int
}

func (s *station) attempts(ref string) []attempt {
	s.t.Helper()
	status, body := s.call(http.MethodGet, "/app/shop/attempt/msg/"+ref+"?limit=200", nil)
	var out struct{ Data []attempt }
	if status != http.StatusOK || json.Unmarshal(body, &out) != nil {
		s.t.Fatalf("attempts of %s: %d %s", ref, status, body)
	}
	return out.Data
}

// watchMemory returns a func that tells by how many bytes the memory that is held grew at most since. What waits for the
// garbage collector is not counted.
func watchMemory() func() uint64 {
	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before, most := held(), uint64(0)
	ctx, stop := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		for ctx.Err() == nil {
			most = max(most, held())
			time.Sleep(10 * time.Millisecond)
		}
	})
	return func() uint64 {
		stop()
		watch.Wait()
		return max(most, before) - before
	}
}
