//go:build linux || darwin || freebsd

package sqlite

import "golang.org/x/sys/unix"

// freeSpace returns the bytes that this process may still write in the file system of a folder.
func freeSpace(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(max(0, int64(s.Bavail))) * uint64(s.Bsize), nil // negative when only root has room
}
