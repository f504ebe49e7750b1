package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

const (
	defaultMaxHeld = 256 << 20
	firstBuffer    = 64 << 10         // of a body, however long it is announced to be
	bodyTime       = 10 * time.Second // for a whole body to come
)

var errBusy = errors.New("too many bodies are in memory")

// bodies counts the bytes of the bodies of all requests under way.
type bodies struct {
	max  int64
	held atomic.Int64
}

func (b *bodies) take(n int64) bool {
	if b.held.Add(n) <= b.max {
		return true
	}
	b.held.Add(-n)
	return false
}

// heldBody is a body that has a limited time to come, and of which every byte that was read counts until the request is
// answered. What was announced and never sent costs nothing.
type heldBody struct {
	io.ReadCloser
	of      *bodies
	conn    *http.ResponseController
	begun   bool
	held    int64
	refused bool
}

func (h *Handler) hold(w http.ResponseWriter, r *http.Request) *heldBody {
	return &heldBody{ReadCloser: r.Body, of: &h.bodies, conn: http.NewResponseController(w)}
}

// Read is part of io.Reader. Once there is no room it fails with errBusy. The time runs from the first call to the end of the
// body: what the handler does afterwards takes as long as it takes.
func (b *heldBody) Read(p []byte) (int, error) {
	if b.refused {
		return 0, errBusy
	}
	if !b.begun {
		b.begun = true
		b.until(time.Now().Add(bodyTime))
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.until(time.Time{})
	}
	if b.refused = n > 0 && !b.of.take(int64(n)); b.refused {
		return 0, errBusy
	}
	b.held += int64(n)
	return n, err
}

// until limits reading. Not every ResponseWriter knows deadlines; a server's does.
func (b *heldBody) until(t time.Time) { _ = b.conn.SetReadDeadline(t) }

func (b *heldBody) release() {
	b.of.held.Add(-b.held)
	b.held = 0
}

// readBody reads a bounded body into memory of its own, since a payload is a slice of it and lives on.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, tooLarge()
	}
	size := r.ContentLength
	if size < 0 {
		size = 4096
	}
	body := make([]byte, 0, min(size+1, firstBuffer)) // one byte more, so that the end is seen without growing
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			return nil, tooLarge()
		case errors.Is(err, io.EOF):
			return body, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, newError(http.StatusRequestTimeout, "request_timeout", "the body did not arrive in time")
		case err != nil:
			return nil, newError(http.StatusBadRequest, "bad_request", "the body broke off")
		}
		if len(body) == cap(body) {
			grown := make([]byte, len(body), min(2*int64(cap(body)), limit+1))
			copy(grown, body)
			body = grown
		}
	}
}
