package egress

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// afterRequest reads one request with its body, then does something with the connection until it fails.
func afterRequest(then func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { _ = c.Close() }()
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		then(c)
	}
}

// repeat writes a text at intervals until the connection is closed.
func repeat(first, text string, every time.Duration) func(net.Conn) {
	return afterRequest(func(c net.Conn) {
		_, err := io.WriteString(c, first)
		for err == nil {
			time.Sleep(every)
			_, err = io.WriteString(c, text)
		}
	})
}

func TestTheDeadlineCoversTheWholeExchange(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(net.Conn){
		"connecting":            nil,
		"reading the request":   func(c net.Conn) {},
		"waiting":               afterRequest(func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }),
		"headers that drip":     repeat("HTTP/1.1 200 OK\r\n", "X: y\r\n", time.Second),
		"a body that drips":     repeat("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "x", time.Second),
		"chunks that drip":      repeat("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", time.Second),
		"a body that stops":     afterRequest(func(c net.Conn) { _, _ = io.WriteString(c, okAnswer[:len(okAnswer)-1]); _, _ = c.Read(make([]byte, 1)) }),
		"a body without an end": repeat("HTTP/1.1 200 OK\r\n\r\n", "x", time.Second),
	} {
		for _, size := range []int{1, 200 << 10} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					n := hooks(serve)
					client := New(n.options())
					before := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					defer cancel()
					_, err := client.Do(ctx, Request{URL: "http://hooks.example/", Body: make([]byte, size)})
					if kindOf(err) != KindTimeout {
						t.Errorf("%v", err)
					}
					if took := time.Since(before); took != 3*time.Second {
						t.Errorf("took %v, want exactly 3s", took)
					}
					if client.pool.count != 0 {
						t.Error("the connection was kept")
					}
					time.Sleep(time.Minute) // the server notices
				})
			})
		}
	}
}

func TestTheAnswerSoFarIsKeptWhenItsBodyDoesNotEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := hooks(repeat("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "x", time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		resp, err := New(n.options()).Do(ctx, Request{URL: "http://hooks.example/"})
		if kindOf(err) != KindTimeout || resp.Status != 200 || string(resp.Body) != "xxx" {
			t.Errorf("%v %q %v", resp.Status, resp.Body, err)
		}
		time.Sleep(time.Minute) // the server notices
	})
}

func TestConnectingHasALimitOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := hooks(nil)
		before := time.Now()
		_, err := New(n.options()).Do(t.Context(), Request{URL: "http://hooks.example/"})
		if kindOf(err) != KindTimeout || time.Since(before) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(before))
		}
	})
}

func TestAnAddressThatDoesNotAnswerLeavesTimeForTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := hooks(answer(okAnswer))
		n.names["two.example"] = []string{"2400:3200::1", "8.8.8.8"}
		o := n.options()
		inner := o.Dial
		o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "[") {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return inner(ctx, network, addr)
		}
		client := New(o)
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		before := time.Now()
		if _, err := client.Do(ctx, Request{URL: "http://two.example/"}); err != nil {
			t.Error(err)
		}
		if took := time.Since(before); took != 2*time.Second {
			t.Errorf("took %v, want half of the deadline for the dead address", took)
		}
	})
}

func TestCancelEndsARequestAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := hooks(repeat("", "", time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		before := time.Now()
		_, err := New(n.options()).Do(ctx, Request{URL: "http://hooks.example/"})
		if kindOf(err) != KindCanceled || time.Since(before) != time.Second {
			t.Errorf("%v after %v", err, time.Since(before))
		}
		time.Sleep(2 * time.Hour) // the server notices
	})
}

func TestHostileAnswersAreBounded(t *testing.T) {
	t.Parallel()
	flood := func(head, text string) func(net.Conn) {
		return afterRequest(func(c net.Conn) {
			_, err := io.WriteString(c, head)
			for err == nil {
				_, err = io.WriteString(c, text)
			}
		})
	}
	kib := strings.Repeat("x", 1<<10)
	for name, c := range map[string]struct {
		serve func(net.Conn)
		kind  Kind // "" = an answer
	}{
		"headers without end":      {flood("HTTP/1.1 200 OK\r\n", "X: "+kib+"\r\n"), KindProtocol},
		"one header without end":   {flood("HTTP/1.1 200 OK\r\nX: ", kib), KindProtocol},
		"a status without end":     {flood("HTTP/1.1 200 ", kib), KindProtocol},
		"a flood of 1xx":           {flood("", "HTTP/1.1 103 Early Hints\r\n\r\n"), KindProtocol},
		"a flood of long 1xx":      {flood("", "HTTP/1.1 103 Early Hints\r\nX: "+strings.Repeat(kib, 20)+"\r\n\r\n"), KindProtocol},
		"not HTTP":                 {flood("SSH-2.0-x\r\n", kib), KindProtocol},
		"a negative length":        {flood("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", kib), KindProtocol},
		"two lengths":              {flood("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", kib), KindProtocol},
		"10 GB announced":          {flood("HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n", kib), ""},
		"a body without end":       {flood("HTTP/1.1 200 OK\r\n\r\n", kib), ""},
		"chunks without end":       {flood("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "400\r\n"+kib+"\r\n"), ""},
		"chunks of only extension": {flood("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1;"+kib+"\r\nx\r\n"), KindProtocol},
		"trailers without end":     {flood("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n"), KindProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := New(hooks(c.serve).options())
			resp, err := client.Do(within(t, 30*time.Second), Request{URL: "http://hooks.example/"})
			if kindOf(err) != c.kind {
				t.Fatalf("%v, want kind %q", err, c.kind)
			}
			if name == "a flood of 1xx" && !strings.Contains(err.Error(), "interim") {
				t.Error(err)
			}
			if c.kind == "" && (resp.Status != 200 || len(resp.Body) > DefaultMaxResponse || !resp.Truncated) {
				t.Errorf("status %d, %d bytes kept, truncated %v", resp.Status, len(resp.Body), resp.Truncated)
			}
			if client.pool.count != 0 {
				t.Error("the connection was kept")
			}
		})
	}
}

func TestAServerThatAnswersBeforeItHasReadIsHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := hooks(func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
			time.Sleep(time.Hour)
		})
		before := time.Now()
		resp, err := New(n.options()).Do(t.Context(), Request{URL: "http://hooks.example/", Body: make([]byte, 1<<20)})
		if err != nil || resp.Status != 413 || time.Since(before) > lastWords {
			t.Errorf("%d %v after %v", resp.Status, err, time.Since(before))
		}
		time.Sleep(2 * time.Hour) // the server notices
	})
}

func TestNothingIsLeftRunning(t *testing.T) {
	t.Parallel()
	// A bubble fails its test when a goroutine is left in it.
	synctest.Test(t, func(t *testing.T) {
		for _, serve := range []func(net.Conn){answer(okAnswer), afterRequest(func(net.Conn) {})} {
			client := New(hooks(serve).options())
			for range 10 {
				_, _ = client.Do(t.Context(), Request{URL: "http://hooks.example/", Body: make([]byte, 100<<10)})
			}
			client.Close()
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{okAnswer, "HTTP/1.1 103 E\r\n\r\n" + okAnswer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n", "HTTP/1.0 200\r\n\r\nx"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		client := New(hooks(afterRequest(func(c net.Conn) { _, _ = c.Write(raw) })).options())
		defer client.Close()
		resp, err := client.Do(t.Context(), Request{URL: "http://hooks.example/"})
		if kind := kindOf(err); err != nil && kind != KindProtocol && kind != KindReset {
			t.Errorf("%v", err)
		}
		if len(resp.Body) > DefaultMaxResponse || err == nil && resp.Status < 100 {
			t.Errorf("status %d, %d bytes", resp.Status, len(resp.Body))
		}
	})
}
