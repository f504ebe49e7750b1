package api_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/hook"
)

// nowhere is an http.ResponseWriter that keeps nothing.
type nowhere struct {
	header http.Header
	status int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) WriteHeader(status int)      { w.status = status }
func (w *nowhere) Write(b []byte) (int, error) { return len(b), nil }

const benchPayload = `{"eventType":"order.created","eventId":null,"channels":["a"],"payload":{"text":"`

// BenchmarkPublish is a whole publication with its durable commit, many at once as in life.
func BenchmarkPublish(b *testing.B) {
	s := start(b)
	app := s.app("a")
	body := []byte(benchPayload + strings.Repeat("x", 1024) + `"}}`)
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			publish(b, s.api, app, body)
		}
	})
}

// BenchmarkPublishWithKey is the same with an Idempotency-Key, which newer client libraries send with every POST.
func BenchmarkPublishWithKey(b *testing.B) {
	s := start(b)
	app := s.app("a")
	body := []byte(benchPayload + strings.Repeat("x", 1024) + `"}}`)
	var n atomic.Int64
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			publish(b, s.api, app, body, "Idempotency-Key", strconv.FormatInt(n.Add(1), 10))
		}
	})
}

// BenchmarkPublishRefused is the same but for the store: the last check of the body refuses it.
func BenchmarkPublishRefused(b *testing.B) {
	s := start(b)
	app := s.app("a")
	for name, size := range map[string]int{"1KiB": 1 << 10, "64KiB": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			body := []byte(benchPayload + strings.Repeat("x", size) + `"},"deliverAt":1}`)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				publish(b, s.api, app, body)
			}
		})
	}
}

func publish(b *testing.B, h *api.Handler, app string, body []byte, headers ...string) {
	r := httptest.NewRequest("POST", app+"/msg", bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+orgToken)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := &nowhere{header: http.Header{}}
	h.ServeHTTP(w, r)
	if w.status != http.StatusAccepted && w.status != http.StatusUnprocessableEntity {
		b.Errorf("status %d", w.status)
	}
}

// BenchmarkAcceptAlone is what of BenchmarkPublish is the store's.
func BenchmarkAcceptAlone(b *testing.B) {
	s := start(b)
	path := s.app("a")
	app, err := hook.ParseID[hook.ApplicationID](path[strings.LastIndex(path, "/")+1:])
	if err != nil {
		b.Fatal(err)
	}
	payload := []byte(`{"text":"` + strings.Repeat("x", 1024) + `"}`)
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			now := s.now()
			_, err := s.store.Accept(b.Context(), []hook.Accept{{Message: hook.Message{
				ID: hook.NewID[hook.MessageID](s.ids, now), App: app, EventType: "order.created", Channels: []string{"a"}, Payload: payload, CreatedAt: now,
			}}})
			if err != nil {
				b.Error(err)
			}
		}
	})
}
