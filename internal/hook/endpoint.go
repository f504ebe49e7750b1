package hook

import (
	"fmt"
	"slices"
	"time"
)

// Format is how a message is laid out on its way to an endpoint of the standard dialect.
type Format string

// The delivery formats.
const (
	FormatPayload     Format = "payload"     // the business object as JSON, Standard Webhooks headers
	FormatOriginal    Format = "original"    // the platform's bytes and headers untouched, ours beside them
	FormatCloudEvents Format = "cloudevents" // CloudEvents 1.0, HTTP binary mode
)

// Valid says whether f is one of the formats.
func (f Format) Valid() bool {
	return f == FormatPayload || f == FormatOriginal || f == FormatCloudEvents
}

// VerificationState says what is known of an endpoint's handshake.
type VerificationState string

// The verification states.
const (
	VerificationNone   VerificationState = "unverified"
	VerificationPassed VerificationState = "verified"
	VerificationFailed VerificationState = "failed"
)

// OldSecret is a signing secret that was rotated away and is still signed with until a moment.
type OldSecret struct {
	Value string // sealed at rest, shown to nobody
	Until time.Time
}

// Format keeps the value out of every text.
func (o OldSecret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("<secret>")) }

// Transport is how messages reach an endpoint, or a source.
type Transport string

// The transports.
const (
	TransportHTTP Transport = ""     // they are sent to its URL
	TransportPoll Transport = "poll" // they are fetched: no deliveries are made
	// TransportListen endpoints get them over connections that somebody opened to this server; deliveries wait while there is none.
	TransportListen Transport = "listen"
	// TransportLongConn is Alipay's long connection: endpoints get them over connections that the developer's programs opened to
	// this server, and sources over connections that this server opens to the platform.
	TransportLongConn Transport = "longconn"
)

// Verification is the last run of an endpoint's handshake.
type Verification struct {
	State  VerificationState
	At     time.Time
	Reason string
}

// Endpoint is a destination of an application.
type Endpoint struct {
	ID              EndpointID
	App             ApplicationID
	UID             string // unique within the application
	URL             string
	Description     string
	Version         int      // the user's, returned as given; 0 = 1
	EventTypes      []string // empty = all
	Channels        []string // empty = all
	Dialect         string   // "standard" unless said otherwise
	Profile         ProfileID
	Settings        Settings          // laid over the profile's; holds the signing secrets
	OldSecrets      []OldSecret       // earlier signing secrets that are still signed with, newest first
	Transport       Transport         // how messages reach it
	Account         string            // whose long connections are its own, such as Alipay's app_id; unique with Profile; "" = it has none
	Headers         map[string]string // sent with every attempt; may hold credentials, sealed at rest
	Schedule        []time.Duration   // waits between attempts; nil = the dialect's
	Timeout         time.Duration     // 0 = the dialect's deadline
	Format          Format
	ThrottleRate    int  // attempts a second; 0 = no limit
	Concurrency     int  // attempts at once; 0 = the engine's default
	Disabled        bool // by a person: no new deliveries, pending ones are canceled
	Paused          bool // deliveries are kept pending
	DisabledReason  string
	RequireVerified bool // deliveries wait until Verification.State is verified
	Verification    Verification
	PublicOnly      bool      // made with an application token: the allow list of the application does not apply
	FailingSince    time.Time // when a message was first exhausted without a success since; zero = healthy
	Metadata        map[string]string
	Managed         bool
	CreatedAt       time.Time
	UpdatedAt       time.Time
}

// Matches says whether a message goes to this endpoint, and if not, why.
func (e *Endpoint) Matches(m *Message) (ok bool, why string) {
	switch {
	case e.App != m.App:
		return false, "belongs to another application"
	case e.Disabled:
		return false, "the endpoint is disabled"
	case e.Transport == TransportPoll:
		return false, "the endpoint is polled"
	}
	return e.Selects(m)
}

// Selects says whether a message is of a type and on a channel that the endpoint wants, and if not, why.
func (e *Endpoint) Selects(m *Message) (ok bool, why string) {
	switch {
	case !e.wantsType(m):
		return false, "its event types do not include " + m.EventType
	case !e.wantsChannel(m):
		return false, "none of its channels is a channel of the message"
	}
	return true, ""
}

func (e *Endpoint) wantsType(m *Message) bool {
	return len(e.EventTypes) == 0 || slices.Contains(e.EventTypes, m.EventType)
}

func (e *Endpoint) wantsChannel(m *Message) bool {
	return len(e.Channels) == 0 || overlap(e.Channels, m.Channels)
}

// takes says whether deliveries of an application's messages are made at all.
func (e *Endpoint) takes(app ApplicationID) bool {
	return e.App == app && !e.Disabled && e.Transport != TransportPoll
}

// Connected says whether messages reach it over connections that others open to this server, and wait while there is none.
func (e *Endpoint) Connected() bool {
	return e.Transport == TransportListen || e.Transport == TransportLongConn
}

// Holds says whether deliveries to this endpoint wait for now.
func (e *Endpoint) Holds() bool {
	return e.Disabled || e.Paused || e.RequireVerified && e.Verification.State != VerificationPassed
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}
