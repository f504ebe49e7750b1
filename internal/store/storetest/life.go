package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var lifeTests = map[string]func(*testing.T, *fixture){
	"a caller that gives up gets unavailable": givenUp,
	"after close every call is unavailable":   closed,
	"close waits for what is under way":       closeWaits,
	"the beat before is returned":             beats,
	"the highest id never goes back":          highestID,
	"many callers of every kind at once":      manyCallers,
}

func givenUp(_ *testing.T, f *fixture) {
	app := f.app()
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	_, err := f.Accept(ctx, []hook.Accept{{Message: f.newMessage(app.ID)}})
	f.fails(err, hook.KindUnavailable)
	if !errors.Is(err, context.Canceled) {
		f.t.Fatalf("%v does not tell of the context", err)
	}
	_, err = f.Application(ctx, app.ID.String())
	f.fails(err, hook.KindUnavailable)
	f.wantCounts(store.Counts{})
}

func closed(t *testing.T, f *fixture) {
	app := f.app()
	f.ok(f.Close())
	f.ok(f.Close())
	_, err := f.Accept(f.ctx, []hook.Accept{{Message: f.newMessage(app.ID)}})
	f.fails(err, hook.KindUnavailable)
	f.fails(f.UpdateApplication(f.ctx, app), hook.KindUnavailable)
	_, err = f.Application(f.ctx, app.ID.String())
	f.fails(err, hook.KindUnavailable)
	_, err = f.Counts(f.ctx)
	f.fails(err, hook.KindUnavailable)
	if errors.Is(err, store.ErrBroken) {
		t.Fatal("a closed store says that it is broken")
	}
}

func closeWaits(t *testing.T, f *fixture) {
	app := f.app()
	var wg sync.WaitGroup
	for range 20 {
		m := f.newMessage(app.ID)
		wg.Go(func() {
			if _, err := f.Accept(f.ctx, []hook.Accept{{Message: m}}); err != nil && hook.KindOf(err) != hook.KindUnavailable {
				t.Errorf("got %v, want stored or unavailable", err)
			}
		})
	}
	f.ok(f.Close())
	wg.Wait()
}

func beats(t *testing.T, f *fixture) {
	var want hook.ClockState
	for i, clean := range []bool{false, false, true, false} {
		last, err := f.LastBeat(f.ctx)
		f.ok(err)
		same(t, last, want)
		want = hook.ClockState{Wall: f.now, Steady: f.now.Add(-time.Hour)}
		for n := range i {
			want.Jumps = append(want.Jumps, hook.ClockJump{At: f.now, Ahead: time.Duration(n-1) * time.Second, Away: n == 1})
		}
		f.ok(f.Beat(f.ctx, want, clean))
		f.later(5 * time.Second)
	}
	f.ok(f.Beat(f.ctx, hook.ClockState{Wall: f.now}, false))
	last, err := f.LastBeat(f.ctx)
	f.ok(err)
	same(t, last, hook.ClockState{Wall: f.now, Steady: f.now})
}

func highestID(t *testing.T, f *fixture) {
	want := func(id int64) {
		t.Helper()
		got, err := f.HighestID(f.ctx)
		f.ok(err)
		if got != id {
			t.Fatalf("the highest id is %d, want %d", got, id)
		}
	}
	want(0)
	app := f.app()
	want(int64(app.ID))
	e := f.endpoint(app.ID)
	m := f.message(app.ID)
	want(int64(m.ID))
	o := f.outcome(f.delivery(app.ID, m.ID, e.ID), hook.Success)
	f.finish(o)
	want(int64(o.Attempt.ID))
	s := f.source(app.ID)
	r := f.refused(s.ID)
	f.ok(f.Refuse(f.ctx, []hook.Refused{r}, 1))
	want(r.ID)
	gone := f.profile()
	f.ok(f.DeleteProfile(f.ctx, gone.ID))
	want(int64(gone.ID))
	k := hook.Token{ID: hook.NewID[hook.TokenID](f.ids, f.now)}
	f.ok(f.PutToken(f.ctx, k))
	f.ok(f.DeleteToken(f.ctx, k.ID))
	want(int64(k.ID))
	f.later(time.Hour)
	f.sweep(f.all())
	want(int64(k.ID))
}

// manyCallers runs the whole life of messages from many goroutines, beside changes of configuration and retention, and
// wants the books to balance.
func manyCallers(t *testing.T, f *fixture) {
	app := f.app()
	var endpoints []hook.Endpoint
	for range 4 {
		endpoints = append(endpoints, f.endpoint(app.ID))
	}
	const callers, each = 16, 25
	now := f.now
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				m := f.newMessage(app.ID)
				out, err := f.Accept(f.ctx, []hook.Accept{keyed(m, fmt.Sprint(c, "-", i))})
				if err != nil || out[0].Err != nil {
					t.Error(err, out)
					return
				}
				for n, d := range out[0].Deliveries {
					v := []hook.Verdict{hook.Success, hook.Retry, hook.Refuse}[(i+n)%3]
					if err := f.Finish(f.ctx, []hook.Outcome{f.outcome(d, v, time.Hour)}); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 20 {
			e := endpoints[0]
			e.Disabled = i%2 == 0
			if err := f.UpdateEndpoint(f.ctx, e); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range 20 {
			if _, _, err := f.Sweep(f.ctx, store.Sweep{Now: now, Before: now.Add(-time.Hour), Limit: 5}); err != nil {
				t.Error(err)
			}
			if _, err := f.Messages(f.ctx, app.ID, store.MessageFilter{}, store.Page{Descending: true}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	f.balance(app.ID)
}

// balance compares the counters with the deliveries of every message.
func (f *fixture) balance(app hook.ApplicationID) {
	f.t.Helper()
	var want store.Counts
	page := store.Page{Limit: 250}
	for {
		list, err := f.Messages(f.ctx, app, store.MessageFilter{}, page)
		f.ok(err)
		for _, m := range list.Items {
			want.Messages++
			all, err := f.Deliveries(f.ctx, app, m.ID)
			f.ok(err)
			for _, d := range all {
				switch d.State {
				case hook.Pending:
					want.Pending++
				case hook.Delivered:
					want.Delivered++
				case hook.Failed:
					want.Failed++
				case hook.Canceled:
					want.Canceled++
				}
			}
		}
		if list.Done {
			break
		}
		page.After = list.Last
	}
	f.wantCounts(want)
}
