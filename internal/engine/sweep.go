package engine

import (
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

const (
	sweepLimit = 500                   // rows of each kind in one step
	sweepPause = 50 * time.Millisecond // between steps, in which others write
	idleLane   = time.Minute           // after which a lane without work is forgotten
)

// sweep does the periodic duties until the engine stops: retention, and forgetting lanes that have nothing to do.
func (e *Engine) sweep() {
	round := time.NewTicker(e.o.SweepEvery)
	defer round.Stop()
	for {
		select {
		case <-e.ending:
			return
		case <-round.C:
			e.forgetIdle(e.o.Clock.Steady(), idleLane)
			e.retain()
		}
	}
}

// keepKeys is how long what has run out by the clock alone is kept after the clock was set ahead.
const keepKeys = 7 * 24 * time.Hour

// retain does the steps of one round of retention. What is removed cannot come back, so a clock that was set ahead is not
// believed before everything from before has reached its age by the time that has passed.
func (e *Engine) retain() {
	for more := true; more; {
		s := store.Sweep{Now: e.o.Clock.Sure(keepKeys), Limit: sweepLimit}
		if keep := e.o.KeepMessages; keep > 0 {
			s.Before = e.o.Clock.Sure(keep).Add(-keep)
		}
		if keep := e.o.KeepPayloads; keep > 0 {
			s.PayloadBefore = e.o.Clock.Sure(keep).Add(-keep)
		}
		var err error
		if _, more, err = e.o.Store.Sweep(e.records, s); err != nil {
			e.dutyDone("remove what is older than the retention", err)
			return
		}
		select {
		case <-e.ending:
			return
		case <-time.After(sweepPause):
		}
	}
}

// dutyDone logs a duty that could not be done. It is done again in its turn.
func (e *Engine) dutyDone(what string, err error) {
	if err == nil || e.storeFailed(err) || e.records.Err() != nil {
		return
	}
	level := e.o.Log.Error
	if hook.KindOf(err) == hook.KindUnavailable {
		level = e.o.Log.Warn
	}
	level("a periodic duty was not done: "+what, "err", err)
}
