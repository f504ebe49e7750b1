package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/waypost/waypost/internal/api"
)

// declare writes what the configuration file declares: things that are missing are created, others overwritten, nothing
// is removed. It goes through the API's own handler, so that a file is judged by the same rules as a request.
func (a *App) declare(ctx context.Context) error {
	d := declarer{ctx: api.Declaring(ctx), request: within(a.api)}
	return d.all(a.o.Declared)
}

// Request makes one request of the API, whose path begins behind /api/v1, and returns what was answered.
type Request func(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error)

// declarer makes things as they are declared, by requests to the API: of this process, or of another.
type declarer struct {
	ctx     context.Context
	request Request
	dry     bool           // nothing is written
	told    func(Declares) // told of each thing before it is written; nil = nobody asks, and nothing is compared
}

func (d declarer) all(all Declared) error {
	seen := uids{}
	for _, t := range all.EventTypes {
		if err := seen.add("event type", "name", t.Name, t.line); err != nil {
			return err
		}
		name := thing{"event type", "event type " + t.Name, t.line}
		if err := d.put(name, "/event-type/"+url.PathEscape(t.Name), t.body()); err != nil {
			return err
		}
	}
	seen = uids{}
	for _, p := range all.Profiles {
		if err := seen.add("profile", "uid", p.UID, p.line); err != nil {
			return err
		}
		err := d.make(thing{"profile", "profile " + p.UID, p.line}, "/profile", p.UID, map[string]any{
			"uid": p.UID, "name": or(p.Name, p.UID), "dialect": p.Dialect, "settings": given(p.Settings),
		})
		if err != nil {
			return err
		}
	}
	seen = uids{}
	for _, p := range all.Applications {
		if err := seen.add("application", "uid", p.UID, p.line); err != nil {
			return err
		}
		if err := d.application(p); err != nil {
			return err
		}
	}
	return nil
}

func (t DeclaredEventType) body() map[string]any {
	b := map[string]any{
		"description": t.Description, "groupName": nil, "featureFlags": null(t.FeatureFlags), "deprecated": t.Deprecated,
		"archived": t.Archived, "schemas": nil,
	}
	if t.Group != "" {
		b["groupName"] = t.Group
	}
	if len(t.Schemas) > 0 {
		b["schemas"] = json.RawMessage(t.Schemas)
	}
	return b
}

func (d declarer) application(p DeclaredApplication) error {
	name, path := "application "+p.UID, "/app/"+url.PathEscape(p.UID)
	var flags any
	if p.FeatureFlags != nil {
		flags = list(*p.FeatureFlags)
	}
	err := d.put(thing{"application", name, p.line}, path, map[string]any{
		"uid": p.UID, "name": or(p.Name, p.UID), "allowCidrs": list(p.AllowCIDRs), "metadata": object(p.Metadata),
		"throttleRate": positive(p.ThrottleRate), "featureFlags": flags, "enforceSchemas": p.EnforceSchemas,
	})
	if err != nil {
		return err
	}
	seen := uids{}
	for _, s := range p.Sources {
		if err := seen.add(name+": source", "uid", s.UID, s.line); err != nil {
			return err
		}
		if err := d.source(thing{"source", name + ", source " + s.UID, s.line}, path+"/source", s); err != nil {
			return err
		}
	}
	seen = uids{}
	for _, e := range p.Endpoints {
		if err := seen.add(name+": endpoint", "uid", e.UID, e.line); err != nil {
			return err
		}
		if err := d.make(thing{"endpoint", name + ", endpoint " + e.UID, e.line}, path+"/endpoint", e.UID, e.body()); err != nil {
			return err
		}
	}
	return nil
}

func (d declarer) source(name thing, path string, s DeclaredSource) error {
	body := map[string]any{
		"uid": s.UID, "name": or(s.Name, s.UID), "settings": given(s.Settings), "allowFrom": null(s.AllowFrom), "disabled": s.Disabled,
		"transport": or(s.Transport, "http"),
	}
	if s.Dialect != "" {
		body["dialect"] = s.Dialect
	}
	if s.Profile != "" {
		body["profile"] = s.Profile
	}
	if !s.VerifyUntil.IsZero() {
		body["verifyUntil"] = s.VerifyUntil
	}
	one := path + "/" + url.PathEscape(s.UID)
	text, err := d.present(name, one)
	if err != nil {
		return err
	}
	if text == nil {
		if s.Door != "" {
			body["door"] = s.Door
		}
		return d.write(name, http.MethodPost, path, one, body, nil)
	}
	var present struct{ Door string }
	if err := json.Unmarshal(text, &present); err != nil {
		return err
	}
	// A door that the file changes is rotated: platforms know the old one, and changing it in their consoles takes time.
	if s.Door != "" && s.Door != present.Door && !d.dry {
		if _, err := d.call(name, http.MethodPost, one+"/rotate-door", map[string]any{"door": s.Door}); err != nil {
			return err
		}
	}
	return d.write(name, http.MethodPut, one, one, body, text, s.doorChange(present.Door)...)
}

// doorChange says in what the door differs from the present one.
func (s DeclaredSource) doorChange(present string) []string {
	if s.Door == "" || s.Door == present {
		return nil
	}
	return []string{"door"}
}

func (e DeclaredEndpoint) body() map[string]any {
	b := map[string]any{
		"uid": e.UID, "description": e.Description, "filterTypes": null(e.EventTypes), "channels": null(e.Channels),
		"headers": object(e.Headers), "metadata": object(e.Metadata), "disabled": e.Disabled, "paused": e.Paused,
		"transport":       or(e.Transport, "http"),
		"requireVerified": e.RequireVerified, "throttleRate": positive(e.ThrottleRate), "concurrency": positive(e.Concurrency),
		"timeoutMs": positive(int(time.Duration(e.Timeout).Milliseconds())), "format": or(string(e.Format), "payload"), "retrySchedule": nil,
	}
	if e.URL != "" || e.Transport == "" || e.Transport == "http" { // the other transports need none
		b["url"] = e.URL
	}
	if e.Dialect != "" {
		b["dialect"] = e.Dialect
	}
	if e.Profile != "" {
		b["profile"] = e.Profile
	}
	if len(e.Settings) > 0 { // without any, a secret that was made at the first start stays
		b["settings"] = e.Settings
	}
	if e.RetrySchedule != nil {
		waits := []float64{}
		for _, w := range *e.RetrySchedule {
			waits = append(waits, time.Duration(w).Seconds())
		}
		b["retrySchedule"] = waits
	}
	return b
}

// make creates a thing by a POST, or overwrites it.
func (d declarer) make(name thing, path, uid string, body map[string]any) error {
	one := path + "/" + url.PathEscape(uid)
	present, err := d.present(name, one)
	switch {
	case err != nil:
		return err
	case present == nil:
		return d.write(name, http.MethodPost, path, one, body, nil)
	}
	return d.write(name, http.MethodPut, one, one, body, present)
}

// put creates a thing or overwrites it, by a PUT in both cases.
func (d declarer) put(name thing, one string, body map[string]any) error {
	var present []byte
	if d.told != nil {
		var err error
		if present, err = d.present(name, one); err != nil {
			return err
		}
	}
	return d.write(name, http.MethodPut, one, one, body, present)
}

// present returns a thing as the API shows it, nil when there is none.
func (d declarer) present(name thing, one string) ([]byte, error) {
	text, err := d.call(name, http.MethodGet, one, nil)
	if isNotFound(err) {
		return nil, nil
	}
	return text, err
}

// write tells what is done to a thing and does it. one is the thing's own path; changed are differences that are known
// already.
func (d declarer) write(name thing, method, path, one string, body map[string]any, present []byte, changed ...string) error {
	if d.told != nil {
		fields, err := d.compare(one, body, present)
		if err != nil {
			return err
		}
		d.told(declares(name, present, append(changed, fields...)))
	}
	if d.dry {
		return nil
	}
	_, err := d.call(name, method, path, body)
	return err
}

// uids are those that were declared so far on one level, with their lines.
type uids map[string]line

func (u uids) add(what, key, uid string, at line) error {
	if uid == "" {
		return &ConfigError{fmt.Sprintf("line %d: %s: has no %s", at, what, key)}
	}
	if first, twice := u[uid]; twice {
		return &ConfigError{fmt.Sprintf("line %d: %s: the %s %s is that of line %d already", at, what, key, uid, first)}
	}
	u[uid] = at
	return nil
}

// thing is something declared.
type thing struct {
	noun string
	name string // with the names of what it belongs to
	line line   // 0 = it does not stand in the file
}

// String says where it stands in the file and what it is.
func (t thing) String() string {
	if t.line == 0 {
		return t.name
	}
	return fmt.Sprintf("line %d: %s", t.line, t.name)
}

// ConfigError says that the configuration is wrong, and where.
type ConfigError struct{ text string }

func (e *ConfigError) Error() string { return e.text }

// declareError is a refusal of the API, told in the words of a configuration file.
type declareError struct {
	name   string
	status int
	text   string
}

func (e *declareError) Error() string { return e.name + ": " + e.text }

// As makes every refusal but the store's a ConfigError.
func (e *declareError) As(target any) bool {
	c, ok := target.(**ConfigError)
	if ok && e.status < http.StatusInternalServerError {
		*c = &ConfigError{e.Error()}
		return true
	}
	return false
}

func isNotFound(err error) bool {
	e, ok := err.(*declareError)
	return ok && e.status == http.StatusNotFound
}

func (d declarer) call(name fmt.Stringer, method, path string, in map[string]any) ([]byte, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	status, answer, err := d.request(d.ctx, method, path, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if status >= 300 {
		return nil, &declareError{name.String(), status, refusalText(answer)}
	}
	return answer, nil
}

// within makes requests of a handler in this process.
func within(h http.Handler) Request {
	return func(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
		req, err := http.NewRequestWithContext(ctx, method, "/api/v1"+path, bytes.NewReader(body))
		if err != nil {
			return 0, nil, err
		}
		req.RequestURI = req.URL.RequestURI()
		req.Header.Set("Content-Type", "application/json")
		a := &answer{header: http.Header{}, status: http.StatusOK}
		h.ServeHTTP(a, req)
		return a.status, a.body.Bytes(), nil
	}
}

// refusalText turns the API's error bodies into one line.
func refusalText(body []byte) string {
	var fields struct {
		Detail []struct {
			Loc []string
			Msg string
		}
	}
	if json.Unmarshal(body, &fields) == nil && len(fields.Detail) > 0 {
		var parts []string
		for _, f := range fields.Detail {
			parts = append(parts, strings.TrimPrefix(strings.Join(f.Loc, "."), "body.")+": "+f.Msg)
		}
		return strings.Join(parts, "; ")
	}
	var plain struct{ Detail string }
	if json.Unmarshal(body, &plain) == nil && plain.Detail != "" {
		return plain.Detail
	}
	return oneLine(string(body))
}

// answer is an http.ResponseWriter in memory.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// given, list, object, null and positive write what a file leaves out as the API wants "none" to be written.
func given(s settingValues) settingValues {
	if s == nil {
		return settingValues{}
	}
	return s
}

func list(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

func object(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func null(l []string) any {
	if len(l) == 0 {
		return nil
	}
	return l
}

func positive(n int) any {
	if n == 0 {
		return nil
	}
	return n
}
