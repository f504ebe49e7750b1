package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// httpError is the body of every refusal but a failed validation, as Svix has it.
type httpError struct {
	Code   string `json:"code" doc:"A short word for programs, such as not_found" example:"not_found"`
	Detail string `json:"detail" doc:"One sentence for people" example:"there is no such application"`
}

// validationErrors is the body of a 422.
type validationErrors struct {
	Detail []validationError `json:"detail"`
}

// validationError is one thing that is wrong with a request.
type validationError struct {
	Loc  []string `json:"loc" doc:"Where it is: body, query or path, then the names on the way" example:"[\"body\",\"url\"]"`
	Msg  string   `json:"msg" doc:"What is wrong and what to do"`
	Type string   `json:"type" doc:"Always value_error" example:"value_error"`
}

// apiError is an answer that says no.
type apiError struct {
	status  int
	body    httpError
	fields  []validationError // set for 422: shown instead of body
	headers http.Header
}

// Error returns what the caller is told.
func (e *apiError) Error() string {
	if len(e.fields) > 0 {
		return strings.Join(e.fields[0].Loc, ".") + ": " + e.fields[0].Msg
	}
	return e.body.Detail
}

// GetStatus returns the HTTP status.
func (e *apiError) GetStatus() int { return e.status }

// GetHeaders returns headers that go with the answer.
func (e *apiError) GetHeaders() http.Header { return e.headers }

// MarshalJSON writes the body in the shape of its status.
func (e *apiError) MarshalJSON() ([]byte, error) {
	if e.status == http.StatusUnprocessableEntity {
		return plainJSON(validationErrors{e.fields})
	}
	return plainJSON(e.body)
}

func newError(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, body: httpError{code, fmt.Sprintf(format, args...)}}
}

func internalError() *apiError {
	return newError(http.StatusInternalServerError, "server_error", "internal error")
}

func unavailable(detail string) *apiError {
	e := newError(http.StatusServiceUnavailable, "unavailable", "%s", detail)
	e.headers = http.Header{"Retry-After": {"1"}}
	return e
}

func notFound(noun string) *apiError {
	return newError(http.StatusNotFound, "not_found", "there is no such %s", noun)
}

func conflict(format string, args ...any) *apiError {
	return newError(http.StatusConflict, "conflict", format, args...)
}

func forbidden(format string, args ...any) *apiError {
	return newError(http.StatusForbidden, "permission_denied", format, args...)
}

func invalidRequest(fields ...validationError) *apiError {
	return &apiError{status: http.StatusUnprocessableEntity, fields: fields}
}

// wrong is one validation error; loc is as body.settings.secret.
func wrong(loc, format string, args ...any) validationError {
	return validationError{Loc: location(loc), Msg: fmt.Sprintf(format, args...), Type: "value_error"}
}

// location splits body.items[3].tags into body, items, [3], tags.
func location(loc string) []string {
	return strings.Split(strings.ReplaceAll(loc, "[", ".["), ".")
}

// problems gathers what is wrong with a request, so that the caller hears of all of it at once.
type problems []validationError

func (p *problems) add(loc, format string, args ...any) { *p = append(*p, wrong(loc, format, args...)) }

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return invalidRequest(p...)
}

// answer turns any error into the one that the caller is told. What is not made for callers is logged once, here, and
// told as an internal error.
func (h *Handler) answer(ctx context.Context, err error) *apiError {
	var told *apiError
	if errors.As(err, &told) {
		return told
	}
	if errors.Is(err, store.ErrBroken) {
		_ = h.internal(ctx, err) // only its line in the log
		return unavailable("the store is broken and the server ends: repeat this when it has started again")
	}
	var e *hook.Error
	if !errors.As(err, &e) || e.Kind == hook.KindInternal {
		return h.internal(ctx, err)
	}
	switch e.Kind {
	case hook.KindInvalid:
		return invalidRequest(wrong(bodyLocation(e.Field), "%s", e.Text))
	case hook.KindNotFound:
		return newError(http.StatusNotFound, "not_found", "%s", e.Text)
	case hook.KindConflict:
		return conflict("%s", e.Text)
	case hook.KindForbidden:
		return forbidden("%s", e.Text)
	case hook.KindUnavailable:
		return unavailable(e.Text)
	case hook.KindTooLarge:
		return newError(http.StatusRequestEntityTooLarge, "payload_too_large", "%s", e.Text)
	case hook.KindGone:
		return newError(http.StatusGone, "gone", "%s", e.Text)
	}
	return h.internal(ctx, err)
}

func (h *Handler) internal(ctx context.Context, err error) *apiError {
	level := slog.LevelError
	if ctx.Err() != nil {
		level = slog.LevelDebug // the caller went away; nobody hears the answer
	}
	h.Log.Log(ctx, level, "request failed", "request", requestID(ctx), "error", err)
	return internalError()
}

func bodyLocation(field string) string {
	root, _, _ := strings.Cut(field, ".")
	switch root {
	case "body", "query", "path", "header":
		return field
	case "":
		return "body"
	}
	return "body." + field
}

// reshape is a transformer of huma's: it puts huma's own refusals (parsing, validation) into our shape, and drops the
// values that huma would echo, since a secret may be among them.
func (h *Handler) reshape(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	ctx.SetHeader("Content-Type", jsonType)
	if model.Status != http.StatusUnprocessableEntity {
		return httpErrorOf(model), nil
	}
	e := invalidRequest()
	for _, d := range model.Errors {
		e.fields = append(e.fields, wrong(d.Location, "%s", plainMessage(d.Message)))
	}
	return e, nil
}

func httpErrorOf(model *huma.ErrorModel) *apiError {
	switch model.Status {
	case http.StatusBadRequest:
		detail := "the body is not a JSON document in UTF-8"
		if len(model.Errors) == 0 {
			detail = "a body is needed"
		}
		for _, e := range model.Errors {
			if fault, ok := strings.CutPrefix(e.Message, faultMark); ok {
				detail = fault
			}
		}
		return newError(model.Status, "bad_request", "%s", detail)
	case http.StatusRequestEntityTooLarge:
		return tooLarge()
	case http.StatusRequestTimeout:
		return newError(model.Status, "request_timeout", "the body did not arrive in time")
	}
	return newError(model.Status, "server_error", "internal error")
}

func tooLarge() *apiError {
	return newError(http.StatusRequestEntityTooLarge, "payload_too_large", "the body is larger than this server takes")
}

// plainMessage hides Go's words about Go types from people who sent JSON.
func plainMessage(msg string) string {
	if strings.HasPrefix(msg, "json: ") {
		return "has the wrong type"
	}
	return msg
}

type requestIDKey struct{}

func withRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
