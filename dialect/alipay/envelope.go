package alipay

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

// envelope is a request that was taken apart, but not verified.
type envelope struct {
	params []Param // sorted by name, no name twice

	sign, signType, charset, appID   string
	method, service, notifyType      string
	notifyID, content, encryptType   string
	utcTimestamp, notifyTime, certSN string
	hasContent                       bool

	rule string // by which it was verified, for people
}

// markers are the parameters by which a form is known as the platform's.
var markers = []string{pSign, pSignType, pBizContent, pNotifyID, pMsgMethod, pNotifyType}

// openEnvelope reads a request's form. Only the body counts: the platform does not sign the query of the address that
// it was given, and the type of the body is not looked at, because the platform was seen to send a malformed one.
func openEnvelope(in dialect.Inbound) (*envelope, error) {
	if in.Method != "" && in.Method != "POST" {
		return nil, dialect.Refuse(dialect.ReasonNotEnvelope, "method", "a message is a POST")
	}
	params, err := parsePairs(in.Body)
	if err != nil {
		if looksLikeForm(in.Body) {
			return nil, dialect.Refuse(dialect.ReasonMalformed, "body", "%v", err)
		}
		return nil, dialect.Refuse(dialect.ReasonNotEnvelope, "body", "is not a form with Alipay's parameters")
	}
	sortByName(params)
	if !slices.ContainsFunc(params, func(p Param) bool { return slices.Contains(markers, p.Name) }) {
		return nil, dialect.Refuse(dialect.ReasonNotEnvelope, "body", "is a form, but has none of Alipay's parameters")
	}
	if repeats(params) {
		return nil, dialect.Refuse(dialect.ReasonMalformed, "body", "%v", errRepeated)
	}
	e := &envelope{params: params}
	for _, p := range params {
		if field := e.field(p.Name); field != nil {
			*field = p.Value
		}
		e.hasContent = e.hasContent || p.Name == pBizContent
	}
	if e.appID == "" && e.service != "" { // such requests name their application in the content
		e.appID = element(e.content, "AppId")
	}
	return e, e.complete()
}

func (e *envelope) field(name string) *string {
	switch name {
	case pSign:
		return &e.sign
	case pSignType:
		return &e.signType
	case pCharset:
		return &e.charset
	case pAppID:
		return &e.appID
	case pMsgMethod:
		return &e.method
	case pService:
		return &e.service
	case pNotifyType:
		return &e.notifyType
	case pNotifyID:
		return &e.notifyID
	case pBizContent:
		return &e.content
	case pEncryptType:
		return &e.encryptType
	case pUTCTimestamp:
		return &e.utcTimestamp
	case pNotifyTime:
		return &e.notifyTime
	case pCertSN:
		return &e.certSN
	}
	return nil
}

// looksLikeForm says whether a body that cannot be read was meant to be the platform's form.
func looksLikeForm(body []byte) bool {
	for pair := range strings.SplitSeq(string(body), "&") {
		if name, _, ok := strings.Cut(pair, "="); ok && slices.Contains(markers, name) {
			return true
		}
	}
	return false
}

// complete refuses what no key can make right.
func (e *envelope) complete() error {
	switch {
	case e.sign == "":
		return dialect.Refuse(dialect.ReasonSignature, "parameter "+pSign, "is missing")
	case e.charset == "":
		return dialect.Refuse(dialect.ReasonMalformed, "parameter "+pCharset, "is missing")
	case !validAppID(e.appID) && (e.appID != "" || e.service == ""):
		return dialect.Refuse(dialect.ReasonMalformed, "parameter "+pAppID, "is missing or not an application's id")
	}
	return nil
}

// beijing is the zone of notify_time.
var beijing = time.FixedZone("UTC+8", 8*60*60)

// time is the signed time of the attempt, zero when there is none.
func (e *envelope) time() time.Time {
	if ms, err := strconv.ParseInt(e.utcTimestamp, 10, 64); err == nil && ms > 0 {
		return time.UnixMilli(ms).UTC()
	}
	if t, err := time.ParseInLocation(time.DateTime, e.notifyTime, beijing); err == nil {
		return t.UTC()
	}
	return time.Time{}
}
