// Package diagnose owns the answer to "is this request right, and if not, why": what a dialect's Receive says, and what
// package explain finds. The command line and the API give the same one.
package diagnose

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/explain"
)

// Diagnosis is what was found out about a request. It holds neither a secret nor a right signature.
type Diagnosis struct {
	Dialect   string `json:"dialect"`
	Valid     bool   `json:"valid" doc:"A source with these settings accepts the request as it is"`
	Handshake bool   `json:"handshake,omitempty" doc:"It is a test of the platform's console and carries no message"`
	Key       int    `json:"key,omitempty" doc:"Which live secret or key the signature is by: 1 = the first, 0 = none that is known"`
	Rule      *Rule  `json:"rule,omitempty" doc:"How the dialect was told to verify"`

	Reason string `json:"reason,omitempty" doc:"Why it is refused, in a word: signature, replay, malformed, not_envelope or settings"`
	Part   string `json:"part,omitempty" doc:"Which part of the request that is about"`
	Text   string `json:"text,omitempty" doc:"The refusal in one sentence"`

	Findings []explain.Finding `json:"findings,omitempty" doc:"With sure = certain: all of them together are the cause. Otherwise: what was seen and not proved"`
	Tried    int               `json:"tried,omitempty" doc:"How many variants of the request were judged"`
	Whole    bool              `json:"whole,omitempty" doc:"Every known accident was tried; false = a limit ended the search"`
	Summary  *explain.Text     `json:"summary,omitempty" doc:"The explanation in one sentence"`
	Notes    []explain.Text    `json:"notes,omitempty" doc:"What was done to the capture to read it, and what it has lost"`

	EventType  string            `json:"eventType,omitempty"`
	EventID    string            `json:"eventId,omitempty"`
	Account    string            `json:"account,omitempty" doc:"Whose message it is, by the platform's name of the account"`
	Unreadable string            `json:"unreadable,omitempty" doc:"Why its content could not be read, though its signature is right"`
	Platform   map[string]string `json:"platform,omitempty" doc:"Everything else of the envelope"`
	Payload    json.RawMessage   `json:"payload,omitempty" doc:"Only of the command line: the API leaves it to the message itself"`
}

// Rule is how a signature is verified, as far as it is known from the dialect and its settings. No secret is in it.
type Rule struct {
	Signature string            `json:"signature,omitempty" doc:"Where the signature stands"`
	Algorithm string            `json:"algorithm,omitempty" doc:"As hmac-sha256, where the dialect has but one"`
	By        string            `json:"by,omitempty" doc:"By which of the dialect's ways this request was verified, as RSA2, V1; only of one that is valid"`
	Keys      []string          `json:"keys,omitempty" doc:"The settings that hold what verifies"`
	Profile   map[string]string `json:"profile,omitempty" doc:"The settings that choose the rule, with their defaults"`
}

// Request judges a request by settings that were checked, and explains it when it is refused. It is bounded by limits
// whatever the request.
func Request(d *dialect.Dialect, s dialect.Settings, in dialect.Inbound, limits explain.Limits) Diagnosis {
	out := Diagnosis{Dialect: d.Name, Rule: ruleOf(d, s)}
	got, err := d.Receive(s, in)
	var refusal *dialect.Error
	switch {
	case errors.As(err, &refusal):
		out.Reason, out.Part, out.Text = string(refusal.Reason), refusal.Part, refusal.Text
	case err != nil:
		out.Reason, out.Text = string(dialect.ReasonMalformed), "the request cannot be read"
	default:
		out.read(got)
		return out
	}
	why := explain.Request(d, s, in, limits)
	out.Key, out.Findings, out.Tried, out.Whole, out.Summary = why.Key, why.Findings, why.Tried, why.Whole, &why.Summary
	return out
}

func (d *Diagnosis) read(got dialect.Received) {
	d.Valid = true
	if got.Reply != nil {
		d.Handshake = true
		return
	}
	d.Key, d.EventType, d.EventID, d.Account = got.Key+1, got.EventType, got.EventID, got.Account
	if got.Rule != "" && d.Rule != nil {
		d.Rule.By = got.Rule
	}
	d.Platform, d.Payload, d.Unreadable = got.Platform, got.Payload, got.Unreadable
}

// Note adds notes of whoever read the request, each once.
func (d *Diagnosis) Note(notes ...dialect.Text) {
	for _, n := range notes {
		if text := explain.Text(n); !slices.Contains(d.Notes, text) {
			d.Notes = append(d.Notes, text)
		}
	}
}

func ruleOf(d *dialect.Dialect, s dialect.Settings) *Rule {
	x := d.Explain
	if x == nil {
		return nil
	}
	r := &Rule{Signature: x.Signature.Name, Keys: x.Keys}
	if x.MAC != nil {
		r.Algorithm = x.MAC.Hash
	}
	for _, name := range x.Profile {
		f, ok := fieldOf(d, name)
		if !ok || f.Secret {
			continue
		}
		if r.Profile == nil {
			r.Profile = map[string]string{}
		}
		r.Profile[name] = s.Or(name, f.Default)
	}
	return r
}

func fieldOf(d *dialect.Dialect, name string) (dialect.Field, bool) {
	for _, f := range d.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return dialect.Field{}, false
}
