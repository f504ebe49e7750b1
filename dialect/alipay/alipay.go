// Package alipay owns the protocol of Alipay's message service, in both directions. Over HTTP: signed forms, their keys and
// certificates, encrypted content, the gateway check, the word success and the retry tables. Over the WebSocket long
// connection: its frames, the queries that open it and the answer that lets one in (longconn.go and its neighbours), all of
// it text in and text out. Sockets and clocks are somebody else's.
package alipay

import (
	"slices"

	"github.com/waypost/waypost/dialect"
)

// Dialect is the message service of the Alipay open platform.
var Dialect = dialect.Dialect{
	Name:      "alipay",
	Title:     dialect.Text{En: "Alipay message service", Zh: "支付宝消息服务"},
	Fields:    slices.Concat(fields, certificateFields, dialFields, serveFields),
	Check:     check,
	Receive:   receive,
	Reply:     reply,
	Decrypt:   decryptPayload,
	Sign:      sign,
	Handshake: handshake,
	Judge:     judge,
	Policy:    policy,
	Explain:   explainer,
	Examples:  examples,
}

// The names of the parameters on the wire.
const (
	pSign         = "sign"
	pSignType     = "sign_type"
	pAppID        = "app_id"
	pCharset      = "charset"
	pBizContent   = "biz_content"
	pEncryptType  = "encrypt_type"
	pMsgMethod    = "msg_method"
	pNotifyID     = "notify_id"
	pNotifyType   = "notify_type"
	pNotifyTime   = "notify_time"
	pService      = "service"
	pUTCTimestamp = "utc_timestamp"
	pVersion      = "version"
	pCertSN       = "alipay_cert_sn"
)

// gatewayCheck is the service that the console calls when a developer saves the address of the application gateway.
const gatewayCheck = "alipay.service.check"

// DedupKey is what recognises a repeated message: its application and its notify_id, or x-msgId on the long
// connection, which is taken to be the same id.
func DedupKey(appID, notifyID string) string { return appID + " " + notifyID }
