// Package douyinspi owns the SPI requests of Douyin's life services: signed by a plain SHA-256 over client_secret, URL
// parameters and body in x-life-sign, and answered with an error_code in JSON.
//
// The facts and their sources are in docs/dialects/douyinspi.md. A gateway that stores first can only answer "taken":
// SPIs whose answer carries business data must reach the business itself.
package douyinspi

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/waypost/waypost/dialect"
)

// Dialect is Douyin's SPI, in both directions.
var Dialect = dialect.Dialect{
	Name:             "douyinspi",
	Title:            dialect.Text{En: "Douyin life services SPI", Zh: "抖音生活服务 SPI"},
	Fields:           fields,
	Check:            check,
	Receive:          receive,
	Reply:            reply,
	Sign:             sign,
	Judge:            judge,
	Policy:           policy,
	Explain:          explainer,
	SignatureHeaders: []string{"x-life-sign"},
}

const (
	signatureHeader = "x-life-sign"
	clientHeader    = "x-life-clientkey"
	contentType     = "application/json"

	defaultEvent    = "spi"
	defaultDeadline = 3 * time.Second
	defaultDedup    = time.Hour
	defaultRetries  = 12
	defaultInterval = time.Minute
	maxRetries      = 100
)

var fields = []dialect.Field{
	{
		Name: "client_secret", Kind: dialect.KindText, Secret: true, Several: true,
		Receiving: dialect.Required, Sending: dialect.Required,
		Help: dialect.Text{
			En: "client_secret of the app, from its page in the developer console",
			Zh: "应用的 client_secret，见开发者后台的应用页面",
		},
	},
	{
		Name: "client_key", Kind: dialect.KindText, Receiving: dialect.Optional, Sending: dialect.Optional,
		Help: dialect.Text{
			En: "client_key (APPID) of the app. Receiving: a request for another one is refused. Sending: goes into the URL and x-life-clientkey; without it each message must bring its own",
			Zh: "应用的 client_key（APPID）。接收时：其他 client_key 的请求会被拒绝。发送时：写入 URL 与 x-life-clientkey；不填则每条消息须自带",
		},
	},
	{
		Name: "event_type", Kind: dialect.KindText, Receiving: dialect.Optional, Default: defaultEvent,
		Help: dialect.Text{
			En: "event type of what arrives here: an SPI is told by its URL, nothing in the request names it. Give each SPI a source of its own",
			Zh: "此处收到的请求所用的事件类型：SPI 由 URL 区分，请求中没有名称。请为每个 SPI 建立单独的来源",
		},
	},
	{
		Name: "param_values", Kind: dialect.KindChoice, Choices: []string{"decoded", "encoded"}, Shared: true,
		Receiving: dialect.Optional, Sending: dialect.Optional, Default: "decoded",
		Help: dialect.Text{
			En: "whether URL parameters are signed percent-decoded or as they stand in the URL; the platform does not say",
			Zh: "URL 参数按解码后的值还是原样参与签名；平台文档未说明",
		},
	},
	{
		Name: "empty_body", Kind: dialect.KindChoice, Choices: []string{"with_http_body", "without_http_body"}, Shared: true,
		Receiving: dialect.Optional, Sending: dialect.Optional, Default: "with_http_body",
		Help: dialect.Text{
			En: "whether &http_body= is signed when there is no body; the platform does not say",
			Zh: "没有消息体时是否仍在签名串末尾加 &http_body=；平台文档未说明",
		},
	},
	{
		Name: "dedup_for", Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Default: "1h",
		Help: dialect.Text{
			En: "how long a request is recognised when it comes again. A signed timestamp further from now than half of this is refused as a replay",
			Zh: "识别重复请求的时长。已签名的 timestamp 与当前相差超过此时长一半的按重放拒绝",
		},
	},
	{
		Name: "deadline", Kind: dialect.KindDuration, Shared: true, Sending: dialect.Optional, Default: "3s",
		Help: dialect.Text{En: "how long an answer may take; the platform's time was not seen", Zh: "等待应答的时限；平台的取值未见"},
	},
	{
		Name: "retry_count", Kind: dialect.KindNumber, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional, Default: "12",
		Help: dialect.Text{En: "attempts after the first (0 to 100); the platform makes up to 12", Zh: "首次之后的重试次数（0 到 100）；平台最多 12 次"},
	},
	{
		Name: "retry_interval", Kind: dialect.KindDuration, Shared: true, Receiving: dialect.Optional, Sending: dialect.Optional, Default: "1m",
		Help: dialect.Text{En: "wait before each further attempt; the platform's was not seen", Zh: "每次重试前的间隔；平台的取值未见"},
	},
}

func check(s dialect.Settings, _ dialect.Use) error {
	for _, secret := range s["client_secret"] {
		if err := dialect.CheckSecret(secret); err != nil {
			return dialect.Problem{Field: "client_secret", Text: err.Error()}
		}
	}
	if key := s.Get("client_key"); key != "" && !plainKey(key) {
		return dialect.Problem{Field: "client_key", Text: "must be printable, without blanks, & and ="}
	}
	if !dialect.Printable(s.Or("event_type", defaultEvent)) {
		return dialect.Problem{Field: "event_type", Text: "must be a printable text of 1 to 256 bytes"}
	}
	return nil
}

// reply says error_code 0 for what is stored. Anything but the documented form makes the platform repeat.
func reply(_ dialect.Settings, o dialect.Outcome) dialect.Reply {
	if o.Result != dialect.Stored && o.Result != dialect.Duplicate {
		return dialect.Reply{Status: o.Result.DefaultStatus()}
	}
	return dialect.Reply{Status: http.StatusOK, ContentType: contentType, Body: []byte(`{"data":{"error_code":0,"description":""}}`)}
}

// judge reads data.error_code: 0 is taken, 100 and whatever breaks the protocol are repeated, another code is final.
func judge(_ dialect.Settings, r dialect.Response) dialect.Verdict {
	if v := dialect.JudgeStatus(r, func(status int) bool { return status == http.StatusOK }); v.Kind != dialect.Accepted {
		return v
	}
	var answer struct {
		Data struct {
			Code *int64 `json:"error_code"`
		} `json:"data"`
	}
	if err := json.Unmarshal(r.Body, &answer); err != nil || answer.Data.Code == nil {
		return dialect.Verdict{Kind: dialect.Retry, Reason: "the answer has no number data.error_code"}
	}
	reason := "answered data.error_code " + strconv.FormatInt(*answer.Data.Code, 10)
	switch *answer.Data.Code {
	case 0:
		return dialect.Verdict{Kind: dialect.Accepted, Reason: reason}
	case 100:
		return dialect.Verdict{Kind: dialect.Retry, Reason: reason + ", which asks for a repeat"}
	}
	return dialect.Verdict{Kind: dialect.Refused, Reason: reason + "; only 100 is repeated"}
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
	// Longer than the sender repeats, or the last repeat would be delivered again.
	p.DedupFor = s.Duration("dedup_for", max(defaultDedup, 2*p.Total()))
	return p
}
