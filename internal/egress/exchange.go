package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

var errOverLimit = errors.New("egress: the answer is over its limit")

// meter hands out at most left bytes of a connection, so that no answer is read further than its limit.
type meter struct {
	r    io.Reader
	left int
	any  bool // a byte came
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errOverLimit
	}
	n, err := m.r.Read(p[:min(len(p), m.left)])
	m.left -= n
	m.any = m.any || n > 0
	return n, err
}

// inlineBody is up to which size a body is written before the answer is read. A larger one is written beside the
// reading, because a server may answer (413) and stop reading.
const inlineBody = 32 << 10

// exchange is one request and its answer.
type exchange struct {
	ctx        context.Context
	end        time.Time // when it must be over; zero = never
	shared     bool      // further requests come under the same context
	method     string
	head, body []byte
}

// begin makes a connection end what it does when the exchange must be over. false means that the connection is of no use.
func (x *exchange) begin(cn *conn) bool {
	if !cn.watch.start(x.ctx, cn.raw) {
		return false
	}
	_ = cn.raw.SetDeadline(x.end)
	if x.ctx.Err() != nil {
		_ = cn.raw.SetDeadline(past) // what the context set may have been overwritten just now
	}
	return true
}

// release gives up the hold of the exchange's context on a connection, unless the next request is to come under it too: if it does
// not, or the context is over by then, begin finds out. false means that the context is over: it may still set a deadline, so
// nobody else may get this connection.
func (x *exchange) release(cn *conn) bool { return x.shared || cn.watch.stop() }

// exchange sends one request on a connection that was begun and reads the answer. It owns the connection: afterwards it is
// kept or closed. stale means that a kept connection turned out to be closed before the request was written whole and before
// anything of an answer came: the server cannot have acted on it.
func (c *Client) exchange(x *exchange, cn *conn) (resp Response, stale bool, err error) {
	cn.in.left, cn.in.any = maxHead, false
	w := cn.send(x.head, x.body)
	resp, keep, where, err := c.receive(cn, x.method)
	keep = x.release(cn) && keep && w.ended(err == nil)
	if keep {
		c.pool.put(cn, time.Now())
		return resp, false, nil
	}
	cn.close()
	whole := w.ended(false)
	switch {
	case err == nil:
		return resp, false, nil
	case cn.reused && !whole && !cn.in.any && isBroken(err) && x.ctx.Err() == nil:
		return Response{}, true, nil
	}
	return resp, false, exchangeError(x.ctx, x.end, err, where)
}

// lastWords is how long a complete answer waits for the end of the writing: a server that read the whole request has
// answered a moment before the writer here noticed that it is done.
const lastWords = 10 * time.Millisecond

// writing is a request on its way onto a connection.
type writing struct {
	whole bool      // all of it was written
	done  chan bool // gets whole when it has ended; nil = it has
}

// send writes a request.
//
// An error of the writing itself is not reported: what the server answered before it stopped reading is worth more, and
// where it answered nothing the reading fails too.
func (cn *conn) send(head, body []byte) writing {
	if len(body) == 0 {
		_, err := cn.Write(head)
		return writing{whole: err == nil}
	}
	done := make(chan bool, 1)
	go func() {
		bufs := net.Buffers{head, body}
		_, err := bufs.WriteTo(cn.Conn)
		done <- err == nil
	}()
	return writing{done: done}
}

// ended says whether all of the request was written. Asked with false, it waits for the end of the writing, which the caller has
// brought about by closing the connection.
func (w *writing) ended(soon bool) bool {
	switch {
	case w.done == nil:
		return w.whole
	case soon:
		select {
		case w.whole = <-w.done:
		case <-time.After(lastWords):
			return false
		}
	default:
		w.whole = <-w.done
	}
	w.done = nil
	return w.whole
}

// What an exchange was waiting for when it failed.
const (
	whileWaiting = "while waiting for the answer"
	whileHeaders = "in the middle of the answer's headers"
	whileBody    = "in the middle of the answer's body"
)

var headRequest = &http.Request{Method: http.MethodHead}

// receive reads the final answer. keep says that the connection may serve another request.
func (c *Client) receive(cn *conn, method string) (resp Response, keep bool, where string, err error) {
	if _, err := cn.br.Peek(1); err != nil {
		return Response{}, false, whileWaiting, err
	}
	a, ok := commonAnswer(cn.br, method)
	if cn.body.left = a.length; ok {
		a.body = &cn.body
	} else if a, err = final(cn, method); err != nil {
		return Response{}, false, whileHeaders, err
	}
	resp = Response{Status: a.status, Header: a.header}
	cn.in.left = maxDrain + maxHead // chunks have headers of their own
	whole, err := c.readBody(&a, &resp)
	keep = err == nil && whole && !a.close && cn.br.Buffered() == 0 && a.status != http.StatusSwitchingProtocols
	return resp, keep, whileBody, err
}

// final reads status line and headers, past the interim answers. The meter counts all of them together.
func final(cn *conn, method string) (answerHead, error) {
	var asked *http.Request // nil means GET: that a HEAD has no body is all that matters
	if method == http.MethodHead {
		asked = headRequest
	}
	for n := 0; ; n++ {
		res, err := http.ReadResponse(cn.br, asked)
		if err != nil {
			return answerHead{}, err
		}
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			a := answerHead{res.StatusCode, res.Header, res.ContentLength, res.Body, res.Close}
			if res.Body == http.NoBody {
				a.length = 0
			}
			return a, nil
		}
		if n == maxInterim {
			return answerHead{}, &Error{Kind: KindProtocol, Text: "more than " + strconv.Itoa(maxInterim) + " interim answers (1xx) came before an answer"}
		}
	}
}

// readBody keeps the first part of a body and reads a further part only to see its end. whole says that the end came.
func (c *Client) readBody(a *answerHead, resp *Response) (whole bool, err error) {
	if a.length == 0 {
		return true, nil
	}
	limit := c.o.MaxResponse
	size := 512
	if a.length > 0 {
		size = int(min(a.length, int64(limit)))
	}
	kept := make([]byte, 0, size+1) // one more, so that a body of known length ends without growing
	for err == nil && len(kept) < limit {
		if len(kept) == cap(kept) {
			kept = append(kept, 0)[:len(kept)]
		}
		var n int
		n, err = a.body.Read(kept[len(kept):min(cap(kept), limit)])
		kept = kept[:len(kept)+n]
	}
	resp.Body = kept
	if err == nil {
		var more int64
		more, err = io.CopyN(io.Discard, a.body, int64(max(maxDrain-limit, 1)))
		resp.Truncated = more > 0
	}
	switch {
	case err == io.EOF:
		return true, nil
	case errors.Is(err, errOverLimit):
		resp.Truncated = true
		return false, nil
	}
	return false, err
}
