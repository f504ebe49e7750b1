package proof

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"sync"
)

// Sink is a receiving service that remembers what it got: by message id, how often and with which body.
type Sink struct {
	// Answer decides what to answer to the n-th arrival of a message (1 = the first); nil = 200. It may wait.
	Answer func(id string, n int, w http.ResponseWriter, r *http.Request) (status int)

	mu       sync.Mutex
	arrivals map[string]*Arrival
}

// Arrival is what a sink knows of one message.
type Arrival struct {
	Times    int      // how often it came
	Accepted int      // how often it was answered with 2xx
	Body     [32]byte // SHA-256 of the first body
	Changed  bool     // a later body was another one
}

// ServeHTTP takes a delivery in Standard Webhooks form. The member "key" of its body, when there, is the producer's id of the
// message.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var mark struct {
		Key string `json:"key"`
	}
	_ = json.Unmarshal(body, &mark) // a payload without one is counted by its id
	id := mark.Key
	if id == "" {
		id = r.Header.Get("webhook-id")
	}
	n := s.arrived(id, sha256.Sum256(body))
	status := http.StatusOK
	if s.Answer != nil {
		status = s.Answer(id, n, w, r)
	}
	if status < 300 {
		s.mu.Lock()
		s.arrivals[id].Accepted++
		s.mu.Unlock()
	}
	w.WriteHeader(status)
}

func (s *Sink) arrived(id string, sum [32]byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.arrivals == nil {
		s.arrivals = map[string]*Arrival{}
	}
	a := s.arrivals[id]
	if a == nil {
		a = &Arrival{Body: sum}
		s.arrivals[id] = a
	}
	a.Times++
	a.Changed = a.Changed || a.Body != sum
	return a.Times
}

// Arrivals returns a copy of what came.
func (s *Sink) Arrivals() map[string]Arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]Arrival, len(s.arrivals))
	for id, a := range s.arrivals {
		out[id] = *a
	}
	return out
}
