package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

const testToken = "0123456789-0123456789-0123456789"

// started runs a server on a folder and stops it at the end of the test, or before by the func.
func started(t *testing.T, dir, config string) (*App, func()) {
	t.Helper()
	f, err := parseFile([]byte(config), nil, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Start(t.Context(), Options{Data: dir, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Dev: true, Token: testToken, LowWater: 1 << 20, Declared: f.Declared})
	if err != nil {
		t.Fatal(err)
	}
	stop := func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return a, stop
}

func (a *App) get(t *testing.T, path string, out any) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+a.AdminAddr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s, %v", path, resp.Status, b, err)
	}
	if out != nil {
		if err := json.NewDecoder(bytes.NewReader(b)).Decode(out); err != nil {
			t.Fatal(err)
		}
	}
	return string(b)
}

const declared = `
profiles:
- uid: panda
  dialect: pandapon
  settings: {access_secret: [first-secret, second-secret]}
applications:
- uid: erp
  allow_cidrs: [10.0.0.0/8]
  sources:
  - uid: in
    profile: panda
    door: erp-panda-door
  endpoints:
  - uid: out
    url: http://127.0.0.1:9/hook
    event_types: [ORDER_CREATE]
    retry_schedule: [5s, 1m]
`

func TestDeclaredThingsAreThereAndManaged(t *testing.T) {
	dir := t.TempDir()
	a, stop := started(t, dir, declared)
	var source struct {
		ID, Door, Dialect string
		Managed           bool
	}
	var endpoint struct {
		ID            string
		Managed       bool
		RetrySchedule []float64
		FilterTypes   []string
	}
	a.get(t, "/api/v1/app/erp/source/in", &source)
	a.get(t, "/api/v1/app/erp/endpoint/out", &endpoint)
	if !source.Managed || source.Door != "erp-panda-door" || source.Dialect != "pandapon" {
		t.Errorf("source: %+v", source)
	}
	if !endpoint.Managed || len(endpoint.RetrySchedule) != 2 || endpoint.FilterTypes[0] != "ORDER_CREATE" {
		t.Errorf("endpoint: %+v", endpoint)
	}
	secret := a.get(t, "/api/v1/app/erp/endpoint/out/secret", nil)
	stop()

	t.Run("a changed file overwrites, keeps ids and the secret that was made, and lets the old door open", func(t *testing.T) {
		changed := strings.NewReplacer("erp-panda-door", "erp-panda-next", "    event_types: [ORDER_CREATE]\n", "", "    retry_schedule: [5s, 1m]\n", "").Replace(declared)
		b, stop := started(t, dir, changed)
		defer stop()
		var next struct {
			ID, Door string
			OldDoors []struct{ Door string }
		}
		b.get(t, "/api/v1/app/erp/source/in", &next)
		if next.ID != source.ID || next.Door != "erp-panda-next" || len(next.OldDoors) != 1 || next.OldDoors[0].Door != "erp-panda-door" {
			t.Errorf("source: %+v", next)
		}
		after := endpoint
		after.RetrySchedule, after.FilterTypes = nil, nil
		b.get(t, "/api/v1/app/erp/endpoint/out", &after)
		if after.ID != endpoint.ID || after.RetrySchedule != nil || after.FilterTypes != nil {
			t.Errorf("endpoint: %+v", after)
		}
		if got := b.get(t, "/api/v1/app/erp/endpoint/out/secret", nil); got != secret {
			t.Error("a start made another secret: the receiver would no longer verify")
		}
	})
}

func TestANarrowedAllowListIsToldAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	wide := "applications:\n- uid: a\n  allow_cidrs: [10.0.0.0/8]\n  endpoints:\n  - uid: e\n    url: http://10.0.0.5/x\n"
	_, stop := started(t, dir, wide)
	stop()
	f, err := parseFile([]byte(strings.Replace(wide, "10.0.0.0/8", "10.1.0.0/16", 1)), nil, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	o := quiet(dir)
	o.Declared = f.Declared
	if _, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "10.0.0.5") {
		t.Errorf("error %v", err)
	}
}

func TestDeclaredThingsAreJudged(t *testing.T) {
	for name, c := range map[string]struct{ config, want string }{
		"a profile without uid":        {"profiles:\n- dialect: pandapon\n", "line 2: profile: has no uid"},
		"a dialect that there is not":  {"profiles:\n- uid: a\n  dialect: wechat\n", "profile a: dialect"},
		"a source without its secret":  {"applications:\n- uid: a\n  sources:\n  - uid: s\n    dialect: douyin\n", "line 4: application a, source s: settings.client_secret: is required"},
		"an unknown setting":           {"profiles:\n- uid: a\n  dialect: douyin\n  settings: {client_sekret: x}\n", "client_sekret"},
		"a profile that there is not":  {"applications:\n- uid: a\n  sources:\n  - uid: s\n    profile: nope\n", "application a, source s: profile"},
		"a forbidden address":          {"applications:\n- uid: a\n  endpoints:\n  - uid: e\n    url: http://192.168.1.5/x\n", "192.168.1.5"},
		"a door that is too short":     {"applications:\n- uid: a\n  sources:\n  - uid: s\n    dialect: pandapon\n    settings: {access_secret: x1234567}\n    door: abc\n", "application a, source s: door"},
		"an endpoint without a url":    {"applications:\n- uid: a\n  endpoints:\n  - uid: e\n", "application a, endpoint e: url"},
		"a format that there is not":   {"applications:\n- uid: a\n  endpoints:\n  - uid: e\n    url: http://127.0.0.1/x\n    format: xml\n", "application a, endpoint e: format"},
		"a uid twice":                  {"profiles:\n- uid: a\n  dialect: douyin\n- uid: a\n  dialect: douyin\n", "line 4: profile: the uid a is that of line 2 already"},
		"a source's uid twice":         {"applications:\n- uid: a\n  sources:\n  - uid: s\n    dialect: pandapon\n    settings: {access_secret: x1234567}\n  - uid: s\n", "line 7: application a: source: the uid s is that of line 4 already"},
		"an allow list that is broken": {"applications:\n- uid: a\n  allow_cidrs: [10.0.0]\n", "application a: allowCidrs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := parseFile([]byte(c.config), nil, os.LookupEnv)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Start(t.Context(), Options{Data: t.TempDir(), Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Dev: true, LowWater: 1, Declared: f.Declared})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want it to say %q", err, c.want)
			}
			if config := (*ConfigError)(nil); !errors.As(err, &config) {
				t.Errorf("%v is not told as an error of the configuration", err)
			}
		})
	}
}
