package lean_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waypost/waypost/internal/lean"
)

// exchange sends a request and reads its answer.
func exchange(t *testing.T, c net.Conn, r *bufio.Reader, request string) (status int, body string) {
	t.Helper()
	go func() { _, _ = io.WriteString(c, request) }()
	a, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	return a.StatusCode, string(text)
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 300
		h := &served{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%s %s;", r.URL.Path, body)
		})}
		var all, want strings.Builder
		for i := range many {
			all.WriteString(post(fmt.Sprintf("/%d", i), strings.Repeat("b", i), "X-Long: "+strings.Repeat("h", 20*i)))
			fmt.Fprintf(&want, "/%d %s;", i, strings.Repeat("b", i))
		}
		answers, closed := talk(start(t, lean.New(config(h))).dial(t), all.String())
		var got strings.Builder
		for r := bufio.NewReader(strings.NewReader(answers)); ; {
			a, err := http.ReadResponse(r, nil)
			if err != nil {
				break
			}
			_, _ = io.Copy(&got, a.Body)
		}
		if got.String() != want.String() || closed || h.here.Load() != many {
			t.Errorf("%d of %d served here, closed: %v, answered %.300q", h.here.Load(), many, closed, got.String())
		}
	})
}

func TestBodiesOfAnySizeArriveWhole(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 4095, 4096, 4097, 100_000, 256<<10 - 1, 256 << 10, 1 << 20} {
		for _, step := range []int{1000, 1 << 20} {
			t.Run(fmt.Sprintf("%d bytes read by %d", size, step), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					sent := make([]byte, size)
					for i := range sent {
						sent[i] = byte('a' + i%23)
					}
					h := &served{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						var got []byte
						for buf := make([]byte, step); ; {
							n, err := r.Body.Read(buf)
							got = append(got, buf[:n]...)
							if err == io.EOF {
								break
							} else if err != nil {
								t.Error(err)
								return
							}
						}
						_, _ = fmt.Fprint(w, bytes.Equal(got, sent))
					})}
					c := start(t, lean.New(config(h))).dial(t)
					r := bufio.NewReader(c)
					for range 2 {
						if _, body := exchange(t, c, r, post("/", string(sent))); body != "true" {
							t.Fatalf("the handler read something else: %s", body)
						}
					}
					if here := h.here.Load() == 2; here != (size < 256<<10) {
						t.Errorf("%d of %d were served here", h.here.Load(), h.all.Load())
					}
				})
			})
		}
	}
}

func TestLongAnswersArriveWhole(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"told", "untold", "flushed"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				piece := strings.Repeat("0123456789", 1000)
				c := start(t, lean.New(config(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if way == "told" {
						w.Header().Set("Content-Length", "1000000")
					}
					for i := range 100 {
						if n, err := io.WriteString(w, piece); n != len(piece) || err != nil {
							t.Error(n, err)
						}
						if way == "flushed" && i%7 == 0 {
							w.(http.Flusher).Flush()
						}
					}
				})))).dial(t)
				r := bufio.NewReader(c)
				for range 3 {
					if _, body := exchange(t, c, r, post("/", "{}")); body != strings.Repeat(piece, 100) {
						t.Fatalf("%d bytes arrived", len(body))
					}
				}
			})
		})
	}
}

func TestWhatIsFlushedIsSeenBeforeTheHandlerReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan struct{})
		c := start(t, lean.New(config(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "first,")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			<-seen
			_, _ = io.WriteString(w, "second")
		})))).dial(t)
		go func() { _, _ = io.WriteString(c, post("/", "")) }()
		a, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 6)
		if _, err := io.ReadFull(a.Body, first); err != nil || string(first) != "first," {
			t.Fatalf("%q, %v", first, err)
		}
		close(seen)
		if rest, err := io.ReadAll(a.Body); err != nil || string(rest) != "second" {
			t.Fatalf("%q, %v", rest, err)
		}
	})
}

// TestAConnectionIsCountedOnce follows what the hook hears of connections that end in every way there is.
func TestAConnectionIsCountedOnce(t *testing.T) {
	t.Parallel()
	hijack := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			ways(w, r)
			return
		}
		if r.URL.Path != "/hijack" {
			echo(w, r)
			return
		}
		c, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		line, err := buffered.ReadString('\n')
		_, _ = fmt.Fprintf(c, "%q %v", line, err)
		_ = c.Close()
	})
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }
	for _, tt := range []struct {
		name, request, want string
		end                 http.ConnState
	}{
		{"nothing is said", "", "", http.StateClosed},
		{"a plain request", post("/unread", "{}"), "/unread", http.StateClosed},
		{"a plain request that ends it", post("/close", "{}"), "/close", http.StateClosed},
		{"a panic", post("/panic", "{}"), "", http.StateClosed},
		{"a special request", get("/a"), "/a", http.StateClosed},
		{"a special one behind a plain one", post("/unread", "{}") + get("/a") + post("/b", "{}"), "/b", http.StateClosed},
		{"a refusal", "nonsense\r\n\r\n", "400 Bad Request", http.StateClosed},
		{"half a head", post("/unread", "{}") + "POST /b", "/unread", http.StateClosed},
		{"a hijacked connection", get("/hijack") + "more\nand", `"more\n" <nil>`, http.StateHijacked},
		{"one that is hijacked behind a plain request", post("/unread", "{}") + get("/hijack") + "more\n", `"more\n" <nil>`, http.StateHijacked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var states []http.ConnState
				var conns []net.Conn
				c := config(hijack)
				c.ConnState = func(c net.Conn, s http.ConnState) {
					mu.Lock()
					defer mu.Unlock()
					if s != http.StateActive && s != http.StateIdle {
						states, conns = append(states, s), append(conns, c)
					}
				}
				answer, _ := talk(start(t, lean.New(c)).dial(t), tt.request)
				synctest.Wait()
				if !strings.Contains(answer, tt.want) {
					t.Errorf("answered %q", answer)
				}
				if !slices.Equal(states, []http.ConnState{http.StateNew, tt.end}) || conns[0] != conns[1] {
					t.Errorf("the hook heard %v", states)
				}
			})
		})
	}
}

func TestAHookMayCloseANewConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config(http.HandlerFunc(echo))
		c.ConnState = func(c net.Conn, s http.ConnState) {
			if s == http.StateNew {
				_ = c.Close()
			}
		}
		if answer, closed := talk(start(t, lean.New(c)).dial(t), post("/", "{}")); answer != "" || !closed {
			t.Errorf("answered %q, closed: %v", answer, closed)
		}
	})
}

func TestAPanicIsLoggedAndEndsOnlyItsConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		logged := &lines{}
		c := config(http.HandlerFunc(ways))
		c.ErrorLog = log.New(logged, "", 0)
		l := start(t, lean.New(c))
		if answer, closed := talk(l.dial(t), post("/abort", "{}")); answer != "" || !closed || logged.String() != "" {
			t.Errorf("aborted: answered %q, closed: %v, logged %q", answer, closed, logged)
		}
		if answer, closed := talk(l.dial(t), post("/panic", "{}")); answer != "" || !closed {
			t.Errorf("answered %q, closed: %v", answer, closed)
		}
		if text := logged.String(); !strings.HasPrefix(text, "http: panic serving pipe: a fault\ngoroutine ") || !strings.Contains(text, "ways(") {
			t.Errorf("logged %q", text)
		}
		if answer, _ := talk(l.dial(t), post("/unread", "{}")); !strings.Contains(answer, "200 OK") {
			t.Errorf("the next connection: answered %q", answer)
		}
	})
}

// TestAHandlerCannotReachIntoTheNextRequest keeps what a handler was given and uses it while the next request is served.
func TestAHandlerCannotReachIntoTheNextRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var old http.ResponseWriter
		var before *http.Request
		c := start(t, lean.New(config(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if old == nil {
				old, before = w, r
				if r.Context().Err() != nil {
					t.Error("the context has ended before the handler")
				}
				return
			}
			if before.Context().Err() != context.Canceled {
				t.Error("the context of a request that is over goes on")
			}
			old.WriteHeader(500)
			if _, err := old.Write([]byte("old")); err == nil {
				t.Error("an answer that is over was written to")
			}
			if _, err := io.WriteString(old, "old"); err == nil {
				t.Error("an answer that is over was written to")
			}
			power := http.NewResponseController(old)
			if power.Flush() == nil || power.SetReadDeadline(time.Now()) == nil || power.SetWriteDeadline(time.Now()) == nil {
				t.Error("an answer that is over has power over the connection")
			}
			if _, err := before.Body.Read(make([]byte, 1)); err != http.ErrBodyReadAfterClose {
				t.Errorf("a body that is over: %v", err)
			}
			echo(w, r)
		})))).dial(t)
		r := bufio.NewReader(c)
		exchange(t, c, r, post("/first", "12"))
		if _, body := exchange(t, c, r, post("/second", "34")); !strings.Contains(body, `"34" <nil>`) {
			t.Errorf("answered %q", body)
		}
	})
}

func TestTheEndOfABody(t *testing.T) {
	t.Parallel()
	for name, newServer := range both {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var seen []string
				l := start(t, newServer(config(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					n, err := r.Body.Read(make([]byte, 10))
					_, after := r.Body.Read(make([]byte, 10))
					seen = append(seen, fmt.Sprintf("%d %v %v", n, err, after))
				}))))
				c := l.dial(t)
				exchange(t, c, bufio.NewReader(c), post("/", "{}"))
				broken := l.dial(t)
				_, _ = io.WriteString(broken, strings.TrimSuffix(post("/", "{}"), "}"))
				_ = broken.Close()
				synctest.Wait()
				if want := []string{"2 EOF EOF", "1 <nil> unexpected EOF"}; !slices.Equal(seen, want) {
					t.Errorf("handlers saw %q, want %q", seen, want)
				}
			})
		})
	}
}

func TestEveryAnswerHasThePresentDate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, lean.New(config(http.HandlerFunc(echo)))).dial(t)
		r := bufio.NewReader(c)
		for range 3 {
			go func() { _, _ = io.WriteString(c, post("/", "{}")) }()
			a, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, a.Body)
			if got, want := a.Header.Get("Date"), time.Now().UTC().Format(http.TimeFormat); got != want {
				t.Errorf("Date: %s, want %s", got, want)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestAServersOwnLimitOfHeadersHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &served{Handler: http.HandlerFunc(ways)}
		s := config(h)
		s.MaxHeaderBytes = 1000
		l := start(t, lean.New(s))
		if answer, _ := talk(l.dial(t), post("/unread", "", "X: "+strings.Repeat("x", 800))); !strings.Contains(answer, "200 OK") || h.here.Load() != 1 {
			t.Errorf("below the limit: answered %.100q, %d served here", answer, h.here.Load())
		}
		if talk(l.dial(t), post("/unread", "", "X: "+strings.Repeat("x", 1000))); h.here.Load() != 1 {
			t.Error("a head over the limit was served here")
		}
		if answer, _ := talk(l.dial(t), post("/unread", "", "X: "+strings.Repeat("x", 6000))); !strings.Contains(answer, "431 ") {
			t.Errorf("far over the limit: answered %.100q", answer)
		}
	})
}

func TestWhatTheContextHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s *http.Server
		s = config(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Context().Value(http.ServerContextKey) != s || r.Context().Value(http.LocalAddrContextKey).(net.Addr).String() != "pipe" || r.RemoteAddr != "pipe" {
				w.WriteHeader(500)
			}
		}))
		c := start(t, lean.New(s)).dial(t)
		if status, _ := exchange(t, c, bufio.NewReader(c), post("/", "")); status != 200 {
			t.Errorf("answered %d", status)
		}
	})
}

// broken is a listener whose Accept fails as it is told.
type broken struct {
	net.Listener
	errs chan error
}

func (b *broken) Accept() (net.Conn, error) {
	if err, ok := <-b.errs; ok {
		return nil, err
	}
	return b.Listener.Accept()
}

func TestServeGoesOnWhenNoFileIsLeftAndEndsWhenTheListenerIsBroken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &broken{newPipes(), make(chan error, 3)}
		full := &net.OpError{Op: "accept", Err: syscall.EMFILE}
		l.errs <- full
		l.errs <- full
		l.errs <- errors.New("it is gone")
		s := lean.New(config(http.HandlerFunc(echo)))
		began := time.Now()
		if err := s.Serve(l); err == nil || err.Error() != "it is gone" {
			t.Errorf("Serve returned %v", err)
		}
		if took := time.Since(began); took != 15*time.Millisecond {
			t.Errorf("it waited %v", took)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Serve(newPipes()); err != http.ErrServerClosed {
			t.Errorf("Serve of a closed server returned %v", err)
		}
	})
}

func TestShutdownWaitsForRequestsAndForNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const work = 20 * time.Second
		s := lean.New(config(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/work" {
				time.Sleep(work)
			}
			echo(w, r)
		})))
		l := start(t, s)
		idle, theirs, busy, late := l.dial(t), l.dial(t), l.dial(t), l.dial(t)
		exchange(t, idle, bufio.NewReader(idle), post("/", ""))
		exchange(t, theirs, bufio.NewReader(theirs), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		r := bufio.NewReader(busy)
		exchange(t, busy, r, post("/", ""))
		go func() { _, _ = io.WriteString(busy, post("/work", "{}")) }()
		synctest.Wait()

		began := time.Now()
		done := make(chan error, 1)
		go func() { done <- s.Shutdown(t.Context()) }()
		synctest.Wait()
		for _, c := range []net.Conn{idle, theirs} {
			time.Sleep(time.Second) // net/http looks twice a second
			_ = c.SetReadDeadline(time.Now())
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("a connection without a request was not closed: %v", err)
			}
		}
		status, _ := exchange(t, late, bufio.NewReader(late), post("/", "a first request"))
		if status != 200 {
			t.Errorf("the first request of a new connection was answered %d", status)
		}
		a, err := http.ReadResponse(r, nil)
		if err != nil || a.StatusCode != 200 || !a.Close {
			t.Fatalf("the request under way: %v, %v", a, err)
		}
		if _, err := io.ReadAll(a.Body); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < work || took > work+time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestShutdownIsNotHeldByAConnectionThatSaysNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config(http.HandlerFunc(echo))
		c.ReadHeaderTimeout = 0
		s := lean.New(c)
		l := start(t, s)
		l.dial(t)
		began := time.Now()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestCloseEndsWhatShutdownCannotWaitFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		s := lean.New(config(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			close(ended)
		})))
		l := start(t, s)
		c := l.dial(t)
		_, _ = io.WriteString(c, post("/", ""))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returned %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-ended
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection is open: %v", err)
		}
		if s.Close() != nil || s.Shutdown(t.Context()) != nil {
			t.Error("it cannot be closed twice")
		}
	})
}

// TestNoAnswerIsLostAtShutdown stops a server under load: whatever a handler has answered has reached its client.
func TestNoAnswerIsLostAtShutdown(t *testing.T) {
	t.Parallel()
	for range 5 {
		var handled, answered atomic.Int64
		enough := make(chan struct{})
		s := lean.New(config(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if handled.Add(1) == 500 {
				close(enough)
			}
		})))
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		var clients sync.WaitGroup
		for i := range 16 {
			clients.Go(func() {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					return
				}
				defer c.Close()
				request := post("/", "{}")
				if i%4 == 0 {
					request = strings.Replace(request, "POST", "PUT", 1) // net/http's
				}
				for r := bufio.NewReader(c); ; answered.Add(1) {
					_, _ = io.WriteString(c, request)
					a, err := http.ReadResponse(r, nil)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, a.Body)
				}
			})
		}
		<-enough
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
		clients.Wait()
		if handled.Load() != answered.Load() {
			t.Errorf("%d requests were handled and %d answers came", handled.Load(), answered.Load())
		}
	}
}
