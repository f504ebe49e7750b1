package douyin

import (
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// logZone is the zone of the time that a log_id begins with.
var logZone = time.FixedZone("UTC+8", 8*60*60)

// sign makes a push. Body and Msg-Id are the same over all attempts, so that a receiver can tell the repeats.
func sign(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
	secret, err := signingSecret(s)
	if err != nil {
		return dialect.Request{}, err
	}
	event := eventOf(o)
	if !dialect.Printable(event) {
		return dialect.Request{}, dialect.CannotSend("douyin: signing: the event type must be a printable text of 1 to 256 bytes, and more than an action")
	}
	clientKey := s.Or("client_key", o.Platform["client_key"])
	if clientKey == "" {
		return dialect.Request{}, errors.New("douyin: signing: there is no client_key; set it for the endpoint, or give the message one in platform")
	}
	id, logID := idsOf(o)
	if !dialect.Printable(id) {
		return dialect.Request{}, dialect.CannotSend("douyin: signing: platform member Msg-Id must be a printable text of 1 to 256 bytes")
	}
	e := envelope{pretty: s.Bool("pretty_body", false), b: make([]byte, 0, len(o.Payload)+len(o.Payload)/4+256)}
	e.add("event", []byte(event))
	e.add("client_key", []byte(clientKey))
	for _, name := range []string{"from_user_id", "to_user_id"} {
		if v, ok := o.Platform[name]; ok {
			e.add(name, []byte(v))
		}
	}
	e.add("content", o.Payload)
	e.add("log_id", []byte(logID))
	body := e.end()
	if !utf8.Valid(body) {
		return dialect.Request{}, dialect.CannotSend("douyin: signing: the payload or a platform member is not UTF-8")
	}
	return request(secret, id, body), nil
}

func signingSecret(s dialect.Settings) (string, error) {
	secrets := s.All("client_secret")
	if len(secrets) == 0 {
		return "", errors.New("douyin: signing: setting client_secret is empty; enter the app's client_secret")
	}
	return secrets[0], nil
}

// request signs the very bytes that are sent.
func request(secret, id string, body []byte) dialect.Request {
	signature := signatureOf(secret, body)
	return dialect.Request{
		Method: http.MethodPost,
		Header: http.Header{"Content-Type": {contentType}, idHeader: {id}, signatureHeader: {string(signature[:])}},
		Body:   body,
	}
}

// eventOf is the event type without the action that the content says anyway.
func eventOf(o dialect.Outbound) string {
	members, err := dialect.SplitObject(o.Payload)
	if err != nil {
		return o.EventType
	}
	if action, err := dialect.Unquote(dialect.FindMember(members, "action")); err == nil && len(action) > 0 {
		return strings.TrimSuffix(o.EventType, "."+string(action))
	}
	return o.EventType
}

// idsOf returns the message's Msg-Id and log_id. What it does not bring is drawn from its seed: the one is 32
// hexadecimal digits, the other has the form of the platform's, a time to the second and 20 hexadecimal digits.
func idsOf(o dialect.Outbound) (msgID, logID string) {
	msgID, hasMsgID := o.Platform[idHeader]
	logID, hasLogID := o.Platform["log_id"]
	if hasMsgID && hasLogID {
		return msgID, logID
	}
	random := dialect.Derive(o.Seed, "douyin/ids", 26)
	if !hasMsgID {
		msgID = hex.EncodeToString(random[:16])
	}
	if !hasLogID {
		logID = o.Created.In(logZone).Format("20060102150405") + strings.ToUpper(hex.EncodeToString(random[16:]))
	}
	return msgID, logID
}

// envelope writes a JSON object of strings, with no escapes but those that JSON needs.
type envelope struct {
	b      []byte
	pretty bool
}

func (e *envelope) add(name string, text []byte) {
	opener := byte(',')
	if len(e.b) == 0 {
		opener = '{'
	}
	e.b = append(e.b, opener)
	if e.pretty {
		e.b = append(e.b, "\n  "...)
	}
	e.b = append(dialect.AppendQuote(e.b, name), ':')
	if e.pretty {
		e.b = append(e.b, ' ')
	}
	e.b = dialect.AppendQuote(e.b, text)
}

func (e *envelope) end() []byte {
	if e.pretty {
		e.b = append(e.b, '\n')
	}
	return append(e.b, '}')
}
