package app

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
	"github.com/waypost/waypost/internal/store"
)

const (
	beatEvery = 5 * time.Second
	longSleep = time.Minute // a clock that is set ahead by so much may be that of a machine that slept
)

// life notes that the process is alive, and tells applications whose platforms had given up while it was not. The two belong
// together: a new note would make the store forget how long we were away, so none is written before the gap is stored.
type life struct {
	*App
	from, to time.Time // the gap
	told     bool
	end      chan struct{}
	done     chan struct{}
	once     sync.Once
}

func newLife(a *App) *life { return &life{App: a, end: make(chan struct{}), done: make(chan struct{})} }

// start tells of the gap before now, and notes this start. When the gap cannot be stored for now (the disk is nearly full),
// that is tried again later and is no reason not to serve.
func (l *life) start(ctx context.Context, last, now time.Time) {
	l.from, l.to = last, now
	l.beat(ctx, false)
	go l.run(context.WithoutCancel(ctx))
}

func (l *life) run(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(cmp.Or(l.o.Faults.BeatEvery, beatEvery))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.beat(ctx, false)
		case by := <-l.reset:
			l.lookAtIDs()
			l.slept(by)
			l.beat(ctx, false) // noted at once: after a restart the clock alone does not tell
		case <-l.end:
			return
		}
	}
}

// slept makes a gap of a jump ahead. Whether the machine slept or its clock was set cannot be told apart; a platform that is
// asked in vain costs less than pushes that nobody misses.
func (l *life) slept(by time.Duration) {
	if by < longSleep {
		return
	}
	now := l.clock.Now()
	if l.told {
		l.from = now.Add(-by)
	}
	l.to, l.told = now, false
}

func (l *life) stop(ctx context.Context) error {
	l.once.Do(func() { close(l.end) })
	<-l.done
	l.beat(ctx, true)
	return nil
}

func (l *life) beat(ctx context.Context, clean bool) {
	if !l.told {
		if err := l.tell(ctx); err != nil {
			l.o.Log.Error("could not tell of the time away, will try again", "event", ingest.GapType, "error", err)
			return
		}
		l.told = true
	}
	if err := l.store.Beat(ctx, l.clock.State(), clean); err != nil {
		l.o.Log.Warn("could not note that the process is alive", "error", err)
	}
}

// tell stores the gap's events. It may be called again: the same gap makes no second event.
func (l *life) tell(ctx context.Context) error {
	sources, err := collect(func(p store.Page) (store.List[hook.Source], error) { return l.store.Sources(ctx, 0, p) })
	if err != nil {
		return err
	}
	routes := make([]hook.Route, 0, len(sources))
	for _, s := range sources {
		if r, err := l.store.SourceRoute(ctx, s.ID); err == nil { // one that cannot be read has worse troubles
			routes = append(routes, r)
		}
	}
	n, err := l.door.Gap(ctx, l.from, l.to, routes)
	if n > 0 {
		l.o.Log.Warn("was away for longer than platforms repeat: sources got the event "+ingest.GapType, "sources", n, "from", l.from, "to", l.to)
	}
	return err
}
