package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
	"github.com/waypost/waypost/internal/store/sqlite/powercut"
)

// sealedThings writes profiles, sources, endpoints and receipts, n of each, and reads them again.
type sealedThings struct {
	app  hook.Application
	n    int
	now  time.Time
	seed []byte
}

func writeSealed(t testing.TB, db *sqlite.DB, n int) sealedThings {
	t.Helper()
	k := sealedThings{n: n, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), seed: db.Seed()}
	ids, ctx := hook.NewGenerator(2, 0), t.Context()
	k.app = hook.Application{ID: hook.NewID[hook.ApplicationID](ids, k.now), CreatedAt: k.now}
	must(t, db.CreateApplication(ctx, k.app))
	for i := range n {
		along := store.With(ctx, store.Along{Receipt: &store.Receipt{
			Key: [32]byte{byte(i)}, Now: k.now, Expires: k.now.Add(time.Hour),
			Answer: func(store.Result) (int, []byte, bool) { return 201, fmt.Appendf(nil, "answer %d", i), true },
		}})
		s := hook.Settings{"secret": {fmt.Sprint("secret ", i)}}
		must(t, db.CreateProfile(along, hook.Profile{ID: hook.NewID[hook.ProfileID](ids, k.now), UID: fmt.Sprint("p", i), Settings: s, CreatedAt: k.now}))
		must(t, db.CreateSource(ctx, hook.Source{ID: hook.NewID[hook.SourceID](ids, k.now), App: k.app.ID, UID: fmt.Sprint("s", i), Settings: s, CreatedAt: k.now}))
		must(t, db.CreateEndpoint(ctx, hook.Endpoint{ID: hook.NewID[hook.EndpointID](ids, k.now), App: k.app.ID, UID: fmt.Sprint("e", i), Settings: s, CreatedAt: k.now}))
	}
	return k
}

func (k sealedThings) verify(t testing.TB, db *sqlite.DB) {
	t.Helper()
	ctx := t.Context()
	for i := range k.n {
		want := fmt.Sprint("secret ", i)
		p, err := db.Profile(ctx, fmt.Sprint("p", i))
		must(t, err)
		s, err := db.Source(ctx, k.app.ID, fmt.Sprint("s", i))
		must(t, err)
		e, err := db.Endpoint(ctx, k.app.ID, fmt.Sprint("e", i))
		must(t, err)
		_, body, _, err := db.Receipt(ctx, [32]byte{byte(i)}, k.now)
		must(t, err)
		if p.Settings.Get("secret") != want || s.Settings.Get("secret") != want || e.Settings.Get("secret") != want || string(body) != fmt.Sprint("answer ", i) {
			t.Fatalf("%v, %v, %v and %q, want %s", p.Settings, s.Settings, e.Settings, body, want)
		}
	}
	if !bytes.Equal(db.Seed(), k.seed) {
		t.Fatal("the seed of outgoing messages has changed")
	}
}

// The power goes, or the process is killed, at every operation of the disk amid a rotation of the main key. What opens the store
// then is what the caller has kept by then: the old key and the new one until the rotation has ended, afterwards the new one.
func TestACrashAmidARotationLeavesAStoreThatItsKeysOpen(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	old, next := sealer(t, 1), sealer(t, 2)
	first := newDisk(t, 0)
	o := sqlite.Options{Dir: dir, Readers: 1, FreeSpace: func() (uint64, error) { return 1 << 40, nil }}
	open := func(d *powercut.Disk, now, before *store.Sealer) (*sqlite.DB, error) {
		o.VFS, o.Sealer, o.OldSealer = d.VFS(), now, before
		return sqlite.Open(ctx, o)
	}
	db, err := open(first, old, nil)
	must(t, err)
	k := writeSealed(t, db, 3)
	must(t, db.Close())
	content := first.File(filepath.Join(dir, "waypost.db"))

	for kind, end := range []func(*powercut.Disk, int){(*powercut.Disk).CutAfter, (*powercut.Disk).KillAfter} {
		for _, atOnce := range []bool{true, false} { // both keys are given when the store is opened, or it is rotated later
			crashes, halfway := 0, 0
			for n, done := 1, false; !done; n++ {
				d := newDisk(t, uint64(n*10+kind))
				d.SetFile(filepath.Join(dir, "waypost.db"), content)
				d.SetFile(filepath.Join(dir, "waypost.db-wal"), nil)
				end(d, n)
				now, before := old, (*store.Sealer)(nil)
				if atOnce {
					now, before = next, old
				}
				db, err := open(d, now, before)
				if err == nil && !atOnce {
					now, before = next, old // both are kept before it begins
					err = db.Rotate(ctx, next)
				}
				if err == nil {
					if err = db.Reseal(ctx, nil); err == nil {
						now, before = next, nil
					}
				}
				if db != nil {
					err = errors.Join(err, db.Close())
				}
				if done = err == nil; !done {
					crashes++
				}
				d.Restart()
				db, err = open(d, now, before)
				if err != nil {
					t.Fatalf("operation %d, both keys %v: %v\n%s", n, before != nil, err, d)
				}
				if db.Rotating() {
					halfway++
				}
				k.verify(t, db)
				must(t, db.Reseal(ctx, nil))
				k.verify(t, db)
				must(t, db.Close())
				if now == next {
					db, err = open(d, next, nil)
					must(t, err)
					k.verify(t, db)
					must(t, db.Close())
					if _, err = open(d, old, nil); !errors.Is(err, store.ErrMainKey) {
						t.Fatalf("operation %d: with the old key it opens: %v", n, err)
					}
				}
			}
			t.Logf("crash of kind %d, at once %v: %d crashes, %d amid the rotation", kind, atOnce, crashes, halfway)
			if halfway < 3 || halfway == crashes && !atOnce {
				t.Errorf("%d of %d crashes were amid the rotation", halfway, crashes)
			}
		}
	}
}

// While it rotates, everything is read and written as ever, and what was written at any moment is under the new key.
func TestARotationBesideOtherWork(t *testing.T) {
	t.Parallel()
	rounds := 8
	if underRace {
		rounds = 3
	}
	dir := t.TempDir()
	s := newSmall(t, sqlite.Options{Dir: dir})
	k := writeSealed(t, s.DB, 60)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var writes, reads atomic.Int64
	for w := range 4 {
		e, err := s.Endpoint(ctx, k.app.ID, fmt.Sprint("e", w))
		must(t, err)
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ { // the same row again and again, before and behind the rotation
				if err := s.UpdateEndpoint(t.Context(), e); err != nil {
					t.Error(err)
				}
				if _, err := s.Accept(t.Context(), []hook.Accept{s.new(fmt.Sprint("m", w, i))}); err != nil {
					t.Error(err)
				}
				writes.Add(1)
			}
		})
		wg.Go(func() {
			for ctx.Err() == nil {
				if l, err := s.Endpoints(t.Context(), k.app.ID, store.Page{}); err != nil || len(l.Items) == 0 {
					t.Error(err)
				}
				reads.Add(1)
			}
		})
	}
	for i := range rounds {
		w, r := writes.Load(), reads.Load()
		must(t, s.Rotate(t.Context(), sealer(t, byte(2+i))))
		must(t, s.Reseal(t.Context(), nil))
		for writes.Load() == w || reads.Load() == r {
			time.Sleep(time.Millisecond)
		}
	}
	cancel()
	wg.Wait()
	must(t, s.Close())
	db := open(t, sqlite.Options{Dir: dir, Sealer: sealer(t, byte(1+rounds))})
	k.verify(t, db)
}

// A rotation that is called off goes on when it is called again.
func TestARotationThatIsCalledOffGoesOn(t *testing.T) {
	t.Parallel()
	s := newSmall(t, sqlite.Options{})
	k := writeSealed(t, s.DB, 30)
	must(t, s.Rotate(t.Context(), sealer(t, 2)))
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.Reseal(ctx, func(int64, int64) { cancel() }); hook.KindOf(err) != hook.KindUnavailable {
		t.Errorf("called off: %v", err)
	}
	if !s.Rotating() {
		t.Error("it was ended")
	}
	k.verify(t, s.DB)
	must(t, s.Reseal(t.Context(), nil))
	if s.Rotating() {
		t.Error("it was not ended")
	}
	k.verify(t, s.DB)
}

// A full disk interrupts a rotation, and loses nothing.
func TestARotationOnAFullDiskGoesOnLater(t *testing.T) {
	t.Parallel()
	dir, d := t.TempDir(), newDisk(t, 3)
	s := newSmall(t, sqlite.Options{Dir: dir, VFS: d.VFS(), LowWater: 1, FreeSpace: func() (uint64, error) { return 1 << 40, nil }})
	k := writeSealed(t, s.DB, 30)
	d.SetFree(0)
	if err := s.Rotate(t.Context(), sealer(t, 2)); hook.KindOf(err) != hook.KindUnavailable || s.Rotating() {
		t.Fatalf("begun on a full disk: %v, rotating %v", err, s.Rotating())
	}
	d.SetFree(1 << 40)
	must(t, s.Rotate(t.Context(), sealer(t, 2)))
	d.SetFree(0)
	err := s.Reseal(t.Context(), nil)
	if hook.KindOf(err) != hook.KindUnavailable || !s.Rotating() {
		t.Fatalf("on a full disk: %v, rotating %v", err, s.Rotating())
	}
	k.verify(t, s.DB)
	d.SetFree(1 << 40)
	must(t, s.Reseal(t.Context(), nil))
	k.verify(t, s.DB)
}

// A backup that was made before a rotation opens with the key of then, one that was made amid it with both.
func TestABackupNeedsTheKeysOfItsTime(t *testing.T) {
	t.Parallel()
	s := newSmall(t, sqlite.Options{})
	k := writeSealed(t, s.DB, 3)
	copies := [3]string{t.TempDir(), t.TempDir(), t.TempDir()}
	backup := func(i int) { must(t, s.Backup(t.Context(), filepath.Join(copies[i], "waypost.db"))) }
	backup(0)
	must(t, s.Rotate(t.Context(), sealer(t, 2)))
	backup(1)
	must(t, s.Reseal(t.Context(), nil))
	backup(2)
	for i, keys := range [3][2]*store.Sealer{{sealer(t, 1), nil}, {sealer(t, 2), sealer(t, 1)}, {sealer(t, 2), nil}} {
		k.verify(t, open(t, sqlite.Options{Dir: copies[i], Sealer: keys[0], OldSealer: keys[1]}))
	}
}
