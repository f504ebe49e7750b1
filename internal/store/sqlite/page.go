package sqlite

import (
	"math"
	"slices"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

const (
	defaultPage = 50
	maxPage     = 250
)

// window is a page as a range of ids: those between lo and hi, both exclusive, read upwards or downwards.
type window struct {
	lo, hi  int64
	limit   int
	down    bool // read from hi to lo
	reverse bool // turn the rows round afterwards: a page in front of a cursor is read backwards
}

// newWindow reads a page, whose cursors are ids.
func newWindow[T ~int64](p store.Page, parse func(string) (T, error)) (window, error) {
	w := window{hi: math.MaxInt64, limit: p.Limit, down: p.Descending}
	if w.limit == 0 {
		w.limit = defaultPage
	}
	if w.limit < 1 || w.limit > maxPage {
		return w, hook.FieldErrorf("limit", "must be between 1 and %d", maxPage)
	}
	cursor := p.After
	if p.Before != "" {
		if p.After != "" {
			return w, hook.FieldErrorf("iterator", "only one of a cursor to continue after and one to go back before can be given")
		}
		cursor = p.Before
		w.reverse, w.down = true, !p.Descending
	}
	if cursor == "" {
		return w, nil
	}
	id, err := parse(cursor)
	if err != nil {
		return w, hook.FieldErrorf("iterator", "is not a cursor that a list has given out")
	}
	if w.down {
		w.hi = int64(id)
	} else {
		w.lo = int64(id)
	}
	return w, nil
}

// order ends a query that has the range as its last parameters but for the limit.
func (w window) order() string {
	if w.down {
		return ` AND id > ? AND id < ? ORDER BY id DESC LIMIT ?`
	}
	return ` AND id > ? AND id < ? ORDER BY id LIMIT ?`
}

// bind binds what order asks for, with one row more than the page has, to see whether it is the last.
func (w window) bind(s *stmt) *stmt { return s.int(w.lo).int(w.hi).int(int64(w.limit) + 1) }

// list makes a List of the rows that were read, one more than the page has if there are more.
func list[T any](w window, rows []T, cursor func(*T) string) store.List[T] {
	l := store.List[T]{Items: rows, Done: len(rows) <= w.limit}
	if !l.Done {
		l.Items = rows[:w.limit]
	}
	if w.reverse {
		slices.Reverse(l.Items)
	}
	if n := len(l.Items); n > 0 {
		l.First, l.Last = cursor(&l.Items[0]), cursor(&l.Items[n-1])
	}
	return l
}
