package ingest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
)

// long is a letter of a size.
func long(size int) string {
	frame := `{"type":"a","id":"1","data":{"x":""}}`
	return strings.Replace(frame, `""`, `"`+strings.Repeat("y", size-len(frame))+`"`, 1)
}

// wire is a rightly signed push to a door as bytes.
func wire(door, body string) string {
	text := raw(body, fmt.Sprintf("Content-Length: %d", len(body)), signature(body), "Connection: close")
	return strings.Replace(text, doorName, door, 1)
}

// stall begins a push and sends nothing more when half of it, and a little more, is out.
func stall(c net.Conn, request string) {
	go func() { _, _ = io.WriteString(c, request[:len(request)/2+1024]) }()
}

func TestWhoHoldsMemory(t *testing.T) {
	t.Parallel()
	const (
		size    = 64 << 10
		maxHeld = 64 * size // 8 bodies of a client and 16 of a source
		ofOne   = 8
		ofDoor  = 16
		many    = 40
	)
	body := long(size)
	small := func(o *ingest.Options, _ *hook.Route) {
		o.MaxBody, o.MaxHeld = size, maxHeld
		o.Accept = func(_ context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
			return []hook.Accepted{{Message: batch[0].Message}}, nil
		}
	}
	tests := []struct {
		name     string
		stallers func(i int) string
		held     int               // pushes that wait; the others are 503
		then     map[string]string // who pushes to which door, and what he is answered
	}{
		{"one client who stalls is refused more, and closes the door to nobody else",
			func(int) string { return "203.0.113.9" }, ofOne,
			map[string]string{"203.0.113.9 d00r": "[503]", "203.0.113.10 d00r": "[200]", "203.0.113.9 other": "[503]"}},
		{"all addresses of an IPv6 client's network are one client",
			func(i int) string { return fmt.Sprintf("2001:db8::%x", i) }, ofOne,
			map[string]string{"2001:db8::ffff d00r": "[503]", "2001:db8:0:1::1 d00r": "[200]"}},
		{"many clients who stall close the door that they know, and no other",
			func(i int) string { return fmt.Sprintf("203.0.113.%d", i) }, ofDoor,
			map[string]string{"198.51.100.1 d00r": "[503]", "198.51.100.1 other": "[200]", "203.0.113.1 other": "[200]"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := open(t, small, twoDoors)
				dial := serveFrom(t, st)
				for i := range many {
					stall(dial(tt.stallers(i)), wire(doorName, body))
				}
				synctest.Wait()
				if n := st.results()[ingest.ResultBusy]; n != many-tt.held {
					t.Errorf("%d of %d were answered 503, want %d", n, many, many-tt.held)
				}
				for who, want := range tt.then {
					client, door, _ := strings.Cut(who, " ")
					if got := fmt.Sprint(quick(dial(client), wire(door, body))); got != want {
						t.Errorf("%s: answered %s, want %s", who, got, want)
					}
				}
				time.Sleep(3 * time.Second)
				if n := st.results()[ingest.ResultSlow]; n != tt.held {
					t.Errorf("%d who stalled were given up, want %d", n, tt.held)
				}
				for who := range tt.then {
					client, door, _ := strings.Cut(who, " ")
					if got := fmt.Sprint(quick(dial(client), wire(door, body))); got != "[200]" {
						t.Errorf("%s, when the memory is free again: answered %s", who, got)
					}
				}
			})
		})
	}
}

// twoDoors gives the source of the station a neighbour behind the door "other".
func twoDoors(o *ingest.Options, r *hook.Route) {
	neighbour := hook.NewID[hook.SourceID](o.IDs, time.Now())
	o.Routes = func(_ context.Context, door string, _ time.Time) (hook.Route, error) {
		found := *r
		if door == "other" {
			found.Source.ID, found.Source.Door = neighbour, door
		}
		return found, nil
	}
}

// quick is one exchange, with the statuses that came.
func quick(c net.Conn, request string) (out []int) {
	defer c.Close()
	go func() { _, _ = io.WriteString(c, request) }()
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil
	}
	_ = a.Body.Close()
	return []int{a.StatusCode}
}

// part is some bytes of a push, sent after a pause.
type part struct {
	after time.Duration
	bytes int
}

func TestABodyMustKeepComing(t *testing.T) {
	t.Parallel()
	every := func(pause time.Duration, bytes, times int) (out []part) {
		for range times {
			out = append(out, part{pause, bytes})
		}
		return out
	}
	tests := []struct {
		name   string
		size   int
		parts  []part
		status int
		after  time.Duration
	}{
		{"much at once earns no longer rest", 1 << 20, []part{{0, 900 << 10}}, 408, 2 * time.Second},
		{"less than 16 KiB a second is too little for a long body", 200 << 10, every(time.Second, 4<<10, 50), 408, 6500 * time.Millisecond},
		{"16 KiB a second is enough", 100 << 10, every(time.Second, 16<<10, 7), 200, 7 * time.Second},
		{"the whole never takes longer than the read timeout", 1 << 20, every(time.Second, 32<<10, 32), 408, 10 * time.Second},
		{"a short body may rest for long", 10 << 10, []part{{0, 1 << 10}, {9 * time.Second, 9 << 10}}, 200, 9 * time.Second},
		{"a long body may begin slowly", 100 << 10, []part{{0, 1 << 10}, {5 * time.Second, 20 << 10}, {time.Second, 79 << 10}}, 200, 6 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := open(t)
				c := serve(t, st)()
				body := long(tt.size)
				head := strings.TrimSuffix(wire(doorName, body), body)
				began := time.Now()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					_, _ = io.WriteString(c, head)
					for _, p := range tt.parts {
						time.Sleep(p.after)
						n := min(p.bytes, len(body))
						if _, err := io.WriteString(c, body[:n]); err != nil {
							return
						}
						body = body[n:]
					}
				}()
				a, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); a.StatusCode != tt.status || took.Round(100*time.Millisecond) != tt.after {
					t.Errorf("answered %d after %v, want %d after %v", a.StatusCode, took, tt.status, tt.after)
				}
				_ = c.Close()
				<-sent
			})
		})
	}
}
