package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// developer is somebody with an application's token who receives messages, when the receiver is up.
type developer struct {
	t      *testing.T
	app    *App
	token  string
	down   atomic.Bool
	mu     sync.Mutex
	bodies map[string]int // what came while it was up
	target string
}

func newDeveloper(t *testing.T, a *App) *developer {
	d := &developer{t: t, app: a, bodies: map[string]int{}}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if d.down.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.bodies[string(body)]++
	}))
	t.Cleanup(receiver.Close)
	d.target = receiver.URL
	a.post(t, "/app", map[string]any{"name": "Developer", "uid": "dev"}, nil)
	var access struct{ Token string }
	a.post(t, "/auth/app-portal-access/dev", map[string]any{}, &access)
	d.token = access.Token
	return d
}

// call speaks to the API with the developer's own token.
func (d *developer) call(method, path string, in, out any) int {
	d.t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		d.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(d.t.Context(), method, "http://"+d.app.AdminAddr()+"/api/v1/app/dev"+path, bytes.NewReader(b))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	if out != nil && resp.StatusCode/100 == 2 {
		if err := json.Unmarshal(text, out); err != nil {
			d.t.Fatalf("%s: %v", text, err)
		}
	}
	return resp.StatusCode
}

type standingMessage struct {
	ID, EventID, StatusText string
	Payload                 json.RawMessage
}

// list reads the whole of a list of messages, page by page.
func (d *developer) list(path string) (all []standingMessage) {
	d.t.Helper()
	for iterator := ""; ; {
		var page struct {
			Data     []standingMessage
			Iterator *string
			Done     bool
		}
		if status := d.call(http.MethodGet, path+"&limit=3&iterator="+iterator, nil, &page); status != http.StatusOK {
			d.t.Fatalf("%s: %d", path, status)
		}
		if all = append(all, page.Data...); page.Done {
			return all
		}
		iterator = *page.Iterator
	}
}

func (d *developer) await(what string, is func() bool) {
	d.t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("it did not come to that: %s", what)
		}
	}
}

func (d *developer) came(body string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bodies[body]
}

// TestDevelopersFetchWhatTheyMissed is the compensation that platforms offer: a developer whose receiver was down lists what
// was missed, has some of it or all of it sent again, or fetches it, with nothing but the own token.
func TestDevelopersFetchWhatTheyMissed(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	d := newDeveloper(t, a)
	begin := time.Now().Add(-time.Minute)
	d.down.Store(true)
	if status := d.call(http.MethodPost, "/endpoint", map[string]any{"uid": "hook", "url": d.target, "retrySchedule": []float64{}}, nil); status != http.StatusCreated {
		t.Fatalf("endpoint: %d", status)
	}
	if status := d.call(http.MethodPost, "/endpoint", map[string]any{"uid": "inbox", "transport": "poll"}, nil); status != http.StatusCreated {
		t.Fatalf("polled endpoint: %d", status)
	}
	const n = 5
	body := func(i int) string { return fmt.Sprintf(`{ "order" : %d }`, i) }
	for i := range n {
		a.post(t, "/app/dev/msg", map[string]any{"eventType": "order.paid", "eventId": fmt.Sprint("order-", i), "payload": map[string]any{},
			"transformationsParams": map[string]any{"rawPayload": body(i)}}, nil)
	}
	const missed = "/endpoint/hook/msg?status=2&expanded_statuses=true"
	d.await("all are missed", func() bool { return len(d.list(missed)) == n })
	for _, m := range d.list(missed) {
		if m.StatusText != "fail" {
			t.Errorf("%+v", m)
		}
	}
	if other := d.list("/endpoint/hook/msg?status=0"); len(other) != 0 {
		t.Errorf("delivered while down: %+v", other)
	}
	d.down.Store(false)

	t.Log("one of them is sent again")
	if status := d.call(http.MethodPost, "/msg/order-3/endpoint/hook/resend", map[string]any{}, nil); status != http.StatusAccepted {
		t.Fatalf("resend: %d", status)
	}
	d.await("it came", func() bool { return d.came(body(3)) == 1 })
	d.await("it is no longer missed", func() bool { return len(d.list(missed)) == n-1 })

	t.Log("then all that are still missing")
	var task struct{ ID, Status, Task string }
	if status := d.call(http.MethodPost, "/endpoint/hook/recover", map[string]any{"since": begin}, &task); status != http.StatusAccepted {
		t.Fatalf("recover: %d", status)
	}
	if task.Task != "endpoint.recover" {
		t.Errorf("%+v", task)
	}
	d.await("nothing is missed", func() bool { return len(d.list(missed)) == 0 })
	for i := range n {
		if times := d.came(body(i)); times != 1 {
			t.Errorf("%s came %d times", body(i), times)
		}
	}
	if delivered := d.list("/endpoint/hook/msg?status=0"); len(delivered) != n {
		t.Errorf("%d delivered", len(delivered))
	}

	t.Log("or they are fetched")
	fetched, iterator := []standingMessage{}, ""
	for done := false; !done; {
		var page struct {
			Data     []standingMessage
			Iterator string
			Done     bool
		}
		if status := d.call(http.MethodGet, "/poller/inbox/consumer/nightly?limit=3&iterator="+iterator, nil, &page); status != http.StatusOK {
			t.Fatalf("poll: %d", status)
		}
		fetched, iterator, done = append(fetched, page.Data...), page.Iterator, page.Done
	}
	for i, m := range fetched {
		if m.EventID != fmt.Sprint("order-", i) || string(m.Payload) != body(i) {
			t.Errorf("fetched %+v", m)
		}
	}
	if len(fetched) != n {
		t.Errorf("%d fetched", len(fetched))
	}
}

// TestHowAMessageStandsWhileItIsTried: what waits for another attempt is sending, what was never tried pending, what was
// delivered or withdrawn neither.
func TestHowAMessageStandsWhileItIsTried(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	d := newDeveloper(t, a)
	d.down.Store(true)
	a.post(t, "/app/dev/endpoint", map[string]any{"uid": "hook", "url": d.target, "retrySchedule": []float64{3600}}, nil)
	send := func(id string, more map[string]any) {
		m := map[string]any{"eventType": "e", "eventId": id, "payload": map[string]any{"id": id}}
		for k, v := range more {
			m[k] = v
		}
		a.post(t, "/app/dev/msg", m, nil)
	}
	send("tried", nil)
	send("later", map[string]any{"deliverAt": time.Now().Add(time.Hour)})
	send("withdrawn", map[string]any{"deliverAt": time.Now().Add(time.Hour)})
	a.post(t, "/app/dev/msg/withdrawn/cancel", map[string]any{}, nil)
	names := func(status string) (names []string) {
		for _, m := range d.list("/endpoint/hook/msg?expanded_statuses=true&status=" + status) {
			names = append(names, m.EventID)
		}
		return names
	}
	is := func(status, want string) bool { return fmt.Sprint(names(status)) == want }
	d.await("one was tried", func() bool { return is("3", "[tried]") })
	for status, want := range map[string]string{"0": "[]", "1": "[later]", "2": "[]", "3": "[tried]", "4": "[withdrawn]"} {
		if !is(status, want) {
			t.Errorf("status %s: %v, want %s", status, names(status), want)
		}
	}
	d.down.Store(false)
	if status := d.call(http.MethodPost, "/msg/tried/endpoint/hook/resend", map[string]any{}, nil); status != http.StatusAccepted {
		t.Fatal(status)
	}
	d.await("it is delivered and sending no more", func() bool { return is("0", "[tried]") && is("3", "[]") })
	var destinations struct {
		Data []struct{ StatusText string }
	}
	d.call(http.MethodGet, "/msg/tried/endpoint", nil, &destinations)
	if len(destinations.Data) != 1 || destinations.Data[0].StatusText != "success" {
		t.Errorf("%+v", destinations)
	}
	if d.came(`{"id":"later"}`)+d.came(`{"id":"withdrawn"}`) != 0 {
		t.Error("something came before its time, or after it was withdrawn")
	}
}
