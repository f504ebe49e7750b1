package sqlite_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one about %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Fatalf("the error %q does not say %q", err, p)
		}
	}
}

func TestASecondOwnerOfAFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, sqlite.Options{Dir: dir})
	_, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Sealer: sealer(t, 1)})
	wantError(t, err, dir, "another process")
	if runtime.GOOS != "windows" { // where a file that is open cannot be removed
		must(t, os.Remove(filepath.Join(dir, "lock")))
		_, err = sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Sealer: sealer(t, 1)})
		wantError(t, err, dir, "another process")
	}
	must(t, first.Close())
	open(t, sqlite.Options{Dir: dir})
}

func TestAWrongMainKeyIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, open(t, sqlite.Options{Dir: dir}).Close())
	_, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Sealer: sealer(t, 2)})
	wantError(t, err, dir, "WAYPOST_MAIN_KEY", "main.key")
	if !errors.Is(err, store.ErrMainKey) {
		t.Fatalf("%v is not ErrMainKey", err)
	}
	open(t, sqlite.Options{Dir: dir}) // the refusal let go of the folder
}

func TestANewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, open(t, sqlite.Options{Dir: dir}).Close())
	c, err := sqlite3.Open("file:" + filepath.Join(dir, "waypost.db"))
	must(t, err)
	must(t, c.Exec(`PRAGMA user_version = 999`))
	must(t, c.Close())
	_, err = sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Sealer: sealer(t, 1)})
	wantError(t, err, "999", "newer version")
}

func TestWhatIsNoStoreIsRefused(t *testing.T) {
	t.Parallel()
	_, err := sqlite.Open(t.Context(), sqlite.Options{Dir: t.TempDir()})
	wantError(t, err, "sealer")
	_, err = sqlite.Open(t.Context(), sqlite.Options{Dir: t.TempDir(), Sealer: sealer(t, 1), VFS: "none"})
	wantError(t, err, "none")
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "waypost.db"), bytes.Repeat([]byte("no database "), 1000), 0o600))
	_, err = sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Sealer: sealer(t, 1)})
	wantError(t, err, dir, "not a database")
	dir = t.TempDir()
	path := filepath.Join(dir, "waypost.db")
	c, err := sqlite3.Open("file:" + path)
	must(t, err)
	must(t, c.Exec(`CREATE TABLE meta (name TEXT, value TEXT); CREATE TABLE songs (title TEXT)`))
	must(t, c.Close())
	_, err = sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Sealer: sealer(t, 1)})
	wantError(t, err, dir, "another program", "--data")
	_, _, err = sqlite.Schema(t.Context(), dir)
	wantError(t, err, dir, "another program", "--data")
	c, err = sqlite3.Open("file:" + path)
	must(t, err)
	tables := int64(0)
	s, _, err := c.Prepare(`SELECT count(*) FROM sqlite_schema`)
	must(t, err)
	if s.Step() {
		tables = s.ColumnInt64(0)
	}
	must(t, s.Close())
	must(t, c.Close())
	if tables != 2 {
		t.Errorf("the other program has %d tables now", tables)
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	_, err = sqlite.Open(t.Context(), sqlite.Options{Dir: file, Sealer: sealer(t, 1)})
	wantError(t, err, file)
}

func TestOnlyTheOwnerMayReadTheFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data", "store")
	s := newSmall(t, sqlite.Options{Dir: dir})
	s.message(t)
	seen := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		must(t, err)
		i, err := e.Info()
		must(t, err)
		seen[e.Name()] = true
		if i.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, i.Mode())
		}
		return nil
	})
	must(t, err)
	for _, name := range []string{"waypost.db", "waypost.db-wal", "waypost.db-shm", "lock"} {
		if !seen[name] {
			t.Errorf("there is no %s: the test looks at the wrong files", name)
		}
	}
}

// small is a store with an application and an endpoint.
type small struct {
	*sqlite.DB
	ids *hook.Generator
	app hook.Application
	ep  hook.Endpoint
	now time.Time
}

func newSmall(t testing.TB, o sqlite.Options) *small {
	t.Helper()
	s := &small{DB: open(t, o), ids: hook.NewGenerator(1, 0), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	s.app = hook.Application{ID: hook.NewID[hook.ApplicationID](s.ids, s.now), CreatedAt: s.now}
	must(t, s.CreateApplication(t.Context(), s.app))
	s.ep = hook.Endpoint{ID: hook.NewID[hook.EndpointID](s.ids, s.now), App: s.app.ID, URL: "https://example.com", CreatedAt: s.now}
	must(t, s.CreateEndpoint(t.Context(), s.ep))
	return s
}

func (s *small) new(key string) hook.Accept {
	return hook.Accept{
		Message: hook.Message{
			ID: hook.NewID[hook.MessageID](s.ids, s.now), App: s.app.ID, EventType: "t", CreatedAt: s.now, Payload: []byte(`{"k":"` + key + `"}`),
		},
		Dedup: hook.Dedup{Key: key, Keep: time.Hour},
	}
}

func (s *small) message(t testing.TB) hook.Accepted {
	t.Helper()
	out, err := s.Accept(t.Context(), []hook.Accept{s.new(fmt.Sprint(s.ids.Next(s.now)))})
	must(t, err)
	must(t, out[0].Err)
	return out[0]
}

func (s *small) outcome(d hook.Delivery, v hook.Verdict, schedule ...time.Duration) hook.Outcome {
	next := d.Step(v, hook.Scheduled, s.now, schedule, 0)
	return hook.Outcome{Delivery: next, Attempt: hook.Attempt{
		ID: hook.NewID[hook.AttemptID](s.ids, s.now), App: d.App, Message: d.Message, Endpoint: d.Endpoint, EventType: "t",
		N: next.Attempts, At: s.now, Verdict: v, NextAt: next.NextAt,
	}}
}

// state is what can be seen of a store with one message delivered, one waiting for its second attempt, and one wished again.
func (s *small) state(t testing.TB) (show func(*sqlite.DB) string) {
	t.Helper()
	a, b := s.message(t), s.message(t)
	must(t, s.Finish(t.Context(), []hook.Outcome{
		s.outcome(a.Deliveries[0], hook.Success), s.outcome(b.Deliveries[0], hook.Retry, time.Minute),
	}))
	must(t, s.Resend(t.Context(), s.app.ID, a.Message.ID, s.ep.ID, s.now))
	return func(db *sqlite.DB) string {
		var text strings.Builder
		say := func(v any, err error) {
			must(t, err)
			fmt.Fprintf(&text, "%+v\n", v)
		}
		ctx := t.Context()
		say(db.Application(ctx, s.app.ID.String()))
		say(db.Endpoints(ctx, s.app.ID, store.Page{}))
		say(db.Messages(ctx, s.app.ID, store.MessageFilter{WithPayload: true}, store.Page{}))
		say(db.Attempts(ctx, s.app.ID, store.AttemptFilter{Endpoint: s.ep.ID}, store.Page{}))
		for _, m := range []hook.MessageID{a.Message.ID, b.Message.ID} {
			say(db.Deliveries(ctx, s.app.ID, m))
		}
		say(db.Pending(ctx))
		say(db.Counts(ctx))
		say(db.HighestID(ctx))
		work, next, err := db.Claim(ctx, s.ep.ID, s.now.Add(time.Hour), 0, 10)
		say(work, err)
		say(next, nil)
		return text.String()
	}
}

func TestEverythingIsThereAfterAReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSmall(t, sqlite.Options{Dir: dir})
	show := s.state(t)
	before := show(s.DB)
	must(t, s.Close())
	for _, name := range []string{"waypost.db-wal", "waypost.db-shm"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left after a clean close (%v)", name, err)
		}
	}
	again := open(t, sqlite.Options{Dir: dir})
	if after := show(again); after != before {
		t.Fatalf("after a reopen:\n%s\nbefore:\n%s", after, before)
	}
	// The writer's memory is read back too: the repeat is known, and the endpoint is matched.
	s.DB = again
	if out := s.message(t); len(out.Deliveries) != 1 {
		t.Fatal("the endpoint is not matched after a reopen")
	}
}

// copyDir copies the files as they are, which is what a process that is killed leaves behind.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range []string{"waypost.db", "waypost.db-wal"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(to, name), b, 0o600))
	}
	return to
}

func TestEverythingIsThereAfterAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSmall(t, sqlite.Options{Dir: dir})
	show := s.state(t)
	before := show(s.DB)
	again := open(t, sqlite.Options{Dir: copyDir(t, dir)})
	if after := show(again); after != before {
		t.Fatalf("after a kill:\n%s\nbefore:\n%s", after, before)
	}
}

func TestSecretsAreInNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSmall(t, sqlite.Options{Dir: dir})
	ctx := t.Context()
	secret := hook.Settings{"key": {"clear-text-profile"}}
	p := hook.Profile{ID: hook.NewID[hook.ProfileID](s.ids, s.now), Settings: secret}
	must(t, s.CreateProfile(ctx, p))
	must(t, s.UpdateProfile(ctx, p))
	src := hook.Source{ID: hook.NewID[hook.SourceID](s.ids, s.now), App: s.app.ID, Profile: p.ID, Settings: hook.Settings{"key": {"clear-text-source"}}}
	must(t, s.CreateSource(ctx, src))
	must(t, s.UpdateSource(ctx, src))
	s.ep.Settings, s.ep.Headers = hook.Settings{"key": {"clear-text-endpoint"}}, map[string]string{"Authorization": "clear-text-header"}
	s.ep.URL = "https://example.com/shows-that-the-scan-works"
	s.ep.OldSecrets = []hook.OldSecret{{Value: "clear-text-old-secret", Until: s.now}}
	answer := func(store.Result) (int, []byte, bool) { return 200, []byte(`{"key":"clear-text-answer"}`), true }
	receipt := &store.Receipt{Expires: s.now.Add(time.Hour), Answer: answer}
	must(t, s.UpdateEndpoint(store.With(ctx, store.Along{Receipt: receipt}), s.ep))
	must(t, s.PutToken(ctx, hook.Token{ID: hook.NewID[hook.TokenID](s.ids, s.now), Hash: [32]byte{7}}))
	backup := filepath.Join(dir, "backup.db")
	must(t, s.Backup(ctx, backup))

	scan := func() {
		t.Helper()
		found := false
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			must(t, err)
			if i := bytes.Index(b, []byte("clear-text")); i >= 0 {
				t.Errorf("%s holds %q", path, b[i:i+20])
			}
			found = found || bytes.Contains(b, []byte("shows-that-the-scan-works"))
			return nil
		})
		must(t, err)
		if !found {
			t.Error("the scan does not find what is not secret either")
		}
	}
	scan()
	must(t, s.Close())
	scan()
}

func TestASecretMovedToAnotherRowIsNotRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSmall(t, sqlite.Options{Dir: dir})
	other := s.ep
	other.ID, other.Settings = hook.NewID[hook.EndpointID](s.ids, s.now), hook.Settings{"secret": {"x"}}
	must(t, s.CreateEndpoint(t.Context(), other))
	must(t, s.Close())
	c, err := sqlite3.Open("file:" + filepath.Join(dir, "waypost.db"))
	must(t, err)
	must(t, c.Exec(fmt.Sprintf(`UPDATE endpoints SET secrets = (SELECT secrets FROM endpoints WHERE id = %d) WHERE id = %d`, other.ID, s.ep.ID)))
	must(t, c.Close())
	db := open(t, sqlite.Options{Dir: dir})
	_, err = db.Endpoint(t.Context(), s.app.ID, s.ep.ID.String())
	if !errors.Is(err, store.ErrMainKey) || errors.Is(err, store.ErrBroken) {
		t.Fatalf("got %v, want ErrMainKey", err)
	}
	_, err = db.Endpoint(t.Context(), s.app.ID, other.ID.String())
	must(t, err)
}

func TestAnImpossibleRowCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSmall(t, sqlite.Options{Dir: dir})
	s.message(t)
	must(t, s.Close())
	c, err := sqlite3.Open("file:" + filepath.Join(dir, "waypost.db"))
	must(t, err)
	defer c.Close()
	for _, sql := range []string{
		`UPDATE deliveries SET state = 1`,
		`UPDATE deliveries SET next_at = NULL`,
		`UPDATE deliveries SET state = 4, next_at = NULL`,
		`UPDATE deliveries SET attempts = -1`,
		`UPDATE lanes SET pending = -1`,
		`UPDATE counts SET pending = -1`,
		`UPDATE payloads SET payload = NULL`,
		`UPDATE payloads SET payload = NULL, body = x'00', at = 1, size = 1`,
		`UPDATE payloads SET format = 1`,
		`UPDATE endpoints SET disabled = 2`,
		`UPDATE messages SET id = -1`,
		`INSERT INTO counts VALUES (2, 0, 0, 0, 0, 0, 0)`,
		`INSERT INTO attempts SELECT 1, app, id, 1, '', '', 1, 0, 0, 0, 0, 4, '', NULL, NULL FROM messages`,
	} {
		if err := c.Exec(sql); !errors.Is(err, sqlite3.CONSTRAINT) {
			t.Errorf("%s: got %v, want a broken constraint", sql, err)
		}
	}
	must(t, c.Exec(`UPDATE deliveries SET state = 1, next_at = NULL`)) // the statements do reach a row
}

// Example: a process may have any number of stores, each in a folder of its own.
func TestStoresInOneProcessWorkSideBySide(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	stores := make([]*small, 8)
	for i := range stores {
		stores[i] = newSmall(t, sqlite.Options{})
	}
	for _, s := range stores {
		wg.Go(func() {
			for i := range 30 {
				if _, err := s.Accept(t.Context(), []hook.Accept{s.new(fmt.Sprint(i))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		if c, err := s.Counts(t.Context()); err != nil || c.Messages != 30 {
			t.Fatalf("%+v, %v; want 30 messages in each", c, err)
		}
	}
}

func TestAStoreWorksInATimeBubble(t *testing.T) {
	t.Parallel()
	dir, key := t.TempDir(), sealer(t, 1)
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Sealer: key})
		must(t, err)
		defer db.Close()
		now := time.Now()
		app := hook.Application{ID: 7, CreatedAt: now}
		must(t, db.CreateApplication(t.Context(), app))
		ids := hook.NewGenerator(1, 0)
		for range 24 {
			time.Sleep(time.Hour)
			now = time.Now()
			m := hook.Message{ID: hook.NewID[hook.MessageID](ids, now), App: app.ID, CreatedAt: now, Raw: &hook.Raw{Header: http.Header{}}}
			_, err := db.Accept(t.Context(), []hook.Accept{{Message: m}})
			must(t, err)
			got, err := db.Load(t.Context(), m.ID)
			must(t, err)
			if !got.CreatedAt.Equal(now.Truncate(time.Millisecond)) {
				t.Fatalf("created at %v, want %v", got.CreatedAt, now)
			}
		}
	})
}

// What was expunged is not left in the free room of the file, nor in its log once that was moved into the file.
func TestWhatWasExpungedIsOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSmall(t, sqlite.Options{Dir: dir})
	ctx := t.Context()
	for _, size := range []int{10, 1000, 100_000} {
		small, big := s.new(fmt.Sprint("small", size)), s.new(fmt.Sprint("big", size))
		big.Message.Payload = bytes.Repeat([]byte("expunged "), size/9)
		small.Message.Payload = []byte(`"kept to show that the scan works"`)
		big.Message.Raw = &hook.Raw{Method: "POST", Query: "expunged", Header: http.Header{}, Body: big.Message.Payload}
		out, err := s.Accept(ctx, []hook.Accept{small, big, s.new(fmt.Sprint("after", size))})
		must(t, err)
		o := s.outcome(out[1].Deliveries[0], hook.Success)
		o.Attempt.Response = bytes.Repeat([]byte("expunged "), min(size, 16<<10)/9)
		must(t, s.Finish(ctx, []hook.Outcome{o}))
		must(t, s.Expunge(ctx, s.app.ID, out[1].Message.ID, s.now))
		must(t, s.ExpungeResponse(ctx, s.app.ID, o.Attempt.ID))
	}
	must(t, s.Close())
	b, err := os.ReadFile(filepath.Join(dir, "waypost.db"))
	must(t, err)
	if i := bytes.Index(b, []byte("expunged")); i >= 0 {
		t.Errorf("the file holds %q at %d", b[i:min(i+40, len(b))], i)
	}
	if !bytes.Contains(b, []byte("the scan works")) {
		t.Error("the scan does not find what was kept either")
	}
}
