package aop1688

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// testEvent is the type of the console's test message.
const testEvent = "SYSTEM_TEST_PLATFORM"

// sign makes a push. The message is the same over all attempts: gmtBorn is when it was accepted, msgId comes from the
// platform map or is drawn from the seed.
func sign(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
	secrets := s.All("app_secret")
	if len(secrets) == 0 {
		return dialect.Request{}, errors.New("aop1688: signing: setting app_secret is empty; enter the app secret")
	}
	if !dialect.Printable(o.EventType) {
		return dialect.Request{}, errors.New("aop1688: signing: the event type must be a printable text of 1 to 256 bytes")
	}
	if !json.Valid(o.Payload) {
		return dialect.Request{}, errors.New("aop1688: signing: the payload is not JSON, which it must be to stand in the message")
	}
	message := string(messageOf(s, o))
	if !utf8.ValidString(message) {
		return dialect.Request{}, errors.New("aop1688: signing: the payload or a platform member is not UTF-8")
	}
	text := signedText([]param{{messageParam, message}})
	mac := strings.ToUpper(hex.EncodeToString(signatureOf(secrets[0], text)))
	body := messageParam + "=" + url.QueryEscape(message) + "&" + signatureParam + "=" + mac
	return dialect.Request{
		Method: http.MethodPost,
		Header: http.Header{"Content-Type": {contentType}},
		Body:   []byte(body),
	}, nil
}

// messageOf writes the members in the order of the platform's sample, which is that of the alphabet.
func messageOf(s dialect.Settings, o dialect.Outbound) []byte {
	b := make([]byte, 0, len(o.Payload)+256)
	b = append(b, '{')
	if v, ok := o.Platform["bizKey"]; ok {
		b = append(dialect.AppendQuote(append(b, `"bizKey":`...), v), ',')
	}
	b = append(append(append(b, `"data":`...), o.Payload...), ',')
	if v, ok := o.Platform["extraInfo"]; ok {
		b = append(dialect.AppendQuote(append(b, `"extraInfo":`...), v), ',')
	}
	b = strconv.AppendInt(append(b, `"gmtBorn":`...), o.Created.UnixMilli(), 10)
	b = append(b, `,"msgId":`...)
	if id, ok := o.Platform["msgId"]; !ok {
		b = strconv.AppendUint(b, messageID(o.Seed), 10)
	} else if dialect.Digits(id, 19) && id[0] != '0' {
		b = append(b, id...)
	} else {
		b = dialect.AppendQuote(b, id)
	}
	b = dialect.AppendQuote(append(b, `,"type":`...), o.EventType)
	user, ok := o.Platform["userInfo"]
	if !ok {
		user = s.Get("member_id")
	}
	b = dialect.AppendQuote(append(b, `,"userInfo":`...), user)
	return append(b, '}')
}

// messageID is a number that no parser rounds: at most 2^52.
func messageID(seed [32]byte) uint64 {
	return binary.BigEndian.Uint64(dialect.Derive(seed, "aop1688/msg-id", 8))>>12 | 1
}

// handshake makes the console's test message.
func handshake(s dialect.Settings, n dialect.Nonce) (dialect.Request, func(dialect.Response) dialect.Verdict, error) {
	r, err := sign(s, dialect.Outbound{EventType: testEvent, Payload: []byte("{}"), Created: n.Now, Now: n.Now, Seed: n.Seed})
	if err != nil {
		return dialect.Request{}, nil, err
	}
	return r, func(a dialect.Response) dialect.Verdict { return judge(s, a) }, nil
}
