// Package douyinmini owns the payment callbacks of Douyin mini apps, in their two schemes: trade v3, signed with RSA in
// the Byte-Signature header, and the older payment, signed with SHA-1 in a member of the body. Both carry a JSON text in
// msg and hear err_no 0.
//
// The facts and their sources are in docs/dialects/douyinmini.md.
package douyinmini

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/waypost/waypost/dialect"
)

// Dialect is the payment callback of Douyin mini apps, in both directions.
var Dialect = dialect.Dialect{
	Name:             "douyinmini",
	Title:            dialect.Text{En: "Douyin mini-app payment callbacks", Zh: "抖音小程序支付与交易回调"},
	Fields:           fields,
	Check:            check,
	Receive:          receive,
	Receiver:         receiver,
	Reply:            reply,
	Sign:             sign,
	Signer:           signer,
	Judge:            judge,
	Policy:           policy,
	Explain:          explainer,
	SignatureHeaders: []string{"byte-signature"},
	Examples:         examples,
}

const (
	schemeV3     = "v3"
	schemeLegacy = "legacy"

	signatureHeader = "Byte-Signature"
	timeHeader      = "Byte-Timestamp"
	nonceHeader     = "Byte-Nonce-Str"
	contentType     = "application/json"

	defaultDeadline = 5 * time.Second
	defaultDedup    = 7 * 24 * time.Hour
)

var defaultSchedule = [...]time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute}

var fields = []dialect.Field{
	{
		Name: "scheme", Kind: dialect.KindChoice, Choices: []string{schemeV3, schemeLegacy}, Shared: true,
		Receiving: dialect.Optional, Sending: dialect.Optional, Default: schemeV3,
		Help: dialect.Text{
			En: "v3: trade system, RSA in the header Byte-Signature. legacy: older payment, SHA-1 in the member msg_signature",
			Zh: "v3：交易系统，Byte-Signature 请求头中的 RSA 签名。legacy：旧版担保支付，消息体 msg_signature 中的 SHA-1 签名",
		},
	},
	{
		Name: "platform_public_key", Kind: dialect.KindKey, Several: true, Shared: true, Receiving: dialect.Optional,
		Help: dialect.Text{
			En: "v3: public key of the platform, PEM or base64, from the app's key settings in the developer console",
			Zh: "v3：平台公钥，PEM 或 base64，见开发者后台的密钥设置",
		},
	},
	{
		Name: "platform_private_key", Kind: dialect.KindKey, Secret: true, Several: true, Shared: true, Sending: dialect.Optional,
		Help: dialect.Text{
			En: "v3: private key that signs as the platform, PEM (PKCS#8 or PKCS#1) or base64; the first signs",
			Zh: "v3：以平台身份签名的私钥，PEM（PKCS#8 或 PKCS#1）或 base64；第一个用于签名",
		},
	},
	{
		Name: "token", Kind: dialect.KindText, Secret: true, Several: true, Receiving: dialect.Optional, Sending: dialect.Optional,
		Help: dialect.Text{
			En: "legacy: token from the payment settings in the console",
			Zh: "legacy：支付设置中的 Token",
		},
	},
	{
		Name: "number_members", Kind: dialect.KindBool, Shared: true, Sending: dialect.Optional, Default: "false",
		Help: dialect.Text{
			En: "legacy: write timestamp and nonce as JSON numbers; the platform is seen with strings and with numbers",
			Zh: "legacy：timestamp 与 nonce 以 JSON 数字发送；平台两种写法都出现过",
		},
	},
	{
		Name: "dedup_for", Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Default: "7d",
		Help: dialect.Text{
			En: "how long a callback is recognised when it comes again. A signed time further from now than half of this is refused as a replay",
			Zh: "识别重复回调的时长。已签名的时间与当前相差超过此时长一半的按重放拒绝",
		},
	},
	{
		Name: "deadline", Kind: dialect.KindDuration, Shared: true, Sending: dialect.Optional, Default: "5s",
		Help: dialect.Text{En: "how long an answer may take; the platform's time was not seen", Zh: "等待应答的时限；平台的取值未见"},
	},
	{
		Name: "retry_schedule", Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional, Default: "1m,5m,30m",
		Help: dialect.Text{
			En: "waits between attempts, with commas; the platform's were not seen",
			Zh: "各次重试的间隔，用逗号分隔；平台的取值未见",
		},
	},
}

func check(s dialect.Settings, use dialect.Use) error {
	for _, token := range s["token"] {
		if err := dialect.CheckSecret(token); err != nil {
			return dialect.Problem{Field: "token", Text: err.Error()}
		}
	}
	for _, text := range s["platform_public_key"] {
		if _, err := publicKey(text); err != nil {
			return dialect.Problem{Field: "platform_public_key", Text: err.Error()}
		}
	}
	for _, text := range s["platform_private_key"] {
		if _, err := privateKey(text); err != nil {
			return dialect.Problem{Field: "platform_private_key", Text: err.Error()}
		}
	}
	needed := "platform_public_key"
	switch {
	case legacy(s):
		needed = "token"
	case use == dialect.Sending:
		needed = "platform_private_key"
	}
	if len(s.All(needed)) == 0 {
		return dialect.Problem{Field: needed, Text: "is required with scheme " + s.Or("scheme", schemeV3)}
	}
	return nil
}

func legacy(s dialect.Settings) bool { return s.Get("scheme") == schemeLegacy }

func reply(_ dialect.Settings, o dialect.Outcome) dialect.Reply {
	if o.Result != dialect.Stored && o.Result != dialect.Duplicate {
		return dialect.Reply{Status: o.Result.DefaultStatus()}
	}
	return dialect.Reply{Status: http.StatusOK, ContentType: contentType, Body: []byte(`{"err_no":0,"err_tips":"success"}`)}
}

// judge takes 200 with err_no 0 for an acknowledgement; a 200 that says anything else is tried again.
func judge(_ dialect.Settings, r dialect.Response) dialect.Verdict {
	if v := dialect.JudgeStatus(r, func(status int) bool { return status == http.StatusOK }); v.Kind != dialect.Accepted {
		return v
	}
	var answer struct {
		Number *int64 `json:"err_no"`
	}
	if err := json.Unmarshal(r.Body, &answer); err != nil || answer.Number == nil {
		return dialect.Verdict{Kind: dialect.Retry, Reason: "the answer has no number err_no"}
	}
	reason := "answered err_no " + strconv.FormatInt(*answer.Number, 10)
	if *answer.Number != 0 {
		return dialect.Verdict{Kind: dialect.Retry, Reason: reason}
	}
	return dialect.Verdict{Kind: dialect.Accepted, Reason: reason}
}

func policy(s dialect.Settings) dialect.Policy {
	p := dialect.Policy{
		Deadline:  cmp.Or(s.Duration("deadline", defaultDeadline), defaultDeadline),
		Schedule:  s.Durations("retry_schedule"),
		HTTPSOnly: true,
	}
	if p.Schedule == nil {
		p.Schedule = append(p.Schedule, defaultSchedule[:]...)
	}
	// Longer than the sender repeats, or the last repeat would be delivered again.
	p.DedupFor = s.Duration("dedup_for", max(defaultDedup, 2*p.Total()))
	return p
}
