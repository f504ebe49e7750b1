// Package standard owns the dialect of Standard Webhooks, both ways, and of Svix, which is the same under other header
// names: HMAC-SHA256 ("v1") and Ed25519 ("v1a") over id, timestamp and body.
//
// Facts marked "spec" are from the Standard Webhooks specification 1.0.0; those marked "Svix" from its public
// documentation and server; the rest is our choice. docs/dialects/standard.md tells them apart in full.
package standard

import (
	"slices"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

// Dialect is Standard Webhooks.
var Dialect = dialect.Dialect{
	Name:             "standard",
	Title:            dialect.Text{En: "Standard Webhooks", Zh: "Standard Webhooks 标准"},
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
	SignatureHeaders: []string{"webhook-signature", "svix-signature"},
	Examples:         examples,
}

const (
	defaultTolerance = 5 * time.Minute
	defaultDedup     = 7 * 24 * time.Hour
	defaultDeadline  = 15 * time.Second // Svix; the spec recommends 15 s to 30 s
	defaultType      = "webhook"
	defaultTypePath  = "type" // the payload member that the spec recommends

	maxSteps = 50 // of a retry schedule
	maxPath  = 10 // names in event_type_path
)

var fields = []dialect.Field{
	{
		Name: "secret", Kind: dialect.KindText, Secret: true, Several: true,
		Receiving: dialect.Required, Sending: dialect.Required,
		Help: dialect.Text{
			En: "Signing secret: whsec_ and base64 of 24 to 64 bytes, shared by both sides; or Ed25519: whsk_ to sign, whpk_ to verify. All live ones sign, any one verifies.",
			Zh: "签名密钥：whsec_ 加 24–64 字节的 base64，双方共用；或 Ed25519：发送方填 whsk_ 私钥，接收方填 whpk_ 公钥。所有有效密钥都会签名，任意一个通过即验签成功。",
		},
	},
	{
		Name: "headers", Kind: dialect.KindChoice, Choices: []string{headersWebhook, headersSvix, headersBoth},
		Receiving: dialect.Optional, Sending: dialect.Optional,
		Help: dialect.Text{
			En: "Header names: webhook-id … (webhook), svix-id … (svix), or both. Not set: webhook is sent, either whole set is accepted.",
			Zh: "请求头名称：webhook-id 等（webhook）、svix-id 等（svix）或两套（both）。不设置时：发送 webhook，接收任意完整的一套。",
		},
	},
	{
		Name: "tolerance", Kind: dialect.KindDuration, Receiving: dialect.Optional, Default: "5m",
		Help: dialect.Text{
			En: "How far the signed time may be from ours, either way, the edge included. At most half of dedup_for.",
			Zh: "签名时间与本机时间允许的最大偏差（前后均可，含边界），不得超过 dedup_for 的一半。",
		},
	},
	{
		Name: "event_type_path", Kind: dialect.KindText, Receiving: dialect.Optional, Default: defaultTypePath,
		Help: dialect.Text{
			En: "Where the event type stands in the payload: member names joined by dots, such as type or event.name.",
			Zh: "事件类型在消息体中的位置：用点连接的成员名，如 type 或 event.name。",
		},
	},
	{
		Name: "event_type", Kind: dialect.KindText, Receiving: dialect.Optional, Default: defaultType,
		Help: dialect.Text{
			En: "The event type of messages that name none.",
			Zh: "消息未注明事件类型时使用的事件类型。",
		},
	},
	{
		Name: "dedup_for", Kind: dialect.KindDuration, Receiving: dialect.Optional, Default: "7d",
		Help: dialect.Text{
			En: "How long a webhook-id is remembered. Longer than the sender's whole retry schedule.",
			Zh: "webhook-id 的记忆时长，应长于发送方的整个重试周期。",
		},
	},
	{
		Name: "deadline", Kind: dialect.KindDuration, Sending: dialect.Optional, Default: "15s",
		Help: dialect.Text{
			En: "How long the receiver may take to answer one attempt.",
			Zh: "接收方单次应答的时限。",
		},
	},
	{
		Name: "retry_schedule", Kind: dialect.KindDuration, Sending: dialect.Optional, Default: "5s,5m,30m,2h,5h,10h,10h",
		Help: dialect.Text{
			En: "Waits between attempts, with commas, each from the failure of the attempt before.",
			Zh: "各次重试之间的等待时间，用逗号分隔，从上一次失败时起算。",
		},
	},
}

// check finds what the fields alone cannot say.
func check(s dialect.Settings, use dialect.Use) error {
	if _, err := parseSecrets(s, use); err != nil {
		return err
	}
	if use == dialect.Sending {
		if s.Duration("deadline", defaultDeadline) <= 0 {
			return dialect.Problem{Field: "deadline", Text: "must be more than nothing"}
		}
		if len(s.Durations("retry_schedule")) > maxSteps {
			return dialect.Problem{Field: "retry_schedule", Text: "has more than 50 steps"}
		}
		return nil
	}
	if s.Duration("dedup_for", defaultDedup) <= 0 {
		return dialect.Problem{Field: "dedup_for", Text: "must be more than nothing"}
	}
	if _, err := tolerance(s); err != nil {
		return err
	}
	if !dialect.Printable(s.Or("event_type", defaultType)) {
		return dialect.Problem{Field: "event_type", Text: "must be at most 256 bytes that can be printed"}
	}
	path := strings.Split(s.Or("event_type_path", defaultTypePath), ".")
	if len(path) > maxPath || slices.ContainsFunc(path, func(name string) bool { return strings.TrimSpace(name) != name || name == "" }) {
		return dialect.Problem{Field: "event_type_path", Text: "must be at most 10 names joined by dots, none of them empty or with a blank around it"}
	}
	return nil
}

// tolerance is how far the signed time may be off. It is never more than half of the memory: what came as early as the
// tolerance allows is then still remembered when it is as old as the tolerance allows.
func tolerance(s dialect.Settings) (time.Duration, error) {
	d := s.Duration("tolerance", defaultTolerance)
	if d <= 0 || d > dedupFor(s)/2 {
		return 0, dialect.Problem{Field: "tolerance", Text: "must be more than nothing and at most half of dedup_for"}
	}
	return d, nil
}

func dedupFor(s dialect.Settings) time.Duration {
	if d := s.Duration("dedup_for", defaultDedup); d > 0 {
		return d
	}
	return defaultDedup
}

// policy is Svix's schedule and time-out, with every flag of a considerate sender on.
func policy(s dialect.Settings) dialect.Policy {
	p := dialect.Policy{
		Deadline: s.Duration("deadline", defaultDeadline),
		Schedule: s.Durations("retry_schedule"),
		DedupFor: dedupFor(s),

		RetryAfter: true, GoneDisables: true, Breaker: true, AutoDisable: true, Jitter: true,
	}
	if p.Deadline <= 0 {
		p.Deadline = defaultDeadline
	}
	if p.Schedule == nil {
		p.Schedule = []time.Duration{
			5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
		}
	}
	return p
}
