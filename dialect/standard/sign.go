package standard

import (
	"crypto/ed25519"
	"crypto/hmac"
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
type headerSet struct{ id, timestamp, signature string }

var (
	webhookSet = headerSet{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}
	svixSet    = headerSet{"Svix-Id", "Svix-Timestamp", "Svix-Signature"}
)

const maxID = 256 // bytes

// Sign makes the headers that deliver body under an id at a moment: the signatures of all live secrets, the first first,
// so that a receiver that holds any one of them can verify. Body may be any bytes. The id must be the same over all
// attempts of a message, and may hold printable ASCII without blanks and full stops. An error is a *dialect.Error.
func Sign(s dialect.Settings, id string, now time.Time, body []byte) (http.Header, error) {
	keys, err := parseSecrets(s, dialect.Sending)
	if err != nil {
		return nil, badSetting(err)
	}
	if !usableID(id) {
		return nil, dialect.Refuse(dialect.ReasonMalformed, "message id", "must be 1 to %d printable ASCII characters without blanks and full stops", maxID)
	}
	timestamp := strconv.FormatInt(now.Unix(), 10)
	signatures := make([]string, len(keys))
	for i, k := range keys {
		signatures[i] = k.sign(id, timestamp, body)
	}
	h := make(http.Header, 7)
	for _, set := range sentSets(s) {
		h[set.id] = []string{id}
		h[set.timestamp] = []string{timestamp}
		h[set.signature] = []string{strings.Join(signatures, " ")}
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

func (k key) sign(id, timestamp string, body []byte) string {
	if k.private != nil {
		return versionPrivate + base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, signedContent(id, timestamp, body)))
	}
	return versionShared + string(mac(k.shared, id, timestamp, body))
}

// mac returns the base64 text of an HMAC without copying the body.
func mac(secret []byte, id, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(id + "." + timestamp + "."))
	h.Write(body)
	return base64.StdEncoding.AppendEncode(nil, h.Sum(nil))
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
func sign(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
	h, err := Sign(s, o.ID, o.Now, o.Payload)
	if err != nil {
		return dialect.Request{}, err
	}
	h["Content-Type"] = []string{"application/json"}
	return dialect.Request{Method: http.MethodPost, Header: h, Body: o.Payload}, nil
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
	control := strings.TrimSpace(dialect.Header(r.Header, "webhook-delivery"))
	switch {
	case v.Kind == dialect.Accepted:
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
