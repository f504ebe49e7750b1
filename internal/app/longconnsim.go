package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/longconn"
	"github.com/waypost/waypost/internal/simulate"
)

// LongConnDialect is Alipay's protocol as it is spoken over a long connection.
func LongConnDialect() *dialect.Dialect { return &longconn.Dialect }

// LongConnPlatform is a platform for one application, without a store: a program that keeps a long connection is tried with it.
type LongConnPlatform struct {
	server *longconn.Server
	http   http.Server
	l      net.Listener
	party  longconn.Party
	served chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed when a connection comes or goes
}

// NewLongConnPlatform listens on an address, for the application of the settings.
func NewLongConnPlatform(addr string, s dialect.Settings, log *slog.Logger) (*LongConnPlatform, error) {
	serving, err := alipay.ReadServing(s)
	if err != nil {
		return nil, err
	}
	p := &LongConnPlatform{changed: make(chan struct{}), served: make(chan struct{}), party: longconn.Party{Settings: s}}
	ids := hook.NewGenerator(0, 0)
	p.party.Endpoint = hook.Endpoint{ID: hook.NewID[hook.EndpointID](ids, time.Now()), Transport: hook.TransportLongConn, Account: serving.AppID}
	p.server = longconn.NewServer(longconn.ServerOptions{
		Parties: func(_ context.Context, appID string) ([]longconn.Party, error) {
			if appID != serving.AppID {
				return nil, nil
			}
			return []longconn.Party{p.party}, nil
		},
		Party:   func(context.Context, hook.EndpointID) (longconn.Party, error) { return p.party, nil },
		Changed: func(hook.EndpointID) { p.wake() },
		Accept:  taken, IDs: ids, Log: log,
	})
	if p.l, err = net.Listen("tcp", addr); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for the client: %w", err), p.server.Close(context.Background()))
	}
	mux := http.NewServeMux()
	p.server.Mount(mux)
	p.http = http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go func() {
		defer close(p.served)
		_ = p.http.Serve(p.l) // until Close
	}()
	return p, nil
}

// taken takes what an application sends, and forgets it.
func taken(_ context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
	out := make([]hook.Accepted, len(batch))
	for i := range batch {
		out[i].Message = batch[i].Message
	}
	return out, nil
}

// Addr is where it listens.
func (p *LongConnPlatform) Addr() string { return p.l.Addr().String() }

func (p *LongConnPlatform) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Await returns when the application is connected, or with the context's error.
func (p *LongConnPlatform) Await(ctx context.Context) error {
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if p.server.Connected(p.party.Endpoint.ID) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Link is the way to the application, for a simulation.
func (p *LongConnPlatform) Link() *simulate.Link {
	return &simulate.Link{
		Send: p.send,
		Cut: func(ctx context.Context) error {
			p.server.Cut(p.party.Endpoint.ID)
			return p.Await(ctx)
		},
		Unsigned: regexp.MustCompile(`,"x-sign":"[^"]*"`),
	}
}

// send delivers a message. A client that is about to come back is waited for.
func (p *LongConnPlatform) send(ctx context.Context, r dialect.Request) (dialect.Response, error) {
	serving, _ := alipay.ReadServing(p.party.Settings) // it was read when p was made
	ack, err := longconn.Ack{}, error(longconn.ErrNobody)
	for errors.Is(err, longconn.ErrNobody) {
		if err = p.Await(ctx); err == nil {
			ack, err = p.server.Deliver(ctx, p.party.Endpoint.ID, longconn.ReadParcel(r.Header.Get, r.Body, serving.Broadcast))
		}
	}
	switch {
	case err == nil:
		return dialect.Response{Status: http.StatusOK, Header: ack.Header(), Body: ack.Text}, nil
	case errors.Is(err, context.DeadlineExceeded):
		return dialect.Response{}, &egress.Error{Kind: egress.KindTimeout, Text: "no CONSUME_ACK came within the deadline"}
	case errors.Is(err, context.Canceled):
		return dialect.Response{}, &egress.Error{Kind: egress.KindCanceled, Text: "the run was ended"}
	}
	return dialect.Response{}, &egress.Error{Kind: egress.KindReset, Text: err.Error()}
}

// Close says goodbye to the application, and stops.
func (p *LongConnPlatform) Close(ctx context.Context) error {
	err := errors.Join(p.server.Close(ctx), p.http.Close())
	<-p.served
	return err
}
