package simulate

import (
	"fmt"
	"io"
	"strings"
)

// The words of the table.
var (
	wordHandshake  = words{"handshake", "地址验证"}
	wordMessages   = words{"messages", "消息"}
	wordDuplicates = words{"duplicates", "重复推送"}
	wordForged     = words{"forged", "伪造"}
	wordAnswers    = words{"answers", "应答"}
	wordVerdict    = words{"verdict", "结论"}
	wordMend       = words{"mend", "建议"}
	wordPassed     = words{"passed", "通过"}
	wordFailed     = words{"FAILED", "未通过"}
	wordSkipped    = words{"skipped", "跳过"}
	wordWarned     = words{"warned", "警告"}
	wordExpected   = words{" (expected)", "（预期内）"}
)

// WriteTable writes a report for people: totals, times, what the receiver did right and wrong, how to mend it, verdict.
func (r Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s -> %s\n", r.Dialect, r.To)
	r.writeTotals(&b)
	right, tried := 0, 0
	for _, c := range r.Checks {
		if c.Result != ResultSkipped {
			tried++
		}
		if c.Result == ResultPassed || c.Result == ResultWarned {
			right++
		}
		r.writeCheck(&b, c)
	}
	verdict := say(r.Lang, words{"%s: %d of %d checks passed", "%s：共 %[3]d 项检查，通过 %[2]d 项"}, r.passed(r.Passed), right, tried)
	r.row(&b, wordVerdict, "%s", verdict)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) row(b *strings.Builder, name words, format string, args ...any) {
	fmt.Fprintf(b, "  %s %s\n", pad(name.in(r.Lang), 12), fmt.Sprintf(format, args...))
}

func (r Report) passed(ok bool) string {
	if ok {
		return wordPassed.in(r.Lang)
	}
	return wordFailed.in(r.Lang)
}

func (r Report) writeTotals(b *strings.Builder) {
	t := r.Totals
	if h := r.Handshake; h != nil {
		r.row(b, wordHandshake, "%s (%s)", r.passed(h.Acknowledged), h.Reason)
	}
	line := say(r.Lang, words{"%d sent, %d acknowledged, %d retried, %d given up", "发送 %d，确认 %d，重试 %d，放弃 %d"},
		t.Messages, t.Acknowledged, t.Retried, t.GivenUp)
	if t.Unfinished > 0 {
		line += say(r.Lang, words{", %d unfinished", "，未完成 %d"}, t.Unfinished)
	}
	r.row(b, wordMessages, "%s", line)
	if t.Duplicates > 0 {
		r.row(b, wordDuplicates, "%s", say(r.Lang, words{"%d sent, %d acknowledged", "发送 %d，确认 %d"}, t.Duplicates, t.DuplicatesAcknowledged))
	}
	if t.Forged > 0 {
		line := say(r.Lang, words{"%d sent, %d refused, %d accepted", "发送 %d，拒绝 %d，接受 %d"}, t.Forged, t.ForgedRefused, t.ForgedAccepted)
		if t.ForgedUnanswered > 0 {
			line += say(r.Lang, words{", %d unanswered", "，无应答 %d"}, t.ForgedUnanswered)
		}
		r.row(b, wordForged, "%s", line)
	}
	l := r.Latency
	if l == (Latency{}) {
		r.row(b, wordAnswers, "%s", say(r.Lang, words{"none (limit %.0f ms)", "无（时限 %.0f ms）"}, r.DeadlineMs))
		return
	}
	r.row(b, wordAnswers, "p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, max %.1f ms %s", l.P50, l.P90, l.P99, l.Max,
		say(r.Lang, words{"(limit %.0f ms)", "（时限 %.0f ms）"}, r.DeadlineMs))
}

// writeCheck writes what a check came to: what was right, or each finding and how to mend it.
func (r Report) writeCheck(b *strings.Builder, c Check) {
	result := map[Result]words{ResultPassed: wordPassed, ResultFailed: wordFailed, ResultWarned: wordWarned, ResultSkipped: wordSkipped}[c.Result]
	fmt.Fprintln(b, strings.TrimRight("  "+pad(result.in(r.Lang), 8)+" "+pad(c.Name, 16)+" "+r.summary(c), " "))
	for _, f := range r.Findings {
		if f.Check != c.Name {
			continue
		}
		times := ""
		if f.Count > 1 {
			times = say(r.Lang, words{" (%d times)", "（%d 次）"}, f.Count)
		}
		if f.Ignored {
			times += wordExpected.in(r.Lang)
		}
		fmt.Fprintf(b, "    %s %s: %s%s\n", pad(string(f.Level), 7), f.Code, f.Text, times)
		if f.Level != LevelNote && !f.Ignored {
			fmt.Fprintf(b, "    %s %s\n", pad(wordMend.in(r.Lang), 7), f.Mend)
		}
	}
}

// summary is what stands beside a check's name: nothing when its findings say it.
func (r Report) summary(c Check) string {
	if c.Result == ResultFailed || c.Result == ResultWarned {
		return ""
	}
	return c.Text
}

// pad fills a text up to a width in columns; a Chinese character takes two.
func pad(text string, width int) string {
	for _, c := range text {
		width--
		if c >= 0x1100 {
			width--
		}
	}
	return text + strings.Repeat(" ", max(width, 0))
}
