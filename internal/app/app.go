package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"log/slog"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/engine"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
	"github.com/waypost/waypost/internal/lean"
	"github.com/waypost/waypost/internal/longconn"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// commitWindow is much shorter than any platform's deadline.
const commitWindow = time.Millisecond

// App is a running server.
type App struct {
	o        Options
	dialects map[string]*dialect.Dialect
	ids      *hook.Generator
	clock    *hook.Clock
	reset    chan time.Duration // the clock was set by it; room for some
	store    *sqlite.DB
	engine   *engine.Engine
	hearers  *api.Listeners   // of endpoints whose messages go over connections opened to us
	platform *longconn.Server // of endpoints whose applications keep long connections to us
	dialers  *dialers         // of sources that keep long connections to their platforms
	door     *ingest.Door
	api      *api.Handler
	metrics  *metrics
	tracer   *tracer // nil = nobody traces
	rotation *rotation
	life     *life

	public, admin net.Listener
	token         string // made at this start, else ""

	ready    atomic.Bool // the parts that Changed speaks to are there
	stopping atomic.Bool
	failed   chan error // what makes the process give up; room for one
	teardown stack
}

// Run starts a server, waits until ctx ends or the store breaks, and stops it in good order. An error means that the
// process should exit with a code that says so.
func Run(ctx context.Context, o Options) error {
	a, err := Start(ctx, o)
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))) && !errors.Is(err, ErrStoreBroken) {
		return nil // told to stop before it served: that is a stop, and no failure
	}
	if err != nil {
		return err
	}
	memory := keepMemory(quietTime, bytesInUse)
	defer memory.stop()
	var cause error
	select {
	case <-ctx.Done():
		a.o.Log.Info("stopping", "waits", a.o.StopTimeout)
	case cause = <-a.failed:
		a.o.Log.Error("giving up", "error", cause)
	}
	return errors.Join(cause, a.Stop(context.WithoutCancel(ctx)))
}

// Start starts a server and returns when it serves. Whatever was started is stopped again when a later part fails.
func Start(ctx context.Context, o Options) (*App, error) {
	o = o.Defaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	a := &App{o: o, dialects: Dialects(), failed: make(chan error, 1), reset: make(chan time.Duration, 16)}
	if err := a.start(ctx); err != nil {
		return nil, errors.Join(err, a.teardown.unwind(context.WithoutCancel(ctx)))
	}
	return a, nil
}

// Stop refuses new work, finishes what is in flight up to the stop time-out, records it, and closes. It may be called
// twice.
func (a *App) Stop(ctx context.Context) error {
	a.stopping.Store(true)
	ctx, cancel := context.WithTimeout(ctx, a.o.StopTimeout)
	defer cancel()
	return a.teardown.unwind(ctx)
}

// PublicAddr and AdminAddr are where it listens; Token is the organisation token when this start made one.
func (a *App) PublicAddr() string { return a.public.Addr().String() }

// AdminAddr is the address of the API.
func (a *App) AdminAddr() string { return a.admin.Addr().String() }

// Token is the organisation token when this start made one, else "".
func (a *App) Token() string { return a.token }

// start is one straight line on purpose: the order is the order of dependencies, and the teardown is its reverse.
func (a *App) start(ctx context.Context) error {
	o := a.o
	// The sockets come first: from here on connections queue in the kernel, however long the store takes to open.
	var err error
	if a.public, a.admin, err = listeners(o); err != nil {
		return err
	}
	a.teardown.push("listeners", func(context.Context) error { return ignoreClosed(errors.Join(a.public.Close(), a.admin.Close())) })

	var keys mainKeys
	a.store, keys, err = openStore(ctx, o, sqlite.Options{
		Changed: a.changed, Log: o.Log, LowWater: uint64(o.LowWater), Window: commitWindow,
		VFS: o.Faults.VFS, FreeSpace: o.Faults.FreeSpace, Faults: o.Faults.Store,
	})
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	a.teardown.push("store", func(context.Context) error { return a.store.Close() })
	a.rotation = newRotation(o, a.store, keys)
	a.teardown.push("main key", a.rotation.stop)
	highest, err := a.store.HighestID(ctx)
	if err != nil {
		return err
	}
	last, err := a.store.LastBeat(ctx)
	if err != nil {
		return err
	}
	a.metrics = newMetrics(a.store, o.Version, a.idsAhead)
	a.clock = hook.NewClock(o.Faults.ClockShift, a.clockSet)
	a.clock.Resume(last)
	now := a.clock.Now()
	a.ids = hook.NewGenerator(o.Node, highest)
	a.lookAtClock(last, now)
	a.ids.Limit(a.clock.ForIDs)

	client, err := a.client()
	if err != nil {
		return err
	}
	if err := a.allowOperator(ctx, now); err != nil {
		return err
	}
	if a.tracer, err = newTracer(ctx, o); err != nil {
		return err
	}
	a.teardown.push("traces", a.tracer.stop)
	a.hearers = api.NewListeners(a.heard)
	a.teardown.push("listeners of endpoints", a.hearers.Close)
	if a.door, err = a.newDoor(); err != nil {
		return err
	}
	a.platform = a.newPlatform()
	a.teardown.push("long connections", a.platform.Close)
	a.metrics.gauge("waypost_longconn_connections", "Long connections that applications have open to this server.", a.platform.Count)
	a.engine = a.newEngine(client)
	a.dialers = newDialers(a, client)
	a.metrics.registry.MustRegister(a.dialers)
	a.api = a.newAPI(client)
	a.ready.Store(true)

	if a.token, err = ensureToken(ctx, a.store, a.ids, o.Token, now); err != nil {
		return err
	}
	if err := a.declare(ctx); err != nil {
		return fmt.Errorf("apply the configuration: %w", err)
	}
	a.life = newLife(a)
	a.life.start(ctx, last.Wall, now)
	a.teardown.push("signs of life", a.life.stop)
	if err := a.engine.Start(ctx); err != nil {
		return fmt.Errorf("start the engine: %w", err)
	}
	a.teardown.push("engine", a.engine.Stop)
	a.teardown.push("front door's books", func(context.Context) error { return a.door.Close() })
	a.rotation.resume()
	a.serve("admin", a.admin, a.newServer(a.adminMux()))
	a.serve("public", a.public, a.publicServer())
	a.dialers.start(ctx)
	a.teardown.push("sources that dial out", a.dialers.stop)
	a.announce()
	return nil
}

// changed hears of every commit: see sqlite.Options.Changed. It only passes on; nothing here waits.
func (a *App) changed(c store.Change) {
	if c.Broken != nil {
		a.giveUp(c.Broken)
	}
	if !a.ready.Load() {
		return
	}
	if c.Config {
		a.door.Forget()
		a.api.Forget()
		a.platform.Reconsider(c.Endpoint)
		if c.Endpoint == 0 {
			a.dialers.reconsider()
		}
	}
	a.engine.Changed(c)
}

// giveUp ends Run with an error. Only the first cause counts.
func (a *App) giveUp(err error) {
	a.stopping.Store(true)
	select {
	case a.failed <- err:
	default:
	}
}

func (a *App) client() (*egress.Client, error) {
	o := egress.Options{AllowLoopback: a.o.Dev, Version: a.o.Version}
	if a.o.EgressCA != "" {
		pem, err := readSmallFile(a.o.EgressCA, 4<<20)
		if err != nil {
			return nil, fmt.Errorf("read egress-ca: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("egress-ca: %s holds no certificate in PEM form", filepath.Base(a.o.EgressCA))
		}
		o.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return egress.New(o), nil
}

func (a *App) newEngine(client *egress.Client) *engine.Engine {
	return engine.New(engine.Options{
		Store: a.store, Dialects: a.dialects, Egress: client, IDs: a.ids, SeedKey: hook.NewSecret(string(a.store.Seed())), Clock: a.clock, Log: a.o.Log,
		Observe: a.metrics.attempted, Broken: a.giveUp, Workers: a.o.Workers,
		Senders:   map[string]engine.Sender{api.ListenScheme: a.sendToListener, longconn.Scheme: a.sendLongConn},
		Connected: connected(), Listening: a.listening,
		KeepMessages: max(a.o.Retention, 0), KeepPayloads: a.o.PayloadRetention,
		SweepEvery: a.o.Faults.SweepEvery, Faults: a.o.Faults.Engine, Trace: a.tracer.attempts(),
	})
}

// inlet is the store as those who accept messages see it.
func (a *App) inlet() store.Store {
	return a.tracer.over(timed{a.store, a.clock})
}

// allowOperator tells the store, and so the engine, which private networks the operator's own endpoints may reach.
func (a *App) allowOperator(ctx context.Context, now time.Time) error {
	return a.store.UpdateApplication(ctx, hook.Application{
		ID: hook.Operational, Name: "operational", AllowCIDRs: a.o.OperationalAllow, CreatedAt: now, UpdatedAt: now,
	})
}

func (a *App) newDoor() (*ingest.Door, error) {
	proxies, _ := ParsePrefixes(a.o.TrustedProxies) // validated
	return ingest.New(ingest.Options{
		Routes: a.store.Route, Accept: a.inlet().Accept, Refuse: a.store.Refuse, Accepting: a.accepting, Observe: a.metrics.pushed,
		Dialects: a.dialects, IDs: a.ids, Now: a.clock.Now, Otherwise: a.clock.Otherwise, Log: a.o.Log, MaxBody: a.o.MaxBody, TrustedProxies: proxies,
	})
}

func (a *App) newAPI(client *egress.Client) *api.Handler {
	return api.New(api.Options{
		Store: a.inlet(), Dialects: a.dialects, IDs: a.ids, Now: a.clock.Now, Steady: a.clock.Steady, PublicURL: a.o.PublicURL, Dev: a.o.Dev, MaxBody: a.o.MaxBody, Log: a.o.Log,
		Accepting: a.accepting, Listeners: a.hearers, LongConnections: a.connections, CheckLongConn: checkLongConn(), Outgoing: a.dialers.outgoing(), OperationalAllow: a.o.OperationalAllow, MainKey: a.rotation.now, RotateMainKey: a.rotation.begin,
		CheckURL: func(ctx context.Context, url string, allow []string) error {
			prefixes, err := ParsePrefixes(allow)
			if err != nil {
				return err
			}
			return checked(client.Check(ctx, url, prefixes))
		},
		Verify: func(ctx context.Context, e hook.Endpoint) (hook.Verification, error) {
			t, err := a.store.Target(ctx, e.ID)
			if err != nil {
				return hook.Verification{}, err
			}
			return a.engine.Verify(ctx, t)
		},
	})
}

// checked puts an address that was refused into words: what is wrong is for everybody, the line that would allow it is for
// the organisation.
func checked(err error) error {
	var refused *egress.Error
	if !errors.As(err, &refused) {
		return err
	}
	out := &hook.Error{Kind: hook.KindInvalid, Text: refused.Text}
	if refused.Hint != "" {
		out.Err = errors.New(refused.Hint)
	}
	return out
}

var errStopping = hook.Errorf(hook.KindUnavailable, "the server is stopping")

func (a *App) accepting() error {
	if a.stopping.Load() {
		return errStopping
	}
	return a.store.Accepting()
}

// server is an http.Server, or a lean one.
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

// The times of a request. The door and the API have their own, shorter or earned, time for a body, which goes before requestTime;
// that one holds where nobody reads the body: who does not send it must not keep a connection, nor a stop, waiting for ever.
const (
	requestTime = 15 * time.Second
	answerTime  = time.Minute // from the head of a push to the last byte of its answer: longer than reading and storing may take
)

func (a *App) newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: requestTime, IdleTimeout: 75 * time.Second, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(a.o.Log.Handler(), slog.LevelDebug),
	}
}

// publicServer bounds what clients may open. Behind TLS it is net/http's, which speaks HTTP/2 there.
func (a *App) publicServer() server {
	proxies, _ := ParsePrefixes(a.o.TrustedProxies) // validated
	s := a.newServer(a.publicMux())
	s.WriteTimeout = answerTime // the admin address has downloads
	s.ConnState = newCrowd(maxPerClient, min(maxClients, openFiles()/2), proxies, a.o.Log).changed
	if a.o.TLSCert != "" || a.o.NetHTTP {
		return s
	}
	return lean.New(s)
}

// serve runs a server on a listener and stops it in the teardown.
func (a *App) serve(name string, l net.Listener, srv server) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.giveUp(fmt.Errorf("the %s listener ended: %w", name, err))
		}
	}()
	a.teardown.push(name+" listener", func(ctx context.Context) error {
		err := srv.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, srv.Close()) // connections that did not end in time
		}
		<-done
		return err
	})
}

func (a *App) publicMux() http.Handler {
	door, mux := a.tracer.incoming(a.door), http.NewServeMux()
	mux.Handle(ingest.Path, door)
	a.platform.Mount(mux)
	return pushesFirst(door, mux)
}

// pushesFirst spares the mux the paths that are plainly a door's.
func pushesFirst(door, mux http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, ok := strings.CutPrefix(r.URL.Path, ingest.Path); ok && r.URL.RawPath == "" && !strings.ContainsAny(name, "/.") {
			door.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (a *App) adminMux() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/", a.tracer.incoming(a.api))
	mux.Handle("GET /api/v1/backup", a.api.Organisation(http.HandlerFunc(a.serveBackup)))
	mux.Handle("GET /metrics", a.metrics.handler())
	for path, h := range map[string]http.HandlerFunc{
		"": pprof.Index, "cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} { // a heap profile shows payloads: it is for those who may read them anyhow
		mux.Handle("GET /debug/pprof/"+path, a.api.Organisation(h))
	}
	return mux
}

func (a *App) announce() {
	scheme := "http"
	if a.o.TLSCert != "" {
		scheme = "https"
	}
	w := a.o.Announce
	fmt.Fprintf(w, "waypost %s\n  public  %s://%s/in/{door}\n  admin   http://%s/api/v1/\n", a.o.Version, scheme, a.PublicAddr(), a.AdminAddr())
	if path, err := filepath.Abs(a.o.Data); err == nil {
		fmt.Fprintf(w, "  data    %s\n", path)
	}
	if a.token != "" {
		fmt.Fprintf(w, "  token   %s   (organisation token; it is shown this once)\n", a.token)
	}
	if a.o.Dev {
		fmt.Fprintln(w, "  dev     endpoints on loopback and without https are allowed")
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
