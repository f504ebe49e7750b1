package api_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/waypost/waypost/internal/api"
)

// TestPlainAnswersHoldNoAdditions asks as a client that refuses members it does not know.
func TestPlainAnswersHoldNoAdditions(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{})
	msg := s.post(app+"/msg", `{"eventType":"e","payload":{ "b" : 1.50, "a":"<é>\u0026" },"tags":["t"]}`).want(202).json().str("id")
	const application, endpoint, message = "createdAt id metadata name rateLimit uid updatedAt",
		"channels createdAt description disabled filterTypes id metadata rateLimit uid updatedAt url version", "channels eventId eventType id payload tags timestamp"
	for path, want := range map[string]string{
		app: application, "/api/v1/app": application, ep: endpoint, app + "/endpoint": endpoint,
		app + "/msg/" + msg: message, app + "/msg": message,
	} {
		for _, headers := range [][]string{{"User-Agent", "svix-libs/1.44.0/go"}, {api.PlainHeader, "1"}} {
			a := s.call(s.org, "GET", path, nil, headers...).want(200)
			o := a.json()
			if list := o.list("data"); list != nil {
				if len(list) != 1 || !o.has("iterator", "prevIterator", "done") {
					t.Fatalf("%s: %s", path, a.text)
				}
				o = list[0]
			}
			if got := strings.Join(slices.Sorted(maps.Keys(o)), " "); got != want {
				t.Errorf("%s by %v holds %s", path, headers, got)
			}
			if want == message && !strings.Contains(a.text, `"payload":{ "b" : 1.50, "a":"<é>\u0026" }`) {
				t.Errorf("the payload's bytes have changed: %s", a.text)
			}
		}
	}
	t.Log("others are shown everything")
	for _, agent := range []string{"svix-libs/2.5.0/javascript node/v22", "curl/8", ""} {
		if o := s.call(s.org, "GET", ep, nil, "User-Agent", agent).json(); !o.has("dialect", "paused", "throttleRate") {
			t.Errorf("%q is shown %v", agent, o)
		}
	}
	t.Log("refusals and empty answers are as always")
	plain := []string{api.PlainHeader, "1"}
	s.call(s.org, "GET", "/api/v1/app/none", nil, plain...).refused(404, "not_found")
	s.call(s.org, "GET", "/api/v1/nothing", nil, plain...).refused(404, "not_found")
	s.call(s.org, "PATCH", "/api/v1/app", nil, plain...).refused(405, "method_not_allowed")
	s.call(s.org, "POST", app+"/endpoint", `{"url":"x"}`, plain...).wrong("body.url")
	s.call(s.org, "GET", "/api/v1/health/ping", nil, plain...).want(204)
	t.Log("a repeat is plain for who asks so, whoever asked first")
	first := s.call(s.org, "POST", "/api/v1/app", `{"name":"n"}`, "Idempotency-Key", "k").want(201).json()
	again := s.call(s.org, "POST", "/api/v1/app", `{"name":"n"}`, "Idempotency-Key", "k", api.PlainHeader, "1").want(201).json()
	if first.has("managed") == again.has("managed") || first["id"] != again["id"] {
		t.Errorf("%v, then %v", first, again)
	}
}

func (o object) has(names ...string) bool {
	for _, n := range names {
		if _, ok := o[n]; !ok {
			return false
		}
	}
	return true
}

// TestEventTypesOfAnEndpointHaveTwoNames holds the name that Svix's libraries use from 2.0 on.
func TestEventTypesOfAnEndpointHaveTwoNames(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	types := func(o object) string { return text([]any{o["filterTypes"], o["eventTypes"]}) }
	ep := s.ep(app, object{"eventTypes": []string{"e"}})
	const operational = "/api/v1/operational-webhook/endpoint"
	if got := types(s.get(ep).json()); got != `[["e"],["e"]]` {
		t.Error(got)
	}
	if got := types(s.patch(ep, object{"eventTypes": nil}).want(200).json()); got != `[null,null]` {
		t.Error(got)
	}
	if got := types(s.put(ep, object{"url": goodURL, "filterTypes": nil, "eventTypes": []string{"f"}}).want(200).json()); got != `[["f"],["f"]]` {
		t.Error(got)
	}
	if got := types(s.patch(ep, object{"filterTypes": []string{"g"}}).want(200).json()); got != `[["g"],["g"]]` {
		t.Error(got)
	}
	if got := types(s.patch(ep, object{"description": "x"}).want(200).json()); got != `[["g"],["g"]]` {
		t.Error(got)
	}
	s.patch(ep, object{"filterTypes": []string{"a"}, "eventTypes": []string{"b"}}).wrong("body.filterTypes")
	s.patch(ep, object{"eventTypes": []string{}}).wrong("body.eventTypes")
	o := s.post(operational, object{"url": goodURL, "eventTypes": []string{"endpoint.created"}, "headers": object{"x-a": "1"}}).want(201).json()
	if got := types(o); got != `[["endpoint.created"],["endpoint.created"]]` {
		t.Error(got)
	}
	if got := text(s.get(operational + "/" + o.str("id") + "/headers").json()["headers"]); got != `{"x-a":"1"}` {
		t.Error(got)
	}
	s.post(operational, object{"url": goodURL, "eventTypes": []string{"order.paid"}}).wrong("body.filterTypes")
}
