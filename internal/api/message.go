package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// rawObject is a JSON object that is shown byte for byte. It is written by appendJSON of what holds it.
type rawObject []byte

// Schema is any object.
func (rawObject) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

const (
	noContent      = "{}"
	expiredContent = `{"expired":true}`
)

type messageOut struct {
	ID        string    `json:"id" example:"msg_0123456789abc"`
	EventType string    `json:"eventType"`
	EventID   *string   `json:"eventId"`
	Channels  []string  `json:"channels"`
	Tags      []string  `json:"tags"`
	Timestamp time.Time `json:"timestamp"`

	Source     *string           `json:"source" doc:"Addition. Id of the source that received it; null = published"`
	Platform   map[string]string `json:"platform" doc:"Addition. Everything else of the platform's envelope"`
	Unreadable string            `json:"unreadable,omitempty" doc:"Addition. Why its content could not be read, though its signature is right"`

	Payload rawObject `json:"payload,omitempty" required:"true" doc:"As it was posted, byte for byte; {} when content was not asked for, {\"expired\":true} when it is gone"`
}

// appendJSON writes the message with its payload untouched.
func (m messageOut) appendJSON(b []byte) ([]byte, error) {
	payload := m.Payload
	m.Payload = nil // left out, and added below as it is
	meta, err := plainJSON(m)
	if err != nil {
		return nil, err
	}
	b = append(b, meta[:len(meta)-1]...)
	b = append(b, `,"payload":`...)
	b = append(b, payload...)
	return append(b, '}'), nil
}

// appendJSON writes a page; items that hold payloads write themselves.
func (l listResponse[T]) appendJSON(b []byte) ([]byte, error) {
	b = append(b, `{"data":[`...)
	for i, item := range l.Data {
		if i > 0 {
			b = append(b, ',')
		}
		var one []byte
		var err error
		if a, ok := any(item).(appender); ok {
			b, err = a.appendJSON(b)
		} else if one, err = plainJSON(item); err == nil {
			b = append(b, one...)
		}
		if err != nil {
			return nil, err
		}
	}
	tail, err := plainJSON(struct {
		Iterator     *string `json:"iterator"`
		PrevIterator *string `json:"prevIterator"`
		Done         bool    `json:"done"`
	}{l.Iterator, l.PrevIterator, l.Done})
	if err != nil {
		return nil, err
	}
	b = append(b, "],"...)
	return append(b, tail[1:]...), nil
}

func showMessage(m hook.Message, withContent bool) messageOut {
	out := showEnvelope(m)
	switch {
	case !withContent:
	case m.Expired:
		out.Payload = rawObject(expiredContent)
	case len(m.Payload) > 0:
		// WrapRaw returns an object as it is. Whatever else a store holds cannot break the answer.
		out.Payload = dialect.WrapRaw(m.Payload)
	}
	return out
}

// ContentIn says whether content is wanted.
type ContentIn struct {
	WithContent bool `query:"with_content" default:"true" doc:"Whether answers hold the content"`
}

// TimeIn narrows a list by time.
type TimeIn struct {
	Before time.Time `query:"before" doc:"Only what is older"`
	After  time.Time `query:"after" doc:"Only what is newer"`
}

// EventTypesIn narrows a list by event types.
type EventTypesIn struct {
	EventTypes []string `query:"event_types,explode" maxItems:"100" doc:"Only these event types; given several times, or once with commas"`
}

func (in EventTypesIn) list() []string {
	var out []string
	for _, v := range in.EventTypes {
		for t := range strings.SplitSeq(v, ",") {
			if t != "" {
				out = append(out, t)
			}
		}
	}
	return out
}

// MessagePath is the message that a path names.
type MessagePath struct {
	AppPath
	Message string `path:"msg_id" minLength:"1" maxLength:"256" doc:"Id or eventId of the message"`
}

type messageListInput struct {
	AppPath
	PageIn
	OrderIn
	ContentIn
	TimeIn
	EventTypesIn
	Channel string `query:"channel" maxLength:"128" doc:"Only messages of this channel"`
	Tag     string `query:"tag" maxLength:"128" doc:"Only messages with this tag"`
}

type messageGetInput struct {
	MessagePath
	ContentIn
}

func (h *Handler) messages() {
	h.publishRoute()
	within(h, h.lists, operation("message.list", http.MethodGet, "/app/{app_id}/msg", "List messages, newest first"), member, h.listMessages)
	add(h, operation("message.get", http.MethodGet, "/app/{app_id}/msg/{msg_id}", "Get a message"), member,
		func(ctx context.Context, in *messageGetInput) (*output[messageOut], error) {
			m, err := h.message(ctx, in.MessagePath)
			return &output[messageOut]{showMessage(m, in.WithContent)}, err
		})
	add(h, operation("message.deliveries", http.MethodGet, "/app/{app_id}/msg/{msg_id}/delivery", "Where a message stands, by endpoint (addition)"),
		member, h.listDeliveries)
}

func (h *Handler) message(ctx context.Context, path MessagePath) (hook.Message, error) {
	app, err := h.appID(ctx, path.App)
	if err != nil {
		return hook.Message{}, err
	}
	m, err := h.Store.Message(ctx, app, path.Message, false)
	if hook.KindOf(err) == hook.KindNotFound {
		err = notFound("message")
	}
	return m, err
}

func (h *Handler) listMessages(ctx context.Context, in *messageListInput) (*output[listResponse[messageOut]], error) {
	app, err := h.app(ctx, in.App)
	if err != nil {
		return nil, err
	}
	list, err := h.Store.Messages(ctx, app.ID, store.MessageFilter{
		EventTypes: in.list(), Channel: in.Channel, Tag: in.Tag, Before: in.Before, After: in.After, WithPayload: in.WithContent,
	}, in.page(in.Order, true))
	return listed(list, err, func(m hook.Message) messageOut { return showMessage(m, in.WithContent) })
}

// showEnvelope is a message without its content.
func showEnvelope(m hook.Message) messageOut {
	return messageOut{
		ID: m.ID.String(), EventType: m.EventType, EventID: pointer(m.EventID), Channels: m.Channels, Tags: m.Tags,
		Timestamp: m.CreatedAt.UTC(), Source: pointer(m.Source.String()), Platform: m.Platform, Unreadable: m.Unreadable,
		Payload: rawObject(noContent),
	}
}

type deliveryOut struct {
	EndpointID  string     `json:"endpointId"`
	State       string     `json:"state" enum:"pending,delivered,failed,canceled"`
	Status      int        `json:"status" enum:"0,1,2,3,4" doc:"The state in Svix's numbers: 0 success, 1 pending, 2 failed, 3 under way, 4 canceled"`
	Attempts    int        `json:"attempts" doc:"Scheduled attempts made so far"`
	NextAttempt *time.Time `json:"nextAttempt"`
}

func showDelivery(d hook.Delivery) deliveryOut {
	out := deliveryOut{EndpointID: d.Endpoint.String(), State: d.State.String(), Attempts: d.Attempts, NextAttempt: pointer(d.NextAt)}
	switch d.State {
	case hook.Delivered:
		out.Status = statusSuccess
	case hook.Failed:
		out.Status = statusFail
	case hook.Canceled:
		out.Status = statusCanceled
	case hook.Pending:
		out.Status = statusPending
		if d.Attempts > 0 {
			out.Status = statusSending
		}
	}
	return out
}

func (h *Handler) listDeliveries(ctx context.Context, in *MessagePath) (*output[listResponse[deliveryOut]], error) {
	m, err := h.message(ctx, *in)
	if err != nil {
		return nil, err
	}
	all, err := h.Store.Deliveries(ctx, m.App, m.ID)
	return listed(store.List[hook.Delivery]{Items: all, Done: true}, err, showDelivery)
}
