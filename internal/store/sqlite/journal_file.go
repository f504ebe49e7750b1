package sqlite

import (
	"os"

	"github.com/ncruces/go-sqlite3/vfs"
)

// journalFile opens a file of the disk for the journal.
func (d *disk) journalFile(path string) (journalFile, error) {
	if d.os {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		return &journalOnDisk{osJournal{f}, d}, nil
	}
	f, _, err := d.inner.Open(path, vfs.OPEN_READWRITE|vfs.OPEN_CREATE|vfs.OPEN_MAIN_JOURNAL)
	if err != nil {
		return nil, err
	}
	return &journalOnDisk{vfsJournal{f}, d}, nil
}

// journalOnDisk keeps what the system complains of, as diskFile does.
type journalOnDisk struct {
	journalFile
	disk *disk
}

func (f *journalOnDisk) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.journalFile.WriteAt(p, off)
	if err != nil && !isNoSpace(err) {
		f.disk.cause.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (f *journalOnDisk) Sync() error {
	if f.disk.noSync {
		return nil
	}
	err := f.journalFile.Sync()
	if err != nil {
		f.disk.cause.CompareAndSwap(nil, &err)
	}
	return err
}

// osJournal is a real file.
type osJournal struct{ *os.File }

func (f osJournal) Sync() error { return syncData(f.File) }

func (f osJournal) Size() (int64, error) {
	i, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return i.Size(), nil
}

// vfsJournal is a file of a disk that a test brings.
type vfsJournal struct{ vfs.File }

func (f vfsJournal) Sync() error { return f.File.Sync(vfs.SYNC_FULL) }
