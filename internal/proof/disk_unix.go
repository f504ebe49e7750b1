//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly || illumos

package proof

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

func openFileLimit() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, err
	}
	return uint64(r.Cur), nil
}

// holdScratch marks a scratch folder as used for as long as this process lives, however it ends.
func holdScratch(dir string) (release func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, scratchLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

const newScratch = time.Minute // it may not be marked yet

// sweepScratch removes the folders of runs that were killed, with what is mounted there. What cannot be removed stays:
// it does no harm but for its size.
func sweepScratch(data string) {
	left, err := filepath.Glob(filepath.Join(data, scratchPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < newScratch && !exists(filepath.Join(dir, scratchLock)) {
			continue
		}
		release, err := holdScratch(dir)
		if err != nil {
			continue // somebody is at work there
		}
		if closeLeft(dir) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = release()
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
