package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/waypost/waypost/internal/hook"
)

// pingType is an event type that can be sent as an example without being described: Svix's.
const (
	pingType    = "svix.ping"
	pingPayload = `{"success":true}`
)

type exampleInput struct {
	EndpointPath
	Body struct {
		_         struct{}  `json:"-" additionalProperties:"true"`
		EventType eventType `json:"eventType" example:"order.created" doc:"A described event type, or svix.ping"`
		Index     int       `json:"exampleIndex,omitempty" minimum:"0" maximum:"1000" doc:"Which of the schema's examples; the first when there is no such one"`
	} `nameHint:"EventExampleIn"`
}

func (h *Handler) exampleRoute() {
	op := operation("endpoint.send-example", http.MethodPost, "/app/{app_id}/endpoint/{endpoint_id}/send-example",
		"Send an example of an event type to one endpoint, whatever its filters")
	op.DefaultStatus = http.StatusAccepted
	add(h, op, member, h.sendExample)
}

// sendExample publishes a message that one endpoint gets.
func (h *Handler) sendExample(ctx context.Context, in *exampleInput) (*output[messageOut], error) {
	app, e, err := h.endpoint(ctx, &in.EndpointPath)
	if err != nil {
		return nil, err
	}
	name := string(in.Body.EventType)
	payload := json.RawMessage(pingPayload)
	if name != pingType {
		if payload, err = h.exampleOf(ctx, name, in.Body.Index); err != nil {
			return nil, err
		}
	}
	if err := takesMessages(&e); err != nil {
		return nil, err
	}
	now := h.now()
	m := hook.Message{ID: hook.NewID[hook.MessageID](h.IDs, now), App: app.ID, EventType: name, Payload: payload, CreatedAt: now}
	done, err := h.Store.Accept(answeringMessage(ctx, http.StatusAccepted, true), []hook.Accept{{Message: m, Only: e.ID}})
	if err != nil {
		return nil, err
	}
	if err := done[0].Err; err != nil {
		return nil, err
	}
	return &output[messageOut]{showMessage(done[0].Message, true)}, nil
}
