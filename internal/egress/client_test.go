package egress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// internet is a network of pipes: what names resolve to, and who answers at an address.
type internet struct {
	names map[string][]string
	serve func(net.Conn) // nil = nobody answers, dialling hangs
	mu    sync.Mutex
	dials []string
}

func (n *internet) options() Options {
	return Options{
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			found, ok := n.names[host]
			if !ok {
				return nil, &net.DNSError{Err: "no such host", Name: host, Server: "10.9.9.9:53", IsNotFound: true}
			}
			var out []netip.Addr
			for _, a := range found {
				out = append(out, netip.MustParseAddr(a))
			}
			return out, nil
		},
		Dial: func(ctx context.Context, _, addr string) (net.Conn, error) {
			n.mu.Lock()
			n.dials = append(n.dials, addr)
			n.mu.Unlock()
			if n.serve == nil {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			near, far := net.Pipe()
			go n.serve(far)
			return near, nil
		},
	}
}

// lead has a name lead elsewhere from now on.
func (n *internet) lead(name string, addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[name] = addrs
}

func (n *internet) dialled() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dials)
}

// answer reads requests and gives each the same raw answer.
func answer(raw string) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { _ = c.Close() }()
		br := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			if _, err := io.WriteString(c, raw); err != nil {
				return
			}
		}
	}
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok"

// hooks is an internet with one public name.
func hooks(serve func(net.Conn)) *internet {
	return &internet{names: map[string][]string{"hooks.example": {"8.8.8.8"}}, serve: serve}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func kindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func TestForbiddenAddressesAreNotDialled(t *testing.T) {
	t.Parallel()
	n := hooks(answer(okAnswer))
	n.names["private.example"] = []string{"10.0.0.1"}
	n.names["mixed.example"] = []string{"8.8.8.8", "169.254.169.254"}
	n.names["mapped.example"] = []string{"::ffff:127.0.0.1"}
	c := New(n.options())
	for _, u := range []string{
		"http://private.example/", "http://mixed.example/", "http://mapped.example/", "http://127.0.0.1/", "http://[::1]:80/",
		"http://[::ffff:7f00:1]/", "http://[64:ff9b::7f00:1]/", "https://169.254.169.254/latest/meta-data/",
	} {
		if _, err := c.Do(t.Context(), Request{URL: u}); kindOf(err) != KindForbidden {
			t.Errorf("%s: %v", u, err)
		}
	}
	if got := n.dialled(); len(got) > 0 {
		t.Errorf("dialled %v", got)
	}
}

func TestANameThatChangesItsAnswerIsJudgedWhereItLeads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := hooks(answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
		c := New(n.options())
		if _, err := c.Do(t.Context(), Request{URL: "http://hooks.example/"}); err != nil {
			t.Fatal(err)
		}
		n.lead("hooks.example", "127.0.0.1")
		time.Sleep(nameAge)
		if _, err := c.Do(t.Context(), Request{URL: "http://hooks.example/"}); kindOf(err) != KindForbidden {
			t.Errorf("after the answer changed: %v", err)
		}
		if got := n.dialled(); !slices.Equal(got, []string{"8.8.8.8:80"}) {
			t.Errorf("dialled %v", got)
		}
	})
}

func TestAKeptConnectionIsNoWayRoundTheGuard(t *testing.T) {
	t.Parallel()
	n := &internet{names: map[string][]string{"inside.example": {"10.0.0.1"}}, serve: answer(okAnswer)}
	c := New(n.options())
	defer c.Close()
	allowed := Request{URL: "http://inside.example/", Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for range 2 {
		if _, err := c.Do(t.Context(), allowed); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Do(t.Context(), Request{URL: "http://inside.example/"}); kindOf(err) != KindForbidden {
		t.Errorf("without the allow list: %v", err)
	}
	if got := n.dialled(); len(got) != 1 {
		t.Errorf("dialled %v, want one connection kept for the two allowed requests", got)
	}
}

func TestARedirectIsAnAnswer(t *testing.T) {
	t.Parallel()
	n := hooks(answer("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"))
	resp, err := New(n.options()).Do(t.Context(), Request{URL: "http://hooks.example/"})
	if err != nil || resp.Status != 302 {
		t.Fatalf("%v %v", resp.Status, err)
	}
	if got := n.dialled(); len(got) != 1 {
		t.Errorf("dialled %v", got)
	}
}

func TestRequestsThatWouldBreakTheFramingAreRefused(t *testing.T) {
	t.Parallel()
	n := hooks(answer(okAnswer))
	c := New(n.options())
	for name, h := range map[string]http.Header{
		"line end in a value":     {"X": {"a\r\nEvil: 1"}},
		"line feed in a value":    {"X": {"a\nEvil: 1"}},
		"folded value":            {"X": {"a\r\n b"}},
		"zero byte in a value":    {"X": {"a\x00"}},
		"line end in a name":      {"X: a\r\nEvil": {"1"}},
		"space in a name":         {"X ": {"1"}},
		"empty name":              {"": {"1"}},
		"name outside ASCII":      {"é": {"1"}},
		"a second length":         {"content-length": {"1"}},
		"another framing":         {"Transfer-Encoding": {"chunked"}},
		"another host":            {"HOST": {"127.0.0.1"}},
		"hop-by-hop":              {"connection": {"close"}},
		"upgrade":                 {"Upgrade": {"h2c"}},
		"headers without measure": {"X": slices.Repeat([]string{strings.Repeat("a", 1000)}, 300)},
	} {
		if _, err := c.Do(t.Context(), Request{URL: "http://hooks.example/", Header: h}); kindOf(err) != KindHeader {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Do(t.Context(), Request{URL: "http://hooks.example/", Method: "GET / HTTP/1.1\r\nX:"}); kindOf(err) != KindHeader {
		t.Errorf("a method with a line end: %v", err)
	}
	if got := n.dialled(); len(got) > 0 {
		t.Errorf("dialled %v", got)
	}
}

func TestARequestIsSentAsGiven(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	done := make(chan struct{})
	n := hooks(func(c net.Conn) {
		defer close(done)
		br := bufio.NewReader(io.TeeReader(c, &got))
		req, _ := http.ReadRequest(br)
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = io.WriteString(c, okAnswer)
	})
	o := n.options()
	o.Version = "1.2.3"
	resp, err := New(o).Do(t.Context(), Request{
		URL: "http://user:pass@hooks.example:8080/a?b=c", Query: "d=e f",
		Header: http.Header{"webhook-id": {"msg_1"}, "X-Two": {"1", " 2 "}, "nonce": {"é"}},
		Body:   []byte(`{"a": 1}`),
	})
	if err != nil || resp.Status != 200 || string(resp.Body) != "ok" || resp.Header.Get("X-A") != "b" || resp.Truncated {
		t.Fatalf("%+v %v", resp, err)
	}
	<-done
	want := "POST /a?b=c&d=e%20f HTTP/1.1\r\nHost: hooks.example:8080\r\nUser-Agent: Waypost/1.2.3\r\nAuthorization: Basic dXNlcjpwYXNz\r\n" +
		"X-Two: 1\r\nX-Two: 2\r\nnonce: é\r\nwebhook-id: msg_1\r\nContent-Length: 8\r\n\r\n{\"a\": 1}"
	if got.String() != want {
		t.Errorf("sent\n%q\nwant\n%q", got.String(), want)
	}
}

func TestOwnUserAgentAndAuthorizationGoBeforeOurs(t *testing.T) {
	t.Parallel()
	c := New(Options{})
	target, err := parse("http://user:pass@a/")
	if err != nil {
		t.Fatal(err)
	}
	head, err := c.appendHead(nil, &target, &Request{Method: "GET", Header: http.Header{"user-agent": {"x"}, "AUTHORIZATION": {"y"}}})
	if want := "GET / HTTP/1.1\r\nHost: a\r\nAUTHORIZATION: y\r\nuser-agent: x\r\n\r\n"; err != nil || string(head) != want {
		t.Errorf("%q %v", head, err)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		raw   string
		dials int
	}{
		"length":              {okAnswer, 1},
		"chunked":             {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 1},
		"no content":          {"HTTP/1.1 204 No Content\r\n\r\n", 1},
		"long but read":       {"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + strings.Repeat("x", 40000), 1},
		"interim answers":     {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + okAnswer, 1},
		"connection: close":   {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 3},
		"HTTP/1.0":            {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 3},
		"bytes after the end": {okAnswer + "HTTP/1.1 200 OK\r\n", 3},
		"too long":            {"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("x", 200000), 3},
		"switching protocols": {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := hooks(answer(c.raw))
			client := New(n.options())
			defer client.Close()
			for range 3 {
				if _, err := client.Do(within(t, time.Minute), Request{URL: "http://hooks.example/", Body: []byte("x")}); err != nil {
					t.Fatal(err)
				}
			}
			if got := len(n.dialled()); got != c.dials {
				t.Errorf("%d connections, want %d", got, c.dials)
			}
		})
	}
}

func TestAConnectionThatItsServerClosedCostsNoAttempt(t *testing.T) {
	t.Parallel()
	t.Run("seen before sending", func(t *testing.T) {
		t.Parallel()
		n := hooks(func(c net.Conn) {
			req, _ := http.ReadRequest(bufio.NewReader(c))
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(c, okAnswer)
			_ = c.Close()
		})
		client := New(n.options())
		for range 5 {
			if _, err := client.Do(t.Context(), Request{URL: "http://hooks.example/"}); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("closed on arrival", func(t *testing.T) {
		t.Parallel()
		var seen atomic.Int32
		n := hooks(func(c net.Conn) {
			br := bufio.NewReader(c)
			req, _ := http.ReadRequest(br)
			_, _ = io.Copy(io.Discard, req.Body)
			seen.Add(1)
			_, _ = io.WriteString(c, okAnswer)
			_, _ = c.Read(make([]byte, 1)) // the rest of the request cannot be written any more
			_ = c.Close()
		})
		client := New(n.options())
		for range 5 {
			if _, err := client.Do(t.Context(), Request{URL: "http://hooks.example/", Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		if seen.Load() != 5 {
			t.Errorf("%d requests arrived, want 5", seen.Load())
		}
	})
	t.Run("in the middle of a long request", func(t *testing.T) {
		t.Parallel()
		var whole atomic.Int32
		n := hooks(func(c net.Conn) {
			defer func() { _ = c.Close() }()
			br := bufio.NewReader(c)
			if req, err := http.ReadRequest(br); err == nil {
				if _, err := io.Copy(io.Discard, req.Body); err == nil {
					whole.Add(1)
					_, _ = io.WriteString(c, okAnswer)
				}
			}
			_, _ = http.ReadRequest(br) // and nothing of its body
		})
		client := New(n.options())
		for range 3 {
			if _, err := client.Do(t.Context(), Request{URL: "http://hooks.example/", Body: make([]byte, 2*inlineBody)}); err != nil {
				t.Fatal(err)
			}
		}
		if whole.Load() != 3 || len(n.dialled()) != 3 {
			t.Errorf("%d requests arrived over %d connections, want 3 over 3", whole.Load(), len(n.dialled()))
		}
	})
	t.Run("an answer to nothing is not taken for one", func(t *testing.T) {
		t.Parallel()
		unasked := make(chan struct{})
		n := hooks(afterRequest(func(c net.Conn) {
			_, _ = io.WriteString(c, okAnswer)
			<-unasked
			_, _ = io.WriteString(c, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
			unasked <- struct{}{}
			_, _ = c.Read(make([]byte, 1))
		}))
		client := New(onSocket(t, n))
		defer client.Close()
		for range 3 {
			resp, err := client.Do(t.Context(), Request{URL: "http://hooks.example/"})
			if err != nil || resp.Status != 200 {
				t.Fatal(resp.Status, err)
			}
			unasked <- struct{}{}
			<-unasked
		}
	})
	t.Run("a fresh one that breaks is a failure", func(t *testing.T) {
		t.Parallel()
		n := hooks(func(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(c)); _ = c.Close() })
		_, err := New(n.options()).Do(t.Context(), Request{URL: "http://hooks.example/"})
		if kindOf(err) != KindReset || len(n.dialled()) != 1 {
			t.Errorf("%v after %d connections", err, len(n.dialled()))
		}
	})
}

func TestUnusedConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int32
		n := &internet{names: map[string][]string{}, serve: func(c net.Conn) {
			open.Add(1)
			defer open.Add(-1)
			answer(okAnswer)(c)
		}}
		o := n.options()
		o.Idle, o.IdleTimeout = 10, 20*time.Second
		client := New(o)
		for i := range 15 {
			host := fmt.Sprintf("h%d.example", i)
			n.names[host] = []string{"8.8.8.8"}
			if _, err := client.Do(t.Context(), Request{URL: "http://" + host + "/"}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if open.Load() != 10 {
			t.Errorf("%d connections kept, want 10", open.Load())
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if open.Load() != 0 || client.pool.count != 0 || client.pool.timer != nil {
			t.Errorf("%d connections open after the idle time", open.Load())
		}
	})
}

func TestAnOldConnectionIsReplacedHoweverBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := hooks(answer(okAnswer))
		client := New(n.options())
		for range 60 {
			if _, err := client.Do(t.Context(), Request{URL: "http://hooks.example/"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
		if got := len(n.dialled()); got != 2 {
			t.Errorf("%d connections in ten minutes, want 2", got)
		}
		client.Close()
	})
}

func TestManyRequestsAtOnce(t *testing.T) {
	t.Parallel()
	n := hooks(answer(okAnswer))
	client := New(n.options())
	defer client.Close()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				if resp, err := client.Do(within(t, time.Minute), Request{URL: "http://hooks.example/", Body: make([]byte, 50<<10)}); err != nil || resp.Status != 200 {
					t.Error(resp.Status, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestCheckSaysWhatToAllow(t *testing.T) {
	t.Parallel()
	n := hooks(nil)
	n.names["orders.internal"] = []string{"10.1.2.3"}
	c := New(n.options())
	var e *Error
	err := c.Check(t.Context(), "http://orders.internal/", nil)
	if !errors.As(err, &e) || e.Kind != KindForbidden || !strings.Contains(e.Error(), "a private address") || !strings.Contains(e.Error(), `"10.1.2.3/32"`) {
		t.Errorf("%v", err)
	}
	if strings.Contains(e.Text, "10.1.2.3") {
		t.Errorf("the text for the endpoint's owner names an address of our network: %s", e.Text)
	}
	if err := c.Check(t.Context(), "http://[fd00::1]/", nil); kindOf(err) != KindForbidden || !strings.Contains(err.Error(), `"fd00::1/128"`) {
		t.Errorf("%v", err)
	}
	if err := c.Check(t.Context(), "http://127.1/", nil); kindOf(err) != KindURL {
		t.Errorf("%v", err)
	}
	for _, u := range []string{"http://hooks.example/", "https://user:pw@hooks.example/", "http://not-yet.example/"} {
		if err := c.Check(t.Context(), u, nil); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	if err := c.Check(t.Context(), "http://orders.internal/", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}); err != nil {
		t.Errorf("allowed: %v", err)
	}
}

func TestTheResolversAddressIsNotTold(t *testing.T) {
	t.Parallel()
	n := hooks(nil)
	_, err := New(n.options()).Do(t.Context(), Request{URL: "http://nowhere.example/"})
	if kindOf(err) != KindDNS || strings.Contains(err.Error(), "10.9.9.9") {
		t.Errorf("%v", err)
	}
}
