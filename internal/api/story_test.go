package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// codes are those of a list of facts.
func codes(facts []object) (out []string) {
	for _, f := range facts {
		out = append(out, f.str("code"))
	}
	return out
}

// story is what the API tells of one endpoint of a message: the codes of the facts, and the change with its setting.
func (s *server) story(app, message, endpoint string) (facts []string, change, setting string) {
	s.t.Helper()
	ep := endpoint[strings.LastIndex(endpoint, "/")+1:]
	o := s.get(app + "/msg/" + message + "/explain?endpoint_id=" + ep).want(200).json()
	list := o.list("endpoints")
	if len(list) != 1 || list[0].str("endpointId") != ep && list[0]["uid"] != ep {
		s.t.Fatalf("not that endpoint: %v", o)
	}
	for _, f := range append(o.list("facts"), list[0].list("facts")...) {
		if f.str("text") == "" || strings.Contains(f.str("text"), "{") || strings.Contains(f.str("text"), "..") {
			s.t.Errorf("a text that is not whole: %v", f)
		}
	}
	c := list[0].obj("change")
	if text := c.str("text"); c != nil && (text == "" || strings.Contains(text, "{")) {
		s.t.Errorf("a text that is not whole: %v", c)
	}
	return codes(list[0].list("facts")), c.str("code"), c.str("setting")
}

func TestExplainRefuses(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{"uid": "main"})
	msg := s.send(app, object{})
	s.get(app+"/msg/msg_0000000000001/explain").refused(404, "not_found")
	s.get(app+"/msg/"+msg+"/explain?endpoint_id=nobody").refused(404, "not_found")
	s.get(app + "/msg/" + msg + "/explain?lang=fr").wrong("query.lang")
	other, token := s.appToken("b")
	foreign := s.ep(other, object{"uid": "theirs"})
	s.call(token, "GET", app+"/msg/"+msg+"/explain", nil).refused(404, "not_found")
	s.get(app+"/msg/"+msg+"/explain?endpoint_id="+foreign[strings.LastIndex(foreign, "/")+1:]).refused(404, "not_found")
	s.call(token, "GET", other+"/msg/"+msg+"/explain", nil).refused(404, "not_found")
	_ = ep
}

// TestWhyAMessageDidNotGoThere makes an endpoint that a message does not go to, one reason at a time.
func TestWhyAMessageDidNotGoThere(t *testing.T) {
	t.Parallel()
	s := start(t)
	for i, c := range []struct {
		name            string
		app, ep, patch  object
		before          bool // the endpoint is there before the message
		facts           []string
		change, setting string
	}{
		{"another type", nil, object{"filterTypes": []string{"x"}}, nil, true, []string{"endpoint.type"}, "change.filterTypes", "filterTypes"},
		{"another channel", nil, object{"channels": []string{"x"}}, nil, true, []string{"endpoint.channel"}, "change.channels", "channels"},
		{"disabled", nil, object{"disabled": true}, nil, true, []string{"endpoint.disabled"}, "change.enable", "disabled"},
		{"polled", nil, object{"transport": "poll"}, nil, true, []string{"endpoint.polled"}, "", ""},
		{"made later", nil, object{}, nil, false, []string{"endpoint.later"}, "change.replay", ""},
		{"a flag is missing", object{"featureFlags": []string{"silver"}}, object{}, nil, true, []string{"endpoint.flag"}, "change.flag", "application.featureFlags"},
		{"the filter was changed since", nil, object{"filterTypes": []string{"x"}}, object{"filterTypes": nil}, true,
			[]string{"endpoint.changed", "endpoint.other"}, "change.resend", ""},
		{"the filter is another since", nil, object{"filterTypes": []string{"x"}}, object{"filterTypes": []string{"y"}}, true,
			[]string{"endpoint.changed", "endpoint.type"}, "change.filterTypes", "filterTypes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.in(t)
			s.put("/api/v1/event-type/gold.only", object{"description": "x", "featureFlags": []string{"gold"}}).want2xx()
			name := fmt.Sprintf("why-%d", i)
			body := object{"name": name, "uid": name}
			for k, v := range c.app {
				body[k] = v
			}
			app := "/api/v1/app/" + s.post("/api/v1/app", body).want(201).json().str("id")
			eventType := "order.created"
			if c.app != nil {
				eventType = "gold.only"
			}
			var ep, msg string
			if c.before {
				ep = s.ep(app, c.ep)
			}
			s.advance(time.Second)
			msg = s.send(app, object{"eventType": eventType, "channels": []string{"east"}})
			s.advance(time.Second)
			if !c.before {
				ep = s.ep(app, c.ep)
			}
			if c.patch != nil {
				s.patch(ep, c.patch).want(200)
			}
			facts, change, setting := s.story(app, msg, ep)
			if !slices.Equal(facts, c.facts) || change != c.change || setting != c.setting {
				t.Errorf("%v, %s of %q; want %v, %s of %q", facts, change, setting, c.facts, c.change, c.setting)
			}
			// Nobody asked for this endpoint: it is told of all the same.
			all := s.get(app + "/msg/" + msg + "/explain").want(200).json().list("endpoints")
			if len(all) != 1 || all[0].str("state") != "none" {
				t.Errorf("all: %v", all)
			}
		})
	}
}

// TestWhatAnAttemptTells records one attempt of each kind, and asks what would change it.
func TestWhatAnAttemptTells(t *testing.T) {
	t.Parallel()
	s := start(t)
	hour := []time.Duration{time.Hour}
	for i, c := range []struct {
		name            string
		ep              object
		attempts        []hook.Attempt
		schedule        []time.Duration
		facts           []string // behind endpoint.chosen
		change, setting string
	}{
		{"success", nil, []hook.Attempt{{Status: 200}}, hour, []string{"attempt.success", "state.delivered"}, "", ""},
		{"none yet", nil, nil, hour, []string{"next.due"}, "", ""},
		{"none yet, with a rate", object{"throttleRate": 1}, nil, hour, []string{"next.due"}, "change.throttle", "throttleRate"},
		{"the deadline", nil, []hook.Attempt{{Verdict: hook.Retry, Reason: "the deadline passed while waiting for the answer"}}, hour,
			[]string{"attempt.silent", "next.plannedOf"}, "change.timeout", "timeoutMs"},
		{"as long as the deadline", object{"timeoutMs": 5}, []hook.Attempt{{Verdict: hook.Retry, Reason: "x"}}, hour,
			[]string{"attempt.silent", "next.plannedOf"}, "change.timeout", "timeoutMs"},
		{"the deadline, after an answer", nil, []hook.Attempt{{Status: 500, Verdict: hook.Retry, Reason: "x"}, {Verdict: hook.Retry, Reason: "the deadline passed"}},
			[]time.Duration{time.Hour, time.Hour}, []string{"attempt.retry", "attempt.silent", "next.plannedOf"}, "change.timeoutSeen", "timeoutMs"},
		{"401", nil, []hook.Attempt{{Status: 401, Verdict: hook.Retry, Reason: "HTTP 401"}}, hour, []string{"attempt.retry", "next.plannedOf"}, "change.credentials", "secret"},
		{"403 of a platform's dialect", object{"dialect": "pandapon", "settings": object{"access_secret": "x"}},
			[]hook.Attempt{{Status: 403, Verdict: hook.Retry, Reason: "HTTP 403"}}, hour, []string{"attempt.retry", "next.plannedOf"}, "change.credentials", "settings"},
		{"a redirect", nil, []hook.Attempt{{Status: 302, Verdict: hook.Retry}}, hour, []string{"attempt.retry", "next.plannedOf"}, "change.redirect", "url"},
		{"404", nil, []hook.Attempt{{Status: 404, Verdict: hook.Retry}}, hour, []string{"attempt.retry", "next.plannedOf"}, "change.path", "url"},
		{"429", nil, []hook.Attempt{{Status: 429, Verdict: hook.Retry}}, hour, []string{"attempt.retry", "next.plannedOf"}, "change.rate", "throttleRate"},
		{"500", nil, []hook.Attempt{{Status: 500, Verdict: hook.Retry}}, hour, []string{"attempt.retry", "next.plannedOf"}, "change.receiver", ""},
		{"nobody there", nil, []hook.Attempt{{Verdict: hook.Retry, Reason: "example.com:443 refused the connection"}}, hour,
			[]string{"attempt.silent", "next.plannedOf"}, "change.unreachable", "url"},
		{"a private address", nil, []hook.Attempt{{Verdict: hook.Retry, Reason: "the name x leads to a private address, which endpoints may not reach"}}, hour,
			[]string{"attempt.silent", "next.plannedOf"}, "change.address", "url"},
		{"exhausted", nil, []hook.Attempt{{Status: 500, Verdict: hook.Retry}}, nil, []string{"attempt.retry", "state.exhausted"}, "change.recover", "retrySchedule"},
		{"refused", nil, []hook.Attempt{{Status: 400, Verdict: hook.Refuse}}, hour, []string{"attempt.refused", "state.refused"}, "change.receiver", ""},
		{"never sent", nil, []hook.Attempt{{Verdict: hook.Refuse, Reason: "the message cannot be signed"}}, hour, []string{"attempt.unsent", "state.refused"}, "change.receiver", ""},
		{"gone", nil, []hook.Attempt{{Status: 410, Verdict: hook.Gone}}, hour, []string{"attempt.gone", "state.refused"}, "change.path", "url"},
		{"404 behind a listener", object{"transport": "listen", "url": "listen:"}, []hook.Attempt{{Status: 404, Verdict: hook.Retry}}, nil,
			[]string{"attempt.retry", "state.exhausted"}, "change.forwardPath", ""},
		{"a redirect behind a listener", object{"transport": "listen", "url": "listen:"}, []hook.Attempt{{Status: 302, Verdict: hook.Retry}}, nil,
			[]string{"attempt.retry", "state.exhausted"}, "change.forwardPath", ""},
		{"by hand", nil, []hook.Attempt{{Status: 500, Verdict: hook.Retry, Trigger: hook.Manual}}, hour, []string{"attempt.retry", "next.due"}, "change.receiver", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.in(t)
			app := s.app(fmt.Sprintf("tells-%d", i))
			body := object{"uid": "main"}
			for k, v := range c.ep {
				body[k] = v
			}
			ep := s.ep(app, body)
			msg := s.send(app, object{})
			s.tries(msg, ep, c.schedule, c.attempts...)
			facts, change, setting := s.story(app, msg, ep)
			if want := append([]string{"endpoint.chosen"}, c.facts...); !slices.Equal(facts, want) || change != c.change || setting != c.setting {
				t.Errorf("%v, %s of %q; want %v, %s of %q", facts, change, setting, want, c.change, c.setting)
			}
		})
	}
}

// TestWhatHoldsADeliveryBackComesFirst changes one endpoint with a pending delivery step by step.
func TestWhatHoldsADeliveryBackComesFirst(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{"uid": "main", "dialect": "pandapon", "settings": object{"access_secret": "x"}})
	msg := s.send(app, object{"eventId": "order-1", "deliverAt": s.now().Add(time.Hour).UTC().Format(time.RFC3339)})
	want := func(fact, code string) {
		t.Helper()
		facts, change, _ := s.story(app, msg, ep)
		if facts[len(facts)-1] != fact || change != code {
			t.Errorf("%v, %s; want %s, %s", facts, change, fact, code)
		}
	}
	want("next.plannedOf", "")
	s.patch(ep, object{"requireVerified": true}).want(200)
	want("next.unverified", "change.verify")
	s.patch(ep, object{"paused": true}).want(200)
	want("next.paused", "change.unpause")
	s.patch(ep, object{"disabled": true}).want(200)
	want("state.canceled", "change.enable")
	s.patch(ep, object{"disabled": false, "paused": false, "requireVerified": false}).want(200)
	want("state.canceled", "change.resend")
	if got := codes(s.get(app + "/msg/order-1/explain").want(200).json().list("facts")); !slices.Equal(got, []string{"message.published", "message.eventId", "message.deliverAt"}) {
		t.Errorf("of the message: %v", got)
	}
	s.remove(app + "/msg/" + msg + "/content").want(204)
	want("state.canceled", "")
	s.remove(ep).want(204)
	o := s.get(app + "/msg/" + msg + "/explain").want(200).json()
	if list := o.list("endpoints"); len(list) != 1 || !slices.Equal(codes(list[0].list("facts")), []string{"endpoint.deleted"}) {
		t.Errorf("a deleted endpoint: %v", list)
	}
	if got := codes(o.list("facts")); got[len(got)-1] != "message.expired" {
		t.Errorf("of the message: %v", got)
	}
}

func TestTheStoryIsToldInChinese(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	if got := codes(s.get(app + "/msg/" + s.send(app, object{}) + "/explain").want(200).json().list("facts")); !slices.Equal(got, []string{"message.published", "message.noEndpoints"}) {
		t.Errorf("without endpoints: %v", got)
	}
	ep := s.ep(app, object{})
	msg := s.send(app, object{})
	s.tries(msg, ep, nil, hook.Attempt{Status: 401, Verdict: hook.Retry, Reason: "HTTP 401"})
	en, zh := s.get(app+"/msg/"+msg+"/explain").want(200).json(), s.get(app+"/msg/"+msg+"/explain?lang=zh").want(200).json()
	if !strings.Contains(text(zh), "第 1 次尝试") || strings.Contains(text(en), "次") || !strings.Contains(text(en), "Attempt 1 at ") {
		t.Errorf("%s\n%s", text(en), text(zh))
	}
	if again := "waypost resend " + msg + " "; !strings.Contains(text(en), again) || !strings.Contains(text(zh), again) {
		t.Errorf("what is given up does not say how it is sent again: %s\n%s", text(en), text(zh))
	}
	if a, b := codes(en.list("endpoints")[0].list("facts")), codes(zh.list("endpoints")[0].list("facts")); !slices.Equal(a, b) {
		t.Errorf("other facts in Chinese: %v, %v", a, b)
	}
}

// TestALongStoryIsCut has more endpoints and attempts than one answer holds.
func TestALongStoryIsCut(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{})
	msg := s.send(app, object{})
	var many []hook.Attempt
	for range 25 {
		many = append(many, hook.Attempt{Status: 500, Verdict: hook.Retry, Trigger: hook.Manual})
	}
	s.tries(msg, ep, []time.Duration{time.Hour}, many...)
	facts, _, _ := s.story(app, msg, ep)
	if len(facts) != 1+1+20+1 || facts[1] != "attempts.earlier" {
		t.Errorf("%d facts: %v", len(facts), facts)
	}
	for range 60 {
		s.ep(app, object{})
	}
	o := s.get(app + "/msg/" + msg + "/explain").want(200).json()
	if list := o.list("endpoints"); len(list) != 50 || o["complete"] != false || list[0].str("state") != "pending" {
		t.Errorf("%d endpoints, complete %v", len(list), o["complete"])
	}
}

func TestAReceivedMessageNamesItsSource(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	src := s.post(app+"/source", object{"uid": "panda", "dialect": "pandapon", "settings": object{"access_secret": "hunter2"}}).want(201).json().str("id")
	id, err := hook.ParseID[hook.SourceID](src)
	if err != nil {
		t.Fatal(err)
	}
	appID := must(hook.ParseID[hook.ApplicationID](app[len("/api/v1/app/"):]))(t)
	m := hook.Message{ID: hook.NewID[hook.MessageID](s.ids, s.now()), App: appID, Source: id, EventType: "ORDER_CREATE", Payload: []byte("{}"),
		Unreadable: "it is not JSON", CreatedAt: s.now().UTC().Truncate(time.Millisecond), Raw: &hook.Raw{Method: "POST", Body: []byte("{}"), Remote: "203.0.113.7"}}
	earlier := m
	earlier.ID, earlier.Raw = hook.NewID[hook.MessageID](s.ids, s.now()), &hook.Raw{Method: "POST", Body: []byte("{}")}
	got := must(s.store.Accept(t.Context(), []hook.Accept{{Message: m}, {Message: earlier}}))(t)
	path := app + "/msg/" + got[0].Message.ID.String() + "/explain"
	if o := s.get(app + "/msg/" + got[1].Message.ID.String() + "/explain").want(200); slices.Contains(codes(o.json().list("facts")), "message.from") {
		t.Errorf("the sender is not known: %s", o.text)
	}
	o := s.get(path).want(200)
	if !strings.Contains(o.text, "sent from 203.0.113.7") {
		t.Error(o.text)
	}
	if !slices.Equal(codes(o.json().list("facts"))[:3], []string{"message.received", "message.from", "message.unreadable"}) || !strings.Contains(o.text, "panda (pandapon)") || strings.Contains(o.text, "hunter2") {
		t.Error(o.text)
	}
	s.remove(app + "/source/panda").want(204)
	if o := s.get(path).want(200); codes(o.json().list("facts"))[0] != "message.received-gone" {
		t.Error(o.text)
	}
}
