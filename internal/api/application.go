package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// ApplicationFields are the members of an application that may be missing.
type ApplicationFields struct {
	UID          optional[uid]               `json:"uid,omitempty" doc:"Your own id of it, unique among applications; usable in every path in place of the id"`
	RateLimit    optional[int]               `json:"rateLimit,omitempty" minimum:"1" maximum:"65535" deprecated:"true" doc:"The older name of throttleRate"`
	ThrottleRate optional[int]               `json:"throttleRate,omitempty" minimum:"1" maximum:"65535" doc:"Messages a second over all endpoints; null = no limit"`
	Metadata     optional[map[string]string] `json:"metadata,omitempty" doc:"Yours, returned as given; at most 4096 bytes"`
	AllowCIDRs   optional[[]string]          `json:"allowCidrs,omitempty" maxItems:"100" doc:"Addition. Private networks that its endpoints may reach, as 10.1.0.0/16"`

	FeatureFlags   optional[[]flag] `json:"featureFlags,omitempty" maxItems:"100" doc:"Addition. It sees and gets only event types that need none of the flags that event types have, or one of these; null = all"`
	EnforceSchemas optional[bool]   `json:"enforceSchemas,omitempty" doc:"Addition. Whether messages must fit the schemas of their event types"`
}

type applicationIn struct {
	_    struct{} `json:"-" additionalProperties:"true"`
	Name string   `json:"name" minLength:"1" maxLength:"256" example:"Orders of shop 17"`
	ApplicationFields
}

type applicationPatch struct {
	_    struct{}         `json:"-" additionalProperties:"true"`
	Name optional[string] `json:"name,omitempty" minLength:"1" maxLength:"256"`
	ApplicationFields
}

type applicationOut struct {
	ID           string            `json:"id" example:"app_0123456789abc"`
	UID          *string           `json:"uid"`
	Name         string            `json:"name"`
	RateLimit    *int              `json:"rateLimit" deprecated:"true"`
	ThrottleRate *int              `json:"throttleRate"`
	Metadata     map[string]string `json:"metadata"`
	CreatedAt    time.Time         `json:"createdAt"`
	UpdatedAt    time.Time         `json:"updatedAt"`

	AllowCIDRs     []string `json:"allowCidrs" nullable:"false" doc:"Addition. Shown to the organisation only; [] to others"`
	FeatureFlags   []string `json:"featureFlags" doc:"Addition. null = not restricted"`
	EnforceSchemas bool     `json:"enforceSchemas" doc:"Addition"`
	Managed        bool     `json:"managed" doc:"Addition. Declared in the configuration file, and overwritten by it at each start"`
}

func showApplication(a hook.Application) applicationOut {
	return applicationOut{
		ID: a.ID.String(), UID: pointer(a.UID), Name: a.Name,
		RateLimit: pointer(a.ThrottleRate), ThrottleRate: pointer(a.ThrottleRate),
		Metadata: notNilMap(a.Metadata), CreatedAt: a.CreatedAt.UTC(), UpdatedAt: a.UpdatedAt.UTC(),
		AllowCIDRs: notNil(a.AllowCIDRs), FeatureFlags: a.FeatureFlags, EnforceSchemas: a.EnforceSchemas, Managed: a.Managed,
	}
}

// AppPath is the application that a path names.
type AppPath struct {
	App string `path:"app_id" minLength:"1" maxLength:"256" doc:"Id or uid of the application"`
}

type applicationCreateInput struct {
	GetIfExists bool `query:"get_if_exists" doc:"Answer 200 with the application of this uid when there is one, instead of 409"`
	Body        applicationIn
}

type applicationListInput struct {
	PageIn
	OrderIn
}

type applicationUpdateInput struct {
	AppPath
	Body applicationIn
}

type applicationPatchInput struct {
	AppPath
	Body applicationPatch
}

func (h *Handler) applications() {
	create := operation("application.create", http.MethodPost, "/app", "Create an application")
	create.DefaultStatus = http.StatusCreated
	create.Responses = existing[applicationOut](h)
	add(h, create, organisation, h.createApplication)
	add(h, operation("application.list", http.MethodGet, "/app", "List applications"), organisation,
		func(ctx context.Context, in *applicationListInput) (*output[listResponse[applicationOut]], error) {
			list, err := h.Store.Applications(ctx, in.page(in.Order, false))
			return listed(list, err, showApplication)
		})
	add(h, operation("application.get", http.MethodGet, "/app/{app_id}", "Get an application"), member,
		func(ctx context.Context, in *AppPath) (*output[applicationOut], error) {
			a, err := h.app(ctx, in.App)
			if !actorOf(ctx).isOrganisation() {
				a.AllowCIDRs = nil // they tell of the organisation's networks
			}
			return &output[applicationOut]{showApplication(a)}, err
		})
	update := operation("application.update", http.MethodPut, "/app/{app_id}", "Replace an application, or create it under this uid")
	update.Responses = created[applicationOut](h)
	add(h, update, organisation, h.updateApplication)
	add(h, operation("application.patch", http.MethodPatch, "/app/{app_id}", "Change members of an application"), organisation, h.patchApplication)
	del := operation("application.delete", http.MethodDelete, "/app/{app_id}",
		"Delete an application with its sources and endpoints, and cancel what is pending")
	del.DefaultStatus = http.StatusNoContent
	add(h, del, organisation, func(ctx context.Context, in *AppPath) (*struct{}, error) {
		a, err := h.app(ctx, in.App)
		if err != nil {
			return nil, err
		}
		defer h.Forget()
		return nil, h.Store.DeleteApplication(ctx, a.ID, h.now())
	})
}

func (h *Handler) createApplication(ctx context.Context, in *applicationCreateInput) (*made[applicationOut], error) {
	a := h.newApplication()
	a.Managed = actorOf(ctx).declaring
	if err := fillApplication(&a, in.Body.Name, in.Body.ApplicationFields, false); err != nil {
		return nil, err
	}
	out := showApplication(a)
	err := h.Store.CreateApplication(answering(ctx, http.StatusCreated, out), a)
	if hook.KindOf(err) == hook.KindConflict && in.GetIfExists && a.UID != "" {
		if a, err = h.app(ctx, a.UID); err != nil {
			return nil, err
		}
		return &made[applicationOut]{http.StatusOK, showApplication(a)}, nil
	}
	if err != nil {
		return nil, named(err, "an application with this uid exists already")
	}
	return &made[applicationOut]{http.StatusCreated, out}, nil
}

func (h *Handler) newApplication() hook.Application {
	now := h.now()
	return hook.Application{ID: hook.NewID[hook.ApplicationID](h.IDs, now), CreatedAt: now, UpdatedAt: now}
}

// updateApplication replaces an application. A uid that names none yet makes one.
func (h *Handler) updateApplication(ctx context.Context, in *applicationUpdateInput) (*made[applicationOut], error) {
	h.config.Lock()
	defer h.config.Unlock()
	status := http.StatusOK
	a, err := h.Store.Application(ctx, in.App)
	if hook.KindOf(err) == hook.KindNotFound {
		if err := mayBecome(in.App, in.Body.UID, "application"); err != nil {
			return nil, err
		}
		status, err = http.StatusCreated, nil
		a = h.newApplication()
		a.UID = in.App
	}
	if err != nil {
		return nil, err
	}
	if err := fillApplication(&a, in.Body.Name, in.Body.ApplicationFields, true); err != nil {
		return nil, err
	}
	a.UpdatedAt = h.now()
	a.Managed = a.Managed || actorOf(ctx).declaring
	save := h.Store.UpdateApplication
	if status == http.StatusCreated {
		save = h.Store.CreateApplication
	}
	if err := save(ctx, a); err != nil {
		return nil, named(err, "an application with this uid exists already")
	}
	h.Forget()
	return &made[applicationOut]{status, showApplication(a)}, nil
}

func (h *Handler) patchApplication(ctx context.Context, in *applicationPatchInput) (*output[applicationOut], error) {
	h.config.Lock()
	defer h.config.Unlock()
	a, err := h.app(ctx, in.App)
	if err != nil {
		return nil, err
	}
	if in.Body.Name.Null {
		return nil, invalidRequest(wrong("body.name", "must not be null"))
	}
	name := a.Name
	in.Body.Name.into(&name, false)
	if err := fillApplication(&a, name, in.Body.ApplicationFields, false); err != nil {
		return nil, err
	}
	a.UpdatedAt = h.now()
	if err := h.Store.UpdateApplication(ctx, a); err != nil {
		return nil, named(err, "an application with this uid exists already")
	}
	h.Forget()
	return &output[applicationOut]{showApplication(a)}, nil
}

// fillApplication puts given members into an application. replace puts the defaults where Svix's members are missing; the
// uid and our own members stay as they are then, so that a client that does not know them cannot wipe them.
func fillApplication(a *hook.Application, name string, in ApplicationFields, replace bool) error {
	var p problems
	a.Name = name
	checkText(&p, "body.name", name)
	fillUID(&p, &a.UID, in.UID)
	fillRate(&p, &a.ThrottleRate, in.RateLimit, in.ThrottleRate, replace)
	in.Metadata.into(&a.Metadata, replace)
	checkMetadata(&p, a.Metadata)
	in.AllowCIDRs.into(&a.AllowCIDRs, false)
	in.EnforceSchemas.into(&a.EnforceSchemas, false)
	if in.FeatureFlags.Set {
		a.FeatureFlags = flags(in.FeatureFlags.Value)
	}
	checkNetworks(&p, "body.allowCidrs", a.AllowCIDRs)
	return p.err()
}

// flags are names of permissions, sorted and without repeats; an empty list is not the same as none.
func flags(list []flag) []string {
	if list == nil {
		return nil
	}
	return notNil(texts(list))
}

func checkNetworks(p *problems, loc string, list []string) {
	for _, c := range list {
		_, notNetwork := netip.ParsePrefix(c)
		if _, notAddress := netip.ParseAddr(c); notNetwork != nil && notAddress != nil {
			p.add(loc, "%q is neither a network such as 10.1.0.0/16 nor an address", clip(c))
		}
	}
}

func fillUID(p *problems, place *string, in optional[uid]) {
	u := uid(*place)
	in.into(&u, false)
	checkUID(p, u)
	*place = string(u)
}

// fillRate reads a rate under its older and its present name.
func fillRate(p *problems, place *int, older, present optional[int], replace bool) {
	if older.given() && present.given() && older.Value != present.Value {
		p.add("body.rateLimit", "is the older name of throttleRate, and says something else: give one of them")
		return
	}
	if older.Set && !present.Set {
		present = older
	}
	if older.given() {
		present = older
	}
	present.into(place, replace)
}

// mayBecome says whether a PUT to a reference that names nothing may make it: an id is not for the caller to choose.
func mayBecome(ref string, u optional[uid], noun string) error {
	switch {
	case hook.LooksLikeID(ref):
		return notFound(noun)
	case !isName(ref, maxUID):
		return invalidRequest(wrong("path."+noun, "is no id, and cannot be a uid: use letters, digits, dash, underscore and dot"))
	case u.given() && string(u.Value) != ref:
		return invalidRequest(wrong("body.uid", "differs from the uid in the path"))
	case u.Null:
		return invalidRequest(wrong("body.uid", "must not be null where the path gives the uid"))
	}
	return nil
}

// named gives a conflict of the store the words of its noun; one about an Idempotency-Key keeps its own.
func named(err error, text string) error {
	var e *hook.Error
	if errors.As(err, &e) && e.Kind == hook.KindConflict && e.Field == accountField {
		return conflict("%s: give this one another app_id or another profile", e.Text)
	}
	if errors.As(err, &e) && e.Kind == hook.KindConflict && e.Field != store.ReceiptField {
		return conflict("%s", text)
	}
	return err
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func notNilMap[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}
