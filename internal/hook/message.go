package hook

import (
	"net/http"
	"time"
)

// Message is what was accepted. It never changes, but retention may take its content.
type Message struct {
	ID         MessageID
	App        ApplicationID
	Source     SourceID // 0 = published through the API
	EventType  string
	EventID    string // the sender's own id of it, "" when there is none
	Channels   []string
	Tags       []string
	Payload    []byte            // the business object, UTF-8 JSON, byte for byte as it came
	Platform   map[string]string // everything else of the envelope
	Raw        *Raw              // the request as received; nil for published ones and in lists
	Trace      string            // the W3C traceparent of the request that brought it, "" = none, or nobody traces; shown to nobody
	Unreadable string            // why the content could not be read though its signature is right; "" = readable
	Expired    bool              // content removed by retention, or expunged
	DeliverAt  time.Time         // when its deliveries fall due; zero = at once
	// ContentUntil is when payload and raw request are removed, once nothing is pending or wished; zero = as retention has it,
	// or they are gone.
	ContentUntil time.Time
	CreatedAt    time.Time
}

// Raw is a request as it came in.
type Raw struct {
	Method string
	Query  string // without the question mark
	Header http.Header
	Body   []byte
	Remote string // address of the one who sent it, trusted proxies aside; "" = it is not known
}

// Dedup is how a message is recognised when it comes again.
type Dedup struct {
	Scope string        // what the key is unique in, such as "alipay/2013121700999429"; the application is implied
	Key   string        // "" = never a duplicate
	Keep  time.Duration // how long the key is remembered
	// Twin is a weaker key. A message that is new by Key but whose Twin is remembered is accepted, and its platform map
	// gets TwinMark with the id of the earlier message.
	Twin     string
	TwinKeep time.Duration
	TwinMark string
}

// Accept is one message to be accepted, with how to recognise it and whether a repeat is an error.
type Accept struct {
	Message Message
	Dedup   Dedup
	// Unique makes a repeat of (App, EventID) a conflict for publishers; it is a namespace of its own, kept as long as
	// UniqueKeep.
	Unique     bool
	UniqueKeep time.Duration
	// Due is when its deliveries are due, in the time of the engine's schedules (Clock.Steady). Zero = the message's
	// CreatedAt, which is the same as long as nobody sets the clock.
	Due time.Time
	// Needs are the feature flags of which the application must hold one for deliveries to be made; the message is accepted in
	// any case.
	Needs []string
	// Only is the one endpoint that gets it, whatever the endpoint's filters say; a disabled or polled one gets nothing. 0 = all
	// that match.
	Only EndpointID
	// Except is an endpoint that does not get it, because it came from there. 0 = none.
	Except EndpointID
}

// GoesTo says whether a delivery to an endpoint is made, the feature flags aside.
func (a *Accept) GoesTo(e *Endpoint) bool {
	if a.Except != 0 && e.ID == a.Except {
		return false
	}
	if !e.takes(a.Message.App) {
		return false
	}
	if a.Only != 0 {
		return e.ID == a.Only
	}
	// Not Matches, which makes up a reason for each that it does not go to.
	return e.wantsType(&a.Message) && e.wantsChannel(&a.Message)
}

// Accepted says what became of an Accept.
type Accepted struct {
	Message    Message // with Platform as stored; of a duplicate: only its ID
	Duplicate  bool    // an earlier message has the same key; Message.ID is that one
	ByEvent    bool    // of a duplicate: it repeats an event id (Unique), and not its dedup key
	Deliveries []Delivery
	Err        error // an Error about this one message, which was not stored; others of its batch are not touched by it
}

// Refused is a request that the front door turned away, kept for the explainer.
type Refused struct {
	ID     int64 // from the generator: orders them
	Source SourceID
	At     time.Time
	Reason string // a short code: signature, malformed, replay, too_large …
	Detail string // one sentence, without secrets
	Remote string
	Raw    Raw // credentials redacted
}
