package api_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/hook"
)

// keyed is call with an Idempotency-Key.
func (s *server) keyed(token, key, path string, body any) answer {
	s.t.Helper()
	return s.call(token, "POST", path, body, "Idempotency-Key", key)
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	path := app + "/endpoint"
	first := s.keyed(s.org, "k", path, object{"url": goodURL}).want(201)

	t.Run("a repeat gets the first answer, whatever it says", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		for _, body := range []any{object{"url": "https://example.com/other"}, object{"url": "nonsense"}, "no JSON", nil} {
			if again := s.keyed(s.org, "k", path, body).want(201); again.text != first.text {
				t.Errorf("first %s, then %s", first.text, again.text)
			}
		}
		if again := s.keyed(s.org, "k", path, nil); again.header.Get("X-Request-Id") == first.header.Get("X-Request-Id") {
			t.Error("two requests have one id")
		} else if again.header.Get("Content-Type") != first.header.Get("Content-Type") {
			t.Errorf("first %s, then %s", first.header.Get("Content-Type"), again.header.Get("Content-Type"))
		}
	})
	t.Run("another key, path, application or the organisation is another request", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		for _, a := range []answer{
			s.keyed(s.org, "l", path, object{"url": goodURL}), s.keyed(token, "k", path, object{"url": goodURL}),
			s.keyed(s.org, "k", s.app("b")+"/endpoint", object{"url": goodURL}),
		} {
			if a.want(201).text == first.text {
				t.Error("gets the first answer")
			}
		}
	})
	t.Run("another token of the same application is the same caller", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		one := s.keyed(token, "rotated", path, object{"url": goodURL}).want(201)
		fresh := s.post("/api/v1/token", object{"name": "new", "app": "a"}).want(201).json().str("token")
		if two := s.keyed(fresh, "rotated", path, object{"url": goodURL}).want(201); two.text != one.text {
			t.Errorf("first %s, then %s", one.text, two.text)
		}
	})
	t.Run("a token that may not do it does not get the answer", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		w := s.world("w")
		s.keyed(w.token, "k", w.app+"/endpoint", object{"url": goodURL}).want(201)
		s.keyed(s.capable(w, hook.ViewBase), "k", w.app+"/endpoint", object{"url": goodURL}).refused(403, "permission_denied")
		s.keyed(token, "k", w.app+"/endpoint", object{"url": goodURL}).refused(404, "not_found")
		s.keyed("", "k", w.app+"/endpoint", object{"url": goodURL}).refused(401, "authentication_failed")
	})
	t.Run("what failed may be tried again", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		s.keyed(s.org, "f", path, object{"url": "nonsense"}).wrong("body.url")
		s.keyed(s.org, "f", path, object{"url": goodURL}).want(201)
		s.keyed(s.org, "uid", path, object{"url": goodURL, "uid": "taken"}).want(201)
		s.keyed(s.org, "other", path, object{"url": goodURL, "uid": "taken"}).refused(409, "conflict")
		s.keyed(s.org, "other", path, object{"url": goodURL, "uid": "free"}).want(201)
	})
	t.Run("it is for POST only", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		path := path + "/" + first.json().str("id")
		s.call(s.org, "PATCH", path, object{"description": "one"}, "Idempotency-Key", "p").want(200)
		if o := s.call(s.org, "PATCH", path, object{"description": "two"}, "Idempotency-Key", "p").want(200).json(); o.str("description") != "two" {
			t.Error(o)
		}
	})
	t.Run("a token that is dead by now gets nothing", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		made := s.post("/api/v1/token", object{"name": "x"}).want(201).json()
		s.keyed(made.str("token"), "d", path, object{"url": goodURL}).want(201)
		s.remove("/api/v1/token/" + made.str("id")).want(204)
		s.keyed(made.str("token"), "d", path, object{"url": goodURL}).refused(401, "authentication_failed")
	})
	t.Run("it has 256 characters at most", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		s.keyed(s.org, strings.Repeat("k", 257), path, object{"url": goodURL}).wrong("header.idempotency-key")
		s.keyed(s.org, strings.Repeat("k", 256), path, object{"url": goodURL}).want(201)
		a := s.keyed(s.org, "", path, object{"url": goodURL}).want(201)
		if b := s.keyed(s.org, "", path, object{"url": goodURL}).want(201); b.text == a.text {
			t.Error("an empty key is a key")
		}
	})
}

func TestAnIdempotencyKeyRunsOut(t *testing.T) {
	t.Parallel()
	s := start(t)
	create := func() string {
		return s.keyed(s.org, "k", "/api/v1/app", object{"name": "x"}).want(201).json().str("id")
	}
	first := create()
	s.advance(11 * time.Hour)
	if create() != first {
		t.Error("forgotten after 11 hours")
	}
	s.advance(2 * time.Hour)
	if create() == first {
		t.Error("remembered after 13 hours")
	}
}

// notKept are the POSTs whose answer no Idempotency-Key gives again, and why.
var notKept = map[string]string{
	"POST /api/v1/auth/logout":                        "the token that could ask again is gone",
	"POST /api/v1/event-type/schema/generate-example": "nothing is written",
	"POST /api/v1/dialect/{name}/explain":             "nothing is written",

	"POST /api/v1/app/{app_id}/source/{source_id}/produce": "nothing is written: the platform's answer is passed on",
}

// TestEveryPostAnswersARepeatTheSame walks every POST of the document. The repeat comes after a restart and with a body
// that would be refused: so the answer can only come from the store.
func TestEveryPostAnswersARepeatTheSame(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.verdict = hook.Verification{State: hook.VerificationPassed}
	type post struct {
		path  string
		first answer
	}
	var kept []post
	for i, op := range operations(t, s) {
		name := op.method + " " + op.path
		if op.method != "POST" || notKept[name] != "" {
			continue
		}
		w := s.world(strings.NewReplacer("/", "-", "{", "", "}", "").Replace(op.path))
		path, token := w.names.Replace(op.path), s.org
		if need, ok := ofApplications[name]; ok && need != "" && i%2 == 0 {
			token = w.token
		}
		p := post{path, s.keyed(token, "k", path, op.body)}
		if p.first.status/100 != 2 {
			t.Errorf("%s: %d %s", name, p.first.status, p.first.text)
			continue
		}
		p.first.what = token
		kept = append(kept, p)
	}
	s.restart()
	for _, p := range kept {
		again := s.keyed(p.first.what, "k", p.path, "no JSON")
		if again.status != p.first.status || again.text != p.first.text {
			t.Errorf("POST %s:\nfirst %d %s\nthen  %d %s", p.path, p.first.status, p.first.text, again.status, again.text)
		}
	}
	if len(kept) < 15 {
		t.Errorf("only %d operations", len(kept))
	}
}

func TestTwoRequestsWithOneKeyAreOneRequest(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	entered, leave := make(chan struct{}, 20), make(chan struct{})
	s := start(t, func(o *api.Options) {
		o.CheckURL = func(context.Context, string, []string) error {
			calls.Add(1)
			entered <- struct{}{}
			<-leave
			return nil
		}
	})
	app := s.app("a")
	var wg sync.WaitGroup
	texts := make([]string, 20)
	for i := range texts {
		wg.Go(func() { texts[i] = s.keyed(s.org, "k", app+"/endpoint", object{"url": goodURL}).text })
	}
	<-entered
	close(leave)
	wg.Wait()
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("%s and %s", texts[0], text)
		}
	}
	if calls.Load() != 1 {
		t.Errorf("%d executions", calls.Load())
	}
}

func TestARequestBehindOneThatFailsRunsItself(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	s := start(t, func(o *api.Options) {
		o.CheckURL = func(context.Context, string, []string) error {
			if calls.Add(1) == 1 {
				return errors.New("not today")
			}
			return nil
		}
	})
	app := s.app("a")
	s.keyed(s.org, "k", app+"/endpoint", object{"url": goodURL}).wrong("body.url")
	s.keyed(s.org, "k", app+"/endpoint", object{"url": goodURL}).want(201)
}

func TestARequestThatPanicsLetsTheNextOneIn(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	s := start(t, func(o *api.Options) {
		o.CheckURL = func(context.Context, string, []string) error {
			if calls.Add(1) == 1 {
				panic("the first call")
			}
			return nil
		}
	})
	app := s.app("a")
	s.keyed(s.org, "k", app+"/endpoint", object{"url": goodURL}).refused(500, "server_error")
	s.keyed(s.org, "k", app+"/endpoint", object{"url": goodURL}).want(201)
}

func TestTwoProcessesWithOneKeyDoItOnce(t *testing.T) {
	t.Parallel()
	var other *server
	var app string
	s := start(t, func(o *api.Options) {
		o.CheckURL = func(context.Context, string, []string) error {
			if other != nil { // while the first is between its look at the store and its write, the other does it all
				o := other
				other = nil
				o.keyed(o.org, "k", app+"/endpoint", object{"url": goodURL}).want(201)
			}
			return nil
		}
	})
	app = s.app("a")
	second := &parts{org: s.org, api: api.New(s.options(s.store)), store: s.store}
	other = &server{t, second}
	s.keyed(s.org, "k", app+"/endpoint", object{"url": goodURL}).refused(409, "conflict")
	s.keyed(s.org, "k", app+"/endpoint", object{"url": goodURL}).want(201)
	if n := len(s.get(app + "/endpoint").want(200).json().list("data")); n != 1 {
		t.Errorf("%d endpoints", n)
	}
}

func TestAKeptAnswerShowsNoContentThatWasExpunged(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	first := s.keyed(s.org, "k", app+"/msg", object{"eventType": "e", "payload": object{"name": "Ada"}}).want(202)
	s.remove(app + "/msg/" + first.json().str("id") + "/content").want(204)
	again := s.keyed(s.org, "k", app+"/msg", object{}).want(202)
	if strings.Contains(again.text, "Ada") || again.json().str("id") != first.json().str("id") {
		t.Error(again.text)
	}
	without := s.keyed(s.org, "l", app+"/msg?with_content=false", object{"eventType": "e", "payload": object{"name": "Ada"}}).want(202)
	if again := s.keyed(s.org, "l", app+"/msg", object{}).want(202); again.text != without.text {
		t.Errorf("first %s, then %s", without.text, again.text)
	}
}

func TestKeptAnswersAreSealed(t *testing.T) {
	t.Parallel()
	s := start(t)
	token := s.keyed(s.org, "k", "/api/v1/token", object{"name": "x"}).want(201).json().str("token")
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	files := must(filepath.Glob(filepath.Join(s.dir, "*")))(t)
	if len(files) == 0 {
		t.Fatal("no files")
	}
	for _, file := range files {
		if info := must(os.Stat(file))(t); info.Mode().IsRegular() && strings.Contains(string(must(os.ReadFile(file))(t)), token) {
			t.Errorf("%s holds the token", filepath.Base(file))
		}
	}
	s.open()
	if again := s.keyed(s.org, "k", "/api/v1/token", nil).want(201); again.json().str("token") != token {
		t.Error("the answer is not kept")
	}
}
