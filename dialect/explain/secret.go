package explain

import (
	"encoding/base64"
	"encoding/hex"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/waypost/waypost/dialect"
)

const maxSecret = 64 << 10 // bytes of a setting that is looked into

// secretRepair undoes what happens to a secret or key on its way into the settings.
func (r *search) secretRepair(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		for _, field := range r.x.Keys {
			try := func(code, value string) bool {
				if value == "" || slices.Contains(c.Settings[field], value) {
					return true
				}
				out := dialect.Case{Settings: c.Settings.With(field, value), Inbound: c.Inbound}
				return yield(dialect.Candidate{Case: out, Codes: []string{code}, Where: "setting " + field})
			}
			for _, given := range c.Settings.All(field) {
				for _, step := range r.secretTexts(given) {
					if !try(step.code, step.text) {
						return
					}
				}
			}
			for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
				for _, value := range c.Settings.All(name) {
					if name != field && len(value) >= 8 && !try("secret_field", value) {
						return
					}
				}
			}
		}
	}
}

// secretTexts are what a secret may be rightly, the likeliest first.
func (r *search) secretTexts(given string) []spelled {
	if len(given) > maxSecret {
		return nil
	}
	seen := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, given)
	out := []spelled{
		{"secret_blanks", strings.TrimSpace(given)},
		{"secret_blanks", strings.Join(strings.Fields(given), "")},
		{"secret_invisible", seen},
		{"secret_invisible", strings.TrimSpace(seen)},
		{"secret_quotes", strings.Trim(given, `"'`+"`“”‘’"+blanks)},
		{"secret_escape", strings.NewReplacer(`\r`, "", `\n`, "").Replace(given)},
	}
	if name, value, ok := strings.Cut(given, "="); ok && value != "" && strings.Trim(value, "=") != "" && len(name) <= 64 {
		out = append(out, spelled{"secret_named", strings.TrimSpace(value)})
	}
	if name, value, ok := strings.Cut(given, ":"); ok && len(name) <= 64 {
		out = append(out, spelled{"secret_named", strings.TrimSpace(value)})
	}
	for part := range strings.FieldsFuncSeq(given, func(r rune) bool { return unicode.IsSpace(r) || r == ',' || r == ';' || r == '，' }) {
		out = append(out, spelled{"secret_several", part})
	}
	if text, err := url.QueryUnescape(given); err == nil {
		out = append(out, spelled{"secret_escape", text})
	}
	const prefix = "whsec_"
	for _, p := range []string{prefix, "sk_", "secret_"} {
		out = append(out, spelled{"secret_prefix", strings.TrimPrefix(strings.TrimSpace(given), p)})
	}
	prefixed := r.x.MAC != nil && r.x.MAC.Key != nil // secrets that stand for other bytes, behind a prefix
	if prefixed {
		out = append(out, spelled{"secret_prefix", prefix + given})
	}
	if r.deep {
		return out
	}
	if prefixed {
		out = append(out, spelled{"secret_prefix", prefix + base64.StdEncoding.EncodeToString([]byte(strings.TrimPrefix(given, prefix)))})
	}
	for _, b := range decodings(strings.TrimPrefix(given, prefix)) {
		out = append(out, spelled{"secret_encoded", string(b)})
		if prefixed {
			out = append(out, spelled{"secret_encoded", prefix + base64.StdEncoding.EncodeToString(b)})
		}
	}
	return append(out,
		spelled{"secret_line_end", given + "\n"},
		spelled{"secret_line_end", given + "\r\n"},
		spelled{"secret_decoded", hex.EncodeToString([]byte(given))},
		spelled{"secret_decoded", strings.ToUpper(hex.EncodeToString([]byte(given)))},
		spelled{"secret_decoded", base64.StdEncoding.EncodeToString([]byte(given))},
		spelled{"secret_case", strings.ToLower(given)},
		spelled{"secret_case", strings.ToUpper(given)})
}

// otherRepair puts the keys of other sources in the place of the given ones.
func (r *search) otherRepair(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		for _, other := range r.o.Others {
			out := c
			for _, field := range r.x.Keys {
				if values := other.Settings.All(field); len(values) > 0 {
					out.Settings = out.Settings.With(field, values...)
				}
			}
			if !yield(dialect.Candidate{Case: out, Codes: []string{"secret_other"}, Where: other.Name}) {
				return
			}
		}
	}
}

// choiceRepair tries the other choices of the settings that only a real request can tell.
func (r *search) choiceRepair(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		for _, s := range profiles(r.d, c.Settings) {
			where := "setting " + strings.Join(changed(r.x.Profile, c.Settings, s), ", ")
			out := dialect.Case{Settings: s, Inbound: c.Inbound}
			if !yield(dialect.Candidate{Case: out, Codes: []string{"setting_choice"}, Where: where}) {
				return
			}
		}
	}
}

// profiles are settings with every combination of the choices of the dialect's profile, those with the fewest changes
// from the given ones first.
func profiles(d *dialect.Dialect, s dialect.Settings) []dialect.Settings {
	if d.Explain == nil {
		return nil
	}
	out := []dialect.Settings{s}
	for _, name := range d.Explain.Profile {
		i := slices.IndexFunc(d.Fields, func(f dialect.Field) bool { return f.Name == name })
		if i < 0 {
			continue
		}
		f := d.Fields[i]
		for _, before := range slices.Clone(out) {
			for _, choice := range f.Choices {
				if choice != before.Or(name, f.Default) {
					out = append(out, before.With(name, choice))
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b dialect.Settings) int {
		return len(changed(d.Explain.Profile, s, a)) - len(changed(d.Explain.Profile, s, b))
	})
	return out[1:]
}

func changed(names []string, a, b dialect.Settings) (out []string) {
	for _, name := range names {
		if a.Get(name) != b.Get(name) {
			out = append(out, name)
		}
	}
	return out
}

// Probed is what Probe found: the choices to configure.
type Probed struct {
	Settings []dialect.Settings `json:"-"` // every combination that verifies, the fewest changes first
	// Choices are the profile's settings of the first one, name and value, what is default included.
	Choices map[string]string `json:"choices,omitempty"`
	Tried   int               `json:"tried"`
}

// Probe takes one real request and the key, and finds which choices of the profile verify it. Several combinations can
// verify one request, such as an algorithm that is named and the same one taken from the key: Settings then has them all.
func Probe(d *dialect.Dialect, s dialect.Settings, in dialect.Inbound) Probed {
	var out Probed
	r := newSearch(d, s, Limits{Body: len(in.Body) + 1})
	for _, p := range append([]dialect.Settings{s}, profiles(d, s)...) {
		if r.spent {
			break
		}
		if r.try(dialect.Case{Settings: p, Inbound: in}).matched {
			out.Settings = append(out.Settings, p)
		}
	}
	out.Tried = r.tried
	if len(out.Settings) == 0 {
		return out
	}
	out.Choices = map[string]string{}
	for _, f := range d.Fields {
		if slices.Contains(r.x.Profile, f.Name) {
			out.Choices[f.Name] = out.Settings[0].Or(f.Name, f.Default)
		}
	}
	return out
}
