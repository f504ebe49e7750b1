// Package aop1688 owns the HTTP message push of the 1688 open platform: a form whose parameters are signed together with
// HMAC-SHA1 in _aop_signature. PandaPon hands on what comes from there.
//
// The facts and their sources are in docs/dialects/aop1688.md.
package aop1688

import (
	"cmp"
	"net/http"
	"time"

	"github.com/waypost/waypost/dialect"
)

// Dialect is the HTTP push of 1688, in both directions. The platform's WebSocket is not part of it.
var Dialect = dialect.Dialect{
	Name:      "aop1688",
	Title:     dialect.Text{En: "1688 message push (HTTP)", Zh: "1688 开放平台消息推送（HTTP）"},
	Fields:    fields,
	Check:     check,
	Receive:   receive,
	Reply:     reply,
	Sign:      sign,
	Handshake: handshake,
	Judge:     judge,
	Policy:    policy,
	Explain:   explainer,
	Examples:  examples,
}

const (
	signatureParam = "_aop_signature"
	messageParam   = "message"
	contentType    = "application/x-www-form-urlencoded; charset=UTF-8"

	defaultDeadline = 5 * time.Second
	defaultDedup    = 7 * 24 * time.Hour
)

var defaultSchedule = [...]time.Duration{time.Minute, 5 * time.Minute, 10 * time.Minute}

var fields = []dialect.Field{
	{
		Name: "app_secret", Kind: dialect.KindText, Secret: true, Several: true,
		Receiving: dialect.Required, Sending: dialect.Required,
		Help: dialect.Text{
			En: "app secret (signature key) of the app, from the app's page on the open platform",
			Zh: "应用的 AppSecret（签名密钥），见开放平台应用页面",
		},
	},
	{
		Name: "ack_status", Kind: dialect.KindChoice, Choices: []string{"200", "204"}, Shared: true, Receiving: dialect.Optional, Default: "200",
		Help: dialect.Text{
			En: "what a stored message is answered with: 200 by the platform's page, 204 by its SDK's own server",
			Zh: "保存成功后的应答状态码：平台文档为 200，官方 SDK 的内置服务为 204",
		},
	},
	{
		Name: "dedup_for", Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Default: "7d",
		Help: dialect.Text{
			En: "how long a msgId is remembered. A message whose gmtBorn, which is signed, is further from now than half of this is refused as a replay",
			Zh: "msgId 的记忆时长。gmtBorn（已签名）与当前相差超过此时长一半的消息按重放拒绝",
		},
	},
	{
		Name: "member_id", Kind: dialect.KindText, Sending: dialect.Optional, Default: "(empty)",
		Help: dialect.Text{
			En: "userInfo of messages that bring none: the memberId of the user who authorised the app",
			Zh: "消息未自带 userInfo 时使用的值：授权用户的 memberId",
		},
	},
	{
		Name: "accept_204", Kind: dialect.KindBool, Shared: true, Sending: dialect.Optional, Default: "true",
		Help: dialect.Text{
			En: "take 204 for an acknowledgement too, as receivers built with the platform's SDK answer it",
			Zh: "204 也视为确认（使用官方 SDK 的接收方会这样应答）",
		},
	},
	{
		Name: "deadline", Kind: dialect.KindDuration, Shared: true, Sending: dialect.Optional, Default: "5s",
		Help: dialect.Text{
			En: "how long an answer may take; the platform's time is not known",
			Zh: "等待应答的时限；平台的取值未知",
		},
	},
	{
		Name: "retry_schedule", Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional, Default: "1m,5m,10m",
		Help: dialect.Text{
			En: "waits between attempts, with commas. The platform repeats usually three times, at a distance that is not stated",
			Zh: "各次重试的间隔，用逗号分隔。平台通常重试三次，间隔未说明",
		},
	},
}

func check(s dialect.Settings, _ dialect.Use) error {
	for _, secret := range s["app_secret"] {
		if err := dialect.CheckSecret(secret); err != nil {
			return dialect.Problem{Field: "app_secret", Text: err.Error()}
		}
	}
	return nil
}

func reply(s dialect.Settings, o dialect.Outcome) dialect.Reply {
	if (o.Result == dialect.Stored || o.Result == dialect.Duplicate) && s.Get("ack_status") == "204" {
		return dialect.Reply{Status: http.StatusNoContent}
	}
	return dialect.Reply{Status: o.Result.DefaultStatus()}
}

func judge(s dialect.Settings, r dialect.Response) dialect.Verdict {
	return dialect.JudgeStatus(r, func(status int) bool {
		return status == http.StatusOK || status == http.StatusNoContent && s.Bool("accept_204", true)
	})
}

func policy(s dialect.Settings) dialect.Policy {
	p := dialect.Policy{
		Deadline: cmp.Or(s.Duration("deadline", defaultDeadline), defaultDeadline),
		Schedule: s.Durations("retry_schedule"),
	}
	if p.Schedule == nil {
		p.Schedule = append(p.Schedule, defaultSchedule[:]...)
	}
	// Longer than the sender repeats, or the last repeat would be delivered again.
	p.DedupFor = s.Duration("dedup_for", max(defaultDedup, 2*p.Total()))
	return p
}
