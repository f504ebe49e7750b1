package sqlite_test

import (
	"context"
	"fmt"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// withdraw cancels or expunges a message.
func (w *worker) withdraw() *op {
	if len(w.side.messages) == 0 {
		return nil
	}
	m, ep := pick(w.rng, w.side.messages), hook.EndpointID(0)
	next, now := w.side.clone(), w.now()
	found := func(err error) error {
		if hook.KindOf(err) == hook.KindNotFound && !w.mayBeGone(w.side, m) {
			w.problem("an acknowledged message is not found: %v", err)
		}
		return err
	}
	if w.rng.IntN(4) == 0 {
		next.expunge(m)
		return w.silent("expunge", next, func(ctx context.Context, db *sqlite.DB) error {
			return found(db.Expunge(ctx, w.side.app.ID, m, now))
		})
	}
	if w.rng.IntN(2) == 0 {
		ep = pick(w.rng, w.side.endpoints)
	}
	n := next.withdraw(m, ep)
	return w.single("cancel", fmt.Sprint(n), next, func(ctx context.Context, db *sqlite.DB) (string, error) {
		n, err := db.Cancel(ctx, w.side.app.ID, m, ep, now)
		return fmt.Sprint(n), found(err)
	})
}

// withdraw is store.Flow's Cancel.
func (s *side) withdraw(m hook.MessageID, ep hook.EndpointID) (n int) {
	for r, d := range s.routes {
		if r.message != m || ep != 0 && r.endpoint != ep {
			continue
		}
		if d.State == hook.Pending || s.wishes[r] > 0 {
			n++
		}
		if d.State == hook.Pending {
			d.State, d.NextAt = hook.Canceled, time.Time{}
			s.routes[r] = d
		}
		delete(s.wishes, r)
	}
	return n
}

// expunge is store.Flow's Expunge.
func (s *side) expunge(id hook.MessageID) {
	m := s.messages[id]
	m.Payload, m.Raw, m.Expired = nil, nil, true
	s.messages[id] = m
	s.withdraw(id, 0)
}
