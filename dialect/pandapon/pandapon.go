// Package pandapon owns the message service of the PandaPon open platform: a JSON envelope whose messageBody, and nothing
// else, is signed with HMAC-SHA256, and which is acknowledged with HTTP 200 within a second.
//
// The facts and their sources are in docs/dialects/pandapon.md.
package pandapon

import (
	"cmp"
	"fmt"
	"net/http"
	"time"

	"github.com/waypost/waypost/dialect"
)

// Dialect is PandaPon's message service, in both directions.
var Dialect = dialect.Dialect{
	Name:             "pandapon",
	Title:            dialect.Text{En: "PandaPon message service", Zh: "PandaPon 消息服务"},
	Fields:           fields,
	Check:            check,
	Receive:          receive,
	Receiver:         receiver,
	Reply:            reply,
	Sign:             sign,
	Signer:           signer,
	Handshake:        handshake,
	Judge:            judge,
	Policy:           policy,
	Explain:          explainer,
	SignatureHeaders: []string{"authorization"},
	Examples:         examples,
}

const (
	signatureHeader = "Authorization"

	defaultDeadline = time.Second
	defaultRetries  = 5
	defaultInterval = 30 * time.Minute
	defaultDedup    = 6 * time.Hour
	dedupMargin     = time.Hour // how much longer than the schedule a derived key lives, when the schedule is a long one
	maxRetries      = 100
)

var fields = []dialect.Field{
	{
		Name: "access_secret", Kind: dialect.KindText, Secret: true, Several: true,
		Receiving: dialect.Required, Sending: dialect.Required,
		Help: dialect.Text{
			En: "AccessSecret of the developer account, from the account page of the open platform. Resetting it there voids the old one at once: enter the new one beside the old one before",
			Zh: "开发者账号的 AccessSecret，见开放平台账号页面。在平台重置后旧值立即失效：重置前请把新旧两个值都填上",
		},
	},
	{
		Name: "message_platform", Kind: dialect.KindNumber, Sending: dialect.Optional, Default: "1",
		Help: dialect.Text{
			En: "messagePlatform of messages that name none: 0 = Taobao, 1 = 1688",
			Zh: "消息未指定时使用的 messagePlatform：0 为淘宝，1 为 1688",
		},
	},
	{
		Name: "hex_case", Kind: dialect.KindChoice, Choices: []string{"lower", "upper"}, Shared: true, Sending: dialect.Optional, Default: "lower",
		Help: dialect.Text{
			En: "letters of the signature that is sent; the platform does not say which it uses. Both are accepted when receiving",
			Zh: "发送签名时十六进制字母的大小写；平台文档未说明。接收时两种都接受",
		},
	},
	{
		Name: "content_type", Kind: dialect.KindText, Shared: true, Sending: dialect.Optional, Default: "application/json",
		Help: dialect.Text{
			En: "Content-Type that is sent; the platform does not say which it uses",
			Zh: "发送时的 Content-Type；平台文档未说明",
		},
	},
	{
		Name: "probe", Kind: dialect.KindChoice, Choices: []string{"post-empty", "post-example", "get", "head"}, Shared: true,
		Sending: dialect.Optional, Default: "post-empty",
		Help: dialect.Text{
			En: "request that checks a callback URL, as the console's Verify does; the platform does not say what it sends. post-example is a signed message",
			Zh: "校验回调地址时发送的请求（相当于控制台的“验证”）；平台文档未说明其形式。post-example 为一条已签名的示例消息",
		},
	},
	{
		Name: "accept_other_2xx", Kind: dialect.KindBool, Shared: true, Sending: dialect.Optional, Default: "false",
		Help: dialect.Text{
			En: "take 201, 204 and the like for an acknowledgement too; documented is only 200",
			Zh: "把 201、204 等其他 2xx 也视为确认；文档只承认 200",
		},
	},
	{
		Name: "deadline", Kind: dialect.KindDuration, Shared: true, Sending: dialect.Optional, Default: "1s",
		Help: dialect.Text{En: "how long an answer may take", Zh: "等待应答的时限"},
	},
	{
		Name: "retry_count", Kind: dialect.KindNumber, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional, Default: "5",
		Help: dialect.Text{
			En: "attempts after the first (0 to 100). The platform says \"up to 5 times\": set 4 if you read it as 5 in all",
			Zh: "首次推送之后的重试次数（0 到 100）。平台文档为“最多 5 次”：若理解为共 5 次，请设为 4",
		},
	},
	{
		Name: "retry_interval", Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional, Default: "30m",
		Help: dialect.Text{En: "wait before each further attempt", Zh: "每次重试前的间隔"},
	},
	{
		Name: "dedup_for", Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Default: "6h",
		Help: dialect.Text{
			En: "how long a message is recognised when it comes again. The platform sends no message id, so the same content counts as a repeat: at least as long as the retries, not much longer",
			Zh: "识别重复消息的时长。平台不提供消息编号，相同内容即视为重复：应不短于重试总时长，也不宜过长",
		},
	},
}

func check(s dialect.Settings, _ dialect.Use) error {
	for _, secret := range s["access_secret"] {
		if err := dialect.CheckSecret(secret); err != nil {
			return dialect.Problem{Field: "access_secret", Text: err.Error()}
		}
	}
	if !dialect.Printable(s.Or("content_type", "application/json")) {
		return dialect.Problem{Field: "content_type", Text: "is no header value: it must be printable, at most 256 bytes"}
	}
	if n := s.Int("retry_count", defaultRetries); n < 0 || n > maxRetries {
		return dialect.Problem{Field: "retry_count", Text: fmt.Sprintf("must be 0 to %d", maxRetries)}
	}
	if !dialect.Digits(platformOf(s), maxPlatform) {
		return dialect.Problem{Field: "message_platform", Text: "must be a whole number such as 0 or 1"}
	}
	return nil
}

func platformOf(s dialect.Settings) string { return s.Or("message_platform", "1") }

// reply is HTTP 200 for what is stored; the platform does not look at the body.
func reply(_ dialect.Settings, o dialect.Outcome) dialect.Reply {
	return dialect.Reply{Status: o.Result.DefaultStatus()}
}

// judge takes 200 alone for an acknowledgement, unless the settings say otherwise.
func judge(s dialect.Settings, r dialect.Response) dialect.Verdict {
	if s.Bool("accept_other_2xx", false) {
		return dialect.JudgeStatus(r, func(status int) bool { return status/100 == 2 })
	}
	v := dialect.JudgeStatus(r, func(status int) bool { return status == http.StatusOK })
	if v.Kind != dialect.Accepted {
		v.Reason += "; only 200 is an acknowledgement"
	}
	return v
}

func policy(s dialect.Settings) dialect.Policy {
	p := dialect.Policy{
		Deadline:  cmp.Or(s.Duration("deadline", defaultDeadline), defaultDeadline),
		Schedule:  make([]time.Duration, min(max(s.Int("retry_count", defaultRetries), 0), maxRetries)),
		HTTPSOnly: true,
	}
	interval := s.Duration("retry_interval", defaultInterval)
	for i := range p.Schedule {
		p.Schedule[i] = interval
	}
	// A derived key must outlive the schedule, or the last repeat would be delivered again.
	p.DedupFor = s.Duration("dedup_for", max(defaultDedup, p.Total()+dedupMargin))
	return p
}
