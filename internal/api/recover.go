package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

const (
	// recoverBack is how far before its end a recovery may begin: Svix's 14 days, and five minutes for who computes them by
	// a clock that differs from ours.
	recoverBack = 14*24*time.Hour + 5*time.Minute
	// maxRunningTasks bounds the tasks of one application that are not done.
	maxRunningTasks = 100
)

// RangeIn is a range of time.
type RangeIn struct {
	Since time.Time           `json:"since" doc:"Messages from this moment on"`
	Until optional[time.Time] `json:"until,omitempty" doc:"Messages before this moment; null = until now"`
}

type recoverIn struct {
	_ struct{} `json:"-" additionalProperties:"true"`
	RangeIn
}

type bulkReplayIn struct {
	_ struct{} `json:"-" additionalProperties:"true"`
	RangeIn
	EventTypes      optional[[]eventType] `json:"eventTypes,omitempty" maxItems:"100" doc:"Only these event types; null = all"`
	Channel         optional[channel]     `json:"channel,omitempty" doc:"Only messages of this channel"`
	Tag             optional[tag]         `json:"tag,omitempty" doc:"Only messages with this tag"`
	Status          optional[statuses]    `json:"status,omitempty"`
	StatusCodeClass optional[int]         `json:"statusCodeClass,omitempty" doc:"Refused: choose by status instead"`
}

// statuses are states of deliveries in Svix's numbers: one of them, or a list.
type statuses struct {
	numbers []int
	wrong   bool // they are none, which is told with the name of the member
}

// UnmarshalJSON reads them.
func (s *statuses) UnmarshalJSON(b []byte) error {
	s.numbers = []int{0}
	into := any(&s.numbers[0])
	if b[0] == '[' {
		into = &s.numbers
	}
	if json.Unmarshal(b, into) != nil || slices.ContainsFunc(s.numbers, func(n int) bool { return n < statusSuccess || n > statusCanceled }) {
		s.wrong = true
	}
	return nil
}

// Schema is a number or a list of them.
func (statuses) Schema(huma.Registry) *huma.Schema {
	number := func() *huma.Schema {
		return &huma.Schema{Type: huma.TypeInteger, Enum: []any{statusSuccess, statusPending, statusFail, statusSending, statusCanceled}}
	}
	return &huma.Schema{
		AnyOf: []*huma.Schema{number(), {Type: huma.TypeArray, Items: number()}, {Type: "null"}},
		Description: "Only messages whose delivery to the endpoint stands so: 0 delivered, 1 or 3 pending, 2 failed, 4 canceled. " +
			"A list of them is an addition. null = all, also those that never went to it",
	}
}

// states turns Svix's numbers into states of deliveries.
func (s statuses) states() []hook.State {
	var out []hook.State
	for _, n := range s.numbers {
		state := hook.Pending // of 1 and 3, which differ in whether an attempt was made
		switch n {
		case statusSuccess:
			state = hook.Delivered
		case statusFail:
			state = hook.Failed
		case statusCanceled:
			state = hook.Canceled
		}
		if !slices.Contains(out, state) {
			out = append(out, state)
		}
	}
	return out
}

type recoverInput struct {
	EndpointPath
	Body recoverIn
}

type bulkReplayInput struct {
	EndpointPath
	Body bulkReplayIn
}

// TaskStarted is the answer to a request that began a background task.
type TaskStarted struct {
	ID        string    `json:"id" example:"qtask_0123456789abc" doc:"Of the background task: GET /api/v1/background-task/{id} shows how far it is"`
	Status    string    `json:"status" enum:"running,finished,failed"`
	Task      string    `json:"task" enum:"endpoint.recover,endpoint.replay,endpoint.bulk-replay,message.broadcast"`
	UpdatedAt time.Time `json:"updatedAt"`
}

func showStarted(t hook.Task) TaskStarted {
	return TaskStarted{ID: t.ID.String(), Status: string(t.State), Task: string(t.Kind), UpdatedAt: t.UpdatedAt.UTC()}
}

func (h *Handler) recoveries() {
	start := func(name, path, summary string) huma.Operation {
		op := operation("endpoint."+name, http.MethodPost, "/app/{app_id}/endpoint/{endpoint_id}/"+path, summary)
		op.DefaultStatus = http.StatusAccepted
		op.Responses = map[string]*huma.Response{"429": h.refusal(http.StatusTooManyRequests)}
		return op
	}
	add(h, start("recover", "recover", "Resend what failed since a moment, at most 14 days ago"), member,
		func(ctx context.Context, in *recoverInput) (*output[TaskStarted], error) {
			return h.startTask(ctx, &in.EndpointPath, in.Body.RangeIn, hook.Task{Kind: hook.TaskRecover})
		})
	add(h, start("replay-missing", "replay-missing", "Send what matches the endpoint and was never sent to it"), member,
		func(ctx context.Context, in *recoverInput) (*output[TaskStarted], error) {
			return h.startTask(ctx, &in.EndpointPath, in.Body.RangeIn, hook.Task{Kind: hook.TaskReplay})
		})
	add(h, start("bulk-replay", "bulk-replay", "Resend everything that a filter selects"), member,
		func(ctx context.Context, in *bulkReplayInput) (*output[TaskStarted], error) {
			t, err := in.Body.task()
			if err != nil {
				return nil, err
			}
			return h.startTask(ctx, &in.EndpointPath, in.Body.RangeIn, t)
		})
}

// task is the task of a bulk replay.
func (in *bulkReplayIn) task() (hook.Task, error) {
	var p problems
	for i, t := range in.EventTypes.Value {
		if !isEventType(string(t)) {
			p.add(fmt.Sprintf("body.eventTypes[%d]", i), "is not a name: it is too long, or holds control characters or spaces around it")
		}
	}
	if in.Status.Value.wrong {
		p.add("body.status", "must be one of 0 (delivered), 1 and 3 (pending), 2 (failed) and 4 (canceled), or a list of them")
	}
	if in.StatusCodeClass.given() {
		p.add("body.statusCodeClass", "is not supported: choose by status instead")
	}
	return hook.Task{
		Kind: hook.TaskBulk, EventTypes: texts(in.EventTypes.Value), Channel: string(in.Channel.Value), Tag: string(in.Tag.Value),
		States: in.Status.Value.states(),
	}, p.err()
}

// startTask keeps a task on the messages of a range at an endpoint.
func (h *Handler) startTask(ctx context.Context, path *EndpointPath, in RangeIn, t hook.Task) (*output[TaskStarted], error) {
	app, e, err := h.endpoint(ctx, path)
	if err != nil {
		return nil, err
	}
	now := h.now()
	if err := in.fill(&t, now); err != nil {
		return nil, err
	}
	if err := takesMessages(&e); err != nil {
		return nil, err
	}
	running, err := h.Store.Tasks(ctx, store.TaskFilter{State: hook.TaskRunning, App: app.ID}, store.Page{Limit: maxRunningTasks})
	if err != nil {
		return nil, err
	}
	if len(running.Items) >= maxRunningTasks {
		return nil, tooMany()
	}
	t.ID, t.State, t.App, t.Endpoint = hook.NewID[hook.TaskID](h.IDs, now), hook.TaskRunning, app.ID, e.ID
	t.CreatedAt, t.UpdatedAt = now, now
	out := showStarted(t)
	if err := h.Store.StartTask(answering(ctx, http.StatusAccepted, out), t); err != nil {
		return nil, err
	}
	return &output[TaskStarted]{out}, nil
}

// fill puts the range into a task. Its end is this very moment when none is given, so that what failed just now is in it.
func (in RangeIn) fill(t *hook.Task, now time.Time) error {
	t.Since, t.Until = in.Since.UTC(), now.Add(time.Millisecond)
	if in.Until.given() {
		t.Until = in.Until.Value.UTC()
	}
	switch {
	case !t.Since.Before(t.Until) && in.Until.given():
		return invalidRequest(wrong("body.until", "must lie after since"))
	case !t.Since.Before(t.Until):
		return invalidRequest(wrong("body.since", "lies in the future"))
	case t.Kind == hook.TaskRecover && t.Since.Before(t.Until.Add(-recoverBack)):
		return invalidRequest(wrong("body.since", "lies more than 14 days before the end: recover in several steps, or use bulk-replay"))
	}
	return nil
}

// takesMessages says why nothing can be sent to an endpoint now.
func takesMessages(e *hook.Endpoint) error {
	switch {
	case e.Disabled:
		return conflict("the endpoint is disabled: enable it first")
	case e.Transport == hook.TransportPoll:
		return conflict("nothing is sent to this endpoint: its messages are fetched from its poller")
	}
	return nil
}
