// Package engine owns the way out of a message: claim, sign, send, judge, record; and the periodic duties beside it.
//
// One path serves all: a retry is the same path at a later time, a resend the same path with another trigger. The time of
// the next attempt is a column that is written with the attempt; what is kept in memory is a window on the store that may
// be lost at any moment.
//
// Every endpoint with work has a lane. A lane holds a bounded window of deliveries that are due, so a dead endpoint costs
// no other one anything but its share of the requests in flight, and memory does not grow with the backlog.
package engine

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// Options set an Engine up. Store, Dialects, Egress, IDs and SeedKey are needed.
type Options struct {
	Store    store.Store
	Dialects map[string]*dialect.Dialect
	Egress   *egress.Client
	IDs      *hook.Generator
	// SeedKey is what the seed of each message and endpoint is drawn from. It must outlive restarts: what a dialect draws
	// from the seed has to be the same over all attempts.
	SeedKey hook.Secret
	// Senders deliver to URLs whose scheme is a key of the map. Every other URL goes through Egress.
	Senders map[string]Sender
	// Connected are the dialects, by name, in which endpoints of hook.TransportLongConn are sent to, with a Sender for the scheme of
	// their address. An attempt that such a Sender ends with egress.KindReset, because the connection ended before the answer, is
	// made again at once and not counted, up to maxCuts times in a row.
	Connected map[string]*dialect.Dialect
	// Listening says whether somebody is there for an endpoint that is reached over connections opened to this server
	// (hook.Endpoint.Connected); its deliveries wait otherwise. Changed is to be told when that changes. It must be quick and is
	// called under a lock. nil = nobody ever is.
	Listening func(hook.EndpointID) bool

	Clock   *hook.Clock  // Steady is the time of all schedules; nil = a new one
	Log     *slog.Logger // nil = none
	Observe func(Event)  // told of every judged attempt, must be quick; nil = nobody listens
	// Trace begins the span of an attempt, which end ends. traceparent is sent to endpoints of the standard dialect; the requests of
	// platform dialects are theirs byte for byte. nil = nobody traces.
	Trace func(m *hook.Message, w hook.Work, dialect string) (traceparent string, end func(Event))

	Broken func(error) // told once, by a goroutine of its own, when the store is broken; nil = nobody listens

	Workers     int // requests in flight that are shared evenly between endpoints; 0 = 256
	MaxInFlight int // requests in flight at most, three quarters of them of one application; beyond Workers every endpoint has one; 0 = 2048
	Concurrency int // requests in flight to one endpoint that sets none of its own; 0 = 16
	Window      int // due deliveries of one endpoint kept in memory; 0 = 1,024
	Hand        int // deliveries kept in memory over all endpoints, above which each keeps 16 and above twice that one; 0 = 65,536
	CacheBytes  int // messages kept from their acceptance to their first attempt; 0 = 32 MiB
	FlightBytes int // messages over 64 KiB that are read for an attempt and under way; 0 = 128 MiB

	DisableAfter time.Duration // how long an endpoint may exhaust messages without a success; 0 = 5 days
	BreakAfter   int           // failures in a row before an endpoint is probed; 0 = 10
	// Jitter returns what is added to a wait where the dialect's policy allows it. nil = a random part of up to a tenth.
	Jitter func(wait time.Duration) time.Duration

	KeepMessages time.Duration // retention; 0 = for ever
	KeepPayloads time.Duration // retention of content; 0 = as long as the message
	SweepEvery   time.Duration // between rounds of retention; 0 = 1 min

	Faults Faults
}

// Faults are for tests of the tests; the program never sets them.
type Faults struct {
	NoRescue bool               // what is pending at the start is not read
	At       func(point string) // called at "after-send": an attempt has its answer, and nothing is recorded yet; nil = nobody is called
}

// Sender delivers one request by other means than HTTP. Its errors are *egress.Errors.
type Sender func(ctx context.Context, t *store.Target, r egress.Request) (egress.Response, error)

// Event is a judged attempt, for counters.
type Event struct {
	Dialect  string
	Trigger  hook.Trigger
	Verdict  hook.Verdict
	State    hook.State    // of the delivery, afterwards
	Status   int           // 0 = no answer
	Failure  egress.Kind   // why there was none, "" = there was one
	Duration time.Duration // of the attempt
	Late     time.Duration // how long after its due time it was started
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = hook.NewClock(nil, nil)
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	if o.Jitter == nil {
		o.Jitter = upToATenth
	}
	if o.Faults.At == nil {
		o.Faults.At = func(string) {}
	}
	orInt(&o.Workers, 256)
	orInt(&o.MaxInFlight, 2048)
	orInt(&o.Concurrency, 16)
	orInt(&o.Window, 1024)
	orInt(&o.Hand, 64<<10)
	orInt(&o.CacheBytes, 32<<20)
	orInt(&o.FlightBytes, 128<<20)
	orInt(&o.BreakAfter, 10)
	orInt(&o.DisableAfter, 5*24*time.Hour)
	orInt(&o.SweepEvery, time.Minute)
	return o
}

func orInt[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

func upToATenth(wait time.Duration) time.Duration {
	if wait < 10 {
		return 0
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return time.Duration(binary.LittleEndian.Uint64(b[:]) % uint64(wait/10))
}

// Engine delivers. Make it with New; it begins with Start.
type Engine struct {
	o Options

	flights context.Context // of the requests; ends when Stop runs out of patience
	abort   context.CancelFunc
	records context.Context // of the writing of outcomes; ends last
	giveUp  context.CancelFunc
	running sync.WaitGroup
	ending  chan struct{} // closed when Stop is called
	stopped chan struct{}
	seeds   sync.Pool // of *seeder
	err     error     // of Stop, set before stopped is closed

	mu      sync.Mutex
	phase   phase
	broken  error
	lanes   map[hook.EndpointID]*lane
	wakes   wakes
	timer   *time.Timer
	armed   time.Time // what the timer runs for; zero = it has run
	shares  map[hook.ApplicationID]*share
	ready   ring[*share] // with lanes that may start an attempt
	wanting []*lane
	filling int
	flying  int
	active  int // lanes with something in flight
	hand    int // deliveries in hand over all lanes
	cached  int // bytes
	carried int // bytes of large messages in flight
	config  int // counts changes of the configuration
	sources map[hook.SourceID]*source
	apps    map[hook.ApplicationID]*throttle
	outbox  outbox
	tasks   tasks
	resting []chan *flight // of goroutines that made an attempt and wait for another, the last at the end; see rest
}

type phase int

const (
	idle phase = iota
	started
	stopping
)

// New makes an Engine that does nothing yet but remember what Changed tells it.
func New(o Options) *Engine {
	e := &Engine{
		o:       o.withDefaults(),
		ending:  make(chan struct{}),
		stopped: make(chan struct{}),
		lanes:   map[hook.EndpointID]*lane{},
		shares:  map[hook.ApplicationID]*share{},
		sources: map[hook.SourceID]*source{},
		apps:    map[hook.ApplicationID]*throttle{},
		tasks:   tasks{some: make(chan struct{}, 1)},
	}
	e.outbox.some.L = &e.mu
	e.seeds.New = func() any { return &seeder{mac: hmac.New(sha256.New, []byte(e.o.SeedKey.Reveal()))} }
	e.flights, e.abort = context.WithCancel(context.Background())
	e.records, e.giveUp = context.WithCancel(context.Background())
	return e
}

// Start reads what is pending and begins to deliver. A second call does nothing.
func (e *Engine) Start(ctx context.Context) error {
	pending, err := e.o.Store.Pending(ctx)
	if err != nil {
		return err
	}
	tasks, err := e.o.Store.RunningTasks(ctx)
	if err != nil {
		return err
	}
	if e.o.Faults.NoRescue {
		pending, tasks = nil, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.phase != idle {
		return nil
	}
	e.phase = started
	now := e.o.Clock.Steady()
	for _, p := range pending {
		e.lane(p.Endpoint).dueAt(p.NextAt)
	}
	for _, l := range e.lanes {
		e.settle(l, now)
	}
	e.running.Go(e.record)
	e.running.Go(e.sweep)
	e.tasks.add(tasks...)
	e.running.Go(e.runTasks)
	e.dispatch(now)
	return nil
}

// Changed is told what the store did, before the call that did it returns. It does not block. When it has returned, no
// new attempt starts for an endpoint that was disabled, paused or deleted, nor of what was canceled; one whose request has
// begun ends and is recorded.
//
// Accepted messages are kept until their first attempt: nobody may change them.
func (e *Engine) Changed(c store.Change) {
	if c.Broken != nil {
		e.fail(c.Broken)
	}
	if len(c.Accepted) == 0 && !c.Config && c.Resend == 0 && len(c.Canceled) == 0 && c.Task == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.o.Clock.Steady()
	if c.Config {
		e.reconfigure(c.Endpoint, now)
	}
	for i := range c.Accepted {
		e.offer(&c.Accepted[i], now)
	}
	for _, w := range c.Canceled {
		e.cancel(w, now)
	}
	if c.Task != 0 {
		e.tasks.add(c.Task)
	}
	if c.Resend != 0 {
		l := e.lane(c.Resend)
		// Whoever asks for a resend has mended the endpoint, or wants to know: it is a probe.
		l.more, l.wish, l.pause, l.doubt = true, true, time.Time{}, time.Time{}
		e.settle(l, now)
	}
	e.dispatch(now)
}

// fail stops everything: the store must not be used again.
func (e *Engine) fail(err error) {
	e.mu.Lock()
	first := e.broken == nil
	if first {
		e.broken = err
	}
	e.outbox.some.Broadcast()
	e.mu.Unlock()
	if first {
		e.o.Log.Error("delivery stops: the store is broken", "err", err)
		if e.o.Broken != nil {
			go e.o.Broken(err)
		}
	}
}

// Stop starts no new attempt, waits for those in flight until the context ends, records them and returns. Attempts that
// the context cut off are not recorded: the next start makes them again. It may be called twice and before Start.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	first := e.phase != stopping
	e.phase = stopping
	if e.timer != nil {
		e.timer.Stop()
	}
	e.outbox.some.Broadcast()
	e.sendHome()
	e.mu.Unlock()
	if first {
		close(e.ending)
		go e.finish(ctx)
	}
	<-e.stopped
	return e.err
}

// patience is how long outcomes may take to be recorded after the requests have ended, whatever the context says.
const patience = 5 * time.Second

func (e *Engine) finish(ctx context.Context) {
	defer close(e.stopped)
	defer e.giveUp()
	defer e.abort()
	ended := make(chan struct{})
	go func() { e.running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		e.abort()
		limit := time.NewTimer(patience)
		defer limit.Stop()
		select {
		case <-ended:
		case <-limit.C:
			e.giveUp()
			<-ended
		}
	}
	e.mu.Lock()
	lost, broken := len(e.outbox.waiting), e.broken
	e.mu.Unlock()
	switch {
	case broken != nil:
		e.err = broken
	case lost > 0:
		e.err = hook.Errorf(hook.KindUnavailable, "%d attempts could not be recorded and will be made again", lost)
	}
}

// Stats are present numbers, for gauges.
type Stats struct {
	Lanes       int // endpoints with work, or with some lately
	InFlight    int // requests
	InHand      int // deliveries in memory: waiting, in flight, or not yet recorded
	CachedBytes int // of messages that wait for their first attempt
	FlightBytes int // of large messages that were read for an attempt
	Unrecorded  int // attempts that were judged and are not yet recorded
	Stuck       bool
}

// Stats returns the present numbers. Stuck means that outcomes cannot be recorded for now, so that no attempt starts.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return Stats{
		Lanes: len(e.lanes), InFlight: e.flying, InHand: e.hand, CachedBytes: e.cached, FlightBytes: e.carried,
		Unrecorded: len(e.outbox.waiting) + e.outbox.writing, Stuck: e.outbox.stuck,
	}
}

// storeFailed deals with an error of the store outside of recording: true means that everything stops.
func (e *Engine) storeFailed(err error) bool {
	if errors.Is(err, store.ErrBroken) {
		e.fail(err)
		return true
	}
	return false
}
