//go:build !linux

package sqlite

import "os"

// syncData makes what was written certain.
func syncData(f *os.File) error { return f.Sync() }
