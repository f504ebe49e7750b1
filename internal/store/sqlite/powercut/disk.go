// Package powercut owns a disk that forgets: a file system in memory, offered to SQLite as a VFS, that loses what was not
// synced when its power is cut. Everything it does by chance comes from a seed, so that a failing run can be run again.
//
// What it models, and what it does not:
//
//   - a write or truncation is certain only after a sync of its file; at a cut each unsynced one may be there, be missing,
//     or be torn between two sectors, in any order;
//   - bytes outside a write are never harmed by it (SQLite calls that powersafe overwrite);
//   - a new file's name is certain with the first sync of the file, as on ext4, XFS and Btrfs; a deletion is certain when
//     it was asked to sync the directory;
//   - a failed sync loses the unsynced writes for good though reads still show them, as Linux does, and the next sync of
//     the same file succeeds;
//   - a full disk refuses what makes a file longer.
package powercut

import (
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/ncruces/go-sqlite3/vfs"
)

// sector is the unit in which a write may be torn, in bytes.
const sector = 512

// A Disk is one simulated disk. It may hold many files, and its methods may be called at any time from any goroutine.
type Disk struct {
	name   string
	shmDir string

	mu       sync.Mutex
	rng      *rand.Rand
	boot     int // counts restarts: a handle of an earlier boot is dead
	off      bool
	files    map[string]*file
	deleted  map[string]*file // deletions that are not certain yet
	ops      int
	cutAt    int // number of the operation at which the power goes, 0 = never
	syncs    int
	badSync  int // number of the sync that fails, 0 = none
	capacity int64
	used     int64
}

// New makes an empty disk and registers it as a VFS. shmDir is a real folder for the shared memory of the connections,
// which is mapped from files and never survives a cut.
func New(shmDir string, seed uint64) *Disk {
	d := &Disk{
		name:     "powercut-" + crand.Text(),
		shmDir:   shmDir,
		rng:      rand.New(rand.NewPCG(seed, 0x57617970_6f737421)),
		files:    map[string]*file{},
		deleted:  map[string]*file{},
		capacity: -1,
	}
	vfs.Register(d.name, d)
	return d
}

// VFS is the name under which SQLite knows the disk.
func (d *Disk) VFS() string { return d.name }

// Close forgets the disk. Every connection to it must be closed before.
func (d *Disk) Close() { vfs.Unregister(d.name) }

// Ops counts the operations so far that could change what is on the disk: writes, truncations, syncs, deletions.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// CutAfter cuts the power in the middle of the n-th operation from now; n starts at 1.
func (d *Disk) CutAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutAt = d.ops + n
}

// Cut cuts the power now. From here on every file handle fails; what is on the disk is settled.
func (d *Disk) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut()
}

// Off says whether the power is cut.
func (d *Disk) Off() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.off
}

// Restart gives the power back, with what survived. It cuts first when that was not done.
func (d *Disk) Restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut()
	d.boot++
	d.off = false
	d.cutAt, d.badSync = 0, 0
}

// FailSync makes the n-th sync from now fail with an I/O error; n starts at 1.
func (d *Disk) FailSync(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.badSync = d.syncs + n
}

// SetFree leaves n bytes of room on the disk; a negative n means that it never fills.
func (d *Disk) SetFree(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = -1
	if n >= 0 {
		d.capacity = d.used + n
	}
}

// Free returns the room that is left in bytes, in the shape that the store asks for.
func (d *Disk) Free() (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.capacity < 0 {
		return 1 << 62, nil
	}
	return uint64(max(0, d.capacity-d.used)), nil
}

// File returns what reads of a file would show now, and nil when there is no such file.
func (d *Disk) File(name string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[name]
	if f == nil {
		return nil
	}
	return append([]byte{}, f.now...)
}

// step counts an operation and says whether the power went in the middle of it.
func (d *Disk) step() bool {
	d.ops++
	return d.cutAt != 0 && d.ops >= d.cutAt
}

// cut settles what survives.
func (d *Disk) cut() {
	if d.off {
		return
	}
	d.off = true
	for name, f := range d.deleted {
		if _, again := d.files[name]; !again && d.rng.IntN(2) == 0 {
			d.files[name] = f
		}
	}
	clear(d.deleted)
	d.used = 0
	for _, name := range sortedNames(d.files) { // in order, so that the seed decides alone
		f := d.files[name]
		if !f.named && d.rng.IntN(2) == 0 {
			delete(d.files, name)
			continue
		}
		image := f.survivors(d.rng)
		d.files[name] = &file{named: true, durable: image, now: append([]byte{}, image...)}
		d.used += int64(len(image))
	}
}

// String tells what the disk holds, for a failing test.
func (d *Disk) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := fmt.Sprintf("disk: boot %d, %d operations, %d syncs, off %t", d.boot, d.ops, d.syncs, d.off)
	for _, name := range sortedNames(d.files) {
		f := d.files[name]
		s += fmt.Sprintf("\n  %s: %d bytes, %d of them durable, %d unsynced operations", name, len(f.now), len(f.durable), len(f.pending))
	}
	return s
}
