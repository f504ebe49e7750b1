package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// slowReader takes nothing of an answer until it is let.
type slowReader struct {
	*httptest.ResponseRecorder
	once    sync.Once
	entered chan<- struct{}
	leave   <-chan struct{}
}

func (w *slowReader) Write(b []byte) (int, error) {
	w.once.Do(func() {
		w.entered <- struct{}{}
		<-w.leave
	})
	return w.ResponseRecorder.Write(b)
}

func TestAnApplicationHasFewListsUnderWayAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	other, otherToken := s.appToken("b")
	s.send(app, object{})
	entered, leave := make(chan struct{}), make(chan struct{})
	var readers sync.WaitGroup
	for _, path := range []string{app, "/api/v1/app/a", app, app} { // however the application is spelt
		readers.Go(func() {
			r := httptest.NewRequestWithContext(t.Context(), "GET", path+"/msg", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			s.api.ServeHTTP(&slowReader{ResponseRecorder: httptest.NewRecorder(), entered: entered, leave: leave}, r)
		})
		<-entered
	}
	a := s.call(token, "GET", app+"/msg", nil).refused(429, "too_many_requests")
	if a.header.Get("Retry-After") == "" {
		t.Error("does not say when to try again")
	}
	s.call(otherToken, "GET", other+"/msg", nil).want(200)
	s.call(token, "GET", app, nil).want(200)
	close(leave)
	readers.Wait()
	s.call(token, "GET", app+"/msg", nil).want(200)
}

func TestAListOfLargeMessagesEndsEarlyAndGoesOn(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	const n, size = 11, 1<<20 - 200
	body := `{"eventType":"e","payload":{"a":"` + strings.Repeat("z", size) + `"}}`
	for range n {
		s.post(app+"/msg?with_content=false", body).want(202)
	}
	seen := map[string]bool{}
	path := app + "/msg?limit=250"
	for pages := 1; ; pages++ {
		a := s.call(token, "GET", path, nil).want(200)
		if len(a.text) > 10<<20 {
			t.Fatalf("an answer of %d bytes", len(a.text))
		}
		o := a.json()
		for _, m := range o.list("data") {
			seen[m.str("id")] = true
		}
		if o["done"] == true {
			break
		}
		if pages == n {
			t.Fatal("never done")
		}
		path = app + "/msg?limit=250&iterator=" + o.str("iterator")
	}
	if len(seen) != n {
		t.Errorf("%d messages, want %d", len(seen), n)
	}
}

func TestHandshakesAreBounded(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	s := start(t, func(o *api.Options) {
		o.Verify = func(ctx context.Context, _ hook.Endpoint) (hook.Verification, error) {
			if end, ok := ctx.Deadline(); !ok || time.Until(end) > 10*time.Second {
				t.Errorf("may take until %v", end)
			}
			entered <- struct{}{}
			<-leave
			return hook.Verification{State: hook.VerificationPassed}, nil
		}
	})
	app, token := s.appToken("a")
	other, otherToken := s.appToken("b")
	ep, otherEP := s.ep(app, object{"timeoutMs": 600000}), s.ep(other, object{})
	var callers sync.WaitGroup
	verify := func(token, ep string) {
		callers.Go(func() {
			if a := s.call(token, "POST", ep+"/verify", nil); a.status != 200 {
				t.Errorf("%d %s", a.status, a.text)
			}
		})
		<-entered
	}
	verify(token, ep)
	verify(token, ep)
	a := s.call(token, "POST", ep+"/verify", nil).refused(429, "too_many_requests")
	if a.header.Get("Retry-After") == "" {
		t.Error("does not say when to try again")
	}
	verify(otherToken, otherEP)
	close(leave)
	callers.Wait()
}

func TestAnApplicationsTokenHoldsAnAttemptForAMinuteAtMost(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	s.call(token, "POST", app+"/endpoint", object{"url": goodURL, "timeoutMs": 60001}).wrong("body.timeoutMs")
	s.call(token, "POST", app+"/endpoint", object{"url": goodURL, "timeoutMs": 60000}).want(201)
	ep := s.ep(app, object{"timeoutMs": 600000})
	s.call(token, "PATCH", ep, object{"timeoutMs": 600001}).wrong("body.timeoutMs")
	s.call(token, "PATCH", ep, object{"timeoutMs": 599999}).wrong("body.timeoutMs")
	t.Log("but it may send back what the organisation has set")
	s.call(token, "PUT", ep, object{"url": goodURL, "timeoutMs": 600000}).want(200)
}

// meddling is a store whose endpoint changes right before it is written, once.
type meddling struct {
	store.Store
	mu     sync.Mutex
	meddle func()
}

func (m *meddling) now() {
	m.mu.Lock()
	f := m.meddle
	m.meddle = nil
	m.mu.Unlock()
	if f != nil {
		f()
	}
}

func (m *meddling) UpdateEndpoint(ctx context.Context, e hook.Endpoint) error {
	m.now()
	return m.Store.UpdateEndpoint(ctx, e)
}

func (m *meddling) SwapEndpoint(ctx context.Context, before, after hook.Endpoint) (bool, error) {
	m.now()
	return m.Store.SwapEndpoint(ctx, before, after)
}

func TestAChangeDoesNotEnableWhatTheEngineDisablesMeanwhile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(s *server, ep string){
		"a patch":            func(s *server, ep string) { s.patch(ep, object{"paused": true}).want(200) },
		"a patch of headers": func(s *server, ep string) { s.patch(ep+"/headers", object{"headers": object{"x-a": "b"}}).want(204) },
		"a verification":     func(s *server, ep string) { s.post(ep+"/verify", nil).want(200) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var m *meddling
			s := start(t, func(o *api.Options) {
				m = &meddling{Store: o.Store}
				o.Store = m
			})
			s.verdict = hook.Verification{State: hook.VerificationPassed}
			ep := s.ep(s.app("a"), object{})
			id := must(hook.ParseID[hook.EndpointID](ep[strings.LastIndex(ep, "/")+1:]))(t)
			m.meddle = func() {
				err := s.store.Finish(t.Context(), []hook.Outcome{s.gone(id)})
				if err != nil {
					t.Error(err)
				}
			}
			change(s, ep)
			if o := s.get(ep).json(); o["disabled"] != true || o.str("disabledReason") != "said 410" {
				t.Errorf("disabled: %v, because %q", o["disabled"], o.str("disabledReason"))
			}
		})
	}
}

// gone is an attempt for which the engine disables an endpoint.
func (s *server) gone(ep hook.EndpointID) hook.Outcome {
	now := s.now()
	m := hook.NewID[hook.MessageID](s.ids, now)
	return hook.Outcome{
		Delivery: hook.Delivery{Message: m, Endpoint: ep, State: hook.Failed},
		Attempt:  hook.Attempt{ID: hook.NewID[hook.AttemptID](s.ids, now), Message: m, Endpoint: ep, At: now, Verdict: hook.Gone},
		Health:   &hook.EndpointHealth{Disable: true, Reason: "said 410"},
	}
}

func TestAnApplicationsTokenIsNotToldOfTheOrganisationsNetworks(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	s.patch(app, object{"allowCidrs": []string{"10.77.3.0/24"}}).want(200)
	if a := s.call(token, "GET", app, nil).want(200); text(a.json()["allowCidrs"]) != "[]" {
		t.Errorf("is told %s", a.text)
	}
	if o := s.get(app).want(200).json(); text(o["allowCidrs"]) != `["10.77.3.0/24"]` {
		t.Errorf("the organisation is told %v", o)
	}
}

func TestASigningSecretStaysUntilAnotherIsGiven(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{"settings": object{"headers": "svix"}})
	key := func() string { t.Helper(); return s.get(ep + "/secret").want(200).json().str("key") }
	first := key()
	for _, settings := range []any{nil, object{}, object{"headers": "svix"}, object{"secret": nil}} {
		s.put(ep, object{"url": goodURL, "settings": settings}).want(200)
		if got := key(); got != first {
			t.Fatalf("PUT of settings %s made another secret", text(settings))
		}
		s.patch(ep, object{"settings": settings}).want(200)
		if got := key(); got != first {
			t.Fatalf("PATCH of settings %s made another secret", text(settings))
		}
	}
	s.put(ep, object{"url": goodURL, "settings": object{"secret": goodSecret}}).want(200)
	if key() != goodSecret {
		t.Error("a secret that is given is not taken")
	}
	t.Log("a profile's takes the place of its own when that is reset")
	s.post("/api/v1/profile", object{"uid": "p", "name": "p", "dialect": "standard", "settings": object{"secret": goodSecret}}).want(201)
	s.patch(ep, object{"profile": "p", "settings": object{"secret": nil}}).want(200)
	s.get(ep+"/secret").refused(http.StatusNotFound, "not_found")
}

func TestAnIdempotencyKeyGivesTheFirstMessageAgainAlsoWithAnEventID(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	send := func(key, event string) answer {
		t.Helper()
		return s.call(s.org, "POST", app+"/msg", object{"eventType": "e", "eventId": event, "payload": object{"n": 1}}, "Idempotency-Key", key)
	}
	first := send("k1", "once").want(202)
	if again := send("k1", "once").want(202); again.text != first.text {
		t.Errorf("first %s, then %s", first.text, again.text)
	}
	if again := send("k1", "twice").want(202); again.text != first.text {
		t.Errorf("first %s, then %s", first.text, again.text)
	}
	send("k2", "once").refused(409, "conflict")
	send("k2", "other").want(202) // what was refused left nothing behind
}
