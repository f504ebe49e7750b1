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
	names                    headerSet
	id, timestamp, signature string
}

// receive verifies and reads a request.
func receive(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
	m, refusal := readHeaders(s, in.Header)
	if refusal != nil {
		return dialect.Received{}, refusal
	}
	keys, err := parseSecrets(s, dialect.Receiving)
	if err != nil {
		return dialect.Received{}, badSetting(err)
	}
	skew, err := tolerance(s)
	if err != nil {
		return dialect.Received{}, badSetting(err)
	}
	k, refusal := verify(keys, m, in.Body)
	if refusal != nil {
		return dialect.Received{}, refusal
	}
	seconds, _ := strconv.ParseInt(m.timestamp, 10, 64) // readHeaders let digits through only
	if off := in.Now.Unix() - seconds; max(off, -off) > int64(skew/time.Second) {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonReplay, "header "+m.names.timestamp,
			"is right, but %d seconds from our time, and %s are allowed: a replay, or a clock that is wrong", max(off, -off), skew)
	}
	got := dialect.Received{
		EventID:  m.id,
		Platform: map[string]string{strings.ToLower(m.names.id): m.id, strings.ToLower(m.names.timestamp): m.timestamp},
		DedupKey: m.id,
		Time:     time.Unix(seconds, 0).UTC(),
		Key:      k,
		Rule:     keys[k].version(),
	}
	members, err := dialect.SplitObject(in.Body)
	if got.Payload = in.Body; err != nil {
		got.Payload = dialect.WrapRaw(in.Body)
	}
	got.EventType, got.Unreadable = eventType(s, members)
	return got, nil
}

// readHeaders finds the set of headers that the request uses and reads it strictly. A set counts as used when any of its
// headers is there, so that what is missing in one is never taken from the other.
func readHeaders(s dialect.Settings, h http.Header) (metadata, *dialect.Error) {
	var used *headerSet
	accepted := s.Or("headers", headersBoth)
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
	m := metadata{names: *used}
	for _, f := range []struct {
		name   string
		into   *string
		reason dialect.Reason
	}{
		{used.id, &m.id, dialect.ReasonMalformed},
		{used.timestamp, &m.timestamp, dialect.ReasonMalformed},
		{used.signature, &m.signature, dialect.ReasonSignature},
	} {
		if len(h.Values(f.name)) > 1 {
			return m, dialect.Refuse(dialect.ReasonMalformed, "header "+f.name, "is there more than once")
		}
		if *f.into = dialect.Header(h, f.name); *f.into == "" {
			return m, dialect.Refuse(f.reason, "header "+f.name, "is missing")
		}
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
	var shared, private []string
	for one := range strings.SplitSeq(m.signature, " ") {
		if text, ok := strings.CutPrefix(one, versionShared); ok {
			shared = append(shared, text)
		} else if text, ok := strings.CutPrefix(one, versionPrivate); ok {
			private = append(private, text)
		}
	}
	var content []byte
	for i, k := range keys {
		if k.public == nil {
			if len(shared) > 0 && anyEqual(mac(k.shared, m.id, m.timestamp, body), shared) {
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

// anyEqual compares texts, not decoded bytes, so that each signature has one spelling only.
func anyEqual(right []byte, given []string) bool {
	found := 0
	for _, g := range given {
		found |= subtle.ConstantTimeCompare(right, []byte(g))
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

// eventType finds the event type of a verified payload: the spec has no place for it but recommends the member "type".
func eventType(s dialect.Settings, members []dialect.Member) (name, unreadable string) {
	name = s.Or("event_type", defaultType)
	value := find(members, s.Or("event_type_path", defaultTypePath))
	if len(value) == 0 || value[0] != '"' || string(value) == `""` {
		return name, ""
	}
	found, err := dialect.Unquote(value)
	if err != nil || !dialect.Printable(string(found)) {
		return name, "the event type in the payload is over 256 bytes or holds characters that cannot be printed"
	}
	return string(found), ""
}

// find returns the value at a path of member names, nil when there is none.
func find(members []dialect.Member, path string) []byte {
	name, rest, deeper := strings.Cut(path, ".")
	value := dialect.FindMember(members, name)
	if !deeper {
		return value
	}
	members, _ = dialect.SplitObject(value) // what is no object has no members
	return find(members, rest)
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
