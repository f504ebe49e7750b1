package sqlite

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

func openBounded(t *testing.T) *DB {
	t.Helper()
	sealer, err := store.NewSealer(make([]byte, store.MainKeySize))
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), Options{Dir: t.TempDir(), Sealer: sealer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

const (
	largeMessages = 11
	largeBytes    = 1 << 20
)

func storeLarge(t *testing.T, db *DB) (app hook.ApplicationID, want []hook.MessageID) {
	t.Helper()
	ids, now := hook.NewGenerator(1, 0), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	app = hook.NewID[hook.ApplicationID](ids, now)
	if err := db.CreateApplication(t.Context(), hook.Application{ID: app, CreatedAt: now}); err != nil {
		t.Fatal(err)
	}
	payload := []byte(`{"a":"` + strings.Repeat("z", largeBytes) + `"}`)
	for i := range largeMessages {
		m := hook.Message{ID: hook.NewID[hook.MessageID](ids, now), App: app, EventType: fmt.Sprint("t", i%2), CreatedAt: now, Payload: payload}
		out, err := db.Accept(t.Context(), []hook.Accept{{Message: m}})
		if err != nil || out[0].Err != nil {
			t.Fatal(err, out)
		}
		want = append(want, m.ID)
	}
	return app, want
}

func TestAPageOfLargeMessagesIsCutShortAndGoesOn(t *testing.T) {
	t.Parallel()
	db := openBounded(t)
	app, want := storeLarge(t, db)
	for name, f := range map[string]store.MessageFilter{
		"by application": {WithPayload: true}, "by types": {WithPayload: true, EventTypes: []string{"t0", "t1"}},
	} {
		t.Run(name, func(t *testing.T) {
			read := func(p store.Page) store.List[hook.Message] {
				t.Helper()
				l, err := db.Messages(t.Context(), app, f, p)
				if err != nil {
					t.Fatal(err)
				}
				size := 0
				for _, m := range l.Items {
					size += len(m.Payload)
				}
				if size < largeBytes || size > pageBytes+2*largeBytes {
					t.Fatalf("a page of %d bytes", size)
				}
				return l
			}
			first := read(store.Page{Limit: maxPage})
			second := read(store.Page{Limit: maxPage, After: first.Last})
			if first.Done || !second.Done {
				t.Fatalf("done: %t, then %t", first.Done, second.Done)
			}
			wantIDs(t, append(first.Items, second.Items...), want)

			back := read(store.Page{Limit: maxPage, Before: second.Last})
			front := read(store.Page{Limit: maxPage, Before: back.First})
			if back.Done || !front.Done {
				t.Fatalf("going back, done: %t, then %t", back.Done, front.Done)
			}
			wantIDs(t, append(front.Items, back.Items...), want[:len(want)-1])
		})
	}
}

func wantIDs(t *testing.T, got []hook.Message, want []hook.MessageID) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d messages, want %d", len(got), len(want))
	}
	for i, m := range got {
		if m.ID != want[i] {
			t.Fatalf("message %d is %s, want %s", i, m.ID, want[i])
		}
	}
}

func TestListsLeaveConnectionsToWhatMustBeQuick(t *testing.T) {
	t.Parallel()
	db := openBounded(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	defer close(leave)
	under := 0
	for under < DefaultReaders {
		failed := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		go func() {
			failed <- db.list(ctx, func(*conn) error {
				entered <- struct{}{}
				<-leave
				return nil
			})
		}()
		select {
		case <-entered:
			under++
			defer cancel()
			continue
		case err := <-failed:
			cancel()
			if hook.KindOf(err) != hook.KindUnavailable {
				t.Fatal(err)
			}
		}
		break
	}
	if under == 0 || under >= DefaultReaders {
		t.Fatalf("%d lists at once on %d connections", under, DefaultReaders)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := db.Route(ctx, "none", time.Now()); hook.KindOf(err) != hook.KindNotFound {
		t.Fatalf("a door is looked up with %v while lists are under way", err)
	}
}
