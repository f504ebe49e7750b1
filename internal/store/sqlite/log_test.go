package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

func TestTheLogIsBoundedUnderLoad(t *testing.T) {
	t.Parallel()
	const pages = 128
	dir := t.TempDir()
	s := newSmall(t, sqlite.Options{Dir: dir, LogPages: pages})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 { // there is always somebody looking at an old state
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := s.Messages(t.Context(), s.app.ID, store.MessageFilter{WithPayload: true}, store.Page{Limit: 250}); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	var writers sync.WaitGroup
	var written int
	for w := range 8 {
		writers.Go(func() {
			for i := range 100 {
				a := s.new(fmt.Sprint(w, "-", i))
				a.Message.Payload = make([]byte, 20_000)
				if _, err := s.Accept(t.Context(), []hook.Accept{a}); err != nil {
					t.Error(err)
					return
				}
			}
		})
		written += 100 * 20_000
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	i, err := os.Stat(filepath.Join(dir, "waypost.db-wal"))
	must(t, err)
	limit := int64(pages*16*4120 + 1<<20) // sixteen steps and a group that came on top
	if i.Size() > limit {
		t.Fatalf("the log has %d bytes, want at most %d", i.Size(), limit)
	}
	if int64(written) < limit {
		t.Fatalf("%d bytes were written: not enough to pass the bound of %d", written, limit)
	}
}
