package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/waypost/waypost/internal/hook"
)

// messageIn is the body of a publication, for the document: it is read by readMessage.
type messageIn struct {
	_         struct{}          `json:"-" additionalProperties:"true"`
	EventType eventType         `json:"eventType" example:"order.created"`
	Payload   rawObject         `json:"payload" doc:"A JSON object. Its bytes are kept and delivered unchanged: spacing, order of members, spelling of numbers"`
	EventID   optional[uid]     `json:"eventId,omitempty" doc:"Your own id of it; a repeat within 7 days is 409"`
	Channels  []channel         `json:"channels,omitempty" minItems:"1" maxItems:"10" doc:"Endpoints that listen to channels get it when one of theirs is here"`
	Tags      []channel         `json:"tags,omitempty" maxItems:"10"`
	Platform  map[string]string `json:"platform,omitempty" doc:"Addition. Members of a platform's envelope by their wire names, for dialects that have one"`
}

const (
	publishPath    = "/app/{" + appParam + "}/msg"
	publishPattern = http.MethodPost + " " + root + publishPath
)

// idempotencyKeep is how long an Idempotency-Key gives the first answer again, as with Svix.
const idempotencyKeep = 12 * time.Hour

// publishRoute mounts the hot path beside huma: one pass over the body instead of two parses and a validation, and a
// payload that stays where it was read.
func (h *Handler) publishRoute() {
	op := operation("message.create", http.MethodPost, publishPath, "Publish a message")
	op.Description = "It is stored durably, with one delivery for each endpoint that wants it, before the answer is given. " +
		"An Idempotency-Key header makes a repeat give the first answer again for 12 hours; a repeated eventId is 409."
	h.prepare(&op, organisation)
	registry := h.huma.OpenAPI().Components.Schemas
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		jsonType: {Schema: registry.Schema(reflect.TypeFor[messageIn](), true, "")},
	}}
	op.Responses["202"] = h.documented("Accepted", reflect.TypeFor[messageOut]())
	one, most := 1, maxUID
	op.Parameters = []*huma.Param{
		{Name: appParam, In: "path", Required: true, Description: "Id or uid of the application",
			Schema: &huma.Schema{Type: huma.TypeString, MinLength: &one, MaxLength: &most}},
		{Name: "with_content", In: "query", Description: "Whether the answer holds the payload",
			Schema: &huma.Schema{Type: huma.TypeBoolean, Default: true}},
		{Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: &most}},
	}
	h.huma.OpenAPI().AddOperation(&op)
	h.mux.HandleFunc(publishPattern, func(w http.ResponseWriter, r *http.Request) {
		if err := h.publish(w, r); err != nil {
			writeError(w, h.answer(r.Context(), err))
		}
	})
}

func (h *Handler) publish(w http.ResponseWriter, r *http.Request) error {
	ctx, ref := r.Context(), r.PathValue(appParam)
	a, err := h.authenticate(r)
	if err != nil {
		return err
	}
	if err := h.admit(ctx, a, organisation, ref); err != nil {
		return err
	}
	app, err := h.publishTo(r, ref)
	if err != nil {
		return err
	}
	body, err := readBody(r, h.MaxBody)
	if err != nil {
		return err
	}
	m, err := readMessage(body)
	if err != nil {
		return err
	}
	now := h.now()
	m.App, m.CreatedAt, m.ID = app, now, hook.NewID[hook.MessageID](h.IDs, now)
	withContent := r.URL.RawQuery == "" || r.URL.Query().Get("with_content") != "false"
	stored, err := h.accept(r, a, m)
	if err != nil {
		return err
	}
	out := showEnvelope(stored)
	if withContent && len(stored.Payload) > 0 {
		out.Payload = stored.Payload // checked when it was read
	}
	answer, err := out.appendJSON(make([]byte, 0, len(stored.Payload)+512))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(append(answer, '\n')) // the message is stored whether or not the caller hears of it
	return nil
}

// publishTo finds the application. An id is taken at its word: the store says if there is none.
func (h *Handler) publishTo(r *http.Request, ref string) (hook.ApplicationID, error) {
	if id, err := hook.ParseID[hook.ApplicationID](ref); err == nil {
		return id, nil
	}
	return h.appID(r.Context(), ref)
}

// accept stores a message. A repeat of an Idempotency-Key gives the first message, also when it repeats its event id; a
// repeat of an event id alone is a conflict.
func (h *Handler) accept(r *http.Request, a actor, m hook.Message) (hook.Message, error) {
	wish := hook.Accept{Message: m}
	if m.EventID != "" {
		wish.Unique, wish.UniqueKeep = true, h.EventKeep
	}
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d/%s", a.token, key))
		wish.Dedup = hook.Dedup{Scope: "api", Key: base64.RawURLEncoding.EncodeToString(sum[:18]), Keep: idempotencyKeep}
	}
	done, err := h.Store.Accept(r.Context(), []hook.Accept{wish})
	if err != nil {
		return m, err
	}
	switch first := done[0]; {
	case hook.KindOf(first.Err) == hook.KindNotFound:
		return m, notFound("application")
	case first.Err != nil:
		return m, first.Err
	case first.ByEvent:
		return m, conflict("a message with this eventId exists already: %s", first.Message.ID)
	case first.Duplicate:
		return h.Store.Message(r.Context(), m.App, first.Message.ID.String(), false)
	}
	return m, nil
}

// readBody reads a bounded body into memory of its own, since a payload is a slice of it and lives on.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, tooLarge()
	}
	size := r.ContentLength
	if size < 0 {
		size = 4096
	}
	body := make([]byte, 0, size+1) // one byte more, so that the end is seen without growing
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > limit {
			return nil, tooLarge()
		}
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return nil, newError(http.StatusBadRequest, "bad_request", "the body broke off")
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
}

// readMessage reads a publication in one pass. The payload is a slice of the body.
func readMessage(body []byte) (hook.Message, error) {
	if !json.Valid(body) || !utf8.Valid(body) {
		return hook.Message{}, newError(http.StatusBadRequest, "bad_request", "the body is not a JSON document in UTF-8")
	}
	var p problems
	var m hook.Message
	var raw []byte // transformationsParams.rawPayload
	if err := members(body, func(name string, value []byte) {
		readMember(&p, &m, &raw, name, value)
	}); err != nil {
		return m, err
	}
	if raw != nil {
		m.Payload = raw
	}
	if m.EventType == "" && !has(p, "eventType") {
		p.add("body.eventType", "is needed")
	}
	if m.Payload == nil && !has(p, "payload") {
		p.add("body.payload", "is needed")
	}
	return m, p.err()
}

// has says whether something is wrong with a member already.
func has(p problems, member string) bool {
	for _, e := range p {
		if len(e.Loc) > 1 && e.Loc[1] == member {
			return true
		}
	}
	return false
}
