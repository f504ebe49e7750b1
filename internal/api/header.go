package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

const (
	maxHeaders     = 50
	maxHeaderName  = 128
	maxHeaderValue = 4096
)

// reservedHeaders are names that an endpoint's own headers may not have: those that Svix refuses, those of HTTP/1.1's
// framing, and those that say who sent the message.
var reservedHeaders = []string{
	"user-agent", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers", "transfer-encoding", "upgrade",
	"age", "cache-control", "clear-site-data", "expires", "pragma", "warning",
	"content-length", "content-type", "content-encoding", "content-language", "content-location",
	"host", "connection", "trailer", "expect", "date",
}

var reservedPrefixes = []string{
	"x-amz-", "x-amzn-", "x-google", "x-goog-", "x-gfe", "x-azure-", "x-fd-", "x-svix-", "svix-", "webhook-", "waypost-",
}

// secretWords are what the name of a header that holds a credential contains.
var secretWords = []string{"auth", "token", "secret", "key", "password", "passwd", "cookie", "credential", "signature", "session"}

func isSecretHeader(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) })
}

// checkHeaders returns headers as they were given, and notes those that cannot be sent. Their names are the same in any case.
func checkHeaders(p *problems, in map[string]string) map[string]string {
	if len(in) == 0 {
		return nil
	}
	if len(in) > maxHeaders {
		p.add("body.headers", "has %d headers; at most %d are allowed", len(in), maxHeaders)
		return nil
	}
	seen := make(map[string]bool, len(in))
	for _, name := range slices.Sorted(maps.Keys(in)) {
		lower := strings.ToLower(name)
		if problem := headerProblem(lower, in[name]); problem != "" {
			p.add("body.headers."+clip(name), "%s", problem)
		}
		if seen[lower] {
			p.add("body.headers."+clip(name), "is given twice")
		}
		seen[lower] = true
	}
	return maps.Clone(in)
}

// removeHeader takes a header out whatever the case of its name, and says whether it was there.
func removeHeader(headers map[string]string, name string) bool {
	found := false
	for n := range headers {
		if strings.EqualFold(n, name) {
			delete(headers, n)
			found = true
		}
	}
	return found
}

// checkOwnHeaders notes headers that a dialect signs in.
func checkOwnHeaders(p *problems, headers map[string]string, d *dialect.Dialect) {
	if d == nil {
		return
	}
	for _, name := range d.SignatureHeaders {
		for own := range headers {
			if strings.EqualFold(own, name) {
				p.add("body.headers."+own, "is where the dialect %s puts its signature", d.Name)
			}
		}
	}
}

func headerProblem(name, value string) string {
	switch {
	case !isToken(name):
		return "is not the name of a header"
	case slices.Contains(reservedHeaders, name):
		return "is reserved: the server sets it itself, or it would change how the request is read"
	case slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }):
		return "begins with a reserved prefix"
	case len(value) > maxHeaderValue:
		return fmt.Sprintf("has a value of more than %d bytes", maxHeaderValue)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f }):
		return "has a value that is not printable ASCII"
	}
	return ""
}

// isToken says whether a text may be the name of a header (RFC 9110, 5.6.2).
func isToken(s string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	return s != "" && len(s) <= maxHeaderName && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(marks, r))
	})
}

type headersOut struct {
	Headers   map[string]string `json:"headers" doc:"Those that are no credentials"`
	Sensitive []string          `json:"sensitive" nullable:"false" doc:"Names of those that are, whose values are never shown"`
}

type endpointHeadersIn struct {
	_       struct{}          `json:"-" additionalProperties:"true"`
	Headers map[string]string `json:"headers"`
}

type headersInput struct {
	EndpointPath
	Body endpointHeadersIn
}

type headersPatchInput struct {
	EndpointPath
	Body struct {
		_       struct{}                    `json:"-" additionalProperties:"true"`
		Headers map[string]optional[string] `json:"headers" doc:"null takes a header out"`
	} `nameHint:"EndpointHeadersPatchIn"`
}

func (h *Handler) endpointHeaders() {
	const path = "/app/{app_id}/endpoint/{endpoint_id}/headers"
	add(h, operation("endpoint.get-headers", http.MethodGet, path, "Get the endpoint's own headers"), member,
		func(ctx context.Context, in *EndpointPath) (*output[headersOut], error) {
			_, e, err := h.endpoint(ctx, in)
			return &output[headersOut]{showHeaders(e.Headers)}, err
		})
	put := operation("endpoint.update-headers", http.MethodPut, path, "Replace the endpoint's own headers")
	put.DefaultStatus = http.StatusNoContent
	add(h, put, member, func(ctx context.Context, in *headersInput) (*struct{}, error) {
		return nil, h.putHeaders(ctx, &in.EndpointPath, in.Body.Headers)
	})
	patch := operation("endpoint.patch-headers", http.MethodPatch, path, "Change some of the endpoint's own headers")
	patch.DefaultStatus = http.StatusNoContent
	add(h, patch, member, func(ctx context.Context, in *headersPatchInput) (*struct{}, error) {
		return nil, h.changeHeaders(ctx, &in.EndpointPath, func(p *problems, present map[string]string) map[string]string {
			return checkHeaders(p, patchHeaders(present, in.Body.Headers))
		})
	})
}

func showHeaders(all map[string]string) headersOut {
	out := headersOut{Headers: map[string]string{}, Sensitive: []string{}}
	for name, value := range all {
		if isSecretHeader(name) {
			out.Sensitive = append(out.Sensitive, name)
		} else {
			out.Headers[name] = value
		}
	}
	slices.Sort(out.Sensitive)
	return out
}

func patchHeaders(present map[string]string, in map[string]optional[string]) map[string]string {
	out := maps.Clone(present)
	if out == nil {
		out = map[string]string{}
	}
	for name := range in {
		removeHeader(out, name)
	}
	for name, v := range in {
		if v.given() {
			out[name] = v.Value
		}
	}
	return out
}

func (h *Handler) putHeaders(ctx context.Context, path *EndpointPath, headers map[string]string) error {
	return h.changeHeaders(ctx, path, func(p *problems, _ map[string]string) map[string]string { return checkHeaders(p, headers) })
}

func (h *Handler) changeHeaders(ctx context.Context, path *EndpointPath, change func(*problems, map[string]string) map[string]string) error {
	_, err := h.rewrite(ctx, path, h.updated, func(_ hook.Application, e *hook.Endpoint) error {
		var p problems
		e.Headers = change(&p, e.Headers)
		checkOwnHeaders(&p, e.Headers, h.Dialects[e.Dialect])
		e.UpdatedAt = h.now()
		return p.err()
	})
	return err
}
