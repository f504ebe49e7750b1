package powercut_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/waypost/waypost/internal/store/sqlite/powercut"
)

func newDisk(t *testing.T, seed uint64) *powercut.Disk {
	t.Helper()
	d := powercut.New(t.TempDir(), seed)
	t.Cleanup(d.Close)
	return d
}

// connect opens the one database of the tests; the connection is closed before the disk.
func connect(t *testing.T, d *powercut.Disk, synchronous string) *sqlite3.Conn {
	t.Helper()
	c, err := sqlite3.Open("file:/disk/test.db?vfs=" + d.VFS())
	if err != nil {
		t.Fatalf("open: %v\n%s", err, d)
	}
	t.Cleanup(func() { _ = c.Close() })
	// EXTRA while the file is made: with FULL the deletion of the rollback journal is not certain, see below.
	run(t, c, `PRAGMA synchronous=EXTRA; PRAGMA journal_mode=WAL; PRAGMA synchronous=`+synchronous)
	return c
}

func run(t *testing.T, c *sqlite3.Conn, sql string) {
	t.Helper()
	if err := c.Exec(sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func number(t *testing.T, c *sqlite3.Conn, sql string) int {
	t.Helper()
	s, _, err := c.Prepare(sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer s.Close()
	if !s.Step() {
		t.Fatalf("%s: no row, %v", sql, s.Err())
	}
	return s.ColumnInt(0)
}

func intact(t *testing.T, c *sqlite3.Conn, d *powercut.Disk) {
	t.Helper()
	s, _, err := c.Prepare(`PRAGMA integrity_check`)
	if err != nil {
		t.Fatalf("integrity check: %v\n%s", err, d)
	}
	defer s.Close()
	if !s.Step() || s.ColumnText(0) != "ok" {
		t.Fatalf("integrity check says %q, %v\n%s", s.ColumnText(0), s.Err(), d)
	}
}

// rowsAfterCut commits 50 rows, one by one, cuts the power and counts what is left.
func rowsAfterCut(t *testing.T, seed uint64, synchronous string) int {
	t.Helper()
	d := newDisk(t, seed)
	c := connect(t, d, "FULL")
	run(t, c, `CREATE TABLE x(id INTEGER PRIMARY KEY, body BLOB)`)
	run(t, c, `PRAGMA synchronous=`+synchronous)
	for range 50 {
		run(t, c, `INSERT INTO x(body) VALUES (randomblob(700))`)
	}
	d.Restart()
	c = connect(t, d, "FULL")
	intact(t, c, d)
	return number(t, c, `SELECT count(*) FROM x`)
}

func TestCommittedWithFullSurvivesAPowerCut(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		if n := rowsAfterCut(t, seed, "FULL"); n != 50 {
			t.Fatalf("seed %d: %d of 50 committed rows left", seed, n)
		}
	}
}

// The test before proves something only because this one finds a loss.
func TestCommittedWithOffIsLost(t *testing.T) {
	t.Parallel()
	lost := 0
	for seed := range uint64(20) {
		if rowsAfterCut(t, seed, "OFF") < 50 {
			lost++
		}
	}
	if lost < 10 {
		t.Fatalf("rows were lost in %d of 20 cuts; a disk that forgets loses them in most", lost)
	}
}

func TestACutAtEveryOperationLeavesWhatWasCommitted(t *testing.T) {
	t.Parallel()
	for at := 1; ; at++ {
		d := powercut.New(t.TempDir(), uint64(at))
		acked, done := untilCut(t, d, at)
		d.Restart()
		c := connect(t, d, "FULL")
		intact(t, c, d)
		got := 0
		if number(t, c, `SELECT count(*) FROM sqlite_schema`) > 0 {
			got = number(t, c, `SELECT count(*) FROM x`)
		}
		if got < acked || got > acked+1 {
			t.Fatalf("cut at operation %d: %d rows were committed, %d are left\n%s", at, acked, got, d)
		}
		_ = c.Close()
		d.Close()
		if done {
			return
		}
	}
}

// untilCut commits rows with small checkpoints between until the power goes, and says how many commits were acknowledged.
func untilCut(t *testing.T, d *powercut.Disk, at int) (acked int, done bool) {
	t.Helper()
	c, err := sqlite3.Open("file:/disk/test.db?vfs=" + d.VFS())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d.CutAfter(at)
	err = c.Exec(`PRAGMA synchronous=EXTRA; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=8;
		CREATE TABLE x(id INTEGER PRIMARY KEY, body BLOB)`)
	for err == nil && acked < 20 {
		if err = c.Exec(`INSERT INTO x(body) VALUES (randomblob(3000))`); err == nil {
			acked++
		}
	}
	return acked, err == nil
}

func TestConnectionsShareTheWriteAheadLog(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 1)
	writer := connect(t, d, "FULL")
	run(t, writer, `CREATE TABLE x(id INTEGER PRIMARY KEY)`)
	reader := connect(t, d, "FULL")
	run(t, reader, `BEGIN`)
	if n := number(t, reader, `SELECT count(*) FROM x`); n != 0 {
		t.Fatalf("%d rows, want none", n)
	}
	run(t, writer, `INSERT INTO x DEFAULT VALUES`)
	if n := number(t, reader, `SELECT count(*) FROM x`); n != 0 {
		t.Fatalf("an open read transaction sees %d later rows", n)
	}
	run(t, reader, `COMMIT`)
	if n := number(t, reader, `SELECT count(*) FROM x`); n != 1 {
		t.Fatalf("%d rows, want the committed one", n)
	}
}

func TestOneWriterAtATime(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 1)
	a, b := connect(t, d, "FULL"), connect(t, d, "FULL")
	run(t, a, `BEGIN IMMEDIATE`)
	if err := b.Exec(`BEGIN IMMEDIATE`); !errors.Is(err, sqlite3.BUSY) {
		t.Fatalf("a second writer got %v, want busy", err)
	}
	run(t, a, `COMMIT`)
	run(t, b, `BEGIN IMMEDIATE; COMMIT`)
}

func TestAFailedSyncLosesTheDataThoughTheNextOneSucceeds(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 3)
	f, _, err := d.Open("/disk/f", vfs.OPEN_READWRITE|vfs.OPEN_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("lost"), 0); err != nil {
		t.Fatal(err)
	}
	d.FailSync(1)
	if err := f.Sync(vfs.SYNC_FULL); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v, want the failed sync", err)
	}
	if err := f.Sync(vfs.SYNC_FULL); err != nil {
		t.Fatalf("the next sync: %v", err)
	}
	if got := string(d.File("/disk/f")); got != "lost" {
		t.Fatalf("reads show %q before the cut", got)
	}
	d.Restart()
	if got := string(d.File("/disk/f")); got != "" {
		t.Fatalf("%q survived a failed sync", got)
	}
}

func TestSQLiteHearsOfAFailedSync(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 3)
	c := connect(t, d, "FULL")
	run(t, c, `CREATE TABLE x(id INTEGER PRIMARY KEY)`)
	d.FailSync(1)
	if err := c.Exec(`INSERT INTO x DEFAULT VALUES`); !errors.Is(err, sqlite3.IOERR_FSYNC) {
		t.Fatalf("got %v, want the failed sync", err)
	}
}

// A reason to make files with synchronous EXTRA: a journal whose deletion was forgotten comes back hot, and takes back
// what was committed since.
func TestAJournalDeletedWithoutADirectorySyncMayComeBack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		d := newDisk(t, seed)
		c, err := sqlite3.Open("file:/disk/test.db?vfs=" + d.VFS())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		run(t, c, `PRAGMA synchronous=FULL; PRAGMA journal_mode=WAL`)
		d.Restart()
		if d.File("/disk/test.db-journal") != nil {
			return
		}
	}
	t.Fatal("no deleted journal came back in 20 cuts")
}

func TestAFullDiskRefusesGrowth(t *testing.T) {
	t.Parallel()
	d := newDisk(t, 3)
	c := connect(t, d, "FULL")
	run(t, c, `CREATE TABLE x(id INTEGER PRIMARY KEY, body BLOB)`)
	d.SetFree(10_000)
	// The driver drops the error of the system on the way, so only the code is left; the file itself does say it.
	if err := c.Exec(`INSERT INTO x(body) VALUES (randomblob(100000))`); !errors.Is(err, sqlite3.IOERR_WRITE) {
		t.Fatalf("got %v, want a failed write", err)
	}
	f, _, err := d.Open("/disk/other", vfs.OPEN_READWRITE|vfs.OPEN_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 10_001), 0); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want no space left", err)
	}
	d.SetFree(-1)
	run(t, c, `INSERT INTO x(body) VALUES (randomblob(100000))`)
	if n := number(t, c, `SELECT count(*) FROM x`); n != 1 {
		t.Fatalf("%d rows, want only the second", n)
	}
}

func TestTheSeedAloneDecidesWhatSurvives(t *testing.T) {
	t.Parallel()
	image := func() string {
		d := newDisk(t, 42)
		f, _, err := d.Open("/disk/f", vfs.OPEN_READWRITE|vfs.OPEN_CREATE)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			if _, err := f.WriteAt([]byte(fmt.Sprintf("%0900d", i)), int64(i)*700); err != nil {
				t.Fatal(err)
			}
			if i == 10 {
				if err := f.Sync(0); err != nil {
					t.Fatal(err)
				}
			}
		}
		d.Restart()
		return string(d.File("/disk/f"))
	}
	if a, b := image(), image(); a != b {
		t.Fatal("two runs of one seed left different bytes")
	}
}

// A process that is killed is not a machine that lost its power.
func TestAKillForgetsNothingAndSyncsNothing(t *testing.T) {
	t.Parallel()
	lost := 0
	for seed := range uint64(20) {
		d := newDisk(t, seed)
		f := create(t, d)
		d.KillAfter(2)
		for _, text := range []string{"one", "two"} {
			_, _ = f.WriteAt([]byte(text), 0)
		}
		if !d.Off() {
			t.Fatal("the process lives")
		}
		if _, err := f.WriteAt([]byte("three"), 0); !errors.Is(err, syscall.EIO) {
			t.Fatalf("a handle of a dead process: %v", err)
		}
		d.Restart()
		if got := string(d.File("/disk/f")); got != "two" {
			t.Fatalf("after the kill the system shows %q", got)
		}
		d.Restart()
		if string(d.File("/disk/f")) != "two" {
			lost++
		}
	}
	if lost < 5 {
		t.Fatalf("what was never synced was lost in %d of 20 power cuts after a kill", lost)
	}
}

func TestEachKindOfOperationFailsWhenItIsTold(t *testing.T) {
	t.Parallel()
	do := map[powercut.Kind]func(vfs.File, *powercut.Disk) error{
		powercut.Read:     func(f vfs.File, _ *powercut.Disk) error { _, err := f.ReadAt(make([]byte, 2), 0); return err },
		powercut.Write:    func(f vfs.File, _ *powercut.Disk) error { _, err := f.WriteAt([]byte("ab"), 0); return err },
		powercut.Sync:     func(f vfs.File, _ *powercut.Disk) error { return f.Sync(vfs.SYNC_FULL) },
		powercut.Truncate: func(f vfs.File, _ *powercut.Disk) error { return f.Truncate(2) },
		powercut.Delete:   func(_ vfs.File, d *powercut.Disk) error { return d.Delete("/disk/g", true) },
	}
	for kind, do := range do {
		d := newDisk(t, 1)
		f := create(t, d)
		for range 3 {
			if _, err := f.WriteAt([]byte("abcd"), 0); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := d.Open("/disk/g", vfs.OPEN_READWRITE|vfs.OPEN_CREATE); err != nil {
			t.Fatal(err)
		}
		n := 2
		if kind == powercut.Delete { // there is only one file to delete
			n = 1
		}
		d.Fail(kind, n, syscall.ENOSPC)
		for i := 1; i <= 3; i++ {
			err := do(f, d)
			if kind == powercut.Delete && i == 3 { // it was deleted before
				continue
			}
			if fails := i == n; fails != errors.Is(err, syscall.ENOSPC) || !fails && err != nil {
				t.Errorf("kind %d, operation %d: got %v", kind, i, err)
			}
		}
	}
}

func TestTheTraceTellsRunsApart(t *testing.T) {
	t.Parallel()
	trace := func(at int64) uint64 {
		d := newDisk(t, 1)
		f := create(t, d)
		if _, err := f.WriteAt([]byte("x"), at); err != nil {
			t.Fatal(err)
		}
		return d.Trace()
	}
	first, again, other := trace(1), trace(1), trace(2)
	if first != again || first == other {
		t.Fatal("equal runs must have equal traces, and others not")
	}
}

func create(t *testing.T, d *powercut.Disk) vfs.File {
	t.Helper()
	f, _, err := d.Open("/disk/f", vfs.OPEN_READWRITE|vfs.OPEN_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
