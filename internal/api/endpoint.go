package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// EndpointFields are the members of an endpoint that may be missing.
type EndpointFields struct {
	UID          optional[uid]               `json:"uid,omitempty" doc:"Your own id of it, unique within the application"`
	Description  optional[string]            `json:"description,omitempty" maxLength:"4096"`
	Version      optional[int]               `json:"version,omitempty" minimum:"1" maximum:"65535" deprecated:"true" doc:"Yours, returned as given; has no meaning"`
	Disabled     optional[bool]              `json:"disabled,omitempty" doc:"Gets nothing; what is pending is canceled"`
	FilterTypes  optional[[]eventType]       `json:"filterTypes,omitempty" minItems:"1" maxItems:"1000" doc:"Event types that it gets; null = all"`
	EventTypes   optional[[]eventType]       `json:"eventTypes,omitempty" minItems:"1" maxItems:"1000" doc:"The name of filterTypes in Svix's libraries from 2.0 on"`
	Channels     optional[[]channel]         `json:"channels,omitempty" minItems:"1" maxItems:"10" doc:"Channels that it listens to; null = all"`
	RateLimit    optional[int]               `json:"rateLimit,omitempty" minimum:"1" maximum:"65535" deprecated:"true" doc:"The older name of throttleRate"`
	ThrottleRate optional[int]               `json:"throttleRate,omitempty" minimum:"1" maximum:"65535" doc:"Attempts a second; null = no limit"`
	Metadata     optional[map[string]string] `json:"metadata,omitempty" doc:"Yours, returned as given; at most 4096 bytes"`
	Secret       optional[string]            `json:"secret,omitempty" maxLength:"512" doc:"The signing secret, as whsec_…; of the standard dialect only, where one is made when none is given. The same as settings.secret"`
	Headers      optional[map[string]string] `json:"headers,omitempty" doc:"Sent with every attempt; null = none"`

	Dialect         optional[string]     `json:"dialect,omitempty" maxLength:"64" doc:"Addition. The protocol in which it is sent to; default standard, or the profile's"`
	Profile         optional[string]     `json:"profile,omitempty" maxLength:"256" doc:"Addition. Id or uid of the profile whose settings it shares; the organisation's token only"`
	Settings        optional[settingsIn] `json:"settings,omitempty"`
	RetrySchedule   optional[[]float64]  `json:"retrySchedule,omitempty" maxItems:"100" minimum:"0" maximum:"2592000" doc:"Addition. Seconds to wait between attempts, fractions allowed; [] = one attempt only, null = the dialect's"`
	TimeoutMs       optional[int]        `json:"timeoutMs,omitempty" minimum:"1" maximum:"600000" doc:"Addition. Milliseconds for one attempt; null = the dialect's. An application's token may set 60000 at most"`
	Format          optional[string]     `json:"format,omitempty" enum:"payload,original,cloudevents" doc:"Addition. How a message is laid out, in the standard dialect; default payload"`
	RequireVerified optional[bool]       `json:"requireVerified,omitempty" doc:"Addition. Deliveries wait until it has been verified"`
	Paused          optional[bool]       `json:"paused,omitempty" doc:"Addition. Deliveries wait until it is no longer paused"`
	Concurrency     optional[int]        `json:"concurrency,omitempty" minimum:"1" maximum:"1000" doc:"Addition. Attempts at once; null = the server's default"`
	Transport       optional[string]     `json:"transport,omitempty" enum:"http,poll,listen,longconn" doc:"Addition. poll = nothing is sent to it, its messages are fetched from the poller, and url may be left out; listen = its messages go to whoever listens with waypost listen, and url is left out; longconn = its messages go over the long connections that its application opens to this server, of the dialect alipay only, and url is left out; default http"`
}

type endpointIn struct {
	_   struct{} `json:"-" additionalProperties:"true"`
	URL string   `json:"url,omitempty" minLength:"1" maxLength:"65536" example:"https://example.com/hook" doc:"Needed unless transport is poll. A user and password in it become the header authorization, and are not shown"`
	EndpointFields
}

type endpointPatch struct {
	_   struct{}         `json:"-" additionalProperties:"true"`
	URL optional[string] `json:"url,omitempty" minLength:"1" maxLength:"65536"`
	EndpointFields
}

type verificationOut struct {
	State  string     `json:"state" enum:"unverified,verified,failed"`
	At     *time.Time `json:"at" doc:"When it was last tried"`
	Reason string     `json:"reason" doc:"What came of it, in one sentence"`
}

type endpointOut struct {
	ID           string            `json:"id" example:"ep_0123456789abc"`
	UID          *string           `json:"uid"`
	URL          string            `json:"url"`
	Description  string            `json:"description"`
	Version      int               `json:"version" deprecated:"true"`
	Disabled     bool              `json:"disabled"`
	FilterTypes  []string          `json:"filterTypes"`
	EventTypes   []string          `json:"eventTypes" doc:"The same as filterTypes"`
	Channels     []string          `json:"channels"`
	RateLimit    *int              `json:"rateLimit" deprecated:"true"`
	ThrottleRate *int              `json:"throttleRate"`
	Metadata     map[string]string `json:"metadata"`
	CreatedAt    time.Time         `json:"createdAt"`
	UpdatedAt    time.Time         `json:"updatedAt"`

	Dialect         string           `json:"dialect" doc:"Addition"`
	Profile         *string          `json:"profile" doc:"Addition. Id of the profile"`
	Settings        settingsOut      `json:"settings"`
	RetrySchedule   []float64        `json:"retrySchedule" doc:"Addition. null = the dialect's"`
	TimeoutMs       *int             `json:"timeoutMs" doc:"Addition. null = the dialect's"`
	Format          string           `json:"format" enum:"payload,original,cloudevents" doc:"Addition"`
	Verification    verificationOut  `json:"verification" doc:"Addition. The last run of its handshake"`
	RequireVerified bool             `json:"requireVerified" doc:"Addition"`
	Paused          bool             `json:"paused" doc:"Addition"`
	Concurrency     *int             `json:"concurrency" doc:"Addition"`
	Transport       string           `json:"transport" enum:"http,poll,listen,longconn" doc:"Addition"`
	Connections     []LongConnection `json:"connections" doc:"Addition. Of an endpoint whose transport is longconn: the connections that are open now, oldest first; else null"`
	DisabledReason  string           `json:"disabledReason" doc:"Addition. Why it is disabled"`
	FailingSince    *time.Time       `json:"failingSince" doc:"Addition. When a message was first given up without a success since"`
	PublicOnly      bool             `json:"publicOnly" doc:"Addition. Made or moved by the application itself: its allowCidrs do not hold for it"`
	Managed         bool             `json:"managed" doc:"Addition. Declared in the configuration file"`
}

func (h *Handler) showEndpoint(e hook.Endpoint) endpointOut {
	out := endpointOut{
		ID: e.ID.String(), UID: pointer(e.UID), URL: e.URL, Description: e.Description, Version: max(e.Version, 1), Disabled: e.Disabled,
		FilterTypes: e.EventTypes, Channels: e.Channels, RateLimit: pointer(e.ThrottleRate), ThrottleRate: pointer(e.ThrottleRate),
		Metadata: notNilMap(e.Metadata), CreatedAt: e.CreatedAt.UTC(), UpdatedAt: e.UpdatedAt.UTC(),
		Dialect: e.Dialect, Profile: pointer(e.Profile.String()), Settings: h.showSettings(e.Dialect, e.Settings),
		RetrySchedule: seconds(e.Schedule), TimeoutMs: pointer(int(e.Timeout.Milliseconds())), Format: string(e.Format),
		Verification:    verificationOut{State: string(e.Verification.State), At: pointer(e.Verification.At), Reason: e.Verification.Reason},
		RequireVerified: e.RequireVerified, Paused: e.Paused, Concurrency: pointer(e.Concurrency), Transport: showTransport(e.Transport),
		DisabledReason: e.DisabledReason, FailingSince: pointer(e.FailingSince), PublicOnly: e.PublicOnly, Managed: e.Managed,
	}
	if out.Verification.State == "" {
		out.Verification.State = string(hook.VerificationNone)
	}
	if e.Transport == hook.TransportLongConn {
		out.Connections = h.longConnections(e.ID)
	}
	if len(out.FilterTypes) == 0 {
		out.FilterTypes = nil
	}
	out.EventTypes = out.FilterTypes
	if len(out.Channels) == 0 {
		out.Channels = nil
	}
	return out
}

// seconds shows waits; nil stays nil.
func seconds(waits []time.Duration) []float64 {
	if waits == nil {
		return nil
	}
	out := make([]float64, len(waits))
	for i, w := range waits {
		out[i] = w.Seconds()
	}
	return out
}

// The names of the transports in the API.
const (
	transportHTTP   = "http"
	transportPoll   = "poll"
	transportListen = "listen"
	transportLong   = "longconn"
)

func showTransport(t hook.Transport) string {
	switch t {
	case hook.TransportPoll:
		return transportPoll
	case hook.TransportListen:
		return transportListen
	case hook.TransportLongConn:
		return transportLong
	}
	return transportHTTP
}

// EndpointPath is the endpoint that a path names.
type EndpointPath struct {
	AppPath
	Endpoint string `path:"endpoint_id" minLength:"1" maxLength:"256" doc:"Id or uid of the endpoint"`
}

type endpointCreateInput struct {
	AppPath
	Body endpointIn
}

type endpointListInput struct {
	AppPath
	PageIn
	OrderIn
}

type endpointUpdateInput struct {
	EndpointPath
	Body endpointIn
}

type endpointPatchInput struct {
	EndpointPath
	Body endpointPatch
}

const endpointExists = "an endpoint with this uid exists already in the application"

var errNoEndpoint error = notFound("endpoint")

func (h *Handler) endpoints() {
	create := operation("endpoint.create", http.MethodPost, "/app/{app_id}/endpoint", "Create an endpoint")
	create.DefaultStatus = http.StatusCreated
	add(h, create, member, h.createEndpoint)
	within(h, h.lists, operation("endpoint.list", http.MethodGet, "/app/{app_id}/endpoint", "List endpoints, newest first"), member, h.listEndpoints)
	add(h, operation("endpoint.get", http.MethodGet, "/app/{app_id}/endpoint/{endpoint_id}", "Get an endpoint"), member,
		func(ctx context.Context, in *EndpointPath) (*output[endpointOut], error) {
			_, e, err := h.endpoint(ctx, in)
			return &output[endpointOut]{h.showEndpoint(e)}, err
		})
	update := operation("endpoint.update", http.MethodPut, "/app/{app_id}/endpoint/{endpoint_id}",
		"Replace an endpoint, or create it under this uid")
	update.Description = "Members of Svix's that are missing get their defaults; uid, secret, headers and the additions stay as they are."
	update.Responses = created[endpointOut](h)
	add(h, update, member, h.updateEndpoint)
	add(h, operation("endpoint.patch", http.MethodPatch, "/app/{app_id}/endpoint/{endpoint_id}", "Change members of an endpoint"), member, h.patchEndpoint)
	del := operation("endpoint.delete", http.MethodDelete, "/app/{app_id}/endpoint/{endpoint_id}", "Delete an endpoint and cancel what is pending for it")
	del.DefaultStatus = http.StatusNoContent
	add(h, del, member, func(ctx context.Context, in *EndpointPath) (*struct{}, error) {
		return nil, h.deleteEndpoint(ctx, in)
	})
	add(h, operation("endpoint.get-secret", http.MethodGet, "/app/{app_id}/endpoint/{endpoint_id}/secret", "Get the signing secret of a standard endpoint"),
		member, h.endpointSecret)
	within(h, h.handshakes, operation("endpoint.verify", http.MethodPost, "/app/{app_id}/endpoint/{endpoint_id}/verify",
		"Run the handshake of the endpoint's dialect, for 10 s at most (addition)"), member, h.verifyEndpoint)
}

// endpoint finds an endpoint and its application.
func (h *Handler) endpoint(ctx context.Context, in *EndpointPath) (hook.Application, hook.Endpoint, error) {
	app, err := h.mailbox(ctx, in.App)
	if err != nil {
		return app, hook.Endpoint{}, err
	}
	e, err := h.Store.Endpoint(ctx, app.ID, in.Endpoint)
	if hook.KindOf(err) == hook.KindNotFound {
		err = errNoEndpoint
	}
	return app, e, err
}

func (h *Handler) listEndpoints(ctx context.Context, in *endpointListInput) (*output[listResponse[endpointOut]], error) {
	app, err := h.app(ctx, in.App)
	if err != nil {
		return nil, err
	}
	list, err := h.Store.Endpoints(ctx, app.ID, in.page(in.Order, true))
	return listed(list, err, h.showEndpoint)
}

func (h *Handler) newEndpoint(app hook.ApplicationID) hook.Endpoint {
	now := h.now()
	return hook.Endpoint{
		ID: hook.NewID[hook.EndpointID](h.IDs, now), App: app, CreatedAt: now, UpdatedAt: now,
		Settings: hook.Settings{}, Format: hook.FormatPayload, Verification: hook.Verification{State: hook.VerificationNone},
	}
}

func (h *Handler) createEndpoint(ctx context.Context, in *endpointCreateInput) (*output[endpointOut], error) {
	out, err := makeEndpoint(ctx, h, in.App, endpointEdit{url: &in.Body.URL, in: in.Body.EndpointFields}, h.showEndpoint)
	return &output[endpointOut]{out}, err
}

// makeEndpoint creates an endpoint as a request has it. show makes the answer of it.
func makeEndpoint[T any](ctx context.Context, h *Handler, ref string, change endpointEdit, show func(hook.Endpoint) T) (T, error) {
	var none T
	app, err := h.mailbox(ctx, ref)
	if err != nil {
		return none, err
	}
	e := h.newEndpoint(app.ID)
	if err := h.edit(ctx, app, &e, change); err != nil {
		return none, err
	}
	out := show(e)
	ctx = answering(h.telling(ctx, hook.EndpointCreated, app, &e), http.StatusCreated, out)
	if err := h.Store.CreateEndpoint(ctx, e); err != nil {
		return none, named(err, endpointExists)
	}
	return out, nil
}

func (h *Handler) deleteEndpoint(ctx context.Context, path *EndpointPath) error {
	app, e, err := h.endpoint(ctx, path)
	if err != nil {
		return err
	}
	return h.Store.DeleteEndpoint(h.telling(ctx, hook.EndpointDeleted, app, &e), app.ID, e.ID, h.now())
}

// updateEndpoint replaces an endpoint. A uid that names none yet makes one, unless another request makes it meanwhile.
func (h *Handler) updateEndpoint(ctx context.Context, in *endpointUpdateInput) (*made[endpointOut], error) {
	change := endpointEdit{url: &in.Body.URL, in: in.Body.EndpointFields, replace: true}
	fresh := endpointEdit{url: &in.Body.URL, in: in.Body.EndpointFields}
	fresh.in.UID = optional[uid]{Set: true, Value: uid(in.Endpoint)}
	for first := true; ; first = false {
		e, err := h.changeEndpoint(ctx, &in.EndpointPath, change)
		if err == nil {
			return &made[endpointOut]{http.StatusOK, h.showEndpoint(e)}, nil
		}
		if !errors.Is(err, errNoEndpoint) {
			return nil, err
		}
		if err := mayBecome(in.Endpoint, in.Body.UID, "endpoint"); err != nil {
			return nil, err
		}
		out, err := makeEndpoint(ctx, h, in.App, fresh, h.showEndpoint)
		if !first || !isConflict(err) {
			return &made[endpointOut]{http.StatusCreated, out}, err
		}
	}
}

func isConflict(err error) bool {
	var e *apiError
	return errors.As(err, &e) && e.status == http.StatusConflict
}

func (h *Handler) patchEndpoint(ctx context.Context, in *endpointPatchInput) (*output[endpointOut], error) {
	change := endpointEdit{in: in.Body.EndpointFields}
	if in.Body.URL.Set {
		change.url = &in.Body.URL.Value // null reads as none, which an endpoint that is not polled refuses
	}
	e, err := h.changeEndpoint(ctx, &in.EndpointPath, change)
	if err != nil {
		return nil, err
	}
	return &output[endpointOut]{h.showEndpoint(e)}, nil
}

func (h *Handler) changeEndpoint(ctx context.Context, path *EndpointPath, change endpointEdit) (hook.Endpoint, error) {
	return h.rewrite(ctx, path, h.updated, func(app hook.Application, e *hook.Endpoint) error { return h.edit(ctx, app, e, change) })
}

// editWait is how long a change waits for earlier ones of the same endpoint.
const editWait = 10 * time.Second

// carry adds to a context what the write of an endpoint carries along: see store.With.
type carry func(ctx context.Context, app hook.Application, before, after *hook.Endpoint) context.Context

// rewrite reads, changes and writes an endpoint. Changes of one endpoint wait for each other, but a change may ask the network
// about an address, which is no work to do under a lock that holds up others, and the engine disables endpoints without asking
// for any: so nothing is written when the endpoint was changed meanwhile, and the change made anew. change leaves lists and maps
// of the endpoint alone and puts others in their place.
func (h *Handler) rewrite(
	ctx context.Context, path *EndpointPath, along carry, change func(hook.Application, *hook.Endpoint) error,
) (hook.Endpoint, error) {
	leave, err := h.waitForEdit(ctx, path)
	if err != nil {
		return hook.Endpoint{}, err
	}
	defer leave()
	for range 5 {
		app, before, err := h.endpoint(ctx, path)
		if err != nil {
			return hook.Endpoint{}, err
		}
		e := before
		if err := change(app, &e); err != nil {
			return hook.Endpoint{}, err
		}
		if done, err := h.Store.SwapEndpoint(along(ctx, app, &before, &e), before, e); done || err != nil {
			return e, named(err, endpointExists)
		}
	}
	return hook.Endpoint{}, conflict("the endpoint was changed by somebody else at the same time: try again")
}

// waitForEdit lets one change at a time through for each endpoint. leave must be called when it is done.
func (h *Handler) waitForEdit(ctx context.Context, path *EndpointPath) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, editWait)
	defer cancel()
	leave, err = h.edits.enter(ctx, sha256.Sum256(fmt.Appendf(nil, "%q %q", path.App, path.Endpoint)))
	if err != nil {
		return nil, unavailable("other changes of this endpoint are still under way")
	}
	return leave, nil
}

// updated is the carry that tells the operator of a change. A configuration file is applied at each start, and tells only of
// what it changes.
func (h *Handler) updated(ctx context.Context, app hook.Application, before, after *hook.Endpoint) context.Context {
	if actorOf(ctx).declaring && same(*before, *after) {
		return ctx
	}
	return h.telling(ctx, hook.EndpointUpdated, app, after)
}

// same says whether two states of an endpoint differ in nothing but the moment of the last change.
func same(a, b hook.Endpoint) bool {
	a.UpdatedAt = b.UpdatedAt
	return reflect.DeepEqual(a, b)
}

// telling returns a context under which the next write tells the operator what it does to an endpoint. The operator's own
// endpoints are not told of.
func (h *Handler) telling(ctx context.Context, event string, app hook.Application, e *hook.Endpoint) context.Context {
	if app.ID == hook.Operational {
		return ctx
	}
	now := h.now()
	notice := hook.Notice{ID: hook.NewID[hook.MessageID](h.IDs, now), Now: now, Due: h.Steady(), AppUID: app.UID}
	return store.With(ctx, store.Along{Events: []hook.Accept{notice.Endpoint(event, e)}})
}
