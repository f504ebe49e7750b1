package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/waypost/waypost/internal/api"
)

// Declares is what a declaration does to one thing.
type Declares struct {
	Action  string   `json:"action"`            // create, change, keep (nothing differs that can be seen) or delete
	Noun    string   `json:"noun"`              // profile, application, source, endpoint or event type
	Name    string   `json:"name"`              // with those of what it belongs to
	Line    int      `json:"line,omitempty"`    // in the file; 0 = it is not there
	Changes []string `json:"changes,omitempty"` // members that differ, by the names of the API
	Secrets bool     `json:"secrets,omitempty"` // it has secrets, which are written again and cannot be compared
}

// ApplyOptions say how to apply a declaration.
type ApplyOptions struct {
	DryRun bool           // nothing is written
	Prune  bool           // what is managed and not declared is deleted
	Told   func(Declares) // told of each thing before it is written
}

// Apply makes a server be as declared: missing things are created, others overwritten, in the order of the file, and with Prune
// those deleted that an earlier declaration made. It ends at the first refusal; what was written until then stays, and the next
// call goes on. A refusal because of what is declared is a ConfigError. request must mark what it writes as declared.
func Apply(ctx context.Context, request Request, all Declared, o ApplyOptions) error {
	d := declarer{ctx: ctx, request: request, dry: o.DryRun, told: o.Told}
	if d.told == nil {
		d.told = func(Declares) {}
	}
	if err := d.all(all); err != nil || !o.Prune {
		return err
	}
	return d.prune(all)
}

// declares says what is done to a thing. Among the changes, secretMark stands for secrets.
func declares(t thing, present []byte, changes []string) Declares {
	out := Declares{Noun: t.noun, Name: t.name, Line: int(t.line)}
	for _, c := range changes {
		if c == secretMark {
			out.Secrets = true
		} else {
			out.Changes = append(out.Changes, c)
		}
	}
	switch {
	case present == nil:
		out.Action, out.Changes = "create", nil
	case len(out.Changes) > 0:
		out.Action = "change"
	default:
		out.Action = "keep"
	}
	return out
}

const (
	secretMark  = "\x00secrets" // among names of members
	shownSecret = "<secret>"    // as the API shows one
)

// compare returns the members in which a thing differs from what is declared of it, and secretMark when it has secrets.
func (d declarer) compare(one string, body map[string]any, present []byte) ([]string, error) {
	want, have := map[string]any{}, map[string]any{}
	text, err := json.Marshal(body)
	if err == nil {
		err = json.Unmarshal(text, &want)
	}
	if err == nil && present != nil {
		err = json.Unmarshal(present, &have)
	}
	if err != nil {
		return nil, err
	}
	if given, ok := want["headers"].(map[string]any); ok && present != nil {
		if have["headers"], err = d.headers(one, given); err != nil {
			return nil, err
		}
	}
	if uid, ok := want["profile"].(string); ok && present != nil {
		if want["profile"], err = d.profileID(uid); err != nil {
			return nil, err
		}
	}
	var out []string
	for name, value := range want {
		switch differs, secret := differ(name, value, have[name]); {
		case differs:
			out = append(out, name)
		case secret:
			out = append(out, secretMark)
		}
	}
	if managed, _ := have["managed"].(bool); !managed {
		out = append(out, "managed")
	}
	slices.Sort(out)
	return out, nil
}

// headers are an endpoint's own; of those whose values are not shown, the value is that which is given.
func (d declarer) headers(one string, given map[string]any) (map[string]any, error) {
	text, err := d.call(thing{name: "headers"}, http.MethodGet, one+"/headers", nil)
	if err != nil {
		return nil, err
	}
	var have struct {
		Headers   map[string]any
		Sensitive []string
	}
	if err := json.Unmarshal(text, &have); err != nil {
		return nil, err
	}
	out := map[string]any{}
	for name, value := range have.Headers {
		out[strings.ToLower(name)] = value
	}
	for _, name := range have.Sensitive {
		out[strings.ToLower(name)] = shownSecret
	}
	for name := range given { // names of headers are the same in every case
		lower := strings.ToLower(name)
		if v, ok := out[lower]; ok {
			delete(out, lower)
			if out[name] = v; v == shownSecret {
				given[name] = shownSecret
			}
		}
	}
	return out, nil
}

// profileID returns the id of a profile by its uid, "" when there is none yet.
func (d declarer) profileID(uid string) (string, error) {
	text, err := d.present(thing{name: "profile " + uid}, "/profile/"+url.PathEscape(uid))
	var have struct{ ID string }
	if err == nil && text != nil {
		err = json.Unmarshal(text, &have)
	}
	return have.ID, err
}

// differ says whether a member is not as it is wanted, or holds secrets, which nobody can see.
func differ(name string, want, have any) (differs, secret bool) {
	switch name {
	case "settings":
		return settingsDiffer(want, have)
	case "verifyUntil":
		a, _ := time.Parse(time.RFC3339, text(want))
		b, _ := time.Parse(time.RFC3339, text(have))
		return !a.Truncate(time.Millisecond).Equal(b), false
	case "url":
		if u, err := url.Parse(text(want)); err == nil && u.User != nil {
			u.User = nil
			return u.String() != text(have), true
		}
	case "featureFlags", "retrySchedule": // none is not the same as an empty list
		if (want == nil) != (have == nil) {
			return true, false
		}
	case "headers":
		secret = hasSecret(want)
	}
	if empty(want) && empty(have) {
		return false, secret
	}
	return !reflect.DeepEqual(sorted(name, want), sorted(name, have)), secret
}

func hasSecret(v any) bool {
	m, _ := v.(map[string]any)
	for _, value := range m {
		if value == shownSecret {
			return true
		}
	}
	return false
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func empty(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Map && r.Len() == 0 || r.Kind() == reflect.Slice && r.Len() == 0 || r.IsZero()
}

// sorted puts lists of texts in order, for the server keeps them as sets; the order of a schedule stays.
func sorted(name string, v any) any {
	list, ok := v.([]any)
	if !ok || name == "retrySchedule" {
		return v
	}
	out := texts(list)
	slices.Sort(out)
	return slices.Compact(out)
}

func texts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		out = append(out, fmt.Sprint(e))
	}
	return out
}

// settingsDiffer compares what can be seen of settings. A signing secret that the server made is not missed.
func settingsDiffer(want, have any) (differs, secret bool) {
	wanted, _ := want.(map[string]any)
	present, _ := have.(map[string]any)
	for name, value := range wanted {
		is, ok := present[name]
		a, b := texts(value), texts(is)
		switch {
		case !ok || len(a) != len(b):
			differs = true
		case slices.Contains(b, shownSecret):
			secret = true
		default:
			differs = differs || !slices.Equal(a, b)
		}
	}
	for name, value := range present {
		if _, ok := wanted[name]; !ok && !slices.Contains(texts(value), shownSecret) {
			differs = true
		}
	}
	return differs, secret
}

// prune deletes what is managed and not declared: first what belongs to applications, then those, then profiles, which may not
// be in use.
func (d declarer) prune(all Declared) error {
	apps := map[string]DeclaredApplication{}
	for _, a := range all.Applications {
		apps[a.UID] = a
	}
	err := d.each("/app", func(a remnant) error {
		declared, ok := apps[a.UID]
		if !ok && a.Managed {
			return d.remove(thing{noun: "application", name: "application " + a.UID}, "/app/"+a.ID, "")
		}
		return d.pruneWithin(a, declared)
	})
	if err != nil {
		return err
	}
	err = d.each("/profile", func(p remnant) error {
		if !p.Managed || slices.ContainsFunc(all.Profiles, func(w DeclaredProfile) bool { return w.UID == p.UID }) {
			return nil
		}
		return d.remove(thing{noun: "profile", name: "profile " + p.UID}, "/profile/"+p.ID, "")
	})
	if err != nil {
		return err
	}
	return d.each("/event-type?include_archived=true", func(t remnant) error {
		if !t.Managed || slices.ContainsFunc(all.EventTypes, func(w DeclaredEventType) bool { return w.Name == t.Name }) {
			return nil
		}
		return d.remove(thing{noun: "event type", name: "event type " + t.Name}, "/event-type/"+url.PathEscape(t.Name), "?expunge=true")
	})
}

func (d declarer) pruneWithin(a remnant, declared DeclaredApplication) error {
	name, path := "application "+or(a.UID, a.ID)+", ", "/app/"+a.ID
	err := d.each(path+"/source", func(s remnant) error {
		if !s.Managed || slices.ContainsFunc(declared.Sources, func(w DeclaredSource) bool { return w.UID == s.UID }) {
			return nil
		}
		return d.remove(thing{noun: "source", name: name + "source " + s.UID}, path+"/source/"+s.ID, "")
	})
	if err != nil {
		return err
	}
	return d.each(path+"/endpoint", func(e remnant) error {
		if !e.Managed || slices.ContainsFunc(declared.Endpoints, func(w DeclaredEndpoint) bool { return w.UID == e.UID }) {
			return nil
		}
		return d.remove(thing{noun: "endpoint", name: name + "endpoint " + e.UID}, path+"/endpoint/"+e.ID, "")
	})
}

func (d declarer) remove(t thing, one, query string) error {
	d.told(Declares{Action: "delete", Noun: t.noun, Name: t.name})
	if d.dry {
		return nil
	}
	_, err := d.call(t, http.MethodDelete, one+query, nil)
	if isNotFound(err) {
		return nil
	}
	return err
}

// remnant is what is needed to know of a thing that may have to go.
type remnant struct {
	ID, Name string
	UID      string
	Managed  bool
}

// each calls f for every thing of a list.
func (d declarer) each(path string, f func(remnant) error) error {
	return eachOf(d, path, f)
}

// eachOf reads a whole list first, since what f does may change it, and then calls f for each item.
func eachOf[T any](d declarer, path string, f func(T) error) error {
	var all []T
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	for iterator := ""; ; {
		query := sep + "limit=250&order=ascending"
		if iterator != "" {
			query += "&iterator=" + url.QueryEscape(iterator)
		}
		text, err := d.call(thing{name: "list of " + path}, http.MethodGet, path+query, nil)
		if err != nil {
			return err
		}
		var page struct {
			Data     []T
			Iterator string
			Done     bool
		}
		dec := json.NewDecoder(bytes.NewReader(text))
		if err := dec.Decode(&page); err != nil {
			return fmt.Errorf("read the list of %s: %w", path, err)
		}
		all = append(all, page.Data...)
		if page.Done || page.Iterator == "" {
			break
		}
		iterator = page.Iterator
	}
	for _, item := range all {
		if err := f(item); err != nil {
			return err
		}
	}
	return nil
}

// DeclaringHeader marks the requests of Apply, so that what they write is managed.
const DeclaringHeader = api.DeclaringHeader
