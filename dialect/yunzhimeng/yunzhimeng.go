// Package yunzhimeng owns the callback protocol of the freight platform Yunzhimeng (运之盟): four headers, a body, a
// signature by the platform's elliptic-curve key over time, nonce and body, and single fields of the body encrypted to
// the receiver's key.
//
// The platform documents the headers, the four keys, the event codes and the three calls. It does not document the
// curve, the signed text, the encoding of the signature, the field cipher, or what counts as success: each of those is
// a setting whose default is the likeliest guess. docs/dialects/yunzhimeng.md says what is known and what is guessed.
//
// The platform offers an HTTP helper that signs and encrypts for callers who send it their private key. This package
// never calls it: everything is done here, and no key leaves the process.
package yunzhimeng

import (
	"time"

	"github.com/waypost/waypost/dialect"
)

// Name is the name of this dialect.
const Name = "yunzhimeng"

// The headers of a callback, in the platform's spelling.
const (
	headerTimestamp = "X-Timestamp"
	headerNonce     = "X-Nonce"
	headerSignature = "X-Signature"
	headerEventCode = "X-EventCode"
)

// The defaults of the times. The platform documents three calls in all; deadline and spacing are ours.
const (
	defaultDeadline = 5 * time.Second
	defaultMemory   = 7 * 24 * time.Hour
	twinKeep        = 10 * time.Minute
	twinMark        = "possibleDuplicateOf"
)

// Dialect is the protocol of Yunzhimeng's callbacks.
var Dialect = dialect.Dialect{
	Name:             Name,
	Title:            dialect.Text{En: "Yunzhimeng callbacks", Zh: "运之盟开放平台回调通知"},
	Fields:           fields,
	Check:            check,
	Receive:          receive,
	Receiver:         receiver,
	Reply:            reply,
	Decrypt:          decrypt,
	Sign:             sign,
	Signer:           signing,
	Handshake:        handshake,
	Judge:            judge,
	Policy:           policy,
	Explain:          explainer,
	SignatureHeaders: []string{"x-signature"},
	Examples:         examples,
}
