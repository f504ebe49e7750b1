package api_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// tries records attempts of a message to an endpoint, as an engine would, and returns their ids.
func (s *server) tries(message, endpoint string, schedule []time.Duration, all ...hook.Attempt) []string {
	s.t.Helper()
	ctx := s.t.Context()
	m, err := hook.ParseID[hook.MessageID](message)
	if err != nil {
		s.t.Fatal(err)
	}
	ep, err := hook.ParseID[hook.EndpointID](endpoint[strings.LastIndex(endpoint, "/")+1:])
	if err != nil {
		s.t.Fatal(err)
	}
	loaded := must(s.store.Load(ctx, m))(s.t)
	var ids []string
	for _, a := range all {
		s.advance(time.Second)
		d := hook.Delivery{App: loaded.App, Message: m, Endpoint: ep}
		for _, known := range must(s.store.Deliveries(ctx, loaded.App, m))(s.t) {
			if known.Endpoint == ep {
				d = known
			}
		}
		now := s.now().UTC().Truncate(time.Millisecond)
		d = d.Step(a.Verdict, a.Trigger, now, schedule, 0)
		a.ID, a.App, a.Message, a.Endpoint, a.EventType = hook.NewID[hook.AttemptID](s.ids, now), loaded.App, m, ep, loaded.EventType
		a.At, a.NextAt, a.URL, a.Duration, a.N = now, d.NextAt, goodURL, 12*time.Millisecond, d.Attempts
		if a.Trigger == hook.Manual {
			a.N = 0
		}
		if err := s.store.Finish(ctx, []hook.Outcome{{Attempt: a, Delivery: d}}); err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, a.ID.String())
	}
	return ids
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep, other := s.ep(app, object{"uid": "main"}), s.ep(app, object{"uid": "second"})
	msg := s.send(app, object{"eventId": "m1", "channels": []string{"vip"}, "tags": []string{"red"}})
	schedule := []time.Duration{time.Minute, time.Minute}
	ids := s.tries(msg, ep, schedule,
		hook.Attempt{Status: 0, Verdict: hook.Retry, Reason: "connection refused"},
		hook.Attempt{Status: 500, Verdict: hook.Retry, Reason: "answered 500", Response: []byte("o\xffps")},
		hook.Attempt{Status: 200, Verdict: hook.Success, Reason: "answered 200 OK", Response: []byte("fine"), Trigger: hook.Manual},
	)
	second := s.tries(msg, other, nil, hook.Attempt{Status: 410, Verdict: hook.Gone, Reason: "answered 410 Gone"})

	t.Run("are shown in Svix's shape with what we add", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		o := s.get(app + "/msg/m1/attempt/" + ids[1]).want(200).json()
		for name, want := range map[string]string{
			"id": text(ids[1]), "msgId": text(msg), "endpointId": text(ep[strings.LastIndex(ep, "/")+1:]), "url": text(goodURL),
			"responseStatusCode": "500", "responseDurationMs": "12", "response": `"o` + "\uFFFD" + `ps"`, "status": "2", "statusText": `"fail"`,
			"triggerType": "0", "verdict": `"retry"`, "reason": `"answered 500"`, "number": "2", "eventType": `"order.created"`,
		} {
			if got := text(o[name]); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
		if o.str("nextAttempt") == "" || o.str("timestamp") == "" {
			t.Error(o)
		}
		last := s.get(app + "/msg/m1/attempt/" + ids[2]).json()
		if last["status"] != 0.0 || last.str("statusText") != "success" || last["triggerType"] != 1.0 || last["nextAttempt"] != nil || last["number"] != 0.0 {
			t.Error(last)
		}
	})
	t.Run("that are not of the message are 404", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		elsewhere := s.send(app, object{})
		s.get(app+"/msg/"+elsewhere+"/attempt/"+ids[0]).refused(404, "not_found")
		s.get(app+"/msg/m1/attempt/atmpt_0000000000001").refused(404, "not_found")
		s.get(app+"/msg/m1/attempt/nonsense").refused(404, "not_found")
		s.get(app+"/attempt/msg/none").refused(404, "not_found")
		s.get(app+"/attempt/endpoint/none").refused(404, "not_found")
		s.get(app+"/attempt/msg/m1?endpoint_id=none").refused(404, "not_found")
		s.get(app+"/msg/m1/endpoint/none/attempt").refused(404, "not_found")
		s.get(app+"/msg/none/endpoint/main/attempt").refused(404, "not_found")
	})
	t.Run("are listed and narrowed", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		names := map[string]string{ids[0]: "refused", ids[1]: "500", ids[2]: "200", second[0]: "410"}
		at := s.get(app + "/msg/m1/attempt/" + ids[1]).json().str("timestamp")
		for path, want := range map[string]string{
			"/attempt/msg/m1": "410 200 500 refused", "/msg/m1/attempt": "410 200 500 refused", "/attempt/msg/" + msg: "410 200 500 refused",
			"/attempt/endpoint/main": "200 500 refused", "/attempt/endpoint/second": "410",
			"/attempt/msg/m1?endpoint_id=second": "410", "/attempt/msg/m1?order=ascending": "refused 500 200 410",
			"/attempt/msg/m1?status=0": "200", "/attempt/msg/m1?status=2": "410 500 refused",
			"/attempt/msg/m1?status=1": "", "/attempt/msg/m1?status=3": "",
			"/attempt/msg/m1?status_code_class=500": "500", "/attempt/msg/m1?status_code_class=400": "410", "/attempt/msg/m1?status_code_class=300": "",
			"/attempt/msg/m1?status_code_class=0": "refused", "/attempt/endpoint/main?status_code_class=200": "200",
			"/attempt/endpoint/main?event_types=order.created": "200 500 refused", "/attempt/endpoint/main?event_types=coupon": "",
			"/attempt/endpoint/main?event_types[]=order.created": "200 500 refused", "/attempt/endpoint/main?event_types[0]=a&event_types[1]=b": "",
			"/attempt/endpoint/main?channel=vip": "200 500 refused", "/attempt/endpoint/main?channel=gold": "",
			"/attempt/endpoint/main?tag=red": "200 500 refused", "/attempt/endpoint/main?tag=blue": "",
			"/msg/m1/endpoint/second/attempt": "410", "/msg/m1/endpoint/main/attempt?status=0": "200",
			"/msg/m1/attempt?endpoint_id=second":  "410",
			"/attempt/endpoint/main?before=" + at: "refused", "/attempt/endpoint/main?after=" + at: "200",
		} {
			var got []string
			for _, a := range s.get(app + path).want(200).json().list("data") {
				got = append(got, names[a.str("id")])
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s gives %v, want %s", path, got, want)
			}
		}
		for query, loc := range map[string]string{"status=9": "query.status", "status=x": "query.status", "status_code_class=250": "query.status_code_class",
			"channel=a/b": "query.channel", "tag=a:b": "query.tag", "with_content=7": "query.with_content", "limit=0": "query.limit",
			"event_types=" + strings.Repeat("e,", 101): "query.event_types"} {
			s.get(app + "/attempt/msg/m1?" + query).wrong(loc)
		}
		for _, a := range s.get(app + "/attempt/msg/m1?with_content=false").json().list("data") {
			if a.str("response") != "{}" {
				t.Error(a)
			}
		}
	})
	t.Run("say where the message stands", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		states := map[string]object{}
		for _, d := range s.get(app + "/msg/m1/delivery").want(200).json().list("data") {
			states[d.str("endpointId")] = d
		}
		if d := states[ep[strings.LastIndex(ep, "/")+1:]]; d.str("state") != "delivered" || d["status"] != 0.0 || d["attempts"] != 2.0 {
			t.Error(d)
		}
		if d := states[other[strings.LastIndex(other, "/")+1:]]; d.str("state") != "failed" || d["status"] != 2.0 || d["nextAttempt"] != nil {
			t.Error(d)
		}
	})
	t.Run("a waiting delivery is under way after its first attempt", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		app := s.app("waiting")
		ep := s.ep(app, object{})
		msg := s.send(app, object{})
		s.tries(msg, ep, schedule, hook.Attempt{Status: 500, Verdict: hook.Retry})
		list := s.get(app + "/msg/" + msg + "/delivery").json().list("data")
		if d := list[0]; len(list) != 1 || d.str("state") != "pending" || d["status"] != 3.0 {
			t.Error(list)
		}
	})
}

func TestResend(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{"uid": "main"})
	off := s.ep(app, object{"uid": "off", "disabled": true})
	msg := s.send(app, object{"eventId": "m1"})
	s.post(app+"/msg/none/endpoint/main/resend", nil).refused(404, "not_found")
	s.post(app+"/msg/m1/endpoint/none/resend", nil).refused(404, "not_found")
	s.post(app+"/msg/m1/endpoint/off/resend", nil).refused(409, "conflict")
	s.ep(app, object{"uid": "polled", "transport": "poll"})
	s.post(app+"/msg/m1/endpoint/polled/resend", nil).refused(409, "conflict")
	s.send(app, object{"eventId": "gone"})
	s.remove(app + "/msg/gone/content").want(204)
	s.post(app+"/msg/gone/endpoint/main/resend", nil).refused(400, "missing_payload")
	if a := s.post(app+"/msg/m1/endpoint/main/resend", nil).want(202); strings.TrimSpace(a.text) != "{}" {
		t.Error(a.text)
	}
	id, _ := hook.ParseID[hook.EndpointID](ep[strings.LastIndex(ep, "/")+1:])
	work, _, err := s.store.Claim(t.Context(), id, s.now().Add(time.Second), time.Minute, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(work) == 0 || work[0].Trigger != hook.Manual || work[0].Delivery.Message.String() != msg {
		t.Errorf("the wish is not there: %+v", work)
	}
	_ = off
}

func TestListsGoForwardAndBackWithoutGapOrRepeat(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{})
	msg := s.send(app, object{})
	for i := range 7 {
		s.advance(time.Second)
		if i > 0 {
			s.send(app, object{})
			s.ep(app, object{})
		}
		s.app(fmt.Sprintf("app-%d", i))
		s.tries(msg, ep, nil, hook.Attempt{Status: 500, Verdict: hook.Retry, Trigger: hook.Manual})
		s.post(app+"/source", object{"dialect": "pandapon", "settings": object{"access_secret": "x"}}).want(201)
		s.post("/api/v1/profile", object{"name": "x", "dialect": "pandapon"}).want(201)
	}
	for _, path := range []string{app + "/msg", app + "/endpoint", "/api/v1/app", app + "/attempt/msg/" + msg, app + "/source", "/api/v1/profile"} {
		for _, order := range []string{"ascending", "descending"} {
			t.Run(path+" "+order, func(t *testing.T) {
				t.Parallel()
				s := s.in(t)
				walk(t, s, path+"?limit=3&order="+order, order == "ascending")
			})
		}
	}
}

// walk goes to the end of a list and back to its beginning, page by page.
func walk(t *testing.T, s *server, path string, ascending bool) {
	t.Helper()
	var forward, back []string
	next, prev := "", ""
	for page := 0; ; page++ {
		o := s.get(path + "&iterator=" + next).want(200).json()
		forward = append(forward, idsOf(o)...)
		next = o.str("iterator")
		if prev = o.str("prevIterator"); !strings.HasPrefix(prev, "-") {
			t.Fatalf("prevIterator is %q", prev)
		}
		if o["done"] == true {
			break
		}
		if len(idsOf(o)) != 3 || page > 10 {
			t.Fatalf("page %d is %v", page, o)
		}
	}
	if len(forward) < 7 {
		t.Fatalf("only %d items", len(forward))
	}
	for i := 1; i < len(forward); i++ {
		if (forward[i-1] < forward[i]) != ascending {
			t.Fatalf("out of order or repeated: %v", forward)
		}
	}
	for page := 0; ; page++ {
		o := s.get(path + "&iterator=" + prev).want(200).json()
		back = append(idsOf(o), back...)
		if o["done"] == true || page > 10 {
			break
		}
		prev = o.str("prevIterator")
	}
	last := len(forward) - len(idsOfLast(forward))
	if strings.Join(back, " ") != strings.Join(forward[:last], " ") {
		t.Errorf("forward %v, back %v", forward, back)
	}
	t.Log("at the end there is nothing, until something comes")
	if o := s.get(path + "&iterator=" + next).want(200).json(); len(idsOf(o)) != 0 || o["done"] != true {
		t.Error(o)
	}
}

func idsOf(o object) []string {
	ids := []string{}
	for _, item := range o.list("data") {
		ids = append(ids, item.str("id"))
	}
	return ids
}

// idsOfLast is the last page of three.
func idsOfLast(all []string) []string {
	n := len(all) % 3
	if n == 0 {
		n = 3
	}
	return all[len(all)-n:]
}

func TestAttemptsBetweenTwoMoments(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{"uid": "main"})
	var ids []string
	for range 6 {
		ids = append(ids, s.tries(s.send(app, object{}), ep, nil, hook.Attempt{Status: 200, Verdict: hook.Success})...)
	}
	path := app + "/attempt/endpoint/main?limit=10"
	at := func(i int) string {
		for _, a := range s.get(path).want(200).json().list("data") {
			if a.str("id") == ids[i] {
				return url.QueryEscape(a.str("timestamp"))
			}
		}
		t.Fatal("not listed")
		return ""
	}
	between := s.get(path + "&after=" + at(0) + "&before=" + at(3)).want(200).json()
	if got := strings.Join(idsOf(between), " "); got != ids[2]+" "+ids[1] || between["done"] != true {
		t.Fatalf("between them are %s", got)
	}
	t.Log("from there it goes on without the moments, both ways")
	if got := idsOf(s.get(path + "&iterator=" + between.str("prevIterator")).want(200).json()); strings.Join(got, " ") != strings.Join([]string{ids[5], ids[4], ids[3]}, " ") {
		t.Errorf("newer: %v", got)
	}
	if got := idsOf(s.get(path + "&iterator=" + between.str("iterator")).want(200).json()); strings.Join(got, " ") != ids[0] {
		t.Errorf("older: %v", got)
	}
	t.Log("and stays within them when they are given again")
	if o := s.get(path + "&after=" + at(0) + "&before=" + at(3) + "&iterator=" + between.str("iterator")).want(200).json(); len(idsOf(o)) != 0 || o["done"] != true {
		t.Error(o)
	}
}
