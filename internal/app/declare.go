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
	d := declarer{handler: a.api, ctx: api.Declaring(ctx)}
	seen := uids{}
	for _, p := range a.o.Declared.Profiles {
		if err := seen.add("profile", p.UID, p.line); err != nil {
			return err
		}
		err := d.put(named("", p.line, "profile "+p.UID), "/profile", p.UID, map[string]any{
			"uid": p.UID, "name": or(p.Name, p.UID), "dialect": p.Dialect, "settings": given(p.Settings),
		})
		if err != nil {
			return err
		}
	}
	seen = uids{}
	for _, p := range a.o.Declared.Applications {
		if err := seen.add("application", p.UID, p.line); err != nil {
			return err
		}
		if err := d.application(p); err != nil {
			return err
		}
	}
	return nil
}

// declarer makes requests to the API in this process.
type declarer struct {
	handler http.Handler
	ctx     context.Context
}

func (d declarer) application(p DeclaredApplication) error {
	name, path := "application "+p.UID, "/app/"+url.PathEscape(p.UID)
	_, err := d.call(named("", p.line, name), http.MethodPut, path, map[string]any{
		"uid": p.UID, "name": or(p.Name, p.UID), "allowCidrs": list(p.AllowCIDRs), "metadata": object(p.Metadata),
		"throttleRate": positive(p.ThrottleRate),
	})
	if err != nil {
		return err
	}
	seen := uids{}
	for _, s := range p.Sources {
		if err := seen.add(name+": source", s.UID, s.line); err != nil {
			return err
		}
		if err := d.source(named(name, s.line, "source "+s.UID), path+"/source", s); err != nil {
			return err
		}
	}
	seen = uids{}
	for _, e := range p.Endpoints {
		if err := seen.add(name+": endpoint", e.UID, e.line); err != nil {
			return err
		}
		if err := d.put(named(name, e.line, "endpoint "+e.UID), path+"/endpoint", e.UID, e.body()); err != nil {
			return err
		}
	}
	return nil
}

func (d declarer) source(name, path string, s DeclaredSource) error {
	body := map[string]any{
		"uid": s.UID, "name": or(s.Name, s.UID), "settings": given(s.Settings), "allowFrom": null(s.AllowFrom), "disabled": s.Disabled,
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
	text, err := d.call(name, http.MethodGet, one, nil)
	if isNotFound(err) {
		if s.Door != "" {
			body["door"] = s.Door
		}
		_, err = d.call(name, http.MethodPost, path, body)
		return err
	}
	if err != nil {
		return err
	}
	var present struct{ Door string }
	if err := json.Unmarshal(text, &present); err != nil {
		return err
	}
	// A door that the file changes is rotated: platforms know the old one, and changing it in their consoles takes time.
	if s.Door != "" && s.Door != present.Door {
		if _, err := d.call(name, http.MethodPost, one+"/rotate-door", map[string]any{"door": s.Door}); err != nil {
			return err
		}
	}
	_, err = d.call(name, http.MethodPut, one, body)
	return err
}

func (e DeclaredEndpoint) body() map[string]any {
	b := map[string]any{
		"uid": e.UID, "url": e.URL, "description": e.Description, "filterTypes": null(e.EventTypes), "channels": null(e.Channels),
		"headers": object(e.Headers), "metadata": object(e.Metadata), "disabled": e.Disabled, "paused": e.Paused,
		"requireVerified": e.RequireVerified, "throttleRate": positive(e.ThrottleRate), "concurrency": positive(e.Concurrency),
		"timeoutMs": positive(int(time.Duration(e.Timeout).Milliseconds())), "format": or(string(e.Format), "payload"), "retrySchedule": nil,
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

// put creates a thing or overwrites it.
func (d declarer) put(name, path, uid string, body map[string]any) error {
	one := path + "/" + url.PathEscape(uid)
	_, err := d.call(name, http.MethodGet, one, nil)
	switch {
	case isNotFound(err):
		_, err = d.call(name, http.MethodPost, path, body)
	case err == nil:
		_, err = d.call(name, http.MethodPut, one, body)
	}
	return err
}

// uids are those that were declared so far on one level, with their lines.
type uids map[string]line

func (u uids) add(what, uid string, at line) error {
	if uid == "" {
		return &ConfigError{fmt.Sprintf("line %d: %s: has no uid", at, what)}
	}
	if first, twice := u[uid]; twice {
		return &ConfigError{fmt.Sprintf("line %d: %s: the uid %s is that of line %d already", at, what, uid, first)}
	}
	u[uid] = at
	return nil
}

// named says where a thing stands in the file and what it is.
func named(parent string, at line, name string) string {
	if parent != "" {
		name = parent + ", " + name
	}
	return fmt.Sprintf("line %d: %s", at, name)
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

func (d declarer) call(name, method, path string, in map[string]any) ([]byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(d.ctx, method, "/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.RequestURI = req.URL.RequestURI()
	req.Header.Set("Content-Type", "application/json")
	answer := &answer{header: http.Header{}, status: http.StatusOK}
	d.handler.ServeHTTP(answer, req)
	if answer.status >= 300 {
		return nil, &declareError{name, answer.status, refusalText(answer.body.Bytes())}
	}
	return answer.body.Bytes(), nil
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
