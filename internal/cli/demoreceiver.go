package cli

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/waypost/waypost/dialect"
)

// demoReceiver is the other end of all deliveries: the team's service, which speaks Standard Webhooks, and a developer's
// callback on each platform. It verifies as the platform's documentation says, and misbehaves on purpose.
type demoReceiver struct {
	*demo
	addr      string
	service   dialect.Settings
	callbacks map[string]*demoSide // by platform

	mu       sync.Mutex
	expected map[string][]byte // payloads by key
	arrived  map[string]*demoArrival
	bad      []string

	server *http.Server
}

type demoArrival struct{ times, accepted int }

func newDemoReceiver(d *demo) (*demoReceiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &demoReceiver{
		demo: d, addr: l.Addr().String(), callbacks: map[string]*demoSide{},
		expected: map[string][]byte{}, arrived: map[string]*demoArrival{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/service", func(w http.ResponseWriter, q *http.Request) {
		r.take(w, q, d.dialects["standard"], r.service)
	})
	mux.HandleFunc("/callback/{platform}", func(w http.ResponseWriter, q *http.Request) {
		side := r.callbacks[q.PathValue("platform")]
		r.take(w, q, side.dialect, side.receiving)
	})
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = r.server.Serve(l) }() // ends with close
	return r, nil
}

func (r *demoReceiver) close() { _ = r.server.Close() }

func (r *demoReceiver) expect(events []dialect.Example, keys []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, key := range keys {
		r.expected[key] = events[i].Payload
	}
}

// take verifies a delivery, notes it, and answers in the sender's words, unless it is this one's turn to go wrong.
func (r *demoReceiver) take(w http.ResponseWriter, q *http.Request, d *dialect.Dialect, settings dialect.Settings) {
	body, err := io.ReadAll(io.LimitReader(q.Body, maxInput))
	if err != nil {
		return
	}
	got, err := d.Receive(settings, dialect.Inbound{Method: q.Method, Query: q.URL.RawQuery, Header: q.Header, Body: body, Now: time.Now()})
	if err != nil {
		r.refuse(w, q, d, settings, err, len(body))
		return
	}
	if got.Reply != nil {
		write(w, *got.Reply)
		return
	}
	payload := got.Payload
	if d.Decrypt != nil {
		if payload, err = d.Decrypt(settings, payload, got.Platform); err != nil {
			r.fault("%s: cannot decrypt: %v", d.Name, err)
			return
		}
	}
	key := keyOf(payload)
	n := r.note(d, key, payload)
	if n > 0 && misbehave(w, key, n) {
		return
	}
	if n > 0 {
		r.mu.Lock()
		r.arrived[key].accepted++
		r.mu.Unlock()
	}
	write(w, d.Reply(settings, dialect.Outcome{Result: dialect.Stored, Received: &got}))
}

// refuse answers what did not verify. A console's probe is no fault; all else is: we are the only sender.
func (r *demoReceiver) refuse(w http.ResponseWriter, q *http.Request, d *dialect.Dialect, settings dialect.Settings, err error, size int) {
	var refusal *dialect.Error
	if errors.As(err, &refusal) && refusal.Reason == dialect.ReasonNotEnvelope && size == 0 {
		w.WriteHeader(http.StatusOK)
		return
	}
	r.fault("%s: a delivery to %s did not verify: %v", d.Name, q.URL.Path, err)
	write(w, d.Reply(settings, dialect.Outcome{Result: dialect.Forged}))
}

func write(w http.ResponseWriter, reply dialect.Reply) {
	if reply.ContentType != "" {
		w.Header().Set("Content-Type", reply.ContentType)
	}
	w.WriteHeader(reply.Status)
	_, _ = w.Write(reply.Body)
}

// note counts an arrival and compares it with what was sent. It returns how often the message has come, 0 for one that
// belongs to nobody, such as a handshake's test message.
func (r *demoReceiver) note(d *dialect.Dialect, key string, payload []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	want, known := r.expected[key]
	switch {
	case key == "":
		return 0
	case !known:
		r.bad = append(r.bad, fmt.Sprintf("%s: something arrived that nobody had sent: %s", d.Name, key))
		return 0
	case !bytes.Equal(want, payload):
		r.bad = append(r.bad, fmt.Sprintf("%s: %s arrived with other bytes than were sent", d.Name, key))
	}
	a := r.arrived[key]
	if a == nil {
		a = &demoArrival{}
		r.arrived[key] = a
	}
	a.times++
	return a.times
}

// misbehave goes wrong on some first attempts: which ones is decided by the key, so that a run can be understood.
func misbehave(w http.ResponseWriter, key string, n int) bool {
	h := fnv.New32a()
	_, _ = io.WriteString(h, key)
	switch turn := h.Sum32() % 12; {
	case n > 2 || n == 2 && turn != 0:
		return false
	case turn < 2:
		http.Error(w, "out of order", http.StatusInternalServerError)
	case turn == 2:
		time.Sleep(demoTimeout + 100*time.Millisecond) // the sender has given up by now
	case turn == 3:
		w.WriteHeader(http.StatusTooManyRequests)
	case turn == 4:
		panic(http.ErrAbortHandler) // hangs up
	default:
		return false
	}
	return true
}

func (r *demoReceiver) has(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.arrived[key]
	return a != nil && a.accepted > 0
}

// count returns whether a message was delivered, and how many attempts were repeats.
func (r *demoReceiver) count(key string) (delivered, retried int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.arrived[key]
	if a == nil {
		return 0, 0
	}
	return min(a.accepted, 1), a.times - 1
}

func (r *demoReceiver) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad = append(r.bad, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (r *demoReceiver) faults() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bad
}
