package douyinmini

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/waypost/waypost/dialect"
)

// callback is a request whose signature is right, in either scheme.
type callback struct {
	members []dialect.Member
	at      time.Time         // signed
	key     int               // which of the live keys verified
	header  map[string]string // what the envelope has in headers
	hole    bool              // the type is not signed
}

// receive verifies in the scheme of the settings; the request has no say in it.
func receive(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
	return receiver(s)(in)
}

// receiver is Dialect.Receiver.
func receiver(s dialect.Settings) func(dialect.Inbound) (dialect.Received, error) {
	verify := func(in dialect.Inbound) (callback, *dialect.Error) { return verifyLegacy(s, in) }
	if !legacy(s) {
		keys := readPublicKeys(s)
		verify = func(in dialect.Inbound) (callback, *dialect.Error) { return verifyV3(keys, in) }
	}
	keep := policy(s).DedupFor
	return func(in dialect.Inbound) (dialect.Received, error) {
		if in.Method != http.MethodPost && in.Method != "" {
			return dialect.Received{}, dialect.Refuse(dialect.ReasonNotEnvelope, "method", "is not POST")
		}
		c, refusal := verify(in)
		if refusal != nil {
			return dialect.Received{}, refusal
		}
		// Half, because what came that early must still be remembered when it is that old.
		if in.Now.Sub(c.at).Abs() > keep/2 {
			return dialect.Received{}, dialect.Refuse(dialect.ReasonReplay, "signed time", "is further from now than half of the setting dedup_for")
		}
		return c.received(in.Body, keep), nil
	}
}

// received reads the message. Its signature is right, so whatever is odd about it does not refuse it.
func (c *callback) received(body []byte, keep time.Duration) dialect.Received {
	got := dialect.Received{
		Platform: dialect.RestOfMembers(c.members, "type", "msg", "msg_signature"),
		Time:     c.at,
		Key:      c.key,
	}
	for name, value := range c.header {
		got.Platform[name] = value
	}
	kind, err := dialect.Unquote(dialect.FindMember(c.members, "type"))
	if err == nil && dialect.Printable(string(kind)) {
		got.EventType = string(kind)
	} else {
		got.Unreadable = "type is not a printable text of 1 to 256 bytes"
	}
	msg := dialect.FindMember(c.members, "msg")
	text, err := dialect.Unquote(msg)
	switch {
	case msg == nil:
		text, got.Unreadable = body, "msg is missing"
	case err != nil:
		text = msg // not a string, but JSON all the same
		if msg[0] == '"' {
			got.Unreadable = "msg " + err.Error()
		}
	}
	got.Payload = dialect.WrapRaw(text)
	got.Account = accountOf(text)
	sum := sha256.Sum256(text)
	digest := hex.EncodeToString(sum[:])
	got.DedupKey = got.EventType + "/" + digest
	if c.hole { // a replay under another type is accepted, and marked
		got.Twin, got.TwinKeep, got.TwinMark = digest, keep, "unsignedPartChanged"
	}
	return got
}

// accountOf finds the mini app: app_id in v3, appid in the older scheme.
func accountOf(text []byte) string {
	members, err := dialect.SplitObject(text)
	if err != nil {
		return ""
	}
	for _, name := range []string{"app_id", "appid"} {
		if id, err := dialect.Unquote(dialect.FindMember(members, name)); err == nil && dialect.Printable(string(id)) {
			return string(id)
		}
	}
	return ""
}

// seconds reads a signed time of at most ten digits. In the older scheme nothing separates it from the nonce in the signed
// text: more digits would have wandered over from there, and a time that lost some is too old.
func seconds(text string) (time.Time, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !dialect.Digits(text, 10) {
		return time.Time{}, false
	}
	return time.Unix(n, 0).UTC(), true
}

// noObject tells a request that is nothing of this dialect from one that is a broken callback.
func noObject(err error) *dialect.Error {
	reason := dialect.ReasonMalformed
	if errors.Is(err, dialect.ErrNotObject) {
		reason = dialect.ReasonNotEnvelope
	}
	return dialect.Refuse(reason, "body", "%v", err)
}
