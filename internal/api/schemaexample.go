package api

import (
	"context"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// Bounds of an example.
const (
	maxExampleDepth  = 12
	maxExampleValues = 2000
	maxExampleText   = 1000 // characters
)

type generateExampleInput struct {
	Body struct {
		_      struct{}  `json:"-" additionalProperties:"true"`
		Schema schemasIn `json:"schema" doc:"A JSON Schema"`
	}
}

type generatedOut struct {
	Example schemasOut `json:"example" nullable:"false" doc:"What stands in the schema as an example, or else a document of its shape"`
}

func (h *Handler) generateExample(_ context.Context, in *generateExampleInput) (*output[generatedOut], error) {
	doc := json.RawMessage(in.Body.Schema)
	if len(doc) > maxSchemas {
		return nil, invalidRequest(wrong("body.schema", "has %d bytes; at most %d are taken", len(doc), maxSchemas))
	}
	if _, bad := compileSchema(doc); bad != nil {
		return nil, bad.under([]string{"body", "schema"}).err()
	}
	example, err := makeExample(doc, 0)
	return &output[generatedOut]{generatedOut{schemasOut(example)}}, err
}

// exampleOf returns a payload such as messages of a type have: the index-th example of its newest schema, or else a document of
// that shape; {} when the type has no schema. It fails when there is no such event type for the caller.
func (h *Handler) exampleOf(ctx context.Context, name string, index int) (json.RawMessage, error) {
	t, err := h.visibleEventType(ctx, name)
	if err != nil {
		return nil, err
	}
	newest := newestSchema(t.Schemas)
	if newest == nil {
		return json.RawMessage(noContent), nil
	}
	example, err := makeExample(newest, index)
	if err != nil || example[0] != '{' {
		return json.RawMessage(noContent), err // payloads are objects
	}
	return example, nil
}

// makeExample makes an example of a JSON Schema.
func makeExample(schema json.RawMessage, index int) (json.RawMessage, error) {
	root, err := decode(schema)
	if err != nil {
		return nil, err
	}
	m := exampleMaker{root: root, left: maxExampleValues}
	if s, ok := root.(map[string]any); ok {
		if list, ok := s["examples"].([]any); ok && len(list) > 0 {
			return plainJSON(list[min(max(index, 0), len(list)-1)])
		}
	}
	return plainJSON(m.value(root, 0))
}

// exampleMaker makes values of the shape that a schema asks for. It promises the shape only: a regular expression, for one, it
// does not solve.
type exampleMaker struct {
	root any
	left int // values that may still be made
}

func (m *exampleMaker) value(schema any, depth int) any {
	s, ok := schema.(map[string]any)
	if m.left--; !ok || m.left <= 0 || depth > maxExampleDepth {
		return nil
	}
	for _, name := range []string{"const", "example", "default"} {
		if v, ok := s[name]; ok {
			return v
		}
	}
	for _, name := range []string{"examples", "enum"} {
		if list, ok := s[name].([]any); ok && len(list) > 0 {
			return list[0]
		}
	}
	if ref, ok := s["$ref"].(string); ok {
		return m.value(m.follow(ref), depth+1)
	}
	for _, name := range []string{"oneOf", "anyOf"} {
		if list, ok := s[name].([]any); ok && len(list) > 0 {
			return m.merged(append(list[:1:1], without(s, name)), depth)
		}
	}
	if list, ok := s["allOf"].([]any); ok {
		return m.merged(append(slices.Clip(list), without(s, "allOf")), depth)
	}
	return m.ofType(s, depth)
}

// without is a schema that lacks a member.
func without(s map[string]any, name string) map[string]any {
	rest := maps.Clone(s)
	delete(rest, name)
	return rest
}

// merged puts the members of several examples into one; what is no object counts when nothing else is there.
func (m *exampleMaker) merged(schemas []any, depth int) any {
	var all map[string]any
	var other any
	for _, s := range schemas {
		switch v := m.value(s, depth+1).(type) {
		case map[string]any:
			if all == nil {
				all = map[string]any{}
			}
			maps.Copy(all, v)
		case nil:
		default:
			if other == nil {
				other = v
			}
		}
	}
	if all != nil && (len(all) > 0 || other == nil) {
		return all
	}
	return other
}

// follow finds what a reference within the schema names: by pointer only.
func (m *exampleMaker) follow(ref string) any {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	at := m.root
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch v := at.(type) {
		case map[string]any:
			at = v[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			at = v[i]
		default:
			return nil
		}
	}
	return at
}

func (m *exampleMaker) ofType(s map[string]any, depth int) any {
	switch typeIn(s) {
	case "object":
		return m.object(s, depth)
	case "array":
		return m.array(s, depth)
	case "string":
		return exampleText(s)
	case "integer":
		return exampleNumber(s, true)
	case "number":
		return exampleNumber(s, false)
	case "boolean":
		return true
	case "null":
		return nil
	}
	return map[string]any{}
}

// typeIn is the type that a schema asks for, or what its other members speak of; "" = anything.
func typeIn(s map[string]any) string {
	switch t := s["type"].(type) {
	case string:
		return t
	case []any:
		for _, item := range t {
			if name, _ := item.(string); name != "null" {
				return name
			}
		}
		return "null"
	}
	for _, hint := range []struct{ member, means string }{
		{"properties", "object"}, {"required", "object"}, {"items", "array"}, {"prefixItems", "array"}, {"format", "string"},
		{"pattern", "string"}, {"minLength", "string"}, {"minimum", "number"}, {"maximum", "number"},
	} {
		if _, ok := s[hint.member]; ok {
			return hint.means
		}
	}
	return ""
}

func (m *exampleMaker) object(s map[string]any, depth int) any {
	properties, _ := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		// Deep down only what must be there, so that a schema that refers to itself comes to an end.
		if depth < maxExampleDepth/2 || slices.Contains(required, any(name)) {
			out[name] = m.value(properties[name], depth+1)
		}
	}
	for _, name := range required {
		if name, ok := name.(string); ok {
			if _, there := out[name]; !there && m.left > 0 {
				m.left--
				out[name] = "…"
			}
		}
	}
	return out
}

func (m *exampleMaker) array(s map[string]any, depth int) any {
	out := []any{}
	prefix, _ := s["prefixItems"].([]any)
	for _, item := range prefix {
		out = append(out, m.value(item, depth+1))
	}
	items, ok := s["items"]
	if !ok {
		return out
	}
	want := max(1, min(10, wholeNumber(s["minItems"])))
	if depth >= maxExampleDepth/2 {
		want = min(10, wholeNumber(s["minItems"]))
	}
	for len(out) < want && m.left > 0 {
		out = append(out, m.value(items, depth+1))
	}
	return out
}

var exampleFormats = map[string]string{
	"date-time": "2026-01-31T08:00:00Z", "date": "2026-01-31", "time": "08:00:00Z", "duration": "PT1H",
	"email": "user@example.com", "idn-email": "user@example.com", "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
	"uri": "https://example.com/", "url": "https://example.com/", "uri-reference": "/path", "iri": "https://example.com/",
	"uuid": "123e4567-e89b-42d3-a456-426614174000", "json-pointer": "/a", "regex": "^a*$",
}

func exampleText(s map[string]any) string {
	format, _ := s["format"].(string)
	if text, ok := exampleFormats[format]; ok {
		return text
	}
	text := "string"
	if least := min(wholeNumber(s["minLength"]), maxExampleText); len(text) < least {
		text += strings.Repeat("x", least-len(text))
	}
	if _, ok := s["maxLength"]; ok {
		text = text[:min(len(text), wholeNumber(s["maxLength"]))]
	}
	return text
}

func wholeNumber(v any) int {
	n, _ := v.(json.Number)
	i, err := strconv.Atoi(string(n))
	if err != nil {
		return 0
	}
	return max(0, i)
}

// exampleNumber is a number within the bounds, the least that is not negative where there is one.
func exampleNumber(s map[string]any, whole bool) json.Number {
	one, n := big.NewRat(1, 1), big.NewRat(1, 1)
	bound := func(name string) *big.Rat {
		text, _ := s[name].(json.Number)
		r, ok := new(big.Rat).SetString(string(text))
		if !ok {
			return nil
		}
		return r
	}
	if step := bound("multipleOf"); step != nil && step.Sign() > 0 {
		one.Set(step)
		n.Set(step)
	}
	up := func(r *big.Rat, more bool) { // the next multiple of the step from r on
		q := new(big.Rat).Quo(r, one)
		k := new(big.Int).Div(q.Num(), q.Denom())
		n.Mul(new(big.Rat).SetInt(k), one)
		for n.Cmp(r) < 0 || more && n.Cmp(r) == 0 {
			n.Add(n, one)
		}
	}
	if most := bound("maximum"); most != nil && n.Cmp(most) > 0 {
		up(new(big.Rat).Sub(most, one), true)
	}
	if most := bound("exclusiveMaximum"); most != nil && n.Cmp(most) >= 0 {
		up(new(big.Rat).Sub(most, one), false)
		if n.Cmp(most) >= 0 {
			n.Sub(n, one)
		}
	}
	if least := bound("minimum"); least != nil && n.Cmp(least) < 0 {
		up(least, false)
	}
	if least := bound("exclusiveMinimum"); least != nil && n.Cmp(least) <= 0 {
		up(least, true)
	}
	if whole || n.IsInt() {
		return json.Number(new(big.Int).Div(n.Num(), n.Denom()).String())
	}
	return json.Number(strings.TrimRight(n.FloatString(10), "0"))
}
