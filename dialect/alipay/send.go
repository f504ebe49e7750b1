package alipay

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/waypost/waypost/dialect"
)

// optional are the parameters that a sender takes from the message's platform map. Parameters of its own it does not
// invent: receivers choke on names that they do not expect, and none of these is the beginning of another in a way that
// libraries sort differently.
var optional = []string{"msg_type", "msg_app_id", "msg_uid", "msg_mshop_id", "auth_app_id", "status", pCertSN}

// maxSentNotifyID is the length that the platform's documents allow.
const maxSentNotifyID = 50

// sign makes the request for one attempt. notify_id and content are the same over all attempts; utc_timestamp, and so
// the signature, is made anew.
func sign(s dialect.Settings, o dialect.Outbound) (dialect.Request, error) {
	if err := sendable(s, o); err != nil {
		return dialect.Request{}, err
	}
	charset := s.Or(fCharset, charsetUTF8)
	content, encrypted, err := outgoingContent(s, charset, o.Payload)
	if err != nil {
		return dialect.Request{}, err
	}
	id, err := notifyID(o)
	if err != nil {
		return dialect.Request{}, err
	}
	params := make([]Param, 0, 16)
	params = append(params, Param{pCharset, charset}, Param{pBizContent, content})
	if encrypted {
		params = append(params, Param{pEncryptType, encryptAES})
	}
	old := o.Platform[pVersion] == "1.0"
	if !old {
		params = append(params, Param{pUTCTimestamp, strconv.FormatInt(o.Now.UnixMilli(), 10)})
	}
	params = append(params, Param{pAppID, s.Get(fAppID)})
	rule := ruleFor(s, o.EventType, "", "")
	if old {
		params = append(params, Param{pVersion, "1.0"}, Param{pSignType, s.Or(fSignType, RSA2)}, Param{pNotifyID, id},
			Param{pNotifyType, o.EventType}, Param{pNotifyTime, o.Now.In(beijing).Format(time.DateTime)})
	} else {
		params = append(params, Param{pVersion, "1.1"}, Param{pSignType, s.Or(fSignType, RSA2)}, Param{pNotifyID, id},
			Param{pMsgMethod, o.EventType})
	}
	for _, name := range optional {
		if v := o.Platform[name]; v != "" {
			if v, err = fromUTF8(charset, v); err != nil {
				return dialect.Request{}, fmt.Errorf("platform member %s: %w", name, err)
			}
			params = append(params, Param{name, v})
		}
	}
	return signedForm(s, charset, rule, params)
}

// sendable refuses what no receiver could read.
func sendable(s dialect.Settings, o dialect.Outbound) error {
	switch {
	case !validAppID(s.Get(fAppID)):
		return dialect.Refuse(dialect.ReasonSettings, "setting "+fAppID, "is not set or not an application's id")
	case o.EventType == "" || len(o.EventType) > maxEventType || !plain(o.EventType):
		return dialect.CannotSend("event type: must be 1 to %d printable ASCII characters to be sent as msg_method", maxEventType)
	case len(o.Payload) == 0:
		return dialect.CannotSend("payload: is empty; Alipay never sends empty content")
	}
	return nil
}

// outgoingContent is the payload in the charset, encrypted when there is a key for it.
func outgoingContent(s dialect.Settings, charset string, payload []byte) (text string, encrypted bool, err error) {
	if text, err = fromUTF8(charset, string(payload)); err != nil {
		return "", false, fmt.Errorf("payload: %w", err)
	}
	key := s.Get(fAESKey)
	if key == "" {
		return text, false, nil
	}
	if text, err = encrypt(key, text); err != nil {
		return "", false, dialect.Refuse(dialect.ReasonSettings, "setting "+fAESKey, "%v", err)
	}
	return text, true, nil
}

// notifyID is the platform member of that name, else drawn from the seed in the shape in which the platform's are
// seen: 32 hexadecimal digits and two characters.
func notifyID(o dialect.Outbound) (string, error) {
	if id := o.Platform[pNotifyID]; id != "" {
		if len(id) > maxSentNotifyID || !plain(id) {
			return "", dialect.CannotSend("platform member %s: must be at most %d printable ASCII characters", pNotifyID, maxSentNotifyID)
		}
		return id, nil
	}
	const alphabet = "0123456789abcdefghijklmnopqrstuv"
	b := dialect.Derive(o.Seed, "alipay/notify_id", 18)
	return hex.EncodeToString(b[:16]) + string([]byte{alphabet[b[16]&31], alphabet[b[17]&31]}), nil
}

// signedForm signs parameters that are in the charset already and lays them out as the platform does.
func signedForm(s dialect.Settings, charset string, rule Rule, params []Param) (dialect.Request, error) {
	key, err := ownKey(s, fPlatformKey)
	if err != nil {
		return dialect.Request{}, err
	}
	sorted := slices.Clone(params)
	sortByName(sorted)
	if _, hides, broken := lookInside(sorted); hides || broken { // receivers differ, so this is stricter than our own
		return dialect.Request{}, dialect.CannotSend("a platform member holds the text of further parameters, which a receiver could not tell apart")
	}
	sig, err := key.Sign(s.Or(fSignType, RSA2), canonical(rule, sorted))
	if err != nil {
		return dialect.Request{}, dialect.Refuse(dialect.ReasonSettings, "setting "+fPlatformKey, "%v", err)
	}
	params = append(params, Param{pSign, sig})
	WireOrder(params)
	return dialect.Request{
		Method: http.MethodPost,
		Header: http.Header{
			"Content-Type": {"application/x-www-form-urlencoded; charset=" + charset},
			"User-Agent":   {"Mozilla/4.0"},
		},
		Body: EncodeForm(params),
	}, nil
}
