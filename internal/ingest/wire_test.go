package ingest_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
)

// raw is a request as bytes: the head's lines, then a body.
func raw(body string, lines ...string) string {
	return "POST /in/d00r HTTP/1.1\r\nHost: x\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

func signature(body string) string {
	return "X-Courier-Signature: " + push(body).Header.Get("X-Courier-Signature")
}

// answers sends bytes and returns the statuses of all answers until the server closes the connection, or says nothing
// more for a minute.
func answers(t *testing.T, c net.Conn, request string) []int {
	t.Helper()
	go func() { _, _ = io.WriteString(c, request) }()
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	var out []int
	for r := bufio.NewReader(c); ; {
		a, err := http.ReadResponse(r, nil)
		if err != nil {
			return out
		}
		_, _ = io.Copy(io.Discard, a.Body)
		out = append(out, a.StatusCode)
	}
}

func TestRawRequests(t *testing.T) {
	t.Parallel()
	good := letter("1")
	second := raw(letter("2"), fmt.Sprintf("Content-Length: %d", len(letter("2"))), signature(letter("2")))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(good), good)
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d", n) }
	tests := []struct {
		name    string
		request string
		want    []int
		stored  int
	}{
		{"two good pushes on one connection are both taken",
			raw(good, length(len(good)), signature(good)) + second, []int{200, 200}, 2},
		{"after a chunked push the connection is closed, so that nothing can ride behind it",
			raw(chunked, "Transfer-Encoding: chunked", signature(good)) + second, []int{200}, 1},
		{"CL.TE: what a proxy took for the body is not taken for a second push",
			raw("0\r\n\r\n"+second, length(len(second)+5), "Transfer-Encoding: chunked"), []int{200}, 0},
		{"TE.CL: nor is what it took for chunks",
			raw(chunked+second, "Transfer-Encoding: chunked", length(4), signature(good)), []int{200}, 1},
		{"two lengths that differ are 400", raw(good, length(3), length(len(good)), signature(good)), []int{400}, 0},
		{"a length with a sign is 400", raw(good, fmt.Sprintf("Content-Length: +%d", len(good)), signature(good)), []int{400}, 0},
		{"two transfer codings are refused", raw(chunked, "Transfer-Encoding: chunked", "Transfer-Encoding: identity", signature(good)), []int{501}, 0},
		{"an unknown transfer coding is refused", raw(chunked, "Transfer-Encoding: xchunked", signature(good)), []int{501}, 0},
		{"a bare line feed in a chunk size is 400",
			raw(strings.Replace(chunked, "\r\n", "\n", 1), "Transfer-Encoding: chunked", signature(good)), []int{400}, 0},
		{"a blank before the colon is 400", raw(good, length(len(good)), "X-Courier-Signature : 00"), []int{400}, 0},
		{"a folded header is 400", raw(good, length(len(good)), "X-A: 1\r\n 2", "X-Courier-Signature : 00"), []int{400}, 0},
		{"a NUL in a header is 400", raw(good, length(len(good)), "X-A: a\x00b", signature(good)), []int{400}, 0},
		{"a head of 64 KiB is 431", raw(good, length(len(good)), "X-A: "+strings.Repeat("a", 64<<10), signature(good)), []int{431}, 0},
		{"a chunk extension of 1 MiB is not read through",
			raw(fmt.Sprintf("%x;%s\r\n%s\r\n0\r\n\r\n", len(good), strings.Repeat("e", 1<<20), good), "Transfer-Encoding: chunked", signature(good)), []int{400}, 0},
		{"an announced body over the limit is 413 before it is sent", raw("", length(1<<30), signature(good)), []int{413}, 0},
		{"a chunked body over the limit is 413",
			raw(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 1<<21, strings.Repeat("b", 1<<21)), "Transfer-Encoding: chunked", signature(good)), []int{413}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := open(t)
				got := answers(t, serve(t, st)(), tt.request)
				if fmt.Sprint(got) != fmt.Sprint(tt.want) {
					t.Errorf("answered %v, want %v", got, tt.want)
				}
				if n := len(st.books.messages(t)); n != tt.stored {
					t.Errorf("stored %d, want %d", n, tt.stored)
				}
			})
		})
	}
}

func TestSlowClients(t *testing.T) {
	t.Parallel()
	good := letter("1")
	head := raw("", fmt.Sprintf("Content-Length: %d", len(good)), signature(good))
	t.Run("a body that drips is cut off after the read timeout", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			st := open(t)
			c := serve(t, st)()
			began := time.Now()
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = io.WriteString(c, head)
				for i := range good {
					time.Sleep(time.Second)
					if _, err := io.WriteString(c, good[i:i+1]); err != nil {
						return
					}
				}
			}()
			if got := answers(t, c, ""); fmt.Sprint(got) != "[408]" {
				t.Errorf("answered %v", got)
			}
			took := time.Since(began)
			_ = c.Close()
			<-done
			if took < ingest.DefaultReadTimeout || took > ingest.DefaultReadTimeout+time.Second {
				t.Errorf("took %v", took)
			}
			if st.last(t).Result != ingest.ResultSlow {
				t.Errorf("counted as %q", st.last(t).Result)
			}
		})
	})
	t.Run("a body that drips behind a refusal does not hold the connection", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			st := open(t)
			c := serve(t, st)()
			began := time.Now()
			got := answers(t, c, strings.Replace(head, "d00r", "elsewhere", 1)+"{")
			if took := time.Since(began); fmt.Sprint(got) != "[404]" || took > ingest.DefaultReadTimeout+time.Second {
				t.Errorf("answered %v and closed after %v", got, took)
			}
		})
	})
	t.Run("slow clients do not keep others out", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			st := open(t, func(o *ingest.Options, _ *hook.Route) { o.MaxInFlight = 2 })
			dial := serve(t, st)
			for range 200 {
				_, _ = io.WriteString(dial(), head+"{")
			}
			synctest.Wait()
			if w := st.do(push(good)); w.Code != 200 {
				t.Errorf("answered %d", w.Code)
			}
		})
	})
	t.Run("a store that takes longer than the read timeout cuts neither the request off nor the one behind it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			st := open(t, func(o *ingest.Options, _ *hook.Route) {
				o.Accept = func(ctx context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
					time.Sleep(2 * ingest.DefaultReadTimeout)
					return []hook.Accepted{{Message: batch[0].Message}}, ctx.Err()
				}
			})
			c := serve(t, st)()
			answered := bufio.NewReader(c)
			for range 2 {
				if _, err := io.WriteString(c, head+good); err != nil {
					t.Fatal(err)
				}
				a, err := http.ReadResponse(answered, nil)
				if err != nil || a.StatusCode != 200 {
					t.Fatalf("answered %v, %v", a, err)
				}
				_, _ = io.Copy(io.Discard, a.Body)
			}
		})
	})
	t.Run("a client who announces much and sends nothing holds little", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			// 100 clients who announce 1 MiB would be 100 MiB if it were believed.
			st := open(t, func(o *ingest.Options, _ *hook.Route) { o.MaxHeld = 100*(16<<10) + 1<<20 })
			dial := serve(t, st)
			for range 100 {
				_, _ = io.WriteString(dial(), raw("{", "Content-Length: 1048576", signature(good)))
			}
			synctest.Wait()
			if w := st.do(push(good)); w.Code != 200 {
				t.Errorf("answered %d", w.Code)
			}
		})
	})
}

func TestBodies(t *testing.T) {
	t.Parallel()
	whole := open(t)
	for _, size := range []int{40, 16<<10 - 1, 16 << 10, 16<<10 + 1, 100 << 10, 1<<20 - 1, 1 << 20} {
		for _, announced := range []bool{true, false} {
			t.Run(fmt.Sprintf("a body of %d bytes arrives whole (announced: %v)", size, announced), func(t *testing.T) {
				t.Parallel()
				frame := `{"type":"a","data":{"x":""}}`
				body := strings.Replace(frame, `""`, `"`+strings.Repeat("y", size-len(frame))+`"`, 1)
				r := push(body)
				if !announced {
					r.Body, r.ContentLength = io.NopCloser(bytes.NewBufferString(body)), -1
				}
				if w := whole.do(r); w.Code != 200 {
					t.Fatalf("answered %d", w.Code)
				}
				n := 0
				for _, m := range whole.books.messages(t) {
					if m = whole.books.message(t, m.ID); string(m.Raw.Body) == body {
						n++
					}
				}
				if n == 0 {
					t.Error("it is not stored as it was sent")
				}
			})
		}
	}
	t.Run("one byte over the limit is 413, announced or not", func(t *testing.T) {
		t.Parallel()
		st := open(t)
		body := strings.Repeat("x", 1<<20+1)
		if w := st.do(push(body)); w.Code != 413 {
			t.Errorf("announced: answered %d", w.Code)
		}
		r := push(body)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), -1
		if w := st.do(r); w.Code != 413 {
			t.Errorf("not announced: answered %d", w.Code)
		}
	})
	t.Run("the memory of bodies is given back", func(t *testing.T) {
		t.Parallel()
		st := open(t, func(o *ingest.Options, _ *hook.Route) { o.MaxHeld = 200 })
		for i := range 100 {
			if w := st.do(push(letter(fmt.Sprint(i)))); w.Code != 200 {
				t.Fatalf("push %d: answered %d", i, w.Code)
			}
			st.do(push("hello"))
		}
	})
}

func TestAFaultOfADialectCostsOnlyItsRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := open(t, func(o *ingest.Options, _ *hook.Route) { o.MaxInFlight = 1 })
		dial := serve(t, st)
		bad := `{"type":"panic","id":"1","data":{}}`
		if got := answers(t, dial(), raw(bad, fmt.Sprintf("Content-Length: %d", len(bad)), signature(bad))); len(got) != 0 {
			t.Errorf("answered %v", got)
		}
		if st.last(t).Result != ingest.ResultFault {
			t.Errorf("counted as %q", st.last(t).Result)
		}
		good := letter("1")
		if got := answers(t, dial(), raw(good, fmt.Sprintf("Content-Length: %d", len(good)), signature(good))); fmt.Sprint(got) != "[200]" {
			t.Errorf("the next: answered %v", got)
		}
	})
}
