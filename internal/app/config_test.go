package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var testOptions = []string{"listen", "admin", "trusted-proxy", "max-body"}

func testEnv(name string) (string, bool) {
	v, ok := map[string]string{"PANDA": "s3cret-panda", "RATE": "12"}[name]
	return v, ok
}

func TestConfigRefusals(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"an unknown key at the top":      {"listen: :1\nlissten: :2\n", `line 2: unknown key "lissten"`},
		"an unknown key in a source":     {"applications:\n- uid: a\n  sources:\n  - uid: s\n    dor: x\n", `line 5: unknown key "dor"; known here: allow_from`},
		"an unknown key in a profile":    {"profiles:\n- uid: a\n  dialekt: x\n", `line 3: unknown key "dialekt"`},
		"a key set twice":                {"listen: :1\nlisten: :2\n", "twice"},
		"a setting set twice":            {"profiles:\n- uid: a\n  settings:\n    k: 1\n    k: 2\n", "twice"},
		"a declared key twice":           {"profiles:\n- uid: a\n  uid: b\n", "twice"},
		"an environment that lacks it":   {"listen: :1\nadmin: ${NOPE}\n", "line 2: the environment has no NOPE"},
		"a length of time that is none":  {"applications:\n- uid: a\n  endpoints:\n  - uid: e\n    timeout: soon\n", `line 5: "soon" is not a length of time`},
		"a list where a word belongs":    {"applications:\n- uid: [a]\n", "line 2"},
		"a setting that is a mapping":    {"profiles:\n- uid: a\n  settings: {k: {a: b}}\n", "line 3: k must be a value or a list of values"},
		"settings that are a list":       {"profiles:\n- uid: a\n  settings: [x]\n", "line 3: settings must be names and values"},
		"broken YAML":                    {"listen: [\n", "line"},
		"two documents":                  {"listen: :1\n---\nlisten: :2\n", "more than one document"},
		"an alias":                       {"listen: &a x\nadmin: *a\n", "aliases"},
		"a list instead of a mapping":    {"- a\n", "line 1"},
		"a number that is a secret text": {"applications:\n- uid: a\n  throttle_rate: ${PANDA}\n", "line 3"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseFile([]byte(c.text), testOptions, testEnv)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error shows a value of the environment or has several lines: %q", err)
			}
		})
	}
}

func TestConfigFileIsRead(t *testing.T) {
	text := `
listen: :8070
trusted_proxy: [10.0.0.1, 10.1.0.0/16]
max_body: 2048
profiles:
- uid: panda
  dialect: pandapon
  settings:
    access_secret: ["${PANDA}", old$$secret]
    retry_spacing: 30m
applications:
- uid: erp
  throttle_rate: ${RATE}
  allow_cidrs: [10.0.0.0/8]
  sources:
  - uid: in
    profile: panda
    door: erp-panda
  endpoints:
  - uid: out
    url: http://10.0.0.5/hook
    retry_schedule: [5s, 7d]
    timeout: 1500ms
    settings: {secret: 12345}
  - uid: none
    url: http://10.0.0.5/none
    retry_schedule: []
`
	f, err := parseFile([]byte(text), testOptions, testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if f.Server["listen"] != ":8070" || f.Server["trusted-proxy"] != "10.0.0.1,10.1.0.0/16" || f.Server["max-body"] != "2048" {
		t.Errorf("server options: %v", f.Server)
	}
	p := f.Declared.Profiles[0]
	if strings.Join(p.Settings["access_secret"], "|") != "s3cret-panda|old$secret" || p.Settings["retry_spacing"][0] != "30m" {
		t.Errorf("profile settings: %d secrets", len(p.Settings["access_secret"]))
	}
	a := f.Declared.Applications[0]
	if a.ThrottleRate != 12 || a.AllowCIDRs[0] != "10.0.0.0/8" || a.Sources[0].Door != "erp-panda" {
		t.Errorf("application: %+v", a)
	}
	e := a.Endpoints[0]
	if time.Duration((*e.RetrySchedule)[1]) != 7*24*time.Hour || time.Duration(e.Timeout) != 1500*time.Millisecond || e.Settings["secret"][0] != "12345" {
		t.Errorf("endpoint: %+v", e)
	}
	if none := a.Endpoints[1].RetrySchedule; none == nil || len(*none) != 0 {
		t.Error("an empty schedule must be told from none")
	}
}

func TestConfigFileMissing(t *testing.T) {
	_, err := ReadFile(filepath.Join(t.TempDir(), "x.yaml"), nil, os.LookupEnv)
	if err == nil || !strings.Contains(err.Error(), "there is no configuration file") {
		t.Error(err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("profiles:\n- uid: a\n  settings: {k: [1, ${PANDA}]}\n")
	f.Add("applications:\n- uid: a\n  endpoints:\n  - timeout: 5s\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := parseFile([]byte(text), testOptions, testEnv)
		if err != nil && strings.Contains(err.Error(), "s3cret-panda") {
			t.Errorf("the error shows a value of the environment: %v", err)
		}
	})
}
