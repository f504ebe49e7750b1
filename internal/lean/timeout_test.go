package lean_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waypost/waypost/internal/lean"
)

// say is a piece of a conversation: wait, then send.
type say struct {
	after time.Duration
	text  string
}

// TestTimeoutsAreThoseOfNetHTTP has clients be slow at every place where one can be, and compares when the servers close.
func TestTimeoutsAreThoseOfNetHTTP(t *testing.T) {
	t.Parallel()
	const second = time.Second
	whole := post("/in/a", "{}")
	head, body := whole[:len(whole)-2], whole[len(whole)-2:]
	tests := []struct {
		name   string
		change func(*http.Server)
		says   []say
		after  time.Duration // it is closed
		here   int           // requests answered here
	}{
		{"a client who says nothing", nil, nil, 5 * second, 0},
		{"half a request line", nil, []say{{0, "POST /in"}}, 5 * second, 0},
		{"half a head", nil, []say{{second, whole[:40]}}, 5 * second, 0},
		{"a head that drips", nil, []say{{second, "POST "}, {2 * second, "/in/a"}, {second, " HTTP/1.1\r\n"}, {3 * second, "Host: x\r\n"}}, 5 * second, 0},
		{"nothing behind an answer", nil, []say{{0, whole}}, 60 * second, 1},
		{"a byte behind an answer", nil, []say{{0, whole}, {50 * second, "P"}}, 60 * second, 1},
		{"half a head behind an answer", nil, []say{{0, whole}, {50 * second, whole[:40]}}, 55 * second, 1},
		{"a head that drips behind an answer", nil, []say{{0, whole}, {50 * second, whole[:40]}, {3 * second, whole[40:50]}, {3 * second, "x"}}, 55 * second, 1},
		{"line ends behind an answer", nil, []say{{0, whole}, {50 * second, "\r\n\r\n"}}, 55 * second, 1},
		{"two answers a while apart", nil, []say{{0, whole}, {55 * second, whole}}, 115 * second, 2},
		{"a head that comes in pieces and in time", nil, []say{{4 * second, whole[:30]}, {second / 2, whole[30:]}, {30 * second, whole[:30]}, {4 * second, whole[30:]}}, 4*second + second/2 + 34*second + 60*second, 2},
		{"a body that comes late, without a time-out", nil, []say{{0, head}, {90 * second, body}}, 150 * second, 1},
		{"a body that never comes in the read time", func(s *http.Server) { s.ReadTimeout = 8 * second }, []say{{second, head}}, 0, 1},
		{"a body in the read time", func(s *http.Server) { s.ReadTimeout = 8 * second }, []say{{0, head}, {7 * second, body}}, 67 * second, 1},
		{"the read time of a second request", func(s *http.Server) { s.ReadTimeout = 8 * second }, []say{{0, whole}, {20 * second, head}, {7 * second, body}}, 87 * second, 2},
		{"a slow head of net/http's behind a plain request, without a time-out for heads", func(s *http.Server) { s.ReadHeaderTimeout = 0 },
			[]say{{0, whole}, {30 * second, "GET /a HTTP/1.1\r\n"}, {40 * second, "Host: x\r\n\r\n"}}, 130 * second, 1},
		{"the read time counts for the head and for idling when nothing else does", func(s *http.Server) {
			s.ReadTimeout, s.ReadHeaderTimeout, s.IdleTimeout = 8*second, 0, 0
		}, []say{{6 * second, whole}, {7 * second, whole}}, 21 * second, 2},
		{"the read time counts for a first head", func(s *http.Server) { s.ReadTimeout, s.ReadHeaderTimeout = 8*second, 0 }, []say{{0, "POST"}}, 8 * second, 0},
		{"the handler's time-out for a body", nil, []say{{0, strings.Replace(head, "/in/a", "/hasty", 1)}}, 0, 1},
		{"the handler's time-out ends with its request", nil, []say{{0, strings.Replace(whole, "/in/a", "/hasty", 1)}, {20 * second, head}, {20 * second, body}}, 100 * second, 2},
		{"no time-outs at all", func(s *http.Server) { s.ReadHeaderTimeout, s.IdleTimeout = 0, 0 }, []say{{99 * second, whole}, {99 * second, whole}}, 0, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			answers := map[string]string{}
			for name, newServer := range both {
				synctest.Test(t, func(t *testing.T) {
					h := &served{Handler: http.HandlerFunc(hasty)}
					c := config(h)
					c.IdleTimeout = time.Minute
					if tt.change != nil {
						tt.change(c)
					}
					conn := start(t, newServer(c)).dial(t)
					began := time.Now()
					sent := make(chan struct{})
					go func() {
						defer close(sent)
						for _, s := range tt.says {
							time.Sleep(s.after)
							if _, err := io.WriteString(conn, s.text); err != nil {
								return
							}
						}
					}()
					_ = conn.SetReadDeadline(began.Add(200 * time.Second))
					answer, err := io.ReadAll(conn)
					took := time.Since(began)
					_ = conn.Close()
					<-sent
					answers[name] = fmt.Sprintf("%s after %v, %v", meaning(string(answer)), took, err)
					if tt.after > 0 && took != tt.after {
						t.Errorf("%s closed after %v, want %v", name, took, tt.after)
					}
					if here := int(h.here.Load()); name == "lean" && here != tt.here {
						t.Errorf("%d requests were answered here, want %d", here, tt.here)
					}
				})
			}
			if answers["lean"] != answers["net/http"] {
				t.Errorf("we said       %s\nnet/http said %s", answers["lean"], answers["net/http"])
			}
		})
	}
}

// hasty gives a body at /hasty ten seconds.
func hasty(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/hasty" {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			panic(err)
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		panic(err)
	}
	_, _ = fmt.Fprintf(w, "%s %v", body, err)
}

func TestAClientWhoDoesNotReadIsGivenUpAfterTheWriteTime(t *testing.T) {
	t.Parallel()
	for name, newServer := range both {
		for _, by := range []string{"server", "handler"} {
			t.Run(name+", set by the "+by, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					began := time.Now()
					closed := make(chan struct{})
					c := config(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						if by == "handler" {
							_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(7 * time.Second))
						}
						_, _ = w.Write([]byte("answer"))
					}))
					if by == "server" {
						c.WriteTimeout = 7 * time.Second
					}
					c.ConnState = func(_ net.Conn, state http.ConnState) {
						if state == http.StateClosed {
							close(closed)
						}
					}
					_, _ = io.WriteString(start(t, newServer(c)).dial(t), post("/", ""))
					<-closed
					if took := time.Since(began); took != 7*time.Second {
						t.Errorf("closed after %v", took)
					}
				})
			})
		}
	}
}

func TestAWriteTimeIsOfOneRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limited := false
		c := config(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !limited { // the first alone
				_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(7 * time.Second))
			}
			limited = true
			echo(w, r)
		}))
		conn := start(t, both["lean"](c)).dial(t)
		r := bufio.NewReader(conn)
		for range 3 {
			_, _ = io.WriteString(conn, post("/", "{}"))
			time.Sleep(5 * time.Second) // the answer waits for its reader
			a, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, a.Body)
			time.Sleep(20 * time.Second)
		}
	})
}

func TestAReadThatWaitsHearsOfANewTimeout(t *testing.T) {
	t.Parallel()
	for name, newServer := range both {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := start(t, newServer(config(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					began := time.Now()
					go func() {
						time.Sleep(3 * time.Second)
						_ = http.NewResponseController(w).SetReadDeadline(time.Now())
					}()
					_, err := r.Body.Read(make([]byte, 1))
					if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took != 3*time.Second {
						t.Errorf("%v after %v", err, took)
					}
				})))).dial(t)
				go func() { _, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n") }()
				if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestWhatIsLeftOfABodyIsNotTakenForARequest has a handler answer while the body is on its way, and the rest of it come too late.
func TestWhatIsLeftOfABodyIsNotTakenForARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		handled := 0
		c := start(t, lean.New(config(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			handled++
			out := http.NewResponseController(w)
			if err := errors.Join(out.EnableFullDuplex(), out.SetReadDeadline(time.Now().Add(time.Second)), out.Flush()); err != nil {
				t.Error(err)
			}
		})))).dial(t)
		inner := post("/smuggled", "")
		outer := post("/", inner)
		sent := make(chan struct{})
		defer func() { <-sent }()
		go func() {
			defer close(sent)
			_, _ = io.WriteString(c, strings.TrimSuffix(outer, inner))
			time.Sleep(2 * time.Second)
			_, _ = io.WriteString(c, inner)
		}()
		began := time.Now()
		answer, err := io.ReadAll(c)
		if took := time.Since(began); err != nil || took != time.Second || strings.Count(string(answer), "HTTP/1.1") != 1 || handled != 1 {
			t.Errorf("%d requests were handled, closed after %v with %v, answered %q", handled, took, err, answer)
		}
	})
}
