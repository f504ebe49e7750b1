package sqlite_test

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
	"github.com/waypost/waypost/internal/store/sqlite/powercut"
)

var cuts = flag.Int("cuts", 40, "power cuts in TestAPowerCutLosesNothingAcknowledged")

func newDisk(t testing.TB, seed uint64) *powercut.Disk {
	t.Helper()
	d := powercut.New(t.TempDir(), seed)
	t.Cleanup(d.Close)
	return d
}

// told is what a store has acknowledged before the power went.
type told struct {
	messages   map[string]hook.MessageID // by key
	deliveries map[hook.MessageID]hook.Delivery
	attempts   []hook.AttemptID
	endpoints  []hook.EndpointID
}

// workload does a bit of everything until the power goes, and notes what was acknowledged.
func workload(t *testing.T, s *small) told {
	ack := told{messages: map[string]hook.MessageID{}, deliveries: map[hook.MessageID]hook.Delivery{}}
	ctx := t.Context()
	for i := 0; ; i++ {
		key := fmt.Sprint("key-", i)
		out, err := s.Accept(ctx, []hook.Accept{s.new(key), s.new(key + "-twin")})
		if err != nil {
			return ack
		}
		for n, k := range []string{key, key + "-twin"} {
			ack.messages[k] = out[n].Message.ID
			ack.deliveries[out[n].Message.ID] = out[n].Deliveries[0]
		}
		o := s.outcome(out[0].Deliveries[0], []hook.Verdict{hook.Success, hook.Retry}[i%2], time.Minute)
		if s.Finish(ctx, []hook.Outcome{o}) != nil {
			return ack
		}
		ack.deliveries[o.Delivery.Message] = o.Delivery
		ack.attempts = append(ack.attempts, o.Attempt.ID)
		e := s.ep
		e.ID, e.EventTypes = hook.NewID[hook.EndpointID](s.ids, s.now), []string{"other"}
		if s.CreateEndpoint(ctx, e) != nil {
			return ack
		}
		ack.endpoints = append(ack.endpoints, e.ID)
		s.now = s.now.Add(time.Second)
	}
}

// verify wants everything that was acknowledged, and books that balance.
func (ack told) verify(t *testing.T, s *small) {
	t.Helper()
	ctx := t.Context()
	for key, id := range ack.messages {
		if _, err := s.Load(ctx, id); err != nil {
			t.Fatalf("an acknowledged message is lost: %v", err)
		}
		out, err := s.Accept(ctx, []hook.Accept{s.new(key)})
		must(t, err)
		if !out[0].Duplicate || out[0].Message.ID != id {
			t.Fatalf("key %s is forgotten: %+v", key, out[0])
		}
		all, err := s.Deliveries(ctx, s.app.ID, id)
		must(t, err)
		// The power may have gone after the commit of an outcome and before its acknowledgement.
		if want := ack.deliveries[id]; len(all) != 1 || all[0] != want && all[0].Attempts != want.Attempts+1 {
			t.Fatalf("deliveries are %+v, acknowledged was %+v", all, want)
		}
	}
	for _, id := range ack.attempts {
		if _, err := s.Attempt(ctx, s.app.ID, id); err != nil {
			t.Fatalf("an acknowledged attempt is lost: %v", err)
		}
	}
	for _, id := range ack.endpoints {
		if _, err := s.Endpoint(ctx, s.app.ID, id.String()); err != nil {
			t.Fatalf("an acknowledged endpoint is lost: %v", err)
		}
	}
}

// audit looks into the file itself: it is whole, every index agrees, and the counters agree with the rows.
func audit(t *testing.T, d *powercut.Disk, dir string) {
	t.Helper()
	c, err := sqlite3.Open("file:" + filepath.Join(dir, "waypost.db") + "?vfs=" + d.VFS())
	must(t, err)
	defer c.Close()
	for sql, want := range map[string]string{
		`PRAGMA integrity_check`: "ok",
		`SELECT count(*) FROM counts c WHERE c.messages = (SELECT count(*) FROM messages)
			AND c.pending = (SELECT count(*) FROM deliveries WHERE state = 0)
			AND c.delivered = (SELECT count(*) FROM deliveries WHERE state = 1)
			AND c.highest >= (SELECT coalesce(max(id), 0) FROM messages)`: "1",
		`SELECT count(*) FROM lanes l WHERE l.pending <> (SELECT count(*) FROM deliveries d WHERE d.lane = l.id AND d.state = 0)`: "0",
		`SELECT count(*) FROM messages m LEFT JOIN payloads p ON p.message = m.id LEFT JOIN deliveries d ON d.message = m.id
			WHERE p.message IS NULL OR d.message IS NULL
			OR NOT EXISTS (SELECT 1 FROM (SELECT content FROM key_news UNION ALL SELECT content FROM key_blocks1 UNION ALL
				SELECT content FROM key_blocks2 UNION ALL SELECT content FROM key_blocks3) WHERE instr(content, unhex(printf('%016x', m.id))) > 0)`: "0",
	} {
		q, _, err := c.Prepare(sql)
		must(t, err)
		if !q.Step() || q.ColumnText(0) != want {
			t.Fatalf("%s\nsays %q, want %q (%v)\n%s", sql, q.ColumnText(0), want, q.Err(), d)
		}
		must(t, q.Close())
	}
}

// Everything that the store has acknowledged is there after a power cut, whenever it comes and whatever chance leaves of
// what was not synced. More cuts: go test -run PowerCut -cuts 5000.
func TestAPowerCutLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	for seed := range *cuts {
		d := powercut.New(t.TempDir(), uint64(seed))
		dir := t.TempDir()
		o := sqlite.Options{Dir: dir, VFS: d.VFS(), LogPages: 8 << (seed % 4)} // the log is started over now and then
		o.Faults.SmallRuns = int(seed % 3)
		s := newSmall(t, o)
		d.CutAfter(1 + seed*7%400)
		ack := workload(t, s)
		if !d.Off() {
			t.Fatalf("seed %d: the workload ended with the power on", seed)
		}
		_ = s.Close()
		d.Restart()
		s.DB = open(t, sqlite.Options{Dir: dir, VFS: d.VFS(), Faults: o.Faults})
		ack.verify(t, s)
		must(t, s.Close())
		audit(t, d, dir)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		d.Close()
	}
}

// A cut while the store is made leaves a folder in which it can be made again.
func TestAPowerCutDuringTheFirstStart(t *testing.T) {
	t.Parallel()
	for at := 1; ; at += 3 {
		d := powercut.New(t.TempDir(), uint64(at))
		dir := t.TempDir()
		d.CutAfter(at)
		db, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Sealer: sealer(t, 1), VFS: d.VFS()})
		if err == nil {
			_ = db.Close()
		}
		done := !d.Off()
		d.Restart()
		s := newSmall(t, sqlite.Options{Dir: dir, VFS: d.VFS()})
		s.message(t)
		must(t, s.Close())
		audit(t, d, dir)
		d.Close()
		if done {
			return
		}
	}
}

// changes collects what a store tells.
type changes struct {
	mu   sync.Mutex
	list []store.Change
}

func (c *changes) add(v store.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, v)
}

func (c *changes) count(is func(store.Change) bool) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.list {
		if is(v) {
			n++
		}
	}
	return n
}

func isBroken(c store.Change) bool     { return c.Broken != nil }
func isUnaccepted(c store.Change) bool { return c.Unaccepted }

func TestAFailedSyncBreaksTheStore(t *testing.T) {
	t.Parallel()
	d, dir := newDisk(t, 1), t.TempDir()
	var heard changes
	s := newSmall(t, sqlite.Options{Dir: dir, VFS: d.VFS(), Changed: heard.add})
	kept := s.message(t)
	d.FailSync(1)
	lost := s.new("lost")
	_, err := s.Accept(t.Context(), []hook.Accept{lost})
	if !errors.Is(err, store.ErrBroken) {
		t.Fatalf("got %v, want ErrBroken", err)
	}
	wantError(t, err, "input/output error")
	ctx := t.Context()
	_, loadErr := s.Load(ctx, kept.Message.ID)
	_, acceptErr := s.Accept(ctx, []hook.Accept{s.new("after")})
	for name, err := range map[string]error{
		"accept": acceptErr, "read": loadErr, "config": s.UpdateApplication(ctx, s.app),
		"finish": s.Finish(ctx, []hook.Outcome{s.outcome(kept.Deliveries[0], hook.Success)}),
	} {
		if !errors.Is(err, store.ErrBroken) {
			t.Errorf("%s after the break: got %v, want ErrBroken", name, err)
		}
	}
	if n := heard.count(isBroken); n != 1 {
		t.Errorf("told %d times that it broke, want once", n)
	}
	ops := d.Ops()
	_ = s.Close()
	if d.Ops() != ops {
		t.Errorf("closing a broken store wrote to its disk %d times", d.Ops()-ops)
	}
	d.Restart()
	s.DB = open(t, sqlite.Options{Dir: dir, VFS: d.VFS()})
	if _, err := s.Load(ctx, kept.Message.ID); err != nil {
		t.Errorf("what was acknowledged before is lost: %v", err)
	}
	if _, err := s.Accept(ctx, []hook.Accept{s.new("after")}); err != nil {
		t.Errorf("the next start does not recover: %v", err)
	}
}

func TestAFullDiskIsSurvived(t *testing.T) {
	t.Parallel()
	d, dir := newDisk(t, 1), t.TempDir()
	var heard changes
	plenty := func() (uint64, error) { return 1 << 40, nil } // the mark does not see it coming
	s := newSmall(t, sqlite.Options{Dir: dir, VFS: d.VFS(), Changed: heard.add, FreeSpace: plenty, JournalBytes: -1})
	first := s.message(t)
	d.SetFree(2000)
	_, err := s.Accept(t.Context(), []hook.Accept{s.new("refused")})
	if hook.KindOf(err) != hook.KindUnavailable || errors.Is(err, store.ErrBroken) {
		t.Fatalf("got %v, want unavailable", err)
	}
	wantError(t, err, dir, "full")
	if err := s.Finish(t.Context(), []hook.Outcome{s.outcome(first.Deliveries[0], hook.Success)}); hook.KindOf(err) != hook.KindUnavailable {
		t.Fatalf("an outcome that cannot be recorded: got %v, want unavailable", err)
	}
	if _, err := s.Load(t.Context(), first.Message.ID); err != nil {
		t.Fatalf("reads fail on a full disk: %v", err)
	}
	if heard.count(isUnaccepted) == 0 || heard.count(isBroken) != 0 {
		t.Fatalf("told %+v", heard.list)
	}
	d.SetFree(-1)
	out, err := s.Accept(t.Context(), []hook.Accept{s.new("refused")})
	must(t, err)
	if out[0].Duplicate {
		t.Fatal("a refused message left its key behind")
	}
	must(t, s.Finish(t.Context(), []hook.Outcome{s.outcome(first.Deliveries[0], hook.Success)}))
	must(t, s.Close())
	audit(t, d, dir)
}

// In one group, what was delivered is recorded though the new messages do not fit.
func TestOnAFullDiskOutcomesGoBeforeMessages(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 1)
	gate := newGate()
	s := newSmall(t, sqlite.Options{VFS: d.VFS(), Changed: gate.changed})
	first := s.message(t)
	release := gate.hold(t, s)
	big := s.new("big")
	big.Message.Payload = noise(1, 1<<20)
	accepted, finished := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := s.Accept(t.Context(), []hook.Accept{big})
		accepted <- err
	}()
	gate.waitFor(t, s, 1)
	go func() {
		finished <- s.Finish(t.Context(), []hook.Outcome{s.outcome(first.Deliveries[0], hook.Success)})
	}()
	gate.waitFor(t, s, 2)
	d.SetFree(200_000)
	release()
	if err := <-accepted; hook.KindOf(err) != hook.KindUnavailable {
		t.Errorf("a message that does not fit: got %v, want unavailable", err)
	}
	if err := <-finished; err != nil {
		t.Errorf("an outcome in its company: %v", err)
	}
}

func TestBelowTheLowWaterMarkOnlyOutcomesAreTaken(t *testing.T) {
	t.Parallel()
	dir, key := t.TempDir(), sealer(t, 1)
	synctest.Test(t, func(t *testing.T) {
		var heard changes
		free, asked := uint64(1<<30), 0
		s := newSmall(t, sqlite.Options{Dir: dir, Sealer: key, LowWater: 1 << 20, Changed: heard.add, FreeSpace: func() (uint64, error) {
			asked++
			return free, nil
		}})
		defer s.Close()
		first := s.message(t)
		s.message(t)
		if asked != 1 {
			t.Errorf("asked %d times within 100 ms, want once", asked)
		}
		free = 1<<20 - 1
		for range 2 {
			time.Sleep(100 * time.Millisecond)
			_, err := s.Accept(t.Context(), []hook.Accept{s.new("x")})
			if hook.KindOf(err) != hook.KindUnavailable {
				t.Fatalf("got %v, want unavailable", err)
			}
			wantError(t, err, dir, "free")
		}
		if n := heard.count(isUnaccepted); n != 1 {
			t.Errorf("told %d times that nothing is taken, want once", n)
		}
		must(t, s.Finish(t.Context(), []hook.Outcome{s.outcome(first.Deliveries[0], hook.Success)}))
		free = 1 << 20
		time.Sleep(100 * time.Millisecond)
		s.message(t)
	})
}
