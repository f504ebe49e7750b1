package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// PlainHeader asks, with any value, for answers that hold only what Svix's own have: for clients that refuse members which
// they do not know. Client libraries of Svix that are known to refuse them need not send it.
const PlainHeader = "Waypost-Plain"

// tolerantSince are the first versions of Svix's client libraries that overlook members which they do not know, as {major, minor}.
// Before them answers were decoded by generated code that refuses a whole answer for one unknown member: Go's by
// DisallowUnknownFields (go/internal/openapi of 1.44.0; replaced in 1.57.0), Java's and Kotlin's until 1.73.0 (Svix's
// ChangeLog of that version). Those of other languages never did.
var tolerantSince = map[string][2]int{"go": {1, 57}, "java": {1, 73}, "kotlin": {1, 73}}

// wantsPlain says whether a request is to be answered without additions.
func wantsPlain(r *http.Request) bool {
	return r.Header.Get(PlainHeader) != "" || refusesAdditions(r.UserAgent())
}

// refusesAdditions says whether a client library refuses members that it does not know.
func refusesAdditions(agent string) bool {
	language, major, minor, ok := libraryOf(agent)
	tolerant, known := tolerantSince[language]
	return ok && known && (major < tolerant[0] || major == tolerant[0] && minor < tolerant[1])
}

// libraryOf reads the User-Agent of Svix's client libraries, as svix-libs/1.44.0/go, of which later versions say more behind a
// blank. language is in lower case.
func libraryOf(agent string) (language string, major, minor int, ok bool) {
	rest, ok := strings.CutPrefix(agent, "svix-libs/")
	if !ok {
		return "", 0, 0, false
	}
	rest, _, _ = strings.Cut(rest, " ")
	version, language, _ := strings.Cut(rest, "/")
	majorText, rest, _ := strings.Cut(version, ".")
	minorText, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(majorText)
	if err != nil {
		return "", 0, 0, false
	}
	minor, err = strconv.Atoi(minorText)
	return strings.ToLower(language), major, minor, err == nil
}

// svixMembers are the members that Svix's client libraries of version 1.44.0 know in its answers, by the names of our schemas.
// Schemas that are not here are shown whole.
var svixMembers = map[string]string{
	"ApplicationOut":     "createdAt id metadata name rateLimit uid updatedAt",
	"AttemptOut":         "endpointId id msg msgId response responseDurationMs responseStatusCode status timestamp triggerType url",
	"EndpointMessageOut": "channels eventId eventType id nextAttempt payload status tags timestamp",
	"EndpointOut":        "channels createdAt description disabled filterTypes id metadata rateLimit uid updatedAt url version",
	"EndpointStats":      "fail pending sending success",
	"EventTypeOut":       "archived createdAt deprecated description featureFlag groupName name schemas updatedAt",
	"MessageEndpointOut": "channels createdAt description disabled filterTypes id nextAttempt rateLimit status uid updatedAt url version",
	"MessageOut":         "channels eventId eventType id payload tags timestamp",
	"OperationalOut":     "createdAt description disabled filterTypes id metadata rateLimit uid updatedAt url",
	"TaskOut":            "data id status task",
	"TaskStarted":        "id status task",
}

// shape says which members of a document stay. A nil shape keeps everything.
type shape struct {
	only    map[string]bool // nil = every member
	members map[string]*shape
	items   *shape
}

// plainShapes are the shapes of the answers that have additions, by the pattern of their operation.
func plainShapes(doc *huma.OpenAPI) map[string]*shape {
	out := map[string]*shape{}
	for path, item := range doc.Paths {
		for method, op := range map[string]*huma.Operation{
			http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch,
		} {
			if op == nil {
				continue
			}
			for code, answer := range op.Responses {
				if !strings.HasPrefix(code, "2") || answer.Content[jsonType] == nil {
					continue
				}
				if s := shapeOf(doc.Components.Schemas, answer.Content[jsonType].Schema); s != nil {
					out[method+" "+path] = s
				}
			}
		}
	}
	return out
}

// shapeOf is the shape of a schema; nil when nothing in it is an addition.
func shapeOf(registry huma.Registry, s *huma.Schema) *shape {
	if s == nil {
		return nil
	}
	var out shape
	if s.Ref != "" {
		name := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
		s = registry.SchemaFromRef(s.Ref)
		if members, ok := svixMembers[name]; ok {
			out.only = map[string]bool{}
			for _, m := range strings.Fields(members) {
				out.only[m] = true
			}
		}
	}
	for name, inner := range s.Properties {
		if below := shapeOf(registry, inner); below != nil {
			if out.members == nil {
				out.members = map[string]*shape{}
			}
			out.members[name] = below
		}
	}
	out.items = shapeOf(registry, s.Items)
	if out.only == nil && out.members == nil && out.items == nil {
		return nil
	}
	return &out
}

// keep appends a document with only the members of a shape. What stays keeps its bytes.
func (s *shape) keep(b, doc []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		return s.keepMembers(b, d)
	case json.Delim('['):
		return s.keepItems(b, d)
	}
	return append(b, doc...), nil // null
}

func (s *shape) keepMembers(b []byte, d *json.Decoder) ([]byte, error) {
	b = append(b, '{')
	first := len(b)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string) // a member's name is a text
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if s.only != nil && !s.only[name] {
			continue
		}
		if len(b) > first {
			b = append(b, ',')
		}
		quoted, err := plainJSON(name)
		if err != nil {
			return nil, err
		}
		b = append(append(b, quoted...), ':')
		if b, err = s.members[name].append(b, value); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func (s *shape) keepItems(b []byte, d *json.Decoder) ([]byte, error) {
	b = append(b, '[')
	for i := 0; d.More(); i++ {
		var value json.RawMessage
		err := d.Decode(&value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = s.items.append(b, value); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// append is keep that takes a nil shape.
func (s *shape) append(b, doc []byte) ([]byte, error) {
	if s == nil {
		return append(b, doc...), nil
	}
	return s.keep(b, doc)
}

// plainWriter holds an answer back until its additions can be left out. Answers are bounded, so it may.
type plainWriter struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *plainWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *plainWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// servePlain answers a request without additions.
func (h *Handler) servePlain(w http.ResponseWriter, r *http.Request) {
	held := &plainWriter{ResponseWriter: w}
	h.mux.ServeHTTP(held, r)
	body := held.body.Bytes()
	if s := h.plain[r.Pattern]; s != nil && held.status < http.StatusMultipleChoices && len(body) > 0 {
		kept, err := s.keep(make([]byte, 0, len(body)), body)
		if err != nil {
			h.Log.Error("an answer could not be made plain", "route", r.Pattern, "error", err)
			writeError(w, internalError())
			return
		}
		body = append(kept, '\n')
	}
	if held.status != 0 {
		w.WriteHeader(held.status)
	}
	if len(body) > 0 {
		_, _ = w.Write(body)
	}
}
