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

// MessageFields are the members of a message but for its payload.
type MessageFields struct {
	ID        string     `json:"id" example:"msg_0123456789abc"`
	EventType string     `json:"eventType"`
	EventID   *string    `json:"eventId"`
	Channels  []string   `json:"channels"`
	Tags      []string   `json:"tags"`
	DeliverAt *time.Time `json:"deliverAt" doc:"When it is sent; null = at once"`
	Timestamp time.Time  `json:"timestamp"`

	Source     *string           `json:"source" doc:"Addition. Id of the source that received it; null = published"`
	Platform   map[string]string `json:"platform" doc:"Addition. Everything else of the platform's envelope"`
	Unreadable string            `json:"unreadable,omitempty" doc:"Addition. Why its content could not be read, though its signature is right"`
}

type messageOut struct {
	MessageFields
	Payload rawObject `json:"payload,omitempty" required:"true" doc:"As it was posted, byte for byte; {} when content was not asked for, {\"expired\":true} when it is gone"`
}

// appendJSON writes the message with its payload untouched.
func (m messageOut) appendJSON(b []byte) ([]byte, error) {
	return appendObject(b, m.MessageFields, "payload", m.Payload)
}

// appendObject writes an object with one more member, whose value is written as it is.
func appendObject(b []byte, object any, name string, value []byte) ([]byte, error) {
	text, err := plainJSON(object)
	if err != nil {
		return nil, err
	}
	b = append(b, text[:len(text)-1]...)
	b = append(b, `,"`+name+`":`...)
	b = append(b, value...)
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
	return messageOut{showFields(m), showPayload(m, withContent)}
}

func showPayload(m hook.Message, withContent bool) rawObject {
	switch {
	case withContent && m.Expired:
		return rawObject(expiredContent)
	case withContent && len(m.Payload) > 0:
		// WrapRaw returns an object as it is. Whatever else a store holds cannot break the answer.
		return dialect.WrapRaw(m.Payload)
	}
	return rawObject(noContent)
}

func showFields(m hook.Message) MessageFields {
	return MessageFields{
		ID: m.ID.String(), EventType: m.EventType, EventID: pointer(m.EventID), Channels: m.Channels, Tags: m.Tags,
		DeliverAt: moment(m.DeliverAt), Timestamp: m.CreatedAt.UTC(), Source: pointer(m.Source.String()), Platform: m.Platform,
		Unreadable: m.Unreadable,
	}
}

// moment is a time as answers show it: null for the zero time.
func moment(t time.Time) *time.Time { return pointer(t.UTC()) }

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

// Resolve takes the spellings event_types[] and event_types[0] too, which some client libraries use.
func (in *EventTypesIn) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	for name, values := range u.Query() {
		if strings.HasPrefix(name, "event_types[") && strings.HasSuffix(name, "]") {
			in.EventTypes = append(in.EventTypes, values...)
		}
	}
	if len(in.list()) > maxListTypes {
		return []error{&huma.ErrorDetail{Location: "query.event_types", Message: "expected at most 100 event types"}}
	}
	return nil
}

// maxListTypes is how many event types a list can be narrowed to.
const maxListTypes = 100

func (in *EventTypesIn) list() []string {
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

// LabelsIn narrows a list by what messages were labelled with.
type LabelsIn struct {
	Channel channel `query:"channel" doc:"Only messages of this channel"`
	Tag     tag     `query:"tag" doc:"Only messages with this tag"`
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
	LabelsIn
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
	expunge := operation("message.expunge-content", http.MethodDelete, "/app/{app_id}/msg/{msg_id}/content",
		"Delete the content of a message, and cancel what is pending of it")
	expunge.DefaultStatus = http.StatusNoContent
	add(h, expunge, organisation, func(ctx context.Context, in *MessagePath) (*struct{}, error) {
		m, err := h.message(ctx, *in)
		if err != nil {
			return nil, err
		}
		return nil, h.Store.Expunge(ctx, m.App, m.ID, h.now())
	})
}

func (h *Handler) message(ctx context.Context, path MessagePath) (hook.Message, error) {
	app, err := h.appID(ctx, path.App)
	if err != nil {
		return hook.Message{}, err
	}
	m, err := h.Store.Message(ctx, app, path.Message, false)
	if hook.KindOf(err) == hook.KindNotFound {
		return m, notFound("message")
	}
	if err != nil {
		return m, err
	}
	one := store.List[hook.Message]{Items: []hook.Message{m}}
	if err := keepPermitted(ctx, h, &one, func(m *hook.Message) string { return m.EventType }); err != nil {
		return m, err
	}
	if len(one.Items) == 0 {
		return hook.Message{}, notFound("message")
	}
	return m, nil
}

// keepPermitted takes what the caller's feature flags do not allow out of a list, by the event types. The list's cursors stay
// as they are: the page is shorter.
func keepPermitted[T any](ctx context.Context, h *Handler, list *store.List[T], typeOf func(*T) string) error {
	flags, err := h.flagsOf(ctx, actorOf(ctx))
	if err != nil || flags == nil {
		return err
	}
	kept := make([]T, 0, len(list.Items))
	for i := range list.Items {
		ok, err := h.permitted(ctx, flags, typeOf(&list.Items[i]))
		if err != nil {
			return err
		}
		if ok {
			kept = append(kept, list.Items[i])
		}
	}
	list.Items = kept
	return nil
}

// permitted says whether who holds some feature flags may have messages of a type.
func (h *Handler) permitted(ctx context.Context, flags []string, eventType string) (bool, error) {
	if flags == nil {
		return true, nil
	}
	needs, err := h.needs(ctx, eventType)
	return hook.Permits(flags, needs), err
}

func (h *Handler) listMessages(ctx context.Context, in *messageListInput) (*output[listResponse[messageOut]], error) {
	app, err := h.app(ctx, in.App)
	if err != nil {
		return nil, err
	}
	list, err := h.Store.Messages(ctx, app.ID, store.MessageFilter{
		EventTypes: in.list(), Channel: string(in.Channel), Tag: string(in.Tag), Before: in.Before, After: in.After, WithPayload: in.WithContent,
	}, in.page(in.Order, true))
	if err == nil {
		err = keepPermitted(ctx, h, &list, func(m *hook.Message) string { return m.EventType })
	}
	return listed(list, err, func(m hook.Message) messageOut { return showMessage(m, in.WithContent) })
}
