package engine

import (
	"container/heap"
	"slices"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// job is one attempt to be made.
type job struct {
	hook.Work
	msg  *message // nil = to be loaded
	told bool     // the operator was told that the message fails, after Work was read or by this
}

// key names a job within its lane.
type key struct {
	message hook.MessageID
	resend  int64
}

func (j *job) key() key { return key{j.Delivery.Message, j.Resend} }

// scheduled names the scheduled attempt of the job's message, which a resend may make superfluous.
func (j *job) scheduled() key { return key{j.Delivery.Message, 0} }

// message is an accepted message that waits in memory for its first attempts.
type message struct {
	hook.Message
	refs int // jobs that hold it
	size int
}

// lane is an endpoint with work. All of it is guarded by the engine's lock.
//
// A delivery in hand (queued, in flight, or not yet recorded) is in hand and is not taken twice, although the store
// returns it again until its outcome is recorded. A flight whose job is no longer its own has been withdrawn: it does not
// begin.
type lane struct {
	id    hook.EndpointID
	queue []job
	hand  map[key]*flight // nil = it is queued, or held back until a resend of its message is recorded

	more     bool                        // the store may hold due work that is not in hand
	wish     bool                        // among it a resend, which does not wait for the queue to drain
	next     time.Time                   // when something else falls due; zero = nothing known
	filling  bool                        // the store is being asked
	recorded map[key]bool                // while it is: what was recorded meanwhile, and its answer may still hold; told or not
	canceled map[hook.MessageID]struct{} // likewise

	target *target // nil = to be loaded
	gen    int     // counts changes of the configuration: what was begun under an earlier one is not sent
	asleep bool    // paused, disabled or not verified: until the configuration changes

	resent bool // the last job taken off the queue was a resend

	flying int
	judged int       // attempts that are over and not yet recorded: a crash would repeat them
	pause  time.Time // nothing is started before
	doubt  time.Time // a pause that goes on unless the endpoint was changed in a way that can matter
	former *target   // what target was before the configuration changed
	rate   *throttle
	breaker

	cuts     map[hook.MessageID]int // how often in a row a message's long connection ended before it was acknowledged
	proven   bool                   // somebody answered there, as far as this lane remembers
	receives bool                   // it has carried a message that came in through a source; such ones may still wait
	share    *share                 // of its application, nil = it never was ready

	in    *ring[*lane] // where it is listed as ready
	wants bool         // it is in the list of those to be filled
	wake  time.Time
	index int // in the heap, -1 = not there
	used  time.Time
}

// lane returns an endpoint's lane, new or not.
func (e *Engine) lane(id hook.EndpointID) *lane {
	l := e.lanes[id]
	if l == nil {
		l = &lane{id: id, hand: map[key]*flight{}, index: -1}
		e.lanes[id] = l
	}
	return l
}

// dueAt notes that something falls due.
func (l *lane) dueAt(t time.Time) {
	if !t.IsZero() && (l.next.IsZero() || t.Before(l.next)) {
		l.next = t
	}
}

// pop takes the next job off the queue: a resend first, because a person may wait for it, but none directly after another
// while something else is queued, because there may be many.
func (l *lane) pop() job {
	i := 0
	if l.resent {
		i = max(slices.IndexFunc(l.queue, func(j job) bool { return j.Trigger == hook.Scheduled }), 0)
	}
	j := l.queue[i]
	l.resent = j.Trigger == hook.Manual
	if i > 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
		return j
	}
	l.queue[0] = job{}
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return j
}

// doubtPause is called when its endpoint was changed. Whoever wakes an endpoint, or listens for it again, may have mended it: the
// next attempt is a probe, and need not wait. Of any other change the new target tells whether it can matter.
func (l *lane) doubtPause(now time.Time) {
	switch {
	case l.asleep:
		l.doubt = time.Time{}
	case l.pause.After(now):
		l.doubt = l.pause
	}
	l.pause = time.Time{}
}

// decidePause ends the doubt when the new target is known.
func (l *lane) decidePause(t *target) {
	if l.former == nil || t.reachesLike(l.former) {
		l.pause = l.doubt
	}
	l.doubt, l.former = time.Time{}, nil
}

// empty says that nothing is known to be done for it.
func (l *lane) empty() bool {
	return len(l.hand) == 0 && !l.more && l.next.IsZero() && !l.filling && !l.wants && l.flying == 0
}

// settle puts a lane where it belongs after anything about it changed: among those to be filled, those that may start an
// attempt, and those to be woken.
func (e *Engine) settle(l *lane, now time.Time) {
	l.used = now
	if !l.next.IsZero() && !l.next.After(now) {
		l.more, l.next = true, time.Time{}
	}
	if l.asleep {
		e.wakeAt(l, time.Time{})
		return
	}
	if l.more && !l.filling && !l.wants && (l.wish || e.short(l)) {
		l.wants = true
		e.wanting = append(e.wanting, l)
	}
	wake := l.next
	if len(l.queue) > 0 && l.pause.After(now) && (wake.IsZero() || l.pause.Before(wake)) {
		wake = l.pause
	}
	e.wakeAt(l, wake)
	if l.in == nil && e.mayFly(l, now) {
		e.list(l)
	}
}

// mayFly says whether a lane may start an attempt. What is judged and not yet recorded has a limit of its own, so that a
// crash repeats no more than twice what may be in flight, however slow the disk is. When it may not because of the lanes beside it, it has something in
// flight, and is settled again when that lands.
func (e *Engine) mayFly(l *lane, now time.Time) bool {
	limit := e.limit(l)
	return len(l.queue) > 0 && !l.pause.After(now) && l.flying < limit && l.judged < limit
}

// limit is how many requests may be in flight to an endpoint: its own limit, and its even share of the workers.
func (e *Engine) limit(l *lane) int {
	if l.target == nil || l.probing() {
		return 1
	}
	others := e.active
	if l.flying == 0 {
		others++
	}
	return max(1, min(l.target.concurrency, e.o.Workers/others))
}

// list appends a lane with a queue to those that may start an attempt.
func (e *Engine) list(l *lane) {
	if l.share == nil {
		l.share = e.shareOf(l.queue[0].Delivery.App)
		l.share.lanes++
	}
	s := l.share
	l.in = &s.ready[l.trust()]
	l.in.push(l)
	if !s.listed {
		s.listed = true
		e.ready.push(s)
	}
}

// ring is a first-in-first-out list.
type ring[T any] struct {
	list []T
	head int
}

func (r *ring[T]) len() int { return len(r.list) - r.head }

// at returns the i-th of the list.
func (r *ring[T]) at(i int) T { return r.list[r.head+i] }

func (r *ring[T]) push(v T) {
	if r.head > 64 && r.head > len(r.list)/2 {
		n := copy(r.list, r.list[r.head:])
		clear(r.list[n:])
		r.list, r.head = r.list[:n], 0
	}
	r.list = append(r.list, v)
}

func (r *ring[T]) pop() T {
	var none T
	v := r.list[r.head]
	r.list[r.head] = none
	r.head++
	return v
}

// wakes is a heap of lanes by the time at which they are to be looked at.
type wakes []*lane

func (w wakes) Len() int           { return len(w) }
func (w wakes) Less(i, j int) bool { return w[i].wake.Before(w[j].wake) }
func (w wakes) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}

// Push is for container/heap.
func (w *wakes) Push(x any) {
	l := x.(*lane)
	l.index = len(*w)
	*w = append(*w, l)
}

// Pop is for container/heap.
func (w *wakes) Pop() any {
	old := *w
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*w = old[:len(old)-1]
	l.index = -1
	return l
}

func (e *Engine) wakeAt(l *lane, t time.Time) {
	switch {
	case l.wake.Equal(t) && (l.index >= 0) == !t.IsZero():
		return
	case t.IsZero():
		l.wake = t
		heap.Remove(&e.wakes, l.index)
		return
	}
	l.wake = t
	if l.index < 0 {
		heap.Push(&e.wakes, l)
	} else {
		heap.Fix(&e.wakes, l.index)
	}
}
