package api

import (
	"context"
	"net/http"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

type profileIn struct {
	UID      optional[uid]        `json:"uid,omitempty" doc:"Your own id of it, unique among profiles"`
	Name     string               `json:"name" minLength:"1" maxLength:"256" example:"Alipay, production"`
	Dialect  optional[string]     `json:"dialect,omitempty" maxLength:"64" doc:"Needed at creation; never changes"`
	Settings optional[settingsIn] `json:"settings,omitempty"`
}

type profileOut struct {
	ID        string      `json:"id" example:"prof_0123456789abc"`
	UID       *string     `json:"uid"`
	Name      string      `json:"name"`
	Dialect   string      `json:"dialect"`
	Settings  settingsOut `json:"settings"`
	Managed   bool        `json:"managed" doc:"Declared in the configuration file, and overwritten by it at each start"`
	CreatedAt time.Time   `json:"createdAt"`
	UpdatedAt time.Time   `json:"updatedAt"`
}

func (h *Handler) showProfile(p hook.Profile) profileOut {
	return profileOut{
		ID: p.ID.String(), UID: pointer(p.UID), Name: p.Name, Dialect: p.Dialect, Settings: h.showSettings(p.Dialect, p.Settings),
		Managed: p.Managed, CreatedAt: p.CreatedAt.UTC(), UpdatedAt: p.UpdatedAt.UTC(),
	}
}

type profilePath struct {
	Profile string `path:"profile_id" minLength:"1" maxLength:"256" doc:"Id or uid of the profile"`
}

type profileCreateInput struct{ Body profileIn }

type profileUpdateInput struct {
	Profile string `path:"profile_id" minLength:"1" maxLength:"256" doc:"Id or uid of the profile"`
	Body    profileIn
}

type profileListInput struct {
	PageIn
	OrderIn
}

const profileExists = "a profile with this uid exists already"

func (h *Handler) profiles() {
	create := operation("profile.create", http.MethodPost, "/profile", "Create a profile: settings that sources and endpoints of a dialect share")
	create.DefaultStatus = http.StatusCreated
	add(h, create, organisation, h.createProfile)
	add(h, operation("profile.list", http.MethodGet, "/profile", "List profiles"), organisation,
		func(ctx context.Context, in *profileListInput) (*output[listResponse[profileOut]], error) {
			list, err := h.Store.Profiles(ctx, in.page(in.Order, false))
			return listed(list, err, h.showProfile)
		})
	add(h, operation("profile.get", http.MethodGet, "/profile/{profile_id}", "Get a profile"), organisation,
		func(ctx context.Context, in *profilePath) (*output[profileOut], error) {
			p, err := h.profile(ctx, in.Profile)
			return &output[profileOut]{h.showProfile(p)}, err
		})
	update := operation("profile.update", http.MethodPut, "/profile/{profile_id}", "Replace a profile")
	update.Description = "What shares it uses the new settings from the next attempt on. uid, dialect and settings that are missing stay as they are."
	add(h, update, organisation, h.updateProfile)
	del := operation("profile.delete", http.MethodDelete, "/profile/{profile_id}", "Delete a profile that nothing names")
	del.DefaultStatus = http.StatusNoContent
	add(h, del, organisation, func(ctx context.Context, in *profilePath) (*struct{}, error) {
		p, err := h.profile(ctx, in.Profile)
		if err != nil {
			return nil, err
		}
		return nil, named(h.Store.DeleteProfile(ctx, p.ID), "sources or endpoints still name this profile")
	})
}

func (h *Handler) profile(ctx context.Context, ref string) (hook.Profile, error) {
	p, err := h.Store.Profile(ctx, ref)
	if hook.KindOf(err) == hook.KindNotFound {
		err = notFound("profile")
	}
	return p, err
}

func (h *Handler) createProfile(ctx context.Context, in *profileCreateInput) (*output[profileOut], error) {
	now := h.now()
	prof := hook.Profile{ID: hook.NewID[hook.ProfileID](h.IDs, now), CreatedAt: now, Dialect: in.Body.Dialect.Value, Settings: hook.Settings{}}
	if !in.Body.Dialect.given() {
		return nil, invalidRequest(wrong("body.dialect", "is needed; GET /api/v1/dialect lists them"))
	}
	prof.Managed = prof.Managed || actorOf(ctx).declaring
	if err := h.fillProfile(&prof, in.Body); err != nil {
		return nil, err
	}
	out := h.showProfile(prof)
	if err := h.Store.CreateProfile(answering(ctx, http.StatusCreated, out), prof); err != nil {
		return nil, named(err, profileExists)
	}
	return &output[profileOut]{out}, nil
}

func (h *Handler) updateProfile(ctx context.Context, in *profileUpdateInput) (*output[profileOut], error) {
	h.config.Lock()
	defer h.config.Unlock()
	prof, err := h.profile(ctx, in.Profile)
	if err != nil {
		return nil, err
	}
	if in.Body.Dialect.given() && in.Body.Dialect.Value != prof.Dialect {
		if h.Dialects[in.Body.Dialect.Value] == nil {
			return nil, invalidRequest(wrong("body.dialect", "there is no dialect %q; GET /api/v1/dialect lists them", in.Body.Dialect.Value))
		}
		return nil, invalidRequest(wrong("body.dialect", "never changes: make another profile"))
	}
	prof.Managed = prof.Managed || actorOf(ctx).declaring
	if err := h.fillProfile(&prof, in.Body); err != nil {
		return nil, err
	}
	var p problems
	if actorOf(ctx).declaring {
		// A file may move a setting from a profile to its users, which follow and are judged by themselves.
	} else if err := h.checkUsers(ctx, &p, &prof); err != nil {
		return nil, err
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if err := h.Store.UpdateProfile(ctx, prof); err != nil {
		return nil, named(err, profileExists)
	}
	return &output[profileOut]{h.showProfile(prof)}, nil
}

func (h *Handler) fillProfile(prof *hook.Profile, in profileIn) error {
	var p problems
	prof.Name = in.Name
	checkText(&p, "body.name", in.Name)
	fillUID(&p, &prof.UID, in.UID)
	d, _ := h.checkDialect(&p, prof.Dialect, "")
	if d != nil {
		if in.Settings.Set {
			prof.Settings = h.change(&p, prof.Dialect, prof.Settings, in.Settings.Value, false)
		}
		h.checkSettings(&p, d, prof.Settings, dialect.Receiving, true, nil)
	}
	prof.UpdatedAt = h.now()
	return p.err()
}
