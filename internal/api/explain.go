package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/explain"
	"github.com/waypost/waypost/internal/capture"
	"github.com/waypost/waypost/internal/diagnose"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// capturedIn is a request in the JSON form of package capture, which reads it.
type capturedIn []byte

// UnmarshalJSON keeps the text.
func (c *capturedIn) UnmarshalJSON(b []byte) error {
	*c = append((*c)[:0], b...)
	return nil
}

// Schema is any object.
func (capturedIn) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true,
		Description: `{"method", "url" or "query", "headers": {name: value or list}, "body" as text or "bodyBase64"}, or an entry of an HTTP archive`,
	}
}

// explainIn is a request in one of four forms, and what to judge it by.
type explainIn struct {
	Request capturedIn `json:"request,omitempty"`
	Capture string     `json:"capture,omitempty" doc:"A captured request as text: raw HTTP, a curl or PowerShell command line, an HTTP archive, JSON"`
	Format  string     `json:"format,omitempty" enum:"auto,http,curl,cmd,powershell,har,json" default:"auto" doc:"Of capture"`
	Index   int        `json:"index,omitempty" minimum:"0" maximum:"100000" doc:"Which request of a capture that holds several; 1 = the first"`
	URL     string     `json:"url,omitempty" maxLength:"1000" doc:"Or a part of its URL"`
	Message string     `json:"message,omitempty" maxLength:"256" doc:"Id or eventId of a stored message of a source"`
	Refused string     `json:"refused,omitempty" maxLength:"256" doc:"Id of a refused request of the source"`

	Application string               `json:"application,omitempty" maxLength:"256" doc:"Id or uid; an application's token may leave it out"`
	Source      string               `json:"source,omitempty" maxLength:"256" doc:"Id or uid of the source whose settings judge; its secrets are shown to nobody. A message knows its own"`
	Settings    optional[settingsIn] `json:"settings,omitempty" doc:"Settings to judge by instead; for the organisation's token only"`
	At          optional[time.Time]  `json:"at,omitempty" doc:"The moment to judge time stamps by; default when a stored request came, else now"`
}

type explainInput struct {
	Name string `path:"name" maxLength:"64"`
	Body explainIn
}

func (h *Handler) explainRoute() {
	op := operation("dialect.explain", http.MethodPost, "/dialect/{name}/explain", "Say whether a captured request is right, and if not, why")
	op.Description = "Nothing is stored, sent or accepted. The work is bounded: a request may be answered as not known though a longer search would " +
		"find its cause; whole says so. Requests whose text is larger than the server takes are refused with 413."
	within(h, h.explains, op, member, h.explain)
}

func (h *Handler) explain(ctx context.Context, in *explainInput) (*output[diagnose.Diagnosis], error) {
	d, ok := h.Dialects[in.Name]
	if !ok {
		return nil, notFound("dialect")
	}
	if d.Receive == nil {
		return nil, invalidRequest(wrong("path.name", "%s cannot receive: it has a sending half only", in.Name))
	}
	if err := in.Body.check(actorOf(ctx)); err != nil {
		return nil, err
	}
	subject, by, err := h.subject(ctx, &in.Body)
	if err != nil {
		return nil, err
	}
	if in.Body.Settings.Set {
		by.dialect = in.Name
		if by.settings, err = h.givenSettings(d, in.Body.Settings.Value); err != nil {
			return nil, err
		}
	}
	if by.dialect != in.Name {
		return nil, invalidRequest(wrong("body.source", "is of the dialect %s, not %s", by.dialect, clip(in.Name)))
	}
	if in.Body.At.given() {
		subject.Now = in.Body.At.Value
	}
	out := h.diagnose(d, by.settings, subject.Inbound, explain.Limits{Others: by.others})
	out.Note(subject.Notes...)
	return &output[diagnose.Diagnosis]{out}, nil
}

// check looks at what was given together.
func (in *explainIn) check(a actor) error {
	var p problems
	forms := 0
	for _, given := range []bool{in.Request != nil, in.Capture != "", in.Message != "", in.Refused != ""} {
		if given {
			forms++
		}
	}
	if forms != 1 {
		p.add("body", "give one of request, capture, message and refused")
	}
	if in.Capture == "" && (in.Index != 0 || in.URL != "" || in.Format != "" && in.Format != string(capture.Auto)) {
		p.add("body.capture", "is what format, index and url are about: it is missing")
	}
	if in.Settings.Set && !a.isOrganisation() {
		return forbidden("only the organisation's token may give settings: name a source of the application")
	}
	if !in.Settings.Set && in.Source == "" && in.Message == "" {
		p.add("body.source", "is needed, or settings: by what is the request judged?")
	}
	if in.Refused != "" && in.Source == "" {
		p.add("body.source", "is needed: refused requests are kept for each source")
	}
	if in.Application == "" && a.isOrganisation() && (in.Source != "" || in.Message != "" || in.Refused != "") {
		p.add("body.application", "is needed: the application of the source")
	}
	return p.err()
}

// judge is what a request is judged by.
type judge struct {
	dialect  string
	settings dialect.Settings
	others   []explain.Other
}

// subject finds the request, and the settings of the source that it names.
func (h *Handler) subject(ctx context.Context, in *explainIn) (r capture.Request, by judge, err error) {
	if in.Request != nil || in.Capture != "" {
		if r, err = in.read(); err != nil {
			return r, by, err
		}
		r.Now = h.Now()
		if in.Source == "" {
			return r, by, nil
		}
	}
	app, err := h.ownApplication(ctx, in.Application)
	if err != nil {
		return r, by, err
	}
	ref := in.Source
	if in.Message != "" {
		if r, ref, err = h.storedMessage(ctx, app, in.Message, ref); err != nil {
			return r, by, err
		}
	}
	s, err := h.source(ctx, &SourcePath{AppPath{app.ID.String()}, ref})
	if hook.KindOf(err) == hook.KindNotFound && in.Message != "" && in.Settings.Set {
		return r, by, nil // the source went, but the settings are here
	}
	if err != nil {
		return r, by, err
	}
	if in.Refused != "" {
		if r, err = h.storedRefusal(ctx, s, in.Refused); err != nil {
			return r, by, err
		}
	}
	by, err = h.ownSettings(ctx, s)
	return r, by, err
}

func (in *explainIn) read() (capture.Request, error) {
	text, loc, format := []byte(in.Capture), "body.capture", capture.Format(in.Format)
	if in.Request != nil {
		text, loc, format = in.Request, "body.request", capture.Auto
	}
	r, err := capture.Read(text, format, capture.Choice{Index: in.Index, URL: in.URL})
	if err != nil {
		return r, invalidRequest(wrong(loc, "%v", err))
	}
	return r, nil
}

// ownApplication is the application that a request names. What belongs to others does not exist for an application's token.
func (h *Handler) ownApplication(ctx context.Context, ref string) (hook.Application, error) {
	if a := actorOf(ctx); !a.isOrganisation() {
		if err := h.admit(ctx, a, member, ref); err != nil {
			return hook.Application{}, err
		}
		ref = a.app.String()
	}
	return h.app(ctx, ref)
}

// storedMessage returns the request that brought a message, and the source that it came by.
func (h *Handler) storedMessage(ctx context.Context, app hook.Application, ref, source string) (capture.Request, string, error) {
	var r capture.Request
	m, err := h.Store.Message(ctx, app.ID, ref, true)
	switch {
	case hook.KindOf(err) == hook.KindNotFound:
		return r, "", notFound("message")
	case err != nil:
		return r, "", err
	case m.Source == 0:
		return r, "", invalidRequest(wrong("body.message", "was published through the API: no platform has signed it"))
	case m.Raw == nil:
		return r, "", invalidRequest(wrong("body.message", "has lost its content to retention: the request is gone"))
	}
	r = stored(*m.Raw, m.CreatedAt)
	if source == "" {
		source = m.Source.String()
	}
	return r, source, nil
}

// maxRefusals is how many refused requests of a source are looked through.
const maxRefusals = 100

func (h *Handler) storedRefusal(ctx context.Context, s hook.Source, ref string) (capture.Request, error) {
	var r capture.Request
	id, err := hook.ParseID[hook.RefusalID](ref)
	if err != nil {
		return r, invalidRequest(wrong("body.refused", "is not an id of the form ref_…; the source's list of refused requests has them"))
	}
	all, err := h.Store.Refusals(ctx, s.ID, maxRefusals)
	if err != nil {
		return r, err
	}
	for _, one := range all {
		if one.ID == int64(id) {
			return stored(one.Raw, one.At), nil
		}
	}
	return r, notFound("refused request: only the last ones of each source are kept")
}

// maxOthers is how many other sources are looked through for the settings that fit.
const maxOthers = 10

// ownSettings are the settings of a source, and those of the application's other sources of the dialect: the secret of the
// sandbox is taken for that of production more often than any other.
func (h *Handler) ownSettings(ctx context.Context, s hook.Source) (judge, error) {
	route, err := h.Store.SourceRoute(ctx, s.ID)
	if err != nil {
		return judge{}, err
	}
	by := judge{dialect: s.Dialect, settings: dialect.Settings(route.Settings)}
	list, err := h.Store.Sources(ctx, s.App, store.Page{Limit: 100, Descending: true})
	if err != nil {
		return judge{}, err
	}
	for _, other := range list.Items {
		if other.ID == s.ID || other.Dialect != s.Dialect || len(by.others) == maxOthers {
			continue
		}
		route, err := h.Store.SourceRoute(ctx, other.ID)
		if hook.KindOf(err) == hook.KindNotFound {
			continue // it went just now
		} else if err != nil {
			return judge{}, err
		}
		name := other.Name
		if name == "" {
			name = other.ID.String()
		}
		by.others = append(by.others, explain.Other{Name: name, Settings: dialect.Settings(route.Settings)})
	}
	return by, nil
}

// givenSettings checks settings that came with the request.
func (h *Handler) givenSettings(d *dialect.Dialect, in settingsIn) (dialect.Settings, error) {
	var p problems
	s := h.change(&p, d.Name, nil, in, false)
	if err := p.err(); err != nil {
		return nil, err
	}
	h.checkSettings(&p, d, s, dialect.Receiving, false, nil)
	return dialect.Settings(s), p.err()
}
