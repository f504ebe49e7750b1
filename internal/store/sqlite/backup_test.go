package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

func TestABackupNeverOverwrites(t *testing.T) {
	t.Parallel()
	s := newSmall(t, sqlite.Options{})
	path := filepath.Join(t.TempDir(), "backup.db")
	must(t, os.WriteFile(path, []byte("precious"), 0o600))
	wantError(t, s.Backup(t.Context(), path), path, "exists")
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Fatalf("the file is %q, %v", b, err)
	}
}

func TestABackupThatCannotBeWrittenHarmsNothing(t *testing.T) {
	t.Parallel()
	s := newSmall(t, sqlite.Options{})
	dir := filepath.Join(t.TempDir(), "missing")
	wantError(t, s.Backup(t.Context(), filepath.Join(dir, "backup.db")), "backup")
	s.message(t)
}

func TestABackupThatIsGivenUpLeavesNoFile(t *testing.T) {
	t.Parallel()
	s := newSmall(t, sqlite.Options{})
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Backup(ctx, filepath.Join(dir, "backup.db")); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Fatalf("left behind: %v, %v", list, err)
	}
}

func TestABackupIsAStoreWithEverythingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	s := newSmall(t, sqlite.Options{})
	show := s.state(t)
	before := show(s.DB)
	dir := t.TempDir()
	path := filepath.Join(dir, "waypost.db")
	must(t, s.Backup(t.Context(), path))
	if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", i.Mode(), err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Fatalf("a backup is one file, here are %v, %v", list, err)
	}
	if after := show(open(t, sqlite.Options{Dir: dir})); after != before {
		t.Fatalf("the backup holds\n%s\nwant\n%s", after, before)
	}
}

// While a backup runs the store takes messages; the copy is of one moment, and whole.
func TestABackupRunsBesideTheWork(t *testing.T) {
	t.Parallel()
	s := newSmall(t, sqlite.Options{LogPages: 64})
	for range 40 {
		var batch []hook.Accept
		for i := range 50 {
			a := s.new(fmt.Sprint(s.ids.Next(s.now), i))
			a.Message.Payload = make([]byte, 2000)
			batch = append(batch, a)
		}
		_, err := s.Accept(t.Context(), batch)
		must(t, err)
	}
	stop := make(chan struct{})
	var taken atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := s.Accept(t.Context(), []hook.Accept{s.new(fmt.Sprint(s.ids.Next(s.now)))}); err != nil {
					t.Error(err)
					return
				}
				taken.Add(1)
			}
		}
	})
	// On a busy machine a backup may end before the other goroutine had a turn.
	var (
		start store.Counts
		dir   string
		path  string
		err   error
	)
	for beside := false; !beside && !t.Failed(); {
		start, err = s.Counts(t.Context())
		must(t, err)
		dir = t.TempDir()
		path = filepath.Join(dir, "waypost.db")
		before := taken.Load()
		must(t, s.Backup(t.Context(), path))
		beside = taken.Load() > before
	}
	close(stop)
	wg.Wait()
	c, err := sqlite3.Open("file:" + path)
	must(t, err)
	q, _, err := c.Prepare(`PRAGMA integrity_check`)
	must(t, err)
	if !q.Step() || q.ColumnText(0) != "ok" {
		t.Fatalf("the backup is damaged: %s", q.ColumnText(0))
	}
	must(t, q.Close())
	must(t, c.Close())
	got, err := open(t, sqlite.Options{Dir: dir}).Counts(t.Context())
	must(t, err)
	end, err := s.Counts(t.Context())
	must(t, err)
	if got.Messages < start.Messages || got.Messages > end.Messages || got.Messages != got.Pending {
		t.Fatalf("the backup counts %+v, the store %+v at the start and %+v at the end", got, start, end)
	}
}

func TestCloseEndsABackup(t *testing.T) {
	t.Parallel()
	s := newSmall(t, sqlite.Options{})
	for range 4 {
		a := s.new(fmt.Sprint(s.ids.Next(s.now)))
		a.Message.Payload = noise(1, 4<<20)
		_, err := s.Accept(t.Context(), []hook.Accept{a})
		must(t, err)
	}
	done := make(chan error, 1)
	path := filepath.Join(t.TempDir(), "backup.db")
	go func() { done <- s.Backup(t.Context(), path) }()
	must(t, s.Close())
	if err := <-done; err != nil && hook.KindOf(err) != hook.KindUnavailable {
		t.Fatalf("the backup ends with %v", err)
	}
}
