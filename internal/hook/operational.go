package hook

import (
	"encoding/json"
	"time"
)

// The event types of what the operator is told. Names, payloads and occasions are Svix's (its server and its OpenAPI
// document); nothing else is sent to the endpoints of Operational.
const (
	EndpointCreated  = "endpoint.created"
	EndpointUpdated  = "endpoint.updated" // its secret was rotated, too
	EndpointDeleted  = "endpoint.deleted"
	EndpointDisabled = "endpoint.disabled" // by the server, not by a person

	AttemptFailing   = "message.attempt.failing"   // the fourth attempt failed, and more will follow
	AttemptExhausted = "message.attempt.exhausted" // the delivery has failed: none will follow by itself
	AttemptRecovered = "message.attempt.recovered" // delivered after one of the two
)

// OperationalTypes lists the event types of what the operator is told.
func OperationalTypes() []string {
	return []string{
		EndpointCreated, EndpointUpdated, EndpointDeleted, EndpointDisabled, AttemptFailing, AttemptExhausted, AttemptRecovered,
	}
}

// Notice makes the messages that tell the operator what happened. They are for store.Along or Outcome.Events, which write
// them in the commit of what they tell of.
type Notice struct {
	ID     MessageID // of the message that is made
	Now    time.Time
	Due    time.Time // see Accept.Due
	AppUID string    // of the application that it is about, "" when it has none
}

// Endpoint tells that an endpoint was created, updated or deleted.
func (n Notice) Endpoint(eventType string, e *Endpoint) Accept {
	return n.accept(eventType, n.about(e.App, e.ID, e.UID))
}

// Disabled tells that the server has disabled an endpoint that failed since a moment.
func (n Notice) Disabled(e *Endpoint, since time.Time) Accept {
	return n.accept(EndpointDisabled, struct {
		aboutEndpoint
		FailSince string `json:"failSince"`
	}{n.about(e.App, e.ID, e.UID), told(since)})
}

// Attempt tells what the last attempt of a message made of its delivery.
func (n Notice) Attempt(eventType string, m *Message, a *Attempt) Accept {
	return n.accept(eventType, aboutAttempt{
		App: a.App, AppUID: orNull(n.AppUID), Message: a.Message, EventID: orNull(m.EventID), Endpoint: a.Endpoint,
		Last: lastAttempt{ID: a.ID, Status: a.Status, At: told(a.At)},
	})
}

type aboutEndpoint struct {
	App         ApplicationID `json:"appId"`
	AppUID      *string       `json:"appUid"`
	Endpoint    EndpointID    `json:"endpointId"`
	EndpointUID *string       `json:"endpointUid"`
}

type aboutAttempt struct {
	App      ApplicationID `json:"appId"`
	AppUID   *string       `json:"appUid"`
	Message  MessageID     `json:"msgId"`
	EventID  *string       `json:"msgEventId"`
	Endpoint EndpointID    `json:"endpointId"`
	Last     lastAttempt   `json:"lastAttempt"`
}

type lastAttempt struct {
	ID     AttemptID `json:"id"`
	Status int       `json:"responseStatusCode"` // 0 = no answer
	At     string    `json:"timestamp"`
}

func (n Notice) about(app ApplicationID, ep EndpointID, uid string) aboutEndpoint {
	return aboutEndpoint{App: app, AppUID: orNull(n.AppUID), Endpoint: ep, EndpointUID: orNull(uid)}
}

func (n Notice) accept(eventType string, data any) Accept {
	payload, _ := json.Marshal(struct { // texts and numbers only: it never fails
		Type string `json:"type"`
		Data any    `json:"data"`
	}{eventType, data})
	return Accept{Due: n.Due, Message: Message{ID: n.ID, App: Operational, EventType: eventType, Payload: payload, CreatedAt: n.Now}}
}

// told is a moment as the API shows it.
func told(t time.Time) string { return t.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano) }

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
