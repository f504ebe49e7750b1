package hook

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"sort"
	"strings"
)

// Settings are the values of a dialect's fields as they are stored: a name and one or more values. Secrets are among
// them, so a Settings prints only its names, in every verb and in every log; the store seals them.
type Settings map[string][]string

// Merge returns s with the values of own laid over it; a name in own replaces the whole list of s.
func (s Settings) Merge(own Settings) Settings {
	out := make(Settings, len(s)+len(own))
	for k, v := range s {
		out[k] = v
	}
	for k, v := range own {
		out[k] = v
	}
	return out
}

// Get returns the first value of a name, or "".
func (s Settings) Get(name string) string {
	if v := s[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Format prints the names of the settings and never a value.
func (s Settings) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.names())) }

// LogValue keeps values out of structured logs.
func (s Settings) LogValue() slog.Value { return slog.StringValue(s.names()) }

func (s Settings) names() string {
	names := make([]string, 0, len(s))
	for k := range s {
		names = append(names, k)
	}
	sort.Strings(names)
	return "<settings " + strings.Join(names, " ") + ">"
}

// UnmarshalJSON reads each value as a string, number, boolean, or list of those; null leaves the name out.
func (s *Settings) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return Errorf(KindInvalid, "settings must be an object of names and values")
	}
	out := make(Settings, len(raw))
	for name, v := range raw {
		values, err := settingValues(v)
		if err != nil {
			return FieldErrorf(name, "%s", err)
		}
		if values != nil {
			out[name] = values
		}
	}
	*s = out
	return nil
}

func settingValues(v json.RawMessage) ([]string, error) {
	text := strings.TrimSpace(string(v))
	switch {
	case text == "null":
		return nil, nil
	case strings.HasPrefix(text, "["):
		var list []json.RawMessage
		if err := json.Unmarshal(v, &list); err != nil {
			return nil, err
		}
		values := []string{}
		for _, e := range list {
			one, err := settingValues(e)
			if err != nil || len(one) != 1 || strings.HasPrefix(strings.TrimSpace(string(e)), "[") {
				return nil, fmt.Errorf("a list may hold strings, numbers and booleans only")
			}
			values = append(values, one[0])
		}
		return values, nil
	case strings.HasPrefix(text, `"`):
		var one string
		if err := json.Unmarshal(v, &one); err != nil {
			return nil, err
		}
		return []string{one}, nil
	case strings.HasPrefix(text, "{"):
		return nil, fmt.Errorf("must be a string, number, boolean or list, not an object")
	default: // a number or a boolean: its own spelling
		return []string{text}, nil
	}
}

// Secret is a text that must never be printed: it shows as <secret> in every verb, log and JSON document.
// Reveal is the one way to the value.
type Secret struct{ value string }

// NewSecret wraps a value.
func NewSecret(v string) Secret { return Secret{v} }

// Reveal returns the value. Call it where the value is used, not before.
func (s Secret) Reveal() string { return s.value }

// Empty says whether there is no value.
func (s Secret) Empty() bool { return s.value == "" }

// Format prints <secret>.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("<secret>")) }

// LogValue keeps the value out of structured logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue("<secret>") }

// MarshalText keeps the value out of JSON documents.
func (s Secret) MarshalText() ([]byte, error) { return []byte("<secret>"), nil }
