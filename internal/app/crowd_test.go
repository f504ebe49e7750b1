package app

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// guest is a connection that comes from an address and remembers that it was closed.
type guest struct {
	net.Conn
	remote net.Addr
	closed bool
}

func (g *guest) RemoteAddr() net.Addr { return g.remote }
func (g *guest) Close() error         { g.closed = true; return nil }

func TestOneClientHasOnlySoManyConnections(t *testing.T) {
	t.Parallel()
	var logs strings.Builder
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::ffff:192.168.0.0/112")}
	c := newCrowd(2, 100, proxies, slog.New(slog.NewTextHandler(&logs, nil)))
	come := func(addr string) *guest {
		g := &guest{remote: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}
		c.changed(g, http.StateNew)
		return g
	}
	first := come("203.0.113.9:1")
	for _, tt := range []struct {
		name, addr string
		closed     bool
	}{
		{"up to the limit they stay", "203.0.113.9:2", false},
		{"the next is closed", "203.0.113.9:3", true},
		{"also when the address is written as IPv6", "[::ffff:203.0.113.9]:4", true},
		{"another client's stays", "203.0.113.10:1", false},
		{"an IPv6 client's first stays", "[2001:db8::1]:1", false},
		{"and his second, from another address of his network", "[2001:db8::2%eth0]:1", false},
		{"but not his third", "[2001:db8::3]:1", true},
		{"another network's stays", "[2001:db8:0:1::1]:1", false},
	} {
		if g := come(tt.addr); g.closed != tt.closed {
			t.Errorf("%s: closed %v", tt.name, g.closed)
		}
	}
	for range 5 {
		if come("10.1.2.3:1").closed || come("[::ffff:10.1.2.3]:1").closed || come("192.168.0.7:1").closed {
			t.Fatal("a trusted proxy's is closed")
		}
	}
	sock := &guest{remote: &net.UnixAddr{Name: "@", Net: "unix"}}
	for range 5 {
		if c.changed(sock, http.StateNew); sock.closed {
			t.Fatal("a connection without addresses is closed")
		}
	}
	if n := strings.Count(logs.String(), "too many connections"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	c.changed(first, http.StateActive)
	if !come("203.0.113.9:5").closed {
		t.Error("a request on a connection makes room for another connection")
	}
	for range 4 { // of five, with those that were closed
		c.changed(first, http.StateClosed)
	}
	if come("203.0.113.9:6").closed {
		t.Error("those that ended are still counted")
	}
}

func TestAllClientsTogetherHaveOnlySoManyConnections(t *testing.T) {
	t.Parallel()
	const limit, clients = 10, 8
	c := newCrowd(2, limit, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, slog.New(slog.DiscardHandler))
	var stay, closed []*guest
	come := func(addr string) *guest {
		g := &guest{remote: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}
		c.changed(g, http.StateNew)
		return g
	}
	for i := range clients {
		for range 2 {
			if g := come(fmt.Sprintf("203.0.113.%d:1", i)); g.closed {
				closed = append(closed, g)
			} else {
				stay = append(stay, g)
			}
		}
	}
	if len(stay) != limit || len(closed) != 2*clients-limit {
		t.Errorf("%d stay and %d are closed, %d may stay", len(stay), len(closed), limit)
	}
	if come("10.1.2.3:1").closed {
		t.Error("a trusted proxy finds no room")
	}
	for _, g := range append(closed, stay[0]) {
		c.changed(g, http.StateClosed)
	}
	if come("198.51.100.1:1").closed {
		t.Error("those that ended are still counted")
	}
	if !come("198.51.100.2:1").closed {
		t.Error("there is room for one more than the limit")
	}
}

func TestHalfOfTheFilesAreForOthersThanClients(t *testing.T) {
	t.Parallel()
	if n := openFiles(); n < 64 {
		t.Errorf("this process may open %d files, it seems", n)
	}
}

func TestEveryConnectionThatEndsIsForgotten(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http", "https", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(1, 1, nil, slog.New(slog.DiscardHandler))
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			changes := make(chan struct{}, 1000)
			s.Config.ConnState = func(conn net.Conn, state http.ConnState) {
				c.changed(conn, state)
				changes <- struct{}{}
			}
			until := func(want int) {
				t.Helper()
				for late := time.After(30 * time.Second); c.count() != want; {
					select {
					case <-changes:
					case <-late:
						t.Fatalf("%d connections are counted, want %d", c.count(), want)
					}
				}
			}
			s.EnableHTTP2 = protocol == "h2"
			if protocol == "http" {
				s.Start()
			} else {
				s.StartTLS()
			}
			url, client := s.URL, s.Client()
			held, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			until(1)
			if resp, err := client.Get(url); err == nil {
				t.Errorf("a second connection was answered %s", resp.Status)
			}
			_ = held.Close()
			for range 3 {
				until(0)
				resp, err := client.Get(url)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if h2 := resp.ProtoMajor == 2; h2 != (protocol == "h2") {
					t.Errorf("answered over %s", resp.Proto)
				}
				client.CloseIdleConnections()
			}
			s.Close()
			until(0)
		})
	}
}

func (c *crowd) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, open := range c.open {
		n += open
	}
	return n
}

func TestThePublicListenerLimitsConnections(t *testing.T) {
	t.Parallel()
	a, err := Start(t.Context(), quiet(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Stop(t.Context()) }()
	const over = 8
	answered := 0
	requests := []string{
		"GET /in/nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /in/nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", // plain: another server of ours answers it
	}
	for i := range maxPerClient + over {
		c, err := net.Dial("tcp", a.PublicAddr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		_, _ = io.WriteString(c, requests[i%len(requests)])
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
			answered++
		}
	}
	if answered != maxPerClient {
		t.Errorf("%d connections of one client were served, want %d", answered, maxPerClient)
	}
}

func TestWhoServesThePublicAddress(t *testing.T) {
	t.Parallel()
	a, err := Start(t.Context(), quiet(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Stop(t.Context()) }()
	for _, tt := range []struct {
		name    string
		change  func(*Options)
		netHTTP bool
	}{
		{"without TLS the lean server", func(*Options) {}, false},
		{"with TLS net/http, for HTTP/2", func(o *Options) { o.TLSCert = "some.pem" }, true},
		{"net/http when it is told to", func(o *Options) { o.NetHTTP = true }, true},
	} {
		b := &App{o: a.o, platform: a.platform, door: a.door}
		tt.change(&b.o)
		if _, ok := b.publicServer().(*http.Server); ok != tt.netHTTP {
			t.Errorf("%s: it is the other", tt.name)
		}
	}
}
