package hook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretsDoNotPrint(t *testing.T) {
	const value = "hunter2-hunter2"
	settings := Settings{"secret": {value}}
	secret := NewSecret(value)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "settings", settings, "secret", secret)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "settings", settings, "secret", secret)
	shown := []string{log.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, settings), fmt.Sprintf(verb, secret),
			fmt.Sprintf(verb, struct{ S Settings }{settings}), fmt.Sprintf(verb, struct{ S Secret }{secret}))
	}
	b, _ := json.Marshal(secret)
	shown = append(shown, string(b))
	for _, s := range shown {
		if strings.Contains(s, value) || strings.Contains(s, fmt.Sprintf("%x", value)) {
			t.Errorf("printed: %s", s)
		}
	}
	if secret.Reveal() != value {
		t.Error("Reveal lost the value")
	}
}

func TestSettingsFromJSON(t *testing.T) {
	var s Settings
	if err := json.Unmarshal([]byte(`{"a":"x","b":["y","z"],"n":1500,"big":9007199254740993,"yes":true,"none":null,"e":[]}`), &s); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{"a": {"x"}, "b": {"y", "z"}, "n": {"1500"}, "big": {"9007199254740993"}, "yes": {"true"}, "e": {}} {
		if strings.Join(s[name], "|") != strings.Join(want, "|") {
			t.Errorf("%s = %q, want %q", name, s[name], want)
		}
	}
	if _, ok := s["none"]; ok {
		t.Error("null set a value")
	}
	for _, bad := range []string{`[]`, `"x"`, `{"a":{"b":1}}`, `{"a":[["x"]]}`, `{"a":[null]}`} {
		if err := json.Unmarshal([]byte(bad), &s); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestMergeLaysOwnOverShared(t *testing.T) {
	shared := Settings{"key": {"platform"}, "unit": {"ms"}}
	got := shared.Merge(Settings{"unit": {"s"}, "secret": {"x"}})
	if got.Get("key") != "platform" || got.Get("unit") != "s" || got.Get("secret") != "x" {
		t.Errorf("%v %v %v", got["key"], got["unit"], got["secret"])
	}
	if shared.Get("unit") != "ms" || len(shared) != 2 {
		t.Error("Merge changed the shared settings")
	}
}
