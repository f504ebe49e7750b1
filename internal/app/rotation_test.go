package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// keyFolder is a data folder with secrets in it, whose server is started and stopped.
type keyFolder struct {
	t      *testing.T
	dir    string
	secret string // of the endpoint
	seed   []byte
	log    bytes.Buffer
	mu     sync.Mutex
}

func newKeyFolder(t *testing.T) *keyFolder {
	t.Helper()
	f := &keyFolder{t: t, dir: t.TempDir()}
	a, stop := started(t, f.dir, declared)
	f.secret, f.seed = endpointSecret(t, a), a.store.Seed()
	stop()
	return f
}

func endpointSecret(t *testing.T, a *App) string {
	t.Helper()
	var out struct{ Key string }
	a.get(t, "/api/v1/app/erp/endpoint/out/secret", &out)
	return out.Key
}

// start starts a server on the folder with changed options.
func (f *keyFolder) start(change func(*Options)) (*App, func()) {
	f.t.Helper()
	o := quiet(f.dir)
	o.Token, o.Dev = testToken, true
	o.Log = slog.New(slog.NewTextHandler(f, nil))
	if change != nil {
		change(&o)
	}
	a, err := Start(f.t.Context(), o)
	if err != nil {
		f.t.Fatal(err)
	}
	stop := func() {
		if err := a.Stop(context.Background()); err != nil {
			f.t.Error(err)
		}
	}
	f.t.Cleanup(stop)
	return a, stop
}

func (f *keyFolder) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(b)
}

func (f *keyFolder) logged(want string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !strings.Contains(f.log.String(), want) {
		f.t.Errorf("the log does not say %q:\n%s", want, f.log.String())
	}
}

func (f *keyFolder) path(name string) string { return filepath.Join(f.dir, name) }

// key is the text of a key file, "" when there is none.
func (f *keyFolder) key(name string) string {
	f.t.Helper()
	b, err := os.ReadFile(f.path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// rotated wants a server to end a rotation, or to have ended it, with nothing lost.
func (f *keyFolder) rotated(a *App) {
	f.t.Helper()
	f.await(a, "steady")
	if a.store.Rotating() {
		f.t.Error("the store is amid a rotation")
	}
	if endpointSecret(f.t, a) != f.secret {
		f.t.Error("a secret has changed")
	}
	if !bytes.Equal(a.store.Seed(), f.seed) {
		f.t.Error("the seed of outgoing messages has changed")
	}
}

type keyAnswer struct {
	Source, State   string
	Resealed, Total int
	StartedAt       *time.Time
	EndedAt         *time.Time
	Problem         string
}

func (f *keyFolder) await(a *App, state string) (k keyAnswer) {
	f.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		k = keyAnswer{}
		if a.get(f.t, "/api/v1/main-key", &k); k.State == state {
			return k
		}
	}
	f.t.Fatalf("the main key is %+v, want %s", k, state)
	return k
}

// rotate asks for a rotation and returns status and body of the answer.
func (f *keyFolder) rotate(a *App, idempotencyKey string) (int, string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, "http://"+a.AdminAddr()+"/api/v1/main-key/rotate", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// startsWith wants the folder to start with the key that its file has, and with no other.
func (f *keyFolder) startsWith(old string) {
	f.t.Helper()
	if info, err := os.Stat(f.path(mainKeyFile)); err != nil || info.Mode().Perm() != 0o600 {
		f.t.Errorf("%v, %v", info, err)
	}
	if f.key(mainKeyFile) == old {
		f.t.Error("main.key is not the new one")
	}
	if keys, err := filepath.Glob(f.path("*key*")); err != nil || len(keys) != 1 {
		f.t.Errorf("beside main.key there are %q (%v)", keys, err)
	}
	o := quiet(f.dir)
	o.MainKey = old
	if _, err := Start(f.t.Context(), o); !errors.Is(err, store.ErrMainKey) {
		f.t.Errorf("it starts with the old key: %v", err)
	}
	a, stop := f.start(nil)
	f.rotated(a)
	stop()
}

func TestTheMainKeyIsRotatedWhileTheServerServes(t *testing.T) {
	t.Parallel()
	f := newKeyFolder(t)
	old := f.key(mainKeyFile)
	held, release := make(chan struct{}), make(chan struct{})
	a, stop := f.start(func(o *Options) {
		o.Faults.Store.At = func(point string) {
			if point == AtKeyResealed {
				close(held)
				<-release
			}
		}
	})
	if k := f.await(a, "steady"); k.Source != "file" || k.StartedAt != nil || k.EndedAt != nil {
		t.Errorf("before: %+v", k)
	}
	if status, body := f.rotate(a, "once"); status != http.StatusAccepted || !strings.Contains(body, `"rotating"`) {
		t.Fatalf("%d %s", status, body)
	}
	<-held
	if status, body := f.rotate(a, ""); status != http.StatusConflict || !strings.Contains(body, "wait until it is done") {
		t.Errorf("a second rotation: %d %s", status, body)
	}
	if status, body := f.rotate(a, "once"); status != http.StatusAccepted {
		t.Errorf("the same request again: %d %s", status, body)
	}
	if k := f.await(a, "rotating"); k.StartedAt == nil || k.EndedAt != nil {
		t.Errorf("under way: %+v", k)
	}
	a.request(t, http.MethodPost, "/app", map[string]any{"name": "made meanwhile", "uid": "m"})
	a.request(t, http.MethodPost, "/app/m/endpoint", map[string]any{"url": "http://127.0.0.1:9/", "uid": "e"})
	close(release)
	f.rotated(a)
	if k := f.await(a, "steady"); k.Resealed != k.Total || k.Total < 3 || k.EndedAt == nil || k.Problem != "" {
		t.Errorf("at the end: %+v", k)
	}
	a.get(t, "/api/v1/app/m/endpoint/e/secret", nil)
	if status, _ := f.rotate(a, "once"); status != http.StatusAccepted || f.key(nextKeyFile) != "" {
		t.Error("the same request began another rotation")
	}
	stop()
	f.startsWith(old)
	f.logged("the main key is rotated")
	for _, key := range []string{old, f.key(mainKeyFile)} {
		if strings.Contains(f.log.String(), key) {
			t.Error("a main key is in the log")
		}
	}
}

func TestWhoeverIsNotTheOrganisationCannotRotate(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), declared)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		path := map[string]string{http.MethodGet: "/api/v1/main-key", http.MethodPost: "/api/v1/main-key/rotate"}[method]
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+a.AdminAddr()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s %s without a token: %s", method, path, resp.Status)
		}
	}
}

// Whatever point a rotation was interrupted at, the next start goes on from there.
func TestAStartGoesOnWithARotation(t *testing.T) {
	t.Parallel()
	open := func(f *keyFolder) (*sqlite.DB, mainKeys) {
		db, keys, err := offline(f.t.Context(), Options{Data: f.dir})
		if err != nil {
			f.t.Fatal(err)
		}
		return db, keys
	}
	for name, interrupt := range map[string]func(*keyFolder, *rotation) error{
		"the new key is kept and the store does not know of it": func(_ *keyFolder, r *rotation) error {
			_, err := r.nextKey()
			return err
		},
		"the store needs both keys": func(f *keyFolder, r *rotation) error { return r.prepare(f.t.Context()) },
		"the store needs the new key alone": func(f *keyFolder, r *rotation) error {
			return errors.Join(r.prepare(f.t.Context()), r.db.Reseal(f.t.Context(), nil))
		},
		"a new key was being written": func(f *keyFolder, r *rotation) error {
			if err := os.WriteFile(f.path(nextKeyFile+".part"), []byte("half"), 0o600); err != nil {
				return err
			}
			return r.prepare(f.t.Context())
		},
	} {
		for _, how := range []string{"a server", "the command"} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				f := newKeyFolder(t)
				old := f.key(mainKeyFile)
				db, keys := open(f)
				if err := interrupt(f, newRotation(Options{Data: f.dir}.Defaults(), db, keys)); err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				next := f.key(nextKeyFile)
				if how == "the command" {
					if err := RotateMainKey(t.Context(), Options{Data: f.dir}, nil); err != nil {
						t.Fatal(err)
					}
				} else {
					a, stop := f.start(nil)
					f.rotated(a)
					stop()
				}
				if f.key(mainKeyFile) != next {
					t.Error("main.key is not the key that was begun with")
				}
				f.startsWith(old)
			})
		}
	}
}

func TestTheMainKeyOfAStoppedServerIsRotated(t *testing.T) {
	t.Parallel()
	f := newKeyFolder(t)
	old := f.key(mainKeyFile)
	var last, total int64
	if err := RotateMainKey(t.Context(), Options{Data: f.dir}, func(done, n int64) { last, total = done, n }); err != nil {
		t.Fatal(err)
	}
	if last != total || total < 3 {
		t.Errorf("%d of %d", last, total)
	}
	f.startsWith(old)
	a, _ := f.start(nil)
	before := f.key(mainKeyFile)
	if err := RotateMainKey(t.Context(), Options{Data: f.dir}, nil); err == nil || !strings.Contains(err.Error(), "another process uses this folder") {
		t.Errorf("beside a server: %v", err)
	}
	if f.key(mainKeyFile) != before || f.key(nextKeyFile) != "" {
		t.Error("beside a server it changed the keys")
	}
	f.rotated(a)
}

// With the key in the environment the operator gives both keys, and takes the old one away afterwards.
func TestTheMainKeyOfTheEnvironmentIsRotated(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"a server", "the command"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := newKeyFolder(t)
			old, next := f.key(mainKeyFile), NewMainKey()
			both := func(o *Options) { o.MainKey, o.OldMainKey = next, old }
			alone := func(o *Options) { o.MainKey = next }
			if how == "the command" {
				o := Options{Data: f.dir}
				both(&o)
				if err := RotateMainKey(t.Context(), o, nil); err != nil {
					t.Fatal(err)
				}
				if err := RotateMainKey(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), "WAYPOST_MAIN_KEY_OLD to the present one") {
					t.Errorf("once more: %v", err)
				}
			} else {
				a, stop := f.start(both)
				f.rotated(a)
				stop()
				f.logged("take WAYPOST_MAIN_KEY_OLD away")
			}
			a, stop := f.start(both) // it was forgotten to take it away
			f.rotated(a)
			stop()
			a, stop = f.start(alone)
			f.rotated(a)
			status, body := f.rotate(a, "")
			if status != http.StatusConflict || !strings.Contains(body, "WAYPOST_MAIN_KEY_OLD") {
				t.Errorf("by the API: %d %s", status, body)
			}
			stop()
			if _, err := Start(t.Context(), quiet(f.dir)); !errors.Is(err, store.ErrMainKey) {
				t.Errorf("it starts with the old key, in main.key: %v", err)
			}
		})
	}
}

func TestKeysOfOptionsThatDoNotFit(t *testing.T) {
	t.Parallel()
	key := NewMainKey()
	for want, o := range map[string]Options{
		"main-key-old: is given without main-key":        {OldMainKey: key},
		"main-key-old: is the same key as main-key":      {MainKey: key, OldMainKey: key},
		"main-key-old: a main key is 32 bytes in base64": {MainKey: key, OldMainKey: "short"},
		"main-key: a main key is 32 bytes in base64":     {MainKey: "short"},
	} {
		if err := o.Defaults().Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		f := t.TempDir()
		o.Data = f
		if err := RotateMainKey(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the command: %v, want %q", err, want)
		}
	}
	if err := RotateMainKey(t.Context(), Options{Data: t.TempDir()}, nil); err == nil || !strings.Contains(err.Error(), "holds no store") {
		t.Errorf("an empty folder: %v", err)
	}
}

// A folder that takes no new file has nothing changed.
func TestAKeyThatCannotBeKeptIsNotRotatedTo(t *testing.T) {
	t.Parallel()
	f := newKeyFolder(t)
	old := f.key(mainKeyFile)
	blocked := f.path(nextKeyFile + ".part") // a folder that cannot be written to does not keep out a superuser
	if err := os.MkdirAll(filepath.Join(blocked, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	a, stop := f.start(nil)
	status, body := f.rotate(a, "")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "the data folder must be writable; nothing was changed") {
		t.Errorf("%d %s", status, body)
	}
	if f.key(mainKeyFile) != old || f.key(nextKeyFile) != "" || a.store.Rotating() {
		t.Error("something was changed")
	}
	f.rotated(a)
	if err := os.RemoveAll(blocked); err != nil {
		t.Fatal(err)
	}
	if _, err := a.rotation.nextKey(); err != nil { // a try that ended before the store knew of the key
		t.Fatal(err)
	}
	next := f.key(nextKeyFile)
	if status, body := f.rotate(a, ""); status != http.StatusAccepted {
		t.Errorf("%d %s", status, body)
	}
	f.rotated(a)
	if f.key(mainKeyFile) != next {
		t.Error("it was rotated to another key than the one that was kept")
	}
	stop()
	f.startsWith(old)
}

// A process that was killed while it gave a new key its name left a second name of that file, which is main.key by now.
func TestASecondNameOfTheMainKeyIsNotWrittenInto(t *testing.T) {
	t.Parallel()
	f := newKeyFolder(t)
	old := f.key(mainKeyFile)
	for _, name := range []string{mainKeyFile, nextKeyFile} {
		if err := os.Link(f.path(mainKeyFile), f.path(name+partSuffix)); err != nil {
			t.Fatal(err)
		}
	}
	atMade := ""
	a, stop := f.start(func(o *Options) {
		o.Faults.Store.At = func(point string) {
			if point == AtKeyMade {
				atMade = f.key(mainKeyFile)
			}
		}
	})
	if status, body := f.rotate(a, ""); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	f.rotated(a)
	if atMade != old {
		t.Error("main.key was overwritten before the store knew of the new key")
	}
	stop()
	f.startsWith(old)
}

// Somebody takes the new key's file away before the store needs that key alone.
func TestAKeyThatIsTakenAwayIsNotRotatedTo(t *testing.T) {
	t.Parallel()
	f := newKeyFolder(t)
	old := f.key(mainKeyFile)
	a, stop := f.start(func(o *Options) {
		o.Faults.Store.At = func(point string) {
			if point == AtKeyBegun {
				if err := os.Rename(f.path(nextKeyFile), f.path("aside")); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
			}
		}
	})
	if status, body := f.rotate(a, ""); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	if k := f.await(a, "interrupted"); !strings.Contains(k.Problem, "put it back") || !a.store.Rotating() || endpointSecret(t, a) != f.secret {
		t.Errorf("%+v", k)
	}
	if err := os.Rename(f.path("aside"), f.path(nextKeyFile)); err != nil {
		t.Fatal(err)
	}
	if status, body := f.rotate(a, ""); status != http.StatusAccepted {
		t.Errorf("%d %s", status, body)
	}
	f.rotated(a)
	stop()
	f.startsWith(old)
}

// When the new key cannot take its place, everything is sealed under it, both files stay, and the next try goes on.
func TestAKeyThatCannotTakeItsPlace(t *testing.T) {
	t.Parallel()
	f := newKeyFolder(t)
	old := f.key(mainKeyFile)
	fail := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	a, stop := f.start(func(o *Options) {
		var once sync.Once
		o.Faults.Store.At = func(point string) {
			if point == AtKeyResealed {
				once.Do(func() {
					fail(os.Rename(f.path(mainKeyFile), f.path("aside")))
					fail(os.Mkdir(f.path(mainKeyFile), 0o700))
				})
			}
		}
	})
	if status, body := f.rotate(a, ""); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	if k := f.await(a, "interrupted"); !strings.Contains(k.Problem, "rotate again") || !strings.Contains(k.Problem, "keep both files") {
		t.Errorf("%+v", k)
	}
	next := f.key(nextKeyFile)
	if endpointSecret(t, a) != f.secret {
		t.Error("it does not serve")
	}
	fail(os.Remove(f.path(mainKeyFile)))
	fail(os.Rename(f.path("aside"), f.path(mainKeyFile)))
	if status, body := f.rotate(a, ""); status != http.StatusAccepted {
		t.Errorf("%d %s", status, body)
	}
	f.rotated(a)
	if f.key(mainKeyFile) != next {
		t.Error("it went on to another key")
	}
	stop()
	f.startsWith(old)
}

// Every start that lacks a key in the middle of a rotation says which one.
func TestAStartWithoutAKeyAmidARotation(t *testing.T) {
	t.Parallel()
	f := newKeyFolder(t)
	db, keys, err := offline(t.Context(), Options{Data: f.dir})
	if err == nil {
		err = errors.Join(newRotation(Options{Data: f.dir}.Defaults(), db, keys).prepare(t.Context()), db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		mainKeyFile: "put its main.key back into the folder beside main.key.next",
		nextKeyFile: "put main.key.next back into the folder",
	} {
		aside := f.path("aside")
		if err := os.Rename(f.path(file), aside); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(t.Context(), quiet(f.dir)); !errors.Is(err, store.ErrMainKey) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("without %s: %v, want %q", file, err, want)
		}
		if err := os.Rename(aside, f.path(file)); err != nil {
			t.Fatal(err)
		}
	}
	a, _ := f.start(nil)
	f.rotated(a)
	var he *hook.Error
	if err := a.store.Rotate(t.Context(), mustSealer(t, f.key(mainKeyFile))); !errors.As(err, &he) {
		t.Errorf("to the same key: %v", err)
	}
}

func mustSealer(t *testing.T, text string) *store.Sealer {
	t.Helper()
	s, err := sealerOf(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
