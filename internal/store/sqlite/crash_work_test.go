package sqlite_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// worker does random things to its application, one at a time.
type worker struct {
	*life
	n    int
	rng  *rand.Rand
	side *side
	lost *op // what had no answer when the power went
	last []hook.Accept

	repeats int
}

// A deed is one call of the store. Several of one op are under way at once.
type deed func(ctx context.Context, db *sqlite.DB) (answer string, err error)

// op is what a worker does next, with everything that may come of it. The first outcome is always that nothing does.
type op struct {
	name     string
	deeds    []deed
	outcomes []outcome
	results  []result
	batch    []hook.Accept // what a sender would post again
}

// outcome is a way that an op may go: the deed by which it goes that way, all answers, and what the store then holds.
type outcome struct {
	by      int // -1 = none: nothing was done
	answers []string
	side    *side
}

type result struct {
	answer string
	err    error
}

// any stands for an answer that is not foretold.
const anyAnswer = "*"

// possible says whether an outcome agrees with the answers. A deed that was refused did nothing; one that failed
// otherwise may have done what it should.
func (o *op) possible(out *outcome) bool {
	for i, r := range o.results {
		switch {
		case r.err == nil:
			if out.by < 0 || out.answers[i] != anyAnswer && out.answers[i] != r.answer {
				return false
			}
		case refused(r.err) && out.by == i:
			return false
		}
	}
	return true
}

// refused says that an error is a plain no.
func refused(err error) bool {
	k := hook.KindOf(err)
	return k == hook.KindUnavailable || k == hook.KindNotFound || k == hook.KindConflict || k == hook.KindGone
}

// uncertain says that an op has no answer from one of its deeds.
func (o *op) uncertain() bool {
	return slices.ContainsFunc(o.results, func(r result) bool { return r.err != nil && !refused(r.err) })
}

// single is an op of one deed whose answer is foretold.
func (w *worker) single(name, answer string, next *side, do deed) *op {
	return &op{name: name, deeds: []deed{do}, outcomes: []outcome{{by: -1, side: w.side}, {0, []string{answer}, next}}}
}

// silent is single for a call that answers nothing.
func (w *worker) silent(name string, next *side, do func(context.Context, *sqlite.DB) error) *op {
	return w.single(name, "", next, func(ctx context.Context, db *sqlite.DB) (string, error) { return "", do(ctx, db) })
}

// next chooses what to do.
func (w *worker) next(ctx context.Context, db *sqlite.DB) *op {
	if w.side.app.ID == 0 {
		return w.createApp()
	}
	if len(w.side.endpoints) == 0 {
		return w.createEndpoint()
	}
	switch n := w.rng.IntN(100); {
	case n < 32:
		return w.accept()
	case n < 44:
		return w.acceptTwice()
	case n < 74:
		if o := w.finish(ctx, db); o != nil {
			return o
		}
	case n < 80:
		if o := w.resend(); o != nil {
			return o
		}
	case n < 84:
		if o := w.withdraw(); o != nil {
			return o
		}
	case n < 92:
		return w.configure()
	case w.n == 0 && n < 96:
		return w.sweep()
	case w.n == 0:
		now, next := w.now(), w.side.clone()
		next.beat = now
		return w.silent("beat", next, func(ctx context.Context, db *sqlite.DB) error {
			err := db.Beat(ctx, hook.ClockState{Wall: now, Steady: now.Add(-time.Hour)}, false)
			return err
		})
	}
	return w.accept()
}

func (w *worker) createApp() *op {
	now, next := w.now(), w.side.clone()
	next.app = hook.Application{ID: hook.NewID[hook.ApplicationID](w.ids, now), Name: fmt.Sprint("worker ", w.n), CreatedAt: now, UpdatedAt: now}
	next.issued(int64(next.app.ID))
	return w.silent("create application", next, func(ctx context.Context, db *sqlite.DB) error { return db.CreateApplication(ctx, next.app) })
}

func (w *worker) createEndpoint() *op {
	now, next := w.now(), w.side.clone()
	e := hook.Endpoint{
		ID: hook.NewID[hook.EndpointID](w.ids, now), App: w.side.app.ID, URL: "https://example.com/" + fmt.Sprint(w.rng.IntN(1000)),
		Dialect: "standard", Format: hook.FormatPayload, CreatedAt: now, UpdatedAt: now,
		Settings: hook.Settings{"secret": {fmt.Sprint(w.rng.Uint64())}}, Headers: map[string]string{"authorization": fmt.Sprint(w.rng.Uint64())},
	}
	if w.rng.IntN(3) == 0 {
		e.EventTypes = []string{"order.created"}
	}
	next.putEndpoint(e)
	return w.silent("create endpoint", next, func(ctx context.Context, db *sqlite.DB) error { return db.CreateEndpoint(ctx, e) })
}

// configure changes something that people configure.
func (w *worker) configure() *op {
	now, next := w.now(), w.side.clone()
	e := w.side.endpoints[pick(w.rng, w.side.endpoints)]
	switch n := w.rng.IntN(10); {
	case n < 2 && len(w.side.endpoints) < 4:
		return w.createEndpoint()
	case n == 3 && len(w.side.sources) < 4:
		s := hook.Source{ID: hook.NewID[hook.SourceID](w.ids, now), App: w.side.app.ID, Dialect: "standard", CreatedAt: now,
			Door: fmt.Sprintf("door-%d-%d", w.n, w.rng.Uint64()), Settings: hook.Settings{"key": {fmt.Sprint(w.rng.Uint64())}}}
		next.sources[s.ID] = s
		next.issued(int64(s.ID))
		return w.silent("create source", next, func(ctx context.Context, db *sqlite.DB) error { return db.CreateSource(ctx, s) })
	case n == 4 && len(w.side.sources) > 0:
		id := pick(w.rng, w.side.sources)
		delete(next.sources, id)
		return w.silent("delete source", next, func(ctx context.Context, db *sqlite.DB) error { return db.DeleteSource(ctx, w.side.app.ID, id) })
	case n == 5:
		next.deleteEndpoint(e.ID)
		return w.silent("delete endpoint", next, func(ctx context.Context, db *sqlite.DB) error {
			return db.DeleteEndpoint(ctx, e.App, e.ID, now)
		})
	case n == 6:
		next.app.Name, next.app.ThrottleRate = fmt.Sprint("renamed ", w.rng.IntN(100)), w.rng.IntN(100)
		return w.silent("update application", next, func(ctx context.Context, db *sqlite.DB) error { return db.UpdateApplication(ctx, next.app) })
	}
	e.Disabled = !e.Disabled && w.rng.IntN(3) == 0
	e.DisabledReason = ""
	e.URL += "x"
	e.Settings = hook.Settings{"secret": {fmt.Sprint(w.rng.Uint64())}}
	next.putEndpoint(e)
	return w.silent("update endpoint", next, func(ctx context.Context, db *sqlite.DB) error { return db.UpdateEndpoint(ctx, e) })
}

// batch makes messages: new ones, repeats of earlier ones and of one another.
func (w *worker) batch() []hook.Accept {
	if w.last != nil { // a sender repeats what had no answer
		again := slices.Clone(w.last)
		w.last = nil
		w.repeats++
		for i := range again {
			again[i].Message.ID = hook.NewID[hook.MessageID](w.ids, w.now())
		}
		return again
	}
	batch := make([]hook.Accept, 0, 4)
	for range 1 + w.rng.IntN(4) {
		batch = append(batch, w.message())
	}
	if known := slices.Sorted(maps.Keys(w.side.keys)); len(known) > 0 && w.rng.IntN(3) == 0 {
		batch = append(batch, w.repeat(known[w.rng.IntN(len(known))]))
	}
	if w.rng.IntN(5) == 0 {
		again := batch[0]
		again.Message.ID = hook.NewID[hook.MessageID](w.ids, w.now())
		batch = append(batch, again)
	}
	return batch
}

func (w *worker) message() hook.Accept {
	now := w.now()
	name := fmt.Sprint(w.rng.Uint64())
	m := hook.Message{
		ID: hook.NewID[hook.MessageID](w.ids, now), App: w.side.app.ID, EventType: []string{"order.created", "order.paid"}[w.rng.IntN(2)],
		CreatedAt: now, Platform: map[string]string{"n": name},
	}
	size := w.rng.IntN(400)
	if w.rng.IntN(12) == 0 {
		size = w.rng.IntN(20_000) // more than a page
	}
	m.Payload = fmt.Appendf(nil, `{"name":"%s","fill":"%0*d"}`, name, size, 7)
	if w.rng.IntN(2) == 0 {
		m.Raw = &hook.Raw{Method: "POST", Query: "q=" + name, Header: http.Header{"X-Name": {name}}, Body: fmt.Appendf(nil, `{"content":%s}`, m.Payload)}
	}
	a := hook.Accept{Message: m}
	switch w.rng.IntN(4) {
	case 0:
	case 1:
		a.Message.EventID, a.Unique, a.UniqueKeep = "event-"+name, true, 1000*time.Hour
	default:
		a.Dedup = hook.Dedup{Scope: "test", Key: "key-" + name, Keep: 1000 * time.Hour}
	}
	return a
}

// repeat makes a message that is recognised by a key.
func (w *worker) repeat(key string) hook.Accept {
	a := hook.Accept{Message: hook.Message{
		ID: hook.NewID[hook.MessageID](w.ids, w.now()), App: w.side.app.ID, EventType: "order.created", CreatedAt: w.now(), Payload: []byte(`{}`),
	}}
	if name, ok := cutPrefix(key, "event "); ok {
		a.Message.EventID, a.Unique, a.UniqueKeep = name, true, 1000*time.Hour
	} else {
		name, _ := cutPrefix(key, "key ")
		a.Dedup = hook.Dedup{Scope: "test", Key: name, Keep: 1000 * time.Hour}
	}
	return a
}

func cutPrefix(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):], true
	}
	return s, false
}

func acceptDeed(batch []hook.Accept) deed {
	return func(ctx context.Context, db *sqlite.DB) (string, error) {
		out, err := db.Accept(ctx, batch)
		return answerOf(out), err
	}
}

func (w *worker) accept() *op {
	batch, next := w.batch(), w.side.clone()
	answer := next.accept(batch)
	o := w.single("accept", answer, next, acceptDeed(batch))
	o.batch = batch
	return o
}

// acceptTwice posts the same messages from two sides at once: one of them is first, the other hears of duplicates.
func (w *worker) acceptTwice() *op {
	first := make([]hook.Accept, 0, 3)
	for range 1 + w.rng.IntN(3) {
		a := w.message()
		a.Dedup = hook.Dedup{Scope: "test", Key: fmt.Sprint("twice-", w.rng.Uint64()), Keep: 1000 * time.Hour}
		first = append(first, a)
	}
	second := slices.Clone(first)
	for i := range second {
		second[i].Message.ID = hook.NewID[hook.MessageID](w.ids, w.now())
	}
	a, b := w.side.clone(), w.side.clone()
	won, repeated := a.accept(first), a.accept(second)
	wonLate, repeatedEarly := b.accept(second), b.accept(first)
	return &op{
		name: "accept twice", batch: second, deeds: []deed{acceptDeed(first), acceptDeed(second)},
		outcomes: []outcome{{by: -1, side: w.side}, {0, []string{won, repeated}, a}, {1, []string{repeatedEarly, wonLate}, b}},
	}
}

var schedule = []time.Duration{time.Second, time.Minute, time.Hour}

// finish records attempts: of what is pending, of what is not any more, and of what was wished for.
func (w *worker) finish(ctx context.Context, db *sqlite.DB) *op {
	next := w.side.clone()
	var batch []hook.Outcome
	if wished := slices.SortedFunc(maps.Keys(w.side.wishes), compareRoutes); len(wished) > 0 && w.rng.IntN(3) == 0 {
		work, _, err := db.Claim(ctx, wished[w.rng.IntN(len(wished))].endpoint, farAway, 0, 1)
		if err == nil && len(work) == 1 && work[0].Resend != 0 {
			batch = append(batch, w.outcome(work[0].Delivery, hook.Manual, work[0].Resend))
		}
	}
	var open, closed []route
	for _, r := range slices.SortedFunc(maps.Keys(w.side.routes), compareRoutes) {
		if w.side.routes[r].State == hook.Pending {
			open = append(open, r)
		} else {
			closed = append(closed, r)
		}
	}
	for range 1 + w.rng.IntN(4) {
		from := open
		if len(open) == 0 || w.rng.IntN(8) == 0 {
			from = closed
		}
		if len(from) == 0 {
			continue
		}
		r := from[w.rng.IntN(len(from))]
		if !slices.ContainsFunc(batch, func(o hook.Outcome) bool { return o.Attempt.Message == r.message && o.Attempt.Endpoint == r.endpoint }) {
			batch = append(batch, w.outcome(w.side.routes[r], hook.Scheduled, 0))
		}
	}
	if len(batch) == 0 {
		return nil
	}
	for i := range batch {
		next.finish(&batch[i])
	}
	return w.silent("finish", next, func(ctx context.Context, db *sqlite.DB) error { return db.Finish(ctx, batch) })
}

func (w *worker) outcome(d hook.Delivery, t hook.Trigger, resend int64) hook.Outcome {
	now := w.now()
	v := []hook.Verdict{hook.Success, hook.Success, hook.Retry, hook.Retry, hook.Retry, hook.Refuse}[w.rng.IntN(6)]
	next := d.Step(v, t, now, schedule, 0)
	o := hook.Outcome{Delivery: next, Resend: resend, Attempt: hook.Attempt{
		ID: hook.NewID[hook.AttemptID](w.ids, now), App: d.App, Message: d.Message, Endpoint: d.Endpoint, EventType: "order.created",
		URL: "https://example.com", N: next.Attempts, Trigger: t, At: now, Duration: time.Duration(w.rng.IntN(1000)) * time.Millisecond,
		Status: 200 + w.rng.IntN(300), Verdict: v, Reason: "because", Response: []byte(fmt.Sprint("answer ", w.rng.IntN(1000))), NextAt: next.NextAt,
	}}
	switch w.rng.IntN(20) {
	case 0:
		o.Health = &hook.EndpointHealth{FailingSince: now}
	case 1:
		o.Health = &hook.EndpointHealth{FailingSince: now, Disable: true, Reason: "exhausted"}
	}
	return o
}

func (w *worker) resend() *op {
	if len(w.side.messages) == 0 {
		return nil
	}
	r := route{pick(w.rng, w.side.messages), pick(w.rng, w.side.endpoints)}
	next, now := w.side.clone(), w.now()
	disabled, expired := w.side.endpoints[r.endpoint].Disabled, w.side.messages[r.message].Expired
	next.resend(r)
	return w.silent("resend", next, func(ctx context.Context, db *sqlite.DB) error {
		err := db.Resend(ctx, w.side.app.ID, r.message, r.endpoint, now)
		kind := hook.KindOf(err)
		if err == nil && (disabled || expired) || kind == hook.KindConflict && !disabled || kind == hook.KindGone && !expired {
			w.problem("resend to an endpoint that is disabled (%v) of what was expunged (%v) is answered %v", disabled, expired, err)
		}
		if kind == hook.KindNotFound && !w.mayBeGone(w.side, r.message) {
			w.problem("resend: an acknowledged message is not found: %v", err)
		}
		return err
	})
}

func (w *worker) sweep() *op {
	s := store.Sweep{Now: w.now(), Limit: 1 + w.rng.IntN(50)}
	s.Before = s.Now.Add(-time.Duration(60+w.rng.IntN(240)) * time.Second)
	w.sweptBefore(s.Before)
	return w.single("sweep", anyAnswer, w.side, func(ctx context.Context, db *sqlite.DB) (string, error) {
		done, _, err := db.Sweep(ctx, s)
		w.swept(done.Messages, err)
		return "", err
	})
}

// pick takes a key of a map, by the seed alone.
func pick[K cmp.Ordered, V any](rng *rand.Rand, m map[K]V) K {
	keys := slices.Sorted(maps.Keys(m))
	return keys[rng.IntN(len(keys))]
}

func compareRoutes(a, b route) int {
	return cmp.Or(cmp.Compare(a.message, b.message), cmp.Compare(a.endpoint, b.endpoint))
}
