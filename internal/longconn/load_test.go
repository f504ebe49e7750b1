//go:build linux

package longconn_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The load tests run the whole program in a process of its own and hold connections to it from this one, so that what is
// measured is the server's alone. They print figures, and fail when a connection or a message is lost or the memory is
// more than it may be; how fast it goes depends on the machine.
//
//	WAYPOST_LONG=1 go test ./internal/longconn -run TestLoad -v -timeout 30m
//
// WAYPOST_LOAD_CONNECTIONS sets another number for the first of them.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("WAYPOST_LONG") == "" {
		t.Skip("takes minutes: set WAYPOST_LONG=1")
	}
}

// ownProcess is the program, as a user starts it.
type ownProcess struct {
	t           *testing.T
	cmd         *exec.Cmd
	addr, admin string
	vectors     peerVectors
}

func startProgram(t *testing.T) *ownProcess {
	t.Helper()
	p := &ownProcess{t: t, vectors: readPeerVectors(t)}
	dir := t.TempDir()
	binary := filepath.Join(dir, "waypost")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/waypost").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.addr, p.admin = freeAddress(t), freeAddress(t)
	p.cmd = exec.Command(binary, "serve", "--data", filepath.Join(dir, "data"), "--listen", p.addr, "--admin", p.admin, "--log-level", "warn")
	p.cmd.Env = append(os.Environ(), "WAYPOST_TOKEN="+loadToken)
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait()
	})
	eventually(t, "the server answers", func() bool { return p.call(http.MethodGet, "/app?limit=1", nil, nil) == nil })
	return p
}

// call asks the API.
func (p *ownProcess) call(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(method, "http://"+p.admin+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+loadToken)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %d %s", method, path, answer.StatusCode, text)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	return err
}

// endpoints makes n applications with an endpoint each, and returns a client for every one.
func (p *ownProcess) endpoints(n int) []*javaClient {
	p.t.Helper()
	clients := make([]*javaClient, n)
	for i := range clients {
		app := strconv.Itoa(2013121700990000 + i)
		err := p.call(http.MethodPost, "/app", map[string]any{"uid": "a" + app, "name": app}, nil)
		if err == nil {
			err = p.call(http.MethodPost, "/app/a"+app+"/endpoint", map[string]any{
				"uid": "e", "dialect": "alipay", "transport": "longconn",
				"settings": map[string][]string{"app_id": {app}, "platform_private_key": {p.vectors.platform.private}, "app_public_key": {p.vectors.app.public}},
			}, nil)
		}
		if err != nil {
			p.t.Fatal(err)
		}
		clients[i] = &javaClient{addr: p.addr, appID: app, key: pemPrivate(p.vectors.app.private), platform: &pemPrivate(p.vectors.platform.private).PublicKey}
	}
	return clients
}

// usage is what a process holds and has used.
type usage struct {
	resident, peak int // MiB
	cpu            time.Duration
	threads        int
}

func (p *ownProcess) usage() (u usage) {
	p.t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid))
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	stat, err2 := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil || err2 != nil {
		p.t.Fatal(err, err2)
	}
	number := func(name string) int {
		value, _ := textBetween(string(status), name+":", "\n")
		n, _ := strconv.Atoi(strings.Fields(value)[0])
		return n
	}
	u.resident, u.peak, u.threads = number("VmRSS")>>10, number("VmHWM")>>10, number("Threads")
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	u.cpu = time.Duration(user+system) * (time.Second / 100)
	return u
}

// crowdOf is many clients at once.
type crowdOf struct {
	t     *testing.T
	links []*javaLink
	lost  atomic.Int64
	over  atomic.Bool
	done  sync.WaitGroup
}

// connectAll opens n connections, spread over the clients, and runs them: the first ping of each comes at a time of its own.
func connectAll(t *testing.T, clients []*javaClient, n int, ping time.Duration) *crowdOf {
	t.Helper()
	c := &crowdOf{t: t, links: make([]*javaLink, n)}
	began := time.Now()
	var next atomic.Int64
	var openers sync.WaitGroup
	for range 8 {
		openers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				l, err := clients[i%len(clients)].connect()
				for try := 1; err != nil && try < 5; try++ {
					l, err = clients[i%len(clients)].connect()
				}
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					continue
				}
				c.links[i] = l
				c.done.Go(func() { c.hold(l, ping) })
			}
		})
	}
	openers.Wait()
	c.links = slices.DeleteFunc(c.links, func(l *javaLink) bool { return l == nil })
	t.Logf("%d connections are open after %s", len(c.links), time.Since(began).Round(100*time.Millisecond))
	t.Cleanup(c.close)
	return c
}

func (c *crowdOf) hold(l *javaLink, ping time.Duration) {
	first := time.AfterFunc(rand.N(ping), func() { _ = l.write(opPing, nil) })
	defer first.Stop()
	if err := l.run(ping); !c.over.Load() {
		c.lost.Add(1)
		c.t.Errorf("a connection is lost: %v", err)
	}
}

func (c *crowdOf) close() {
	if c.over.Swap(true) {
		return
	}
	for _, l := range c.links {
		_ = l.conn.Close()
	}
	c.done.Wait()
}

func (c *crowdOf) pongs() (n int64) {
	for _, l := range c.links {
		n += l.pongs.Load()
	}
	return n
}

// idle holds a number of connections for a while, and then sends a message to each endpoint to see that they live.
func idle(t *testing.T, connections, endpoints int, ping, hold time.Duration, limit int) {
	p := startProgram(t)
	clients := p.endpoints(endpoints)
	var arrived atomic.Int64
	for _, c := range clients {
		c.handle = func(string, string, string) error { arrived.Add(1); return nil }
	}
	before := p.usage()
	crowd := connectAll(t, clients, connections, ping)
	opened := p.usage()
	answered := crowd.pongs()
	time.Sleep(hold)
	after := p.usage()
	pongs := crowd.pongs() - answered
	for _, c := range clients {
		if err := p.call(http.MethodPost, "/app/a"+c.appID+"/msg", map[string]any{"eventType": "a.b", "payload": map[string]any{"n": 1}}, nil); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "a message comes to each endpoint", func() bool { return arrived.Load() == int64(endpoints) })
	t.Logf("%d connections, a ping each %s, for %s: resident %d MiB before, %d MiB when all were open (peak %d), %d MiB at the end (peak %d); "+
		"%.1f KiB a connection; %d pongs, %.0f/s; processor %.1f %% of one core; %.2f ms a connection to open; %d threads",
		len(crowd.links), ping, hold, before.resident, opened.resident, opened.peak, after.resident, after.peak,
		float64(after.resident-before.resident)*1024/float64(connections), pongs, float64(pongs)/hold.Seconds(),
		100*(after.cpu-opened.cpu).Seconds()/hold.Seconds(), 1000*(opened.cpu-before.cpu).Seconds()/float64(connections), after.threads)
	if len(crowd.links) != connections || crowd.lost.Load() > 0 {
		t.Errorf("%d of %d connections were opened, %d lost", len(crowd.links), connections, crowd.lost.Load())
	}
	if want := int64(float64(connections) * (hold.Seconds()/ping.Seconds() - 1)); pongs < want {
		t.Errorf("%d pongs, not %d", pongs, want)
	}
	if after.peak > limit {
		t.Errorf("the server held %d MiB, more than %d", after.peak, limit)
	}
}

func TestLoadTenThousandConnections(t *testing.T) {
	long(t)
	n := 10_000
	if text := os.Getenv("WAYPOST_LOAD_CONNECTIONS"); text != "" {
		n, _ = strconv.Atoi(text)
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	t.Logf("this machine allows %d open files a process (at most %d)", files.Cur, files.Max)
	if int(files.Cur) < n+200 {
		t.Fatalf("raise the limit of open files to more than %d: ulimit -n", n+200)
	}
	idle(t, n, max(n/1000, 1), 30*time.Second, 90*time.Second, 600)
}

func TestLoadAThousandConnectionsOfTheJavaClient(t *testing.T) {
	long(t)
	idle(t, 1000, 10, 2*time.Second, 30*time.Second, 600)
}

// TestLoadMessages publishes 1,000 and 2,000 messages a second for ten seconds to 100 connections, and wants every one
// acknowledged. That it keeps up is not asked: an RSA signature takes a millisecond of a core, so 2,000 a second need
// more cores than a small machine has. The processor time of a message says how many.
func TestLoadMessages(t *testing.T) {
	long(t)
	for _, rate := range []int{1000, 2000} {
		t.Run(fmt.Sprint(rate, " a second"), func(t *testing.T) { messages(t, rate, 10*time.Second) })
	}
}

func messages(t *testing.T, rate int, lasts time.Duration) {
	p := startProgram(t)
	clients := p.endpoints(10)
	var mu sync.Mutex
	took := map[int]time.Duration{} // by message: from its publication to the first time that it came
	repeats := 0
	for _, c := range clients {
		c.handle = func(_, _, content string) error {
			var m struct {
				N  int
				At int64
			}
			if err := json.Unmarshal([]byte(content), &m); err != nil {
				t.Error(err)
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if _, again := took[m.N]; again {
				repeats++
			} else {
				took[m.N] = time.Since(time.Unix(0, m.At))
			}
			return nil
		}
	}
	crowd := connectAll(t, clients, 100, 30*time.Second)
	before := p.usage()
	began := time.Now()
	const size = 50
	total := int(lasts.Seconds()) * rate / size * size
	var publishers sync.WaitGroup
	turn := make(chan int)
	for range 4 {
		publishers.Go(func() {
			for n := range turn {
				list := make([]any, size)
				for i := range list {
					list[i] = map[string]any{"eventType": "a.b", "payload": map[string]any{"N": n + i, "At": time.Now().UnixNano()}}
				}
				if err := p.call(http.MethodPost, "/app/a"+clients[n/size%len(clients)].appID+"/msg/batch", map[string]any{"messages": list}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := 0; n < total; n += size {
		time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(rate))))
		turn <- n
	}
	close(turn)
	publishers.Wait()
	published := time.Since(began)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for came := 0; came < total && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		came = len(took)
		mu.Unlock()
	}
	all := time.Since(began)
	after := p.usage()
	mu.Lock()
	defer mu.Unlock()
	if len(took) != total {
		t.Errorf("%d of %d messages came", len(took), total)
	}
	sorted := make([]time.Duration, 0, len(took))
	for _, d := range took {
		sorted = append(sorted, d)
	}
	slices.Sort(sorted)
	at := func(share float64) time.Duration {
		return sorted[int(share*float64(len(sorted)-1))].Round(100 * time.Microsecond)
	}
	t.Logf("%d messages over %d connections: asked for %d/s, published %.0f/s, acknowledged %.0f/s; %d repeats; from publication to arrival "+
		"p50 %s, p99 %s, most %s; processor of the server %.2f ms a message; resident %d MiB (peak %d)",
		total, len(crowd.links), rate, float64(total)/published.Seconds(), float64(total)/all.Seconds(), repeats, at(0.5), at(0.99), at(1),
		1000*(after.cpu-before.cpu).Seconds()/float64(total), after.resident, after.peak)
}
