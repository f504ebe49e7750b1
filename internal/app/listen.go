package app

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/waypost/waypost/internal/ingest"
)

// listeners opens the public and the admin address. Sockets that a service manager hands over (LISTEN_FDS, with
// LISTEN_FDNAMES public and admin, or in that order) are taken instead, so that connections queue during a restart.
func listeners(o Options) (public, admin net.Listener, err error) {
	inherited, err := inheritedListeners(os.Getenv, os.Getpid())
	if err != nil {
		return nil, nil, err
	}
	if public, err = inheritOrListen(inherited, "public", o.Listen); err != nil {
		return nil, nil, err
	}
	if admin, err = inheritOrListen(inherited, "admin", o.Admin); err != nil {
		_ = public.Close()
		return nil, nil, err
	}
	if o.TLSCert != "" {
		cert := &certificate{cert: o.TLSCert, key: o.TLSKey, log: o.Log}
		if _, err := cert.get(nil); err != nil {
			_ = public.Close()
			_ = admin.Close()
			return nil, nil, err
		}
		public = tls.NewListener(public, &tls.Config{
			GetCertificate: cert.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		})
	}
	return public, admin, nil
}

func inheritOrListen(inherited map[string]net.Listener, name, addr string) (net.Listener, error) {
	if l := inherited[name]; l != nil {
		return l, nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen (%s): %w; choose another address with --%s", name, err, map[string]string{"public": "listen", "admin": "admin"}[name])
	}
	return l, nil
}

const firstInheritedFD = 3

func inheritedListeners(getenv func(string) string, pid int) (map[string]net.Listener, error) {
	if p := getenv("LISTEN_PID"); p != "" && p != strconv.Itoa(pid) {
		return nil, nil
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 1 {
		return nil, nil
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	out := map[string]net.Listener{}
	for i := range min(n, 2) {
		name := []string{"public", "admin"}[i]
		if i < len(names) && (names[i] == "public" || names[i] == "admin") {
			name = names[i]
		}
		f := os.NewFile(uintptr(firstInheritedFD+i), name)
		l, err := net.FileListener(f)
		_ = f.Close() // FileListener has its own copy
		if err != nil {
			return nil, fmt.Errorf("inherited socket %d (%s): %w", firstInheritedFD+i, name, err)
		}
		out[name] = l
	}
	return out, nil
}

// maxPerClient is how many connections one client address may have open on the public listener. A platform pushes over a
// few dozen; a stranger is to find room left by the next one.
const maxPerClient = 512

// maxClients is how many connections all clients together may have open there: each costs memory and a file handle, and
// deliveries need handles too.
const maxClients = 8192

// crowd counts the open connections of each client address and of all, and closes those that are over a limit. Trusted
// proxies are many clients: they have no limit, and no crowd takes their room.
type crowd struct {
	max    int // of one client
	all    int
	exempt []netip.Prefix
	log    *slog.Logger

	mu    sync.Mutex
	open  map[netip.Addr]int
	total int
	told  time.Time
}

const crowdTold = time.Minute

func newCrowd(limit, all int, exempt []netip.Prefix, log *slog.Logger) *crowd {
	return &crowd{max: limit, all: all, exempt: exempt, log: log, open: map[netip.Addr]int{}}
}

// changed is an http.Server's ConnState: the server calls it for every connection once with StateNew and once with one of
// the two others, also for those that are closed here.
func (c *crowd) changed(conn net.Conn, state http.ConnState) {
	if state != http.StateNew && state != http.StateClosed && state != http.StateHijacked {
		return
	}
	client, ok := c.client(conn)
	if !ok {
		return
	}
	if state != http.StateNew {
		c.leave(client)
	} else if !c.enter(client) {
		_ = conn.Close()
	}
}

// client returns who is counted for a connection. false = nobody is: a trusted proxy, or a socket without addresses.
func (c *crowd) client(conn net.Conn) (netip.Addr, bool) {
	remote, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	a := remote.AddrPort().Addr().WithZone("")
	for _, p := range c.exempt {
		if p.Contains(a.Unmap()) || p.Contains(netip.AddrFrom16(a.As16())) {
			return netip.Addr{}, false
		}
	}
	return ingest.Network(a.Unmap()), true
}

// enter counts a connection, and says whether it may stay.
func (c *crowd) enter(client netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[client]++
	c.total++
	switch {
	case c.open[client] > c.max:
		c.tell("a client has too many connections open, the newest are closed; if it is your own proxy, name it with --trusted-proxy",
			"client", client.String(), "limit", c.max)
	case c.total > c.all:
		c.tell("too many connections are open, the newest are closed; the limit is half of the files that the process may open, "+
			"and at most "+strconv.Itoa(maxClients), "limit", c.all)
	default:
		return true
	}
	return false
}

// tell warns once in a while. The lock is held.
func (c *crowd) tell(what string, args ...any) {
	if now := time.Now(); c.told.IsZero() || now.Sub(c.told) >= crowdTold {
		c.told = now
		c.log.Warn(what, args...)
	}
}

func (c *crowd) leave(client netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.open[client]--; c.open[client] <= 0 {
		delete(c.open, client)
	}
}

// certificate is a key pair on disk that is read again when one of its files changes, so that a renewed certificate
// needs no restart. A pair that does not fit together (half renewed) keeps the old one.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	read    [2]time.Time // modification times of what was read
	checked time.Time
}

const certificateCheck = 5 * time.Second

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair != nil && time.Since(c.checked) < certificateCheck {
		return c.pair, nil
	}
	c.checked = time.Now()
	changed, err := stamps(c.cert, c.key)
	if err == nil && c.pair != nil && changed == c.read {
		return c.pair, nil
	}
	pair, loadErr := tls.LoadX509KeyPair(c.cert, c.key)
	if loadErr != nil {
		if c.pair != nil {
			c.log.Error("the changed TLS certificate cannot be read: the old one stays until it expires", "error", loadErr)
			return c.pair, nil
		}
		return nil, fmt.Errorf("read TLS certificate: %w", loadErr)
	}
	c.pair, c.read = &pair, changed
	return c.pair, nil
}

// stamps are the modification times of two files.
func stamps(a, b string) (out [2]time.Time, err error) {
	for i, p := range []string{a, b} {
		info, err := os.Stat(p)
		if err != nil {
			return out, err
		}
		out[i] = info.ModTime()
	}
	return out, nil
}
