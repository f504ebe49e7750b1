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

// exchange sends one request on a connection and reads the answer. It owns the connection: afterwards it is kept or
// closed. stale means that a kept connection turned out to be closed before the request was written whole and before
// anything of an answer came: the server cannot have acted on it.
func (c *Client) exchange(ctx context.Context, cn *conn, method string, head, body []byte) (resp Response, stale bool, err error) {
	deadline, _ := ctx.Deadline() // no deadline is the zero time, as it is for a connection
	_ = cn.raw.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = cn.raw.SetDeadline(past) })
	cn.in.left, cn.in.any = maxHead, false

	written := cn.send(head, body)
	resp, keep, where, err := c.receive(cn, method)
	// After a late stop the context's function may still set a deadline: nobody else may get this connection.
	keep = stop() && keep && written(err == nil)
	if keep {
		c.pool.put(cn, time.Now())
		return resp, false, nil
	}
	_ = cn.raw.Close()
	whole := written(false)
	switch {
	case err == nil:
		return resp, false, nil
	case cn.reused && !whole && !cn.in.any && isBroken(err) && ctx.Err() == nil:
		return Response{}, true, nil
	}
	return resp, false, exchangeError(ctx, err, where)
}

// lastWords is how long a complete answer waits for the end of the writing: a server that read the whole request has
// answered a moment before the writer here noticed that it is done.
const lastWords = 10 * time.Millisecond

// send writes a request. The function that it returns says whether all of it was written; asked with false, it waits
// for the end of the writing, which the caller has brought about by closing the connection.
//
// An error of the writing itself is not reported: what the server answered before it stopped reading is worth more, and
// where it answered nothing the reading fails too.
func (cn *conn) send(head, body []byte) func(soon bool) bool {
	if len(body) == 0 {
		_, err := cn.Write(head)
		return func(bool) bool { return err == nil }
	}
	done := make(chan struct{})
	ok := false
	go func() {
		defer close(done)
		bufs := net.Buffers{head, body}
		_, err := bufs.WriteTo(cn.Conn)
		ok = err == nil
	}()
	return func(soon bool) bool {
		if soon {
			select {
			case <-done:
				return ok
			case <-time.After(lastWords):
				return false
			}
		}
		<-done
		return ok
	}
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
	res, err := final(cn, method)
	if err != nil {
		return Response{}, false, whileHeaders, err
	}
	resp = Response{Status: res.StatusCode, Header: res.Header}
	cn.in.left = maxDrain + maxHead // chunks have headers of their own
	whole, err := c.readBody(res, &resp)
	keep = err == nil && whole && !res.Close && cn.br.Buffered() == 0 && res.StatusCode != http.StatusSwitchingProtocols
	return resp, keep, whileBody, err
}

// final reads status line and headers, past the interim answers. The meter counts all of them together.
func final(cn *conn, method string) (*http.Response, error) {
	var asked *http.Request // nil means GET: that a HEAD has no body is all that matters
	if method == http.MethodHead {
		asked = headRequest
	}
	for n := 0; ; n++ {
		res, err := http.ReadResponse(cn.br, asked)
		if err != nil {
			return nil, err
		}
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, nil
		}
		if n == maxInterim {
			return nil, &Error{Kind: KindProtocol, Text: "more than " + strconv.Itoa(maxInterim) + " interim answers (1xx) came before an answer"}
		}
	}
}

// readBody keeps the first part of a body and reads a further part only to see its end. whole says that the end came.
func (c *Client) readBody(res *http.Response, resp *Response) (whole bool, err error) {
	if res.ContentLength == 0 || res.Body == http.NoBody {
		return true, nil
	}
	limit := c.o.MaxResponse
	size := 512
	if n := res.ContentLength; n > 0 {
		size = int(min(n, int64(limit)))
	}
	kept := make([]byte, 0, size+1) // one more, so that a body of known length ends without growing
	for err == nil && len(kept) < limit {
		if len(kept) == cap(kept) {
			kept = append(kept, 0)[:len(kept)]
		}
		var n int
		n, err = res.Body.Read(kept[len(kept):min(cap(kept), limit)])
		kept = kept[:len(kept)+n]
	}
	resp.Body = kept
	if err == nil {
		var more int64
		more, err = io.CopyN(io.Discard, res.Body, int64(max(maxDrain-limit, 1)))
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
