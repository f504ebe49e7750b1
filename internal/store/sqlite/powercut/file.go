package powercut

import (
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
)

// A file is its present content, what of it is certain, and what lies between.
type file struct {
	base    string // its name without the folder, for the trace
	named   bool   // its name survives a cut
	now     []byte
	durable []byte
	pending []change // unsynced, oldest first
	locks   locks
}

// A change is a write of data at off, or with no data a truncation to off.
type change struct {
	off  int64
	data []byte
}

func (c change) apply(image []byte) []byte {
	if c.data == nil {
		return resize(image, c.off)
	}
	if end := c.off + int64(len(c.data)); end > int64(len(image)) {
		image = resize(image, end)
	}
	copy(image[c.off:], c.data)
	return image
}

func resize(b []byte, n int64) []byte {
	if n <= int64(len(b)) {
		return b[:n]
	}
	return append(b, make([]byte, n-int64(len(b)))...)
}

func (f *file) do(c change) {
	f.now = c.apply(f.now)
	f.pending = append(f.pending, c)
}

func (f *file) sync() {
	for _, c := range f.pending {
		f.durable = c.apply(f.durable)
	}
	f.pending = nil
	f.named = true
}

// survivors returns the content after a cut: what is certain, and of the rest what chance leaves of it.
func (f *file) survivors(rng *rand.Rand) []byte {
	image := f.durable
	switch n := len(f.pending); rng.IntN(4) {
	case 0: // nothing of it
	case 1: // all of it
		for _, c := range f.pending {
			image = c.apply(image)
		}
	case 2: // the first ones, and a part of the next
		if n == 0 {
			break
		}
		whole := rng.IntN(n)
		for _, c := range f.pending[:whole] {
			image = c.apply(image)
		}
		c := f.pending[whole]
		if keep := rng.IntN(len(c.data)/sector + 1); keep > 0 {
			image = change{c.off, c.data[:keep*sector]}.apply(image)
		}
	case 3: // any sectors, in no order
		for _, c := range f.pending {
			image = scatter(c, image, rng)
		}
	}
	return image
}

// scatter applies each sector of a change or not.
func scatter(c change, image []byte, rng *rand.Rand) []byte {
	if c.data == nil {
		if rng.IntN(2) == 0 {
			image = c.apply(image)
		}
		return image
	}
	for at := 0; at < len(c.data); {
		end := min(len(c.data), at+sector-int((c.off+int64(at))%sector))
		if rng.IntN(2) == 0 {
			image = change{c.off + int64(at), c.data[at:end]}.apply(image)
		}
		at = end
	}
	return image
}

func (f *file) readAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.now)) {
		return 0, io.EOF
	}
	n := copy(p, f.now[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// failed is an error of the system, wrapped as the os package wraps them.
func failed(op string, err error) error { return &fs.PathError{Op: op, Path: "powercut", Err: err} }

func errIO(op string) error   { return failed(op, syscall.EIO) }
func errFull(op string) error { return failed(op, syscall.ENOSPC) }

func sortedNames(m map[string]*file) []string { return slices.Sorted(maps.Keys(m)) }
