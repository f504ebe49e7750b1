package api

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"reflect"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// meter is how much work a validation may still do. A schema that refers to itself in several branches can make a short
// document cost more than any computer has, so work is paid for as it is done.
type meter int

const unbounded = meter(math.MaxInt)

var errTooMuch = errors.New("takes too much work to check against the schema: make the schema or the document simpler")

// pay takes work from the meter, and ends the validation by a panic when there is none left.
func (m *meter) pay(n int) {
	if *m -= meter(n); *m < 0 {
		panic(errTooMuch)
	}
}

// mismatch is what instrumented schemas say of a document, in words of ours.
type mismatch string

// Error returns the words.
func (m mismatch) Error() string { return string(m) }

// told is what an error of the library's is called in an answer.
func told(k jsonschema.ErrorKind) string {
	if f, ok := k.(*kind.Format); ok {
		if m := mismatch(""); errors.As(f.Err, &m) {
			return string(m)
		}
	}
	text := k.LocalizedString(english)
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return text
}

// instrument makes a compiled schema and all below it pay before they look at a value. The library offers no place for that
// but the format, which it checks before any subschema; const and enum, which it checks even earlier, move there too.
func (c *checker) instrument(s *jsonschema.Schema, seen map[*jsonschema.Schema]bool) {
	if s == nil || seen[s] {
		return
	}
	seen[s] = true
	below := subschemas(s)
	format, constant, enum := s.Format, s.Const, s.Enum
	unique, patterns := s.UniqueItems, len(s.PatternProperties)
	s.Const, s.Enum = nil, nil
	s.Format = &jsonschema.Format{Name: "metered", Validate: func(v any) error {
		c.meter.pay(1 + len(below) + width(v)*(1+patterns))
		if unique {
			c.payFor(v)
		}
		if constant != nil && !c.equal(v, *constant) {
			return mismatch("is not the one value that is allowed")
		}
		if enum != nil && !c.among(v, enum.Values) {
			return mismatch("is none of the values that are allowed")
		}
		if format != nil {
			if err := format.Validate(v); err != nil {
				return mismatch("is not of the format " + format.Name)
			}
		}
		return nil
	}}
	for _, sub := range below {
		c.instrument(sub, seen)
	}
}

// width is how many values a validation looks at for one.
func width(v any) int {
	switch v := v.(type) {
	case map[string]any:
		return len(v)
	case []any:
		return len(v)
	case string:
		return len(v) / 64
	}
	return 0
}

// payFor pays for a look at every value within one.
func (c *checker) payFor(v any) {
	c.meter.pay(1 + width(v))
	switch v := v.(type) {
	case map[string]any:
		for _, item := range v {
			c.payFor(item)
		}
	case []any:
		for _, item := range v {
			c.payFor(item)
		}
	}
}

func (c *checker) among(v any, list []any) bool {
	for _, item := range list {
		if c.equal(v, item) {
			return true
		}
	}
	return false
}

// equal compares as JSON Schema does: numbers by their value.
func (c *checker) equal(a, b any) bool {
	c.meter.pay(1)
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, item := range a {
			if other, ok := b[name]; !ok || !c.equal(item, other) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !c.equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		if !ok {
			return false
		}
		if a == b {
			return true
		}
		c.meter.pay(10)
		x, okX := new(big.Rat).SetString(string(a))
		y, okY := new(big.Rat).SetString(string(b))
		return okX && okY && x.Cmp(y) == 0
	}
	return a == b // texts, booleans, null
}

// subschemas are the schemas that a schema applies itself. They are found by their type, so that none is missed when the
// library learns a keyword.
func subschemas(s *jsonschema.Schema) []*jsonschema.Schema {
	var found []*jsonschema.Schema
	var look func(reflect.Value)
	look = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			switch p := v.Interface().(type) {
			case *jsonschema.Schema:
				if p != nil {
					found = append(found, p)
				}
			case *jsonschema.DynamicRef:
				if p != nil {
					found = append(found, p.Ref)
				}
			}
		case reflect.Interface:
			if !v.IsNil() {
				look(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				look(v.Index(i))
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				look(v.MapIndex(k))
			}
		}
	}
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.IsExported() && f.Name != "Examples" && f.Name != "Default" && f.Name != "Const" {
			look(v.Field(i))
		}
	}
	return found
}
