package api_test

import (
	"fmt"
	"testing"

	"github.com/waypost/waypost/internal/hook"
)

// steps does a task to its end, as an engine would.
func (s *server) steps(id string, n int) hook.Task {
	s.t.Helper()
	task, err := hook.ParseID[hook.TaskID](id)
	if err != nil {
		s.t.Fatal(err)
	}
	for range 100 {
		done, err := s.store.StepTask(s.t.Context(), task, s.now().UTC(), s.now(), n, func() int64 { return s.ids.Next(s.now()) })
		if err != nil {
			s.t.Fatal(err)
		}
		if done.State != hook.TaskRunning {
			return done
		}
	}
	s.t.Fatal("the task does not end")
	return hook.Task{}
}

func TestBroadcastRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, token := s.appToken("a")
	s.call(token, "POST", "/api/v1/msg/broadcast", `{"eventType":"e","payload":{}}`).refused(403, "permission_denied")
	s.call("", "POST", "/api/v1/msg/broadcast", `{"eventType":"e","payload":{}}`).refused(401, "authentication_failed")
	for body, loc := range map[string]string{
		`{"payload":{}}`:    "body.eventType",
		`{"eventType":"e"}`: "body.payload",
		`[]`:                "body",
		`{"eventType":"e","payload":{},"application":{"name":"x","uid":"x"}}`: "body.application",
		`{"eventType":"e","payload":{},"channels":[]}`:                        "body.channels",
	} {
		s.post("/api/v1/msg/broadcast", body).wrong(loc)
	}
	s.post("/api/v1/msg/broadcast", `{"eventType":`).refused(400, "bad_request")
	if tasks := must(s.store.RunningTasks(t.Context()))(t); len(tasks) != 0 {
		t.Errorf("%d tasks were started", len(tasks))
	}
}

func TestABroadcastReachesEveryApplication(t *testing.T) {
	t.Parallel()
	s := start(t)
	var apps []string
	for i := range 5 {
		app := s.app(fmt.Sprintf("app-%d", i))
		s.ep(app, object{"uid": "all"})
		s.ep(app, object{"uid": "some", "filterTypes": []string{"other"}})
		apps = append(apps, app)
	}
	s.send(apps[3], object{"eventId": "news-1"}) // this one knows the event id
	body := `{"eventType":"news","eventId":"news-1","payload":{ "n" : 0.10 },"channels":["c"],"tags":["t"],"platform":{"a":"b"}}`
	started := s.call(s.org, "POST", "/api/v1/msg/broadcast", body, "Idempotency-Key", "k").want(202)
	o := started.json()
	if o.str("status") != "running" || o.str("task") != "message.broadcast" || o.str("id") == "" {
		t.Fatal(started.text)
	}
	if again := s.call(s.org, "POST", "/api/v1/msg/broadcast", body, "Idempotency-Key", "k").want(202); again.text != started.text {
		t.Errorf("a repeat starts another: %s", again.text)
	}
	done := s.steps(o.str("id"), 2)
	if done.State != hook.TaskFinished || done.Looked != 5 || done.Done != 4 {
		t.Errorf("%s after %d looked at, %d done: %s", done.State, done.Looked, done.Done, done.Reason)
	}
	later := s.app("later")
	ids := map[string]bool{}
	for i, app := range apps {
		m := s.get(app + "/msg/news-1").want(200)
		if i == 3 {
			if m.json().str("eventType") != "order.created" {
				t.Error("a repeated event id was taken:", m.text)
			}
			continue
		}
		ids[m.json().str("id")] = true
		if o := m.json(); o.str("eventType") != "news" || o.obj("platform").str("a") != "b" || text(o["channels"]) != `["c"]` || text(o["tags"]) != `["t"]` {
			t.Error(m.text)
		}
		if n := len(s.get(app + "/msg/news-1/delivery").json().list("data")); n != 1 {
			t.Errorf("%d deliveries", n)
		}
	}
	if len(ids) != 4 {
		t.Errorf("%d ids for 4 copies", len(ids))
	}
	if n := len(s.get(later + "/msg").json().list("data")); n != 0 {
		t.Error("an application that was made later has it too")
	}
}
