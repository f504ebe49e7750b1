//go:build !linux

package proof

import (
	"context"
	"fmt"
	"runtime"
)

func noCut() error {
	return fmt.Errorf("%w: a simulated power cut needs Linux (a loop device and the shutdown call of its file systems), not %s", ErrNotHere, runtime.GOOS)
}

// CanCut says whether NewImage can work here; else the error tells what is missing.
func CanCut() error { return noCut() }

// NewImage makes an image in a folder and mounts it there.
func NewImage(context.Context, string, int64) (*Image, error) { return nil, noCut() }

// Write writes the control files, one of which is synced.
func (i *Image) Write() (Control, error) { return Control{}, noCut() }

// Cut cuts the power.
func (i *Image) Cut() error { return noCut() }

// Remount takes the file system away and mounts it again, as a restart does.
func (i *Image) Remount(context.Context) error { return noCut() }

// Read counts what is left of the control files.
func (i *Image) Read(c Control) (Control, error) { return c, noCut() }

// Close takes the file system away and removes the image.
func (i *Image) Close() error { return noCut() }

func closeLeft(string) error { return nil }
