package cli

import (
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waypost/waypost/internal/app"
)

// oldStore makes the folder of a store of the first schema, and returns it with its main key.
func oldStore(t *testing.T) (dir, key string) {
	t.Helper()
	packed, err := os.Open("../store/sqlite/testdata/schema1.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = packed.Close() }()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "waypost.db"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, base64.StdEncoding.EncodeToString(append([]byte{1}, make([]byte, 31)...))
}

func TestMigrateRefusals(t *testing.T) {
	t.Parallel()
	dir, key := oldStore(t)
	if code, _, errs := command(t, "", nil, "migrate"); code != 2 || !strings.Contains(errs, "--data is needed") {
		t.Errorf("without folder: %d %s", code, errs)
	}
	empty := t.TempDir()
	if code, _, errs := command(t, "", nil, "migrate", "--data", empty); code != 1 || !strings.Contains(errs, "holds no store") {
		t.Errorf("an empty folder: %d %s", code, errs)
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) != 0 {
		t.Errorf("something was made in it: %v %v", left, err)
	}
	if code, _, errs := command(t, "", nil, "migrate", "--data", dir); code != 1 || !strings.Contains(errs, "WAYPOST_MAIN_KEY") {
		t.Errorf("without main key: %d %s", code, errs)
	}
	env := map[string]string{"WAYPOST_MAIN_KEY": key}
	if code, _, errs := command(t, "", env, "migrate", "--data", dir); code != 0 {
		t.Fatal(errs)
	}
	t.Run("a newer schema", func(t *testing.T) {
		// The number stands in the file's header, at byte 60.
		path := filepath.Join(dir, "waypost.db")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text[62] = 0x77
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"--dry-run"}, {}} {
			code, _, errs := command(t, "", env, append([]string{"migrate", "--data", dir}, args...)...)
			if code != 1 || !strings.Contains(errs, "newer version") {
				t.Errorf("%v: %d %s", args, code, errs)
			}
		}
	})
}

func TestMigrateSaysWhatItDoesAndDoesItOnce(t *testing.T) {
	t.Parallel()
	dir, key := oldStore(t)
	env := map[string]string{"WAYPOST_MAIN_KEY": key}
	run := func(args ...string) string {
		t.Helper()
		code, out, errs := command(t, "", env, append([]string{"migrate", "--data", dir}, args...)...)
		if code != 0 {
			t.Fatal(errs)
		}
		return out
	}
	for range 2 {
		if out := run("--dry-run"); !strings.HasPrefix(out, "would run: 0002_") || !strings.Contains(out, "\nschema 1 → ") {
			t.Errorf("dry run: %s", out)
		}
	}
	if out := run(); !strings.HasPrefix(out, "done: 0002_") || !strings.Contains(out, "\nschema 1 → ") {
		t.Errorf("run: %s", out)
	}
	if out := run(); !strings.Contains(out, ": up to date\n") || strings.Contains(out, "done") {
		t.Errorf("again: %s", out)
	}
	if out := run("--json"); !strings.Contains(out, `"steps":[]`) {
		t.Errorf("JSON: %s", out)
	}
}

func TestMigrateThatIsKilledGoesOn(t *testing.T) {
	t.Parallel()
	dir, key := oldStore(t)
	m, err := app.Migrate(t.Context(), app.Options{Data: dir}, true)
	if err != nil || len(m.Steps) == 0 {
		t.Fatalf("%+v %v", m, err)
	}
	for have := 1; have < m.To; {
		// Killed in the first step that is left, and then in the one after it.
		for _, point := range []string{"migration:1", "migration:2"} {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "migrate", "--data", dir)
			cmd.Env = append(os.Environ(), asBinary+"=1", "WAYPOST_MAIN_KEY="+key, testFaults+"="+point)
			out, err := cmd.CombinedOutput()
			now, bad := app.Migrate(t.Context(), app.Options{Data: dir}, true)
			if bad != nil {
				t.Fatal(bad)
			}
			if point == "migration:1" && (err == nil || now.From != have) {
				t.Fatalf("killed in a step: schema %d, was %d: %s", now.From, have, out)
			}
			if point == "migration:2" && now.From != have+1 {
				t.Fatalf("killed in the step after: schema %d, was %d: %s", now.From, have, out)
			}
		}
		have++
	}
	code, out, errs := command(t, "", map[string]string{"WAYPOST_MAIN_KEY": key}, "migrate", "--data", dir)
	if code != 0 || out != fmt.Sprintf("schema %d: up to date\n", m.To) {
		t.Errorf("%d %s%s", code, out, errs)
	}
}
