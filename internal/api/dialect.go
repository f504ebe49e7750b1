package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
)

type textOut struct {
	En string `json:"en"`
	Zh string `json:"zh"`
}

type dialectOut struct {
	Name      string       `json:"name" example:"alipay"`
	Title     textOut      `json:"title"`
	Abilities abilitiesOut `json:"abilities"`
}

type abilitiesOut struct {
	Receive   bool `json:"receive" doc:"Sources may have it"`
	Send      bool `json:"send" doc:"Endpoints may have it"`
	Handshake bool `json:"handshake" doc:"An endpoint can be verified"`
	Decrypt   bool `json:"decrypt" doc:"What it receives may be encrypted"`
}

type fieldOut struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind" enum:"text,key,number,duration,bool,choice,list"`
	Secret    bool     `json:"secret" doc:"Never shown"`
	Several   bool     `json:"several" doc:"May hold several live values: the first signs, all verify"`
	Shared    bool     `json:"shared" doc:"Belongs to the platform: usually set in a profile"`
	Receiving string   `json:"receiving" enum:"unused,optional,required"`
	Sending   string   `json:"sending" enum:"unused,optional,required"`
	Default   string   `json:"default" doc:"What not setting it means"`
	Choices   []string `json:"choices" nullable:"false"`
	Help      textOut  `json:"help"`
}

type policyOut struct {
	DeadlineMs    int64     `json:"deadlineMs" doc:"For one attempt"`
	RetrySchedule []float64 `json:"retrySchedule" nullable:"false" doc:"Seconds between attempts"`
	DedupSeconds  float64   `json:"dedupSeconds" doc:"How long a repeat is recognised"`
	HTTPSOnly     bool      `json:"httpsOnly"`
	RetryAfter    bool      `json:"retryAfter" doc:"The receiver's Retry-After is honoured"`
	GoneDisables  bool      `json:"goneDisables" doc:"410 disables the endpoint"`
	Breaker       bool      `json:"breaker" doc:"An endpoint that fails in a row is probed"`
	AutoDisable   bool      `json:"autoDisable" doc:"An endpoint that fails for days is disabled"`
	Jitter        bool      `json:"jitter" doc:"Waits are spread"`
}

type exampleOut struct {
	EventType string            `json:"eventType"`
	Title     textOut           `json:"title"`
	Payload   json.RawMessage   `json:"payload"`
	Platform  map[string]string `json:"platform"`
}

// dialectDetail is all that a form for its settings needs.
type dialectDetail struct {
	Name      string       `json:"name"`
	Title     textOut      `json:"title"`
	Abilities abilitiesOut `json:"abilities"`
	Fields    []fieldOut   `json:"fields" nullable:"false"`
	Policy    policyOut    `json:"policy"`
	Examples  []exampleOut `json:"examples" nullable:"false"`
}

func (h *Handler) dialects() {
	add(h, operation("dialect.list", http.MethodGet, "/dialect", "List the dialects of this server"), member,
		func(context.Context, *struct{}) (*output[listResponse[dialectOut]], error) {
			out := listResponse[dialectOut]{Data: []dialectOut{}, Done: true}
			for _, d := range h.Dialects {
				out.Data = append(out.Data, showDialect(d))
			}
			slices.SortFunc(out.Data, func(a, b dialectOut) int { return strings.Compare(a.Name, b.Name) })
			return &output[listResponse[dialectOut]]{out}, nil
		})
	type nameInput struct {
		Name string `path:"name" maxLength:"64"`
	}
	add(h, operation("dialect.get", http.MethodGet, "/dialect/{name}", "Get a dialect: its settings, its times, its examples"), member,
		func(_ context.Context, in *nameInput) (*output[dialectDetail], error) {
			d, ok := h.Dialects[in.Name]
			if !ok {
				return nil, notFound("dialect")
			}
			return &output[dialectDetail]{detail(d)}, nil
		})
}

func showDialect(d *dialect.Dialect) dialectOut {
	return dialectOut{d.Name, textOut(d.Title), abilitiesOut{
		Receive: d.Receive != nil, Send: d.Sign != nil, Handshake: d.Handshake != nil, Decrypt: d.Decrypt != nil,
	}}
}

func detail(d *dialect.Dialect) dialectDetail {
	head := showDialect(d)
	out := dialectDetail{Name: head.Name, Title: head.Title, Abilities: head.Abilities, Fields: []fieldOut{}, Examples: []exampleOut{}}
	for _, f := range d.Fields {
		out.Fields = append(out.Fields, fieldOut{
			Name: f.Name, Kind: string(f.Kind), Secret: f.Secret, Several: f.Several, Shared: f.Shared,
			Receiving: needText(f.Receiving), Sending: needText(f.Sending), Default: f.Default, Choices: notNil(f.Choices), Help: textOut(f.Help),
		})
	}
	if d.Policy != nil {
		p := d.Policy(nil)
		out.Policy = policyOut{
			DeadlineMs: p.Deadline.Milliseconds(), RetrySchedule: notNil(seconds(p.Schedule)), DedupSeconds: p.DedupFor.Seconds(),
			HTTPSOnly: p.HTTPSOnly, RetryAfter: p.RetryAfter, GoneDisables: p.GoneDisables, Breaker: p.Breaker,
			AutoDisable: p.AutoDisable, Jitter: p.Jitter,
		}
	}
	for _, e := range d.Examples {
		out.Examples = append(out.Examples, exampleOut{e.EventType, textOut(e.Title), e.Payload, notNilMap(e.Platform)})
	}
	return out
}

func needText(n dialect.Need) string {
	switch n {
	case dialect.Required:
		return "required"
	case dialect.Optional:
		return "optional"
	}
	return "unused"
}
