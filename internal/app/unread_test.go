package app

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/lean"
)

// TestABodyThatNobodyReadsHoldsNoConnection sends half a request to where no body is read: the server wants the rest of it
// before the next request, and must not wait for it for ever.
func TestABodyThatNobodyReadsHoldsNoConnection(t *testing.T) {
	t.Parallel()
	a := &App{o: Options{Log: slog.New(slog.DiscardHandler)}}
	for name, wrap := range map[string]func(*http.Server) server{
		"lean":     func(s *http.Server) server { return lean.New(s) },
		"net/http": func(s *http.Server) server { return s },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := a.newServer(http.NotFoundHandler())
			if config.ReadTimeout <= 0 {
				t.Fatal("a request may take for ever")
			}
			config.ReadTimeout = 200 * time.Millisecond
			srv := wrap(config)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go func() { _ = srv.Serve(l) }()
			defer func() { _ = srv.Close() }()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(30 * time.Second))
			if _, err := io.WriteString(c, "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc"); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(c)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if _, err := in.ReadByte(); resp.StatusCode != http.StatusNotFound || err != io.EOF {
				t.Errorf("answered %s, then %v; want 404 and the end", resp.Status, err)
			}
		})
	}
}
