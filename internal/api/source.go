package api

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"net/http"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

const (
	doorPath       = "/in/"
	doorBytes      = 16 // 128 random bits
	maxOldDoors    = 10
	defaultOverlap = 7 * 24 * time.Hour
	maxVerify      = 7 * 24 * time.Hour
)

// SourceFields are the members of a source that may be missing.
type SourceFields struct {
	UID         optional[uid]        `json:"uid,omitempty" doc:"Your own id of it, unique within the application"`
	Name        optional[string]     `json:"name,omitempty" maxLength:"256"`
	Dialect     optional[string]     `json:"dialect,omitempty" maxLength:"64" doc:"The platform's protocol; needed without a profile"`
	Profile     optional[string]     `json:"profile,omitempty" maxLength:"256" doc:"Id or uid of the profile whose settings it shares"`
	Settings    optional[settingsIn] `json:"settings,omitempty"`
	Transport   optional[string]     `json:"transport,omitempty" enum:"http,longconn" doc:"How its pushes come. http = the platform posts them to its URL; longconn = over Alipay's long connection, which this server opens, for the dialect alipay; its URL goes on to work. Default http"`
	Door        optional[string]     `json:"door,omitempty" pattern:"^[A-Za-z0-9_-]{8,128}$" doc:"The last part of its URL, unique on the server; made of 128 random bits when missing. It is changed by rotate-door"`
	VerifyUntil optional[time.Time]  `json:"verifyUntil,omitempty" doc:"Until then a POST that is no message of the platform is answered as its console's test wants; at most 7 days ahead"`
	AllowFrom   optional[[]string]   `json:"allowFrom,omitempty" maxItems:"100" doc:"Networks that may push, as 203.0.113.0/24; null = any"`
	Disabled    optional[bool]       `json:"disabled,omitempty" doc:"Answers 503, so that the platform repeats; one that dials out hangs up"`
}

type sourceIn struct{ SourceFields }

type oldDoorOut struct {
	Door  string    `json:"door"`
	Until time.Time `json:"until"`
}

type sourceOut struct {
	ID          string       `json:"id" example:"src_0123456789abc"`
	UID         *string      `json:"uid"`
	Name        string       `json:"name"`
	Dialect     string       `json:"dialect"`
	Profile     *string      `json:"profile"`
	Settings    settingsOut  `json:"settings"`
	Transport   string       `json:"transport" enum:"http,longconn"`
	Connection  *Connection  `json:"connection" doc:"How it stands with its platform; null unless its transport is longconn"`
	Door        string       `json:"door"`
	Path        string       `json:"path" example:"/in/2c5v9zqk7m4x1d8f0b6h3n5t7w"`
	URL         string       `json:"url" doc:"What to enter at the platform; only the path when the server does not know its public address"`
	OldDoors    []oldDoorOut `json:"oldDoors" nullable:"false" doc:"Earlier doors that still open"`
	VerifyUntil *time.Time   `json:"verifyUntil"`
	AllowFrom   []string     `json:"allowFrom"`
	Disabled    bool         `json:"disabled"`
	Managed     bool         `json:"managed" doc:"Declared in the configuration file, and overwritten by it at each start"`
	CreatedAt   time.Time    `json:"createdAt"`
	UpdatedAt   time.Time    `json:"updatedAt"`
}

func (h *Handler) showSource(s hook.Source) sourceOut {
	out := sourceOut{
		ID: s.ID.String(), UID: pointer(s.UID), Name: s.Name, Dialect: s.Dialect, Profile: pointer(s.Profile.String()),
		Settings: h.showSettings(s.Dialect, s.Settings), Transport: showSourceTransport(s.Transport), Connection: h.showConnection(s), Door: s.Door, Path: doorPath + s.Door, URL: h.PublicURL + doorPath + s.Door,
		OldDoors: []oldDoorOut{}, VerifyUntil: pointer(s.VerifyUntil), AllowFrom: s.AllowFrom, Disabled: s.Disabled, Managed: s.Managed,
		CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(),
	}
	for _, d := range s.OldDoors {
		if d.Until.After(h.Now()) {
			out.OldDoors = append(out.OldDoors, oldDoorOut{d.Door, d.Until.UTC()})
		}
	}
	if len(out.AllowFrom) == 0 {
		out.AllowFrom = nil
	}
	return out
}

// SourcePath is the source that a path names.
type SourcePath struct {
	AppPath
	Source string `path:"source_id" minLength:"1" maxLength:"256" doc:"Id or uid of the source"`
}

type sourceCreateInput struct {
	AppPath
	Body sourceIn
}

type sourceListInput struct {
	AppPath
	PageIn
	OrderIn
}

type sourceUpdateInput struct {
	SourcePath
	Body sourceIn
}

type rotateDoorIn struct {
	Door           optional[string] `json:"door,omitempty" pattern:"^[A-Za-z0-9_-]{8,128}$" doc:"The new door; made when missing"`
	OverlapSeconds optional[int]    `json:"overlapSeconds,omitempty" minimum:"0" maximum:"31536000" doc:"How long the old door still opens; default 7 days, 0 = not at all"`
}

type rotateDoorInput struct {
	SourcePath
	Body *rotateDoorIn
}

const (
	sourceExists = "a source with this uid exists already in the application, or its door is taken"
	doorTaken    = "this door is taken"
)

func (h *Handler) sources() {
	const path, one = "/app/{app_id}/source", "/app/{app_id}/source/{source_id}"
	create := operation("source.create", http.MethodPost, path, "Create a source: a URL for one platform's pushes")
	create.DefaultStatus = http.StatusCreated
	add(h, create, organisation, h.createSource)
	add(h, operation("source.list", http.MethodGet, path, "List sources"), member, h.listSources)
	add(h, operation("source.get", http.MethodGet, one, "Get a source"), member,
		func(ctx context.Context, in *SourcePath) (*output[sourceOut], error) {
			s, err := h.source(ctx, in)
			return &output[sourceOut]{h.showSource(s)}, err
		})
	update := operation("source.update", http.MethodPut, one, "Replace a source")
	update.Description = "uid, dialect, profile, settings, transport and door that are missing stay as they are; other members get their defaults."
	add(h, update, organisation, h.updateSource)
	del := operation("source.delete", http.MethodDelete, one, "Delete a source")
	del.DefaultStatus = http.StatusNoContent
	add(h, del, organisation, func(ctx context.Context, in *SourcePath) (*struct{}, error) {
		s, err := h.source(ctx, in)
		if err != nil {
			return nil, err
		}
		return nil, h.Store.DeleteSource(ctx, s.App, s.ID)
	})
	add(h, operation("source.rotate-door", http.MethodPost, one+"/rotate-door", "Give a source a new URL; the old one opens for a while"),
		organisation, h.rotateDoor)
	h.produceRoute(one)
	within(h, h.explains, operation("source.refused", http.MethodGet, one+"/refused", "The last requests that were turned away, newest first, and why"), member, h.listRefused)
}

func (h *Handler) source(ctx context.Context, in *SourcePath) (hook.Source, error) {
	app, err := h.app(ctx, in.App)
	if err != nil {
		return hook.Source{}, err
	}
	s, err := h.Store.Source(ctx, app.ID, in.Source)
	if hook.KindOf(err) == hook.KindNotFound {
		err = notFound("source")
	}
	return s, err
}

func (h *Handler) listSources(ctx context.Context, in *sourceListInput) (*output[listResponse[sourceOut]], error) {
	app, err := h.app(ctx, in.App)
	if err != nil {
		return nil, err
	}
	list, err := h.Store.Sources(ctx, app.ID, in.page(in.Order, false))
	return listed(list, err, h.showSource)
}

func (h *Handler) createSource(ctx context.Context, in *sourceCreateInput) (*output[sourceOut], error) {
	app, err := h.app(ctx, in.App)
	if err != nil {
		return nil, err
	}
	now := h.now()
	s := hook.Source{ID: hook.NewID[hook.SourceID](h.IDs, now), App: app.ID, CreatedAt: now, Settings: hook.Settings{}, Door: newDoor()}
	if in.Body.Door.given() {
		s.Door = in.Body.Door.Value
	}
	if err := h.fillSource(ctx, &s, in.Body.SourceFields); err != nil {
		return nil, err
	}
	out := h.showSource(s)
	if err := h.Store.CreateSource(answering(ctx, http.StatusCreated, out), s); err != nil {
		return nil, named(err, sourceExists)
	}
	return &output[sourceOut]{out}, nil
}

func (h *Handler) updateSource(ctx context.Context, in *sourceUpdateInput) (*output[sourceOut], error) {
	h.config.Lock()
	defer h.config.Unlock()
	s, err := h.source(ctx, &in.SourcePath)
	if err != nil {
		return nil, err
	}
	if in.Body.Door.given() && in.Body.Door.Value != s.Door {
		return nil, invalidRequest(wrong("body.door", "is changed with rotate-door, which keeps the old one open for a while"))
	}
	if err := h.fillSource(ctx, &s, in.Body.SourceFields); err != nil {
		return nil, err
	}
	if err := h.Store.UpdateSource(ctx, s); err != nil {
		return nil, named(err, sourceExists)
	}
	return &output[sourceOut]{h.showSource(s)}, nil
}

// fillSource applies a request to a source and checks what came of it.
func (h *Handler) fillSource(ctx context.Context, s *hook.Source, in SourceFields) error {
	var p problems
	fillUID(&p, &s.UID, in.UID)
	in.Name.into(&s.Name, true)
	checkText(&p, "body.name", s.Name)
	in.Disabled.into(&s.Disabled, true)
	in.AllowFrom.into(&s.AllowFrom, true)
	checkNetworks(&p, "body.allowFrom", s.AllowFrom)
	in.VerifyUntil.into(&s.VerifyUntil, true)
	s.VerifyUntil = s.VerifyUntil.UTC().Truncate(time.Millisecond)
	if s.VerifyUntil.After(h.Now().Add(maxVerify)) {
		p.add("body.verifyUntil", "lies more than 7 days ahead")
	}
	if err := h.fillSourceSettings(ctx, &p, s, in); err != nil {
		return err
	}
	s.UpdatedAt = h.now()
	s.Managed = s.Managed || actorOf(ctx).declaring
	return p.err()
}

func (h *Handler) fillSourceSettings(ctx context.Context, p *problems, s *hook.Source, in SourceFields) error {
	name, ref := s.Dialect, s.Profile.String()
	if in.Profile.Set {
		ref = in.Profile.Value
	}
	if in.Dialect.Set {
		name = in.Dialect.Value
	} else if in.Profile.Set {
		name = ""
	}
	shared, err := h.profileFor(ctx, p, s.Profile, ref)
	if err != nil {
		return err
	}
	if name == "" && shared.Dialect == "" {
		if !in.Profile.given() {
			p.add("body.dialect", "is needed, or a profile; GET /api/v1/dialect lists the dialects")
		}
		return nil
	}
	d, name := h.checkDialect(p, name, shared.Dialect)
	if d == nil {
		return nil
	}
	if d.Receive == nil {
		p.add("body.dialect", "%s cannot receive: it has a sending half only", name)
		return nil
	}
	s.Dialect, s.Profile = name, shared.ID
	if in.Settings.Set {
		s.Settings = h.change(p, name, s.Settings, in.Settings.Value, false)
	}
	merged, before := shared.Settings.Merge(s.Settings), len(*p)
	h.checkSettings(p, d, merged, dialect.Receiving, false, nil)
	if len(*p) > before {
		return nil
	}
	return h.fillSourceTransport(ctx, p, s, in, merged)
}

// newDoor draws a door that nobody can guess.
func newDoor() string {
	b := make([]byte, doorBytes)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

func (h *Handler) rotateDoor(ctx context.Context, in *rotateDoorInput) (*output[sourceOut], error) {
	var wish rotateDoorIn
	if in.Body != nil {
		wish = *in.Body
	}
	h.config.Lock()
	defer h.config.Unlock()
	s, err := h.source(ctx, &in.SourcePath)
	if err != nil {
		return nil, err
	}
	door, overlap, now := newDoor(), defaultOverlap, h.now()
	wish.Door.into(&door, false)
	if wish.Door.Null {
		door = newDoor()
	}
	if door == s.Door {
		return nil, invalidRequest(wrong("body.door", "is the present one"))
	}
	if wish.OverlapSeconds.given() {
		overlap = time.Duration(wish.OverlapSeconds.Value) * time.Second
	}
	var old []hook.OldDoor
	for _, d := range s.OldDoors {
		if d.Until.After(now) && d.Door != door {
			old = append(old, d)
		}
	}
	if overlap > 0 {
		old = append(old, hook.OldDoor{Door: s.Door, Until: now.Add(overlap)})
	}
	if len(old) > maxOldDoors {
		return nil, conflict("%d old doors are still open; wait until one has closed, or rotate with overlapSeconds 0", maxOldDoors)
	}
	s.Door, s.OldDoors, s.UpdatedAt = door, old, now
	out := h.showSource(s)
	if err := h.Store.UpdateSource(answering(ctx, http.StatusOK, out), s); err != nil {
		return nil, named(err, doorTaken)
	}
	return &output[sourceOut]{out}, nil
}
