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

// pageBytes is how much a page reads before it is cut short: a page of whole messages would otherwise take as much memory
// as the largest page of the largest messages, for every list under way.
const pageBytes = 8 << 20

// collect reads a page with a query that ends in order: one row more than it has, to see whether it is the last.
func collect[T any](w window, q *stmt, get func(*stmt) (T, error), cursor func(*T) string) (l store.List[T], err error) {
	q, l.Done = q.int(w.lo).int(w.hi).int(int64(w.limit)+1), true
	for q.next() {
		if n := len(l.Items); n == w.limit || n > 0 && q.read >= pageBytes {
			l.Done = false
			break
		}
		v, bad := get(q)
		if bad != nil {
			_ = q.done()
			return store.List[T]{}, bad
		}
		l.Items = append(l.Items, v)
	}
	if err := q.done(); err != nil {
		return store.List[T]{}, err
	}
	if w.reverse {
		slices.Reverse(l.Items)
	}
	if n := len(l.Items); n > 0 {
		l.First, l.Last = cursor(&l.Items[0]), cursor(&l.Items[n-1])
	}
	return l, nil
}
