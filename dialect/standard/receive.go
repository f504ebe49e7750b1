package standard

import (
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

const (
	maxSignatures   = 32      // in one header; a sender with eleven live secrets sends eleven
	maxSignatureLen = 8 << 10 // bytes of that header
	maxTimestampLen = 12      // digits: until the year 33658
)

// metadata is the three headers of a request, and the names under which they came.
type metadata struct {
	names                    *headerSet
	id, timestamp, signature string
}

// receive verifies and reads a request.
func receive(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
	return receiver(s)(in)
}

// reading is what the settings say of received requests.
type reading struct {
	accepted         string // which headers
	keys             []key
	skew             time.Duration
	typePath, noType string
}

// receiver is Dialect.Receiver. What is wrong with the settings is told only of a request that has the headers of one.
func receiver(s dialect.Settings) func(dialect.Inbound) (dialect.Received, error) {
	r := reading{
		accepted: s.Or("headers", headersBoth), typePath: s.Or("event_type_path", defaultTypePath), noType: s.Or("event_type", defaultType),
	}
	var err error
	if r.keys, err = parseSecrets(s, dialect.Receiving); err == nil {
		r.skew, err = tolerance(s)
	}
	return func(in dialect.Inbound) (dialect.Received, error) {
		m, refusal := readHeaders(r.accepted, in.Header)
		if refusal != nil {
			return dialect.Received{}, refusal
		}
		if err != nil {
			return dialect.Received{}, badSetting(err)
		}
		return r.receive(m, in)
	}
}

func (r *reading) receive(m metadata, in dialect.Inbound) (dialect.Received, error) {
	k, refusal := verify(r.keys, m, in.Body)
	if refusal != nil {
		return dialect.Received{}, refusal
	}
	seconds, _ := strconv.ParseInt(m.timestamp, 10, 64) // readHeaders let digits through only
	if off := in.Now.Unix() - seconds; max(off, -off) > int64(r.skew/time.Second) {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonReplay, "header "+m.names.timestamp,
			"is right, but %d seconds from our time, and %s are allowed: a replay, or a clock that is wrong", max(off, -off), r.skew)
	}
	got := dialect.Received{
		EventID:  m.id,
		Platform: map[string]string{m.names.idMember: m.id, m.names.timestampMember: m.timestamp},
		DedupKey: m.id,
		Time:     time.Unix(seconds, 0).UTC(),
		Key:      k,
		Rule:     r.keys[k].version(),
	}
	var err error
	if got.EventType, got.Unreadable, err = r.eventType(in.Body); err != nil {
		got.Payload = dialect.WrapRaw(in.Body)
	} else {
		got.Payload = in.Body
	}
	return got, nil
}

// readHeaders finds the set of headers that the request uses and reads it strictly. A set counts as used when any of its
// headers is there, so that what is missing in one is never taken from the other.
func readHeaders(accepted string, h http.Header) (metadata, *dialect.Error) {
	var used *headerSet
	if accepted != headersSvix && webhookSet.in(h) {
		used = &webhookSet
	} else if accepted != headersWebhook && svixSet.in(h) {
		used = &svixSet
	}
	switch {
	case used == nil && (webhookSet.in(h) || svixSet.in(h)):
		return metadata{}, dialect.Refuse(dialect.ReasonMalformed, "setting headers", "allows only the %s- headers, and the request has the others", accepted)
	case used == nil:
		return metadata{}, dialect.Refuse(dialect.ReasonNotEnvelope, "", "there is none of the headers webhook-id, webhook-timestamp and webhook-signature")
	}
	m := metadata{names: used}
	var refusal *dialect.Error
	if m.id, refusal = only(h, used.id, dialect.ReasonMalformed); refusal != nil {
		return m, refusal
	}
	if m.timestamp, refusal = only(h, used.timestamp, dialect.ReasonMalformed); refusal != nil {
		return m, refusal
	}
	if m.signature, refusal = only(h, used.signature, dialect.ReasonSignature); refusal != nil {
		return m, refusal
	}
	switch {
	case !usableID(m.id):
		return m, dialect.Refuse(dialect.ReasonMalformed, "header "+used.id, "must be 1 to %d printable ASCII characters without blanks and full stops", maxID)
	case !usableTimestamp(m.timestamp):
		return m, dialect.Refuse(dialect.ReasonMalformed, "header "+used.timestamp, "must be whole seconds since 1970 in digits")
	case len(m.signature) > maxSignatureLen || strings.Count(m.signature, " ") >= maxSignatures:
		return m, dialect.Refuse(dialect.ReasonMalformed, "header "+used.signature, "holds more than %d signatures or %d bytes", maxSignatures, maxSignatureLen)
	}
	return m, nil
}

// only returns the value of a header that must be there once.
func only(h http.Header, name string, missing dialect.Reason) (string, *dialect.Error) {
	if len(h[name]) > 1 {
		return "", dialect.Refuse(dialect.ReasonMalformed, "header "+name, "is there more than once")
	}
	v := dialect.Header(h, name)
	if v == "" {
		return "", dialect.Refuse(missing, "header "+name, "is missing")
	}
	return v, nil
}

func (set *headerSet) in(h http.Header) bool {
	return dialect.Header(h, set.signature) != "" || dialect.Header(h, set.id) != "" || dialect.Header(h, set.timestamp) != ""
}

// usableTimestamp allows one spelling of each second, because the text is what is signed.
func usableTimestamp(v string) bool { return dialect.Digits(v, maxTimestampLen) && v[0] != '0' }

// version names the signatures that a key verifies.
func (k *key) version() string {
	if k.public == nil {
		return "v1"
	}
	return "v1a"
}

// verify returns the first live key that one of the signatures is right for. Signatures of unknown versions are left
// aside (spec), and each version is tried with its own kind of key only.
func verify(keys []key, m metadata, body []byte) (int, *dialect.Error) {
	var some [4]string // room enough for nearly all
	shared, private := some[:0:2], some[2:2]
	for one := range strings.SplitSeq(m.signature, " ") {
		if text, ok := strings.CutPrefix(one, versionShared); ok {
			shared = append(shared, text)
		} else if text, ok := strings.CutPrefix(one, versionPrivate); ok {
			private = append(private, text)
		}
	}
	var content []byte
	for i := range keys {
		k := &keys[i]
		if k.public == nil {
			if len(shared) > 0 && k.made(shared, m, body) {
				return i, nil
			}
			continue
		}
		if content == nil && len(private) > 0 {
			content = signedContent(m.id, m.timestamp, body)
		}
		if anySigned(k.public, content, private) {
			return i, nil
		}
	}
	return 0, noMatch(keys, m, len(shared), len(private))
}

// made says whether a shared key made one of the signatures. It compares texts, not decoded bytes, so that each signature has
// one spelling only.
func (k *key) made(given []string, m metadata, body []byte) bool {
	var right, other [macText]byte
	appendMAC(right[:0], k.mac, m.id, m.timestamp, body)
	found := 0
	for _, g := range given {
		if len(g) == macText {
			copy(other[:], g)
			found |= subtle.ConstantTimeCompare(right[:], other[:])
		}
	}
	return found == 1
}

func anySigned(public ed25519.PublicKey, content []byte, given []string) bool {
	for _, g := range given {
		if len(g) != base64.StdEncoding.EncodedLen(ed25519.SignatureSize) {
			continue
		}
		sig, err := strictBase64.DecodeString(g)
		if err == nil && len(sig) == ed25519.SignatureSize && ed25519.Verify(public, content, sig) {
			return true
		}
	}
	return false
}

// noMatch says why as far as it helps the one who set the secrets.
func noMatch(keys []key, m metadata, shared, private int) *dialect.Error {
	hmacKeys := 0
	for _, k := range keys {
		if k.public == nil {
			hmacKeys++
		}
	}
	text := "matches none of the live secrets"
	switch {
	case shared+private == 0:
		text = "holds no signature of version v1 or v1a"
	case shared > 0 && private == 0 && hmacKeys == 0:
		text = "holds v1 signatures only, and every live secret is a public key (whpk_), which verifies v1a"
	case private > 0 && shared == 0 && hmacKeys == len(keys):
		text = "holds v1a signatures only, and every live secret is a shared one (whsec_), which verifies v1"
	}
	return dialect.Refuse(dialect.ReasonSignature, "header "+m.names.signature, "%s", text)
}

// eventType finds the event type of a verified payload: the spec has no place for it but recommends the member "type". The
// error means that the payload is no JSON object.
func (r *reading) eventType(body []byte) (name, unreadable string, err error) {
	value, err := find(body, r.typePath)
	if len(value) == 0 || value[0] != '"' || string(value) == `""` {
		return r.noType, "", err
	}
	found, wrong := dialect.Unquote(value)
	if wrong != nil || !dialect.Printable(string(found)) {
		return r.noType, "the event type in the payload is over 256 bytes or holds characters that cannot be printed", nil
	}
	return string(found), "", nil
}

// find returns the value at a path of member names of an object, nil when there is none.
func find(object []byte, path string) ([]byte, error) {
	name, rest, deeper := strings.Cut(path, ".")
	value, err := dialect.Lookup(object, name)
	if err != nil || !deeper {
		return value, err
	}
	value, _ = find(value, rest) // what is no object has no members
	return value, nil
}

// replies are the words beside the status: senders show them to the people who look into a failure.
var replies = map[dialect.Result]string{
	dialect.Forged:      "the signature or the time of this message was not accepted",
	dialect.Malformed:   "this is not a Standard Webhooks message",
	dialect.TooLarge:    "this message is too large",
	dialect.Unavailable: "try again later",
	dialect.NoSuchDoor:  "there is nothing at this address",
}

// reply acknowledges with an empty 200, which the spec's 2xx allows and senders that know one status only expect.
func reply(_ dialect.Settings, o dialect.Outcome) dialect.Reply {
	r := dialect.Reply{Status: o.Result.DefaultStatus()}
	if text := replies[o.Result]; text != "" {
		r.ContentType, r.Body = "text/plain; charset=utf-8", []byte(text)
	}
	return r
}
