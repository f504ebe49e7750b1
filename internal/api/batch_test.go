package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/waypost/waypost/internal/api"
)

func TestBatchRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	good := `{"eventType":"e","payload":{}}`
	for name, c := range map[string]struct{ body, loc string }{
		"no messages":               {`{}`, "body.messages"},
		"an empty list":             {`{"messages":[]}`, "body.messages"},
		"messages that are no list": {`{"messages":{}}`, "body.messages"},
		"messages given twice":      {`{"messages":[` + good + `],"messages":[` + good + `]}`, "body.messages"},
		"a list instead of a body":  {`[` + good + `]`, "body"},
		"too many":                  {`{"messages":[` + strings.Repeat(good+",", 1000) + good + `]}`, "body.messages"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			s.post(app+"/msg/batch", c.body).wrong(c.loc)
		})
	}
	s.post(app+"/msg/batch", `{"messages":[`).refused(400, "bad_request")
	s.post("/api/v1/app/none/msg/batch", `{"messages":[`+good+`]}`).refused(404, "not_found")
	s.call(token, "POST", app+"/msg/batch", `{"messages":[`+good+`]}`).refused(403, "permission_denied")
	if n := len(s.get(app + "/msg").json().list("data")); n != 0 {
		t.Errorf("%d messages were stored", n)
	}
}

func TestAnApplicationThatDoesNotExistIsToldForEachMessage(t *testing.T) {
	t.Parallel()
	s := start(t)
	items := s.post("/api/v1/app/app_0am3n2kzm0000/msg/batch", `{"messages":[{"eventType":"e","payload":{}}]}`).want(202).json().list("data")
	if len(items) != 1 || items[0]["status"] != 404.0 || items[0].str("code") != "not_found" {
		t.Error(items)
	}
}

func TestABatchStoresWhatIsRightAndSaysWhatIsNot(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	s.ep(app, object{})
	s.send(app, object{"eventId": "known"})
	items := s.post(app+"/msg/batch", `{"messages":[
		{"eventType":"e","eventId":"m0","payload":{ "n" : 0.10 }},
		{"eventType":"","payload":{}},
		{"eventType":"e","eventId":"known","payload":{}},
		{"eventType":"e","eventId":"m3","payload":{"n":3}},
		{"eventType":"e","eventId":"m0","payload":{}},
		7,
		{"eventType":"e","payload":{},"application":{"name":"x","uid":"y"}},
		{"eventType":"e","eventId":"m7","payload":{},"channels":["a:b"],"tags":["t"]}
	]}`).want(202).json().list("data")
	want := []struct {
		status float64
		code   string
		detail string
	}{
		{202, "", ""}, {422, "validation", "eventType"}, {409, "conflict", "msg_"}, {202, "", ""}, {409, "conflict", items[0].str("id")},
		{422, "validation", "object"}, {422, "validation", "application"}, {202, "", ""},
	}
	if len(items) != len(want) {
		t.Fatal(items)
	}
	last := ""
	for i, w := range want {
		got := items[i]
		if got["status"] != w.status || got.str("code") != w.code || !strings.Contains(got.str("detail"), w.detail) || (got.str("id") != "") != (w.status == 202) {
			t.Errorf("message %d: %v, want %v", i, got, w)
		}
		if id := got.str("id"); id != "" {
			if id <= last {
				t.Errorf("message %d: %s is not behind %s", i, id, last)
			}
			last = id
			if m := s.get(app + "/msg/" + fmt.Sprintf("m%d", i)).want(200); m.json().str("id") != id {
				t.Errorf("message %d is %s", i, m.text)
			}
		}
	}
	if m := s.get(app + "/msg/m0"); !strings.Contains(m.text, `"payload":{ "n" : 0.10 }`) {
		t.Error("the bytes are others:", m.text)
	}
	if n := len(s.get(app + "/msg/m7/delivery").json().list("data")); n != 1 {
		t.Errorf("%d deliveries", n)
	}
}

func TestABatchOfAThousandIsStoredWhole(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	var all []string
	for i := range 1000 {
		all = append(all, fmt.Sprintf(`{"eventType":"e","eventId":"m%d","payload":{"n":%d}}`, i, i))
	}
	items := s.post(app+"/msg/batch", `{"messages":[`+strings.Join(all, ",")+`]}`).want(202).json().list("data")
	for i, item := range items {
		if item["status"] != 202.0 {
			t.Fatalf("message %d: %v", i, item)
		}
	}
	if len(items) != 1000 || s.get(app+"/msg/m999").want(200).json().str("id") != items[999].str("id") {
		t.Errorf("%d items", len(items))
	}
}

func TestARepeatedBatchGivesTheFirstAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *api.Options) { o.MaxBody = 1 << 16 })
	app := s.app("a")
	batch := func(key, body string) answer {
		return s.call(s.org, "POST", app+"/msg/batch", body, "Idempotency-Key", key)
	}
	first := batch("k", `{"messages":[{"eventType":"e","payload":{}},{"eventType":"","payload":{}},{"eventType":"f","payload":{}}]}`).want(202)
	if again := batch("k", `{"messages":[{"eventType":"g","payload":{}}]}`).want(202); again.text != first.text {
		t.Errorf("first %s, then %s", first.text, again.text)
	}
	if n := len(s.get(app + "/msg").json().list("data")); n != 2 {
		t.Errorf("%d messages", n)
	}
	t.Log("of a batch of which nothing was stored nothing is kept")
	s.send(app, object{"eventId": "known"})
	batch("l", `{"messages":[{"eventType":"","payload":{}}]}`).want(202)
	batch("m", `{"messages":[{"eventType":"e","eventId":"known","payload":{}}]}`).want(202)
	for _, key := range []string{"l", "m"} {
		if o := batch(key, `{"messages":[{"eventType":"e","payload":{}}]}`).want(202).json(); o.list("data")[0]["status"] != 202.0 {
			t.Error(key, o)
		}
	}
}
