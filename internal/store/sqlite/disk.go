package sqlite

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// disk is the VFS of one DB. It lies over another one, the operating system's unless a test brings its own, and mends what
// a store needs and that one lacks:
//
//   - a full disk is told apart from a broken one, which the driver confuses (its check misses the wrapped error);
//   - a deleted file is deleted for certain, so that no old journal comes back after a power cut;
//   - files are readable by their owner only;
//   - a failed sync of the log is told to everybody who syncs the log from then on, where some systems tell the first alone;
//   - the first error of the system is kept, because SQLite passes on a code alone.
type disk struct {
	name   string
	inner  vfs.VFS
	os     bool // the files are real ones
	noSync bool // Faults.NoSync
	cause  atomic.Pointer[error]
	log    atomic.Pointer[logFile] // the writer's: the first that was opened

	logSync   sync.Mutex
	logFailed error // of a sync of the log; under logSync
}

// mountDisk registers a disk over the VFS of a name, "" for the operating system's. The caller unmounts it.
func mountDisk(name, inner string) (*disk, error) {
	d := &disk{name: name, inner: vfs.Find(inner), os: inner == ""}
	if d.inner == nil {
		return nil, fmt.Errorf("there is no VFS %q", inner)
	}
	vfs.Register(d.name, d)
	return d, nil
}

func (d *disk) unmount() { vfs.Unregister(d.name) }

// firstError returns what the system said first, nil when it never complained.
func (d *disk) firstError() error {
	if p := d.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// keep remembers the first error that was not a full disk, and marks a full one so that SQLite sees it.
func (d *disk) keep(err error) error {
	if err == nil {
		return nil
	}
	if isNoSpace(err) {
		return vfs.SystemError(err, sqlite3.FULL)
	}
	d.cause.CompareAndSwap(nil, &err)
	return err
}

// isNoSpace says whether the system found the disk full.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Open is for SQLite, which calls OpenFilename instead.
func (d *disk) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return vfsutil.WrapOpen(d.inner, name, flags)
}

// OpenFilename is for SQLite.
func (d *disk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if d.os && name.String() != "" && flags&vfs.OPEN_CREATE != 0 {
		if err := makePrivate(name.String()); err != nil {
			return nil, flags, err
		}
	}
	f, flags, err := vfsutil.WrapOpenFilename(d.inner, name, flags)
	if err != nil {
		return nil, flags, err
	}
	file := diskFile{File: f, disk: d}
	if flags&vfs.OPEN_WAL != 0 {
		log := &logFile{diskFile: file}
		d.log.CompareAndSwap(nil, log)
		return log, flags, nil
	}
	return &file, flags, nil
}

// makePrivate makes an empty file that only its owner may read, unless there is a file.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// Delete is for SQLite. It syncs the folder whether that was asked for or not: it is rare, and cheap beside a lost row.
func (d *disk) Delete(name string, _ bool) error { return d.inner.Delete(name, true) }

// Access is for SQLite.
func (d *disk) Access(name string, flags vfs.AccessFlag) (bool, error) {
	return d.inner.Access(name, flags)
}

// FullPathname is for SQLite.
func (d *disk) FullPathname(name string) (string, error) { return d.inner.FullPathname(name) }

// syncDir makes the names in a folder certain. The driver means to do it for a new log and syncs the file instead.
func (d *disk) syncDir(dir string) error {
	if !d.os || runtime.GOOS == "windows" { // there a folder cannot be synced, and need not
		return nil
	}
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems cannot
		return err
	}
	return nil
}

type diskFile struct {
	vfs.File
	disk *disk
}

var (
	_ vfs.VFSFilename            = (*disk)(nil)
	_ vfs.FileSharedMemory       = (*diskFile)(nil)
	_ vfs.FileLockState          = (*diskFile)(nil)
	_ vfs.FileHasMoved           = (*diskFile)(nil)
	_ vfs.FileSizeHint           = (*diskFile)(nil)
	_ vfs.FilePersistWAL         = (*diskFile)(nil)
	_ vfs.FilePowersafeOverwrite = (*diskFile)(nil)
)

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, f.disk.keep(err)
}

// Sync keeps the code of a failed fsync whatever the reason: what it was to make certain may be lost.
func (f *diskFile) Sync(flags vfs.SyncFlag) error {
	if f.disk.noSync {
		return nil
	}
	err := f.File.Sync(flags)
	if err != nil {
		f.disk.cause.CompareAndSwap(nil, &err)
	}
	return err
}

// syncLog syncs the log, one at a time. The connection that copies the log to the file syncs it too, while the writer is
// between the writes of a commit and their sync. When the system then fails to keep those writes, a kernel before Linux 4.13
// says so to the first that asks and forgets it: the writer would be told that its commit is safe, and answer.
func (d *disk) syncLog(sync func() error) error {
	d.logSync.Lock()
	defer d.logSync.Unlock()
	if d.logFailed == nil {
		d.logFailed = sync()
	}
	return d.logFailed
}

func (f *diskFile) Truncate(size int64) error { return f.disk.keep(f.File.Truncate(size)) }

func (f *diskFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if err == nil || err == io.EOF { // the interface says EOF itself, never wrapped
		return n, err
	}
	return n, f.disk.keep(err)
}

func (f *diskFile) SizeHint(size int64) error      { return vfsutil.WrapSizeHint(f.File, size) }
func (f *diskFile) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }
func (f *diskFile) LockState() vfs.LockLevel       { return vfsutil.WrapLockState(f.File) }
func (f *diskFile) HasMoved() (bool, error)        { return vfsutil.WrapHasMoved(f.File) }
func (f *diskFile) PersistWAL() bool               { return vfsutil.WrapPersistWAL(f.File) }
func (f *diskFile) SetPersistWAL(keep bool)        { vfsutil.WrapSetPersistWAL(f.File, keep) }
func (f *diskFile) PowersafeOverwrite() bool       { return vfsutil.WrapPowersafeOverwrite(f.File) }
func (f *diskFile) SetPowersafeOverwrite(on bool)  { vfsutil.WrapSetPowersafeOverwrite(f.File, on) }
