package api

import (
	"context"
	"net/http"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// taskData says what a background task works on and how far it is.
type taskData struct {
	App        *string    `json:"appId" doc:"null = every application"`
	Endpoint   *string    `json:"endpointId"`
	Since      *time.Time `json:"since"`
	Until      *time.Time `json:"until"`
	Looked     int64      `json:"looked" doc:"Messages, or applications of a broadcast, that were looked at so far"`
	Done       int64      `json:"done" doc:"How many of them are sent"`
	Reason     string     `json:"reason,omitempty" doc:"Why it failed"`
	EventTypes []string   `json:"eventTypes,omitempty"`
	Channel    string     `json:"channel,omitempty"`
	Tag        string     `json:"tag,omitempty"`
	States     []string   `json:"states,omitempty" doc:"Of deliveries: pending, delivered, failed, canceled"`
}

type taskOut struct {
	TaskStarted
	Data      taskData  `json:"data"`
	CreatedAt time.Time `json:"createdAt"`
}

func showTask(t hook.Task) taskOut {
	var states []string
	for _, s := range t.States {
		states = append(states, s.String())
	}
	return taskOut{showStarted(t), taskData{
		App: pointer(t.App.String()), Endpoint: pointer(t.Endpoint.String()), Since: pointer(t.Since.UTC()), Until: pointer(t.Until.UTC()),
		Looked: t.Looked, Done: t.Done, Reason: t.Reason, EventTypes: t.EventTypes, Channel: t.Channel, Tag: t.Tag, States: states,
	}, t.CreatedAt.UTC()}
}

type taskListInput struct {
	PageIn
	OrderIn
	Status string `query:"status" enum:"running,finished,failed" doc:"Only tasks that stand so"`
	Task   string `query:"task" enum:"endpoint.recover,endpoint.replay,endpoint.bulk-replay,message.broadcast,application.stats,sdk.generate,event-type.aggregate,application.purge_content" doc:"Only tasks of this kind; this server has the first four"`
}

type taskPath struct {
	Task string `path:"task_id" maxLength:"64" doc:"Id of the task"`
}

var errNoTask error = notFound("background task")

func (h *Handler) tasks() {
	add(h, operation("background-task.list", http.MethodGet, "/background-task", "List background tasks, newest first"), member,
		func(ctx context.Context, in *taskListInput) (*output[listResponse[taskOut]], error) {
			// An application's token sees those of its own application.
			f := store.TaskFilter{Kind: hook.TaskKind(in.Task), State: hook.TaskState(in.Status), App: actorOf(ctx).app}
			list, err := h.Store.Tasks(ctx, f, in.page(in.Order, true))
			return listed(list, err, showTask)
		})
	add(h, operation("background-task.get", http.MethodGet, "/background-task/{task_id}", "Get a background task"), member,
		func(ctx context.Context, in *taskPath) (*output[taskOut], error) {
			t, err := h.task(ctx, in.Task)
			return &output[taskOut]{showTask(t)}, err
		})
}

func (h *Handler) task(ctx context.Context, ref string) (hook.Task, error) {
	id, err := hook.ParseID[hook.TaskID](ref)
	if err != nil {
		return hook.Task{}, errNoTask
	}
	t, err := h.Store.Task(ctx, id)
	if hook.KindOf(err) == hook.KindNotFound {
		return t, errNoTask
	}
	if who := actorOf(ctx); err == nil && !who.isOrganisation() && t.App != who.app {
		return hook.Task{}, errNoTask
	}
	return t, err
}
