package sqlite_test

import (
	"testing"

	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
	"github.com/waypost/waypost/internal/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, changed func(store.Change)) store.Store {
		return open(t, sqlite.Options{Changed: changed})
	})
}

// open opens a store in a folder of its own unless one is named, and closes it at the end.
func open(t testing.TB, o sqlite.Options) *sqlite.DB {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Sealer == nil {
		o.Sealer = sealer(t, 1)
	}
	db, err := sqlite.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func sealer(t testing.TB, seed byte) *store.Sealer {
	t.Helper()
	key := make([]byte, store.MainKeySize)
	key[0] = seed
	s, err := store.NewSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
