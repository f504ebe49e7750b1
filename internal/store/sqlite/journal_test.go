package sqlite

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite/powercut"
)

// fillIn sets every field of a struct to something that is not its zero value.
func fillIn(rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(1 + rng.Int64N(1<<40))
	case reflect.String:
		v.SetString(fmt.Sprint("text ", rng.Uint64()))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(fmt.Append(nil, rng.Uint64()))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.UnixMilli(1 + rng.Int64N(1<<40)).UTC()))
			return
		}
		for i := range v.NumField() {
			fillIn(rng, v.Field(i))
		}
	default:
	}
}

// Every field of an outcome comes back, those excepted that are not for the journal. A field that is added to it and not to the
// journal fails here.
func TestTheJournalKeepsAllOfAnOutcome(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	var o hook.Outcome
	fillIn(rng, reflect.ValueOf(&o).Elem())
	o.Events = nil
	if o.Attempt.Response == nil || o.Attempt.At.IsZero() || o.Delivery.State == 0 {
		t.Fatalf("not all was filled in: %+v", o)
	}
	u := unpacker{b: packOutcome(nil, &o)[1:]}
	if got := u.outcome(); u.err != nil || len(u.b) > 0 || !reflect.DeepEqual(*got, o) {
		t.Errorf("%v, %d bytes left\n got %+v\nwant %+v", u.err, len(u.b), *got, o)
	}
	for _, bare := range [][]byte{nil, {}} {
		o.Attempt.Response = bare
		u := unpacker{b: packOutcome(nil, &o)[1:]}
		if got := u.outcome(); (got.Attempt.Response == nil) != (bare == nil) {
			t.Errorf("nil and empty are not kept apart: %v", got.Attempt.Response)
		}
	}
}

// A damaged record is never taken: not one that is cut short, changed in a byte, of another epoch, or out of its order.
func TestOnlyWholeRecordsOfTheEpochAreTaken(t *testing.T) {
	t.Parallel()
	disk := powercut.New(t.TempDir(), 1)
	defer disk.Close()
	d, err := mountDisk("journal-test", disk.VFS())
	check(t, err)
	defer d.unmount()
	open := func() *journal {
		j, err := d.openJournal("/x", 1<<20)
		check(t, err)
		return j
	}
	j := open()
	first := newEpoch()
	j.restart(first)
	for i := range 3 {
		check(t, j.write(append(j.begin(), fmt.Sprint("record ", i)...)))
	}
	file := disk.File("/x/" + journalName)
	taken := func(e epoch, content []byte) int {
		t.Helper()
		disk.SetFile("/x/"+journalName, content)
		all, err := open().contents(e)
		check(t, err)
		for i, b := range all {
			if string(b) != fmt.Sprint("record ", i) {
				t.Fatalf("record %d is %q", i, b)
			}
		}
		return len(all)
	}
	if n := taken(first, file); n != 3 {
		t.Fatalf("%d records of 3", n)
	}
	if n := taken(first.next(), file); n != 0 {
		t.Errorf("%d records of another epoch", n)
	}
	if n := taken(newEpoch(), file); n != 0 {
		t.Errorf("%d records of another tag", n)
	}
	size := len(file) / 3
	for at := range file {
		bad := bytes.Clone(file)
		bad[at] ^= 1 << (at % 8)
		if at%size == recordSum+20 { // the version: its checksum fails first
			bad[at] ^= 1
		}
		if n := taken(first, bad); n != at/size {
			t.Errorf("byte %d changed: %d records are taken", at, n)
		}
		if n := taken(first, file[:at]); n != at/size {
			t.Errorf("cut at %d: %d records are taken", at, n)
		}
	}
	if n := taken(first, append(bytes.Clone(file[size:2*size]), file...)); n != 0 {
		t.Errorf("out of order: %d records", n)
	}
	// What an epoch before left behind a shorter one is not taken for the rest of it.
	disk.SetFile("/x/"+journalName, file)
	j = open()
	j.restart(first.next())
	check(t, j.write(append(j.begin(), "record 0"...)))
	if n := taken(first.next(), disk.File("/x/"+journalName)); n != 1 {
		t.Errorf("%d records, of which some are of the epoch before", n)
	}
}

// The same calls leave the same database behind, whether the journal was there or not, and whether a kill and a start came
// between or not.
func TestTheJournalChangesNothingOfWhatIsStored(t *testing.T) {
	t.Parallel()
	var want string
	for i, o := range []Options{{JournalBytes: -1}, {}, {JournalBytes: 3000}, {}, {Unwritten: 3}, {Unwritten: 1}} {
		disk := powercut.New(t.TempDir(), 7)
		defer disk.Close()
		o.Dir, o.VFS, o.Sealer, o.Faults = t.TempDir(), disk.VFS(), keyOf(t, 1), Faults{InStep: true}
		got := playFor(t, o, disk, i == 3 || i == 5)
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("run %d leaves another database behind:\n%s\nwant\n%s", i, got, want)
		}
	}
}

// A receipt goes to the journal with its message: a request that came again after a power cut would send it twice otherwise.
func TestAReceiptInTheJournalOutlivesAPowerCut(t *testing.T) {
	t.Parallel()
	disk := powercut.New(t.TempDir(), 7)
	defer disk.Close()
	o := Options{Dir: t.TempDir(), VFS: disk.VFS(), Sealer: keyOf(t, 1), Faults: Faults{InStep: true}}
	db, err := Open(t.Context(), o)
	check(t, err)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	check(t, db.CreateApplication(t.Context(), hook.Application{ID: 7, CreatedAt: now}))
	check(t, db.flush(t.Context()))
	r := store.Receipt{Key: [32]byte{1}, Now: now, Expires: now.Add(time.Hour),
		Answer: func(r store.Result) (int, []byte, bool) { return 202, []byte(r.Accepted[0].Message.ID.String()), true }}
	publish := func() (hook.Accepted, error) {
		out, err := db.Accept(store.With(t.Context(), store.Along{Receipt: &r}), []hook.Accept{{Message: hook.Message{ID: 9, App: 7, EventType: "a", CreatedAt: now}}})
		if err != nil {
			return hook.Accepted{}, err
		}
		return out[0], nil
	}
	first, err := publish()
	check(t, err)
	if !db.dirty.Load() {
		t.Fatal("it was committed: the journal is not what this test is of")
	}
	for _, cut := range []func(){disk.Cut, disk.Kill} {
		cut()
		_ = db.Close()
		disk.Restart()
		db, err = Open(t.Context(), o)
		check(t, err)
		status, body, found, err := db.Receipt(t.Context(), r.Key, now)
		if err != nil || !found || status != 202 || string(body) != first.Message.ID.String() {
			t.Errorf("the answer is %d %q, %v, %v", status, body, found, err)
		}
		if _, err := publish(); hook.KindOf(err) != hook.KindConflict {
			t.Errorf("the same request again: %v", err)
		}
	}
	check(t, db.Close())
}

// What retention or a person removed is not left in the journal.
func TestRemovedContentIsNotLeftInTheJournal(t *testing.T) {
	t.Parallel()
	const text = "what one person wrote to another"
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sweep := func(s store.Sweep) func(*DB, hook.Attempt) error {
		s.Now = now.Add(90 * 24 * time.Hour)
		return func(db *DB, _ hook.Attempt) error { _, _, err := db.Sweep(t.Context(), s); return err }
	}
	for how, remove := range map[string]func(*DB, hook.Attempt) error{
		"a person": func(db *DB, a hook.Attempt) error {
			if err := db.Expunge(t.Context(), 7, a.Message, now); err != nil {
				return err
			}
			return db.ExpungeResponse(t.Context(), 7, a.ID)
		},
		"an answer alone":       func(db *DB, a hook.Attempt) error { return db.ExpungeResponse(t.Context(), 7, a.ID) },
		"retention of payloads": sweep(store.Sweep{PayloadBefore: now.Add(time.Hour)}),
		"retention of messages": sweep(store.Sweep{Before: now.Add(time.Hour)}),
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			disk := powercut.New(t.TempDir(), 7)
			defer disk.Close()
			dir := t.TempDir()
			db, err := Open(t.Context(), Options{Dir: dir, VFS: disk.VFS(), Sealer: keyOf(t, 1), Faults: Faults{InStep: true}})
			check(t, err)
			check(t, db.CreateApplication(t.Context(), hook.Application{ID: 7, CreatedAt: now}))
			check(t, db.CreateEndpoint(t.Context(), hook.Endpoint{ID: 8, App: 7, URL: "https://example.com", Dialect: "standard", CreatedAt: now}))
			out, err := db.Accept(t.Context(), []hook.Accept{{Message: hook.Message{ID: 9, App: 7, EventType: "a", CreatedAt: now, Payload: []byte(text)}}})
			check(t, err)
			d := out[0].Deliveries[0]
			a := hook.Attempt{ID: 10, App: 7, Message: d.Message, Endpoint: 8, EventType: "a", URL: "u", N: 1, At: now, Status: 200, Response: []byte(text)}
			check(t, db.Finish(t.Context(), []hook.Outcome{{Delivery: d.Step(hook.Success, hook.Scheduled, now, nil, 0), Attempt: a}}))
			file := filepath.Join(dir, journalName)
			if n := bytes.Count(disk.File(file), []byte(text)); n != 2 {
				t.Fatalf("it is %d times in the journal before", n)
			}
			check(t, remove(db, a))
			disk.Cut() // it does not come back either
			_ = db.Close()
			disk.Restart()
			if bytes.Contains(disk.File(file), []byte(text)) {
				t.Error("it is still in the journal")
			}
		})
	}
}

// What the tables would refuse is refused before it is in the journal: what is there must fit.
func TestAnOutcomeThatTheTablesWouldRefuseIsRefused(t *testing.T) {
	t.Parallel()
	good := hook.Outcome{
		Attempt:  hook.Attempt{ID: 1, Message: 2, Endpoint: 3, N: 1, Status: 500, Verdict: hook.Refuse},
		Delivery: hook.Delivery{Message: 2, Endpoint: 3, State: hook.Failed, Attempts: 1},
	}
	check(t, checkOutcome(&good))
	for name, spoil := range map[string]func(*hook.Outcome){
		"number":   func(o *hook.Outcome) { o.Attempt.N = -1 },
		"attempts": func(o *hook.Outcome) { o.Delivery.Attempts = -1 },
		"duration": func(o *hook.Outcome) { o.Attempt.Duration = -1 },
		"status":   func(o *hook.Outcome) { o.Attempt.Status = 1000 },
		"verdict":  func(o *hook.Outcome) { o.Attempt.Verdict = hook.Gone + 1 },
		"trigger":  func(o *hook.Outcome) { o.Attempt.Trigger = hook.Manual + 1 },
	} {
		bad := good
		spoil(&bad)
		if err := checkOutcome(&bad); hook.KindOf(err) != hook.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What waits to be written does not hold what it came with: payloads that compress well would be a lot.
func TestWhatWaitsHoldsOnlyWhatIsWritten(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Options{Dir: t.TempDir(), Sealer: keyOf(t, 1), Faults: Faults{InStep: true}})
	check(t, err)
	defer func() { check(t, db.Close()) }()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	check(t, db.CreateApplication(t.Context(), hook.Application{ID: 7, CreatedAt: now}))
	for i := range 10 {
		m := hook.Message{ID: hook.MessageID(9 + i), App: 7, EventType: "a", CreatedAt: now, Payload: bytes.Repeat([]byte("abcdefgh"), 1<<10), Raw: &hook.Raw{}}
		_, err := db.Accept(t.Context(), []hook.Accept{{Message: m}})
		check(t, err)
	}
	if n := len(db.writer.unwritten.entries); n != 10 {
		t.Fatalf("%d messages wait", n)
	}
	for _, e := range db.writer.unwritten.entries {
		if e.in != nil || e.out != nil || e.msg.Payload != nil || e.msg.Raw != nil {
			t.Errorf("message %d holds %+v", e.msg.ID, e)
		}
	}
}

// A group of repeats leaves nothing to be made durable.
func TestRepeatsAreAnsweredWithoutACommit(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Options{Dir: t.TempDir(), Sealer: keyOf(t, 1), Faults: Faults{InStep: true}})
	check(t, err)
	defer func() { check(t, db.Close()) }()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	check(t, db.CreateApplication(t.Context(), hook.Application{ID: 7, CreatedAt: now}))
	for i := range 5 {
		out, err := db.Accept(t.Context(), []hook.Accept{{Message: hook.Message{ID: hook.MessageID(9 + i), App: 7, EventType: "a", CreatedAt: now},
			Dedup: hook.Dedup{Scope: "s", Key: "k", Keep: time.Hour}}})
		check(t, err)
		if out[0].Duplicate != (i > 0) {
			t.Errorf("message %d: %+v", i, out[0])
		}
		if waits := db.dirty.Load(); waits != (i < 3) {
			t.Errorf("after message %d: something waits for a commit: %v", i, waits)
		}
		if i == 2 {
			check(t, db.flush(t.Context())) // the others come to an empty journal
		}
	}
	n, err := db.Counts(t.Context())
	if err != nil || n.Messages != 1 {
		t.Errorf("%+v, %v", n, err)
	}
}

// playFor makes calls of all kinds and returns what the database then holds. With kills the process ends all the time.
func playFor(t *testing.T, o Options, disk *powercut.Disk, kills bool) string {
	t.Helper()
	rng, ids := rand.New(rand.NewPCG(3, 4)), hook.NewGenerator(1, 0)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	db, err := Open(t.Context(), o)
	check(t, err)
	app := hook.Application{ID: hook.NewID[hook.ApplicationID](ids, now), CreatedAt: now, UpdatedAt: now}
	check(t, db.CreateApplication(t.Context(), app))
	for range 3 {
		e := hook.Endpoint{ID: hook.NewID[hook.EndpointID](ids, now), App: app.ID, URL: "https://example.com", Dialect: "standard", CreatedAt: now, UpdatedAt: now}
		if rng.IntN(2) == 0 {
			e.EventTypes = []string{"b"}
		}
		check(t, db.CreateEndpoint(t.Context(), e))
	}
	var pending []hook.Delivery
	for i := range 200 {
		now = now.Add(time.Second)
		if kills && i%7 == 3 {
			disk.Kill()
			_ = db.Close()
			disk.Restart()
			db, err = Open(t.Context(), o)
			check(t, err)
		}
		if n := rng.IntN(10); n < 6 || len(pending) == 0 {
			m := hook.Message{ID: hook.NewID[hook.MessageID](ids, now), App: app.ID, EventType: []string{"a", "b"}[rng.IntN(2)], CreatedAt: now,
				Payload: fmt.Appendf(nil, `{"n":%d}`, i), Platform: map[string]string{"n": fmt.Sprint(i)}}
			if rng.IntN(2) == 0 {
				m.Raw = &hook.Raw{Method: "POST", Query: "a=b", Header: map[string][]string{"X": {"y"}}, Body: append([]byte("body "), m.Payload...)}
			}
			a := hook.Accept{Message: m}
			a.Dedup = hook.Dedup{Scope: "s", Key: fmt.Sprint(rng.IntN(60)), Keep: time.Duration(5+rng.IntN(60)) * time.Second}
			if rng.IntN(3) == 0 {
				a.Dedup.Twin, a.Dedup.TwinKeep, a.Dedup.TwinMark = fmt.Sprint(rng.IntN(5)), time.Minute, "twin"
			}
			if rng.IntN(4) == 0 {
				a.Message.EventID, a.Unique, a.UniqueKeep = fmt.Sprint("e", rng.IntN(40)), true, time.Minute
			}
			if rng.IntN(5) == 0 {
				a.Message.DeliverAt, a.Message.ContentUntil = now.Add(time.Minute), now.Add(time.Hour)
			}
			out, err := db.Accept(t.Context(), []hook.Accept{a})
			check(t, err)
			pending = append(pending, out[0].Deliveries...)
		} else {
			d := pending[len(pending)-1-rng.IntN(min(12, len(pending)))] // now and then one that is settled
			v := []hook.Verdict{hook.Success, hook.Retry, hook.Refuse}[rng.IntN(3)]
			next := d.Step(v, hook.Scheduled, now, []time.Duration{time.Minute}, 0)
			check(t, db.Finish(t.Context(), []hook.Outcome{{Delivery: next, Attempt: hook.Attempt{
				ID: hook.NewID[hook.AttemptID](ids, now), App: app.ID, Message: d.Message, Endpoint: d.Endpoint, EventType: "a", URL: "u",
				N: next.Attempts, At: now, Duration: time.Millisecond, Status: 200, Verdict: v, Reason: "r", Response: []byte("ok"), NextAt: next.NextAt,
			}}}))
		}
	}
	check(t, db.Close())
	return dump(t, filepath.Join(o.Dir, fileName), disk.VFS())
}

// dump is every row of every table, what differs from one store to another excepted.
func dump(t *testing.T, path, vfs string) string {
	t.Helper()
	c, err := sqlite3.Open("file:" + path + "?vfs=" + vfs)
	check(t, err)
	defer func() { check(t, c.Close()) }()
	var out bytes.Buffer
	for _, table := range []string{"messages", "payloads", "deliveries", "attempts", "lanes", "counts", "days", "endpoints", "resends"} {
		columns := "*"
		switch table {
		case "endpoints":
			columns = "id, app, lane" // the rest is sealed anew each time
		case "keys":
			columns = "hash, full, message, expires" // the row's number says when it was written
		}
		q, _, err := c.Prepare(`SELECT ` + columns + ` FROM ` + table + ` ORDER BY 1, 2`)
		check(t, err)
		for q.Step() {
			fmt.Fprint(&out, table)
			for i := range q.ColumnCount() {
				fmt.Fprintf(&out, " %q", q.ColumnText(i))
			}
			fmt.Fprintln(&out)
		}
		check(t, q.Err())
		check(t, q.Close())
	}
	for _, k := range dumpKeys(t, c) {
		fmt.Fprintln(&out, "key", k)
	}
	return out.String()
}

// dumpKeys is what is remembered, in the order of the places. How it was put together may differ.
func dumpKeys(t *testing.T, c *sqlite3.Conn) (all []string) {
	t.Helper()
	news := map[keyPlace]binding{}
	q, _, err := c.Prepare(`SELECT content FROM key_news ORDER BY id`)
	check(t, err)
	for q.Step() {
		for b := q.ColumnRawBlob(0); len(b) > 0; b = b[entrySize:] {
			p, v := entryAt(b)
			news[p] = v
		}
	}
	check(t, q.Err())
	check(t, q.Close())
	for p, v := range news {
		all = append(all, fmt.Sprintf("%x %+v", p, v))
	}
	slices.Sort(all)
	return all
}
