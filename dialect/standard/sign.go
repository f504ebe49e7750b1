package standard

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

// The versions of a signature (spec).
const (
	versionShared  = "v1,"
	versionPrivate = "v1a,"
)

// The values of the setting headers.
const (
	headersWebhook = "webhook"
	headersSvix    = "svix"
	headersBoth    = "both"
)

// headerSet is one spelling of the three headers, in the capitals in which Svix sends them over HTTP/1.1.
type headerSet struct {
	id, timestamp, signature  string
	idMember, timestampMember string // of Received.Platform
}

var (
	webhookSet = headerSet{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "webhook-id", "webhook-timestamp"}
	svixSet    = headerSet{"Svix-Id", "Svix-Timestamp", "Svix-Signature", "svix-id", "svix-timestamp"}
)

// macText is the length of an HMAC in base64.
const macText = 44

const maxID = 256 // bytes

// Sign makes the headers that deliver body under an id at a moment: the signatures of all live secrets, the first first,
// so that a receiver that holds any one of them can verify. Body may be any bytes. The id must be the same over all
// attempts of a message, and may hold printable ASCII without blanks and full stops. An error is a *dialect.Error.
func Sign(s dialect.Settings, id string, now time.Time, body []byte) (http.Header, error) {
	keys, err := parseSecrets(s, dialect.Sending)
	if err != nil {
		return nil, badSetting(err)
	}
	return signWith(keys, sentSets(s), id, now, body)
}

func signWith(keys []key, sets []headerSet, id string, now time.Time, body []byte) (http.Header, error) {
	if !usableID(id) {
		return nil, dialect.Refuse(dialect.ReasonMalformed, "message id", "must be 1 to %d printable ASCII characters without blanks and full stops", maxID)
	}
	var space [12]byte
	timestamp := string(strconv.AppendInt(space[:0], now.Unix(), 10))
	var text []byte
	for i := range keys {
		if i > 0 {
			text = append(text, ' ')
		}
		text = keys[i].sign(text, id, timestamp, body)
	}
	h := make(http.Header, 8)
	values := []string{id, timestamp, string(text)}
	for _, set := range sets {
		h[set.id], h[set.timestamp], h[set.signature] = values[0:1:1], values[1:2:2], values[2:3:3]
	}
	return h, nil
}

func sentSets(s dialect.Settings) []headerSet {
	switch s.Get("headers") {
	case headersSvix:
		return []headerSet{svixSet}
	case headersBoth:
		return []headerSet{webhookSet, svixSet}
	}
	return []headerSet{webhookSet}
}

// sign appends the signature of one key.
func (k *key) sign(text []byte, id, timestamp string, body []byte) []byte {
	if k.private != nil {
		signature := ed25519.Sign(k.private, signedContent(id, timestamp, body))
		return base64.StdEncoding.AppendEncode(append(text, versionPrivate...), signature)
	}
	return appendMAC(append(text, versionShared...), k.mac, id, timestamp, body)
}

// appendMAC appends the base64 text of an HMAC over what signedContent would be.
func appendMAC(text []byte, m *dialect.HMAC, id, timestamp string, body []byte) []byte {
	var sum [sha256.Size]byte
	return base64.StdEncoding.AppendEncode(text, m.Append(sum[:0], body, id, ".", timestamp, "."))
}

// mac returns the base64 text of an HMAC under a secret that is used once.
func mac(secret []byte, id, timestamp string, body []byte) []byte {
	return appendMAC(nil, dialect.NewHMAC(sha256.New, secret), id, timestamp, body)
}

// signedContent is what is signed (spec): id, timestamp and body, joined by full stops.
func signedContent(id, timestamp string, body []byte) []byte {
	b := make([]byte, 0, len(id)+len(timestamp)+2+len(body))
	b = append(append(b, id...), '.')
	b = append(append(b, timestamp...), '.')
	return append(b, body...)
}

// usableID keeps the full stop out: with one in it, the border between id and timestamp could be moved.
func usableID(id string) bool {
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' || c == '.' {
			return false
		}
	}
	return id != "" && len(id) <= maxID
}

// badSetting turns a Problem into a refusal.
func badSetting(err error) *dialect.Error {
	var p dialect.Problem
	if errors.As(err, &p) {
		return dialect.Refuse(dialect.ReasonSettings, "setting "+p.Field, "%s", p.Text)
	}
	return dialect.Refuse(dialect.ReasonSettings, "", "%v", err)
}

// sign is Dialect.Sign: the payload as posted, signed under the message's id.
func sign(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) { return signer(s)(o) }

// signer is Dialect.Signer.
func signer(s dialect.Settings) func(dialect.Outbound) (dialect.Request, error) {
	keys, err := parseSecrets(s, dialect.Sending)
	sets := sentSets(s)
	return func(o dialect.Outbound) (dialect.Request, error) {
		if err != nil {
			return dialect.Request{}, badSetting(err)
		}
		h, err := signWith(keys, sets, o.ID, o.Now, o.Payload)
		if err != nil {
			return dialect.Request{}, err
		}
		h["Content-Type"] = []string{"application/json"}
		return dialect.Request{Method: http.MethodPost, Header: h, Body: o.Payload}, nil
	}
}

// VerifyEvent is the type of the message that Handshake sends.
const VerifyEvent = "waypost.verify"

// handshake sends a signed message of the type VerifyEvent, which must be answered like any other. The spec has no
// handshake of its own.
func handshake(s dialect.Settings, n dialect.Nonce) (dialect.Request, func(dialect.Response) dialect.Verdict, error) {
	body := `{"type":"` + VerifyEvent + `","timestamp":"` + n.Now.UTC().Format(time.RFC3339) + `","data":{}}`
	r, err := sign(s, dialect.Outbound{
		ID:      "verify_" + hex.EncodeToString(dialect.Derive(n.Seed, "standard/verify", 16)),
		Now:     n.Now,
		Payload: []byte(body),
	})
	if err != nil {
		return dialect.Request{}, nil, err
	}
	return r, func(r dialect.Response) dialect.Verdict { return judge(s, r) }, nil
}

// judge follows the spec: 2xx is success, 410 ends the endpoint, everything else is tried again. A response header
// webhook-delivery beside a failure stops the message or the endpoint (Svix).
func judge(_ dialect.Settings, r dialect.Response) dialect.Verdict {
	v := dialect.JudgeStatus(r, func(status int) bool { return status >= 200 && status < 300 })
	if v.Kind == dialect.Accepted {
		return v
	}
	control := strings.TrimSpace(dialect.Header(r.Header, "webhook-delivery"))
	switch {
	case r.Status == http.StatusGone:
		v.Kind = dialect.Gone
	case control == "disable":
		return dialect.Verdict{Kind: dialect.Gone, Reason: v.Reason + " with webhook-delivery: disable"}
	case control == "abort-message":
		return dialect.Verdict{Kind: dialect.Refused, Reason: v.Reason + " with webhook-delivery: abort-message"}
	case r.Status >= 300 && r.Status < 400:
		v.Reason += "; redirects are not followed, give the endpoint its new address"
	}
	return v
}
