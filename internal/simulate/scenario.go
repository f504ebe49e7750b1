package simulate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Scenario is a file that makes a run a contract test: who the platform is, what it sends, what it does on bad days, and
// what is agreed about the answers. docs/simulate.md is its schema.
type Scenario struct {
	Dialect  string            `yaml:"dialect"`
	To       string            `yaml:"to"`
	Settings map[string]Values `yaml:"settings"` // of the platform; a value may be @FILE or env:NAME
	Allow    []string          `yaml:"allow"`

	Events     []ScenarioEvent `yaml:"events"` // none = all of the platform's documentation
	Count      int             `yaml:"count"`
	Rate       float64         `yaml:"rate"`
	Parallel   int             `yaml:"parallel"`
	Speed      float64         `yaml:"speed"`
	Duplicates int             `yaml:"duplicates"`
	Forge      int             `yaml:"forge"`
	Disorder   bool            `yaml:"disorder"`
	Handshake  bool            `yaml:"handshake"`
	Habits     []string        `yaml:"habits"`

	Probe        string `yaml:"probe"`
	CheckCommand string `yaml:"check_command"`

	Lang   string `yaml:"lang"`
	Expect Expect `yaml:"expect"`
}

// Expect is what is agreed beyond the platform's own rules.
type Expect struct {
	Findings []string `yaml:"findings"` // codes of findings that are known and do not fail the run
	P99      Span     `yaml:"p99"`      // most that 99 % of the answers may take; 0 = the platform's limit alone
}

// ScenarioEvent is an event of the platform's documentation by its name, or one with a payload of one's own.
type ScenarioEvent struct {
	Type     string            `yaml:"type"`
	File     string            `yaml:"file"`    // JSON, relative to the scenario
	Payload  string            `yaml:"payload"` // JSON, instead of a file
	Platform map[string]string `yaml:"platform"`
}

// UnmarshalYAML reads a name alone, too.
func (e *ScenarioEvent) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		e.Type = n.Value
		return nil
	}
	type plain ScenarioEvent
	if err := n.Decode((*plain)(e)); err != nil {
		return err
	}
	switch {
	case e.Type == "":
		return fmt.Errorf("line %d: an event needs a type", n.Line)
	case e.File != "" && e.Payload != "":
		return fmt.Errorf("line %d: an event has a file or a payload, not both", n.Line)
	}
	return nil
}

// Values are one value or a list of them.
type Values []string

// UnmarshalYAML reads a value alone as a list of one.
func (v *Values) UnmarshalYAML(n *yaml.Node) error {
	switch n.Kind {
	case yaml.ScalarNode:
		*v = Values{n.Value}
		return nil
	case yaml.SequenceNode:
		for _, one := range n.Content {
			if one.Kind != yaml.ScalarNode {
				return fmt.Errorf("line %d: a setting is a value or a list of values", one.Line)
			}
			*v = append(*v, one.Value)
		}
		return nil
	}
	return fmt.Errorf("line %d: a setting is a value or a list of values", n.Line)
}

// Span is a length of time such as 200ms.
type Span time.Duration

// UnmarshalYAML reads a length of time.
func (s *Span) UnmarshalYAML(n *yaml.Node) error {
	d, err := time.ParseDuration(n.Value)
	if err != nil || d < 0 {
		return fmt.Errorf("line %d: must be a length of time such as 200ms or 1s", n.Line)
	}
	*s = Span(d)
	return nil
}

// ReadScenario reads a scenario. Unknown keys, keys that are set twice and values of the wrong form are errors that name
// their line; no error repeats a value.
func ReadScenario(text []byte) (Scenario, error) {
	var root yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		return Scenario{}, errors.New("the scenario is empty; it needs at least a dialect")
	} else if err != nil {
		return Scenario{}, plainError(err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Scenario{}, errors.New("the scenario holds more than one document")
	}
	if n := root.Content[0]; n.Kind != yaml.MappingNode {
		return Scenario{}, fmt.Errorf("line %d: the scenario must hold names and values", n.Line)
	}
	if err := knownKeys(root.Content[0], reflect.TypeFor[Scenario]()); err != nil {
		return Scenario{}, err
	}
	var s Scenario
	if err := root.Decode(&s); err != nil {
		return Scenario{}, plainError(err)
	}
	return s, s.check(root.Content[0])
}

// check looks at what has a fixed set of values.
func (s Scenario) check(root *yaml.Node) error {
	at := func(name string) int {
		for i := 0; i+1 < len(root.Content); i += 2 {
			if root.Content[i].Value == name {
				return root.Content[i].Line
			}
		}
		return root.Line
	}
	switch {
	case s.Dialect == "":
		return fmt.Errorf("line %d: dialect is missing: which platform to be", root.Line)
	case s.Count < 0 || s.Rate < 0 || s.Parallel < 0 || s.Speed < 0 || s.Duplicates < 0 || s.Forge < 0:
		return errors.New("count, rate, parallel, speed, duplicates and forge must not be negative")
	}
	o := Options{Lang: s.Lang, Ignore: s.Expect.Findings, Habits: s.Habits}
	for name, part := range map[string]Options{"lang": {Lang: o.Lang}, "expect": {Ignore: o.Ignore}, "habits": {Habits: o.Habits}} {
		if err := part.checkReport(); err != nil {
			return fmt.Errorf("line %d: %s", at(name), strings.TrimPrefix(err.Error(), "simulate: "))
		}
	}
	return nil
}

// knownKeys refuses keys that a type has no field for. The library can do that for texts only, and then does not say
// which keys there are.
func knownKeys(n *yaml.Node, t reflect.Type) error {
	switch {
	case n.Kind == yaml.AliasNode:
		return fmt.Errorf("line %d: anchors and aliases are not allowed", n.Line)
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for _, one := range n.Content {
			if err := knownKeys(one, t.Elem()); err != nil {
				return err
			}
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		fields := map[string]reflect.Type{}
		for f := range t.Fields() {
			fields[f.Tag.Get("yaml")] = f.Type
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			field, ok := fields[key.Value]
			if !ok {
				return fmt.Errorf("line %d: unknown key %q; known here: %s", key.Line, key.Value, strings.Join(sorted(fields), ", "))
			}
			if err := knownKeys(n.Content[i+1], field); err != nil {
				return err
			}
		}
	}
	return nil
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

var (
	yamlPrefix  = regexp.MustCompile(`^yaml: (unmarshal errors:\s*)?`)
	quotedValue = regexp.MustCompile("cannot unmarshal !!\\w+( `[^`]*`)? into \\w+")
)

// plainError drops the library's own words and the value that it quotes: it may be a secret.
func plainError(err error) error {
	text := strings.Join(strings.Fields(yamlPrefix.ReplaceAllString(err.Error(), "")), " ")
	return errors.New(quotedValue.ReplaceAllString(text, "this value has the wrong form"))
}
