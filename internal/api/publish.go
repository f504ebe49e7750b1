package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/waypost/waypost/internal/hook"
)

// messageIn is the body of a publication, for the document: it is read by readMessage.
type messageIn struct {
	_ struct{} `json:"-" additionalProperties:"true"`
	MessageBody
	Application optional[applicationIn] `json:"application,omitempty" doc:"An application to make first when the path names none yet; its uid must be that of the path. Checked and otherwise left alone when there is one"`
}

// MessageBody are the members of every kind of publication.
type MessageBody struct {
	EventType eventType         `json:"eventType" example:"order.created"`
	Payload   rawObject         `json:"payload" doc:"A JSON object. Its bytes are kept and delivered unchanged: spacing, order of members, spelling of numbers"`
	EventID   optional[uid]     `json:"eventId,omitempty" doc:"Your own id of it; a repeat within 7 days is 409"`
	Channels  []channel         `json:"channels,omitempty" nullable:"true" minItems:"1" maxItems:"10" doc:"Endpoints that listen to channels get it when one of theirs is here"`
	Tags      []tag             `json:"tags,omitempty" nullable:"true" maxItems:"10" doc:"Lists can be narrowed by them"`
	Platform  map[string]string `json:"platform,omitempty" doc:"Addition. Members of a platform's envelope by their wire names, for dialects that have one"`

	DeliverAt              optional[time.Time]       `json:"deliverAt,omitempty" doc:"When to send it, at most 30 days ahead; a moment that has passed means at once"`
	PayloadRetentionPeriod optional[int]             `json:"payloadRetentionPeriod,omitempty" minimum:"1" maximum:"90" doc:"Days after which the content is removed, if the server's own retention is not shorter"`
	PayloadRetentionHours  optional[int]             `json:"payloadRetentionHours,omitempty" minimum:"1" maximum:"2160" doc:"The same in hours; only one of the two can be given"`
	TransformationsParams  optional[transformations] `json:"transformationsParams,omitempty"`
}

type transformations struct {
	_          struct{} `json:"-" additionalProperties:"true"`
	RawPayload string   `json:"rawPayload,omitempty" doc:"The payload as a text, which takes its place: for clients whose JSON encoder would change its bytes"`
}

const (
	publishPath    = "/app/{" + appParam + "}/msg"
	publishPattern = http.MethodPost + " " + root + publishPath
)

// publishRoute mounts the hot path beside huma: one pass over the body instead of two parses and a validation, and a
// payload that stays where it was read.
func (h *Handler) publishRoute() {
	op := operation("message.create", http.MethodPost, publishPath, "Publish a message")
	op.Description = "It is stored durably, with one delivery for each endpoint that wants it, before the answer is given. " +
		"An Idempotency-Key header makes a repeat give the first answer again for 12 hours; a repeated eventId is 409."
	h.mount(&op, reflect.TypeFor[messageIn](), reflect.TypeFor[messageOut](), []*huma.Param{{
		Name: "with_content", In: "query", Description: "Whether the answer holds the payload",
		Schema: &huma.Schema{Type: huma.TypeBoolean, Default: true},
	}}, h.publish)
}

// mount registers a POST of the organisation's that reads its body itself and answers 202.
func (h *Handler) mount(op *huma.Operation, in, out reflect.Type, params []*huma.Param,
	serve func(context.Context, http.ResponseWriter, *http.Request) error) {
	h.prepare(op, organisation)
	op.DefaultStatus = http.StatusAccepted
	registry := h.huma.OpenAPI().Components.Schemas
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{jsonType: {Schema: registry.Schema(in, true, "")}}}
	op.Responses["202"] = h.documented("Accepted", out)
	one, most := 1, maxUID
	if strings.Contains(op.Path, "{"+appParam+"}") {
		op.Parameters = append(op.Parameters, &huma.Param{Name: appParam, In: "path", Required: true, Description: "Id or uid of the application",
			Schema: &huma.Schema{Type: huma.TypeString, MinLength: &one, MaxLength: &most}})
	}
	op.Parameters = append(append(op.Parameters, params...), idempotencyParam())
	h.huma.OpenAPI().AddOperation(op)
	h.mux.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, r *http.Request) {
		a, err := h.authenticate(r)
		if err == nil {
			err = h.admit(r.Context(), a, organisation, r.PathValue(appParam))
		}
		if err != nil {
			writeError(w, h.answer(r.Context(), err))
			return
		}
		h.onceAtWrite(w, r, a, func(ctx context.Context) error { return serve(ctx, w, r) })
	})
}

// writeAccepted answers 202. What was asked is done whether or not the caller hears of it.
func writeAccepted(w http.ResponseWriter, body []byte) error {
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(append(body, '\n'))
	return nil
}

func (h *Handler) publish(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	ref := r.PathValue(appParam)
	withContent, err := wantsContent(r)
	if err != nil {
		return err
	}
	app, missing := h.publishTo(ctx, ref)
	if missing != nil && !isMissing(missing) {
		return missing
	}
	body, err := readBody(r, h.MaxBody)
	if err != nil {
		return err
	}
	m, err := readMessage(body, h.now())
	if err != nil {
		return err
	}
	if m.application != nil {
		app, missing = h.publishToNew(ctx, ref, m)
	}
	if missing != nil {
		return missing
	}
	wish, err := h.wish(ctx, app, m)
	if err != nil {
		return err
	}
	done, err := h.Store.Accept(answeringMessage(ctx, http.StatusAccepted, withContent), []hook.Accept{wish})
	if err != nil {
		return err
	}
	if err := refusedBy(&done[0]); err != nil {
		return err
	}
	stored := done[0].Message // with the id that the store gave it
	answer, err := showMessage(stored, withContent).appendJSON(make([]byte, 0, len(stored.Payload)+512))
	if err != nil {
		return err
	}
	return writeAccepted(w, answer)
}

func wantsContent(r *http.Request) (bool, error) {
	if r.URL.RawQuery == "" {
		return true, nil
	}
	text := r.URL.Query().Get("with_content")
	if text == "" {
		return true, nil
	}
	want, err := strconv.ParseBool(text)
	if err != nil {
		return false, invalidRequest(wrong("query.with_content", "must be true or false"))
	}
	return want, nil
}

// isMissing says whether an error is that of an unknown application.
func isMissing(err error) bool {
	var e *apiError
	return errors.As(err, &e) && e.status == http.StatusNotFound
}

// publishTo finds the application. An id is taken at its word: the store says if there is none.
func (h *Handler) publishTo(ctx context.Context, ref string) (hook.ApplicationID, error) {
	id, err := hook.ParseID[hook.ApplicationID](ref)
	switch {
	case err != nil:
		return h.appID(ctx, ref)
	case id == hook.Operational:
		return 0, notFound("application")
	}
	return id, nil
}

// publishToNew is publishTo for a request that brings an application along: it is made when there is none yet, once the rest
// of the request has been read. When the message is not stored all the same, the application stays and the repeat finds it.
func (h *Handler) publishToNew(ctx context.Context, ref string, m *posted) (hook.ApplicationID, error) {
	a := h.newApplication()
	in, err := h.readApplication(m.application)
	if err == nil {
		err = within422("body.application", fillApplication(&a, in.Name, in.ApplicationFields, false))
	}
	if err != nil {
		return 0, err
	}
	id, err := h.appID(ctx, ref)
	if !isMissing(err) {
		return id, err
	}
	if a.UID == "" || a.UID != ref {
		return 0, invalidRequest(wrong("body.application.uid", "must be the uid that the path names: there is no such application yet"))
	}
	defer h.Forget()
	if err = h.Store.CreateApplication(ctx, a); hook.KindOf(err) == hook.KindConflict {
		return h.appID(ctx, ref) // made by another request a moment ago
	}
	return a.ID, err
}

// readApplication reads the member application.
func (h *Handler) readApplication(value []byte) (in applicationIn, err error) {
	const place = "body.application"
	var p problems
	if checkInner(&p, place, value); len(p) > 0 {
		return in, p.err()
	}
	registry := h.huma.OpenAPI().Components.Schemas
	schema := registry.Schema(reflect.TypeFor[applicationIn](), false, "")
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return in, err // not of a valid document
	}
	found := &huma.ValidateResult{}
	huma.Validate(registry, schema, huma.NewPathBuffer([]byte(place), len(place)), huma.ModeWriteToServer, v, found)
	for _, e := range found.Errors {
		if d := (*huma.ErrorDetail)(nil); errors.As(e, &d) {
			p.add(d.Location, "%s", plainMessage(d.Message))
		}
	}
	if err := p.err(); err != nil {
		return in, err
	}
	return in, json.Unmarshal(value, &in)
}

// within422 moves the places of a refusal from the body to a member of it.
func within422(member string, err error) error {
	var e *apiError
	if errors.As(err, &e) {
		for i := range e.fields {
			e.fields[i].Loc = append(location(member), e.fields[i].Loc[1:]...)
		}
	}
	return err
}

// wish is what the store is asked for: the message, the flags that its type needs, and a payload that fits the type's schema where
// the application wants that. app 0 = every application, whatever they want.
func (h *Handler) wish(ctx context.Context, app hook.ApplicationID, m *posted) (hook.Accept, error) {
	m.App, m.ID = app, hook.NewID[hook.MessageID](h.IDs, m.now)
	needs, err := h.needs(ctx, m.EventType)
	if err == nil && app != 0 {
		err = h.fitsSchema(ctx, app, m.EventType, m.Payload)
	}
	if err != nil {
		return hook.Accept{}, err
	}
	wish := hook.Accept{Message: m.Message, Needs: needs}
	if m.EventID != "" {
		wish.Unique, wish.UniqueKeep = true, h.EventKeep
	}
	return wish, nil
}

// refusedBy says why a message was not stored; nil when it was. A repeat of its event id is a conflict.
func refusedBy(done *hook.Accepted) error {
	switch {
	case done.Err != nil && hook.KindOf(done.Err) == hook.KindNotFound:
		return notFound("application")
	case done.Err != nil:
		return done.Err
	case done.Duplicate:
		return conflict("a message with this eventId exists already: %s", done.Message.ID)
	}
	return nil
}
