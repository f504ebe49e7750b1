package app

import (
	"context"
	"sync"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
	"github.com/waypost/waypost/internal/store"
)

const beatEvery = 5 * time.Second

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
func (l *life) start(ctx context.Context, now time.Time) error {
	var err error
	if l.from, err = l.store.LastBeat(ctx); err != nil {
		return err
	}
	l.to = now
	l.beat(ctx, now, false)
	go l.run(context.WithoutCancel(ctx))
	return nil
}

func (l *life) run(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			l.beat(ctx, now, false)
		case <-l.end:
			return
		}
	}
}

func (l *life) stop(ctx context.Context) error {
	l.once.Do(func() { close(l.end) })
	<-l.done
	l.beat(ctx, time.Now(), true)
	return nil
}

func (l *life) beat(ctx context.Context, now time.Time, clean bool) {
	if !l.told {
		if err := l.tell(ctx); err != nil {
			l.o.Log.Error("could not tell of the time away, will try again", "event", ingest.GapType, "error", err)
			return
		}
		l.told = true
	}
	if err := l.store.Beat(ctx, now, clean); err != nil {
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
