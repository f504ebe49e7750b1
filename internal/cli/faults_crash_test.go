package cli

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// testFaults names the environment variable that gives a server of the test binary faults, as "after-commit:37": it is
// killed when it passes the point for the 37th time. "sync-error:37" fails the 37th sync of its disk, "full:37" every
// growth of a file from the 37th write on, and "sweep:50ms" sets the time between rounds of retention. "no-sync",
// "answer-early" and "duplicate-early" are the store's mistakes of these names. Several are separated by commas.
const testFaults = "WAYPOST_TEST_FAULTS"

// faultsOf reads the variable. What it does not understand ends the process: a test without its fault proves nothing.
func faultsOf(text string) (f app.Faults) {
	if text == "" {
		return f
	}
	points := map[string]int64{}
	for one := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(one, ":")
		if mistake := mistakes(&f.Store)[name]; mistake != nil {
			*mistake = true
			continue
		}
		if name == "sweep" {
			every, err := time.ParseDuration(value)
			demand(err)
			f.SweepEvery = every
			continue
		}
		n, err := strconv.ParseInt(value, 10, 64)
		demand(err)
		switch name {
		case "sync-error":
			f.VFS = failingDisk(&badDisk{VFS: vfs.Find(""), badSync: n})
		case "full":
			f.VFS = failingDisk(&badDisk{VFS: vfs.Find(""), fullFrom: n})
		case "before-commit", "after-commit", "after-send", "migration", "retention",
			sqlite.AtReseal, app.AtKeyMade, app.AtKeyBegun, app.AtKeyResealed, app.AtKeySwapped:
			points[name] = n
		default:
			demand(fmt.Errorf("there is no fault %q", name))
		}
	}
	var passed atomic.Int64
	at := func(point string) {
		if n, ok := points[point]; ok && passed.Add(1) == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing happens between the point and the end
		}
	}
	f.Store.At, f.Engine.At = at, at
	return f
}

// mistakes are the store's faults that need no number.
func mistakes(f *sqlite.Faults) map[string]*bool {
	return map[string]*bool{"no-sync": &f.NoSync, "answer-early": &f.AnswerEarly, "duplicate-early": &f.DuplicateEarly}
}

func demand(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", testFaults, err)
		os.Exit(99)
	}
}

// badDisk is the operating system's file system with an error to come.
type badDisk struct {
	vfs.VFS
	badSync  int64 // number of the sync that fails; 0 = none
	fullFrom int64 // number of the write from which on nothing grows; 0 = never

	syncs, writes atomic.Int64
}

func failingDisk(d *badDisk) string {
	vfs.Register("failing", d)
	return "failing"
}

func (d *badDisk) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, err := sqlite.OpenPlain(name) // the journal
	return d.wrap(f, err), flags, err
}

func (d *badDisk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := vfsutil.WrapOpenFilename(d.VFS, name, flags)
	return d.wrap(f, err), flags, err
}

func (d *badDisk) wrap(f vfs.File, err error) vfs.File {
	if err != nil {
		return nil
	}
	return &badFile{f, d}
}

type badFile struct {
	vfs.File
	disk *badDisk
}

func (f *badFile) Sync(flags vfs.SyncFlag) error {
	if f.disk.syncs.Add(1) == f.disk.badSync {
		return &os.PathError{Op: "sync", Path: "disk", Err: syscall.EIO}
	}
	return f.File.Sync(flags)
}

func (f *badFile) WriteAt(p []byte, off int64) (int, error) {
	if n := f.disk.writes.Add(1); f.disk.fullFrom > 0 && n >= f.disk.fullFrom {
		if size, err := f.File.Size(); err != nil || off+int64(len(p)) > size {
			return 0, vfs.SystemError(&os.PathError{Op: "write", Path: "disk", Err: syscall.ENOSPC}, sqlite3.FULL)
		}
	}
	return f.File.WriteAt(p, off)
}

func (f *badFile) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }
func (f *badFile) LockState() vfs.LockLevel       { return vfsutil.WrapLockState(f.File) }
