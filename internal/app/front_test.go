package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/ingest"
)

// BenchmarkPushed is what counting a push costs.
func BenchmarkPushed(b *testing.B) {
	m := newMetrics(nil, "bench", func() time.Duration { return 0 })
	b.ReportAllocs()
	for b.Loop() {
		m.pushed(ingest.Observation{Dialect: "standard", Result: ingest.ResultStored, Duration: time.Millisecond, Stored: time.Millisecond})
	}
}

// BenchmarkFront is what finding the front door costs.
func BenchmarkFront(b *testing.B) {
	door := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux := http.NewServeMux()
	mux.Handle(ingest.Path, door)
	mux.Handle("GET /websocket", door)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/in/01j9z4m6c8e2f5k7", nil)
	for name, h := range map[string]http.Handler{"mux": mux, "first": pushesFirst(door, mux)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(nil, r)
			}
		})
	}
}

func TestPushesAreFoundAsTheMuxWouldFindThem(t *testing.T) {
	t.Parallel()
	say := func(word string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, word+" "+r.URL.Path) })
	}
	mux, asked := http.NewServeMux(), false
	mux.Handle(ingest.Path, say("door"))
	mux.Handle("GET /websocket", say("connection"))
	front := pushesFirst(say("door"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = true
		mux.ServeHTTP(w, r)
	}))
	for path, special := range map[string]bool{
		"/in/01j9z4m6c8e2f5k7": false, "/in/a_b-c": false, "/in/": false, "/in/a?b=/..": false, "/in": true, "/in/a/b": true, "/in/a/": true,
		"/in//a": true, "/in/../websocket": true, "/in/./a": true, "/in/..": true, "/in/%2e%2e": true, "/in/a%2fb": true, "//in/a": true,
		"/websocket": true, "/other": true, "/": true,
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			asked = false
			got, want := httptest.NewRecorder(), httptest.NewRecorder()
			front.ServeHTTP(got, httptest.NewRequestWithContext(t.Context(), method, path, nil))
			mux.ServeHTTP(want, httptest.NewRequestWithContext(t.Context(), method, path, nil))
			if got.Code != want.Code || got.Body.String() != want.Body.String() || got.Header().Get("Location") != want.Header().Get("Location") {
				t.Errorf("%s %s: %d %q, the mux says %d %q", method, path, got.Code, got.Body, want.Code, want.Body)
			}
			if asked != special {
				t.Errorf("%s %s: the mux was asked: %v", method, path, asked)
			}
		}
	}
}
