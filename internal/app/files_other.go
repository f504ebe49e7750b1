//go:build !unix

package app

import "math"

// openFiles is how many files, sockets among them, the process may have open at once: this system sets no limit.
func openFiles() int { return math.MaxInt32 }
