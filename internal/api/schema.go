package api

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/waypost/waypost/internal/hook"
)

// Bounds of the schemas of one event type. They keep what checking a payload costs small, whoever wrote the schema.
const (
	maxSchemas        = 128 << 10 // bytes of all versions
	maxSchemaVersions = 100
	maxSubschemas     = 2000  // objects in one version
	maxSchemaValues   = 20000 // values in one version
	maxPattern        = 512   // bytes of a regular expression
	maxPatternSteps   = 2000  // instructions that it compiles to
	maxComplaints     = 20    // places that an answer names
	maxShelf          = 256   // compiled schemas that are kept
)

// schemaAddress is what a schema's references are relative to. Nothing is ever loaded from it.
const schemaAddress = "waypost:///schema"

// readSchemas checks the schemas of an event type: an object of version → JSON Schema (draft 2020-12, or the draft that its
// $schema names). It fails with what is wrong and where.
func readSchemas(loc string, doc json.RawMessage) error {
	if len(doc) > maxSchemas {
		return invalidRequest(wrong(loc, "has %d bytes; at most %d are taken", len(doc), maxSchemas))
	}
	var versions map[string]json.RawMessage
	if json.Unmarshal(doc, &versions) != nil {
		return invalidRequest(wrong(loc, "must be an object of version → JSON Schema"))
	}
	if len(versions) > maxSchemaVersions {
		return invalidRequest(wrong(loc, "has more than %d versions", maxSchemaVersions))
	}
	var p problems
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		if !isText(name) || name == "" || len(name) > maxChannel {
			p.add(loc, "has a version whose name is empty, longer than %d bytes or holds control characters", maxChannel)
			continue
		}
		if _, err := compileSchema(versions[name]); err != nil {
			p = append(p, err.under(append(location(loc), name))...)
		}
	}
	return p.err()
}

// newestSchema returns the version with the highest number, or else the last by name; nil when there is none.
func newestSchema(doc json.RawMessage) json.RawMessage {
	var versions map[string]json.RawMessage
	if json.Unmarshal(doc, &versions) != nil || len(versions) == 0 {
		return nil
	}
	newest := slices.MaxFunc(slices.Collect(maps.Keys(versions)), func(a, b string) int {
		m, errA := strconv.ParseUint(a, 10, 64)
		n, errB := strconv.ParseUint(b, 10, 64)
		switch {
		case errA == nil && errB == nil && m != n:
			return 1 - 2*btoi(m < n)
		case errA == nil && errB != nil:
			return 1
		case errA != nil && errB == nil:
			return -1
		}
		return strings.Compare(a, b)
	})
	return versions[newest]
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// complaint is one thing that is wrong at a place within a document.
type complaint struct {
	path []string
	msg  string
}

type complaints []complaint

// under places complaints below a location.
func (cs complaints) under(loc []string) problems {
	var p problems
	for _, c := range cs {
		p = append(p, validationError{Loc: slices.Concat(loc, c.path), Msg: c.msg, Type: "value_error"})
	}
	return p
}

func complain(path []string, format string, args ...any) complaints {
	return complaints{{path, fmt.Sprintf(format, args...)}}
}

// errOutside is why a reference to another document is not followed.
var errOutside = errors.New("references outside of the schema are not followed")

// noLoader follows no reference: neither into the network nor to a file.
type noLoader struct{}

// Load fails.
func (noLoader) Load(string) (any, error) { return nil, errOutside }

// checker is a compiled schema that checks one document at a time, with a bound on the work.
type checker struct {
	mu     sync.Mutex
	schema *jsonschema.Schema
	meter  meter
}

// compileSchema reads a JSON Schema.
func compileSchema(doc json.RawMessage) (*checker, complaints) {
	v, err := decode(doc)
	if err != nil {
		return nil, complain(nil, "%s", err)
	}
	survey := schemaSurvey{}
	if bad := survey.look(v, nil); bad != nil {
		return nil, bad
	}
	c := &checker{meter: unbounded}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	compiler.UseRegexpEngine(c.compilePattern)
	if err := compiler.AddResource(schemaAddress, v); err != nil {
		return nil, complain(nil, "is not a JSON Schema: %s", err)
	}
	c.schema, err = compiler.Compile(schemaAddress)
	if err != nil {
		return nil, survey.explain(err)
	}
	c.instrument(c.schema, map[*jsonschema.Schema]bool{})
	return c, nil
}

// decode reads a document that is strict, with numbers as they stand there.
func decode(doc []byte) (any, error) {
	if err := checkDocument("", doc); err != nil {
		if f := (*fault)(nil); errors.As(err, &f) {
			return nil, fmt.Errorf("%s %s", strings.TrimPrefix(f.Loc, "."), f.Msg)
		}
		return nil, errors.New("is not a JSON document in UTF-8")
	}
	d := json.NewDecoder(strings.NewReader(string(doc)))
	d.UseNumber()
	var v any
	return v, d.Decode(&v)
}

// schemaSurvey counts what is in a schema and notes its references, before it is compiled.
type schemaSurvey struct {
	objects, values int
	refs            []complaint // path and text of each
}

func (s *schemaSurvey) look(v any, path []string) complaints {
	if s.values++; s.values > maxSchemaValues {
		return complain(nil, "has more than %d values", maxSchemaValues)
	}
	switch v := v.(type) {
	case map[string]any:
		if s.objects++; s.objects > maxSubschemas {
			return complain(nil, "has more than %d objects", maxSubschemas)
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			place := append(slices.Clip(path), name)
			if text, ok := v[name].(string); ok {
				switch name {
				case "$ref":
					s.refs = append(s.refs, complaint{place, text})
				case "$dynamicRef", "$recursiveRef":
					return complain(place, "is not supported: use $ref")
				}
			}
			if bad := s.look(v[name], place); bad != nil {
				return bad
			}
		}
	case []any:
		for i, item := range v {
			if bad := s.look(item, append(slices.Clip(path), strconv.Itoa(i))); bad != nil {
				return bad
			}
		}
	}
	return nil
}

// explain turns an error of the compiler into what is wrong, and where.
func (s *schemaSurvey) explain(err error) complaints {
	var invalid *jsonschema.SchemaValidationError
	var tree *jsonschema.ValidationError
	if errors.As(err, &invalid) && errors.As(invalid.Err, &tree) {
		return leaves(tree)
	}
	var pattern *jsonschema.InvalidRegexError
	if errors.As(err, &pattern) {
		return complain(pathOf(pattern.URL), "is no regular expression that is taken here: %s", clip(pattern.Err.Error()))
	}
	text, why := err.Error(), "refers to nothing in this schema"
	if abroad := (*jsonschema.LoadURLError)(nil); errors.As(err, &abroad) {
		why = "refers to another document: " + errOutside.Error()
	}
	for _, ref := range s.refs {
		name, fragment, _ := strings.Cut(ref.msg, "#")
		if name == "" {
			name = "#" + fragment
		}
		if strings.Contains(text, name) {
			return complain(ref.path, "%s", why)
		}
	}
	return complain(nil, "is not a JSON Schema: %s", strings.ReplaceAll(text, schemaAddress, "schema"))
}

// pathOf reads the pointer at the end of an address.
func pathOf(address string) []string {
	_, pointer, ok := strings.Cut(address, "#/")
	if !ok {
		return nil
	}
	path := strings.Split(pointer, "/")
	for i, token := range path {
		path[i] = strings.NewReplacer("~1", "/", "~0", "~", "%25", "%", "%24", "$").Replace(token)
	}
	return path
}

var english = message.NewPrinter(language.English)

// leaves are the innermost causes of a failed validation, in the order of their places.
func leaves(e *jsonschema.ValidationError) complaints {
	var all complaints
	var walk func(*jsonschema.ValidationError, []string)
	walk = func(e *jsonschema.ValidationError, at []string) {
		if len(e.InstanceLocation) > len(at) { // the name of a member, looked at as a text, has no place of its own
			at = e.InstanceLocation
		}
		for _, cause := range e.Causes {
			walk(cause, at)
		}
		if len(e.Causes) == 0 && len(all) < 10*maxComplaints {
			all = append(all, complaint{at, told(e.ErrorKind)})
		}
	}
	walk(e, nil)
	slices.SortStableFunc(all, func(a, b complaint) int {
		if c := slices.Compare(a.path, b.path); c != 0 {
			return c
		}
		return strings.Compare(a.msg, b.msg)
	})
	all = slices.CompactFunc(all, func(a, b complaint) bool { return a.msg == b.msg && slices.Equal(a.path, b.path) })
	return all[:min(len(all), maxComplaints)]
}

// compilePattern is the engine of regular expressions: Go's, whose time grows with the text and not faster. A match is paid for.
func (c *checker) compilePattern(text string) (jsonschema.Regexp, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("it is longer than %d bytes", maxPattern)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > maxPatternSteps {
		return nil, errors.New("it is too large")
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &pattern{re, len(program.Inst), &c.meter}, nil
}

type pattern struct {
	re    *regexp.Regexp
	steps int
	meter *meter
}

// String returns the expression.
func (p *pattern) String() string { return p.re.String() }

// MatchString says whether a text matches.
func (p *pattern) MatchString(s string) bool {
	p.meter.pay(1 + len(s)*p.steps/100)
	return p.re.MatchString(s)
}

// check says what of a document does not fit. Its work is bounded by the document's size.
func (c *checker) check(doc json.RawMessage) (wrong complaints) {
	v, err := decode(doc)
	if err != nil {
		return complain(nil, "%s", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.meter = meter(100_000 + 5*len(doc))
	defer func() {
		if p := recover(); p != nil {
			if p != errTooMuch {
				panic(p)
			}
			wrong = complain(nil, "%s", errTooMuch)
		}
	}()
	var tree *jsonschema.ValidationError
	if err := c.schema.Validate(v); errors.As(err, &tree) {
		return leaves(tree)
	} else if err != nil {
		return complain(nil, "%s", err)
	}
	return nil
}

// schemaShelf keeps compiled schemas by their text.
type schemaShelf struct {
	mu    sync.Mutex
	known map[[32]byte]*checker
}

func newSchemaShelf() *schemaShelf { return &schemaShelf{known: map[[32]byte]*checker{}} }

// take returns the newest of an event type's schemas, ready to check; nil when there is none.
func (s *schemaShelf) take(schemas json.RawMessage) (*checker, error) {
	key := sha256.Sum256(schemas)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.known[key]; ok {
		return c, nil
	}
	newest := newestSchema(schemas)
	if newest == nil {
		return nil, nil
	}
	c, bad := compileSchema(newest)
	if bad != nil {
		return nil, fmt.Errorf("a stored schema cannot be read: %s", bad[0].msg)
	}
	if len(s.known) >= maxShelf {
		clear(s.known)
	}
	s.known[key] = c
	return c, nil
}

// checkPayload says what of a payload does not fit the newest of its type's schemas.
func (h *Handler) checkPayload(t *hook.EventType, payload []byte) error {
	if len(t.Schemas) == 0 {
		return nil
	}
	c, err := h.schemas.take(t.Schemas)
	if err != nil || c == nil {
		return err
	}
	return c.check(payload).under([]string{"body", "payload"}).err()
}
