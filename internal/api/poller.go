package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// A polled endpoint's messages are fetched, oldest first. The place of a reader is the id of the last message that it has:
// ids grow in the order of the commits, so nothing that is accepted later ever stands before it. The plain poll leaves the
// place to the client; a consumer's place is kept here, and given messages are leased to it until it says that it has them.

type pollOut struct {
	Data     []messageOut `json:"data" nullable:"false"`
	Iterator string       `json:"iterator" doc:"The place behind these messages, for the next poll"`
	Done     bool         `json:"done" doc:"There is nothing further for now"`
}

// appendJSON writes the messages with their payloads untouched.
func (p pollOut) appendJSON(b []byte) ([]byte, error) {
	b = append(b, `{"data":[`...)
	for i, m := range p.Data {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = m.appendJSON(b); err != nil {
			return nil, err
		}
	}
	b = append(b, `],"iterator":`...)
	b = strconv.AppendQuote(b, p.Iterator) // an id
	b = append(b, `,"done":`...)
	return append(strconv.AppendBool(b, p.Done), '}'), nil
}

// PollIn are the parameters of every poll.
type PollIn struct {
	Limit    int    `query:"limit" minimum:"1" maximum:"250" default:"50" doc:"How many messages at most"`
	Iterator string `query:"iterator" maxLength:"64" doc:"The iterator of an earlier answer"`
}

type pollInput struct {
	EndpointPath
	PollIn
	EventType eventType `query:"event_type" doc:"Only messages of this type"`
	Channel   channel   `query:"channel" doc:"Only messages of this channel"`
	After     time.Time `query:"after" doc:"Only what is newer. Without it and an iterator: what came since the endpoint was made"`
}

// ConsumerPath is the reader that a path names.
type ConsumerPath struct {
	EndpointPath
	Consumer tag `path:"consumer_id" doc:"Any name of yours; a reader that nobody knows yet begins where the endpoint was made"`
}

type consumerPollInput struct {
	ConsumerPath
	PollIn
	Lease int `query:"lease_seconds" minimum:"1" maximum:"3600" default:"30" doc:"Addition. How long the messages are yours alone"`
}

type consumerCommitInput struct {
	ConsumerPath
	Body struct {
		Iterator string `json:"iterator" minLength:"1" maxLength:"64" doc:"The iterator of the poll that gave the messages, or the id of the last message that you have"`
	}
}

type consumerSeekInput struct {
	ConsumerPath
	Body struct {
		_     struct{}  `json:"-" additionalProperties:"true"`
		After time.Time `json:"after" doc:"The next poll gives what is newer"`
	}
}

type placeOut struct {
	Iterator string `json:"iterator" doc:"The place of the reader: the next poll gives what is behind it"`
}

const (
	pollerPath   = "/app/{app_id}/poller/{endpoint_id}"
	consumerPath = pollerPath + "/consumer/{consumer_id}"
)

func (h *Handler) pollers() {
	within(h, h.lists, operation("message-poller.poll", http.MethodGet, pollerPath, "Fetch the messages of a polled endpoint, oldest first"),
		member, h.poll)
	held := operation("message-poller.consumer-poll", http.MethodGet, consumerPath,
		"Fetch what follows for a reader whose place the server keeps; an iterator confirms what it was given before")
	within(h, h.lists, held, member, h.consumerPoll)
	add(h, operation("message-poller.consumer-commit", http.MethodPost, consumerPath+"/commit", "Say that a reader has what it was given (addition)"),
		member, h.consumerCommit)
	add(h, operation("message-poller.consumer-seek", http.MethodPost, consumerPath+"/seek", "Move a reader to a moment"), member, h.consumerSeek)
}

// polled finds an endpoint that may be polled.
func (h *Handler) polled(ctx context.Context, in *EndpointPath) (hook.Application, hook.Endpoint, error) {
	app, e, err := h.endpoint(ctx, in)
	switch {
	case err != nil:
		return app, e, err
	case e.Transport != hook.TransportPoll:
		return app, e, conflict("this endpoint is not polled: its messages are sent to it. Make one with \"transport\":\"poll\"")
	case e.Disabled:
		return app, e, conflict("the endpoint is disabled: enable it before polling it")
	}
	return app, e, nil
}

func (h *Handler) poll(ctx context.Context, in *pollInput) (*output[pollOut], error) {
	app, e, err := h.polled(ctx, &in.EndpointPath)
	if err != nil {
		return nil, err
	}
	at := beginning(&e)
	switch {
	case in.Iterator != "":
		if at, err = readPlace("query.iterator", in.Iterator); err != nil {
			return nil, err
		}
	case !in.After.IsZero():
		at = h.placeAfter(in.After)
	}
	out, err := h.pollFrom(ctx, app, &e, at, in.Limit, in.EventType, in.Channel)
	return &output[pollOut]{out}, err
}

// pollFrom reads what follows a place and is for the endpoint.
func (h *Handler) pollFrom(
	ctx context.Context, app hook.Application, e *hook.Endpoint, at hook.MessageID, limit int, t eventType, c channel,
) (pollOut, error) {
	f := store.MessageFilter{Channels: e.Channels, Channel: string(c), WithPayload: true}
	switch {
	case t != "":
		f.EventTypes = []string{string(t)}
	case len(e.EventTypes) <= maxListTypes:
		f.EventTypes = e.EventTypes
	}
	out := pollOut{Data: []messageOut{}, Iterator: at.String()}
	list, err := h.Store.Messages(ctx, app.ID, f, store.Page{Limit: limit, After: at.String()})
	if err != nil {
		return out, err
	}
	if err := keepPermitted(ctx, h, &list, func(m *hook.Message) string { return m.EventType }); err != nil {
		return out, err
	}
	for _, m := range list.Items {
		if ok, err := h.isFor(ctx, app, e, &m); err != nil {
			return out, err
		} else if ok {
			out.Data = append(out.Data, showMessage(m, true))
		}
	}
	if list.Last != "" {
		out.Iterator = list.Last
	}
	out.Done = list.Done
	return out, nil
}

// isFor says whether a message is of what a polled endpoint wants and its application may have.
func (h *Handler) isFor(ctx context.Context, app hook.Application, e *hook.Endpoint, m *hook.Message) (bool, error) {
	if ok, _ := e.Selects(m); !ok {
		return false, nil
	}
	return h.permitted(ctx, app.FeatureFlags, m.EventType)
}

// beginning is the place in front of everything that was accepted since the endpoint was made.
func beginning(e *hook.Endpoint) hook.MessageID { return placeBefore(e.CreatedAt) }

// placeBefore is the place in front of everything that was accepted from a moment on, to the millisecond.
func placeBefore(t time.Time) hook.MessageID {
	var at func(time.Time) hook.MessageID = hook.IDAt
	return max(at(t), 2) - 1
}

// placeAfter is the place behind everything that was accepted up to a moment. One that lies ahead is not: a client's clock
// that is fast must not skip what is still to come.
func (h *Handler) placeAfter(t time.Time) hook.MessageID {
	return placeBefore(earlier(t.Truncate(time.Millisecond).Add(time.Millisecond), h.now()))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func readPlace(loc, text string) (hook.MessageID, error) {
	id, err := hook.ParseID[hook.MessageID](text)
	if err != nil {
		return 0, invalidRequest(wrong(loc, "is not an iterator that a poll has given"))
	}
	return id, nil
}

func (h *Handler) consumerPoll(ctx context.Context, in *consumerPollInput) (*output[pollOut], error) {
	app, e, err := h.polled(ctx, &in.EndpointPath)
	if err != nil {
		return nil, err
	}
	var got hook.MessageID
	if in.Iterator != "" {
		if got, err = readPlace("query.iterator", in.Iterator); err != nil {
			return nil, err
		}
	}
	return moveConsumer(ctx, h, &in.ConsumerPath, &e, func(c *hook.Consumer) (out pollOut, err error) {
		at := c.At
		if err := confirm(c, got); err != nil {
			return out, err
		}
		if c.At > at {
			release(c) // who asks on has done with what it was given
		}
		now := h.now()
		if now.Before(c.Until) {
			return out, leaseHeld(c.Until.Sub(now))
		}
		release(c)
		if out, err = h.pollFrom(ctx, app, &e, c.At, in.Limit, "", ""); err != nil {
			return out, err
		}
		last, err := hook.ParseID[hook.MessageID](out.Iterator)
		if err != nil {
			return out, err
		}
		if len(out.Data) == 0 {
			c.At = last // nothing up to there is for this endpoint
		} else {
			c.Leased, c.Until = last, now.Add(time.Duration(in.Lease)*time.Second)
		}
		return out, nil
	})
}

func release(c *hook.Consumer) { c.Leased, c.Until = 0, time.Time{} }

func leaseHeld(rest time.Duration) error {
	e := newError(http.StatusConflict, "lease_held", "the messages that follow are leased to an earlier poll of this reader: confirm them, or wait until the lease has passed")
	e.headers = http.Header{"Retry-After": {strconv.FormatInt(int64((rest+time.Second-1)/time.Second), 10)}}
	return e
}

// confirm notes that a reader has everything up to a place. Saying so twice, or later than others, changes nothing; what was
// never given cannot be confirmed.
func confirm(c *hook.Consumer, got hook.MessageID) error {
	switch {
	case got <= c.At:
	case got > c.Leased:
		return newError(http.StatusConflict, "not_leased", "this reader was not given messages up to there, or was moved since: poll again without an iterator")
	default:
		if c.At = got; got == c.Leased {
			release(c)
		}
	}
	return nil
}

func (h *Handler) consumerCommit(ctx context.Context, in *consumerCommitInput) (*output[placeOut], error) {
	_, e, err := h.polled(ctx, &in.EndpointPath)
	if err != nil {
		return nil, err
	}
	got, err := readPlace("body.iterator", in.Body.Iterator)
	if err != nil {
		return nil, err
	}
	return moveConsumer(ctx, h, &in.ConsumerPath, &e, func(c *hook.Consumer) (placeOut, error) {
		err := confirm(c, got)
		return placeOut{c.At.String()}, err
	})
}

func (h *Handler) consumerSeek(ctx context.Context, in *consumerSeekInput) (*output[placeOut], error) {
	_, e, err := h.polled(ctx, &in.EndpointPath)
	if err != nil {
		return nil, err
	}
	to := h.placeAfter(in.Body.After)
	return moveConsumer(ctx, h, &in.ConsumerPath, &e, func(c *hook.Consumer) (placeOut, error) {
		release(c)
		c.At = to
		return placeOut{to.String()}, nil
	})
}

// moveConsumer reads a reader's place, lets change move it, and keeps it unless another request moved it meanwhile: then it
// is read anew.
func moveConsumer[T any](
	ctx context.Context, h *Handler, in *ConsumerPath, e *hook.Endpoint, change func(*hook.Consumer) (T, error),
) (*output[T], error) {
	name := string(in.Consumer)
	for range 5 {
		before, err := h.Store.Consumer(ctx, e.App, e.ID, name)
		if err != nil {
			return nil, err
		}
		after := before
		after.App, after.Endpoint, after.Name = e.App, e.ID, name
		if after.At == 0 {
			after.At = beginning(e)
		}
		out, err := change(&after)
		if err != nil {
			return nil, err
		}
		if after == before {
			return &output[T]{out}, nil
		}
		if done, err := h.Store.SwapConsumer(answering(ctx, http.StatusOK, out), before, after); done || err != nil {
			return &output[T]{out}, err
		}
	}
	return nil, newError(http.StatusConflict, "lease_held", "other requests move this reader at the same time: try again")
}
