package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// Svix's numbers for how a message or attempt stands.
const (
	statusSuccess  = 0
	statusPending  = 1
	statusFail     = 2
	statusSending  = 3
	statusCanceled = 4
)

type attemptOut struct {
	ID                 string    `json:"id" example:"atmpt_0123456789abc"`
	EndpointID         string    `json:"endpointId"`
	MsgID              string    `json:"msgId"`
	URL                string    `json:"url"`
	Response           string    `json:"response" doc:"The beginning of the answer's body; {} when content was not asked for"`
	ResponseStatusCode int       `json:"responseStatusCode" doc:"0 = no answer"`
	ResponseDurationMs int64     `json:"responseDurationMs"`
	Status             int       `json:"status" enum:"0,2" doc:"0 success, 2 failed"`
	StatusText         string    `json:"statusText" enum:"success,fail"`
	TriggerType        int       `json:"triggerType" enum:"0,1" doc:"0 on schedule, 1 by hand"`
	Timestamp          time.Time `json:"timestamp"`

	Verdict     string     `json:"verdict" enum:"success,retry,refused,gone" doc:"Addition. What the answer means"`
	Reason      string     `json:"reason" doc:"Addition. Why, in one sentence"`
	NextAttempt *time.Time `json:"nextAttempt" doc:"Addition. When the next one was planned; null = none"`
	Number      int        `json:"number" doc:"Addition. 1 for the first on schedule; 0 by hand"`
	EventType   string     `json:"eventType" doc:"Addition"`
}

func showAttempt(a hook.Attempt, withContent bool) attemptOut {
	out := attemptOut{
		ID: a.ID.String(), EndpointID: a.Endpoint.String(), MsgID: a.Message.String(), URL: a.URL, Response: noContent,
		ResponseStatusCode: a.Status, ResponseDurationMs: a.Duration.Milliseconds(), Status: statusFail, StatusText: "fail",
		TriggerType: int(a.Trigger), Timestamp: a.At.UTC(),
		Verdict: verdictText(a.Verdict), Reason: a.Reason, NextAttempt: pointer(a.NextAt), Number: a.N, EventType: a.EventType,
	}
	if withContent {
		out.Response = strings.ToValidUTF8(string(a.Response), "\uFFFD")
	}
	if a.Verdict == hook.Success {
		out.Status, out.StatusText = statusSuccess, "success"
	}
	return out
}

func verdictText(v hook.Verdict) string {
	switch v {
	case hook.Success:
		return "success"
	case hook.Refuse:
		return "refused"
	case hook.Gone:
		return "gone"
	}
	return "retry"
}

// AttemptFilterIn are the filters of a list of attempts.
type AttemptFilterIn struct {
	PageIn
	OrderIn
	ContentIn
	TimeIn
	EventTypesIn
	Status          param[int] `query:"status" minimum:"0" maximum:"4" doc:"Only attempts of this status: 0 success, 2 failed; no attempt has another"`
	StatusCodeClass param[int] `query:"status_code_class" minimum:"100" maximum:"500" multipleOf:"100" doc:"Only attempts whose answer had a status of this class"`
	Channel         string     `query:"channel" maxLength:"128" doc:"Refused: attempts cannot be narrowed by it"`
	Tag             string     `query:"tag" maxLength:"128" doc:"Refused: attempts cannot be narrowed by it"`
}

// filter makes the store's filter. none says that nothing can pass it.
func (in AttemptFilterIn) filter() (f store.AttemptFilter, none bool, err error) {
	var p problems
	if in.Channel != "" {
		p.add("query.channel", "is not supported for attempts")
	}
	if in.Tag != "" {
		p.add("query.tag", "is not supported for attempts")
	}
	f = store.AttemptFilter{
		EventTypes: in.list(), Before: in.Before, After: in.After, WithContent: in.WithContent,
		StatusClass: in.StatusCodeClass.Value / 100,
	}
	if in.Status.Set {
		switch in.Status.Value {
		case statusSuccess:
			f.Verdicts = []hook.Verdict{hook.Success}
		case statusFail:
			f.Verdicts = []hook.Verdict{hook.Retry, hook.Refuse, hook.Gone}
		default:
			none = true
		}
	}
	return f, none, p.err()
}

type attemptsByMessageInput struct {
	MessagePath
	AttemptFilterIn
	Endpoint string `query:"endpoint_id" maxLength:"256" doc:"Only attempts to this endpoint, by id or uid"`
}

type attemptsByEndpointInput struct {
	EndpointPath
	AttemptFilterIn
}

type attemptInput struct {
	MessagePath
	Attempt string `path:"attempt_id" minLength:"1" maxLength:"64"`
}

type resendInput struct {
	MessagePath
	Endpoint string `path:"endpoint_id" minLength:"1" maxLength:"256" doc:"Id or uid of the endpoint"`
}

func (h *Handler) attempts() {
	within(h, h.lists, operation("message-attempt.list-by-msg", http.MethodGet, "/app/{app_id}/attempt/msg/{msg_id}",
		"List the attempts of a message, newest first"), member, h.attemptsByMessage)
	legacy := operation("message-attempt.list-by-msg-deprecated", http.MethodGet, "/app/{app_id}/msg/{msg_id}/attempt", "The older path of list-by-msg")
	legacy.Deprecated = true
	within(h, h.lists, legacy, member, h.attemptsByMessage)
	within(h, h.lists, operation("message-attempt.list-by-endpoint", http.MethodGet, "/app/{app_id}/attempt/endpoint/{endpoint_id}",
		"List the attempts to an endpoint, newest first"), member, h.attemptsByEndpoint)
	add(h, operation("message-attempt.get", http.MethodGet, "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}", "Get an attempt"), member, h.attempt)
	resend := operation("message-attempt.resend", http.MethodPost, "/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend",
		"Send a message to an endpoint once more")
	resend.DefaultStatus = http.StatusAccepted
	add(h, resend, member, h.resend)
}

func (h *Handler) attemptsByMessage(ctx context.Context, in *attemptsByMessageInput) (*output[listResponse[attemptOut]], error) {
	m, err := h.message(ctx, in.MessagePath)
	if err != nil {
		return nil, err
	}
	var ep hook.EndpointID
	if in.Endpoint != "" {
		e, err := h.Store.Endpoint(ctx, m.App, in.Endpoint)
		if hook.KindOf(err) == hook.KindNotFound {
			err = errNoEndpoint
		}
		if err != nil {
			return nil, err
		}
		ep = e.ID
	}
	return h.listAttempts(ctx, m.App, in.AttemptFilterIn, m.ID, ep)
}

func (h *Handler) attemptsByEndpoint(ctx context.Context, in *attemptsByEndpointInput) (*output[listResponse[attemptOut]], error) {
	_, e, err := h.endpoint(ctx, &in.EndpointPath)
	if err != nil {
		return nil, err
	}
	return h.listAttempts(ctx, e.App, in.AttemptFilterIn, 0, e.ID)
}

func (h *Handler) listAttempts(ctx context.Context, app hook.ApplicationID, in AttemptFilterIn, m hook.MessageID, ep hook.EndpointID) (*output[listResponse[attemptOut]], error) {
	f, none, err := in.filter()
	if err != nil {
		return nil, err
	}
	list := store.List[hook.Attempt]{Done: true}
	if f.Message, f.Endpoint = m, ep; !none {
		list, err = h.Store.Attempts(ctx, app, f, in.page(in.Order, true))
	}
	return listed(list, err, func(a hook.Attempt) attemptOut { return showAttempt(a, in.WithContent) })
}

func (h *Handler) attempt(ctx context.Context, in *attemptInput) (*output[attemptOut], error) {
	m, err := h.message(ctx, in.MessagePath)
	if err != nil {
		return nil, err
	}
	id, err := hook.ParseID[hook.AttemptID](in.Attempt)
	if err != nil {
		return nil, notFound("attempt")
	}
	a, err := h.Store.Attempt(ctx, m.App, id)
	if hook.KindOf(err) == hook.KindNotFound || err == nil && a.Message != m.ID {
		return nil, notFound("attempt")
	}
	return &output[attemptOut]{showAttempt(a, true)}, err
}

type emptyOut struct{}

func (h *Handler) resend(ctx context.Context, in *resendInput) (*output[emptyOut], error) {
	m, err := h.message(ctx, in.MessagePath)
	if err != nil {
		return nil, err
	}
	_, e, err := h.endpoint(ctx, &EndpointPath{in.AppPath, in.Endpoint})
	if err != nil {
		return nil, err
	}
	if e.Disabled {
		return nil, conflict("the endpoint is disabled: enable it before sending to it")
	}
	if e.RequireVerified && e.Verification.State != hook.VerificationPassed {
		return nil, conflict("the endpoint gets nothing before it is verified: POST …/endpoint/%s/verify", e.ID)
	}
	return &output[emptyOut]{}, h.Store.Resend(ctx, m.App, m.ID, e.ID, h.now())
}
