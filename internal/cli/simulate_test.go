package cli

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/app"
)

// shop is a small receiver of Douyin's pushes; GET tells how many it has processed.
func shop(t *testing.T, dedup bool) (url string) {
	t.Helper()
	d, settings := app.Dialects()["douyin"], dialect.Set("client_secret", "s3cret-s3cret")
	var processed atomic.Int64
	seen := make(chan map[string]bool, 1)
	seen <- map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = fmt.Fprintf(w, `{"count":%d}`, processed.Load())
			return
		}
		body, _ := io.ReadAll(r.Body)
		got, err := d.Receive(settings, dialect.Inbound{Method: r.Method, Header: r.Header, Body: body, Now: time.Now()})
		switch {
		case err != nil:
			w.WriteHeader(http.StatusUnauthorized)
		case got.Reply != nil:
			_, _ = w.Write(got.Reply.Body)
		default:
			known := <-seen
			if !dedup || !known[got.DedupKey] {
				processed.Add(1)
			}
			known[got.DedupKey] = true
			seen <- known
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// patient are settings with which a busy machine is not late.
var patient = []string{"--set", "client_key=aw1", "--set", "client_secret=s3cret-s3cret", "--set", "deadline=1m"}

func TestSimulateSaysWhetherAReceiverIsRight(t *testing.T) {
	t.Parallel()
	t.Run("a good one passes all", func(t *testing.T) {
		t.Parallel()
		url := shop(t, true)
		code, out, errs := command(t, "", nil, append([]string{"simulate", "douyin", "--to", url, "--habit", "all", "--probe", url, "--quiet"}, patient...)...)
		if code != 0 || !strings.Contains(out, "passed   duplicates") || strings.Contains(out, "error") {
			t.Errorf("code %d\n%s%s", code, out, errs)
		}
	})
	t.Run("one without dedup does not", func(t *testing.T) {
		t.Parallel()
		url, junit := shop(t, false), filepath.Join(t.TempDir(), "report.xml")
		code, out, errs := command(t, "", nil, append([]string{
			"simulate", "douyin", "--to", url, "--habit", "duplicates,pretty", "--probe", url, "--lang", "zh", "--junit", junit,
		}, patient...)...)
		if code != 3 || !strings.Contains(out, "processed_twice: 同一消息被处理了两次：已处理 12 条，应为 4 条") {
			t.Errorf("code %d\n%s%s", code, out, errs)
		}
		var doc struct {
			Suite struct {
				Tests    int `xml:"tests,attr"`
				Failures int `xml:"failures,attr"`
				Cases    []struct {
					Name    string `xml:"name,attr"`
					Failure *struct {
						Type string `xml:"type,attr"`
					} `xml:"failure"`
				} `xml:"testcase"`
			} `xml:"testsuite"`
		}
		text, err := os.ReadFile(junit)
		if err == nil {
			err = xml.Unmarshal(text, &doc)
		}
		if err != nil || doc.Suite.Tests != 5 || doc.Suite.Failures != 1 || len(doc.Suite.Cases) != 5 {
			t.Fatalf("%v: %+v\n%s", err, doc.Suite, text)
		}
		for _, c := range doc.Suite.Cases {
			if failed := c.Failure != nil; failed != (c.Name == "duplicates") || failed && c.Failure.Type != "processed_twice" {
				t.Errorf("case %+v", c)
			}
		}
	})
	t.Run("a report that cannot be written loses nothing", func(t *testing.T) {
		t.Parallel()
		url := shop(t, true)
		code, out, errs := command(t, "", nil, append([]string{
			"simulate", "douyin", "--to", url, "--quiet", "--junit", filepath.Join(t.TempDir(), "none", "report.xml"),
		}, patient...)...)
		if code != 1 || !strings.Contains(out, "2 of 2 checks passed") || !strings.Contains(errs, "--junit") {
			t.Errorf("code %d\n%s%s", code, out, errs)
		}
	})
	t.Run("a finding that is expected does not fail", func(t *testing.T) {
		t.Parallel()
		url := shop(t, false)
		code, out, errs := command(t, "", nil, append([]string{
			"simulate", "douyin", "--to", url, "--habit", "duplicates", "--probe", url, "--expect-finding", "processed_twice", "--quiet",
		}, patient...)...)
		if code != 0 || !strings.Contains(out, "(expected)") {
			t.Errorf("code %d\n%s%s", code, out, errs)
		}
	})
}

func TestSimulateAsksACommand(t *testing.T) {
	t.Parallel()
	for command1, want := range map[string]int{`test "$WAYPOST_MESSAGES" = 4`: 0, "exit 7": 3} {
		url := shop(t, true)
		code, out, errs := command(t, "", nil, append([]string{"simulate", "douyin", "--to", url, "--check-command", command1, "--quiet"}, patient...)...)
		if code != want || want == 3 && !strings.Contains(out, "check_said_no: the check command said no: exit status 7") {
			t.Errorf("%s: code %d\n%s%s", command1, code, out, errs)
		}
	}
}

func TestSimulateAScenario(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, text string) string {
		t.Helper()
		dir := t.TempDir()
		for name, content := range map[string]string{"s.yaml": text, "secret": "s3cret-s3cret\n", "own.json": `{"order_id": 1.50}`, "bad.json": `{`} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return filepath.Join(dir, "s.yaml")
	}
	const whole = "dialect: douyin\nto: %s\nsettings:\n  client_key: aw1\n  client_secret: '@secret'\n  deadline: 1m\n" +
		"events:\n  - life_trade_order_notify.pay_success\n  - {type: own.event, file: own.json}\nhabits: [forged]\n"
	t.Run("is run, its files beside it", func(t *testing.T) {
		t.Parallel()
		code, out, errs := command(t, "", nil, "simulate", "--scenario", write(t, fmt.Sprintf(whole, shop(t, true))))
		if code != 0 || !strings.Contains(out, "own.event") || !strings.Contains(out, "2 sent, 2 acknowledged") || !strings.Contains(out, "passed   forged") {
			t.Errorf("code %d\n%s%s", code, out, errs)
		}
	})
	t.Run("yields to flags", func(t *testing.T) {
		t.Parallel()
		code, out, errs := command(t, "", nil, "simulate", "--quiet", "--scenario", write(t, fmt.Sprintf(whole, "http://127.0.0.1:1/")), "--to", shop(t, true), "--habit", "pretty", "--count", "3")
		if code != 0 || !strings.Contains(out, "3 sent, 3 acknowledged") || strings.Contains(out, "passed   forged") {
			t.Errorf("code %d\n%s%s", code, out, errs)
		}
	})
	t.Run("holds a receiver to what is agreed", func(t *testing.T) {
		t.Parallel()
		code, out, errs := command(t, "", nil, "simulate", "--quiet", "--scenario", write(t, fmt.Sprintf(whole, shop(t, true))+"expect: {p99: 1ns}\n"))
		if code != 3 || !strings.Contains(out, "over_agreed") {
			t.Errorf("code %d\n%s%s", code, out, errs)
		}
	})
	for name, tt := range map[string]struct{ text, want string }{
		"with an unknown key":        {"dialect: douyin\nhabit: [all]\n", `s.yaml: line 2: unknown key "habit"`},
		"of an unknown dialect":      {"dialect: wechat\nto: http://127.0.0.1:1\n", `there is no dialect "wechat"`},
		"of no receiver":             {"dialect: douyin\n", "--to URL is needed"},
		"with a setting that is not": {"dialect: douyin\nto: http://127.0.0.1:1\nsettings: {client_sekret: hush-hush}\n", "client_sekret: is not a setting"},
		"with an event that is not":  {"dialect: douyin\nto: http://127.0.0.1:1\nsettings: {client_secret: hush-hush, client_key: a}\nevents: [nope]\n", "has no example of"},
		"with a file that is not":    {"dialect: douyin\nto: http://127.0.0.1:1\nsettings: {client_secret: hush-hush, client_key: a}\nevents: [{type: a, file: none.json}]\n", "none.json"},
		"with a file that is no JSON": {"dialect: douyin\nto: http://127.0.0.1:1\nsettings: {client_secret: hush-hush, client_key: a}\nevents: [{type: a, file: bad.json}]\n",
			"event a: its payload is not JSON"},
		"with a negative speed": {"dialect: douyin\nto: http://127.0.0.1:1\nspeed: -1\n", "must not be negative"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := command(t, "", nil, "simulate", "--scenario", write(t, tt.text))
			if code != 1 && code != 2 || !strings.Contains(errs, tt.want) || out != "" || strings.Contains(errs, "hush-hush") {
				t.Errorf("code %d, printed %q, said %q, want %q", code, out, errs, tt.want)
			}
		})
	}
}

func TestSimulateRefusesWrongFlags(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"an unknown habit":           {[]string{"douyin", "--to", "http://127.0.0.1:1", "--habit", "forge"}, `there is no habit "forge"; there are challenge, forged`},
		"an unknown language":        {[]string{"douyin", "--to", "http://127.0.0.1:1", "--lang", "de"}, "must be one of en, zh"},
		"an unknown finding":         {[]string{"douyin", "--to", "http://127.0.0.1:1", "--expect-finding", "x"}, `there is no finding "x"`},
		"a scenario that is missing": {[]string{"--scenario", "/nonexistent.yaml"}, "no such file"},
		"neither dialect nor file":   {nil, "takes 1 argument(s): [DIALECT]"},
		"a probe on a private host": {[]string{"douyin", "--to", "http://127.0.0.1:1", "--probe", "http://10.0.0.1/", "--set", "client_secret=abcdefgh", "--set", "client_key=a"},
			"--allow CIDR"},
		"a receiver on a private host": {[]string{"douyin", "--to", "http://10.0.0.1/", "--set", "client_secret=abcdefgh", "--set", "client_key=a"}, "--allow CIDR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := command(t, "", nil, append([]string{"simulate"}, tt.args...)...)
			if code != 1 && code != 2 || !strings.Contains(errs, tt.want) || out != "" {
				t.Errorf("code %d, printed %q, said %q, want %q", code, out, errs, tt.want)
			}
		})
	}
}
