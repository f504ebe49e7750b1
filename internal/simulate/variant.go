package simulate

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// with is a copy of settings in which one is another.
func with(s dialect.Settings, name, value string) dialect.Settings {
	out := maps.Clone(s)
	out[name] = []string{value}
	return out
}

func (r *run) field(name string) (dialect.Field, bool) {
	i := slices.IndexFunc(r.Dialect.Fields, func(f dialect.Field) bool { return f.Name == name })
	if i < 0 {
		return dialect.Field{}, false
	}
	return r.Dialect.Fields[i], true
}

// addNote gives a payload a member with a text, written as it is given.
func addNote(payload []byte, value string) ([]byte, bool) {
	last := bytes.LastIndexByte(payload, '}')
	head := bytes.TrimLeft(payload, " \t\r\n")
	if last < 0 || len(head) == 0 || head[0] != '{' {
		return payload, false
	}
	comma := ","
	if bytes.HasSuffix(bytes.TrimRight(payload[:last], " \t\r\n"), []byte("{")) {
		comma = ""
	}
	out := append(bytes.Clone(payload[:last]), comma+`"simulatedNote":`+value...)
	return append(out, payload[last:]...), true
}

// noted is an edit that adds a text.
func noted(value string) func(*dialect.Outbound) bool {
	return func(out *dialect.Outbound) (ok bool) {
		out.Payload, ok = addNote(out.Payload, value)
		return ok
	}
}

// odd sends one message that looks different, unless plain ones do not get through.
func (r *run) odd(ctx context.Context, v variant) words {
	if !r.healthy() {
		return notAcknowledged
	}
	if out := r.fresh(v.habit, v.number); v.edit != nil && !v.edit(&out) {
		return notOfPayload
	}
	r.good(ctx, v)
	return words{}
}

func tryGBK(ctx context.Context, r *run) words {
	if f, ok := r.field("charset"); !ok || !slices.Contains(f.Choices, "GBK") {
		return noSuchHabit
	}
	return r.odd(ctx, variant{habit: "gbk", key: "gbk_refused", settings: with(r.Settings, "charset", "GBK"), edit: noted(`"张三的订单：已支付￥128"`)})
}

func tryPretty(ctx context.Context, r *run) words {
	v := variant{habit: "pretty", key: "reserialised:pretty", args: []any{words{"with line ends and blanks", "带换行与空格"}}, edit: prettify}
	if _, ok := r.field("pretty_body"); ok {
		v.settings = with(r.Settings, "pretty_body", "true")
	}
	return r.odd(ctx, v)
}

func prettify(out *dialect.Outbound) bool {
	var b bytes.Buffer
	if json.Indent(&b, out.Payload, "", "  ") != nil {
		return false
	}
	out.Payload = b.Bytes()
	return true
}

func tryEscapes(ctx context.Context, r *run) words {
	v := variant{
		habit: "unicode-escapes", key: "reserialised:escapes", args: []any{words{`with \u escapes`, `带 \u 转义`}},
		edit: func(out *dialect.Outbound) (ok bool) {
			out.Payload, ok = addNote(out.Payload, `"\u4e2d\u6587 caf\u00e9 a\/b \u003c\u0026\u003e"`)
			out.Payload = escape(out.Payload)
			return ok
		},
	}
	if why := r.odd(ctx, v); why != (words{}) || r.Dialect.Name != "pandapon" {
		return why
	}
	// There the decoded text is signed, so that the envelope may spell it either way.
	return r.odd(ctx, variant{
		habit: "unicode-escapes", number: 1, key: "reserialised:envelope", edit: noted(`"中文"`),
		args:   []any{words{`with \u escapes in its envelope`, `信封中带 \u 转义`}},
		change: func(req *dialect.Request) { req.Body = escape(req.Body) },
	})
}

// escape spells every character of a JSON text that is not ASCII as \uXXXX, as PHP and Python do.
func escape(doc []byte) []byte {
	out := make([]byte, 0, len(doc)*2)
	for i := 0; i < len(doc); {
		c, n := utf8.DecodeRune(doc[i:])
		i += n
		switch {
		case c < utf8.RuneSelf:
			out = append(out, byte(c))
		case c > 0xffff:
			hi, lo := utf16.EncodeRune(c)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, c)
		}
	}
	return out
}

func tryEmoji(ctx context.Context, r *run) words {
	return r.odd(ctx, variant{habit: "emoji", key: "emoji_refused", edit: noted(`"😀👨‍👩‍👧 𠮷野家 ﷽"`)})
}

func tryBigNumbers(ctx context.Context, r *run) words {
	return r.odd(ctx, variant{habit: "big-numbers", key: "number_refused", edit: noted(`[9007199254740993,1.50,1e2,-0]`)})
}

// tryEventNames sends an event that nobody has heard of, and where the manual's print leaves two spellings of a code
// open, both.
func tryEventNames(ctx context.Context, r *run) words {
	if !r.healthy() {
		return notAcknowledged
	}
	if out := r.fresh("event-names", 0); out.EventType == "" {
		return noSuchHabit
	}
	names := []string{unheardOf(r.events()[0].EventType)}
	s := r.Settings
	if _, ok := r.field("recharge_code"); ok {
		names = append(names, "FREIGHT_RECHAR", "FREIGHT_RECHARGE")
		s = with(s, "recharge_code", "as_given")
	}
	for i, name := range names {
		r.good(ctx, variant{
			habit: "event-names", number: i * len(r.events()), key: "event_refused:" + name, args: []any{name}, settings: s,
			edit: func(out *dialect.Outbound) bool {
				// Where the type stands in the payload, it must agree.
				out.Payload = bytes.ReplaceAll(out.Payload, dialect.Quote(out.EventType), dialect.Quote(name))
				out.EventType = name
				return true
			},
		})
	}
	return words{}
}

// unheardOf is a name in the style of another.
func unheardOf(eventType string) string {
	if i := strings.LastIndexByte(eventType, '.'); i > 0 {
		return eventType[:i] + ".unheard_of"
	}
	if eventType == strings.ToUpper(eventType) {
		return "UNHEARD_OF"
	}
	return "unheard_of"
}

// bigChallenge is the first whole number above 2^53 that a float64 cannot hold.
const bigChallenge = "9007199254740993"

// tryChallenge verifies the URL with a challenge that only survives as digits.
func tryChallenge(ctx context.Context, r *run) words {
	if r.Dialect.Name != "douyin" {
		return noSuchHabit
	}
	if h := r.report.Handshake; h == nil || !h.Acknowledged {
		return words{"not judged: the plain verification did not pass", "未判断：普通的地址验证没有通过"}
	}
	body := []byte(`{"event":"verify_webhook","client_key":"","content":{"challenge":` + bigChallenge + `}}`)
	req, _, err := r.Dialect.Handshake(r.Settings, dialect.Nonce{Now: r.Now(), Seed: r.seed("challenge", 0)})
	if err != nil {
		return noSuchHabit
	}
	sum := sha1.Sum(append([]byte(r.Settings.Get("client_secret")), body...))
	req.Header = req.Header.Clone()
	req.Header["X-Douyin-Signature"] = []string{hex.EncodeToString(sum[:])}
	req.Body = body
	a, ok := r.send(ctx, req, judgeBigChallenge)
	if !ok {
		return words{}
	}
	r.recordHabit("challenge", dialect.Outbound{EventType: "verify_webhook"}, a, 1)
	if a.verdict.Kind != dialect.Accepted {
		r.find("challenge_rounded", bigChallenge, challengeIn(a.body))
	}
	return words{}
}

func judgeBigChallenge(x dialect.Response) dialect.Verdict {
	if x.Status == 200 && challengeIn(x.Body) == bigChallenge {
		return dialect.Verdict{Kind: dialect.Accepted, Reason: "answered the challenge"}
	}
	return dialect.Verdict{Kind: dialect.Refused, Reason: "answered another challenge than was sent"}
}

// challengeIn is the challenge of an answer as it is spelled, shortened.
func challengeIn(body []byte) string {
	var got struct {
		Challenge json.RawMessage `json:"challenge"`
	}
	if json.Unmarshal(body, &got) != nil || len(got.Challenge) == 0 {
		return "-"
	}
	return string(got.Challenge[:min(len(got.Challenge), maxShown)])
}
