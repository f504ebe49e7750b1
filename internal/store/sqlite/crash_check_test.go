package sqlite_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// check looks at the whole store after a crash and holds it against what its users were told.
func (l *life) check(ctx context.Context, db *sqlite.DB) {
	n := rows{pending: map[hook.EndpointID]bool{}}
	pending, err := db.Pending(ctx)
	if err != nil {
		l.problem("pending: %v", err)
		return
	}
	for _, p := range pending {
		n.pending[p.Endpoint] = true
	}
	raw, err := sqlite3.Open("file:" + filepath.Join(l.dir, "waypost.db") + "?vfs=" + l.disk.VFS())
	if err != nil {
		l.problem("open the file beside the store: %v", err)
		return
	}
	defer raw.Close()
	highest, err := db.HighestID(ctx)
	if err != nil {
		l.problem("highest id: %v", err)
		return
	}
	for _, w := range l.workers {
		if err := w.check(ctx, db, raw, &n); err != nil {
			l.problem("worker %d: %v", w.n, err)
			return
		}
		if highest < w.side.highest {
			l.problem("the highest id is %d, below the acknowledged %d", highest, w.side.highest)
		}
	}
	if l.gone < l.sure || l.gone > l.sure && !l.maybe {
		l.problem("retention said that it removed %d messages, and %d are gone", l.sure, l.gone)
	}
	l.sure, l.maybe = l.gone, false
	l.audit(raw, &n)
	if len(l.problems) > 0 {
		return
	}
	for _, w := range l.workers {
		w.checkKeys(ctx, db)
	}
}

// check finds the outcome that the store shows of a worker's unanswered op, and nothing else.
func (w *worker) check(ctx context.Context, db *sqlite.DB, raw *sqlite3.Conn, n *rows) error {
	candidates := []outcome{{side: w.side}}
	if w.lost != nil {
		candidates = w.lost.outcomes
	}
	var app hook.ApplicationID
	for _, c := range candidates {
		app = max(app, c.side.app.ID)
	}
	if app == 0 {
		return nil
	}
	got, present, err := look(ctx, db, app, w.side.ever, n)
	if err != nil {
		return err
	}
	if w.n == 0 && len(got) > 0 {
		if err := seeBeat(raw, got); err != nil {
			return err
		}
	}
	var best []string
	for i, c := range candidates {
		gone := map[hook.MessageID]bool{}
		for m := range c.side.messages {
			if !present[m] && w.mayBeGone(c.side, m) {
				gone[m] = true
			}
		}
		s := c.side.clone()
		s.drop(gone)
		lines := differ(s.sight(), got)
		if len(lines) > 0 {
			if i == 0 || len(lines) < len(best) {
				best = lines
			}
			continue
		}
		w.gone += len(gone)
		if w.lost != nil {
			w.last = nil
			for _, a := range w.lost.batch {
				if len(recognise(&a)) > 0 {
					w.last = append(w.last, a)
				}
			}
			if c.by >= 0 && w.lost.outcomes[0].side != c.side {
				w.tally.done++
			}
		}
		w.side, w.lost = s, nil
		return nil
	}
	for _, line := range best[:min(len(best), 5)] {
		w.problem("worker %d, after %v: %s", w.n, w.lostName(), line)
	}
	return nil
}

func (w *worker) lostName() string {
	if w.lost == nil {
		return "nothing unanswered"
	}
	text := w.lost.name + " without an answer"
	for _, r := range w.lost.results {
		text += fmt.Sprintf(" (%q, %v)", r.answer, r.err)
	}
	return text
}

// checkKeys posts everything again that has a key: all of it must be known.
func (w *worker) checkKeys(ctx context.Context, db *sqlite.DB) {
	var batch []hook.Accept
	for _, k := range slices.Sorted(maps.Keys(w.side.keys)) {
		batch = append(batch, w.repeat(k))
	}
	want := w.side.clone().accept(batch)
	out, err := db.Accept(ctx, batch)
	if got := answerOf(out); err != nil || got != want {
		w.problem("worker %d: posting again answers %s, %v; want %s", w.n, got, err, want)
	}
}

func seeBeat(raw *sqlite3.Conn, v sight) error {
	q, _, err := raw.Prepare(`SELECT value FROM meta WHERE name = 'beat'`)
	if err != nil {
		return err
	}
	defer q.Close()
	if q.Step() {
		v.beat(time.UnixMilli(int64(binary.BigEndian.Uint64(q.ColumnRawBlob(0)))))
	}
	return q.Err()
}

// audit looks into the file itself: it is whole, the books balance, and there is nothing that no method shows.
func (l *life) audit(raw *sqlite3.Conn, n *rows) {
	for _, a := range []struct{ sql, want string }{
		{`PRAGMA integrity_check`, "ok"},
		{`SELECT count(*) FROM messages`, fmt.Sprint(n.messages)},
		{`SELECT count(*) FROM payloads`, fmt.Sprint(n.messages - n.expired)},
		{`SELECT count(*) FROM deliveries`, fmt.Sprint(n.deliveries)},
		{`SELECT count(*) FROM attempts`, fmt.Sprint(n.attempts)},
		{`SELECT count(*) FROM endpoints`, fmt.Sprint(n.endpoints)},
		{`SELECT count(*) FROM sources`, fmt.Sprint(n.sources)},
		{`SELECT count(*) FROM doors`, fmt.Sprint(n.sources)},
		{`SELECT count(*) FROM applications WHERE id <> 1`, fmt.Sprint(n.applications)},
		{`SELECT messages FROM counts`, fmt.Sprint(n.messages + l.gone)},
		{`SELECT pending = (SELECT coalesce(sum(pending), 0) FROM lanes) FROM counts`, "1"},
		{`SELECT count(*) FROM lanes l WHERE l.open = 1
			AND l.pending <> (SELECT count(*) FROM deliveries d WHERE d.lane = l.id AND d.state = 0)`, "0"},
		{`SELECT count(*) FROM endpoints e WHERE NOT EXISTS (SELECT 1 FROM lanes l WHERE l.id = e.lane AND l.open = 1 AND l.endpoint = e.id)`, "0"},
		{daysDiffer, "0"},
		{`SELECT count(*) FROM deliveries d WHERE state NOT BETWEEN 0 AND 3 OR (state = 0) <> (next_at IS NOT NULL)`, "0"},
		{`SELECT count(*) FROM resends r WHERE NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.message = r.message AND d.endpoint = r.endpoint)`, "0"},
	} {
		q, _, err := raw.Prepare(a.sql)
		if err != nil {
			l.problem("audit: %v", err)
			return
		}
		if !q.Step() || q.ColumnText(0) != a.want {
			l.problem("audit: %s\n    is %q, want %q (%v)", a.sql, q.ColumnText(0), a.want, q.Err())
		}
		_ = q.Close()
	}
}
