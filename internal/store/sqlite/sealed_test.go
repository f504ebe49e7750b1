package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// plainColumns are the BLOB columns whose values are not sealed, with the reason.
var plainColumns = map[string]string{
	"meta.value":           "sealed under some names, which the last commit of a rotation seals anew",
	"tokens.hash":          "a hash",
	"messages.envelope":    "content, which is not sealed",
	"payloads.head":        "content",
	"payloads.body":        "content",
	"payloads.payload":     "content",
	"payloads.packed":      "content",
	"dictionaries.content": "pieces that are common to much content",
	"attempts.response":    "content",
	"keys.full":            "what messages are recognised by",
	"key_news.content":     "hashes of what messages are recognised by",
	"key_blocks1.content":  "likewise",
	"key_blocks2.content":  "likewise",
	"key_blocks3.content":  "likewise",
	"key_blocks4.content":  "likewise",
	"key_blocks5.content":  "likewise",
	"key_blocks6.content":  "likewise",
	"key_filters.content":  "bits of them",
	"refusals.request":     "requests that were refused, without credentials",
	"receipts.key":         "a hash",
	"tasks.content":        "content",
}

func keyOf(t testing.TB, b byte) *store.Sealer {
	t.Helper()
	s, err := store.NewSealer(bytes.Repeat([]byte{b}, store.MainKeySize))
	check(t, err)
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openWith(t testing.TB, dir string, now, before *store.Sealer) *DB {
	t.Helper()
	db, err := Open(t.Context(), Options{Dir: dir, Sealer: now, OldSealer: before, LowWater: 1})
	check(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// blobColumns lists the BLOB columns of the schema.
func blobColumns(t *testing.T, db *DB) (all []string) {
	t.Helper()
	check(t, db.read(t.Context(), func(c *conn) error {
		q := c.query(`SELECT m.name, i.name FROM sqlite_schema m, pragma_table_info(m.name) i WHERE m.type = 'table' AND i.type = 'BLOB'`)
		return q.each(func() error {
			all = append(all, q.getText()+"."+q.getText())
			return nil
		})
	}))
	return all
}

// A column that is added later is either sealed anew by a rotation, or said to be plain.
func TestEveryColumnOfBlobsIsKnownToBeSealedOrPlain(t *testing.T) {
	t.Parallel()
	db := openWith(t, t.TempDir(), keyOf(t, 1), nil)
	all := blobColumns(t, db)
	if len(all) < 10 {
		t.Fatalf("the schema has only %q", all)
	}
	var sealed []string
	for _, c := range sealedColumns {
		sealed = append(sealed, c.table+"."+c.column)
	}
	for _, name := range all {
		if isSealed := slices.Contains(sealed, name); isSealed == (plainColumns[name] != "") {
			t.Errorf("%s must stand either in sealedColumns, if its values are sealed, or in plainColumns", name)
		}
	}
	for _, name := range sealed {
		if !slices.Contains(all, name) {
			t.Errorf("%s is not in the schema", name)
		}
	}
}

// vault is a store with something in every sealed column.
type vault struct {
	profile  hook.Profile
	source   hook.Source
	endpoint hook.Endpoint
	app      hook.Application
	receipts int
	now      time.Time
}

const receiptKeep = time.Hour

func fillVault(t *testing.T, db *DB, receipts int) vault {
	t.Helper()
	v := vault{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), receipts: receipts}
	ids, ctx := hook.NewGenerator(1, 0), t.Context()
	v.app = hook.Application{ID: hook.NewID[hook.ApplicationID](ids, v.now), CreatedAt: v.now}
	check(t, db.CreateApplication(ctx, v.app))
	v.profile = hook.Profile{ID: hook.NewID[hook.ProfileID](ids, v.now), UID: "p", Settings: hook.Settings{"secret": {"of the profile"}}, CreatedAt: v.now}
	check(t, db.CreateProfile(ctx, v.profile))
	v.source = hook.Source{ID: hook.NewID[hook.SourceID](ids, v.now), App: v.app.ID, Settings: hook.Settings{"secret": {"of the source"}}, CreatedAt: v.now}
	check(t, db.CreateSource(ctx, v.source))
	v.endpoint = hook.Endpoint{
		ID: hook.NewID[hook.EndpointID](ids, v.now), App: v.app.ID, Profile: v.profile.ID, URL: "https://example.com", CreatedAt: v.now,
		Settings: hook.Settings{"secret": {"of the endpoint"}}, Headers: map[string]string{"authorization": "x"},
		OldSecrets: []hook.OldSecret{{Value: "before", Until: v.now}},
	}
	check(t, db.CreateEndpoint(ctx, v.endpoint))
	for i := range receipts {
		a := store.Along{Receipt: &store.Receipt{Key: receiptKey(i), Now: v.now, Expires: v.now.Add(receiptKeep), Answer: func(store.Result) (int, []byte, bool) {
			return 201, receiptBody(i), true
		}}}
		check(t, db.CreateEventType(store.With(ctx, a), hook.EventType{Name: fmt.Sprint("t", i), CreatedAt: v.now}))
	}
	return v
}

func receiptKey(i int) (k [32]byte) {
	copy(k[:], fmt.Sprint("receipt ", i))
	return k
}

// receiptBody is mostly short, and now and then more than a step of a rotation takes.
func receiptBody(i int) []byte {
	if i%50 == 7 {
		return bytes.Repeat([]byte{byte(i)}, resealBytes+i)
	}
	return fmt.Appendf(nil, "answer %d", i)
}

// verify wants all of it to be readable.
func (v vault) verify(t *testing.T, db *DB) {
	t.Helper()
	ctx := t.Context()
	p, err := db.Profile(ctx, "p")
	check(t, err)
	s, err := db.Source(ctx, v.app.ID, v.source.ID.String())
	check(t, err)
	e, err := db.Endpoint(ctx, v.app.ID, v.endpoint.ID.String())
	check(t, err)
	target, err := db.Target(ctx, v.endpoint.ID)
	check(t, err)
	got := fmt.Sprint(p.Settings, s.Settings, e.Settings, e.Headers, e.OldSecrets, target.Settings)
	want := fmt.Sprint(v.profile.Settings, v.source.Settings, v.endpoint.Settings, v.endpoint.Headers, v.endpoint.OldSecrets,
		v.profile.Settings.Merge(v.endpoint.Settings))
	if got != want || p.Settings.Get("secret") != "of the profile" || e.Settings.Get("secret") != "of the endpoint" {
		t.Fatalf("read\n%s, want\n%s", got, want)
	}
	for i := range v.receipts {
		_, body, found, err := db.Receipt(ctx, receiptKey(i), v.now)
		if err != nil || !found || !bytes.Equal(body, receiptBody(i)) {
			t.Fatalf("receipt %d: found %v, %d bytes, %v", i, found, len(body), err)
		}
	}
}

// blobs returns every value of every BLOB column, by column.
func blobs(t *testing.T, db *DB) map[string][][]byte {
	t.Helper()
	out := map[string][][]byte{}
	for _, name := range blobColumns(t, db) {
		table, column, _ := bytes.Cut([]byte(name), []byte("."))
		check(t, db.read(t.Context(), func(c *conn) error {
			q := c.query(fmt.Sprintf(`SELECT %s FROM %s WHERE %s IS NOT NULL`, column, table, column))
			return q.each(func() error {
				out[name] = append(out[name], q.getBlob())
				return nil
			})
		}))
	}
	return out
}

func TestAfterARotationTheOldKeyOpensNothing(t *testing.T) {
	t.Parallel()
	dir, first, second := t.TempDir(), keyOf(t, 1), keyOf(t, 2)
	db := openWith(t, dir, first, nil)
	v := fillVault(t, db, 230)
	seed, old := db.Seed(), blobs(t, db)
	if bytes.Equal(seed, first.EarlySeed()) {
		t.Error("the seed of a new store follows from its main key")
	}
	check(t, db.Rotate(t.Context(), second))
	if !db.Rotating() {
		t.Error("it does not say that a rotation is under way")
	}
	v.verify(t, db) // with both keys
	var steps, done, total int64
	check(t, db.Reseal(t.Context(), func(d, n int64) { steps, done, total = steps+1, d, n }))
	if db.Rotating() || total != int64(v.receipts)+3 || done != total || steps < 8 {
		t.Errorf("rotating %v, %d of %d in %d steps", db.Rotating(), done, total, steps)
	}
	v.verify(t, db)

	var gone [][]byte // what was sealed before
	for name, values := range blobs(t, db) {
		for _, b := range old[name] {
			if plainColumns[name] != "" {
				continue
			}
			gone = append(gone, b)
			if slices.ContainsFunc(values, func(x []byte) bool { return bytes.Equal(x, b) }) {
				t.Errorf("a value of %s is as it was", name)
			}
		}
	}
	check(t, db.read(t.Context(), func(c *conn) error {
		values := 0
		for _, col := range sealedColumns {
			q := c.query(`SELECT id, ` + col.named + `, ` + col.column + ` FROM ` + col.table)
			err := q.each(func() error {
				values++
				place := col.place(q.getInt(), slices.Clone(q.rawBlob()))
				wantSealed(t, second, first, q.getBlob(), place)
				return nil
			})
			check(t, err)
		}
		if values != v.receipts+3 {
			t.Errorf("only %d values were looked at", values)
		}
		for _, name := range []string{keyCheckName, seedName} {
			b, err := c.meta(name)
			check(t, err)
			wantSealed(t, second, first, b, name)
		}
		if b, err := c.meta(keyNextName); err != nil || b != nil {
			t.Errorf("the mark of the rotation is still there (%v)", err)
		}
		return nil
	}))
	if err := db.Rotate(t.Context(), second); hook.KindOf(err) != hook.KindConflict {
		t.Errorf("rotating to the present key: %v", err)
	}
	files := []string{fileName, fileName + "-wal"}
	wantNowhere(t, dir, files, gone) // the log was emptied, and what was replaced is overwritten
	check(t, db.Close())

	wantNowhere(t, dir, files[:1], gone)
	if _, err := Open(t.Context(), Options{Dir: dir, Sealer: first}); !errors.Is(err, store.ErrMainKey) {
		t.Errorf("with the old key it opens: %v", err)
	}
	db = openWith(t, dir, second, nil)
	v.verify(t, db)
	if !bytes.Equal(db.Seed(), seed) {
		t.Error("the seed of outgoing messages has changed")
	}
}

// Somebody reads from the log, or copies it, at the moment when it should be emptied: that is tried again.
func TestTheLogIsEmptiedAsSoonAsNobodyReads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openWith(t, dir, keyOf(t, 1), nil)
	fillVault(t, db, 5)
	reader, err := openReader(db.uri)
	check(t, err)
	defer func() { check(t, reader.close()) }()
	check(t, reader.Exec(`BEGIN; SELECT count(*) FROM endpoints`))
	if emptied, err := db.emptyLog(t.Context()); emptied || err != nil {
		t.Fatalf("emptied while somebody reads from it: %v, %v", emptied, err)
	}
	ended := make(chan error)
	go func() { ended <- db.forgetKey(t.Context()) }()
	select {
	case err := <-ended:
		t.Errorf("it gave up: %v", err)
		check(t, reader.Exec(`ROLLBACK`))
	case <-time.After(20 * time.Millisecond):
		check(t, reader.Exec(`ROLLBACK`))
		check(t, <-ended)
	}
	if i, err := os.Stat(filepath.Join(dir, fileName+"-wal")); err != nil || i.Size() > 0 {
		t.Errorf("the log: %v, %v", i.Size(), err)
	}
}

// wantSealed wants a value to be under one key and not under another.
func wantSealed(t *testing.T, under, not *store.Sealer, value []byte, place string) {
	t.Helper()
	if _, err := under.Open(value, place); err != nil {
		t.Errorf("%s: the new key does not open it", place)
	}
	if _, err := not.Open(value, place); err == nil {
		t.Errorf("%s: the old key opens it", place)
	}
}

// wantNowhere wants files not to hold any of some bytes, in their unused parts either.
func wantNowhere(t *testing.T, dir string, files []string, values [][]byte) {
	t.Helper()
	if len(values) == 0 {
		t.Error("there is nothing to look for")
	}
	for _, name := range files {
		content, err := os.ReadFile(filepath.Join(dir, name))
		check(t, err)
		found := 0
		for _, b := range values {
			if bytes.Contains(content, b[:min(len(b), 64)]) { // long ones go on elsewhere
				found++
			}
		}
		if found > 0 {
			t.Errorf("%s still holds %d of %d values under the old key", name, found, len(values))
		}
	}
}

// A store of before has no seed of its own: it keeps the one that followed from its main key.
func TestAStoreOfBeforeKeepsItsSeed(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]*store.Sealer{"opened as ever": nil, "opened for a rotation": keyOf(t, 1)} {
		dir, now := t.TempDir(), keyOf(t, 1)
		db := openWith(t, dir, now, nil)
		check(t, db.do(t.Context(), func(t *tx) error { return t.query(`DELETE FROM meta WHERE name = ?`).text(seedName).exec() }))
		check(t, db.Close())
		if before != nil {
			now = keyOf(t, 2)
		}
		for range 2 { // it is the same from then on
			db = openWith(t, dir, now, before)
			if want := keyOf(t, 1).EarlySeed(); !bytes.Equal(db.Seed(), want) {
				t.Errorf("%s: the seed is another", name)
			}
			check(t, db.Reseal(t.Context(), nil))
			check(t, db.Close())
		}
	}
}

// Who began to read before the rotation still reads the state of then, which is under the old key.
func TestARotationWaitsForWhoReadsAnOldState(t *testing.T) {
	t.Parallel()
	db := openWith(t, t.TempDir(), keyOf(t, 1), nil)
	v := fillVault(t, db, 3)
	ended := make(chan error, 1)
	check(t, db.snapshot(t.Context(), func(c *conn) error {
		if _, err := c.has(`SELECT 1 FROM profiles`); err != nil {
			return err
		}
		check(t, db.Rotate(t.Context(), keyOf(t, 2)))
		go func() { ended <- db.Reseal(context.Background(), nil) }()
		for b := []byte{}; b != nil; { // until the last commit of the rotation
			check(t, db.read(t.Context(), func(c *conn) (err error) {
				b, err = c.meta(keyNextName)
				return err
			}))
		}
		v.verify(t, db) // others are not held up
		q := c.query(profileColumns + `id = ?`).int(int64(v.profile.ID))
		var p hook.Profile
		var bad error
		_, err := q.first(func() { p, bad = db.getProfile(q) })
		if err = errors.Join(err, bad); err != nil || p.Settings.Get("secret") != "of the profile" {
			t.Errorf("the old state cannot be read: %v, %v", p.Settings, err)
		}
		return nil
	}))
	check(t, <-ended)
	if db.Rotating() {
		t.Error("the rotation has not ended")
	}
}

// A value that no key opens is not made worse, and does not keep the rest under the old key.
func TestARotationGoesOnBehindADamagedValue(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openWith(t, dir, keyOf(t, 1), nil)
	v := fillVault(t, db, 3)
	check(t, db.Close())
	c, err := sqlite3.Open("file:" + filepath.ToSlash(filepath.Join(dir, fileName)))
	check(t, err)
	check(t, c.Exec(`UPDATE sources SET secrets = x'0102'`))
	check(t, c.Close())
	db = openWith(t, dir, keyOf(t, 2), keyOf(t, 1))
	check(t, db.Reseal(t.Context(), nil))
	if _, err := db.Source(t.Context(), v.app.ID, v.source.ID.String()); !errors.Is(err, store.ErrMainKey) {
		t.Errorf("the damaged value: %v", err)
	}
	if _, err := db.Endpoint(t.Context(), v.app.ID, v.endpoint.ID.String()); err != nil {
		t.Error(err)
	}
}

// Every wrong choice of keys is refused with what to do, and does no harm.
func TestTheKeysThatAStoreIsOpenedWith(t *testing.T) {
	t.Parallel()
	k := []*store.Sealer{nil, keyOf(t, 1), keyOf(t, 2), keyOf(t, 3)}
	resting, midway, fromOpen := t.TempDir(), t.TempDir(), t.TempDir()
	check(t, openWith(t, resting, k[1], nil).Close())
	db := openWith(t, midway, k[1], nil)
	v := fillVault(t, db, 1)
	check(t, db.Rotate(t.Context(), k[2]))
	check(t, db.Close())
	check(t, openWith(t, fromOpen, k[1], nil).Close())
	check(t, openWith(t, fromOpen, k[2], k[1]).Close())
	for _, c := range []struct {
		name        string
		dirs        []string
		now, before int
		want        string
	}{
		{"a wrong key", []string{resting}, 2, 0, "set WAYPOST_MAIN_KEY to that key"},
		{"two wrong keys", []string{resting}, 2, 3, "set WAYPOST_MAIN_KEY to that key"},
		{"amid a rotation, a wrong key", []string{midway, fromOpen}, 3, 0, "set WAYPOST_MAIN_KEY to that key"},
		{"amid a rotation, the old key alone", []string{midway, fromOpen}, 1, 0, "only the earlier key is given"},
		{"amid a rotation, the new key alone", []string{midway, fromOpen}, 2, 0, "set WAYPOST_MAIN_KEY_OLD to it as well"},
		{"amid a rotation, the new key and a wrong one", []string{midway, fromOpen}, 2, 3, "set WAYPOST_MAIN_KEY_OLD to it as well"},
		{"amid a rotation, the keys the wrong way round", []string{midway, fromOpen}, 1, 2, "the wrong way round"},
		{"amid a rotation, one to a third key", []string{midway, fromOpen}, 3, 1, "a rotation to another main key is under way"},
	} {
		for i, dir := range c.dirs {
			_, err := Open(t.Context(), Options{Dir: dir, Sealer: k[c.now], OldSealer: k[c.before]})
			if !errors.Is(err, store.ErrMainKey) || !bytes.Contains([]byte(err.Error()), []byte(c.want)) {
				t.Errorf("%s (%d): %v, want %q", c.name, i, err, c.want)
			}
		}
	}
	check(t, openWith(t, resting, k[1], k[3]).Close()) // an old key too many does no harm
	db = openWith(t, midway, k[2], k[1])
	v.verify(t, db)
	if err := db.Rotate(t.Context(), k[3]); hook.KindOf(err) != hook.KindConflict {
		t.Errorf("a second rotation at once: %v", err)
	}
	check(t, db.Reseal(t.Context(), nil))
	check(t, db.Rotate(t.Context(), k[3]))
	check(t, db.Reseal(t.Context(), nil))
	check(t, db.Close())
	db = openWith(t, midway, k[3], k[1])
	v.verify(t, db)
}

// BenchmarkRotation seals 20,000 kept answers of 200 bytes anew: values/s, and the longest that a commit beside it waited.
func BenchmarkRotation(b *testing.B) {
	const values = 20_000
	db, err := Open(b.Context(), Options{Dir: b.TempDir(), Sealer: keyOf(b, 1)})
	check(b, err)
	b.Cleanup(func() { _ = db.Close() })
	body := bytes.Repeat([]byte("x"), 200)
	for at := 0; at < values; at += 1000 {
		check(b, db.do(b.Context(), func(t *tx) error {
			for i := range 1000 {
				k := receiptKey(at + i)
				q := t.query(`INSERT INTO receipts (key, expires, status, body) VALUES (?, 0, 200, ?)`).blob(k[:]).blob(t.seal(body, receiptPlace(k)))
				if err := q.exec(); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	var longest time.Duration
	key := byte(1)
	for b.Loop() {
		key++
		check(b, db.Rotate(b.Context(), keyOf(b, key)))
		done := make(chan struct{})
		go func() {
			defer close(done)
			check(b, db.Reseal(context.Background(), nil))
		}()
		for working := true; working; {
			select {
			case <-done:
				working = false
			case <-time.After(time.Millisecond):
				from := time.Now()
				check(b, db.do(b.Context(), func(t *tx) error { return t.putMeta("beside", []byte{1}) }))
				longest = max(longest, time.Since(from))
			}
		}
	}
	b.ReportMetric(float64(values*b.N)/b.Elapsed().Seconds(), "values/s")
	b.ReportMetric(float64(longest.Microseconds())/1000, "ms-longest-commit")
}
