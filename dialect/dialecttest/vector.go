// Package dialecttest owns the form of a dialect's vectors and the checks that every dialect must pass.
package dialecttest

// File is a dialect's vectors.json.
type File struct {
	Dialect string   `json:"dialect"`
	Vectors []Vector `json:"vectors"`
}

// Vector is one known case of a protocol.
type Vector struct {
	Name string `json:"name"`
	// Origin says where the case comes from: "vendor page …", "captured …", "made with openssl …". "made by us" alone
	// never proves a protocol.
	Origin string `json:"origin"`
	// Unconfirmed marks a case of which nobody knows whether the platform does it so.
	Unconfirmed bool   `json:"unconfirmed,omitempty"`
	Do          string `json:"do"`            // receive, sign, reply or judge
	Now         string `json:"now,omitempty"` // RFC 3339, for receive and sign; default 2026-01-01T00:00:00Z

	Settings map[string][]string `json:"settings,omitempty"`

	// For receive: the request; for sign: the request that must come out, compared byte for byte, headers by exact name.
	// A sign vector whose signature is random leaves Request out and sets RoundTrip: what Sign makes must be accepted by
	// Receive under RoundTrip's settings and give the same event type and payload.
	Request   *Request            `json:"request,omitempty"`
	RoundTrip map[string][]string `json:"roundTrip,omitempty"`

	// For receive: what must come out, or the reason of the refusal. Reply is the answer for Stored, or the handshake's.
	Want   *Want  `json:"want,omitempty"`
	Refuse string `json:"refuse,omitempty"` // a dialect.Reason
	// Unsigned lists the parts of the request that the signature does not cover, so that a flip there may be accepted.
	Unsigned []Unsigned `json:"unsigned,omitempty"`

	Message  *Message  `json:"message,omitempty"`  // for sign
	Result   string    `json:"result,omitempty"`   // for reply: stored, duplicate, forged, malformed, too_large, unavailable
	Reply    *Reply    `json:"reply,omitempty"`    // for reply and for receive
	Response *Response `json:"response,omitempty"` // for judge
	Verdict  string    `json:"verdict,omitempty"`  // for judge: accepted, retry, refused or gone
}

// Request is an HTTP request. Body is text; BodyB64 is used instead where it is not UTF-8.
type Request struct {
	Method  string            `json:"method,omitempty"` // default POST
	Query   string            `json:"query,omitempty"`
	Header  map[string]string `json:"header,omitempty"`
	Body    string            `json:"body,omitempty"`
	BodyB64 string            `json:"bodyB64,omitempty"`
}

// Unsigned is a part of a request: a header by name, a text that stands in the body, or the query.
type Unsigned struct {
	In   string `json:"in"` // header, body or query
	Text string `json:"text"`
}

// Want is what Receive must return. Empty members are not compared, but for EventType and Payload.
type Want struct {
	EventType  string            `json:"eventType,omitempty"`
	EventID    string            `json:"eventId,omitempty"`
	Account    string            `json:"account,omitempty"`
	Payload    string            `json:"payload,omitempty"`   // byte for byte
	Decrypted  string            `json:"decrypted,omitempty"` // what Decrypt makes of it
	Platform   map[string]string `json:"platform,omitempty"`  // each of these must be there
	DedupKey   string            `json:"dedupKey,omitempty"`
	Unreadable bool              `json:"unreadable,omitempty"`
	Key        int               `json:"key,omitempty"`
}

// Message is a message to be signed. Seed is hex; default 32 zero bytes.
type Message struct {
	ID        string            `json:"id"`
	EventType string            `json:"eventType"`
	EventID   string            `json:"eventId,omitempty"`
	Payload   string            `json:"payload"`
	Platform  map[string]string `json:"platform,omitempty"`
	Created   string            `json:"created,omitempty"` // RFC 3339, default Now
	Seed      string            `json:"seed,omitempty"`
}

// Reply is the answer that a platform must hear.
type Reply struct {
	Status      int    `json:"status"`
	ContentType string `json:"contentType,omitempty"`
	Body        string `json:"body"`
}

// Response is an answer to be judged.
type Response struct {
	Status int               `json:"status"`
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
}
