// Package ingest owns the front door: it takes a platform's push at /in/{door}, has the platform's dialect verify it,
// stores it durably, and only then acknowledges it in the platform's own words.
//
// It knows neither the database nor the list of dialects: what it needs of both is handed to it as funcs and a map.
package ingest

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

// Path is where a Door is mounted; what follows is the door of a source.
const Path = "/in/"

// The defaults of Options.
const (
	DefaultMaxBody       = 1 << 20
	DefaultReadTimeout   = 10 * time.Second
	DefaultAcceptTimeout = 30 * time.Second
	DefaultMaxInFlight   = 2048
	DefaultMaxHeld       = 256 << 20
	DefaultRetryAfter    = 5 * time.Second
	DefaultKeepRefused   = 20
)

// Options is what a Door needs. Routes, Accept, Dialects and IDs are required.
type Options struct {
	// Routes finds a source by its door, as store.Config.Route does; KindNotFound means there is none.
	Routes func(ctx context.Context, door string, now time.Time) (hook.Route, error)
	// Accept makes messages durable, as store.Flow.Accept does. A 2xx leaves only after it has returned.
	Accept func(ctx context.Context, batch []hook.Accept) ([]hook.Accepted, error)
	// Refuse keeps refused requests for the explainer, the last keep of each source. It is called by one goroutine, off
	// the way of requests. nil = they are only counted.
	Refuse func(ctx context.Context, batch []hook.Refused, keep int) error
	// Accepting says why nothing is accepted for now (stopping, disk nearly full); such pushes are answered with 503, so
	// that the platform repeats them. nil = always accepting.
	Accepting func() error
	// Observe is told of every request when it has been answered. nil = nobody counts.
	Observe func(Observation)

	Dialects map[string]*dialect.Dialect // by name
	IDs      *hook.Generator
	Now      func() time.Time // nil = time.Now
	// Otherwise is what the clock would show if it had not been set lately; ok is false when it was not. Signed requests
	// that only the one or the other finds too old or too new are taken: it may be our clock that is wrong. nil = never.
	Otherwise func() (now time.Time, ok bool)
	Log       *slog.Logger // nil = nothing is logged

	MaxBody       int64         // bytes of one body; 0 = 1 MiB
	ReadTimeout   time.Duration // for reading one body, and less if it stalls with much of it in memory; 0 = 10 s
	AcceptTimeout time.Duration // for Accept; 0 = 30 s
	MaxInFlight   int           // pushes between their last byte and their answer; over it 503; 0 = 2048
	MaxHeld       int64         // bytes of all bodies in memory; over it, or over a client's or a source's share of it, 503; 0 = 256 MiB
	RetryAfter    time.Duration // told with every 503, in whole seconds; 0 = 5 s
	KeepRefused   int           // refused requests kept of each source; 0 = 20

	// TrustedProxies may say in X-Forwarded-For who the client is. From any other peer that header is not looked at.
	TrustedProxies []netip.Prefix
}

func (o *Options) defaults() {
	setDefault(&o.MaxBody, DefaultMaxBody)
	setDefault(&o.ReadTimeout, DefaultReadTimeout)
	setDefault(&o.AcceptTimeout, DefaultAcceptTimeout)
	setDefault(&o.MaxInFlight, DefaultMaxInFlight)
	setDefault(&o.MaxHeld, DefaultMaxHeld)
	setDefault(&o.RetryAfter, DefaultRetryAfter)
	setDefault(&o.KeepRefused, DefaultKeepRefused)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Otherwise == nil {
		o.Otherwise = func() (time.Time, bool) { return time.Time{}, false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Accepting == nil {
		o.Accepting = func() error { return nil }
	}
	if o.Observe == nil {
		o.Observe = func(Observation) {}
	}
}

func setDefault[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// Door is the front door. It is an http.Handler for everything under Path, and safe for use by many goroutines.
type Door struct {
	opt       Options
	trusted   []netip.Prefix
	routes    routes
	slots     chan struct{} // one for every push that is being verified or stored
	memory    *memory
	refusals  *refusals
	accepting *patience
	accepts   pace // log lines about a store that does not take messages
	settings  pace // log lines about sources that cannot be served
}

// New makes a Door. Close it when no request is under way any more.
func New(o Options) (*Door, error) {
	if o.Routes == nil || o.Accept == nil || o.Dialects == nil || o.IDs == nil {
		return nil, errors.New("ingest: Routes, Accept, Dialects and IDs are required")
	}
	o.defaults()
	d := &Door{
		opt:       o,
		trusted:   unmapAll(o.TrustedProxies),
		slots:     make(chan struct{}, o.MaxInFlight),
		memory:    newMemory(&o),
		accepting: &patience{limit: o.AcceptTimeout},
	}
	d.refusals = newRefusals(o)
	return d, nil
}

// Forget drops what the door remembers of sources. Call it after every change of configuration, before the change is
// reported as done.
func (d *Door) Forget() { d.routes.forget() }

// InFlight is the number of pushes that are being verified or stored.
func (d *Door) InFlight() int { return len(d.slots) }

// Close records the refusals that are still waiting. It may be called twice; refusals of later requests are only counted.
func (d *Door) Close() error {
	d.refusals.close()
	d.accepting.close()
	return nil
}

// pace lets one event a second through.
type pace struct{ last atomic.Int64 }

func (p *pace) allow(now time.Time) bool {
	last, n := p.last.Load(), now.UnixNano()
	return (last == 0 || n-last >= int64(time.Second) || n < last) && p.last.CompareAndSwap(last, n)
}
