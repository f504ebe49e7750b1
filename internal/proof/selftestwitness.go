package proof

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The words between a machine under test and its witness are lines of JSON. The machine says Hello, then one Seen for
// every acknowledgement, then, if it ends in good order, a line with "end". The witness answers Hello and every group of
// lines with how many it has written down and synced. The same lines are the witness's log.

// Hello names a run. It is the first line of a witness's log.
type Hello struct {
	Witness int       `json:"waypostWitness"` // version of this format: 1
	Run     string    `json:"run"`
	Folder  string    `json:"folder"` // of the run, inside of the data folder
	Host    string    `json:"host"`
	Boot    string    `json:"boot"` // tells two starts of the machine apart; "" = its system does not tell
	Version string    `json:"version"`
	Disk    Volume    `json:"fileSystem"`
	Started time.Time `json:"started"`
}

// WitnessFormat is the present version of the log.
const WitnessFormat = 1

// SeenAck is one acknowledgement: the message's key and its body.
type SeenAck struct {
	Key  string `json:"k"`
	Body Sum    `json:"b"`
}

type witnessEnd struct {
	End string `json:"end"`
}

// How a run ended, as its witness saw it.
const (
	EndedWell  = "in good order"
	EndedAlive = "the connection was closed: the program ended, and its machine lived on"
	EndedTorn  = "the connection broke"
	EndedHere  = "the witness was stopped"
)

// endOf tells by the end of the connection how a run ended. The kernel of a living machine closes the connections of a
// program that ends, at once. A machine without power closes nothing: its silence ends when the witness loses patience, or
// when the machine is back and knows nothing of the connection. silent is for how long nothing had come.
func endOf(err error, silent time.Duration) string {
	if errors.Is(err, io.EOF) || silent < soonAfter {
		return EndedAlive
	}
	return EndedTorn
}

const (
	soonAfter       = 2 * time.Second // no machine is back sooner
	maxWitnessLine  = 8 << 10
	witnessGroup    = 4096             // lines that are synced together at most
	witnessPatience = 10 * time.Second // for an answer
)

type counted struct {
	Count int `json:"count"`
}

// Witness takes one run from a listener and writes its acknowledgements into a new file. A line counts when it is on
// this machine's disk, and is confirmed only then. It returns how many there are when the run, or the context, ends.
// Callers that are no machine under test are turned away, which refused hears of; tell hears of progress. Both are called
// from one goroutine.
func Witness(
	ctx context.Context, l net.Listener, path string, tell func(h Hello, count int), refused func(caller net.Addr, why error),
) (count int, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return 0, fmt.Errorf("%s exists: a log is never written over, name a new file", path)
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Sync(), f.Close(), syncFolder(filepath.Dir(path))) }()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer func() { _ = l.Close() }()
	w := witness{file: f, tell: tell}
	for w.hello.Run == "" {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err != nil {
			return 0, err
		}
		defer func() { _ = conn.Close() }()
		hangUp := context.AfterFunc(ctx, func() { _ = conn.Close() })
		defer hangUp()
		if err := w.meet(conn); err != nil {
			_ = conn.Close()
			refused(conn.RemoteAddr(), err)
		}
	}
	_ = l.Close() // one run, one log
	end, err := w.take()
	if ctx.Err() != nil {
		end, err = EndedHere, nil
	}
	if end != "" {
		line, _ := json.Marshal(witnessEnd{end}) // a plain string
		_, e := f.Write(append(line, '\n'))
		err = errors.Join(err, e)
	}
	return w.count, err
}

type witness struct {
	in    *bufio.Reader
	out   io.Writer
	file  *os.File
	tell  func(Hello, int)
	hello Hello
	count int
	group bytes.Buffer
}

const introduction = 5 * time.Second // time for it: others wait meanwhile

// meet hears who calls. Without an error it is a machine under test.
func (w *witness) meet(conn net.Conn) error {
	w.in, w.out = bufio.NewReaderSize(conn, 1<<20), conn
	_ = conn.SetReadDeadline(time.Now().Add(introduction))
	line, err := w.line()
	if err != nil {
		return fmt.Errorf("it did not introduce itself: %w", err)
	}
	var h Hello
	if err := json.Unmarshal(line, &h); err != nil || h.Witness != WitnessFormat || h.Run == "" {
		return errors.New("it is no machine under test of this version (`waypost selftest --witness`)")
	}
	w.hello = h
	w.group.Write(append(line, '\n'))
	return conn.SetReadDeadline(time.Time{})
}

// take writes down what comes until it ends, and says how it ended.
func (w *witness) take() (end string, err error) {
	if err := w.settle(); err != nil {
		return "", err
	}
	heard := time.Now()
	for inGroup := 0; ; {
		line, err := w.line()
		if err != nil {
			return endOf(err, time.Since(heard)), w.settle()
		}
		heard = time.Now()
		if bytes.HasPrefix(line, []byte(`{"end"`)) {
			return EndedWell, w.settle()
		}
		var a SeenAck
		if err := json.Unmarshal(line, &a); err != nil || a.Key == "" {
			return EndedAlive, errors.Join(fmt.Errorf("a line that is no acknowledgement came after %d", w.count), w.settle())
		}
		w.group.Write(append(line, '\n'))
		w.count++
		if inGroup++; w.in.Buffered() == 0 || inGroup == witnessGroup {
			inGroup = 0
			if err := w.settle(); err != nil {
				return "", err
			}
		}
	}
}

func (w *witness) line() ([]byte, error) {
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) > maxWitnessLine {
		return nil, errors.New("a line is too long")
	}
	return bytes.TrimSuffix(line, []byte("\n")), nil
}

// settle syncs the lines so far and confirms them.
func (w *witness) settle() error {
	if w.group.Len() == 0 {
		return nil
	}
	if _, err := w.file.Write(w.group.Bytes()); err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	if err := syncData(w.file); err != nil {
		return fmt.Errorf("sync the log: %w", err)
	}
	w.group.Reset()
	line, _ := json.Marshal(counted{w.count})
	_, _ = w.out.Write(append(line, '\n')) // who does not listen any more hears nothing
	w.tell(w.hello, w.count)
	return nil
}

// WitnessCall is the other end: it tells a witness of acknowledgements. It may be used by many goroutines.
type WitnessCall struct {
	conn net.Conn

	mu        sync.Mutex
	told      int
	confirmed int
	changed   chan struct{} // closed and replaced when confirmed or err changes
	err       error
}

// CallWitness connects to a witness and introduces a run.
func CallWitness(ctx context.Context, addr string, h Hello) (*WitnessCall, error) {
	h.Witness = WitnessFormat
	dialer := net.Dialer{Timeout: witnessPatience}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("call the witness: %w; on the other machine: waypost selftest witness --listen %s --log FILE", err, addr)
	}
	line, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	_ = conn.SetDeadline(time.Now().Add(witnessPatience))
	if _, err = conn.Write(append(line, '\n')); err == nil {
		_, err = in.ReadString('\n')
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("the witness at %s does not answer: %w", addr, err)
	}
	_ = conn.SetDeadline(time.Time{})
	c := &WitnessCall{conn: conn, changed: make(chan struct{})}
	go c.listen(in)
	return c, nil
}

func (c *WitnessCall) listen(in *bufio.Reader) {
	for {
		line, err := in.ReadBytes('\n')
		var n counted
		if err == nil {
			err = json.Unmarshal(line, &n)
		}
		c.mu.Lock()
		if err != nil {
			c.err = fmt.Errorf("the witness is gone: %w", err)
		} else {
			c.confirmed = n.Count
		}
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Tell returns when the acknowledgement is on the witness's disk.
func (c *WitnessCall) Tell(ctx context.Context, key string, body [32]byte) error {
	line, err := json.Marshal(SeenAck{key, body})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.told++
	mine := c.told
	_ = c.conn.SetWriteDeadline(time.Now().Add(witnessPatience))
	_, err = c.conn.Write(append(line, '\n'))
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("tell the witness: %w", err)
	}
	patience := time.NewTimer(witnessPatience)
	defer patience.Stop()
	for {
		c.mu.Lock()
		done, err, changed := c.confirmed >= mine, c.err, c.changed
		c.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			return fmt.Errorf("the witness has not answered for %s", witnessPatience)
		}
	}
}

// Close ends the run in good order: the witness notes that no plug was pulled.
func (c *WitnessCall) Close() error {
	line, _ := json.Marshal(witnessEnd{EndedWell})
	_ = c.conn.SetWriteDeadline(time.Now().Add(witnessPatience))
	_, err := c.conn.Write(append(line, '\n'))
	return errors.Join(err, c.conn.Close())
}

// Testimony is a witness's log.
type Testimony struct {
	Hello        Hello
	Acknowledged map[string][32]byte
	End          string // one of the Ended constants; "" when the witness was cut off too
}

// ReadTestimony reads a witness's log. A last line that was not finished is left out: it was never confirmed.
func ReadTestimony(path string) (Testimony, error) {
	t := Testimony{Acknowledged: map[string][32]byte{}}
	f, err := os.Open(path)
	if err != nil {
		return t, err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewReaderSize(f, maxWitnessLine)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return t, fmt.Errorf("%s, line %d: %w", path, n, err)
		}
		if err := t.read(n, line); err != nil {
			return t, fmt.Errorf("%s, line %d: %w", path, n, err)
		}
	}
	if t.Hello.Run == "" {
		return t, fmt.Errorf("%s is no log of a witness, or of one that nobody called", path)
	}
	return t, nil
}

func (t *Testimony) read(n int, line []byte) error {
	if n == 1 {
		if err := json.Unmarshal(line, &t.Hello); err != nil || t.Hello.Witness != WitnessFormat {
			return errors.New("this is no log of a witness of this version")
		}
		return nil
	}
	if t.End != "" {
		return errors.New("something follows the end")
	}
	var l struct {
		SeenAck
		witnessEnd
	}
	if err := json.Unmarshal(line, &l); err != nil || l.Key == "" && l.End == "" {
		return errors.New("this is no acknowledgement")
	}
	if l.Key == "" {
		t.End = l.End
		return nil
	}
	if before, twice := t.Acknowledged[l.Key]; twice && before != l.Body {
		return fmt.Errorf("%s was acknowledged with two bodies", l.Key)
	}
	t.Acknowledged[l.Key] = l.Body
	return nil
}

// Mark makes an empty file that is there from now on, whatever happens.
func Mark(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), syncFolder(filepath.Dir(path)))
}
