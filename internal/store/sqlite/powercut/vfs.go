package powercut

import (
	"fmt"
	"hash/fnv"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

var (
	_ vfs.VFS              = (*Disk)(nil)
	_ vfs.FileSharedMemory = (*handle)(nil)
	_ vfs.FileLockState    = (*handle)(nil)
)

// Open is for SQLite.
func (d *Disk) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return nil, flags, errIO("open")
	}
	if name == "" { // a temporary file, which nobody expects to survive
		return &handle{disk: d, boot: d.boot, file: &file{}}, flags, nil
	}
	f := d.files[name]
	switch {
	case f == nil && flags&vfs.OPEN_CREATE == 0:
		return nil, flags, sqlite3.CANTOPEN
	case f != nil && flags&vfs.OPEN_EXCLUSIVE != 0:
		return nil, flags, sqlite3.CANTOPEN
	case f == nil:
		f = &file{base: filepath.Base(name)}
		d.files[name] = f
	}
	h := &handle{disk: d, boot: d.boot, file: f, readOnly: flags&vfs.OPEN_READONLY != 0}
	if flags&vfs.OPEN_DELETEONCLOSE != 0 {
		h.deleteOnClose = name
	}
	h.shm = vfs.NewSharedMemory(d.shmPath(name), flags)
	return h, flags, nil
}

// shmPath is another file for each boot, because the memory of a machine does not survive a cut.
func (d *Disk) shmPath(name string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return filepath.Join(d.shmDir, fmt.Sprintf("%x-%d-shm", h.Sum64(), d.boot))
}

// Delete is for SQLite.
func (d *Disk) Delete(name string, syncDir bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return errIO("delete")
	}
	f := d.files[name]
	if f == nil {
		return sqlite3.IOERR_DELETE_NOENT
	}
	if err := d.fails(Delete); err != nil {
		return failed("delete", err)
	}
	if d.step(Delete, f, 0, 0) {
		return errIO("delete")
	}
	delete(d.files, name)
	delete(d.deleted, name)
	d.used -= int64(len(f.now))
	if !syncDir && f.named {
		d.deleted[name] = f
	}
	return nil
}

// Access is for SQLite.
func (d *Disk) Access(name string, _ vfs.AccessFlag) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return false, errIO("access")
	}
	return d.files[name] != nil, nil
}

// FullPathname is for SQLite.
func (d *Disk) FullPathname(name string) (string, error) { return filepath.Clean(name), nil }

// A handle is one open file of one boot.
type handle struct {
	disk          *Disk
	boot          int
	file          *file
	shm           vfs.SharedMemory
	lock          vfs.LockLevel
	readOnly      bool
	deleteOnClose string
}

// begin takes the disk and says whether this handle is dead.
func (h *handle) begin(op string) error {
	h.disk.mu.Lock()
	if h.disk.off || h.boot != h.disk.boot {
		return errIO(op)
	}
	return nil
}

func (h *handle) end() { h.disk.mu.Unlock() }

func (h *handle) Close() error {
	if h.shm != nil {
		_ = h.shm.Close()
	}
	if h.deleteOnClose != "" {
		_ = h.disk.Delete(h.deleteOnClose, false)
	}
	return h.Unlock(vfs.LOCK_NONE)
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	defer h.end()
	if err := h.begin("read"); err != nil {
		return 0, err
	}
	if err := h.disk.fails(Read); err != nil {
		n, _ := h.file.readAt(p[:len(p)/2], off)
		return n, failed("read", err)
	}
	return h.file.readAt(p, off)
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	n, written, err := h.writeAt(p, off)
	if err == nil && written != nil {
		written(h.file.base)
	}
	return n, err
}

func (h *handle) writeAt(p []byte, off int64) (n int, written func(base string), err error) {
	defer h.end()
	if err := h.begin("write"); err != nil {
		return 0, nil, err
	}
	grow := max(0, off+int64(len(p))-int64(len(h.file.now)))
	if grow > 0 && h.disk.capacity >= 0 && h.disk.used+grow > h.disk.capacity {
		return 0, nil, errFull("write")
	}
	if err := h.disk.fails(Write); err != nil {
		half := min(grow, max(0, off+int64(len(p)/2)-int64(len(h.file.now))))
		h.disk.used += half
		h.file.do(change{off, append([]byte{}, p[:len(p)/2]...)})
		return len(p) / 2, nil, failed("write", err)
	}
	h.disk.used += grow
	h.file.do(change{off, append([]byte{}, p...)})
	if h.disk.step(Write, h.file, off, int64(len(p))) {
		return 0, nil, errIO("write")
	}
	return len(p), h.disk.written, nil
}

func (h *handle) Truncate(size int64) error {
	defer h.end()
	if err := h.begin("truncate"); err != nil {
		return err
	}
	if err := h.disk.fails(Truncate); err != nil {
		return failed("truncate", err)
	}
	h.disk.used += size - int64(len(h.file.now))
	h.file.do(change{off: size})
	if h.disk.step(Truncate, h.file, size, 0) {
		return errIO("truncate")
	}
	return nil
}

func (h *handle) Sync(vfs.SyncFlag) error {
	defer h.end()
	if err := h.begin("sync"); err != nil {
		return err
	}
	if err := h.disk.fails(Sync); err != nil {
		h.file.pending = nil // gone for good, though reads still show it
		return failed("sync", err)
	}
	if h.disk.step(Sync, h.file, 0, 0) {
		return errIO("sync")
	}
	h.file.sync()
	return nil
}

func (h *handle) Size() (int64, error) {
	defer h.end()
	if err := h.begin("size"); err != nil {
		return 0, err
	}
	return int64(len(h.file.now)), nil
}

func (h *handle) SectorSize() int { return 4096 }

// DeviceCharacteristics promises what the driver promises of a real file system.
func (h *handle) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_POWERSAFE_OVERWRITE | vfs.IOCAP_SUBPAGE_READ
}

func (h *handle) SharedMemory() vfs.SharedMemory { return h.shm }
