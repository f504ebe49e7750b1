// Package douyin owns the webhooks of the Douyin open platform: life services (orders, certificates) and the generic
// ones. A push is JSON, its signature a plain SHA-1 over client_secret and body, its acknowledgement HTTP 200.
//
// The facts and their sources are in docs/dialects/douyin.md.
package douyin

import (
	"cmp"
	"net/http"
	"time"

	"github.com/waypost/waypost/dialect"
)

// Dialect is Douyin's webhook, in both directions. SPI and the trade callbacks of mini apps are other dialects.
var Dialect = dialect.Dialect{
	Name:             "douyin",
	Title:            dialect.Text{En: "Douyin webhook", Zh: "抖音开放平台 Webhook"},
	Fields:           fields,
	Check:            check,
	Receive:          receive,
	Reply:            reply,
	Sign:             sign,
	Handshake:        handshake,
	Judge:            judge,
	Policy:           policy,
	Explain:          explainer,
	SignatureHeaders: []string{"x-douyin-signature"},
	Examples:         examples,
}

const (
	signatureHeader = "X-Douyin-Signature"
	idHeader        = "Msg-Id"
	idHeaderAlso    = "Msg_Id" // as the prose of the certificate page spells it
	contentType     = "application/json"

	defaultDeadline = 3 * time.Second
	defaultDedup    = 7 * 24 * time.Hour
)

var defaultSchedule = [...]time.Duration{500 * time.Millisecond, 500 * time.Millisecond, 500 * time.Millisecond}

var fields = []dialect.Field{
	{
		Name: "client_secret", Kind: dialect.KindText, Secret: true, Several: true,
		Receiving: dialect.Required, Sending: dialect.Required,
		Help: dialect.Text{
			En: "client_secret of the app, from its page in the developer console. A mini app's webhook has a secret of its own (webhook signature key)",
			Zh: "应用的 client_secret，见开发者后台的应用页面。小程序 Webhook 使用单独的“webhook 验签秘钥”",
		},
	},
	{
		Name: "client_key", Kind: dialect.KindText, Receiving: dialect.Optional, Sending: dialect.Optional,
		Help: dialect.Text{
			En: "client_key (APPID) of the app. Receiving: a push for another one is refused. Sending: goes into every push; without it each message must bring its own",
			Zh: "应用的 client_key（APPID）。接收时：其他 client_key 的推送会被拒绝。发送时：写入每条推送；不填则每条消息须自带",
		},
	},
	{
		Name: "answer_unsigned_challenge", Kind: dialect.KindBool, Shared: true, Receiving: dialect.Optional, Default: "true",
		Help: dialect.Text{
			En: "echo the challenge of a verify_webhook that carries no signature at all; nothing is stored. A wrong signature is always refused",
			Zh: "对完全没有签名的 verify_webhook 也回显 challenge（不保存任何内容）。签名错误的一律拒绝",
		},
	},
	{
		Name: "strip_line_ends", Kind: dialect.KindBool, Shared: true, Receiving: dialect.Optional, Default: "false",
		Help: dialect.Text{
			En: "when the signature does not match the body as it came, try the body less its line ends, which is what the platform's Java demo hashes",
			Zh: "原始消息体验签不通过时，再去掉换行验一次（官方 Java 示例的做法）",
		},
	},
	{
		Name: "dedup", Kind: dialect.KindChoice, Choices: []string{"content", "msg_id"}, Shared: true, Receiving: dialect.Optional, Default: "content",
		Help: dialect.Text{
			En: "what makes a repeat: the same Msg-Id and content, or the same Msg-Id alone (then a second verify of one certificate after a cancel may be taken for a repeat)",
			Zh: "如何判定重复：Msg-Id 与 content 都相同，或只看 Msg-Id（此时同一张券撤销后再次核销可能被当作重复）",
		},
	},
	{
		Name: "dedup_for", Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Default: "7d",
		Help: dialect.Text{En: "how long a message is recognised when it comes again", Zh: "识别重复消息的时长"},
	},
	{
		Name: "max_age", Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Default: "off",
		Help: dialect.Text{
			En: "refuse a push whose content.msg_time is older than this. Off when not set: the platform promises no time in its events",
			Zh: "拒绝 content.msg_time 早于此时长的推送。默认不启用：平台并未保证每个事件都带时间",
		},
	},
	{
		Name: "deadline", Kind: dialect.KindDuration, Shared: true, Sending: dialect.Optional, Default: "3s",
		Help: dialect.Text{
			En: "how long an answer may take: 3s for life services, 5s for the generic webhook",
			Zh: "等待应答的时限：生活服务为 3 秒，通用 Webhook 为 5 秒",
		},
	},
	{
		Name: "retry_schedule", Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional, Default: "500ms,500ms,500ms",
		Help: dialect.Text{
			En: "waits between attempts, with commas. The generic webhook repeats three times too, at a distance that is not stated",
			Zh: "各次重试的间隔，用逗号分隔。通用 Webhook 同样重试三次，间隔未说明",
		},
	},
	{
		Name: "pretty_body", Kind: dialect.KindBool, Shared: true, Sending: dialect.Optional, Default: "false",
		Help: dialect.Text{
			En: "write the body over several lines: shows whether a receiver hashes the bytes as they came. The platform itself sends one line",
			Zh: "消息体分多行书写：用于检验接收方是否按原始字节验签。平台实际发送单行",
		},
	},
}

func check(s dialect.Settings, _ dialect.Use) error {
	for _, secret := range s["client_secret"] {
		if err := dialect.CheckSecret(secret); err != nil {
			return dialect.Problem{Field: "client_secret", Text: err.Error()}
		}
	}
	if key := s.Get("client_key"); key != "" && dialect.CheckSecret(key) != nil {
		return dialect.Problem{Field: "client_key", Text: dialect.CheckSecret(key).Error()}
	}
	return nil
}

// reply is HTTP 200 with an empty body for what is stored, which the platform allows, and the answer of a handshake.
func reply(_ dialect.Settings, o dialect.Outcome) dialect.Reply {
	if o.Received != nil && o.Received.Reply != nil {
		return *o.Received.Reply
	}
	return dialect.Reply{Status: o.Result.DefaultStatus()}
}

// judge takes 200 alone for an acknowledgement, whatever the body says.
func judge(_ dialect.Settings, r dialect.Response) dialect.Verdict {
	v := dialect.JudgeStatus(r, func(status int) bool { return status == http.StatusOK })
	if v.Kind != dialect.Accepted {
		v.Reason += "; only 200 is an acknowledgement"
	}
	return v
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
