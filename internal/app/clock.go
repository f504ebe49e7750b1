package app

import (
	"context"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// idsAhead is how far ids may be ahead of the clock before it is worth a word. A burst of messages takes them some
// milliseconds ahead.
const idsAhead = time.Minute

// clockSet hears that the system clock was set: see hook.NewClock.
func (a *App) clockSet(by time.Duration) {
	a.metrics.clockJumps.Inc()
	a.o.Log.Warn("the clock was set, or the machine slept; retries go on by the time that has passed", "by", by.Round(time.Millisecond))
	select {
	case a.reset <- by:
	default: // nobody looks: the server is not up yet, or the disk is nearly full
	}
}

// lookAtClock says what is odd about the clock at the start.
func (a *App) lookAtClock(last hook.ClockState, now time.Time) {
	if behind := last.Wall.Sub(now); behind > time.Second {
		a.o.Log.Warn("the clock is behind the last sign of life of the server before: time away cannot be told, and retries go on where they were",
			"behind", behind.Round(time.Second))
	}
	a.lookAtIDs()
}

// lookAtIDs warns of ids that are ahead of the clock.
func (a *App) lookAtIDs() {
	if ahead := a.idsAhead(); ahead > idsAhead {
		a.o.Log.Warn("ids are ahead of the clock, which was ahead itself: until it has caught up, lists find new messages under the later time and retention keeps them longer",
			"ahead", ahead.Round(time.Second), "until", a.ids.Last())
	}
}

func (a *App) idsAhead() time.Duration { return max(a.ids.Last().Sub(a.clock.Now()), 0) }

// timed is the store as the front door and the API see it: they know the time of the world alone, and the schedules in the
// store are in steady time.
type timed struct {
	store.Store
	clock *hook.Clock
}

// Accept has deliveries due now.
func (t timed) Accept(ctx context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
	now := t.clock.Steady()
	for i := range batch {
		batch[i].Due = now
	}
	return t.Store.Accept(ctx, batch)
}

// Resend is wished now.
func (t timed) Resend(ctx context.Context, app hook.ApplicationID, m hook.MessageID, ep hook.EndpointID, _ time.Time) error {
	return t.Store.Resend(ctx, app, m, ep, t.clock.Steady())
}

// Destinations says when the next attempts are due by the clock.
func (t timed) Destinations(ctx context.Context, app hook.ApplicationID, m hook.MessageID, p store.Page) (store.List[hook.Delivery], error) {
	l, err := t.Store.Destinations(ctx, app, m, p)
	for i := range l.Items {
		l.Items[i].NextAt = t.clock.Wall(l.Items[i].NextAt)
	}
	return l, err
}

// Attempted says when the next attempts are due by the clock.
func (t timed) Attempted(ctx context.Context, app hook.ApplicationID, ep hook.EndpointID, f store.AttemptedFilter, p store.Page) (store.List[store.Attempted], error) {
	l, err := t.Store.Attempted(ctx, app, ep, f, p)
	for i := range l.Items {
		l.Items[i].Delivery.NextAt = t.clock.Wall(l.Items[i].Delivery.NextAt)
	}
	return l, err
}

// Deliveries says when the next attempts are due by the clock.
func (t timed) Deliveries(ctx context.Context, app hook.ApplicationID, m hook.MessageID) ([]hook.Delivery, error) {
	list, err := t.Store.Deliveries(ctx, app, m)
	for i := range list {
		list[i].NextAt = t.clock.Wall(list[i].NextAt)
	}
	return list, err
}
