package api_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const eventTypesPath = "/api/v1/event-type"

func (s *server) eventType(name string, body object) answer {
	s.t.Helper()
	if body == nil {
		body = object{}
	}
	body["name"] = name
	if _, ok := body["description"]; !ok {
		body["description"] = "what happened"
	}
	return s.post(eventTypesPath, body)
}

// names are the names of a list of event types.
func (a answer) names() []string {
	a.t.Helper()
	out := []string{}
	for _, o := range a.want(200).json().list("data") {
		out = append(out, o.str("name"))
	}
	return out
}

func TestEventTypes(t *testing.T) {
	t.Parallel()
	s := start(t)
	schemas := object{"1": object{"type": "object", "required": []string{"n"}}}
	made := s.eventType("order.created", object{"schemas": schemas, "featureFlag": "beta", "groupName": "order", "deprecated": true}).want(201)
	path := eventTypesPath + "/order.created"
	if got := s.get(path).want(200); got.text != made.text {
		t.Errorf("made %s, read %s", made.text, got.text)
	}
	o := made.json()
	if o.str("featureFlag") != "beta" || text(o["featureFlags"]) != `["beta"]` || o.str("groupName") != "order" || o["deprecated"] != true ||
		o["archived"] != false || text(o["schemas"]) != text(schemas) || o.str("createdAt") == "" || o.str("description") != "what happened" {
		t.Error(made.text)
	}
	s.eventType("order.created", nil).refused(409, "event_type_exists")
	s.get(eventTypesPath+"/none").refused(404, "not_found")
	s.patch(eventTypesPath+"/none", object{"description": "x"}).refused(404, "not_found")
	s.remove(eventTypesPath+"/none").refused(404, "not_found")

	t.Run("PATCH changes what is given", func(t *testing.T) {
		s := s.in(t)
		o := s.patch(path, object{"description": "other"}).want(200).json()
		if o.str("description") != "other" || text(o["schemas"]) != text(schemas) || o.str("featureFlag") != "beta" {
			t.Error(o)
		}
		if o := s.patch(path, object{"schemas": object{}}).want(200).json(); text(o["schemas"]) != "{}" || o.str("description") != "other" {
			t.Error(o)
		}
		o = s.patch(path, object{"schemas": nil, "featureFlag": nil, "groupName": nil}).want(200).json()
		if o["schemas"] != nil || o["featureFlag"] != nil || o["featureFlags"] != nil || o["groupName"] != nil || o["deprecated"] != true {
			t.Error(o)
		}
		if o := s.patch(path, object{"archived": true, "deprecated": false}).want(200).json(); o["archived"] != true || o["deprecated"] != false {
			t.Error(o)
		}
		s.patch(path, object{"archived": false}).want(200)
		for _, member := range []string{"description", "archived", "deprecated"} {
			s.patch(path, object{member: nil}).wrong("body." + member)
		}
	})
	t.Run("PUT replaces or creates", func(t *testing.T) {
		s := s.in(t)
		s.patch(path, object{"schemas": schemas, "featureFlags": []string{"a", "b"}, "groupName": "g", "deprecated": true}).want(200)
		t.Log("a client that knows the older name of flags keeps the others")
		if o := s.put(path, object{"description": "x", "featureFlag": "a"}).want(200).json(); text(o["featureFlags"]) != `["a","b"]` ||
			o["schemas"] != nil || o["groupName"] != nil || o["deprecated"] != false {
			t.Error(o)
		}
		if o := s.put(path, object{"description": "x", "featureFlag": "c"}).want(200).json(); text(o["featureFlags"]) != `["c"]` {
			t.Error(o)
		}
		if o := s.put(path, object{"description": "x"}).want(200).json(); o["featureFlags"] != nil {
			t.Error(o)
		}
		s.put(path, object{}).wrong("body")
		if o := s.put(eventTypesPath+"/new", object{"name": "ignored", "description": "x"}).want(201).json(); o.str("name") != "new" {
			t.Error(o)
		}
	})
	t.Run("DELETE archives, creating again brings back", func(t *testing.T) {
		s := s.in(t)
		s.eventType("gone", object{"schemas": schemas, "description": "first"}).want(201)
		created := s.get(eventTypesPath + "/gone").json().str("createdAt")
		s.remove(eventTypesPath + "/gone").want(204)
		s.remove(eventTypesPath + "/gone").want(204)
		if o := s.get(eventTypesPath + "/gone").want(200).json(); o["archived"] != true {
			t.Error(o)
		}
		if slices.Contains(s.get(eventTypesPath).names(), "gone") || !slices.Contains(s.get(eventTypesPath+"?include_archived=true").names(), "gone") {
			t.Error("an archived type is listed, or not listed when asked for")
		}
		o := s.eventType("gone", object{"description": "second"}).want(201).json()
		if o["archived"] != false || o.str("description") != "second" || o["schemas"] != nil || o.str("createdAt") != created {
			t.Error(o)
		}
		s.eventType("gone", nil).refused(409, "event_type_exists")
		s.remove(eventTypesPath + "/gone?expunge=true").want(204)
		s.get(eventTypesPath+"/gone").refused(404, "not_found")
	})
	t.Run("messages of an archived type are taken", func(t *testing.T) {
		s := s.in(t)
		app := s.app("a")
		s.eventType("old", nil).want(201)
		s.remove(eventTypesPath + "/old").want(204)
		s.send(app, object{"eventType": "old"})
	})
}

func TestSchemasKeepTheirBytes(t *testing.T) {
	t.Parallel()
	s := start(t)
	const schemas = `{"1": {"type":"object",  "maximum": 1.0e2, "title":"<\u00e9>"}}`
	s.post(eventTypesPath, `{"name":"a","description":"x","schemas":`+schemas+`}`).want(201)
	if a := s.get(eventTypesPath + "/a").want(200); !strings.Contains(a.text, schemas) && text(a.json()["schemas"]) == "null" {
		t.Error(a.text)
	}
	list := s.get(eventTypesPath + "?with_content=true").want(200).json().list("data")
	if text(list[0]["schemas"]) == "null" {
		t.Error("with_content=true shows no schemas")
	}
	if list := s.get(eventTypesPath).want(200).json().list("data"); list[0]["schemas"] != nil {
		t.Error("schemas are shown that were not asked for")
	}
}

func TestNamesOfEventTypesAreKeptVerbatim(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, name := range []string{"ORDER_CREATE", "alipay.open.mini.version.audit.passed", "a/b", "order created", "订单.创建", "-dash", "+plus", "%41", "a..b"} {
		s.eventType(name, nil).want(201)
		path := eventTypesPath + "/" + url.PathEscape(name)
		if o := s.get(path).want(200).json(); o.str("name") != name {
			t.Errorf("%q: %v", name, o)
		}
		s.patch(path, object{"deprecated": true}).want(200)
	}
}

func TestEventTypesByPages(t *testing.T) {
	t.Parallel()
	s := start(t)
	var want []string
	for i := range 7 {
		for _, prefix := range []string{"-", "+", "a"} {
			name := fmt.Sprintf("%s%d", prefix, i)
			want = append(want, name)
			s.eventType(name, nil).want(201)
		}
		s.eventType(fmt.Sprintf("archived%d", i), nil).want(201)
		s.remove(fmt.Sprintf("%s/archived%d", eventTypesPath, i)).want(204)
	}
	slices.Sort(want)
	for _, order := range []string{"ascending", "descending"} {
		var forward, back []string
		query := "?limit=4&order=" + order
		var last object
		for it := ""; ; it = last.str("iterator") {
			a := s.get(eventTypesPath + query + "&iterator=" + url.QueryEscape(it)).want(200)
			last = a.json()
			forward = append(forward, a.names()...)
			if last["done"] == true {
				break
			}
		}
		for it := last.str("prevIterator"); ; {
			a := s.get(eventTypesPath + query + "&iterator=" + url.QueryEscape(it)).want(200)
			back = append(a.names(), back...)
			if it = a.json().str("prevIterator"); a.json()["done"] == true {
				break
			}
		}
		expected := slices.Clone(want)
		if order == "descending" {
			slices.Reverse(expected)
		}
		if !slices.Equal(forward, expected) {
			t.Errorf("%s: %v, want %v", order, forward, expected)
		}
		if most := len(expected) - 1; !slices.Equal(back, expected[:len(back)]) || len(back) < most-4 {
			t.Errorf("%s, back: %v", order, back)
		}
	}
	s.get(eventTypesPath + "?limit=0").wrong("query.limit")
	s.get(eventTypesPath + "?limit=251").wrong("query.limit")
}

func TestBadEventTypes(t *testing.T) {
	t.Parallel()
	s := start(t)
	long := strings.Repeat("x", 5000)
	for name, c := range map[string]struct{ body, loc string }{
		"no body":                 {"", ""},
		"no JSON":                 {"{", ""},
		"not UTF-8":               {"{\"name\":\"\xff\",\"description\":\"x\"}", ""},
		"no object":               {`[]`, "body"},
		"no name":                 {`{"description":"x"}`, "body"},
		"an empty name":           {`{"name":"","description":"x"}`, "body.name"},
		"a name with a space":     {`{"name":" a","description":"x"}`, "body.name"},
		"a control character":     {`{"name":"a\u0000","description":"x"}`, "body.name"},
		"a name too long":         {`{"name":"` + long[:257] + `","description":"x"}`, "body.name"},
		"a name too many bytes":   {`{"name":"` + strings.Repeat("订", 90) + `","description":"x"}`, "body.name"},
		"no description":          {`{"name":"a"}`, "body"},
		"a number as description": {`{"name":"a","description":1}`, "body.description"},
		"a description too long":  {`{"name":"a","description":"` + long + `"}`, "body.description"},
		"control in description":  {`{"name":"a","description":"\u0001"}`, "body.description"},
		"a text as archived":      {`{"name":"a","description":"x","archived":"yes"}`, "body.archived"},
		"a bad flag":              {`{"name":"a","description":"x","featureFlag":"a b"}`, "body.featureFlag"},
		"a bad flag of several":   {`{"name":"a","description":"x","featureFlags":["a b"]}`, "body.featureFlags.[0]"},
		"two flags that disagree": {`{"name":"a","description":"x","featureFlag":"a","featureFlags":["b"]}`, "body.featureFlag"},
		"a bad group":             {`{"name":"a","description":"x","groupName":"a b"}`, "body.groupName"},
		"schemas no object":       {`{"name":"a","description":"x","schemas":[]}`, "body.schemas"},
		"a member twice":          {`{"name":"a","name":"b","description":"x"}`, "400 body.name"},
		"a schema's member twice": {`{"name":"a","description":"x","schemas":{"1":{"type":"object","type":"array"}}}`, "400 body.schemas.1.type"},
		"a huge number":           {`{"name":"a","description":"x","schemas":{"1":{"minimum":1e999999999}}}`, "400 body.schemas.1.minimum"},
		"a long number":           {`{"name":"a","description":"x","schemas":{"1":{"minimum":` + strings.Repeat("1", 500) + `}}}`, "400 body.schemas.1.minimum"},
		"too deep": {`{"name":"a","description":"x","schemas":{"1":` + strings.Repeat(`{"not":`, 150) + `{}` + strings.Repeat("}", 150) + `}}`,
			"400 body.schemas.1" + strings.Repeat(".not", 98)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			var body any = c.body
			if c.body == "" {
				body = nil
			}
			a := s.post(eventTypesPath, body)
			if loc, ok := strings.CutPrefix(c.loc, "400"); ok || loc == "" {
				a.refused(400, "bad_request")
				if !strings.Contains(a.json().str("detail"), strings.TrimSpace(loc)) {
					t.Errorf("does not name %s: %s", loc, a.text)
				}
				return
			}
			a.wrong(c.loc)
		})
	}
	s.put(eventTypesPath+"/"+url.PathEscape(" a"), object{"description": "x"}).wrong("path.event_type_name")
	s.put(eventTypesPath+"/"+strings.Repeat("a", 300), object{"description": "x"}).wrong("path.event_type_name")
}

func TestFeatureFlags(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.eventType("open", nil).want(201)
	s.eventType("foo", object{"featureFlag": "foo"}).want(201)
	s.eventType("either", object{"featureFlags": []string{"foo", "bar"}}).want(201)
	s.post("/api/v1/app", object{"name": "free", "uid": "free"}).want(201)
	s.post("/api/v1/app", object{"name": "none", "uid": "none", "featureFlags": []string{}}).want(201)
	s.post("/api/v1/app", object{"name": "bar", "uid": "bar", "featureFlags": []string{"bar"}}).want(201)
	portal := func(app string, flags any) string {
		return s.post("/api/v1/auth/app-portal-access/"+app, object{"featureFlags": flags}).want(200).json().str("token")
	}
	plain := func(app string) string {
		return s.post("/api/v1/token", object{"name": "x", "app": app}).want(201).json().str("token")
	}
	for name, c := range map[string]struct {
		app, token string
		sees       []string
	}{
		"a token of an unrestricted application":               {"free", plain("free"), []string{"either", "foo", "open"}},
		"the portal of an unrestricted application, no flags":  {"free", portal("free", []string{}), []string{"open"}},
		"the portal of an unrestricted application, one flag":  {"free", portal("free", []string{"bar"}), []string{"either", "open"}},
		"the portal of an unrestricted application, both":      {"free", portal("free", []string{"bar", "foo"}), []string{"either", "foo", "open"}},
		"the portal of an unrestricted application, a third":   {"free", portal("free", []string{"baz"}), []string{"open"}},
		"a token of an application without flags":              {"none", plain("none"), []string{"open"}},
		"a token of an application with one":                   {"bar", plain("bar"), []string{"either", "open"}},
		"the portal of an application with one":                {"bar", portal("bar", []string{}), []string{"either", "open"}},
		"the portal of an application with one, and its other": {"bar", portal("bar", []string{"foo"}), []string{"either", "foo", "open"}},
		"the organisation": {"none", s.org, []string{"either", "foo", "open"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			if got := s.call(c.token, "GET", eventTypesPath, nil).names(); !slices.Equal(got, c.sees) {
				t.Errorf("sees %v, want %v", got, c.sees)
			}
			for _, name := range []string{"open", "foo", "either"} {
				one := s.call(c.token, "GET", eventTypesPath+"/"+name, nil)
				ep := s.call(c.token, "POST", "/api/v1/app/"+c.app+"/endpoint", object{"url": goodURL, "filterTypes": []string{name}})
				if slices.Contains(c.sees, name) {
					one.want(200)
					ep.want(201)
					continue
				}
				none := s.call(c.token, "GET", eventTypesPath+"/unknown", nil)
				if one.refused(404, "not_found"); one.text != none.text {
					t.Errorf("tells that the type exists: %s, else %s", one.text, none.text)
				}
				ep.wrong("body.filterTypes")
				unknown := s.call(c.token, "POST", "/api/v1/app/"+c.app+"/endpoint", object{"url": goodURL, "filterTypes": []string{"unknown"}})
				if told := strings.ReplaceAll(ep.text, name, "unknown"); told != unknown.text {
					t.Errorf("tells that the type exists: %s, else %s", told, unknown.text)
				}
			}
		})
	}
}

func TestMessagesOfATypeGoToThoseWhoMayHaveIt(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.eventType("paid", object{"featureFlag": "plan"}).want(201)
	for _, c := range []struct {
		flags any
		gets  int
	}{{nil, 1}, {[]string{}, 0}, {[]string{"other"}, 0}, {[]string{"plan"}, 1}} {
		app := "/api/v1/app/" + s.post("/api/v1/app", object{"name": "x", "featureFlags": c.flags}).want(201).json().str("id")
		s.ep(app, object{})
		msg := s.send(app, object{"eventType": "paid"})
		if n := len(s.get(app + "/msg/" + msg + "/delivery").want(200).json().list("data")); n != c.gets {
			t.Errorf("flags %v: %d deliveries, want %d", c.flags, n, c.gets)
		}
	}
	t.Log("a change holds from the next message on")
	app := "/api/v1/app/" + s.post("/api/v1/app", object{"name": "x", "featureFlags": []string{}}).want(201).json().str("id")
	s.ep(app, object{})
	deliveries := func(eventType string) int {
		return len(s.get(app + "/msg/" + s.send(app, object{"eventType": eventType}) + "/delivery").want(200).json().list("data"))
	}
	if deliveries("paid") != 0 {
		t.Error("delivered")
	}
	s.patch(eventTypesPath+"/paid", object{"featureFlag": nil}).want(200)
	if deliveries("paid") != 1 {
		t.Error("not delivered though no flag is needed any more")
	}
	s.patch(eventTypesPath+"/paid", object{"featureFlag": "plan"}).want(200)
	s.patch(app, object{"featureFlags": []string{"plan"}}).want(200)
	if deliveries("paid") != 1 {
		t.Error("not delivered though the flag is held")
	}
}

func TestImportOpenAPI(t *testing.T) {
	t.Parallel()
	s := start(t)
	const path = eventTypesPath + "/import/openapi"
	spec := object{
		"openapi": "3.1.0",
		"webhooks": object{
			"pet.new": object{"post": object{"description": "A new pet", "requestBody": object{"content": object{"application/json": object{
				"schema": object{"type": "object", "properties": object{"pet": object{"$ref": "#/components/schemas/Pet"}}}}}}}},
			"pet.gone": object{"post": object{"summary": "No more", "deprecated": true}},
		},
		"components": object{"schemas": object{
			"Pet":    object{"type": "object", "required": []string{"name"}, "properties": object{"owner": object{"$ref": "#/components/schemas/Owner"}}},
			"Owner":  object{"type": "object"},
			"Unused": object{"type": "object"},
		}},
	}
	s.eventType("old", nil).want(201)
	s.eventType("pet.gone", object{"featureFlag": "kept"}).want(201)
	s.remove(eventTypesPath + "/pet.gone").want(204)

	for _, member := range []string{"dryRun", "dry_run"} {
		o := s.post(path, object{"spec": spec, member: true}).want(200).json().obj("data")
		if text(o["modified"]) != "[]" || len(object(o).list("to_modify")) != 2 {
			t.Error(o)
		}
	}
	s.get(eventTypesPath+"/pet.new").refused(404, "not_found")

	if o := s.post(path, object{"spec": spec}).want(200).json().obj("data"); text(o["modified"]) != `["pet.gone","pet.new"]` || o["to_modify"] != nil {
		t.Error(o)
	}
	made := s.get(eventTypesPath + "/pet.new").want(200)
	if o := made.json(); o.str("description") != "A new pet" || strings.Contains(made.text, "Unused") || !strings.Contains(made.text, "Owner") {
		t.Error(made.text)
	}
	if o := s.get(eventTypesPath + "/pet.gone").want(200).json(); o["archived"] != false || o["deprecated"] != true || o.str("featureFlag") != "kept" {
		t.Error(o)
	}
	s.post("/api/v1/app", object{"name": "a", "uid": "a", "enforceSchemas": true}).want(201)
	s.post("/api/v1/app/a/msg", object{"eventType": "pet.new", "payload": object{"pet": object{"name": "x"}}}).want(202)
	s.post("/api/v1/app/a/msg", object{"eventType": "pet.new", "payload": object{"pet": object{}}}).wrong("body.payload.pet")

	t.Log("YAML, x-webhooks, replaceAll")
	yaml := "openapi: 3.0.0\nx-webhooks:\n  only:\n    post:\n      requestBody:\n        content:\n          application/json:\n            schema: {type: object}\n"
	s.post(path, object{"specRaw": yaml, "replaceAll": true}).want(200)
	if got := s.get(eventTypesPath).names(); !slices.Equal(got, []string{"only"}) {
		t.Error(got)
	}
	if got := s.get(eventTypesPath + "?include_archived=true").names(); !slices.Equal(got, []string{"old", "only", "pet.gone", "pet.new"}) {
		t.Error(got)
	}

	t.Log("what is refused")
	s.post(path, object{}).refused(400, "bad_request")
	s.post(path, object{"spec": spec, "specRaw": yaml}).refused(400, "bad_request")
	s.post(path, object{"spec": object{"openapi": "3.1.0"}}).wrong("body.spec.webhooks")
	s.post(path, object{"specRaw": "{"}).wrong("body.specRaw")
	s.post(path, object{"specRaw": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c]\n" +
		"e: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f]\n"}).wrong("body.specRaw")
	s.post(path, object{"specRaw": "webhooks:\n  a:\n    post:\n      requestBody: {content: {application/json: {schema: {1: x}}}}\n"}).want2xx()
	s.post(path, object{"spec": object{"webhooks": object{" a": object{"post": object{}}}}}).wrong("body.spec.webhooks. a")
	s.post(path, object{"spec": object{"webhooks": object{"a": object{"get": object{}}}}}).wrong("body.spec.webhooks.a.post")
	bad := object{"webhooks": object{"a": object{"post": object{"requestBody": object{"content": object{"application/json": object{"schema": object{"type": 1}}}}}}}}
	s.post(path, object{"spec": bad}).wrong("body.spec.webhooks.a.schemas.1.type")
	s.get(eventTypesPath + "/a").want2xx()
}
