package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// flag is a feature flag. Pattern and length are Svix's.
type flag string

// Schema has the pattern and the length.
func (flag) Schema(huma.Registry) *huma.Schema { return nameSchema(maxName) }

// schemasIn is an object of version → JSON Schema, byte for byte as it stands in the request.
type schemasIn []byte

// UnmarshalJSON keeps the bytes.
func (s *schemasIn) UnmarshalJSON(b []byte) error {
	*s = slices.Clone(b)
	return nil
}

// Schema is any object.
func (schemasIn) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true,
		Description: "Version → JSON Schema (draft 2020-12, or the draft that its $schema names). The highest version is the one that " +
			"payloads are checked against, where an application wants that",
		Examples: []any{map[string]any{"1": map[string]any{"type": "object", "required": []string{"orderId"}}}},
	}
}

// schemasOut are schemas as they were given; null when there are none.
type schemasOut json.RawMessage

// MarshalJSON writes the bytes.
func (s schemasOut) MarshalJSON() ([]byte, error) {
	if len(s) == 0 {
		return []byte("null"), nil
	}
	return s, nil
}

// Schema is any object, or null.
func (schemasOut) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Nullable: true}
}

// EventTypeFields are the members of an event type that may be missing.
type EventTypeFields struct {
	Archived     optional[bool]      `json:"archived,omitempty" doc:"Left out of lists; messages of it are taken and delivered all the same"`
	Deprecated   optional[bool]      `json:"deprecated,omitempty"`
	Schemas      optional[schemasIn] `json:"schemas,omitempty"`
	FeatureFlag  optional[flag]      `json:"featureFlag,omitempty" doc:"The same as featureFlags with one item"`
	FeatureFlags optional[[]flag]    `json:"featureFlags,omitempty" maxItems:"100" doc:"Who holds one of them may see the type and gets its messages; none = everybody"`
	GroupName    optional[flag]      `json:"groupName,omitempty" doc:"A heading for lists"`
}

type eventTypeIn struct {
	_           struct{}  `json:"-" additionalProperties:"true"`
	Name        eventType `json:"name" example:"order.created"`
	Description string    `json:"description" maxLength:"4096"`
	EventTypeFields
}

type eventTypeUpdate struct {
	_           struct{} `json:"-" additionalProperties:"true"`
	Description string   `json:"description" maxLength:"4096"`
	EventTypeFields
}

type eventTypePatch struct {
	_           struct{}         `json:"-" additionalProperties:"true"`
	Description optional[string] `json:"description,omitempty" maxLength:"4096"`
	EventTypeFields
}

type eventTypeOut struct {
	Name         string     `json:"name"`
	Description  string     `json:"description"`
	Archived     bool       `json:"archived"`
	Deprecated   bool       `json:"deprecated"`
	Schemas      schemasOut `json:"schemas"`
	FeatureFlag  *string    `json:"featureFlag" doc:"The first of featureFlags"`
	FeatureFlags []string   `json:"featureFlags" doc:"null = everybody may have it"`
	GroupName    *string    `json:"groupName"`
	Managed      bool       `json:"managed" doc:"Addition. Declared in the configuration file, and overwritten by it at each start"`
	CreatedAt    time.Time  `json:"createdAt"`
	UpdatedAt    time.Time  `json:"updatedAt"`
}

func showEventType(t hook.EventType) eventTypeOut {
	out := eventTypeOut{
		Name: t.Name, Description: t.Description, Archived: t.Archived, Deprecated: t.Deprecated, Schemas: schemasOut(t.Schemas),
		GroupName: pointer(t.GroupName), Managed: t.Managed, CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC(),
	}
	if len(t.FeatureFlags) > 0 {
		out.FeatureFlag, out.FeatureFlags = &t.FeatureFlags[0], t.FeatureFlags
	}
	return out
}

// EventTypePath is the event type that a path names.
type EventTypePath struct {
	Name string `path:"event_type_name" minLength:"1" maxLength:"256" doc:"Name of the event type"`
}

type eventTypeCreateInput struct{ Body eventTypeIn }

type eventTypeUpdateInput struct {
	EventTypePath
	Body eventTypeUpdate
}

type eventTypePatchInput struct {
	EventTypePath
	Body eventTypePatch
}

type eventTypeDeleteInput struct {
	EventTypePath
	Expunge bool `query:"expunge" doc:"Remove it instead of archiving it"`
}

type eventTypeListInput struct {
	PageIn
	OrderIn
	IncludeArchived bool `query:"include_archived" doc:"Archived ones too"`
	WithContent     bool `query:"with_content" doc:"Whether answers hold the schemas"`
}

func (h *Handler) eventTypes() {
	create := operation("event-type.create", http.MethodPost, "/event-type", "Create an event type, or bring back an archived one")
	create.DefaultStatus = http.StatusCreated
	add(h, create, organisation, h.createEventType)
	within(h, h.lists, operation("event-type.list", http.MethodGet, "/event-type", "List event types by name"), member, h.listEventTypes)
	add(h, operation("event-type.get", http.MethodGet, "/event-type/{event_type_name}", "Get an event type"), member,
		func(ctx context.Context, in *EventTypePath) (*output[eventTypeOut], error) {
			t, err := h.visibleEventType(ctx, in.Name)
			return &output[eventTypeOut]{showEventType(t)}, err
		})
	update := operation("event-type.update", http.MethodPut, "/event-type/{event_type_name}", "Replace an event type, or create it under this name")
	update.Responses = created[eventTypeOut](h)
	add(h, update, organisation, h.updateEventType)
	add(h, operation("event-type.patch", http.MethodPatch, "/event-type/{event_type_name}", "Change members of an event type"), organisation, h.patchEventType)
	del := operation("event-type.delete", http.MethodDelete, "/event-type/{event_type_name}", "Archive an event type, or remove it")
	del.Description = "Endpoints that listen to it go on doing so, and messages of it are taken and delivered."
	del.DefaultStatus = http.StatusNoContent
	add(h, del, organisation, h.deleteEventType)
	example := operation("event-type.generate-example", http.MethodPost, "/event-type/schema/generate-example", "Make an example from a JSON Schema")
	add(h, example, member, h.generateExample)
	add(h, operation("event-type.import-openapi", http.MethodPost, "/event-type/import/openapi",
		"Create or replace the event types that an OpenAPI document describes as webhooks"), organisation, h.importOpenAPI)
}

// createEventType makes an event type. One that is archived is brought back as if it were new.
func (h *Handler) createEventType(ctx context.Context, in *eventTypeCreateInput) (*output[eventTypeOut], error) {
	h.config.Lock()
	defer h.config.Unlock()
	name := string(in.Body.Name)
	if !isEventType(name) {
		return nil, invalidRequest(wrong("body.name", badEventType, maxEventType))
	}
	t, err := h.Store.EventType(ctx, name)
	known := err == nil
	switch {
	case known && !t.Archived:
		return nil, newError(http.StatusConflict, "event_type_exists", "an event type with this name exists already")
	case !known && hook.KindOf(err) != hook.KindNotFound:
		return nil, err
	case !known:
		t = h.newEventType(name)
	}
	if err := fillEventType(&t, in.Body.Description, in.Body.EventTypeFields, true); err != nil {
		return nil, err
	}
	if err := h.saveEventType(ctx, &t, known, http.StatusCreated); err != nil {
		return nil, err
	}
	return &output[eventTypeOut]{showEventType(t)}, nil
}

const badEventType = "must have 1 to %d bytes, without control characters or spaces around it"

func (h *Handler) newEventType(name string) hook.EventType {
	return hook.EventType{Name: name, CreatedAt: h.now()}
}

// saveEventType writes an event type that is new or known; status is what a POST answers.
func (h *Handler) saveEventType(ctx context.Context, t *hook.EventType, known bool, status int) error {
	t.UpdatedAt = h.now()
	t.Managed = t.Managed || actorOf(ctx).declaring
	save := h.Store.CreateEventType
	if known {
		save = h.Store.UpdateEventType
	}
	defer h.Forget()
	return named(save(answering(ctx, status, showEventType(*t)), *t), "the event type was made by somebody else at the same time")
}

func (h *Handler) listEventTypes(ctx context.Context, in *eventTypeListInput) (*output[listResponse[eventTypeOut]], error) {
	flags, err := h.flagsOf(ctx, actorOf(ctx))
	if err != nil {
		return nil, err
	}
	page := in.page(in.Order, false)
	page.After, page.Before = cursorName(page.After), cursorName(page.Before)
	list, err := h.Store.EventTypes(ctx, store.EventTypeFilter{Archived: in.IncludeArchived, Flags: flags}, page)
	list.First, list.Last = nameCursor(list.First), nameCursor(list.Last)
	return listed(list, err, func(t hook.EventType) eventTypeOut {
		if !in.WithContent {
			t.Schemas = nil
		}
		return showEventType(t)
	})
}

// nameCursor makes an iterator of a name. It is the name, but a dash in front would be taken for the way back.
func nameCursor(name string) string {
	if strings.HasPrefix(name, "-") || strings.HasPrefix(name, "+") {
		return "+" + name
	}
	return name
}

func cursorName(cursor string) string { return strings.TrimPrefix(cursor, "+") }

// updateEventType replaces an event type. A name that is not known yet makes one.
func (h *Handler) updateEventType(ctx context.Context, in *eventTypeUpdateInput) (*made[eventTypeOut], error) {
	h.config.Lock()
	defer h.config.Unlock()
	t, err := h.Store.EventType(ctx, in.Name)
	known := err == nil
	switch {
	case !known && hook.KindOf(err) != hook.KindNotFound:
		return nil, err
	case !known && !isEventType(in.Name):
		return nil, invalidRequest(wrong("path.event_type_name", badEventType, maxEventType))
	case !known:
		t = h.newEventType(in.Name)
	}
	if err := fillEventType(&t, in.Body.Description, in.Body.EventTypeFields, true); err != nil {
		return nil, err
	}
	status := http.StatusOK
	if !known {
		status = http.StatusCreated
	}
	if err := h.saveEventType(ctx, &t, known, status); err != nil {
		return nil, err
	}
	return &made[eventTypeOut]{status, showEventType(t)}, nil
}

func (h *Handler) patchEventType(ctx context.Context, in *eventTypePatchInput) (*output[eventTypeOut], error) {
	h.config.Lock()
	defer h.config.Unlock()
	t, err := h.eventType(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	var p problems
	for name, null := range map[string]bool{
		"description": in.Body.Description.Null, "archived": in.Body.Archived.Null, "deprecated": in.Body.Deprecated.Null,
	} {
		if null {
			p.add("body."+name, "must not be null")
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	description := t.Description
	in.Body.Description.into(&description, false)
	if err := fillEventType(&t, description, in.Body.EventTypeFields, false); err != nil {
		return nil, err
	}
	if err := h.saveEventType(ctx, &t, true, http.StatusOK); err != nil {
		return nil, err
	}
	return &output[eventTypeOut]{showEventType(t)}, nil
}

func (h *Handler) deleteEventType(ctx context.Context, in *eventTypeDeleteInput) (*struct{}, error) {
	h.config.Lock()
	defer h.config.Unlock()
	defer h.Forget()
	t, err := h.eventType(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if in.Expunge {
		return nil, h.Store.DeleteEventType(ctx, t.Name)
	}
	t.Archived, t.UpdatedAt = true, h.now()
	return nil, h.Store.UpdateEventType(ctx, t)
}

// fillEventType puts given members into an event type; replace puts the defaults where they are missing.
func fillEventType(t *hook.EventType, description string, in EventTypeFields, replace bool) error {
	var p problems
	checkText(&p, "body.description", description)
	t.Description = description
	in.Archived.into(&t.Archived, replace)
	in.Deprecated.into(&t.Deprecated, replace)
	group := flag(t.GroupName)
	in.GroupName.into(&group, replace)
	t.GroupName = string(group)
	t.FeatureFlags = fillFlags(&p, t.FeatureFlags, in.FeatureFlag, in.FeatureFlags, replace)
	schemas := schemasIn(t.Schemas)
	in.Schemas.into(&schemas, replace)
	if in.Schemas.given() {
		if err := readSchemas("body.schemas", json.RawMessage(schemas)); err != nil {
			p = append(p, err.(*apiError).fields...)
		}
	}
	t.Schemas = json.RawMessage(schemas)
	return p.err()
}

// fillFlags reads flags under Svix's older name for one and its newer one for several. A client that knows only the older one
// sends back the first: the others stay then.
func fillFlags(p *problems, present []string, one optional[flag], several optional[[]flag], replace bool) []string {
	switch {
	case several.given():
		list := texts(several.Value)
		if one.given() && !slices.Contains(list, string(one.Value)) {
			p.add("body.featureFlag", "is not among featureFlags: give one of the two")
		}
		return list
	case one.given() && len(present) > 0 && present[0] == string(one.Value) && !several.Set:
		return present
	case one.given():
		return []string{string(one.Value)}
	case one.Set || several.Set || replace:
		return nil
	}
	return present
}

// eventType finds an event type.
func (h *Handler) eventType(ctx context.Context, name string) (hook.EventType, error) {
	t, err := h.Store.EventType(ctx, name)
	if hook.KindOf(err) == hook.KindNotFound {
		return t, notFound("event type")
	}
	return t, err
}

// visibleEventType is eventType for the caller: what its flags do not allow does not exist for it.
func (h *Handler) visibleEventType(ctx context.Context, name string) (hook.EventType, error) {
	flags, err := h.flagsOf(ctx, actorOf(ctx))
	if err != nil {
		return hook.EventType{}, err
	}
	t, err := h.eventType(ctx, name)
	if err == nil && !t.OpenTo(flags) {
		return hook.EventType{}, notFound("event type")
	}
	return t, err
}

// flagsOf returns the feature flags that an actor holds; nil = it is not restricted. A token made for the portal has its own
// beside those of its application, and none at all where neither has any, as with Svix.
func (h *Handler) flagsOf(ctx context.Context, a actor) ([]string, error) {
	if a.isOrganisation() {
		return nil, nil
	}
	app, err := h.Store.Application(ctx, a.app.String())
	if err != nil {
		return nil, err
	}
	if app.FeatureFlags == nil && a.flags == nil {
		return nil, nil
	}
	held := make([]string, 0, len(app.FeatureFlags)+len(a.flags)) // not nil, which would be no restriction
	return append(append(held, app.FeatureFlags...), a.flags...), nil
}

// eventTypeFacts are what a publication has to know of its type.
type eventTypeFacts struct {
	known bool
	t     hook.EventType
}

// facts returns what is known of an event type, a second old at most.
func (h *Handler) facts(ctx context.Context, name string) (eventTypeFacts, error) {
	now := h.Now()
	f, turn, ok := h.types.get(name, now)
	if ok {
		return f, nil
	}
	t, err := h.Store.EventType(ctx, name)
	if err != nil && hook.KindOf(err) != hook.KindNotFound {
		return f, err
	}
	f = eventTypeFacts{err == nil, t}
	h.types.put(name, f, turn, now)
	return f, nil
}

// needs returns the feature flags of which an application must hold one to get messages of a type; nil = none is needed.
func (h *Handler) needs(ctx context.Context, eventType string) ([]string, error) {
	f, err := h.facts(ctx, eventType)
	return f.t.FeatureFlags, err
}

// fitsSchema says whether a payload fits the newest schema of its event type, where the application wants that. An
// application that does not exist wants nothing.
func (h *Handler) fitsSchema(ctx context.Context, app hook.ApplicationID, eventType string, payload []byte) error {
	enforce, err := h.enforces(ctx, app)
	if err != nil || !enforce {
		return err
	}
	f, err := h.facts(ctx, eventType)
	if err != nil || !f.known {
		return err
	}
	return h.checkPayload(&f.t, payload)
}

func (h *Handler) enforces(ctx context.Context, id hook.ApplicationID) (bool, error) {
	now := h.Now()
	enforce, turn, ok := h.enforce.get(id, now)
	if ok {
		return enforce, nil
	}
	app, err := h.Store.Application(ctx, id.String())
	if err != nil && hook.KindOf(err) != hook.KindNotFound {
		return false, err
	}
	h.enforce.put(id, app.EnforceSchemas, turn, now)
	return app.EnforceSchemas, nil
}

// maySubscribe says whether an actor may have an endpoint of an application listen to event types. Types that it may not see and
// types that do not exist read the same to it, so that it cannot find out which there are.
func (h *Handler) maySubscribe(ctx context.Context, a actor, _ hook.Application, types []string) error {
	flags, err := h.flagsOf(ctx, a)
	if err != nil || flags == nil {
		return err
	}
	var p problems
	for _, name := range types {
		f, err := h.facts(ctx, name)
		if err != nil {
			return err
		}
		if !f.known || !f.t.OpenTo(flags) {
			p.add("body.filterTypes", "there is no event type %s", clip(name))
		}
	}
	return p.err()
}
