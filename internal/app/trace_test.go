package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// collector is a receiver of traces.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	texts []string
	spans []otlpSpan
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		var doc otlpDocument
		if err == nil {
			err = json.Unmarshal(text, &doc)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Key") != "a b" {
			t.Errorf("%s %v: %v", r.URL, r.Header, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.texts = append(c.texts, string(text))
		for _, res := range doc.Resources {
			for _, s := range res.Scopes {
				c.spans = append(c.spans, s.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) named(name string) (out []otlpSpan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name {
			out = append(out, s)
		}
	}
	return out
}

// tracedReceiver keeps the traceparent of every request, by path.
type tracedReceiver struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string][]http.Header
}

func newTracedReceiver(t *testing.T) *tracedReceiver {
	r := &tracedReceiver{seen: map[string][]http.Header{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen[req.URL.Path] = append(r.seen[req.URL.Path], req.Header)
	}))
	t.Cleanup(r.Close)
	return r
}

// await waits for the first request of a path.
func (r *tracedReceiver) await(t *testing.T, path string) http.Header {
	t.Helper()
	for range 3000 {
		r.mu.Lock()
		got := r.seen[path]
		r.mu.Unlock()
		if len(got) > 0 {
			return got[0]
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nothing came to %s", path)
	return nil
}

func traced(t *testing.T, dir, config string, tr Tracing) (*App, func()) {
	t.Helper()
	f, err := parseFile([]byte(config), nil, testEnv)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Start(t.Context(), Options{
		Data: dir, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Dev: true, Token: testToken, LowWater: 1 << 20, Declared: f.Declared, Tracing: tr,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func (a *App) send(t *testing.T, method, path, body, parent string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+a.AdminAddr()+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	req.Header.Set("Content-Type", "application/json")
	if parent != "" {
		req.Header.Set("Traceparent", parent)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s: %s, %v", method, path, resp.Status, b, err)
	}
	var out struct{ ID string }
	_ = json.Unmarshal(b, &out)
	return out.ID
}

const (
	senderTrace  = "0af7651916cd43dd8448eb211c80319c"
	senderSpan   = "b7ad6b7169203331"
	senderParent = "00-" + senderTrace + "-" + senderSpan + "-01"
)

func TestATraceGoesFromAcceptToAttempts(t *testing.T) {
	t.Parallel()
	c, r := newCollector(t), newTracedReceiver(t)
	dir := t.TempDir()
	config := fmt.Sprintf(`
applications:
- uid: shop
  endpoints:
  - uid: std
    url: %[1]s/std
    settings: {secret: whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0}
  - uid: panda
    url: %[1]s/panda
    dialect: pandapon
    settings: {access_secret: panda-secret-text}
  - uid: later
    url: %[1]s/later
    paused: true
`, r.URL)
	tr := Tracing{Endpoint: c.URL, Headers: "x-key=a%20b"}
	const body = `{"eventType":"order.paid","payload":{"card":"payload-text"},"platform":{"messagePlatform":"1"}}`

	a, stop := traced(t, dir, config, tr)
	id := a.send(t, http.MethodPost, "/app/shop/msg", body, senderParent)
	std := r.await(t, "/std").Get("Traceparent")
	if panda := r.await(t, "/panda"); panda.Get("Traceparent") != "" {
		t.Errorf("a platform's dialect got a header that is not its own: %v", panda)
	}
	own := a.send(t, http.MethodPost, "/app/shop/msg", body, "00-broken")
	stop()

	accepts := c.named("accept")
	if len(accepts) != 2 || len(c.named("store.commit")) != 2 {
		t.Fatalf("%d accept spans, %d commits", len(accepts), len(c.named("store.commit")))
	}
	first := accepts[0]
	m, err := hook.ParseID[hook.MessageID](id)
	if err != nil {
		t.Fatal(err)
	}
	if first.TraceID != senderTrace || first.ParentID != senderSpan || first.SpanID != idsOf(m).span.String() {
		t.Errorf("accept: %+v", first)
	}
	if m, _ = hook.ParseID[hook.MessageID](own); accepts[1].TraceID != idsOf(m).trace.String() || accepts[1].ParentID != "" {
		t.Errorf("accept without a trace of its sender: %+v", accepts[1])
	}
	found := false
	for _, s := range c.named("attempt") {
		found = found || s.TraceID == senderTrace && s.ParentID == first.SpanID && std == "00-"+senderTrace+"-"+s.SpanID+"-01"
	}
	if !found {
		t.Errorf("the endpoint got %q; attempts: %+v", std, c.named("attempt"))
	}

	// What waits over a restart belongs to the same trace.
	_, stop = traced(t, dir, strings.Replace(config, "    paused: true\n", "", 1), tr)
	later := ""
	for range 3000 { // two messages were waiting, and either may come first
		r.mu.Lock()
		for _, h := range r.seen["/later"] {
			if strings.HasPrefix(h.Get("Traceparent"), "00-"+senderTrace+"-") {
				later = h.Get("Traceparent")
			}
		}
		r.mu.Unlock()
		if later != "" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	found = false
	for _, s := range c.named("attempt") {
		found = found || s.TraceID == senderTrace && s.ParentID == first.SpanID && later == "00-"+senderTrace+"-"+s.SpanID+"-01"
	}
	if !found {
		t.Errorf("no span of the attempt after the restart: %q", later)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, secret := range []string{"payload-text", "panda-secret", "whsec_", "c2VjcmV0", testToken, r.URL} {
		if strings.Contains(strings.Join(c.texts, ""), secret) {
			t.Errorf("a span holds %s", secret)
		}
	}
}

func TestATraceThatItsSenderDoesNotKeepIsNotKept(t *testing.T) {
	t.Parallel()
	c, r := newCollector(t), newTracedReceiver(t)
	a, stop := traced(t, t.TempDir(), "applications:\n- uid: shop\n  endpoints:\n  - uid: std\n    url: "+r.URL+"/std\n", Tracing{Endpoint: c.URL, Headers: "x-key=a%20b"})
	a.send(t, http.MethodPost, "/app/shop/msg", `{"eventType":"a","payload":{}}`, "00-"+senderTrace+"-"+senderSpan+"-00")
	got := r.await(t, "/std").Get("Traceparent")
	stop()
	if !strings.HasPrefix(got, "00-"+senderTrace+"-") || !strings.HasSuffix(got, "-00") {
		t.Errorf("the endpoint got %q", got)
	}
	if n := len(c.named("accept")) + len(c.named("attempt")); n != 0 {
		t.Errorf("%d spans", n)
	}
}

func TestNobodyTracesUnlessAsked(t *testing.T) {
	t.Parallel()
	r := newTracedReceiver(t)
	a, stop := traced(t, t.TempDir(), "applications:\n- uid: shop\n  endpoints:\n  - uid: std\n    url: "+r.URL+"/std\n", Tracing{})
	defer stop()
	if a.tracer != nil || a.tracer.attempts() != nil {
		t.Error("there is a tracer")
	}
	id := a.send(t, http.MethodPost, "/app/shop/msg", `{"eventType":"a","payload":{}}`, senderParent)
	if got := r.await(t, "/std"); got.Get("Traceparent") != "" {
		t.Errorf("the endpoint got %v", got)
	}
	m, _ := hook.ParseID[hook.MessageID](id)
	if stored, err := a.store.Load(t.Context(), m); err != nil || stored.Trace != "" {
		t.Errorf("%q is kept, %v", stored.Trace, err)
	}
}

func TestACollectorThatIsDownHoldsNothingUp(t *testing.T) {
	t.Parallel()
	r := newTracedReceiver(t)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	a, stop := traced(t, t.TempDir(), "applications:\n- uid: shop\n  endpoints:\n  - uid: std\n    url: "+r.URL+"/std\n", Tracing{Endpoint: dead.URL})
	a.send(t, http.MethodPost, "/app/shop/msg", `{"eventType":"a","payload":{}}`, "")
	r.await(t, "/std")
	stop() // fails the test when it ends with an error
}

func TestTracingIsValidated(t *testing.T) {
	for _, c := range []struct {
		t    Tracing
		want string
	}{
		{Tracing{Endpoint: "collector:4318"}, "otlp: must look like"},
		{Tracing{Endpoint: "grpc://collector:4317"}, "otlp: must look like"},
		{Tracing{Endpoint: "http://c", Sampler: "sometimes"}, "OTEL_TRACES_SAMPLER: "},
		{Tracing{Endpoint: "http://c", Sampler: "traceidratio", Ratio: "2"}, "OTEL_TRACES_SAMPLER_ARG: "},
		{Tracing{Endpoint: "http://c", Headers: "secret-without-name"}, "OTEL_EXPORTER_OTLP_HEADERS must"},
	} {
		err := (Options{Tracing: c.t}).Defaults().Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret-without") {
			t.Errorf("%+v: %v", c.t, err)
		}
	}
	if err := (Tracing{Sampler: "nonsense"}).validate(); err != nil {
		t.Errorf("what is off is judged: %v", err)
	}
}
