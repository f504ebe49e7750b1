package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

// Outgoing is what the API needs of sources that dial out. nil members mean that no source can.
type Outgoing struct {
	// Check says what keeps a source from dialling out: a dialect.Problem about a setting, or an error about the address that is
	// like those of Options.CheckURL. allow are the private networks that it may reach.
	Check func(ctx context.Context, dialectName string, s hook.Settings, allow []string) error
	// Connection tells how a source stands; false = it does not dial out in this process.
	Connection func(hook.SourceID) (hook.Connection, bool)
	// Produce sends a message to a source's platform and waits for the answer. KindConflict = the source does not dial out.
	Produce func(ctx context.Context, s hook.Source, eventType string, content []byte) (hook.Produced, error)
}

// Connection is how a source that dials out stands with its platform.
type Connection struct {
	State   string     `json:"state" enum:"connecting,connected,waiting,stopped" doc:"waiting = no connection is open, and the next try is at nextTry; stopped = the source is disabled, or the server stops"`
	Since   time.Time  `json:"since" doc:"In this state"`
	Open    int        `json:"open" doc:"Connections that are open"`
	Wanted  int        `json:"wanted" doc:"Connections that should be"`
	NextTry *time.Time `json:"nextTry"`

	LastError *ConnectionError `json:"lastError" doc:"Why the last connection ended or could not be opened. It stays after a recovery"`
	Counts    ConnectionCounts `json:"counts" doc:"Since the server started, or the source was changed"`
}

// ConnectionError is why a connection ended, and what to do.
type ConnectionError struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	Mend   string    `json:"mend" doc:"What to do; empty = nothing, it is tried again"`
}

// ConnectionCounts are hook.ConnectionCounts as they are shown.
type ConnectionCounts struct {
	Connects     int64 `json:"connects" doc:"Connections that were opened"`
	Reconnects   int64 `json:"reconnects" doc:"Of them: after one had ended"`
	Failures     int64 `json:"failures" doc:"Tries that opened none"`
	Frames       int64 `json:"frames" doc:"Frames that came in"`
	Ignored      int64 `json:"ignored" doc:"Of them: neither a message nor an answer to one of ours"`
	Acknowledged int64 `json:"acknowledged" doc:"Messages answered with SUCCESS: they are durable"`
	Refused      int64 `json:"refused" doc:"Messages answered with FAIL"`
	Unanswered   int64 `json:"unanswered" doc:"Messages that were not answered"`
	Produced     int64 `json:"produced" doc:"Messages sent to the platform that it took"`
}

// showConnection is null for a source that gets its pushes over HTTP.
func (h *Handler) showConnection(s hook.Source) *Connection {
	if s.Transport != hook.TransportLongConn {
		return nil
	}
	var c hook.Connection
	known := false
	if h.Outgoing.Connection != nil {
		c, known = h.Outgoing.Connection(s.ID)
	}
	if !known {
		c = hook.Connection{State: hook.ConnectionStopped, Since: s.UpdatedAt}
	}
	out := &Connection{
		State: c.State, Since: c.Since.UTC(), Open: c.Open, Wanted: c.Wanted, NextTry: pointer(c.NextTry),
		Counts: ConnectionCounts{
			Connects: c.Counts.Connects, Reconnects: c.Counts.Reconnects, Failures: c.Counts.Failures, Frames: c.Counts.Frames,
			Ignored: c.Counts.Ignored, Acknowledged: c.Counts.Success, Refused: c.Counts.Fail, Unanswered: c.Counts.Unanswered,
			Produced: c.Counts.Produced,
		},
	}
	if out.NextTry != nil {
		*out.NextTry = out.NextTry.UTC()
	}
	if c.Trouble != "" {
		out.LastError = &ConnectionError{At: c.TroubleAt.UTC(), Reason: c.Trouble, Mend: c.Mend}
	}
	return out
}

func showSourceTransport(t hook.Transport) string {
	if t == hook.TransportLongConn {
		return "longconn"
	}
	return "http"
}

// fillSourceTransport notes how a source's pushes come, and judges one that dials out. merged are its settings over its profile's.
func (h *Handler) fillSourceTransport(ctx context.Context, p *problems, s *hook.Source, in SourceFields, merged hook.Settings) error {
	if in.Transport.Set {
		s.Transport = hook.TransportHTTP
		if in.Transport.Value == "longconn" {
			s.Transport = hook.TransportLongConn
		}
	}
	if s.Transport != hook.TransportLongConn {
		return nil
	}
	if h.Outgoing.Check == nil {
		p.add("body.transport", "this server cannot dial out: leave it at http")
		return nil
	}
	app, err := h.Store.Application(ctx, s.App.String())
	if err != nil {
		return err
	}
	err = h.Outgoing.Check(ctx, s.Dialect, merged, app.AllowCIDRs)
	var problem dialect.Problem
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &problem) && problem.Field == "":
		p.add("body.transport", "%s", problem.Text)
	case errors.As(err, &problem):
		p.add("body.settings."+problem.Field, "%s", problem.Text)
	case err != nil:
		p.add("body.settings.longconn_server", "%s", addressProblem(err, actorOf(ctx)))
	}
	return nil
}

// contentIn is a JSON object whose bytes are kept.
type contentIn json.RawMessage

// UnmarshalJSON keeps them.
func (c *contentIn) UnmarshalJSON(b []byte) error {
	*c = append((*c)[:0], b...)
	return nil
}

// Schema says that it is an object.
func (contentIn) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

type produceIn struct {
	EventType string    `json:"eventType" minLength:"1" maxLength:"256" doc:"The name of the message at the platform, msgApi"`
	Payload   contentIn `json:"payload" doc:"A JSON object. It is sent byte for byte"`
}

type produceInput struct {
	SourcePath
	Body produceIn
}

type produceOut struct {
	Status    string  `json:"status" enum:"SUCCESS,FAIL" doc:"What the platform answered"`
	MessageID *string `json:"messageId" doc:"The platform's id of the message"`
	Code      *string `json:"code" doc:"Of a refusal"`
	Error     *string `json:"error" doc:"Of a refusal, in the platform's words"`
}

// produceRoute is part of sources.
func (h *Handler) produceRoute(one string) {
	op := operation("source.produce", http.MethodPost, one+"/produce", "Send a message to the platform over a long connection")
	op.Description = "Only for sources whose transport is longconn. The answer is the platform's. Nothing is stored, so that an Idempotency-Key finds no earlier answer: " +
		"503 means that nothing was sent, and 504 that no answer came and nobody knows whether the platform took the message."
	op.Responses = map[string]*huma.Response{strconv.Itoa(http.StatusGatewayTimeout): h.refusal(http.StatusGatewayTimeout)}
	add(h, op, organisation, h.produce)
}

func (h *Handler) produce(ctx context.Context, in *produceInput) (*output[produceOut], error) {
	s, err := h.source(ctx, &in.SourcePath)
	if err != nil {
		return nil, err
	}
	if h.Outgoing.Produce == nil {
		return nil, conflict("this server cannot dial out")
	}
	answer, err := h.Outgoing.Produce(ctx, s, in.Body.EventType, in.Body.Payload)
	switch {
	case err != nil:
		return nil, err
	case answer.Unanswered:
		return nil, newError(http.StatusGatewayTimeout, "no_answer", "%s; it may have taken the message", answer.Text)
	}
	out := produceOut{Status: "FAIL", MessageID: pointer(answer.MessageID), Code: pointer(answer.Code), Error: pointer(answer.Text)}
	if answer.OK {
		out.Status = "SUCCESS"
	}
	return &output[produceOut]{out}, nil
}
