package ingest

import (
	"errors"
	"io"
	"os"
)

const firstBuffer = 16 << 10

var (
	errTooLarge = errors.New("the body is over the limit")
	errBusy     = errors.New("too many bodies are in memory")
)

// body is a request's body, and how many bytes of the door's memory are held for it.
type body struct {
	bytes []byte
	held  int64
}

// readBody reads a whole body. The buffer grows with what has come and not with what was announced, so that a client
// who announces much and sends nothing holds little. Call release on the body in any case.
func (d *Door) readBody(r io.Reader, announced int64) (b body, err error) {
	if announced > d.opt.MaxBody {
		return b, errTooLarge
	}
	size := int64(firstBuffer)
	if announced >= 0 {
		size = min(size, max(announced, 1))
	}
	if !d.grow(&b, size) {
		return b, errBusy
	}
	for {
		n, err := r.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case int64(len(b.bytes)) > d.opt.MaxBody:
			return b, errTooLarge
		case err == io.EOF:
			return b, nil
		case err != nil:
			return b, err
		}
		if len(b.bytes) < cap(b.bytes) {
			continue
		}
		size = 2 * int64(cap(b.bytes))
		if announced >= 0 {
			size = min(size, announced+1)
		}
		// One byte over the limit is enough to know that it is too large.
		if !d.grow(&b, min(size, d.opt.MaxBody+1)) {
			return b, errBusy
		}
	}
}

// grow gives the body a buffer of the size, if the door's memory allows.
func (d *Door) grow(b *body, size int64) bool {
	more := size - b.held
	if d.held.Add(more) > d.opt.MaxHeld {
		d.held.Add(-more)
		return false
	}
	b.held = size
	b.bytes = append(make([]byte, 0, size), b.bytes...)
	return true
}

func (d *Door) release(b body) { d.held.Add(-b.held) }

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
