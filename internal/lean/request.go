package lean

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"
)

// request makes the http.Request of a plain head, with its URL where there is room for one. All its texts but the target are
// pieces of one: those who keep a header keep them all.
func (h *head) request(data []byte, ctx context.Context, u *url.URL) *http.Request {
	text := string(data[:h.next])
	target := string(h.target.of(data)) // apart: who keeps a path keeps no headers
	u.Path = target
	if h.query > 0 {
		at := h.query - h.target.from
		u.Path, u.RawQuery = target[:at-1], target[at:]
	}
	header := make(http.Header, h.count)
	values := make([]string, h.count)
	for i, f := range h.fields[:h.count] {
		values[i] = text[f.value.from:f.value.to]
		name := http.CanonicalHeaderKey(text[f.name.from:f.name.to])
		if before, again := header[name]; again {
			header[name] = append(before, values[i])
		} else {
			header[name] = values[i : i+1 : i+1]
		}
	}
	r := noRequest.WithContext(ctx)
	r.Method, r.URL, r.RequestURI = http.MethodPost, u, target
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	r.Header, r.Host = header, text[h.host.from:h.host.to]
	r.ContentLength, r.Body = h.length, http.NoBody
	return r
}

var noRequest = new(http.Request)

// body is a request's body. Its rules are those of net/http's.
type body struct {
	mu     sync.Mutex
	in     *input
	left   int64
	closed bool
}

// Read is part of io.Reader. The last bytes come with io.EOF.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.read(p)
}

func (b *body) read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.in.take(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	case err == nil && b.left == 0:
		err = io.EOF
	}
	return n, err
}

// Close reads what is left, so that another request can follow.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	return b.drain()
}

func (b *body) drain() error {
	for b.left > 0 {
		if len(b.in.ahead()) == 0 {
			if err := b.in.fill(); err != nil {
				return err
			}
		}
		n := min(b.left, int64(len(b.in.ahead())))
		b.in.skip(int(n))
		b.left -= n
	}
	return nil
}

// rest reads what the handler left, and says whether all of it came.
func (b *body) rest() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.drain() == nil
}
