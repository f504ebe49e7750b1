// Package dialect owns what a platform's message protocol is: how a message looks on the wire, how it is signed and
// checked, how it is acknowledged, and when it is repeated. It is pure: no I/O, no clock, no state, and no random
// source but crypto/rand inside signature algorithms that need one.
//
// A Dialect is a value. Each platform has a folder with one, and with its vectors. Both directions live there:
// Receive and Reply are the receiver's half, Sign and Judge the sender's.
//
//	got, err := alipay.Dialect.Receive(settings, dialect.Inbound{Header: r.Header, Body: body, Now: time.Now()})
package dialect

import (
	"net/http"
	"time"
)

// Dialect is one platform's protocol. A nil func is an ability that it lacks.
type Dialect struct {
	// Name is stored and never changes; Title is for people.
	Name  string
	Title Text

	// Fields are the settings that it takes, in the order in which a form shows them.
	Fields []Field

	// Check looks at settings as a whole, beyond what each Field says of itself: that keys parse, that what belongs
	// together is there. The text of its error names fields, never values. nil = nothing to check.
	Check func(Settings, Use) error

	// Receive verifies a request and reads it. It works on the raw bytes as they came and returns an *Error when the
	// request is not to be accepted. It keeps no reference to in.Header, but Received.Payload may be a slice of in.Body.
	Receive func(Settings, Inbound) (Received, error)

	// Receiver returns Receive for settings that stay the same: it reads them once, and what it returns is for any number of
	// goroutines. nil = there is nothing in them that it would pay to read once. ReceiveWith calls the one or the other, so whoever
	// puts another Receive into a copy of a Dialect does something about its Receiver.
	Receiver func(Settings) func(Inbound) (Received, error)

	// Reply makes the answer that this platform must hear.
	Reply func(Settings, Outcome) Reply

	// Decrypt turns the stored payload of a received message into the one that is delivered, where the platform
	// encrypts fields or the whole. nil = nothing is ever encrypted.
	Decrypt func(s Settings, payload []byte, platform map[string]string) ([]byte, error)

	// Sign makes the request that delivers a message in this dialect. CannotSend is its error for a message that never can be.
	Sign func(Settings, Outbound) (Request, error)

	// Signer is to Sign what Receiver is to Receive. SignWith calls the one or the other.
	Signer func(Settings) func(Outbound) (Request, error)

	// Handshake makes the request of the platform console's "Verify", and the judge of its answer. nil = none known.
	Handshake func(Settings, Nonce) (Request, func(Response) Verdict, error)

	// Judge says what an answer to a signed request means.
	Judge func(Settings, Response) Verdict

	// Policy returns the platform's times. It must work with empty settings, which mean the defaults.
	Policy func(Settings) Policy

	// SignatureHeaders are the headers that carry a signature, in lower case. An empty POST without any of them that Receive
	// calls ReasonNotEnvelope is a console's probe. Empty = the signature is not in a header.
	SignatureHeaders []string

	// Examples are the events of the platform's own documentation.
	Examples []Example

	// Explain is what package explain must know to say why a signature does not match. nil = only the shared causes.
	Explain *Explainer
}

// ReceiveWith returns Receive under settings that nobody changes afterwards, at less cost for each request. A setting that
// cannot be read is an error of each.
func (d *Dialect) ReceiveWith(s Settings) func(Inbound) (Received, error) {
	if d.Receiver != nil {
		return d.Receiver(s)
	}
	return func(in Inbound) (Received, error) { return d.Receive(s, in) }
}

// SignWith returns Sign under settings that nobody changes afterwards, at less cost for each message.
func (d *Dialect) SignWith(s Settings) func(Outbound) (Request, error) {
	if d.Signer != nil {
		return d.Signer(s)
	}
	return func(o Outbound) (Request, error) { return d.Sign(s, o) }
}

// Use is the direction in which settings are used.
type Use int

// The directions.
const (
	Receiving Use = iota // a source: settings of the receiver's half
	Sending              // an endpoint: settings of the platform's half
)

// MethodFrame stands for the method of what came as a frame over a connection, and not as a request: its text is the body. HTTP
// has no such method, so that no request can be taken for a frame.
const MethodFrame = "(frame)"

// Inbound is a request as it came from the platform.
type Inbound struct {
	Method string // MethodFrame for a frame
	Query  string // raw, without the question mark
	Header http.Header
	Body   []byte
	Now    time.Time
}

// Received is a request that was verified and read.
type Received struct {
	// Reply set means a handshake or probe: answer this, store nothing.
	Reply *Reply

	EventType string // verbatim, at most 256 bytes; "" only with Unreadable
	EventID   string // the platform's id of the message, "" when it has none
	Account   string // whose message it is (alipay app_id, douyin client_key), "" = the source's own
	Payload   []byte // the business object, UTF-8 JSON object; anything else wrapped by WrapRaw

	// Platform is everything else of the envelope, by its wire names.
	Platform map[string]string

	// DedupKey recognises a repeat within application, dialect and account. "" = a repeat cannot be recognised.
	DedupKey string
	// Twin is a weaker key, remembered for TwinKeep: what is new by DedupKey but shares a Twin with an earlier message
	// is accepted and marked in Platform under TwinMark with that message's id.
	Twin     string
	TwinKeep time.Duration
	TwinMark string

	// Time is the platform's own time of the message or attempt, zero when it says none.
	Time time.Time

	// Unreadable says why a message with a right signature could not be read or decrypted; it is stored all the same.
	Unreadable string

	// Key says which of several live secrets or keys verified: 0 = the first.
	Key int
	// Rule says by which of its ways the dialect verified, as "RSA2, V1"; "" = it knows one. Nothing may depend on it: it is for people.
	Rule string
}

// Result is what became of a request at the front door.
type Result int

// The results that a platform is told about.
const (
	Stored      Result = iota // durable, new
	Duplicate                 // durable since an earlier request
	Forged                    // wrong or missing signature, or a replay
	Malformed                 // not a request of this dialect
	TooLarge                  // body over the limit
	Unavailable               // not stored: the platform should repeat
	NoSuchDoor                // no source at this URL
)

// Outcome is what Reply must put into the platform's words.
type Outcome struct {
	Result   Result
	Received *Received // set for Stored and Duplicate
}

// Reply is an HTTP answer.
type Reply struct {
	Status      int
	ContentType string // "" = none
	Body        []byte
}

// DefaultStatus is the status of a result where the platform has no word of its own for it.
func (r Result) DefaultStatus() int {
	switch r {
	case Forged:
		return http.StatusUnauthorized
	case Malformed:
		return http.StatusBadRequest
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case Unavailable:
		return http.StatusServiceUnavailable
	case NoSuchDoor:
		return http.StatusNotFound
	}
	return http.StatusOK
}

// Outbound is a message to be signed for one attempt.
type Outbound struct {
	ID        string            // the message's id, the same over all attempts
	EventType string            //
	EventID   string            // the publisher's id, may be ""
	Payload   []byte            // JSON as posted: delivered byte for byte
	Platform  map[string]string // envelope members by their wire names, may fill what the dialect needs
	Created   time.Time         // when the message was accepted: the same over all attempts
	Now       time.Time         // of this attempt

	// Seed is 32 secret bytes, the same over all attempts of one message to one endpoint and different otherwise.
	// Whatever must look random and yet stay the same (notify_id, nonce, the keys of a field cipher) is drawn from it
	// by Derive, so that a repeat has the same body.
	Seed [32]byte
}

// Request is an HTTP request without its address. Header names are sent in the spelling of the map's keys.
type Request struct {
	Method string
	Query  string // to be added to the endpoint's own query, "" = none
	Header http.Header
	Body   []byte
}

// Nonce is what a handshake needs from outside.
type Nonce struct {
	Now  time.Time
	Seed [32]byte // random
}

// Response is the answer to a signed request.
type Response struct {
	Status    int
	Header    http.Header
	Body      []byte // at most 16 KiB
	Truncated bool   // there was more
}

// Kind sorts verdicts.
type Kind int

// The kinds of verdict.
const (
	Accepted Kind = iota // the receiver has it
	Retry                // not accepted: try again on schedule
	Refused              // never will be: stop this message
	Gone                 // the endpoint itself is gone: stop all
)

// Verdict is what an answer means, with a reason for people in one sentence.
type Verdict struct {
	Kind   Kind
	Reason string
}

// Policy holds a platform's times.
type Policy struct {
	Deadline time.Duration   // for one attempt: connect, TLS, headers and body
	Schedule []time.Duration // waits between attempts, each from the judgement of the one before; n waits = n+1 attempts
	DedupFor time.Duration   // how long a receiver remembers a DedupKey

	HTTPSOnly    bool // callback URLs must be https
	RetryAfter   bool // the receiver's Retry-After is honoured
	GoneDisables bool // a Gone verdict disables the endpoint
	Breaker      bool // an endpoint that fails in a row is probed, not hammered
	AutoDisable  bool // an endpoint that fails for days is disabled
	Jitter       bool // waits are spread
}

// Total is the time from the first attempt to the last, answers taken as immediate.
func (p Policy) Total() time.Duration {
	var t time.Duration
	for _, w := range p.Schedule {
		t += w
	}
	return t
}

// Example is an event of the platform's documentation, as a payload for Sign.
type Example struct {
	EventType string
	Title     Text
	Payload   []byte
	Platform  map[string]string
}

// Text is a text for people in both languages.
type Text struct{ En, Zh string }
