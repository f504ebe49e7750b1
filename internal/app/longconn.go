package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/longconn"
	"github.com/waypost/waypost/internal/store"
)

// connected are the dialects of endpoints that are reached over long connections.
func connected() map[string]*dialect.Dialect {
	return map[string]*dialect.Dialect{longconn.Dialect.Name: &longconn.Dialect}
}

// checkLongConn judges the settings of such endpoints.
func checkLongConn() map[string]func(dialect.Settings) (string, error) {
	return map[string]func(dialect.Settings) (string, error){longconn.Dialect.Name: func(s dialect.Settings) (string, error) {
		serving, err := alipay.ReadServing(s)
		return serving.AppID, err
	}}
}

// newPlatform makes the server of long connections.
func (a *App) newPlatform() *longconn.Server {
	return longconn.NewServer(longconn.ServerOptions{
		Parties: a.parties, Party: a.party, Accept: a.inlet().Accept, Accepting: a.accepting,
		Changed: a.heard, Unacknowledged: a.hasten, Observe: a.metrics.longConn,
		IDs: a.ids, Now: a.clock.Now, Log: a.o.Log, MaxConnections: a.o.MaxLongConns, Zone: fmt.Sprintf("n%d", a.o.Node),
		Client: func(r *http.Request) string { return a.door.Client(r) },
	})
}

// parties finds the endpoints that an app_id is connected for.
func (a *App) parties(ctx context.Context, appID string) ([]longconn.Party, error) {
	ids, err := a.store.AccountEndpoints(ctx, appID)
	if err != nil {
		return nil, err
	}
	var out []longconn.Party
	for _, id := range ids {
		p, err := a.party(ctx, id)
		switch {
		case err == nil:
			out = append(out, p)
		case hook.KindOf(err) != hook.KindNotFound: // else it went meanwhile
			return nil, err
		}
	}
	return out, nil
}

func (a *App) party(ctx context.Context, ep hook.EndpointID) (longconn.Party, error) {
	t, err := a.store.Target(ctx, ep)
	return longconn.Party{Endpoint: t.Endpoint, Settings: dialect.Settings(t.Settings)}, err
}

// hasten has what was not acknowledged over earlier connections sent again at once.
func (a *App) hasten(ctx context.Context, ep hook.EndpointID, messages []hook.MessageID) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := a.store.Hasten(ctx, ep, messages, a.clock.Steady()); err != nil && hook.KindOf(err) != hook.KindNotFound {
		a.o.Log.Warn("messages that were not acknowledged keep their schedule, for they could not be hastened", "endpoint", ep.String(), "err", err)
	}
}

// listening says whether somebody is there for an endpoint that is reached over connections opened to this server.
func (a *App) listening(ep hook.EndpointID) bool {
	return a.hearers.Listening(ep) || a.platform.Connected(ep)
}

// connections shows an endpoint's long connections.
func (a *App) connections(ep hook.EndpointID) []api.LongConnection {
	peers := a.platform.Peers(ep)
	out := make([]api.LongConnection, len(peers))
	for i, p := range peers {
		out[i] = api.LongConnection{Since: p.Since.UTC(), Remote: p.Remote, InFlight: p.InFlight, LastHeard: p.Heard.UTC(), SDK: p.SDK}
	}
	return out
}

// sendLongConn delivers over an endpoint's long connections. It is an engine.Sender.
func (a *App) sendLongConn(ctx context.Context, t *store.Target, r egress.Request) (egress.Response, error) {
	serving, err := alipay.ReadServing(dialect.Settings(t.Settings))
	if err != nil {
		return egress.Response{}, &egress.Error{Kind: egress.KindProtocol, Text: err.Error()}
	}
	ack, err := a.platform.Deliver(ctx, t.Endpoint.ID, longconn.ReadParcel(r.Header.Get, r.Body, serving.Broadcast))
	switch {
	case err == nil:
		return egress.Response{Status: http.StatusOK, Header: ack.Header(), Body: ack.Text}, nil
	case errors.Is(err, longconn.ErrNobody), errors.Is(err, longconn.ErrBusy), errors.Is(err, context.Canceled):
		// Nothing was sent, or this server stops: the attempt is made again.
		return egress.Response{}, &egress.Error{Kind: egress.KindCanceled, Text: err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return egress.Response{}, &egress.Error{Kind: egress.KindTimeout, Text: "the deadline passed while waiting for the CONSUME_ACK"}
	}
	return egress.Response{}, &egress.Error{Kind: egress.KindReset, Text: err.Error()}
}
