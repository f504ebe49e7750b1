package api

import (
	"context"
	"net/http"
	"reflect"

	"github.com/waypost/waypost/internal/hook"
)

// broadcastIn is the body of a broadcast, for the document: it is read by readMessage.
type broadcastIn struct {
	_ struct{} `json:"-" additionalProperties:"true"`
	MessageBody
}

// broadcasts mounts the publication to everybody.
func (h *Handler) broadcasts() {
	op := operation("message.broadcast", http.MethodPost, "/msg/broadcast", "Publish a message to every application")
	op.Description = "A background task gives each application that exists by now a copy with an id of its own. " +
		"An eventId that an application has had already is left out there."
	h.mount(&op, reflect.TypeFor[broadcastIn](), reflect.TypeFor[TaskStarted](), nil, h.broadcast)
}

func (h *Handler) broadcast(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(r, h.MaxBody)
	if err != nil {
		return err
	}
	m, err := readMessage(body, h.now())
	if err != nil {
		return err
	}
	if m.application != nil {
		return invalidRequest(wrong("body.application", "has no meaning here: a broadcast goes to every application"))
	}
	wish, err := h.wish(ctx, 0, m)
	if err != nil {
		return err
	}
	wish.Message.ID = 0 // each copy gets its own
	task := hook.Task{
		ID: hook.NewID[hook.TaskID](h.IDs, m.now), Kind: hook.TaskBroadcast, State: hook.TaskRunning, Message: &wish,
		CreatedAt: m.now, UpdatedAt: m.now,
	}
	out := showStarted(task)
	if err := h.Store.StartTask(answering(ctx, http.StatusAccepted, out), task); err != nil {
		return err
	}
	answer, err := plainJSON(out)
	if err != nil {
		return err
	}
	return writeAccepted(w, answer)
}
