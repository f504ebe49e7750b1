package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// operatorsApp stands for hook.Operational where handlers of endpoints take an application's reference. No path can hold it.
const operatorsApp = ""

// mailbox finds the application of an endpoint.
func (h *Handler) mailbox(ctx context.Context, ref string) (hook.Application, error) {
	if ref == operatorsApp {
		return hook.Application{ID: hook.Operational, AllowCIDRs: h.OperationalAllow}, nil
	}
	return h.app(ctx, ref)
}

// OperationalFields are the members of an operational endpoint that may be missing. They mean what those of EndpointFields do.
type OperationalFields struct {
	UID          optional[uid]               `json:"uid,omitempty" doc:"Your own id of it"`
	Description  optional[string]            `json:"description,omitempty" maxLength:"4096"`
	Disabled     optional[bool]              `json:"disabled,omitempty" doc:"Gets nothing; what is pending is canceled"`
	FilterTypes  optional[[]eventType]       `json:"filterTypes,omitempty" minItems:"1" maxItems:"1000" doc:"Operational event types that it gets; null = all"`
	EventTypes   optional[[]eventType]       `json:"eventTypes,omitempty" minItems:"1" maxItems:"1000" doc:"The name of filterTypes in Svix's libraries from 2.0 on"`
	RateLimit    optional[int]               `json:"rateLimit,omitempty" minimum:"1" maximum:"65535" deprecated:"true" doc:"The older name of throttleRate"`
	ThrottleRate optional[int]               `json:"throttleRate,omitempty" minimum:"1" maximum:"65535" doc:"Attempts a second; null = no limit"`
	Metadata     optional[map[string]string] `json:"metadata,omitempty" doc:"Yours, returned as given; at most 4096 bytes"`
	Secret       optional[string]            `json:"secret,omitempty" maxLength:"512" doc:"The signing secret, as whsec_…; one is made when none is given"`
	Headers      optional[map[string]string] `json:"headers,omitempty" doc:"Sent with every attempt; null = none"`
}

// fields are the same members of any endpoint.
func (in OperationalFields) fields() EndpointFields {
	return EndpointFields{
		UID: in.UID, Description: in.Description, Disabled: in.Disabled, FilterTypes: in.FilterTypes, EventTypes: in.EventTypes,
		RateLimit: in.RateLimit, ThrottleRate: in.ThrottleRate, Metadata: in.Metadata, Secret: in.Secret, Headers: in.Headers,
	}
}

// checkOperational notes event types that the operator is never told of.
func checkOperational(in OperationalFields) error {
	var p problems
	known := hook.OperationalTypes()
	for _, t := range slices.Concat(in.FilterTypes.Value, in.EventTypes.Value) {
		if !slices.Contains(known, string(t)) {
			p.add("body.filterTypes", "%q is no operational event type; there are %s", clip(string(t)), strings.Join(known, ", "))
		}
	}
	return p.err()
}

type operationalIn struct {
	_   struct{} `json:"-" additionalProperties:"true"`
	URL string   `json:"url" minLength:"1" maxLength:"65536" example:"https://example.com/hook"`
	OperationalFields
}

type operationalOut struct {
	ID           string            `json:"id" example:"ep_0123456789abc"`
	UID          *string           `json:"uid"`
	URL          string            `json:"url"`
	Description  string            `json:"description"`
	Disabled     bool              `json:"disabled"`
	FilterTypes  []string          `json:"filterTypes"`
	EventTypes   []string          `json:"eventTypes" doc:"The same as filterTypes"`
	RateLimit    *int              `json:"rateLimit" deprecated:"true"`
	ThrottleRate *int              `json:"throttleRate"`
	Metadata     map[string]string `json:"metadata"`
	CreatedAt    time.Time         `json:"createdAt"`
	UpdatedAt    time.Time         `json:"updatedAt"`

	DisabledReason string     `json:"disabledReason" doc:"Addition. Why it is disabled"`
	FailingSince   *time.Time `json:"failingSince" doc:"Addition. When a message was first given up without a success since"`
}

func (h *Handler) showOperational(e hook.Endpoint) operationalOut {
	all := h.showEndpoint(e)
	return operationalOut{
		ID: all.ID, UID: all.UID, URL: all.URL, Description: all.Description, Disabled: all.Disabled, FilterTypes: all.FilterTypes,
		EventTypes: all.EventTypes, RateLimit: all.RateLimit, ThrottleRate: all.ThrottleRate, Metadata: all.Metadata, CreatedAt: all.CreatedAt, UpdatedAt: all.UpdatedAt,
		DisabledReason: all.DisabledReason, FailingSince: all.FailingSince,
	}
}

// OperationalPath is the operational endpoint that a path names.
type OperationalPath struct {
	Endpoint string `path:"endpoint_id" minLength:"1" maxLength:"256" doc:"Id or uid of the endpoint"`
}

func (in OperationalPath) path() *EndpointPath {
	return &EndpointPath{AppPath{operatorsApp}, in.Endpoint}
}

type operationalListInput struct {
	PageIn
	OrderIn
}

type operationalCreateInput struct{ Body operationalIn }

type operationalUpdateInput struct {
	OperationalPath
	Body operationalIn
}

type operationalRotateInput struct {
	OperationalPath
	Body endpointSecretRotateIn
}

type operationalHeadersInput struct {
	OperationalPath
	Body endpointHeadersIn
}

const operationalRoot = "/operational-webhook/endpoint"

// operationalWebhooks are the routes of the operator's own endpoints, to which it is told what happens to everybody's. They
// are endpoints like all others, of an application that is reached by these routes alone.
func (h *Handler) operationalWebhooks() {
	const one = operationalRoot + "/{endpoint_id}"
	within(h, h.lists, operation("operational-webhook.endpoint.list", http.MethodGet, operationalRoot, "List operational endpoints, newest first"),
		organisation, func(ctx context.Context, in *operationalListInput) (*output[listResponse[operationalOut]], error) {
			list, err := h.Store.Endpoints(ctx, hook.Operational, in.page(in.Order, true))
			return listed(list, err, h.showOperational)
		})
	create := operation("operational-webhook.endpoint.create", http.MethodPost, operationalRoot, "Create an operational endpoint")
	create.DefaultStatus = http.StatusCreated
	add(h, create, organisation, h.createOperational)
	add(h, operation("operational-webhook.endpoint.get", http.MethodGet, one, "Get an operational endpoint"), organisation,
		func(ctx context.Context, in *OperationalPath) (*output[operationalOut], error) {
			_, e, err := h.endpoint(ctx, in.path())
			return &output[operationalOut]{h.showOperational(e)}, err
		})
	add(h, operation("operational-webhook.endpoint.update", http.MethodPut, one, "Replace an operational endpoint"), organisation, h.updateOperational)
	del := operation("operational-webhook.endpoint.delete", http.MethodDelete, one, "Delete an operational endpoint")
	del.DefaultStatus = http.StatusNoContent
	add(h, del, organisation, func(ctx context.Context, in *OperationalPath) (*struct{}, error) {
		return nil, h.deleteEndpoint(ctx, in.path())
	})
	h.operationalSecrets(one)
	h.operationalHeaders(one + "/headers")
}

func (h *Handler) operationalSecrets(one string) {
	add(h, operation("operational-webhook.endpoint.get-secret", http.MethodGet, one+"/secret", "Get the signing secret of an operational endpoint"),
		organisation, func(ctx context.Context, in *OperationalPath) (*output[secretOut], error) {
			return h.endpointSecret(ctx, in.path())
		})
	rotate := operation("operational-webhook.endpoint.rotate-secret", http.MethodPost, one+"/secret/rotate",
		"Replace the signing secret; messages are signed with the old one too for a while")
	rotate.DefaultStatus = http.StatusNoContent
	add(h, rotate, organisation, func(ctx context.Context, in *operationalRotateInput) (*struct{}, error) {
		return nil, h.rotateSecret(ctx, in.path(), in.Body, h.rotated)
	})
}

func (h *Handler) operationalHeaders(path string) {
	add(h, operation("operational-webhook.endpoint.get-headers", http.MethodGet, path, "Get the own headers of an operational endpoint"),
		organisation, func(ctx context.Context, in *OperationalPath) (*output[headersOut], error) {
			_, e, err := h.endpoint(ctx, in.path())
			return &output[headersOut]{showHeaders(e.Headers)}, err
		})
	put := operation("operational-webhook.endpoint.update-headers", http.MethodPut, path, "Replace the own headers of an operational endpoint")
	put.DefaultStatus = http.StatusNoContent
	add(h, put, organisation, func(ctx context.Context, in *operationalHeadersInput) (*struct{}, error) {
		return nil, h.putHeaders(ctx, in.path(), in.Body.Headers)
	})
}

func (h *Handler) createOperational(ctx context.Context, in *operationalCreateInput) (*output[operationalOut], error) {
	if err := checkOperational(in.Body.OperationalFields); err != nil {
		return nil, err
	}
	out, err := makeEndpoint(ctx, h, operatorsApp, endpointEdit{url: &in.Body.URL, in: in.Body.fields()}, h.showOperational)
	return &output[operationalOut]{out}, err
}

func (h *Handler) updateOperational(ctx context.Context, in *operationalUpdateInput) (*output[operationalOut], error) {
	if err := checkOperational(in.Body.OperationalFields); err != nil {
		return nil, err
	}
	e, err := h.changeEndpoint(ctx, in.path(), endpointEdit{url: &in.Body.URL, in: in.Body.fields(), replace: true})
	if err != nil {
		return nil, err
	}
	return &output[operationalOut]{h.showOperational(e)}, nil
}
