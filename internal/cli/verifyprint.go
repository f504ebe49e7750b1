package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect/explain"
	"github.com/waypost/waypost/internal/diagnose"
)

// words are the labels of a diagnosis in one language.
type words struct {
	zh bool

	valid, handshake, key, notValid         string
	rule, keys, profileOf                   string
	part, why, cause, seen, where, fix      string
	eventType, eventID, account, unreadable string
	platform, payload, note, otherTime      string
	profile, noProfile                      string
	sure                                    map[explain.Sure]string
}

func newWords(lang string) words {
	if lang == "zh" {
		return words{
			zh: true, valid: "验签通过", handshake: "平台控制台的握手请求，不含消息", key: "由第 %d 个有效密钥验证", notValid: "验签未通过",
			rule: "规则", keys: "密钥设置", profileOf: "签名方案",
			part: "部位", why: "拒绝说明", cause: "原因", seen: "可疑之处", where: "位置", fix: "怎么改",
			eventType: "事件类型", eventID: "事件 ID", account: "账号", unreadable: "无法读取", platform: "平台字段", payload: "内容", note: "备注",
			otherTime: "加上 --at 时刻，可按请求到达的时间判断",
			profile:   "# 有 %d 种组合能验证该请求（共尝试 %d 种）；请配置：", noProfile: "没有任何组合能验证该请求（共尝试 %d 种）：请检查公钥是否属于该环境，请求是否为逐字节的原文",
			sure: map[explain.Sure]string{explain.Certain: "确定", explain.Likely: "很可能", explain.Possible: "可能"},
		}
	}
	return words{
		valid: "VALID", handshake: "a handshake of the platform's console; it carries no message", key: "verified by live key %d", notValid: "NOT VALID",
		rule: "rule", keys: "key in", profileOf: "profile",
		part: "part", why: "why", cause: "cause", seen: "seen", where: "where", fix: "do",
		eventType: "event type", eventID: "event id", account: "account", unreadable: "unreadable", platform: "platform", payload: "payload", note: "note",
		otherTime: "--at MOMENT judges the request by the time when it came",
		profile:   "# %d combinations verify this request (%d were tried); configure:",
		noProfile: "no combination verifies this request (%d were tried): is the public key the one of this environment, and the request byte for byte what came?",
		sure:      map[explain.Sure]string{explain.Certain: "certain", explain.Likely: "likely", explain.Possible: "possible"},
	}
}

func (w words) text(t explain.Text) string {
	if w.zh {
		return t.Zh
	}
	return t.En
}

// said is what a dialect said in English.
func (w words) said(text string) string {
	if w.zh {
		return diagnose.Chinese(text)
	}
	return text
}

// print writes a diagnosis for people: the verdict, then the cause and what to do about it.
func (w words) print(to io.Writer, d *diagnose.Diagnosis) {
	line := func(name, value string) {
		if value = clean(value); value == "" {
			return
		}
		switch {
		case w.zh && name == "":
			fmt.Fprintln(to, value)
			return
		case w.zh:
			fmt.Fprintf(to, "%s：%s\n", name, value)
			return
		}
		fmt.Fprintf(to, "%-11s %s\n", name, value)
	}
	if d.Valid {
		w.printValid(line, d)
	} else {
		w.printRefused(line, d)
	}
	for _, n := range d.Notes {
		line(w.note, w.text(n))
	}
}

func (w words) printValid(line func(name, value string), d *diagnose.Diagnosis) {
	if d.Handshake {
		line(w.valid, w.handshake)
		return
	}
	line(w.valid, fmt.Sprintf(w.key, d.Key))
	w.printRule(line, d.Rule)
	line(w.eventType, d.EventType)
	line(w.eventID, d.EventID)
	line(w.account, d.Account)
	line(w.unreadable, d.Unreadable)
	for _, name := range sortedKeys(d.Platform) {
		line(w.platform, name+" = "+d.Platform[name])
	}
	line(w.payload, string(d.Payload))
}

func (w words) printRule(line func(name, value string), r *diagnose.Rule) {
	if r == nil {
		return
	}
	var parts []string
	for _, part := range []string{r.Algorithm, r.By, r.Signature} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	line(w.rule, strings.Join(parts, ", "))
	line(w.keys, strings.Join(r.Keys, ", "))
	for _, name := range sortedKeys(r.Profile) {
		line(w.profileOf, name+" = "+r.Profile[name])
	}
}

func (w words) printRefused(line func(name, value string), d *diagnose.Diagnosis) {
	line(w.notValid, d.Reason)
	line(w.part, strings.TrimPrefix(w.said(d.Part), diagnose.Original))
	line(w.why, w.said(d.Text))
	for _, f := range d.Findings {
		label := w.seen
		if f.Sure == explain.Certain {
			label = w.cause
		}
		line(label, fmt.Sprintf("%s [%s, %s]", w.text(f.Text), w.sure[f.Sure], f.Code))
		line("  "+w.where, strings.TrimPrefix(w.said(f.Where), diagnose.Original))
		line("  "+w.fix, w.text(f.Fix))
	}
	certain := slices.ContainsFunc(d.Findings, func(f explain.Finding) bool { return f.Sure == explain.Certain })
	if d.Summary != nil && !certain {
		line("", w.text(*d.Summary))
	}
}

// clean keeps what came from a stranger from moving the cursor, colouring the terminal, or looking like a line of ours.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '\ufffd'
		}
		return r
	}, strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(text))
}
