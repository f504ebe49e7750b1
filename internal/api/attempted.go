package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// Svix's numbers for how a message or attempt stands. A delivery has exactly one of them.
const (
	statusSuccess  = 0 // delivered
	statusPending  = 1 // waits for its first attempt
	statusFail     = 2 // given up
	statusSending  = 3 // an attempt failed, another will follow
	statusCanceled = 4 // withdrawn
)

// statusTexts are the statuses by their numbers.
var statusTexts = [...]string{"success", "pending", "fail", "sending", "canceled"}

// ExpandedIn says whether the client knows the status canceled.
type ExpandedIn struct {
	Expanded bool `query:"expanded_statuses" doc:"Whether the status 4 (canceled) is known to the client; without it what was canceled counts as failed (2)"`
}

// standing is how a delivery stands. Older client libraries refuse an answer with a number that they do not know, so
// canceled is told to those that ask for it only.
func standing(d hook.Delivery, expanded bool) int {
	switch {
	case d.State == hook.Delivered:
		return statusSuccess
	case d.State == hook.Pending && d.Attempts == 0:
		return statusPending
	case d.State == hook.Pending:
		return statusSending
	case d.State == hook.Canceled && expanded:
		return statusCanceled
	}
	return statusFail
}

// statesOf are the states that may show as a status.
func statesOf(status int, expanded bool) []hook.State {
	switch status {
	case statusSuccess:
		return []hook.State{hook.Delivered}
	case statusPending, statusSending:
		return []hook.State{hook.Pending}
	case statusCanceled:
		return []hook.State{hook.Canceled}
	}
	if expanded {
		return []hook.State{hook.Failed}
	}
	return []hook.State{hook.Failed, hook.Canceled}
}

// StandingOut is how a delivery stands, as answers show it.
type StandingOut struct {
	Status      int        `json:"status" enum:"0,1,2,3,4" doc:"0 success, 1 pending: no attempt yet, 2 failed, 3 sending: an attempt failed and another follows, 4 canceled"`
	StatusText  string     `json:"statusText" enum:"success,pending,fail,sending,canceled"`
	NextAttempt *time.Time `json:"nextAttempt" doc:"When the next attempt is due; null = none"`
}

func showStanding(d hook.Delivery, expanded bool) StandingOut {
	status := standing(d, expanded)
	return StandingOut{Status: status, StatusText: statusTexts[status], NextAttempt: moment(d.NextAt)}
}

type endpointMessageOut struct {
	MessageFields
	StandingOut
	Payload rawObject `json:"payload,omitempty" required:"true" doc:"As of a message"`
}

// appendJSON writes the message with its payload untouched.
func (m endpointMessageOut) appendJSON(b []byte) ([]byte, error) {
	payload := m.Payload
	m.Payload = nil // left out, and added as it is
	return appendObject(b, m, "payload", payload)
}

type messageEndpointOut struct {
	ID           string    `json:"id" example:"ep_0123456789abc"`
	UID          *string   `json:"uid"`
	URL          string    `json:"url"`
	Description  string    `json:"description"`
	Version      int       `json:"version" deprecated:"true"`
	Disabled     bool      `json:"disabled"`
	FilterTypes  []string  `json:"filterTypes"`
	EventTypes   []string  `json:"eventTypes" doc:"The same as filterTypes"`
	Channels     []string  `json:"channels"`
	RateLimit    *int      `json:"rateLimit" deprecated:"true"`
	ThrottleRate *int      `json:"throttleRate"`
	CreatedAt    time.Time `json:"createdAt"`
	UpdatedAt    time.Time `json:"updatedAt"`
	StandingOut
	Attempts int `json:"attempts" doc:"Addition. Scheduled attempts made so far"`
}

type deliveryOut struct {
	EndpointID  string     `json:"endpointId"`
	State       string     `json:"state" enum:"pending,delivered,failed,canceled"`
	Status      int        `json:"status" enum:"0,1,2,3,4" doc:"The state in Svix's numbers: 0 success, 1 pending, 2 failed, 3 sending, 4 canceled"`
	Attempts    int        `json:"attempts" doc:"Scheduled attempts made so far"`
	NextAttempt *time.Time `json:"nextAttempt"`
}

type attemptedMessagesInput struct {
	EndpointPath
	PageIn
	OrderIn
	ContentIn
	TimeIn
	EventTypesIn
	LabelsIn
	ExpandedIn
	Status param[int] `query:"status" minimum:"0" maximum:"4" doc:"Only messages that stand so at the endpoint"`
}

type destinationsInput struct {
	MessagePath
	PageIn
	OrderIn
	ExpandedIn
}

// attempted mounts the lists that say where messages stand.
func (h *Handler) attempted() {
	within(h, h.lists, operation("message-attempt.list-attempted-messages", http.MethodGet, "/app/{app_id}/endpoint/{endpoint_id}/msg",
		"List the messages of an endpoint and how they stand there, newest first"), member, h.attemptedMessages)
	within(h, h.lists, operation("message-attempt.list-attempted-destinations", http.MethodGet, "/app/{app_id}/msg/{msg_id}/endpoint",
		"List the endpoints of a message and how it stands there, newest endpoint first"), member, h.attemptedDestinations)
	add(h, operation("message.deliveries", http.MethodGet, "/app/{app_id}/msg/{msg_id}/delivery", "Where a message stands, by endpoint (addition)"),
		member, h.listDeliveries)
}

func (h *Handler) attemptedMessages(ctx context.Context, in *attemptedMessagesInput) (*output[listResponse[endpointMessageOut]], error) {
	_, e, err := h.endpoint(ctx, &in.EndpointPath)
	if err != nil {
		return nil, err
	}
	f := store.AttemptedFilter{
		EventTypes: in.list(), Channel: string(in.Channel), Tag: string(in.Tag), Before: in.Before, After: in.After, WithPayload: in.WithContent,
	}
	if in.Status.Set {
		f.States = statesOf(in.Status.Value, in.Expanded)
	}
	list, err := h.Store.Attempted(ctx, e.App, e.ID, f, in.page(in.Order, true))
	if err == nil {
		err = keepPermitted(ctx, h, &list, func(a *store.Attempted) string { return a.Message.EventType })
	}
	if in.Status.Set {
		// The store knows no difference between pending and sending. Its cursors stay as they are: the page is shorter.
		list.Items = slices.DeleteFunc(list.Items, func(a store.Attempted) bool { return standing(a.Delivery, in.Expanded) != in.Status.Value })
	}
	return listed(list, err, func(a store.Attempted) endpointMessageOut {
		return endpointMessageOut{showFields(a.Message), showStanding(a.Delivery, in.Expanded), showPayload(a.Message, in.WithContent)}
	})
}

func (h *Handler) attemptedDestinations(ctx context.Context, in *destinationsInput) (*output[listResponse[messageEndpointOut]], error) {
	m, err := h.message(ctx, in.MessagePath)
	if err != nil {
		return nil, err
	}
	list, err := h.Store.Destinations(ctx, m.App, m.ID, in.page(in.Order, true))
	if err != nil {
		return listed[hook.Delivery, messageEndpointOut](list, err, nil)
	}
	known := map[hook.EndpointID]hook.Endpoint{}
	for _, d := range list.Items {
		e, err := h.Store.Endpoint(ctx, m.App, d.Endpoint.String())
		if err == nil {
			known[d.Endpoint] = e
		} else if hook.KindOf(err) != hook.KindNotFound {
			return nil, err
		}
	}
	// What went to an endpoint that was deleted since has no address to show.
	list.Items = slices.DeleteFunc(list.Items, func(d hook.Delivery) bool { _, ok := known[d.Endpoint]; return !ok })
	return listed(list, nil, func(d hook.Delivery) messageEndpointOut { return h.showDestination(known[d.Endpoint], d, in.Expanded) })
}

func (h *Handler) showDestination(e hook.Endpoint, d hook.Delivery, expanded bool) messageEndpointOut {
	out := h.showEndpoint(e)
	return messageEndpointOut{
		ID: out.ID, UID: out.UID, URL: out.URL, Description: out.Description, Version: out.Version, Disabled: out.Disabled,
		FilterTypes: out.FilterTypes, EventTypes: out.EventTypes, Channels: out.Channels, RateLimit: out.RateLimit, ThrottleRate: out.ThrottleRate,
		CreatedAt: out.CreatedAt, UpdatedAt: out.UpdatedAt, StandingOut: showStanding(d, expanded), Attempts: d.Attempts,
	}
}

func (h *Handler) listDeliveries(ctx context.Context, in *MessagePath) (*output[listResponse[deliveryOut]], error) {
	m, err := h.message(ctx, *in)
	if err != nil {
		return nil, err
	}
	all, err := h.Store.Deliveries(ctx, m.App, m.ID)
	return listed(store.List[hook.Delivery]{Items: all, Done: true}, err, func(d hook.Delivery) deliveryOut {
		return deliveryOut{EndpointID: d.Endpoint.String(), State: d.State.String(), Status: standing(d, true), Attempts: d.Attempts,
			NextAttempt: moment(d.NextAt)}
	})
}
