package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/waypost/waypost/internal/api"
)

func TestWhatTheConfigurationDeclaresNeedsNoTokenAndIsMarked(t *testing.T) {
	t.Parallel()
	s := start(t)
	declare := func(method, path, body string) answer {
		r := httptest.NewRequestWithContext(api.Declaring(t.Context()), method, path, strings.NewReader(body))
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		return answer{t, method + " " + path, w.Code, w.Header(), w.Body.String()}
	}
	for _, c := range [][2]string{
		{"/api/v1/profile", `{"name":"x","uid":"x","dialect":"pandapon","settings":{"access_secret":"x"}}`},
		{"/api/v1/app", `{"name":"x","uid":"x"}`},
		{"/api/v1/app/x/source", `{"uid":"x","profile":"x"}`},
		{"/api/v1/app/x/endpoint", `{"uid":"x","url":"https://example.com/","profile":"x"}`},
	} {
		if o := declare("POST", c[0], c[1]).want(201).json(); o["managed"] != true {
			t.Errorf("%s is not marked: %v", c[0], o)
		}
	}
	t.Log("what the API changes stays the file's")
	if o := s.patch("/api/v1/app/x/endpoint/x", object{"description": "x"}).want(200).json(); o["managed"] != true {
		t.Error(o)
	}
	declare("POST", "/api/v1/app/x/msg", `{"eventType":"e","payload":{}}`).want(202)
}

func TestOrganisationGuardsOtherHandlers(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, token := s.appToken("a")
	guarded := s.api.Organisation(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for header, want := range map[string]int{"": 401, "Bearer x": 401, "Bearer " + token: 403, "Bearer " + s.org: 418} {
		r := httptest.NewRequest("GET", "/backup", nil)
		r.Header.Set("Authorization", header)
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: status %d, want %d", header, w.Code, want)
		}
	}
}
