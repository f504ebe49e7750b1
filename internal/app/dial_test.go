package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/longconn"
	"github.com/waypost/waypost/internal/simulate"
)

// dialPair is a server that is a platform, and one whose source dials it.
type dialPair struct {
	t                 *testing.T
	platform, service *App
	source            dialect.Settings
}

const dialledSource = "/app/erp/source/alipay"

// newDialPair starts both and makes what they need, but for the source.
func newDialPair(t *testing.T) *dialPair {
	t.Helper()
	theirs, ours, err := keysOf("alipay")
	if err != nil {
		t.Fatal(err)
	}
	p := &dialPair{t: t, source: maps.Clone(ours)}
	p.platform, _ = started(t, t.TempDir(), "")
	p.service, _ = started(t, t.TempDir(), "")
	p.platform.post(t, "/app", map[string]any{"uid": "shop", "name": "Shop"}, nil)
	p.platform.post(t, "/app/shop/endpoint", map[string]any{
		"uid": "ep", "dialect": "alipay", "transport": "longconn", "settings": theirs, "retrySchedule": []float64{0.1, 0.1, 0.2, 0.5, 1, 1, 1, 1, 1, 1},
	}, nil)
	p.service.post(t, "/app", map[string]any{"uid": "erp", "name": "ERP"}, nil)
	p.source["longconn_server"] = []string{"http://" + p.platform.PublicAddr()}
	return p
}

// call speaks to the API of the service.
func (p *dialPair) call(method, path string, in any) (int, string) {
	p.t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.service.AdminAddr()+"/api/v1"+path, bytes.NewReader(b))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (p *dialPair) dial() {
	p.t.Helper()
	if status, text := p.call(http.MethodPost, "/app/erp/source", map[string]any{
		"uid": "alipay", "dialect": "alipay", "transport": "longconn", "settings": p.source,
	}); status != http.StatusCreated {
		p.t.Fatalf("%d %s", status, text)
	}
}

// shown is the source's connection.
func (p *dialPair) shown() (c struct {
	State     string
	Open      int
	LastError struct{ Reason, Mend string }
	Counts    struct{ Acknowledged, Refused, Connects int }
}) {
	p.t.Helper()
	var out struct{ Connection json.RawMessage }
	p.service.get(p.t, "/api/v1"+dialledSource, &out)
	if err := json.Unmarshal(out.Connection, &c); err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *dialPair) until(what string, holds func() bool) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			_, text := p.call(http.MethodGet, dialledSource, nil)
			p.t.Fatalf("it never came: %s; the source is %s", what, text)
		}
	}
}

// received lists the events that the service has, as type and id.
func (p *dialPair) received() []string {
	p.t.Helper()
	var list struct {
		Data []struct {
			EventType string
			Payload   json.RawMessage
		}
	}
	p.service.get(p.t, "/api/v1/app/erp/msg?with_content=true&limit=200", &list)
	var out []string
	for _, m := range list.Data {
		out = append(out, m.EventType+" "+string(m.Payload))
	}
	return out
}

func (p *dialPair) publish(n int) {
	p.t.Helper()
	p.platform.post(p.t, "/app/shop/msg", map[string]any{"eventType": "alipay.trade.done", "eventId": fmt.Sprint("e", n), "payload": map[string]any{"n": n}}, nil)
}

func (p *dialPair) gets(n int) {
	p.t.Helper()
	p.until(fmt.Sprint("message ", n), func() bool {
		return strings.Contains(strings.Join(p.received(), "\n"), fmt.Sprintf("alipay.trade.done {\"n\":%d}", n))
	})
}

func TestASourceDialsItsPlatform(t *testing.T) {
	t.Parallel()
	p := newDialPair(t)
	p.publish(1) // waits there for the connection
	p.dial()
	p.gets(1)
	p.publish(2)
	p.gets(2)
	p.until("both are acknowledged", func() bool { return p.shown().Counts.Acknowledged == 2 })
	if c := p.shown(); c.State != "connected" || c.Open != 1 || c.LastError.Reason != "" {
		t.Errorf("shown as %+v", c)
	}
	var endpoint struct{ Connections []struct{ Remote string } }
	p.platform.get(t, "/api/v1/app/shop/endpoint/ep", &endpoint)
	if len(endpoint.Connections) != 1 {
		t.Errorf("the platform shows %+v", endpoint)
	}
	metrics := p.service.get(t, "/metrics", nil)
	for _, want := range []string{`waypost_longconn_source_connections{source="src_`, `waypost_longconn_source_acks_total{answer="success",source="src_`, `waypost_pushes_total{dialect="alipay",result="stored"} 2`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}

	t.Log("a source that is disabled hangs up; what comes meanwhile waits at the platform")
	if status, text := p.call(http.MethodPut, dialledSource, map[string]any{"disabled": true}); status != http.StatusOK {
		t.Fatal(text)
	}
	p.until("it hangs up", func() bool {
		p.platform.get(t, "/api/v1/app/shop/endpoint/ep", &endpoint)
		return len(endpoint.Connections) == 0 && p.shown().State == "stopped"
	})
	p.publish(3)
	if status, text := p.call(http.MethodPut, dialledSource, map[string]any{"disabled": false}); status != http.StatusOK || !strings.Contains(text, `"transport":"longconn"`) {
		t.Fatal(text)
	}
	p.gets(3)

	t.Log("a source that is deleted hangs up")
	if status, text := p.call(http.MethodDelete, dialledSource, nil); status != http.StatusNoContent {
		t.Fatal(text)
	}
	p.until("it hangs up", func() bool {
		p.platform.get(t, "/api/v1/app/shop/endpoint/ep", &endpoint)
		return len(endpoint.Connections) == 0
	})
	if text := p.service.get(t, "/metrics", nil); strings.Contains(text, "waypost_longconn_source_connections{") {
		t.Error("a source that is gone is still counted")
	}
}

func TestBothSidesMayStopAndComeBack(t *testing.T) {
	t.Parallel()
	p := newDialPair(t)
	p.dial()
	p.publish(1)
	p.gets(1)
	dir, listen := p.service.o.Data, p.service.o.Listen
	if err := p.service.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.publish(2)
	var err error
	if p.service, err = Start(t.Context(), Options{Data: dir, Listen: listen, Admin: "127.0.0.1:0", Dev: true, Token: testToken, LowWater: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.service.Stop(context.Background()) })
	p.gets(2) // the source dials by itself

	addr, data := p.platform.PublicAddr(), p.platform.o.Data
	if err := p.platform.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.until("the loss is seen", func() bool { c := p.shown(); return c.State != "connected" && c.LastError.Reason != "" })
	if p.platform, err = Start(t.Context(), Options{Data: data, Listen: addr, Admin: "127.0.0.1:0", Dev: true, Token: testToken, LowWater: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.platform.Stop(context.Background()) })
	p.publish(3)
	p.gets(3)
	if n := len(p.received()); n != 3 {
		t.Errorf("%d messages: %v", n, p.received())
	}
}

func TestProduceGoesToThePlatform(t *testing.T) {
	t.Parallel()
	p := newDialPair(t)
	p.dial()
	p.until("it is connected", func() bool { return p.shown().State == "connected" })
	status, text := p.call(http.MethodPost, dialledSource+"/produce", map[string]any{"eventType": "spi.order.create", "payload": map[string]any{"n": 1}})
	var answer struct{ Status, MessageID string }
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != http.StatusOK || answer.Status != "SUCCESS" || answer.MessageID == "" {
		t.Errorf("answered %d %s", status, text)
	}
	var list struct{ Data []struct{ EventType string } }
	p.platform.get(t, "/api/v1/app/shop/msg", &list)
	if len(list.Data) != 1 || list.Data[0].EventType != "spi.order.create" {
		t.Errorf("the platform has %+v", list)
	}
	for name, tt := range map[string]struct {
		body   string
		status int
		said   string
	}{
		"a list":     {`{"eventType":"a","payload":[1]}`, 422, "payload"},
		"no payload": {`{"eventType":"a"}`, 422, "payload"},
		"no name":    {`{"payload":{}}`, 422, "eventType"},
		"bad name":   {`{"eventType":"a b","payload":{}}`, 422, "msgApi"},
	} {
		if status, text := p.call(http.MethodPost, dialledSource+"/produce", json.RawMessage(tt.body)); status != tt.status || !strings.Contains(text, tt.said) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if status, _ := p.call(http.MethodPost, "/app/erp/source/none/produce", map[string]any{"eventType": "a", "payload": map[string]any{}}); status != http.StatusNotFound {
		t.Errorf("no source: %d", status)
	}
	if err := p.platform.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.until("the loss is seen", func() bool { return p.shown().State != "connected" })
	if status, text := p.call(http.MethodPost, dialledSource+"/produce", map[string]any{"eventType": "a", "payload": map[string]any{}}); status != http.StatusServiceUnavailable {
		t.Errorf("without a connection: %d %s", status, text)
	}
	if status, text := p.call(http.MethodPut, dialledSource, map[string]any{"transport": "http"}); status != http.StatusOK || !strings.Contains(text, `"connection":null`) {
		t.Errorf("as an HTTP source: %d %s", status, text)
	}
	if status, text := p.call(http.MethodPost, dialledSource+"/produce", map[string]any{"eventType": "a", "payload": map[string]any{}}); status != http.StatusConflict {
		t.Errorf("over HTTP: %d %s", status, text)
	}
}

func TestSourcesThatCannotDialAreRefused(t *testing.T) {
	t.Parallel()
	p := newDialPair(t)
	with := func(name, value string) dialect.Settings {
		s := maps.Clone(p.source)
		if s[name] = []string{value}; value == "" {
			delete(s, name)
		}
		return s
	}
	for _, tt := range []struct {
		name string
		body map[string]any
		said []string
	}{
		{"another dialect", map[string]any{"dialect": "pandapon", "settings": map[string]any{"access_secret": "x"}}, []string{"body", "transport", "must be alipay"}},
		{"no application", map[string]any{"dialect": "alipay", "settings": with("app_id", "")}, []string{"settings", "app_id", "is needed for a long connection"}},
		{"no key of ours", map[string]any{"dialect": "alipay", "settings": with("app_private_key", "")}, []string{"app_private_key"}},
		{"no key of theirs", map[string]any{"dialect": "alipay", "settings": with("alipay_public_key", "")}, []string{"alipay_public_key"}},
		{"no server", map[string]any{"dialect": "alipay", "settings": with("longconn_server", "ftp://x")}, []string{"longconn_server"}},
		{"a private server", map[string]any{"dialect": "alipay", "settings": with("longconn_server", "http://10.1.2.3")}, []string{"longconn_server", "10.1.2.3", "allow"}},
		{"too many", map[string]any{"dialect": "alipay", "settings": with("longconn_connections", "100")}, []string{"longconn_connections"}},
		{"half a certificate mode", map[string]any{"dialect": "alipay", "settings": with("alipay_root_cert", "x")}, []string{"alipay_root_cert"}},
		{"another transport", map[string]any{"dialect": "alipay", "settings": p.source, "transport": "pigeon"}, []string{"transport"}},
	} {
		if tt.body["transport"] == nil {
			tt.body["transport"] = "longconn"
		}
		status, text := p.call(http.MethodPost, "/app/erp/source", tt.body)
		if status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", tt.name, status, text)
		}
		for _, want := range tt.said {
			if !strings.Contains(text, want) {
				t.Errorf("%s: it does not say %q: %s", tt.name, want, text)
			}
		}
	}
	p.service.post(t, "/app", map[string]any{"uid": "near", "name": "Near", "allowCidrs": []string{"10.1.2.0/24"}}, nil)
	if status, text := p.call(http.MethodPost, "/app/near/source", map[string]any{
		"dialect": "alipay", "transport": "longconn", "settings": with("longconn_server", "http://10.1.2.3:1"), "disabled": true,
	}); status != http.StatusCreated {
		t.Errorf("an allowed private server: %d %s", status, text)
	}
}

func TestAProfileThatBreaksASourceIsShown(t *testing.T) {
	t.Parallel()
	p := newDialPair(t)
	p.service.post(t, "/profile", map[string]any{"uid": "prof", "name": "Alipay", "dialect": "alipay", "settings": map[string]any{"alipay_public_key": p.source["alipay_public_key"], "longconn_server": p.source["longconn_server"]}}, nil)
	if status, text := p.call(http.MethodPost, "/app/erp/source", map[string]any{
		"uid": "alipay", "profile": "prof", "transport": "longconn",
		"settings": map[string]any{"app_id": p.source["app_id"], "app_private_key": p.source["app_private_key"]},
	}); status != http.StatusCreated {
		t.Fatal(text)
	}
	p.publish(1)
	p.gets(1)
	if status, text := p.call(http.MethodPut, "/profile/prof", map[string]any{"name": "Alipay", "settings": map[string]any{"alipay_public_key": p.source["alipay_public_key"], "longconn_server": "http://127.0.0.1:1"}}); status != http.StatusOK {
		t.Fatal(text)
	}
	p.until("the change is followed", func() bool { return strings.Contains(p.shown().LastError.Reason, "refused the connection") })
	if c := p.shown(); c.State == "connected" || !strings.Contains(c.LastError.Mend, "longconn_server") {
		t.Errorf("shown as %+v", c)
	}
}

func TestADeclaredSourceDialsAndIsExported(t *testing.T) {
	t.Parallel()
	p := newDialPair(t)
	config := fmt.Sprintf(`
applications:
  - uid: erp
    sources:
      - uid: alipay
        dialect: alipay
        transport: longconn
        settings: {app_id: %q, app_private_key: %q, alipay_public_key: %q, longconn_server: %q}
`, p.source.Get("app_id"), p.source.Get("app_private_key"), p.source.Get("alipay_public_key"), p.source.Get("longconn_server"))
	p.service, _ = started(t, t.TempDir(), config)
	p.publish(1)
	p.gets(1)
	exported, err := Export(api.Declaring(t.Context()), within(p.service.api))
	if err != nil || !strings.Contains(string(exported.Text), "transport: longconn") {
		t.Errorf("exported as %s, %v", exported.Text, err)
	}
}

// TestAFrameIsKeptExplainedAndPassedOn: what came over a connection is a message like any other, also where a request is asked for.
func TestAFrameIsKeptExplainedAndPassedOn(t *testing.T) {
	t.Parallel()
	p := newDialPair(t)
	got := make(chan *http.Request, 4)
	bodies := make(chan string, 4)
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r
		bodies <- string(body)
	}))
	t.Cleanup(service.Close)
	p.service.post(t, "/app/erp/endpoint", map[string]any{"uid": "orig", "url": service.URL, "format": "original"}, nil)
	p.dial()
	p.publish(1)
	p.gets(1)
	r, body := <-got, <-bodies
	if r.Method != http.MethodPost || !strings.Contains(body, `"x-cmd":"CONSUME"`) || !strings.Contains(body, `"content":{"n":1}`) || r.Header.Get("Waypost-Platform-Notify-Id") == "" {
		t.Errorf("passed on as %s %v %s", r.Method, r.Header, body)
	}
	var list struct{ Data []struct{ ID string } }
	p.service.get(t, "/api/v1/app/erp/msg", &list)
	status, text := p.call(http.MethodPost, "/dialect/alipay/explain", map[string]any{"application": "erp", "message": list.Data[0].ID})
	if status != http.StatusOK || !strings.Contains(text, `"valid":true`) || !strings.Contains(text, `"eventType":"alipay.trade.done"`) {
		t.Errorf("explained as %d %s", status, text)
	}

	t.Log("a frame whose signature is by a key that the source does not know is kept with the reason")
	other, _, err := simulate.Keys(Dialects()["alipay"])
	if err != nil {
		t.Fatal(err)
	}
	data, err := alipay.Data{AppID: p.source.Get("app_id"), MsgAPI: "a.b", Content: []byte(`{}`)}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := alipay.SignFrame(other, alipay.Consume("x", "", "s1", "m1", time.Now(), data))
	if err != nil {
		t.Fatal(err)
	}
	forged, err := f.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	var source struct{ ID string }
	p.service.get(t, "/api/v1"+dialledSource, &source)
	id, err := hook.ParseID[hook.SourceID](source.ID)
	if err != nil {
		t.Fatal(err)
	}
	route, err := p.service.store.SourceRoute(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	_, why := alipay.ReceiveFrame(dialect.Settings(route.Settings), f)
	var refusal *dialect.Error
	if !errors.As(why, &refusal) {
		t.Fatalf("received: %v", why)
	}
	if stored := p.service.dialers.take(t.Context(), route, []longconn.Arrival{{Frame: f, Text: forged, Refused: refusal}}); stored[0] {
		t.Error("a forged frame is stored")
	}
	p.until("it is kept", func() bool {
		text = p.service.get(t, "/api/v1"+dialledSource+"/refused?explain=1", nil)
		return strings.Contains(text, `"reason":"signature"`)
	})
	if !strings.Contains(text, `"method":"(frame)"`) || !strings.Contains(text, `"part":"member x-sign"`) || !strings.Contains(text, "no key in alipay_public_key verifies it") {
		t.Errorf("kept as %s", text)
	}
}

// TestBothWaysShareOneMemory: what came over HTTP is known when it comes over a connection, and the other way round.
func TestBothWaysShareOneMemory(t *testing.T) {
	t.Parallel()
	p := newDialPair(t)
	theirs, _, err := keysOf("alipay")
	if err != nil {
		t.Fatal(err)
	}
	p.dial()
	var source struct{ ID, Path string }
	p.service.get(t, "/api/v1"+dialledSource, &source)
	id, err := hook.ParseID[hook.SourceID](source.ID)
	if err != nil {
		t.Fatal(err)
	}
	route, err := p.service.store.SourceRoute(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	overHTTP := func(notifyID string) {
		t.Helper()
		signed, err := alipay.Dialect.Sign(theirs, dialect.Outbound{
			ID: "msg_1", EventType: "a.b", Payload: []byte(`{"n":1}`), Platform: map[string]string{"notify_id": notifyID}, Created: time.Now(), Now: time.Now(),
		})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), signed.Method, "http://"+p.service.PublicAddr()+source.Path, bytes.NewReader(signed.Body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = signed.Header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if body, _ := io.ReadAll(resp.Body); string(body) != "success" {
			t.Errorf("the URL answers %s %s", resp.Status, body)
		}
	}
	overConnection := func(msgID string) {
		t.Helper()
		data, err := alipay.Data{AppID: p.source.Get("app_id"), MsgAPI: "a.b", Content: []byte(`{"n":1}`)}.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := alipay.SignFrame(theirs, alipay.Consume("x", "", "s1", msgID, time.Now(), data))
		if err != nil {
			t.Fatal(err)
		}
		got, err := alipay.ReceiveFrame(dialect.Settings(route.Settings), f)
		if err != nil {
			t.Fatal(err)
		}
		if durable := p.service.dialers.take(t.Context(), route, []longconn.Arrival{{Frame: f, Text: []byte("x"), Received: got}}); !durable[0] {
			t.Error("what is known is not durable")
		}
	}
	for _, way := range []func(string){overHTTP, overConnection, overHTTP} {
		way("2026030100000000000000000000000001")
	}
	for _, way := range []func(string){overConnection, overHTTP, overConnection} {
		way("2026030100000000000000000000000002")
	}
	if got := p.received(); len(got) != 2 {
		t.Errorf("%d messages: %v", len(got), got)
	}
}
