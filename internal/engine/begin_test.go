package engine

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// between is a store in which something happens once, while an attempt that was taken reads its message.
type between struct {
	store.Store
	happens atomic.Pointer[func()]
}

func (b *between) Load(ctx context.Context, id hook.MessageID) (hook.Message, error) {
	if happens := b.happens.Swap(nil); happens != nil {
		(*happens)()
	}
	return b.Store.Load(ctx, id)
}

// An attempt that was taken and has not begun when a change answers is not made as it was: nothing more goes to an endpoint
// that was disabled, paused or deleted, and nothing to an address that was changed.
func TestWhatWasTakenBeforeAChangeIsNotSentAfterIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(w *world, ep hook.Endpoint)
		state  hook.State // afterwards
		to     []string   // where requests went
	}{
		"disabled": {func(w *world, ep hook.Endpoint) { w.update(ep, func(e *hook.Endpoint) { e.Disabled = true }) }, hook.Canceled, []string{"a.example"}},
		"paused":   {func(w *world, ep hook.Endpoint) { w.update(ep, func(e *hook.Endpoint) { e.Paused = true }) }, hook.Pending, []string{"a.example"}},
		"deleted": {func(w *world, ep hook.Endpoint) {
			w.must(w.db.DeleteEndpoint(context.Background(), ep.App, ep.ID, time.Now()))
		}, hook.Canceled, []string{"a.example"}},
		"moved": {func(w *world, ep hook.Endpoint) {
			w.update(ep, func(e *hook.Endpoint) { e.URL = "http://b.example/hook" })
		}, hook.Delivered, []string{"a.example", "b.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			gap := &between{}
			in(t, func(o *Options) { o.Store = gap }, func(w *world) {
				w.answer(status(503))
				ep := w.endpoint("a", func(e *hook.Endpoint) { e.Schedule = []time.Duration{time.Minute, time.Minute} })
				m := w.publish(1, nil)[0]
				settled()
				w.answer(status(200))
				change := func() { c.change(w, ep) }
				gap.happens.Store(&change)
				time.Sleep(time.Minute)
				settled()
				if gap.happens.Load() != nil {
					t.Fatal("the message was not read again")
				}
				var to []string
				for _, a := range w.seen("") {
					to = append(to, a.host)
				}
				if !slices.Equal(to, c.to) {
					t.Errorf("requests went to %q, want %q", to, c.to)
				}
				if d := w.delivery(m, ep); d.State != c.state {
					t.Errorf("the delivery is %s, want %s", d.State, c.state)
				}
			})
		})
	}
}
