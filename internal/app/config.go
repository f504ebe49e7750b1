package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

const maxConfigFile = 4 << 20

// File is waypost.yaml: the server's options by the names of its flags, and what is declared.
type File struct {
	Server   map[string]string // option name → value, lists joined by commas
	Lines    map[string]int    // option name → its line
	Declared Declared
}

// Declared are the things that a configuration file declares. They are marked managed and overwritten at start.
type Declared struct {
	EventTypes   []DeclaredEventType   `yaml:"event_types"`
	Profiles     []DeclaredProfile     `yaml:"profiles"`
	Applications []DeclaredApplication `yaml:"applications"`
}

// Empty says whether nothing is declared.
func (d Declared) Empty() bool { return len(d.EventTypes)+len(d.Profiles)+len(d.Applications) == 0 }

// nouns are the keys of the file that declare things.
var nouns = []string{"event_types", "profiles", "applications"}

// line is where a thing stands in the file.
type line int

// DeclaredEventType is an event type by its name.
type DeclaredEventType struct {
	line
	Name         string     `yaml:"name"`
	Description  string     `yaml:"description"`
	Group        string     `yaml:"group"`
	FeatureFlags []string   `yaml:"feature_flags"`
	Schemas      schemaText `yaml:"schemas"`
	Deprecated   bool       `yaml:"deprecated"`
	Archived     bool       `yaml:"archived"`
}

// DeclaredProfile is a profile by its uid.
type DeclaredProfile struct {
	line
	UID      string        `yaml:"uid"`
	Name     string        `yaml:"name"`
	Dialect  string        `yaml:"dialect"`
	Settings settingValues `yaml:"settings"`
}

// DeclaredApplication is an application by its uid, with what belongs to it.
type DeclaredApplication struct {
	line
	UID            string             `yaml:"uid"`
	Name           string             `yaml:"name"`
	AllowCIDRs     []string           `yaml:"allow_cidrs"`
	ThrottleRate   int                `yaml:"throttle_rate"`
	FeatureFlags   *[]string          `yaml:"feature_flags"` // nil = not restricted
	EnforceSchemas bool               `yaml:"enforce_schemas"`
	Metadata       map[string]string  `yaml:"metadata"`
	Sources        []DeclaredSource   `yaml:"sources"`
	Endpoints      []DeclaredEndpoint `yaml:"endpoints"`
}

// DeclaredSource is a source by its uid.
type DeclaredSource struct {
	line
	UID         string        `yaml:"uid"`
	Name        string        `yaml:"name"`
	Dialect     string        `yaml:"dialect"`
	Profile     string        `yaml:"profile"`
	Settings    settingValues `yaml:"settings"`
	Transport   string        `yaml:"transport"`
	Door        string        `yaml:"door"`
	AllowFrom   []string      `yaml:"allow_from"`
	VerifyUntil time.Time     `yaml:"verify_until"`
	Disabled    bool          `yaml:"disabled"`
}

// DeclaredEndpoint is an endpoint by its uid.
type DeclaredEndpoint struct {
	line
	UID             string            `yaml:"uid"`
	URL             string            `yaml:"url"`
	Transport       string            `yaml:"transport"`
	Description     string            `yaml:"description"`
	EventTypes      []string          `yaml:"event_types"`
	Channels        []string          `yaml:"channels"`
	Dialect         string            `yaml:"dialect"`
	Profile         string            `yaml:"profile"`
	Settings        settingValues     `yaml:"settings"`
	Headers         map[string]string `yaml:"headers"`
	RetrySchedule   *[]duration       `yaml:"retry_schedule"`
	Timeout         duration          `yaml:"timeout"`
	Format          hook.Format       `yaml:"format"`
	ThrottleRate    int               `yaml:"throttle_rate"`
	Concurrency     int               `yaml:"concurrency"`
	Disabled        bool              `yaml:"disabled"`
	Paused          bool              `yaml:"paused"`
	RequireVerified bool              `yaml:"require_verified"`
	Metadata        map[string]string `yaml:"metadata"`
}

// UnmarshalYAML notes the line beside the rest.
func (d *DeclaredEventType) UnmarshalYAML(n *yaml.Node) error {
	type plain DeclaredEventType
	d.line = line(n.Line)
	return n.Decode((*plain)(d))
}

// UnmarshalYAML notes the line beside the rest.
func (d *DeclaredProfile) UnmarshalYAML(n *yaml.Node) error {
	type plain DeclaredProfile
	d.line = line(n.Line)
	return n.Decode((*plain)(d))
}

// UnmarshalYAML notes the line beside the rest.
func (d *DeclaredApplication) UnmarshalYAML(n *yaml.Node) error {
	type plain DeclaredApplication
	d.line = line(n.Line)
	return n.Decode((*plain)(d))
}

// UnmarshalYAML notes the line beside the rest.
func (d *DeclaredSource) UnmarshalYAML(n *yaml.Node) error {
	type plain DeclaredSource
	d.line = line(n.Line)
	return n.Decode((*plain)(d))
}

// UnmarshalYAML notes the line beside the rest.
func (d *DeclaredEndpoint) UnmarshalYAML(n *yaml.Node) error {
	type plain DeclaredEndpoint
	d.line = line(n.Line)
	return n.Decode((*plain)(d))
}

// duration is a length of time as people write it: 500ms, 5m, 7d.
type duration time.Duration

func (d *duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := dialect.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 {
		return fmt.Errorf("line %d: %q is not a length of time such as 500ms, 5m or 7d", n.Line, n.Value)
	}
	*d = duration(v)
	return nil
}

// schemaText is an object of version → JSON Schema: written in YAML, or as a text that is JSON and keeps its bytes.
type schemaText json.RawMessage

func (s *schemaText) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		if !json.Valid([]byte(n.Value)) {
			return fmt.Errorf("line %d: schemas must be versions and their JSON Schemas, in YAML or as a text in JSON", n.Line)
		}
		*s = schemaText(n.Value)
		return nil
	}
	var v map[string]any
	if err := n.Decode(&v); err != nil {
		return err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("line %d: schemas: every name within must be a text: put numbers in quotation marks", n.Line)
	}
	*s = text
	return nil
}

// settingValues reads each setting as one value or a list of values.
type settingValues hook.Settings

func (s *settingValues) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: settings must be names and values", n.Line)
	}
	out := settingValues{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if _, twice := out[name.Value]; twice {
			return fmt.Errorf("line %d: %s is set twice", name.Line, name.Value)
		}
		switch value.Kind {
		case yaml.ScalarNode:
			out[name.Value] = []string{value.Value}
		case yaml.SequenceNode:
			out[name.Value] = []string{}
			for _, e := range value.Content {
				if e.Kind != yaml.ScalarNode {
					return fmt.Errorf("line %d: %s may hold plain values only", e.Line, name.Value)
				}
				out[name.Value] = append(out[name.Value], e.Value)
			}
		default:
			return fmt.Errorf("line %d: %s must be a value or a list of values", value.Line, name.Value)
		}
	}
	*s = out
	return nil
}

// ReadFile reads a configuration file. options are the names that its top level may hold beside what it declares; env resolves ${NAME}. Every error names the file and the line.
func ReadFile(path string, options []string, env func(string) (string, bool)) (File, error) {
	text, err := readSmallFile(path, maxConfigFile)
	if errors.Is(err, os.ErrNotExist) {
		return File{}, fmt.Errorf("there is no configuration file %s", path)
	}
	if err != nil {
		return File{}, fmt.Errorf("read configuration: %w", err)
	}
	return ParseFile(path, text, options, env)
}

// ParseFile is ReadFile for a text that was read already; name is what errors call it.
func ParseFile(name string, text []byte, options []string, env func(string) (string, bool)) (File, error) {
	f, err := parseFile(text, options, env)
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

func parseFile(text []byte, options []string, env func(string) (string, bool)) (File, error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return File{}, nil
	} else if err != nil {
		return File{}, plainYAMLError(err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return File{}, errors.New("holds more than one document")
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return File{}, fmt.Errorf("line %d: the file must hold names and values", root.Line)
	}
	if err := expand(root, env, 0); err != nil {
		return File{}, err
	}
	f := File{Server: map[string]string{}, Lines: map[string]int{}}
	declared := &yaml.Node{Kind: yaml.MappingNode, Line: root.Line}
	for i := 0; i+1 < len(root.Content); i += 2 {
		name, value := root.Content[i], root.Content[i+1]
		if slices.Contains(nouns, name.Value) {
			declared.Content = append(declared.Content, name, value)
			continue
		}
		if err := f.option(name, value, options); err != nil {
			return File{}, err
		}
	}
	// KnownFields is a feature of the text decoder only: the nodes are checked against the types by decoding again.
	if len(declared.Content) > 0 {
		if err := decodeStrict(declared, &f.Declared); err != nil {
			return File{}, err
		}
	}
	return f, nil
}

func (f *File) option(name, value *yaml.Node, options []string) error {
	flag := strings.ReplaceAll(name.Value, "_", "-")
	known := false
	for _, o := range options {
		known = known || o == flag
	}
	if !known {
		return fmt.Errorf("line %d: unknown key %q; the top level may hold %s, %s", name.Line,
			name.Value, strings.Join(nouns, ", "), strings.ReplaceAll(strings.Join(options, ", "), "-", "_"))
	}
	if _, twice := f.Server[flag]; twice {
		return fmt.Errorf("line %d: %s is set twice", name.Line, name.Value)
	}
	f.Lines[flag] = name.Line
	switch value.Kind {
	case yaml.ScalarNode:
		f.Server[flag] = value.Value
	case yaml.SequenceNode:
		var list []string
		for _, e := range value.Content {
			list = append(list, e.Value)
		}
		f.Server[flag] = strings.Join(list, ",")
	default:
		return fmt.Errorf("line %d: %s must be a value or a list of values", value.Line, name.Value)
	}
	return nil
}

var reference = regexp.MustCompile(`\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand replaces ${NAME} in every value (never in a key) by the environment; $$ stands for a dollar sign.
func expand(n *yaml.Node, env func(string) (string, bool), depth int) error {
	if depth > 50 {
		return fmt.Errorf("line %d: nested too deep", n.Line)
	}
	if n.Kind == yaml.AliasNode {
		return fmt.Errorf("line %d: anchors and aliases are not allowed", n.Line)
	}
	if n.Kind == yaml.ScalarNode {
		var missing string
		n.Value = reference.ReplaceAllStringFunc(n.Value, func(m string) string {
			if m == "$$" {
				return "$"
			}
			name := m[2 : len(m)-1]
			v, ok := env(name)
			if !ok || v == "" {
				missing = name
			}
			if n.Style == 0 {
				n.Tag = "" // what stands there now decides whether it is a number
			}
			return v
		})
		if missing != "" {
			return fmt.Errorf("line %d: the environment has no %s", n.Line, missing)
		}
		return nil
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			continue
		}
		if err := expand(c, env, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func decodeStrict(n *yaml.Node, into any) error {
	if err := knownFields(n, into); err != nil {
		return err
	}
	if err := n.Decode(into); err != nil {
		return plainYAMLError(err)
	}
	return nil
}

var yamlPrefix = regexp.MustCompile(`^yaml: (unmarshal errors:\s*)?`)

// plainYAMLError drops the library's own words in front of "line N: …" and the value that it quotes: it may be a secret.
func plainYAMLError(err error) error {
	text := oneLine(yamlPrefix.ReplaceAllString(err.Error(), ""))
	return errors.New(quotedValue.ReplaceAllString(text, "cannot use this value as"))
}

var quotedValue = regexp.MustCompile("cannot unmarshal !!\\w+( `[^`]*`)? into")
