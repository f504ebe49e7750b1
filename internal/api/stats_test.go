package api_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

func TestEndpointStats(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{})
	stats := func(query string) string {
		t.Helper()
		return strings.TrimSpace(s.get(ep + "/stats" + query).want(200).text)
	}
	if got := stats(""); got != `{"success":0,"pending":0,"sending":0,"fail":0,"canceled":0}` {
		t.Error(got)
	}
	failed := hook.Attempt{Status: 500, Verdict: hook.Retry}
	s.send(app, object{})
	s.tries(s.send(app, object{}), ep, []time.Duration{time.Hour}, failed)
	s.tries(s.send(app, object{}), ep, nil, failed)
	for range 3 {
		s.tries(s.send(app, object{}), ep, nil, hook.Attempt{Status: 200})
	}
	other := s.ep(app, object{"filterTypes": []string{"none"}})
	if got := stats(""); got != `{"success":3,"pending":2,"sending":0,"fail":1,"canceled":0}` {
		t.Error(got)
	}
	at := func(d time.Duration) string { return url.QueryEscape(s.now().Add(d).Format(time.RFC3339Nano)) }
	if got := stats("?since=" + at(-time.Hour) + "&until=" + at(-time.Second)); got != stats("") { // whole days count
		t.Error(got)
	}
	if got := stats("?until=" + at(-25*time.Hour)); got != `{"success":0,"pending":0,"sending":0,"fail":0,"canceled":0}` {
		t.Error(got)
	}
	t.Log("what is disabled has nothing pending")
	s.patch(ep, object{"disabled": true}).want(200)
	if got := stats(""); got != `{"success":3,"pending":0,"sending":0,"fail":1,"canceled":2}` {
		t.Error(got)
	}
	if got := strings.TrimSpace(s.get(other + "/stats").want(200).text); got != `{"success":0,"pending":0,"sending":0,"fail":0,"canceled":0}` {
		t.Error(got)
	}
	for name, query := range map[string]string{
		"29 days back":          "?since=" + at(-29*24*time.Hour),
		"29 days before an end": "?since=" + at(-40*24*time.Hour) + "&until=" + at(-11*24*time.Hour),
		"an end in the future":  "?until=" + at(time.Hour),
		"an end before":         "?since=" + at(-time.Hour) + "&until=" + at(-2*time.Hour),
		"the beginning of time": "?since=0001-01-02T00:00:00Z",
	} {
		t.Run(name, func(t *testing.T) { s.in(t).get(ep+"/stats"+query).refused(400, "invalid_range") })
	}
	s.get(ep + "/stats?since=" + at(-28*24*time.Hour-4*time.Minute)).want(200)
	s.get(ep + "/stats?since=yesterday").wrong("query.since")
	s.get(ep + "/stats?until=7").wrong("query.until")
	s.get(app+"/endpoint/none/stats").refused(404, "not_found")
}
