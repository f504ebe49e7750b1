package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// reply is what the API answered over the network.
type reply struct {
	status int
	text   string
}

func (r reply) into(t *testing.T, out any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.text), out); err != nil {
		t.Fatalf("%d %s: %v", r.status, r.text, err)
	}
}

// ask makes a request with the organisation's token; in is a text as it is, or anything that encodes as JSON.
func (a *App) ask(t *testing.T, method, path string, in any, headers ...string) reply {
	t.Helper()
	r, err := a.tryToAsk(t.Context(), method, path, in, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tryToAsk is ask for goroutines.
func (a *App) tryToAsk(ctx context.Context, method, path string, in any, headers ...string) (r reply, err error) {
	body, isText := in.(string)
	if !isText && in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return r, err
		}
		body = string(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.AdminAddr()+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		return r, err
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return r, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, string(text)}, err
}

func (a *App) wantStatus(t *testing.T, want int, method, path string, in any, headers ...string) reply {
	t.Helper()
	r := a.ask(t, method, path, in, headers...)
	if r.status != want {
		t.Fatalf("%s %s: %d, want %d: %s", method, path, r.status, want, r.text)
	}
	return r
}

// delivered waits until a message has been delivered to so many endpoints.
func (a *App) delivered(t *testing.T, msg string, endpoints int) {
	t.Helper()
	(&developer{t: t, app: a}).await(msg+" is delivered", func() bool {
		r := a.ask(t, http.MethodGet, "/app/dev/msg/"+msg+"/endpoint", nil)
		return strings.Count(r.text, `"statusText":"success"`) == endpoints
	})
}

func TestALargeBodyIsRefusedInTime(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	a.post(t, "/app", fields{"name": "Developer", "uid": "dev"}, nil)
	large := `{"eventType":"e","payload":{"a":"` + strings.Repeat("x", 8<<20) + `"}}`
	// A client that goes on writing may lose the connection before it reads the answer: this one waits for leave to send.
	if r := a.ask(t, http.MethodPost, "/app/dev/msg", large, "Expect", "100-continue"); r.status != http.StatusRequestEntityTooLarge || !strings.Contains(r.text, `"payload_too_large"`) {
		t.Errorf("8 MiB: %d %s", r.status, r.text)
	}
	r := a.wantStatus(t, http.StatusOK, http.MethodGet, "/app/dev/msg", nil)
	if !strings.Contains(r.text, `"data":[]`) {
		t.Errorf("something was stored: %.200s", r.text)
	}
}

func TestExpungedContentIsGone(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	a.post(t, "/app", fields{"name": "Developer", "uid": "dev"}, nil)
	url, _ := receiver(t, func(_ int, w http.ResponseWriter) { _, _ = io.WriteString(w, "sensitive answer") })
	a.post(t, "/app/dev/endpoint", fields{"url": url, "uid": "e"}, nil)
	a.post(t, "/app/dev/msg", fields{"eventType": "e", "eventId": "m", "payload": fields{"sensitive": "content"}}, nil)
	a.delivered(t, "m", 1)
	var page struct {
		Data []struct{ ID, Response string }
	}
	a.wantStatus(t, http.StatusOK, http.MethodGet, "/app/dev/attempt/msg/m", nil).into(t, &page)
	if len(page.Data) != 1 || page.Data[0].Response != "sensitive answer" {
		t.Fatalf("attempts %+v", page)
	}
	attempt := "/app/dev/msg/m/attempt/" + page.Data[0].ID
	for range 2 {
		a.wantStatus(t, http.StatusNoContent, http.MethodDelete, attempt+"/content", nil)
		a.wantStatus(t, http.StatusNoContent, http.MethodDelete, "/app/dev/msg/m/content", nil)
	}
	if r := a.wantStatus(t, http.StatusOK, http.MethodGet, "/app/dev/msg/m", nil); !strings.Contains(r.text, `"payload":{"expired":true}`) || !strings.Contains(r.text, `"eventId":"m"`) {
		t.Errorf("the message reads %s", r.text)
	}
	if r := a.wantStatus(t, http.StatusOK, http.MethodGet, attempt, nil); !strings.Contains(r.text, `"response":"EXPUNGED"`) || !strings.Contains(r.text, `"responseStatusCode":200`) {
		t.Errorf("the attempt reads %s", r.text)
	}
	for _, list := range []string{"/app/dev/msg", "/app/dev/endpoint/e/msg", "/app/dev/attempt/endpoint/e?with_msg=true"} {
		if r := a.wantStatus(t, http.StatusOK, http.MethodGet, list, nil); strings.Contains(r.text, "sensitive") {
			t.Errorf("%s still tells %s", list, r.text)
		}
	}
	a.wantStatus(t, http.StatusBadRequest, http.MethodPost, "/app/dev/msg/m/endpoint/e/resend", nil)
}

func TestAKeyMakesARequestOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, stop := started(t, dir, "")
	first := a.wantStatus(t, http.StatusCreated, http.MethodPost, "/app", fields{"name": "first"}, "Idempotency-Key", "k")
	if again := a.wantStatus(t, http.StatusCreated, http.MethodPost, "/app", fields{"name": "second"}, "Idempotency-Key", "k"); again != first {
		t.Errorf("the repeat is answered %s, the first was %s", again.text, first.text)
	}
	if other := a.wantStatus(t, http.StatusCreated, http.MethodPost, "/app", fields{"name": "second"}, "Idempotency-Key", "l"); other == first {
		t.Error("another key gets the first answer")
	}
	t.Run("for POST only", func(t *testing.T) {
		for _, name := range []string{"one", "two"} {
			if r := a.ask(t, http.MethodPut, "/app/put", fields{"name": name, "uid": "put"}, "Idempotency-Key", "p"); !strings.Contains(r.text, name) {
				t.Errorf("PUT %s: %s", name, r.text)
			}
		}
	})
	t.Run("at once", func(t *testing.T) {
		answers := make([]string, 20)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				r, err := a.tryToAsk(t.Context(), http.MethodPost, "/app", fields{"name": fmt.Sprint("twin ", i)}, "Idempotency-Key", "twins")
				if answers[i] = r.text; err != nil || r.status != http.StatusCreated {
					t.Errorf("%d %s: %v", r.status, r.text, err)
				}
			})
		}
		all.Wait()
		if slices.Sort(answers); answers[0] != answers[len(answers)-1] {
			t.Errorf("one was answered %s, another %s", answers[0], answers[len(answers)-1])
		}
	})
	t.Run("also after a restart", func(t *testing.T) {
		stop()
		a, _ := started(t, dir, "")
		if again := a.wantStatus(t, http.StatusCreated, http.MethodPost, "/app", nil, "Idempotency-Key", "k"); again != first {
			t.Errorf("the repeat is answered %s, the first was %s", again.text, first.text)
		}
	})
}

func TestAMessageBringsItsApplication(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	message := func(app any) fields { return fields{"eventType": "e", "payload": fields{}, "application": app} }
	a.wantStatus(t, http.StatusNotFound, http.MethodPost, "/app/new/msg", message(nil))
	a.wantStatus(t, http.StatusUnprocessableEntity, http.MethodPost, "/app/new/msg", message(fields{"name": "New", "uid": "other"}))
	a.wantStatus(t, http.StatusUnprocessableEntity, http.MethodPost, "/app/new/msg", message(fields{"name": "New"}))
	a.wantStatus(t, http.StatusNotFound, http.MethodGet, "/app/new", nil)
	a.wantStatus(t, http.StatusAccepted, http.MethodPost, "/app/new/msg", message(fields{"name": "New", "uid": "new"}))
	a.wantStatus(t, http.StatusAccepted, http.MethodPost, "/app/new/msg", message(fields{"name": "Newer", "uid": "new"}))
	if r := a.wantStatus(t, http.StatusOK, http.MethodGet, "/app/new", nil); !strings.Contains(r.text, `"name":"New"`) {
		t.Errorf("the application has changed: %s", r.text)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	a.post(t, "/app", fields{"name": "Developer", "uid": "dev"}, nil)
	var visited atomic.Int32
	target, _ := receiver(t, func(_ int, w http.ResponseWriter) { visited.Add(1) })
	url, hits := receiver(t, func(_ int, w http.ResponseWriter) {
		w.Header().Set("Location", target)
		w.WriteHeader(http.StatusPermanentRedirect)
	})
	a.post(t, "/app/dev/endpoint", fields{"url": url, "uid": "e", "retrySchedule": []float64{}}, nil)
	a.post(t, "/app/dev/msg", fields{"eventType": "e", "eventId": "m", "payload": fields{}}, nil)
	await(t, hits)
	(&developer{t: t, app: a}).await("it has failed", func() bool {
		return strings.Contains(a.ask(t, http.MethodGet, "/app/dev/msg/m/endpoint", nil).text, `"statusText":"fail"`)
	})
	if r := a.wantStatus(t, http.StatusOK, http.MethodGet, "/app/dev/attempt/msg/m", nil); !strings.Contains(r.text, `"responseStatusCode":308`) || visited.Load() != 0 {
		t.Errorf("the target was visited %d times: %s", visited.Load(), r.text)
	}
}

func TestEndpointsGetWhatTheyFilterFor(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	a.post(t, "/app", fields{"name": "Developer", "uid": "dev"}, nil)
	url, _ := receiver(t, yes)
	for uid, filter := range map[string]fields{
		"all": {}, "types": {"filterTypes": []string{"a", "b"}}, "channels": {"channels": []string{"x"}},
		"both": {"filterTypes": []string{"a"}, "channels": []string{"x", "y"}}, "off": {"disabled": true},
	} {
		filter["url"], filter["uid"] = url, uid
		a.post(t, "/app/dev/endpoint", filter, nil)
	}
	for i, c := range []struct {
		eventType string
		channels  []string
		want      string
	}{
		{"a", nil, "all types"},
		{"a", []string{"x"}, "all both channels types"},
		{"b", []string{"y"}, "all types"},
		{"c", []string{"x"}, "all channels"},
		{"c", []string{"z"}, "all"},
		{"a", []string{"z", "y"}, "all both types"},
	} {
		m := fields{"eventType": c.eventType, "eventId": fmt.Sprint("m", i), "payload": fields{}}
		if c.channels != nil {
			m["channels"] = c.channels
		}
		a.post(t, "/app/dev/msg", m, nil)
		want := strings.Fields(c.want)
		a.delivered(t, fmt.Sprint("m", i), len(want))
		var at struct{ Data []made }
		a.wantStatus(t, http.StatusOK, http.MethodGet, fmt.Sprintf("/app/dev/msg/m%d/endpoint", i), nil).into(t, &at)
		var got []string
		for _, e := range at.Data {
			got = append(got, e.UID)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s %v went to %v, want %v", c.eventType, c.channels, got, want)
		}
	}
}

func TestHeadersOfAnEndpointAreSentAndSecretOnesHidden(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	a.post(t, "/app", fields{"name": "Developer", "uid": "dev"}, nil)
	url, hits := receiver(t, yes)
	a.post(t, "/app/dev/endpoint", fields{"url": url, "uid": "e"}, nil)
	const path = "/app/dev/endpoint/e/headers"
	for _, bad := range []fields{{"user-agent": "x"}, {"svix-id": "x"}, {"webhook-id": "x"}, {"host": "x"}, {"a b": "x"}, {"": "x"}, {"ok": "a\nb"}, {"ok": 1}} {
		for _, method := range []string{http.MethodPut, http.MethodPatch} {
			a.wantStatus(t, http.StatusUnprocessableEntity, method, path, fields{"headers": bad})
		}
	}
	a.wantStatus(t, http.StatusNoContent, http.MethodPut, path, fields{"headers": fields{"x-one": "1", "x-two": "2", "authorization": "Basic c2VjcmV0"}})
	a.wantStatus(t, http.StatusNoContent, http.MethodPatch, path, fields{"headers": fields{"x-two": nil, "x-three": "3"}})
	r := a.wantStatus(t, http.StatusOK, http.MethodGet, path, nil)
	var shown struct {
		Headers   map[string]string
		Sensitive []string
	}
	r.into(t, &shown)
	if len(shown.Headers) != 2 || len(shown.Sensitive) != 1 || !strings.EqualFold(shown.Sensitive[0], "authorization") || strings.Contains(r.text, "c2VjcmV0") {
		t.Errorf("reads %s", r.text)
	}
	a.post(t, "/app/dev/msg", fields{"eventType": "e", "payload": fields{}}, nil)
	got := await(t, hits).header
	if got.Get("X-One") != "1" || got.Get("X-Two") != "" || got.Get("X-Three") != "3" || got.Get("Authorization") != "Basic c2VjcmV0" {
		t.Errorf("sent %v", got)
	}
}

func TestADeletedEndpointGetsNothing(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	a.post(t, "/app", fields{"name": "Developer", "uid": "dev"}, nil)
	gone, nothing := receiver(t, yes)
	url, hits := receiver(t, yes)
	a.post(t, "/app/dev/endpoint", fields{"url": gone, "uid": "gone"}, nil)
	a.wantStatus(t, http.StatusNoContent, http.MethodDelete, "/app/dev/endpoint/gone", nil)
	a.post(t, "/app/dev/endpoint", fields{"url": url}, nil)
	a.wantStatus(t, http.StatusAccepted, http.MethodPost, "/app/dev/msg", fields{"eventType": "e", "payload": fields{}})
	await(t, hits)
	if len(nothing) != 0 {
		t.Error("a deleted endpoint got a message")
	}
}

// TestListsHoldUnderConcurrentInserts walks lists both ways while they grow: what was there before is met exactly once, and nothing twice.
func TestListsHoldUnderConcurrentInserts(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	a.post(t, "/app", fields{"name": "Developer", "uid": "dev"}, nil)
	url, _ := receiver(t, yes)
	a.post(t, "/app/dev/endpoint", fields{"url": url, "uid": "e"}, nil)
	grow := func(i int) {
		add := func(path string, in fields) {
			if r, err := a.tryToAsk(context.Background(), http.MethodPost, path, in); err != nil || r.status/100 != 2 {
				t.Errorf("POST %s: %d %s: %v", path, r.status, r.text, err)
			}
		}
		add("/app/dev/msg", fields{"eventType": "e", "payload": fields{}})
		if i%4 == 0 {
			add("/app", fields{"name": "x"})
			add("/app/dev/endpoint", fields{"url": url, "filterTypes": []string{"none"}})
			add("/event-type", fields{"name": rand.Text(), "description": "anywhere in the order"})
		}
	}
	for i := range 40 {
		grow(i)
	}
	(&developer{t: t, app: a}).await("all are delivered", func() bool {
		return strings.Count(a.ask(t, http.MethodGet, "/app/dev/attempt/endpoint/e?limit=250", nil).text, `"id":"atmpt_`) == 40
	})
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				grow(i)
			}
		}
	})
	defer func() { close(stop); load.Wait() }()
	for _, list := range []string{"/app", "/event-type", "/app/dev/endpoint", "/app/dev/msg", "/app/dev/endpoint/e/msg", "/app/dev/attempt/endpoint/e"} {
		for _, order := range []string{"ascending", "descending"} {
			name := list + " " + order
			before := a.walk(t, list+"?limit=250&order="+order, nil)
			got := a.walk(t, list+"?limit=3&order="+order, before)
			sorted := slices.Clone(got)
			slices.Sort(sorted)
			if len(slices.Compact(sorted)) != len(got) {
				t.Errorf("%s: an item came twice: %v", name, got)
			}
			for _, id := range before {
				if !slices.Contains(got, id) {
					t.Errorf("%s: %s is missing", name, id)
				}
			}
		}
	}
}

// walk reads a list forward until it has met all of these, or its end, and back again to its beginning: what came forward must
// come back.
func (a *App) walk(t *testing.T, path string, until []string) (ids []string) {
	t.Helper()
	type page struct {
		Data                   []struct{ ID, Name string }
		Iterator, PrevIterator *string
		Done                   bool
	}
	read := func(iterator string) (p page, ids []string) {
		a.wantStatus(t, http.StatusOK, http.MethodGet, path+"&iterator="+iterator, nil).into(t, &p)
		for _, d := range p.Data {
			ids = append(ids, cmp.Or(d.ID, d.Name)) // event types have names only
		}
		return p, ids
	}
	var last page
	left := map[string]bool{}
	for _, id := range until {
		left[id] = true
	}
	for iterator, more := "", true; more; {
		p, here := read(iterator)
		ids = append(ids, here...)
		for _, id := range here {
			delete(left, id)
		}
		if last, more = p, !p.Done && len(left) > 0; more {
			iterator = *p.Iterator
		}
	}
	if last.PrevIterator == nil {
		return ids
	}
	back := ids[len(ids)-len(last.Data):]
	for prev := last.PrevIterator; prev != nil; {
		p, here := read(*prev)
		if len(here) == 0 {
			break
		}
		back, prev = append(slices.Clone(here), back...), p.PrevIterator
	}
	for _, id := range ids {
		if !slices.Contains(back, id) {
			t.Errorf("%s: %s came forward and not back", path, id)
		}
	}
	return ids
}
