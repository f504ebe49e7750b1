package api_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/api"
)

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	ep := func(token, key string, body object) answer {
		return s.call(token, "POST", app+"/endpoint", body, "Idempotency-Key", key)
	}
	first := ep(s.org, "k", object{"url": goodURL}).want(201)

	t.Run("a repeat gets the first answer, whatever it says", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		if again := ep(s.org, "k", object{"url": "https://example.com/other"}).want(201); again.text != first.text {
			t.Errorf("first %s, then %s", first.text, again.text)
		}
		if again := ep(s.org, "k", object{"url": goodURL}); again.header.Get("X-Request-Id") == first.header.Get("X-Request-Id") {
			t.Error("two requests have one id")
		}
	})
	t.Run("another key, token or path is another request", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		for _, a := range []answer{ep(s.org, "l", object{"url": goodURL}), ep(token, "k", object{"url": goodURL}),
			s.call(s.org, "POST", s.app("b")+"/endpoint", object{"url": goodURL}, "Idempotency-Key", "k")} {
			if a.want(201).text == first.text {
				t.Error("gets the first answer")
			}
		}
	})
	t.Run("what failed may be tried again", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		ep(s.org, "f", object{"url": "nonsense"}).wrong("body.url")
		ep(s.org, "f", object{"url": goodURL}).want(201)
	})
	t.Run("it is for POST only", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		path := app + "/endpoint/" + first.json().str("id")
		s.call(s.org, "PATCH", path, object{"description": "one"}, "Idempotency-Key", "p").want(200)
		if o := s.call(s.org, "PATCH", path, object{"description": "two"}, "Idempotency-Key", "p").want(200).json(); o.str("description") != "two" {
			t.Error(o)
		}
	})
	t.Run("an answer is not given to a token that is dead by now", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		made := s.post("/api/v1/token", object{"name": "x"}).want(201).json()
		ep(made.str("token"), "d", object{"url": goodURL}).want(201)
		s.remove("/api/v1/token/" + made.str("id")).want(204)
		ep(made.str("token"), "d", object{"url": goodURL}).refused(401, "authentication_failed")
	})
}

func TestAnIdempotencyKeyRunsOut(t *testing.T) {
	t.Parallel()
	s := start(t)
	create := func() string {
		return s.call(s.org, "POST", "/api/v1/app", object{"name": "x"}, "Idempotency-Key", "k").want(201).json().str("id")
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

func TestTwoRequestsWithOneKeyAreOneRequest(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	entered, leave := make(chan struct{}, 2), make(chan struct{})
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
	texts := make([]string, 2)
	for i := range texts {
		wg.Go(func() {
			texts[i] = s.call(s.org, "POST", app+"/endpoint", object{"url": goodURL}, "Idempotency-Key", "k").text
		})
	}
	<-entered
	close(leave)
	wg.Wait()
	if calls.Load() != 1 || texts[0] != texts[1] {
		t.Errorf("%d executions: %s and %s", calls.Load(), texts[0], texts[1])
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
	s.call(s.org, "POST", app+"/endpoint", object{"url": goodURL}, "Idempotency-Key", "k").wrong("body.url")
	s.call(s.org, "POST", app+"/endpoint", object{"url": goodURL}, "Idempotency-Key", "k").want(201)
}
