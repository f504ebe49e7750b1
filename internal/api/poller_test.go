package api_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// mailbox is an application with a polled endpoint that has an own token.
type mailbox struct {
	*server
	app, token, poller string
}

func (s *server) mailbox(name string, endpoint object) mailbox {
	s.t.Helper()
	app, token := s.appToken(name)
	endpoint["transport"], endpoint["uid"] = "poll", "inbox"
	ep := s.ep(app, endpoint)
	s.advance(time.Second)
	return mailbox{s, app, token, app + "/poller/" + lastPart(ep)}
}

// poll fetches with the application's own token; query begins with ? or is empty.
func (m mailbox) poll(path string) answer {
	m.t.Helper()
	return m.call(m.token, "GET", m.poller+path, nil)
}

func TestPollRefusals(t *testing.T) {
	t.Parallel()
	s := start(t)
	m := s.mailbox("a", object{})
	_, stranger := s.appToken("b")
	s.ep(m.app, object{"uid": "sent"})
	s.ep(m.app, object{"uid": "off", "transport": "poll", "disabled": true})
	for _, path := range []string{"", "/consumer/c"} {
		s.get(m.app+"/poller/none"+path).refused(404, "not_found")
		s.get(m.app+"/poller/sent"+path).refused(409, "conflict")
		s.get(m.app+"/poller/off"+path).refused(409, "conflict")
		s.call(stranger, "GET", m.poller+path, nil).refused(404, "not_found")
		s.call("", "GET", m.poller+path, nil).refused(401, "authentication_failed")
		for query, loc := range map[string]string{
			"limit=0": "query.limit", "limit=251": "query.limit", "iterator=nonsense": "query.iterator", "iterator=ep_0am3n2kzm0000": "query.iterator",
			"iterator=-msg_0am3n2kzm0000": "query.iterator",
		} {
			m.poll(path + "?" + query).wrong(loc)
		}
	}
	m.poll("?after=yesterday").wrong("query.after")
	m.poll("?channel=a/b").wrong("query.channel")
	m.poll("/consumer/c?lease_seconds=0").wrong("query.lease_seconds")
	m.poll("/consumer/c?lease_seconds=3601").wrong("query.lease_seconds")
	m.poll("/consumer/a%20b").wrong("path.consumer_id")
	m.poll("/consumer/" + strings.Repeat("c", 129)).wrong("path.consumer_id")
	for _, op := range []string{"commit", "seek"} {
		for _, body := range []string{`{}`, `{"iterator":7,"after":7}`, `{"iterator":"x","after":"x"}`, `[]`, `null`} {
			if a := s.call(m.token, "POST", m.poller+"/consumer/c/"+op, body); a.status != 422 {
				t.Errorf("%s with %s: %d %s", op, body, a.status, a.text)
			}
		}
		s.call(stranger, "POST", m.poller+"/consumer/c/"+op, `{}`).refused(404, "not_found")
	}
	t.Log("nothing was ever given, so nothing can be confirmed")
	id := s.send(m.app, object{})
	s.call(m.token, "POST", m.poller+"/consumer/c/commit", object{"iterator": id}).refused(409, "not_leased")
	m.poll("/consumer/c?iterator="+id).refused(409, "not_leased")
}

func TestAPollGivesWhatFollows(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	early := s.send(app, object{"eventId": "early"})
	s.advance(time.Second)
	ep := s.ep(app, object{"transport": "poll"})
	s.advance(time.Second)
	m := mailbox{s, app, token, app + "/poller/" + lastPart(ep)}

	first := m.poll("").want(200).json()
	if len(first.list("data")) != 0 || first["done"] != true || first.str("iterator") == "" {
		t.Fatal("an endpoint that is new is given", first)
	}
	for i := range 5 {
		s.send(app, object{"eventId": fmt.Sprintf("m%d", i), "eventType": fmt.Sprintf("type.%d", i%2), "channels": []string{"c:" + fmt.Sprint(i%3)}})
		s.advance(time.Second)
	}
	if n := len(s.get(app + "/msg/m1/delivery").json().list("data")); n != 0 {
		t.Errorf("%d deliveries of a message that is polled", n)
	}
	for _, from := range []string{"?limit=2", "?limit=2&iterator=", "?limit=2&iterator=" + first.str("iterator")} {
		got, iterator := "", ""
		for range 4 {
			o := m.poll(from).want(200).json()
			for _, one := range o.list("data") {
				got += one.str("eventId") + " "
			}
			iterator = o.str("iterator")
			from = "?limit=2&iterator=" + iterator
		}
		if got != "m0 m1 m2 m3 m4 " {
			t.Errorf("given %s", got)
		}
		if o := m.poll("?iterator=" + iterator).json(); len(o.list("data")) != 0 || o["done"] != true || o.str("iterator") != iterator {
			t.Error(o)
		}
	}
	at := url.QueryEscape(s.get(app + "/msg/m1").json().str("timestamp"))
	ahead := url.QueryEscape(s.now().Add(time.Hour).Format(time.RFC3339))
	for query, want := range map[string]string{
		"": "m0 m1 m2 m3 m4", "?after=" + at: "m2 m3 m4", "?event_type=type.1": "m1 m3", "?channel=c:0": "m0 m3", "?event_type=none": "",
		"?event_type=type.0&channel=c:2": "m2", "?after=2020-01-01T00:00:00Z": "early m0 m1 m2 m3 m4", "?iterator=" + early: "m0 m1 m2 m3 m4",
		"?after=" + ahead: "",
	} {
		if got := namesOf(m.poll(query)); got != want {
			t.Errorf("%q gives %q, want %q", query, got, want)
		}
	}
	t.Log("a client whose clock is fast skips nothing that is still to come")
	place := m.poll("?after=" + ahead).json().str("iterator")
	s.send(app, object{"eventId": "later"})
	if got := namesOf(m.poll("?iterator=" + place)); got != "later" {
		t.Errorf("given %q", got)
	}
}

func TestAPollGivesTheBytesThatWerePosted(t *testing.T) {
	t.Parallel()
	s := start(t)
	m := s.mailbox("a", object{})
	s.post(m.app+"/msg", `{"eventType":"e","payload":{ "n" : 0.10 },"tags":["t"],"platform":{"a":"b"}}`).want(202)
	s.send(m.app, object{"eventId": "gone"})
	s.remove(m.app + "/msg/gone/content").want(204)
	at := s.now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	s.send(m.app, object{"deliverAt": at})
	for _, path := range []string{"", "/consumer/c"} {
		a := m.poll(path).want(200)
		if !strings.Contains(a.text, `"payload":{ "n" : 0.10 }`) || !strings.Contains(a.text, `"payload":{"expired":true}`) ||
			a.json().list("data")[2].str("deliverAt") == "" {
			t.Error(a.text)
		}
	}
}

func TestAPolledEndpointHasItsFilters(t *testing.T) {
	t.Parallel()
	s := start(t)
	many := []string{"order"}
	for i := range 150 { // more than a list can be narrowed to
		many = append(many, fmt.Sprintf("other.%d", i))
	}
	for name, endpoint := range map[string]object{
		"types":      {"filterTypes": []string{"order", "refund"}},
		"many types": {"filterTypes": many},
		"channels":   {"channels": []string{"vip", "gold"}},
		"both":       {"filterTypes": []string{"order"}, "channels": []string{"vip"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			m := s.mailbox(strings.ReplaceAll(name, " ", "-"), endpoint)
			for i, body := range []object{
				{"eventType": "order"}, {"eventType": "refund"}, {"eventType": "coupon"}, {"eventType": "order", "channels": []string{"vip"}},
				{"eventType": "coupon", "channels": []string{"gold", "x"}}, {"eventType": "order", "channels": []string{"x"}},
			} {
				body["eventId"] = fmt.Sprintf("m%d", i)
				s.send(m.app, body)
			}
			want := map[string]string{"types": "m0 m1 m3 m5", "many types": "m0 m3 m5", "channels": "m3 m4", "both": "m3"}[name]
			if got := namesOf(m.poll("")); got != want {
				t.Errorf("given %q, want %q", got, want)
			}
			if got := namesOf(m.poll("/consumer/c")); got != want {
				t.Errorf("a consumer is given %q, want %q", got, want)
			}
		})
	}
}

func TestAConsumerIsGivenWhatItHasNotConfirmed(t *testing.T) {
	t.Parallel()
	s := start(t)
	m := s.mailbox("a", object{})
	poll := func(query string) answer { t.Helper(); return m.poll("/consumer/c" + query) }
	commit := func(iterator string) answer {
		t.Helper()
		return s.call(m.token, "POST", m.poller+"/consumer/c/commit", object{"iterator": iterator})
	}
	if o := poll("").want(200).json(); len(o.list("data")) != 0 || o["done"] != true {
		t.Fatal(o)
	}
	ids := map[string]string{}
	for i := range 6 {
		name := fmt.Sprintf("m%d", i)
		ids[name] = s.send(m.app, object{"eventId": name})
	}
	first := poll("?limit=2").want(200)
	if namesOf(first) != "m0 m1" || first.json()["done"] != false || first.json().str("iterator") != ids["m1"] {
		t.Fatal(first.text)
	}
	t.Log("while they are leased, nobody else is given anything")
	held := poll("?limit=2").refused(409, "lease_held")
	if held.header.Get("Retry-After") != "30" {
		t.Errorf("Retry-After is %q", held.header.Get("Retry-After"))
	}
	if got := namesOf(m.poll("/consumer/other?limit=2")); got != "m0 m1" {
		t.Errorf("another consumer is given %q", got)
	}
	t.Log("when the lease has passed they are given again")
	s.advance(29 * time.Second)
	poll("").refused(409, "lease_held")
	s.advance(2 * time.Second)
	if got := namesOf(poll("?limit=2&lease_seconds=600")); got != "m0 m1" {
		t.Fatalf("given %q", got)
	}
	s.advance(599 * time.Second)
	poll("").refused(409, "lease_held")
	t.Log("a confirmation gives what follows, and only its first sending frees the lease")
	if got := namesOf(poll("?limit=2&iterator=" + ids["m1"])); got != "m2 m3" {
		t.Fatalf("given %q", got)
	}
	poll("?limit=2&iterator="+ids["m1"]).refused(409, "lease_held")
	poll("?iterator="+ids["m0"]).refused(409, "lease_held")
	poll("?iterator="+ids["m4"]).refused(409, "not_leased")
	t.Log("a part may be confirmed; the rest stays leased")
	if o := commit(ids["m2"]).want(200).json(); o.str("iterator") != ids["m2"] {
		t.Error(o)
	}
	poll("").refused(409, "lease_held")
	commit(ids["m4"]).refused(409, "not_leased")
	t.Log("confirming twice, or late, changes nothing")
	for _, late := range []string{"m2", "m0"} {
		if o := commit(ids[late]).want(200).json(); o.str("iterator") != ids["m2"] {
			t.Error(o)
		}
	}
	if o := commit(ids["m3"]).want(200).json(); o.str("iterator") != ids["m3"] {
		t.Error(o)
	}
	if got := namesOf(poll("")); got != "m4 m5" {
		t.Fatalf("given %q", got)
	}
	t.Log("a confirmation counts after the lease too")
	s.advance(time.Minute)
	commit(ids["m5"]).want(200)
	if o := poll("").want(200).json(); len(o.list("data")) != 0 || o["done"] != true || o.str("iterator") != ids["m5"] {
		t.Error(o)
	}
}

func TestAConsumerIsMovedToAMoment(t *testing.T) {
	t.Parallel()
	s := start(t)
	m := s.mailbox("a", object{})
	seek := func(after any, headers ...string) answer {
		t.Helper()
		return s.call(m.token, "POST", m.poller+"/consumer/c/seek", object{"after": after}, headers...).want(200)
	}
	poll := func(query string) answer { t.Helper(); return m.poll("/consumer/c" + query) }
	for i := range 3 {
		s.send(m.app, object{"eventId": fmt.Sprintf("m%d", i)})
		s.advance(time.Second)
	}
	last := poll("").want(200).json().str("iterator")
	place := seek(s.get(m.app + "/msg/m0").json().str("timestamp")).json().str("iterator")
	if got := namesOf(poll("?iterator=" + place)); got != "m1 m2" {
		t.Errorf("back to the first: %q", got)
	}
	s.call(m.token, "POST", m.poller+"/consumer/c/commit", object{"iterator": last}).want(200)
	t.Log("before the endpoint was made, and ahead of the clock")
	seek("2020-01-01T00:00:00Z")
	if got := namesOf(poll("")); got != "m0 m1 m2" {
		t.Errorf("from the beginning: %q", got)
	}
	first := seek(s.now().Add(time.Hour), "Idempotency-Key", "k")
	if got := namesOf(poll("")); got != "" {
		t.Errorf("from now: %q", got)
	}
	s.advance(time.Second)
	s.send(m.app, object{"eventId": "later"})
	if again := seek(s.now().Add(time.Hour), "Idempotency-Key", "k"); again.text != first.text {
		t.Errorf("a repeat moves it again: %s, before %s", again.text, first.text)
	}
	if got := namesOf(poll("")); got != "later" {
		t.Errorf("what came after: %q", got)
	}
}

func TestOneOfManyPollsIsGivenTheMessages(t *testing.T) {
	t.Parallel()
	s := start(t)
	m := s.mailbox("a", object{})
	for i := range 20 {
		s.send(m.app, object{"eventId": fmt.Sprintf("m%d", i)})
	}
	var mu sync.Mutex
	given, held := 0, 0
	var wg sync.WaitGroup
	for range 4 { // as many lists as an application may have under way
		wg.Go(func() {
			a := m.poll("/consumer/c?limit=250")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case a.status == 200 && len(a.json().list("data")) == 20:
				given++
			case a.status == 409 && a.json().str("code") == "lease_held":
				held++
			default:
				t.Errorf("%d %s", a.status, a.text)
			}
		})
	}
	wg.Wait()
	if given != 1 || held != 3 {
		t.Errorf("%d were given the messages, %d were told to wait", given, held)
	}
}

func TestReadersSeeEveryMessageThatIsEverAccepted(t *testing.T) {
	t.Parallel()
	s := start(t)
	m := s.mailbox("a", object{})
	const writers, each = 4, 50
	var sending sync.WaitGroup
	for w := range writers {
		sending.Go(func() {
			for i := range each {
				s.call(s.org, "POST", m.app+"/msg", object{"eventType": "e", "eventId": fmt.Sprintf("w%d-%d", w, i), "payload": object{}}).want(202)
			}
		})
	}
	done := make(chan struct{})
	go func() { sending.Wait(); close(done) }()
	follow := func(path string) map[string]int {
		seen, iterator, over := map[string]int{}, "", false
		for {
			select {
			case <-done:
				over = true
			default:
			}
			o := m.poll(path + "?limit=7&iterator=" + iterator).want(200).json()
			for _, one := range o.list("data") {
				seen[one.str("eventId")]++
			}
			iterator = o.str("iterator")
			if over && o["done"] == true {
				return seen
			}
		}
	}
	var reading sync.WaitGroup
	for _, path := range []string{"", "/consumer/c"} {
		reading.Go(func() {
			seen := follow(path)
			if len(seen) != writers*each {
				t.Errorf("%q saw %d of %d messages", path, len(seen), writers*each)
			}
			for id, n := range seen {
				if n != 1 {
					t.Errorf("%q saw %s %d times", path, id, n)
				}
			}
		})
	}
	reading.Wait()
}

func TestAConsumersPlaceSurvivesAStart(t *testing.T) {
	t.Parallel()
	s := start(t)
	m := s.mailbox("a", object{})
	one, two := s.send(m.app, object{"eventId": "m1"}), s.send(m.app, object{"eventId": "m2"})
	m.poll("/consumer/c?limit=1").want(200)
	s.call(m.token, "POST", m.poller+"/consumer/c/commit", object{"iterator": one}).want(200)
	app, _ := hook.ParseID[hook.ApplicationID](lastPart(m.app))
	ep, _ := hook.ParseID[hook.EndpointID](lastPart(m.poller))
	if c := must(s.store.Consumer(t.Context(), app, ep, "c"))(t); c.At.String() != one || c.Leased != 0 || !c.Until.IsZero() {
		t.Errorf("stored: %+v", c)
	}
	if got := m.poll("/consumer/c").want(200); namesOf(got) != "m2" || got.json().str("iterator") != two {
		t.Error(got.text)
	}
}

func TestAReaderIsGivenOnlyWhatItsFlagsAllow(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.post("/api/v1/event-type", object{"name": "secret", "description": "x", "featureFlags": []string{"alpha"}}).want(201)
	s.post("/api/v1/event-type", object{"name": "open", "description": "x"}).want(201)
	m := s.mailbox("a", object{})
	pushed := s.ep(m.app, object{"uid": "pushed"})
	s.patch(m.app, object{"featureFlags": []string{}}).want(200)
	for _, name := range []string{"secret", "open", "unknown"} {
		s.send(m.app, object{"eventType": name, "eventId": name})
	}
	for query, want := range map[string]string{"": "open unknown", "?event_type=secret": ""} {
		if got := namesOf(m.poll(query)); got != want {
			t.Errorf("%q gives %q, want %q", query, got, want)
		}
	}
	if got := namesOf(m.poll("/consumer/c")); got != "open unknown" {
		t.Errorf("a consumer is given %q", got)
	}
	if got := namesOf(s.get(m.poller)); got != "open unknown" {
		t.Errorf("the organisation is given %q for it", got)
	}
	t.Log("nor does its token see the message in any other way")
	if got := namesOf(s.call(m.token, "GET", m.app+"/msg", nil)); got != "unknown open" {
		t.Errorf("it lists %q", got)
	}
	s.call(m.token, "GET", m.app+"/msg/open", nil).want(200)
	for _, path := range []string{"/msg/secret", "/msg/secret/endpoint", "/msg/secret/delivery", "/msg/secret/attempt", "/attempt/msg/secret"} {
		s.call(m.token, "GET", m.app+path, nil).refused(404, "not_found")
	}
	s.call(m.token, "POST", m.app+"/msg/secret/endpoint/pushed/resend", nil).refused(404, "not_found")
	t.Log("the organisation does, and nothing of it was to be sent")
	if got := namesOf(s.get(m.app + "/msg")); got != "unknown open secret" {
		t.Errorf("the organisation lists %q", got)
	}
	if got := namesOf(s.get(pushed + "/msg")); !sameWords(got, "open unknown") {
		t.Errorf("the other endpoint gets %q", got)
	}
	t.Log("once it holds the flag it is given what comes")
	s.patch(m.app, object{"featureFlags": []string{"alpha"}}).want(200)
	s.send(m.app, object{"eventType": "secret", "eventId": "later"})
	if got := namesOf(m.poll("?event_type=secret")); got != "secret later" {
		t.Errorf("given %q", got)
	}
}
