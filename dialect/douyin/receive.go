package douyin

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/waypost/waypost/dialect"
)

const maxSeconds = 253402300800 // the year 10000

// receive verifies the raw bytes first and reads them strictly then. The strictness is part of the verification: whoever
// holds one signed body can sign that body with SHA-1's padding and own text behind it, and only a parser that takes the
// padding amiss tells.
func receive(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
	if in.Method != http.MethodPost && in.Method != "" {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonNotEnvelope, "method", "is not POST")
	}
	given := dialect.Header(in.Header, signatureHeader)
	if given == "" {
		return unsigned(s, in.Body)
	}
	body, key, refusal := verify(s, given, in.Body)
	if refusal != nil {
		return dialect.Received{}, refusal
	}
	members, err := dialect.ReadObject(body)
	if err != nil {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonSignature, "body",
			"%v; its signature is right, but such a body counts as forged, because what was signed once can be lengthened", err)
	}
	if !ours(s, members) {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonSettings, "body member client_key",
			"is not the client_key of the settings, though the signature is right: correct the setting, or give that app a source of its own")
	}
	if answer, ok := challengeOf(members); ok {
		return dialect.Received{Reply: answer, Key: key}, nil
	}
	m := message{members: members, body: body, id: messageID(in.Header), key: key}
	if isChallenge(members) {
		m.unreadable = "a verify_webhook without a challenge that can be answered"
	}
	return m.received(s, in.Now)
}

// unsigned judges a request without a signature: a challenge may be answered, nothing else is accepted.
func unsigned(s dialect.Settings, body []byte) (dialect.Received, error) {
	members, err := dialect.ReadObject(body)
	if errors.Is(err, dialect.ErrNotObject) {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonNotEnvelope, "body", "%v", err)
	}
	if err == nil && dialect.FindMember(members, "event") == nil {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonNotEnvelope, "body member event", "is missing")
	}
	if answer, ok := challengeOf(members); ok && ours(s, members) && s.Bool("answer_unsigned_challenge", true) {
		return dialect.Received{Reply: answer}, nil
	}
	return dialect.Received{}, dialect.Refuse(dialect.ReasonSignature, "header "+signatureHeader, "is missing")
}

// verify returns the bytes that are signed, which are the body as it came unless the settings allow its line ends to be
// left out, and which of the live secrets signed them.
func verify(s dialect.Settings, given string, body []byte) ([]byte, int, *dialect.Error) {
	secrets := s.All("client_secret")
	secrets = secrets[:min(len(secrets), dialect.MaxLiveSecrets)]
	if len(secrets) == 0 {
		return nil, 0, dialect.Refuse(dialect.ReasonSettings, "setting client_secret", "is not set, so no signature can be judged")
	}
	for i, secret := range secrets {
		if matches(given, secret, body) {
			return body, i, nil
		}
	}
	if s.Bool("strip_line_ends", false) && bytes.ContainsAny(body, "\r\n") {
		stripped := bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("\n"), nil), []byte("\r"), nil)
		for i, secret := range secrets {
			if matches(given, secret, stripped) {
				return stripped, i, nil
			}
		}
	}
	return nil, 0, dialect.Refuse(dialect.ReasonSignature, "header "+signatureHeader, "matches the body under none of the live secrets")
}

func matches(given, secret string, body []byte) bool {
	want := signatureOf(secret, body)
	return subtle.ConstantTimeCompare([]byte(given), want[:]) == 1
}

// signatureOf is the platform's signature: lower hex of SHA-1 over secret and body, and not an HMAC.
func signatureOf(secret string, body []byte) (text [2 * sha1.Size]byte) {
	h := sha1.New()
	_, _ = io.WriteString(h, secret)
	h.Write(body)
	var sum [sha1.Size]byte
	hex.Encode(text[:], h.Sum(sum[:0]))
	return text
}

// ours says whether a push is for the app of the settings. A verify_webhook may name none.
func ours(s dialect.Settings, members []dialect.Member) bool {
	want := s.Get("client_key")
	got, _ := dialect.MemberText(dialect.FindMember(members, "client_key"))
	return want == "" || got == want || got == "" && isChallenge(members)
}

// messageID returns the platform's id. It stands in a header, so that no signature covers it.
func messageID(h http.Header) string {
	for _, name := range []string{idHeader, idHeaderAlso} {
		if id := dialect.Header(h, name); dialect.Printable(id) {
			return id
		}
	}
	return ""
}

// message is a push whose signature is right.
type message struct {
	members []dialect.Member
	body    []byte // the signed bytes
	id      string // Msg-Id, "" = none
	key     int

	text       []byte           // content decoded
	inner      []dialect.Member // of content, when it is an object
	unreadable string
}

func (m *message) received(s dialect.Settings, now time.Time) (dialect.Received, error) {
	content := dialect.FindMember(m.members, "content")
	payload := m.read(content)
	at := m.time()
	if age := s.Duration("max_age", 0); age > 0 && !at.IsZero() && now.Sub(at) > age {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonReplay, "content member msg_time", "is older than the setting max_age allows")
	}
	account, _ := dialect.MemberText(dialect.FindMember(m.members, "client_key"))
	if !dialect.Printable(account) {
		account = ""
	}
	digest := hashOf(content)
	got := dialect.Received{
		EventType: m.eventType(),
		EventID:   m.id,
		Account:   account,
		Payload:   payload,
		Platform:  dialect.RestOfMembers(m.members, "event", "content"),
		DedupKey:  account + "/" + m.id,
		// The id is not signed: the same content under another id is accepted, and marked.
		Twin:       digest,
		TwinKeep:   policy(s).DedupFor,
		TwinMark:   "possibleDuplicateOf",
		Time:       at,
		Unreadable: m.unreadable,
		Key:        m.key,
	}
	switch {
	case m.id == "":
		got.DedupKey += "/" + hashOf(m.body)
	case s.Get("dedup") != "msg_id":
		got.DedupKey += "/" + digest
	}
	if m.id != "" {
		got.Platform[idHeader] = m.id
	}
	return got, nil
}

// read decodes content, which is a string of JSON in business events and may be an object, and returns the payload.
func (m *message) read(content []byte) []byte {
	if content == nil {
		m.unreadable = "content is missing"
		return []byte("{}")
	}
	m.text = content
	if content[0] == '"' {
		text, err := dialect.Unquote(content)
		if err != nil {
			m.unreadable = "content " + err.Error()
			return dialect.WrapRaw(content)
		}
		m.text = text
	}
	inner, err := dialect.SplitObject(m.text)
	if err != nil {
		return dialect.WrapRaw(m.text)
	}
	m.inner = inner
	return m.text
}

// eventType is the event, and the action of the content behind a dot where there is one.
func (m *message) eventType() string {
	event, err := dialect.Unquote(dialect.FindMember(m.members, "event"))
	if err != nil || !dialect.Printable(string(event)) {
		m.unreadable = "event is not a printable text of 1 to 256 bytes"
		return ""
	}
	var action []byte
	for _, member := range m.inner {
		if string(member.Name) != "action" {
			continue
		}
		if action != nil {
			m.unreadable = "content has two members action"
			return string(event)
		}
		if action, err = dialect.Unquote(member.Value); err != nil {
			action = []byte{}
		}
	}
	kind := string(event)
	if len(action) > 0 {
		kind += "." + string(action)
	}
	if !dialect.Printable(kind) {
		m.unreadable = "event and content.action together are not a printable text of up to 256 bytes"
		return string(event)
	}
	return kind
}

// time reads content.msg_time, in seconds; zero = there is none.
func (m *message) time() time.Time {
	text, _ := dialect.MemberText(dialect.FindMember(m.inner, "msg_time"))
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n >= maxSeconds {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
