package sqlite

import (
	"math"
	"slices"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// scanLimit is how many rows of an index a list looks at when its filter asks for more than the index knows. A page that
// stops there is short, perhaps empty, and not Done; its cursor says where it stopped, so asking on finds the rest.
const scanLimit = 5000

// between narrows a window to ids that were made after and before two moments, exclusive and to the millisecond. The
// zero time does not narrow.
func (w *window) between(after, before time.Time) {
	if !after.IsZero() {
		w.lo = max(w.lo, idAt(after.Truncate(time.Millisecond).Add(time.Millisecond))-1)
	}
	if !before.IsZero() {
		w.hi = min(w.hi, idAt(before.Add(time.Millisecond-1).Truncate(time.Millisecond)))
	}
}

// idAt is the smallest id of a moment, of whatever noun.
func idAt(t time.Time) int64 {
	var at func(time.Time) hook.MessageID = hook.IDAt
	return int64(at(t))
}

// found is what a scan of an index found, in the order of reading.
type found[T any] struct {
	rows []row[T]
	cut  bool  // it stopped before the end: at scanLimit, or at the bytes that it may read
	last int64 // the row that it looked at last
}

type row[T any] struct {
	id    int64
	value T
}

// scan reads an index until there is one row more than the page holds, or bytes are read. get reads a row and says whether
// the filter takes it.
func scan[T any](w window, q *stmt, bytes int, get func() (v T, id int64, ok bool)) (f found[T], err error) {
	q = q.int(w.lo).int(w.hi).int(scanLimit + 1)
	for n := 0; len(f.rows) <= w.limit && q.next(); n++ {
		if n == scanLimit || n > 0 && q.read >= bytes {
			f.cut = true
			break
		}
		v, id, ok := get()
		f.last = id
		if ok {
			f.rows = append(f.rows, row[T]{id, v})
		}
	}
	return f, q.done()
}

// merge makes one of several scans of disjoint parts. Beyond the first place where one of them was cut, nothing is known
// for sure.
func merge[T any](w window, parts []found[T]) (all found[T]) {
	horizon := int64(math.MaxInt64)
	if w.down {
		horizon = 0
	}
	for _, p := range parts {
		all.rows = append(all.rows, p.rows...)
		if p.cut && w.before(p.last, horizon) {
			all.cut, all.last, horizon = true, p.last, p.last
		}
	}
	slices.SortFunc(all.rows, func(a, b row[T]) int {
		if w.before(a.id, b.id) {
			return -1
		}
		return 1
	})
	all.rows = slices.DeleteFunc(all.rows, func(r row[T]) bool { return w.before(horizon, r.id) })
	return all
}

// before says whether a is read before b.
func (w window) before(a, b int64) bool {
	if w.down {
		return a > b
	}
	return a < b
}

// scanned makes a List of what a scan found.
func scanned[T any](w window, f found[T], cursor func(id int64) string) store.List[T] {
	l := store.List[T]{Done: !f.cut && len(f.rows) <= w.limit}
	if len(f.rows) > w.limit {
		f.rows, f.cut = f.rows[:w.limit], false
	}
	if w.reverse {
		slices.Reverse(f.rows)
	}
	for _, r := range f.rows {
		l.Items = append(l.Items, r.value)
	}
	if n := len(f.rows); n > 0 {
		l.First, l.Last = cursor(f.rows[0].id), cursor(f.rows[n-1].id)
	}
	if f.cut {
		end := cursor(f.last)
		if w.reverse || l.First == "" {
			l.First = end
		}
		if !w.reverse || l.Last == "" {
			l.Last = end
		}
	}
	return l
}
