package simulate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	LevelError   Level = "error"   // messages are lost, repeated without need, or taken from strangers
	LevelWarning Level = "warning" // it works, and barely
	LevelNote    Level = "note"    // worth knowing
)

// Finding is something that a platform or its developers would stumble over.
type Finding struct {
	Level Level  `json:"level"`
	Code  string `json:"code"`  // for programs
	Text  string `json:"text"`  // one sentence about the worst or the first time
	Count int    `json:"count"` // times that it was seen
}

// findings counts each kind of finding once.
type findings struct {
	byKey map[string]*Finding
	order []string
	worst time.Duration // of slow answers
}

// add notes a finding. What stands behind a colon in the key tells kinds of the same code apart.
func (f *findings) add(level Level, key, text string) *Finding {
	if f.byKey == nil {
		f.byKey = map[string]*Finding{}
	}
	found := f.byKey[key]
	if found == nil {
		code, _, _ := strings.Cut(key, ":")
		found = &Finding{Level: level, Code: code, Text: text}
		f.byKey[key] = found
		f.order = append(f.order, key)
	}
	found.Count++
	return found
}

func (f *findings) list() []Finding {
	out := make([]Finding, 0, len(f.order))
	for _, key := range f.order {
		out = append(out, *f.byKey[key])
	}
	rank := []Level{LevelError, LevelWarning, LevelNote}
	slices.SortStableFunc(out, func(a, b Finding) int { return slices.Index(rank, a.Level) - slices.Index(rank, b.Level) })
	return out
}

func (r *run) find(level Level, key, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings.add(level, key, text)
}

// lookAtURL says what the platform would say about the URL itself.
func (r *run) lookAtURL() {
	if r.policy.HTTPSOnly && !strings.HasPrefix(strings.ToLower(r.To), "https://") {
		r.find(LevelNote, "https", "the platform pushes to https URLs only")
	}
}

// judgeGood finds what is wrong with the answer to a message that was rightly signed.
func (r *run) judgeGood(a answer) {
	switch {
	case a.failed != nil && a.failed.Kind == egress.KindTimeout:
		r.find(LevelError, "late", fmt.Sprintf("gave no answer in time (%s): the platform's limit is %s", a.failed.Text, millis(r.deadline)))
		return
	case a.failed != nil:
		r.find(LevelError, "unreachable:"+string(a.failed.Kind), "could not be reached: "+a.failed.Error())
		return
	}
	r.judgeTime(a.took)
	if a.verdict.Kind == dialect.Accepted {
		return
	}
	switch a.status / 100 {
	case 2:
		r.find(LevelError, "wrong_words", a.verdict.Reason+": the platform does not take that for an acknowledgement")
	case 3:
		r.find(LevelError, "redirect", a.verdict.Reason+": platforms do not follow redirects")
	case 4:
		r.find(LevelError, "rejected", a.verdict.Reason+" to a rightly signed message: do both sides hold the same key?")
	default:
		r.find(LevelNote, "failing", a.verdict.Reason+": the platform repeats such a message on its schedule")
	}
}

// judgeTime warns when an answer takes more than half of the platform's time: on a bad day that is too late.
func (r *run) judgeTime(took time.Duration) {
	if took <= r.deadline/2 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	level, key := LevelWarning, "slow"
	if took > r.deadline {
		level, key = LevelError, "late"
	}
	f := r.findings.add(level, key, "")
	if took > r.findings.worst || f.Text == "" {
		r.findings.worst = max(r.findings.worst, took)
		f.Text = fmt.Sprintf("answered after %s: the platform's limit is %s", millis(took), millis(r.deadline))
	}
}

func millis(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
