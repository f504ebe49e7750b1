package storetest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// taskModel is what tasks are held against: a plain look at every message.
type taskModel struct {
	*fixture
	rng       *rand.Rand
	app       hook.ApplicationID
	endpoints []hook.Endpoint
	all       []hook.Message
	attempted map[hook.MessageID]map[hook.EndpointID]bool
}

// tasksByModel holds random tasks against what a plain look at every message says.
func tasksByModel(t *testing.T, f *fixture) {
	app := f.app().ID
	m := &taskModel{
		fixture: f, rng: rand.New(rand.NewPCG(7, 7)), app: app, endpoints: []hook.Endpoint{f.endpoint(app), f.endpoint(app)},
		attempted: map[hook.MessageID]map[hook.EndpointID]bool{},
	}
	for range 60 {
		m.publish()
	}
	for round := range 40 {
		m.round(t, round)
	}
}

func (m *taskModel) pick(list ...string) string { return list[m.rng.IntN(len(list))] }

// publish accepts one message, after a change of an endpoint now and then, and does something with each delivery.
func (m *taskModel) publish() {
	e := &m.endpoints[m.rng.IntN(2)]
	if m.rng.IntN(4) == 0 {
		e.EventTypes = [][]string{nil, {"a"}, {"a", "b"}}[m.rng.IntN(3)]
		m.ok(m.UpdateEndpoint(m.ctx, *e))
	}
	msg := m.newMessage(m.app)
	msg.EventType, msg.Channels, msg.Tags = m.pick("a", "b", "c"), []string{m.pick("x", "y")}, []string{m.pick("s", "t")}
	out := m.accept(hook.Accept{Message: msg})
	m.all = append(m.all, out.Message)
	m.attempted[out.Message.ID] = map[hook.EndpointID]bool{}
	for _, d := range out.Deliveries {
		m.attempted[d.Message][d.Endpoint] = m.treat(d)
	}
	m.later(time.Second)
}

// treat attempts a delivery, cancels it or leaves it, and says whether it was attempted.
func (m *taskModel) treat(d hook.Delivery) bool {
	switch m.rng.IntN(5) {
	case 0:
		m.finish(m.outcome(d, hook.Refuse))
	case 1:
		m.finish(m.outcome(d, hook.Success))
	case 2:
		m.finish(m.outcome(d, hook.Retry, time.Hour))
	case 3:
		_, err := m.Cancel(m.ctx, m.app, d.Message, d.Endpoint, m.now)
		m.ok(err)
		return false
	default:
		return false
	}
	return true
}

// task makes one of a random kind, span and filter.
func (m *taskModel) task(e *hook.Endpoint) hook.Task {
	k := m.newTask([]hook.TaskKind{hook.TaskRecover, hook.TaskReplay, hook.TaskBulk}[m.rng.IntN(3)], e)
	a, b := m.rng.IntN(60), m.rng.IntN(60)
	k.Since, k.Until = m.all[min(a, b)].CreatedAt, m.all[max(a, b)].CreatedAt
	switch m.rng.IntN(4) {
	case 0:
		k.EventTypes = []string{m.pick("a", "b", "none")}
	case 1:
		k.Channel, k.Tag = "x", m.pick("s", "t", "")
	case 2:
		k.States = [][]hook.State{{hook.Failed}, {hook.Canceled, hook.Delivered}, {hook.Pending}}[m.rng.IntN(3)]
	}
	return k
}

// expect says of which messages a task wishes a resend, and of which it makes a delivery.
func (m *taskModel) expect(k *hook.Task, e *hook.Endpoint) (wishes, fresh []hook.MessageID) {
	for i := range m.all {
		msg := &m.all[i]
		if msg.CreatedAt.Before(k.Since) || !msg.CreatedAt.Before(k.Until) || len(k.EventTypes) > 0 && msg.EventType != k.EventTypes[0] ||
			k.Channel != "" && msg.Channels[0] != k.Channel || k.Tag != "" && msg.Tags[0] != k.Tag {
			continue
		}
		state, there := m.stateOf(m.app, msg.ID, e.ID)
		wanted := len(e.EventTypes) == 0 || slices.Contains(e.EventTypes, msg.EventType)
		wish := false
		switch k.Kind {
		case hook.TaskRecover:
			wish = there && state == hook.Failed
		case hook.TaskBulk:
			wish = wanted && (len(k.States) == 0 || there && slices.Contains(k.States, state))
		case hook.TaskReplay:
			wish = wanted && there && state != hook.Pending && !m.attempted[msg.ID][e.ID]
			if wanted && !there {
				fresh = append(fresh, msg.ID)
			}
		}
		if wish {
			wishes = append(wishes, msg.ID)
		}
	}
	return wishes, fresh
}

// round runs a task and compares.
func (m *taskModel) round(t *testing.T, round int) {
	e := &m.endpoints[m.rng.IntN(2)]
	k := m.task(e)
	wishes, fresh := m.expect(&k, e)
	done := m.run(k, 1+m.rng.IntN(20))
	got := m.wished(e.ID)
	if !slices.Equal(got, wishes) || done.Done != int64(len(wishes)+len(fresh)) {
		t.Fatalf("round %d, %s with %+v to %+v: wished %v, want %v; done %d, want %d and %d new", round, k.Kind, k, e.EventTypes, got, wishes,
			done.Done, len(wishes), len(fresh))
	}
	for _, id := range fresh {
		if state, there := m.stateOf(m.app, id, e.ID); !there || state != hook.Pending {
			t.Fatalf("round %d: %s is %s", round, id, state)
		}
	}
	for _, id := range got {
		m.attempted[id][e.ID] = true
	}
	m.dropWishes(e.ID)
	m.statsAgree(m.app)
}

// dropWishes makes what is wished for an endpoint, without success.
func (f *fixture) dropWishes(ep hook.EndpointID) {
	f.t.Helper()
	for range 1000 {
		work, _ := f.claim(ep, 1)
		if len(work) == 0 || work[0].Resend == 0 {
			return
		}
		f.finish(f.manual(work[0], hook.Retry))
	}
	f.t.Fatal("there is no end of wishes")
}

func (f *fixture) stateOf(app hook.ApplicationID, m hook.MessageID, ep hook.EndpointID) (state hook.State, there bool) {
	f.t.Helper()
	all, err := f.Deliveries(f.ctx, app, m)
	f.ok(err)
	for _, d := range all {
		if d.Endpoint == ep {
			return d.State, true
		}
	}
	return 0, false
}
