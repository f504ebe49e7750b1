package app

import (
	"context"
	"errors"

	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// heard wakes an endpoint for which somebody listens now, or holds one for which nobody does any more.
func (a *App) heard(ep hook.EndpointID) { a.engine.Changed(store.Change{Config: true, Endpoint: ep}) }

// sendToListener delivers to whoever listens for an endpoint. It is an engine.Sender.
func (a *App) sendToListener(ctx context.Context, t *store.Target, r egress.Request) (egress.Response, error) {
	answer, err := a.hearers.Deliver(ctx, t.Endpoint.ID, api.ListenRequest{Method: r.Method, Query: r.Query, Header: r.Header, Body: r.Body})
	var far *api.ListenerFailure
	switch {
	case err == nil:
		return egress.Response{Status: answer.Status, Header: answer.Header, Body: answer.Body, Truncated: answer.Truncated}, nil
	case errors.Is(err, api.ErrNobodyListens), errors.Is(err, context.Canceled):
		// Nothing was sent, or this server stops: the attempt is made again.
		return egress.Response{}, &egress.Error{Kind: egress.KindCanceled, Text: err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return egress.Response{}, &egress.Error{Kind: egress.KindTimeout, Text: "the deadline passed while waiting for the listener's answer"}
	case errors.As(err, &far):
		return egress.Response{}, &egress.Error{Kind: egress.KindConnect, Text: far.Error()}
	}
	return egress.Response{}, &egress.Error{Kind: egress.KindReset, Text: err.Error()}
}

// What a listener on the other side needs to know: see package api.
const (
	ListenProtocol  = api.ListenProtocol
	ListenPingEvery = api.PingEvery
	FrameRequest    = api.FrameRequest
	FramePing       = api.FramePing
	FrameBye        = api.FrameBye
	FrameAnswer     = api.FrameAnswer
	FrameFailure    = api.FrameFailure
	FramePong       = api.FramePong
)

// ListenFrame is what goes over the connection of a listener.
type ListenFrame = api.ListenFrame
