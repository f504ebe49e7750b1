package douyinspi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

const maxTime = 253402300800000 // milliseconds: the year 10000

func receive(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
	if in.Method != http.MethodPost && in.Method != "" {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonNotEnvelope, "method", "is not POST")
	}
	given := dialect.Header(in.Header, signatureHeader)
	if given == "" && len(in.Body) == 0 {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonNotEnvelope, "request", "has neither a body nor header "+signatureHeader)
	}
	if given == "" {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonSignature, "header "+signatureHeader, "is missing")
	}
	params, err := parseQuery(s, in.Query)
	if err != nil {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonMalformed, "query", "%v", err)
	}
	key, refusal := verify(s, given, params, in.Body)
	if refusal == nil {
		refusal = genuine(s, params, in)
	}
	if refusal != nil {
		return dialect.Received{}, refusal
	}
	return received(s, params, in.Body, key), nil
}

// verify returns which of the live secrets made the signature.
func verify(s dialect.Settings, given string, params []param, body []byte) (int, *dialect.Error) {
	secrets := s.All("client_secret")
	if len(secrets) == 0 {
		return 0, dialect.Refuse(dialect.ReasonSettings, "setting client_secret", "is not set, so no signature can be judged")
	}
	for i, secret := range secrets[:min(len(secrets), dialect.MaxLiveSecrets)] {
		want := signatureOf(s, secret, params, body)
		if subtle.ConstantTimeCompare([]byte(given), want[:]) == 1 {
			return i, nil
		}
	}
	return 0, dialect.Refuse(dialect.ReasonSignature, "header "+signatureHeader, "matches URL parameters and body under none of the live secrets")
}

// genuine finds what the digest alone does not: a plain digest can be lengthened, and its text does not say where one
// part ends, so the body must be JSON to its last byte, and client_key and timestamp must be what they are to be.
func genuine(s dialect.Settings, params []param, in dialect.Inbound) *dialect.Error {
	if len(in.Body) > 0 && (!json.Valid(in.Body) || !utf8.Valid(in.Body)) {
		return dialect.Refuse(dialect.ReasonSignature, "body", "is not JSON in UTF-8; its signature is right, but such a body counts as forged, because what was signed once can be lengthened")
	}
	account := find(params, "client_key")
	if account != "" && !plainKey(account) {
		return dialect.Refuse(dialect.ReasonSignature, "URL parameter client_key", "holds a separator, so the signed text can be read in two ways; it counts as forged")
	}
	if want := s.Get("client_key"); want != "" && want != account {
		return dialect.Refuse(dialect.ReasonSettings, "URL parameter client_key",
			"is not the client_key of the settings, though the signature is right: correct the setting, or give that app a source of its own")
	}
	at := timeOf(params)
	if at.IsZero() {
		return dialect.Refuse(dialect.ReasonReplay, "URL parameter timestamp", "is missing or no time in milliseconds")
	}
	// Half, because what came that early must still be remembered when it is that old.
	if keep := policy(s).DedupFor; in.Now.Sub(at).Abs() > keep/2 {
		return dialect.Refuse(dialect.ReasonReplay, "URL parameter timestamp", "is further from now than half of the setting dedup_for")
	}
	return nil
}

// plainKey says whether a client_key cannot be taken for more than one parameter.
func plainKey(key string) bool { return dialect.Printable(key) && !strings.ContainsAny(key, "&= ") }

func timeOf(params []param) time.Time {
	text := find(params, "timestamp")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !dialect.Digits(text, 15) || n == 0 || n >= maxTime {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}

func received(s dialect.Settings, params []param, body []byte, key int) dialect.Received {
	payload := []byte("{}")
	if len(body) > 0 {
		payload = dialect.WrapRaw(body)
	}
	return dialect.Received{
		EventType: s.Or("event_type", defaultEvent),
		Account:   find(params, "client_key"),
		Payload:   payload,
		Platform:  platform(params),
		DedupKey:  dedupKey(params, body),
		Time:      timeOf(params),
		Key:       key,
	}
}

func platform(params []param) map[string]string {
	members := make([]dialect.Member, 0, len(params))
	for _, p := range params {
		members = append(members, dialect.Member{Name: []byte(p.name), Value: dialect.AppendQuote(nil, p.decoded)})
	}
	return dialect.RestOfMembers(members)
}

// dedupKey is a digest of all that is signed but the time, which is new in a repeat.
func dedupKey(params []param, body []byte) string {
	h := sha256.New()
	for _, p := range params {
		if p.name == "timestamp" {
			continue
		}
		for _, text := range []string{p.name, p.decoded} {
			_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
			_, _ = io.WriteString(h, text)
		}
	}
	h.Write([]byte{0xff}) // no length begins with it: the parameters end here
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}
