package bench

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Sink is the receiving service: it notes when each message of the present job came, and how its body sums up.
//
//	POST /d/{endpoint}            a delivery to one of the job's endpoints (0, 1, …)
//	POST /fail/{percent}/{endpoint}  the same, but that share of the messages is refused when it comes first
//	POST /hang                    never answers
//	POST /expect?job=&count=&endpoints=   forget everything and wait for a job
//	GET  /seen                    Seen
//	GET  /arrivals                for each message of each endpoint: time (Unix ns) and CRC-32, little-endian
type Sink struct {
	job atomic.Pointer[expected]
}

// Seen is how much of a job came.
type Seen struct {
	Arrived int64 `json:"arrived"` // different messages, by endpoint
	Again   int64 `json:"again"`   // arrivals of what had come already
	Strange int64 `json:"strange"` // requests that are not of the job
	Refused int64 `json:"refused"` // arrivals that were refused on purpose
	First   int64 `json:"first"`   // Unix ns of the first arrival of anything since the job was expected
}

type expected struct {
	job      uint32
	count    int
	times    []atomic.Int64 // count for each endpoint
	sums     []uint32       // written once, by who writes the time
	refusals []atomic.Bool
	arrived  atomic.Int64
	again    atomic.Int64
	strange  atomic.Int64
	refused  atomic.Int64
	first    atomic.Int64
}

const arrivalSize = 12

// Handler serves the sink.
func (s *Sink) Handler() http.Handler {
	s.job.Store(&expected{})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /d/{endpoint}", func(w http.ResponseWriter, r *http.Request) { s.deliver(w, r, 0) })
	mux.HandleFunc("POST /fail/{percent}/{endpoint}", func(w http.ResponseWriter, r *http.Request) {
		percent, _ := strconv.Atoi(r.PathValue("percent"))
		s.deliver(w, r, percent)
	})
	mux.HandleFunc("POST /hang", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	mux.HandleFunc("POST /expect", s.expect)
	mux.HandleFunc("GET /seen", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(s.seen()) })
	mux.HandleFunc("GET /arrivals", s.arrivals)
	return mux
}

func (s *Sink) expect(w http.ResponseWriter, r *http.Request) {
	job, err1 := strconv.ParseUint(r.FormValue("job"), 10, 32)
	count, err2 := strconv.Atoi(r.FormValue("count"))
	endpoints, err3 := strconv.Atoi(r.FormValue("endpoints"))
	if err1 != nil || err2 != nil || err3 != nil || count < 0 || endpoints < 1 || count*endpoints > 1<<26 {
		http.Error(w, "job, count and endpoints must be numbers", http.StatusBadRequest)
		return
	}
	n := count * endpoints
	s.job.Store(&expected{
		job: uint32(job), count: count, times: make([]atomic.Int64, n), sums: make([]uint32, n), refusals: make([]atomic.Bool, n),
	})
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

func (s *Sink) deliver(w http.ResponseWriter, r *http.Request, failing int) {
	now := time.Now().UnixNano()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	body, err := readInto((*buf)[:0], r.Body)
	*buf = body
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	e := s.job.Load()
	if e.first.Load() == 0 {
		e.first.CompareAndSwap(0, now)
	}
	job, n, ok := findMark(body)
	endpoint, err := strconv.Atoi(r.PathValue("endpoint"))
	slot := endpoint*e.count + n
	if !ok || err != nil || job != e.job || n >= e.count || endpoint < 0 || slot >= len(e.times) {
		e.strange.Add(1)
		return // 200: what is left of an earlier job must not come again and again
	}
	if failing > 0 && scattered(n) < failing && e.refusals[slot].CompareAndSwap(false, true) {
		e.refused.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if !e.times[slot].CompareAndSwap(0, now) {
		e.again.Add(1)
		return
	}
	e.sums[slot] = crc32.Checksum(body, castagnoli)
	e.arrived.Add(1)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// scattered maps a message's number to 0…99, neighbours far apart.
func scattered(n int) int { return int(uint32(n) * 2654435761 >> 16 % 100) }

// readInto reads all of r behind b, growing it as needed.
func readInto(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

func (s *Sink) seen() Seen {
	e := s.job.Load()
	return Seen{e.arrived.Load(), e.again.Load(), e.strange.Load(), e.refused.Load(), e.first.Load()}
}

func (s *Sink) arrivals(w http.ResponseWriter, _ *http.Request) {
	e := s.job.Load()
	out := make([]byte, 0, len(e.times)*arrivalSize)
	for i := range e.times {
		out = binary.LittleEndian.AppendUint64(out, uint64(e.times[i].Load()))
		out = binary.LittleEndian.AppendUint32(out, e.sums[i])
	}
	_, _ = w.Write(out)
}
