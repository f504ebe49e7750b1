package api_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// operation is one of the document.
type operation struct {
	method, path string
	body         string // one that is right for it, "" = none
}

// operations reads every operation of the document that the server itself serves.
func operations(t testing.TB, s *server) []operation {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(s.call("", "GET", "/api/v1/openapi.json", nil).want(200).text), &doc); err != nil {
		t.Fatal(err)
	}
	bodies := map[string]string{
		"POST /api/v1/app":                                                     `{"name":"x"}`,
		"PUT /api/v1/app/{app_id}":                                             `{"name":"x"}`,
		"PATCH /api/v1/app/{app_id}":                                           `{"name":"x"}`,
		"POST /api/v1/app/{app_id}/endpoint":                                   `{"url":"https://example.com/"}`,
		"PUT /api/v1/app/{app_id}/endpoint/{endpoint_id}":                      `{"url":"https://example.com/"}`,
		"PATCH /api/v1/app/{app_id}/endpoint/{endpoint_id}":                    `{"description":"x"}`,
		"PUT /api/v1/app/{app_id}/endpoint/{endpoint_id}/headers":              `{"headers":{}}`,
		"PATCH /api/v1/app/{app_id}/endpoint/{endpoint_id}/headers":            `{"headers":{}}`,
		"POST /api/v1/app/{app_id}/msg":                                        `{"eventType":"e","payload":{}}`,
		"POST /api/v1/app/{app_id}/source":                                     `{"dialect":"pandapon","settings":{"access_secret":"x"}}`,
		"PUT /api/v1/app/{app_id}/source/{source_id}":                          `{"settings":{"access_secret":"x"}}`,
		"POST /api/v1/app/{app_id}/source/{source_id}/rotate-door":             `{}`,
		"POST /api/v1/app/{app_id}/source/{source_id}/produce":                 `{"eventType":"e","payload":{}}`,
		"POST /api/v1/profile":                                                 `{"name":"x","dialect":"pandapon"}`,
		"PUT /api/v1/profile/{profile_id}":                                     `{"name":"x"}`,
		"POST /api/v1/token":                                                   `{"name":"x"}`,
		"POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/verify":              "",
		"POST /api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend": "",

		"POST /api/v1/app/{app_id}/msg/batch":                                          `{"messages":[{"eventType":"e","payload":{}}]}`,
		"POST /api/v1/msg/broadcast":                                                   `{"eventType":"e","payload":{}}`,
		"POST /api/v1/app/{app_id}/msg/{msg_id}/cancel":                                "",
		"POST /api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/cancel":         "",
		"POST /api/v1/app/{app_id}/poller/{endpoint_id}/consumer/{consumer_id}/commit": `{"iterator":"msg_0000000000001"}`,
		"POST /api/v1/app/{app_id}/poller/{endpoint_id}/consumer/{consumer_id}/seek":   `{"after":"2026-01-01T00:00:00Z"}`,

		"POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/recover":              `{"since":"` + recently() + `"}`,
		"POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/replay-missing":       `{"since":"` + recently() + `"}`,
		"POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/bulk-replay":          `{"since":"` + recently() + `"}`,
		"POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example":         `{"eventType":"described"}`,
		"POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate":        `{}`,
		"POST /api/v1/operational-webhook/endpoint":                             `{"url":"https://example.com/"}`,
		"PUT /api/v1/operational-webhook/endpoint/{endpoint_id}":                `{"url":"https://example.com/"}`,
		"PUT /api/v1/operational-webhook/endpoint/{endpoint_id}/headers":        `{"headers":{}}`,
		"POST /api/v1/operational-webhook/endpoint/{endpoint_id}/secret/rotate": `{}`,

		"POST /api/v1/event-type":                         `{"name":"made","description":"x"}`,
		"PUT /api/v1/event-type/{event_type_name}":        `{"description":"x"}`,
		"PATCH /api/v1/event-type/{event_type_name}":      `{"description":"x"}`,
		"POST /api/v1/event-type/schema/generate-example": `{"schema":{"type":"object"}}`,
		"POST /api/v1/dialect/{name}/explain":             `{"request":{"headers":{}},"application":"{app_id}","source":"{source_id}"}`,
		"POST /api/v1/event-type/import/openapi":          `{"spec":{"webhooks":{"imported":{"post":{}}}}}`,
		"POST /api/v1/auth/app-portal-access/{app_id}":    `{}`,
		"POST /api/v1/auth/dashboard-access/{app_id}":     "",
		"POST /api/v1/auth/app/{app_id}/expire-all":       `{}`,
		"POST /api/v1/auth/logout":                        "",
		"POST /api/v1/main-key/rotate":                    "",
	}
	var out []operation
	for path, item := range doc.Paths {
		for method := range item {
			op := operation{method: strings.ToUpper(method), path: path}
			body, known := bodies[op.method+" "+path]
			if op.body = body; !known && op.method != "GET" && op.method != "DELETE" {
				t.Errorf("%s %s has no body in this test: add one", op.method, path)
			}
			out = append(out, op)
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	if len(out) < 40 {
		t.Fatalf("only %d operations", len(out))
	}
	return out
}

// recently is a moment that a recovery may begin at.
func recently() string { return time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) }

// world is one application with something of everything in it, and what paths call it.
type world struct {
	app, token string
	names      *strings.Replacer
}

func (s *server) world(name string) world {
	s.t.Helper()
	app, token := s.appToken(name)
	ep := s.ep(app, object{"secret": goodSecret})
	src := s.post(app+"/source", object{"dialect": "pandapon", "settings": object{"access_secret": "x"}}).want(201).json().str("id")
	prof := s.post("/api/v1/profile", object{"name": name, "dialect": "pandapon", "settings": object{"access_secret": "x"}}).want(201).json().str("id")
	tok := s.post("/api/v1/token", object{"name": name}).want(201).json().str("id")
	msg := s.send(app, object{})
	attempt := s.tries(msg, ep, nil, hook.Attempt{Status: 200})[0]
	s.advance(time.Second)
	polled := s.ep(app, object{"transport": "poll"})
	task := s.post(ep+"/recover", object{"since": recently()}).want(202).json().str("id")
	s.put("/api/v1/event-type/described", object{"description": "x"}).want2xx()
	operational := s.post("/api/v1/operational-webhook/endpoint", object{"url": goodURL}).want(201).json().str("id")
	return world{app, token, strings.NewReplacer(
		"/operational-webhook/endpoint/{endpoint_id}", "/operational-webhook/endpoint/"+operational,
		"{task_id}", task, "{event_type_name}", "described",
		"/poller/{endpoint_id}", "/poller/"+polled[strings.LastIndex(polled, "/")+1:], "{consumer_id}", "reader",
		"{app_id}", app[strings.LastIndex(app, "/")+1:], "{endpoint_id}", ep[strings.LastIndex(ep, "/")+1:], "{source_id}", src,
		"{msg_id}", msg, "{attempt_id}", attempt, "{profile_id}", prof, "{token_id}", tok, "{name}", "pandapon",
	)}
}

func TestAnApplicationsTokenSeesNothingOfAnother(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, b := s.world("a"), s.world("b")
	before := snapshot(t, s, b)
	for _, op := range operations(t, s) {
		if !strings.Contains(op.path, "{app_id}") {
			continue
		}
		t.Run(op.method+" "+op.path, func(t *testing.T) {
			s := s.in(t)
			path := b.names.Replace(op.path)
			s.call(a.token, op.method, path, op.body).refused(404, "not_found")
			byUID := strings.Replace(path, b.app, "/api/v1/app/b", 1)
			told := s.call(a.token, op.method, byUID, op.body).refused(404, "not_found")
			none := s.call(a.token, op.method, strings.Replace(path, b.app, "/api/v1/app/none", 1), op.body)
			if told.text != none.text {
				t.Errorf("tells that the application exists: %s, else %s", told.text, none.text)
			}
			if path == b.names.Replace("/api/v1/app/{app_id}") || !strings.Contains(op.path, "_id}") || strings.Count(op.path, "{") < 2 {
				return
			}
			// b's things under a's own name. What only the organisation may do is refused before it looks.
			mixed := s.call(a.token, op.method, strings.Replace(path, b.app, a.app, 1), op.body)
			if mixed.status != 404 && mixed.status != 403 {
				t.Errorf("%s: status %d: %s", mixed.what, mixed.status, mixed.text)
			}
		})
	}
	if after := snapshot(t, s, b); after != before {
		t.Errorf("b was changed:\n%s\n%s", before, after)
	}
}

// snapshot is all that the organisation sees of a world.
func snapshot(t testing.TB, s *server, w world) string {
	var b strings.Builder
	for _, op := range operations(t, s) {
		if op.method == "GET" && strings.Contains(op.path, "{") {
			b.WriteString(s.get(w.names.Replace(op.path)).want(200).text)
		}
	}
	return b.String()
}

// ofApplications lists every operation that a token of an application may call on its own application, with the capability that
// it needs; "" = none, not even a token. What does not stand here is the organisation's.
var ofApplications = map[string]hook.Capability{
	"GET /api/v1/health":       "",
	"GET /api/v1/health/ping":  "",
	"GET /api/v1/openapi.json": "",

	"GET /api/v1/app/{app_id}":                                             hook.ViewBase,
	"GET /api/v1/app/{app_id}/endpoint":                                    hook.ViewBase,
	"GET /api/v1/app/{app_id}/endpoint/{endpoint_id}":                      hook.ViewBase,
	"GET /api/v1/app/{app_id}/endpoint/{endpoint_id}/headers":              hook.ViewBase,
	"GET /api/v1/app/{app_id}/endpoint/{endpoint_id}/stats":                hook.ViewBase,
	"GET /api/v1/app/{app_id}/endpoint/{endpoint_id}/msg":                  hook.ViewBase,
	"GET /api/v1/app/{app_id}/msg":                                         hook.ViewBase,
	"GET /api/v1/app/{app_id}/msg/{msg_id}":                                hook.ViewBase,
	"GET /api/v1/app/{app_id}/msg/{msg_id}/delivery":                       hook.ViewBase,
	"GET /api/v1/app/{app_id}/msg/{msg_id}/endpoint":                       hook.ViewBase,
	"GET /api/v1/app/{app_id}/msg/{msg_id}/explain":                        hook.ViewBase,
	"GET /api/v1/app/{app_id}/msg/{msg_id}/attempt":                        hook.ViewBase,
	"GET /api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}":           hook.ViewBase,
	"GET /api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/attempt": hook.ViewBase,
	"GET /api/v1/app/{app_id}/attempt/msg/{msg_id}":                        hook.ViewBase,
	"GET /api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}":              hook.ViewBase,
	"GET /api/v1/app/{app_id}/poller/{endpoint_id}":                        hook.ViewBase,
	"GET /api/v1/app/{app_id}/source":                                      hook.ViewBase,
	"GET /api/v1/app/{app_id}/source/{source_id}":                          hook.ViewBase,
	"GET /api/v1/app/{app_id}/source/{source_id}/refused":                  hook.ViewBase,
	"GET /api/v1/background-task":                                          hook.ViewBase,
	"GET /api/v1/background-task/{task_id}":                                hook.ViewBase,
	"GET /api/v1/dialect":                                                  hook.ViewBase,
	"GET /api/v1/dialect/{name}":                                           hook.ViewBase,
	"GET /api/v1/event-type":                                               hook.ViewBase,
	"GET /api/v1/event-type/{event_type_name}":                             hook.ViewBase,
	"POST /api/v1/event-type/schema/generate-example":                      hook.ViewBase,
	"POST /api/v1/dialect/{name}/explain":                                  hook.ViewBase,
	"POST /api/v1/auth/logout":                                             hook.ViewBase,

	"GET /api/v1/app/{app_id}/endpoint/{endpoint_id}/secret":         hook.ViewEndpointSecret,
	"POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate": hook.ManageEndpointSecret,

	"POST /api/v1/app/{app_id}/endpoint":                        hook.ManageEndpoint,
	"PUT /api/v1/app/{app_id}/endpoint/{endpoint_id}":           hook.ManageEndpoint,
	"PATCH /api/v1/app/{app_id}/endpoint/{endpoint_id}":         hook.ManageEndpoint,
	"DELETE /api/v1/app/{app_id}/endpoint/{endpoint_id}":        hook.ManageEndpoint,
	"POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/verify":   hook.ManageEndpoint,
	"PUT /api/v1/app/{app_id}/endpoint/{endpoint_id}/headers":   hook.ManageEndpoint,
	"PATCH /api/v1/app/{app_id}/endpoint/{endpoint_id}/headers": hook.ManageEndpoint,

	"POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/recover":                     hook.CreateAttempts,
	"POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/replay-missing":              hook.CreateAttempts,
	"POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/bulk-replay":                 hook.CreateAttempts,
	"POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example":                hook.CreateAttempts,
	"POST /api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend":         hook.CreateAttempts,
	"GET /api/v1/app/{app_id}/poller/{endpoint_id}/consumer/{consumer_id}":         hook.CreateAttempts,
	"POST /api/v1/app/{app_id}/poller/{endpoint_id}/consumer/{consumer_id}/commit": hook.CreateAttempts,
	"POST /api/v1/app/{app_id}/poller/{endpoint_id}/consumer/{consumer_id}/seek":   hook.CreateAttempts,
}

// notOfTheOrganisation are operations that its token has no use for.
var notOfTheOrganisation = map[string]bool{"POST /api/v1/auth/logout": true}

var allCapabilities = []hook.Capability{
	hook.ViewBase, hook.ViewEndpointSecret, hook.ManageEndpointSecret, hook.ManageTransformations, hook.CreateAttempts, hook.ManageEndpoint,
}

// TestWhoMayCallWhat walks every operation of the document, so that a new one is refused to everybody but the organisation
// until somebody thinks about it.
func TestWhoMayCallWhat(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.verdict = hook.Verification{State: hook.VerificationPassed}
	other := s.world("other")
	for i, op := range operations(t, s) {
		if testing.Short() && i%4 != 0 {
			continue // they all go the same way; the long run calls each of them
		}
		name := op.method + " " + op.path
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			w := s.world(fmt.Sprintf("w%d", i))
			path, body := w.names.Replace(op.path), w.names.Replace(op.body)
			need, allowed := ofApplications[name]
			if allowed && need == "" {
				s.call("", op.method, path, body).want2xx()
				return
			}
			s.call("", op.method, path, body).refused(401, "authentication_failed")
			s.call("wp_nonsense", op.method, path, body).refused(401, "authentication_failed")
			if strings.Contains(op.path, "{app_id}") {
				s.call(other.token, op.method, path, body).refused(404, "not_found")
			}
			if !allowed {
				s.call(w.token, op.method, path, body).refused(403, "permission_denied")
				s.call(s.capable(w, allCapabilities...), op.method, path, body).refused(403, "permission_denied")
			} else {
				others := slices.DeleteFunc(slices.Clone(allCapabilities), func(c hook.Capability) bool { return c == need })
				s.call(s.capable(w, others...), op.method, path, body).refused(403, "permission_denied")
				if need != hook.ViewBase {
					s.call(s.capable(w, hook.ViewBase), op.method, path, body).refused(403, "permission_denied")
				}
				s.call(s.capable(w, hook.ViewBase, need), op.method, path, body).want2xx()
			}
			again := w
			if strings.Contains(op.path, "{") { // the first call may have taken what it is about
				again = s.world(fmt.Sprintf("again%d", i))
			}
			if allowed {
				s.call(again.token, op.method, again.names.Replace(op.path), again.names.Replace(op.body)).want2xx()
				again = s.world(fmt.Sprintf("org%d", i))
			}
			if !notOfTheOrganisation[name] {
				s.call(s.org, op.method, again.names.Replace(op.path), again.names.Replace(op.body)).want2xx()
			}
		})
	}
}

// capable makes a token of a world's application that has these capabilities only.
func (s *server) capable(w world, list ...hook.Capability) string {
	s.t.Helper()
	id := must(hook.ParseID[hook.ApplicationID](w.app[len("/api/v1/app/"):]))(s.t)
	text := fmt.Sprintf("wp_capable_%d", s.ids.Next(s.now()))
	err := s.store.PutToken(s.t.Context(), hook.Token{
		ID: hook.NewID[hook.TokenID](s.ids, s.now()), Hash: sha256.Sum256([]byte(text)), Name: "test", App: id, Capabilities: list,
		CreatedAt: s.now().UTC().Truncate(time.Millisecond),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// want2xx fails the test unless the answer is a success.
func (a answer) want2xx() answer {
	a.t.Helper()
	if a.status/100 != 2 {
		a.t.Fatalf("%s: status %d: %s", a.what, a.status, a.text)
	}
	return a
}

func TestAnApplicationsTokenMayNotChooseAProfile(t *testing.T) {
	t.Parallel()
	s := start(t)
	w := s.world("a")
	prof := w.names.Replace("{profile_id}")
	s.call(w.token, "POST", w.app+"/endpoint", object{"url": goodURL, "profile": prof}).refused(403, "permission_denied")
	s.call(w.token, "POST", w.app+"/endpoint", object{"url": goodURL, "profile": "none"}).refused(403, "permission_denied")
	ep := s.ep(w.app, object{"profile": prof})
	t.Log("but it keeps one that is there")
	if o := s.call(w.token, "PATCH", ep, object{"description": "x"}).want(200).json(); o.str("profile") != prof {
		t.Error(o)
	}
	s.call(w.token, "PUT", ep, object{"url": goodURL, "profile": prof}).want(200)
}

func TestSecretsAreInNoAnswer(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.verdict = hook.Verification{State: hook.VerificationPassed}
	const mark = "do-not-show-this"
	settings := func(n string) object { return object{"access_secret": []string{mark + n, mark + n + "-older"}} }
	app := s.app("a")
	prof := s.post("/api/v1/profile", object{"name": "p", "dialect": "pandapon", "settings": settings("-profile")}).want(201)
	src := s.post(app+"/source", object{"dialect": "pandapon", "settings": settings("-source")}).want(201)
	ep := s.post(app+"/endpoint", object{
		"url": goodURL, "dialect": "pandapon", "settings": settings("-endpoint"), "headers": object{"x-auth-token": mark, "x-session": mark, "cookie": mark},
	}).want(201)
	shared := s.post(app+"/endpoint", object{"url": goodURL, "profile": prof.json().str("id")}).want(201)
	msg := s.send(app, object{})
	attempt := s.tries(msg, ep.json().str("id"), nil, hook.Attempt{Status: 200})[0]
	for _, a := range []answer{prof, src, ep, shared} {
		hides(t, a, mark)
	}
	for _, endpoint := range []string{ep.json().str("id"), shared.json().str("id")} {
		names := strings.NewReplacer("{app_id}", app[strings.LastIndex(app, "/")+1:], "{endpoint_id}", endpoint, "{source_id}", src.json().str("id"),
			"{msg_id}", msg, "{attempt_id}", attempt, "{profile_id}", prof.json().str("id"), "{token_id}", "x", "{name}", "pandapon",
			"{consumer_id}", "reader", "{task_id}", "x", "{event_type_name}", "x")
		for _, op := range operations(t, s) {
			if op.method == "DELETE" || op.method == "PUT" && strings.HasSuffix(op.path, "/headers") {
				continue
			}
			a := s.call(s.org, op.method, names.Replace(op.path), op.body)
			if a.status >= 500 {
				t.Errorf("%s: %d %s", a.what, a.status, a.text)
			}
			hides(t, a, mark)
		}
	}
	if strings.Contains(s.log.String(), mark) {
		t.Errorf("logged: %s", s.log)
	}
	t.Run("nor in the answer to what is wrong with them", func(t *testing.T) {
		s := s.in(t)
		for _, body := range []any{
			object{"url": goodURL, "dialect": "pandapon", "settings": object{"access_secret": object{"a": mark}}},
			object{"url": goodURL, "dialect": "pandapon", "settings": object{"access_secret": []any{[]string{mark}}}},
			object{"url": goodURL, "dialect": "pandapon", "settings": object{"deadline": mark}},
			object{"url": goodURL, "settings": object{"secret": mark}},
			object{"url": goodURL, "secret": mark},
			object{"url": goodURL, "secret": []string{mark}},
			object{"url": goodURL, "headers": object{"x-token": mark + "\n"}},
			object{"url": goodURL, "headers": object{"x-token": []string{mark}}},
			`{"url":"` + goodURL + `","secret":"` + mark + `",}`,
		} {
			a := s.post(app+"/endpoint", body)
			if a.status/100 != 4 {
				t.Errorf("%s: %d", a.what, a.status)
			}
			hides(t, a, mark)
		}
	})
}

func hides(t *testing.T, a answer, mark string) {
	t.Helper()
	if strings.Contains(a.text, mark) {
		t.Errorf("%s shows a secret: %s", a.what, a.text)
	}
}

var update = os.Getenv("WAYPOST_UPDATE") != ""

func TestTheCommittedDocumentIsTheOneThatIsServed(t *testing.T) {
	t.Parallel()
	const file = "../../docs/openapi.json"
	served := start(t).call("", "GET", "/api/v1/openapi.json", nil).want(200).text
	if update {
		if err := os.WriteFile(file, []byte(served), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if committed := must(os.ReadFile(file))(t); string(committed) != served {
		t.Error("docs/openapi.json is stale: WAYPOST_UPDATE=1 go test ./internal/api -run Document")
	}
}
