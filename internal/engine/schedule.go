package engine

import (
	"container/heap"
	"slices"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

const (
	maxFilling = 4               // lanes that ask the store at once
	smallFill  = 16              // deliveries that a lane gets at once when there are many in hand
	lease      = 2 * time.Minute // of a claim: longer than any attempt takes until it is recorded
	errorPause = time.Second     // after the store could not be asked
)

// flight is a job on its way.
type flight struct {
	job
	lane   *lane
	target *target     // nil = to be loaded
	gen    int         // of the lane when it was taken
	trust  int         // likewise
	bytes  int         // that it holds of what large messages may take
	rates  rates       // that have let it through and do not know yet that it began
	at     time.Time   // when it began, by the clock; zero = it has not
	began  time.Time   // the same in steady time
	spared bool        // whatever the answer is, it does not disable the endpoint
	traced func(Event) // ends its span; nil = nobody traces
}

// dispatch starts what may be started: requests in goroutines of their own, questions to the store too. The lock is
// held.
func (e *Engine) dispatch(now time.Time) {
	for f := e.take(now); f != nil; f = e.take(now) {
		e.launch(f)
	}
	e.fillSome()
	e.armTimer(now)
}

// maxResting is how many goroutines wait for another attempt. A new one begins with a small stack, which grows while it makes
// its first; what waits costs memory.
const maxResting = 64

// launch has an attempt made by the goroutine that made one last, or by a new one. The lock is held.
func (e *Engine) launch(f *flight) {
	if n := len(e.resting) - 1; n >= 0 {
		e.resting[n] <- f // there is room for one
		e.resting = e.resting[:n]
		return
	}
	e.running.Go(func() { e.makeAttempts(f) })
}

// makeAttempts makes one attempt after the other, as long as there are any.
func (e *Engine) makeAttempts(f *flight) {
	inbox := make(chan *flight, 1)
	for f != nil {
		next := e.fly(f)
		if next == nil {
			next = e.rest(inbox)
		}
		f = next
	}
}

// rest waits for another attempt to be made. nil means that none is needed here.
func (e *Engine) rest(inbox chan *flight) *flight {
	e.mu.Lock()
	if e.phase != started || len(e.resting) >= maxResting {
		e.mu.Unlock()
		return nil
	}
	e.resting = append(e.resting, inbox)
	e.mu.Unlock()
	return <-inbox
}

// sendHome ends the goroutines that wait for another attempt. The lock is held.
func (e *Engine) sendHome() {
	for _, inbox := range e.resting {
		close(inbox)
	}
	e.resting = nil
}

// fillSome asks the store for the lanes that want it, some at a time.
func (e *Engine) fillSome() {
	for len(e.wanting) > 0 && e.filling < maxFilling && e.phase == started && e.broken == nil {
		l := e.wanting[0]
		e.wanting[0] = nil
		e.wanting = e.wanting[1:]
		l.wants = false
		if l.asleep || l.filling {
			continue
		}
		e.filling++
		l.filling, l.more, l.wish, l.next = true, false, false, time.Time{}
		n := e.room(l) + len(l.hand)
		gen := l.gen
		e.running.Go(func() { e.fill(l, n, gen) })
	}
}

// room is how much more a lane may have in its queue.
func (e *Engine) room(l *lane) int {
	n := e.o.Window - len(l.queue)
	switch {
	case e.hand > 2*e.o.Hand:
		n = 1
	case e.hand > e.o.Hand:
		n = min(n, smallFill)
	}
	return max(n, 1)
}

// short says that a lane's queue is so short that the store is asked for more.
func (e *Engine) short(l *lane) bool {
	if e.hand > e.o.Hand {
		return len(l.queue) == 0
	}
	return len(l.queue) <= e.o.Window/4
}

// fill reads due work of a lane from the store.
func (e *Engine) fill(l *lane, n, gen int) {
	work, next, err := e.o.Store.Claim(e.flights, l.id, e.o.Clock.Steady(), lease, n)
	broken := err != nil && e.storeFailed(err)
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.o.Clock.Steady()
	e.filling--
	recorded, canceled := l.recorded, l.canceled
	l.filling, l.recorded, l.canceled = false, nil, nil
	switch {
	case broken:
		return
	case err != nil:
		e.o.Log.Warn("the due deliveries of an endpoint could not be read, will try again", "endpoint", l.id.String(), "err", err)
		l.dueAt(now.Add(errorPause))
	case l.gen != gen || l.asleep:
		// What was read may have been canceled since.
		l.more = true
	default:
		l.dueAt(next)
		l.more = l.more || len(work) >= n
		work = slices.DeleteFunc(work, func(w hook.Work) bool {
			_, was := canceled[w.Delivery.Message]
			return was
		})
		e.merge(l, work, recorded)
	}
	e.settle(l, now)
	e.dispatch(now)
}

// merge queues work that is not in hand, resends in front.
func (e *Engine) merge(l *lane, work []hook.Work, recorded map[key]bool) {
	manual := 0
	for _, w := range work {
		j := job{Work: w}
		k := j.key()
		_, inHand := l.hand[k]
		if _, done := recorded[k]; inHand || done {
			continue
		}
		l.hand[k] = nil
		e.hand++
		if w.Trigger == hook.Manual {
			now := l.hand[j.scheduled()]
			j.told = recorded[j.scheduled()] || now != nil && now.told
			l.queue = slices.Insert(l.queue, manual, j)
			manual++
		} else {
			l.queue = append(l.queue, j)
		}
	}
}

// offer queues the deliveries of a message that was just accepted, where there is room. Where there is none they are read
// from the store in their turn.
func (e *Engine) offer(a *hook.Accepted, now time.Time) {
	if a.Duplicate || a.Err != nil || len(a.Deliveries) == 0 {
		return
	}
	var msg *message
	if size := sizeOf(&a.Message); e.cached+size <= e.o.CacheBytes {
		msg = &message{Message: a.Message, size: size}
	}
	for _, d := range a.Deliveries {
		l := e.lane(d.Endpoint)
		l.receives = l.receives || a.Message.Source != 0
		if d.NextAt.After(now) {
			l.dueAt(d.NextAt)
			e.settle(l, now)
			continue
		}
		if l.more || l.asleep || len(l.queue) >= e.o.Window || e.hand > e.o.Hand {
			l.more = true
			e.settle(l, now)
			continue
		}
		j := job{Work: hook.Work{Delivery: d}, msg: msg}
		if _, known := l.hand[j.key()]; known {
			continue
		}
		e.hold(msg)
		l.hand[j.key()] = nil
		e.hand++
		l.queue = append(l.queue, j)
		e.settle(l, now)
	}
}

// sizeOf is how many bytes a message keeps from being freed, or a little more.
func sizeOf(m *hook.Message) int {
	const entry = 64 // of a map, beside its text
	n := 512 + cap(m.Payload)
	for name, value := range m.Platform {
		n += entry + len(name) + len(value)
	}
	if m.Raw == nil {
		return n
	}
	n += 1024 + cap(m.Raw.Body) + len(m.Raw.Query) + len(m.Raw.Remote)
	for name, values := range m.Raw.Header {
		n += entry + len(name)
		for _, value := range values {
			n += entry + len(value)
		}
	}
	return n
}

func (e *Engine) hold(m *message) {
	if m == nil {
		return
	}
	if m.refs == 0 {
		e.cached += m.size
	}
	m.refs++
}

func (e *Engine) release(j *job) {
	if j.msg == nil {
		return
	}
	if j.msg.refs--; j.msg.refs == 0 {
		e.cached -= j.msg.size
	}
	j.msg = nil
}

// take returns the next job that may be started: applications in turn, and of each the lanes in turn that are trusted alike.
func (e *Engine) take(now time.Time) *flight {
	for e.phase == started && e.broken == nil && !e.outbox.full() && e.flying < e.o.MaxInFlight {
		l := e.nextLane()
		if l == nil {
			return nil
		}
		l.in = nil
		f := &flight{lane: l, target: l.target, gen: l.gen}
		if !e.mayFly(l, now) || l.asleep || f.throttled(now) {
			e.settle(l, now)
			continue
		}
		f.job = l.pop()
		l.hand[f.key()] = f
		if l.flying == 0 {
			e.active++
		}
		l.flying++
		l.share.take(f)
		e.flying++
		e.settle(l, now)
		return f
	}
	return nil
}

// throttled says whether the endpoint's or the application's rate forbids an attempt now; the lane is then paused until
// it allows one.
func (f *flight) throttled(now time.Time) bool {
	if f.target == nil {
		return false
	}
	r := rates{f.lane.rate, f.target.app}
	if wait := r.take(now); wait > 0 {
		f.lane.pause = now.Add(wait)
		return true
	}
	f.rates = r
	return false
}

// land ends a flight in the books of its lane. The lock is held.
func (e *Engine) land(f *flight) {
	l := f.lane
	l.flying--
	l.share.giveBack(f)
	e.flying--
	if l.flying == 0 {
		e.active--
	}
	e.release(&f.job)
	e.putDown(f)
	f.rates.giveBack()
	if e.phase == stopping && e.flying == 0 {
		e.outbox.some.Signal() // the last one: nothing more will come
	}
}

// drop takes a job out of hand.
func (e *Engine) drop(l *lane, k key) {
	if _, ok := l.hand[k]; ok {
		delete(l.hand, k)
		e.hand--
	}
}

// letGo takes the job of a flight out of hand, unless it is no longer its own.
func (e *Engine) letGo(f *flight) {
	if f.lane.hand[f.key()] == f {
		e.drop(f.lane, f.key())
	}
}

// cancel takes what was withdrawn of a message out of hand. An attempt that has begun ends and is recorded.
func (e *Engine) cancel(w store.Withdrawn, now time.Time) {
	l := e.lanes[w.Endpoint]
	if l == nil {
		return
	}
	l.queue = slices.DeleteFunc(l.queue, func(j job) bool {
		if j.Delivery.Message != w.Message {
			return false
		}
		e.release(&j)
		return true
	})
	for k, f := range l.hand {
		if k.message == w.Message && (f == nil || f.at.IsZero()) {
			e.drop(l, k)
		}
	}
	if l.filling {
		if l.canceled == nil {
			l.canceled = map[hook.MessageID]struct{}{}
		}
		l.canceled[w.Message] = struct{}{}
	}
	e.settle(l, now)
}

// returnJob gives a job that was not attempted back to the store, which will return it in its turn.
func (e *Engine) returnJob(f *flight, pause time.Duration) {
	now := e.o.Clock.Steady()
	e.mu.Lock()
	defer e.mu.Unlock()
	l := f.lane
	e.land(f)
	e.letGo(f)
	l.more = true
	if pause > 0 && l.gen == f.gen {
		if until := now.Add(pause); until.After(l.pause) {
			l.pause = until
		}
		l.more = false
		l.dueAt(l.pause)
	}
	e.settle(l, now)
	e.dispatch(now)
}

// clearQueue gives back all jobs of a lane that have not begun.
func (e *Engine) clearQueue(l *lane) {
	for i := range l.queue {
		e.drop(l, l.queue[i].key())
		e.release(&l.queue[i])
	}
	if len(l.queue) > 0 {
		l.more = true
	}
	l.queue = nil
}

// reconfigure forgets what was known of one endpoint, or of all. What has not begun is judged anew.
func (e *Engine) reconfigure(ep hook.EndpointID, now time.Time) {
	e.config++
	clear(e.sources)
	if ep == 0 {
		for _, l := range e.lanes {
			e.renew(l, now)
		}
		return
	}
	// No lane means nothing in hand; but a paused endpoint that was left asleep and forgotten may have work again.
	l := e.lane(ep)
	e.clearQueue(l)
	l.more = true
	l.doubtPause(now)
	e.renew(l, now)
}

func (e *Engine) renew(l *lane, now time.Time) {
	l.gen++
	if l.target != nil {
		l.former = l.target
	}
	l.target, l.asleep = nil, false
	e.settle(l, now)
}

// onTimer wakes the lanes whose time has come.
func (e *Engine) onTimer() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.o.Clock.Steady()
	e.armed = time.Time{}
	for len(e.wakes) > 0 && !e.wakes[0].wake.After(now) {
		l := heap.Pop(&e.wakes).(*lane)
		l.wake = time.Time{}
		e.settle(l, now)
	}
	e.dispatch(now)
}

func (e *Engine) armTimer(now time.Time) {
	if len(e.wakes) == 0 || e.phase != started || e.wakes[0].wake.Equal(e.armed) {
		return
	}
	e.armed = e.wakes[0].wake
	d := max(e.armed.Sub(now), 0)
	if e.timer == nil {
		e.timer = time.AfterFunc(d, e.onTimer)
	} else {
		e.timer.Reset(d)
	}
}

// forgetIdle drops lanes that had nothing to do for a while.
func (e *Engine) forgetIdle(now time.Time, after time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sendHome() // those that are needed come back
	for id, l := range e.lanes {
		if l.empty() && l.in == nil && now.Sub(l.used) >= after {
			delete(e.lanes, id)
			e.leave(l)
		}
	}
}
