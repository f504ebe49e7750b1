package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/all"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// world is a server with a real store and a receiver behind pipes, in a bubble of virtual time that begins with it.
type world struct {
	t     *testing.T
	db    *sqlite.DB
	ids   *hook.Generator
	e     *Engine
	o     Options
	begin time.Time
	dir   string
	app   hook.ApplicationID

	// handle answers requests; host tells which endpoint's. It may be changed while nothing is in flight.
	handle func(w http.ResponseWriter, r *http.Request)
	pipes  chan net.Conn
	server *http.Server

	mu      sync.Mutex
	arrived []arrival
}

// arrival is a request as the receiver saw it.
type arrival struct {
	at     time.Duration // since the beginning
	host   string
	id     string
	method string
	query  string
	header http.Header
	body   string
}

// in runs a test in a bubble with a started engine.
func in(t *testing.T, change func(*Options), test func(w *world)) {
	t.Helper()
	t.Parallel()
	inTurn(t, change, test)
}

// inTurn is in for a test that is to end before the next line.
func inTurn(t *testing.T, change func(*Options), test func(w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))) // ids know no time before 2024
		w := &world{t: t, dir: dir, begin: time.Now(), pipes: make(chan net.Conn, 1024), handle: status(200)}
		w.server = &http.Server{Handler: http.HandlerFunc(w.receive), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		go func() { _ = w.server.Serve(pipeListener(w.pipes)) }()
		w.o = Options{
			Dialects: all.Table(), SeedKey: hook.NewSecret("seed"), SweepEvery: 24 * time.Hour,
			Jitter: func(time.Duration) time.Duration { return 0 },
			Log:    slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		}
		if change != nil {
			change(&w.o)
		}
		w.open()
		w.app = w.newApp(nil)
		test(w)
		w.close()
		close(w.pipes)
		_ = w.server.Close()
	})
}

// open opens the store and starts an engine on it.
func (w *world) open() {
	w.t.Helper()
	sealer, err := store.NewSealer(make([]byte, store.MainKeySize))
	w.must(err)
	var e *Engine
	w.db, err = sqlite.Open(context.Background(), sqlite.Options{Dir: w.dir, Sealer: sealer, Changed: func(c store.Change) {
		if e != nil {
			e.Changed(c)
		}
	}})
	w.must(err)
	highest, err := w.db.HighestID(context.Background())
	w.must(err)
	w.ids = hook.NewGenerator(1, highest)
	o := w.o
	switch s := o.Store.(type) {
	case *flaky:
		s.Store = w.db
	case *between:
		s.Store = w.db
	case *bookkeeper:
		s.Store = w.db
	default:
		o.Store = w.db
	}
	o.IDs = w.ids
	o.Egress = egress.New(egress.Options{
		Dial: func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			w.pipes <- far
			return near, nil
		},
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
		},
	})
	e = New(o)
	w.e = e
	w.must(w.e.Start(context.Background()))
}

func (w *world) close() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := w.e.Stop(ctx); err != nil {
		w.t.Errorf("stop: %v", err)
	}
	w.e.o.Egress.Close()
	w.must(w.db.Close())
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

type pipeListener chan net.Conn

func (l pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l pipeListener) Close() error   { return nil }
func (l pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (w *world) receive(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	w.arrived = append(w.arrived, arrival{
		at: time.Since(w.begin).Truncate(time.Millisecond), host: r.Host, id: r.Header.Get("webhook-id"), method: r.Method, query: r.URL.RawQuery, header: r.Header.Clone(), body: string(body),
	})
	handle := w.handle
	w.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	handle(rw, r)
}

func (w *world) answer(h func(http.ResponseWriter, *http.Request)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handle = h
}

// seen returns what arrived, of one host or of all.
func (w *world) seen(host string) []arrival {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []arrival
	for _, a := range w.arrived {
		if host == "" || a.host == host {
			out = append(out, a)
		}
	}
	return out
}

func times(list []arrival) []time.Duration {
	var out []time.Duration
	for _, a := range list {
		out = append(out, planned(a.at))
	}
	return out
}

// planned is the moment that something was planned for which came at another. SQLite sleeps for microseconds where a reader meets a
// commit, which moves the clock of the bubble, and a plan is stored in whole milliseconds: what is due may be late by some, and is never early.
func planned(at time.Duration) time.Duration { return at.Truncate(5 * time.Millisecond) }

// The receivers.

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func says(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// hang never answers.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// drip answers 200 and a body that comes byte by byte and does not end.
func drip(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		_, _ = io.WriteString(w, "x")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// slow answers 200 after a while.
func slow(d time.Duration) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			w.WriteHeader(200)
		case <-r.Context().Done():
		}
	}
}

// The configuration.

func (w *world) newApp(change func(*hook.Application)) hook.ApplicationID {
	w.t.Helper()
	a := hook.Application{ID: hook.NewID[hook.ApplicationID](w.ids, time.Now()), Name: "test", CreatedAt: time.Now()}
	if change != nil {
		change(&a)
	}
	w.must(w.db.CreateApplication(context.Background(), a))
	return a.ID
}

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// endpoint makes an endpoint of the standard dialect at http://<name>.example/hook.
func (w *world) endpoint(name string, change func(*hook.Endpoint)) hook.Endpoint {
	w.t.Helper()
	ep := hook.Endpoint{
		ID: hook.NewID[hook.EndpointID](w.ids, time.Now()), App: w.app, URL: "http://" + name + ".example/hook", Dialect: "standard",
		Format: hook.FormatPayload, Settings: hook.Settings{"secret": {secret}}, CreatedAt: time.Now(),
	}
	if change != nil {
		change(&ep)
	}
	w.must(w.db.CreateEndpoint(context.Background(), ep))
	return ep
}

func (w *world) update(ep hook.Endpoint, change func(*hook.Endpoint)) hook.Endpoint {
	w.t.Helper()
	change(&ep)
	w.must(w.db.UpdateEndpoint(context.Background(), ep))
	return ep
}

func (w *world) stored(ep hook.Endpoint) hook.Endpoint {
	w.t.Helper()
	got, err := w.db.Endpoint(context.Background(), ep.App, ep.ID.String())
	w.must(err)
	return got
}

// publish accepts messages and returns them.
func (w *world) publish(n int, change func(*hook.Message)) []hook.Message {
	w.t.Helper()
	batch := make([]hook.Accept, n)
	for i := range batch {
		m := hook.Message{
			ID: hook.NewID[hook.MessageID](w.ids, time.Now()), App: w.app, EventType: "order.created",
			Payload: fmt.Appendf(nil, `{"n": %d}`, i), CreatedAt: time.Now(),
		}
		if change != nil {
			change(&m)
		}
		batch[i].Message = m
	}
	got, err := w.db.Accept(context.Background(), batch)
	w.must(err)
	out := make([]hook.Message, n)
	for i := range got {
		w.must(got[i].Err)
		out[i] = got[i].Message
	}
	return out
}

func (w *world) delivery(m hook.Message, ep hook.Endpoint) hook.Delivery {
	w.t.Helper()
	list, err := w.db.Deliveries(context.Background(), m.App, m.ID)
	w.must(err)
	for _, d := range list {
		if d.Endpoint == ep.ID {
			return d
		}
	}
	w.t.Fatalf("no delivery of %v to %v", m.ID, ep.ID)
	return hook.Delivery{}
}

// attempts lists the attempts of an endpoint, oldest first.
func (w *world) attempts(ep hook.Endpoint) []hook.Attempt {
	w.t.Helper()
	l, err := w.db.Attempts(context.Background(), ep.App, store.AttemptFilter{Endpoint: ep.ID, WithContent: true}, store.Page{Limit: 250})
	w.must(err)
	return l.Items
}

// allAttempts is attempts, however many there are.
func (w *world) allAttempts(ep hook.Endpoint) (all []hook.Attempt) {
	w.t.Helper()
	for p := (store.Page{Limit: 250}); ; {
		l, err := w.db.Attempts(context.Background(), ep.App, store.AttemptFilter{Endpoint: ep.ID}, p)
		w.must(err)
		all = append(all, l.Items...)
		if l.Done {
			return all
		}
		p.After = l.Last
	}
}

func (w *world) counts() store.Counts {
	w.t.Helper()
	c, err := w.db.Counts(context.Background())
	w.must(err)
	return c
}

// sample is one example of a dialect with the settings of one of its vectors for signing.
func sample(t *testing.T, name string) (hook.Settings, dialect.Example) {
	t.Helper()
	raw, err := os.ReadFile("../../dialect/" + name + "/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Do       string
			Settings map[string][]string
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	d := all.Table()[name]
	for _, v := range file.Vectors {
		if v.Do == "sign" && len(d.Validate(v.Settings, dialect.Sending, false)) == 0 {
			return v.Settings, d.Examples[0]
		}
	}
	t.Fatalf("the vectors of %s hold no settings to sign with", name)
	return nil, dialect.Example{}
}

// source makes a source of the application.
func (w *world) source(name string, settings hook.Settings) hook.Source {
	w.t.Helper()
	s := hook.Source{
		ID: hook.NewID[hook.SourceID](w.ids, time.Now()), App: w.app, Dialect: name, Settings: settings,
		Door: fmt.Sprintf("door%d", w.ids.Next(time.Now())), CreatedAt: time.Now(),
	}
	w.must(w.db.CreateSource(context.Background(), s))
	return s
}

// sized is a number of rounds: n, and few under -short, in which every path is taken that n takes.
func sized(n, few int) int {
	if testing.Short() {
		return few
	}
	return n
}

// settled waits until all that can happen now has happened. synctest.Wait alone is not enough: a reader of the database that
// meets the writer at a bad moment sleeps for some microseconds, on the clock of the bubble.
func settled() {
	for range 20 {
		synctest.Wait()
		time.Sleep(5 * time.Microsecond)
	}
}
