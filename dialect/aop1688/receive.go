package aop1688

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

const maxTime = 253402300800000 // milliseconds: the year 10000

func receive(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
	if in.Method != http.MethodPost && in.Method != "" {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonNotEnvelope, "method", "is not POST")
	}
	params, err := parseForm(in.Query, string(in.Body))
	if err != nil {
		reason := dialect.ReasonNotEnvelope
		if strings.Contains(in.Query, signatureParam) || strings.Contains(string(in.Body), signatureParam) {
			reason = dialect.ReasonMalformed
		}
		return dialect.Received{}, dialect.Refuse(reason, "form", "%v", err)
	}
	given, signed := find(params, signatureParam)
	message, has := find(params, messageParam)
	if !signed && !has {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonNotEnvelope, "form", "has neither %s nor %s", messageParam, signatureParam)
	}
	text := signedText(params)
	key, refusal := verify(s.All("app_secret"), given, text)
	if refusal != nil {
		return dialect.Received{}, refusal
	}
	got := read(params, message, has)
	got.Key = key
	if got.DedupKey == "" {
		sum := sha256.Sum256([]byte(text))
		got.DedupKey = "sha256:" + hex.EncodeToString(sum[:])
	}
	// Half, because what came that early must still be remembered when it is that old.
	if keep := policy(s).DedupFor; !got.Time.IsZero() && in.Now.Sub(got.Time).Abs() > keep/2 {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonReplay, "message member gmtBorn",
			"is further from now than half of what is remembered; if the platform does send such messages, lengthen dedup_for")
	}
	return got, nil
}

// verify returns which of the live secrets made the signature, given in hex in either case.
func verify(secrets []string, given, text string) (int, *dialect.Error) {
	if given == "" {
		return 0, dialect.Refuse(dialect.ReasonSignature, "parameter "+signatureParam, "is missing")
	}
	mac, err := hex.DecodeString(given)
	if err != nil {
		return 0, dialect.Refuse(dialect.ReasonSignature, "parameter "+signatureParam, "is not hexadecimal")
	}
	if len(secrets) == 0 {
		return 0, dialect.Refuse(dialect.ReasonSettings, "setting app_secret", "is not set, so no signature can be judged")
	}
	for i, secret := range secrets[:min(len(secrets), dialect.MaxLiveSecrets)] {
		if hmac.Equal(mac, signatureOf(secret, text)) {
			return i, nil
		}
	}
	return 0, dialect.Refuse(dialect.ReasonSignature, "parameter "+signatureParam, "matches the parameters under none of the live secrets")
}

// read makes the message. Its signature is right, so whatever is odd about it does not refuse it.
func read(params []param, message string, has bool) dialect.Received {
	got := dialect.Received{Payload: []byte("{}"), Platform: others(params)}
	if !has {
		got.Unreadable = "the form has no parameter message"
		return got
	}
	members, err := dialect.ReadObject([]byte(message))
	if err != nil {
		got.Payload = dialect.WrapRaw([]byte(message))
		got.Unreadable = "message " + err.Error()
		return got
	}
	for name, value := range dialect.RestOfMembers(members, "type", "data") {
		got.Platform[name] = value
	}
	if id, _ := dialect.MemberText(dialect.FindMember(members, "msgId")); dialect.Printable(id) {
		got.EventID, got.DedupKey = id, id
	}
	born, _ := dialect.MemberText(dialect.FindMember(members, "gmtBorn"))
	if n, err := strconv.ParseInt(born, 10, 64); err == nil && n > 0 && n < maxTime {
		got.Time = time.UnixMilli(n).UTC()
	}
	if data := dialect.FindMember(members, "data"); data != nil {
		got.Payload = dialect.WrapRaw(data)
	} else {
		got.Unreadable = "message has no member data"
	}
	if kind, err := dialect.Unquote(dialect.FindMember(members, "type")); err == nil && dialect.Printable(string(kind)) {
		got.EventType = string(kind)
	} else {
		got.Unreadable = "message member type is not a printable text of 1 to 256 bytes"
	}
	return got
}

// others are the parameters beside the message, all of them signed.
func others(params []param) map[string]string {
	members := make([]dialect.Member, 0, len(params))
	for _, p := range params {
		members = append(members, dialect.Member{Name: []byte(p.name), Value: dialect.AppendQuote(nil, p.value)})
	}
	return dialect.RestOfMembers(members, messageParam, signatureParam)
}
