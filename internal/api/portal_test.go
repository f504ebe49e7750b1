package api_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

const portalAccess = "/api/v1/auth/app-portal-access/"

func TestPortalAccess(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, other := s.app("a"), s.app("b")
	o := s.post(portalAccess+"a", object{}).want(200).json()
	token := o.str("token")
	place, key, ok := strings.Cut(o.str("url"), "#key=")
	var inside struct{ AppID, Token string }
	if raw, err := base64.StdEncoding.DecodeString(key); !ok || err != nil || json.Unmarshal(raw, &inside) != nil ||
		place != "https://hooks.example.com/portal" || inside.Token != token || !strings.HasSuffix(app, inside.AppID) || len(o) != 2 {
		t.Errorf("%v %+v", o, inside)
	}
	s.call(token, "GET", app, nil).want(200)
	s.call(token, "GET", other, nil).refused(404, "not_found")
	s.call(token, "GET", "/api/v1/app", nil).refused(403, "permission_denied")
	s.call(token, "POST", "/api/v1/app", object{"name": "x"}).refused(403, "permission_denied")
	s.call(token, "PUT", app, object{"name": "x"}).refused(403, "permission_denied")
	s.call(token, "DELETE", app, nil).refused(403, "permission_denied")
	s.call(token, "POST", portalAccess+"a", nil).refused(403, "permission_denied")
	ep := s.call(token, "POST", app+"/endpoint", object{"url": goodURL}).want(201).json().str("id")
	s.call(token, "GET", app+"/endpoint/"+ep+"/secret", nil).want(200)

	t.Run("without a body, and under its older name", func(t *testing.T) {
		s := s.in(t)
		for _, a := range []answer{
			s.post(portalAccess+"a", nil), s.post("/api/v1/auth/dashboard-access/a", nil), s.post("/api/v1/auth/dashboard-access/a/", "{}"),
		} {
			s.call(a.want(200).json().str("token"), "GET", app, nil).want(200)
		}
		s.post(portalAccess+"none", nil).refused(404, "not_found")
		s.post("/api/v1/auth/dashboard-access/none", nil).refused(404, "not_found")
	})
	t.Run("read only", func(t *testing.T) {
		s := s.in(t)
		token := s.post(portalAccess+"a", object{"readOnly": true, "capabilities": []string{"ViewBase", "ManageEndpoint"}}).want(200).json().str("token")
		s.call(token, "GET", app+"/endpoint/"+ep, nil).want(200)
		s.call(token, "GET", app+"/endpoint/"+ep+"/secret", nil).refused(403, "permission_denied")
		s.call(token, "POST", app+"/endpoint", object{"url": goodURL}).refused(403, "permission_denied")
	})
	t.Run("shown in the list, without the token", func(t *testing.T) {
		s := s.in(t)
		token := s.post(portalAccess+"a", object{"readOnly": true, "featureFlags": []string{"x"}, "sessionId": "s"}).want(200).json().str("token")
		list := s.get("/api/v1/token?order=descending&limit=1").want(200)
		o := list.json().list("data")[0]
		if text(o["capabilities"]) != `["ViewBase"]` || text(o["featureFlags"]) != `["x"]` || o.str("sessionId") != "s" || strings.Contains(list.text, token) {
			t.Error(list.text)
		}
	})
	t.Run("with capabilities", func(t *testing.T) {
		s := s.in(t)
		token := s.post(portalAccess+"a", object{"capabilities": []string{"ViewBase", "ViewEndpointSecret"}}).want(200).json().str("token")
		s.call(token, "GET", app+"/endpoint/"+ep+"/secret", nil).want(200)
		s.call(token, "PATCH", app+"/endpoint/"+ep, object{"description": "x"}).refused(403, "permission_denied")
	})
	t.Run("makes the application", func(t *testing.T) {
		s := s.in(t)
		body := func(uid string) object {
			return object{"application": object{"name": "New", "uid": uid, "featureFlags": []string{"x"}}}
		}
		s.post(portalAccess+"new", body("other")).wrong("body.application.uid")
		s.post(portalAccess+"new", object{"application": object{"name": "New"}}).wrong("body.application.uid")
		s.post(portalAccess+"new", object{"application": object{"uid": "new"}}).wrong("body.application")
		s.get("/api/v1/app/new").refused(404, "not_found")
		token := s.post(portalAccess+"new", body("new")).want(200).json().str("token")
		s.call(token, "GET", "/api/v1/app/new", nil).want(200)
		s.post(portalAccess+"new", object{"application": object{"name": "Other", "uid": "new"}}).want(200)
		if o := s.get("/api/v1/app/new").want(200).json(); o.str("name") != "New" {
			t.Error("an application that was there was changed")
		}
	})
}

func TestPortalTokensEnd(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	alive := func(token string, want bool) {
		t.Helper()
		if a := s.call(token, "GET", app, nil); (a.status == 200) != want || a.status != 200 && a.status != 401 {
			t.Errorf("status %d, want alive: %v", a.status, want)
		}
	}
	access := func(body object) string {
		if body == nil {
			body = object{}
		}
		return s.post(portalAccess+"a", body).want(200).json().str("token")
	}

	t.Log("by themselves")
	week, hour := access(nil), access(object{"expiry": 3600})
	s.advance(time.Hour - time.Second)
	alive(hour, true)
	s.advance(time.Second)
	alive(hour, false)
	s.advance(7*24*time.Hour - time.Hour - time.Second)
	alive(week, true)
	s.advance(time.Second)
	alive(week, false)

	t.Log("by logout, which ends the one that asks")
	one, two := access(nil), access(nil)
	s.call(one, "POST", "/api/v1/auth/logout", nil, "Idempotency-Key", "k").want(204)
	alive(one, false)
	alive(two, true)
	s.call(one, "POST", "/api/v1/auth/logout", nil, "Idempotency-Key", "k").refused(401, "authentication_failed")
	s.call(two, "POST", "/api/v1/auth/logout", nil, "Idempotency-Key", "k").want(204)
	alive(two, false)
	s.post("/api/v1/auth/logout", nil).refused(403, "permission_denied")
	s.get("/api/v1/app").want(200)

	t.Log("by expire-all")
	expire := func(body any) { t.Helper(); s.post("/api/v1/auth/app/a/expire-all", body).want(204) }
	plain := s.post("/api/v1/token", object{"name": "x", "app": "a"}).want(201).json().str("token")
	first, second, stranger := access(object{"sessionId": "s1"}), access(object{"sessionId": "s2"}), s.post(portalAccess+"b", object{"application": object{"name": "b", "uid": "b"}}).json().str("token")
	expire(object{"sessionIds": []string{"s1", "s3"}})
	alive(first, false)
	alive(second, true)
	alive(plain, true)
	expire(object{"expiry": 60})
	alive(second, true)
	s.advance(59 * time.Second)
	alive(second, true)
	s.advance(time.Second)
	alive(second, false)
	alive(plain, false)
	s.call(stranger, "GET", "/api/v1/app/b", nil).want(200)
	third := access(nil)
	expire(nil)
	alive(third, false)
	s.get(app).want(200)
	s.post("/api/v1/auth/app/none/expire-all", nil).refused(404, "not_found")
}

func TestBadPortalRequests(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.app("a")
	flags := make([]string, 101)
	for i := range flags {
		flags[i] = fmt.Sprint(i)
	}
	for name, c := range map[string]struct {
		path string
		body any
		loc  string // "" = 400
	}{
		"no JSON":                 {portalAccess + "a", "{", ""},
		"a list":                  {portalAccess + "a", "[]", "body"},
		"a member twice":          {portalAccess + "a", `{"expiry":3600,"expiry":7200}`, ""},
		"an expiry too short":     {portalAccess + "a", object{"expiry": 3599}, "body.expiry"},
		"an expiry too long":      {portalAccess + "a", object{"expiry": 604801}, "body.expiry"},
		"an expiry that is none":  {portalAccess + "a", object{"expiry": "1h"}, "body.expiry"},
		"a fraction":              {portalAccess + "a", object{"expiry": 3600.5}, "body.expiry"},
		"a huge expiry":           {portalAccess + "a", `{"expiry":1e300}`, "body.expiry"},
		"an unknown capability":   {portalAccess + "a", object{"capabilities": []string{"ViewBase", "All"}}, "body.capabilities.[1]"},
		"no ViewBase":             {portalAccess + "a", object{"capabilities": []string{"ManageEndpoint"}}, "body.capabilities"},
		"no capabilities":         {portalAccess + "a", object{"capabilities": []string{}}, "body.capabilities"},
		"a bad flag":              {portalAccess + "a", object{"featureFlags": []string{"a b"}}, "body.featureFlags.[0]"},
		"too many flags":          {portalAccess + "a", object{"featureFlags": flags}, "body.featureFlags"},
		"a text as readOnly":      {portalAccess + "a", object{"readOnly": "yes"}, "body.readOnly"},
		"an empty session":        {portalAccess + "a", object{"sessionId": ""}, "body.sessionId"},
		"control in a session":    {portalAccess + "a", object{"sessionId": "a\x01"}, "body.sessionId"},
		"a session too long":      {portalAccess + "a", object{"sessionId": strings.Repeat("s", 257)}, "body.sessionId"},
		"a bad application":       {portalAccess + "z", object{"application": object{"name": "", "uid": "z"}}, "body.application.name"},
		"a negative delay":        {"/api/v1/auth/app/a/expire-all", object{"expiry": -1}, "body.expiry"},
		"a delay too long":        {"/api/v1/auth/app/a/expire-all", object{"expiry": 259201}, "body.expiry"},
		"sessions that are none":  {"/api/v1/auth/app/a/expire-all", object{"sessionIds": "s"}, "body.sessionIds"},
		"an example of no schema": {"/api/v1/event-type/schema/generate-example", object{}, "body"},
		"an example of a bad one": {"/api/v1/event-type/schema/generate-example", object{"schema": object{"type": 1}}, "body.schema.type"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := s.in(t).post(c.path, c.body)
			if c.loc == "" {
				a.refused(400, "bad_request")
				return
			}
			a.wrong(c.loc)
		})
	}
}

func TestGenerateExample(t *testing.T) {
	t.Parallel()
	s := start(t)
	const path = "/api/v1/event-type/schema/generate-example"
	schema := object{"type": "object", "properties": object{"id": object{"type": "integer"}}}
	if a := s.post(path, object{"schema": schema}).want(200); strings.TrimSpace(a.text) != `{"example":{"id":1}}` {
		t.Error(a.text)
	}
	s.app("a")
	token := s.capable(s.world("w"), hook.ViewBase)
	s.call(token, "POST", path, object{"schema": schema}).want(200)
}

func TestPayloadsHaveToFitWhereTheApplicationWantsThat(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.eventType("order", object{"schemas": object{
		"1": object{"required": []string{"old"}},
		"2": object{"type": "object", "required": []string{"id"}, "properties": object{"id": object{"type": "integer"}}},
	}}).want(201)
	s.eventType("free", nil).want(201)
	strict, loose := s.app("strict"), s.app("loose")
	s.patch(strict, object{"enforceSchemas": true}).want(200)
	send := func(app, eventType, payload string) answer {
		return s.post(app+"/msg", `{"eventType":"`+eventType+`","payload":`+payload+`}`)
	}
	send(strict, "order", `{"id":1}`).want(202)
	send(strict, "order", `{}`).wrong("body.payload")
	send(strict, "order", `{"id":"x"}`).wrong("body.payload.id")
	send(strict, "order", `{"id":1,"id":2}`).wrong("body.payload")
	send(strict, "order", `{"id":1e999999999}`).wrong("body.payload")
	send(strict, "free", `{}`).want(202)
	send(strict, "unknown", `{}`).want(202)
	for _, payload := range []string{`{}`, `{"id":"x"}`, `{"id":1,"id":2}`, `{"id":1e999999999}`} {
		if a := send(loose, "order", payload).want(202); !strings.Contains(a.text, payload) {
			t.Errorf("%s became %s", payload, a.text)
		}
	}
	if n := len(s.get(strict + "/msg").want(200).json().list("data")); n != 3 {
		t.Errorf("%d messages were stored, want 3", n)
	}
	t.Log("a change of the schema, or of the wish, holds from the next message on")
	s.patch(eventTypesPath+"/order", object{"schemas": object{"3": object{"required": []string{"new"}}}}).want(200)
	send(strict, "order", `{"id":1}`).wrong("body.payload")
	send(strict, "order", `{"new":1}`).want(202)
	s.patch(strict, object{"enforceSchemas": false}).want(200)
	send(strict, "order", `{}`).want(202)
}
