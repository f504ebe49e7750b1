package app

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/simulate"
)

// caller is a program of an application's developer: it keeps a long connection to the server.
type caller struct {
	t        *testing.T
	ws       *websocket.Conn
	settings dialect.Settings
	frames   chan alipay.Frame
	closed   chan error
}

// call registers and connects.
func call(t *testing.T, addr string, s dialect.Settings) *caller {
	t.Helper()
	c, err := tryCall(t, addr, s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryCall(t *testing.T, addr string, s dialect.Settings) (*caller, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	query, err := alipay.RegisterQuery(s, time.Now(), [16]byte{1}, "")
	if err != nil {
		return nil, err
	}
	resp, err := http.Get("http://" + addr + alipay.RegisterPath + "?" + query)
	if err != nil {
		return nil, err
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	token, err := alipay.ReadRegisterAnswer(s, body)
	if err != nil {
		return nil, err
	}
	if query, err = alipay.UpgradeQuery(s, token, time.Now(), ""); err != nil {
		return nil, err
	}
	ws, _, err := websocket.Dial(ctx, "ws://"+addr+alipay.UpgradePath+"?"+query, nil)
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(alipay.MaxFrame)
	c := &caller{t: t, ws: ws, settings: s, frames: make(chan alipay.Frame, 1000), closed: make(chan error, 1)}
	go func() {
		for {
			_, text, err := ws.Read(context.Background())
			if err != nil {
				c.closed <- err
				close(c.frames)
				return
			}
			f, err := alipay.ParseFrame(text)
			if err != nil {
				t.Errorf("the server sent %q: %v", text, err)
				continue
			}
			c.frames <- f
		}
	}()
	t.Cleanup(func() { _ = ws.CloseNow() })
	return c, nil
}

// next waits for a frame.
func (c *caller) next() alipay.Frame {
	c.t.Helper()
	select {
	case f, ok := <-c.frames:
		if !ok {
			c.t.Fatalf("the connection ended: %v", <-c.closed)
		}
		return f
	case <-time.After(20 * time.Second):
		c.t.Fatal("nothing came")
		return alipay.Frame{}
	}
}

// message waits for a CONSUME and verifies it.
func (c *caller) message() (alipay.Frame, alipay.Data) {
	c.t.Helper()
	f := c.next()
	if _, err := alipay.VerifyFrame(c.settings, f); err != nil || f.Cmd != alipay.CmdConsume {
		c.t.Fatalf("%s: %v", f.Cmd, err)
	}
	d, err := alipay.ReadData(f.Data)
	if err != nil {
		c.t.Fatal(err)
	}
	return f, d
}

func (c *caller) send(f alipay.Frame) {
	c.t.Helper()
	text, err := f.Append(nil)
	if err == nil {
		err = c.ws.Write(context.Background(), websocket.MessageText, text)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// exchange is an application whose endpoint takes long connections.
type exchange struct {
	*App
	t              *testing.T
	stop           func()
	platform, ours dialect.Settings
}

func newExchange(t *testing.T, change func(map[string]any)) *exchange {
	t.Helper()
	x := &exchange{t: t}
	x.App, x.stop = started(t, t.TempDir(), "")
	var err error
	d := alipay.Dialect
	if x.platform, x.ours, err = simulate.Keys(&d); err != nil {
		t.Fatal(err)
	}
	x.post(t, "/app", map[string]any{"uid": "shop", "name": "shop"}, nil)
	body := map[string]any{"uid": "e", "dialect": "alipay", "transport": "longconn", "settings": x.platform}
	if change != nil {
		change(body)
	}
	x.post(t, "/app/shop/endpoint", body, nil)
	return x
}

// publish posts a message and returns its id.
func (x *exchange) publish(n int) string {
	x.t.Helper()
	var m struct{ ID string }
	x.post(x.t, "/app/shop/msg", map[string]any{"eventType": "a.b.c", "payload": map[string]any{"n": n}}, &m)
	return m.ID
}

type attemptShown struct {
	Status             int
	ResponseStatusCode int
	Reason             string
	TriggerType        int
	Response           string
}

// attempts waits until a message has so many of them, oldest first.
func (x *exchange) attempts(id string, n int) []attemptShown {
	x.t.Helper()
	var list struct{ Data []attemptShown }
	for end := time.Now().Add(20 * time.Second); len(list.Data) < n && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		x.get(x.t, "/api/v1/app/shop/attempt/msg/"+id, &list)
	}
	if len(list.Data) != n {
		x.t.Fatalf("%d attempts of %s, want %d: %+v", len(list.Data), id, n, list.Data)
	}
	out := make([]attemptShown, 0, n)
	for i := range list.Data {
		out = append(out, list.Data[n-1-i])
	}
	return out
}

type endpointShown struct {
	Transport   string
	URL         string
	Connections []struct {
		Since    time.Time
		Remote   string
		InFlight int
	}
}

func (x *exchange) endpoint() (e endpointShown) {
	x.get(x.t, "/api/v1/app/shop/endpoint/e", &e)
	return e
}

// connected waits until the endpoint has so many connections.
func (x *exchange) connected(n int) {
	x.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if len(x.endpoint().Connections) == n {
			return
		}
	}
	x.t.Fatalf("%d connections, want %d", len(x.endpoint().Connections), n)
}

// TestAMessageGoesOverALongConnection is the whole life: it waits while nobody is connected, goes out signed, is acknowledged, and
// stands in the API as any delivery does.
func TestAMessageGoesOverALongConnection(t *testing.T) {
	t.Parallel()
	x := newExchange(t, nil)
	if e := x.endpoint(); e.Transport != "longconn" || e.URL != "longconn:" || e.Connections == nil || len(e.Connections) != 0 {
		t.Errorf("shown as %+v", e)
	}
	id := x.publish(1)
	var story struct {
		Endpoints []struct {
			State  string
			Facts  []struct{ Code, Text string }
			Change *struct{ Code, Text string }
		}
	}
	x.get(t, "/api/v1/app/shop/msg/"+id+"/explain", &story)
	facts := story.Endpoints[0].Facts
	if last := facts[len(facts)-1]; last.Code != "next.unconnected" || !strings.Contains(last.Text, x.ours.Get("app_id")) {
		t.Errorf("why it waits is told as %+v", last)
	}
	if c := story.Endpoints[0].Change; c == nil || c.Code != "change.connect" || !strings.Contains(c.Text, "/websocket/register.do") {
		t.Errorf("what to do is told as %+v", c)
	}

	c := call(t, x.PublicAddr(), x.ours)
	f, d := c.message()
	if d.MsgAPI != "a.b.c" || string(d.Content) != `{"n":1}` || d.AppID != x.ours.Get("app_id") || f.FromSys == "" || f.StreamID == "" {
		t.Errorf("it came as %+v %+v %s", f, d, d.Content)
	}
	if e := x.endpoint(); len(e.Connections) != 1 || e.Connections[0].InFlight != 1 || e.Connections[0].Remote == "" || time.Since(e.Connections[0].Since).Abs() > time.Minute {
		t.Errorf("the connection is shown as %+v", e)
	}
	c.send(f.Ack(alipay.StatusSuccess, ""))
	a := x.attempts(id, 1)[0]
	if a.Status != 0 || a.ResponseStatusCode != 200 || !strings.Contains(a.Response, "CONSUME_ACK") {
		t.Errorf("the attempt is %+v", a)
	}
	x.post(t, "/app/shop/msg/"+id+"/endpoint/e/resend", map[string]any{}, nil)
	again, _ := c.message()
	if again.MsgID != f.MsgID || again.StreamID == f.StreamID {
		t.Errorf("resent as %s in %s, was %s in %s", again.MsgID, again.StreamID, f.MsgID, f.StreamID)
	}
	c.send(again.Ack(alipay.StatusSuccess, ""))
	if a := x.attempts(id, 2)[1]; a.TriggerType != 1 || a.Status != 0 {
		t.Errorf("the resend is %+v", a)
	}
	metrics := x.text(t, "/metrics")
	for _, want := range []string{`waypost_longconn_connections 1`, `waypost_longconn_events_total{event="consume",result="success"} 2`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

// text gets what is no JSON.
func (a *App) text(t *testing.T, path string) string {
	t.Helper()
	resp, err := http.Get("http://" + a.AdminAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestALongConnectionThatEndsLosesNothing has the client go away with a message that it has not acknowledged: the next one gets it at
// once, although the schedule says two minutes, and a FAIL waits for the schedule.
func TestALongConnectionThatEndsLosesNothing(t *testing.T) {
	t.Parallel()
	x := newExchange(t, nil)
	c := call(t, x.PublicAddr(), x.ours)
	id := x.publish(1)
	first, _ := c.message()
	_ = c.ws.CloseNow()
	x.connected(0)
	second := call(t, x.PublicAddr(), x.ours)
	f, _ := second.message()
	if f.MsgID != first.MsgID {
		t.Errorf("%s came, want %s again", f.MsgID, first.MsgID)
	}
	second.send(f.Ack(alipay.StatusFail, ""))
	list := x.attempts(id, 2)
	var story struct {
		Endpoints []struct{ Facts []struct{ Code, Text string } }
	}
	x.get(t, "/api/v1/app/shop/msg/"+id+"/explain", &story)
	var codes []string
	for _, f := range story.Endpoints[0].Facts {
		codes = append(codes, f.Code)
	}
	if got := strings.Join(codes, " "); got != "endpoint.chosen attempt.silent attempt.retry next.plannedOf" {
		t.Errorf("its story is %s", got)
	}
	if !strings.Contains(list[0].Reason, "ended before") || !strings.Contains(list[1].Reason, "FAIL") {
		t.Errorf("the attempts are %+v", list)
	}
}

// TestWhatWasNotAcknowledgedInTimeIsSentAgainToTheNextClient: its schedule would have it wait.
func TestWhatWasNotAcknowledgedInTimeIsSentAgainToTheNextClient(t *testing.T) {
	t.Parallel()
	x := newExchange(t, func(e map[string]any) { e["timeoutMs"] = 200 })
	c := call(t, x.PublicAddr(), x.ours)
	id := x.publish(1)
	first, _ := c.message()
	if a := x.attempts(id, 1)[0]; a.Status == 0 || !strings.Contains(a.Reason, "CONSUME_ACK") {
		t.Errorf("the attempt is %+v", a)
	}
	c.send(first.Ack(alipay.StatusSuccess, "")) // too late, and harmless
	second := call(t, x.PublicAddr(), x.ours)
	select {
	case f := <-second.frames:
		second.send(f.Ack(alipay.StatusSuccess, ""))
	case f := <-c.frames:
		c.send(f.Ack(alipay.StatusSuccess, ""))
	case <-time.After(20 * time.Second):
		t.Fatal("it was not sent again")
	}
	if a := x.attempts(id, 2)[1]; a.Status != 0 {
		t.Errorf("the second attempt is %+v", a)
	}
}

// TestClientsShareOrAllGetIt: each message goes to one of several clients, or to all.
func TestClientsShareOrAllGetIt(t *testing.T) {
	t.Parallel()
	t.Run("share", func(t *testing.T) {
		t.Parallel()
		x := newExchange(t, nil)
		a, b := call(t, x.PublicAddr(), x.ours), call(t, x.PublicAddr(), x.ours)
		x.connected(2)
		got := map[*caller]int{}
		for i := range 10 {
			id := x.publish(i)
			select {
			case f := <-a.frames:
				got[a]++
				a.send(f.Ack(alipay.StatusSuccess, ""))
			case f := <-b.frames:
				got[b]++
				b.send(f.Ack(alipay.StatusSuccess, ""))
			}
			x.attempts(id, 1)
		}
		if got[a] != 5 || got[b] != 5 {
			t.Errorf("one client got %d, the other %d", got[a], got[b])
		}
	})
	t.Run("broadcast", func(t *testing.T) {
		t.Parallel()
		x := newExchange(t, func(e map[string]any) { e["settings"].(dialect.Settings)["longconn_mode"] = []string{"broadcast"} })
		a, b := call(t, x.PublicAddr(), x.ours), call(t, x.PublicAddr(), x.ours)
		x.connected(2)
		id := x.publish(1)
		fa, _ := a.message()
		fb, _ := b.message()
		a.send(fa.Ack(alipay.StatusSuccess, ""))
		b.send(fb.Ack(alipay.StatusFail, ""))
		if got := x.attempts(id, 1)[0]; got.Status == 0 || !strings.Contains(got.Reason, "FAIL") {
			t.Errorf("one of two failed: %+v", got)
		}
		x.post(t, "/app/shop/msg/"+id+"/endpoint/e/resend", map[string]any{}, nil)
		for _, c := range []*caller{a, b} {
			f, _ := c.message()
			c.send(f.Ack(alipay.StatusSuccess, ""))
		}
		if got := x.attempts(id, 2)[1]; got.Status != 0 {
			t.Errorf("both acknowledged: %+v", got)
		}
	})
}

// TestAnApplicationSendsOverItsLongConnection: what it PRODUCEs goes to its other endpoints, and not back to itself.
func TestAnApplicationSendsOverItsLongConnection(t *testing.T) {
	t.Parallel()
	x := newExchange(t, nil)
	url, hits := receiver(t, yes)
	x.post(t, "/app/shop/endpoint", map[string]any{"url": url}, nil)
	c := call(t, x.PublicAddr(), x.ours)
	data, err := alipay.Data{AppID: x.ours.Get("app_id"), MsgAPI: "order.paid", Content: []byte(`{"n":1.0}`)}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := alipay.SignFrame(x.ours, alipay.Produce("c0000000000001", time.Now(), data))
	if err != nil {
		t.Fatal(err)
	}
	c.send(f)
	ack := c.next()
	if ack.Cmd != alipay.CmdProduceAck || ack.Status != alipay.StatusSuccess || ack.StreamID != f.StreamID || !strings.HasPrefix(ack.MsgID, "msg_") {
		t.Fatalf("answered %+v", ack)
	}
	if got := await(t, hits); string(got.body) != `{"n":1.0}` || got.header.Get("Waypost-Event-Type") != "order.paid" {
		t.Errorf("the other endpoint got %s %v", got.body, got.header)
	}
	var m struct{ ID, EventType string }
	x.get(t, "/api/v1/app/shop/msg/"+ack.MsgID, &m)
	if m.EventType != "order.paid" {
		t.Errorf("it is stored as %+v", m)
	}
	forged := f
	forged.Data = []byte(strings.Replace(string(f.Data), "1.0", "2.0", 1))
	c.send(forged)
	if ack := c.next(); ack.Status != alipay.StatusFail || ack.Code != "40002" || !strings.Contains(ack.Error, "isv.invalid-signature") {
		t.Errorf("a forged message is answered %+v", ack)
	}
	if len(c.frames) != 0 || len(hits) != 0 {
		t.Error("a message came back to its sender, or a forged one went out")
	}
}

// TestWhoMayNotConnectIsToldWhy: in the platform's words at registration, and as an HTTP status at the upgrade.
func TestWhoMayNotConnectIsToldWhy(t *testing.T) {
	t.Parallel()
	x := newExchange(t, nil)
	refused := func(name string, s dialect.Settings, sub string) {
		t.Helper()
		_, err := tryCall(t, x.PublicAddr(), s)
		if err == nil || !strings.Contains(err.Error(), sub) {
			t.Errorf("%s: %v, want %s", name, err, sub)
		}
	}
	other, err := simulateKeys()
	if err != nil {
		t.Fatal(err)
	}
	with := func(s dialect.Settings, name string, values []string) dialect.Settings {
		out := dialect.Settings{}
		for k, v := range s {
			out[k] = v
		}
		out[name] = values
		return out
	}
	refused("another application", with(x.ours, "app_id", []string{"2000000000000000"}), "isv.invalid-app-id")
	refused("another key", with(x.ours, "app_private_key", other["app_private_key"]), "isv.invalid-signature")
	for name, c := range map[string]struct {
		path   string
		status int
	}{
		"a register without a query":  {alipay.RegisterPath, 200},
		"an upgrade without a query":  {alipay.UpgradePath, 400},
		"an upgrade with a big query": {alipay.UpgradePath + "?a=" + strings.Repeat("x", 20_000), 400},
		"an upgrade with a made-up token": {alipay.UpgradePath + "?" + func() string {
			q, _ := alipay.UpgradeQuery(x.ours, "nosuchtoken", time.Now(), "")
			return q
		}(), 403},
	} {
		resp, err := http.Get("http://" + x.PublicAddr() + c.path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != c.status || len(body) == 0 {
			t.Errorf("%s: %d %s, want %d", name, resp.StatusCode, body, c.status)
		}
	}
	var out struct{ Connections []any }
	x.get(t, "/api/v1/app/shop/endpoint/e", &out)
	if len(out.Connections) != 0 {
		t.Error("somebody came in")
	}
}

func simulateKeys() (dialect.Settings, error) {
	d := alipay.Dialect
	_, ours, err := simulate.Keys(&d)
	return ours, err
}

// TestAConnectionEndsWithItsEndpointsTrust: a change that does not touch the key leaves connections alone.
func TestAConnectionEndsWithItsEndpointsTrust(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change map[string]any
		ends   bool
	}{
		"described":       {map[string]any{"description": "x"}, false},
		"disabled":        {map[string]any{"disabled": true}, true},
		"another app_id":  {map[string]any{"settings": map[string]any{"app_id": "2000000000000000"}}, true},
		"no longer so":    {map[string]any{"transport": "http", "url": "http://127.0.0.1:9/"}, true},
		"a further key":   {nil, false},
		"another key":     {nil, true},
		"it was deleted":  {nil, true},
		"its app is gone": {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newExchange(t, nil)
			client := call(t, x.PublicAddr(), x.ours)
			x.connected(1)
			other, _, err := simulate.Keys(&[]dialect.Dialect{alipay.Dialect}[0])
			if err != nil {
				t.Fatal(err)
			}
			key, fresh := x.platform.Get("app_public_key"), other.Get("app_public_key")
			method, path := http.MethodPatch, "/app/shop/endpoint/e"
			switch name {
			case "a further key":
				c.change = map[string]any{"settings": map[string]any{"app_public_key": []string{fresh, key}}}
			case "another key":
				c.change = map[string]any{"settings": map[string]any{"app_public_key": fresh}}
			case "it was deleted":
				method = http.MethodDelete
			case "its app is gone":
				method, path = http.MethodDelete, "/app/shop"
			}
			x.request(t, method, path, c.change)
			if !c.ends {
				id := x.publish(1)
				f, _ := client.message()
				client.send(f.Ack(alipay.StatusSuccess, ""))
				x.attempts(id, 1)
				if len(x.endpoint().Connections) != 1 {
					t.Error("it ended")
				}
				return
			}
			select {
			case err := <-client.closed:
				if code := websocket.CloseStatus(err); code != websocket.StatusPolicyViolation {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("it goes on")
			}
		})
	}
}

func (x *exchange) request(t *testing.T, method, path string, in any) {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+x.AdminAddr()+"/api/v1"+path, strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s", method, path, resp.Status, text)
	}
}

// TestAStopWaitsForAcknowledgements: what is on its way is acknowledged and recorded before the connection ends with 1001.
func TestAStopWaitsForAcknowledgements(t *testing.T) {
	t.Parallel()
	x := newExchange(t, nil)
	c := call(t, x.PublicAddr(), x.ours)
	id := x.publish(1)
	f, _ := c.message()
	stopped := make(chan struct{})
	go func() { x.stop(); close(stopped) }()
	for end := time.Now().Add(20 * time.Second); !x.stopping.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not stop")
		}
	}
	if _, err := tryCall(t, x.PublicAddr(), x.ours); err == nil {
		t.Error("a stopping server lets somebody in")
	}
	c.send(f.Ack(alipay.StatusSuccess, ""))
	select {
	case err := <-c.closed:
		if websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it did not end")
	}
	<-stopped
	dir := x.o.Data
	again, err := Start(t.Context(), func() Options { o := quiet(dir); o.Dev, o.Token = true, testToken; return o }())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Stop(context.Background()) }()
	y := &exchange{App: again, t: t, ours: x.ours}
	if a := y.attempts(id, 1)[0]; a.Status != 0 {
		t.Errorf("the attempt is %+v", a)
	}
}

// TestEndpointsThatCannotBeConnectedTo are refused with what to do.
func TestEndpointsThatCannotBeConnectedTo(t *testing.T) {
	t.Parallel()
	x := newExchange(t, nil)
	merge := func(pairs ...string) dialect.Settings {
		s := dialect.Settings{}
		for k, v := range x.platform {
			s[k] = v
		}
		s["app_id"] = []string{"2000000000000001"}
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] == "" {
				delete(s, pairs[i])
			} else {
				s[pairs[i]] = []string{pairs[i+1]}
			}
		}
		return s
	}
	for name, c := range map[string]struct {
		body   map[string]any
		status int
		say    string
	}{
		"another dialect":    {map[string]any{"dialect": "standard"}, 422, "must be alipay"},
		"an address":         {map[string]any{"dialect": "alipay", "url": "https://example.com/", "settings": merge()}, 422, "leave it out"},
		"no developer's key": {map[string]any{"dialect": "alipay", "settings": merge("app_public_key", "")}, 422, "app_public_key"},
		"encrypted content":  {map[string]any{"dialect": "alipay", "settings": merge("aes_key", "MTIzNDU2Nzg5MDEyMzQ1Ng==")}, 422, "aes_key"},
		"another charset":    {map[string]any{"dialect": "alipay", "settings": merge("charset", "GBK")}, 422, "UTF-8"},
		"to be verified":     {map[string]any{"dialect": "alipay", "requireVerified": true, "settings": merge()}, 422, "requireVerified"},
		"its own headers":    {map[string]any{"dialect": "alipay", "headers": map[string]string{"x-a": "b"}, "settings": merge()}, 422, "headers"},
		"a taken app_id":     {map[string]any{"dialect": "alipay", "settings": merge("app_id", x.platform.Get("app_id"))}, 409, "app_id"},
		"a right one":        {map[string]any{"dialect": "alipay", "settings": merge()}, 201, "longconn"},
	} {
		c.body["transport"] = "longconn"
		b, _ := json.Marshal(c.body)
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+x.AdminAddr()+"/api/v1/app/shop/endpoint", strings.NewReader(string(b)))
		req.Header.Set("Authorization", "Bearer "+testToken)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != c.status || !strings.Contains(string(text), c.say) {
			t.Errorf("%s: %s %s, want %d and %q", name, resp.Status, text, c.status, c.say)
		}
	}
}

// TestAnEndpointForLongConnectionsIsDeclared: it is there after the start, stays with its connections at the next, and is exported as it
// was declared.
func TestAnEndpointForLongConnectionsIsDeclared(t *testing.T) {
	t.Parallel()
	d := alipay.Dialect
	platform, ours, err := simulate.Keys(&d)
	if err != nil {
		t.Fatal(err)
	}
	text := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	config := `
applications:
  - uid: shop
    endpoints:
      - uid: e
        dialect: alipay
        transport: longconn
        settings:
          app_id: ` + text(platform.Get("app_id")) + `
          platform_private_key: ` + text(platform.Get("platform_private_key")) + `
          app_public_key: ` + text(platform.Get("app_public_key")) + "\n"
	dir := t.TempDir()
	_, stop := started(t, dir, config)
	stop()
	a, _ := started(t, dir, config) // a second time over what is there
	x := &exchange{App: a, t: t, ours: ours, platform: platform}
	c := call(t, a.PublicAddr(), ours)
	id := x.publish(1)
	f, _ := c.message()
	c.send(f.Ack(alipay.StatusSuccess, ""))
	x.attempts(id, 1)
}

// TestAnEndpointForLongConnectionsIsNotVerified: there is no address to send a handshake to, and nothing panics.
func TestAnEndpointForLongConnectionsIsNotVerified(t *testing.T) {
	t.Parallel()
	x := newExchange(t, nil)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+x.AdminAddr()+"/api/v1/app/shop/endpoint/e/verify", nil)
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(text), "connects to this server") {
		t.Errorf("%s %s", resp.Status, text)
	}
}
