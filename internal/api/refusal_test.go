package api_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/hook"
)

func TestRequestsWithoutALiveTokenAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	expired := s.token("wp_expired_token_0123456789012345", 0, s.now().Add(time.Minute).UTC().Truncate(time.Millisecond))
	s.advance(2 * time.Minute)
	for name, header := range map[string]string{
		"no header":        "",
		"another scheme":   "Basic " + s.org,
		"no token":         "Bearer ",
		"an unknown token": "Bearer wp_unknown",
		"an expired token": "Bearer " + expired,
		"an endless token": "Bearer " + strings.Repeat("x", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			for _, path := range []string{"/api/v1/app", app + "/msg", app + "/endpoint", "/api/v1/profile", "/api/v1/dialect"} {
				for _, method := range []string{"GET", "POST"} {
					if path == "/api/v1/dialect" && method == "POST" {
						continue
					}
					a := s.call("", method, path, `{"name":"x"}`, "Authorization", header).refused(401, "authentication_failed")
					if a.header.Get("Www-Authenticate") != "Bearer" {
						t.Errorf("%s: no WWW-Authenticate", a.what)
					}
				}
			}
		})
	}
}

func TestATokenThatWasDeletedIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	made := s.post("/api/v1/token", object{"name": "short-lived"}).want(201).json()
	token := made.str("token")
	s.call(token, "GET", "/api/v1/app", nil).want(200)
	s.remove("/api/v1/token/" + made.str("id")).want(204)
	s.call(token, "GET", "/api/v1/app", nil).refused(401, "authentication_failed")
}

func TestATokenIsRefusedFromTheMomentItExpires(t *testing.T) {
	t.Parallel()
	s := start(t)
	token := s.token("wp_expiring_token_01234567890123", 0, s.now().Add(500*time.Millisecond).UTC().Truncate(time.Millisecond))
	s.call(token, "GET", "/api/v1/app", nil).want(200) // now it is in the cache for a second
	s.advance(500 * time.Millisecond)
	s.call(token, "GET", "/api/v1/app", nil).refused(401, "authentication_failed")
}

func TestUnknownPathsAndMethodsAnswerInTheShapeOfErrors(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.get("/api/v1/nothing").refused(404, "not_found")
	s.get("/").refused(404, "not_found")
	a := s.call(s.org, "DELETE", "/api/v1/app", nil).refused(405, "method_not_allowed")
	if !strings.Contains(a.header.Get("Allow"), "POST") {
		t.Errorf("Allow is %q", a.header.Get("Allow"))
	}
}

func TestPathsMayEndWithASlash(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.get("/api/v1/app/").want(200)
	s.post("/api/v1/app/", object{"name": "x"}).want(201)
}

func TestBodiesThatAreNoJSONAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	for name, body := range map[string]string{
		"nothing": "", "half an object": `{"name":"x"`, "two documents": `{"name":"x"}{}`, "text": "hello",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			for _, path := range []string{"/api/v1/app", app + "/endpoint", app + "/source", app + "/msg", "/api/v1/profile"} {
				s.call(s.org, "POST", path, body).refused(400, "bad_request")
			}
		})
	}
	t.Run("an array where an object belongs", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		for _, path := range []string{"/api/v1/app", app + "/endpoint", app + "/msg"} {
			s.call(s.org, "POST", path, `[]`).wrong("body")
		}
	})
}

func TestBodiesOverTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	const limit = 4096
	s := start(t, func(o *api.Options) { o.MaxBody = limit })
	app := s.app("a")
	pad := func(n int) string { // a valid body of n bytes for each of the paths
		head, tail := `{"name":"x","url":"https://example.com/","eventType":"e","payload":{"pad":"`, `"}}`
		return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
	}
	for _, path := range []string{"/api/v1/app", app + "/endpoint", app + "/msg"} {
		if a := s.post(path, pad(limit)); a.status/100 != 2 {
			t.Errorf("%s refuses a body of exactly the limit: %d %s", path, a.status, a.text)
		}
		s.post(path, pad(limit+1)).refused(413, "payload_too_large")
		s.post(path, pad(limit*100)).refused(413, "payload_too_large")
	}
	t.Run("also when the length is not announced", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		r := httptest.NewRequest("POST", app+"/msg", strings.NewReader(pad(limit+1)))
		r.ContentLength = -1
		r.Header.Set("Authorization", "Bearer "+s.org)
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		if w.Code != 413 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}

func TestAPanicIsAnsweredWithoutItsText(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *api.Options) {
		o.CheckURL = func(context.Context, string, []string) error { panic("inner words") }
	})
	app := s.app("a")
	a := s.post(app+"/endpoint", object{"url": "https://example.com/"}).refused(500, "server_error")
	if strings.Contains(a.text, "inner") {
		t.Errorf("the answer tells the panic: %s", a.text)
	}
	if id := a.header.Get("X-Request-Id"); id == "" || !strings.Contains(s.log.String(), "request="+id) || !strings.Contains(s.log.String(), "inner words") {
		t.Errorf("the log does not tell of request %s: %s", id, s.log)
	}
}

func TestInnerErrorsStayInTheLog(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{})
	a := s.post(ep+"/verify", nil).refused(500, "server_error") // the verifier of the tests fails in its own words
	if strings.Contains(a.text, "wants no verification") {
		t.Errorf("the answer tells the cause: %s", a.text)
	}
	if n := strings.Count(s.log.String(), "wants no verification"); n != 1 || !strings.Contains(s.log.String(), a.header.Get("X-Request-Id")) {
		t.Errorf("logged %d times: %s", n, s.log)
	}
}

func TestAClosedStoreIsAnsweredWithoutInnerText(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	a := s.post(app+"/msg", object{"eventType": "e", "payload": object{}})
	if a.status != 503 && a.status != 500 || strings.Contains(strings.ToLower(a.text), "sqlite") {
		t.Errorf("%d %s", a.status, a.text)
	}
	if h := s.get("/api/v1/health"); h.status != 503 {
		t.Errorf("health says %d %s", h.status, h.text)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	t.Run("is 200 while messages are taken, without a token", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		if o := s.call("", "GET", "/api/v1/health", nil).want(200).json(); o.str("status") != "ok" || o.obj("store")["accepting"] != true {
			t.Error(o)
		}
		s.call("", "GET", "/api/v1/health/ping", nil).want(204)
		s.call("", "HEAD", "/api/v1/health", nil).want(200)
	})
	t.Run("is 503 while they are not, without saying why in inner words", func(t *testing.T) {
		t.Parallel()
		s := start(t, func(o *api.Options) {
			o.Accepting = func() error { return hook.Errorf(hook.KindUnavailable, "disk /data nearly full") }
		})
		a := s.call("", "GET", "/api/v1/health", nil).want(503)
		if o := a.json(); o.str("status") != "error" || o.obj("store")["accepting"] != false || strings.Contains(a.text, "/data") {
			t.Error(a.text)
		}
	})
}

func TestBodiesAreJSONWhateverTheirLabel(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	for _, label := range []string{"application/x-www-form-urlencoded", "text/plain; charset=gbk", "application/json; charset=utf-8", "nonsense"} {
		s.call(s.org, "POST", "/api/v1/app", `{"name":"x"}`, "Content-Type", label).want(201)
		s.call(s.org, "POST", app+"/msg", `{"eventType":"e","payload":{}}`, "Content-Type", label).want(202)
	}
}
