package api

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"
)

const (
	maxAnswers    = 1000
	maxAnswerSize = 16 << 10
)

// answers remembers what was answered to a POST with an Idempotency-Key, so that a client that did not hear it may ask
// again. It is a convenience in memory; publications have a memory of their own in the store.
type answers struct {
	mu    sync.Mutex
	known map[[32]byte]*recorded
	order [][32]byte
}

// recorded is an answer, or the place of one that is being made.
type recorded struct {
	done   chan struct{} // closed when the fields below are set
	kept   bool          // it was a success: give it again
	until  time.Time
	status int
	header http.Header
	body   []byte
}

func newAnswers() *answers { return &answers{known: map[[32]byte]*recorded{}} }

// answerOnce serves a POST with an Idempotency-Key: the first time as always, then with the first answer. Only successes
// are remembered, so what failed may be tried again; an answer that holds a new token is not.
func (h *Handler) answerOnce(w http.ResponseWriter, r *http.Request) {
	_, pattern := h.mux.Handler(r)
	a, err := h.authenticate(r)
	if err != nil || pattern == publishPattern || pattern == tokenPattern {
		h.mux.ServeHTTP(w, r)
		return
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", a.token, r.URL.Path, r.Header.Get("Idempotency-Key")))
	for {
		first, mine := h.answers.enter(key, h.Now())
		if mine {
			h.answerFirst(w, r, key, first)
			return
		}
		select {
		case <-first.done:
		case <-r.Context().Done():
			writeError(w, unavailable("the first request with this Idempotency-Key is still under way"))
			return
		}
		if first.kept {
			id := w.Header().Get(requestIDHeader)
			maps.Copy(w.Header(), first.header)
			w.Header().Set(requestIDHeader, id)
			w.WriteHeader(first.status)
			_, _ = w.Write(first.body)
			return
		}
	}
}

func (h *Handler) answerFirst(w http.ResponseWriter, r *http.Request, key [32]byte, place *recorded) {
	defer func() {
		if !place.kept {
			h.answers.leave(key)
		}
		close(place.done)
	}()
	tee := &teeWriter{ResponseWriter: w}
	h.mux.ServeHTTP(tee, r)
	if tee.status/100 == 2 && len(tee.body) <= maxAnswerSize {
		place.status, place.header, place.body, place.kept = tee.status, w.Header().Clone(), tee.body, true
	}
}

// enter returns the answer of a key, or a new place that the caller must fill.
func (a *answers) enter(key [32]byte, now time.Time) (place *recorded, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if place, ok := a.known[key]; ok && now.Before(place.until) {
		return place, false
	}
	if len(a.order) >= maxAnswers {
		delete(a.known, a.order[0])
		a.order = a.order[1:]
	}
	place = &recorded{done: make(chan struct{}), until: now.Add(idempotencyKeep)}
	a.known[key] = place
	a.order = append(a.order, key)
	return place, true
}

func (a *answers) leave(key [32]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.known, key)
}

// teeWriter keeps a copy of an answer.
type teeWriter struct {
	http.ResponseWriter
	status int
	body   []byte
}

// WriteHeader notes the status.
func (t *teeWriter) WriteHeader(status int) {
	if t.status == 0 {
		t.status = status
	}
	t.ResponseWriter.WriteHeader(status)
}

// Write notes the body, as far as it would be kept.
func (t *teeWriter) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	if len(t.body) <= maxAnswerSize {
		t.body = append(t.body, b...)
	}
	return t.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (t *teeWriter) Unwrap() http.ResponseWriter { return t.ResponseWriter }
