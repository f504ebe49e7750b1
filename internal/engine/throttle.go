package engine

import "time"

// throttle keeps a rate: in no second do more than perSecond attempts begin, and they are spread over it. It counts when
// attempts begin, and not when they are taken to be made: what lies between may take a while. nil is no limit.
type throttle struct {
	perSecond int
	held      int             // attempts that were let through and have not begun
	begun     ring[time.Time] // when those of the last second began
}

// heldPause is until it is asked again when the next attempt depends on one that has not begun.
const heldPause = 5 * time.Millisecond

// rates are those of an endpoint and of its application.
type rates [2]*throttle

// take lets an attempt through, or says how long it has to wait.
func (r rates) take(now time.Time) (wait time.Duration) {
	for _, t := range r {
		wait = max(wait, t.wait(now))
	}
	if wait == 0 {
		r.each(func(t *throttle) { t.held++ })
	}
	return wait
}

// begin notes that an attempt that was let through begins.
func (r *rates) begin(now time.Time) {
	r.each(func(t *throttle) { t.held--; t.begun.push(now) })
	*r = rates{}
}

// giveBack is for an attempt that was let through and does not begin. For one that has begun it does nothing.
func (r *rates) giveBack() {
	r.each(func(t *throttle) { t.held-- })
	*r = rates{}
}

func (r rates) each(do func(*throttle)) {
	for _, t := range r {
		if t != nil {
			do(t)
		}
	}
}

// wait is how long the next attempt has to wait.
func (t *throttle) wait(now time.Time) time.Duration {
	if t == nil {
		return 0
	}
	for t.begun.len() > 0 && now.Sub(t.begun.at(0)) >= time.Second {
		t.begun.pop()
	}
	// A tenth of a second's may begin at one moment, and no more until their time is over.
	burst := max(1, t.perSecond/10)
	spread := t.within(burst, time.Second*time.Duration(burst)/time.Duration(t.perSecond), now)
	return max(spread, t.within(t.perSecond, time.Second, now))
}

// within is how long to wait so that no span of time has more than n attempts.
func (t *throttle) within(n int, span time.Duration, now time.Time) time.Duration {
	switch i := t.begun.len() + t.held - n; { // the last but n
	case i < 0:
		return 0
	case i >= t.begun.len():
		return heldPause
	default:
		return max(t.begun.at(i).Add(span).Sub(now), 0)
	}
}

// withRate returns a throttle for a rate, the one that there is where it can be kept. No rate is none.
func (t *throttle) withRate(perSecond int) *throttle {
	switch {
	case perSecond <= 0:
		return nil
	case t == nil:
		t = &throttle{}
	}
	t.perSecond = perSecond
	return t
}
