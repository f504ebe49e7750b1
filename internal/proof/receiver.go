package proof

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/waypost/waypost/dialect"
)

// Answer decides what a receiver says to the n-th arrival of a message (1 = the first): 0 = the acknowledgement of its
// dialect, Answered = it has answered by itself and did not accept, else the status. It may wait.
type Answer func(key string, n int, w http.ResponseWriter, r *http.Request) (status int)

// Answered is what an Answer returns that has answered by itself, or broken the connection.
const Answered = -1

const maxArrival = 4 << 20

// gapType is the event by which a server tells that it was away for longer than a platform repeats.
const gapType = "source.gap"

// Receiver is a receiving service at an endpoint of the ledger: it verifies as the endpoint's platform tells developers
// to, notes what came, and answers. A payload names its message in its member "key". nil accepts everything. It must be
// served by a NewServer, which lets it see whether the sender still lives.
func (l *Ledger) Receiver(endpoint string, answer Answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := visit{at: time.Now(), endpoint: endpoint, id: r.Header.Get("Webhook-Id")}
		body, err := io.ReadAll(io.LimitReader(r.Body, maxArrival))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest) // cut off on the way: nothing arrived
			return
		}
		l.mu.Lock()
		d := l.endpoints[endpoint].Destination
		l.mu.Unlock()
		got, err := d.Dialect.Receive(d.Settings, dialect.Inbound{Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, Body: body, Now: v.at})
		if err != nil {
			v.unsigned, got.Payload = err.Error(), body
		}
		if err == nil && dialect.Header(r.Header, "Waypost-Event-Type") == gapType {
			return // the server's own words; nobody sent it
		}
		v.body = sha256.Sum256(got.Payload)
		v.orphan, v.looked = hungUp(r.Context().Value(connection{}).(net.Conn)), time.Now()
		var mark struct {
			Key string `json:"key"`
		}
		_ = json.Unmarshal(got.Payload, &mark) // what names no key is a stranger
		status, n := 0, l.came(mark.Key, v)
		if answer != nil {
			status = answer(mark.Key, n, w, r)
		}
		l.answered(mark.Key, n, status == 0)
		switch status {
		case Answered:
		case 0:
			reply := dialect.Reply{Status: http.StatusOK}
			if d.Dialect.Reply != nil && err == nil {
				reply = d.Dialect.Reply(d.Settings, dialect.Outcome{Result: dialect.Stored, Received: &got})
			}
			if reply.ContentType != "" {
				w.Header().Set("Content-Type", reply.ContentType)
			}
			w.WriteHeader(reply.Status)
			_, _ = w.Write(reply.Body)
		default:
			w.WriteHeader(status)
		}
	})
}

// connection is the context's key to the connection that a request came on.
type connection struct{}

// NewServer makes a server for a Receiver.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connection{}, c) },
	}
}

// came notes an arrival before it is answered, so that one that is never answered is known too.
func (l *Ledger) came(key string, v visit) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.messages[key]
	if r == nil {
		l.strangers = append(l.strangers, key)
		return 1
	}
	if d := l.endpoints[v.endpoint]; !d.closed.IsZero() && v.at.After(d.closed.Add(graceOfClose)) {
		d.late = append(d.late, key)
	}
	r.arrivals = append(r.arrivals, v)
	return len(r.arrivals)
}

// graceOfClose is for attempts that had begun when the call answered, and whose request was still on its way.
const graceOfClose = 250 * time.Millisecond

func (l *Ledger) answered(key string, n int, accepted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.messages[key]; r != nil {
		r.arrivals[n-1].until, r.arrivals[n-1].accepted = time.Now(), accepted
	}
}
