package api_test

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPatchChangesOneMemberAndNoOther(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{})
	whole := s.get(ep).want(200).json()
	for _, c := range []struct {
		body string
		want map[string]string // members that change, and to what
	}{
		{`{"description":"test"}`, map[string]string{"description": `"test"`}},
		{`{"description":null}`, map[string]string{"description": `""`}},
		{`{"rateLimit":1}`, map[string]string{"rateLimit": "1", "throttleRate": "1"}},
		{`{"rateLimit":null}`, map[string]string{"rateLimit": "null", "throttleRate": "null"}},
		{`{"throttleRate":7}`, map[string]string{"rateLimit": "7", "throttleRate": "7"}},
		{`{"throttleRate":null}`, map[string]string{"rateLimit": "null", "throttleRate": "null"}},
		{`{"uid":"some"}`, map[string]string{"uid": `"some"`}},
		{`{"uid":null}`, map[string]string{"uid": "null"}},
		{`{"url":"https://example.com/second"}`, map[string]string{"url": `"https://example.com/second"`}},
		{`{"version":2}`, map[string]string{"version": "2"}},
		{`{"version":null}`, map[string]string{"version": "1"}},
		{`{"disabled":true}`, map[string]string{"disabled": "true", "disabledReason": `"disabled through the API"`}},
		{`{"filterTypes":["test"]}`, map[string]string{"filterTypes": `["test"]`, "eventTypes": `["test"]`}},
		{`{"filterTypes":null}`, map[string]string{"filterTypes": "null", "eventTypes": "null"}},
		{`{"eventTypes":["test"]}`, map[string]string{"filterTypes": `["test"]`, "eventTypes": `["test"]`}},
		{`{"eventTypes":null}`, map[string]string{"filterTypes": "null", "eventTypes": "null"}},
		{`{"channels":["test","te:st"]}`, map[string]string{"channels": `["te:st","test"]`}},
		{`{"channels":null}`, map[string]string{"channels": "null"}},
		{`{"disabled":null}`, map[string]string{"disabled": "false", "disabledReason": `""`}},
		{`{"metadata":{"foo":"bar","bizz":"baz"}}`, map[string]string{"metadata": `{"bizz":"baz","foo":"bar"}`}},
		{`{"metadata":{}}`, map[string]string{"metadata": "{}"}},
		{`{"metadata":{"foo":"bar"}}`, map[string]string{"metadata": `{"foo":"bar"}`}},
		{`{"metadata":null}`, map[string]string{"metadata": "{}"}},
		{`{"secret":null}`, nil},
		{`{"secret":"` + goodSecret + `"}`, nil},
		{`{"headers":{"x-own":"1"}}`, nil},
		{`{"headers":null}`, nil},
		{`{"retrySchedule":[1,2.5]}`, map[string]string{"retrySchedule": "[1,2.5]"}},
		{`{"retrySchedule":null}`, map[string]string{"retrySchedule": "null"}},
		{`{"timeoutMs":1500}`, map[string]string{"timeoutMs": "1500"}},
		{`{"timeoutMs":null}`, map[string]string{"timeoutMs": "null"}},
		{`{"format":"cloudevents"}`, map[string]string{"format": `"cloudevents"`}},
		{`{"format":null}`, map[string]string{"format": `"payload"`}},
		{`{"paused":true}`, map[string]string{"paused": "true"}},
		{`{"paused":null}`, map[string]string{"paused": "false"}},
		{`{"concurrency":4}`, map[string]string{"concurrency": "4"}},
		{`{"concurrency":null}`, map[string]string{"concurrency": "null"}},
		{`{"requireVerified":true}`, map[string]string{"requireVerified": "true"}},
		{`{"requireVerified":null}`, map[string]string{"requireVerified": "false"}},
		{`{"transport":"poll","url":null}`, map[string]string{"transport": `"poll"`, "url": `""`}},
		{`{"transport":null,"url":"https://example.com/back"}`, map[string]string{"transport": `"http"`, "url": `"https://example.com/back"`}},
		{`{}`, nil},
		{`{"aMemberOfTheFuture":{"x":[1]}}`, nil},
	} {
		a := s.patch(ep, c.body)
		got := a.want(200).json()
		for name, want := range c.want {
			if text(got[name]) != want {
				t.Errorf("%s: %s is %s, want %s", c.body, name, text(got[name]), want)
			}
			whole[name] = got[name]
		}
		whole["updatedAt"] = got["updatedAt"]
		for _, name := range slices.Sorted(maps.Keys(whole)) {
			if text(got[name]) != text(whole[name]) {
				t.Errorf("%s: %s became %s, was %s", c.body, name, text(got[name]), text(whole[name]))
			}
		}
		if read := s.get(ep).want(200); read.text != a.text {
			t.Errorf("%s: answered %s, reads %s", c.body, a.text, read.text)
		}
	}
	t.Run("a url of null is refused while something is sent to it", func(t *testing.T) {
		s.in(t).patch(ep, `{"url":null}`).wrong("body.url")
	})
	t.Run("so is leaving polling without one", func(t *testing.T) {
		s := s.in(t)
		polled := app + "/endpoint/" + s.post(app+"/endpoint", object{"transport": "poll"}).want(201).json().str("id")
		s.patch(polled, `{"transport":"http"}`).wrong("body.url")
		s.patch(polled, `{"transport":"http","url":"http://10.0.0.1/"}`).wrong("body.url")
		s.patch(polled, `{"url":"http://10.0.0.1/"}`).wrong("body.url")
		if o := s.get(polled).want(200).json(); o.str("transport") != "poll" || o.str("url") != "" {
			t.Error(o)
		}
	})
}

func TestEndpointsOfTwoApplications(t *testing.T) {
	t.Parallel()
	s := start(t)
	apps := []string{s.app("one"), s.app("two")}
	var made [2][]object
	for i, app := range apps {
		for range 2 {
			made[i] = append(made[i], s.post(app+"/endpoint", object{"url": goodURL, "version": 1}).want(201).json())
		}
	}
	for i, app := range apps {
		for _, e := range made[i] {
			if got := s.get(app + "/endpoint/" + e.str("id")).want(200).json(); text(got) != text(e) {
				t.Errorf("created %s, reads %s", text(e), text(got))
			}
		}
		for _, e := range made[1-i] {
			path := app + "/endpoint/" + e.str("id")
			s.get(path).refused(404, "not_found")
			s.put(path, object{"url": goodURL}).refused(404, "not_found")
			s.patch(path, object{"description": "x"}).refused(404, "not_found")
			s.remove(path).refused(404, "not_found")
			s.post(path+"/secret/rotate", object{}).refused(404, "not_found")
			s.post(path+"/recover", object{"since": time.Now()}).refused(404, "not_found")
		}
	}
	t.Log("a uid is the application's: another may have it too, and a deleted one is free again")
	for _, app := range apps {
		s.post(app+"/endpoint", object{"url": goodURL, "uid": "same"}).want(201)
		s.post(app+"/endpoint", object{"url": goodURL, "uid": "same"}).refused(409, "conflict")
		s.put(app+"/endpoint/"+s.post(app+"/endpoint", object{"url": goodURL}).json().str("id"), object{"url": goodURL, "uid": "same"}).refused(409, "conflict")
		s.put(app+"/endpoint/same", object{"url": goodURL, "uid": "same"}).want(200)
		s.remove(app + "/endpoint/same").want(204)
		s.post(app+"/endpoint", object{"url": goodURL, "uid": "same"}).want(201)
	}
}

func TestEndpointListWalksBothWays(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	for i := range 5 {
		s.ep(app, object{"url": goodURL + "/" + string(rune('0'+i))})
	}
	page := func(query string) (urls string, o object) {
		t.Helper()
		o = s.get(app + "/endpoint?" + query).want(200).json()
		for _, e := range o.list("data") {
			urls += e.str("url")[len(goodURL)+1:]
		}
		return urls, o
	}
	for name, c := range map[string][]string{
		"newest first": {"limit=2", "43", "21", "0"},
		"oldest first": {"limit=3&order=ascending", "012", "34"},
	} {
		query, want := c[0], c[1:]
		iterator := ""
		var last object
		for i, w := range want {
			urls, o := page(query + iterator)
			if urls != w || o["done"] != (i == len(want)-1) {
				t.Errorf("%s, page %d: %s, done %v; want %s", name, i, urls, o["done"], w)
			}
			iterator, last = "&iterator="+o.str("iterator"), o
		}
		for i := len(want) - 2; i >= 0; i-- {
			urls, o := page(query + "&iterator=" + last.str("prevIterator"))
			if urls != want[i] {
				t.Errorf("%s, back to page %d: %s, want %s", name, i, urls, want[i])
			}
			last = o
		}
	}
	s.get(app + "/endpoint?iterator=nonsense").wrong("query.iterator")
	s.get(app + "/endpoint?limit=0").wrong("query.limit")
	s.get(app + "/endpoint?limit=251").wrong("query.limit")
	s.get(app + "/endpoint?order=sideways").wrong("query.order")
}

func TestCredentialsInTheAddress(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	basic := func(user string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(user)) }
	for name, c := range map[string]struct{ url, shown, sent string }{
		"user and password":    {"https://user:pass@example.com/hook?a=b@c", "https://example.com/hook?a=b@c", basic("user:pass")},
		"a user alone":         {"https://user@example.com", "https://example.com", basic("user:")},
		"a password alone":     {"https://:pass@example.com/", "https://example.com/", basic(":pass")},
		"escapes":              {"https://us%3Aer:p%40ss@example.com:8443/%41?q=%20", "https://example.com:8443/%41?q=%20", basic("us:er:p@ss")},
		"an at sign in a path": {"https://user:pass@example.com/@me", "https://example.com/@me", basic("user:pass")},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			a := s.post(app+"/endpoint", object{"url": c.url}).want(201)
			if got := a.json().str("url"); got != c.shown {
				t.Errorf("shows %s, want %s", got, c.shown)
			}
			path := app + "/endpoint/" + a.json().str("id")
			if got := s.stored(path).Headers["authorization"]; got != c.sent {
				t.Errorf("sends %q, want %q", got, c.sent)
			}
			if o := s.get(path + "/headers").want(200).json(); text(o["sensitive"]) != `["authorization"]` || text(o["headers"]) != "{}" {
				t.Error(o)
			}
			t.Log("sent back as it is shown, it stays as it was")
			s.put(path, object{"url": c.shown}).want(200)
			if got := s.stored(path).Headers["authorization"]; got != c.sent {
				t.Errorf("then sends %q, want %q", got, c.sent)
			}
			t.Log("new ones take the place of the old, whatever the case of the header")
			s.put(path+"/headers", object{"headers": object{"Authorization": "Bearer x", "x-kept": "1"}}).want(204)
			s.patch(path, object{"url": "https://other:word@example.com/"}).want(200)
			if got := s.stored(path).Headers; len(got) != 2 || got["authorization"] != basic("other:word") || got["x-kept"] != "1" {
				t.Error(got)
			}
		})
	}
	t.Run("they do not follow it to another host", func(t *testing.T) {
		s := s.in(t)
		for _, away := range []string{"https://example.org/hook", "https://example.com:8443/hook", "http://example.com/hook"} {
			path := app + "/endpoint/" + s.post(app+"/endpoint", object{"url": "https://user:pass@example.com/hook"}).want(201).json().str("id")
			s.patch(path+"/headers", object{"headers": object{"x-kept": "1"}}).want(204)
			s.patch(path, object{"url": "https://EXAMPLE.com/other"}).want(200)
			if got := s.stored(path).Headers["authorization"]; got != basic("user:pass") {
				t.Errorf("another path of the host is sent %q", got)
			}
			s.patch(path, object{"url": away}).want(200)
			if got := s.stored(path).Headers; len(got) != 1 || got["x-kept"] != "1" {
				t.Errorf("%s is sent %v", away, got)
			}
		}
		t.Log("a header that was set as one does, as with Svix")
		path := s.ep(app, object{"headers": object{"Authorization": basic("user:pass")}})
		s.put(path, object{"url": "https://example.org/"}).want(200)
		if got := s.stored(path).Headers["Authorization"]; got != basic("user:pass") {
			t.Errorf("sends %q", got)
		}
	})
	t.Run("a dialect that signs there has no place for them", func(t *testing.T) {
		s.in(t).post(app+"/endpoint", object{"url": "https://user:pass@example.com/", "dialect": "pandapon", "settings": object{"access_secret": "x"}}).
			wrong("body.headers.authorization")
	})
}

func TestHeadersAreReplacedAndPatched(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{})
	shown := func() string { t.Helper(); return text(s.get(ep + "/headers").want(200).json()["headers"]) }
	s.patch(ep+"/headers", `{"headers":{"x-test-3":"4","x-test-2":null}}`).want(204)
	if got := shown(); got != `{"x-test-3":"4"}` {
		t.Errorf("patched onto nothing: %s", got)
	}
	for _, bad := range []string{"content-length", "some:thing", "some\u0000thing", "svix-foo", "x-svix-foo", "x-amzn-foo", "Proxy-Authorization", "",
		"x y", strings.Repeat("x", 200), "ünder"} {
		for _, a := range []answer{s.put(ep+"/headers", object{"headers": object{bad: "123"}}), s.patch(ep+"/headers", object{"headers": object{bad: "123"}})} {
			if a.status != 422 {
				t.Errorf("%s with %q: %d %s", a.what, bad, a.status, a.text)
			}
		}
	}
	for _, own := range []string{`{"x-test-1":"1","x-test-2":"2"}`, `{"x-test-1":"3","x-test-2":"2"}`} {
		s.put(ep+"/headers", `{"headers":`+own+`}`).want(204)
		if got := shown(); got != own {
			t.Errorf("put %s, reads %s", own, got)
		}
	}
	s.patch(ep+"/headers", `{"headers":{"x-test-3":"4","X-TEST-2":null}}`).want(204)
	if got := shown(); got != `{"x-test-1":"3","x-test-3":"4"}` {
		t.Errorf("patched: %s", got)
	}
	s.put(ep+"/headers", `{"headers":{"X-Api-Test":"test-value"}}`).want(204)
	if got := shown(); got != `{"X-Api-Test":"test-value"}` {
		t.Errorf("a name in capitals reads %s", got)
	}
	s.put(ep+"/headers", `{"headers":null}`).want(422)
	s.put(ep+"/headers", `{"headers":{"x":null}}`).want(422)
	s.patch(ep+"/headers", `{"headers":[]}`).want(422)
	if got := shown(); got != `{"X-Api-Test":"test-value"}` {
		t.Errorf("a refusal changed them to %s", got)
	}
}

func TestRateHasTwoNames(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{"rateLimit": 100})
	rates := func(o object) string { return text([]any{o["rateLimit"], o["throttleRate"]}) }
	if got := rates(s.get(ep).json()); got != "[100,100]" {
		t.Error(got)
	}
	if got := rates(s.put(ep, object{"url": goodURL, "rateLimit": nil}).want(200).json()); got != "[null,null]" {
		t.Error(got)
	}
	if got := rates(s.put(ep, object{"url": goodURL, "throttleRate": 5, "rateLimit": 5}).want(200).json()); got != "[5,5]" {
		t.Error(got)
	}
	if got := rates(s.put(ep, object{"url": goodURL}).want(200).json()); got != "[null,null]" {
		t.Error(got)
	}
	for _, bad := range []any{0, -1, 65536, 1.5, "10", 1e30} {
		s.put(ep, object{"url": goodURL, "rateLimit": bad}).wrong("body.rateLimit")
		s.patch(ep, object{"throttleRate": bad}).wrong("body.throttleRate")
	}
	s.put(ep, object{"url": goodURL, "rateLimit": 1, "throttleRate": 2}).wrong("body.rateLimit")
}

func TestPolledEndpoint(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	o := s.post(app+"/endpoint", object{"transport": "poll", "uid": "fetched", "filterTypes": []string{"order.created"}}).want(201).json()
	if o.str("transport") != "poll" || o.str("url") != "" {
		t.Error(o)
	}
	path := app + "/endpoint/fetched"
	id := s.send(app, object{})
	if list := s.get(app + "/msg/" + id + "/delivery").want(200).json().list("data"); len(list) != 0 {
		t.Errorf("a delivery was made: %v", list)
	}
	t.Log("a client that does not know of it leaves it as it is")
	if o := s.put(path, object{"url": goodURL}).want(200).json(); o.str("transport") != "poll" || o.str("url") != goodURL {
		t.Error(o)
	}
	t.Log("what is pending when an endpoint becomes a polled one is canceled")
	s.patch(path, object{"transport": "http"}).want(200)
	id = s.send(app, object{})
	s.patch(path, object{"transport": "poll"}).want(200)
	if list := s.get(app + "/msg/" + id + "/delivery").want(200).json().list("data"); len(list) != 1 || list[0].str("state") != "canceled" {
		t.Errorf("%v", list)
	}
	for _, op := range []string{"recover", "replay-missing", "bulk-replay"} {
		s.post(path+"/"+op, object{"since": time.Now().Add(-time.Hour)}).refused(409, "conflict")
	}
	s.post(path+"/send-example", object{"eventType": "svix.ping"}).refused(409, "conflict")
}
