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
//   - a process that is killed loses nothing, and what it had not synced stays unsynced under the next one;
//   - a full disk refuses what makes a file longer;
//   - any operation may be told to fail, once.
package powercut

import (
	"bytes"
	crand "crypto/rand"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"

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
	cutAt    int  // number of the operation at which the power goes, 0 = never
	kill     bool // then only the process ends
	trace    uint64
	done     [lastKind]int // operations by kind
	faults   []fault
	written  func(base string)
	capacity int64
	used     int64
}

// A Kind is a kind of operation that can be told to fail, or counted.
type Kind int

// The kinds of operation.
const (
	Read Kind = iota
	Write
	Sync
	Truncate
	Delete
	lastKind
)

// A fault waits for the n-th operation of its kind.
type fault struct {
	kind Kind
	n    int
	err  error
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

// KillAfter is CutAfter for a process that is killed: its handles are dead, and the system still knows what it wrote.
func (d *Disk) KillAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutAt, d.kill = d.ops+n, true
}

// Spare calls off a cut or kill that is still to come.
func (d *Disk) Spare() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutAt = 0
}

// Cut cuts the power now. From here on every file handle fails; what is on the disk is settled.
func (d *Disk) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut()
}

// Kill is Cut for a process that is killed.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	d.kill = true
}

// Off says whether the power is cut.
func (d *Disk) Off() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.off
}

// Restart gives the power back, with what survived; after a kill, only new handles. It cuts first when nothing has
// happened yet. Faults that were still to come are forgotten.
func (d *Disk) Restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.off {
		d.cut()
	}
	for _, f := range d.files {
		f.locks = locks{}
	}
	d.boot++
	d.off, d.kill, d.cutAt, d.faults = false, false, 0, nil
}

// Fail makes the n-th operation of a kind from now fail with an error of the system, such as EIO or ENOSPC; n starts
// at 1. A write or read that fails is half done. A sync that fails loses what it was to make certain.
func (d *Disk) Fail(kind Kind, n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, fault{kind, d.done[kind] + n, err})
}

// OnWrite has do called after each write that worked, with the file's name, by the goroutine that wrote; nil ends that.
func (d *Disk) OnWrite(do func(base string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written = do
}

// FailSync makes the n-th sync from now fail with an I/O error; n starts at 1.
func (d *Disk) FailSync(n int) { d.Fail(Sync, n, syscall.EIO) }

// Done counts the operations of a kind so far.
func (d *Disk) Done(kind Kind) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.done[kind]
}

// Trace is a digest of every operation so far that could change what is on the disk: kind, file, place and length, not
// the bytes. Two runs of equal traces did the same.
func (d *Disk) Trace() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.trace
}

// SetFile puts a file on the disk, durable, in the place of the one that there is.
func (d *Disk) SetFile(name string, content []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[name] = &file{base: filepath.Base(name), named: true, durable: bytes.Clone(content), now: bytes.Clone(content)}
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

// step counts an operation that could change the disk and says whether power or process went in the middle of it. Then
// it has happened already.
func (d *Disk) step(kind Kind, f *file, off, size int64) bool {
	d.ops++
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, d.trace, kind, f.base, off, size)
	d.trace = h.Sum64()
	if d.cutAt == 0 || d.ops < d.cutAt {
		return false
	}
	if d.kill {
		d.off = true
	} else {
		d.cut()
	}
	return true
}

// fails counts an operation and returns the error that it was told to fail with.
func (d *Disk) fails(kind Kind) error {
	d.done[kind]++
	for _, f := range d.faults {
		if f.kind == kind && f.n == d.done[kind] {
			return f.err
		}
	}
	return nil
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
		d.files[name] = &file{base: f.base, named: true, durable: image, now: append([]byte{}, image...)}
		d.used += int64(len(image))
	}
}

// String tells what the disk holds, for a failing test.
func (d *Disk) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := fmt.Sprintf("disk: boot %d, %d operations, %d syncs, off %t", d.boot, d.ops, d.done[Sync], d.off)
	for _, name := range sortedNames(d.files) {
		f := d.files[name]
		s += fmt.Sprintf("\n  %s: %d bytes, %d of them durable, %d unsynced operations", name, len(f.now), len(f.durable), len(f.pending))
	}
	return s
}
