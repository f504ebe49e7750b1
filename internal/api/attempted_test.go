package api_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// lastPart is the id at the end of a path.
func lastPart(path string) string { return path[strings.LastIndex(path, "/")+1:] }

// standings makes one message of each standing at an endpoint and names them by it.
func standings(t *testing.T, s *server, app, ep string) (ids map[string]string) {
	t.Helper()
	schedule := []time.Duration{time.Minute}
	fail, ok := hook.Attempt{Status: 500, Verdict: hook.Retry}, hook.Attempt{Status: 200, Verdict: hook.Success}
	ids = map[string]string{}
	for name, attempts := range map[string][]hook.Attempt{
		"success": {ok}, "pending": nil, "fail": {fail, fail}, "sending": {fail}, "canceled": nil, "recovered": {fail, ok},
	} {
		s.advance(time.Second)
		ids[name] = s.send(app, object{"eventType": "type." + name, "eventId": name, "channels": []string{name, "all"}, "tags": []string{name}})
		s.tries(ids[name], ep, schedule, attempts...)
	}
	s.post(app+"/msg/canceled/endpoint/"+lastPart(ep)+"/cancel", nil).want(200)
	return ids
}

// namesOf lists the names that messages have as event ids.
func namesOf(a answer) string {
	a.t.Helper()
	var names []string
	for _, m := range a.want(200).json().list("data") {
		names = append(names, m.str("eventId"))
	}
	return strings.Join(names, " ")
}

// sameWords says whether texts are the same words in any order.
func sameWords(a, b string) bool {
	count := map[string]int{}
	for _, w := range strings.Fields(a) {
		count[w]++
	}
	for _, w := range strings.Fields(b) {
		count[w]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestAMessageStandsExactlyOneWay(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	ep := s.ep(app, object{"uid": "main"})
	quiet := s.ep(app, object{"uid": "quiet", "filterTypes": []string{"nothing"}})
	standings(t, s, app, ep)

	t.Run("and shows so", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		numbers := map[string]string{"success": "0 success", "recovered": "0 success", "pending": "1 pending", "fail": "2 fail",
			"sending": "3 sending", "canceled": "4 canceled"}
		list := s.get(ep + "/msg?expanded_statuses=true").want(200).json().list("data")
		if len(list) != len(numbers) {
			t.Fatal(list)
		}
		for _, m := range list {
			name := m.str("eventId")
			if got := fmt.Sprintf("%v %s", m["status"], m.str("statusText")); got != numbers[name] {
				t.Errorf("%s is %s", name, got)
			}
			if waits := m.str("nextAttempt") != ""; waits != (name == "pending" || name == "sending") {
				t.Errorf("%s: next attempt %v", name, m["nextAttempt"])
			}
			if m.obj("payload")["n"] != 1.0 || m.str("id") == "" || m.str("timestamp") == "" {
				t.Error(m)
			}
		}
	})
	t.Run("and a client that knows no canceled is told failed", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		for _, m := range s.get(ep + "/msg").want(200).json().list("data") {
			if m["status"] == 4.0 || m.str("eventId") == "canceled" && (m["status"] != 2.0 || m.str("statusText") != "fail") {
				t.Error(m)
			}
		}
	})
	t.Run("and is listed so", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		for query, want := range map[string]string{
			"":         "success recovered pending fail sending canceled",
			"status=0": "success recovered", "status=1": "pending", "status=2": "fail canceled", "status=3": "sending", "status=4": "",
			"expanded_statuses=true&status=0": "success recovered", "expanded_statuses=true&status=1": "pending",
			"expanded_statuses=true&status=2": "fail", "expanded_statuses=true&status=3": "sending", "expanded_statuses=true&status=4": "canceled",
			"channel=fail": "fail", "channel=none": "", "tag=pending": "pending", "channel=all&tag=sending": "sending",
			"event_types=type.fail": "fail", "event_types=type.fail,type.success": "fail success", "event_types[]=type.fail": "fail",
			"status=2&channel=success": "", "status=2&event_types=type.fail": "fail",
		} {
			if got := namesOf(s.get(ep + "/msg?" + query)); !sameWords(got, want) {
				t.Errorf("%q gives %q, want %q", query, got, want)
			}
			if got := namesOf(s.call(token, "GET", app+"/endpoint/main/msg?"+query, nil)); !sameWords(got, want) {
				t.Errorf("its own token is given %q for %q, want %q", got, query, want)
			}
		}
		if got := namesOf(s.get(quiet + "/msg")); got != "" {
			t.Errorf("an endpoint to which nothing went has %q", got)
		}
		for query, loc := range map[string]string{"status=5": "query.status", "status=-1": "query.status", "channel=a/b": "query.channel",
			"tag=a:b": "query.tag", "limit=0": "query.limit", "limit=251": "query.limit", "iterator=x": "query.iterator", "before=x": "query.before"} {
			s.get(ep + "/msg?" + query).wrong(loc)
		}
		s.get(app+"/endpoint/none/msg").refused(404, "not_found")
	})
	t.Run("with and without content, before and after", func(t *testing.T) {
		t.Parallel()
		s := s.in(t)
		for _, m := range s.get(ep + "/msg?with_content=false").want(200).json().list("data") {
			if len(m.obj("payload")) != 0 {
				t.Error(m)
			}
		}
		all := s.get(ep + "/msg?order=ascending").want(200).json().list("data")
		at := url.QueryEscape(all[2].str("timestamp"))
		for query, want := range map[string][]object{"before=" + at: all[:2], "after=" + at: all[3:]} {
			var names []string
			for _, m := range want {
				names = append(names, m.str("eventId"))
			}
			if got := namesOf(s.get(ep + "/msg?order=ascending&" + query)); got != strings.Join(names, " ") {
				t.Errorf("%s gives %s, want %v", query, got, names)
			}
		}
	})
}

func TestTheDestinationsOfAMessage(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	one := s.ep(app, object{"uid": "one", "description": "the first", "filterTypes": []string{"order.created"}, "throttleRate": 7})
	two := s.ep(app, object{"uid": "two"})
	three := s.ep(app, object{"uid": "three"})
	s.ep(app, object{"uid": "other", "filterTypes": []string{"other"}})
	msg := s.send(app, object{"eventId": "m1"})
	s.tries(msg, one, nil, hook.Attempt{Status: 200, Verdict: hook.Success})
	s.tries(msg, two, []time.Duration{time.Minute}, hook.Attempt{Status: 500, Verdict: hook.Retry})
	s.get(app+"/msg/none/endpoint").refused(404, "not_found")
	list := s.call(token, "GET", app+"/msg/m1/endpoint", nil).want(200).json().list("data")
	if len(list) != 3 {
		t.Fatal(list)
	}
	for i, want := range []string{"three 1 pending", "two 3 sending", "one 0 success"} {
		if got := fmt.Sprintf("%s %v %s", list[i].str("uid"), list[i]["status"], list[i].str("statusText")); got != want {
			t.Errorf("%d is %s, want %s", i, got, want)
		}
	}
	first := list[2]
	for name, want := range map[string]string{
		"id": text(lastPart(one)), "url": text(goodURL), "description": `"the first"`, "disabled": "false", "version": "1", "filterTypes": `["order.created"]`,
		"channels": "null", "rateLimit": "7", "throttleRate": "7", "nextAttempt": "null", "attempts": "1",
	} {
		if text(first[name]) != want {
			t.Errorf("%s is %s, want %s", name, text(first[name]), want)
		}
	}
	s.post(app+"/msg/m1/endpoint/three/cancel", nil).want(200)
	if got := s.get(app + "/msg/m1/endpoint").json().list("data")[0]; got["status"] != 2.0 {
		t.Error("a client that knows no canceled is told", got)
	}
	if got := s.get(app + "/msg/m1/endpoint?expanded_statuses=true").json().list("data")[0]; got["status"] != 4.0 {
		t.Error(got)
	}
	s.remove(three).want(204)
	if n := len(s.get(app + "/msg/m1/endpoint").want(200).json().list("data")); n != 2 {
		t.Errorf("%d destinations when one was deleted", n)
	}
}

func TestAttemptedListsGoForwardAndBack(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{"uid": "main"})
	failed := s.ep(app, object{"uid": "failed", "filterTypes": []string{"bad"}})
	for i := range 7 {
		s.advance(time.Second)
		s.send(app, object{})
		id := s.send(app, object{"eventType": "bad"})
		s.tries(id, failed, nil, hook.Attempt{Status: 500, Verdict: hook.Retry})
		if i > 0 {
			s.ep(app, object{})
		}
	}
	all := s.ep(app, object{})
	msg := s.send(app, object{})
	for _, path := range []string{ep + "/msg?limit=3", failed + "/msg?limit=3&status=2&expanded_statuses=true", app + "/msg/" + msg + "/endpoint?limit=3"} {
		for _, order := range []string{"ascending", "descending"} {
			t.Run(path+" "+order, func(t *testing.T) {
				t.Parallel()
				walk(t, s.in(t), path+"&order="+order, order == "ascending")
			})
		}
	}
	_ = all
}

func TestAttemptsAreListedWithTheirMessages(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{"uid": "main"})
	fail := hook.Attempt{Status: 500, Verdict: hook.Retry, Response: []byte("no")}
	small := s.post(app+"/msg", `{"eventType":"e","eventId":"m1","payload":{ "n" : 1.50 }}`).want(202).json().str("id")
	s.tries(small, ep, nil, fail)
	gone := s.send(app, object{"eventId": "m2"})
	s.tries(gone, ep, nil, fail)
	s.remove(app + "/msg/m2/content").want(204)
	a := s.get(app + "/attempt/endpoint/main?with_msg=true").want(200)
	list := a.json().list("data")
	if len(list) != 2 || list[0].obj("msg").str("eventId") != "m2" || list[1].obj("msg").str("eventId") != "m1" {
		t.Fatal(a.text)
	}
	if !strings.Contains(a.text, `"payload":{ "n" : 1.50 }`) || !strings.Contains(a.text, `"payload":{"expired":true}`) || list[0].str("response") != "no" {
		t.Error(a.text)
	}
	a = s.get(app + "/attempt/endpoint/main?with_msg=true&with_content=false").want(200)
	if list := a.json().list("data"); list[1].obj("msg").str("eventId") != "m1" || len(list[1].obj("msg").obj("payload")) != 0 || list[1].str("response") != "{}" {
		t.Error(a.text)
	}
	if a := s.get(app + "/attempt/endpoint/main").want(200); strings.Contains(a.text, `"msg"`) {
		t.Error("not asked for:", a.text)
	}
}

func TestAPageOfAttemptsWithLargeMessagesEndsEarlyAndGoesOn(t *testing.T) {
	t.Parallel()
	s := start(t)
	app := s.app("a")
	ep := s.ep(app, object{"uid": "main"})
	const n, size = 11, 1<<20 - 200
	for range n {
		id := s.post(app+"/msg?with_content=false", `{"eventType":"e","payload":{"a":"`+strings.Repeat("z", size)+`"}}`).want(202).json().str("id")
		s.tries(id, ep, nil, hook.Attempt{Status: 500, Verdict: hook.Retry}, hook.Attempt{Status: 500, Verdict: hook.Retry, Trigger: hook.Manual})
	}
	path := app + "/attempt/endpoint/main?with_msg=true&limit=250"
	pages := func(iterator, next string) (ids []string, iterators []string) {
		for len(iterators) < 10 {
			a := s.get(path + "&iterator=" + iterator).want(200)
			if len(a.text) > 10<<20 {
				t.Fatalf("an answer of %d bytes", len(a.text))
			}
			o := a.json()
			for _, one := range o.list("data") {
				if one.obj("msg").str("id") != one.str("msgId") {
					t.Fatal("an attempt without its message")
				}
			}
			if ids = append(ids, idsOf(o)...); next == "prevIterator" {
				ids = append(idsOf(o), ids[:len(ids)-len(idsOf(o))]...)
			}
			iterators = append(iterators, iterator)
			if iterator = o.str(next); o["done"] == true {
				return ids, append(iterators, o.str("prevIterator"))
			}
		}
		t.Fatal("no end")
		return nil, nil
	}
	forward, its := pages("", "iterator")
	if len(forward) != 2*n || len(its) < 3 {
		t.Fatalf("%d attempts on %d pages", len(forward), len(its)-1)
	}
	end := s.get(path + "&iterator=" + forward[len(forward)-1]).json()
	back, _ := pages("-"+forward[len(forward)-1], "prevIterator")
	if strings.Join(back, " ") != strings.Join(forward[:len(forward)-1], " ") || end["done"] != true {
		t.Errorf("forward %v\nback %v", forward, back)
	}
}
