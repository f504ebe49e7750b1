package ingest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
)

func TestProbes(t *testing.T) {
	t.Parallel()
	window := func(_ *ingest.Options, r *hook.Route) { r.Source.VerifyUntil = time.Now().Add(time.Hour) }
	tests := []struct {
		name   string
		change setup
		send   *http.Request
	}{
		{"GET is 200", nil, httptest.NewRequest("GET", "/in/d00r", nil)},
		{"HEAD is 200", nil, httptest.NewRequest("HEAD", "/in/d00r", nil)},
		{"an empty POST without signature is 200", nil, httptest.NewRequest("POST", "/in/d00r", nil)},
		{"what is no envelope is 200 in the verify window", window, unsigned("hello")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := open(t, func(o *ingest.Options, r *hook.Route) {
				if tt.change != nil {
					tt.change(o, r)
				}
			})
			w := st.do(tt.send)
			if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "0" {
				t.Errorf("answered %d %q %v", w.Code, w.Body, w.Header())
			}
			if st.last(t).Result != ingest.ResultProbe || len(st.books.messages(t)) != 0 {
				t.Errorf("counted as %q, stored %d", st.last(t).Result, len(st.books.messages(t)))
			}
		})
	}
}

func TestAHandshakeIsAnsweredAndNothingStored(t *testing.T) {
	t.Parallel()
	st := open(t)
	w := st.do(httptest.NewRequest("POST", "/in/d00r", strings.NewReader(`{"challenge":9007199254740993}`)))
	if w.Code != 200 || w.Body.String() != `{"challenge":9007199254740993}` || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("answered %d %q %v", w.Code, w.Body, w.Header())
	}
	if st.last(t).Result != ingest.ResultHandshake || len(st.books.messages(t)) != 0 {
		t.Errorf("counted as %q, stored %d", st.last(t).Result, len(st.books.messages(t)))
	}
}

func TestAccept(t *testing.T) {
	t.Parallel()
	t.Run("a push is stored as it came and acknowledged to the byte", func(t *testing.T) {
		t.Parallel()
		st := open(t)
		r := with(push(letter("17")), "Cookie", "c=1", "Proxy-Authorization", "p", "Authorization", "kept", "X-Twice", "a", "X-Twice", "b")
		r.URL.RawQuery = "a=%20b"
		w := st.do(r)
		if w.Code != 200 || w.Body.String() != "ok" || w.Header().Get("Content-Length") != "2" {
			t.Errorf("answered %d %q %v", w.Code, w.Body, w.Header())
		}
		if ct := w.Header()["Content-Type"]; len(ct) != 1 || ct[0] != "text/courier" {
			t.Errorf("Content-Type %q", ct)
		}
		list := st.books.messages(t)
		if len(list) != 1 {
			t.Fatalf("stored %d", len(list))
		}
		m := st.books.message(t, list[0].ID)
		if m.EventType != "parcel.sent" || m.EventID != "17" || string(m.Payload) != `{"n":"17"}` || m.Source != st.source || m.App != st.app {
			t.Errorf("stored %+v", m)
		}
		if string(m.Raw.Body) != letter("17") || m.Raw.Query != "a=%20b" || m.Raw.Method != "POST" || m.Raw.Remote != "192.0.2.1" {
			t.Errorf("raw %+v", m.Raw)
		}
		h := m.Raw.Header
		if h.Get("Authorization") != "kept" || len(h["X-Twice"]) != 2 || h.Get("Cookie") != "" || h.Get("Proxy-Authorization") != "" {
			t.Errorf("header %v", h)
		}
		if o := st.last(t); o.Result != ingest.ResultStored || o.Dialect != "courier" || o.Bytes != len(letter("17")) {
			t.Errorf("counted as %+v", o)
		}
	})
	t.Run("the same again is acknowledged and not stored again", func(t *testing.T) {
		t.Parallel()
		st := open(t)
		st.do(push(letter("1")))
		w := st.do(push(letter("1")))
		if w.Code != 200 || w.Body.String() != "ok again" || st.last(t).Result != ingest.ResultDuplicate {
			t.Errorf("answered %d %q, counted as %q", w.Code, w.Body, st.last(t).Result)
		}
		if n := len(st.books.messages(t)); n != 1 {
			t.Errorf("stored %d", n)
		}
	})
	t.Run("an acknowledgement without a type gets no Content-Type", func(t *testing.T) {
		t.Parallel()
		st := open(t, func(o *ingest.Options, _ *hook.Route) {
			o.Dialects["courier"].Reply = func(dialect.Settings, dialect.Outcome) dialect.Reply {
				return dialect.Reply{Status: 200, Body: []byte("<html>")}
			}
		})
		s := httptest.NewServer(st.door)
		defer s.Close()
		r := push(letter("1"))
		again, err := http.NewRequest("POST", s.URL+"/in/d00r", strings.NewReader(letter("1")))
		if err != nil {
			t.Fatal(err)
		}
		again.Header = r.Header
		a, err := http.DefaultClient.Do(again)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		if _, has := a.Header["Content-Type"]; has || readAll(t, a.Body) != "<html>" {
			t.Errorf("header %v", a.Header)
		}
	})
	t.Run("a dialect without words answers with the bare status", func(t *testing.T) {
		t.Parallel()
		st := open(t, func(o *ingest.Options, _ *hook.Route) { o.Dialects["courier"].Reply = nil })
		if w := st.do(push(letter("1"))); w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("answered %d %q", w.Code, w.Body)
		}
	})
	t.Run("a client that hangs up does not stop the store", func(t *testing.T) {
		t.Parallel()
		request, hangUp := context.WithCancel(context.Background())
		st := open(t, func(o *ingest.Options, _ *hook.Route) {
			inner := o.Accept
			o.Accept = func(ctx context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
				hangUp()
				return inner(ctx, batch)
			}
		})
		st.do(push(letter("1")).WithContext(request))
		if n := len(st.books.messages(t)); n != 1 {
			t.Errorf("stored %d", n)
		}
	})
	t.Run("every push has its time and what its request carries", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			type key struct{}
			const limit = 64 * time.Second
			st := open(t, func(o *ingest.Options, _ *hook.Route) {
				o.AcceptTimeout = limit
				o.Accept = func(ctx context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
					began := time.Now()
					if ctx.Err() != nil {
						t.Errorf("it is over at the beginning: %v", ctx.Err())
					}
					if got := ctx.Value(key{}); got != batch[0].Message.EventID {
						t.Errorf("push %s has the value of %v", batch[0].Message.EventID, got)
					}
					<-ctx.Done()
					if took := time.Since(began); took < limit || took > limit+limit/64 {
						t.Errorf("it had %v", took)
					}
					return nil, ctx.Err()
				}
			})
			var wg sync.WaitGroup
			for i := range 40 {
				id := strconv.Itoa(i)
				wg.Go(func() {
					if w := st.do(push(letter(id)).WithContext(context.WithValue(context.Background(), key{}, id))); w.Code != 503 {
						t.Errorf("answered %d", w.Code)
					}
				})
				time.Sleep(300 * time.Millisecond)
			}
			wg.Wait()
			_ = st.door.Close()
		})
	})
	t.Run("the answer waits for the store", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			st := open(t, func(o *ingest.Options, _ *hook.Route) {
				o.Accept = func(_ context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
					time.Sleep(700 * time.Millisecond)
					return []hook.Accepted{{Message: batch[0].Message}}, nil
				}
			})
			began := time.Now()
			w := st.do(push(letter("1")))
			if took := time.Since(began); w.Code != 200 || took != 700*time.Millisecond || st.last(t).Stored != took {
				t.Errorf("answered %d after %v, observed %+v", w.Code, took, st.last(t))
			}
			_ = st.door.Close()
		})
	})
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body, eventType, payload string
	}{
		{"without an event type it is stored as unreadable", `{"id":"1","data":{}}`, "unreadable", `{}`},
		{"without a payload the body takes its place", `{"type":"a","id":"1","data":[1]}`, "a", `{"type":"a","id":"1","data":[1]}`},
		{"a type over 256 bytes is cut at a character", `{"type":"` + strings.Repeat("运", 100) + `","data":{}}`, strings.Repeat("运", 85), `{}`},
		{"a type with control characters loses them", `{"type":"a\r\nb","data":{}}`, "a__b", `{}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := open(t)
			w := st.do(push(tt.body))
			if w.Code != 200 || w.Body.String() != "ok" || st.last(t).Result != ingest.ResultUnreadable {
				t.Fatalf("answered %d %q, counted as %q", w.Code, w.Body, st.last(t).Result)
			}
			m := st.books.message(t, st.books.messages(t)[0].ID)
			if m.EventType != tt.eventType || m.Unreadable == "" || string(m.Payload) != tt.payload || string(m.Raw.Body) != tt.body {
				t.Errorf("stored %+v", m)
			}
		})
	}
	t.Run("a type of 256 bytes is readable", func(t *testing.T) {
		t.Parallel()
		st := open(t)
		name := strings.Repeat("t", 256)
		st.do(push(`{"type":"` + name + `","data":{}}`))
		if m := st.books.message(t, st.books.messages(t)[0].ID); m.EventType != name || m.Unreadable != "" {
			t.Errorf("stored %+v", m)
		}
	})
}

func TestDoors(t *testing.T) {
	t.Parallel()
	t.Run("a door is looked up once, and again after Forget", func(t *testing.T) {
		t.Parallel()
		st := open(t)
		for range 5 {
			st.do(push(letter("1")))
		}
		if n := st.books.lookups.Load(); n != 1 {
			t.Errorf("looked up %d times", n)
		}
		st.door.Forget()
		st.do(push(letter("1")))
		if n := st.books.lookups.Load(); n != 2 {
			t.Errorf("looked up %d times after Forget", n)
		}
	})
	t.Run("a change that falls into a look-up is not lost", func(t *testing.T) {
		t.Parallel()
		var st *station
		forget := true
		st = open(t, func(o *ingest.Options, _ *hook.Route) {
			inner := o.Routes
			o.Routes = func(ctx context.Context, door string, now time.Time) (hook.Route, error) {
				r, err := inner(ctx, door, now)
				if forget {
					forget = false
					st.door.Forget()
				}
				return r, err
			}
		})
		st.do(push(letter("1")))
		st.do(push(letter("2")))
		if n := st.books.lookups.Load(); n != 2 {
			t.Errorf("looked up %d times", n)
		}
	})
	t.Run("another process's change is seen within ten seconds", func(t *testing.T) {
		t.Parallel()
		clock := time.Now()
		st := open(t, func(o *ingest.Options, _ *hook.Route) { o.Now = func() time.Time { return clock } })
		st.do(push(letter("1")))
		clock = clock.Add(10 * time.Second)
		st.do(push(letter("1")))
		if n := st.books.lookups.Load(); n != 2 {
			t.Errorf("looked up %d times", n)
		}
	})
	t.Run("doors that do not exist are not remembered", func(t *testing.T) {
		t.Parallel()
		st := open(t)
		for range 3 {
			st.do(httptest.NewRequest("POST", "/in/elsewhere", nil))
		}
		if n := st.books.lookups.Load(); n != 3 {
			t.Errorf("looked up %d times", n)
		}
	})
	t.Run("a rotated door opens until its end and not after", func(t *testing.T) {
		t.Parallel()
		clock := time.Now()
		st := open(t, func(o *ingest.Options, r *hook.Route) {
			o.Now = func() time.Time { return clock }
			r.Source.OldDoors = []hook.OldDoor{{Door: "0ld", Until: clock.Add(3 * time.Second)}}
		})
		at := func() int {
			r := push(letter("1"))
			r.URL.Path = "/in/0ld"
			return st.do(r).Code
		}
		if code := at(); code != 200 {
			t.Errorf("before its end: answered %d", code)
		}
		clock = clock.Add(3 * time.Second)
		if code := at(); code != 404 {
			t.Errorf("at its end: answered %d", code)
		}
	})
}

func TestGap(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	whole := 2*time.Minute + time.Second // courier's schedule and deadline
	st := open(t)
	gap := func(before time.Time) int {
		t.Helper()
		n, err := st.door.Gap(context.Background(), before, now, []hook.Route{st.route})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := gap(time.Time{}); n != 0 {
		t.Errorf("the first start ever made %d", n)
	}
	if n := gap(now.Add(time.Hour)); n != 0 {
		t.Errorf("a clock that went back made %d", n)
	}
	if n := gap(now.Add(-whole)); n != 0 {
		t.Errorf("a time down within the schedule made %d", n)
	}
	before := now.Add(-whole - time.Millisecond)
	if n := gap(before); n != 1 {
		t.Fatalf("a time down beyond the schedule made %d", n)
	}
	if n := gap(before); n != 0 {
		t.Errorf("the same gap was told %d times more", n)
	}
	list := st.books.messages(t)
	if len(list) != 1 {
		t.Fatalf("stored %d", len(list))
	}
	m := st.books.message(t, list[0].ID)
	var payload map[string]string
	if err := json.Unmarshal(m.Payload, &payload); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"source": st.source.String(), "dialect": "courier", "from": "2026-03-01T11:57:58.999Z", "to": "2026-03-01T12:00:00Z",
	}
	for k, v := range want {
		if payload[k] != v {
			t.Errorf("%s is %q, want %q", k, payload[k], v)
		}
	}
	if m.EventType != "source.gap" || m.App != st.app || m.Source != st.source {
		t.Errorf("stored %+v", m)
	}
	disabled := st.route
	disabled.Source.Disabled = true
	if n, _ := st.door.Gap(context.Background(), now.Add(-time.Hour), now, []hook.Route{disabled}); n != 0 {
		t.Errorf("a disabled source made %d", n)
	}
}
