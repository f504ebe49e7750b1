package api

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bad compiles a schema that must be refused, and returns where and why.
func bad(t *testing.T, schema string) string {
	t.Helper()
	_, cs := compileSchema(json.RawMessage(schema))
	if len(cs) == 0 {
		t.Fatalf("taken: %.200s", schema)
	}
	return strings.Join(cs[0].path, ".") + ": " + cs[0].msg
}

func TestBadSchemas(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ schema, where string }{
		"no JSON":                     {`{`, ": is not a JSON"},
		"a number":                    {`1`, ": "},
		"Svix's example":              {`{"readOnly": 15}`, "readOnly: "},
		"a type that is none":         {`{"properties":{"a":{"type":"strin"}}}`, "properties.a.type: "},
		"a negative length":           {`{"properties":{"a":{"minLength":-1}}}`, "properties.a.minLength: "},
		"required is no list":         {`{"required":"a"}`, "required: "},
		"a bad expression":            {`{"properties":{"a":{"pattern":"("}}}`, "properties.a.pattern: "},
		"an expression Go lacks":      {`{"properties":{"a/b":{"pattern":"(?=x)"}}}`, "properties.a/b.pattern: "},
		"an expression too large":     {`{"pattern":"(a{1000}){1000}"}`, "pattern: "},
		"many instructions":           {`{"pattern":"(a{100}){30}"}`, "pattern: "},
		"an expression too long":      {`{"pattern":"` + strings.Repeat("a", 600) + `"}`, "pattern: "},
		"a bad name of properties":    {`{"patternProperties":{"(":{}}}`, "patternProperties: "},
		"a reference into the net":    {`{"properties":{"a":{"$ref":"https://example.com/schema.json"}}}`, "properties.a.$ref: refers to another document"},
		"a reference to a file":       {`{"properties":{"a":{"$ref":"file:///etc/passwd"}}}`, "properties.a.$ref: refers to another document"},
		"a reference beside it":       {`{"properties":{"a":{"$ref":"other.json#/a"}}}`, "properties.a.$ref: refers to another document"},
		"a reference to nothing":      {`{"properties":{"a":{"$ref":"#/$defs/none"}}}`, "properties.a.$ref: refers to nothing"},
		"an anchor that is not there": {`{"properties":{"a":{"$ref":"#none"}}}`, "properties.a.$ref: refers to nothing"},
		"a dynamic reference":         {`{"properties":{"a":{"$dynamicRef":"#a"}}}`, "properties.a.$dynamicRef: is not supported"},
		"an unknown draft":            {`{"$schema":"https://example.com/draft"}`, ": is not a JSON Schema"},
		"a member twice":              {`{"type":"object","type":"array"}`, ": type is given twice"},
		"a huge number":               {`{"properties":{"a":{"minimum":1e400}}}`, ": properties.a.minimum is a number beyond"},
		"too many objects":            {`{"anyOf":[` + strings.Repeat(`{"type":"null"},`, 2500) + `{}]}`, ": has more than"},
		"too many values":             {`{"enum":[` + strings.Repeat(`1,`, 25000) + `2]}`, ": has more than"},
		"too deep":                    {strings.Repeat(`{"not":`, 150) + `{}` + strings.Repeat(`}`, 150), ": "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := bad(t, c.schema); !strings.HasPrefix(got, c.where) {
				t.Errorf("%s\nwant %s", got, c.where)
			}
		})
	}
}

func TestNoSchemaReadsAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(file, []byte(`{"type":"object"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, schema := range []string{
		`{"$ref":"file://` + filepath.ToSlash(file) + `"}`, `{"$id":"file:///x","properties":{"a":{"$ref":"` + filepath.ToSlash(file) + `"}}}`,
		`{"$schema":"file://` + filepath.ToSlash(file) + `"}`,
	} {
		t.Log(bad(t, schema))
	}
}

func TestSchemasCheck(t *testing.T) {
	t.Parallel()
	const order = `{"type":"object","required":["id"],"properties":{"id":{"type":"integer"},"state":{"enum":["new","paid"]},
		"v":{"const":1.0},"items":{"type":"array","items":{"type":"object","properties":{"n":{"minimum":1}}},"uniqueItems":true},
		"code":{"pattern":"^[A-Z]+$"},"next":{"$ref":"#"}},"additionalProperties":false}`
	for name, c := range map[string]struct{ schema, doc, where string }{
		"fits":                      {order, `{"id":1,"state":"paid","v":1,"items":[{"n":1},{"n":2}],"code":"AB","next":{"id":2}}`, ""},
		"a missing member":          {order, `{}`, ": "},
		"a wrong type":              {order, `{"id":"1"}`, "id: "},
		"1.0 is an integer":         {order, `{"id":1.0}`, ""},
		"no value of an enum":       {order, `{"id":1,"state":"lost"}`, "state: is none of the values"},
		"no constant":               {order, `{"id":1,"v":2}`, "v: is not the one value"},
		"a number in another form":  {order, `{"id":1,"v":10e-1}`, ""},
		"within a list":             {order, `{"id":1,"items":[{"n":1},{"n":0}]}`, "items.1.n: "},
		"a repeat in a list":        {order, `{"id":1,"items":[{"n":1},{"n":1.0}]}`, "items: "},
		"an expression":             {order, `{"id":1,"code":"ab"}`, "code: "},
		"behind a reference":        {order, `{"id":1,"next":{"next":{"id":true},"id":1}}`, "next.next.id: "},
		"a member too many":         {order, `{"id":1,"more":1}`, ": "},
		"true takes all":            {`true`, `{"a":1}`, ""},
		"false takes nothing":       {`false`, `{"a":1}`, ": "},
		"the empty schema":          {`{}`, `{"a":1}`, ""},
		"format is an annotation":   {`{"properties":{"a":{"format":"email"}}}`, `{"a":"x"}`, ""},
		"an older draft asserts it": {`{"$schema":"http://json-schema.org/draft-07/schema#","properties":{"a":{"format":"email"}}}`, `{"a":"x"}`, "a: is not of the format email"},
		"enum of null":              {`{"properties":{"a":{"enum":[null,false,{"x":[1]}]}}}`, `{"a":{"x":[1.0]}}`, ""},
		"const of null":             {`{"properties":{"a":{"const":null}}}`, `{"a":0}`, "a: "},
		"oneOf":                     {`{"oneOf":[{"required":["a"]},{"required":["b"]}]}`, `{"a":1,"b":1}`, ": "},
		"unevaluated":               {`{"allOf":[{"properties":{"a":{}}}],"unevaluatedProperties":false}`, `{"a":1,"b":1}`, "b: "},
		"if then":                   {`{"if":{"required":["a"]},"then":{"required":["b"]}}`, `{"a":1}`, ": "},
		"an embedded resource":      {`{"$ref":"https://example.com/in","$defs":{"x":{"$id":"https://example.com/in","required":["a"]}}}`, `{}`, ": "},
		"the draft's own schema":    {`{"$ref":"https://json-schema.org/draft/2020-12/schema"}`, `{"type":"strin"}`, "type: "},
		"a member given twice":      {`{}`, `{"a":1,"a":2}`, ": a is given twice"},
		"a huge number":             {`{"properties":{"a":{"type":"number"}}}`, `{"a":1e999999999}`, ": a is a number beyond"},
		"too deep":                  {`{}`, strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 200), ": "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checker, cs := compileSchema(json.RawMessage(c.schema))
			if cs != nil {
				t.Fatal(cs)
			}
			for range 2 { // the meter begins anew
				cs = checker.check(json.RawMessage(c.doc))
				if c.where == "" {
					if cs != nil {
						t.Error(cs)
					}
					continue
				}
				if len(cs) == 0 {
					t.Fatal("fits")
				}
				if got := strings.Join(cs[0].path, ".") + ": " + cs[0].msg; !strings.HasPrefix(got, c.where) {
					t.Errorf("%s\nwant %s", got, c.where)
				}
			}
		})
	}
}

// TestHostileSchemasEnd has schemas and documents that would take longer than the test may, were the work not bounded.
func TestHostileSchemasEnd(t *testing.T) {
	t.Parallel()
	ladder := func(keyword string) string { // each step applies the next one twice
		var b strings.Builder
		b.WriteString(`{"$ref":"#/$defs/s0","$defs":{`)
		for i := range 60 {
			fmt.Fprintf(&b, `"s%d":{"%s":[{"$ref":"#/$defs/s%d"},{"$ref":"#/$defs/s%d"}]},`, i, keyword, i+1, i+1)
		}
		b.WriteString(`"s60":{"type":"null"}}}`)
		return b.String()
	}
	deep := strings.Repeat(`{"a":`, 90) + `1` + strings.Repeat(`}`, 90)
	list := `{"a":[` + strings.Repeat(`[1],`, 10000) + `[2]]}`
	for name, c := range map[string]struct{ schema, doc string }{
		"a ladder of allOf":           {ladder("allOf"), `{}`},
		"a ladder of anyOf":           {ladder("anyOf"), `{}`},
		"a ladder of oneOf":           {ladder("oneOf"), `{}`},
		"a ladder in not":             {`{"not":` + strings.Replace(ladder("anyOf"), `"$ref":"#/$defs/s0"`, `"$ref":"#/not/$defs/s0"`, 1) + `}`, `{}`},
		"two branches at every level": {`{"properties":{"a":{"anyOf":[{"$ref":"#"},{"$ref":"#"}]}},"not":{"type":"object","maxProperties":0},"type":"object"}`, deep},
		"unevaluated at every level":  {`{"properties":{"a":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}},"unevaluatedProperties":false}`, deep},
		"a long list of values":       {`{"properties":{"a":{"items":{"enum":[` + strings.Repeat(`[3],`, 6000) + `[4]]}}}}`, list},
		"large values in a list":      {`{"properties":{"a":{"items":{"enum":[[` + strings.Repeat(`1,`, 15000) + `2]]}}}}`, `{"a":[` + strings.Repeat(`[`+strings.Repeat(`1,`, 50)+`1],`, 300) + `1]}`},
		"an expression on long texts": {`{"additionalProperties":{"pattern":"(a|b|c|d|e|f){1,150}x"}}`, `{"a":"` + strings.Repeat("abcdef", 50000) + `"}`},
		"names against expressions": {`{"patternProperties":{"(a?){200}b":{},"(a?){200}c":{}}}`,
			`{"` + strings.Repeat("a", 200000) + `":1}`},
		"itself": {`{"$ref":"#"}`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			schema := c.schema
			if strings.Contains(name, "in not") {
				schema = strings.ReplaceAll(schema, `"#/$defs/`, `"#/not/$defs/`)
			}
			checker, cs := compileSchema(json.RawMessage(schema))
			if cs != nil {
				t.Fatal(cs)
			}
			if checker.check(json.RawMessage(c.doc)) == nil {
				t.Error("fits")
			}
		})
	}
}

func TestExamples(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ schema, want string }{
		"its own":            {`{"examples":[{"a":1.50},{"a":2}]}`, `{"a":1.50}`},
		"a default":          {`{"type":"object","properties":{"a":{"default":7},"b":{"enum":["x","y"]},"c":{"const":null}}}`, `{"a":7,"b":"x","c":null}`},
		"every type":         {`{"properties":{"a":{"type":"array","items":{"type":"boolean"}},"i":{"type":"integer"},"n":{"type":"number"},"s":{"type":"string"},"z":{"type":"null"}}}`, `{"a":[true],"i":1,"n":1,"s":"string","z":null}`},
		"bounds":             {`{"properties":{"a":{"type":"integer","minimum":10},"b":{"type":"integer","maximum":-3},"c":{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1,"multipleOf":0.25},"d":{"type":"integer","multipleOf":5,"minimum":7}}}`, `{"a":10,"b":-3,"c":0.25,"d":10}`},
		"lengths":            {`{"properties":{"a":{"type":"string","minLength":8},"b":{"type":"string","maxLength":2},"c":{"type":"array","minItems":2,"items":{"type":"integer"}}}}`, `{"a":"stringxx","b":"st","c":[1,1]}`},
		"formats":            {`{"properties":{"a":{"type":"string","format":"date-time"},"b":{"format":"email"}}}`, `{"a":"2026-01-31T08:00:00Z","b":"user@example.com"}`},
		"a reference":        {`{"$ref":"#/$defs/a","$defs":{"a":{"type":"object","properties":{"b":{"$ref":"#/$defs/b"}}},"b":{"type":"integer"}}}`, `{"b":1}`},
		"all of":             {`{"allOf":[{"properties":{"a":{"type":"integer"}}},{"properties":{"b":{"type":"integer"}}}],"properties":{"c":{"type":"integer"}}}`, `{"a":1,"b":1,"c":1}`},
		"one of":             {`{"oneOf":[{"properties":{"a":{"type":"integer"}}},{"properties":{"b":{"type":"integer"}}}],"type":"object"}`, `{"a":1}`},
		"required only":      {`{"type":"object","required":["a"]}`, `{"a":"…"}`},
		"a list of types":    {`{"properties":{"a":{"type":["null","integer"]}}}`, `{"a":1}`},
		"nothing known":      {`{}`, `{}`},
		"anything":           {`true`, `null`},
		"tuples":             {`{"properties":{"a":{"prefixItems":[{"type":"integer"},{"type":"string"}]}}}`, `{"a":[1,"string"]}`},
		"a reference abroad": {`{"properties":{"a":{"$ref":"#/$defs/none"}}}`, `{"a":null}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := makeExample(json.RawMessage(c.schema), 0)
			if err != nil || string(got) != c.want {
				t.Errorf("%s, %v, want %s", got, err, c.want)
			}
		})
	}
	t.Run("one that refers to itself ends", func(t *testing.T) {
		t.Parallel()
		for _, schema := range []string{
			`{"$ref":"#"}`, `{"properties":{"a":{"$ref":"#"},"b":{"$ref":"#"},"c":{"$ref":"#"},"d":{"$ref":"#"}}}`,
			`{"required":["a","b"],"properties":{"a":{"$ref":"#"},"b":{"$ref":"#"}}}`, `{"type":"array","minItems":1000000,"items":{"$ref":"#"}}`,
			`{"allOf":[{"$ref":"#"},{"$ref":"#"}]}`, `{"type":"string","minLength":1000000000}`,
		} {
			got, err := makeExample(json.RawMessage(schema), 0)
			if err != nil || len(got) > 1<<20 {
				t.Errorf("%s: %d bytes, %v", schema, len(got), err)
			}
		}
	})
	t.Run("the index-th", func(t *testing.T) {
		t.Parallel()
		for i, want := range map[int]string{0: `1`, 1: `2`, 9: `2`, -1: `1`} {
			if got, err := makeExample(json.RawMessage(`{"examples":[1,2]}`), i); err != nil || string(got) != want {
				t.Errorf("%d: %s, %v", i, got, err)
			}
		}
	})
}

func TestTheNewestSchema(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`{}`: ``, `{"1":1}`: `1`, `{"1":1,"2":2}`: `2`, `{"9":1,"10":2}`: `2`, `{"a":1,"b":2}`: `2`, `{"1":1,"draft":2}`: `1`, `null`: ``,
	} {
		if got := newestSchema(json.RawMessage(doc)); string(got) != want {
			t.Errorf("%s: %s, want %s", doc, got, want)
		}
	}
}

func TestCheckDocument(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`{"a":1,"b":[1,2,{"a":1}]}`:     "",
		`{"a":1,"a":1}`:                 "fault: body.a is given twice",
		`{"a":[{},{"b":1,"\u0062":2}]}`: "fault: body.a[1].b is given twice",
		`{"a":1e309}`:                   "fault: body.a is a number beyond what is taken",
		`{"a":1e-400}`:                  "",
		`{"a":1} 2`:                     "there is more behind the document",
		"{\"a\":\"\xff\"}":              "the document is not UTF-8",
	} {
		got := ""
		if err := checkDocument("body", []byte(doc)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", doc, got, want)
		}
	}
}
