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
	Level   Level  `json:"level"`
	Code    string `json:"code"`              // for programs; one of Codes
	Check   string `json:"check"`             // during which check it was seen
	Text    string `json:"text"`              // one sentence about the worst or the first time
	Mend    string `json:"mend"`              // what to do about it
	Count   int    `json:"count"`             // times that it was seen during that check
	Ignored bool   `json:"ignored,omitempty"` // the scenario expects it, so that it does not fail the run
}

// findings counts each kind of finding of a check once.
type findings struct {
	byKey map[string]*Finding
	order []*Finding
	worst map[*Finding]time.Duration // of slow answers
}

// add notes a finding of a check. What stands behind a colon in the key tells kinds of the same code apart.
func (f *findings) add(lang, check, key string, args ...any) *Finding {
	if f.byKey == nil {
		f.byKey, f.worst = map[string]*Finding{}, map[*Finding]time.Duration{}
	}
	id := check + "/" + key
	found := f.byKey[id]
	if found == nil {
		code, _, _ := strings.Cut(key, ":")
		w := look(key)
		found = &Finding{Level: w.level, Code: code, Check: check, Text: say(lang, w.text, args...), Mend: w.mend.in(lang)}
		f.byKey[id] = found
		f.order = append(f.order, found)
	}
	found.Count++
	return found
}

func (f *findings) list() []Finding {
	out := make([]Finding, 0, len(f.order))
	for _, found := range f.order {
		out = append(out, *found)
	}
	rank := []Level{LevelError, LevelWarning, LevelNote}
	slices.SortStableFunc(out, func(a, b Finding) int { return slices.Index(rank, a.Level) - slices.Index(rank, b.Level) })
	return out
}

// find notes a finding; its level and words are in the catalogue.
func (r *run) find(key string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings.add(r.Lang, r.check, key, args...)
}

// lookAtURL says what the platform would say about the URL itself.
func (r *run) lookAtURL() {
	if r.policy.HTTPSOnly && !strings.HasPrefix(strings.ToLower(r.To), "https://") {
		r.find("https")
	}
}

// judgeGood finds what is wrong with the answer to a message that was rightly signed. explained says that a finding tells
// why the platform does not take it for an acknowledgement.
func (r *run) judgeGood(a answer) (explained bool) {
	switch {
	case a.failed != nil && a.failed.Kind == egress.KindTimeout:
		r.find("late:none", millis(r.deadline), a.failed.Text)
		return true
	case a.failed != nil:
		r.find("unreachable:"+string(a.failed.Kind), a.failed.Error())
		return true
	}
	r.judgeTime(a.took)
	if a.verdict.Kind == dialect.Accepted {
		r.judgeWord(a)
		return false
	}
	switch a.status / 100 {
	case 2:
		r.find("wrong_words", a)
	case 3:
		r.find("redirect", a)
	case 4:
		r.find("rejected", a)
	default:
		r.find("failing", a)
		return false
	}
	return true
}

// ackWord is the setting of dialects whose acknowledgement is a word that is read generously, unless it says strict.
const (
	ackWord       = "ack_word"
	ackWordStrict = "strict"
)

// judgeWord warns of an acknowledgement that counts only because the settings leave open how exactly it is read.
func (r *run) judgeWord(a answer) {
	open := func(f dialect.Field) bool { return f.Name == ackWord && slices.Contains(f.Choices, ackWordStrict) }
	if r.Settings.Get(ackWord) != "" || !slices.ContainsFunc(r.Dialect.Fields, open) {
		return
	}
	x := dialect.Response{Status: a.status, Header: a.header, Body: a.body}
	if r.Dialect.Judge(r.Settings.With(ackWord, ackWordStrict), x).Kind != dialect.Accepted {
		r.find("loose_words", a.body[:min(len(a.body), maxShown)])
	}
}

// judgeTime warns when an answer takes more than half of the platform's time: on a bad day that is too late.
func (r *run) judgeTime(took time.Duration) {
	if took <= r.deadline/2 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := "slow"
	if took > r.deadline {
		key = "late"
	}
	f := r.findings.add(r.Lang, r.check, key, millis(took), millis(r.deadline))
	if took > r.findings.worst[f] {
		r.findings.worst[f] = took
		f.Text = say(r.Lang, look(key).text, millis(took), millis(r.deadline))
	}
}

func millis(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

const maxShown = 60 // bytes of an answer that a finding shows

// in words an answer: what the platform makes of it, or in Chinese what came, which needs no translation.
func (a answer) in(lang string) string {
	switch {
	case lang != Chinese:
		return a.verdict.Reason
	case a.failed != nil:
		return "没有应答（" + a.failed.Text + "）"
	case len(a.body) == 0:
		return fmt.Sprintf("应答 HTTP %d", a.status)
	}
	return fmt.Sprintf("应答 HTTP %d %.*q", a.status, maxShown, a.body)
}
