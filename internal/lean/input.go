package lean

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// smallBuffer is what an idle connection holds. A longer head has a buffer of maxHead bytes until it is answered.
const smallBuffer = 4 << 10

var smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}

// input is the reading side of a connection: what was read ahead, and a deadline.
//
// Deadlines are wished for several times in a request, and nearly always everything has come long before. So the socket is
// told only when somebody waits, and then only of a deadline that is earlier than the one it knows: when that one comes
// too early, it is set again and reading goes on.
type input struct {
	conn     net.Conn
	buf      []byte
	from, to int // buf[from:to] was read and not used yet

	mu      sync.Mutex
	wish    time.Time // when reading is to end; zero = never
	set     time.Time // what the socket knows
	waiting bool      // somebody reads from the socket
}

func (in *input) open(c net.Conn) {
	in.conn, in.buf = c, smallBuffers.Get().(*[smallBuffer]byte)[:]
}

// close gives the buffer back; nobody reads any more.
func (in *input) close() {
	if len(in.buf) == smallBuffer {
		smallBuffers.Put((*[smallBuffer]byte)(in.buf))
	}
	in.buf, in.from, in.to = nil, 0, 0
}

// until sets when reading ends, also one that is under way.
func (in *input) until(t time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.wish = t
	if in.waiting {
		in.arm()
	}
}

// arm tells the socket of an earlier deadline than it knows.
func (in *input) arm() {
	if !in.wish.IsZero() && (in.set.IsZero() || in.wish.Before(in.set)) {
		in.tell()
	}
}

func (in *input) tell() {
	in.set = in.wish
	_ = in.conn.SetReadDeadline(in.wish) // fails when the connection is closed, which reading tells, too
}

// read reads from the socket.
func (in *input) read(p []byte) (int, error) {
	in.mu.Lock()
	in.arm()
	in.waiting = true
	in.mu.Unlock()
	for {
		n, err := in.conn.Read(p)
		if n == 0 && err != nil && errors.Is(err, os.ErrDeadlineExceeded) && in.tooEarly() {
			continue
		}
		in.mu.Lock()
		in.waiting = false
		in.mu.Unlock()
		return n, err
	}
}

// tooEarly sets the right deadline when another one has passed.
func (in *input) tooEarly() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.wish.IsZero() && !time.Now().Before(in.wish) {
		return false
	}
	in.tell()
	return true
}

// ahead is what was read and not used yet.
func (in *input) ahead() []byte { return in.buf[in.from:in.to] }

// skip uses up n bytes of what was read ahead.
func (in *input) skip(n int) {
	if in.from += n; in.from == in.to {
		in.from, in.to = 0, 0
	}
}

// fill reads more ahead, and makes room for that: up to maxHead bytes. It must not be called when so many are there.
func (in *input) fill() error {
	if in.to == len(in.buf) {
		into := in.buf
		if in.from == 0 {
			into = make([]byte, maxHead)
		}
		in.move(into)
	}
	n, err := in.read(in.buf[in.to:])
	in.to += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// move puts what was read ahead at the beginning of a buffer.
func (in *input) move(into []byte) {
	old := in.buf
	in.to = copy(into, in.ahead())
	in.buf, in.from = into, 0
	if len(old) == smallBuffer && len(into) != smallBuffer {
		smallBuffers.Put((*[smallBuffer]byte)(old))
	}
}

// shrink exchanges a large buffer for a small one when what is in it fits.
func (in *input) shrink() {
	if len(in.buf) > smallBuffer && in.to-in.from < smallBuffer {
		in.move(smallBuffers.Get().(*[smallBuffer]byte)[:])
	}
}

// take reads some bytes, those that were read ahead first. It reads ahead itself when few are asked for.
func (in *input) take(p []byte) (int, error) {
	if in.from == in.to {
		if len(p) >= smallBuffer/2 {
			return in.read(p)
		}
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.ahead())
	in.skip(n)
	return n, nil
}
