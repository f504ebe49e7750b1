package proof

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/waypost/waypost/dialect"
)

// Ledger is the checker's book: what producers sent and heard, what receivers got, and what was done to the server
// meanwhile. Its Verdict says which promises held. It may be used by many goroutines, and knows nothing of the server
// but its answers, so that it serves a server in this process and one in another alike.
type Ledger struct {
	mu        sync.Mutex
	endpoints map[string]*destination
	messages  map[string]*record
	strangers []string // keys that arrived and that nobody sent
	crashes   []span
}

// Destination is what the ledger must know of an endpoint to judge what arrives there.
type Destination struct {
	Name        string
	Dialect     *dialect.Dialect
	Settings    dialect.Settings // the receiver's, to verify with
	Schedule    []time.Duration  // waits between attempts
	Concurrency int              // attempts at once
	// Slack is how much earlier than the schedule an attempt may arrive. It is for receivers that do not answer: the
	// server judges when its patience ends, and the receiver notices later.
	Slack time.Duration
}

type destination struct {
	Destination
	closed time.Time // when the answer to disable, delete or pause came; zero = open
	late   []string  // what arrived after that
}

// span is the time in which a server died: from the fault until nothing of it runs any more.
type span struct{ from, to time.Time }

// record is one message.
type record struct {
	way      string
	endpoint string
	body     [32]byte
	acked    bool
	refused  bool // for good: it must never arrive
	failed   bool // the API shows it as failed
	resends  int
	arrivals []visit
}

// visit is one arrival.
type visit struct {
	at, until time.Time // when the request came, and when the answer was decided
	looked    time.Time // when it was asked whether the sender was still there
	orphan    bool      // it was not: nobody can have heard the answer
	endpoint  string
	id        string // the server's, where the dialect shows it
	body      [32]byte
	unsigned  string // why the signature does not hold, "" = it does
	accepted  bool
}

// NewLedger makes an empty one.
func NewLedger() *Ledger {
	return &Ledger{endpoints: map[string]*destination{}, messages: map[string]*record{}}
}

// Add makes an endpoint known. It must be called before anything is sent there.
func (l *Ledger) Add(d Destination) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endpoints[d.Name] = &destination{Destination: d}
}

// Sent notes that a message is about to be posted for the first time: its key, the way it takes (for figures), the
// endpoint where it must arrive, and the payload that must arrive.
func (l *Ledger) Sent(key, way, endpoint string, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.messages[key] == nil {
		l.messages[key] = &record{way: way, endpoint: endpoint, body: sha256.Sum256(payload)}
	}
}

// Acknowledged notes that the server has answered that it has the message. From here on it must not be lost.
func (l *Ledger) Acknowledged(key string) { l.change(key, func(r *record) { r.acked = true }) }

// Refused notes that every answer to a message was a refusal for good: it must never arrive.
func (l *Ledger) Refused(key string) { l.change(key, func(r *record) { r.refused = true }) }

// Failed notes that the server itself shows the message as failed, with its attempts.
func (l *Ledger) Failed(key string) { l.change(key, func(r *record) { r.failed = true }) }

// Resent notes that someone is about to ask for one more attempt.
func (l *Ledger) Resent(key string) { l.change(key, func(r *record) { r.resends++ }) }

func (l *Ledger) change(key string, do func(*record)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.messages[key]; r != nil {
		do(r)
	}
}

// Crashed notes that the server died: from the moment of the fault until nothing of it ran any more.
func (l *Ledger) Crashed(from, to time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.crashes = append(l.crashes, span{from, to})
}

// Closed notes that a call which disables, deletes or pauses an endpoint has answered: nothing new may go there.
func (l *Ledger) Closed(endpoint string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endpoints[endpoint].closed = time.Now()
}

// Opened notes that an endpoint is about to take messages again.
func (l *Ledger) Opened(endpoint string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endpoints[endpoint].closed = time.Time{}
}

// Missing returns how many acknowledged messages have neither arrived nor failed in sight.
func (l *Ledger) Missing() int { return len(l.Unsettled()) }

// Unsettled returns the keys of acknowledged messages that have neither arrived nor failed in sight.
func (l *Ledger) Unsettled() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var keys []string
	for key, r := range l.messages {
		if r.acked && !r.failed && !r.delivered() {
			keys = append(keys, key)
		}
	}
	return keys
}

// Count returns how many messages were acknowledged so far.
func (l *Ledger) Count() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.messages {
		if r.acked {
			n++
		}
	}
	return n
}

func (r *record) delivered() bool {
	for _, v := range r.arrivals {
		if v.accepted && v.endpoint == r.endpoint {
			return true
		}
	}
	return false
}
