//go:build !linux

package proof

import (
	"errors"
	"os"
)

func volumeOf(string) (Volume, error) { return Volume{}, errors.ErrUnsupported }

func syncData(f *os.File) error { return f.Sync() }

func clockIsSet() (set, tells bool) { return false, false }

// BootID tells two starts of this machine apart; "" when the system does not tell.
func BootID() string { return "" }
