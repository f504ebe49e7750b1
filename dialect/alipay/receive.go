package alipay

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

const (
	maxEventType = 256
	maxNotifyID  = 128 // the platform's documents allow 50
)

// public are the parameters that are envelope in every message; of an old notification without biz_content all others
// are its content.
var public = []string{
	pSign, pSignType, pAppID, pCharset, pBizContent, pEncryptType, pMsgMethod, pNotifyID, pNotifyType, pNotifyTime,
	pService, pUTCTimestamp, pVersion, pCertSN, "msg_type", "msg_app_id", "msg_uid", "msg_mshop_id", "auth_app_id",
}

// receive verifies a request, or a frame of the long connection, and reads it.
func receive(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
	if in.Method == dialect.MethodFrame {
		f, err := ParseFrame(in.Body)
		if err != nil {
			return dialect.Received{}, err
		}
		return ReceiveFrame(s, f)
	}
	e, err := openEnvelope(in)
	if err != nil {
		return dialect.Received{}, err
	}
	signed, key, err := e.verify(s)
	if err != nil {
		return dialect.Received{}, err
	}
	if want := s.Get(fAppID); want != "" && e.appID != "" && want != e.appID {
		return dialect.Received{}, dialect.Refuse(dialect.ReasonSettings, "parameter "+pAppID, "is not the application of setting %s", fAppID)
	}
	at := e.time()
	if ambiguous(e.params) {
		if err := fresh(s, at, in.Now); err != nil {
			return dialect.Received{}, err
		}
		return distrusted(signed, key), nil
	}
	if e.service == gatewayCheck {
		answer, err := answerGateway(s, e.signType)
		return dialect.Received{Reply: answer, Key: key}, err
	}
	if err := fresh(s, at, in.Now); err != nil {
		return dialect.Received{}, err
	}
	got := dialect.Received{Account: e.appID, Key: key, Rule: e.rule, Time: at}
	e.identify(&got, signed)
	if whole := e.read(s, &got); !whole {
		return distrusted(signed, key), nil
	}
	return got, nil
}

// verify returns the text that was signed and which key verifies it.
func (e *envelope) verify(s dialect.Settings) (signed []byte, key int, err error) {
	if alg := s.Get(fSignType); e.signType == "" {
		e.signType = alg
	} else if alg != "" && alg != e.signType {
		return nil, 0, dialect.Refuse(dialect.ReasonSignature, "parameter "+pSignType, "is not the algorithm of setting %s", fSignType)
	}
	if e.signType == "" {
		return nil, 0, dialect.Refuse(dialect.ReasonMalformed, "parameter "+pSignType, "is missing; setting %s can name the algorithm", fSignType)
	}
	if !knownSignType(e.signType) {
		return nil, 0, dialect.Refuse(dialect.ReasonSignature, "parameter "+pSignType, "is none of RSA2, RSA and SM2")
	}
	sig, err := decodeSign(e.sign)
	if err != nil {
		return nil, 0, dialect.Refuse(dialect.ReasonSignature, "parameter "+pSign, "%v", err)
	}
	rule := ruleFor(s, e.method, e.service, e.notifyType)
	signed = canonical(rule, e.params)
	e.rule = e.signType + ", " + rule.String()
	key, err = anyKey(s, fAlipayPublicKey, e.signType, signed, sig)
	if err == nil || e.certSN == "" || s.Get(fCertSN) != certSNUnsigned {
		return signed, key, err
	}
	// What the signature then does not cover is forgotten: nobody vouches for it.
	without := slices.DeleteFunc(slices.Clone(e.params), func(p Param) bool { return p.Name == pCertSN })
	signed = canonical(rule, without)
	if key, err = anyKey(s, fAlipayPublicKey, e.signType, signed, sig); err == nil {
		e.params = without
		e.rule += ", without " + pCertSN
	}
	return signed, key, err
}

// fresh refuses a time further from now than half of what the receiver remembers, in both directions: a message that
// came that early is still remembered when it is that old, so a repeat is always told from a new message.
// By default an old time within it is fine, because a repeat may carry the time of the first attempt.
func fresh(s dialect.Settings, at, now time.Time) error {
	limit := positive(s, fMaxAge, 0)
	if at.IsZero() {
		if limit > 0 {
			return dialect.Refuse(dialect.ReasonReplay, "parameter "+pUTCTimestamp, "is missing or no time, and setting %s wants one", fMaxAge)
		}
		return nil
	}
	far := now.Sub(at).Abs()
	if limit > 0 && far > limit {
		return dialect.Refuse(dialect.ReasonReplay, "parameter "+pUTCTimestamp, "is further from now than setting %s allows", fMaxAge)
	}
	if far > policy(s).DedupFor/2 {
		return dialect.Refuse(dialect.ReasonReplay, "parameter "+pUTCTimestamp, "is further from now than half of the time that messages are remembered; see setting %s", fDedupFor)
	}
	return nil
}

// identify sets the ids. A message without a usable notify_id is recognised by the text that was signed: then at least
// the very same request is not accepted twice.
func (e *envelope) identify(got *dialect.Received, signed []byte) {
	if id := e.notifyID; id != "" && len(id) <= maxNotifyID && plain(id) {
		got.EventID, got.DedupKey = id, DedupKey(e.appID, id)
		return
	}
	got.DedupKey = textKey(e.appID, signed)
}

// read fills in what the message says, and says whether its content is whole: one that was cut apart is not the platform's.
func (e *envelope) read(s dialect.Settings, got *dialect.Received) (whole bool) {
	routedBy := pMsgMethod
	switch {
	case e.method != "":
		got.EventType = e.method
	case e.notifyType != "":
		got.EventType, routedBy = e.notifyType, pNotifyType
	default:
		got.EventType, routedBy = e.service, pService
	}
	if got.EventType == "" || len(got.EventType) > maxEventType || !plain(got.EventType) {
		got.EventType, got.Unreadable = "", "the message has no usable name: msg_method, notify_type and service are missing or not printable"
		routedBy = ""
	}
	got.Platform = make(map[string]string, len(e.params))
	for _, p := range e.params {
		if p.Name == pSign || p.Name == pBizContent || p.Name == routedBy || !e.hasContent && !slices.Contains(public, p.Name) {
			continue
		}
		got.Platform[e.lenient(p.Name)] = e.lenient(p.Value)
	}
	if !e.hasContent {
		got.Payload = e.flat()
		return true
	}
	payload, why, whole := e.payload(s)
	got.Payload = payload
	if why != "" {
		got.Unreadable = "biz_content " + why
	}
	return whole
}

// payload returns the content as it is stored, why it cannot be read, if so, and whether it is the whole content.
func (e *envelope) payload(s dialect.Settings) (payload []byte, why string, whole bool) {
	text, err := toUTF8(e.charset, e.content)
	if err != nil {
		return dialect.WrapRaw([]byte(e.content)), err.Error(), true
	}
	switch e.encryptType {
	case "":
		raw := []byte(text)
		payload = dialect.WrapRaw(raw)
		return payload, "", len(payload) == len(raw) || !e.continued(text)
	case encryptAES:
		if _, err := decrypt(s.All(fAESKey), e.charset, text); err != nil {
			why = err.Error()
		}
	default:
		why = "is encrypted with a cipher other than AES"
	}
	return wrapText(text), why, true
}

// continued says whether the content becomes JSON when the parameters that follow it in the signed text are taken for
// its rest. See severalReadings for how such a cut comes about; this is the half of it that needs the content.
func (e *envelope) continued(text string) bool {
	if t := strings.TrimLeft(text, " \t\r\n"); t == "" || t[0] != '{' && t[0] != '[' {
		return false
	}
	b := []byte(text)
	for _, p := range e.params {
		if p.Name <= pBizContent || p.Name == pSign {
			continue
		}
		b = append(append(append(append(b, '&'), e.lenient(p.Name)...), '='), e.lenient(p.Value)...)
		if json.Valid(b) {
			return true
		}
	}
	return false
}

// flat makes an object of the parameters that are no envelope, in the order of their names: old notifications carry
// their content so.
func (e *envelope) flat() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for _, p := range e.params {
		if slices.Contains(public, p.Name) {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(dialect.Quote(e.lenient(p.Name)))
		b.WriteByte(':')
		b.Write(dialect.Quote(e.lenient(p.Value)))
	}
	b.WriteByte('}')
	return b.Bytes()
}

// wrapText wraps a ciphertext, which dialect.WrapRaw would take for a number if it happened to have only digits.
func wrapText(text string) []byte {
	return append(append([]byte(`{"raw":`), dialect.Quote(text)...), '}')
}

// lenient is a name or value in UTF-8; what is not in the message's charset loses only the bytes that are wrong.
func (e *envelope) lenient(v string) string {
	if isASCII(v) {
		return v
	}
	if text, err := toUTF8(e.charset, v); err == nil {
		return text
	}
	return strings.ToValidUTF8(v, "\ufffd")
}

// plain says whether a text is printable ASCII without blanks.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
