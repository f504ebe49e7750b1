package engine

import (
	"slices"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

const (
	maxTaskStep    = 200                   // messages or applications looked at in one step: it holds up other writes for as long
	firstTaskPause = 20 * time.Millisecond // of a task that waits for what it has asked for; each is twice the one before
	lastTaskPause  = time.Second
	taskError      = time.Minute // after a step that failed in a way that nobody foresaw
)

// tasks is the way to the goroutine that does the background tasks. It is guarded by the engine's lock.
type tasks struct {
	fresh []hook.TaskID // that it has not heard of
	some  chan struct{} // has room for one: there are fresh ones
}

// add has tasks done. They may be known already.
func (t *tasks) add(ids ...hook.TaskID) {
	if len(ids) == 0 {
		return
	}
	t.fresh = append(t.fresh, ids...)
	select {
	case t.some <- struct{}{}:
	default:
	}
}

// task is a background task as the goroutine that does it knows it.
type task struct {
	id       hook.TaskID
	read     bool // what follows is known
	kind     hook.TaskKind
	endpoint hook.EndpointID
	next     time.Time // when it is looked at again; zero = never yet
	pause    time.Duration
	done     bool
}

// runTasks does background tasks until the engine stops: one step of one task at a time, the tasks in turn, and of those
// about one endpoint the oldest. What a step did and where the next one goes on is one commit of the store, so a task may
// be left at any moment.
func (e *Engine) runTasks() {
	var list []*task
	for {
		list = e.known(list)
		busy := map[hook.EndpointID]bool{}
		var next time.Time
		for _, t := range list {
			if e.over() {
				return
			}
			if t.read && busy[t.endpoint] {
				continue
			}
			if e.work(t); t.done {
				continue
			}
			if t.read {
				busy[t.endpoint] = true
			}
			if next.IsZero() || t.next.Before(next) {
				next = t.next
			}
		}
		list = slices.DeleteFunc(list, func(t *task) bool { return t.done })
		if !e.awaitTasks(next) {
			return
		}
	}
}

// known returns the list with the fresh tasks behind it.
func (e *Engine) known(list []*task) []*task {
	e.mu.Lock()
	fresh := e.tasks.fresh
	e.tasks.fresh = nil
	e.mu.Unlock()
	have := map[hook.TaskID]bool{}
	for _, t := range list {
		have[t.id] = true
	}
	for _, id := range fresh {
		if !have[id] {
			have[id] = true
			list = append(list, &task{id: id})
		}
	}
	return list
}

// awaitTasks waits for a moment, zero being never, or for a fresh task. false means that the engine stops.
func (e *Engine) awaitTasks(next time.Time) bool {
	var at <-chan time.Time
	if !next.IsZero() {
		timer := time.NewTimer(next.Sub(e.o.Clock.Steady()))
		defer timer.Stop()
		at = timer.C
	}
	select {
	case <-e.ending:
		return false
	case <-e.tasks.some:
	case <-at:
	}
	return true
}

// over says that no step is to be made any more.
func (e *Engine) over() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.phase != started || e.broken != nil
}

// work does the next step of a task, when it is time for it and what the last one asked for is not too much already.
func (e *Engine) work(t *task) {
	now := e.o.Clock.Steady()
	switch {
	case t.next.After(now):
	case !t.read:
		t.next = now
		got, err := e.o.Store.Task(e.flights, t.id)
		t.read, t.kind, t.endpoint, t.done = err == nil, got.Kind, got.Endpoint, err == nil && got.State != hook.TaskRunning
		e.taskFailed(t, err)
	case e.crowded(t):
		t.pause = min(max(2*t.pause, firstTaskPause), lastTaskPause)
		t.next = now.Add(t.pause)
	default:
		t.pause, t.next = 0, now
		got, err := e.o.Store.StepTask(e.flights, t.id, e.o.Clock.Now(), now, e.taskStep(), func() int64 { return e.o.IDs.Next(e.o.Clock.Now()) })
		t.done = err == nil && got.State != hook.TaskRunning
		e.taskFailed(t, err)
	}
}

// taskFailed says what follows from an error of the store. A task that cannot be done for a reason of its own is failed by
// the store, and that is no error.
func (e *Engine) taskFailed(t *task, err error) {
	switch kind := hook.KindOf(err); {
	case err == nil:
	case e.storeFailed(err) || kind == hook.KindNotFound:
		t.done = true
	case kind == hook.KindUnavailable:
		t.next = e.o.Clock.Steady().Add(errorPause)
	default:
		e.o.Log.Error("a background task could not go on, will try again", "task", t.id.String(), "err", err)
		t.next = e.o.Clock.Steady().Add(taskError)
	}
}

// taskStep is how many messages or applications a step looks at. What two steps ask for leaves room in a window for what else
// is due.
func (e *Engine) taskStep() int { return max(1, min(maxTaskStep, e.o.Window/2)) }

// crowded says that a task has to wait: too much of what it asked for is still to be done, so that more of it would hold
// up other messages, or nothing can be recorded for now. What is in hand for other endpoints does not hold it up, since that may
// stay so for days: it only makes a broadcast, which is for all of them, slower.
func (e *Engine) crowded(t *task) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.outbox.full() {
		return true
	}
	if t.endpoint == 0 {
		return e.hand > e.o.Hand/2 && t.pause < lastTaskPause
	}
	l := e.lanes[t.endpoint]
	if l == nil {
		return false
	}
	if l.wish || l.filling {
		return true // what the last step asked for is not in hand yet
	}
	waiting := 0
	for k := range l.hand {
		if k.resend != 0 || t.kind == hook.TaskReplay {
			waiting++
		}
	}
	return waiting > e.o.Window/4
}
