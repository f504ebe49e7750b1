package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
)

// Hop is what a process between load and sink must know. It is handed over in the environment variable HopVariable, as JSON.
type Hop struct {
	Dialect   string           `json:"dialect"`
	Receiving dialect.Settings `json:"receiving"`
	To        string           `json:"to"` // the sink
}

// HopVariable names the environment variable of a Hop.
const HopVariable = "WAYPOST_BENCH_HOP"

// ReadHop reads a Hop.
func ReadHop(text string) (h Hop, err error) {
	if err := json.Unmarshal([]byte(text), &h); err != nil || h.To == "" {
		return h, fmt.Errorf("%s holds no hop: this command is for `waypost bench` to start", HopVariable)
	}
	return h, nil
}

// ReverseProxy is the standard library's proxy in front of the sink, set up as well as it can be: connections are kept, buffers
// are used again.
func ReverseProxy(to string) (http.Handler, error) {
	target, err := url.Parse(to)
	if err != nil || target.Host == "" {
		return nil, fmt.Errorf("%q is no address to forward to", to)
	}
	return &httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:  &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, DisableCompression: true},
		BufferPool: &bufferPool{},
		ErrorLog:   log.New(io.Discard, "", 0),
	}, nil
}

type bufferPool struct{ p sync.Pool }

func (b *bufferPool) Get() []byte {
	if buf, ok := b.p.Get().(*[]byte); ok {
		return *buf
	}
	return make([]byte, 32<<10)
}

func (b *bufferPool) Put(buf []byte) { b.p.Put(&buf) }

// BareHandler verifies a push, answers in the dialect's words and forgets it.
func BareHandler(d *dialect.Dialect, settings dialect.Settings) http.Handler {
	receive := d.ReceiveWith(settings)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		got, err := receive(dialect.Inbound{Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, Body: body, Now: time.Now()})
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		a := d.Reply(settings, dialect.Outcome{Result: dialect.Stored, Received: &got})
		if a.ContentType != "" {
			w.Header().Set("Content-Type", a.ContentType)
		}
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body)
	})
}

// Pipe is our own way of a message without the store: the front door, a queue in memory, signing and the client that
// delivers. What it acknowledged is lost when it ends; it shows what storing costs.
type Pipe struct {
	door   http.Handler
	queue  chan *hook.Message
	egress *egress.Client
	sign   func(dialect.Outbound) (dialect.Request, error)
	to     *egress.Destination
}

// pipeWorkers is how many deliveries are under way at once, as the endpoint of the measured server allows.
const pipeWorkers = 64

// NewPipe makes a Pipe from a source to one endpoint of the dialect out. It works until the context ends.
func NewPipe(ctx context.Context, in, out *dialect.Dialect, receiving, signing dialect.Settings, to string) (*Pipe, error) {
	p := &Pipe{
		queue: make(chan *hook.Message, 4096), egress: egress.New(egress.Options{AllowLoopback: true, Version: "bench"}),
		sign: out.SignWith(signing), to: egress.Locate(to),
	}
	route := hook.Route{Source: hook.Source{ID: 1, App: 1, Dialect: in.Name}, Settings: hook.Settings(receiving)}
	door, err := ingest.New(ingest.Options{
		Routes: func(context.Context, string, time.Time) (hook.Route, error) { return route, nil },
		Accept: p.accept, Dialects: map[string]*dialect.Dialect{in.Name: in}, IDs: hook.NewGenerator(0, 0),
	})
	if err != nil {
		return nil, err
	}
	p.door = door
	for range pipeWorkers {
		go p.work(ctx)
	}
	return p, nil
}

func (p *Pipe) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.door.ServeHTTP(w, r) }

func (p *Pipe) accept(ctx context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
	out := make([]hook.Accepted, len(batch))
	for i := range batch {
		out[i].Message = batch[i].Message
		select {
		case p.queue <- &batch[i].Message:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return out, nil
}

func (p *Pipe) work(ctx context.Context) {
	for {
		select {
		case m := <-p.queue:
			if err := p.deliver(ctx, m); err != nil {
				log.Printf("the pipe without a store lost a message: %v", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (p *Pipe) deliver(ctx context.Context, m *hook.Message) error {
	now := time.Now()
	signed, err := p.sign(dialect.Outbound{
		ID: m.ID.String(), EventType: m.EventType, EventID: m.EventID, Payload: m.Payload, Platform: m.Platform, Created: m.CreatedAt, Now: now,
	})
	if err != nil {
		return err
	}
	resp, err := p.egress.Do(ctx, egress.Request{
		Method: signed.Method, To: p.to, Query: signed.Query, Header: signed.Header, Body: signed.Body, Deadline: now.Add(15 * time.Second),
	})
	if err != nil {
		return err
	}
	if resp.Status/100 != 2 {
		return errors.New(http.StatusText(resp.Status))
	}
	return nil
}
