package sqlite

import (
	"io"
	"os"

	"github.com/ncruces/go-sqlite3/vfs"
)

// OpenPlain opens a real file, or makes it, that only this process writes to: what a VFS over the operating system's returns from
// Open, which is asked for the journal. SQLite itself calls OpenFilename.
func OpenPlain(path string) (vfs.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return plainFile{f}, nil
}

type plainFile struct{ *os.File }

func (f plainFile) Sync(vfs.SyncFlag) error                       { return syncData(f.File) }
func (f plainFile) Size() (int64, error)                          { return f.Seek(0, io.SeekEnd) }
func (plainFile) Lock(vfs.LockLevel) error                        { return nil }
func (plainFile) Unlock(vfs.LockLevel) error                      { return nil }
func (plainFile) CheckReservedLock() (bool, error)                { return false, nil }
func (plainFile) SectorSize() int                                 { return 0 }
func (plainFile) DeviceCharacteristics() vfs.DeviceCharacteristic { return 0 }
