package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/proof"
	"github.com/waypost/waypost/internal/simulate"
)

// long asks for the long variants of the suites.
func long() bool { return os.Getenv("WAYPOST_LONG") != "" }

// patience is for what happens at once on a machine that is not busy: it is up only when it does not happen.
const patience = time.Minute

// seeded returns WAYPOST_SEED or a random seed, and has a failed test print how to run it again.
func seeded(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64() >> 1
	if text := os.Getenv("WAYPOST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("WAYPOST_SEED: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again: WAYPOST_SEED=%d go test ./internal/cli -run '^%s$' -count=1", seed, strings.Split(t.Name(), "/")[0])
		}
	})
	return seed
}

// rig is a server process that is killed and started again on the same folder and the same addresses, with every platform
// pushing to it, a program publishing, and receivers behind it.
type rig struct {
	t             *testing.T
	dir           string
	public, admin string
	token         string
	flags         []string
	process       *proof.Process
	born          time.Time // when it was started
	ledger        *proof.Ledger
	around        *proof.Surroundings
	client        *http.Client
	mood          proof.Mood
}

// rigSchedule bridges every time that a test has the server or a receiver down, on a busy machine too.
var rigSchedule = append([]float64{0.02, 0.05, 0.1, 0.2, 0.5}, slices.Repeat([]float64{1}, 60)...)

const rigConcurrency = 8

// testKeys are made once: RSA keys take longer than a restart.
var testKeys = sync.OnceValues(func() (map[string][2]dialect.Settings, error) {
	out := map[string][2]dialect.Settings{}
	for name, d := range app.Dialects() {
		platform, ours, err := simulate.Keys(d)
		if err != nil {
			return nil, err
		}
		out[name] = [2]dialect.Settings{platform, ours}
	}
	return out, nil
})

func keysOf(name string) (platform, ours dialect.Settings, err error) {
	all, err := testKeys()
	return all[name][0], all[name][1], err
}

// newRig makes one that is not started.
func newRig(t *testing.T, flags ...string) *rig {
	t.Helper()
	r := &rig{
		t: t, dir: t.TempDir(), public: freeAddress(t), admin: freeAddress(t), token: app.NewToken(), flags: flags, ledger: proof.NewLedger(),
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	r.around = &proof.Surroundings{
		Ledger: r.ledger, Dialects: app.Dialects(), Keys: keysOf, Token: r.token, Schedule: rigSchedule, Concurrency: rigConcurrency, Answer: r.mood.Answer,
		Call: func(path string, in, out any) error {
			return newClient("http://"+r.admin, r.token).call(t.Context(), http.MethodPost, path, in, out)
		},
		Public: func() string { return r.public }, Admin: func() string { return r.admin },
	}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		_ = r.around.Close()
		if r.process != nil {
			_ = r.process.Kill()
		}
	})
	return r
}

// launch starts a process, with faults or without, and does not wait for it.
func (r *rig) launch(faults string) {
	r.t.Helper()
	args := append([]string{"serve", "--dev", "--data", r.dir, "--listen", r.public, "--admin", r.admin, "--low-water", "1MiB", "--log-level", "warn"}, r.flags...)
	var err error
	r.born = time.Now()
	if r.process, err = proof.Start(os.Args[0], args, asBinary+"=1", "WAYPOST_TOKEN="+r.token, testFaults+"="+faults); err != nil {
		r.t.Fatal(err)
	}
}

// start starts a process and waits until it serves. It returns how long that took.
func (r *rig) start(faults string) time.Duration {
	r.t.Helper()
	began := time.Now()
	r.launch(faults)
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	if _, err := r.process.Await(ctx, "  admin ", ""); err != nil {
		r.t.Fatal(err)
	}
	return time.Since(began)
}

// restart is start, also when the process kills itself before it serves.
func (r *rig) restart(faults string) time.Duration {
	r.t.Helper()
	began := time.Now()
	r.launch(faults)
	for end := began.Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		select {
		case <-r.process.Ended():
			return time.Since(began)
		default:
		}
		if resp, err := r.client.Get("http://" + r.admin + "/api/v1/health"); err == nil {
			_ = resp.Body.Close()
			break
		}
	}
	return time.Since(began)
}

func (r *rig) furnish() {
	r.t.Helper()
	if err := r.around.Furnish(); err != nil {
		r.t.Fatalf("%v\n%s", err, r.process.Tail())
	}
}

// kill ends the process as a power button does, but for the memory of the machine, and notes it.
func (r *rig) kill() {
	r.t.Helper()
	select {
	case <-r.process.Ended(): // by its fault, which is noted
		return
	default:
	}
	from := time.Now()
	if err := r.process.Kill(); err != nil {
		r.t.Errorf("kill: %v", err)
	}
	r.ledger.Crashed(from, time.Now())
}

// fallen waits until the process has killed itself at the point of its fault, and notes it; after that time it is
// killed. It says whether the point was reached.
func (r *rig) fallen(within time.Duration) bool {
	from := r.born // it may have ended before anyone looked
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); time.Now().Before(end); <-tick.C {
		now := time.Now()
		select {
		case <-r.process.Ended():
			code := r.process.Wait()
			r.ledger.Crashed(from, time.Now())
			if code != -1 {
				r.t.Errorf("the process ended by itself with code %d:\n%s", code, r.process.Tail())
			}
			return true
		default:
			from = now.Add(-5 * time.Millisecond) // the pipe is closed a little after the end
		}
	}
	r.kill()
	return false
}

// exit waits until the process has ended by itself and returns its code.
func (r *rig) exit() int {
	r.t.Helper()
	select {
	case <-r.process.Ended():
	case <-time.After(patience):
		r.t.Fatalf("it still runs:\n%s", r.process.Tail())
	}
	return r.process.Wait()
}

// load starts the load by every way; the func ends it.
func (r *rig) load(prefix string, rest time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	p := &proof.Producers{Ledger: r.ledger, Ways: r.around.Ways, Pause: rest, Twice: 7, Client: r.client, Prefix: prefix}
	var all sync.WaitGroup
	all.Go(func() { p.Run(ctx) })
	return func() { cancel(); all.Wait() }
}

// acknowledged waits until n more messages are acknowledged.
func (r *rig) acknowledged(n int) {
	r.t.Helper()
	want, end := r.ledger.Count()+n, time.Now().Add(patience)
	for r.ledger.Count() < want {
		if time.Now().After(end) {
			r.t.Fatalf("nothing is acknowledged:\n%s", r.process.Tail())
		}
		time.Sleep(time.Millisecond)
	}
}

// settle waits until every acknowledged message has come to its end, or nothing has for the time of the patience.
func (r *rig) settle() proof.Verdict {
	left, since := r.ledger.Missing(), time.Now()
	for left > 0 && time.Since(since) < patience {
		time.Sleep(5 * time.Millisecond)
		if now := r.ledger.Missing(); now < left {
			left, since = now, time.Now()
		}
	}
	return r.ledger.Verdict()
}

// freeAddress is an address that nobody listens on, for a process that binds it later and again after each kill.
func freeAddress(t *testing.T) string {
	t.Helper()
	l := held(t)
	_ = l.Close()
	return l.Addr().String()
}

// held listens on an address that stays free when the listener is closed: its port lies below those that systems give to
// outgoing connections, of which one could have it by then.
func held(t *testing.T) net.Listener {
	t.Helper()
	for range 100 {
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20_000+rand.IntN(12_000))); err == nil {
			return l
		}
	}
	t.Fatal("no port is free")
	return nil
}
