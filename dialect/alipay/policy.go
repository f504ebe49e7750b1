package alipay

import (
	"slices"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

const (
	defaultDeadline = 16 * time.Second
	defaultDedupFor = 7 * 24 * time.Hour
)

// policy returns the platform's times. Which table the message service uses, and whether it sends three times at once
// first, is not settled; see the settings. Nothing of HTTP beyond the answer counts, so all other flags are off.
func policy(s dialect.Settings) dialect.Policy {
	return dialect.Policy{
		Deadline: positive(s, fDeadline, defaultDeadline),
		Schedule: schedule(s),
		DedupFor: positive(s, fDedupFor, defaultDedupFor),
	}
}

func schedule(s dialect.Settings) []time.Duration {
	if own := s.Durations(fRetrySchedule); len(own) > 0 {
		return own
	}
	tail := []time.Duration{10 * time.Minute, 10 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 15 * time.Hour}
	switch s.Get(fRetryTable) {
	case tablePayment:
		return slices.Concat([]time.Duration{0, 0, 0, 4 * time.Minute}, tail)
	case tablePaymentLegacy:
		return slices.Concat([]time.Duration{4 * time.Minute}, tail)
	}
	return slices.Concat([]time.Duration{2 * time.Minute}, tail)
}

// positive is a length of time that is set and not zero, else the default.
func positive(s dialect.Settings, name string, def time.Duration) time.Duration {
	if s.Get(name) == "" {
		return def
	}
	if d := s.Duration(name, def); d > 0 {
		return d
	}
	return def
}

// reply answers in the platform's words: the body decides, and everything but success is a failure.
func reply(s dialect.Settings, o dialect.Outcome) dialect.Reply {
	switch {
	case o.Received != nil && o.Received.Reply != nil:
		return *o.Received.Reply
	case o.Result == dialect.Stored || o.Result == dialect.Duplicate:
		word := "success"
		if s.Get(fAckWord) == ackInternational {
			word = "SUCCESS"
		}
		return dialect.Reply{Status: 200, ContentType: "text/plain", Body: []byte(word)}
	}
	return dialect.Reply{Status: o.Result.DefaultStatus(), ContentType: "text/plain", Body: []byte("fail")}
}

// judge reads an answer. The platform's documents speak of the body alone; that the status must be 200 is our default.
func judge(s dialect.Settings, r dialect.Response) dialect.Verdict {
	if r.Status != 200 && (s.Get(fAckStatus) != "2xx" || r.Status < 200 || r.Status > 299) {
		return dialect.Verdict{Kind: dialect.Retry, Reason: dialect.JudgeStatus(r, never).Reason}
	}
	switch body := string(r.Body); {
	case r.Truncated || len(body) > 256:
		return dialect.Verdict{Kind: dialect.Retry, Reason: "answered a whole page instead of the one word success"}
	case acknowledges(s.Get(fAckWord), body):
		return dialect.Verdict{Kind: dialect.Accepted, Reason: "answered success"}
	case body == "fail":
		return dialect.Verdict{Kind: dialect.Retry, Reason: "answered fail"}
	case body == "":
		return dialect.Verdict{Kind: dialect.Retry, Reason: "answered an empty body; the body must be the word success"}
	case strings.Contains(strings.ToLower(body), "success"):
		return dialect.Verdict{Kind: dialect.Retry, Reason: "answered success with something around it or in other letters; the body must be the bare word"}
	}
	return dialect.Verdict{Kind: dialect.Retry, Reason: "answered something else than the word success"}
}

func never(int) bool { return false }

func acknowledges(word, body string) bool {
	switch word {
	case ackStrict:
		return body == "success"
	case ackInternational:
		return strings.Trim(body, asciiBlanks) == "SUCCESS"
	}
	return strings.EqualFold(strings.Trim(body, asciiBlanks), "success") && isASCII(body)
}

const asciiBlanks = " \t\r\n\v\f"
