package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"
)

func openFile(t *testing.T) *conn {
	t.Helper()
	c, err := openConn("file:"+filepath.Join(t.TempDir(), "test.db"), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.close() })
	return c
}

func TestAMigrationThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	c := openFile(t)
	if err := apply(c, 1, `CREATE TABLE a (id INTEGER); CREATE TABLE a (id INTEGER)`); err == nil {
		t.Fatal("no error")
	}
	for sql, want := range map[string]string{`PRAGMA user_version`: "0", `SELECT count(*) FROM sqlite_schema`: "0"} {
		if got, err := c.one(sql); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", sql, got, err, want)
		}
	}
}

func TestMigrationsRunOnce(t *testing.T) {
	t.Parallel()
	c := openFile(t)
	for range 2 {
		if err := migrate(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	list, err := steps()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.one(`PRAGMA user_version`); err != nil || got != fmt.Sprint(len(list)) || len(list) < 2 {
		t.Fatalf("version %s of %d steps, %v", got, len(list), err)
	}
}
