package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// gate holds the writing goroutine in its telling, so that what comes meanwhile waits and is then written as one group.
type gate struct {
	mu   sync.Mutex
	wait chan struct{}
	in   chan struct{}
}

func newGate() *gate { return &gate{} }

func (g *gate) changed(store.Change) {
	g.mu.Lock()
	wait, in := g.wait, g.in
	g.wait = nil
	g.mu.Unlock()
	if wait != nil {
		close(in)
		<-wait
	}
}

// hold stops the writer until the returned function is called.
func (g *gate) hold(t *testing.T, s *small) (release func()) {
	t.Helper()
	wait, in := make(chan struct{}), make(chan struct{})
	g.mu.Lock()
	g.wait, g.in = wait, in
	g.mu.Unlock()
	go func() { _ = s.UpdateApplication(context.Background(), s.app) }()
	<-in
	return func() { close(wait) }
}

// waitFor returns when n requests wait for the writer.
func (g *gate) waitFor(t *testing.T, s *small, n int) {
	t.Helper()
	for s.Waiting() < n {
		runtime.Gosched()
	}
}

func TestOneAtFaultDoesNotUndoTheOthersOfItsGroup(t *testing.T) {
	t.Parallel()
	g := newGate()
	s := newSmall(t, sqlite.Options{Changed: g.changed})
	first := s.message(t)
	good := s.outcome(first.Deliveries[0], hook.Success)
	must(t, s.Finish(t.Context(), []hook.Outcome{good}))
	release := g.hold(t, s)

	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i, call := range []func() error{
		func() error { _, err := s.Accept(t.Context(), []hook.Accept{s.new("a")}); return err },
		func() error { return s.Finish(t.Context(), []hook.Outcome{good}) }, // its attempt is there already
		func() error { return s.DeleteToken(t.Context(), 1) },               // and this one is refused
		func() error { _, err := s.Accept(t.Context(), []hook.Accept{s.new("b")}); return err },
	} {
		wg.Go(func() { errs[i] = call() })
		g.waitFor(t, s, i+1)
	}
	release()
	wg.Wait()
	must(t, errs[0])
	must(t, errs[3])
	if hook.KindOf(errs[1]) != hook.KindConflict {
		t.Errorf("got %v, want conflict", errs[1])
	}
	if hook.KindOf(errs[2]) != hook.KindNotFound {
		t.Errorf("got %v, want not found", errs[2])
	}
	if c, err := s.Counts(t.Context()); err != nil || c != (store.Counts{Messages: 3, Pending: 2, Delivered: 1}) {
		t.Errorf("counts are %+v, %v", c, err)
	}
}

// What a transaction changed in the writer's memory is changed back with it.
func TestAGroupThatIsTakenBackLeavesNoEndpoint(t *testing.T) {
	t.Parallel()
	g := newGate()
	s := newSmall(t, sqlite.Options{Changed: g.changed})
	good := s.outcome(s.message(t).Deliveries[0], hook.Success)
	must(t, s.Finish(t.Context(), []hook.Outcome{good}))
	release := g.hold(t, s)
	var wg sync.WaitGroup
	second := s.ep
	second.ID = hook.NewID[hook.EndpointID](s.ids, s.now)
	var out []hook.Accepted
	for i, call := range []func(){
		func() { must(t, s.CreateEndpoint(t.Context(), second)) },
		func() { must(t, s.DeleteEndpoint(t.Context(), s.app.ID, s.ep.ID, s.now)) },
		func() { _ = s.Finish(t.Context(), []hook.Outcome{good}) }, // spoils the group: it is written one by one
		func() { out, _ = s.Accept(t.Context(), []hook.Accept{s.new("a")}) },
	} {
		wg.Go(call)
		g.waitFor(t, s, i+1)
	}
	release()
	wg.Wait()
	if len(out) != 1 || len(out[0].Deliveries) != 1 || out[0].Deliveries[0].Endpoint != second.ID {
		t.Fatalf("accepted %+v, want one delivery to the second endpoint", out)
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	t.Parallel()
	g := newGate()
	s := newSmall(t, sqlite.Options{Changed: g.changed, QueueBytes: 1 << 20})
	d := s.message(t).Deliveries[0]
	release := g.hold(t, s)
	half := func(key string) hook.Accept {
		a := s.new(key)
		a.Message.Payload = make([]byte, 600<<10)
		return a
	}
	first := make(chan error, 2)
	go func() {
		_, err := s.Accept(t.Context(), []hook.Accept{half("a")})
		first <- err
	}()
	g.waitFor(t, s, 1)
	if _, err := s.Accept(t.Context(), []hook.Accept{half("b")}); hook.KindOf(err) != hook.KindUnavailable {
		t.Errorf("beyond the bound: got %v, want unavailable", err)
	}
	go func() { first <- s.Finish(t.Context(), []hook.Outcome{s.outcome(d, hook.Success)}) }() // is never refused for that
	g.waitFor(t, s, 2)
	release()
	must(t, <-first)
	must(t, <-first)
	_, err := s.Accept(t.Context(), []hook.Accept{half("b")})
	must(t, err)
}

func TestAMessageLargerThanTheQueueIsTakenAlone(t *testing.T) {
	t.Parallel()
	s := newSmall(t, sqlite.Options{QueueBytes: 1000})
	a := s.new("a")
	a.Message.Payload = make([]byte, 1<<20)
	_, err := s.Accept(t.Context(), []hook.Accept{a})
	must(t, err)
}

func TestACallerThatGivesUpWhileWaitingLeavesNothing(t *testing.T) {
	t.Parallel()
	g := newGate()
	s := newSmall(t, sqlite.Options{Changed: g.changed})
	release := g.hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	a := s.new("a")
	go func() {
		_, err := s.Accept(ctx, []hook.Accept{a})
		gone <- err
	}()
	g.waitFor(t, s, 1)
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) || hook.KindOf(err) != hook.KindUnavailable {
		t.Fatalf("got %v", err)
	}
	release()
	out, err := s.Accept(t.Context(), []hook.Accept{s.new("a")})
	must(t, err)
	if out[0].Duplicate {
		t.Fatal("what was given up was written")
	}
	if _, err := s.Load(t.Context(), a.Message.ID); hook.KindOf(err) != hook.KindNotFound {
		t.Fatalf("got %v, want not found", err)
	}
}

func TestManyRequestsAreWrittenTogether(t *testing.T) {
	t.Parallel()
	g := newGate()
	told := 0
	s := newSmall(t, sqlite.Options{Changed: func(c store.Change) {
		if len(c.Accepted) > 0 {
			told++
		}
		g.changed(c)
	}})
	release := g.hold(t, s)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, err := s.Accept(t.Context(), []hook.Accept{s.new(fmt.Sprint(i))}); err != nil {
				t.Error(err)
			}
		})
	}
	g.waitFor(t, s, 50)
	release()
	wg.Wait()
	if told != 1 {
		t.Errorf("50 waiting messages made %d commits, want one", told)
	}
}

// A member at fault has its group written again one by one: what goes along with the others is kept once.
func TestAGroupThatIsWrittenAgainKeepsWhatGoesAlongOnce(t *testing.T) {
	t.Parallel()
	g := newGate()
	s := newSmall(t, sqlite.Options{Changed: g.changed})
	must(t, s.CreateEndpoint(t.Context(), hook.Endpoint{ID: hook.NewID[hook.EndpointID](s.ids, s.now), App: hook.Operational, CreatedAt: s.now}))
	good := s.outcome(s.message(t).Deliveries[0], hook.Success)
	must(t, s.Finish(t.Context(), []hook.Outcome{good}))
	along := func(key byte) context.Context {
		m := hook.Message{ID: hook.NewID[hook.MessageID](s.ids, s.now), EventType: fmt.Sprint("told ", key), CreatedAt: s.now}
		return store.With(t.Context(), store.Along{Events: []hook.Accept{{Message: m}}, Receipt: &store.Receipt{
			Key: [32]byte{key}, Expires: s.now.Add(time.Hour), Answer: func(r store.Result) (int, []byte, bool) {
				return 201, fmt.Append(nil, r.Accepted[0].Message.ID), true
			},
		}})
	}
	release := g.hold(t, s)
	errs := make([]error, 4)
	var out [4][]hook.Accepted
	var wg sync.WaitGroup
	for i, call := range []func() error{
		func() (err error) { out[0], err = s.Accept(along(1), []hook.Accept{s.new("a")}); return err },
		func() error { return s.Finish(t.Context(), []hook.Outcome{good}) }, // its attempt is there already
		func() (err error) { out[2], err = s.Accept(along(1), []hook.Accept{s.new("b")}); return err },
		func() (err error) { out[3], err = s.Accept(along(2), []hook.Accept{s.new("c")}); return err },
	} {
		wg.Go(func() { errs[i] = call() })
		g.waitFor(t, s, i+1)
	}
	release()
	wg.Wait()
	must(t, errs[0])
	must(t, errs[3])
	for i, field := range map[int]string{1: "", 2: store.ReceiptField} {
		var he *hook.Error
		if !errors.As(errs[i], &he) || he.Kind != hook.KindConflict || he.Field != field {
			t.Errorf("call %d: got %v, want a conflict on %q", i, errs[i], field)
		}
	}
	l, err := s.Messages(t.Context(), hook.Operational, store.MessageFilter{}, store.Page{})
	must(t, err)
	if len(l.Items) != 2 || l.Items[0].EventType != "told 1" || l.Items[1].EventType != "told 2" {
		t.Errorf("the operator was told %+v", l.Items)
	}
	for key, i := range map[byte]int{1: 0, 2: 3} {
		_, body, _, err := s.Receipt(t.Context(), [32]byte{key}, s.now)
		if want := out[i][0].Message.ID.String(); err != nil || string(body) != want {
			t.Errorf("the receipt %d says %q, %v; want %q", key, body, err, want)
		}
	}
}
