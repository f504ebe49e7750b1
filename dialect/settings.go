package dialect

import (
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Settings are the values of a dialect's fields: a name and one or more values. A Settings prints only its names.
type Settings map[string][]string

// Set is a Settings literal of single values: name, value, name, value …
func Set(pairs ...string) Settings {
	s := Settings{}
	for i := 0; i+1 < len(pairs); i += 2 {
		s[pairs[i]] = append(s[pairs[i]], pairs[i+1])
	}
	return s
}

// Get returns the first value of a name, or "".
func (s Settings) Get(name string) string {
	if v := s[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Or returns the first value of a name, or a default when it is not set.
func (s Settings) Or(name, def string) string {
	if v := s.Get(name); v != "" {
		return v
	}
	return def
}

// All returns every non-empty value of a name.
func (s Settings) All(name string) []string {
	return slices.DeleteFunc(slices.Clone(s[name]), func(v string) bool { return v == "" })
}

// Bool returns a boolean setting, or its default when it is not set or not a boolean.
func (s Settings) Bool(name string, def bool) bool {
	// The empty text is looked at first here and below: an error would be made for each setting that is left at its default.
	v := s.Get(name)
	if v == "" {
		return def
	}
	if b, err := strconv.ParseBool(v); err == nil {
		return b
	}
	return def
}

// Int returns a whole number, or its default.
func (s Settings) Int(name string, def int) int {
	v := s.Get(name)
	if v == "" {
		return def
	}
	if n, err := strconv.Atoi(v); err == nil {
		return n
	}
	return def
}

// Duration returns a length of time such as "5m", or its default.
func (s Settings) Duration(name string, def time.Duration) time.Duration {
	v := s.Get(name)
	if v == "" {
		return def
	}
	if d, err := ParseDuration(v); err == nil {
		return d
	}
	return def
}

// Durations returns a list of lengths of time, given as several values or as one with commas; nil when not set.
func (s Settings) Durations(name string) []time.Duration {
	var out []time.Duration
	for _, v := range s.All(name) {
		for part := range strings.SplitSeq(v, ",") {
			d, err := ParseDuration(strings.TrimSpace(part))
			if err != nil {
				return nil
			}
			out = append(out, d)
		}
	}
	return out
}

// ParseDuration is time.ParseDuration with days: "7d".
func ParseDuration(v string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(v, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		return time.Duration(n * 24 * float64(time.Hour)), err
	}
	return time.ParseDuration(v)
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

// FieldKind is the form of a setting's value.
type FieldKind string

// The forms.
const (
	KindText     FieldKind = "text"
	KindKey      FieldKind = "key"      // a key or certificate: PEM or one line of base64
	KindNumber   FieldKind = "number"   // a whole number
	KindDuration FieldKind = "duration" // 500ms, 5m, 7d; a schedule is several of them, as a list or with commas
	KindBool     FieldKind = "bool"
	KindChoice   FieldKind = "choice" // one of Choices
	KindList     FieldKind = "list"   // several values
)

// MaxLiveSecrets is how many values a field with Several may hold: the present key and ten that are being rotated away.
const MaxLiveSecrets = 11

// Field describes one setting.
type Field struct {
	Name    string
	Kind    FieldKind
	Secret  bool // redacted in every answer, sealed at rest
	Several bool // more than one value may be live at once; the first signs, all verify
	Shared  bool // belongs to the platform: usually set in a profile
	// Receiving and Sending say where it is needed.
	Receiving Need
	Sending   Need
	Default   string // what not setting it means, as text
	Choices   []string
	Help      Text
}

// Need says whether a field applies in a direction.
type Need int

// The needs.
const (
	Unused Need = iota
	Optional
	Required
)

// Problem is what is wrong with one setting. Its text never holds a value of a secret.
type Problem struct {
	Field string
	Text  string
}

// Error returns field and text.
func (p Problem) Error() string { return p.Field + ": " + p.Text }

// Validate checks settings against a dialect's fields and its Check, for one direction. Unknown names are problems too.
// partial allows required fields to be missing: a profile need not hold them all.
func (d *Dialect) Validate(s Settings, use Use, partial bool) []Problem {
	var out []Problem
	bad := func(field, format string, args ...any) {
		out = append(out, Problem{field, fmt.Sprintf(format, args...)})
	}
	known := map[string]Field{}
	for _, f := range d.Fields {
		known[f.Name] = f
		need := f.Receiving
		if use == Sending {
			need = f.Sending
		}
		values, set := s[f.Name]
		if !set {
			if need == Required && !partial {
				bad(f.Name, "is required (%s)", f.Help.En)
			}
			continue
		}
		for _, text := range f.problems(values) {
			bad(f.Name, "%s", text)
		}
	}
	names := make([]string, 0, len(s))
	for name := range s {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if _, ok := known[name]; !ok {
			bad(name, "is not a setting of the dialect %s; it has %s", d.Name, strings.Join(d.fieldNames(), ", "))
		}
	}
	if len(out) == 0 && d.Check != nil && !partial {
		if err := d.Check(s, use); err != nil {
			field := ""
			if p, ok := err.(Problem); ok {
				field, err = p.Field, fmt.Errorf("%s", p.Text)
			}
			bad(field, "%v", err)
		}
	}
	return out
}

func (d *Dialect) fieldNames() []string {
	names := make([]string, 0, len(d.Fields))
	for _, f := range d.Fields {
		names = append(names, f.Name)
	}
	return names
}

func (f Field) problems(values []string) []string {
	var out []string
	limit := 1
	switch {
	case f.Several:
		limit = MaxLiveSecrets
	case f.Kind == KindList:
		limit = 1000
	case f.Kind == KindDuration:
		limit = 100
	}
	if len(values) > limit {
		out = append(out, fmt.Sprintf("holds %d values; at most %d are allowed", len(values), limit))
	}
	if len(values) == 0 && f.Secret {
		out = append(out, "must not be empty")
	}
	for _, v := range values {
		if text := f.problem(v); text != "" {
			out = append(out, text)
		}
	}
	return out
}

func (f Field) problem(v string) string {
	if v == "" {
		if f.Secret || f.Kind == KindKey {
			return "must not be empty"
		}
		return ""
	}
	switch f.Kind {
	case KindNumber:
		if _, err := strconv.Atoi(v); err != nil {
			return "must be a whole number"
		}
	case KindDuration:
		for part := range strings.SplitSeq(v, ",") {
			if d, err := ParseDuration(strings.TrimSpace(part)); err != nil || d < 0 {
				return "must be a length of time such as 500ms, 5m or 7d"
			}
		}
	case KindBool:
		if _, err := strconv.ParseBool(v); err != nil {
			return "must be true or false"
		}
	case KindChoice:
		if !slices.Contains(f.Choices, v) {
			return "must be one of " + strings.Join(f.Choices, ", ")
		}
	}
	return ""
}
