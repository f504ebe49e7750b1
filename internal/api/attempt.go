package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
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

	Msg *messageOut `json:"msg,omitempty" doc:"The message, where with_msg asks for it"`
}

// appendJSON writes the attempt, with its message's payload untouched.
func (a attemptOut) appendJSON(b []byte) ([]byte, error) {
	msg := a.Msg
	a.Msg = nil // left out, and added below as it is
	if msg == nil {
		text, err := plainJSON(a)
		return append(b, text...), err
	}
	text, err := msg.appendJSON(nil)
	if err != nil {
		return nil, err
	}
	return appendObject(b, a, "msg", text)
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
	LabelsIn
	ExpandedIn
	Status          param[int] `query:"status" minimum:"0" maximum:"4" doc:"Only attempts of this status: 0 success, 2 failed; no attempt has another"`
	StatusCodeClass param[int] `query:"status_code_class" minimum:"0" maximum:"500" multipleOf:"100" doc:"Only attempts whose answer had a status of this class; 0 = had no answer"`
}

// filter makes the store's filter. none says that nothing can pass it.
func (in *AttemptFilterIn) filter() (f store.AttemptFilter, none bool) {
	f = store.AttemptFilter{
		EventTypes: in.list(), Channel: string(in.Channel), Tag: string(in.Tag), Before: in.Before, After: in.After,
		WithContent: in.WithContent, StatusClass: in.StatusCodeClass.Value / 100,
		NoAnswer: in.StatusCodeClass.Set && in.StatusCodeClass.Value == 0,
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
	return f, none
}

type attemptsByMessageInput struct {
	MessagePath
	AttemptFilterIn
	Endpoint string `query:"endpoint_id" maxLength:"256" doc:"Only attempts to this endpoint, by id or uid"`
}

type attemptsByPairInput struct {
	MessagePath
	AttemptFilterIn
	Endpoint string `path:"endpoint_id" minLength:"1" maxLength:"256" doc:"Id or uid of the endpoint"`
}

type attemptsByEndpointInput struct {
	EndpointPath
	AttemptFilterIn
	WithMsg bool `query:"with_msg" doc:"Whether answers hold the messages, with their payloads unless with_content is false"`
}

// AttemptPath is the attempt that a path names.
type AttemptPath struct {
	MessagePath
	Attempt string `path:"attempt_id" minLength:"1" maxLength:"64" doc:"Id of the attempt"`
}

type attemptInput struct {
	AttemptPath
	ExpandedIn
}

type pairPath struct {
	MessagePath
	Endpoint string `path:"endpoint_id" minLength:"1" maxLength:"256" doc:"Id or uid of the endpoint"`
}

func (h *Handler) attempts() {
	within(h, h.lists, operation("message-attempt.list-by-msg", http.MethodGet, "/app/{app_id}/attempt/msg/{msg_id}",
		"List the attempts of a message, newest first"), member, h.attemptsByMessage)
	legacy := operation("message-attempt.list-by-msg-deprecated", http.MethodGet, "/app/{app_id}/msg/{msg_id}/attempt", "The older path of list-by-msg")
	legacy.Deprecated = true
	within(h, h.lists, legacy, member, h.attemptsByMessage)
	legacy = operation("message-attempt.list-by-endpoint-deprecated", http.MethodGet, "/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/attempt",
		"The older path of list-by-msg with endpoint_id")
	legacy.Deprecated = true
	within(h, h.lists, legacy, member, func(ctx context.Context, in *attemptsByPairInput) (*output[listResponse[attemptOut]], error) {
		return h.attemptsByMessage(ctx, &attemptsByMessageInput{in.MessagePath, in.AttemptFilterIn, in.Endpoint})
	})
	within(h, h.lists, operation("message-attempt.list-by-endpoint", http.MethodGet, "/app/{app_id}/attempt/endpoint/{endpoint_id}",
		"List the attempts to an endpoint, newest first"), member, h.attemptsByEndpoint)
	add(h, operation("message-attempt.get", http.MethodGet, "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}", "Get an attempt"), member,
		func(ctx context.Context, in *attemptInput) (*output[attemptOut], error) {
			a, err := h.attempt(ctx, &in.AttemptPath)
			return &output[attemptOut]{showAttempt(a, true)}, err
		})
	expunge := operation("message-attempt.expunge-content", http.MethodDelete, "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content",
		"Delete what was kept of the answer to an attempt")
	expunge.DefaultStatus = http.StatusNoContent
	add(h, expunge, organisation, func(ctx context.Context, in *AttemptPath) (*struct{}, error) {
		a, err := h.attempt(ctx, in)
		if err != nil {
			return nil, err
		}
		return nil, h.Store.ExpungeResponse(ctx, a.App, a.ID)
	})
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
	list, err := h.listAttempts(ctx, m.App, &in.AttemptFilterIn, m.ID, ep)
	return listed(list, err, func(a hook.Attempt) attemptOut { return showAttempt(a, in.WithContent) })
}

func (h *Handler) attemptsByEndpoint(ctx context.Context, in *attemptsByEndpointInput) (*output[listResponse[attemptOut]], error) {
	_, e, err := h.endpoint(ctx, &in.EndpointPath)
	if err != nil {
		return nil, err
	}
	list, err := h.listAttempts(ctx, e.App, &in.AttemptFilterIn, 0, e.ID)
	if !in.WithMsg || err != nil {
		return listed(list, err, func(a hook.Attempt) attemptOut { return showAttempt(a, in.WithContent) })
	}
	messages, err := h.messagesOf(ctx, e.App, &list, in.WithContent, strings.HasPrefix(in.Iterator, "-"))
	return listed(list, err, func(a hook.Attempt) attemptOut {
		out := showAttempt(a, in.WithContent)
		out.Msg = messages[a.Message]
		return out
	})
}

func (h *Handler) listAttempts(
	ctx context.Context, app hook.ApplicationID, in *AttemptFilterIn, m hook.MessageID, ep hook.EndpointID,
) (store.List[hook.Attempt], error) {
	f, none := in.filter()
	if f.Message, f.Endpoint = m, ep; none {
		return store.List[hook.Attempt]{Done: true}, nil
	}
	list, err := h.Store.Attempts(ctx, app, f, in.page(in.Order, true))
	if err == nil {
		err = keepPermitted(ctx, h, &list, func(a *hook.Attempt) string { return a.EventType })
	}
	return list, err
}

// pageBytes is about how much of payloads a page may hold.
const pageBytes = 8 << 20

// messagesOf reads the messages of a page of attempts. The page is cut short where they are too much for one answer: at its
// end, or at its beginning when it was asked for backwards.
func (h *Handler) messagesOf(
	ctx context.Context, app hook.ApplicationID, list *store.List[hook.Attempt], withContent, backwards bool,
) (map[hook.MessageID]*messageOut, error) {
	known := map[hook.MessageID]*messageOut{}
	size := 0
	for i := range list.Items {
		at := i
		if backwards {
			at = len(list.Items) - 1 - i
		}
		id := list.Items[at].Message
		if _, ok := known[id]; !ok {
			m, err := h.Store.Message(ctx, app, id.String(), false)
			if err != nil && hook.KindOf(err) != hook.KindNotFound {
				return nil, err
			}
			if err == nil {
				out := showMessage(m, withContent)
				known[id] = &out
			}
		}
		if out := known[id]; out != nil {
			size += len(out.Payload) // in the answer it stands with each of its attempts
		}
		if rest := len(list.Items) - 1 - i; size >= pageBytes && rest > 0 {
			list.Done = false
			if backwards {
				list.Items, list.First = list.Items[at:], list.Items[at].ID.String()
			} else {
				list.Items, list.Last = list.Items[:at+1], list.Items[at].ID.String()
			}
			break
		}
	}
	return known, nil
}

// attempt finds an attempt of a message.
func (h *Handler) attempt(ctx context.Context, in *AttemptPath) (hook.Attempt, error) {
	m, err := h.message(ctx, in.MessagePath)
	if err != nil {
		return hook.Attempt{}, err
	}
	id, err := hook.ParseID[hook.AttemptID](in.Attempt)
	if err != nil {
		return hook.Attempt{}, notFound("attempt")
	}
	a, err := h.Store.Attempt(ctx, m.App, id)
	if hook.KindOf(err) == hook.KindNotFound || err == nil && a.Message != m.ID {
		return a, notFound("attempt")
	}
	return a, err
}

type emptyOut struct{}

// resend wishes one more attempt. The content must be there, and the endpoint one that may be sent to.
func (h *Handler) resend(ctx context.Context, in *pairPath) (*output[emptyOut], error) {
	m, err := h.message(ctx, in.MessagePath)
	if err != nil {
		return nil, err
	}
	_, e, err := h.endpoint(ctx, &EndpointPath{in.AppPath, in.Endpoint})
	if err != nil {
		return nil, err
	}
	if err := mayBeSentTo(&e); err != nil {
		return nil, err
	}
	out := emptyOut{}
	err = h.Store.Resend(answering(ctx, http.StatusAccepted, out), m.App, m.ID, e.ID, h.now())
	if hook.KindOf(err) == hook.KindGone {
		err = newError(http.StatusBadRequest, "missing_payload", "the content of this message has been removed: it cannot be sent again")
	}
	return &output[emptyOut]{out}, err
}

func mayBeSentTo(e *hook.Endpoint) error {
	switch {
	case e.Disabled:
		return conflict("the endpoint is disabled: enable it before sending to it")
	case e.Transport == hook.TransportPoll:
		return conflict("nothing is sent to a polled endpoint: GET …/poller/%s gives its messages", e.ID)
	case e.RequireVerified && e.Verification.State != hook.VerificationPassed:
		return conflict("the endpoint gets nothing before it is verified: POST …/endpoint/%s/verify", e.ID)
	}
	return nil
}
