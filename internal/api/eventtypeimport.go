package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

const maxImport = 1000 // event types of one document

type importInput struct {
	Body struct {
		_          struct{}          `json:"-" additionalProperties:"true"`
		DryRun     bool              `json:"dryRun,omitempty" doc:"Say what would be changed, and change nothing"`
		DryRunOld  bool              `json:"dry_run,omitempty" deprecated:"true" doc:"The older name of dryRun"`
		ReplaceAll bool              `json:"replaceAll,omitempty" doc:"Archive every event type that the document does not have"`
		Spec       optional[specDoc] `json:"spec,omitempty" doc:"The OpenAPI document"`
		SpecRaw    optional[string]  `json:"specRaw,omitempty" doc:"The OpenAPI document as a text in JSON or YAML"`
	}
}

type specDoc map[string]any

type importOut struct {
	Data importedOut `json:"data"`
}

type importedOut struct {
	Modified []string      `json:"modified" nullable:"false" doc:"Names of what was made or replaced"`
	ToModify []importedNew `json:"to_modify" doc:"What would be, with dryRun"`
}

type importedNew struct {
	Name         string     `json:"name"`
	Description  string     `json:"description"`
	Deprecated   bool       `json:"deprecated"`
	Schemas      schemasOut `json:"schemas"`
	FeatureFlag  *string    `json:"featureFlag"`
	FeatureFlags []string   `json:"featureFlags"`
	GroupName    *string    `json:"groupName"`
}

// importOpenAPI makes event types of the webhooks of an OpenAPI document. Everything is checked before anything is written; a
// crash in between leaves some written, and the same request once more writes the rest.
func (h *Handler) importOpenAPI(ctx context.Context, in *importInput) (*output[importOut], error) {
	spec, err := readSpec(in.Body.Spec, in.Body.SpecRaw)
	if err != nil {
		return nil, err
	}
	found, err := webhooksOf(spec)
	if err != nil {
		return nil, err
	}
	h.config.Lock()
	defer h.config.Unlock()
	types, known, err := h.imported(ctx, found)
	if err != nil {
		return nil, err
	}
	out := importOut{importedOut{Modified: []string{}}}
	if in.Body.DryRun || in.Body.DryRunOld {
		for i := range types {
			t := showEventType(types[i])
			out.Data.ToModify = append(out.Data.ToModify, importedNew{
				t.Name, t.Description, t.Deprecated, t.Schemas, t.FeatureFlag, t.FeatureFlags, t.GroupName,
			})
		}
		return &output[importOut]{out}, nil
	}
	if in.Body.ReplaceAll {
		others, err := h.othersThan(ctx, found)
		if err != nil {
			return nil, err
		}
		types = append(others, types...)
	}
	for _, w := range found {
		out.Data.Modified = append(out.Data.Modified, w.name)
	}
	defer h.Forget()
	for i := range types {
		save, write := h.Store.CreateEventType, ctx
		if known[types[i].Name] || types[i].Archived {
			save = h.Store.UpdateEventType
		}
		if i == len(types)-1 {
			write = answering(ctx, http.StatusOK, out)
		}
		if err := save(write, types[i]); err != nil {
			return nil, named(err, "an event type was made by somebody else at the same time: import again")
		}
	}
	return &output[importOut]{out}, nil
}

// imported makes event types of webhooks: new ones, and those that are known with what the document says of them.
func (h *Handler) imported(ctx context.Context, found []webhook) (types []hook.EventType, known map[string]bool, err error) {
	known = map[string]bool{}
	now := h.now()
	for _, w := range found {
		t, err := h.Store.EventType(ctx, w.name)
		switch {
		case err == nil:
			known[w.name] = true
		case hook.KindOf(err) == hook.KindNotFound:
			t = h.newEventType(w.name)
		default:
			return nil, nil, err
		}
		t.Description, t.Deprecated, t.Archived, t.UpdatedAt = w.description, w.deprecated, false, now
		if t.Schemas = w.schemas; w.group != "" {
			t.GroupName = w.group
		}
		types = append(types, t)
	}
	return types, known, nil
}

// othersThan returns the event types that are not among some, to be archived.
func (h *Handler) othersThan(ctx context.Context, found []webhook) ([]hook.EventType, error) {
	var others []hook.EventType
	for page := (store.Page{Limit: 250}); ; {
		list, err := h.Store.EventTypes(ctx, store.EventTypeFilter{}, page)
		if err != nil {
			return nil, err
		}
		for _, t := range list.Items {
			if !slices.ContainsFunc(found, func(w webhook) bool { return w.name == t.Name }) {
				t.Archived, t.UpdatedAt = true, h.now()
				others = append(others, t)
			}
		}
		if page.After = list.Last; list.Done {
			return others, nil
		}
	}
}

// readSpec reads the document from the one of the two members that holds it.
func readSpec(spec optional[specDoc], raw optional[string]) (map[string]any, error) {
	if spec.given() == raw.given() {
		return nil, newError(http.StatusBadRequest, "bad_request", "give the document either as spec or as specRaw")
	}
	if spec.given() {
		return spec.Value, nil
	}
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(raw.Value), &doc); err != nil { // JSON is YAML, too
		return nil, invalidRequest(wrong("body.specRaw", "is neither JSON nor YAML with an object"))
	}
	return doc, nil
}

// webhook is what an OpenAPI document says of one event type.
type webhook struct {
	name, description, group string
	deprecated               bool
	schemas                  json.RawMessage
}

// webhooksOf finds the webhooks of a document, by name, and checks them.
func webhooksOf(spec map[string]any) ([]webhook, error) {
	hooks := map[string]any{}
	for _, member := range []string{"x-webhooks", "webhooks"} {
		if m, ok := spec[member].(map[string]any); ok {
			maps.Copy(hooks, m)
		}
	}
	switch {
	case len(hooks) == 0:
		return nil, invalidRequest(wrong("body.spec.webhooks", "is needed: the document describes no webhooks"))
	case len(hooks) > maxImport:
		return nil, invalidRequest(wrong("body.spec.webhooks", "has more than %d members", maxImport))
	}
	var p problems
	var found []webhook
	for _, name := range slices.Sorted(maps.Keys(hooks)) {
		loc := "body.spec.webhooks." + clip(name)
		if !isEventType(name) {
			p.add(loc, badEventType, maxEventType)
			continue
		}
		w, err := readWebhook(loc, name, hooks[name], spec)
		if err != nil {
			p = append(p, err.(*apiError).fields...)
			continue
		}
		found = append(found, w)
	}
	return found, p.err()
}

func readWebhook(loc, name string, item any, spec map[string]any) (webhook, error) {
	w := webhook{name: name}
	post, _ := memberOf(item, "post")
	if post == nil {
		return w, invalidRequest(wrong(loc+".post", "is needed"))
	}
	w.deprecated, _ = post["deprecated"].(bool)
	schema := schemaOf(post)
	for _, from := range []map[string]any{post, schema} {
		for _, member := range []string{"description", "summary"} {
			if text, _ := from[member].(string); w.description == "" {
				w.description = text
			}
		}
	}
	if len(w.description) > maxDescription || !isText(strings.NewReplacer("\n", " ", "\r", " ", "\t", " ").Replace(w.description)) {
		return w, invalidRequest(wrong(loc+".post.description", "is longer than %d bytes or holds control characters", maxDescription))
	}
	if group, _ := post["x-svix-group-name"].(string); isName(group, maxName) {
		w.group = group
	}
	if schema == nil {
		return w, nil
	}
	doc, err := plainJSON(map[string]any{"1": standAlone(schema, spec)})
	if err != nil {
		return w, invalidRequest(wrong(loc, "cannot be written as JSON")) // YAML knows more than JSON
	}
	w.schemas = doc
	return w, readSchemas(loc+".schemas", doc)
}

// schemaOf finds the schema of a request's body in JSON.
func schemaOf(post map[string]any) map[string]any {
	body, _ := memberOf(post, "requestBody")
	content, _ := memberOf(body, "content")
	media, _ := memberOf(content, "application/json")
	schema, _ := memberOf(media, "schema")
	return schema
}

func memberOf(v any, member string) (map[string]any, bool) {
	m, _ := v.(map[string]any)
	inner, ok := m[member].(map[string]any)
	return inner, ok
}

// standAlone is a schema with the document's components that it refers to, at the place where its references look for them.
func standAlone(schema, spec map[string]any) map[string]any {
	components, _ := memberOf(spec, "components")
	all, _ := memberOf(components, "schemas")
	needed := map[string]any{}
	var look func(any)
	look = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				look(item)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				rest, _ := strings.CutPrefix(ref, "#/components/schemas/")
				name, _, _ := strings.Cut(rest, "/")
				if _, known := needed[name]; !known && all[name] != nil {
					needed[name] = all[name]
					look(all[name])
				}
			}
			for _, item := range v {
				look(item)
			}
		}
	}
	look(schema)
	if len(needed) == 0 {
		return schema
	}
	out := maps.Clone(schema)
	out["components"] = map[string]any{"schemas": needed}
	return out
}
