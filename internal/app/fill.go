package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// Filling is what Fill puts into the store of a stopped server: messages as the front door would hand them over.
type Filling struct {
	App, Source string // ids or uids
	Count       int
	Limit       time.Duration // it ends early after this time; 0 = never
	// Make makes the n-th message. Application, source, id and times are filled in. It is called by one goroutine.
	Make func(n int) hook.Accept
	// Progress is told of every batch; nil = nobody.
	Progress func(done int)
}

// fillBatch is how many messages are committed together: many, as nobody waits for any of them.
const fillBatch = 2000

// Fill accepts many messages durably, for measuring a server that has a history, and says how many. Their deliveries are
// pending.
func Fill(ctx context.Context, o Options, f Filling) (done int, err error) {
	began := time.Now()
	st, _, err := offline(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	a, err := st.Application(ctx, f.App)
	if err != nil {
		return 0, err
	}
	source, err := st.Source(ctx, a.ID, f.Source)
	if err != nil {
		return 0, err
	}
	highest, err := st.HighestID(ctx)
	if err != nil {
		return 0, err
	}
	ids := hook.NewGenerator(o.Node, highest)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := make(chan []hook.Accept, 1)
	go func() { // making a message is about as dear as storing it
		defer close(batches)
		for n := 0; n < f.Count; n += fillBatch {
			batch := make([]hook.Accept, 0, fillBatch)
			for i := n; i < min(n+fillBatch, f.Count); i++ {
				m, now := f.Make(i), time.Now()
				m.Message.ID, m.Message.CreatedAt = hook.NewID[hook.MessageID](ids, now), now
				m.Message.App, m.Message.Source = a.ID, source.ID
				batch = append(batch, m)
			}
			select {
			case batches <- batch:
			case <-ctx.Done():
				return
			}
		}
	}()
	for batch := range batches {
		if err := acceptAll(ctx, st, batch); err != nil {
			return done, err
		}
		if done += len(batch); f.Progress != nil {
			f.Progress(done)
		}
		if f.Limit > 0 && time.Since(began) > f.Limit {
			break
		}
	}
	return done, ctx.Err()
}

func acceptAll(ctx context.Context, st store.Flow, batch []hook.Accept) error {
	out, err := st.Accept(ctx, batch)
	if err != nil {
		return err
	}
	for i := range out {
		if out[i].Err != nil {
			return out[i].Err
		}
		if out[i].Duplicate {
			return fmt.Errorf("message %d of a batch is a duplicate of %s", i, out[i].Message.ID)
		}
	}
	return nil
}
