package sqlite_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// side is all that the store should hold of one worker of the crash suite: the contract of the store, in maps. A worker
// has an application of its own and does one thing at a time, so that after a crash the store must show either what the
// worker was told last or what its one unanswered call makes of that, and nothing else.
type side struct {
	app       hook.Application // zero until it is made
	endpoints map[hook.EndpointID]hook.Endpoint
	sources   map[hook.SourceID]hook.Source
	messages  map[hook.MessageID]hook.Message
	routes    map[route]hook.Delivery
	attempts  map[hook.AttemptID]hook.Attempt
	wishes    map[route]int
	keys      map[string]hook.MessageID // by the text of recognise
	beat      time.Time
	highest   int64
	ever      map[hook.EndpointID]bool // every endpoint that was asked for; shared by all states of a worker
}

type route struct {
	message  hook.MessageID
	endpoint hook.EndpointID
}

func newSide() *side {
	return &side{
		endpoints: map[hook.EndpointID]hook.Endpoint{}, sources: map[hook.SourceID]hook.Source{},
		messages: map[hook.MessageID]hook.Message{}, routes: map[route]hook.Delivery{}, attempts: map[hook.AttemptID]hook.Attempt{},
		wishes: map[route]int{}, keys: map[string]hook.MessageID{}, ever: map[hook.EndpointID]bool{},
	}
}

func (s *side) clone() *side {
	c := *s
	c.endpoints, c.sources, c.messages = maps.Clone(s.endpoints), maps.Clone(s.sources), maps.Clone(s.messages)
	c.routes, c.attempts, c.wishes, c.keys = maps.Clone(s.routes), maps.Clone(s.attempts), maps.Clone(s.wishes), maps.Clone(s.keys)
	return &c
}

func (s *side) issued(id int64) { s.highest = max(s.highest, id) }

// recognise returns what a message is recognised by.
func recognise(a *hook.Accept) (keys []string) {
	if a.Dedup.Key != "" {
		keys = append(keys, "key "+a.Dedup.Key)
	}
	if a.Unique {
		keys = append(keys, "event "+a.Message.EventID)
	}
	return keys
}

// accept is store.Flow's Accept; the answer is one text for the batch.
func (s *side) accept(batch []hook.Accept) string {
	answers := make([]string, len(batch))
	for i := range batch {
		answers[i] = s.acceptOne(&batch[i])
	}
	return strings.Join(answers, ", ")
}

func (s *side) acceptOne(a *hook.Accept) string {
	keys := recognise(a)
	for _, k := range keys {
		if id, ok := s.keys[k]; ok {
			return "repeats " + id.String()
		}
	}
	m := a.Message
	for _, k := range keys {
		s.keys[k] = m.ID
	}
	s.messages[m.ID] = m
	s.issued(int64(m.ID))
	n := 0
	for _, e := range s.endpoints {
		if ok, _ := e.Matches(&m); ok {
			n++
			s.routes[route{m.ID, e.ID}] = hook.Delivery{App: m.App, Message: m.ID, Endpoint: e.ID, NextAt: m.CreatedAt}
		}
	}
	return fmt.Sprint("new, deliveries: ", n)
}

func answerOf(out []hook.Accepted) string {
	answers := make([]string, len(out))
	for i := range out {
		switch o := &out[i]; {
		case o.Err != nil:
			answers[i] = o.Err.Error()
		case o.Duplicate:
			answers[i] = "repeats " + o.Message.ID.String()
		default:
			answers[i] = fmt.Sprint("new, deliveries: ", len(o.Deliveries))
		}
	}
	return strings.Join(answers, ", ")
}

// finish is store.Flow's Finish of one outcome.
func (s *side) finish(o *hook.Outcome) {
	r := route{o.Attempt.Message, o.Attempt.Endpoint}
	if s.kept(r.message) { // otherwise retention may have taken it, and nothing is recorded
		s.issued(int64(o.Attempt.ID))
	}
	d, ok := s.routes[r]
	if ok {
		switch success := o.Attempt.Verdict == hook.Success; {
		case o.Attempt.Trigger == hook.Manual && !success:
		case d.State == hook.Pending:
			d.State, d.NextAt, d.Attempts = o.Delivery.State, o.Delivery.NextAt, max(d.Attempts, o.Delivery.Attempts)
		case success:
			d.State, d.NextAt = hook.Delivered, time.Time{}
			fallthrough
		default:
			d.Attempts = max(d.Attempts, o.Delivery.Attempts)
		}
		s.routes[r] = d
		s.attempts[o.Attempt.ID] = o.Attempt
	}
	if o.Resend != 0 && s.wishes[r] > 0 {
		s.wishes[r]--
	}
	if e, ok := s.endpoints[r.endpoint]; ok && o.Health != nil {
		e.FailingSince = o.Health.FailingSince
		if o.Health.Disable {
			e.Disabled, e.DisabledReason = true, o.Health.Reason
			s.cancel(e.ID)
		}
		s.endpoints[e.ID] = e
	}
}

func (s *side) cancel(ep hook.EndpointID) {
	for r, d := range s.routes {
		if r.endpoint == ep && d.State == hook.Pending {
			d.State, d.NextAt = hook.Canceled, time.Time{}
			s.routes[r] = d
		}
	}
	maps.DeleteFunc(s.wishes, func(r route, _ int) bool { return r.endpoint == ep })
}

func (s *side) putEndpoint(e hook.Endpoint) {
	s.endpoints[e.ID] = e
	s.ever[e.ID] = true
	s.issued(int64(e.ID))
	if e.Disabled {
		s.cancel(e.ID)
	}
}

func (s *side) deleteEndpoint(ep hook.EndpointID) {
	s.cancel(ep)
	delete(s.endpoints, ep)
}

func (s *side) resend(r route) {
	if _, ok := s.routes[r]; !ok {
		s.routes[r] = hook.Delivery{App: s.app.ID, Message: r.message, Endpoint: r.endpoint, State: hook.Canceled}
	}
	s.wishes[r]++
}

// kept says whether retention must leave a message: it has work, and has had it ever since.
func (s *side) kept(m hook.MessageID) bool {
	for r, d := range s.routes {
		if r.message == m && (d.State == hook.Pending || s.wishes[r] > 0) {
			return true
		}
	}
	return false
}

// drop forgets a message that retention has taken. Its keys are remembered as long as they were meant to be.
func (s *side) drop(gone map[hook.MessageID]bool) {
	for m := range gone {
		delete(s.messages, m)
	}
	maps.DeleteFunc(s.routes, func(r route, _ hook.Delivery) bool { return gone[r.message] })
	maps.DeleteFunc(s.attempts, func(_ hook.AttemptID, a hook.Attempt) bool { return gone[a.Message] })
}

// sight is what can be seen of one application: a text for each thing.
type sight map[string]string

func (s *side) sight() sight {
	v := sight{}
	if s.app.ID == 0 {
		return v
	}
	v.app(s.app)
	if !s.beat.IsZero() {
		v.beat(s.beat)
	}
	for _, e := range s.endpoints {
		v.endpoint(&e)
		var work []hook.Work
		for r, d := range s.routes {
			if r.endpoint != e.ID {
				continue
			}
			for range s.wishes[r] {
				work = append(work, hook.Work{Delivery: d, Trigger: hook.Manual})
			}
			if d.State == hook.Pending {
				work = append(work, hook.Work{Delivery: d})
			}
		}
		v.work(e.ID, work, len(work) > 0)
	}
	for _, src := range s.sources {
		v.source(&src)
	}
	for _, m := range s.messages {
		v.message(&m)
	}
	for _, d := range s.routes {
		v.delivery(d)
	}
	for _, a := range s.attempts {
		v.attempt(&a)
	}
	return v
}

func (v sight) beat(t time.Time) { v["beat"] = fmt.Sprint(t.UnixMilli()) }

func (v sight) app(a hook.Application) {
	v["application"] = fmt.Sprintf("%v %q %q %d %v", a.ID, a.UID, a.Name, a.ThrottleRate, a.Metadata)
}

func (v sight) endpoint(e *hook.Endpoint) {
	v["endpoint "+e.ID.String()] = fmt.Sprintf("%q %q %v %q %v %v %v", e.URL, e.EventTypes, e.Disabled, e.DisabledReason,
		e.FailingSince.UnixMilli(), e.Settings, e.Headers)
}

func (v sight) source(s *hook.Source) {
	v["source "+s.ID.String()] = fmt.Sprintf("%q %q %v", s.Door, s.Name, s.Settings)
}

func (v sight) message(m *hook.Message) {
	raw := "none"
	if m.Raw != nil {
		raw = fmt.Sprintf("%s %s %v %s", m.Raw.Method, m.Raw.Query, m.Raw.Header, m.Raw.Body)
	}
	v["message "+m.ID.String()] = fmt.Sprintf("%q %q %q %v %s %v %v raw %s", m.EventType, m.EventID, m.Channels, m.Platform, m.Payload,
		m.Expired, m.CreatedAt.UnixMilli(), raw)
}

func (v sight) delivery(d hook.Delivery) {
	v[fmt.Sprint("delivery ", d.Message, " to ", d.Endpoint)] = fmt.Sprintf("%v %d %d", d.State, d.Attempts, d.NextAt.UnixMilli())
}

func (v sight) attempt(a *hook.Attempt) {
	v["attempt "+a.ID.String()] = fmt.Sprintf("%v %v %s %d %d %d %v %d %d %s %q %d", a.Message, a.Endpoint, a.URL, a.N, a.Trigger,
		a.At.UnixMilli(), a.Duration, a.Status, a.Verdict, a.Reason, a.Response, a.NextAt.UnixMilli())
}

// work is what Claim gives, and whether Pending tells of it at the start.
func (v sight) work(ep hook.EndpointID, work []hook.Work, told bool) {
	lines := make([]string, len(work))
	for i, w := range work {
		lines[i] = fmt.Sprint(w.Delivery.Message, " ", w.Trigger)
	}
	slices.Sort(lines)
	v["work "+ep.String()] = fmt.Sprint(strings.Join(lines, ", "), ", told ", told)
}

// rows counts what a look at the whole store has seen. pending is what the store tells of at its start.
type rows struct {
	messages, expired, deliveries, attempts, endpoints, sources, applications int
	pending                                                                   map[hook.EndpointID]bool
}

// look reads an application through the store's own methods. ever are the endpoints that it has or had.
func look(ctx context.Context, db *sqlite.DB, app hook.ApplicationID, ever map[hook.EndpointID]bool, n *rows) (v sight, present map[hook.MessageID]bool, err error) {
	v, present = sight{}, map[hook.MessageID]bool{}
	a, err := db.Application(ctx, app.String())
	if hook.KindOf(err) == hook.KindNotFound {
		return v, present, nil
	} else if err != nil {
		return v, present, err
	}
	v.app(a)
	n.applications++
	if err := lookAround(ctx, db, app, v, n); err != nil {
		return v, present, err
	}
	for ep := range ever {
		if err := lookBack(ctx, db, app, ep, v, n); err != nil {
			return v, present, err
		}
	}
	for after := ""; ; {
		list, err := db.Messages(ctx, app, store.MessageFilter{}, store.Page{Limit: 250, After: after})
		if err != nil {
			return v, present, err
		}
		for i := range list.Items {
			present[list.Items[i].ID] = true
			if err := lookAt(ctx, db, app, list.Items[i].ID, v, n); err != nil {
				return v, present, err
			}
		}
		if list.Done {
			return v, present, nil
		}
		after = list.Last
	}
}

// lookAround reads what is configured, and the work that there is.
func lookAround(ctx context.Context, db *sqlite.DB, app hook.ApplicationID, v sight, n *rows) error {
	endpoints, err := db.Endpoints(ctx, app, store.Page{Limit: 250})
	if err != nil {
		return err
	}
	for i := range endpoints.Items {
		n.endpoints++
		v.endpoint(&endpoints.Items[i])
		work, _, err := db.Claim(ctx, endpoints.Items[i].ID, farAway, 0, 10_000)
		if err != nil {
			return err
		}
		v.work(endpoints.Items[i].ID, work, n.pending[endpoints.Items[i].ID])
	}
	sources, err := db.Sources(ctx, app, store.Page{Limit: 250})
	for i := range sources.Items {
		n.sources++
		v.source(&sources.Items[i])
	}
	return err
}

var farAway = time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)

// lookAt reads a message with all that became of it.
func lookAt(ctx context.Context, db *sqlite.DB, app hook.ApplicationID, id hook.MessageID, v sight, n *rows) error {
	m, err := db.Load(ctx, id)
	if err != nil {
		return err
	}
	n.messages++
	if m.Expired {
		n.expired++
	}
	v.message(&m)
	deliveries, err := db.Deliveries(ctx, app, id)
	if err != nil {
		return err
	}
	for _, d := range deliveries {
		n.deliveries++
		v.delivery(d)
	}
	return nil
}

// lookBack reads the attempts that were made for an endpoint, which may be gone.
func lookBack(ctx context.Context, db *sqlite.DB, app hook.ApplicationID, ep hook.EndpointID, v sight, n *rows) error {
	for after := ""; ; {
		list, err := db.Attempts(ctx, app, store.AttemptFilter{Endpoint: ep, WithContent: true}, store.Page{Limit: 250, After: after})
		if err != nil {
			return err
		}
		for i := range list.Items {
			n.attempts++
			v.attempt(&list.Items[i])
		}
		if list.Done {
			return nil
		}
		after = list.Last
	}
}

// differ lists what is in one and not in the other, or not the same.
func differ(want, got sight) (lines []string) {
	for k, w := range want {
		if g, ok := got[k]; !ok {
			lines = append(lines, "lost: "+k+" = "+w)
		} else if g != w {
			lines = append(lines, "changed: "+k+"\n    is   "+g+"\n    want "+w)
		}
	}
	for k, g := range got {
		if _, ok := want[k]; !ok {
			lines = append(lines, "never asked for, or taken back: "+k+" = "+g)
		}
	}
	slices.Sort(lines)
	return lines
}
