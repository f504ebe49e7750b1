package lean

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxHeld is how much of an answer is held back at most until it is known to be whole. More goes out in chunks, unless the
// handler told the length.
const maxHeld = 32 << 10

// work is what the answering of a request needs and leaves behind for the next, of whichever connection.
type work struct {
	head head
	out  output // the answer's head
	held output // what the handler wrote and was not sent
}

var works = sync.Pool{New: func() any { return new(work) }}

func (w *work) release() {
	if cap(w.out) > maxHeld || cap(w.held) > 2*maxHeld {
		return
	}
	w.out, w.held = w.out[:0], w.held[:0]
	works.Put(w)
}

// output collects bytes.
type output []byte

// Write is part of io.Writer.
func (o *output) Write(p []byte) (int, error) { *o = append(*o, p...); return len(p), nil }

// WriteString is part of io.StringWriter.
func (o *output) WriteString(s string) (int, error) { *o = append(*o, s...); return len(s), nil }

func (o *output) add(texts ...string) {
	for _, s := range texts {
		*o = append(*o, s...)
	}
}

var errOver = errors.New("the request has been answered")

// response is the http.ResponseWriter of a plain request.
type response struct {
	conn   *conn
	work   *work
	header http.Header
	body   body    // the request's
	url    url.URL // the request's

	status   int    // 0 = WriteHeader was not called
	length   int64  // the Content-Length that the handler told, or that was found; -1 = none
	written  int64  // by the handler
	options  string // the handler's Connection header
	typed    bool   // the body's type is not to be guessed
	dated    bool   // the handler told the date, or wants none
	sent     bool   // the head is out
	chunked  bool
	duplex   bool // what the handler left of the body is not read before the answer is sent
	last     bool // no other request is served on the connection
	deadline bool // there is one for writing
	failed   error
}

// Header is part of http.ResponseWriter.
func (a *response) Header() http.Header { return a.header }

// notOurs are headers that are written by other rules than the rest.
var (
	notOurs     = map[string]bool{"Connection": true, "Transfer-Encoding": true}
	notOfNone   = map[string]bool{"Connection": true, "Transfer-Encoding": true, "Content-Length": true}
	notModified = map[string]bool{"Connection": true, "Transfer-Encoding": true, "Content-Length": true, "Content-Type": true}
)

// WriteHeader is part of http.ResponseWriter. The headers are written as they are now.
func (a *response) WriteHeader(status int) {
	if a.status != 0 || a.work == nil {
		a.conn.server.logf("http: superfluous response.WriteHeader call, with status %d", status)
		return
	}
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	out := &a.work.out
	a.statusLine(status)
	if status < 200 && status != http.StatusSwitchingProtocols {
		_ = a.header.WriteSubset(out, notOfNone)
		out.add("\r\n")
		a.send(*out)
		*out = (*out)[:0]
		return
	}
	a.status = status
	if told := a.header.Get("Content-Length"); told != "" {
		n, err := strconv.ParseInt(told, 10, 64)
		if err == nil && n >= 0 {
			a.length = n
		} else {
			a.conn.server.logf("http: invalid Content-Length of %q", told)
			a.header.Del("Content-Length")
		}
	}
	except := notOurs
	switch {
	case status == http.StatusNotModified:
		except = notModified
	case !a.hasBody():
		except = notOfNone
	}
	_ = a.header.WriteSubset(out, except)
	a.options = oneLine(a.header.Get("Connection"))
	a.last = a.options == "close"
	_, a.typed = a.header["Content-Type"]
	a.typed = a.typed || a.header.Get("Content-Encoding") != "" || a.header.Get("Transfer-Encoding") != ""
	_, a.dated = a.header["Date"]
}

// oneLine takes the ends of lines from a header's value.
func oneLine(value string) string {
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if c == '\r' || c == '\n' {
			return ' '
		}
		return c
	}, value))
}

// separates says whether a character stands between the options of a Connection header.
func separates(c rune) bool { return c == ',' || c == ' ' || c == '\t' }

// hasBody says whether an answer of this status has a body.
func (a *response) hasBody() bool {
	return a.status >= 200 && a.status != http.StatusNoContent && a.status != http.StatusNotModified
}

func (a *response) statusLine(status int) {
	out := &a.work.out
	if text := http.StatusText(status); text != "" {
		out.add("HTTP/1.1 ", strconv.Itoa(status), " ", text, "\r\n")
		return
	}
	fmt.Fprintf(out, "HTTP/1.1 %03d status code %d\r\n", status, status)
}

// Write is part of http.ResponseWriter.
func (a *response) Write(p []byte) (int, error) {
	if err := a.room(len(p)); err != nil || len(p) == 0 {
		return 0, err
	}
	a.work.held = append(a.work.held, p...)
	return len(p), a.relieve()
}

// WriteString is part of io.StringWriter.
func (a *response) WriteString(s string) (int, error) {
	if err := a.room(len(s)); err != nil || len(s) == 0 {
		return 0, err
	}
	a.work.held = append(a.work.held, s...)
	return len(s), a.relieve()
}

// room says whether n bytes more may be written.
func (a *response) room(n int) error {
	if a.work == nil {
		return errOver
	}
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if n == 0 {
		return nil
	}
	if !a.hasBody() {
		return http.ErrBodyNotAllowed
	}
	a.written += int64(n)
	if a.length != -1 && a.written > a.length {
		return http.ErrContentLength
	}
	return a.failed
}

// relieve sends what is held when it has become much.
func (a *response) relieve() error {
	if len(a.work.held) <= maxHeld {
		return nil
	}
	return a.FlushError()
}

// Flush is part of http.Flusher.
func (a *response) Flush() { _ = a.FlushError() }

// FlushError is Flush for http.ResponseController.
func (a *response) FlushError() error {
	if a.work == nil {
		return errOver
	}
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	a.push(false)
	return a.failed
}

// push sends what there is: the head, once, and what is held. Whole says that no more comes.
func (a *response) push(whole bool) {
	out, held := &a.work.out, a.work.held
	if !a.sent {
		a.sent = true
		a.finishHead(whole)
	}
	switch {
	case a.chunked && len(held) > 0:
		*out = strconv.AppendInt(*out, int64(len(held)), 16)
		out.add("\r\n")
		*out = append(*out, held...)
		out.add("\r\n")
	case len(held) > 0:
		*out = append(*out, held...)
	}
	if a.chunked && whole {
		out.add("0\r\n\r\n")
	}
	a.work.held = held[:0]
	if len(*out) > 0 {
		a.send(*out)
	}
	*out = (*out)[:0]
}

// finishHead adds to the handler's headers what the server says.
func (a *response) finishHead(whole bool) {
	out, held := &a.work.out, a.work.held
	lengthFound := whole && a.length == -1 && a.hasBody()
	if lengthFound {
		a.length = int64(len(held))
	}
	a.last = a.last || a.conn.server.stopping.Load()
	if !a.last && !a.duplex && !a.body.rest() {
		a.last = true // what is left of the request must not be taken for another
	}
	if !a.dated {
		out.add("Date: ")
		*out = append(*out, a.conn.server.date.at(time.Now()).text[:]...)
		out.add("\r\n")
	}
	if lengthFound {
		out.add("Content-Length: ")
		*out = strconv.AppendInt(*out, a.length, 10)
		out.add("\r\n")
	}
	if a.hasBody() && !a.typed && len(held) > 0 {
		out.add("Content-Type: ", http.DetectContentType(held), "\r\n")
	}
	if a.last && !slices.Contains(strings.FieldsFunc(a.options, separates), "close") {
		a.options = "close"
	}
	if a.options != "" {
		out.add("Connection: ", a.options, "\r\n")
	}
	if a.chunked = a.length == -1 && a.hasBody(); a.chunked {
		out.add("Transfer-Encoding: chunked\r\n")
	}
	out.add("\r\n")
}

func (a *response) send(p []byte) {
	if a.failed == nil {
		_, a.failed = a.conn.net.Write(p)
	}
}

// finish sends what is left when the handler has returned, and says whether another request may follow.
func (a *response) finish() bool {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	a.push(true)
	drained := a.body.Close() == nil && a.body.left == 0
	if a.deadline {
		_ = a.conn.net.SetWriteDeadline(time.Time{})
	}
	a.work = nil // it is the next request's: who writes now is told that it is over
	short := a.hasBody() && a.length != -1 && a.written != a.length
	return !a.last && !short && a.failed == nil && drained
}

// SetReadDeadline is for http.ResponseController. It holds until the request is answered.
func (a *response) SetReadDeadline(t time.Time) error {
	if a.work == nil {
		return errOver
	}
	a.conn.in.until(t)
	return nil
}

// SetWriteDeadline is for http.ResponseController. It holds until the request is answered.
func (a *response) SetWriteDeadline(t time.Time) error {
	if a.work == nil {
		return errOver
	}
	a.deadline = true
	return a.conn.net.SetWriteDeadline(t)
}

// EnableFullDuplex is for http.ResponseController: the handler may read on when it has begun to answer.
func (a *response) EnableFullDuplex() error {
	a.duplex = true
	return nil
}
