package simulate_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/simulate"
)

func TestScenariosAreRefusedByLine(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":               {"", "the scenario is empty"},
		"a list":                {"- dialect: alipay", "line 1: the scenario must hold names and values"},
		"two documents":         {"dialect: alipay\n---\ndialect: douyin", "more than one document"},
		"no dialect":            {"to: http://x\n", "line 1: dialect is missing"},
		"an unknown key":        {"dialect: alipay\ndeadlin: 3s\n", `line 2: unknown key "deadlin"; known here: allow, check_command, count`},
		"an unknown key inside": {"dialect: alipay\nexpect:\n  p99: 1s\n  p50: 1s\n", `line 4: unknown key "p50"; known here: findings, p99`},
		"an unknown key of an event": {"dialect: alipay\nevents:\n  - a\n  - type: b\n    body: x\n",
			`line 5: unknown key "body"; known here: file, payload, platform, type`},
		"a key twice":              {"dialect: alipay\ncount: 1\ncount: 2\n", "line 3"},
		"a count that is a word":   {"dialect: alipay\ncount: many\n", "line 2: this value has the wrong form"},
		"a negative rate":          {"dialect: alipay\nrate: -1\n", "must not be negative"},
		"an unknown habit":         {"dialect: alipay\nhabits:\n  - replays\n", `line 2: there is no habit "replays"`},
		"an unknown finding":       {"dialect: alipay\nexpect: {findings: [slowly]}\n", `line 2: there is no finding "slowly"`},
		"an unknown language":      {"dialect: alipay\n\nlang: fr\n", "line 3: the language must be one of en, zh"},
		"a p99 without a unit":     {"dialect: alipay\nexpect:\n  p99: 200\n", "line 3: must be a length of time"},
		"an event without a type":  {"dialect: alipay\nevents:\n  - file: x.json\n", "line 3: an event needs a type"},
		"an event with two bodies": {"dialect: alipay\nevents:\n  - {type: a, file: x, payload: y}\n", "line 3: an event has a file or a payload"},
		"a setting that is a map":  {"dialect: alipay\nsettings:\n  app_id: {hush: hush-hush}\n", "line 3: a setting is a value or a list"},
		"a setting of lists":       {"dialect: alipay\nsettings:\n  app_id:\n    - [hush-hush]\n", "line 4: a setting is a value or a list"},
		"settings that are text":   {"dialect: alipay\nsettings: hush-hush\n", "line 2: this value has the wrong form"},
		"an alias":                 {"dialect: &a alipay\nto: *a\n", "line 2: anchors and aliases are not allowed"},
		"what is no YAML":          {"dialect: [alipay\n", "line"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := simulate.ReadScenario([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hush-hush") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestScenarioIsRead(t *testing.T) {
	t.Parallel()
	s, err := simulate.ReadScenario([]byte(`
dialect: douyin
to: http://localhost:9000/hook
settings:
  client_secret: [env:SECRET, "@next.key"]
  client_key: aw1
events:
  - life_trade_order_notify.pay_success
  - {type: own.event, payload: '{"a":1}', platform: {Msg-Id: m1}}
habits: [forged, old]
speed: 1000
expect:
  findings: [https]
  p99: 250ms
`))
	want := simulate.Scenario{
		Dialect: "douyin", To: "http://localhost:9000/hook", Speed: 1000, Habits: []string{"forged", "old"},
		Settings: map[string]simulate.Values{"client_secret": {"env:SECRET", "@next.key"}, "client_key": {"aw1"}},
		Events: []simulate.ScenarioEvent{
			{Type: "life_trade_order_notify.pay_success"},
			{Type: "own.event", Payload: `{"a":1}`, Platform: map[string]string{"Msg-Id": "m1"}},
		},
		Expect: simulate.Expect{Findings: []string{"https"}, P99: simulate.Span(250 * time.Millisecond)},
	}
	if err != nil || !reflect.DeepEqual(s, want) {
		t.Errorf("%v\n%+v, want\n%+v", err, s, want)
	}
}

// TestThePageNamesEverything holds docs/simulate.md to the code: each habit, each finding, each key of a scenario.
func TestThePageNamesEverything(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "simulate.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := append(simulate.HabitNames(), simulate.Codes()...)
	for _, of := range []reflect.Type{reflect.TypeFor[simulate.Scenario](), reflect.TypeFor[simulate.Expect](), reflect.TypeFor[simulate.ScenarioEvent]()} {
		for f := range of.Fields() {
			names = append(names, f.Tag.Get("yaml"))
		}
	}
	for _, name := range names {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/simulate.md does not name `%s`", name)
		}
	}
	for block := range strings.SplitSeq(string(page), "```yaml\n") {
		if text, _, ok := strings.Cut(block, "\n```"); ok && strings.Contains(text, "dialect:") {
			if _, err := simulate.ReadScenario([]byte(text)); err != nil {
				t.Errorf("the page's scenario: %v", err)
			}
		}
	}
}
