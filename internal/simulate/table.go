package simulate

import (
	"fmt"
	"io"
	"strings"
)

// WriteTable writes a report for people: totals, times, findings, verdict.
func (r Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	t := r.Totals
	fmt.Fprintf(&b, "%s -> %s\n", r.Dialect, r.To)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	if h := r.Handshake; h != nil {
		row("handshake", "%s (%s)", passed(h.Acknowledged), h.Reason)
	}
	line := fmt.Sprintf("%d sent, %d acknowledged, %d retried, %d given up", t.Messages, t.Acknowledged, t.Retried, t.GivenUp)
	if t.Unfinished > 0 {
		line += fmt.Sprintf(", %d unfinished", t.Unfinished)
	}
	row("messages", "%s", line)
	if t.Duplicates > 0 {
		row("duplicates", "%d sent, %d acknowledged", t.Duplicates, t.DuplicatesAcknowledged)
	}
	if t.Forged > 0 {
		line := fmt.Sprintf("%d sent, %d refused, %d accepted", t.Forged, t.ForgedRefused, t.ForgedAccepted)
		if t.ForgedUnanswered > 0 {
			line += fmt.Sprintf(", %d unanswered", t.ForgedUnanswered)
		}
		row("forged", "%s", line)
	}
	l := r.Latency
	row("answers", "p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, max %.1f ms (limit %.0f ms)", l.P50, l.P90, l.P99, l.Max, r.DeadlineMs)
	for _, f := range r.Findings {
		times := ""
		if f.Count > 1 {
			times = fmt.Sprintf(" (%d times)", f.Count)
		}
		row(string(f.Level), "%s%s", f.Text, times)
	}
	row("verdict", "%s", passed(r.Passed))
	_, err := io.WriteString(w, b.String())
	return err
}

func passed(ok bool) string {
	if ok {
		return "passed"
	}
	return "FAILED"
}
