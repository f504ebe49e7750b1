package simulate

import (
	"fmt"
	"slices"
	"time"
)

const maxRecords = 10_000

// Report is what a run showed.
type Report struct {
	Dialect    string  `json:"dialect"`
	To         string  `json:"to"`
	Lang       string  `json:"lang"` // of its texts
	TookMs     float64 `json:"tookMs"`
	DeadlineMs float64 `json:"deadlineMs"` // of the platform, for one request
	Passed     bool    `json:"passed"`     // the run came to its end, and no finding that is not expected is an error
	// Interrupted says that the run was ended before all was tried.
	Interrupted bool      `json:"interrupted,omitempty"`
	Handshake   *Record   `json:"handshake,omitempty"`
	Totals      Totals    `json:"totals"`
	Latency     Latency   `json:"latency"`
	Checks      []Check   `json:"checks"`            // in the order in which they were made
	Findings    []Finding `json:"findings"`          // the worst first
	Messages    []Record  `json:"messages"`          // in the order in which they ended
	Omitted     int       `json:"omitted,omitempty"` // messages that are counted and not listed
}

// Totals count a run's requests.
type Totals struct {
	Messages     int `json:"messages"`
	Attempts     int `json:"attempts"`     // requests for them
	Acknowledged int `json:"acknowledged"` // messages
	Retried      int `json:"retried"`      // requests that repeated a message on the platform's schedule
	GivenUp      int `json:"givenUp"`      // messages that the platform gives up
	Unfinished   int `json:"unfinished"`   // messages that still waited when the run was ended

	Duplicates             int `json:"duplicates"` // sent again after an acknowledgement
	DuplicatesAcknowledged int `json:"duplicatesAcknowledged"`

	Forged           int `json:"forged"`
	ForgedRefused    int `json:"forgedRefused"`
	ForgedAccepted   int `json:"forgedAccepted"`
	ForgedUnanswered int `json:"forgedUnanswered"`

	Habits int `json:"habits"` // requests for the habits, without repeats and forgeries
}

// Result is what a check came to.
type Result string

// The results of a check.
const (
	ResultPassed  Result = "passed"
	ResultWarned  Result = "warned" // it works, and barely
	ResultFailed  Result = "failed"
	ResultSkipped Result = "skipped" // not tried, or nothing could be said
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"` // url, probe, handshake, messages, a habit's name, confirmed
	Result Result `json:"result"`
	Text   string `json:"text"` // what a receiver does right that passes it, or why it was skipped
}

// Latency is how long the receiver took for the answers to good messages and duplicates, in milliseconds.
type Latency struct {
	P50 float64 `json:"p50Ms"`
	P90 float64 `json:"p90Ms"`
	P99 float64 `json:"p99Ms"`
	Max float64 `json:"maxMs"`
}

// Record is one message, duplicate, forgery or request of a habit.
type Record struct {
	Kind         StepKind `json:"kind"`
	ID           string   `json:"id,omitempty"`
	EventType    string   `json:"eventType,omitempty"`
	Forgery      string   `json:"forgery,omitempty"` // what is wrong with it
	Habit        string   `json:"habit,omitempty"`   // for which it was sent
	Attempts     int      `json:"attempts"`
	Status       int      `json:"status"` // HTTP status of the last answer, 0 = none
	Acknowledged bool     `json:"acknowledged"`
	GivenUp      bool     `json:"givenUp,omitempty"`
	Reason       string   `json:"reason"`              // what the platform makes of the last answer
	LatencyMs    float64  `json:"latencyMs,omitempty"` // of the last answer
	TookMs       float64  `json:"tookMs,omitempty"`    // from the first request to the acknowledgement, or to giving up
}

func ms(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

func (r *run) count(change func(*Totals)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.report.Totals)
}

func (r *run) record(rec Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.report.Messages) < maxRecords {
		r.report.Messages = append(r.report.Messages, rec)
		return
	}
	r.report.Omitted++
}

// step tells of a request and notes how long its answer took.
func (r *run) step(kind StepKind, rec *Record, a answer, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.failed == nil && (kind == StepMessage || kind == StepDuplicate) {
		r.took = append(r.took, a.took)
	}
	r.Progress(Step{
		Kind: kind, Habit: rec.Habit, ID: rec.ID, EventType: rec.EventType, Attempt: rec.Attempts,
		Status: a.status, Verdict: a.verdict.Kind, Reason: a.verdict.Reason, Took: a.took, Wait: wait,
	})
}

func (r *run) finish(began time.Time, interrupted bool) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.report
	out.TookMs = ms(r.Now().Sub(began))
	out.Latency = latency(r.took)
	if r.P99 > 0 && out.Latency.P99 > float64(r.P99)/float64(time.Millisecond) {
		r.findings.add(r.Lang, "messages", "over_agreed", fmt.Sprintf("%.1f ms", out.Latency.P99), r.P99)
	}
	out.Findings = r.findings.list()
	for i, f := range out.Findings {
		out.Findings[i].Ignored = slices.Contains(r.Ignore, f.Code)
	}
	for i := range out.Checks {
		out.judge(&out.Checks[i])
	}
	out.Interrupted = interrupted
	// Whatever is wrong is a finding, but for messages that the end of the run left waiting.
	out.Passed = !interrupted && out.Totals.Unfinished == 0 && !slices.ContainsFunc(out.Findings, Finding.fails)
	return out
}

// enter begins a check; what is found from now on belongs to it.
func (r *run) enter(name string, right words) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.check = name
	r.report.Checks = append(r.report.Checks, Check{Name: name, Result: ResultPassed, Text: right.in(r.Lang)})
}

// skip says why nothing can be said about the check under way.
func (r *run) skip(why words) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.report.Checks[len(r.report.Checks)-1]
	c.Result, c.Text = ResultSkipped, why.in(r.Lang)
}

// amend adds to the text of the check under way.
func (r *run) amend(more words) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Checks[len(r.report.Checks)-1].Text += more.in(r.Lang)
}

// found says whether there is a finding of a code.
func (r *run) found(code string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.findings.list(), func(f Finding) bool { return f.Code == code })
}

func (f Finding) fails() bool { return f.Level == LevelError && !f.Ignored }

// judge gives a check the result that its worst finding makes.
func (r *Report) judge(c *Check) {
	for _, f := range r.Findings {
		switch {
		case f.Check != c.Name || f.Ignored:
		case f.Level == LevelError:
			c.Result = ResultFailed
		case f.Level == LevelWarning && c.Result == ResultPassed:
			c.Result = ResultWarned
		}
	}
	if c.Name == "messages" && c.Result == ResultPassed && r.Totals.Unfinished > 0 {
		c.Result = ResultFailed
	}
}

func latency(took []time.Duration) Latency {
	if len(took) == 0 {
		return Latency{}
	}
	slices.Sort(took)
	at := func(share float64) float64 { return ms(took[min(int(share*float64(len(took))), len(took)-1)]) }
	return Latency{P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: ms(took[len(took)-1])}
}
