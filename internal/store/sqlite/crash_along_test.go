package sqlite_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// parcel is a write that carries a receipt and an event: all three are there after a crash, or none.
type parcel struct {
	name   string
	key    [32]byte
	done   bool // it was answered
	accept bool // it makes a message, otherwise an event type
}

// carryParcels lets callers write until the power goes, each one thing after another.
func carryParcels(ctx context.Context, s *small, callers int, life int) []*parcel {
	var mu sync.Mutex
	var all []*parcel
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := 0; ; n++ {
				e := &parcel{name: fmt.Sprintf("parcel.%d.%d.%d", life, c, n), accept: (c+n)%2 == 0}
				copy(e.key[:], e.name)
				mu.Lock()
				all = append(all, e)
				mu.Unlock()
				if e.run(ctx, s) != nil {
					return
				}
				e.done = true
			}
		})
	}
	wg.Wait()
	return all
}

func (e *parcel) run(ctx context.Context, s *small) error {
	// The ids are drawn long before the commit, so that they come in any order.
	event := hook.Message{ID: hook.NewID[hook.MessageID](s.ids, s.now), EventType: "told." + e.name, CreatedAt: s.now, Payload: []byte(`{}`)}
	m := s.new(e.name)
	m.Message.EventType = e.name
	ctx = store.With(ctx, store.Along{
		Events: []hook.Accept{{Message: event}},
		Receipt: &store.Receipt{Key: e.key, Now: s.now, Expires: s.now.Add(time.Hour), Answer: func(store.Result) (int, []byte, bool) {
			return 201, []byte(e.name), true
		}},
	})
	if e.accept {
		_, err := s.Accept(ctx, []hook.Accept{m})
		return err
	}
	return s.CreateEventType(ctx, hook.EventType{Name: e.name, CreatedAt: s.now})
}

// follow reads messages in the order of their ids, as a poller does: each time those behind the last that it has seen.
func follow(ctx context.Context, db *sqlite.DB, app hook.ApplicationID, last string, until <-chan struct{}) (seen []string, at string) {
	for ended := false; ; {
		select {
		case <-until:
			ended = true
		default:
		}
		l, err := db.Messages(ctx, app, store.MessageFilter{}, store.Page{Limit: 250, After: last})
		if err != nil {
			return seen, last
		}
		for _, m := range l.Items {
			seen = append(seen, m.EventType)
		}
		if l.Last != "" {
			last = l.Last
		}
		if ended && l.Done {
			return seen, last
		}
	}
}

// What a write carries is there exactly when the write is, and whoever follows the messages misses none, however the ids
// were drawn and whenever the power goes.
func TestWhatGoesAlongIsWrittenWithItOrNotAtAll(t *testing.T) {
	t.Parallel()
	lives := 25
	if underRace {
		lives = 5
	}
	disk, dir := newDisk(t, 11), t.TempDir()
	o := sqlite.Options{Dir: dir, VFS: disk.VFS(), Sealer: sealer(t, 1), FreeSpace: func() (uint64, error) { return 1 << 40, nil }}
	s := newSmall(t, o)
	ctx := t.Context()
	must(t, s.CreateEndpoint(ctx, hook.Endpoint{ID: hook.NewID[hook.EndpointID](s.ids, s.now), App: hook.Operational, CreatedAt: s.now}))
	var all []*parcel
	var seen, told []string
	var seenAt, toldAt string
	for life := range lives {
		disk.CutAfter(5 + life*3)
		until := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			more, at := follow(ctx, s.DB, s.app.ID, seenAt, until)
			seen, seenAt = append(seen, more...), at
		})
		all = append(all, carryParcels(ctx, s, 6, life)...)
		close(until)
		wg.Wait()
		_ = s.Close()
		disk.Restart()
		db, err := sqlite.Open(ctx, o)
		must(t, err)
		s.DB = db
	}
	t.Cleanup(func() { _ = s.Close() })
	ended := make(chan struct{})
	close(ended)
	more, _ := follow(ctx, s.DB, s.app.ID, seenAt, ended)
	seen = append(seen, more...)
	told, toldAt = follow(ctx, s.DB, hook.Operational, toldAt, ended)

	written := 0
	for _, e := range all {
		var there bool
		if e.accept {
			there = slices.Contains(seen, e.name)
		} else {
			_, err := s.EventType(ctx, e.name)
			there = err == nil
		}
		_, body, receipt, err := s.Receipt(ctx, e.key, s.now)
		must(t, err)
		event := slices.Contains(told, "told."+e.name)
		if there != receipt || there != event || receipt && string(body) != e.name || e.done && !there {
			t.Errorf("%s: answered %v, written %v, receipt %v (%s), event %v", e.name, e.done, there, receipt, body, event)
		}
		if there {
			written++
		}
	}
	slices.Sort(seen)
	if n := len(seen); len(slices.Compact(seen)) != n {
		t.Error("a message was seen twice")
	}
	stored, _ := follow(ctx, s.DB, s.app.ID, "", ended)
	if len(stored) != len(seen) {
		t.Errorf("%d messages are stored and %d were seen on the way", len(stored), len(seen))
	}
	if written < lives || written == len(all) {
		t.Errorf("%d of %d parcels were written: the test shows nothing", written, len(all))
	}
	t.Logf("%d parcels, %d written, in %d lives; last event at %s", len(all), written, lives, toldAt)
}
