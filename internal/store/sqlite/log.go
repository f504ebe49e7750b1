package sqlite

import "github.com/ncruces/go-sqlite3/vfs"

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
	return f.diskFile.Sync(flags)
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
