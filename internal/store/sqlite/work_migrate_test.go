package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// A store that was made before there were counters by day gets them from its deliveries.
func TestTheDaysAreCountedWhenTheSchemaComes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk, err := mountDisk("waypost-days", "")
	if err != nil {
		t.Fatal(err)
	}
	defer disk.unmount()
	c, err := openWriter(dbURI(filepath.Join(dir, fileName), disk.name), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	list, err := steps()
	if err != nil {
		t.Fatal(err)
	}
	for i, sql := range list[:2] {
		if err := apply(c, i+1, sql); err != nil {
			t.Fatal(err)
		}
	}
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	app, ep := int64(10), int64(11)
	err = c.Exec(`INSERT INTO applications (id, doc) VALUES (10, '{}');
		INSERT INTO endpoints (id, app, profile, lane, disabled, disabled_reason, doc, secrets) VALUES (11, 10, 0, 2, 0, '', '{}', x'');
		INSERT INTO lanes (id, endpoint, pending, open) VALUES (1, 11, 0, 0), (2, 11, 1, 1);
		UPDATE counts SET messages = 6, pending = 1, delivered = 1, failed = 2, canceled = 2`)
	for i, d := range []struct {
		at          time.Time
		lane, state int64
	}{{day, 2, 0}, {day, 1, 0}, {day, 2, 1}, {day.Add(24*time.Hour - time.Millisecond), 2, 3}, {day.Add(24 * time.Hour), 2, 2}, {day.Add(24 * time.Hour), 2, 2}} {
		id := idAt(d.at) + int64(i)
		if err == nil {
			err = c.query(`INSERT INTO messages (id, app, source, event_type, created) VALUES (?, 10, 0, 't', 0)`).int(id).exec()
		}
		q := c.query(`INSERT INTO deliveries (message, endpoint, lane, state, attempts, next_at) VALUES (?, 11, ?, ?, 0, ?)`).int(id).int(d.lane).int(d.state)
		if d.state == 0 {
			q.int(1)
		} else {
			q.null()
		}
		if err == nil {
			err = q.exec()
		}
	}
	if err == nil {
		err = c.close()
	}
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := store.NewSealer(make([]byte, store.MainKeySize))
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), Options{Dir: dir, Sealer: sealer})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, c := range []struct {
		since, until time.Time
		want         store.DeliveryCounts
	}{
		{day, day, store.DeliveryCounts{Pending: 1, Delivered: 1, Canceled: 2}},
		{day.Add(24 * time.Hour), time.Time{}, store.DeliveryCounts{Failed: 2}},
	} {
		got, err := db.Stats(t.Context(), hook.ApplicationID(app), hook.EndpointID(ep), c.since, c.until)
		if err != nil || got != c.want {
			t.Errorf("from %v: %+v, want %+v (%v)", c.since, got, c.want, err)
		}
	}
}
