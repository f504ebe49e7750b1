package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// far is the other side of a connection in a test.
type far struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (f *far) next() (out ListenFrame) {
	f.t.Helper()
	line, err := f.in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &out)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func (f *far) say(text string) { _, _ = f.conn.Write([]byte(text + "\n")) }

// attended starts a listener over a pipe, as a server serves it. changes counts what was told.
func attended(t *testing.T, l *Listeners, ep hook.EndpointID, may func() error) *far {
	t.Helper()
	near, other := net.Pipe()
	c := newListener(ep, near)
	if err := l.join(c); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer l.leave(c)
		watching := make(chan struct{})
		go func() { defer close(watching); c.watch(may) }()
		l.enter(c)
		c.read(bufio.NewReader(near))
		c.end()
		<-watching
	}()
	return &far{t, other, bufio.NewReader(other)}
}

func allowed() error { return nil }

func TestAListenerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []bool
		var l *Listeners
		l = NewListeners(func(ep hook.EndpointID) { told = append(told, l.Listening(ep)) })
		if _, err := l.Deliver(t.Context(), 7, ListenRequest{}); !errors.Is(err, ErrNobodyListens) {
			t.Errorf("nobody: %v", err)
		}
		f := attended(t, l, 7, allowed)
		synctest.Wait()
		if !l.Listening(7) || l.Listening(8) {
			t.Error("listening to the wrong one")
		}
		go func() {
			r := f.next()
			if r.Kind != FrameRequest || string(r.Body) != "body\n" || r.TimeoutMs != 1000 || r.Header.Get("A") != "b" {
				t.Errorf("%+v", r)
			}
			f.say(`{"kind":"answer","id":99,"status":500}`) // to nothing
			f.say(`{"kind":"answer","id":1,"status":201,"body":"` + strings.Repeat("YWJj", 8<<10) + `"}`)
			f.say(`{"kind":"answer","id":1,"status":500}`) // twice
			f.next()
			f.say(`{"kind":"failure","id":2,"reason":"refused"}`)
			f.next() // and nothing
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a, err := l.Deliver(ctx, 7, ListenRequest{Method: "POST", Header: http.Header{"A": {"b"}}, Body: []byte("body\n")})
		if err != nil || a.Status != 201 || len(a.Body) != maxAnswerBody || !a.Truncated {
			t.Errorf("%d, %d bytes, %v", a.Status, len(a.Body), err)
		}
		var failure *ListenerFailure
		if _, err := l.Deliver(ctx, 7, ListenRequest{}); !errors.As(err, &failure) || failure.Reason != "refused" {
			t.Errorf("failure: %v", err)
		}
		if _, err := l.Deliver(ctx, 7, ListenRequest{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no answer: %v", err)
		}
		_ = f.conn.Close()
		synctest.Wait()
		if l.Listening(7) || len(told) != 2 || !told[0] || told[1] {
			t.Errorf("told %v", told)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestListenersThatAreGoneAreFound has other sides that break off, say nothing, take nothing, or speak nonsense.
func TestListenersThatAreGoneAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		far  func(*far)
		may  func() error
		most time.Duration
	}{
		"closes":              {func(f *far) { f.next(); _ = f.conn.Close() }, allowed, 0},
		"takes nothing":       {func(*far) {}, allowed, listenerTimeout},
		"never says anything": {func(f *far) { _, _ = f.in.WriteTo(discard{}) }, allowed, 3 * PingEvery},
		"nonsense":            {func(f *far) { f.next(); f.say("nonsense"); f.next() }, allowed, 0},
		"a status of none":    {func(f *far) { f.next(); f.say(`{"kind":"answer","id":1,"status":7}`); f.next() }, allowed, 0},
		"a frame too long":    {func(f *far) { f.next(); f.say(strings.Repeat("x", maxAnswerFrame+1)) }, allowed, 0},
		"no right any more": {func(f *far) {
			f.next()
			if bye := f.next(); bye.Kind != FrameBye || bye.Again || bye.Reason != "this token has expired" {
				t.Errorf("%+v", bye)
			}
		}, func() error { return unauthenticated("this token has expired") }, PingEvery},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := NewListeners(func(hook.EndpointID) {})
				f := attended(t, l, 7, c.may)
				f.t = t
				defer func() { _ = f.conn.Close() }()
				synctest.Wait()
				go c.far(f)
				began := time.Now()
				_, err := l.Deliver(t.Context(), 7, ListenRequest{})
				if took := time.Since(began); !errors.Is(err, errListenerLeft) || took > c.most {
					t.Errorf("%v after %v", err, took)
				}
				synctest.Wait()
				if l.Listening(7) {
					t.Error("is still listened for")
				}
			})
		})
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func TestOneThatAnswersPingsStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewListeners(func(hook.EndpointID) {})
		f := attended(t, l, 7, allowed)
		for range 20 {
			if p := f.next(); p.Kind != FramePing {
				t.Fatalf("%+v", p)
			}
			f.say(`{"kind":"pong"}`)
		}
		if !l.Listening(7) {
			t.Error("is gone")
		}
		go func() { _ = l.Close(context.Background()) }()
		if bye := f.next(); bye.Kind != FrameBye || !bye.Again {
			t.Errorf("%+v", bye)
		}
	})
}

func TestListenersAreBoundedAndRefusedAtTheEnd(t *testing.T) {
	t.Parallel()
	l := NewListeners(func(hook.EndpointID) {})
	var in []*listener
	for range maxListenersOf {
		near, other := net.Pipe()
		t.Cleanup(func() { _ = other.Close() })
		c := newListener(7, near)
		if err := l.join(c); err != nil {
			t.Fatal(err)
		}
		l.enter(c)
		in = append(in, c)
	}
	if err := l.join(newListener(7, nil)); err == nil {
		t.Error("one too many")
	}
	if err := l.join(newListener(8, nil)); err != nil {
		t.Error(err)
	}
	l.leave(newListener(8, nil))
	for _, c := range in {
		c.end()
		l.leave(c)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.join(newListener(7, nil)); err == nil {
		t.Error("joined after the end")
	}
}
