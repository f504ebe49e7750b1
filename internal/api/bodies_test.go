package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waypost/waypost/internal/api"
)

// stalled begins a request and returns a func that sends the rest of its body and waits for the status.
func (s *server) stalled(method, path, body string, begin int) (finish func() int) {
	s.t.Helper()
	from, to := io.Pipe()
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, from)
	r.Header.Set("Authorization", "Bearer "+s.org)
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.api.ServeHTTP(w, r)
		_ = from.Close()
	}()
	if begin > 0 {
		_, _ = io.WriteString(to, body[:begin-1])
		_, _ = io.WriteString(to, body[begin-1:begin]) // is read when all before it has been counted
	}
	return func() int {
		_, _ = io.WriteString(to, body[begin:])
		_ = to.Close()
		<-done
		return w.Code
	}
}

func TestBodiesInMemoryAreBounded(t *testing.T) {
	t.Parallel()
	const most = 200 << 10
	s := start(t, func(o *api.Options) { o.MaxHeld = most })
	app, token := s.appToken("a")
	post := func(size int) string {
		return fmt.Sprintf(`{"eventType":"e","payload":{"x":%q}}`, strings.Repeat("y", size))
	}
	// What is announced and not sent costs nothing.
	for range 10 {
		defer s.stalled("POST", app+"/msg", post(100<<10), 0)()
	}
	s.post(app+"/msg", post(100<<10)).want(202)

	long := post(180 << 10)
	finish := s.stalled("POST", app+"/msg", long, len(long)-10)
	for what, refused := range map[string]func() answer{
		"a message":        func() answer { return s.post(app+"/msg", post(60<<10)) },
		"a message, plain": func() answer { return s.call(s.org, "POST", app+"/msg", post(60<<10), api.PlainHeader, "1") },
		"messages":         func() answer { return s.post(app+"/msg/batch", `[`+post(60<<10)+`]`) },
		"an application": func() answer {
			return s.post("/api/v1/app", object{"name": "n", "metadata": object{"x": strings.Repeat("y", 60<<10)}})
		},
		"an endpoint, by its application": func() answer {
			return s.call(token, "POST", app+"/endpoint", object{"url": goodURL, "description": strings.Repeat("y", 60<<10)})
		},
	} {
		a := refused()
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: answered %d %v %.200s", what, a.status, a.header, a.text)
			continue
		}
		a.refused(503, "unavailable")
	}
	s.post(app+"/msg", post(10<<10)).want(202)
	s.call(token, "GET", app, nil).want(200)
	if status := finish(); status != 202 {
		t.Errorf("the one that held the memory was answered %d", status)
	}
	s.post(app+"/msg", post(190<<10)).want(202) // all of it was given back
}

func TestABodyThatDoesNotComeIsGivenUp(t *testing.T) {
	for name, path := range map[string]string{"a message": "/msg", "an endpoint": "/endpoint"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))) // ids know no time before 2024
				s := start(t)
				app := s.app("a")
				near, far := net.Pipe()
				one := make(chan net.Conn, 1)
				one <- far
				srv := &http.Server{Handler: s.api}
				served := make(chan struct{})
				go func() {
					defer close(served)
					_ = srv.Serve(pipes(one))
				}()
				began := time.Now()
				_ = near.SetReadDeadline(began.Add(time.Minute))
				go func() {
					_, _ = fmt.Fprintf(near, "POST %s%s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: 500000\r\n\r\n{\"eve", app, path, s.org)
				}()
				a, err := http.ReadResponse(bufio.NewReader(near), nil)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began).Round(time.Second); a.StatusCode != http.StatusRequestTimeout || took > 10*time.Second {
					t.Errorf("answered %d after %v", a.StatusCode, took)
				}
				_ = near.Close()
				close(one)
				_ = srv.Close()
				<-served
				time.Sleep(time.Minute) // the server lets the connection go
			})
		})
	}
}

type pipes chan net.Conn

func (l pipes) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (pipes) Close() error   { return nil }
func (pipes) Addr() net.Addr { return &net.TCPAddr{} }
