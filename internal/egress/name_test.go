package egress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const closingAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// asked counts the questions for names, each of which takes a while.
func asked(o *Options, takes time.Duration) *atomic.Int32 {
	var n atomic.Int32
	inner := o.Resolve
	o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
		n.Add(1)
		select {
		case <-time.After(takes):
			return inner(ctx, host)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &n
}

func TestANameIsAskedForOnceInAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := hooks(answer(closingAnswer)).options()
		questions := asked(&o, time.Second)
		c := New(o)
		for _, step := range []struct {
			after time.Duration
			want  int32
		}{{0, 1}, {nameAge - 2*time.Second, 1}, {2 * time.Second, 2}, {time.Hour, 3}} {
			time.Sleep(step.after)
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if resp, err := c.Do(t.Context(), Request{URL: "http://hooks.example/"}); err != nil || resp.Status != 200 {
						t.Error(resp.Status, err)
					}
				})
			}
			wg.Wait()
			if n := questions.Load(); n != step.want {
				t.Errorf("%v later, fifty requests at once: asked %d times by now, want %d", step.after, n, step.want)
			}
		}
	})
}

func TestWhatIsRememberedOfANameIsJudgedEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &internet{names: map[string][]string{"inside.example": {"10.0.0.1"}}, serve: answer(closingAnswer)}
		c := New(n.options())
		allow := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		for range 2 {
			if _, err := c.Do(t.Context(), Request{URL: "http://inside.example/", Allow: allow}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Do(t.Context(), Request{URL: "http://inside.example/"}); kindOf(err) != KindForbidden {
				t.Errorf("without the allow list: %v", err)
			}
		}
		if got := n.dialled(); len(got) != 2 {
			t.Errorf("dialled %v, want the two allowed requests", got)
		}
	})
}

func TestANameThatLedNowhereIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for what, before := range map[string][]string{"to no address": nil, "where nobody answers": {"9.9.9.9"}, "where nobody may go": {"10.0.0.1"}} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := hooks(answer(okAnswer))
				if n.lead("hooks.example", before...); before == nil {
					delete(n.names, "hooks.example")
				}
				o := n.options()
				dial := o.Dial
				o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if addr == "9.9.9.9:80" {
						return nil, errors.New("refused")
					}
					return dial(ctx, network, addr)
				}
				c := New(o)
				defer c.Close()
				if _, err := c.Do(t.Context(), Request{URL: "http://hooks.example/"}); err == nil {
					t.Error("no error")
				}
				n.lead("hooks.example", "8.8.8.8")
				if _, err := c.Do(t.Context(), Request{URL: "http://hooks.example/"}); err != nil {
					t.Errorf("after it was mended: %v", err)
				}
			})
		})
	}
}

func TestAQuestionForANameEndsWithThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := hooks(answer(closingAnswer)).options()
		questions := asked(&o, 5*time.Second)
		c := New(o)
		ask := func(patience time.Duration) <-chan error {
			said := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := c.Do(ctx, Request{URL: "http://hooks.example/"})
				said <- err
			}()
			return said
		}
		hasty, patient := ask(time.Second), ask(time.Minute)
		if err := <-hasty; kindOf(err) != KindTimeout {
			t.Errorf("who waited a second: %v", err)
		}
		if err := <-patient; err != nil || questions.Load() != 1 {
			t.Errorf("who waited: %v, %d questions", err, questions.Load())
		}
		time.Sleep(time.Hour)
		began := time.Now()
		<-ask(time.Second)
		synctest.Wait()
		if len(c.names.known) != 0 {
			t.Errorf("a question for which nobody waits goes on after %v", time.Since(began))
		}
	})
}

func TestFewNamesAreRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := Options{ConnectTimeout: time.Minute, Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
		}}
		questions := asked(&o, time.Second)
		n := newNames(&o)
		look := func(host string) {
			if found, err := n.lookUp(t.Context(), host); err != nil || len(found) != 1 {
				t.Errorf("%s: %v %v", host, found, err)
			}
		}
		const many = maxNames + 300
		var wg sync.WaitGroup
		for range 2 {
			for i := range many { // the last of them find no room even for a question
				wg.Go(func() { look(fmt.Sprint("at-once-", i)) })
			}
			wg.Wait()
			if got := len(n.known); got > maxNames || got < maxNames/2 {
				t.Errorf("%d names are remembered", got)
			}
		}
		before := questions.Load()
		for i := range many { // one after the other
			look(fmt.Sprint("later-", i))
			if len(n.known) > maxNames {
				t.Fatalf("%d names are remembered", len(n.known))
			}
		}
		if got := questions.Load() - before; got != many {
			t.Errorf("%d questions for %d names", got, many)
		}
	})
}

func TestFewConnectionsAreKeptToOneHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int32
		n := hooks(func(c net.Conn) {
			open.Add(1)
			defer open.Add(-1)
			defer func() { _ = c.Close() }()
			for br := bufio.NewReader(c); ; {
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				time.Sleep(time.Second)
				_, _ = io.WriteString(c, okAnswer)
			}
		})
		o := n.options()
		o.IdlePerHost = 5
		c := New(o)
		for range 3 {
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if _, err := c.Do(t.Context(), Request{URL: "http://hooks.example/"}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			synctest.Wait()
			if open.Load() != 5 {
				t.Errorf("%d connections are kept, want 5", open.Load())
			}
		}
		if got := len(n.dialled()); got != 20+15+15 {
			t.Errorf("%d connections were opened for three times twenty requests at once", got)
		}
		c.Close()
	})
}
