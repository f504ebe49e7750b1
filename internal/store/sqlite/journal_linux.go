package sqlite

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes what was written certain, and the length when it grew. The time of the last change may be lost, which
// spares the file system's own journal.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}
