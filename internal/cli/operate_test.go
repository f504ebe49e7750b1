package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/app"
)

const operatorToken = "0123456789-0123456789-0123456789"

// station is a server in this process, and the commands against it.
type station struct {
	t   *testing.T
	url string
	env map[string]string
}

func newStation(t *testing.T) *station {
	t.Helper()
	a, err := app.Start(t.Context(), app.Options{
		Data: t.TempDir(), Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Dev: true, Token: operatorToken, LowWater: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := &station{t: t, url: "http://" + a.AdminAddr()}
	s.env = map[string]string{"WAYPOST_SERVER": s.url, "WAYPOST_TOKEN": operatorToken}
	return s
}

// run runs a command that must end with a code.
func (s *station) run(code int, stdin string, args ...string) (out, errs string) {
	s.t.Helper()
	got, out, errs := command(s.t, stdin, s.env, args...)
	if got != code {
		s.t.Fatalf("%v ended with %d: %s%s", args, got, out, errs)
	}
	return out, errs
}

func (s *station) call(method, path string, in any) map[string]any {
	s.t.Helper()
	var out map[string]any
	if err := newClient(s.url, operatorToken).call(s.t.Context(), method, path, in, &out); err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *station) publish(appRef, eventType string) string {
	s.t.Helper()
	return s.call(http.MethodPost, "/app/"+appRef+"/msg", map[string]any{"eventType": eventType, "payload": map[string]any{}})["id"].(string)
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("waited in vain: " + what)
}

const organisationFile = `
listen: 127.0.0.1:1
event_types:
- name: order.paid
  description: "An order was paid: ${OWNER}"
  feature_flags: [pay]
  schemas:
    1: {type: object, properties: {id: {$ref: "#/$defs/id"}}, $defs: {id: {type: string}}}
- name: order.lost
  schemas: '{"2":{"type":"object","maxProperties":12345678901234567890}}'
profiles:
- uid: panda
  dialect: pandapon
  settings: {access_secret: ["${PANDA}", "old$$secret"]}
applications:
- uid: erp
  name: ERP 店
  allow_cidrs: [10.0.0.0/8]
  throttle_rate: 7
  feature_flags: []
  enforce_schemas: true
  metadata: {"no ${x}": "true", n: "1"}
  sources:
  - uid: in
    profile: panda
    door: erp-panda-door
    allow_from: [203.0.113.0/24]
  endpoints:
  - uid: out
    url: http://127.0.0.1:9/hook?a=$${b}
    description: "two\nlines"
    event_types: [b.y, a.x]
    headers: {Authorization: "Bearer ${PANDA}", X-Plain: "costs $$5"}
    retry_schedule: [500ms, 5s, 36h, 2d]
    timeout: 1500ms
    format: cloudevents
    paused: true
  - uid: once
    url: http://127.0.0.1:9/once
    retry_schedule: []
  - uid: pull
    transport: poll
  - uid: laptop
    transport: listen
`

func TestApplyRefusesAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, fmt.Sprintf("%x.yaml", len(text)))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		code int
		want string
	}{
		"no file":                   {[]string{"apply"}, s.env, 2, "takes 1 argument(s): [FILE]"},
		"a file that is not there":  {[]string{"apply", "/nonexistent.yaml"}, s.env, 2, "no such file"},
		"no token":                  {[]string{"apply", file("a: b")}, nil, 2, "set WAYPOST_TOKEN"},
		"a token on the line":       {[]string{"apply", "x", "--token", "abcdefghijklm"}, s.env, 2, "visible to every user"},
		"an unknown key":            {[]string{"apply", file("profils: []\n")}, s.env, 2, `line 1: unknown key "profils"`},
		"an unknown key deep below": {[]string{"apply", file("event_types:\n- name: a\n  schema: {}\n")}, s.env, 2, `line 3: unknown key "schema"`},
		"a name that is missing":    {[]string{"apply", file("event_types:\n- description: a\n")}, s.env, 2, "line 2: event type: has no name"},
		"a name twice":              {[]string{"apply", file("event_types:\n- name: a\n- name: a\n")}, s.env, 2, "line 3: event type: the name a is that of line 2 already"},
		"a variable that is not":    {[]string{"apply", file("applications:\n- uid: a\n  name: ${NOPE}\n")}, s.env, 2, "line 3: the environment has no NOPE"},
		"a schema that is none":     {[]string{"apply", file("event_types:\n- name: a\n  schemas: {1: {type: nonsense}}\n")}, s.env, 2, "line 2: event type a: schemas"},
		"an address not allowed":    {[]string{"apply", file("applications:\n- uid: a\n  endpoints:\n  - uid: e\n    url: http://192.168.1.5/\n")}, s.env, 2, "line 4: application a, endpoint e: url"},
		"nothing declared":          {[]string{"apply", file("listen: :1\n")}, s.env, 2, "declares nothing"},
		"a token that is unknown":   {[]string{"apply", file("applications:\n- uid: b\n")}, map[string]string{"WAYPOST_SERVER": s.url, "WAYPOST_TOKEN": "wrong"}, 1, "WAYPOST_TOKEN or --token-file must hold a live token"},
		"nobody there":              {[]string{"apply", file("applications:\n- uid: c\n"), "--server", "http://127.0.0.1:1"}, s.env, 1, "is the server running?"},
		"no address":                {[]string{"apply", "x", "--server", "127.0.0.1:8071"}, s.env, 2, "is no address of a server"},
		"two things from one input": {[]string{"apply", "-", "--token-file", "-"}, s.env, 2, "only one of the file and the token"},
		"two tokens in a file":      {[]string{"export", "--token-file", file("a b")}, s.env, 2, "must hold one token"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := command(t, "", c.env, c.args...)
			if code != c.code || !strings.Contains(errs, c.want) || strings.Contains(errs, "abcdefghijklm") {
				t.Errorf("code %d, want %d; said %q, want %q; %s", code, c.code, errs, c.want, out)
			}
		})
	}
}

func TestApplyIsIdempotentAndPrunesWhatItMade(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.env["PANDA"], s.env["OWNER"] = "panda-secret", "me"
	s.call(http.MethodPost, "/app", map[string]any{"uid": "by-hand", "name": "x"})

	out, _ := s.run(0, organisationFile, "apply", "-", "--dry-run")
	if !strings.Contains(out, "create application erp, endpoint pull\n") || !strings.Contains(out, "9 would be created") {
		t.Errorf("the plan: %s", out)
	}
	if list := s.call(http.MethodGet, "/profile", nil)["data"].([]any); len(list) != 0 {
		t.Errorf("a dry run wrote %v", list)
	}
	if out, _ = s.run(0, organisationFile, "apply", "-"); !strings.HasSuffix(out, "9 created, 0 changed, 0 as declared, 0 deleted\n") {
		t.Errorf("first: %s", out)
	}
	for _, again := range [][]string{{"apply", "-", "--dry-run", "--prune"}, {"apply", "-", "--prune"}, {"apply", "-"}} {
		out, _ := s.run(0, organisationFile, again...)
		if strings.Contains(out, "panda-secret") || !strings.Contains(out, " 9 as declared") || regexp.MustCompile(`(?m)^(change|create|delete)`).MatchString(out) {
			t.Errorf("%v: %s", again, out)
		}
	}
	if e := s.call(http.MethodGet, "/app/erp/endpoint/out", nil); e["managed"] != true {
		t.Errorf("%v", e)
	}

	changed := strings.NewReplacer("throttle_rate: 7", "throttle_rate: 8", "erp-panda-door", "erp-panda-next", "X-Plain: \"costs $$5\"", "X-Plain: \"6\"",
		"5s, 36h", "6s, 36h", "[\"${PANDA}\", \"old$$secret\"]", "\"${PANDA}\"").Replace(organisationFile)
	out, _ = s.run(0, changed, "apply", "-", "--json")
	var told struct {
		Complete bool
		Actions  []app.Declares
	}
	if err := json.Unmarshal([]byte(out), &told); err != nil || !told.Complete {
		t.Fatalf("%s: %v", out, err)
	}
	got := map[string]string{}
	for _, a := range told.Actions {
		if a.Action != "keep" {
			got[a.Name] = a.Action + " " + strings.Join(a.Changes, ",")
		}
	}
	want := map[string]string{
		"profile panda": "change settings", "application erp": "change throttleRate", "application erp, source in": "change door",
		"application erp, endpoint out": "change headers,retrySchedule",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("changes: %v, want %v", got, want)
	}

	less := "profiles:\n- uid: other\n  dialect: pandapon\n  settings: {access_secret: x1234567}\napplications:\n- uid: erp\n  name: ERP\n"
	if out, _ := s.run(0, less, "apply", "-", "--prune", "--dry-run"); strings.Count(out, "delete ") != 8 {
		t.Errorf("the plan: %s", out)
	}
	if out, _ := s.run(0, less, "apply", "-", "--prune"); !strings.HasSuffix(out, "8 deleted\n") || strings.Contains(out, "by-hand") {
		t.Errorf("pruned: %s", out)
	}
	if out, _ := s.run(0, "applications: []", "apply", "-", "--prune"); !strings.HasSuffix(out, "2 deleted\n") {
		t.Errorf("pruned all: %s", out)
	}
	if list := s.call(http.MethodGet, "/app", nil)["data"].([]any); len(list) != 1 {
		t.Errorf("what was made by hand must stay: %v", list)
	}
}

func TestExportAppliedElsewhereExportsTheSame(t *testing.T) {
	t.Parallel()
	first, second := newStation(t), newStation(t)
	first.env["PANDA"], first.env["OWNER"] = "panda-secret", "${me} $$"
	first.run(0, organisationFile, "apply", "-")
	first.call(http.MethodPost, "/app/erp/endpoint", map[string]any{"url": "https://user:pass@example.com/x", "description": "no uid"})

	text, notes := first.run(0, "", "export")
	if strings.Contains(text, "panda-secret") || strings.Contains(text, "old$") || strings.Contains(text, "pass") || strings.Contains(text, "whsec_") {
		t.Fatalf("secrets are in the file:\n%s", text)
	}
	if !strings.Contains(notes, "has no uid and is called ep-") || !strings.Contains(text, "door: erp-panda-door") {
		t.Errorf("notes %q, file:\n%s", notes, text)
	}
	names := regexp.MustCompile(`\$\{([A-Z][A-Z0-9_]*)\}`).FindAllStringSubmatch(text, -1)
	if len(names) < 5 {
		t.Errorf("variables: %v", names)
	}
	for _, n := range names {
		if !strings.Contains(notes, "  "+n[1]+"   ") {
			t.Errorf("%s is not listed: %s", n[1], notes)
		}
		second.env[n[1]] = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
	}
	second.run(0, text, "apply", "-")
	again, _ := second.run(0, "", "export")
	if again != text {
		t.Errorf("exported\n%s\napplied and exported again\n%s", text, again)
	}
	if a, b := first.call(http.MethodGet, "/event-type/order.paid", nil), second.call(http.MethodGet, "/event-type/order.paid", nil); a["description"] != b["description"] {
		t.Errorf("%v became %v", a["description"], b["description"])
	}

	path := filepath.Join(t.TempDir(), "x.yaml")
	first.run(0, "", "export", "--out", path)
	if b, err := os.ReadFile(path); err != nil || string(b) != text {
		t.Errorf("%v: %s", err, b)
	}
	if _, errs := first.run(1, "", "export", "--out", path); !strings.Contains(errs, "exists") {
		t.Errorf("an existing file: %s", errs)
	}
}

// broken answers every request with 500 until it is healed.
type broken struct {
	*httptest.Server
	healed atomic.Bool
	got    atomic.Int64
}

func newBroken(t *testing.T) *broken {
	b := &broken{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b.got.Add(1)
		if !b.healed.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "no\x1b[2Jpe")
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func TestResendRecoverAndStats(t *testing.T) {
	t.Parallel()
	s, b := newStation(t), newBroken(t)
	s.run(0, "applications:\n- uid: shop\n  endpoints:\n  - uid: main\n    url: "+b.URL+"\n    retry_schedule: []\n  - uid: late\n    url: "+b.URL+"/late\n    event_types: [b]\n", "apply", "-")
	for args, want := range map[string]string{
		"resend x":           "--app is needed",
		"resend --app shop":  "takes 1 argument(s): [MESSAGE]",
		"recover --app shop": "--app, --endpoint and --since are needed",
		"recover --app shop --endpoint main --since soon":           "--since takes a moment such as",
		"recover --app shop --endpoint main --since 1h --until -1h": "--until takes a moment such as",
		"stats --interval -1s":                                      "must not be negative",
		"tail --since soon":                                         "--since takes a moment such as",
	} {
		if _, errs := s.run(2, "", strings.Fields(args)...); !strings.Contains(errs, want) {
			t.Errorf("%s: %s", args, errs)
		}
	}
	for args, want := range map[string]string{
		"resend x --app shop":                            "there is no such message",
		"resend x --app nope":                            "ids and uids are case-sensitive",
		"recover --app shop --endpoint no --since 1h":    "the application or the endpoint is not there",
		"recover --app shop --endpoint main --since 99d": "more than 14 days",
		"stats --app nope":                               "there is no such application",
		"tail --app nope":                                "there is no such application",
	} {
		if _, errs := s.run(1, "", strings.Fields(args)...); !strings.Contains(errs, want) {
			t.Errorf("%s: %s", args, errs)
		}
	}

	ids := []string{s.publish("shop", "a"), s.publish("shop", "a"), s.publish("shop", "a")}
	stats := func() (out map[string]endpointStats) {
		text, _ := s.run(0, "", "stats", "--app", "shop", "--interval", "0s", "--json")
		var all struct{ Endpoints []endpointStats }
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			t.Fatal(err)
		}
		out = map[string]endpointStats{}
		for _, e := range all.Endpoints {
			out[e.Endpoint] = e
		}
		return out
	}
	eventually(t, "three are given up", func() bool { return stats()["main"].Failed == 3 })
	b.healed.Store(true)
	if out, _ := s.run(0, "", "resend", ids[0], "--app", "shop"); !strings.HasPrefix(out, "will be sent once more to ep_") {
		t.Errorf("resend: %s", out)
	}
	eventually(t, "one is delivered", func() bool { return stats()["main"].Delivered == 1 })
	if out, _ := s.run(0, "", "resend", ids[0], "--app", "shop"); !strings.Contains(out, "nothing to do") {
		t.Errorf("resend of what was delivered: %s", out)
	}
	if out, _ := s.run(0, "", "resend", ids[0], "--app", "shop", "--endpoint", "main", "--json"); out != "{\"endpoints\":[\"main\"]}\n" {
		t.Errorf("resend: %s", out)
	}
	out, _ := s.run(0, "", "recover", "--app", "shop", "--endpoint", "main", "--since", "1h", "--json")
	if !strings.Contains(out, `"status":"finished"`) || !strings.Contains(out, `"done":2`) {
		t.Errorf("recover: %s", out)
	}
	eventually(t, "all are delivered", func() bool { return stats()["main"].Delivered == 3 })

	s.call(http.MethodPatch, "/app/shop/endpoint/late", map[string]any{"filterTypes": nil})
	if out, _ = s.run(0, "", "recover", "--app", "shop", "--endpoint", "late", "--since", "1h", "--missing"); !strings.Contains(out, "finished: 3 messages looked at, 3 are sent again") {
		t.Errorf("missing: %s", out)
	}
	eventually(t, "the late one has all", func() bool { return stats()["late"].Delivered == 3 })
	out, _ = s.run(0, "", "stats", "--interval", "1ms")
	if !strings.Contains(out, "in/s") || !regexp.MustCompile(`(?m)^all +2 +6 +0 +0 +0 `).MatchString(out) {
		t.Errorf("stats:\n%s", out)
	}
}

func TestRecoverThatIsInterruptedGoesOnInTheServer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var looks atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && looks.Add(1) == 2 {
			cancel()
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"id":"qtask_1","status":"running","data":{"looked":5,"done":2}}`)
	}))
	defer server.Close()
	var out, errs bytes.Buffer
	env := map[string]string{"WAYPOST_SERVER": server.URL, "WAYPOST_TOKEN": "t"}
	code := Main(ctx, []string{"recover", "--app", "a", "--endpoint", "e", "--since", "1h"}, Streams{
		In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(n string) (string, bool) { v, ok := env[n]; return v, ok },
	})
	if code != 1 || !strings.Contains(errs.String(), "the server goes on with task qtask_1") || !strings.Contains(errs.String(), "5 messages looked at, 2 are sent again\n") {
		t.Errorf("code %d: %s", code, errs.String())
	}
}

// lines is an io.Writer that keeps whole lines.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestTailMissesAndRepeatsNothing follows a server through a connection that breaks again and again, while several publish.
func TestTailMissesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	s, b := newStation(t), newBroken(t)
	b.healed.Store(true)
	s.run(0, "applications:\n- uid: shop\n  endpoints:\n  - uid: main\n    url: "+b.URL+"\n", "apply", "-")
	s.publish("shop", "before")
	eventually(t, "what came before is delivered", func() bool { return b.got.Load() == 1 })
	at, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(at)
	var n, down atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() == 1 && n.Add(1)%3 != 0 { // a broken GET is tried once more by the transport
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	defer front.Close()

	var out, errs lines
	ctx, stop := context.WithCancel(t.Context())
	env := map[string]string{"WAYPOST_SERVER": front.URL, "WAYPOST_TOKEN": operatorToken}
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, []string{"tail", "--json", "--event-type", "a,b"}, Streams{
			In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(n string) (string, bool) { v, ok := env[n]; return v, ok },
		})
	}()
	// It has begun when the first message shows; those sent before that may have come too early.
	eventually(t, "the tail begins", func() bool {
		s.publish("shop", "b")
		return strings.Contains(out.String(), `"kind":"message"`)
	})
	var mu sync.Mutex
	var want []string
	var publishers sync.WaitGroup
	publish := func() {
		for range 4 {
			publishers.Go(func() {
				for range 30 {
					id := s.publish("shop", "a")
					mu.Lock()
					want = append(want, id)
					mu.Unlock()
				}
			})
		}
		publishers.Wait()
	}
	count := func(kind string) (ids []string) {
		for line := range strings.Lines(out.String()) {
			var v tailed
			if json.Unmarshal([]byte(line), &v) != nil || v.Kind != kind {
				continue
			}
			var d struct{ ID, MsgID, EventType string }
			if err := json.Unmarshal(v.Data, &d); err != nil {
				t.Error(err)
			}
			if d.EventType == "other" || d.EventType == "before" {
				t.Errorf("%s was not asked for", d.EventType)
			}
			if d.EventType == "a" && kind == "message" {
				ids = append(ids, d.ID)
			} else if d.EventType == "a" {
				ids = append(ids, d.MsgID)
			}
		}
		return ids
	}
	publish()
	s.publish("shop", "other")
	eventually(t, "some are printed before the connection breaks", func() bool { return len(count("message")) > 0 && len(count("attempt")) > 0 })
	down.Store(1)
	eventually(t, "the broken connection is told", func() bool { return strings.Contains(errs.String(), "the server does not answer, trying again") })
	publish()
	down.Store(0)
	eventually(t, "and that it is whole again", func() bool { return strings.Contains(errs.String(), "going on where it broke off") })
	publish()
	slices.Sort(want)
	eventually(t, "all messages and attempts are printed", func() bool {
		return len(count("message")) >= len(want) && len(count("attempt")) >= len(want)
	})
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("ended with %d: %s", code, errs.String())
	}
	for _, kind := range []string{"message", "attempt"} {
		got := count(kind)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: %d lines for %d messages, or one is missing and another printed twice", kind, len(got), len(want))
		}
	}
}

func TestTailShowsWhatFailedAndNoControlCharacters(t *testing.T) {
	t.Parallel()
	s, b := newStation(t), newBroken(t)
	s.run(0, "applications:\n- uid: shop\n  endpoints:\n  - uid: main\n    url: "+b.URL+"\n    retry_schedule: [1h]\n", "apply", "-")
	id := s.publish("shop", "a")
	eventually(t, "it was tried", func() bool { return b.got.Load() == 1 })
	var out, errs lines
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, []string{"tail", "--failed", "--since", "1h", "--app", "shop"}, Streams{
			In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(n string) (string, bool) { v, ok := s.env[n]; return v, ok },
		})
	}()
	eventually(t, "the attempt is printed", func() bool { return strings.Contains(out.String(), id) })
	stop()
	<-ended
	line := out.String()
	if !strings.Contains(line, "attempt  "+id+"  shop/main  a  retry  500") || !strings.Contains(line, "next 20") || strings.Contains(line, "message") {
		t.Errorf("printed %q; %s", line, errs.String())
	}
	if got := printable("a\x1b[2J\nb"); got != "a [2J b" {
		t.Errorf("printable: %q", got)
	}
}

func TestTracingIsTakenFromOpenTelemetrysVariables(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		want app.Tracing
	}{
		"off": {map[string]string{}, nil, app.Tracing{}},
		"the base": {
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "OTEL_EXPORTER_OTLP_HEADERS": "k=v", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
			nil, app.Tracing{Endpoint: "http://a:4318", Headers: "k=v", Sampler: "traceidratio", Ratio: "0.5"},
		},
		"the one for traces first": {
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/v1/traces"}, nil, app.Tracing{Endpoint: "http://b/v1/traces"},
		},
		"our own before both": {
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318", "WAYPOST_OTLP": "http://c"}, nil, app.Tracing{Endpoint: "http://c"},
		},
		"the flag before all": {map[string]string{"WAYPOST_OTLP": "http://c"}, []string{"--otlp", "http://d"}, app.Tracing{Endpoint: "http://d"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := Streams{Env: func(n string) (string, bool) { v, ok := c.env[n]; return v, ok }, Err: io.Discard}
			var f serverFlags
			cmd := serveCommand(s)
			cmd.ResetFlags()
			f.register(cmd.Flags())
			if err := cmd.ParseFlags(c.args); err != nil {
				t.Fatal(err)
			}
			if err := f.resolve(cmd, s); err != nil || f.Tracing != c.want {
				t.Errorf("%+v, %v", f.Tracing, err)
			}
		})
	}
	code, _, errs := command(t, "", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "serve")
	if code != 2 || !strings.Contains(errs, "otlp: must look like http://collector:4318") {
		t.Errorf("%d %s", code, errs)
	}
}
