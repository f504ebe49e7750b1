package ingest_test

import (
	"context"
	"io"
	"log"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// books is a real store, with a switch that makes it refuse.
type books struct {
	*sqlite.DB
	ids     *hook.Generator
	app     hook.ApplicationID
	lookups atomic.Int64
	fail    atomic.Pointer[error]
}

func newBooks(t testing.TB) *books {
	t.Helper()
	sealer, err := store.NewSealer(make([]byte, store.MainKeySize))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(context.Background(), sqlite.Options{
		Dir: t.TempDir(), Sealer: sealer, FreeSpace: func() (uint64, error) { return 1 << 40, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &books{DB: db, ids: hook.NewGenerator(1, 0)}
}

// put makes a route's application and source.
func (b *books) put(t testing.TB, r hook.Route) {
	t.Helper()
	b.app = r.Source.App
	a := hook.Application{ID: r.Source.App, Name: "parcels", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	if err := b.CreateApplication(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	s := r.Source
	s.Settings, s.CreatedAt, s.UpdatedAt = r.Settings, time.Now(), time.Now()
	if err := b.CreateSource(context.Background(), s); err != nil {
		t.Fatal(err)
	}
}

// breakWith makes Accept fail; nil repairs it.
func (b *books) breakWith(err error) { b.fail.Store(&err) }

func (b *books) Route(ctx context.Context, door string, now time.Time) (hook.Route, error) {
	b.lookups.Add(1)
	return b.DB.Route(ctx, door, now)
}

func (b *books) Accept(ctx context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
	if err := b.fail.Load(); err != nil && *err != nil {
		return nil, *err
	}
	return b.DB.Accept(ctx, batch)
}

// messages lists what is stored, oldest first.
func (b *books) messages(t testing.TB) []hook.Message {
	t.Helper()
	l, err := b.Messages(context.Background(), b.app, store.MessageFilter{}, store.Page{Limit: 250})
	if err != nil {
		t.Fatal(err)
	}
	return l.Items
}

// message is a stored message with everything.
func (b *books) message(t testing.TB, id hook.MessageID) hook.Message {
	t.Helper()
	m, err := b.Load(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (b *books) refusals(t testing.TB, id hook.SourceID) []hook.Refused {
	t.Helper()
	list, err := b.Refusals(context.Background(), id, 100)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func serverLog(w io.Writer) *log.Logger { return log.New(w, "", 0) }
