//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly || illumos)

package proof

import "errors"

func openFileLimit() (uint64, error) { return 0, errors.ErrUnsupported }

func holdScratch(string) (release func() error, err error) { return func() error { return nil }, nil }

func sweepScratch(string) {}
