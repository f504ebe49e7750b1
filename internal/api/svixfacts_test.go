package api_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// factFile holds what Svix's open server of version 1.44.0 documents, one fact a line: the operation, the place in it, and what
// stands there. It is made of server/openapi.json of that version by
//
//	WAYPOST_SVIX_DOCUMENT=…/server/openapi.json go test ./internal/api -run TestSvixFactsAreMade
const factFile = "testdata/svix-1.44.0.tsv"

// fact is what a document says of one place: a parameter, or a member of a body, or a body itself.
type fact struct {
	kind     string // its type, with its format where that matters
	required bool
	nullable bool
	enum     string // values, joined by |
	pattern  string
	bounds   string // name=value of lengths, counts and sizes, in order of their names
}

func (f fact) String() string {
	words := []string{f.kind}
	for word, is := range map[string]bool{"required": f.required, "nullable": f.nullable} {
		if is {
			words = append(words, word)
		}
	}
	slices.Sort(words[1:])
	for name, value := range map[string]string{"enum": f.enum, "pattern": f.pattern} {
		if value != "" {
			words = append(words, name+"="+value)
		}
	}
	slices.Sort(words[1:])
	return strings.TrimSpace(strings.Join(words, " ") + " " + f.bounds)
}

func parseFact(text string) fact {
	words := strings.Fields(text)
	f := fact{kind: words[0]}
	var bounds []string
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "required":
			f.required = true
		case "nullable":
			f.nullable = true
		case "enum":
			f.enum = value
		case "pattern":
			f.pattern = value
		default:
			bounds = append(bounds, w)
		}
	}
	f.bounds = strings.Join(bounds, " ")
	return f
}

// facts are those of a document, by operation and place, as "GET /app" and "query limit".
type facts map[string]map[string]fact

func (f facts) add(op, place string, what fact) {
	if f[op] == nil {
		f[op] = map[string]fact{}
	}
	f[op][place] = what
}

// readFacts reads an OpenAPI document.
func readFacts(t testing.TB, text []byte) facts {
	t.Helper()
	var doc object
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	out := facts{}
	for path, item := range doc.obj("paths") {
		methods, _ := item.(map[string]any)
		for method, o := range methods {
			op := object(o.(map[string]any))
			name := strings.ToUpper(method) + " " + strings.TrimPrefix(path, "/api/v1")
			r := factReader{doc: doc, out: out, op: name}
			out.add(name, "operation", fact{kind: "operation"})
			for _, p := range op.list("parameters") {
				r.read(p.str("in")+" "+p.str("name"), p.obj("schema"), p["required"] == true, false)
			}
			if body := op.obj("requestBody").obj("content").obj("application/json"); body != nil {
				r.read("request", body.obj("schema"), true, false)
			}
			for code := range op.obj("responses") {
				if code[0] != '2' {
					continue
				}
				answer := op.obj("responses").obj(code)
				out.add(name, code, fact{kind: "status"})
				if body := answer.obj("content").obj("application/json"); body != nil {
					r.read(code, body.obj("schema"), true, false)
				}
			}
		}
	}
	return out
}

type factReader struct {
	doc object
	out facts
	op  string
}

// read notes a schema and what is in it.
func (r factReader) read(place string, s object, required, nullable bool) {
	nullable = nullable || s["nullable"] == true
	for _, list := range []string{"allOf", "oneOf", "anyOf"} { // of one, and perhaps null
		for _, one := range s.list(list) {
			if one.str("type") == "null" {
				nullable = true
			} else if s["$ref"] == nil && s["type"] == nil && len(s.list(list)) <= 2 {
				s = one
				break
			}
		}
	}
	if ref := s.str("$ref"); ref != "" {
		r.read(place, r.doc.obj("components").obj("schemas").obj(ref[strings.LastIndexByte(ref, '/')+1:]), required, nullable)
		return
	}
	kind := s.str("type")
	if kinds, ok := s["type"].([]any); ok {
		for _, k := range kinds {
			if k == "null" {
				nullable = true
			} else {
				kind = fmt.Sprint(k)
			}
		}
	}
	if format := s.str("format"); format == "date-time" || format == "uri" {
		kind += "(" + format + ")"
	}
	var enum, bounds []string
	if values, ok := s["enum"].([]any); ok {
		for _, v := range values {
			enum = append(enum, fmt.Sprint(v))
		}
	}
	for _, name := range []string{"maxItems", "maxLength", "maximum", "minItems", "minLength", "minimum"} {
		if v, ok := s[name].(float64); ok {
			bounds = append(bounds, name+"="+strconv.FormatFloat(v, 'f', -1, 64))
		}
	}
	if s.str("format") == "uint16" && s["maximum"] == nil {
		bounds = append(bounds, "maximum=65535")
		slices.Sort(bounds)
	}
	slices.Sort(enum)
	r.out.add(r.op, place, fact{cmp.Or(kind, "any"), required, nullable, strings.Join(enum, "|"), s.str("pattern"), strings.Join(bounds, " ")})
	needed := s["required"]
	names, _ := needed.([]any)
	for name := range s.obj("properties") {
		r.read(place+" "+name, s.obj("properties").obj(name), slices.Contains(names, any(name)), false)
	}
	if items := s.obj("items"); items != nil {
		r.read(place+" []", items, false, false)
	}
	if values := s.obj("additionalProperties"); values != nil {
		r.read(place+" *", values, false, false)
	}
}

// TestSvixFactsAreMade makes the table from Svix's document, when it is asked to.
func TestSvixFactsAreMade(t *testing.T) {
	file := os.Getenv("WAYPOST_SVIX_DOCUMENT")
	if file == "" {
		t.Skip("WAYPOST_SVIX_DOCUMENT names no document")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	all := readFacts(t, text)
	for _, op := range slices.Sorted(maps.Keys(all)) {
		for _, place := range slices.Sorted(maps.Keys(all[op])) {
			fmt.Fprintf(&b, "%s\t%s\t%s\n", op, place, all[op][place])
		}
	}
	if err := os.WriteFile(factFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func svixFacts(t testing.TB) facts {
	t.Helper()
	text, err := os.ReadFile(factFile)
	if err != nil {
		t.Fatal(err)
	}
	out := facts{}
	for line := range strings.Lines(string(text)) {
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		out.add(parts[0], parts[1], parseFact(parts[2]))
	}
	return out
}
