package ingest

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	firstBuffer = 16 << 10

	// What a body holds beyond its first buffer it has to earn: it must keep coming at bodyRate bytes a second, and however
	// much came at once, it may rest for no longer than bodyRest. Memory then costs a stalling client bandwidth. A small
	// body may take the whole read time: it holds little, and a lost packet can hold it up for seconds.
	bodyRate = 16 << 10
	bodyRest = 2 * time.Second
)

var (
	errTooLarge = errors.New("the body is over the limit")
	errBusy     = errors.New("too many bodies are in memory")
)

// body is a request's body, and how many bytes of the door's memory are held for it.
type body struct {
	bytes []byte
	held  int64
	who   holder
}

// readBody reads a whole body. The buffer grows with what has come and not with what was announced, so that a client
// who announces much and sends nothing holds little. What the body holds is given back when the visit ends.
func (v *visit) readBody(r io.Reader, announced int64) error {
	if announced > v.opt.MaxBody {
		return errTooLarge
	}
	b := &v.body
	b.who = holder{Network(v.client), v.entry.route.Source.ID}
	size := int64(firstBuffer)
	if announced >= 0 {
		size = min(size, max(announced, 1))
	}
	if !v.grow(size) {
		return errBusy
	}
	var due time.Time // of the next bytes, once the body is over its first buffer
	for {
		if b.held > firstBuffer {
			v.setDue(due)
		}
		n, err := r.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case int64(len(b.bytes)) > v.opt.MaxBody:
			return errTooLarge
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		now := time.Now()
		due = earned(due, now, n)
		if len(b.bytes) < cap(b.bytes) {
			continue
		}
		if b.held <= firstBuffer {
			due = now.Add(bodyRest)
		}
		size = 2 * int64(cap(b.bytes))
		if announced >= 0 {
			size = min(size, announced+1)
		}
		// One byte over the limit is enough to know that it is too large.
		if !v.grow(min(size, v.opt.MaxBody+1)) {
			return errBusy
		}
	}
}

// earned returns until when the next bytes may take, after n bytes came now.
func earned(due, now time.Time, n int) time.Time {
	due = due.Add(time.Duration(n) * time.Second / bodyRate)
	if latest := now.Add(bodyRest); due.After(latest) {
		return latest
	}
	return due
}

// setDue sets when reading ends: at a time, or earlier at the end of the read time. Not every ResponseWriter knows
// deadlines; a server's does.
func (v *visit) setDue(at time.Time) {
	if at.After(v.due) {
		at = v.due
	}
	_ = http.NewResponseController(v.w).SetReadDeadline(at)
}

// grow gives the body a buffer of the size, if the door's memory allows.
func (v *visit) grow(size int64) bool {
	b := &v.body
	if !v.memory.take(b.who, size-b.held) {
		return false
	}
	b.held = size
	b.bytes = append(make([]byte, 0, size), b.bytes...)
	return true
}

func (v *visit) release() {
	if v.body.held > 0 {
		v.memory.give(v.body.who, v.body.held)
	}
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
