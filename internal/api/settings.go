package api

import (
	"encoding/json"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

// redacted stands for a secret in every answer. In a request it means "the one that is there".
const redacted = "<secret>"

const maxSettings = 200

// settingsIn are settings as a request gives them: a value or a list each; null takes the name out.
type settingsIn struct {
	values hook.Settings
	gone   []string // names given as null
}

// UnmarshalJSON reads them.
func (s *settingsIn) UnmarshalJSON(b []byte) error {
	if err := s.values.UnmarshalJSON(b); err != nil {
		return fmt.Errorf("settings.%w", err) // huma hands on the text, and no place
	}
	var names map[string]json.RawMessage
	if err := json.Unmarshal(b, &names); err != nil {
		return err
	}
	if len(names) > maxSettings {
		return fmt.Errorf("settings: at most %d are allowed", maxSettings)
	}
	for name := range names {
		if _, ok := s.values[name]; !ok {
			s.gone = append(s.gone, name)
		}
	}
	return nil
}

// Schema says that names are the dialect's.
func (settingsIn) Schema(huma.Registry) *huma.Schema {
	text := &huma.Schema{Type: huma.TypeString}
	value := &huma.Schema{AnyOf: []*huma.Schema{
		text, {Type: huma.TypeNumber}, {Type: huma.TypeBoolean}, {Type: huma.TypeArray, Items: &huma.Schema{}}, {Type: "null"},
	}}
	return &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: value,
		Description: "The dialect's settings by name; GET /api/v1/dialect/{name} lists them. A secret that reads <secret> keeps its value.",
	}
}

// settingsOut are settings as answers show them: secrets as <secret>, single values as a text, others as a list.
type settingsOut map[string]any

// Schema says the same as that of settingsIn, without null.
func (settingsOut) Schema(huma.Registry) *huma.Schema {
	text := &huma.Schema{Type: huma.TypeString}
	return &huma.Schema{
		Type: huma.TypeObject,
		AdditionalProperties: &huma.Schema{AnyOf: []*huma.Schema{
			text, {Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}},
		}},
		Description: "The dialect's settings by name; secrets read <secret>",
	}
}

// field finds the description of a setting. A name that the dialect does not know is treated as a secret.
func field(d *dialect.Dialect, name string) dialect.Field {
	if d != nil {
		for _, f := range d.Fields {
			if f.Name == name {
				return f
			}
		}
	}
	return dialect.Field{Name: name, Secret: true, Several: true}
}

func (h *Handler) showSettings(dialectName string, s hook.Settings) settingsOut {
	d := h.Dialects[dialectName]
	out := make(settingsOut, len(s))
	for name, values := range s {
		f := field(d, name)
		shown := make([]string, len(values))
		for i, v := range values {
			if f.Secret {
				v = redacted
			}
			shown[i] = v
		}
		if len(shown) == 1 && f.Kind != dialect.KindList {
			out[name] = shown[0]
		} else {
			out[name] = shown
		}
	}
	return out
}

// change lays given settings over those that are there: all of them replaced, or with merge only the names given. The
// first <secret> of a name keeps its first value, the second the second, wherever they stand: so a new secret can be put
// in front of the present one without knowing it.
func (h *Handler) change(p *problems, dialectName string, old hook.Settings, in settingsIn, merge bool) hook.Settings {
	d := h.Dialects[dialectName]
	out := hook.Settings{}
	if merge {
		out = out.Merge(old)
	}
	for _, name := range in.gone {
		delete(out, name)
	}
	for name, values := range in.values {
		secret, kept := field(d, name).Secret, 0
		list := make([]string, 0, len(values))
		for _, v := range values {
			if v == redacted && secret {
				if kept >= len(old[name]) {
					p.add("body.settings."+name, "reads <secret>, but there is no such value to keep: give the value itself")
					continue
				}
				v = old[name][kept]
				kept++
			}
			list = append(list, v)
		}
		out[name] = list
	}
	return out
}

// checkSettings looks at merged settings as the dialect demands. as says where a problem with a setting is shown,
// "" = at settings.<name>.
func (h *Handler) checkSettings(p *problems, d *dialect.Dialect, merged hook.Settings, use dialect.Use, partial bool, as map[string]string) {
	for _, bad := range d.Validate(dialect.Settings(merged), use, partial) {
		loc := "body.settings"
		if bad.Field != "" {
			loc += "." + bad.Field
		}
		if other, ok := as[bad.Field]; ok {
			loc = other
		}
		p.add(loc, "%s", bad.Text)
	}
}

// profile finds a profile that a request names, and the dialect that follows: the profile's, or the one named beside it.
func (h *Handler) checkDialect(p *problems, name, profileDialect string) (*dialect.Dialect, string) {
	if profileDialect != "" {
		if name != "" && name != profileDialect {
			p.add("body.dialect", "is %s, but the profile is of the dialect %s: leave dialect out", clip(name), profileDialect)
			return nil, name
		}
		name = profileDialect
	}
	d, ok := h.Dialects[name]
	if !ok {
		p.add("body.dialect", "%q is not a dialect of this server; GET /api/v1/dialect lists them", clip(name))
		return nil, name
	}
	return d, name
}

func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%.*s…", most, s)
}
