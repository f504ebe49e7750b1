package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/standard"
)

// request makes a request that the API has to accept.
func (a *App) request(t *testing.T, method, path string, in any) {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+a.AdminAddr()+"/api/v1"+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s", method, path, resp.Status)
	}
}

func (h hit) verifies(secret string) error {
	_, err := standard.Dialect.Receive(dialect.Set("secret", secret), dialect.Inbound{Header: h.header, Body: h.body, Now: time.Now()})
	return err
}

type made struct{ ID, UID string }

type fields = map[string]any

func TestAMessageIsSignedWithEverySecretThatIsLive(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	url, hits := receiver(t, yes)
	a.post(t, "/app", fields{"name": "a", "uid": "a"}, nil)
	a.post(t, "/app/a/endpoint", fields{"url": url, "uid": "e"}, nil)
	key := func() string {
		var out struct{ Key string }
		a.get(t, "/api/v1/app/a/endpoint/e/secret", &out)
		return out.Key
	}
	secrets := []string{key()}
	for _, body := range []fields{
		{"key": nil},
		{"key": "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="},
		{"key": "whsec_TUdfVE5UMnZlci1TeWxOYXQtX1ZlTW1kLTRtMFdhYmEwanIxdHJvenRCbmlTQ2hFdzBnbHhFbWdFaTJLdzQwSA=="},
	} {
		a.post(t, "/app/a/endpoint/e/secret/rotate", body, nil)
		secrets = append(secrets, key())
	}
	a.post(t, "/app/a/msg", fields{"eventType": "e", "payload": fields{"test": "data1"}}, nil)
	got := await(t, hits)
	for i, s := range secrets {
		if err := got.verifies(s); err != nil {
			t.Errorf("secret %d (%.6s…): %v", i, s, err)
		}
	}
	t.Log("one that ended at once signs no more")
	a.post(t, "/app/a/endpoint/e/secret/rotate", fields{"gracePeriodSeconds": 0}, nil)
	a.post(t, "/app/a/msg", fields{"eventType": "e", "payload": fields{"test": "data2"}}, nil)
	got = await(t, hits)
	for i, s := range append(secrets, key()) {
		if err := got.verifies(s); (err != nil) != (i == len(secrets)-1) {
			t.Errorf("secret %d afterwards: %v", i, err)
		}
	}
}

// finished waits until a background task is done and says how much it did.
func (a *App) finished(t *testing.T, id string) (done int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var task struct {
			Status string
			Data   struct{ Done int }
		}
		if a.get(t, "/api/v1/background-task/"+id, &task); task.Status != "running" {
			return task.Data.Done
		}
	}
	t.Fatalf("the task %s does not end", id)
	return 0
}

func (a *App) attempts(t *testing.T, path string, want int) {
	t.Helper()
	var list struct{ Data []struct{ ID string } }
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if a.get(t, path, &list); len(list.Data) == want {
			return
		} else if len(list.Data) > want || time.Now().After(end) {
			t.Fatalf("%d attempts at %s, want %d", len(list.Data), path, want)
		}
	}
}

func TestARecoveryMakesOneAttemptMore(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	url, hits := receiver(t, func(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) })
	a.post(t, "/app", fields{"name": "a", "uid": "a"}, nil)
	a.post(t, "/app/a/endpoint", fields{"url": url, "uid": "e", "retrySchedule": []float64{0.001, 0.001}}, nil)
	var m made
	a.post(t, "/app/a/msg", fields{"eventType": "e", "payload": fields{}}, &m)
	attempts := "/api/v1/app/a/attempt/msg/" + m.ID
	a.attempts(t, attempts, 3)
	var all struct {
		Data []struct{ Timestamp time.Time }
	}
	a.get(t, "/api/v1/app/a/msg", &all)
	sent := all.Data[0].Timestamp

	var task made
	a.post(t, "/app/a/endpoint/e/recover", fields{"since": sent.Add(time.Millisecond), "until": sent.Add(time.Hour)}, &task)
	if done := a.finished(t, task.ID); done != 0 {
		t.Errorf("recovered %d messages of after it", done)
	}
	a.post(t, "/app/a/endpoint/e/recover", fields{"since": sent}, &task)
	if done := a.finished(t, task.ID); done != 1 {
		t.Errorf("recovered %d messages", done)
	}
	a.attempts(t, attempts, 4)
	for range 4 {
		await(t, hits)
	}
	a.post(t, "/app/a/endpoint/e/bulk-replay", fields{"since": sent, "status": 2}, &task)
	if done := a.finished(t, task.ID); done != 1 {
		t.Errorf("replayed %d messages", done)
	}
	a.attempts(t, attempts, 5)
}

func TestWhatAnEndpointMissedIsReplayed(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	url, hits := receiver(t, yes)
	a.post(t, "/app", fields{"name": "a", "uid": "a"}, nil)
	since := time.Now().Add(-time.Minute)
	for i := range 5 {
		a.post(t, "/app/a/msg", fields{"eventType": "e", "payload": fields{"n": i}}, nil)
	}
	a.post(t, "/app/a/msg", fields{"eventType": "other", "payload": fields{"n": 99}}, nil)
	a.post(t, "/app/a/endpoint", fields{"url": url, "uid": "late", "filterTypes": []string{"e"}}, nil)
	var task made
	for _, want := range []int{5, 0} { // what was sent is missed no longer
		a.post(t, "/app/a/endpoint/late/replay-missing", fields{"since": since}, &task)
		if done := a.finished(t, task.ID); done != want {
			t.Errorf("replayed %d messages, want %d", done, want)
		}
		for range want {
			if h := await(t, hits); strings.Contains(string(h.body), "99") {
				t.Errorf("it got %s", h.body)
			}
		}
	}
	a.attempts(t, "/api/v1/app/a/attempt/endpoint/late", 5)
}

func TestAnExampleGoesToOneEndpoint(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	a.post(t, "/app", fields{"name": "a", "uid": "a"}, nil)
	url, hits := receiver(t, yes)
	other, others := receiver(t, yes)
	a.post(t, "/app/a/endpoint", fields{"url": url, "uid": "e", "filterTypes": []string{"real"}}, nil)
	a.post(t, "/app/a/endpoint", fields{"url": other, "uid": "other"}, nil)
	a.post(t, "/app/a/endpoint/e/send-example", fields{"eventType": "svix.ping"}, nil)
	if h := await(t, hits); string(h.body) != `{"success":true}` {
		t.Errorf("it got %s", h.body)
	}
	a.post(t, "/app/a/msg", fields{"eventType": "real", "payload": fields{"n": 1}}, nil)
	if h := await(t, others); string(h.body) != `{"n":1}` {
		t.Errorf("the other endpoint got %s", h.body)
	}
}

func TestUserAndPasswordOfAnAddressAreSent(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	a.post(t, "/app", fields{"name": "a", "uid": "a"}, nil)
	url, hits := receiver(t, yes)
	a.post(t, "/app/a/endpoint", fields{"url": strings.Replace(url, "://", "://user:pa%3Ass@", 1), "uid": "e", "headers": fields{"X-Test-1": "1"}}, nil)
	a.post(t, "/app/a/msg", fields{"eventType": "e", "payload": fields{}}, nil)
	h := await(t, hits)
	user, password, ok := (&http.Request{Header: h.header}).BasicAuth()
	if !ok || user != "user" || password != "pa:ss" || h.header.Get("X-Test-1") != "1" {
		t.Errorf("it got %v", h.header)
	}
	if shown := a.get(t, "/api/v1/app/a/attempt/endpoint/e", nil) + a.get(t, "/api/v1/app/a/endpoint/e", nil); strings.Contains(shown, "pa%3Ass") {
		t.Errorf("the password is shown: %s", shown)
	}
}

// notice is what the operator is told.
type notice struct {
	Type string
	Data struct {
		AppID, AppUID, EndpointID, EndpointUID, MsgID string
	}
}

func told(t *testing.T, hits chan hit) (n notice) {
	t.Helper()
	if err := json.Unmarshal(await(t, hits).body, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTheOperatorIsTold(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	operator, hits := receiver(t, yes)
	var own made
	a.post(t, "/operational-webhook/endpoint", fields{"url": operator}, &own)
	var secret struct{ Key string }
	a.get(t, "/api/v1/operational-webhook/endpoint/"+own.ID+"/secret", &secret)

	url, _ := receiver(t, func(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) })
	var app, ep, m made
	a.post(t, "/app", fields{"name": "a", "uid": "regular"}, &app)
	a.post(t, "/app/regular/endpoint", fields{"url": url, "uid": "e", "retrySchedule": []float64{0.001, 0.001, 0.001, 0.001, 0.001}}, &ep)
	first := await(t, hits)
	if err := first.verifies(secret.Key); err != nil {
		t.Errorf("what the operator is told does not verify: %v", err)
	}
	var n notice
	check := func(want string) {
		t.Helper()
		if n.Type != want || n.Data.AppID != app.ID || n.Data.AppUID != "regular" || n.Data.EndpointID != ep.ID {
			t.Errorf("told %+v, want %s of %s", n, want, ep.ID)
		}
	}
	if err := json.Unmarshal(first.body, &n); err != nil {
		t.Fatal(err)
	}
	check("endpoint.created")
	a.post(t, "/app/regular/msg", fields{"eventType": "e", "payload": fields{}}, &m)
	for _, want := range []string{"message.attempt.failing", "message.attempt.exhausted"} {
		if n = told(t, hits); n.Data.MsgID != m.ID {
			t.Errorf("%s is of the message %s, want %s", n.Type, n.Data.MsgID, m.ID)
		}
		check(want)
	}
	for _, c := range []struct{ method, path, want string }{
		{http.MethodPut, "", "endpoint.updated"}, {http.MethodPost, "/secret/rotate", "endpoint.updated"}, {http.MethodDelete, "", "endpoint.deleted"},
	} {
		a.request(t, c.method, "/app/regular/endpoint/e"+c.path, fields{"url": url})
		n = told(t, hits)
		check(c.want)
	}
}

func TestAConfigurationThatHasNotChangedIsNoNews(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url, _ := receiver(t, yes)
	config := fmt.Sprintf("applications:\n- uid: a\n  endpoints:\n  - uid: declared\n    url: %s\n", url)
	a, stop := started(t, dir, config)
	operator, hits := receiver(t, yes)
	a.post(t, "/operational-webhook/endpoint", fields{"url": operator}, nil)
	stop()
	a, stop = started(t, dir, config)
	a.post(t, "/app/a/endpoint", fields{"url": url, "uid": "mine"}, nil)
	if n := told(t, hits); n.Type != "endpoint.created" || n.Data.EndpointUID != "mine" {
		t.Errorf("told %+v", n)
	}
	stop()
	_, _ = started(t, dir, config+"    description: Changed\n")
	if n := told(t, hits); n.Type != "endpoint.updated" || n.Data.EndpointUID != "declared" {
		t.Errorf("told %+v", n)
	}
}

func TestAddressesOfTheOperator(t *testing.T) {
	t.Parallel()
	o := quiet(t.TempDir())
	o.OperationalAllow = []string{"not a network"}
	if err := o.Defaults().Validate(); err == nil || !strings.Contains(err.Error(), "operational-allow") {
		t.Errorf("a network that is none: %v", err)
	}
	o.OperationalAllow, o.Token, o.Dev = []string{"127.0.0.1"}, testToken, false
	a, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	operator, hits := receiver(t, yes)
	a.post(t, "/operational-webhook/endpoint", fields{"url": operator}, nil)
	a.post(t, "/app", fields{"name": "a", "uid": "a"}, nil)
	a.post(t, "/app/a/endpoint", fields{"transport": "poll"}, nil)
	if n := told(t, hits); n.Type != "endpoint.created" {
		t.Errorf("told %+v", n)
	}
}
