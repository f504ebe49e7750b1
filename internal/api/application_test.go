package api_test

import (
	"strings"
	"testing"
)

func TestApplicationRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.app("taken")
	for name, c := range map[string]struct {
		body object
		loc  string
	}{
		"no name":                         {object{}, "body"},
		"an empty name":                   {object{"name": ""}, "body.name"},
		"a name of another type":          {object{"name": 7}, "body.name"},
		"control characters in the name":  {object{"name": "a\x00b"}, "body.name"},
		"a uid with other characters":     {object{"name": "x", "uid": "a b"}, "body.uid"},
		"a uid that looks like an id":     {object{"name": "x", "uid": "app_0000000000001"}, "body.uid"},
		"a uid that looks like another's": {object{"name": "x", "uid": "ep_0000000000001"}, "body.uid"},
		"a rate of nothing":               {object{"name": "x", "throttleRate": 0}, "body.throttleRate"},
		"two rates":                       {object{"name": "x", "throttleRate": 1, "rateLimit": 2}, "body.rateLimit"},
		"too much metadata":               {object{"name": "x", "metadata": object{"a": strings.Repeat("x", 5000)}}, "body.metadata"},
		"metadata of another type":        {object{"name": "x", "metadata": object{"a": 1}}, "body.metadata.a"},
		"a network that is none":          {object{"name": "x", "allowCidrs": []string{"10.0.0.0/99"}}, "body.allowCidrs"},
		"a rate below nothing":            {object{"name": "x", "rateLimit": -1}, "body.rateLimit"},
		"a rate beyond all bounds":        {object{"name": "x", "throttleRate": 65536}, "body.throttleRate"},
		"a rate of half":                  {object{"name": "x", "throttleRate": 0.5}, "body.throttleRate"},
		"a name that is too long":         {object{"name": strings.Repeat("x", 257)}, "body.name"},
		"flags that are no list":          {object{"name": "x", "featureFlags": "a"}, "body.featureFlags"},
		"a flag with other characters":    {object{"name": "x", "featureFlags": []string{"a b"}}, "body.featureFlags.[0]"},
		"a great many flags":              {object{"name": "x", "featureFlags": make([]string, 101)}, "body.featureFlags"},
		"a schema rule that is a text":    {object{"name": "x", "enforceSchemas": "yes"}, "body.enforceSchemas"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			s.post("/api/v1/app", c.body).wrong(c.loc)
		})
	}
	t.Run("a uid that is taken is a conflict", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		s.post("/api/v1/app", object{"name": "x", "uid": "taken"}).refused(409, "conflict")
		other := s.app("other")
		s.put(other, object{"name": "x", "uid": "taken"}).refused(409, "conflict")
		s.patch(other, object{"uid": "taken"}).refused(409, "conflict")
	})
	t.Run("an unknown one is 404", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		for _, ref := range []string{"unknown", "app_0000000000001", "%20", "ep_0000000000001"} {
			s.get("/api/v1/app/"+ref).refused(404, "not_found")
			s.remove("/api/v1/app/"+ref).refused(404, "not_found")
			s.patch("/api/v1/app/"+ref, object{"name": "x"}).refused(404, "not_found")
		}
		s.put("/api/v1/app/app_0000000000001", object{"name": "x"}).refused(404, "not_found")
	})
	t.Run("a name cannot be taken away", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		s.patch(s.app("named"), `{"name":null}`).wrong("body.name")
	})
}

func TestApplicationLife(t *testing.T) {
	t.Parallel()
	s := start(t)
	made := s.post("/api/v1/app", object{
		"name": "Shop 17", "uid": "shop-17", "throttleRate": 5, "metadata": object{"a": "b"}, "allowCidrs": []string{"10.1.0.0/16"},
		"aMemberOfTheFuture": true,
	}).want(201).json()
	if !strings.HasPrefix(made.str("id"), "app_") || made["rateLimit"] != 5.0 || made["throttleRate"] != 5.0 || made.obj("metadata")["a"] != "b" {
		t.Fatal(made)
	}
	byID, byUID := s.get("/api/v1/app/"+made.str("id")).want(200), s.get("/api/v1/app/shop-17").want(200)
	if byID.text != byUID.text || text(byID.json()) != text(made) {
		t.Errorf("created %s, by id %s, by uid %s", text(made), byID.text, byUID.text)
	}

	t.Log("get_if_exists gives the one that is there, and does not change it")
	s.post("/api/v1/app", object{"name": "Other", "uid": "shop-17"}).refused(409, "conflict")
	again := s.post("/api/v1/app?get_if_exists=true", object{"name": "Other", "uid": "shop-17"}).want(200).json()
	if text(again) != text(made) {
		t.Errorf("%s instead of %s", text(again), text(made))
	}
	s.post("/api/v1/app?get_if_exists=true", object{"name": "New", "uid": "shop-18"}).want(201)

	t.Log("PATCH changes what is given")
	patched := s.patch("/api/v1/app/shop-17", `{"name":"Shop seventeen","throttleRate":null}`).want(200).json()
	if patched.str("name") != "Shop seventeen" || patched["throttleRate"] != nil || patched.obj("metadata")["a"] != "b" || patched.str("uid") != "shop-17" {
		t.Error(patched)
	}

	t.Log("PUT replaces, but keeps uid and additions that a client may not know")
	put := s.put("/api/v1/app/shop-17", object{"name": "Shop"}).want(200).json()
	if len(put.obj("metadata")) != 0 || put.str("uid") != "shop-17" || text(put["allowCidrs"]) != `["10.1.0.0/16"]` || put.str("createdAt") != made.str("createdAt") {
		t.Error(put)
	}

	t.Log("PUT to a new uid makes it")
	born := s.put("/api/v1/app/shop-19", object{"name": "Shop 19"}).want(201).json()
	if born.str("uid") != "shop-19" {
		t.Error(born)
	}
	s.put("/api/v1/app/shop-20", object{"name": "x", "uid": "another"}).wrong("body.uid")

	s.remove("/api/v1/app/shop-17").want(204)
	s.get("/api/v1/app/shop-17").refused(404, "not_found")
	s.post("/api/v1/app", object{"name": "Again", "uid": "shop-17"}).want(201)
}

// TestEachMemberOfAnApplicationIsChangedByItself holds every member against a PATCH that names it alone, and one that takes it away.
func TestEachMemberOfAnApplicationIsChangedByItself(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	for _, step := range []struct{ patch, member, want string }{
		{`{"name":"second"}`, "name", `"second"`},
		{`{"rateLimit":1}`, "rateLimit", "1"},
		{`{"rateLimit":null}`, "rateLimit", "null"},
		{`{"throttleRate":65535}`, "throttleRate", "65535"},
		{`{"throttleRate":null}`, "throttleRate", "null"},
		{`{"uid":"other.uid"}`, "uid", `"other.uid"`},
		{`{"uid":null}`, "uid", "null"},
		{`{"metadata":{"foo":"bar","bizz":"baz"}}`, "metadata", `{"bizz":"baz","foo":"bar"}`},
		{`{"metadata":{}}`, "metadata", "{}"},
		{`{"allowCidrs":["10.0.0.0/8"]}`, "allowCidrs", `["10.0.0.0/8"]`},
		{`{"allowCidrs":null}`, "allowCidrs", "[]"},
		{`{"featureFlags":["b","a","b"]}`, "featureFlags", `["a","b"]`},
		{`{"featureFlags":[]}`, "featureFlags", "[]"},
		{`{"featureFlags":null}`, "featureFlags", "null"},
		{`{"enforceSchemas":true}`, "enforceSchemas", "true"},
		{`{"enforceSchemas":null}`, "enforceSchemas", "false"},
	} {
		before := s.get(app).want(200).json()
		answered := s.patch(app, step.patch).want(200).json()
		after := s.get(app).want(200).json()
		if text(answered) != text(after) || text(after[step.member]) != step.want {
			t.Errorf("%s: %s is %s; answered %s", step.patch, step.member, text(after[step.member]), text(answered))
		}
		for _, own := range []string{step.member, "updatedAt", "rateLimit", "throttleRate"} {
			delete(before, own)
			delete(after, own)
		}
		if text(before) != text(after) {
			t.Errorf("%s changed more: %s, before %s", step.patch, text(after), text(before))
		}
	}
}

func TestAUIDOfAnApplicationGoesFromHandToHand(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, two := s.app("one"), s.post("/api/v1/app", object{"name": "no uid"}).want(201).json().str("id")
	s.put("/api/v1/app/"+two, object{"name": "x", "uid": "one"}).refused(409, "conflict")
	s.put("/api/v1/app/"+two, object{"name": "x", "uid": "two"}).want(200)
	s.put("/api/v1/app/two", object{"name": "x", "uid": "one"}).refused(409, "conflict")
	s.remove(one).want(204)
	s.put("/api/v1/app/two", object{"name": "x", "uid": "one"}).want(200)
	s.get("/api/v1/app/two").refused(404, "not_found")
	if o := s.get("/api/v1/app/one").want(200).json(); o.str("id") != two {
		t.Error(o)
	}
	s.put("/api/v1/app/one", object{"name": "x", "uid": nil}).want(200)
	s.get("/api/v1/app/one").refused(404, "not_found")
	s.post("/api/v1/app", object{"name": "x", "uid": "one"}).want(201)
}

func TestARepeatedCreationGivesTheFirstApplication(t *testing.T) {
	t.Parallel()
	s := start(t)
	create := func(key, name string) answer {
		return s.call(s.org, "POST", "/api/v1/app", object{"name": name}, "Idempotency-Key", key)
	}
	first := create("1", "unique").want(201)
	if again := create("1", "less unique").want(201); again.text != first.text {
		t.Errorf("first %s, then %s", first.text, again.text)
	}
	if other := create("2", "unique").want(201); other.text == first.text {
		t.Error("another key gave the first application")
	}
	if n := len(s.get("/api/v1/app").want(200).json().list("data")); n != 2 {
		t.Errorf("%d applications", n)
	}
}

func TestItsOwnTokenSeesAnApplicationWithoutTheOrganisationsNetworks(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	s.patch(app, object{"allowCidrs": []string{"10.1.0.0/16"}, "featureFlags": []string{"alpha"}}).want(200)
	o := s.call(token, "GET", app, nil).want(200).json()
	if text(o["allowCidrs"]) != "[]" || text(o["featureFlags"]) != `["alpha"]` {
		t.Error(o)
	}
}
