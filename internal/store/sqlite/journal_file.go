package sqlite

import "github.com/ncruces/go-sqlite3/vfs"

// journalFile opens a file of the disk for the journal.
func (d *disk) journalFile(path string) (*journalFile, error) {
	open := OpenPlain
	if !d.os {
		open = func(path string) (f vfs.File, err error) {
			f, _, err = d.inner.Open(path, vfs.OPEN_READWRITE|vfs.OPEN_CREATE|vfs.OPEN_MAIN_JOURNAL)
			return f, err
		}
	}
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	return &journalFile{f, d}, nil
}

// journalFile keeps what the system complains of, as diskFile does.
type journalFile struct {
	vfs.File
	disk *disk
}

func (f *journalFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	if err != nil && !isNoSpace(err) {
		f.disk.cause.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (f *journalFile) Sync() error {
	if f.disk.noSync {
		return nil
	}
	err := f.File.Sync(vfs.SYNC_FULL)
	if err != nil {
		f.disk.cause.CompareAndSwap(nil, &err)
	}
	return err
}
