package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect/all"
	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// server is an API over a real store, as one test sees it.
type server struct {
	t testing.TB
	*parts
}

// in is the server as a subtest sees it.
func (s *server) in(t testing.TB) *server { return &server{t, s.parts} }

type parts struct {
	dir     string
	options func(store.Store) api.Options
	forget  atomic.Pointer[api.Handler]
	api     *api.Handler
	store   *sqlite.DB
	ids     *hook.Generator
	org     string // the organisation's token
	log     *logged
	clock   atomic.Int64 // nanoseconds that the clock is ahead
	verdict hook.Verification
}

// logged keeps what was logged.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const orgToken = "wp_test_organisation_token_0123456789"

func start(t testing.TB, change ...func(*api.Options)) *server {
	t.Helper()
	s := &server{t, &parts{org: orgToken, log: &logged{}, ids: hook.NewGenerator(0, 0), dir: t.TempDir()}}
	t.Cleanup(func() {
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	door := egress.New(egress.Options{Resolve: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("93.184.215.14")}, nil
	}})
	s.options = func(db store.Store) api.Options {
		o := api.Options{
			Store: db, Dialects: all.Table(), IDs: s.ids, Now: s.now,
			CheckURL: func(ctx context.Context, url string, allow []string) error { return checkURL(ctx, door, url, allow) },
			Verify: func(context.Context, hook.Endpoint) (hook.Verification, error) {
				if s.verdict.State == "" {
					return s.verdict, errors.New("the test wants no verification")
				}
				return s.verdict, nil
			},
			MainKey:       func() api.MainKey { return api.MainKey{Source: api.KeyInFile} },
			RotateMainKey: func(ctx context.Context) error { return s.store.Beat(ctx, hook.ClockState{Wall: s.now()}, false) }, // some write
			Outgoing:      platformSays(hook.Produced{OK: true, MessageID: "m1"}, nil),
			PublicURL:     "https://hooks.example.com/",
			Log:           slog.New(slog.NewTextHandler(s.log, nil)),
		}
		for _, c := range change {
			c(&o)
		}
		return o
	}
	s.open()
	s.token(orgToken, 0, time.Time{})
	return s
}

// open opens the store and makes an API over it.
func (s *server) open() {
	s.t.Helper()
	sealer, err := store.NewSealer(bytes.Repeat([]byte{7}, store.MainKeySize))
	if err != nil {
		s.t.Fatal(err)
	}
	s.store, err = sqlite.Open(s.t.Context(), sqlite.Options{Dir: s.dir, Sealer: sealer, Changed: func(c store.Change) {
		if h := s.forget.Load(); h != nil && c.Config {
			h.Forget()
		}
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.api = api.New(s.options(s.store))
	s.forget.Store(s.api)
}

// restart closes the store and begins anew with what is on the disk.
func (s *server) restart() {
	s.t.Helper()
	if err := s.store.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.open()
}

func checkURL(ctx context.Context, door *egress.Client, url string, allow []string) error {
	var nets []netip.Prefix
	for _, a := range allow {
		nets = append(nets, netip.MustParsePrefix(a))
	}
	var e *egress.Error
	if err := door.Check(ctx, url, nets); errors.As(err, &e) {
		out := &hook.Error{Kind: hook.KindInvalid, Text: e.Text}
		if e.Hint != "" {
			out.Err = errors.New(e.Hint)
		}
		return out
	}
	return nil
}

func (s *server) now() time.Time { return time.Now().Add(time.Duration(s.clock.Load())) }

func (s *server) advance(d time.Duration) { s.clock.Add(int64(d)) }

// token stores a token of an application, or of the organisation.
func (s *server) token(text string, app hook.ApplicationID, expires time.Time) string {
	s.t.Helper()
	err := s.store.PutToken(s.t.Context(), hook.Token{
		ID: hook.NewID[hook.TokenID](s.ids, s.now()), Hash: sha256.Sum256([]byte(text)), Name: "test", App: app,
		CreatedAt: s.now().UTC().Truncate(time.Millisecond), ExpiresAt: expires,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// answer is what came back.
type answer struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	text   string
}

// call makes a request; body is a text as it is, or anything that encodes as JSON, or nil.
func (s *server) call(token, method, path string, body any, headers ...string) answer {
	s.t.Helper()
	var reader io.Reader = http.NoBody
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			s.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, reader)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	return answer{s.t, method + " " + path, w.Code, w.Header(), w.Body.String()}
}

func (s *server) get(path string) answer { s.t.Helper(); return s.call(s.org, "GET", path, nil) }

func (s *server) post(path string, body any) answer {
	s.t.Helper()
	return s.call(s.org, "POST", path, body)
}

func (s *server) put(path string, body any) answer {
	s.t.Helper()
	return s.call(s.org, "PUT", path, body)
}

func (s *server) patch(path string, body any) answer {
	s.t.Helper()
	return s.call(s.org, "PATCH", path, body)
}

func (s *server) remove(path string) answer { s.t.Helper(); return s.call(s.org, "DELETE", path, nil) }

// want fails the test unless the status is this one.
func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d: %s", a.what, a.status, status, a.text)
	}
	return a
}

// json decodes the answer.
func (a answer) json() object {
	a.t.Helper()
	var o object
	if err := json.Unmarshal([]byte(a.text), &o); err != nil {
		a.t.Fatalf("%s: not an object: %v: %s", a.what, err, a.text)
	}
	return o
}

// wrong fails the test unless the answer is a 422 about this place, such as body.url.
func (a answer) wrong(loc string) answer {
	a.t.Helper()
	a.want(http.StatusUnprocessableEntity)
	var e struct {
		Detail []struct {
			Loc  []string
			Msg  string
			Type string
		}
	}
	if err := json.Unmarshal([]byte(a.text), &e); err != nil {
		a.t.Fatalf("%s: not Svix's shape: %v: %s", a.what, err, a.text)
	}
	for _, d := range e.Detail {
		if strings.Join(d.Loc, ".") == loc && d.Msg != "" && d.Type == "value_error" {
			return a
		}
	}
	a.t.Fatalf("%s: no error at %s: %s", a.what, loc, a.text)
	return a
}

// refused fails the test unless the answer is {code, detail} of this status and code.
func (a answer) refused(status int, code string) answer {
	a.t.Helper()
	a.want(status)
	o := a.json()
	if o["code"] != code || o.str("detail") == "" || len(o) != 2 {
		a.t.Fatalf("%s: want code %s with a detail: %s", a.what, code, a.text)
	}
	return a
}

type object map[string]any

func (o object) str(name string) string { s, _ := o[name].(string); return s }

func (o object) obj(name string) object {
	m, _ := o[name].(map[string]any)
	return m
}

func (o object) list(name string) []object {
	var out []object
	items, _ := o[name].([]any)
	for _, i := range items {
		m, _ := i.(map[string]any)
		out = append(out, m)
	}
	return out
}

// app makes an application and returns its path.
func (s *server) app(name string) string {
	s.t.Helper()
	return "/api/v1/app/" + s.post("/api/v1/app", object{"name": name, "uid": name}).want(201).json().str("id")
}

// appToken makes an application with a token of its own.
func (s *server) appToken(name string) (path, token string) {
	s.t.Helper()
	path = s.app(name)
	id, err := hook.ParseID[hook.ApplicationID](path[len("/api/v1/app/"):])
	if err != nil {
		s.t.Fatal(err)
	}
	return path, s.token("wp_token_of_application_"+name, id, time.Time{})
}

// ep makes an endpoint and returns its path.
func (s *server) ep(app string, body object) string {
	s.t.Helper()
	if _, ok := body["url"]; !ok {
		body["url"] = "https://example.com/hook"
	}
	return app + "/endpoint/" + s.post(app+"/endpoint", body).want(201).json().str("id")
}

// send publishes a message and returns its id.
func (s *server) send(app string, body object) string {
	s.t.Helper()
	if _, ok := body["eventType"]; !ok {
		body["eventType"] = "order.created"
	}
	if _, ok := body["payload"]; !ok {
		body["payload"] = object{"n": 1}
	}
	return s.post(app+"/msg", body).want(202).json().str("id")
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// text is the JSON of a value, < and > as they are.
func text(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(b.String(), "\n")
}
