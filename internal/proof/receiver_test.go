//go:build unix

package proof

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/standard"
)

// post is a receiver of the ledger, reached by real requests.
type post struct {
	*Ledger
	t        *testing.T
	listener net.Listener
	accepts  bool
}

func secret(letter string) dialect.Settings {
	return dialect.Set("secret", "whsec_"+base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32))))
}

func newPost(t *testing.T) *post {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &post{Ledger: NewLedger(), t: t, listener: l, accepts: true}
	p.Add(Destination{Name: "e", Dialect: &standard.Dialect, Settings: secret("a"), Schedule: []time.Duration{time.Hour}, Concurrency: 1})
	return p
}

// open serves what has called so far, and what will.
func (p *post) open() {
	srv := NewServer(p.Receiver("e", func(string, int, http.ResponseWriter, *http.Request) int {
		if p.accepts {
			return 0
		}
		return http.StatusServiceUnavailable
	}))
	go func() { _ = srv.Serve(p.listener) }()
	p.t.Cleanup(func() { _ = srv.Close() })
}

// request is one that a server would send.
func (p *post) request(key, payload, letter string) *http.Request {
	p.t.Helper()
	signed, err := standard.Dialect.Sign(secret(letter), dialect.Outbound{ID: key, EventType: "a", Payload: []byte(payload), Created: time.Now(), Now: time.Now()})
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := http.NewRequest(signed.Method, "http://"+p.listener.Addr().String(), bytes.NewReader(signed.Body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header = signed.Header
	return r
}

func (p *post) deliver(key, payload, letter string) {
	p.t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(p.request(key, payload, letter))
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode/100 == 2 != p.accepts {
		p.t.Errorf("answered %s", resp.Status)
	}
}

// die sends a request and closes the connection, as the kernel does for a process that was killed.
func (p *post) die(key, payload string) {
	p.t.Helper()
	c, err := net.Dial("tcp", p.listener.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.request(key, payload, "a").Write(c); err != nil {
		p.t.Fatal(err)
	}
	_ = c.Close()
}

// arrivals waits until so many have come.
func (p *post) arrivals(n int) Verdict {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		v := p.Verdict()
		if v.Arrivals+len(v.Invented) >= n {
			return v
		}
		if time.Now().After(end) {
			p.t.Fatalf("%d arrivals, want %d", v.Arrivals, n)
		}
	}
}

// Every fault that a server may commit, by real requests: the checker must find it, and name the message.
func TestAReceiverSeesWhatIsWrong(t *testing.T) {
	t.Parallel()
	const payload = `{"key":"m" , "n":1.0}`
	for _, c := range []struct {
		name   string
		course func(p *post)
		came   int
		want   string // of the verdict, "" = nothing is wrong
	}{
		{"as it should be", func(p *post) { p.open(); p.deliver("m", payload, "a") }, 1, ""},
		{"signed with another key", func(p *post) { p.open(); p.deliver("m", payload, "b") }, 1, "unsigned 1: m ("},
		{"spaces were taken out", func(p *post) { p.open(); p.deliver("m", `{"key":"m","n":1.0}`, "a") }, 1, "altered 1: m"},
		{"a number was spelled anew", func(p *post) { p.open(); p.deliver("m", `{"key":"m" , "n":1}`, "a") }, 1, "altered 1: m"},
		{"nobody sent it", func(p *post) { p.open(); p.deliver("m", payload, "a"); p.deliver("x", `{"key":"x"}`, "a") }, 2, "invented 1: x"},
		{"it was never accepted", func(p *post) { p.open(); p.accepts = false; p.deliver("m", payload, "a") }, 1, "lost 1: m"},
		{"twice", func(p *post) { p.open(); p.deliver("m", payload, "a"); p.deliver("m", payload, "a") }, 2, "again 1: m ("},
		{"after disable has answered", func(p *post) {
			p.open()
			p.Closed("e")
			p.endpoints["e"].closed = time.Now().Add(-time.Minute)
			p.deliver("m", payload, "a")
		}, 1, "late 1: m"},
		{"twice by one life, soon after the death of the one before", func(p *post) {
			p.open()
			now := time.Now()
			p.Crashed(now.Add(-time.Millisecond), now)
			p.deliver("m", payload, "a")
			p.deliver("m", payload, "a")
		}, 2, "again 1: m ("},
		{"once by the life that died and was read late, once by the next", func(p *post) {
			from := time.Now()
			p.die("m", payload)
			p.Crashed(from, time.Now())
			p.open()
			p.arrivals(1)
			p.deliver("m", payload, "a")
		}, 2, ""},
		{"twice by the life that died, and read late", func(p *post) {
			from := time.Now()
			p.die("m", payload)
			p.die("m", payload)
			p.Crashed(from, time.Now())
			p.open()
		}, 2, "again 1: m ("},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPost(t)
			p.Sent("m", "way", "e", []byte(payload))
			p.Acknowledged("m")
			c.course(p)
			v := p.arrivals(c.came)
			if got := fmt.Sprint(v); !strings.Contains(got, c.want) || v.OK() != (c.want == "") {
				t.Errorf("%s, want %q in it", got, c.want)
			}
		})
	}
}
