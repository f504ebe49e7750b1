package simulate

import (
	"slices"
	"time"
)

const maxRecords = 10_000

// Report is what a run showed.
type Report struct {
	Dialect    string    `json:"dialect"`
	To         string    `json:"to"`
	TookMs     float64   `json:"tookMs"`
	DeadlineMs float64   `json:"deadlineMs"` // of the platform, for one request
	Passed     bool      `json:"passed"`     // the handshake and every message were acknowledged, nothing forged was, no finding is an error
	Handshake  *Record   `json:"handshake,omitempty"`
	Totals     Totals    `json:"totals"`
	Latency    Latency   `json:"latency"`
	Findings   []Finding `json:"findings"`
	Messages   []Record  `json:"messages"`          // in the order in which they ended
	Omitted    int       `json:"omitted,omitempty"` // messages that are counted and not listed
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
}

// Latency is how long the receiver took for the answers to good messages and duplicates, in milliseconds.
type Latency struct {
	P50 float64 `json:"p50Ms"`
	P90 float64 `json:"p90Ms"`
	P99 float64 `json:"p99Ms"`
	Max float64 `json:"maxMs"`
}

// Record is one message, duplicate or forgery.
type Record struct {
	Kind         StepKind `json:"kind"`
	ID           string   `json:"id,omitempty"`
	EventType    string   `json:"eventType,omitempty"`
	Forgery      string   `json:"forgery,omitempty"` // what is wrong with it
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
		Kind: kind, ID: rec.ID, EventType: rec.EventType, Attempt: rec.Attempts,
		Status: a.status, Verdict: a.verdict.Kind, Reason: a.verdict.Reason, Took: a.took, Wait: wait,
	})
}

func (r *run) finish(began time.Time) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.report
	out.TookMs = ms(r.Now().Sub(began))
	out.Latency = latency(r.took)
	out.Findings = r.findings.list()
	t := out.Totals
	out.Passed = t.Acknowledged == t.Messages && t.DuplicatesAcknowledged == t.Duplicates && t.ForgedAccepted == 0 &&
		!slices.ContainsFunc(out.Findings, func(f Finding) bool { return f.Level == LevelError })
	return out
}

func latency(took []time.Duration) Latency {
	if len(took) == 0 {
		return Latency{}
	}
	slices.Sort(took)
	at := func(share float64) float64 { return ms(took[min(int(share*float64(len(took))), len(took)-1)]) }
	return Latency{P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: ms(took[len(took)-1])}
}
