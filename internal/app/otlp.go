package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// otlp sends spans to a collector: OTLP over HTTP in its JSON encoding, as the protocol's version 1 has it
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
type otlp struct {
	url    string
	header http.Header
	http   *http.Client
	log    *slog.Logger

	mu   sync.Mutex
	told time.Time // when a failure was last logged
}

const (
	otlpPath    = "/v1/traces"
	otlpTries   = 3
	otlpPause   = time.Second
	otlpQuiet   = time.Minute // between two log lines about failures
	otlpTimeout = 10 * time.Second
)

func newOTLP(t Tracing, log *slog.Logger) (*otlp, error) {
	h, err := t.headers()
	if err != nil {
		return nil, err
	}
	h.Set("Content-Type", "application/json")
	url := strings.TrimSuffix(t.Endpoint, "/")
	if !strings.HasSuffix(url, otlpPath) {
		url += otlpPath
	}
	return &otlp{url: url, header: h, http: &http.Client{Timeout: otlpTimeout}, log: log}, nil
}

// ExportSpans is part of sdk.SpanExporter. Spans that the collector does not take are dropped, which is logged.
func (o *otlp) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	body, err := json.Marshal(otlpRequest(spans))
	if err != nil {
		return err
	}
	if err := o.try(ctx, body); err != nil {
		o.complain(len(spans), err)
	}
	return nil // the SDK would tell a logger of the whole process
}

// try sends spans, several times while another may do better.
func (o *otlp) try(ctx context.Context, body []byte) error {
	for n := time.Duration(1); ; n++ {
		again, err := o.post(ctx, body)
		if err == nil || !again || n == otlpTries {
			return err
		}
		select {
		case <-time.After(n * otlpPause):
		case <-ctx.Done():
			return err
		}
	}
}

// post makes one try; again says whether another may do better.
func (o *otlp) post(ctx context.Context, body []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header = o.header.Clone()
	resp, err := o.http.Do(req)
	if err != nil {
		return true, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return false, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true
	}
	return again, fmt.Errorf("the collector answered %s", resp.Status)
}

func (o *otlp) complain(n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.told) < otlpQuiet {
		return
	}
	o.told = time.Now()
	o.log.Warn("spans are dropped: the collector does not take them", "spans", n, "err", err)
}

// Shutdown is part of sdk.SpanExporter.
func (o *otlp) Shutdown(context.Context) error {
	o.http.CloseIdleConnections()
	return nil
}

// The JSON form of OTLP: ids in hexadecimal, 64-bit numbers as texts, enumerations as numbers.
type (
	otlpValue struct {
		String *string  `json:"stringValue,omitempty"`
		Int    *string  `json:"intValue,omitempty"`
		Double *float64 `json:"doubleValue,omitempty"`
		Bool   *bool    `json:"boolValue,omitempty"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpStatus struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	otlpSpan struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		ParentID   string          `json:"parentSpanId,omitempty"`
		Flags      uint32          `json:"flags,omitempty"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Status     otlpStatus      `json:"status"`
	}
	otlpScope struct {
		Name string `json:"name"`
	}
	otlpScopeSpans struct {
		Scope otlpScope  `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpResource struct {
		Attributes []otlpAttribute `json:"attributes"`
	}
	otlpResourceSpans struct {
		Resource otlpResource     `json:"resource"`
		Scopes   []otlpScopeSpans `json:"scopeSpans"`
	}
	otlpDocument struct {
		Resources []otlpResourceSpans `json:"resourceSpans"`
	}
)

// otlpRequest is what is sent of spans, which all are of one provider and one scope.
func otlpRequest(spans []sdk.ReadOnlySpan) otlpDocument {
	list := make([]otlpSpan, 0, len(spans))
	for _, s := range spans {
		out := otlpSpan{
			TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(), Name: s.Name(), Kind: int(s.SpanKind()),
			Flags: uint32(s.SpanContext().TraceFlags()), Start: nanos(s.StartTime()), End: nanos(s.EndTime()), Attributes: otlpAttributes(s.Attributes()),
		}
		if s.Parent().IsValid() {
			out.ParentID = s.Parent().SpanID().String()
		}
		switch s.Status().Code {
		case codes.Ok:
			out.Status.Code = 1
		case codes.Error:
			out.Status = otlpStatus{2, s.Status().Description}
		}
		list = append(list, out)
	}
	return otlpDocument{[]otlpResourceSpans{{
		otlpResource{otlpAttributes(spans[0].Resource().Attributes())},
		[]otlpScopeSpans{{otlpScope{spans[0].InstrumentationScope().Name}, list}},
	}}}
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func otlpAttributes(list []attribute.KeyValue) []otlpAttribute {
	out := make([]otlpAttribute, 0, len(list))
	for _, kv := range list {
		a := otlpAttribute{Key: string(kv.Key)}
		switch kv.Value.Type() {
		case attribute.BOOL:
			b := kv.Value.AsBool()
			a.Value.Bool = &b
		case attribute.INT64:
			n := strconv.FormatInt(kv.Value.AsInt64(), 10)
			a.Value.Int = &n
		case attribute.FLOAT64:
			d := kv.Value.AsFloat64()
			a.Value.Double = &d
		default:
			text := kv.Value.String()
			a.Value.String = &text
		}
		out = append(out, a)
	}
	return out
}
