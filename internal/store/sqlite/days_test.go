package sqlite_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// asGroup has calls written as one group, in their order.
func asGroup(t *testing.T, g *gate, s *small, calls ...func() error) {
	t.Helper()
	release := g.hold(t, s)
	errs := make([]error, len(calls))
	var wg sync.WaitGroup
	for i, call := range calls {
		wg.Go(func() { errs[i] = call() })
		g.waitFor(t, s, i+1)
	}
	release()
	wg.Wait()
	for _, err := range errs {
		must(t, err)
	}
}

// daysIn closes a store and counts the rows of the days' counters, and those that are wrong.
func daysIn(t *testing.T, s *small, dir string) (rows, wrong int) {
	t.Helper()
	must(t, s.Close())
	c, err := sqlite3.Open("file:" + filepath.Join(dir, "waypost.db"))
	must(t, err)
	defer c.Close()
	for sql, n := range map[string]*int{`SELECT count(*) FROM days`: &rows, daysDiffer: &wrong} {
		q, _, err := c.Prepare(sql)
		must(t, err)
		if !q.Step() {
			t.Fatal(q.Err())
		}
		*n = q.ColumnInt(0)
		must(t, q.Close())
	}
	return rows, wrong
}

// What one transaction counts and cancels, deletes or takes is right at its end, and no empty row stays.
func TestTheDaysOfOneTransaction(t *testing.T) {
	t.Parallel()
	accept := func(s *small) func() error {
		return func() error {
			_, err := s.Accept(t.Context(), []hook.Accept{s.new("a"), s.new("b")})
			return err
		}
	}
	change := func(s *small, disabled bool) func() error {
		return func() error { e := s.ep; e.Disabled = disabled; return s.UpdateEndpoint(t.Context(), e) }
	}
	remove := func(s *small) func() error {
		return func() error { return s.DeleteEndpoint(t.Context(), s.app.ID, s.ep.ID, s.now) }
	}
	sweep := func(s *small) func() error {
		return func() error {
			later := s.now.Add(time.Hour)
			_, _, err := s.Sweep(t.Context(), store.Sweep{Now: later, Before: later, Limit: 10})
			return err
		}
	}
	for name, c := range map[string]struct {
		calls func(*small) []func() error
		rows  int
	}{
		"accepted, the endpoint deleted": {func(s *small) []func() error { return []func() error{accept(s), remove(s)} }, 0},
		"accepted, canceled, accepted again": {func(s *small) []func() error {
			return []func() error{accept(s), change(s, true), change(s, false), accept(s)}
		}, 1},
		"accepted, canceled, taken":           {func(s *small) []func() error { return []func() error{accept(s), change(s, true), sweep(s)} }, 0},
		"accepted, canceled, deleted, swept":  {func(s *small) []func() error { return []func() error{accept(s), change(s, true), remove(s), sweep(s)} }, 0},
		"canceled with nothing, and accepted": {func(s *small) []func() error { return []func() error{change(s, true), change(s, false), accept(s)} }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, together := range []bool{true, false} {
				g, dir := newGate(), t.TempDir()
				s := newSmall(t, sqlite.Options{Dir: dir, Changed: g.changed})
				if calls := c.calls(s); together {
					asGroup(t, g, s, calls...)
				} else {
					for _, call := range calls {
						must(t, call())
					}
				}
				if rows, wrong := daysIn(t, s, dir); rows != c.rows || wrong != 0 {
					t.Errorf("together %t: %d rows, want %d; %d are wrong", together, rows, c.rows, wrong)
				}
			}
		})
	}
}
