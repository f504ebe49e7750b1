package api_test

import (
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

func TestMessageRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	for name, c := range map[string]struct{ body, loc string }{
		"no event type":                     {`{"payload":{}}`, "body.eventType"},
		"an event type of null":             {`{"eventType":null,"payload":{}}`, "body.eventType"},
		"an empty event type":               {`{"eventType":"","payload":{}}`, "body.eventType"},
		"an event type that is too long":    {`{"eventType":"` + strings.Repeat("x", 257) + `","payload":{}}`, "body.eventType"},
		"an event type that ends a line":    {`{"eventType":"a\nb","payload":{}}`, "body.eventType"},
		"an event type that is a number":    {`{"eventType":7,"payload":{}}`, "body.eventType"},
		"no payload":                        {`{"eventType":"e"}`, "body.payload"},
		"a payload of null":                 {`{"eventType":"e","payload":null}`, "body.payload"},
		"a payload that is a list":          {`{"eventType":"e","payload":[1]}`, "body.payload"},
		"a payload that is a text":          {`{"eventType":"e","payload":"{}"}`, "body.payload"},
		"two payloads":                      {`{"eventType":"e","payload":{},"payload":{"x":1}}`, "body.payload"},
		"two payloads, one in disguise":     {`{"eventType":"e","payload":{},"payl\u006fad":{"x":1}}`, "body.payload"},
		"an event id with other characters": {`{"eventType":"e","payload":{},"eventId":"a b"}`, "body.eventId"},
		"an event id that looks like an id": {`{"eventType":"e","payload":{},"eventId":"msg_0000000000001"}`, "body.eventId"},
		"no channels in a list":             {`{"eventType":"e","payload":{},"channels":[]}`, "body.channels"},
		"too many channels":                 {`{"eventType":"e","payload":{},"channels":["a","b","c","d","e","f","g","h","i","j","k"]}`, "body.channels"},
		"channels that are no list":         {`{"eventType":"e","payload":{},"channels":"a"}`, "body.channels"},
		"a channel with other characters":   {`{"eventType":"e","payload":{},"channels":["a/b"]}`, "body.channels"},
		"a tag that is too long":            {`{"eventType":"e","payload":{},"tags":["` + strings.Repeat("x", 129) + `"]}`, "body.tags"},
		"a platform of numbers":             {`{"eventType":"e","payload":{},"platform":{"a":1}}`, "body.platform"},
		"a platform name that is no header": {`{"eventType":"e","payload":{},"platform":{"a b":"1"}}`, "body.platform"},
		"a platform value that is two":      {`{"eventType":"e","payload":{},"platform":{"a":"1\r\n2"}}`, "body.platform.a"},
		"a delivery that is far off":        {`{"eventType":"e","payload":{},"deliverAt":"2093-01-01T00:00:00Z"}`, "body.deliverAt"},
		"a delivery at no moment":           {`{"eventType":"e","payload":{},"deliverAt":"tomorrow"}`, "body.deliverAt"},
		"a delivery at a number":            {`{"eventType":"e","payload":{},"deliverAt":1893456000}`, "body.deliverAt"},
		"a retention of no day":             {`{"eventType":"e","payload":{},"payloadRetentionPeriod":0}`, "body.payloadRetentionPeriod"},
		"a retention of too many days":      {`{"eventType":"e","payload":{},"payloadRetentionPeriod":91}`, "body.payloadRetentionPeriod"},
		"a retention of half a day":         {`{"eventType":"e","payload":{},"payloadRetentionPeriod":0.5}`, "body.payloadRetentionPeriod"},
		"a retention of a text":             {`{"eventType":"e","payload":{},"payloadRetentionPeriod":"5"}`, "body.payloadRetentionPeriod"},
		"a retention of too many hours":     {`{"eventType":"e","payload":{},"payloadRetentionHours":2161}`, "body.payloadRetentionHours"},
		"a retention beyond all numbers":    {`{"eventType":"e","payload":{},"payloadRetentionHours":99999999999999999999}`, "body.payloadRetentionHours"},
		"a retention in days and hours":     {`{"eventType":"e","payload":{},"payloadRetentionHours":5,"payloadRetentionPeriod":5}`, "body.payloadRetentionHours"},
		"a tag with a colon":                {`{"eventType":"e","payload":{},"tags":["a:b"]}`, "body.tags"},
		"a platform with a member twice":    {`{"eventType":"e","payload":{},"platform":{"a":"1","a":"2"}}`, "body.platform.a"},
		"a raw payload that is given twice": {`{"eventType":"e","payload":{},"transformationsParams":{"rawPayload":"{}","rawPayload":"{}"}}`, "body.transformationsParams.rawPayload"},
		"a raw payload that is no text":     {`{"eventType":"e","payload":{},"transformationsParams":{"rawPayload":{}}}`, "body.transformationsParams"},
		"a raw payload that is no object":   {`{"eventType":"e","payload":{},"transformationsParams":{"rawPayload":"hello"}}`, "body.transformationsParams.rawPayload"},
		"a great many members":              {`{` + strings.Repeat(`"a":1,"`, 1) + `x":1` + manyMembers(100) + `}`, "body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			s.post(app+"/msg", c.body).wrong(c.loc)
		})
	}
	t.Run("a with_content that is neither true nor false", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		s.post(app+"/msg?with_content=maybe", `{"eventType":"e","payload":{}}`).wrong("query.with_content")
	})
	t.Run("a body that is not UTF-8", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		s.post(app+"/msg", "{\"eventType\":\"e\",\"payload\":{\"a\":\"\xff\"}}").refused(400, "bad_request")
	})
	t.Run("an unknown application", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		for _, ref := range []string{"none", "app_0000000000001"} {
			s.post("/api/v1/app/"+ref+"/msg", `{"eventType":"e","payload":{}}`).refused(404, "not_found")
		}
	})
	t.Run("nothing of it was stored", func(t *testing.T) {
		s := s.in(t)
		if n := len(s.get(app + "/msg").want(200).json().list("data")); n != 0 {
			t.Errorf("%d messages", n)
		}
	})
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"m` + strings.Repeat("x", i) + `":1`)
	}
	return b.String()
}

func TestAPayloadIsKeptByteForByte(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	for name, payload := range map[string]string{
		"spacing":           "{ \"b\" : 1 ,\n\t\"a\":[ 1,2 ] }",
		"order of members":  `{"z":1,"a":2,"m":3}`,
		"numbers":           `{"a":1.0,"b":1e3,"c":12345678901234567890,"d":-0,"e":0.1000}`,
		"escapes":           `{"a":"\u00e9\/é<>&\u2028","b":"\ud83d\ude00"}`,
		"repeated members":  `{"a":1,"a":2}`,
		"nested quotes":     `{"a":"\"}]{[","b":{"c":["}\\"]}}`,
		"chinese":           `{"订单":"已支付"}`,
		"nothing":           `{}`,
		"a name of its own": `{"payload":{"eventType":"x"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			for _, form := range []string{
				`{"eventType":"e","payload":` + payload + `}`,
				"{\"payload\" :\n" + payload + " , \"eventType\":\"e\"}",
				`{"eventType":"e","payload":{},"transformationsParams":{"rawPayload":` + text(payload) + `}}`,
			} {
				a := s.post(app+"/msg", form).want(202)
				id, err := hook.ParseID[hook.MessageID](a.json().str("id"))
				if err != nil {
					t.Fatal(err)
				}
				if m := must(s.store.Load(t.Context(), id))(t); string(m.Payload) != payload {
					t.Errorf("stored %s", m.Payload)
				}
				if !strings.Contains(a.text, `"payload":`+payload+`}`) {
					t.Errorf("answered %s", a.text)
				}
				for _, path := range []string{app + "/msg/" + id.String(), app + "/msg"} {
					if got := s.get(path).want(200); !strings.Contains(got.text, `"payload":`+payload+`}`) {
						t.Errorf("%s shows %s", path, got.text)
					}
				}
			}
		})
	}
}

func TestMessageLife(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	a := s.post(app+"/msg", object{
		"eventType": "order.created", "eventId": "order-1", "payload": object{"n": 1}, "channels": []string{"b", "a"}, "tags": []string{"t"},
		"platform": object{"messagePlatform": "1"}, "payloadRetentionPeriod": 90, "application": nil,
	}).want(202)
	o := a.json()
	if !strings.HasPrefix(o.str("id"), "msg_") || o.str("eventType") != "order.created" || o.str("eventId") != "order-1" ||
		text(o["channels"]) != `["a","b"]` || text(o["tags"]) != `["t"]` || o.obj("platform").str("messagePlatform") != "1" || o["source"] != nil {
		t.Error(a.text)
	}
	if at, err := time.Parse(time.RFC3339, o.str("timestamp")); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("timestamp %q", o.str("timestamp"))
	}
	for _, ref := range []string{o.str("id"), "order-1"} {
		if got := s.get(app + "/msg/" + ref).want(200); got.text != a.text {
			t.Errorf("created %s, %s shows %s", a.text, ref, got.text)
		}
	}
	t.Log("content is left out when it is not wanted")
	if got := s.get(app + "/msg/order-1?with_content=false").json(); text(got["payload"]) != "{}" {
		t.Error(got)
	}
	if got := s.post(app+"/msg?with_content=false", object{"eventType": "e", "payload": object{"n": 1}}).want(202).json(); text(got["payload"]) != "{}" {
		t.Error(got)
	}
	if got := s.get(app + "/msg?with_content=false").json().list("data"); text(got[0]["payload"]) != "{}" {
		t.Error(got)
	}
	t.Log("an unknown one is 404")
	s.get(app+"/msg/msg_0000000000001").refused(404, "not_found")
	s.get(app+"/msg/none").refused(404, "not_found")
	t.Log("the application may be named by its uid")
	s.post("/api/v1/app/a/msg", object{"eventType": "e", "payload": object{}}).want(202)
}

func TestARepeatedEventIDIsAConflict(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, other := s.app("a"), s.app("b")
	body := object{"eventType": "e", "eventId": "once", "payload": object{"n": 1}}
	first := s.post(app+"/msg", body).want(202).json()
	a := s.post(app+"/msg", object{"eventType": "f", "eventId": "once", "payload": object{"n": 2}}).refused(409, "conflict")
	if !strings.Contains(a.text, first.str("id")) {
		t.Errorf("does not name the first: %s", a.text)
	}
	s.call(s.org, "POST", app+"/msg", body, "Idempotency-Key", "k").refused(409, "conflict")
	s.post(other+"/msg", body).want(202) // a namespace for each application
	if n := len(s.get(app + "/msg").json().list("data")); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestAnIdempotencyKeyGivesTheFirstMessageAgain(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, other := s.app("a"), s.app("b")
	send := func(app, key string, n int) answer {
		return s.call(s.org, "POST", app+"/msg", object{"eventType": "e", "payload": object{"n": n}}, "Idempotency-Key", key)
	}
	first := send(app, "k", 1).want(202)
	if again := send(app, "k", 2).want(202); again.text != first.text {
		t.Errorf("first %s, then %s", first.text, again.text)
	}
	if send(app, "l", 1).want(202).text == first.text || send(other, "k", 1).want(202).text == first.text {
		t.Error("another key or application gave the first message")
	}
	t.Run("also when both come at once", func(t *testing.T) {
		t.Parallel()
		var wg sync.WaitGroup
		ids := make([]string, 8)
		for i := range ids {
			wg.Go(func() { ids[i] = send(app, "together", i).json().str("id") })
		}
		wg.Wait()
		for _, id := range ids {
			if id == "" || id != ids[0] {
				t.Fatalf("different messages: %v", ids)
			}
		}
	})
}

func TestMessageListFilters(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	s.send(app, object{"eventType": "one", "eventId": "m1", "channels": []string{"x"}, "tags": []string{"red"}})
	s.advance(time.Second)
	s.send(app, object{"eventType": "two", "eventId": "m2", "channels": []string{"x", "y"}})
	s.advance(time.Second)
	s.send(app, object{"eventType": "three", "eventId": "m3", "tags": []string{"red", "blue"}})
	middle := url.QueryEscape(s.get(app + "/msg/m2").json().str("timestamp"))
	for query, want := range map[string]string{
		"":                                "m3 m2 m1",
		"order=ascending":                 "m1 m2 m3",
		"event_types=one":                 "m1",
		"event_types=one,three":           "m3 m1",
		"event_types=one&event_types=two": "m2 m1",
		"event_types=none":                "",
		"event_types[]=one":               "m1",
		"event_types[0]=one&event_types[1]=three": "m3 m1",
		"channel=x":               "m2 m1",
		"channel=y":               "m2",
		"tag=red":                 "m3 m1",
		"tag=red&event_types=one": "m1",
		"before=" + middle:        "m1",
		"after=" + middle:         "m3",
		"limit=1":                 "m3",
	} {
		var got []string
		for _, m := range s.get(app + "/msg?" + query).want(200).json().list("data") {
			got = append(got, m.str("eventId"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q gives %v, want %s", query, got, want)
		}
	}
	for query, loc := range map[string]string{
		"limit=0": "query.limit", "limit=251": "query.limit", "limit=x": "query.limit", "order=up": "query.order",
		"before=yesterday": "query.before", "iterator=nonsense": "query.iterator", "with_content=maybe": "query.with_content",
	} {
		s.get(app + "/msg?" + query).wrong(loc)
	}
}

func TestAMessageGoesToTheEndpointsThatWantIt(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	s.ep(app, object{"uid": "all"})
	s.ep(app, object{"uid": "orders", "filterTypes": []string{"order"}})
	s.ep(app, object{"uid": "vip", "channels": []string{"vip", "gold"}})
	s.ep(app, object{"uid": "both", "filterTypes": []string{"order"}, "channels": []string{"vip"}})
	s.ep(app, object{"uid": "off", "disabled": true})
	uids := map[string]string{}
	for _, e := range s.get(app + "/endpoint").json().list("data") {
		uids[e.str("id")] = e.str("uid")
	}
	for name, c := range map[string]struct {
		body object
		want string
	}{
		"no channel":          {object{"eventType": "coupon"}, "all"},
		"a type":              {object{"eventType": "order"}, "all orders"},
		"a channel":           {object{"eventType": "coupon", "channels": []string{"gold"}}, "all vip"},
		"a type in a channel": {object{"eventType": "order", "channels": []string{"vip"}}, "all both orders vip"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			id := s.send(app, c.body)
			got := map[string]bool{}
			for _, d := range s.get(app + "/msg/" + id + "/delivery").want(200).json().list("data") {
				got[uids[d.str("endpointId")]] = true
				if d.str("state") != "pending" || d["status"] != 1.0 || d["attempts"] != 0.0 || d.str("nextAttempt") == "" {
					t.Error(d)
				}
			}
			for _, want := range strings.Fields(c.want) {
				if !got[want] {
					t.Errorf("%s does not get it", want)
				}
				delete(got, want)
			}
			if len(got) > 0 {
				t.Errorf("also goes to %v", got)
			}
		})
	}
}
