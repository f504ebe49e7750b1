package clients

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	svix "github.com/svix/svix-webhooks/go"
)

const (
	orgToken = "wp_a_token_for_the_tests_of_client_libraries"
	patience = 60 * time.Second // for what a busy machine does late; a pass does not wait for it
)

// binary is the program, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "waypost-clients-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "waypost")
	build := exec.Command("go", "build", "-o", binary, "./cmd/waypost")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	if code := m.Run(); code != 0 || flag.Lookup("test.run").Value.String() != "" {
		return code
	}
	return checkDriven()
}

// server is a running program and the official client of it.
type server struct {
	*svix.Svix
	base string
}

// serve starts the program with its defaults, but for its addresses, its folder and the address that its operator listens on.
func serve(t *testing.T) *server {
	t.Helper()
	admin := freeAddress(t)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--data", t.TempDir(), "--admin", admin, "--listen", freeAddress(t),
		"--operational-allow", "127.0.0.0/8")
	cmd.Env = append(os.Environ(), "WAYPOST_TOKEN="+orgToken)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait(), log.Close())
		if text, _ := os.ReadFile(log.Name()); err != nil || t.Failed() {
			t.Logf("the server ended with %v and said:\n%s", err, text)
		}
	})
	base, err := url.Parse("http://" + admin)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server answers", func() bool {
		resp, err := client.Get(base.String() + "/api/v1/health/ping")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusNoContent
	})
	return &server{svix.New(orgToken, &svix.SvixOptions{ServerUrl: base, HTTPClient: client}), base.String()}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// with is the client of another token.
func (s *server) with(t *testing.T, token string) *svix.Svix {
	t.Helper()
	base, err := url.Parse(s.base)
	if err != nil {
		t.Fatal(err)
	}
	return svix.New(token, &svix.SvixOptions{ServerUrl: base, HTTPClient: client})
}

// call makes a request of an operation that the client has no method for, and fails the test unless it is answered so.
func (s *server) call(t *testing.T, method, path, body string, want int) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.base+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+orgToken)
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Fatalf("%s %s: %d, want %d: %v %s", method, path, resp.StatusCode, want, err, text)
	}
	return string(text)
}

// request is one that a receiver got.
type request struct {
	header http.Header
	body   []byte
}

// receiver is a developer's server. It answers with its status, which may change.
type receiver struct {
	url string

	mu     sync.Mutex
	status int
	got    []request
}

func receive(t *testing.T) *receiver {
	t.Helper()
	v := &receiver{status: http.StatusOK}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.got = append(v.got, request{r.Header, body})
		w.WriteHeader(v.status)
		_, _ = io.WriteString(w, "heard")
	}))
	t.Cleanup(srv.Close)
	v.url = srv.URL
	return v
}

func (v *receiver) answer(status int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.status = status
}

func (v *receiver) requests() []request {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]request(nil), v.got...)
}

// next waits for the request of this number, from 1 on.
func (v *receiver) next(t *testing.T, n int) request {
	t.Helper()
	eventually(t, fmt.Sprintf("request %d arrives", n), func() bool { return len(v.requests()) >= n })
	return v.requests()[n-1]
}

// verify fails the test unless the official verification takes a request.
func verify(t *testing.T, secret string, r request) {
	t.Helper()
	wh, err := svix.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := wh.Verify(r.body, r.header); err != nil {
		t.Errorf("the client does not verify: %v: %v %s", err, r.header, r.body)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

// ok returns a result, for calls that must succeed: ok(client.Application.Get(ctx, id))(t).
func ok[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(explain(err))
		}
		return v
	}
}

func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(explain(err))
	}
}

// refused fails the test unless a call was answered by this status.
func refused(t *testing.T, err error, status int) {
	t.Helper()
	var e *svix.Error
	if !errors.As(err, &e) || e.Status() != status {
		t.Errorf("want a refusal by %d: %v", status, explain(err))
	}
}

func explain(err error) error {
	var e *svix.Error
	if errors.As(err, &e) {
		return fmt.Errorf("%w: %d %s", err, e.Status(), e.Body())
	}
	return err
}
