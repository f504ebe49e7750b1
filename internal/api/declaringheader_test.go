package api_test

import (
	"testing"

	"github.com/waypost/waypost/internal/api"
)

func TestTheDeclaringHeaderMarksWhatTheOrganisationWrites(t *testing.T) {
	t.Parallel()
	s := start(t)
	path, token := s.appToken("a")
	if o := s.call(s.org, "PUT", "/api/v1/app/x", object{"name": "x"}, api.DeclaringHeader, "true").want(201).json(); o["managed"] != true {
		t.Errorf("not marked: %v", o)
	}
	if o := s.call(s.org, "POST", "/api/v1/app", object{"name": "y", "uid": "y"}).want(201).json(); o["managed"] != false {
		t.Errorf("marked without the header: %v", o)
	}
	t.Log("an application's token gains nothing by it")
	s.call(token, "POST", "/api/v1/app", object{"name": "z"}, api.DeclaringHeader, "true").want(403)
	s.call(token, "GET", "/api/v1/app/x", nil, api.DeclaringHeader, "true").want(404)
	o := s.call(token, "POST", path+"/endpoint", object{"url": "https://example.com/"}, api.DeclaringHeader, "true").want(201).json()
	if o["managed"] != false || o["publicOnly"] != true {
		t.Errorf("%v", o)
	}
	t.Log("nobody is let in by it")
	s.call("", "GET", "/api/v1/app", nil, api.DeclaringHeader, "true").want(401)
	s.call("wrong", "GET", "/api/v1/app", nil, api.DeclaringHeader, "true").want(401)
}
