package api_test

import (
	"strings"
	"testing"
)

// What a developer read of an endpoint may be written back with the same token, also where the organisation had it listen to types
// that the token may not choose.
func TestAnEndpointIsWrittenBackAsItWasRead(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.eventType("open", nil).want(201)
	s.eventType("paid", object{"featureFlag": "plan"}).want(201)
	s.eventType("other", object{"featureFlag": "plan"}).want(201)
	app := s.app("a")
	token := s.post("/api/v1/auth/app-portal-access/a", nil).want(200).json().str("token")
	ep := s.ep(app, object{"filterTypes": []string{"paid", "gone"}})

	s.call(token, "PUT", ep, object{"url": goodURL, "filterTypes": []string{"gone", "paid"}}).want(200)
	s.call(token, "PATCH", ep, object{"filterTypes": []string{"open", "paid"}}).want(200)
	t.Log("what is new must be there and allowed, and what was given up cannot be had again")
	for _, fresh := range []string{"other", "unknown", "gone"} {
		a := s.call(token, "PATCH", ep, object{"filterTypes": []string{"open", "paid", fresh}}).wrong("body.filterTypes")
		if !strings.Contains(a.text, fresh) || strings.Contains(a.text, "paid") {
			t.Error(a.text)
		}
	}
	s.call(token, "PATCH", ep, object{"filterTypes": []string{"open"}}).want(200)
	s.call(token, "PATCH", ep, object{"filterTypes": []string{"paid"}}).wrong("body.filterTypes")
}

func TestNamesOfTokensAreText(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, name := range []string{"a\nb", "\x00", "\x1b[2J", "\u009b"} {
		s.post("/api/v1/token", object{"name": name}).wrong("body.name")
	}
	s.post("/api/v1/token", object{"name": "门户 of shop 17"}).want(201)
}

func TestARefusedSettingIsNamed(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, value := range []string{`{"k":{"b":1}}`, `{"k":[[1]]}`, `{"k":[null]}`} {
		a := s.post("/api/v1/profile", `{"name":"x","dialect":"standard","settings":`+value+`}`).want(422)
		if !strings.Contains(a.text, "settings.k") {
			t.Errorf("%s: %s", value, a.text)
		}
	}
}
