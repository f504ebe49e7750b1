package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

func TestAMessageMayBringItsApplicationAlong(t *testing.T) {
	t.Parallel()
	s := start(t)
	body := func(application string) string {
		return `{"eventType":"e","payload":{"n":1},"application":` + application + `}`
	}
	path := "/api/v1/app/shop-17"
	s.post(path+"/msg", `{"eventType":"e","payload":{}}`).refused(404, "not_found")
	s.post(path+"/msg", body("null")).refused(404, "not_found")
	for name, c := range map[string]struct{ application, loc string }{
		"without a uid":              {`{"name":"Shop"}`, "body.application.uid"},
		"with another uid":           {`{"name":"Shop","uid":"shop-18"}`, "body.application.uid"},
		"without a name":             {`{"uid":"shop-17"}`, "body.application"},
		"with an empty name":         {`{"uid":"shop-17","name":""}`, "body.application.name"},
		"with a name twice":          {`{"uid":"shop-17","name":"a","name":"b"}`, "body.application.name"},
		"with a name that is a list": {`{"uid":"shop-17","name":["a"]}`, "body.application.name"},
		"with a rate of nothing":     {`{"uid":"shop-17","name":"a","throttleRate":0}`, "body.application.throttleRate"},
		"with a bad uid":             {`{"uid":"shop 17","name":"a"}`, "body.application.uid"},
		"with two rates":             {`{"uid":"shop-17","name":"a","throttleRate":1,"rateLimit":2}`, "body.application.rateLimit"},
		"that is a text":             {`"shop-17"`, "body.application"},
	} {
		t.Run("but not one "+name, func(t *testing.T) {
			s := s.in(t)
			s.post(path+"/msg", body(c.application)).wrong(c.loc)
			s.get(path).refused(404, "not_found")
		})
	}
	t.Run("nor an id for it", func(t *testing.T) {
		s := s.in(t)
		s.post("/api/v1/app/app_0am3n2kzm0000/msg", body(`{"name":"Shop","uid":"shop-17"}`)).wrong("body.application.uid")
	})
	t.Run("and nothing is made when the message itself is wrong", func(t *testing.T) {
		s := s.in(t)
		s.post(path+"/msg", `{"eventType":"","payload":{},"application":{"name":"Shop","uid":"shop-17"}}`).wrong("body.eventType")
		s.get(path).refused(404, "not_found")
	})
	first := s.call(s.org, "POST", path+"/msg", body(`{"name":"Shop","uid":"shop-17","metadata":{"a":"b"}}`), "Idempotency-Key", "k").want(202)
	app := s.get(path).want(200).json()
	if app.str("name") != "Shop" || app.obj("metadata").str("a") != "b" {
		t.Error(app)
	}
	t.Run("one that is there stays as it is", func(t *testing.T) {
		s := s.in(t)
		s.post(path+"/msg", body(`{"name":"Other","uid":"shop-17"}`)).want(202)
		s.post("/api/v1/app/"+app.str("id")+"/msg", body(`{"name":"Other"}`)).want(202)
		if now := s.get(path).json(); text(now) != text(app) {
			t.Errorf("%v, before %v", now, app)
		}
	})
	t.Run("a repeat gives the first message again", func(t *testing.T) {
		s := s.in(t)
		again := s.call(s.org, "POST", path+"/msg", body(`{"name":"Shop","uid":"shop-17"}`), "Idempotency-Key", "k").want(202)
		if again.text != first.text {
			t.Errorf("first %s, then %s", first.text, again.text)
		}
	})
	t.Run("many at once make one application", func(t *testing.T) {
		s := s.in(t)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				s.post("/api/v1/app/rush/msg", body(`{"name":"Rush","uid":"rush"}`)).want(202)
			})
		}
		wg.Wait()
		if n := len(s.get("/api/v1/app/rush/msg").want(200).json().list("data")); n != 8 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestAMessageIsDeliveredWhenItSays(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	s.ep(app, object{})
	at := s.now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	later := s.post(app+"/msg", object{"eventType": "e", "payload": object{}, "deliverAt": at}).want(202).json()
	if later.str("deliverAt") != text(at)[1:len(text(at))-1] {
		t.Errorf("deliverAt is %s, want %s", later.str("deliverAt"), text(at))
	}
	for _, path := range []string{app + "/msg/" + later.str("id"), app + "/msg/" + later.str("id") + "?with_content=false"} {
		if got := s.get(path).want(200).json(); got.str("deliverAt") != later.str("deliverAt") {
			t.Error(got)
		}
	}
	due := func(id string) string {
		list := s.get(app + "/msg/" + id + "/delivery").want(200).json().list("data")
		if len(list) != 1 {
			t.Fatal(list)
		}
		return list[0].str("nextAttempt")
	}
	if due(later.str("id")) != later.str("deliverAt") {
		t.Errorf("due at %s", due(later.str("id")))
	}
	for name, given := range map[string]any{"what has passed": s.now().Add(-time.Hour), "null": nil} {
		now := s.post(app+"/msg", object{"eventType": "e", "payload": object{}, "deliverAt": given}).want(202).json()
		if v, there := now["deliverAt"]; v != nil || !there || due(now.str("id")) != now.str("timestamp") {
			t.Errorf("%s means %v, due at %s", name, now, due(now.str("id")))
		}
	}
}

func TestAPayloadIsKeptAsLongAsItsMessageSays(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	kept := map[string]string{
		"an hour": s.send(app, object{"payloadRetentionHours": 1}),
		"a day":   s.send(app, object{"payloadRetentionPeriod": 1}),
		"for now": s.send(app, object{"payloadRetentionPeriod": nil}),
	}
	there := func() (names string) {
		for _, name := range []string{"an hour", "a day", "for now"} {
			if !strings.Contains(s.get(app+"/msg/"+kept[name]).want(200).text, `"payload":{"expired":true}`) {
				names += name + ", "
			}
		}
		return names
	}
	sweep := func() {
		for more := true; more; {
			var err error
			if _, more, err = s.store.Sweep(t.Context(), store.Sweep{Now: s.now(), Limit: 100}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, step := range []struct {
		wait time.Duration
		want string
	}{
		{0, "an hour, a day, for now, "},
		{59 * time.Minute, "an hour, a day, for now, "},
		{2 * time.Minute, "a day, for now, "},
		{24 * time.Hour, "for now, "},
	} {
		s.advance(step.wait)
		if sweep(); there() != step.want {
			t.Errorf("%v later there are %s", step.wait, there())
		}
	}
	if o := s.get(app + "/msg/" + kept["an hour"]).json(); o.str("eventType") != "order.created" {
		t.Error("the rest went with it:", o)
	}
}

func TestContentIsExpunged(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	ep := s.ep(app, object{})
	msg := s.send(app, object{"eventId": "m1", "payload": object{"sensitive": "data"}})
	s.call(token, "DELETE", app+"/msg/m1/content", nil).refused(403, "permission_denied")
	s.remove(app+"/msg/none/content").refused(404, "not_found")
	for range 2 { // a second time changes nothing
		if a := s.remove(app + "/msg/m1/content").want(204); a.text != "" {
			t.Error(a.text)
		}
	}
	for _, path := range []string{app + "/msg/m1", app + "/msg/" + msg, app + "/msg", app + ep[strings.LastIndex(ep, "/endpoint"):] + "/msg"} {
		a := s.get(path).want(200)
		if !strings.Contains(a.text, `"payload":{"expired":true}`) || strings.Contains(a.text, "sensitive") || !strings.Contains(a.text, `"eventId":"m1"`) {
			t.Errorf("%s: %s", path, a.text)
		}
	}
	if d := s.get(app + "/msg/m1/delivery").json().list("data")[0]; d.str("state") != "canceled" {
		t.Error("what was pending is", d)
	}
}

func TestAnAnswerToAnAttemptIsExpunged(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	ep := s.ep(app, object{"uid": "main"})
	msg := s.send(app, object{"eventId": "m1"})
	other := s.send(app, object{})
	id := s.tries(msg, ep, nil, hook.Attempt{Status: 200, Verdict: hook.Success, Response: []byte(`{"sensitive":"data"}`)})[0]
	path := app + "/msg/m1/attempt/" + id
	before := s.get(path).json()
	s.call(token, "DELETE", path+"/content", nil).refused(403, "permission_denied")
	s.remove(app+"/msg/"+other+"/attempt/"+id+"/content").refused(404, "not_found")
	s.remove(app+"/msg/m1/attempt/nonsense/content").refused(404, "not_found")
	if s.get(path).json().str("response") == "EXPUNGED" {
		t.Fatal("a refused request took the answer")
	}
	for range 2 {
		s.remove(path + "/content").want(204)
	}
	after := s.get(path).json()
	if after.str("response") != "EXPUNGED" || strings.Contains(s.get(app+"/attempt/endpoint/main").text, "sensitive") {
		t.Error(after)
	}
	after["response"] = before["response"]
	if text(after) != text(before) {
		t.Errorf("more was changed: %v, before %v", after, before)
	}
}

func TestTheOperatorsOwnMailboxIsNobodysToPublishTo(t *testing.T) {
	t.Parallel()
	s := start(t)
	path := "/api/v1/app/" + hook.Operational.String()
	body := object{"eventType": "endpoint.created", "payload": object{}}
	s.post(path+"/msg", body).refused(404, "not_found")
	s.post(path+"/msg/batch", object{"messages": []object{body}}).refused(404, "not_found")
	s.get(path+"/msg").refused(404, "not_found")
	s.get(path+"/msg/none/endpoint").refused(404, "not_found")
	s.get(path).refused(404, "not_found")
}

func TestABodyThatIsTooLargeIsRefusedBeforeItIsRead(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *api.Options) { o.MaxBody = 4096 })
	app := s.app("a")
	large := `{"eventType":"e","payload":{"a":"` + strings.Repeat("payload-", 1000) + `"}}`
	for _, path := range []string{app + "/msg", app + "/msg/batch", "/api/v1/msg/broadcast"} {
		s.post(path, large).refused(http.StatusRequestEntityTooLarge, "payload_too_large")
	}
}

func TestAMessageFitsTheSchemaOfItsTypeWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.post("/api/v1/event-type", object{"name": "order.paid", "description": "x", "schemas": object{"1": object{
		"type": "object", "required": []string{"order"}, "properties": object{"order": object{"type": "integer"}},
	}}}).want(201)
	app := s.app("a")
	wrong := object{"eventType": "order.paid", "payload": object{"order": "seventeen"}}
	right := object{"eventType": "order.paid", "payload": object{"order": 17}}
	s.post(app+"/msg", wrong).want(202)
	s.patch(app, object{"enforceSchemas": true}).want(200)
	if a := s.post(app+"/msg", wrong).want(422); !strings.Contains(a.text, "payload") {
		t.Errorf("does not name the place: %s", a.text)
	}
	s.post(app+"/msg", right).want(202)
	s.post(app+"/msg", object{"eventType": "unknown", "payload": object{}}).want(202)
	items := s.post(app+"/msg/batch", object{"messages": []object{wrong, right}}).want(202).json().list("data")
	if items[0]["status"] != 422.0 || !strings.Contains(items[0].str("detail"), "payload") || items[1]["status"] != 202.0 {
		t.Error(items)
	}
	t.Log("a raw payload is the one that counts")
	raw := func(payload string) object {
		return object{"eventType": "order.paid", "payload": object{}, "transformationsParams": object{"rawPayload": payload}}
	}
	s.post(app+"/msg", raw(`{"order":"x"}`)).want(422)
	s.post(app+"/msg", raw(`{"order":1}`)).want(202)
	if n := len(s.get(app + "/msg").json().list("data")); n != 5 {
		t.Errorf("%d messages", n)
	}
}
