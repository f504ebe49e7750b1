package sqlite

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// logFile is the write-ahead log. SQLite writes a frame in two small pieces and every frame by itself; here what is
// written in a row is gathered and goes to the system in one call, at the latest when it is synced.
//
// That is safe because nobody looks at a frame before its commit, and with synchronous=FULL a commit is told to the
// other connections only after the sync. What this connection reads back itself is written first.
type logFile struct {
	diskFile
	gathered []byte
	off      int64 // where gathered begins
}

// maxGathered bounds what is held back, in bytes.
const maxGathered = 512 << 10

func (f *logFile) WriteAt(p []byte, off int64) (int, error) {
	if off != f.off+int64(len(f.gathered)) || len(f.gathered)+len(p) > maxGathered {
		if err := f.flush(); err != nil {
			return 0, err
		}
		f.off = off
	}
	f.gathered = append(f.gathered, p...)
	return len(p), nil
}

// flush writes what was gathered. What could not be written is dropped: SQLite hears of it and takes the commit back.
func (f *logFile) flush() error {
	if len(f.gathered) == 0 {
		return nil
	}
	_, err := f.diskFile.WriteAt(f.gathered, f.off)
	f.off += int64(len(f.gathered))
	f.gathered = f.gathered[:0]
	return err
}

func (f *logFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	return f.diskFile.ReadAt(p, off)
}

func (f *logFile) Sync(flags vfs.SyncFlag) error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.disk.syncLog(func() error { return f.diskFile.Sync(flags) })
}

func (f *logFile) Truncate(size int64) error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.diskFile.Truncate(size)
}

func (f *logFile) Size() (int64, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	return f.diskFile.Size()
}

func (f *logFile) Close() error {
	err := f.flush()
	if e := f.diskFile.Close(); err == nil {
		err = e
	}
	return err
}

// rewrite writes the first size bytes again as they are read, and syncs them.
func (f *logFile) rewrite(size int64) error {
	err := f.writeAgain(size)
	if err != nil && !isNoSpace(err) {
		return err
	}
	if e := f.diskFile.Sync(vfs.SYNC_FULL); e != nil {
		return e
	}
	return err
}

// writeAgain passes by the methods that speak to SQLite, so that the error is the system's own.
func (f *logFile) writeAgain(size int64) error {
	buf := make([]byte, min(size, 1<<20))
	for off := int64(0); off < size; off += int64(len(buf)) {
		part := buf[:min(int64(len(buf)), size-off)]
		if n, err := f.File.ReadAt(part, off); n < len(part) {
			return err
		}
		if _, err := f.File.WriteAt(part, off); err != nil {
			return err
		}
	}
	return nil
}

// The sizes in a log: its own header, and that of a frame, in bytes.
const (
	logHeader   = 32
	frameHeader = 24
)

// certifyLog makes durable what the log holds at the start. The process before may have been killed between a write and
// its sync, or may have ended because a sync failed: then the system shows what the disk may never have got, and to
// build on it (to answer a repeat of it, say) would promise what a power cut takes back. After a failed sync only
// writing again helps, because the system takes the pages for clean.
func (w *writer) certifyLog() error {
	if w.db.o.Faults.TrustLog {
		return nil
	}
	if _, err := w.one(`SELECT count(*) FROM sqlite_schema`); err != nil { // finds what the log holds
		return err
	}
	frames, _, err := w.WALCheckpoint("main", sqlite3.CHECKPOINT_NOOP)
	log := w.db.disk.log.Load()
	if err != nil || frames <= 0 || log == nil {
		return err
	}
	if err := w.Exec(`BEGIN IMMEDIATE`); err != nil { // nobody else writes to the log meanwhile
		return err
	}
	err = log.rewrite(logHeader + int64(frames)*(frameHeader+pageSize))
	switch {
	case isNoSpace(err): // a file system that writes elsewhere; all that was not lost by a failed sync is durable
		w.db.o.Log.Warn("the disk is full: the log was synced and not written again", "dir", w.db.o.Dir, "err", err)
		err = nil
	case err != nil:
		err = fmt.Errorf("make the log durable: %w", err)
	}
	return errors.Join(err, w.Exec(`ROLLBACK`))
}
