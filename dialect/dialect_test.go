package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var sample = Dialect{
	Name: "sample",
	Fields: []Field{
		{Name: "secret", Secret: true, Several: true, Receiving: Required, Sending: Required, Help: Text{En: "the secret"}},
		{Name: "mode", Kind: KindChoice, Choices: []string{"a", "b"}},
		{Name: "limit", Kind: KindNumber},
		{Name: "wait", Kind: KindDuration},
		{Name: "on", Kind: KindBool},
		{Name: "names", Kind: KindList},
	},
	Check: func(s Settings, _ Use) error {
		if s.Get("mode") == "b" && s.Get("limit") == "" {
			return Problem{"limit", "is needed with mode b"}
		}
		return nil
	},
}

func TestValidateRefuses(t *testing.T) {
	many := make([]string, MaxLiveSecrets+1)
	for i := range many {
		many[i] = fmt.Sprint("s", i)
	}
	for name, c := range map[string]struct {
		s     Settings
		field string
	}{
		"a required setting that is missing": {Settings{}, "secret"},
		"an empty secret":                    {Set("secret", ""), "secret"},
		"a secret with no value":             {Settings{"secret": {}}, "secret"},
		"too many live secrets":              {Settings{"secret": many}, "secret"},
		"an unknown name":                    {Set("secret", "x", "secrt", "y"), "secrt"},
		"a choice that is none":              {Set("secret", "x", "mode", "c"), "mode"},
		"a number that is none":              {Set("secret", "x", "limit", "1.5"), "limit"},
		"a length of time that is none":      {Set("secret", "x", "wait", "5 minutes"), "wait"},
		"a negative length of time":          {Set("secret", "x", "wait", "-5s"), "wait"},
		"a boolean that is none":             {Set("secret", "x", "on", "yes"), "on"},
		"two values where one belongs":       {Settings{"secret": {"x"}, "mode": {"a", "b"}}, "mode"},
		"what Check finds":                   {Set("secret", "x", "mode", "b"), "limit"},
	} {
		problems := sample.Validate(c.s, Receiving, false)
		if len(problems) != 1 || problems[0].Field != c.field {
			t.Errorf("%s: %v, want one problem with %s", name, problems, c.field)
		}
	}
}

func TestValidateAccepts(t *testing.T) {
	for name, s := range map[string]Settings{
		"a schedule as a list": Set("secret", "x", "wait", "5s", "wait", "1m"),
		"two secrets":          Set("secret", "x", "secret", "y"),
		"all of them":          Set("secret", "x", "mode", "b", "limit", "5", "wait", "5s,1m,7d", "on", "true", "names", "a", "names", "b"),
	} {
		if problems := sample.Validate(s, Sending, false); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
	if problems := sample.Validate(Set("mode", "a"), Receiving, true); len(problems) > 0 {
		t.Errorf("a profile that leaves the secret to its sources: %v", problems)
	}
}

func TestProblemsHoldNoSecret(t *testing.T) {
	const value = "hunter2-hunter2"
	for _, p := range sample.Validate(Set("secret", value, "mode", value, "limit", value, "wait", value, "on", value), Receiving, false) {
		if strings.Contains(p.Error(), value) {
			t.Errorf("%v", p)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v %s", Set("secret", value), Set("secret", value), Set("secret", value), Set("secret", value)); strings.Contains(s, value) {
		t.Error(s)
	}
}

func TestSettingsReadTheirForms(t *testing.T) {
	s := Set("d", "7d", "ds", "500ms, 5m", "ds", "1h", "n", "12", "b", "true", "bad", "x")
	if got := s.Duration("d", 0); got != 7*24*time.Hour {
		t.Errorf("7d = %v", got)
	}
	if got := s.Durations("ds"); fmt.Sprint(got) != "[500ms 5m0s 1h0m0s]" {
		t.Errorf("list = %v", got)
	}
	if s.Int("n", 1) != 12 || s.Int("bad", 1) != 1 || !s.Bool("b", false) || s.Bool("bad", true) != true || s.Or("none", "z") != "z" {
		t.Error("a value or a default was misread")
	}
	if s.Durations("none") != nil || s.Durations("bad") != nil {
		t.Error("no list must be nil")
	}
}

func TestWrapRaw(t *testing.T) {
	for in, want := range map[string]string{
		`{"a": 1}`:            `{"a": 1}`,
		"\n {\"a\":1}":        "\n {\"a\":1}",
		`[1,2]`:               `{"raw":[1,2]}`,
		`9007199254740993`:    `{"raw":9007199254740993}`,
		`"text"`:              `{"raw":"text"}`,
		``:                    `{"raw":""}`,
		`not <json> & "q"`:    `{"raw":"not <json> & \"q\""}`,
		`{"a":1} {"b":2}`:     `{"raw":"{\"a\":1} {\"b\":2}"}`,
		"\xff\xfe":            `{"raw":"//4=","encoding":"base64"}`,
		"{\"a\":\"\xff\"}":    `{"raw":"eyJhIjoi/yJ9","encoding":"base64"}`,
		"中文":                  `{"raw":"中文"}`,
		"{\"a\":\"\\ud800\"}": "{\"a\":\"\\ud800\"}",
	} {
		got := WrapRaw([]byte(in))
		if string(got) != want {
			t.Errorf("%q became %s, want %s", in, got, want)
		}
		if !json.Valid(got) {
			t.Errorf("%q became something that is not JSON", in)
		}
	}
}

func TestDeriveIsStableAndSeparate(t *testing.T) {
	seed := [32]byte{1}
	a := Derive(seed, "nonce", 16)
	if !bytes.Equal(a, Derive(seed, "nonce", 16)) {
		t.Error("the same seed and purpose gave another value")
	}
	if bytes.Equal(a, Derive(seed, "key", 16)) || bytes.Equal(a, Derive([32]byte{2}, "nonce", 16)) {
		t.Error("another purpose or seed gave the same value")
	}
}

func TestRefusalsKnowWhatThePlatformIsTold(t *testing.T) {
	for reason, want := range map[Reason]int{
		ReasonSignature: 401, ReasonReplay: 401, ReasonMalformed: 400, ReasonNotEnvelope: 400, ReasonSettings: 503,
	} {
		var err error = Refuse(reason, "body", "x")
		var e *Error
		if !errors.As(err, &e) || e.Result().DefaultStatus() != want {
			t.Errorf("%s: status %d, want %d", reason, e.Result().DefaultStatus(), want)
		}
	}
}
