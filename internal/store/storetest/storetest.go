// Package storetest owns the suite that every backend of the store must pass: one subtest for each promise of the contract.
package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// Open makes an empty store that tells changed of its commits, and closes it at the end of the test.
type Open func(t *testing.T, changed func(store.Change)) store.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, part := range []struct {
		name  string
		tests map[string]func(*testing.T, *fixture)
	}{
		{"config", configTests},
		{"accept", acceptTests},
		{"keys", keyTests},
		{"delivery", deliveryTests},
		{"finish", finishTests},
		{"read", readTests},
		{"page", pageTests},
		{"retention", retentionTests},
		{"life", lifeTests},
		{"event types", eventTypeTests},
		{"operational", operationalTests},
		{"along", alongTests},
		{"withdraw", withdrawTests},
		{"attempted", attemptedTests},
		{"stats", statsTests},
		{"consumers", consumerTests},
		{"tasks", taskTests},
		{"follow", followTests},
	} {
		t.Run(part.name, func(t *testing.T) {
			for name, test := range part.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, newFixture(t, open))
				})
			}
		})
	}
}

// fixture is one test's own store, with a clock that stands still unless the test moves it.
type fixture struct {
	store.Store
	t   *testing.T
	ctx context.Context
	ids *hook.Generator
	now time.Time

	mu      sync.Mutex
	changes []store.Change
	listen  func(store.Change) // called from within the store's telling, when set
}

func newFixture(t *testing.T, open Open) *fixture {
	f := &fixture{t: t, ctx: t.Context(), ids: hook.NewGenerator(1, 0), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	f.Store = open(t, func(c store.Change) {
		f.mu.Lock()
		f.changes = append(f.changes, c)
		listen := f.listen
		f.mu.Unlock()
		if listen != nil {
			listen(c)
		}
	})
	return f
}

// told returns what the store has told since the last call.
func (f *fixture) told() []store.Change {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.changes
	f.changes = nil
	return c
}

// later moves the clock.
func (f *fixture) later(d time.Duration) time.Time {
	f.now = f.now.Add(d)
	return f.now
}

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// fails wants an error of a kind.
func (f *fixture) fails(err error, kind hook.Kind) {
	f.t.Helper()
	if err == nil || hook.KindOf(err) != kind {
		f.t.Fatalf("got error %v of kind %d, want kind %d", err, hook.KindOf(err), kind)
	}
}

// failsField is fails for an error about one field.
func (f *fixture) failsField(err error, kind hook.Kind, field string) {
	f.t.Helper()
	f.fails(err, kind)
	if e := err.(*hook.Error); e.Field != field {
		f.t.Fatalf("the error is about field %q, want %q", e.Field, field)
	}
}

func (f *fixture) app() hook.Application {
	f.t.Helper()
	a := hook.Application{ID: hook.NewID[hook.ApplicationID](f.ids, f.now), Name: "shop", CreatedAt: f.now, UpdatedAt: f.now}
	f.ok(f.CreateApplication(f.ctx, a))
	return a
}

func (f *fixture) newEndpoint(app hook.ApplicationID) hook.Endpoint {
	return hook.Endpoint{
		ID: hook.NewID[hook.EndpointID](f.ids, f.now), App: app, URL: "https://example.com/hook", Dialect: "standard",
		Format: hook.FormatPayload, CreatedAt: f.now, UpdatedAt: f.now,
	}
}

func (f *fixture) endpoint(app hook.ApplicationID) hook.Endpoint {
	f.t.Helper()
	e := f.newEndpoint(app)
	f.ok(f.CreateEndpoint(f.ctx, e))
	return e
}

func (f *fixture) newSource(app hook.ApplicationID) hook.Source {
	id := hook.NewID[hook.SourceID](f.ids, f.now)
	return hook.Source{ID: id, App: app, Dialect: "standard", Door: "door-" + id.String(), CreatedAt: f.now, UpdatedAt: f.now}
}

func (f *fixture) source(app hook.ApplicationID) hook.Source {
	f.t.Helper()
	s := f.newSource(app)
	f.ok(f.CreateSource(f.ctx, s))
	return s
}

func (f *fixture) newProfile() hook.Profile {
	return hook.Profile{ID: hook.NewID[hook.ProfileID](f.ids, f.now), Dialect: "standard", CreatedAt: f.now, UpdatedAt: f.now}
}

func (f *fixture) profile() hook.Profile {
	f.t.Helper()
	p := f.newProfile()
	f.ok(f.CreateProfile(f.ctx, p))
	return p
}

func (f *fixture) newMessage(app hook.ApplicationID) hook.Message {
	return hook.Message{
		ID: hook.NewID[hook.MessageID](f.ids, f.now), App: app, EventType: "order.created", CreatedAt: f.now,
		Payload: fmt.Appendf(nil, `{"id":%d}`, f.ids.Next(f.now)),
	}
}

// acceptAll takes a batch that must not fail as a whole.
func (f *fixture) acceptAll(batch ...hook.Accept) []hook.Accepted {
	f.t.Helper()
	out, err := f.Accept(f.ctx, batch)
	f.ok(err)
	if len(out) != len(batch) {
		f.t.Fatalf("%d answers for %d messages", len(out), len(batch))
	}
	return out
}

// accept takes one message that must be new.
func (f *fixture) accept(a hook.Accept) hook.Accepted {
	f.t.Helper()
	out := f.acceptAll(a)[0]
	f.ok(out.Err)
	if out.Duplicate {
		f.t.Fatalf("a new message was taken for a repeat of %s", out.Message.ID)
	}
	return out
}

// message takes a plain message.
func (f *fixture) message(app hook.ApplicationID) hook.Message {
	f.t.Helper()
	return f.accept(hook.Accept{Message: f.newMessage(app)}).Message
}

// outcome is a scheduled attempt with what it makes of a delivery.
func (f *fixture) outcome(d hook.Delivery, v hook.Verdict, schedule ...time.Duration) hook.Outcome {
	next := d.Step(v, hook.Scheduled, f.now, schedule, 0)
	return hook.Outcome{Delivery: next, Attempt: hook.Attempt{
		ID: hook.NewID[hook.AttemptID](f.ids, f.now), App: d.App, Message: d.Message, Endpoint: d.Endpoint,
		EventType: "order.created", URL: "https://example.com/hook", N: next.Attempts, Trigger: hook.Scheduled,
		At: f.now, Duration: 25 * time.Millisecond, Status: 200, Verdict: v, Reason: "because", NextAt: next.NextAt,
	}}
}

func (f *fixture) finish(batch ...hook.Outcome) {
	f.t.Helper()
	f.ok(f.Finish(f.ctx, batch))
}

// claim returns what is due now.
func (f *fixture) claim(ep hook.EndpointID, n int) ([]hook.Work, time.Time) {
	f.t.Helper()
	work, next, err := f.Claim(f.ctx, ep, f.now, time.Minute, n)
	f.ok(err)
	return work, next
}

// delivery returns where a message stands on its way to an endpoint.
func (f *fixture) delivery(app hook.ApplicationID, m hook.MessageID, ep hook.EndpointID) hook.Delivery {
	f.t.Helper()
	all, err := f.Deliveries(f.ctx, app, m)
	f.ok(err)
	for _, d := range all {
		if d.Endpoint == ep {
			return d
		}
	}
	f.t.Fatalf("message %s has no delivery to %s", m, ep)
	return hook.Delivery{}
}

func (f *fixture) counts() store.Counts {
	f.t.Helper()
	c, err := f.Counts(f.ctx)
	f.ok(err)
	return c
}

func (f *fixture) wantCounts(want store.Counts) {
	f.t.Helper()
	if got := f.counts(); got != want {
		f.t.Fatalf("counts are %+v, want %+v", got, want)
	}
}

// sweep calls Sweep until there is no more, and adds up what went.
func (f *fixture) sweep(s store.Sweep) (all store.Swept) {
	f.t.Helper()
	for range 10_000 {
		done, more, err := f.Sweep(f.ctx, s)
		f.ok(err)
		all.Messages += done.Messages
		all.Payloads += done.Payloads
		all.Keys += done.Keys
		if !more {
			return all
		}
	}
	f.t.Fatal("Sweep never comes to an end")
	return all
}
