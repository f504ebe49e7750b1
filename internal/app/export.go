package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Exported is a configuration file made from a server.
type Exported struct {
	Text    []byte
	Secrets []ExportedSecret // what the file takes from the environment
	Notes   []string         // what the file cannot say, one sentence each
}

// ExportedSecret is a variable of the environment that stands for a secret, which the API never shows.
type ExportedSecret struct {
	Name  string `json:"name"`  // of the variable
	Where string `json:"where"` // the setting that it is
}

// Export writes what a server holds as a file that Apply takes: event types, profiles, applications, sources with their doors,
// and endpoints, in the order of their names. Applied to an empty server, and exported again, it gives the same text.
func Export(ctx context.Context, request Request) (Exported, error) {
	x := exporter{declarer: declarer{ctx: ctx, request: request}, profiles: map[string]string{}, names: map[string]bool{}}
	root := mapping{}
	types, err := x.eventTypes()
	if err == nil && len(types) > 0 {
		root.add("event_types", types)
	}
	var profiles, apps []any
	if err == nil {
		profiles, err = x.allProfiles()
	}
	if err == nil {
		apps, err = x.applications()
	}
	if err != nil {
		return Exported{}, err
	}
	if len(profiles) > 0 {
		root.add("profiles", profiles)
	}
	if len(apps) > 0 {
		root.add("applications", apps)
	}
	var b bytes.Buffer
	if len(root) > 0 {
		enc := yaml.NewEncoder(&b)
		enc.SetIndent(2)
		if err := enc.Encode(node(root)); err != nil {
			return Exported{}, err
		}
	}
	x.out.Text = b.Bytes()
	return x.out, nil
}

type exporter struct {
	declarer
	out      Exported
	profiles map[string]string // id → uid
	names    map[string]bool   // of variables, taken
}

func (x *exporter) eventTypes() ([]any, error) {
	var out []any
	err := eachOf(x.declarer, "/event-type?include_archived=true&with_content=true", func(t struct {
		Name, Description    string
		GroupName            string
		FeatureFlags         []string
		Schemas              json.RawMessage
		Deprecated, Archived bool
	}) error {
		o := mapping{}
		o.add("name", t.Name)
		o.some("description", t.Description)
		o.some("group", t.GroupName)
		o.some("feature_flags", t.FeatureFlags)
		if len(t.Schemas) > 0 && string(t.Schemas) != "null" {
			o.add("schemas", string(t.Schemas))
		}
		o.some("deprecated", t.Deprecated)
		o.some("archived", t.Archived)
		out = append(out, o)
		return nil
	})
	return out, err
}

func (x *exporter) allProfiles() ([]any, error) {
	var list []named[mapping]
	err := eachOf(x.declarer, "/profile", func(p struct {
		remnant
		Dialect  string
		Settings map[string]any
	}) error {
		uid := x.uid("profile", "", p.remnant)
		x.profiles[p.ID] = uid
		o := mapping{}
		o.add("uid", uid)
		o.name(p.Name, uid)
		o.add("dialect", p.Dialect)
		o.some("settings", x.settings("profile "+uid, p.Settings))
		list = append(list, named[mapping]{uid, o})
		return nil
	})
	return inOrder(list), err
}

func (x *exporter) applications() ([]any, error) {
	var list []named[mapping]
	err := eachOf(x.declarer, "/app", func(a struct {
		remnant
		ThrottleRate   int
		Metadata       map[string]string
		AllowCIDRs     []string
		FeatureFlags   *[]string
		EnforceSchemas bool
	}) error {
		uid := x.uid("application", "", a.remnant)
		o := mapping{}
		o.add("uid", uid)
		o.name(a.Name, uid)
		o.some("allow_cidrs", a.AllowCIDRs)
		o.some("throttle_rate", a.ThrottleRate)
		if a.FeatureFlags != nil {
			o.add("feature_flags", *a.FeatureFlags)
		}
		o.some("enforce_schemas", a.EnforceSchemas)
		o.some("metadata", a.Metadata)
		sources, err := x.sources("/app/"+a.ID, "application "+uid)
		if err != nil {
			return err
		}
		endpoints, err := x.endpoints("/app/"+a.ID, "application "+uid)
		if err != nil {
			return err
		}
		o.some("sources", sources)
		o.some("endpoints", endpoints)
		list = append(list, named[mapping]{uid, o})
		return nil
	})
	return inOrder(list), err
}

func (x *exporter) sources(path, parent string) ([]any, error) {
	var list []named[mapping]
	err := eachOf(x.declarer, path+"/source", func(s struct {
		remnant
		Dialect, Profile string
		Settings         map[string]any
		Transport        string
		Door             string
		OldDoors         []any
		VerifyUntil      time.Time
		AllowFrom        []string
		Disabled         bool
	}) error {
		uid := x.uid("source", parent, s.remnant)
		name := parent + ", source " + uid
		o := mapping{}
		o.add("uid", uid)
		o.name(s.Name, uid)
		x.protocol(&o, s.Dialect, s.Profile, "")
		if s.Transport != "http" {
			o.some("transport", s.Transport)
		}
		o.add("door", s.Door)
		o.some("settings", x.settings(name, s.Settings))
		o.some("allow_from", s.AllowFrom)
		if s.VerifyUntil.After(time.Now()) {
			o.add("verify_until", s.VerifyUntil.UTC().Format(time.RFC3339Nano))
		}
		o.some("disabled", s.Disabled)
		if len(s.OldDoors) > 0 {
			x.note("%s has earlier doors that still open: they are not in the file", name)
		}
		list = append(list, named[mapping]{uid, o})
		return nil
	})
	return inOrder(list), err
}

// protocol writes the profile, or the dialect where it is not the usual one.
func (x *exporter) protocol(o *mapping, dialect, profile, usual string) {
	switch uid := x.profiles[profile]; {
	case uid != "":
		o.add("profile", uid)
	case dialect != usual:
		o.add("dialect", dialect)
	}
}

func (x *exporter) endpoints(path, parent string) ([]any, error) {
	var list []named[mapping]
	err := eachOf(x.declarer, path+"/endpoint", func(e exportedEndpoint) error {
		uid := x.uid("endpoint", parent, e.remnant)
		name := parent + ", endpoint " + uid
		headers, err := x.headersOf(path+"/endpoint/"+e.ID, name)
		if err != nil {
			return err
		}
		o := mapping{}
		o.add("uid", uid)
		if e.URL != e.Transport+":" { // which stands for the connections of such an endpoint
			o.some("url", e.URL)
		}
		if e.Transport != "http" {
			o.some("transport", e.Transport)
		}
		o.some("description", e.Description)
		o.some("event_types", e.FilterTypes)
		o.some("channels", e.Channels)
		x.protocol(&o, e.Dialect, e.Profile, "standard")
		o.some("settings", x.settings(name, e.Settings))
		o.some("headers", headers)
		e.rest(&o)
		if e.PublicOnly {
			x.note("%s reaches public addresses only, because the application made it: the file cannot say so", name)
		}
		list = append(list, named[mapping]{uid, o})
		return nil
	})
	return inOrder(list), err
}

type exportedEndpoint struct {
	remnant
	URL, Transport, Description, Dialect, Profile, Format string
	FilterTypes, Channels                                 []string
	Settings                                              map[string]any
	RetrySchedule                                         *[]float64
	TimeoutMs, ThrottleRate, Concurrency                  int
	Disabled, Paused, RequireVerified, PublicOnly         bool
	Metadata                                              map[string]string
}

func (e *exportedEndpoint) rest(o *mapping) {
	if e.RetrySchedule != nil {
		waits := []string{}
		for _, s := range *e.RetrySchedule {
			waits = append(waits, length(time.Duration(s*float64(time.Second))))
		}
		o.add("retry_schedule", waits)
	}
	if e.TimeoutMs > 0 {
		o.add("timeout", length(time.Duration(e.TimeoutMs)*time.Millisecond))
	}
	if e.Format != "payload" {
		o.some("format", e.Format)
	}
	o.some("throttle_rate", e.ThrottleRate)
	o.some("concurrency", e.Concurrency)
	o.some("disabled", e.Disabled)
	o.some("paused", e.Paused)
	o.some("require_verified", e.RequireVerified)
	o.some("metadata", e.Metadata)
}

// headersOf are an endpoint's own, those with credentials as variables of the environment.
func (x *exporter) headersOf(one, name string) (map[string]any, error) {
	text, err := x.call(thing{name: name}, http.MethodGet, one+"/headers", nil)
	if err != nil {
		return nil, err
	}
	var have struct {
		Headers   map[string]string
		Sensitive []string
	}
	if err := json.Unmarshal(text, &have); err != nil {
		return nil, err
	}
	out := map[string]any{}
	for header, value := range have.Headers {
		out[header] = value
	}
	slices.Sort(have.Sensitive)
	for _, header := range have.Sensitive {
		out[header] = x.secret(name, "header "+header)
	}
	return out, nil
}

// settings writes settings, secrets as variables of the environment.
func (x *exporter) settings(name string, settings map[string]any) mapping {
	var o mapping
	for _, key := range sortedKeys(settings) {
		values := texts(settings[key])
		list := make([]any, len(values))
		for i, v := range values {
			list[i] = v
			if v == shownSecret {
				what := key
				if len(values) > 1 {
					what += " " + strconv.Itoa(i+1)
				}
				list[i] = x.secret(name, what)
			}
		}
		if _, single := settings[key].(string); single {
			o.add(key, list[0])
		} else {
			o.add(key, list)
		}
	}
	return o
}

// variable is a reference to the environment: it is written as it is.
type variable string

// secret makes the variable that stands for a secret of a thing.
func (x *exporter) secret(name, what string) variable {
	b := []byte(strings.ToUpper(strings.TrimPrefix(name, "application ") + " " + what))
	for i, c := range b {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			b[i] = '_'
		}
	}
	v := strings.ReplaceAll(string(b), "__", "_")
	if v[0] >= '0' && v[0] <= '9' {
		v = "_" + v
	}
	for n, first := 2, v; x.names[v]; n++ {
		v = first + "_" + strconv.Itoa(n)
	}
	x.names[v] = true
	x.out.Secrets = append(x.out.Secrets, ExportedSecret{v, name + ": " + what})
	return variable("${" + v + "}")
}

func (x *exporter) note(format string, args ...any) {
	x.out.Notes = append(x.out.Notes, fmt.Sprintf(format, args...))
}

// uid is the name of a thing in the file. One that has none gets one of its id.
func (x *exporter) uid(noun, parent string, r remnant) string {
	if r.UID != "" {
		return r.UID
	}
	uid := strings.ReplaceAll(r.ID, "_", "-")
	if parent != "" {
		noun = parent + ", " + noun
	}
	x.note("%s %s has no uid and is called %s in the file: give it that uid before you apply the file to this same server, or it is made twice", noun, r.ID, uid)
	return uid
}

// length writes a length of time as people do.
func length(d time.Duration) string {
	for _, u := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if d >= u.size && d%u.size == 0 {
			return strconv.FormatInt(int64(d/u.size), 10) + u.name
		}
	}
	return d.String()
}

// mapping is names and values of the file, in order.
type mapping []member

type member struct {
	name  string
	value any
}

func (o *mapping) add(name string, value any) { *o = append(*o, member{name, value}) }

// some adds what is not empty.
func (o *mapping) some(name string, value any) {
	if m, ok := value.(mapping); ok && len(m) == 0 || !ok && empty(value) {
		return
	}
	o.add(name, value)
}

// name adds a name that is not the uid.
func (o *mapping) name(name, uid string) {
	if name != uid {
		o.some("name", name)
	}
}

type named[T any] struct {
	name  string
	value T
}

func inOrder[T any](list []named[T]) []any {
	slices.SortFunc(list, func(a, b named[T]) int { return strings.Compare(a.name, b.name) })
	out := make([]any, 0, len(list))
	for _, n := range list {
		out = append(out, n.value)
	}
	return out
}

// node makes YAML of a value.
func node(v any) *yaml.Node {
	switch v := v.(type) {
	case mapping:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, m := range v {
			key := &yaml.Node{}
			key.SetString(m.name)
			n.Content = append(n.Content, key, node(m.value))
		}
		return n
	case map[string]any:
		var o mapping
		for _, k := range sortedKeys(v) {
			o.add(k, v[k])
		}
		return node(o)
	case map[string]string:
		var o mapping
		for _, k := range sortedKeys(v) {
			o.add(k, v[k])
		}
		return node(o)
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, e := range v {
			n.Content = append(n.Content, node(e))
		}
		return n
	case []string:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, e := range v {
			n.Content = append(n.Content, node(e))
		}
		return n
	case variable:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(v), Style: yaml.DoubleQuotedStyle}
	case string:
		n := &yaml.Node{}
		n.SetString(escaped(v))
		return n
	}
	n := &yaml.Node{}
	if err := n.Encode(v); err != nil { // numbers and truth values only
		n.SetString(fmt.Sprint(v))
	}
	return n
}

// escaped keeps what looks like a reference to the environment from being taken for one.
func escaped(s string) string {
	if reference.MatchString(s) {
		return strings.ReplaceAll(s, "$", "$$")
	}
	return s
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
