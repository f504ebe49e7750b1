package sqlite_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
	"github.com/waypost/waypost/internal/store/sqlite/powercut"
)

// After a failed sync the system shows what the disk never got. The next process must not build on it: neither tell a
// sender that its message is known, nor put new ones behind a hole in the log.
func TestWhatAFailedSyncLeftBehindIsMadeDurableBeforeItCounts(t *testing.T) {
	t.Parallel()
	for name, trust := range map[string]bool{"as it is": false, "with the log trusted": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lost := 0
			for seed := range uint64(20) {
				d, dir := newDisk(t, seed), t.TempDir()
				o := sqlite.Options{Dir: dir, VFS: d.VFS(), Faults: sqlite.Faults{TrustLog: trust}}
				if trust || seed < 10 { // what the journal says is never trusted, so there only commits can go wrong
					o.JournalBytes = -1
				}
				s := newSmall(t, o)
				d.FailSync(1)
				if _, err := s.Accept(t.Context(), []hook.Accept{s.new("a")}); err == nil {
					t.Fatal("the sync did not fail")
				}
				restart(t, d, s, o, d.Kill) // the machine stays up
				var acked []hook.MessageID
				for _, key := range []string{"a", "b"} {
					out, err := s.Accept(t.Context(), []hook.Accept{s.new(key)})
					must(t, err)
					acked = append(acked, out[0].Message.ID)
				}
				restart(t, d, s, o, d.Cut)
				for _, id := range acked {
					if _, err := s.Load(t.Context(), id); err != nil {
						lost++
					}
				}
			}
			if !trust && lost > 0 {
				t.Errorf("%d acknowledged messages are lost", lost)
			}
			if trust && lost == 0 {
				t.Error("nothing is lost: the test does not reach what it is for")
			}
		})
	}
}

// The log is synced from two sides: by the writer for a commit, and before it is copied to the file. When the second hears
// that a sync has failed, some systems do not tell the first, whose writes are gone as well: it must not answer.
func TestASyncThatFailsForTheCopierFailsForTheCommitToo(t *testing.T) {
	t.Parallel()
	d, dir := newDisk(t, 1), t.TempDir()
	o := sqlite.Options{Dir: dir, VFS: d.VFS(), LogPages: 1 << 20, JournalBytes: -1} // the store itself copies nothing
	s := newSmall(t, o)
	_, err := s.Accept(t.Context(), []hook.Accept{s.new("before")})
	must(t, err)
	copier, err := sqlite3.Open("file:" + filepath.Join(dir, "waypost.db") + "?vfs=" + s.VFS())
	must(t, err)
	defer copier.Close()
	must(t, copier.Exec(`SELECT count(*) FROM messages`))
	var copied error
	d.OnWrite(func(base string) {
		d.OnWrite(nil)
		d.FailSync(1)
		_, _, copied = copier.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
		if base != "waypost.db-wal" {
			t.Errorf("the first write was to %s", base)
		}
	})
	out, err := s.Accept(t.Context(), []hook.Accept{s.new("meanwhile")})
	if copied == nil {
		t.Fatal("the copier's sync did not fail")
	}
	if !errors.Is(err, store.ErrBroken) {
		t.Errorf("answered %+v, %v", out, err)
	}
	restart(t, d, s, o, d.Cut)
	if n, err := s.Messages(t.Context(), s.app.ID, store.MessageFilter{}, store.Page{Limit: 9}); err != nil || len(n.Items) != 1 {
		t.Errorf("after a power cut there are %d messages, %v", len(n.Items), err)
	}
}

// A process that was killed between a write and its sync leaves something that is only in the memory of the machine.
func TestWhatAKilledProcessLeftUnsyncedIsMadeDurableBeforeItCounts(t *testing.T) {
	t.Parallel()
	for name, trust := range map[string]bool{"as it is": false, "with the log trusted": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repeated, lost := 0, 0
			for at := 1; at < 24; at++ {
				d, dir := newDisk(t, uint64(at)), t.TempDir()
				o := sqlite.Options{Dir: dir, VFS: d.VFS(), Faults: sqlite.Faults{TrustLog: trust}}
				if trust || at%2 == 0 {
					o.JournalBytes = -1
				}
				s := newSmall(t, o)
				d.KillAfter((at + 1) / 2)
				_, _ = s.Accept(t.Context(), []hook.Accept{s.new("a")})
				restart(t, d, s, o, d.Kill)
				out, err := s.Accept(t.Context(), []hook.Accept{s.new("a")})
				must(t, err)
				if out[0].Duplicate {
					repeated++
				}
				restart(t, d, s, o, d.Cut)
				if _, err := s.Load(t.Context(), out[0].Message.ID); err != nil {
					lost++
				}
			}
			if repeated == 0 || trust && lost == 0 {
				t.Errorf("%d repeats, %d lost: the test does not reach what it is for", repeated, lost)
			}
			if !trust && lost > 0 {
				t.Errorf("%d acknowledged messages are lost", lost)
			}
		})
	}
}

// restart ends a process in a given way and starts the next one.
func restart(t *testing.T, d *powercut.Disk, s *small, o sqlite.Options, end func()) {
	t.Helper()
	if !d.Off() {
		end()
	}
	_ = s.Close()
	d.Restart()
	s.DB = open(t, o)
}

// Whatever operation of the disk fails, and when: the store never takes back what it has acknowledged, and once it is
// broken it stays so, tells its owner once, and the next start recovers.
func TestAnyFailedOperationOfTheDiskLosesNothing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		kind powercut.Kind
		err  error
		upTo int
	}{
		{"a write fails", powercut.Write, syscall.EIO, 40},
		{"a sync fails", powercut.Sync, syscall.EIO, 20},
		{"a sync finds the disk full", powercut.Sync, syscall.ENOSPC, 10},
		{"a sync finds the quota used up", powercut.Sync, syscall.EDQUOT, 5},
		{"a read fails half way", powercut.Read, syscall.EIO, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			broke := 0
			for n := 1; n <= test.upTo; n++ {
				broke += failOnce(t, test.kind, n, test.err)
			}
			if broke < test.upTo/2 {
				t.Errorf("the store broke %d times in %d: the failures do not reach it", broke, test.upTo)
			}
		})
	}
}

// failOnce lets one operation fail in the midst of work and returns 1 when that broke the store.
func failOnce(t *testing.T, kind powercut.Kind, n int, fault error) (broke int) {
	t.Helper()
	d, dir := newDisk(t, uint64(n)), t.TempDir()
	var heard changes
	o := sqlite.Options{Dir: dir, VFS: d.VFS(), LogPages: 16, Readers: 1}
	first := o
	first.Changed = heard.add
	s := newSmall(t, first)
	d.Fail(kind, n, fault)
	d.CutAfter(400) // in case that it never comes to the failure
	ack := workload(t, s)
	if !d.Off() {
		broke = 1
		_, loadErr := s.Counts(t.Context())
		_, acceptErr := s.Accept(t.Context(), []hook.Accept{s.new("after")})
		for _, err := range []error{loadErr, acceptErr, s.UpdateApplication(t.Context(), s.app)} {
			if !errors.Is(err, store.ErrBroken) {
				t.Fatalf("operation %d: after the break got %v, want ErrBroken", n, err)
			}
		}
		wantError(t, acceptErr, fault.Error())
	}
	end := d.Kill
	if n%2 == 0 {
		end = d.Cut
	}
	restart(t, d, s, o, end) // which waits for everybody who may have found the break
	if got := heard.count(isBroken); got != broke {
		t.Fatalf("operation %d: told %d times that it broke, want %d", n, got, broke)
	}
	ack.verify(t, s)
	restart(t, d, s, o, d.Cut)
	ack.verify(t, s)
	must(t, s.Close())
	audit(t, d, dir)
	return broke
}

// A write that finds no room breaks nothing, whichever it is: the call is refused, or nobody notices, and the next goes
// through.
func TestADiskThatIsFullForAMomentIsSurvived(t *testing.T) {
	t.Parallel()
	refusals := 0
	upTo := 60
	if underRace {
		upTo = 15
	}
	for n := 1; n <= upTo; n++ {
		d, dir := newDisk(t, uint64(n)), t.TempDir()
		var heard changes
		o := sqlite.Options{Dir: dir, VFS: d.VFS(), LogPages: 8, Readers: 1, Changed: heard.add, Faults: sqlite.Faults{InStep: true}}
		if n%2 == 0 { // without the journal more of the writes are somebody's who waits
			o.JournalBytes = -1
		}
		s := newSmall(t, o)
		d.Fail(powercut.Write, n, syscall.ENOSPC)
		again := func(name string, do func() error) {
			t.Helper()
			err := do()
			if err != nil {
				refusals++
				if hook.KindOf(err) != hook.KindUnavailable || errors.Is(err, store.ErrBroken) {
					t.Fatalf("write %d: %s: got %v, want unavailable", n, name, err)
				}
				err = do()
			}
			if err != nil {
				t.Fatalf("write %d: %s with room again: %v", n, name, err)
			}
		}
		for i := range 20 {
			var out []hook.Accepted
			a := s.new(fmt.Sprint(i))
			again("accept", func() (err error) {
				out, err = s.Accept(t.Context(), []hook.Accept{a})
				return err
			})
			if out[0].Duplicate || out[0].Message.ID != a.Message.ID {
				t.Fatalf("write %d: what was refused was kept: %+v", n, out[0])
			}
			o := s.outcome(out[0].Deliveries[0], hook.Success)
			again("finish", func() error { return s.Finish(t.Context(), []hook.Outcome{o}) })
		}
		if heard.count(isBroken) != 0 {
			t.Fatalf("write %d broke the store", n)
		}
		restart(t, d, s, o, d.Cut)
		if c, err := s.Counts(t.Context()); err != nil || c != (store.Counts{Messages: 20, Delivered: 20}) {
			t.Fatalf("write %d: %+v, %v", n, c, err)
		}
		must(t, s.Close())
		audit(t, d, dir)
	}
	if refusals < upTo/30 {
		t.Errorf("%d calls were refused: the failures do not reach the store", refusals)
	}
}

// noise are bytes that take as much of the disk as they are.
func noise(seed, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b)
	return b
}

// The reserve below the mark is there: when the disk has filled up to it, every outcome of what was accepted can still be
// recorded, and new messages are taken again by themselves when there is room.
func TestOutcomesOfAFullDiskAreRecordedFromTheReserve(t *testing.T) {
	t.Parallel()
	d, dir, key := newDisk(t, 1), t.TempDir(), sealer(t, 1)
	synctest.Test(t, func(t *testing.T) {
		s := newSmall(t, sqlite.Options{Dir: dir, VFS: d.VFS(), Sealer: key, LowWater: 2 << 20, FreeSpace: d.Free, LogPages: 64})
		defer s.Close()
		d.SetFree(6 << 20)
		var open []hook.Delivery
		var err error
		for i := 0; err == nil; i++ {
			a := s.new(fmt.Sprint(i))
			a.Message.Payload = noise(i, 30_000)
			var out []hook.Accepted
			if out, err = s.Accept(t.Context(), []hook.Accept{a}); err == nil {
				open = append(open, out[0].Deliveries...)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if hook.KindOf(err) != hook.KindUnavailable || len(open) < 20 {
			t.Fatalf("after %d messages: %v", len(open), err)
		}
		if free, _ := d.Free(); free == 0 || free > 2<<20 {
			t.Fatalf("%d bytes are left at the mark", free)
		}
		for _, o := range open {
			must(t, s.Finish(t.Context(), []hook.Outcome{s.outcome(o, hook.Retry, time.Minute)}))
		}
		time.Sleep(100 * time.Millisecond)
		if _, err := s.Accept(t.Context(), []hook.Accept{s.new("x")}); hook.KindOf(err) != hook.KindUnavailable {
			t.Fatalf("below the mark: got %v", err)
		}
		d.SetFree(-1)
		time.Sleep(100 * time.Millisecond)
		s.message(t)
	})
}

// A file that cannot be deleted, when the store is made or when it is closed, costs nothing.
func TestAFileThatCannotBeDeletedCostsNothing(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 4; n++ {
		d, dir := newDisk(t, uint64(n)), t.TempDir()
		o := sqlite.Options{Dir: dir, VFS: d.VFS(), Sealer: sealer(t, 1)}
		d.Fail(powercut.Delete, n, syscall.EPERM)
		db, err := sqlite.Open(t.Context(), o)
		if err == nil {
			must(t, db.Close())
		}
		d.Restart()
		s := newSmall(t, o)
		m := s.message(t)
		d.Fail(powercut.Delete, 1, syscall.EPERM)
		_ = s.Close()
		d.Restart()
		s.DB = open(t, o)
		_, err = s.Load(t.Context(), m.Message.ID)
		must(t, err)
		must(t, s.Close())
		audit(t, d, dir)
	}
}

// Each named point is passed where its name says: what is to be durable after it is, and what is not is not.
func TestTheNamedPointsAreWhereTheySayTheyAre(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		point string
		there bool // what the call asked for, after a power cut at the point
		call  func(*testing.T, *small) (seen func(*small) bool)
	}{
		{sqlite.AtBeforeCommit, false, acceptOne},
		{sqlite.AtAfterCommit, true, acceptOne},
		{sqlite.AtRetention, false, sweepOne},
	} {
		t.Run(test.point, func(t *testing.T) {
			t.Parallel()
			d, dir := newDisk(t, 1), t.TempDir()
			armed, passed := false, 0
			o := sqlite.Options{Dir: dir, VFS: d.VFS(), Faults: sqlite.Faults{At: func(point string) {
				if armed && point == test.point {
					passed++
					d.Cut()
				}
			}}}
			s := newSmall(t, o)
			old := s.message(t)
			must(t, s.Finish(t.Context(), []hook.Outcome{s.outcome(old.Deliveries[0], hook.Success)}))
			s.now = s.now.Add(time.Hour)
			must(t, s.UpdateApplication(t.Context(), s.app)) // the writer has passed everything before
			armed = true
			seen := test.call(t, s)
			if passed != 1 {
				t.Fatalf("passed %d times, want once", passed)
			}
			o.Faults = sqlite.Faults{}
			restart(t, d, s, o, d.Cut)
			if got := seen(s); got != test.there {
				t.Errorf("done is %t, want %t", got, test.there)
			}
		})
	}
}

func acceptOne(t *testing.T, s *small) func(*small) bool {
	a := s.new("point")
	_, _ = s.Accept(t.Context(), []hook.Accept{a})
	return func(s *small) bool {
		_, err := s.Load(t.Context(), a.Message.ID)
		return err == nil
	}
}

func sweepOne(t *testing.T, s *small) func(*small) bool {
	_, _, _ = s.Sweep(t.Context(), store.Sweep{Now: s.now, Before: s.now})
	return func(s *small) bool {
		list, err := s.Messages(t.Context(), s.app.ID, store.MessageFilter{}, store.Page{})
		must(t, err)
		return len(list.Items) == 0
	}
}

func TestACrashInTheMidstOfAMigrationLeavesAStoreThatOpens(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*powercut.Disk){"power cut": (*powercut.Disk).Cut, "kill": (*powercut.Disk).Kill} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, dir := newDisk(t, 1), t.TempDir()
			passed := 0
			o := sqlite.Options{Dir: dir, VFS: d.VFS(), Sealer: sealer(t, 1), Faults: sqlite.Faults{At: func(point string) {
				if point == sqlite.AtMigration {
					passed++
					end(d)
				}
			}}}
			if _, err := sqlite.Open(t.Context(), o); err == nil || passed != 1 {
				t.Fatalf("opened with error %v, passed %d times", err, passed)
			}
			d.Restart()
			o.Faults = sqlite.Faults{}
			s := newSmall(t, o)
			s.message(t)
			must(t, s.Close())
			audit(t, d, dir)
		})
	}
}
