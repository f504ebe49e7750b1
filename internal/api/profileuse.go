package api

import (
	"context"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// checkUsers looks at every source and endpoint that shares a profile: with the profile's new settings each must still have
// what it needs. Pushes would be refused and messages could not be signed otherwise, and nobody would be told here.
func (h *Handler) checkUsers(ctx context.Context, p *problems, prof *hook.Profile) error {
	d := h.Dialects[prof.Dialect]
	if d == nil {
		return nil
	}
	check := func(noun, id string, own hook.Settings, use dialect.Use) {
		for _, problem := range d.Validate(dialect.Settings(prof.Settings.Merge(own)), use, false) {
			p.add("body.settings."+problem.Field, "%s, for the %s %s that shares this profile", problem.Text, noun, id)
		}
	}
	err := each(func(page store.Page) (store.List[hook.Source], error) { return h.Store.Sources(ctx, 0, page) }, func(s hook.Source) error {
		if s.Profile == prof.ID {
			check("source", s.ID.String(), s.Settings, dialect.Receiving)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return each(func(page store.Page) (store.List[hook.Application], error) { return h.Store.Applications(ctx, page) }, func(a hook.Application) error {
		return each(func(page store.Page) (store.List[hook.Endpoint], error) { return h.Store.Endpoints(ctx, a.ID, page) }, func(e hook.Endpoint) error {
			if e.Profile == prof.ID {
				check("endpoint", e.ID.String(), e.Settings, dialect.Sending)
			}
			return nil
		})
	})
}

// each calls a func for every item of a list, page by page.
func each[T any](list func(store.Page) (store.List[T], error), do func(T) error) error {
	page := store.Page{Limit: 250}
	for {
		l, err := list(page)
		if err != nil {
			return err
		}
		for _, item := range l.Items {
			if err := do(item); err != nil {
				return err
			}
		}
		if l.Done || l.Last == "" {
			return nil
		}
		page.After = l.Last
	}
}
