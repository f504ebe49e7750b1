// Package sqlite owns the embedded store: one SQLite file in a folder, one goroutine that writes, and readers beside it.
//
// Everything that waits is written as one transaction, because a durable commit costs the same for one row as for
// hundreds; an answer leaves only when the log is synced. Times are kept to the millisecond in UTC, durations to the
// microsecond.
package sqlite

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// The names of the files in the folder.
const (
	fileName = "waypost.db"
	lockName = "lock"
)

// Options say how to open a store. Dir and Sealer are needed, the rest has defaults.
type Options struct {
	// Dir is the folder of the store; it is made when it is missing. One process has it at a time.
	Dir string
	// Sealer encrypts secrets. It must be of the store's main key, or of the one that it is rotated to.
	Sealer *store.Sealer
	// OldSealer is of the main key that a rotation to Sealer's began with, or shall begin with. nil = there is none. The
	// store opens with both and seals with Sealer; Reseal ends the rotation.
	OldSealer *store.Sealer
	// Changed is told of every commit by the goroutine that writes, in the order of the commits and before the calls that
	// made them return; that the store broke or takes nothing new, by whoever finds it. It must be quick, and must not call the
	// store. nil = nobody listens.
	Changed func(store.Change)
	// Log takes warnings. nil = none.
	Log *slog.Logger
	// LowWater is the free space in bytes below which Accept refuses, so that what is left serves to record outcomes.
	// 0 = DefaultLowWater.
	LowWater uint64
	// FreeSpace tells the free bytes of the disk. nil = ask the file system of Dir. It is asked at most every 100 ms.
	FreeSpace func() (uint64, error)
	// QueueBytes bounds the messages that wait to be written; beyond it Accept refuses. 0 = DefaultQueueBytes.
	QueueBytes int
	// Readers is the number of reading connections. 0 = DefaultReaders.
	Readers int
	// LogPages is how far the write-ahead log grows, in pages of 4 KiB, before it is copied to the file. The log as a whole
	// stays below eight times that, and twice as much while somebody reads for long. 0 = DefaultLogPages.
	LogPages int
	// Window is how long a commit that follows closely on another waits for more to be committed with it: a commit costs nearly the
	// same for one row as for thirty. The first after a pause does not wait. 0 = none does.
	Window time.Duration
	// JournalBytes is how far the journal grows before what it holds is committed; beside that a tenth of a second decides.
	// 0 = DefaultJournalBytes; less = there is none, and every group is committed by itself.
	JournalBytes int
	// Unwritten is how many messages may be durable in the journal alone before the oldest are written to the tables, between two
	// groups. All are written with the next commit in any case. 0 = DefaultUnwritten.
	Unwritten int
	// VFS names the driver's VFS beneath the store. "" = the operating system's; tests use package powercut's.
	VFS string
	// Faults are for tests of the tests; the program never sets them.
	Faults Faults
}

// The defaults of Options.
const (
	DefaultLowWater   = 256 << 20
	DefaultQueueBytes = 64 << 20
	DefaultReaders    = 4
	DefaultLogPages   = 4 << 10
	DefaultUnwritten  = 384 // a message of a busy store is delivered while some hundred others come
)

func (o Options) withDefaults() Options {
	if o.Changed == nil {
		o.Changed = func(store.Change) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.LowWater == 0 {
		o.LowWater = DefaultLowWater
	}
	if o.FreeSpace == nil {
		o.FreeSpace = func() (uint64, error) { return freeSpace(o.Dir) }
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = DefaultQueueBytes
	}
	if o.Readers <= 0 {
		o.Readers = DefaultReaders
	}
	if o.JournalBytes == 0 {
		o.JournalBytes = DefaultJournalBytes
	}
	if o.Unwritten <= 0 {
		o.Unwritten = DefaultUnwritten
	}
	if o.LogPages <= 0 {
		o.LogPages = DefaultLogPages
	}
	return o
}

// DB is an open store.
type DB struct {
	o    Options
	uri  string
	lock folderLock
	disk *disk
	room room

	writer  *writer
	queue   *queue
	written chan struct{} // closed when the writer has ended
	check   *checkpointer
	readers *readers
	packs   *packer

	keys      atomic.Pointer[sealers]
	seed      []byte // for outgoing messages; never changes
	resealing sync.Mutex

	broken    atomic.Pointer[error]
	dirty     atomic.Bool // something was answered that is in the journal and not committed
	receipts  sync.Map    // the keys of receipts that are not committed
	closing   sync.Once
	stopping  chan struct{} // closed when Close begins
	closed    chan struct{} // closed when it is done
	closeErr  error
	backing   sync.Mutex
	sweeping  sync.Mutex
	sweepFrom sweepFrom
}

var _ store.Store = (*DB)(nil)

// Open opens the store in a folder, or makes it. It fails when another process has the folder, when the main key is not the
// one that the store was made with, and when the store was written by a newer version.
func Open(ctx context.Context, o Options) (_ *DB, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.Sealer == nil {
		return nil, errors.New("open store: a sealer is needed")
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	db := &DB{o: o.withDefaults(), stopping: make(chan struct{}), closed: make(chan struct{})}
	db.room = room{lowWater: db.o.LowWater, free: db.o.FreeSpace, every: roomEvery}
	if db.o.Faults.InStep {
		db.room.every = 0
	}
	var undo []func()
	defer func() {
		if err != nil {
			for i := len(undo) - 1; i >= 0; i-- {
				undo[i]()
			}
			err = fmt.Errorf("open store in %s: %w", o.Dir, err)
		}
	}()

	if db.lock, err = lockFolder(o.Dir); err != nil {
		return nil, err
	}
	undo = append(undo, func() { _ = db.lock.Close() })
	if db.disk, err = mountDisk("waypost-"+crand.Text(), o.VFS); err != nil {
		return nil, err
	}
	undo = append(undo, db.disk.unmount)
	db.disk.noSync = db.o.Faults.NoSync
	if err := db.makeFiles(); err != nil {
		return nil, err
	}
	db.packs = newPacker(db.keepDictionary)
	if db.writer, err = db.newWriter(ctx); err != nil {
		return nil, err
	}
	undo = append(undo, func() { _ = db.writer.close() })
	if err := db.syncNames(); err != nil {
		return nil, err
	}
	if db.check, err = db.newCheckpointer(); err != nil {
		return nil, err
	}
	undo = append(undo, func() { _ = db.check.close() })
	if db.readers, err = newReaders(db.uri, db.o.Readers, db.packs); err != nil {
		return nil, err
	}
	db.queue = newQueue(db.o.QueueBytes, db.o.Window)
	db.written = make(chan struct{})
	go db.writeAll()
	go db.check.run()
	return db, nil
}

// makeFiles makes the files before SQLite does, so that only their owner may read them.
func (db *DB) makeFiles() error {
	path := filepath.Join(db.o.Dir, fileName)
	db.uri = dbURI(path, db.disk.name)
	if !db.disk.os {
		return nil
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := makePrivate(path + suffix); err != nil {
			return err
		}
	}
	return nil
}

// folderLock keeps every other process out of a folder as long as its files are open. The file in the folder does so
// everywhere. The folder itself does where it can be locked: somebody may take the file for one that was left behind.
type folderLock []*os.File

// Close lets others in. It unlocks first: a child that this process is about to start holds its files for a moment longer.
func (l folderLock) Close() error {
	var errs []error
	for _, f := range l {
		unlock(f)
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// lockFolder makes a folder and locks it.
func lockFolder(dir string) (folderLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	lock := folderLock{f}
	taken, err := tryLock(f)
	if d, e := os.Open(dir); err == nil && !taken && e == nil {
		lock = append(lock, d)
		taken, _ = tryLock(d) // an error means that it cannot be locked here
	}
	if taken {
		err = errors.New("another process uses this folder: stop it, or give this one a folder of its own")
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// syncNames makes the names of the store's files, and of its folder, certain.
func (db *DB) syncNames() error {
	if err := db.disk.syncDir(db.o.Dir); err != nil {
		return err
	}
	return db.disk.syncDir(filepath.Dir(db.o.Dir))
}

// Close writes what is waiting, moves the log into the file and closes. Calls that come later fail with
// KindUnavailable. It may be called twice; the second call waits for the first and returns the same.
func (db *DB) Close() error {
	db.closing.Do(func() {
		defer close(db.closed)
		close(db.stopping)
		db.packs.close()
		db.backing.Lock() // a backup ends early
		db.queue.close()
		db.backing.Unlock()
		<-db.written
		db.check.stop()
		err := errors.Join(db.readers.close(), db.check.close())
		if db.sound() == nil {
			if e := db.writer.commitOpen(); e != nil && !isFull(e) { // the journal keeps what the database cannot take
				err = errors.Join(err, e)
			}
			err = errors.Join(err, db.writer.settle())
		}
		db.closeErr = errors.Join(err, db.writer.close(), db.lock.Close())
		db.disk.unmount()
	})
	<-db.closed
	return db.closeErr
}

// failure turns an error of the driver into one of the store's, and breaks the store when it must not be used again.
func (db *DB) failure(err error) error {
	var he *hook.Error
	switch {
	case err == nil || errors.As(err, &he) || errors.Is(err, store.ErrBroken):
		return err
	case isFull(err):
		return &hook.Error{Kind: hook.KindUnavailable, Err: err,
			Text: "the disk is full: free some space in " + db.o.Dir + "; the store goes on by itself"}
	case errors.Is(err, sqlite3.CONSTRAINT_PRIMARYKEY) || errors.Is(err, sqlite3.CONSTRAINT_ROWID) || errors.Is(err, sqlite3.CONSTRAINT_UNIQUE):
		return &hook.Error{Kind: hook.KindConflict, Text: "there is a row with this id already", Err: err}
	case errors.Is(err, sqlite3.CONSTRAINT):
		return &hook.Error{Kind: hook.KindInvalid, Text: "the store's rules forbid this row", Err: err}
	case errors.Is(err, sqlite3.TOOBIG):
		return &hook.Error{Kind: hook.KindTooLarge, Text: "too large to be stored", Err: err}
	case errors.Is(err, sqlite3.BUSY):
		return &hook.Error{Kind: hook.KindUnavailable, Err: err,
			Text: "another program holds the database locked: close what has " + fileName + " open"}
	}
	return db.breakWith(err)
}

// breakWith makes every call from now on fail with ErrBroken, and tells the owner once.
func (db *DB) breakWith(err error) error {
	if first := db.disk.firstError(); first != nil {
		err = fmt.Errorf("%w (%w)", err, first)
	}
	err = fmt.Errorf("%w: %w", store.ErrBroken, err)
	if db.broken.CompareAndSwap(nil, &err) {
		db.o.Log.Error("the store is broken: stop, and start again to recover from what is on the disk", "err", err)
		db.o.Changed(store.Change{Broken: err})
	}
	return *db.broken.Load()
}

// sound returns the error that broke the store, if any.
func (db *DB) sound() error {
	if p := db.broken.Load(); p != nil {
		return *p
	}
	return nil
}

// isFull says whether the disk had no room: nothing was harmed, and it may have room later.
func isFull(err error) bool {
	return errors.Is(err, sqlite3.FULL) || errors.Is(err, sqlite3.IOERR_SHMSIZE)
}

func gaveUp(err error) error {
	return &hook.Error{Kind: hook.KindUnavailable, Text: "given up before it was done", Err: err}
}

func errClosed() error {
	return hook.Errorf(hook.KindUnavailable, "the store is closed")
}
