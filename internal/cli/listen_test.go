package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/standard"
	"github.com/waypost/waypost/internal/app"
)

// local is a service on this machine: it keeps what it gets and answers as it is told.
type local struct {
	*httptest.Server
	mu     sync.Mutex
	got    []*http.Request
	bodies [][]byte
	answer func(w http.ResponseWriter, r *http.Request)
}

func newLocal(t *testing.T) *local {
	t.Helper()
	l := &local{answer: func(http.ResponseWriter, *http.Request) {}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		l.got, l.bodies = append(l.got, r), append(l.bodies, body)
		answer := l.answer
		l.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(l.Close)
	return l
}

// times counts how often each message came.
func (l *local) times() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := map[string]int{}
	for _, r := range l.got {
		n[r.Header.Get("Webhook-Id")]++
	}
	return n
}

func (l *local) answers(f func(w http.ResponseWriter, r *http.Request)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = f
}

// output collects what a command prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// background runs a command until stop is called, which returns its exit code.
func background(t *testing.T, env map[string]string, args ...string) (out, errs *output, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, errs = &output{}, &output{}
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, args, Streams{In: strings.NewReader(""), Out: out, Err: errs, Env: func(n string) (string, bool) { v, ok := env[n]; return v, ok }})
	}()
	var once sync.Once
	code := -1
	stop = func() int {
		once.Do(func() { cancel(); code = <-ended })
		return code
	}
	t.Cleanup(func() { stop() })
	return out, errs, stop
}

// publish sends messages and returns their ids.
func (c *client) publish(t *testing.T, n int) (ids []string) {
	t.Helper()
	for i := range n {
		var m struct{ ID string }
		c.must(t, "POST", "/app/shop/msg", thing{"eventType": "order.paid", "payload": thing{"n": i}}, &m)
		ids = append(ids, m.ID)
	}
	return ids
}

// delivered counts the messages that count as delivered.
func (c *client) delivered(t *testing.T, ids []string) (n int) {
	t.Helper()
	for _, id := range ids {
		var list page[struct{ State string }]
		c.must(t, "GET", "/app/shop/msg/"+id+"/delivery", nil, &list)
		if len(list.Data) == 1 && list.Data[0].State == "delivered" {
			n++
		}
	}
	return n
}

// listening makes an application whose endpoint "listen" tries again soon.
func listenable(t *testing.T, c *client) {
	t.Helper()
	c.must(t, "POST", "/app", thing{"name": "a", "uid": "shop"}, nil)
	c.must(t, "PUT", "/app/shop/endpoint/listen", thing{"transport": "listen", "retrySchedule": []float64{.05, .05, .05, .1, .1, .1, .1, 1, 1, 1}}, nil)
}

func TestListenRefuses(t *testing.T) {
	t.Parallel()
	_, c, env := serving(t, t.TempDir())
	listenable(t, c)
	c.must(t, "PUT", "/app/shop/endpoint/plain", thing{"url": "https://127.0.0.1/"}, nil)
	for name, args := range map[string]string{
		"--app and --forward are needed":    "--app shop",
		"10.1.2.3 is not this machine":      "--app shop --forward http://10.1.2.3/",
		"example.com is not this machine":   "--app shop --forward http://example.com/",
		"is not an address such as":         "--app shop --forward ftp://127.0.0.1/",
		"--source goes with --observe only": "--app shop --source x --forward http://127.0.0.1:1/",
		"no such application":               "--app nobody --forward http://127.0.0.1:1/",
		"is sent to, not listened for":      "--app shop --endpoint plain --forward http://127.0.0.1:1/",
		"no such source":                    "--app shop --observe --source x --forward http://127.0.0.1:1/",
	} {
		code, out, errs := command(t, "", env, append([]string{"listen"}, strings.Fields(args)...)...)
		if code == 0 || out != "" || !strings.Contains(errs, name) || !strings.Contains(errs, "hint:") {
			t.Errorf("%s: %d %q %q", args, code, out, errs)
		}
	}

	var viewer, manager struct{ Token string }
	c.must(t, "POST", "/app", thing{"name": "b", "uid": "other"}, nil)
	c.must(t, "POST", "/token", thing{"name": "x", "app": "other"}, &manager)
	c.must(t, "POST", "/auth/app-portal-access/shop", thing{"capabilities": []string{"ViewBase"}}, &viewer)
	for _, q := range []struct {
		token, path, upgrade string
		want                 int
	}{
		{"", "shop/endpoint/listen", app.ListenProtocol, 401},
		{"wp_nonsense-nonsense-nonsense", "shop/endpoint/listen", app.ListenProtocol, 401},
		{manager.Token, "shop/endpoint/listen", app.ListenProtocol, 404},
		{viewer.Token, "shop/endpoint/listen", app.ListenProtocol, 403},
		{serverToken, "shop/endpoint/nobody", app.ListenProtocol, 404},
		{serverToken, "shop/endpoint/plain", app.ListenProtocol, 409},
		{serverToken, "shop/endpoint/listen", "websocket", 426},
		{serverToken, "shop/endpoint/listen", "", 426},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", c.base+"/api/v1/app/"+q.path+"/listen", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+q.token)
		if q.upgrade != "" {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", q.upgrade)
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != q.want {
			t.Errorf("%+v: %d", q, resp.StatusCode)
		}
	}
	for _, body := range []thing{{"transport": "listen", "url": "https://example.com/"}, {"transport": "listen", "dialect": "pandapon", "settings": thing{"access_secret": "x"}}, {"transport": "http"}} {
		if err := c.call(t.Context(), "POST", "/app/shop/endpoint", body, nil); err == nil || !strings.Contains(err.Error(), "422") {
			t.Errorf("%v: %v", body, err)
		}
	}
}

func TestAForwarderOnlySpeaksToThisMachine(t *testing.T) {
	t.Parallel()
	// A name may lead anywhere: what counts is the address that is connected to. This one is for documentation and nobody's.
	if _, err := localClient(false).Get("http://192.0.2.1/"); err == nil || !strings.Contains(err.Error(), "not this machine") { //nolint:noctx
		t.Error(err)
	}
}

func TestMessagesWaitForAListenerAndItsAnswersCount(t *testing.T) {
	t.Parallel()
	_, c, env := serving(t, t.TempDir())
	listenable(t, c)
	service := newLocal(t)
	var key struct{ Key string }
	c.must(t, "GET", "/app/shop/endpoint/listen/secret", nil, &key)
	ids := c.publish(t, 3)
	if code, out, _ := command(t, "", env, "explain", ids[0]); code != 0 || !strings.Contains(out, "until somebody listens") || !strings.Contains(out, "waypost listen --app") {
		t.Errorf("explained as %d\n%s", code, out)
	}
	var requests atomic.Int32
	service.answers(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, "not yet")
		}
	})
	out, errs, stop := background(t, env, "listen", "--app", "shop", "--forward", service.URL+"/hook?a=b", "--json")
	eventually(t, "delivery", func() bool { return c.delivered(t, ids) == 3 })
	if n := service.times(); len(n) != 3 || len(service.got) != 4 {
		t.Errorf("%v in %d requests", n, len(service.got))
	}
	for i, r := range service.got {
		in := dialect.Inbound{Method: r.Method, Header: r.Header, Body: service.bodies[i], Now: time.Now()}
		if _, err := standard.Dialect.Receive(dialect.Set("secret", key.Key), in); err != nil || r.URL.RawQuery != "a=b" {
			t.Errorf("%s: %v", r.URL, err)
		}
	}
	eventually(t, "lines", func() bool { return strings.Count(out.String(), "\n") == 4 })
	for line := range strings.Lines(out.String()) {
		var got listened
		if err := json.Unmarshal([]byte(line), &got); err != nil || got.EventType != "order.paid" || !strings.HasPrefix(got.Message, "msg_") || got.Status == 0 {
			t.Errorf("%s: %v", line, err)
		}
	}
	var attempts page[struct {
		ResponseStatusCode int
		Response, URL      string
	}]
	c.must(t, "GET", "/app/shop/attempt/endpoint/listen?order=ascending", nil, &attempts)
	failed := 0
	for _, a := range attempts.Data {
		if a.ResponseStatusCode == 500 && a.Response == "not yet" && a.URL == "listen:" {
			failed++
		}
	}
	if len(attempts.Data) != 4 || failed != 1 {
		t.Errorf("%+v", attempts.Data)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d: %s", code, errs)
	}
	late := c.publish(t, 1)
	if service.times()[late[0]] != 0 {
		t.Error("sent though nobody listens")
	}
	_, _, _ = background(t, env, "listen", "--app", "shop", "--forward", service.URL)
	eventually(t, "what came meanwhile", func() bool { return c.delivered(t, late) == 1 })
}

// TestAListenerIsKilledAgainAndAgain ends listeners amid their work: everything is delivered in the end, and nothing comes twice
// but what was in flight when one of them was ended.
func TestAListenerIsKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	_, c, env := serving(t, t.TempDir())
	listenable(t, c)
	service := newLocal(t)
	kill := make(chan struct{}, 1)
	n := 0
	service.answers(func(_ http.ResponseWriter, r *http.Request) {
		service.mu.Lock()
		n++
		amid := n%15 == 0 && n <= 60
		service.mu.Unlock()
		if amid {
			kill <- struct{}{}
			<-r.Context().Done() // until the listener is gone
		}
	})
	ids := c.publish(t, 100)
	for range 4 {
		_, _, stop := background(t, env, "listen", "--app", "shop", "--forward", service.URL)
		select {
		case <-kill:
		case <-time.After(time.Minute):
			t.Fatal("nothing came")
		}
		stop()
	}
	_, _, _ = background(t, env, "listen", "--app", "shop", "--forward", service.URL)
	eventually(t, "delivery of all", func() bool { return c.delivered(t, ids) == len(ids) })
	times, repeats := service.times(), 0
	for _, id := range ids {
		repeats += times[id] - 1
	}
	if limit := 4 * 16; len(times) != len(ids) || repeats < 4 || repeats > limit {
		t.Errorf("%d messages, %d repeats; %d kills with at most 16 in flight each", len(times), repeats, 4)
	}
	// What was recorded as delivered was delivered once: no attempt follows a success.
	var attempts page[struct{ MsgID, Verdict string }]
	c.must(t, "GET", "/app/shop/attempt/endpoint/listen?order=ascending&limit=250", nil, &attempts)
	done := map[string]bool{}
	for _, a := range attempts.Data {
		if done[a.MsgID] {
			t.Errorf("%s was sent again after it was delivered", a.MsgID)
		}
		done[a.MsgID] = a.Verdict == "success"
	}
}

func TestAListenerComesBackToAServerThatWasStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := app.Options{Data: dir, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", LowWater: 1, Dev: true, Token: serverToken}
	a, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	o.Admin = a.AdminAddr()
	base := "http://" + a.AdminAddr()
	c, env := newClient(base, serverToken), map[string]string{"WAYPOST_SERVER": base, "WAYPOST_TOKEN": serverToken}
	listenable(t, c)
	service := newLocal(t)
	_, errs, stop := background(t, env, "listen", "--app", "shop", "--forward", service.URL)
	first := c.publish(t, 5)
	eventually(t, "delivery", func() bool { return c.delivered(t, first) == 5 })
	if err := a.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a word of it", func() bool { return strings.Contains(errs.String(), "the server is stopping") })
	if a, err = app.Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop(context.Background()) })
	second := c.publish(t, 5)
	eventually(t, "delivery after the restart", func() bool { return c.delivered(t, second) == 5 })
	if times := service.times(); len(times) != 10 || len(service.got) != 10 {
		t.Errorf("%d messages in %d requests", len(times), len(service.got))
	}
	if code := stop(); code != 0 || !strings.Contains(errs.String(), "the server answers again") {
		t.Errorf("%d: %s", code, errs)
	}
}

func TestListenersOfOneEndpointShare(t *testing.T) {
	t.Parallel()
	_, c, env := serving(t, t.TempDir())
	listenable(t, c)
	one, two := newLocal(t), newLocal(t)
	for _, service := range []*local{one, two} {
		_, errs, _ := background(t, env, "listen", "--app", "shop", "--forward", service.URL)
		eventually(t, "a listener", func() bool { return strings.Contains(errs.String(), "listening for") })
	}
	// Each is known to the server once it has got something.
	var ids []string
	eventually(t, "something for each", func() bool {
		ids = append(ids, c.publish(t, 1)...)
		return len(one.times()) > 0 && len(two.times()) > 0
	})
	ids = append(ids, c.publish(t, 40)...)
	eventually(t, "delivery", func() bool { return c.delivered(t, ids) == len(ids) })
	a, b := one.times(), two.times()
	for id := range a {
		if b[id] > 0 {
			t.Errorf("%s went to both", id)
		}
	}
	if len(a)+len(b) != len(ids) || len(a) < 15 || len(b) < 15 {
		t.Errorf("%d and %d of %d", len(a), len(b), len(ids))
	}
}

func TestAListenerSaysWhatItIsLimitedTo(t *testing.T) {
	t.Parallel()
	_, c, env := serving(t, t.TempDir())
	listenable(t, c)
	service := newLocal(t)
	for _, types := range [][]string{{"--event-type", "order.paid,order.sent"}, nil} { // the second run keeps what the first one set
		_, errs, stop := background(t, env, append([]string{"listen", "--app", "shop", "--forward", service.URL + "/hook"}, types...)...)
		eventually(t, "listening", func() bool {
			return strings.Contains(errs.String(), "listening for listen of shop, only order.paid, order.sent;")
		})
		stop()
	}
}

func TestAnObserverGetsCopies(t *testing.T) {
	t.Parallel()
	_, c, env := serving(t, t.TempDir())
	listenable(t, c)
	service := newLocal(t)
	service.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	before := c.publish(t, 1)
	_, errs, stop := background(t, env, "listen", "--app", "shop", "--observe", "--forward", service.URL)
	eventually(t, "an observer", func() bool { return strings.Contains(errs.String(), "observing") })
	ids := c.publish(t, 3)
	eventually(t, "copies", func() bool { return len(service.times()) == 3 })
	if code := stop(); code != 0 {
		t.Errorf("%d: %s", code, errs)
	}
	var attempts page[thing]
	c.must(t, "GET", "/app/shop/attempt/msg/"+ids[0], nil, &attempts)
	if len(attempts.Data) != 0 || service.times()[before[0]] != 0 || len(service.got) != 3 {
		t.Errorf("%d attempts, %v", len(attempts.Data), service.times())
	}
}

// TestListeningGivesEverythingBack is not parallel: it counts goroutines.
func TestListeningGivesEverythingBack(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("run", func(t *testing.T) {
		_, c, env := serving(t, t.TempDir())
		listenable(t, c)
		service := newLocal(t)
		for range 3 {
			_, _, stop := background(t, env, "listen", "--app", "shop", "--forward", service.URL)
			ids := c.publish(t, 2)
			eventually(t, "delivery", func() bool { return c.delivered(t, ids) == 2 })
			stop()
		}
		_, _, _ = background(t, env, "listen", "--app", "shop", "--forward", service.URL) // cut off by the server's stop, or its own
		c.http.CloseIdleConnections()
	})
	eventually(t, "the goroutines' end", func() bool {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return runtime.NumGoroutine() <= before
	})
}
