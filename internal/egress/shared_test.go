package egress

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// Requests as the engine makes them: many under one context, each with a deadline of its own.

func TestADeadlineOfARequestCoversTheWholeExchange(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(net.Conn){
		"connecting":        nil,
		"waiting":           repeat("", "", time.Hour),
		"headers that drip": repeat("HTTP/1.1 200 OK\r\n", "X: y\r\n", time.Second),
		"a body that drips": repeat("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "x", time.Second),
	} {
		for _, size := range []int{1, 200 << 10} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					client := New(hooks(serve).options())
					before := time.Now()
					_, err := client.Do(t.Context(), Request{
						URL: "http://hooks.example/", Body: make([]byte, size), Deadline: before.Add(3 * time.Second),
					})
					if took := time.Since(before); kindOf(err) != KindTimeout || took != 3*time.Second {
						t.Errorf("%v after %v, want the deadline after exactly 3s", err, took)
					}
					if client.pool.count != 0 {
						t.Error("the connection was kept")
					}
					time.Sleep(2 * time.Hour) // the server notices
				})
			})
		}
	}
}

func TestTheEarlierDeadlineHolds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ context, request time.Duration }{
		"the context's": {2 * time.Second, time.Minute},
		"the request's": {time.Minute, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				before := time.Now()
				_, err := New(hooks(repeat("", "", time.Hour)).options()).Do(within(t, c.context), Request{
					URL: "http://hooks.example/", Deadline: before.Add(c.request),
				})
				if took := time.Since(before); kindOf(err) != KindTimeout || took != 2*time.Second {
					t.Errorf("%v after %v", err, took)
				}
				time.Sleep(2 * time.Hour) // the server notices
			})
		})
	}
}

// okThenSilent answers the first requests of a connection and leaves the others without a word.
func okThenSilent(answered int) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { _ = c.Close() }()
		br := bufio.NewReader(c)
		for n := 0; ; n++ {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			if n < answered {
				_, _ = io.WriteString(c, okAnswer)
			}
		}
	}
}

func TestTheEndOfASharedContextEndsEveryRequestUnderIt(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]int{"on a fresh connection": 0, "on a kept connection": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := hooks(okThenSilent(before))
				client := New(n.options())
				ctx, cancel := context.WithCancel(t.Context())
				r := func() Request { return Request{URL: "http://hooks.example/", Deadline: time.Now().Add(time.Minute)} }
				for range before {
					if _, err := client.Do(ctx, r()); err != nil {
						t.Fatal(err)
					}
				}
				began := time.Now()
				time.AfterFunc(time.Second, cancel)
				_, err := client.Do(ctx, r())
				if kindOf(err) != KindCanceled || time.Since(began) != time.Second || client.pool.count != 0 || len(n.dialled()) != 1 {
					t.Errorf("%v after %v, %d connections kept", err, time.Since(began), client.pool.count)
				}
			})
		})
	}
}

func TestAConnectionOutlivesTheContextThatItWasUsedUnder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := hooks(answer(okAnswer))
		client := New(n.options())
		defer client.Close()
		do := func(ctx context.Context, deadline time.Time) {
			t.Helper()
			if _, err := client.Do(ctx, Request{URL: "http://hooks.example/", Deadline: deadline}); err != nil {
				t.Error(err)
			}
		}
		one, endOne := context.WithCancel(t.Context())
		two, endTwo := context.WithCancel(t.Context())
		defer endTwo()
		do(one, time.Now().Add(time.Minute))
		do(two, time.Now().Add(time.Minute)) // it is no longer the first one's
		endOne()
		synctest.Wait()
		do(two, time.Now().Add(time.Minute))
		for range 2 { // contexts of their own, each over behind its request
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			do(ctx, time.Time{})
			cancel()
			synctest.Wait()
		}
		if got := n.dialled(); len(got) != 1 {
			t.Errorf("%d connections, want 1", len(got))
		}
		// Kept under a context that is over: it is of no use to anybody.
		do(two, time.Now().Add(time.Minute))
		endTwo()
		synctest.Wait()
		do(t.Context(), time.Now().Add(time.Minute))
		if got := n.dialled(); len(got) != 2 {
			t.Errorf("%d connections, want 2", len(got))
		}
	})
}

func TestAConnectionOutlivesTheDeadlineOfItsLastRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := hooks(answer(okAnswer))
		client := New(n.options())
		defer client.Close()
		for range 3 {
			if _, err := client.Do(t.Context(), Request{URL: "http://hooks.example/", Deadline: time.Now().Add(time.Second)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
		if got := n.dialled(); len(got) != 1 {
			t.Errorf("%d connections, want 1", len(got))
		}
	})
}

func TestADestinationIsReadOnce(t *testing.T) {
	t.Parallel()
	n := hooks(answer(okAnswer))
	client := New(n.options())
	defer client.Close()
	to := Locate("http://hooks.example/a")
	for range 2 {
		if resp, err := client.Do(within(t, time.Minute), Request{To: to}); err != nil || resp.Status != 200 {
			t.Errorf("%v %v", resp.Status, err)
		}
	}
	for _, raw := range []string{"ftp://hooks.example/", "http://10.0.0.1/", "http://0x7f.1/", ""} {
		_, want := client.Do(within(t, time.Minute), Request{URL: raw})
		if _, got := client.Do(within(t, time.Minute), Request{To: Locate(raw)}); got == nil || got.Error() != want.Error() {
			t.Errorf("%q: %v, want %v", raw, got, want)
		}
	}
}

func TestFieldsAreSentAsIfTheyStoodInTheHeader(t *testing.T) {
	t.Parallel()
	r := Request{Method: http.MethodPost, Header: http.Header{"B": {"1", "2"}, "User-Agent": {"theirs"}}, Fields: []Field{{"C", "x"}, {"A", "y"}}}
	want := "POST / HTTP/1.1\r\nHost: a\r\nA: y\r\nB: 1\r\nB: 2\r\n"
	for i := range 40 {
		r.Fields = append(r.Fields, Field{"B", string(rune('a' + i%26))})
		want += "B: " + string(rune('a'+i%26)) + "\r\n"
	}
	want += "C: x\r\nUser-Agent: theirs\r\nContent-Length: 0\r\n\r\n"
	target, err := parse("http://a/")
	if err != nil {
		t.Fatal(err)
	}
	client := New(Options{})
	got, err := client.appendHead(nil, &target, &r)
	if err != nil || string(got) != want {
		t.Errorf("%v, %q, want %q", err, got, want)
	}
	merged := Request{Method: r.Method, Header: r.Headers()}
	if again, err := client.appendHead(nil, &target, &merged); err != nil || string(again) != want {
		t.Errorf("%v, %q, want %q", err, again, want)
	}
	if len(r.Header["B"]) != 2 {
		t.Error("Headers changed the request")
	}
	for _, bad := range []Field{{"Host", "b"}, {"a b", "c"}, {"A", "b\r\nC: d"}, {"", "x"}} {
		if _, err := client.Do(within(t, time.Minute), Request{URL: "http://hooks.example/", Fields: []Field{bad}}); kindOf(err) != KindHeader {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
