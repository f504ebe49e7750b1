package simulate_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/all"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/simulate"
)

// dialects are those that can send.
func dialects() (list []*dialect.Dialect) {
	table := all.Table()
	for _, name := range all.Names() {
		if d := table[name]; d.Sign != nil && d.Judge != nil {
			list = append(list, d)
		}
	}
	return list
}

// receiver is a service that takes a platform's messages as it should: by the receiving half of the same dialect.
type receiver struct {
	dialect  *dialect.Dialect
	settings dialect.Settings
	clock    func(*http.Request) time.Time // nil = the present time

	mu       sync.Mutex
	seen     map[string]bool
	got      []dialect.Received
	at       []time.Time
	requests int

	handshakes int // messages that it had when the handshake was over
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	now := time.Now()
	if rc.clock != nil {
		now = rc.clock(r)
	}
	got, err := rc.dialect.Receive(rc.settings, dialect.Inbound{
		Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, Body: body, Now: now,
	})
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.requests++
	var reply dialect.Reply
	switch {
	case err != nil && len(body) == 0:
		reply.Status = 200
	case err != nil:
		reply = rc.dialect.Reply(rc.settings, dialect.Outcome{Result: dialect.Forged})
	case got.Reply != nil:
		reply = *got.Reply
	case rc.seen[got.DedupKey]:
		reply = rc.dialect.Reply(rc.settings, dialect.Outcome{Result: dialect.Duplicate, Received: &got})
	default:
		if rc.seen == nil {
			rc.seen = map[string]bool{}
		}
		rc.seen[got.DedupKey] = true
		rc.got, rc.at = append(rc.got, got), append(rc.at, time.Now())
		reply = rc.dialect.Reply(rc.settings, dialect.Outcome{Result: dialect.Stored, Received: &got})
	}
	w.Header().Set("Content-Type", reply.ContentType)
	w.WriteHeader(reply.Status)
	_, _ = w.Write(reply.Body)
}

func (rc *receiver) has() int {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return len(rc.got)
}

// reach returns a client for which every URL leads to the handler, over connections in memory.
func reach(t *testing.T, h http.Handler) *egress.Client {
	t.Helper()
	c, _ := reachBoth(t, h)
	return c
}

// reachBoth is reach, with a slow client beside it.
func reachBoth(t *testing.T, h http.Handler) (*egress.Client, *simulate.Slow) {
	t.Helper()
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	o := egress.Options{
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
		},
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			near, far := net.Pipe()
			select {
			case l.conns <- far:
				return near, nil
			case <-l.closed:
				return nil, net.ErrClosed
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	}
	c, slow := egress.New(o), simulate.NewSlow(o)
	t.Cleanup(func() {
		c.Close()
		slow.Close()
		_ = s.Close()
		<-done
	})
	return c, slow
}

type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func keys(t *testing.T, d *dialect.Dialect) (platform, receiver dialect.Settings) {
	t.Helper()
	platform, receiver, err := simulate.Keys(d)
	if err != nil {
		t.Fatal(err)
	}
	return platform, receiver
}

// simulated runs a simulation of a dialect against a handler; a nil handler is a good receiver.
func simulated(t *testing.T, d *dialect.Dialect, h func(good http.Handler) http.Handler, change func(*simulate.Options)) (simulate.Report, *receiver) {
	t.Helper()
	platform, own := keys(t, d)
	rc := &receiver{dialect: d, settings: own}
	var handler http.Handler = rc
	if h != nil {
		handler = h(rc)
	}
	o := simulate.Options{Dialect: d, Settings: platform, To: "http://receiver.example/in/x", Client: reach(t, handler)}
	o.Progress = func(s simulate.Step) {
		if s.Kind == simulate.StepHandshake {
			rc.handshakes = rc.has()
		}
	}
	if len(d.Examples) == 0 {
		o.Events = []dialect.Example{{EventType: "x", Payload: []byte(`{"order_id":"100000000000000001"}`)}}
	}
	if change != nil {
		change(&o)
	}
	report, err := simulate.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report, rc
}

func finding(r simulate.Report, code, text string) *simulate.Finding {
	for i := range r.Findings {
		if r.Findings[i].Code == code && strings.Contains(r.Findings[i].Text, text) {
			return &r.Findings[i]
		}
	}
	return nil
}
