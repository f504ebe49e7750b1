package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/waypost/waypost/internal/app"
)

const serverToken = "wp_a-token-of-a-test-of-the-commands"

// serving runs a server and returns what commands need to reach it.
func serving(t *testing.T, dir string) (*app.App, *client, map[string]string) {
	t.Helper()
	a, err := app.Start(t.Context(), app.Options{
		Data: dir, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", LowWater: 1, Dev: true, Token: serverToken,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	base := "http://" + a.AdminAddr()
	return a, newClient(base, serverToken), map[string]string{"WAYPOST_SERVER": base, "WAYPOST_TOKEN": serverToken}
}

// must makes a call of the API that has to succeed.
func (c *client) must(t *testing.T, method, path string, in, out any) {
	t.Helper()
	if err := c.call(t.Context(), method, path, in, out); err != nil {
		t.Fatal(err)
	}
}

type thing = map[string]any

func TestExplainTellsWhatBecameOfAMessage(t *testing.T) {
	t.Parallel()
	_, c, env := serving(t, t.TempDir())
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that the client went
		<-r.Context().Done()
	}))
	t.Cleanup(slow.Close)
	c.must(t, "POST", "/app", thing{"name": "a", "uid": "shop"}, nil)
	c.must(t, "POST", "/app", thing{"name": "b", "uid": "other"}, nil)
	c.must(t, "POST", "/app/shop/endpoint", thing{"uid": "slow", "url": slow.URL, "timeoutMs": 50}, nil)
	c.must(t, "POST", "/app/shop/endpoint", thing{"uid": "nosy", "url": slow.URL, "filterTypes": []string{"x"}}, nil)
	var m struct{ ID string }
	c.must(t, "POST", "/app/shop/msg", thing{"eventType": "order.paid", "eventId": "order-1", "payload": thing{}}, &m)
	eventually(t, "an attempt", func() bool {
		var list page[thing]
		c.must(t, "GET", "/app/shop/attempt/msg/"+m.ID, nil, &list)
		return len(list.Data) > 0
	})

	code, out, errs := command(t, "", env, "explain", m.ID)
	for _, want := range []string{m.ID, "Attempt 1 at ", "[timeoutMs]", "which is 50 now", "do not include order.paid", "[filterTypes]"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("code %d, no %q in:\n%s%s", code, want, out, errs)
		}
	}
	env["LANG"] = "zh_CN.UTF-8"
	if code, out, errs := command(t, "", env, "explain", "order-1", "--app", "shop", "--endpoint", "slow"); code != 0 ||
		!strings.Contains(out, "第 1 次尝试") || !strings.Contains(out, "  待投递\n") || !strings.Contains(out, "→ 建议：[timeoutMs] ") || strings.Contains(out, "nosy") {
		t.Errorf("in Chinese: %d\n%s%s", code, out, errs)
	}
	if code, out, errs := command(t, "", env, "explain", m.ID, "--lang", "en", "--json"); code != 0 || !json.Valid([]byte(out)) || !strings.Contains(out, `"change.timeout"`) {
		t.Errorf("as JSON: %d\n%s%s", code, out, errs)
	}
	for _, args := range [][]string{{"msg_0000000000001"}, {m.ID, "--app", "other"}, {m.ID, "--app", "nobody"}, {m.ID, "--endpoint", "nobody"}} {
		if code, out, errs := command(t, "", env, append([]string{"explain"}, args...)...); code != 1 || out != "" || !strings.Contains(errs, "hint:") {
			t.Errorf("%v: %d %q %q", args, code, out, errs)
		}
	}
	if code, _, errs := command(t, "", env, "explain", m.ID, "--lang", "fr"); code != 2 || !strings.Contains(errs, "en or zh") {
		t.Errorf("%d %q", code, errs)
	}
}
