package storetest

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

var followTests = map[string]func(*testing.T, *fixture){
	"pages hold what was there, once, while others write":   pagesAmidWrites,
	"who follows the messages sees every one, once":         followMessages,
	"an id that comes late does not hide behind the reader": lateIDs,
}

// atOnce runs f n times at once and waits.
func atOnce(n int, f func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(f)
	}
	wg.Wait()
}

func contextCanceled(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx, cancel
}

// collectAll reads a list to its end. Windows may be short.
func collectAll[T any](t *testing.T, p store.Page, read func(store.Page) (store.List[T], error)) (all []T) {
	t.Helper()
	for range 10_000 {
		l, err := read(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l.Items...)
		if l.Done {
			return all
		}
		p.After = l.Last
	}
	t.Fatal("the list never ends")
	return nil
}

// pagesAmidWrites pages through the lists while others accept, attempt and cancel: every row that was there at the start comes
// once, whichever way the list is read.
func pagesAmidWrites(t *testing.T, f *fixture) {
	app := f.app()
	e := f.endpoint(app.ID)
	var batch []hook.Accept
	for range 120 {
		batch = append(batch, hook.Accept{Message: f.newMessage(app.ID)})
	}
	var outcomes []hook.Outcome
	var messages []hook.MessageID
	var attempts []hook.AttemptID
	for i, a := range f.acceptAll(batch...) {
		messages = append(messages, a.Message.ID)
		o := f.outcome(a.Deliveries[0], []hook.Verdict{hook.Success, hook.Refuse}[i%2])
		outcomes = append(outcomes, o)
		attempts = append(attempts, o.Attempt.ID)
	}
	f.finish(outcomes...)

	stop := make(chan struct{})
	var wg sync.WaitGroup
	var written atomic.Int64
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				out, err := f.Accept(f.ctx, []hook.Accept{{Message: f.newMessage(app.ID)}})
				if err == nil {
					err = f.Finish(f.ctx, []hook.Outcome{f.outcome(out[0].Deliveries[0], hook.Refuse)})
				}
				if err != nil {
					t.Error(err)
					return
				}
				written.Add(1)
			}
		})
	}
	defer wg.Wait()
	defer close(stop)
	for _, down := range []bool{false, true} {
		for written.Load() == 0 && !t.Failed() {
			f.counts() // wait for the others to have begun
		}
		p := store.Page{Limit: 7, Descending: down}
		got := collectAll(t, p, func(p store.Page) (store.List[hook.MessageID], error) {
			l, err := f.Messages(f.ctx, app.ID, store.MessageFilter{}, p)
			return store.List[hook.MessageID]{Items: ids(l), Last: l.Last, Done: l.Done || len(l.Items) > 0 && beyond(ids(l), messages, down)}, err
		})
		once(t, "messages", got, messages)
		tried := collectAll(t, p, func(p store.Page) (store.List[hook.AttemptID], error) {
			l, err := f.Attempts(f.ctx, app.ID, store.AttemptFilter{Endpoint: e.ID}, p)
			list := store.List[hook.AttemptID]{Last: l.Last, Done: l.Done}
			for _, a := range l.Items {
				list.Items = append(list.Items, a.ID)
			}
			list.Done = list.Done || len(list.Items) > 0 && beyond(list.Items, attempts, down)
			return list, err
		})
		once(t, "attempts", tried, attempts)
		for _, states := range [][]hook.State{nil, {hook.Failed}} {
			want := messages
			if states != nil {
				want = nil
				for i, m := range messages {
					if i%2 == 1 {
						want = append(want, m)
					}
				}
			}
			sent := collectAll(t, p, func(p store.Page) (store.List[hook.MessageID], error) {
				l, err := f.Attempted(f.ctx, app.ID, e.ID, store.AttemptedFilter{States: states}, p)
				list := store.List[hook.MessageID]{Last: l.Last, Done: l.Done}
				for _, a := range l.Items {
					list.Items = append(list.Items, a.Message.ID)
				}
				list.Done = list.Done || len(list.Items) > 0 && beyond(list.Items, want, down)
				return list, err
			})
			once(t, "attempted messages", sent, want)
		}
	}
}

// beyond says that a page has passed the last of the rows of interest, as new ones come without end.
func beyond[T ~int64](page, want []T, down bool) bool {
	if down {
		return page[len(page)-1] <= want[0]
	}
	return page[len(page)-1] >= want[len(want)-1]
}

// once wants each row once, nothing out of order and nothing twice.
func once[T ~int64](t *testing.T, name string, got, want []T) {
	t.Helper()
	sorted := slices.Clone(got)
	slices.Sort(sorted)
	if len(slices.Compact(slices.Clone(sorted))) != len(got) {
		t.Errorf("%s: a row comes twice", name)
	}
	down := slices.Clone(sorted)
	slices.Reverse(down)
	if !slices.Equal(got, sorted) && !slices.Equal(got, down) {
		t.Errorf("%s: rows are out of order", name)
	}
	for _, id := range want {
		if _, ok := slices.BinarySearch(sorted, id); !ok {
			t.Errorf("%s: %d is missing", name, id)
		}
	}
}

// followMessages reads on from the last cursor, again and again, while many callers accept: ids grow in the order of the
// commits, so what was accepted comes once, and nothing is passed by.
func followMessages(t *testing.T, f *fixture) {
	app := f.app()
	const callers, each = 8, 40
	var mu sync.Mutex
	accepted := map[hook.MessageID]bool{}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := range each {
				var batch []hook.Accept
				for range 1 + i%3 {
					batch = append(batch, hook.Accept{Message: f.newMessage(app.ID)})
				}
				out, err := f.Accept(f.ctx, batch)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, a := range out {
					accepted[a.Message.ID] = true
				}
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	seen := map[hook.MessageID]bool{}
	p := store.Page{Limit: 20}
	read := func() (n int) {
		l, err := f.Messages(f.ctx, app.ID, store.MessageFilter{}, p)
		f.ok(err)
		for _, m := range l.Items {
			if seen[m.ID] {
				t.Fatalf("%s comes twice", m.ID)
			}
			seen[m.ID] = true
		}
		if l.Last != "" {
			p.After = l.Last
		}
		return len(l.Items)
	}
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
			read()
		}
	}
	for read() > 0 {
	}
	if len(seen) != len(accepted) {
		t.Errorf("%d messages seen of %d accepted", len(seen), len(accepted))
	}
	for id := range accepted {
		if !seen[id] {
			t.Errorf("%s was accepted and never seen", id)
		}
	}
}

// lateIDs accepts a message whose id was drawn before that of one that is stored already.
func lateIDs(t *testing.T, f *fixture) {
	app := f.app()
	late, early := f.newMessage(app.ID), f.newMessage(app.ID)
	first := f.accept(hook.Accept{Message: early}).Message.ID
	l, err := f.Messages(f.ctx, app.ID, store.MessageFilter{}, store.Page{})
	f.ok(err)
	second := f.accept(hook.Accept{Message: late}).Message.ID
	if second <= first {
		t.Fatalf("%s was accepted after %s", second, first)
	}
	l, err = f.Messages(f.ctx, app.ID, store.MessageFilter{}, store.Page{After: l.Last})
	f.ok(err)
	same(t, ids(l), []hook.MessageID{second})
}
