package api_test

import (
	"strings"
	"testing"

	"github.com/waypost/waypost/internal/hook"
)

func TestSendExample(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep, other := s.ep(app, object{"filterTypes": []string{"another"}, "channels": []string{"vip"}}), s.ep(app, object{})
	schema := object{"1": object{"type": "object", "examples": []object{{"n": 1}, {"n": 2}}}}
	s.post("/api/v1/event-type", object{"name": "order.created", "description": "x", "schemas": schema}).want(201)
	s.post("/api/v1/event-type", object{"name": "bare", "description": "x"}).want(201)
	for name, c := range map[string]struct {
		body    object
		payload string
	}{
		"a ping without a description":   {object{"eventType": "svix.ping"}, `{"success":true}`},
		"the first example":              {object{"eventType": "order.created"}, `{"n":1}`},
		"the second example":             {object{"eventType": "order.created", "exampleIndex": 1}, `{"n":2}`},
		"one beyond the last":            {object{"eventType": "order.created", "exampleIndex": 9}, `{"n":2}`},
		"a type without a schema":        {object{"eventType": "bare"}, `{}`},
		"members of the future, ignored": {object{"eventType": "bare", "color": "red"}, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			o := s.post(ep+"/send-example", c.body).want(202).json()
			if text(o["payload"]) != c.payload || o.str("eventType") != c.body["eventType"] || !strings.HasPrefix(o.str("id"), "msg_") {
				t.Errorf("answered %v", o)
			}
			path := app + "/msg/" + o.str("id")
			if got := s.get(path).want(200).json(); text(got["payload"]) != c.payload {
				t.Errorf("reads %v", got)
			}
			list := s.get(path + "/delivery").want(200).json().list("data")
			if len(list) != 1 || !strings.HasSuffix(ep, list[0].str("endpointId")) || list[0].str("state") != "pending" {
				t.Errorf("goes to %v", list)
			}
		})
	}
	for name, c := range map[string]struct {
		body any
		loc  string
	}{
		"no event type":          {object{}, "body"},
		"an empty one":           {object{"eventType": ""}, "body.eventType"},
		"one that is a number":   {object{"eventType": 7}, "body.eventType"},
		"an index below nothing": {object{"eventType": "bare", "exampleIndex": -1}, "body.exampleIndex"},
		"an index without end":   {`{"eventType":"bare","exampleIndex":1e300}`, "body.exampleIndex"},
	} {
		t.Run(name, func(t *testing.T) { s.in(t).post(ep+"/send-example", c.body).wrong(c.loc) })
	}
	s.post(ep+"/send-example", object{"eventType": "unheard.of"}).refused(404, "not_found")
	s.post(app+"/endpoint/none/send-example", object{"eventType": "bare"}).refused(404, "not_found")
	s.call(s.org, "POST", other+"/send-example", object{"eventType": "bare"}, "Idempotency-Key", "k").want(202)
	first := s.call(s.org, "POST", other+"/send-example", object{"eventType": "svix.ping"}, "Idempotency-Key", "k").want(202).json()
	if first.str("eventType") != "bare" {
		t.Errorf("a repeat is another message: %v", first)
	}
}

func TestAnExampleOfAHiddenTypeIsNotSent(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	s.post("/api/v1/event-type", object{"name": "secret.plan", "description": "x", "featureFlags": []string{"beta"}}).want(201)
	s.patch(app, object{"featureFlags": []string{"stable"}}).want(200)
	ep := s.ep(app, object{})
	told := s.call(token, "POST", ep+"/send-example", object{"eventType": "secret.plan"}).refused(404, "not_found")
	if none := s.call(token, "POST", ep+"/send-example", object{"eventType": "unheard.of"}).refused(404, "not_found"); none.text != told.text {
		t.Errorf("tells that there is one: %s", told.text)
	}
	t.Log("nor subscribed to by the application itself")
	s.call(token, "POST", app+"/endpoint", object{"url": goodURL, "filterTypes": []string{"secret.plan"}}).wrong("body.filterTypes")
	s.call(token, "PUT", ep, object{"url": goodURL, "filterTypes": []string{"secret.plan"}}).wrong("body.filterTypes")
	s.call(token, "PATCH", ep, object{"filterTypes": []string{"secret.plan"}}).wrong("body.filterTypes")
	if e := s.stored(ep); len(e.EventTypes) != 0 {
		t.Errorf("it listens to %v", e.EventTypes)
	}
	s.patch(ep, object{"filterTypes": []string{"secret.plan"}}).want(200) // the organisation knows what it does
	s.call(token, "PATCH", ep, object{"description": "mine"}).want(200)
}

func TestGoesToOneEndpointOnly(t *testing.T) {
	t.Parallel()
	m := hook.Message{App: 1, EventType: "e"}
	for name, c := range map[string]struct {
		only hook.EndpointID
		e    hook.Endpoint
		want bool
	}{
		"all that match":                    {0, hook.Endpoint{ID: 7, App: 1}, true},
		"none that does not":                {0, hook.Endpoint{ID: 7, App: 1, EventTypes: []string{"x"}}, false},
		"the one, whatever its filters":     {7, hook.Endpoint{ID: 7, App: 1, EventTypes: []string{"x"}}, true},
		"no other that matches":             {8, hook.Endpoint{ID: 7, App: 1}, false},
		"not a disabled one":                {7, hook.Endpoint{ID: 7, App: 1, Disabled: true}, false},
		"not a polled one":                  {7, hook.Endpoint{ID: 7, App: 1, Transport: hook.TransportPoll}, false},
		"not one of another application":    {7, hook.Endpoint{ID: 7, App: 2}, false},
		"nothing is sent to a polled one":   {0, hook.Endpoint{ID: 7, App: 1, Transport: hook.TransportPoll}, false},
		"nothing is sent to a disabled one": {0, hook.Endpoint{ID: 7, App: 1, Disabled: true}, false},
	} {
		a := hook.Accept{Message: m, Only: c.only}
		if got := a.GoesTo(&c.e); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
