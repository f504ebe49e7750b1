package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

const operational = "/api/v1/operational-webhook/endpoint"

// listen makes an operational endpoint and returns its path.
func (s *server) listen(body object) string {
	s.t.Helper()
	if _, ok := body["url"]; !ok {
		body["url"] = "https://example.com/operator"
	}
	return operational + "/" + s.post(operational, body).want(201).json().str("id")
}

// notices are what the operator was told so far: types and data, oldest first.
func (s *server) notices() []object {
	s.t.Helper()
	var out []object
	for _, m := range must(s.noticesAfter(""))(s.t).Items {
		var o object
		if err := json.Unmarshal(m.Payload, &o); err != nil || o.str("type") != m.EventType {
			s.t.Fatalf("the message %s of the type %s is %s (%v)", m.ID, m.EventType, m.Payload, err)
		}
		out = append(out, o)
	}
	return out
}

// noticesAfter is a page of the messages that tell the operator, oldest first.
func (s *server) noticesAfter(cursor string) (store.List[hook.Message], error) {
	f := store.MessageFilter{WithPayload: true}
	return s.store.Messages(s.t.Context(), hook.Operational, f, store.Page{Limit: 250, After: cursor})
}

func types(notices []object) string {
	var out []string
	for _, n := range notices {
		out = append(out, n.str("type"))
	}
	return strings.Join(out, " ")
}

func TestTheOperatorIsToldOfEndpoints(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	s.ep(app, object{}) // nobody listens yet
	s.listen(object{})
	if got := types(s.notices()); got != "" {
		t.Errorf("was told %s", got)
	}
	o := s.post(app+"/endpoint", object{"url": goodURL, "uid": "main"}).want(201).json()
	path := app + "/endpoint/main"
	s.put(path, object{"url": goodURL, "description": "x"}).want(200)
	s.patch(path, object{"throttleRate": 3}).want(200)
	s.post(path+"/secret/rotate", object{}).want(204)
	s.put(path+"/headers", object{"headers": object{"x-a": "1"}}).want(204)
	s.put(app+"/endpoint/second", object{"url": goodURL}).want(201)
	s.remove(path).want(204)
	const want = "endpoint.created endpoint.updated endpoint.updated endpoint.updated endpoint.updated endpoint.created endpoint.deleted"
	told := s.notices()
	if got := types(told); got != want {
		t.Fatalf("was told\n%s, want\n%s", got, want)
	}
	for _, n := range told {
		data := n.obj("data")
		if data.str("endpointUid") == "second" {
			continue
		}
		if data.str("appId") != app[len("/api/v1/app/"):] || data.str("appUid") != "a" || data.str("endpointId") != o.str("id") || data.str("endpointUid") != "main" {
			t.Errorf("%s says %v", n.str("type"), data)
		}
	}
	t.Log("what is refused is not told, nor what changes nothing")
	s.post(app+"/endpoint", object{"url": "nonsense"}).want(422)
	s.post(app+"/endpoint", object{"url": goodURL, "uid": "second"}).refused(409, "conflict")
	s.patch(app+"/endpoint/second", object{"url": "http://10.0.0.1/"}).want(422)
	s.patch(app+"/endpoint/second", object{"uid": "second", "disabled": "yes"}).want(422)
	s.post(app+"/endpoint/second/secret/rotate", object{"key": "x"}).want(422)
	s.remove(app+"/endpoint/none").refused(404, "not_found")
	s.verdict = hook.Verification{State: hook.VerificationPassed, Reason: "x"}
	s.post(app+"/endpoint/second/verify", nil)
	s.get(app + "/endpoint/second").want(200)
	if got := types(s.notices()); got != want {
		t.Errorf("was told\n%s", got)
	}
	t.Log("the operator's own endpoints, and an application that goes with all it has, are no news")
	own := s.listen(object{"uid": "own"})
	s.put(own, object{"url": goodURL}).want(200)
	s.post(own+"/secret/rotate", object{}).want(204)
	s.remove(own).want(204)
	s.remove(app).want(204)
	if got := types(s.notices()); got != want {
		t.Errorf("was told\n%s", got)
	}
}

func TestARepeatedCreationIsToldOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	s.listen(object{})
	for range 2 {
		s.call(s.org, "POST", app+"/endpoint", object{"url": goodURL}, "Idempotency-Key", "k").want(201)
	}
	if got := types(s.notices()); got != "endpoint.created" {
		t.Errorf("was told %q", got)
	}
}

func TestOperationalEndpointLife(t *testing.T) {
	t.Parallel()
	s := start(t)
	made := s.post(operational, object{
		"url": "https://user:word@example.com/operator", "uid": "pager", "description": "Pager", "filterTypes": []string{"endpoint.disabled", "message.attempt.exhausted"},
		"metadata": object{"k": "v"}, "rateLimit": 5, "secret": goodSecret,
		"channels": []string{"ignored"}, "dialect": "pandapon", // members of other endpoints, which these do not have
	}).want(201).json()
	for name, want := range map[string]string{
		"url": `"https://example.com/operator"`, "uid": `"pager"`, "description": `"Pager"`, "filterTypes": `["endpoint.disabled","message.attempt.exhausted"]`,
		"metadata": `{"k":"v"}`, "rateLimit": "5", "throttleRate": "5", "disabled": "false", "channels": "null", "dialect": "null",
	} {
		if text(made[name]) != want {
			t.Errorf("%s is %s, want %s", name, text(made[name]), want)
		}
	}
	path := operational + "/pager"
	if got := s.get(path).want(200).json(); text(got) != text(made) {
		t.Errorf("created %s, reads %s", text(made), text(got))
	}
	if s.key(path) != goodSecret {
		t.Error("has another secret")
	}
	s.post(path+"/secret/rotate", object{}).want(204)
	if key := s.key(path); key == goodSecret || !strings.HasPrefix(key, "whsec_") {
		t.Errorf("rotated to %q", key)
	}
	s.put(path+"/headers", object{"headers": object{"x-a": "1", "Authorization": "Bearer x"}}).want(204)
	if o := s.get(path + "/headers").want(200).json(); text(o["headers"]) != `{"x-a":"1"}` || text(o["sensitive"]) != `["Authorization"]` {
		t.Error(o)
	}
	put := s.put(path, object{"url": goodURL, "filterTypes": []string{"endpoint.created"}}).want(200).json()
	if put.str("description") != "" || text(put["filterTypes"]) != `["endpoint.created"]` || put.str("uid") != "pager" || put["rateLimit"] != nil {
		t.Error(put)
	}
	second := s.listen(object{})
	first := s.get(operational + "?limit=1").want(200).json()
	if list := first.list("data"); len(list) != 1 || !strings.HasSuffix(second, list[0].str("id")) || first["done"] != false {
		t.Errorf("newest first: %v", first)
	}
	if list := s.get(operational + "?order=ascending").want(200).json().list("data"); len(list) != 2 || list[0].str("uid") != "pager" {
		t.Errorf("oldest first: %v", list)
	}
	s.remove(path).want(204)
	s.get(path).refused(404, "not_found")
	if list := s.get(operational).want(200).json().list("data"); len(list) != 1 {
		t.Errorf("after the deletion: %v", list)
	}
}

func TestOperationalRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	ep := s.listen(object{"uid": "taken"})
	for name, c := range map[string]struct {
		body object
		loc  string
	}{
		"no url":                       {object{}, "body"},
		"an empty url":                 {object{"url": ""}, "body.url"},
		"a private address":            {object{"url": "http://10.1.2.3/"}, "body.url"},
		"loopback":                     {object{"url": "http://127.0.0.1/"}, "body.url"},
		"an event type of others":      {object{"url": goodURL, "filterTypes": []string{"endpoint.created", "order.created"}}, "body.filterTypes"},
		"no event types":               {object{"url": goodURL, "filterTypes": []string{}}, "body.filterTypes"},
		"a secret that is too short":   {object{"url": goodURL, "secret": "whsec_c2hvcnQ="}, "body.secret"},
		"a rate of nothing":            {object{"url": goodURL, "rateLimit": 0}, "body.rateLimit"},
		"two rates":                    {object{"url": goodURL, "rateLimit": 1, "throttleRate": 2}, "body.rateLimit"},
		"a uid that looks like an id":  {object{"url": goodURL, "uid": "ep_0000000000001"}, "body.uid"},
		"a uid with other characters":  {object{"url": goodURL, "uid": "a b"}, "body.uid"},
		"a description with a control": {object{"url": goodURL, "description": "a\u0000b"}, "body.description"},
		"metadata of numbers":          {object{"url": goodURL, "metadata": object{"a": 1}}, "body.metadata.a"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			s.post(operational, c.body).wrong(c.loc)
			s.put(ep, c.body).wrong(c.loc)
		})
	}
	s.post(operational, object{"url": goodURL, "uid": "taken"}).refused(409, "conflict")
	s.put(operational+"/none", object{"url": goodURL}).refused(404, "not_found")
	s.get(operational+"/none").refused(404, "not_found")
	s.get(operational+"/none/secret").refused(404, "not_found")
	s.get(operational+"/none/headers").refused(404, "not_found")
	s.remove(operational+"/none").refused(404, "not_found")
	s.put(ep+"/headers", object{"headers": object{"svix-x": "1"}}).wrong("body.headers.svix-x")
	s.post(ep+"/secret/rotate", object{"key": "x"}).wrong("body.key")
	t.Run("it is the organisation's", func(t *testing.T) {
		s := s.in(t)
		app, token := s.appToken("a")
		s.call("", "GET", operational, nil).refused(401, "authentication_failed")
		for _, op := range []string{"GET " + operational, "POST " + operational, "GET " + ep, "PUT " + ep, "DELETE " + ep, "GET " + ep + "/secret",
			"POST " + ep + "/secret/rotate", "GET " + ep + "/headers", "PUT " + ep + "/headers"} {
			method, path, _ := strings.Cut(op, " ")
			s.call(token, method, path, object{"url": goodURL}).refused(403, "permission_denied")
		}
		t.Log("an endpoint of an application is none of these, and the other way round")
		own := s.ep(app, object{})
		s.get(operational+own[strings.LastIndex(own, "/"):]).refused(404, "not_found")
		s.get(app+"/endpoint"+ep[strings.LastIndex(ep, "/"):]).refused(404, "not_found")
	})
}

func TestPrivateAddressesForTheOperator(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *api.Options) { o.OperationalAllow = []string{"10.1.0.0/16"} })
	s.listen(object{"url": "http://10.1.2.3/hook"})
	refused := s.post(operational, object{"url": "http://10.2.0.1/"}).wrong("body.url")
	if !strings.Contains(refused.text, "operational-allow") || strings.Contains(refused.text, "allowCidrs") {
		t.Errorf("does not say how to allow it: %s", refused.text)
	}
	for _, never := range []string{"http://2130706433/", "http://[::ffff:0.0.0.0]/"} {
		if a := s.post(operational, object{"url": never}).wrong("body.url"); strings.Contains(a.text, "operational-allow") {
			t.Errorf("%s: what no list can allow is told to be allowed: %s", never, a.text)
		}
	}
	t.Log("applications have lists of their own")
	s.post(s.app("a")+"/endpoint", object{"url": "http://10.1.2.3/hook"}).wrong("body.url")
}

func TestTheOperatorsApplicationIsHidden(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.listen(object{"uid": "own"})
	app := s.app("a")
	s.ep(app, object{}) // is told of
	if len(s.notices()) == 0 {
		t.Fatal("there is nothing to hide")
	}
	hidden := "/api/v1/app/" + hook.Operational.String()
	notice := must(s.store.Messages(t.Context(), hook.Operational, store.MessageFilter{}, store.Page{}))(t).Items[0].ID.String()
	for _, op := range []string{
		"GET ", "PUT ", "PATCH ", "DELETE ", "GET /endpoint", "POST /endpoint", "GET /endpoint/own", "PATCH /endpoint/own", "DELETE /endpoint/own",
		"GET /endpoint/own/secret", "GET /endpoint/own/stats", "POST /endpoint/own/recover", "POST /endpoint/own/send-example",
		"GET /msg", "POST /msg", "GET /msg/" + notice, "GET /msg/" + notice + "/delivery", "GET /attempt/endpoint/own", "GET /attempt/msg/" + notice,
		"GET /source", "POST /source", "DELETE /msg/" + notice + "/content",
		"GET /msg/" + notice + "/endpoint", "GET /endpoint/own/msg", "POST /msg/" + notice + "/cancel", "GET /poller/own",
	} {
		method, path, _ := strings.Cut(op, " ")
		body := object{"name": "x", "url": goodURL, "since": time.Now().Add(-time.Hour), "eventType": "svix.ping", "payload": object{}}
		if path == "/source" {
			body = object{"dialect": "pandapon", "settings": object{"access_secret": "x"}}
		}
		s.call(s.org, method, hidden+path, body).refused(404, "not_found")
	}
	s.post("/api/v1/token", object{"name": "x", "app": hook.Operational.String()}).wrong("body.app")
	for _, a := range s.get("/api/v1/app").want(200).json().list("data") {
		if a.str("id") == hook.Operational.String() {
			t.Error("it is listed")
		}
	}
}
