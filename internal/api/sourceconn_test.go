package api_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/hook"
)

// platformSays is a server whose sources may all dial out, and whose platform answers so to what is sent to it.
func platformSays(answer hook.Produced, err error) api.Outgoing {
	return api.Outgoing{
		Check:   func(context.Context, string, hook.Settings, []string) error { return nil },
		Produce: func(context.Context, hook.Source, string, []byte) (hook.Produced, error) { return answer, err },
	}
}

// dialledSource is a source that dials out.
func dialledSource(s *server, app string) string {
	return app + "/source/" + s.post(app+"/source", object{"dialect": "pandapon", "transport": "longconn", "settings": object{"access_secret": "x"}}).want(201).json().str("id")
}

func TestHowASourceStandsIsShown(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	known := true
	var stands hook.Connection
	s := start(t, func(o *api.Options) {
		o.Outgoing.Connection = func(hook.SourceID) (hook.Connection, bool) { return stands, known }
	})
	src := dialledSource(s, s.app("a"))
	stands = hook.Connection{
		State: hook.ConnectionWaiting, Since: at, Wanted: 2, NextTry: at.Add(time.Minute), Trouble: "refused", Mend: "open the door", TroubleAt: at,
		Counts: hook.ConnectionCounts{Connects: 1, Reconnects: 2, Failures: 3, Frames: 4, Ignored: 5, Success: 6, Fail: 7, Unanswered: 8, Produced: 9},
	}
	want := `{"counts":{"acknowledged":6,"connects":1,"failures":3,"frames":4,"ignored":5,"produced":9,"reconnects":2,"refused":7,"unanswered":8},` +
		`"lastError":{"at":"2026-03-01T08:00:00Z","mend":"open the door","reason":"refused"},"nextTry":"2026-03-01T08:01:00Z","open":0,` +
		`"since":"2026-03-01T08:00:00Z","state":"waiting","wanted":2}`
	if got := text(s.get(src).want(200).json()["connection"]); got != want {
		t.Errorf("shown as %s,\nwant %s", got, want)
	}
	stands = hook.Connection{State: hook.ConnectionOpen, Since: at, Open: 1, Wanted: 1}
	shown := s.get(src).want(200).json()["connection"].(map[string]any)
	if shown["state"] != "connected" || shown["lastError"] != nil || shown["nextTry"] != nil {
		t.Errorf("shown as %v", shown)
	}
	known = false
	if shown := s.get(src).want(200).json()["connection"].(map[string]any); shown["state"] != "stopped" {
		t.Errorf("one that does not dial is shown as %v", shown)
	}

	t.Log("PUT keeps the transport that it does not name")
	if put := s.put(src, object{"name": "x"}).want(200).json(); put.str("transport") != "longconn" {
		t.Error(put)
	}
	if put := s.put(src, object{"transport": "http"}).want(200).json(); put.str("transport") != "http" || put["connection"] != nil {
		t.Error(put)
	}
}

func TestWhatKeepsASourceFromDiallingIsSaidWhereItIs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err error
		loc string
	}{
		"a setting":    {dialect.Problem{Field: "app_id", Text: "is needed"}, "body.settings.app_id"},
		"the dialect":  {dialect.Problem{Text: "must be alipay"}, "body.transport"},
		"the address":  {errors.New("10.0.0.1 is a private address"), "body.settings.longconn_server"},
		"this program": {nil, "body.transport"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(o *api.Options) {
				o.Outgoing.Check = func(context.Context, string, hook.Settings, []string) error { return tt.err }
				if tt.err == nil {
					o.Outgoing = api.Outgoing{}
				}
			})
			s.post(s.app("a")+"/source", object{"dialect": "pandapon", "transport": "longconn", "settings": object{"access_secret": "x"}}).wrong(tt.loc)
		})
	}
}

func TestAnswersToProduce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		said   hook.Produced
		err    error
		status int
		want   string
	}{
		"taken":      {hook.Produced{OK: true, MessageID: "m1"}, nil, 200, `{"code":null,"error":null,"messageId":"m1","status":"SUCCESS"}`},
		"refused":    {hook.Produced{Code: "40004", Text: "no such order"}, nil, 200, `{"code":"40004","error":"no such order","messageId":null,"status":"FAIL"}`},
		"no answer":  {hook.Produced{Unanswered: true, Text: "it was silent"}, nil, 504, `{"code":"no_answer","detail":"it was silent; it may have taken the message"}`},
		"not sent":   {hook.Produced{}, hook.Errorf(hook.KindUnavailable, "no connection"), 503, `{"code":"unavailable","detail":"no connection"}`},
		"not dialed": {hook.Produced{}, hook.Errorf(hook.KindConflict, "not longconn"), 409, `{"code":"conflict","detail":"not longconn"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent string
			s := start(t, func(o *api.Options) {
				o.Outgoing.Produce = func(_ context.Context, _ hook.Source, eventType string, content []byte) (hook.Produced, error) {
					sent = eventType + " " + string(content)
					return tt.said, tt.err
				}
			})
			src := dialledSource(s, s.app("a"))
			got := s.call(s.org, "POST", src+"/produce", `{"eventType":"a.b","payload":{ "n" : 1.0 }}`)
			if got.status != tt.status || text(got.json()) != tt.want || sent != `a.b { "n" : 1.0 }` {
				t.Errorf("%d %s, sent %q", got.status, got.text, sent)
			}
			s.post(src+"/produce", object{"eventType": "a.b", "payload": []int{1}}).wrong("body.payload")
			s.post(src+"/produce", object{"eventType": "", "payload": object{}}).wrong("body.eventType")
			s.post(src+"/produce", object{"eventType": "a.b"}).wrong("body")
		})
	}
}
