package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

func TestRecoverRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{})
	now := time.Now()
	hourAgo := now.Add(-time.Hour)
	for name, c := range map[string]struct {
		ops  string
		body any
		loc  string
	}{
		"no beginning":               {"recover replay-missing bulk-replay", object{}, "body"},
		"a beginning of null":        {"recover replay-missing bulk-replay", object{"since": nil}, "body.since"},
		"a beginning that is none":   {"recover replay-missing bulk-replay", object{"since": "yesterday"}, "body.since"},
		"a number":                   {"recover replay-missing bulk-replay", object{"since": 1700000000}, "body.since"},
		"an impossible day":          {"recover replay-missing bulk-replay", object{"since": "2026-02-30T00:00:00Z"}, "body.since"},
		"a year of five digits":      {"recover replay-missing bulk-replay", object{"since": "10000-01-01T00:00:00Z"}, "body.since"},
		"a beginning in the future":  {"recover replay-missing bulk-replay", object{"since": now.Add(time.Hour)}, "body.since"},
		"an end before it":           {"recover replay-missing bulk-replay", object{"since": hourAgo, "until": hourAgo.Add(-time.Second)}, "body.until"},
		"an end at it":               {"recover replay-missing bulk-replay", object{"since": hourAgo, "until": hourAgo}, "body.until"},
		"an end that is none":        {"recover replay-missing bulk-replay", object{"since": hourAgo, "until": "soon"}, "body.until"},
		"three weeks back":           {"recover", object{"since": now.Add(-21 * 24 * time.Hour)}, "body.since"},
		"15 days before the end":     {"recover", object{"since": hourAgo.Add(-15 * 24 * time.Hour), "until": hourAgo}, "body.since"},
		"an event type that is none": {"bulk-replay", object{"since": hourAgo, "eventTypes": []string{"ok", " x"}}, "body.eventTypes.[1]"},
		"event types as a text":      {"bulk-replay", object{"since": hourAgo, "eventTypes": "order.created"}, "body.eventTypes"},
		"a channel that is none":     {"bulk-replay", object{"since": hourAgo, "channel": "a b"}, "body.channel"},
		"a tag that is none":         {"bulk-replay", object{"since": hourAgo, "tag": "a b"}, "body.tag"},
		"a status beyond all":        {"bulk-replay", object{"since": hourAgo, "status": 5}, "body.status"},
		"a status below all":         {"bulk-replay", object{"since": hourAgo, "status": []int{0, -1}}, "body.status"},
		"a status in words":          {"bulk-replay", object{"since": hourAgo, "status": "failed"}, "body.status"},
		"a class of status codes":    {"bulk-replay", object{"since": hourAgo, "statusCodeClass": 500}, "body.statusCodeClass"},
	} {
		t.Run(name, func(t *testing.T) {
			for op := range strings.SplitSeq(c.ops, " ") {
				s.in(t).post(ep+"/"+op, c.body).wrong(c.loc)
			}
		})
	}
	for op := range strings.SplitSeq("recover replay-missing bulk-replay", " ") {
		s.post(ep+"/"+op, `{"since":`).refused(400, "bad_request")
		s.post(app+"/endpoint/none/"+op, object{"since": hourAgo}).refused(404, "not_found")
		s.post("/api/v1/app/none/endpoint/x/"+op, object{"since": hourAgo}).refused(404, "not_found")
	}
	s.patch(ep, object{"disabled": true}).want(200)
	for op := range strings.SplitSeq("recover replay-missing bulk-replay", " ") {
		s.post(ep+"/"+op, object{"since": hourAgo}).refused(409, "conflict")
	}
	s.post(ep+"/send-example", object{"eventType": "svix.ping"}).refused(409, "conflict")
	if list := s.get("/api/v1/background-task").want(200).json().list("data"); len(list) != 0 {
		t.Errorf("a refused request began a task: %v", list)
	}
}

// work does all steps of a task, as the engine would.
func (s *server) work(id string) hook.Task {
	s.t.Helper()
	task := must(hook.ParseID[hook.TaskID](id))(s.t)
	for {
		k := must(s.store.StepTask(s.t.Context(), task, s.now(), s.now(), 2, func() int64 { return s.ids.Next(s.now()) }))(s.t)
		if k.State != hook.TaskRunning {
			return k
		}
	}
}

func TestRecoverReplayAndBulkReplay(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{})
	failed := hook.Attempt{Status: 500, Verdict: hook.Retry}
	send := func(body object, attempts ...hook.Attempt) string {
		id := s.send(app, body)
		s.tries(id, ep, nil, attempts...)
		return id
	}
	before := s.now().Add(-time.Hour)
	for i := range 3 {
		send(object{"tags": []string{fmt.Sprintf("t%d", i)}}, failed)
	}
	send(object{"eventType": "order.paid", "channels": []string{"vip"}}, hook.Attempt{Status: 200})
	s.patch(ep, object{"filterTypes": []string{"other"}}).want(200)
	missed := s.send(app, object{}) // never goes to the endpoint
	s.patch(ep, object{"filterTypes": nil}).want(200)

	for _, c := range []struct {
		name, op string
		body     object
		task     string
		done     int64
		data     string
	}{
		{"what failed", "recover", object{}, "endpoint.recover", 3, ""},
		{"what failed before it began", "recover", object{"until": before.Add(time.Minute)}, "endpoint.recover", 0, ""},
		{"what was missed", "replay-missing", object{}, "endpoint.replay", 1, ""},
		{"everything", "bulk-replay", object{}, "endpoint.bulk-replay", 5, ""},
		{"by event type", "bulk-replay", object{"eventTypes": []string{"order.paid"}}, "endpoint.bulk-replay", 1, `"eventTypes":["order.paid"]`},
		{"by channel", "bulk-replay", object{"channel": "vip"}, "endpoint.bulk-replay", 1, `"channel":"vip"`},
		{"by tag", "bulk-replay", object{"tag": "t1"}, "endpoint.bulk-replay", 1, `"tag":"t1"`},
		{"by status", "bulk-replay", object{"status": 2}, "endpoint.bulk-replay", 3, `"states":["failed"]`},
		{"by several statuses", "bulk-replay", object{"status": []int{0, 2}}, "endpoint.bulk-replay", 4, `"states":["delivered","failed"]`},
		{"by the two names of pending", "bulk-replay", object{"status": []int{1, 3}}, "endpoint.bulk-replay", 1, `"states":["pending"]`},
		{"by a status of none", "bulk-replay", object{"status": 4}, "endpoint.bulk-replay", 0, `"states":["canceled"]`},
		{"null everywhere", "bulk-replay", object{"status": nil, "tag": nil, "channel": nil, "eventTypes": nil, "until": nil, "statusCodeClass": nil},
			"endpoint.bulk-replay", 5, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.in(t)
			c.body["since"] = before
			begun := s.post(ep+"/"+c.op, c.body).want(202).json()
			if !begun.has("id", "status", "task", "updatedAt") || begun.str("status") != "running" || begun.str("task") != c.task {
				t.Fatalf("answered %v", begun)
			}
			path := "/api/v1/background-task/" + begun.str("id")
			if o := s.get(path).want(200).json(); o.str("status") != "running" || o.str("id") != begun.str("id") || o.str("task") != c.task {
				t.Errorf("reads %v", o)
			}
			s.work(begun.str("id"))
			a := s.get(path).want(200)
			data := a.json().obj("data")
			if a.json().str("status") != "finished" || data["done"] != float64(c.done) || !strings.Contains(a.text, c.data) {
				t.Errorf("afterwards %s, want %d done", a.text, c.done)
			}
			if data.str("appId") != app[len("/api/v1/app/"):] || data.str("endpointId") != ep[strings.LastIndex(ep, "/")+1:] || data.str("since") == "" {
				t.Errorf("does not say what it works on: %s", a.text)
			}
			// Each wish is fulfilled with the outcome that was there before, so that the next case finds the same.
			s.drain(ep)
		})
	}
	if list := s.get(app + "/msg/" + missed + "/delivery").want(200).json().list("data"); len(list) != 1 || list[0].str("state") != "pending" {
		t.Errorf("what was missed is not sent: %v", list)
	}
}

// drain forgets the resends that are wished for an endpoint: each is fulfilled by an attempt that failed.
func (s *server) drain(endpoint string) {
	s.t.Helper()
	ctx := s.t.Context()
	e := s.stored(endpoint)
	work, _, err := s.store.Claim(ctx, e.ID, s.now(), time.Minute, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, w := range work {
		if w.Trigger != hook.Manual {
			continue
		}
		now := s.now().UTC().Truncate(time.Millisecond)
		a := hook.Attempt{
			ID: hook.NewID[hook.AttemptID](s.ids, now), App: e.App, Message: w.Delivery.Message, Endpoint: e.ID, At: now,
			Trigger: hook.Manual, Status: 500, Verdict: hook.Retry,
		}
		o := hook.Outcome{Attempt: a, Delivery: w.Delivery.Step(hook.Retry, hook.Manual, now, nil, 0), Resend: w.Resend}
		if err := s.store.Finish(ctx, []hook.Outcome{o}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestARecoveryOfJustNowFindsWhatJustFailed(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{})
	m := s.send(app, object{})
	id := must(hook.ParseID[hook.MessageID](m))(t)
	s.tries(m, ep, nil, hook.Attempt{Status: 500, Verdict: hook.Retry})
	for until, want := range map[*time.Time]int64{nil: 1, ptr(id.Time()): 0, ptr(id.Time().Add(time.Millisecond)): 1} {
		body := object{"since": id.Time().Add(-time.Minute)}
		if until != nil {
			body["until"] = *until
		}
		if k := s.work(s.post(ep+"/recover", body).want(202).json().str("id")); k.Done != want {
			t.Errorf("until %v: %d done, want %d", until, k.Done, want)
		}
		s.drain(ep)
	}
	t.Log("14 days to the second, by a clock that is a little behind")
	s.post(ep+"/recover", object{"since": s.now().Add(-14*24*time.Hour - 4*time.Minute)}).want(202)
}

func ptr[T any](v T) *T { return &v }

func TestBackgroundTasks(t *testing.T) {
	t.Parallel()
	s := start(t)
	since := object{"since": time.Now().Add(-time.Hour)}
	var apps, tokens, eps [2]string
	for i, name := range []string{"a", "b"} {
		apps[i], tokens[i] = s.appToken(name)
		eps[i] = s.ep(apps[i], object{})
	}
	var ids []string
	for i, op := range []string{"recover", "replay-missing", "bulk-replay", "recover"} {
		ids = append(ids, s.call(tokens[i%2], "POST", eps[i%2]+"/"+op, since).want(202).json().str("id"))
	}
	s.work(ids[0])
	list := func(token, query string) string {
		t.Helper()
		var out string
		for _, k := range s.call(token, "GET", "/api/v1/background-task?"+query, nil).want(200).json().list("data") {
			for i, id := range ids {
				if k.str("id") == id {
					out += fmt.Sprint(i)
				}
			}
		}
		return out
	}
	for query, want := range map[string][3]string{ // for the organisation, a, b
		"":                                       {"3210", "20", "31"},
		"order=ascending":                        {"0123", "02", "13"},
		"order=descending&limit=1":               {"3", "2", "3"},
		"status=running":                         {"321", "2", "31"},
		"status=finished":                        {"0", "0", ""},
		"status=failed":                          {"", "", ""},
		"task=endpoint.recover":                  {"30", "0", "3"},
		"task=endpoint.replay":                   {"1", "", "1"},
		"task=endpoint.bulk-replay":              {"2", "2", ""},
		"task=sdk.generate":                      {"", "", ""},
		"task=endpoint.recover&status=running":   {"3", "", "3"},
		"status=running&order=ascending&limit=2": {"12", "2", "13"},
	} {
		for i, token := range []string{s.org, tokens[0], tokens[1]} {
			if got := list(token, query); got != want[i] {
				t.Errorf("%q, token %d: tasks %s, want %s", query, i, got, want[i])
			}
		}
	}
	t.Run("another application's task does not exist", func(t *testing.T) {
		s := s.in(t)
		s.call(tokens[0], "GET", "/api/v1/background-task/"+ids[0], nil).want(200)
		told := s.call(tokens[0], "GET", "/api/v1/background-task/"+ids[1], nil).refused(404, "not_found")
		if none := s.call(tokens[0], "GET", "/api/v1/background-task/qtask_0000000000001", nil).refused(404, "not_found"); none.text != told.text {
			t.Errorf("tells that it exists: %s", told.text)
		}
		s.get("/api/v1/background-task/nonsense").refused(404, "not_found")
	})
	t.Run("filters that are none", func(t *testing.T) {
		s := s.in(t)
		s.get("/api/v1/background-task?status=done").wrong("query.status")
		s.get("/api/v1/background-task?task=laundry").wrong("query.task")
		s.get("/api/v1/background-task?iterator=x").wrong("query.iterator")
		s.get("/api/v1/background-task?limit=1000").wrong("query.limit")
	})
	t.Run("pages in both directions", func(t *testing.T) {
		s := s.in(t)
		first := s.get("/api/v1/background-task?limit=3").want(200).json()
		second := s.get("/api/v1/background-task?limit=3&iterator=" + first.str("iterator")).want(200).json()
		back := s.get("/api/v1/background-task?limit=3&iterator=" + second.str("prevIterator")).want(200).json()
		if len(second.list("data")) != 1 || second["done"] != true || text(back["data"]) != text(first["data"]) {
			t.Errorf("%v then %v then %v", first, second, back)
		}
	})
	t.Run("a deleted endpoint ends its task", func(t *testing.T) {
		s := s.in(t)
		s.remove(eps[1]).want(204)
		k := s.work(ids[1])
		o := s.get("/api/v1/background-task/" + ids[1]).want(200).json()
		if k.State != hook.TaskFailed || o.str("status") != "failed" || o.obj("data").str("reason") == "" {
			t.Error(o)
		}
	})
}

func TestNobodyPilesUpTasks(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	ep, body := s.ep(app, object{}), object{"since": time.Now().Add(-time.Hour)}
	var last string
	for range 100 {
		last = s.call(token, "POST", ep+"/recover", body).want(202).json().str("id")
	}
	s.call(token, "POST", ep+"/recover", body).refused(429, "too_many_requests")
	s.post(ep+"/bulk-replay", body).refused(429, "too_many_requests")
	other := s.app("b")
	s.post(s.ep(other, object{})+"/recover", body).want(202)
	t.Log("one that is done makes room")
	s.work(last)
	s.call(token, "POST", ep+"/recover", body).want(202)
}

func TestARepeatedRecoveryIsOneTask(t *testing.T) {
	t.Parallel()
	s := start(t)
	ep := s.ep(s.app("a"), object{})
	for _, op := range []string{"recover", "replay-missing", "bulk-replay"} {
		ask := func() answer {
			return s.call(s.org, "POST", ep+"/"+op, object{"since": time.Now().Add(-time.Hour)}, "Idempotency-Key", "k").want(202)
		}
		if a, b := ask(), ask(); a.text != b.text {
			t.Errorf("%s: first %s, then %s", op, a.text, b.text)
		}
	}
	if list := s.get("/api/v1/background-task").want(200).json().list("data"); len(list) != 3 {
		t.Errorf("%d tasks", len(list))
	}
}
