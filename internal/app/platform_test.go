package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/simulate"
)

// hit is a request that a receiver got.
type hit struct {
	header http.Header
	method string
	query  string
	body   []byte
}

// receiver is a plain HTTP service that answers as it is told and passes on what it gets.
func receiver(t *testing.T, answer func(n int, w http.ResponseWriter)) (url string, hits chan hit) {
	t.Helper()
	hits = make(chan hit, 1000)
	var n atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		hits <- hit{r.Header.Clone(), r.Method, r.URL.RawQuery, body}
		answer(int(n.Add(1)), w)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, hits
}

func yes(_ int, w http.ResponseWriter) { w.WriteHeader(http.StatusOK) }

func await(t *testing.T, hits chan hit) hit {
	t.Helper()
	select {
	case h := <-hits:
		return h
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was delivered")
		return hit{}
	}
}

func (a *App) post(t *testing.T, path string, in, out any) {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.AdminAddr()+"/api/v1"+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		t.Fatalf("POST %s: %s: %s", path, resp.Status, text)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatal(err)
		}
	}
}

// push posts bytes to the front door as a platform does, and returns status, content type and body of the answer.
func push(t *testing.T, url string, r dialect.Request) (int, string, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.Method, url, bytes.NewReader(r.Body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = r.Header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(body)
}

var platforms = []struct {
	name    string
	ack     string // the body that the platform's page asks for
	refusal string
}{
	{"pandapon", "", ""}, {"douyin", "", ""}, {"alipay", "success", "fail"}, {"yunzhimeng", "", ""},
}

// TestAPlatformsPushIsAcknowledgedAndDelivered is the receiving direction, black box: an event of the platform's
// documentation, signed as the platform signs, over real HTTP.
func TestAPlatformsPushIsAcknowledgedAndDelivered(t *testing.T) {
	for _, p := range platforms {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			d, standard := Dialects()[p.name], Dialects()["standard"]
			platform, ours, err := simulate.Keys(d)
			if err != nil {
				t.Fatal(err)
			}
			service, _, err := simulate.Keys(standard)
			if err != nil {
				t.Fatal(err)
			}
			a, _ := started(t, t.TempDir(), "")
			url, hits := receiver(t, yes)
			a.post(t, "/app", map[string]any{"uid": "erp", "name": "erp"}, nil)
			a.post(t, "/app/erp/endpoint", map[string]any{"url": url + "/hook", "settings": service}, nil)
			var source struct{ Path string }
			a.post(t, "/app/erp/source", map[string]any{"uid": "in", "dialect": p.name, "settings": ours}, &source)
			door := "http://" + a.PublicAddr() + source.Path

			example, now := d.Examples[0], time.Now()
			sign := func() dialect.Request {
				r, err := d.Sign(platform, dialect.Outbound{
					ID: "msg_1", EventType: example.EventType, Payload: example.Payload, Platform: example.Platform, Created: now, Now: time.Now(), Seed: [32]byte{7},
				})
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			r := sign()
			if status, kind, body := push(t, door, r); status != http.StatusOK || p.ack != "" && (body != p.ack || !strings.HasPrefix(kind, "text/plain")) {
				t.Fatalf("answered %d %q %q", status, kind, body)
			}
			got := await(t, hits)
			if !bytes.Equal(got.body, example.Payload) {
				t.Errorf("delivered %s, want the business object %s", got.body, example.Payload)
			}
			in := dialect.Inbound{Method: got.method, Query: got.query, Header: got.header, Body: got.body, Now: time.Now()}
			if _, err := standard.Receive(service, in); err != nil {
				t.Errorf("the delivery does not verify as a Standard Webhook: %v", err)
			}
			if got.header.Get("Waypost-Event-Type") != example.EventType {
				t.Errorf("event type header %q, want %q", got.header.Get("Waypost-Event-Type"), example.EventType)
			}

			if status, _, body := push(t, door, r); status != http.StatusOK || p.ack != "" && body != p.ack {
				t.Errorf("the same request again was answered %d %q", status, body)
			}
			if status, _, body := push(t, door, sign()); status != http.StatusOK || p.ack != "" && body != p.ack {
				t.Errorf("the platform's repeat, signed anew, was answered %d %q", status, body)
			}
			forged := r
			forged.Body = bytes.Clone(r.Body)
			i := bytes.LastIndexAny(forged.Body, "0123456789")
			forged.Body[i] = '0' + (forged.Body[i]-'0'+1)%10
			if p.name == "pandapon" { // its time stamp stands outside of the signature: change the signed part
				forged.Body = bytes.Replace(r.Body, []byte("orderId"), []byte("orderIe"), 1)
			}
			if status, _, body := push(t, door, forged); status != http.StatusUnauthorized || p.refusal != "" && body != p.refusal {
				t.Errorf("with one byte changed: answered %d %q", status, body)
			}
			select {
			case extra := <-hits:
				t.Errorf("delivered again: %s", extra.body)
			case <-time.After(300 * time.Millisecond):
			}
			metrics := a.get(t, "/metrics", nil)
			for result, n := range map[string]int{"stored": 1, "duplicate": 2, "signature": 1} {
				if line := fmt.Sprintf("waypost_pushes_total{dialect=%q,result=%q} %d\n", p.name, result, n); !strings.Contains(metrics, line) {
					t.Errorf("the metrics lack %s", line)
				}
			}
			for secret := range secretsOf(ours, service) {
				if strings.Contains(metrics, secret) {
					t.Error("the metrics show a secret")
				}
			}
		})
	}
}

func secretsOf(all ...dialect.Settings) map[string]bool {
	out := map[string]bool{}
	for _, s := range all {
		for _, values := range s {
			for _, v := range values {
				if len(v) >= 16 {
					out[v] = true
				}
			}
		}
	}
	return out
}

// TestAMessageReachesEveryPlatformsEndpoint is the sending direction: one message, four endpoints, one in each dialect,
// each verified as that platform's documentation says.
func TestAMessageReachesEveryPlatformsEndpoint(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	a.post(t, "/app", map[string]any{"uid": "shop", "name": "shop"}, nil)
	type end struct {
		dialect *dialect.Dialect
		ours    dialect.Settings
		hits    chan hit
	}
	var ends []end
	for _, p := range platforms {
		d := Dialects()[p.name]
		platform, ours, err := simulate.Keys(d)
		if err != nil {
			t.Fatal(err)
		}
		url, hits := receiver(t, func(_ int, w http.ResponseWriter) {
			_, _ = io.WriteString(w, p.ack)
		})
		a.post(t, "/app/shop/endpoint", map[string]any{"url": url, "dialect": p.name, "settings": platform}, nil)
		ends = append(ends, end{d, ours, hits})
	}
	payload := `{"orderId": "1", "amount": 9007199254740993, "名称":"测试 <&> \u4e2d"}`
	a.post(t, "/app/shop/msg", map[string]any{"eventType": "ORDER_CREATE", "payload": json.RawMessage(payload)}, nil)
	for _, e := range ends {
		got := await(t, e.hits)
		in := dialect.Inbound{Method: got.method, Query: got.query, Header: got.header, Body: got.body, Now: time.Now()}
		r, err := e.dialect.Receive(e.ours, in)
		if err != nil {
			t.Errorf("%s: does not verify: %v", e.dialect.Name, err)
			continue
		}
		// json.Marshal compacts what is embedded, but changes no number and no string.
		want := `{"orderId":"1","amount":9007199254740993,"名称":"测试 \u003c\u0026\u003e \u4e2d"}`
		if string(r.Payload) != want || r.EventType != "ORDER_CREATE" {
			t.Errorf("%s: %s %s, want %s", e.dialect.Name, r.EventType, r.Payload, want)
		}
	}
}

func TestAMessageThatCannotBeSentFailsAtOnce(t *testing.T) {
	t.Parallel()
	a, _ := started(t, t.TempDir(), "")
	url, hits := receiver(t, yes)
	a.post(t, "/app", map[string]any{"uid": "shop", "name": "shop"}, nil)
	a.post(t, "/app/shop/endpoint", map[string]any{"uid": "e", "url": url, "dialect": "pandapon", "settings": map[string]string{"access_secret": "x1234567"}}, nil)
	var message struct{ ID string }
	a.post(t, "/app/shop/msg", map[string]any{"eventType": "ORDER_CREATE", "payload": map[string]any{}, "platform": map[string]string{"messagePlatform": "abc"}}, &message)
	var attempts struct {
		Data []struct {
			Reason      string
			NextAttempt *time.Time
		}
	}
	for end := time.Now().Add(30 * time.Second); len(attempts.Data) == 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		a.get(t, "/api/v1/app/shop/attempt/msg/"+message.ID, &attempts)
	}
	if len(attempts.Data) != 1 || attempts.Data[0].NextAttempt != nil || !strings.Contains(attempts.Data[0].Reason, "messagePlatform") {
		t.Errorf("attempts: %+v", attempts.Data)
	}
	if len(hits) != 0 {
		t.Error("something was sent")
	}
}
