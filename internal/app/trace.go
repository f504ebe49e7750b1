package app

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/waypost/waypost/internal/engine"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// Tracing says where spans go. The zero value traces nothing.
type Tracing struct {
	Endpoint string // URL of an OTLP collector that takes HTTP with JSON; "" = off
	Headers  string // sent with each export, as name=value,name=value with percent encoding; may hold credentials
	Sampler  string // OpenTelemetry's names: parentbased_always_on (default), always_off, traceidratio …
	Ratio    string // of the samplers that have one; default 1
}

func (t Tracing) validate() error {
	if t.Endpoint == "" {
		return nil
	}
	if u, err := url.Parse(t.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("otlp: must look like http://collector:4318")
	}
	if _, err := t.sampler(); err != nil {
		return err
	}
	_, err := t.headers()
	return err
}

// sampler decides about traces that begin here; those that come along are kept when their senders keep them.
func (t Tracing) sampler() (sdk.Sampler, error) {
	ratio := 1.0
	if t.Ratio != "" {
		var err error
		if ratio, err = strconv.ParseFloat(t.Ratio, 64); err != nil || ratio < 0 || ratio > 1 {
			return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %q is no number from 0 to 1", t.Ratio)
		}
	}
	switch strings.TrimPrefix(t.Sampler, "parentbased_") {
	case "", "always_on":
		return sdk.AlwaysSample(), nil
	case "always_off":
		return sdk.NeverSample(), nil
	case "traceidratio":
		return sdk.TraceIDRatioBased(ratio), nil
	}
	return nil, fmt.Errorf("OTEL_TRACES_SAMPLER: %q is none of always_on, always_off, traceidratio, with or without parentbased_ in front", t.Sampler)
}

func (t Tracing) headers() (http.Header, error) {
	h := http.Header{}
	for pair := range strings.SplitSeq(t.Headers, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if name == "" && !ok {
			continue
		}
		value, err := url.QueryUnescape(strings.ReplaceAll(value, "+", "%2B"))
		if !ok || err != nil {
			return nil, errors.New("OTEL_EXPORTER_OTLP_HEADERS must look like name=value,name=value")
		}
		h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return h, nil
}

// tracer makes the spans of messages: accept, with store.commit below it, and attempt, one for each, below accept.
//
// A trace outlives restarts without anything being stored for it: the id of the accept span is drawn from the message's id, and
// so is that of the trace, unless the request brought one, which is kept with the message.
type tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	root     sdk.Sampler
}

const scope = "github.com/waypost/waypost"

// newTracer returns nil when nobody traces.
func newTracer(ctx context.Context, o Options) (*tracer, error) {
	if o.Tracing.Endpoint == "" {
		return nil, nil
	}
	root, err := o.Tracing.sampler()
	if err != nil {
		return nil, err
	}
	// The environment (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) wins over what is known here.
	res, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "waypost"), attribute.String("service.version", o.Version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	out, err := newOTLP(o.Tracing, o.Log)
	if err != nil {
		return nil, err
	}
	p := sdk.NewTracerProvider(sdk.WithResource(res), sdk.WithIDGenerator(spanIDs{}), sdk.WithSampler(sdk.ParentBased(root)), sdk.WithBatcher(out))
	return &tracer{p, p.Tracer(scope), root}, nil
}

// over lays the tracing of what is accepted over a store.
func (t *tracer) over(s store.Store) store.Store {
	if t == nil {
		return s
	}
	return tracedStore{s, t}
}

// attempts is the engine's Trace.
func (t *tracer) attempts() func(*hook.Message, hook.Work, string) (string, func(engine.Event)) {
	if t == nil {
		return nil
	}
	return t.attempt
}

// spanIDs gives a span the ids that its context wants for it, and random ones otherwise.
type spanIDs struct{}

type wantedKey struct{}

type wanted struct {
	trace trace.TraceID
	span  trace.SpanID
}

// NewIDs is for a span that begins a trace.
func (spanIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if w, ok := ctx.Value(wantedKey{}).(wanted); ok {
		return w.trace, w.span
	}
	var t trace.TraceID
	binary.BigEndian.PutUint64(t[:], rand.Uint64())
	binary.BigEndian.PutUint64(t[8:], rand.Uint64()|1) // never zero
	return t, randomSpanID()
}

// NewSpanID is for a span within a trace.
func (spanIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if w, ok := ctx.Value(wantedKey{}).(wanted); ok {
		return w.span
	}
	return randomSpanID()
}

func randomSpanID() (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}

// idsOf are the ids of a message's own trace and of its accept span.
func idsOf(m hook.MessageID) wanted {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("waypost/trace/1/"), uint64(m)))
	return wanted{trace.TraceID(sum[:16]), trace.SpanID(sum[16:24])}
}

var traceContext propagation.TraceContext

// parse reads a traceparent; an invalid one is none.
func parse(traceparent string) trace.SpanContext {
	ctx := traceContext.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
	return trace.SpanContextFromContext(ctx)
}

func traceparent(c trace.SpanContext) string {
	return fmt.Sprintf("00-%s-%s-%s", c.TraceID(), c.SpanID(), c.TraceFlags()&trace.FlagsSampled)
}

type arrivalKey struct{}

// arrival is a request that may bring messages.
type arrival struct {
	at     time.Time
	parent string // its traceparent, "" = none
}

// incoming notes when a request came and to which trace it belongs.
func (t *tracer) incoming(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := arrival{at: time.Now()}
		if c := parse(r.Header.Get("Traceparent")); c.IsValid() {
			a.parent = traceparent(c)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), arrivalKey{}, a)))
	})
}

// tracedStore makes the spans of what is accepted.
type tracedStore struct {
	store.Store
	t *tracer
}

// Accept is part of store.Flow.
func (s tracedStore) Accept(ctx context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
	came, _ := ctx.Value(arrivalKey{}).(arrival)
	for i := range batch {
		batch[i].Message.Trace = came.parent
	}
	began := time.Now()
	done, err := s.Store.Accept(ctx, batch)
	ended := time.Now()
	if came.at.IsZero() {
		came.at = began
	}
	for i := range batch {
		var m *hook.Accepted
		if err == nil {
			m = &done[i]
		}
		s.t.accepted(came, began, ended, &batch[i].Message, m)
	}
	return done, err
}

// accepted makes the span of one message that was accepted, turned out to be a repeat, or (nil) was not stored.
func (t *tracer) accepted(came arrival, began, ended time.Time, m *hook.Message, done *hook.Accepted) {
	ctx := context.Background()
	if came.parent != "" {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parse(came.parent))
	}
	attrs := []attribute.KeyValue{
		attribute.String("waypost.app", m.App.String()), attribute.String("waypost.event_type", m.EventType),
	}
	if m.Source != 0 {
		attrs = append(attrs, attribute.String("waypost.source", m.Source.String()))
	}
	problem := ""
	switch {
	case done == nil || done.Err != nil:
		problem = "not stored"
	case done.Duplicate:
		attrs = append(attrs, attribute.Bool("waypost.duplicate", true), attribute.String("waypost.message", done.Message.ID.String()))
	default:
		attrs = append(attrs, attribute.String("waypost.message", done.Message.ID.String()), attribute.Int("waypost.deliveries", len(done.Deliveries)))
		ctx = context.WithValue(ctx, wantedKey{}, idsOf(done.Message.ID))
	}
	ctx, span := t.tracer.Start(ctx, "accept", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(came.at), trace.WithAttributes(attrs...))
	if problem != "" {
		span.SetStatus(codes.Error, problem)
	}
	_, commit := t.tracer.Start(context.WithValue(ctx, wantedKey{}, nil), "store.commit", trace.WithTimestamp(began))
	commit.End(trace.WithTimestamp(ended))
	span.End(trace.WithTimestamp(ended))
}

// attempt begins the span of an attempt: see engine.Options.Trace.
func (t *tracer) attempt(m *hook.Message, w hook.Work, dialect string) (string, func(engine.Event)) {
	ids := idsOf(m.ID)
	parent := trace.SpanContextConfig{TraceID: ids.trace, SpanID: ids.span, Remote: true}
	if came := parse(m.Trace); came.IsValid() {
		parent.TraceID, parent.TraceFlags = came.TraceID(), came.TraceFlags()
	} else if t.root.ShouldSample(sdk.SamplingParameters{TraceID: ids.trace}).Decision == sdk.RecordAndSample {
		parent.TraceFlags = trace.FlagsSampled
	}
	ctx := trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(parent))
	number := w.Delivery.Attempts + 1
	if w.Trigger == hook.Manual {
		number = 0
	}
	_, span := t.tracer.Start(ctx, "attempt", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("waypost.app", w.Delivery.App.String()), attribute.String("waypost.message", m.ID.String()),
		attribute.String("waypost.endpoint", w.Delivery.Endpoint.String()), attribute.String("waypost.event_type", m.EventType),
		attribute.String("waypost.dialect", dialect), attribute.Int("waypost.attempt", number)))
	return traceparent(span.SpanContext()), func(e engine.Event) {
		span.SetAttributes(attribute.String("waypost.verdict", verdictNames[e.Verdict]), attribute.String("waypost.state", e.State.String()))
		if e.Status != 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", e.Status))
		}
		if e.Failure != "" {
			span.SetAttributes(attribute.String("error.type", string(e.Failure)))
		}
		if e.Verdict != hook.Success {
			span.SetStatus(codes.Error, verdictNames[e.Verdict]) // not the reason: it may quote the answer
		}
		span.End()
	}
}

// stop sends what is left, for some seconds at most.
func (t *tracer) stop(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // a collector that hangs is no reason to end with an error; what is lost was logged
	return nil
}
