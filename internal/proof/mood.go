package proof

import (
	"hash/fnv"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// Mood is how receivers of a test answer: it has the first two attempts of an eighth of the messages fail, so that retries
// are under way at any moment, but never so many in a row that the server takes the receiver for dead and probes it.
type Mood struct {
	Down atomic.Bool // everything fails

	mu  sync.Mutex
	row map[string]int // failures in a row, by receiver
}

const mostInRow = 4

// Answer is for Ledger.Receiver.
func (m *Mood) Answer(key string, n int, _ http.ResponseWriter, r *http.Request) int {
	if m.Down.Load() {
		return http.StatusServiceUnavailable
	}
	h := fnv.New32a()
	_, _ = io.WriteString(h, key)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.row == nil {
		m.row = map[string]int{}
	}
	if n > 2 || h.Sum32()%8 != 0 || m.row[r.Host] >= mostInRow {
		m.row[r.Host] = 0
		return 0
	}
	m.row[r.Host]++
	return http.StatusServiceUnavailable
}
