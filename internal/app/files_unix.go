//go:build unix

package app

import (
	"math"
	"syscall"
)

// openFiles is how many files, sockets among them, the process may have open at once.
func openFiles() int {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil || uint64(r.Cur) > math.MaxInt32 { //nolint:unconvert // signed on some systems
		return math.MaxInt32
	}
	return int(r.Cur)
}
