package sqlite_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
	"github.com/waypost/waypost/internal/store/sqlite/powercut"
)

// imageOf is what a killed process leaves on the disk after n messages, with the length of the log after each.
func imageOf(t *testing.T, n int) (d *powercut.Disk, dir string, ids []hook.MessageID, ends []int) {
	t.Helper()
	d, dir = newDisk(t, 1), t.TempDir()
	s := newSmall(t, sqlite.Options{Dir: dir, VFS: d.VFS(), LogPages: 1 << 20, JournalBytes: -1})
	for range n {
		ids = append(ids, s.message(t).Message.ID)
		ends = append(ends, len(d.File(filepath.Join(dir, "waypost.db-wal"))))
	}
	d.Kill()
	_ = s.Close()
	d.Restart()
	return d, dir, ids, ends
}

// A log whose end is damaged or missing holds what was committed before the damage, whole, and the store goes on from
// there.
func TestADamagedEndOfTheLogCostsWhatIsBehindItOnly(t *testing.T) {
	t.Parallel()
	d, dir, ids, ends := imageOf(t, 12)
	path := filepath.Join(dir, "waypost.db")
	db, log := d.File(path), d.File(path+"-wal")
	damages := map[string]func(at int) []byte{
		"cut off":           func(at int) []byte { return bytes.Clone(log[:at]) },
		"one bit turned":    func(at int) []byte { b := bytes.Clone(log); b[at] ^= 1 << (at % 8); return b },
		"zeros from there":  func(at int) []byte { b := bytes.Clone(log); clear(b[at:]); return b },
		"rubbish behind it": func(at int) []byte { return append(bytes.Clone(log[:at]), bytes.Repeat([]byte{0xa5, 7}, 5000)...) },
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, dir := newDisk(t, 1), t.TempDir()
			path := filepath.Join(dir, "waypost.db")
			step := (len(log)-ends[0])/50 + 1
			for at := ends[0]; at < len(log); at += step {
				d.SetFile(path, db)
				d.SetFile(path+"-wal", damage(at))
				s := &small{DB: open(t, sqlite.Options{Dir: dir, VFS: d.VFS(), Readers: 1})}
				missing := false
				for i, id := range ids {
					_, err := s.Load(t.Context(), id)
					switch {
					case err != nil && hook.KindOf(err) != hook.KindNotFound:
						t.Fatalf("at %d: message %d: %v", at, i, err)
					case err != nil && ends[i] <= at:
						t.Fatalf("at %d of %d: message %d is lost, it ends at %d: %v", at, len(log), i, ends[i], err)
					case err == nil && missing:
						t.Fatalf("at %d: message %d is there, one before it is not", at, i)
					}
					missing = err != nil
				}
				must(t, s.Close())
				audit(t, d, dir)
				d.Restart()
			}
		})
	}
}

// A file that is shorter than it should be is never read as something else.
func TestATruncatedFileIsNoticed(t *testing.T) {
	t.Parallel()
	d, dir := newDisk(t, 1), t.TempDir()
	s := newSmall(t, sqlite.Options{Dir: dir, VFS: d.VFS()})
	var want []hook.Accepted
	for range 50 {
		want = append(want, s.message(t))
	}
	must(t, s.Close())
	path := filepath.Join(dir, "waypost.db")
	whole := d.File(path)
	noticed := 0
	for size := 512; size < len(whole); size += 4099 {
		d.SetFile(path, whole[:size])
		db, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, VFS: d.VFS(), Sealer: sealer(t, 1), Readers: 1})
		if err != nil {
			noticed++
			d.Restart()
			continue
		}
		broken := false
		for _, w := range want {
			m, err := db.Load(t.Context(), w.Message.ID)
			switch {
			case errors.Is(err, store.ErrBroken):
				broken = true
			case err != nil && hook.KindOf(err) != hook.KindNotFound:
				t.Fatalf("%d bytes: %v", size, err)
			case err == nil && !bytes.Equal(m.Payload, w.Message.Payload):
				t.Fatalf("%d bytes: message %s is %q, want %q", size, m.ID, m.Payload, w.Message.Payload)
			case err != nil:
				t.Fatalf("%d bytes: an acknowledged message is said not to be there: %v", size, err)
			}
		}
		if broken {
			noticed++
		}
		_ = db.Close()
		d.Restart()
	}
	if noticed < 10 {
		t.Errorf("noticed %d times", noticed)
	}
}

// A process that starts on a full disk serves what is there; one that cannot make its log durable does not start.
func TestAStartOnAFullDiskServesAndOneOnABrokenDiskDoesNot(t *testing.T) {
	t.Parallel()
	for n := range 3 {
		d, dir, ids, _ := imageOf(t, 3)
		d.SetFree(0)
		d.Fail(powercut.Write, 1+n, syscall.ENOSPC)
		db := open(t, sqlite.Options{Dir: dir, VFS: d.VFS(), FreeSpace: d.Free})
		for _, id := range ids {
			_, err := db.Load(t.Context(), id)
			must(t, err)
		}
		must(t, db.Close())
	}
	for _, kind := range []powercut.Kind{powercut.Write, powercut.Sync, powercut.Read} {
		d, dir, ids, _ := imageOf(t, 3)
		d.Fail(kind, 1, syscall.EIO)
		_, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, VFS: d.VFS(), Sealer: sealer(t, 1)})
		wantError(t, err, dir)
		d.Restart()
		db := open(t, sqlite.Options{Dir: dir, VFS: d.VFS()})
		_, err = db.Load(t.Context(), ids[2])
		must(t, err)
	}
}
