package pandapon

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/waypost/waypost/dialect"
)

const (
	maxPlatform = 9               // digits of messagePlatform
	maxTime     = 253402300800000 // milliseconds: the year 10000
)

// envelope is what a push consists of. Only body is signed.
type envelope struct {
	kind     []byte // messageType, as JSON; nil = missing
	body     []byte // messageBody, decoded: the signed text
	platform []byte // messagePlatform, as JSON
	time     []byte // timestamp, as JSON
	members  []dialect.Member
}

// receive verifies the signature over the decoded messageBody. What the signature does not cover (type, platform, time)
// is taken as it is: Twin lets a replay under other values be told.
func receive(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
	return receiver(s)(in)
}

// receiver is Dialect.Receiver.
func receiver(s dialect.Settings) func(dialect.Inbound) (dialect.Received, error) {
	secrets := s.All("access_secret")
	macs := make([]*dialect.HMAC, min(len(secrets), dialect.MaxLiveSecrets))
	for i := range macs {
		macs[i] = dialect.NewHMAC(sha256.New, []byte(secrets[i]))
	}
	keep := policy(s).DedupFor
	return func(in dialect.Inbound) (dialect.Received, error) {
		e, refusal := readEnvelope(in)
		if refusal != nil {
			return dialect.Received{}, refusal
		}
		key, refusal := verify(macs, dialect.Header(in.Header, signatureHeader), e.body)
		if refusal != nil {
			return dialect.Received{}, refusal
		}
		return e.received(keep, key), nil
	}
}

// readEnvelope tells a push from anything else that may arrive at a URL.
func readEnvelope(in dialect.Inbound) (envelope, *dialect.Error) {
	if in.Method != http.MethodPost && in.Method != "" {
		return envelope{}, dialect.Refuse(dialect.ReasonNotEnvelope, "method", "is not POST")
	}
	members, err := dialect.ReadObject(in.Body)
	if errors.Is(err, dialect.ErrNotObject) {
		return envelope{}, dialect.Refuse(dialect.ReasonNotEnvelope, "body", "%v", err)
	}
	if err != nil {
		return envelope{}, dialect.Refuse(dialect.ReasonMalformed, "body", "%v", err)
	}
	e := envelope{members: members}
	literal, refusal := e.pick()
	if refusal != nil {
		return e, refusal
	}
	if literal == nil && e.kind == nil {
		return e, dialect.Refuse(dialect.ReasonNotEnvelope, "body", "has neither messageType nor messageBody")
	}
	if e.body, err = dialect.Unquote(literal); err != nil {
		return e, dialect.Refuse(dialect.ReasonMalformed, "body member messageBody", "%v", err)
	}
	return e, nil
}

// pick finds the documented members and returns the JSON of messageBody. Names are compared without regard to case, so
// that a push in which two parsers could take different members for the same is refused.
func (e *envelope) pick() (literal []byte, refusal *dialect.Error) {
	for _, known := range []struct {
		name, also string
		value      *[]byte
	}{
		{"messageBody", "", &literal},
		{"messageType", "", &e.kind},
		{"messagePlatform", "", &e.platform},
		{"timestamp", "Timestamp", &e.time}, // the documentation's prose has the capital, its sample has not
	} {
		found := false
		for _, m := range e.members {
			if !bytes.EqualFold(m.Name, []byte(known.name)) {
				continue
			}
			if found {
				return nil, dialect.Refuse(dialect.ReasonMalformed, "body member "+known.name, "is there twice, in two spellings")
			}
			found = true
			if name := string(m.Name); name == known.name || name == known.also {
				*known.value = m.Value
			}
		}
	}
	return literal, nil
}

// verify returns which of the live secrets made the signature, given in hex in either case.
func verify(secrets []*dialect.HMAC, given string, text []byte) (int, *dialect.Error) {
	if given == "" {
		return 0, dialect.Refuse(dialect.ReasonSignature, "header "+signatureHeader, "is missing")
	}
	mac, err := hex.DecodeString(given)
	if err != nil || len(mac) != sha256.Size {
		return 0, dialect.Refuse(dialect.ReasonSignature, "header "+signatureHeader, "is not 64 hexadecimal digits alone")
	}
	if len(secrets) == 0 {
		return 0, dialect.Refuse(dialect.ReasonSettings, "setting access_secret", "is not set, so no signature can be judged")
	}
	var sum [sha256.Size]byte
	for i, secret := range secrets {
		if hmac.Equal(mac, secret.Append(sum[:0], text)) {
			return i, nil
		}
	}
	return 0, dialect.Refuse(dialect.ReasonSignature, "header "+signatureHeader,
		"matches messageBody under none of the live secrets")
}

// received makes the message. Its signature is right, so whatever is odd about the rest does not refuse it.
func (e *envelope) received(keep time.Duration, key int) dialect.Received {
	hash := sha256.Sum256(e.body)
	digest := hex.EncodeToString(hash[:])
	got := dialect.Received{
		Payload:  dialect.WrapRaw(e.body),
		Platform: dialect.RestOfMembers(e.members, "messageType", "messageBody", "messagePlatform", "timestamp", "Timestamp"),
		Twin:     digest,
		TwinKeep: keep,
		TwinMark: "unsignedPartChanged",
		Key:      key,
	}
	platform, _ := dialect.MemberText(e.platform)
	if dialect.Printable(platform) {
		got.Platform["messagePlatform"] = platform
	} else {
		platform = ""
	}
	if t, ok := dialect.MemberText(e.time); ok && dialect.Printable(t) {
		got.Platform["timestamp"] = t
		got.Time = milliseconds(t)
	}
	if kind, err := dialect.Unquote(e.kind); err == nil && dialect.Printable(string(kind)) {
		got.EventType = string(kind)
	} else {
		got.Unreadable = "messageType is not a printable text of 1 to 256 bytes"
	}
	if !dialect.Digits(platform, maxPlatform) {
		platform = strconv.Quote(platform) // so that a slash in it cannot be taken for the end of it
	}
	got.DedupKey = platform + "/" + got.EventType + "/" + digest
	return got
}

// milliseconds reads a time stamp; the zero time means that it is none.
func milliseconds(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n >= maxTime {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}
