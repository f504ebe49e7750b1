package engine

import (
	"errors"
	"sync"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

const (
	maxRecord     = 512         // outcomes in one commit
	maxUnrecorded = 1024        // judged and not yet recorded, above which no attempt starts
	stuckPause    = time.Second // before a refused commit is tried again
)

// outcome is a judged attempt on its way into the store.
type outcome struct {
	hook.Outcome
	flight    *flight
	judged    time.Time // in steady time
	wall      time.Time // the same by the clock
	exhausted bool      // the message has no attempt left
	withdraws bool      // a resend: the scheduled attempt is held back in hand until this is recorded
}

// outbox is what was judged and is not yet recorded. It is guarded by the engine's lock.
type outbox struct {
	some    sync.Cond
	waiting []*outcome
	writing int  // being written
	stuck   bool // the store does not take outcomes for now: no new attempt starts
}

// full says that recording lags so far behind that attempts must wait for it.
func (b *outbox) full() bool {
	return b.stuck || len(b.waiting)+b.writing >= maxUnrecorded
}

// record writes outcomes, all that wait in one commit, until everything has ended.
func (e *Engine) record() {
	for batch := e.nextBatch(); batch != nil; batch = e.nextBatch() {
		settled, err := e.write(batch)
		was := e.written(batch[:settled], batch[settled:], err != nil)
		switch {
		case err == nil && was:
			e.o.Log.Info("attempts are recorded again")
			continue
		case err == nil:
			continue
		case e.storeFailed(err):
			return
		case !was:
			e.o.Log.Warn("attempts cannot be recorded, no new ones are made until they are", "attempts", len(batch)-settled, "err", err)
		}
		if !e.pauseRecording() {
			return
		}
	}
}

// written does the books after a batch, and returns whether recording was stuck before it.
func (e *Engine) written(settled, rest []*outcome, stuck bool) (was bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.o.Clock.Steady()
	was = e.outbox.stuck
	e.outbox.writing, e.outbox.stuck = 0, stuck
	if len(rest) > 0 {
		e.outbox.waiting = append(rest, e.outbox.waiting...)
	}
	for _, o := range settled {
		e.recorded(o, now)
	}
	e.dispatch(now)
	return was
}

// nextBatch waits for outcomes. It returns nil when there will be none any more.
func (e *Engine) nextBatch() []*outcome {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.outbox.waiting) == 0 {
		if e.broken != nil || e.phase == stopping && e.flying == 0 {
			return nil
		}
		e.outbox.some.Wait()
	}
	if e.broken != nil {
		return nil
	}
	n := min(len(e.outbox.waiting), maxRecord)
	batch := e.outbox.waiting[:n:n]
	e.outbox.waiting = e.outbox.waiting[n:]
	if len(e.outbox.waiting) == 0 {
		e.outbox.waiting = nil
	}
	e.outbox.writing = n
	return batch
}

// pauseRecording waits before the next try; false means that Stop has run out of patience.
func (e *Engine) pauseRecording() bool {
	timer := time.NewTimer(stuckPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.records.Done():
		return false
	}
}

// write records a batch and returns how many of its outcomes are settled. An error means that the store takes no others
// for now, or never again. An outcome that the store refuses by itself is set aside, so that it holds up no other.
func (e *Engine) write(batch []*outcome) (settled int, err error) {
	list := make([]hook.Outcome, len(batch))
	for i, o := range batch {
		list[i] = o.Outcome
	}
	err = e.o.Store.Finish(e.records, list)
	switch {
	case err == nil:
		return len(batch), nil
	case !refused(err):
		return 0, err
	}
	for i, o := range batch {
		if err := e.o.Store.Finish(e.records, list[i:i+1]); refused(err) {
			e.setAside(o, err)
		} else if err != nil {
			return i, err
		}
	}
	return len(batch), nil
}

// refused says that an error is about the outcome and not about the store.
func refused(err error) bool {
	if err == nil || errors.Is(err, store.ErrBroken) {
		return false
	}
	kind := hook.KindOf(err)
	return kind != hook.KindUnavailable && kind != hook.KindInternal
}

// setAside stops an endpoint whose attempt cannot be recorded: its delivery stays pending, and would be sent again and
// again.
func (e *Engine) setAside(o *outcome, err error) {
	e.mu.Lock()
	l := o.flight.lane
	known := l.asleep
	l.asleep = true
	e.clearQueue(l)
	e.mu.Unlock()
	if !known {
		e.o.Log.Error("an attempt cannot be recorded; its endpoint gets nothing more until it is changed or the server restarts",
			"endpoint", o.Attempt.Endpoint.String(), "message", o.Attempt.Message.String(), "err", err)
	}
}

// recorded takes a delivery out of hand. When it has another attempt to come, its lane is woken for it. The lock is held.
func (e *Engine) recorded(o *outcome, now time.Time) {
	l := o.flight.lane
	l.judged--
	e.outOfHand(l, o.flight.key(), o.flight.told)
	if o.withdraws {
		e.outOfHand(l, o.flight.scheduled(), false)
	}
	if o.Attempt.Trigger == hook.Scheduled && o.Outcome.Delivery.State == hook.Pending {
		l.dueAt(o.Outcome.Delivery.NextAt)
	}
	e.settle(l, now)
}

// outOfHand drops a key whose state in the store has just changed. An answer of the store that is on its way may not know
// that yet, nor that the operator was told.
func (e *Engine) outOfHand(l *lane, k key, told bool) {
	e.drop(l, k)
	if !l.filling {
		return
	}
	if l.recorded == nil {
		l.recorded = map[key]bool{}
	}
	l.recorded[k] = told
}
