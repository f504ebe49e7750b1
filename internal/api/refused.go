package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/waypost/waypost/internal/hook"
)

type refusedInput struct {
	SourcePath
	Limit int `query:"limit" minimum:"1" maximum:"100" default:"20"`
}

type refusedOut struct {
	At      time.Time  `json:"at"`
	Reason  string     `json:"reason" doc:"A short word: signature, malformed, replay, too_large …"`
	Detail  string     `json:"detail" doc:"One sentence"`
	Remote  string     `json:"remote" doc:"The address that it came from"`
	Request requestOut `json:"request"`
}

type requestOut struct {
	Method  string      `json:"method"`
	Query   string      `json:"query"`
	Headers http.Header `json:"headers"`
	Body    string      `json:"body" doc:"As text, or in base64 where it is not UTF-8"`
	Base64  bool        `json:"base64" doc:"The body is in base64"`
}

func showRefused(r hook.Refused) refusedOut {
	out := refusedOut{At: r.At.UTC(), Reason: r.Reason, Detail: r.Detail, Remote: r.Remote}
	out.Request = requestOut{Method: r.Raw.Method, Query: r.Raw.Query, Headers: http.Header(notNilMap(r.Raw.Header)), Body: string(r.Raw.Body)}
	if !utf8.Valid(r.Raw.Body) {
		out.Request.Body, out.Request.Base64 = base64.StdEncoding.EncodeToString(r.Raw.Body), true
	}
	return out
}

// refusedList has the shape of a page, which it always is the only one of.
type refusedList = listResponse[refusedOut]

func (h *Handler) listRefused(ctx context.Context, in *refusedInput) (*output[refusedList], error) {
	s, err := h.source(ctx, &in.SourcePath)
	if err != nil {
		return nil, err
	}
	all, err := h.Store.Refusals(ctx, s.ID, in.Limit)
	if err != nil {
		return nil, err
	}
	out := refusedList{Data: []refusedOut{}, Done: true}
	for _, r := range all {
		out.Data = append(out.Data, showRefused(r))
	}
	return &output[refusedList]{out}, nil
}
