package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/proof"
	"github.com/waypost/waypost/internal/simulate"
	"github.com/waypost/waypost/internal/store/sqlite/powercut"
)

// seeds returns the fixed seeds of a suite and a random one; WAYPOST_SEED asks for one alone.
func seeds(t *testing.T, fixed ...uint64) []uint64 {
	t.Helper()
	if text := os.Getenv("WAYPOST_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("WAYPOST_SEED: %v", err)
		}
		return []uint64{seed}
	}
	return append(fixed, rand.Uint64()>>1)
}

// repeatable prints how to run a failed test again.
func repeatable(t *testing.T, seed uint64) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again: WAYPOST_SEED=%d go test ./internal/app -run '^%s$' -count=1", seed, strings.Split(t.Name(), "/")[0])
		}
	})
}

func long() bool { return os.Getenv("WAYPOST_LONG") != "" }

// station is a whole server on a disk whose power can be cut, with every platform pushing to it, a program publishing,
// and receivers behind it. The load and the receivers outlive the server.
type station struct {
	t      *testing.T
	disk   *powercut.Disk
	dir    string
	faults Faults
	ledger *proof.Ledger
	around *proof.Surroundings
	client *http.Client

	app           *App
	public, admin atomic.Value // addresses of the present start
	mood          proof.Mood
	failed        func(key string, n int) bool
}

// stationSchedule bridges every time that a test has the server or a receiver down, on a busy machine too.
var stationSchedule = append([]float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5}, slices.Repeat([]float64{1}, 60)...)

const stationConcurrency = 8

func newStation(t *testing.T, seed uint64, faults Faults) *station {
	t.Helper()
	disk := powercut.New(t.TempDir(), seed)
	t.Cleanup(disk.Close)
	faults.VFS, faults.FreeSpace = disk.VFS(), disk.Free
	return furnished(t, disk, faults)
}

// newPlainStation is one on the disk of this machine.
func newPlainStation(t *testing.T) *station {
	t.Helper()
	return furnished(t, nil, Faults{})
}

func furnished(t *testing.T, disk *powercut.Disk, faults Faults) *station {
	t.Helper()
	s := &station{
		t: t, disk: disk, dir: t.TempDir(), faults: faults, ledger: proof.NewLedger(),
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	t.Cleanup(s.client.CloseIdleConnections)
	s.start()
	s.furnish()
	return s
}

// boot starts the server on what the disk holds.
func (s *station) boot() error {
	o := quiet(s.dir)
	o.Dev, o.Token, o.Faults, o.StopTimeout = true, testToken, s.faults, 2*time.Second
	a, err := Start(s.t.Context(), o)
	if err != nil {
		return err
	}
	s.app = a
	s.public.Store(a.PublicAddr())
	s.admin.Store(a.AdminAddr())
	return nil
}

func (s *station) start() {
	s.t.Helper()
	if err := s.boot(); err != nil {
		s.t.Fatalf("start: %v", err)
	}
}

// abandon ends what is left of a server whose disk is gone, as the power would have.
func (s *station) abandon() {
	if s.app != nil {
		_ = s.app.Stop(context.Background()) // it complains that its disk is gone
		s.app = nil
	}
}

// furnish puts the surroundings around the first start.
func (s *station) furnish() {
	s.t.Helper()
	s.around = &proof.Surroundings{
		Ledger: s.ledger, Dialects: Dialects(), Keys: keysOf, Token: testToken, Schedule: stationSchedule, Concurrency: stationConcurrency, Answer: s.answer,
		Call:   func(path string, in, out any) error { s.app.post(s.t, path, in, out); return nil },
		Public: func() string { return s.public.Load().(string) }, Admin: func() string { return s.admin.Load().(string) },
	}
	s.t.Cleanup(func() { _ = s.around.Close() })
	if err := s.around.Furnish(); err != nil {
		s.t.Fatal(err)
	}
}

// testKeys are made once: RSA keys take longer than a power cut.
var testKeys = sync.OnceValues(func() (map[string][2]dialect.Settings, error) {
	out := map[string][2]dialect.Settings{}
	for name, d := range Dialects() {
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

// answer is the receivers', whose mood a test may spoil further.
func (s *station) answer(key string, n int, w http.ResponseWriter, r *http.Request) int {
	if s.failed != nil && s.failed(key, n) {
		return http.StatusServiceUnavailable
	}
	return s.mood.Answer(key, n, w, r)
}

// producers are the load by every way.
func (s *station) producers(prefix string) *proof.Producers {
	return &proof.Producers{Ledger: s.ledger, Ways: s.around.Ways, Pause: 2 * time.Millisecond, Twice: 7, Client: s.client, Prefix: prefix}
}

// cut waits until the power has gone at the operation that the disk was told, or cuts it when nothing comes, and ends
// the server. It returns how long the server took to start again.
func (s *station) cut(patience time.Duration) {
	from := time.Now()
	for end := from.Add(patience); !s.disk.Off() && time.Now().Before(end); time.Sleep(200 * time.Microsecond) {
		from = time.Now()
	}
	s.disk.Cut()
	s.abandon()
	s.disk.Restart()
	s.ledger.Crashed(from, time.Now())
}

// cuts cuts the power n times under load, at seeded operations: while the server serves, and while it starts.
func (s *station) cuts(rng *rand.Rand, n int) {
	ctx, stop := context.WithCancel(s.t.Context())
	var load sync.WaitGroup
	load.Go(func() { s.producers("k").Run(ctx) })
	for done := 0; done < n; done++ {
		if s.app == nil && rng.IntN(4) == 0 {
			// The power goes again during the recovery from the last time.
			s.disk.CutAfter(1 + s.spent(rng))
			if err := s.boot(); err != nil {
				if !s.disk.Off() {
					s.t.Fatalf("start with the power on: %v\n%s", err, s.disk)
				}
				s.cut(0)
				continue
			}
		} else if s.app == nil {
			s.start()
		}
		if !s.disk.Off() {
			s.disk.CutAfter(1 + rng.IntN(400))
		}
		s.cut(10 * time.Second)
	}
	stop()
	load.Wait()
}

// untilLost cuts the power n times under a server that may be broken, and starts it once more. One that does not start
// again has lost everything.
func (s *station) untilLost(rng *rand.Rand, n int) {
	ctx, stop := context.WithCancel(s.t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		p := s.producers("k")
		p.Twice = 1
		p.Run(ctx)
	})
	defer load.Wait()
	defer stop()
	for range n {
		if s.app == nil && s.boot() != nil {
			return
		}
		s.disk.CutAfter(100 + rng.IntN(400))
		s.cut(10 * time.Second)
	}
	_ = s.boot()
}

// spent is a number of operations within a start.
func (s *station) spent(rng *rand.Rand) int { return rng.IntN(30) }

// settle waits until every acknowledged message has come to its end, or nothing has for the time of the patience.
func (s *station) settle(patience time.Duration) proof.Verdict {
	left, since := s.ledger.Missing(), time.Now()
	for left > 0 && time.Since(since) < patience {
		time.Sleep(5 * time.Millisecond)
		if now := s.ledger.Missing(); now < left {
			left, since = now, time.Now()
		}
	}
	return s.ledger.Verdict()
}

// lastCut cuts the power over a backlog, and has nothing sent afterwards that could wake what was forgotten.
func (s *station) lastCut() {
	if s.app == nil {
		s.start()
	}
	s.mood.Down.Store(true)
	ctx, stop := context.WithCancel(s.t.Context())
	p := s.producers("last")
	var load sync.WaitGroup
	load.Go(func() { p.Run(ctx) })
	want := s.ledger.Count() + 100
	for s.ledger.Count() < want && s.t.Context().Err() == nil {
		time.Sleep(time.Millisecond)
	}
	from := time.Now()
	s.disk.Cut()
	stop()
	load.Wait()
	s.abandon()
	s.disk.Restart()
	s.ledger.Crashed(from, time.Now())
	s.mood.Down.Store(false)
	s.start()
}

// call speaks to the API and returns the status and the body of the answer.
func (s *station) call(method, path string, in any) (int, []byte) {
	s.t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			s.t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.admin.Load().(string)+"/api/v1"+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, out
}
