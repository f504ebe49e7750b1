package cli

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/proof"
)

// flakyWire is a proxy whose connections can be cut, held up and half closed.
type flakyWire struct {
	t      *testing.T
	l      net.Listener
	target string
	delay  atomic.Int64 // nanoseconds that each piece of data is held up

	mu      sync.Mutex
	open    map[*wireLine]bool
	closed  bool
	running sync.WaitGroup
}

// wireLine is one connection through it.
type wireLine struct{ near, far *net.TCPConn }

func newFlakyWire(t *testing.T, target string) *flakyWire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &flakyWire{t: t, l: l, target: target, open: map[*wireLine]bool{}}
	p.running.Go(p.serve)
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.cut()
		p.running.Wait()
	})
	return p
}

func (p *flakyWire) addr() string { return p.l.Addr().String() }

func (p *flakyWire) serve() {
	for {
		near, err := p.l.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.join(near.(*net.TCPConn)) })
	}
}

func (p *flakyWire) join(near *net.TCPConn) {
	defer func() { _ = near.Close() }()
	far, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	c := &wireLine{near, far.(*net.TCPConn)}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.open[c] = true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pump(c.far, c.near) })
	both.Go(func() { p.pump(c.near, c.far) })
	both.Wait()
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
}

// pump carries one direction to its end.
func (p *flakyWire) pump(to, from *net.TCPConn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if d := p.delay.Load(); d > 0 {
			time.Sleep(time.Duration(d))
		}
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_ = to.CloseWrite()
}

func (p *flakyWire) each(do func(*wireLine)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		do(c)
	}
}

// cut closes every connection without a goodbye.
func (p *flakyWire) cut() {
	p.each(func(c *wireLine) {
		for _, end := range []*net.TCPConn{c.near, c.far} {
			_ = end.SetLinger(0)
			_ = end.Close()
		}
	})
}

// half closes one direction of every connection: what the platform says, or what it hears.
func (p *flakyWire) half(hears bool) {
	p.each(func(c *wireLine) {
		end := c.near
		if hears {
			end = c.far
		}
		_ = end.CloseWrite()
	})
}

// TestLongConnectionsLoseNothing has one server push to another over long connections, both with their own store, and kills
// either, cuts, delays and half closes what is between them, under load. Whatever the first had accepted must reach the service
// behind the second: a message that was acknowledged over a connection and not stored would be missing. WAYPOST_LONG=1 does
// 300 faults.
func TestLongConnectionsLoseNothing(t *testing.T) {
	faults := 14
	switch {
	case long():
		faults = 300
	case testing.Short() || underRace:
		faults = 7
	}
	rng := rand.New(rand.NewPCG(seeded(t), 4))
	platform, service := newRig(t), newRig(t)
	platform.start("")
	service.start("")
	wire := newFlakyWire(t, platform.public)
	way := connectRigs(t, platform, service, wire.addr())

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p := &proof.Producers{
		Ledger: service.ledger, Ways: []proof.Way{way}, Each: 2, Pause: 10 * time.Millisecond, Twice: 7, Prefix: "l", Client: platform.client,
	}
	var load sync.WaitGroup
	load.Go(func() { p.Run(ctx) })
	done := map[string]int{}
	for i := range faults {
		arrived(t, service, 5+rng.IntN(20))
		what := []string{"kill service", "cut", "kill platform", "half heard", "delay", "half said", "kill service at a commit"}[i%7]
		done[what]++
		switch what {
		case "kill service":
			service.kill()
			service.restart("")
		case "kill service at a commit":
			service.kill()
			service.restart([]string{"before-commit", "after-commit"}[rng.IntN(2)] + ":3")
			service.fallen(20 * time.Second)
			service.restart("")
		case "kill platform":
			from := time.Now()
			if err := platform.process.Kill(); err != nil {
				t.Error(err)
			}
			service.ledger.Crashed(from, time.Now())
			platform.restart("")
		case "cut":
			wire.cut()
		case "half heard":
			wire.half(true)
		case "half said":
			wire.half(false)
		case "delay":
			wire.delay.Store(int64(time.Duration(20+rng.IntN(200)) * time.Millisecond))
			arrived(t, service, 3)
			wire.delay.Store(0)
		}
	}
	stop()
	load.Wait()
	v := service.settle()
	t.Logf("%d faults (%v), %d acknowledged, %d lost, %d attempts made again", faults, done, v.Acknowledged, len(v.Lost), v.Repeats)
	if !v.OK() {
		t.Errorf("%v\nplatform: %s\nservice: %s", v, platform.process.Tail(), service.process.Tail())
	}
	if v.Acknowledged == 0 {
		t.Error("nothing was sent")
	}
	for name, r := range map[string]*rig{"service": service, "platform": platform} {
		if err := r.process.Stop(30 * time.Second); err != nil {
			t.Errorf("stop of the %s in good order: %v\n%s", name, err, r.process.Tail())
		}
	}
}

// connectRigs makes an endpoint at the platform and a source at the service that dials it through server, and returns the way of
// a program that publishes at the platform.
func connectRigs(t *testing.T, platform, service *rig, server string) proof.Way {
	t.Helper()
	theirs, ours, err := keysOf("alipay")
	if err != nil {
		t.Fatal(err)
	}
	source := map[string]any{"longconn_server": "http://" + server, "longconn_timing": "java", "longconn_connections": 2}
	for name, values := range ours {
		source[name] = values
	}
	schedule := slices.Repeat([]float64{0.05, 0.2, 0.5, 1}, 25)
	for _, step := range []struct {
		rig  *rig
		path string
		in   map[string]any
	}{
		{platform, "/app", map[string]any{"uid": proof.SendingApp, "name": "Shop"}},
		{platform, "/app/" + proof.SendingApp + "/endpoint", map[string]any{
			"uid": "developer", "dialect": "alipay", "transport": "longconn", "settings": theirs, "retrySchedule": schedule, "timeoutMs": 3000,
		}},
		{service, "/app", map[string]any{"uid": proof.ReceivingApp, "name": "ERP"}},
		{service, "/app/" + proof.ReceivingApp + "/source", map[string]any{"uid": "alipay", "dialect": "alipay", "transport": "longconn", "settings": source}},
	} {
		if err := step.rig.around.Call(step.path, step.in, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := service.around.Endpoint(proof.ReceivingApp, proof.ServiceName, "standard", nil); err != nil {
		t.Fatal(err)
	}
	return proof.API("longconn", "order.paid", func() string { return "http://" + platform.admin + "/api/v1/app/" + proof.SendingApp + "/msg" },
		platform.token, proof.ServiceName)
}

// arrived waits until n more messages have come to the service behind the service's server.
func arrived(t *testing.T, r *rig, n int) {
	t.Helper()
	count := func() int { return r.ledger.Count() - r.ledger.Missing() }
	want, end := count()+n, time.Now().Add(2*time.Minute)
	for count() < want {
		if time.Now().After(end) {
			t.Fatalf("nothing arrives:\n%s", r.process.Tail())
		}
		time.Sleep(2 * time.Millisecond)
	}
}
