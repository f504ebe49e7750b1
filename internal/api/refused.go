package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/explain"
	"github.com/waypost/waypost/internal/capture"
	"github.com/waypost/waypost/internal/diagnose"
	"github.com/waypost/waypost/internal/hook"
)

type refusedInput struct {
	SourcePath
	Limit   int `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Explain int `query:"explain" minimum:"0" maximum:"5" default:"3" doc:"How many of the newest are explained"`
}

type refusedOut struct {
	ID      string     `json:"id" example:"ref_0123456789abc"`
	At      time.Time  `json:"at"`
	Reason  string     `json:"reason" doc:"A short word: signature, malformed, replay, too_large …"`
	Detail  string     `json:"detail" doc:"One sentence"`
	Remote  string     `json:"remote" doc:"The address that it came from"`
	Request requestOut `json:"request"`

	Explanation *diagnose.Diagnosis `json:"explanation" doc:"Why the source refuses it, by its settings as they are now; null when nothing was looked for"`
}

type requestOut struct {
	Method  string      `json:"method"`
	Query   string      `json:"query"`
	Headers http.Header `json:"headers"`
	Body    string      `json:"body" doc:"As text, or in base64 where it is not UTF-8"`
	Base64  bool        `json:"base64" doc:"The body is in base64"`
}

func showRefused(r hook.Refused) refusedOut {
	out := refusedOut{ID: hook.RefusalID(r.ID).String(), At: r.At.UTC(), Reason: r.Reason, Detail: r.Detail, Remote: r.Remote}
	out.Request = requestOut{Method: r.Raw.Method, Query: r.Raw.Query, Headers: http.Header(notNilMap(r.Raw.Header)), Body: string(r.Raw.Body)}
	if !utf8.Valid(r.Raw.Body) {
		out.Request.Body, out.Request.Base64 = base64.StdEncoding.EncodeToString(r.Raw.Body), true
	}
	return out
}

// refusedList has the shape of a page, which it always is the only one of.
type refusedList = listResponse[refusedOut]

// listLimits are those of one of the explanations of a list: several of them together cost what a single one may.
var listLimits = explain.Limits{Tries: 600, Bytes: 48 << 20}

func (h *Handler) listRefused(ctx context.Context, in *refusedInput) (*output[refusedList], error) {
	s, err := h.source(ctx, &in.SourcePath)
	if err != nil {
		return nil, err
	}
	all, err := h.Store.Refusals(ctx, s.ID, in.Limit)
	if err != nil {
		return nil, err
	}
	judge, err := h.judgeOf(ctx, s, in.Explain)
	if err != nil {
		return nil, err
	}
	left := in.Explain
	out := refusedList{Data: []refusedOut{}, Done: true}
	for _, r := range all {
		shown := showRefused(r)
		if judge != nil && left > 0 && ctx.Err() == nil && explainable(r.Reason) {
			left--
			request := stored(r.Raw, r.At)
			why := judge(request.Inbound)
			why.Note(request.Notes...)
			shown.Explanation = &why
		}
		out.Data = append(out.Data, shown)
	}
	return &output[refusedList]{out}, nil
}

// judgeOf returns what explains requests to a source; nil when nothing is to be explained, or nothing can be.
func (h *Handler) judgeOf(ctx context.Context, s hook.Source, n int) (func(dialect.Inbound) diagnose.Diagnosis, error) {
	d := h.Dialects[s.Dialect]
	if n == 0 || d == nil || d.Receive == nil {
		return nil, nil
	}
	by, err := h.ownSettings(ctx, s)
	if err != nil {
		return nil, err
	}
	limits := listLimits
	limits.Others = by.others
	return func(in dialect.Inbound) diagnose.Diagnosis { return h.diagnose(d, by.settings, in, limits) }, nil
}

// explainable says whether a refusal is about what the request says, and not about how it came or how we were.
func explainable(reason string) bool {
	switch dialect.Reason(reason) {
	case dialect.ReasonSignature, dialect.ReasonReplay, dialect.ReasonMalformed, dialect.ReasonNotEnvelope, dialect.ReasonSettings:
		return true
	}
	return false
}

// stored is a stored request, with a note when its body was too large to be kept whole.
func stored(raw hook.Raw, at time.Time) (r capture.Request) {
	r.Inbound = dialect.Inbound{Method: raw.Method, Query: raw.Query, Header: raw.Header, Body: raw.Body, Now: at}
	if note, ok := capture.LengthNote(r.Inbound); ok {
		r.Notes = append(r.Notes, note)
	}
	return r
}

// diagnose judges a request as it may be shown: without its payload, which is the message's.
func (h *Handler) diagnose(d *dialect.Dialect, s dialect.Settings, in dialect.Inbound, limits explain.Limits) diagnose.Diagnosis {
	out := diagnose.Request(d, s, in, limits)
	out.Payload = nil
	return out
}
