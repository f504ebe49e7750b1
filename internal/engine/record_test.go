package engine

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// flaky is the real store, whose Finish fails as long as it is told to.
type flaky struct {
	store.Store
	mu      sync.Mutex
	err     error
	stepErr error                // of StepTask
	steps   int                  // that were tried
	refuses hook.EndpointID      // of which no outcome is taken
	gone    bool                 // no message is found
	hold    chan struct{}        // when not nil, Load and Claim answer, late, when something can be taken from it
	claims  bool                 // Claim answers all the same
	slow    func() time.Duration // when not nil, how long Load takes
}

func (f *flaky) wait(claim bool) {
	f.mu.Lock()
	hold, claims := f.hold, f.claims
	f.mu.Unlock()
	if hold != nil && !(claim && claims) {
		<-hold
	}
}

func (f *flaky) Claim(ctx context.Context, ep hook.EndpointID, now time.Time, lease time.Duration, n int) ([]hook.Work, time.Time, error) {
	work, next, err := f.Store.Claim(ctx, ep, now, lease, n)
	f.wait(true)
	return work, next, err
}

func (f *flaky) Load(ctx context.Context, id hook.MessageID) (hook.Message, error) {
	f.mu.Lock()
	gone := f.gone
	f.mu.Unlock()
	if gone {
		return hook.Message{}, hook.Errorf(hook.KindNotFound, "no such message")
	}
	m, err := f.Store.Load(ctx, id)
	f.wait(false)
	f.mu.Lock()
	took := time.Duration(0)
	if f.slow != nil {
		took = f.slow()
	}
	f.mu.Unlock()
	time.Sleep(took)
	return m, err
}

func (f *flaky) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// failStep makes the steps of tasks fail, and counts them.
func (f *flaky) failStep(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stepErr, f.steps = err, 0
}

func (f *flaky) StepTask(ctx context.Context, id hook.TaskID, now, due time.Time, n int, next func() int64) (hook.Task, error) {
	f.mu.Lock()
	err := f.stepErr
	f.steps++
	f.mu.Unlock()
	if err != nil {
		return hook.Task{}, err
	}
	return f.Store.StepTask(ctx, id, now, due, n, next)
}

func (f *flaky) refuse(ep hook.EndpointID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuses = ep
}

func (f *flaky) Finish(ctx context.Context, batch []hook.Outcome) error {
	f.mu.Lock()
	err, refuses := f.err, f.refuses
	f.mu.Unlock()
	for _, o := range batch {
		if o.Attempt.Endpoint == refuses {
			err = hook.Errorf(hook.KindInvalid, "no")
		}
	}
	if err != nil {
		return err
	}
	return f.Store.Finish(ctx, batch)
}

// broken begins a test with a store whose Finish can be made to fail.
func broken(t *testing.T, change func(*Options), test func(w *world, f *flaky)) {
	f := &flaky{}
	in(t, func(o *Options) {
		o.Store = f
		if change != nil {
			change(o)
		}
	}, func(w *world) { test(w, f) })
}

func TestWhatCannotBeRecordedIsKeptAndNothingNewIsStarted(t *testing.T) {
	broken(t, func(o *Options) { o.Concurrency = 4 }, func(w *world, f *flaky) {
		ep := w.endpoint("a", nil)
		f.fail(hook.Errorf(hook.KindUnavailable, "the disk is full"))
		w.publish(100, nil)
		time.Sleep(time.Hour)
		kept := len(w.seen(""))
		if s := w.e.Stats(); kept > 2*4 || !s.Stuck || s.Unrecorded != kept || len(w.attempts(ep)) != 0 {
			t.Errorf("%d requests, %+v", kept, s)
		}
		w.endpoint("b", nil) // none of its attempts waits to be recorded, and none may begin
		w.publish(5, nil)
		time.Sleep(time.Hour)
		if n := len(w.seen("")); n != kept {
			t.Errorf("%d requests while nothing can be recorded, were %d", n, kept)
		}
		f.fail(nil)
		time.Sleep(2 * time.Second)
		if n, got := len(w.seen("")), w.counts(); n != 110 || got.Delivered != 110 || len(w.attempts(ep)) != 105 {
			t.Errorf("%d requests, %+v", n, got)
		}
	})
}

func TestStopGivesUpWhenNothingCanBeRecorded(t *testing.T) {
	broken(t, nil, func(w *world, f *flaky) {
		w.endpoint("a", nil)
		f.fail(hook.Errorf(hook.KindUnavailable, "the disk is full"))
		w.publish(3, nil)
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := w.e.Stop(ctx)
		if took := time.Since(w.begin) - time.Minute; err == nil || !strings.Contains(err.Error(), "could not be recorded") || took > 16*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		w.e.err = nil
	})
}

func TestABrokenStoreStopsEverything(t *testing.T) {
	told := make(chan error, 10)
	broken(t, func(o *Options) { o.Concurrency, o.Broken = 1, func(err error) { told <- err } }, func(w *world, f *flaky) {
		w.endpoint("a", nil)
		w.answer(slow(time.Second))
		f.fail(errors.Join(store.ErrBroken, errors.New("input/output error")))
		w.publish(100, nil)
		time.Sleep(time.Hour)
		if n := len(w.seen("")); n > 2 {
			t.Errorf("%d requests", n)
		}
		if len(told) != 1 || !errors.Is(<-told, store.ErrBroken) {
			t.Errorf("told %d times", len(told))
		}
		if err := w.e.Stop(context.Background()); !errors.Is(err, store.ErrBroken) {
			t.Errorf("stop: %v", err)
		}
		w.e.err = nil
	})
}

func TestAnOutcomeThatIsRefusedHoldsUpNoOther(t *testing.T) {
	broken(t, nil, func(w *world, f *flaky) {
		bad := w.endpoint("bad", nil)
		good := w.endpoint("good", nil)
		f.refuse(bad.ID)
		w.publish(40, nil)
		time.Sleep(24 * time.Hour)
		if n := len(w.attempts(good)); n != 40 {
			t.Errorf("%d recorded for the good endpoint", n)
		}
		if n := len(w.seen("bad.example")); n > 40 {
			t.Errorf("%d requests to an endpoint whose attempts cannot be recorded", n)
		}
	})
}
