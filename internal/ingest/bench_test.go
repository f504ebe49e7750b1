package ingest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/standard"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
)

const benchSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// nowhere is a ResponseWriter that costs nothing.
type nowhere struct {
	header http.Header
	status int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) WriteHeader(status int)      { w.status = status }
func (w *nowhere) Write(p []byte) (int, error) { return len(p), nil }

// bench sends the same signed kilobyte to a handler again and again.
func bench(b *testing.B, h http.Handler) {
	body := []byte(`{"type":"order.paid","timestamp":"2026-01-01T00:00:00Z","data":{"note":"` + strings.Repeat("x", 950) + `"}}`)
	settings := dialect.Set("secret", benchSecret)
	signed, err := standard.Dialect.Sign(settings, dialect.Outbound{ID: "msg_1", Payload: body, Now: time.Now()})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	w := &nowhere{}
	request := httptest.NewRequestWithContext(context.Background(), http.MethodPost, ingest.Path+doorName, nil)
	request.Header = signed.Header
	for b.Loop() {
		r := *request
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		w.header, w.status = http.Header{}, 0
		h.ServeHTTP(w, &r)
		if w.status != 200 {
			b.Fatalf("answered %d", w.status)
		}
	}
}

// BenchmarkBare is what any handler pays that reads a body and answers.
func BenchmarkBare(b *testing.B) {
	bench(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil || len(body) == 0 {
			b.Fatal("no body")
		}
		w.WriteHeader(http.StatusOK)
	}))
}

// BenchmarkDoor is the front door with a source of the standard dialect and a store that takes no time.
func BenchmarkDoor(b *testing.B) {
	now := time.Now()
	st := open(b, func(o *ingest.Options, r *hook.Route) {
		o.Dialects["standard"] = &standard.Dialect
		r.Source.Dialect, r.Settings = "standard", hook.Settings{"secret": {benchSecret}}
		o.Now = func() time.Time { return now }
		o.Observe = nil
		o.Accept = func(_ context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
			return []hook.Accepted{{Message: batch[0].Message}}, nil
		}
	})
	bench(b, st.door)
}

// BenchmarkDoorDurable is the front door with a real store, 256 pushes at once: each answer waits for its commit.
func BenchmarkDoorDurable(b *testing.B) {
	st := open(b)
	b.ReportAllocs()
	b.SetParallelism(256)
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if w := st.do(push(letter(strconv.FormatInt(n.Add(1), 10)))); w.Code != 200 {
				b.Errorf("answered %d", w.Code)
				return
			}
		}
	})
}

// BenchmarkVerify is the part of the door's work that the dialect does.
func BenchmarkVerify(b *testing.B) {
	receive := standard.Dialect.ReceiveWith(dialect.Set("secret", benchSecret))
	bench(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := receive(dialect.Inbound{Method: r.Method, Header: r.Header, Body: body, Now: time.Now()}); err != nil {
			b.Fatal(fmt.Errorf("verify: %w", err))
		}
		w.WriteHeader(http.StatusOK)
	}))
}
