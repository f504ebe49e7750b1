package egress

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestARequestThatMayHaveArrivedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"no body": 0, "a short body": 10, "a long body": 2 * inlineBody} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen atomic.Int32
			n := hooks(func(c net.Conn) {
				defer func() { _ = c.Close() }()
				br := bufio.NewReader(c)
				for {
					req, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					if seen.Add(1) != 1 {
						return // with the work done and not a word
					}
					_, _ = io.WriteString(c, okAnswer)
				}
			})
			client := New(onSocket(t, n))
			defer client.Close()
			r := Request{URL: "http://hooks.example/", Body: make([]byte, size)}
			// The first has no body: after it the connection is kept for certain.
			if _, err := client.Do(within(t, time.Minute), Request{URL: r.URL}); err != nil {
				t.Fatal(err)
			}
			_, err := client.Do(within(t, time.Minute), r)
			if kindOf(err) != KindReset || seen.Load() != 2 || len(n.dialled()) != 1 {
				t.Errorf("%v after %d requests over %d connections", err, seen.Load(), len(n.dialled()))
			}
		})
	}
}

// The server answers when it has read the last byte, which may be before the writer here knows that it was its last.
func TestAConnectionThatCarriedALongBodyIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := hooks(answer(okAnswer))
		client := New(n.options())
		defer client.Close()
		for range 3 {
			if _, err := client.Do(within(t, time.Minute), Request{URL: "http://hooks.example/", Body: make([]byte, 4*inlineBody)}); err != nil {
				t.Fatal(err)
			}
		}
		if got := n.dialled(); len(got) != 1 {
			t.Errorf("dialled %v", got)
		}
	})
}
