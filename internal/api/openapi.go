package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

const root = "/api/v1"

// documentVersion is the version of the interface, not of the program.
const documentVersion = "1.0.0"

func (h *Handler) humaConfig() huma.Config {
	format := huma.Format{Marshal: marshal, Unmarshal: unmarshal}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "Waypost",
				Version: documentVersion,
				Description: "Receives and sends the messages of open platforms. The operations on applications, endpoints, messages and attempts " +
					"have the shapes of Svix's API, so that its client libraries work with this server's URL; profiles, sources, dialects, " +
					"tokens and the members marked as additions are Waypost's own.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer": {Type: "http", Scheme: "bearer", Description: "A token of the organisation, or of one application"},
				},
			},
		},
		Formats:       map[string]huma.Format{jsonType: format, "json": format},
		DefaultFormat: jsonType,
		Transformers:  []huma.Transformer{h.reshape},
	}
}

// appender is an answer that writes itself: one that holds payloads, which must not be reformatted.
type appender interface{ appendJSON([]byte) ([]byte, error) }

func marshal(w io.Writer, v any) error {
	if a, ok := v.(appender); ok {
		b, err := a.appendJSON(nil)
		if err != nil {
			return err
		}
		_, err = w.Write(append(b, '\n'))
		return err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// plainJSON is json.Marshal without escapes for HTML, which nothing here is part of: <secret> stays readable.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// operation is the beginning of every operation: name as application.create, method, and path below /api/v1.
func operation(name, method, path, summary string) huma.Operation {
	noun, _, _ := strings.Cut(name, ".")
	return huma.Operation{OperationID: "v1." + name, Method: method, Path: root + path, Summary: summary, Tags: []string{noun}}
}

// add registers an operation: who may call it, what it does, and every answer that it may give. behind are asked once the
// caller was admitted.
func add[I, O any](h *Handler, op huma.Operation, who access, fn handler[I, O], behind ...func(huma.Context, func(huma.Context))) {
	h.prepare(&op, who)
	if who != anyone {
		op.Middlewares = append(huma.Middlewares{h.guard(op.OperationID, op.Method, who)}, behind...)
		if op.Method == http.MethodPost {
			op.Parameters = append(op.Parameters, idempotencyParam())
		}
	}
	huma.Register(h.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := fn(ctx, in)
		if err != nil {
			return nil, h.answer(ctx, err)
		}
		return out, nil
	})
}

// prepare fills in what is the same for every operation of a kind.
func (h *Handler) prepare(op *huma.Operation, who access) {
	op.MaxBodyBytes = h.MaxBody + 1 // huma refuses what reaches the number, we what is over it
	codes := []int{http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusInternalServerError,
		http.StatusServiceUnavailable}
	if who != anyone {
		op.Security = []map[string][]string{{"bearer": {}}}
		codes = append(codes, http.StatusUnauthorized, http.StatusForbidden)
	}
	if op.Method != http.MethodGet {
		codes = append(codes, http.StatusConflict, http.StatusRequestEntityTooLarge)
	}
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	for _, code := range codes {
		op.Responses[strconv.Itoa(code)] = h.refusal(code)
	}
}

// refusal documents an answer that says no, once for all operations.
func (h *Handler) refusal(code int) *huma.Response {
	components, name := h.huma.OpenAPI().Components, strings.ReplaceAll(http.StatusText(code), " ", "")
	if components.Responses == nil {
		components.Responses = map[string]*huma.Response{}
	}
	if components.Responses[name] == nil {
		shape := reflect.TypeFor[httpError]()
		if code == http.StatusUnprocessableEntity {
			shape = reflect.TypeFor[validationErrors]()
		}
		components.Responses[name] = h.documented(http.StatusText(code), shape)
	}
	return &huma.Response{Ref: "#/components/responses/" + name}
}

func (h *Handler) documented(what string, shape reflect.Type) *huma.Response {
	schema := h.huma.OpenAPI().Components.Schemas.Schema(shape, true, "")
	return &huma.Response{Description: what, Content: map[string]*huma.MediaType{jsonType: {Schema: schema}}}
}

type documentOutput struct {
	Body func(huma.Context)
}

// finishDocument renders the document once, after every operation was registered, and serves it.
func (h *Handler) finishDocument() []byte {
	add(h, operation("openapi.get", http.MethodGet, "/openapi.json", "This document"), anyone,
		func(context.Context, *struct{}) (*documentOutput, error) {
			return &documentOutput{func(hc huma.Context) {
				hc.SetHeader("Content-Type", jsonType)
				hc.SetStatus(http.StatusOK)
				_, _ = hc.BodyWriter().Write(h.document)
			}}, nil
		})
	// huma's own error shape is never sent: reshape sees to that.
	schemas := h.huma.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	for name, s := range schemas {
		if closed, ok := s.AdditionalProperties.(bool); ok && !closed && !strings.HasSuffix(name, "In") {
			s.AdditionalProperties = nil // answers may grow
		}
	}
	b, err := json.MarshalIndent(h.huma.OpenAPI(), "", "  ")
	if err != nil {
		panic("api: render the OpenAPI document: " + err.Error()) // a fault of the types, seen by the first test
	}
	return append(b, '\n')
}

// created documents that an operation may also answer 201, existing that it may also answer 200.
func created[T any](h *Handler) map[string]*huma.Response {
	return map[string]*huma.Response{"201": h.documented("Created", reflect.TypeFor[T]())}
}

func existing[T any](h *Handler) map[string]*huma.Response {
	return map[string]*huma.Response{"200": h.documented("It was there already", reflect.TypeFor[T]())}
}
