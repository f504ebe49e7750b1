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
