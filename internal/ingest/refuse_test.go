package ingest_test

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change setup
		send   *http.Request
		status int
		body   string
		result ingest.Result
		kept   bool
	}{
		{"an unknown door is 404", nil,
			httptest.NewRequest("POST", "/in/elsewhere", strings.NewReader(letter("1"))), 404, "there is no source at this URL", ingest.ResultUnknown, false},
		{"a door with more path is 404", nil,
			httptest.NewRequest("POST", "/in/d00r/more", strings.NewReader(letter("1"))), 404, "there is no source at this URL", ingest.ResultUnknown, false},
		{"an endless door is 404", nil,
			httptest.NewRequest("POST", "/in/"+strings.Repeat("d", 4000), strings.NewReader(letter("1"))), 404, "there is no source at this URL", ingest.ResultUnknown, false},
		{"an unknown door is 404 for a probe too", nil,
			httptest.NewRequest("GET", "/in/elsewhere", nil), 404, "there is no source at this URL", ingest.ResultUnknown, false},
		{"no signature is 401 in the dialect's words", nil, unsigned(letter("1")), 401, "no", ingest.ResultSignature, true},
		{"a wrong signature is 401", nil,
			with(unsigned(letter("1")), "X-Courier-Signature", hex.EncodeToString(courierMAC("other", []byte(letter("1"))))), 401, "no", ingest.ResultSignature, true},
		{"what is no envelope is 400", nil, push("hello"), 400, "no", ingest.ResultNotEnvelope, true},
		{"what is no envelope is 400 after the verify window",
			func(_ *ingest.Options, r *hook.Route) { r.Source.VerifyUntil = time.Now().Add(-time.Second) },
			push("hello"), 400, "no", ingest.ResultNotEnvelope, true},
		{"what carries a signature header is 400 in the verify window too, and kept",
			func(_ *ingest.Options, r *hook.Route) { r.Source.VerifyUntil = time.Now().Add(time.Hour) },
			push("hello"), 400, "no", ingest.ResultNotEnvelope, true},
		{"also when it is empty",
			func(_ *ingest.Options, r *hook.Route) { r.Source.VerifyUntil = time.Now().Add(time.Hour) },
			push(""), 400, "no", ingest.ResultNotEnvelope, true},
		{"a verify window lets no unsigned envelope in",
			func(_ *ingest.Options, r *hook.Route) { r.Source.VerifyUntil = time.Now().Add(time.Hour) },
			unsigned(letter("1")), 401, "no", ingest.ResultSignature, true},
		{"an empty POST with a signature header is no probe", nil, push(""), 400, "no", ingest.ResultNotEnvelope, true},
		{"two signature headers are 400", nil, with(push(letter("1")), "X-Courier-Signature", "00"), 400, "no", ingest.ResultMalformed, true},
		{"two content types are 400", nil, with(push(letter("1")), "Content-Type", "text/plain"), 400, "no", ingest.ResultMalformed, true},
		{"a compressed body is 415", nil, with(push(letter("1")), "Content-Encoding", "gzip"), 415, "send the body without Content-Encoding", ingest.ResultEncoding, true},
		{"a body over the limit is 413 in the dialect's words",
			func(o *ingest.Options, _ *hook.Route) { o.MaxBody = 20 }, push(letter("1")), 413, "no", ingest.ResultTooLarge, true},
		{"OPTIONS is 405", nil, httptest.NewRequest("OPTIONS", "/in/d00r", nil), 405, "pushes come as POST", ingest.ResultMethod, false},
		{"PUT is 405", nil, httptest.NewRequest("PUT", "/in/d00r", strings.NewReader(letter("1"))), 405, "pushes come as POST", ingest.ResultMethod, false},
		{"a disabled source is 503", func(_ *ingest.Options, r *hook.Route) { r.Source.Disabled = true },
			push(letter("1")), 503, "no", ingest.ResultDisabled, false},
		{"a disabled source is 503 to a probe too", func(_ *ingest.Options, r *hook.Route) { r.Source.Disabled = true },
			httptest.NewRequest("GET", "/in/d00r", nil), 503, "no", ingest.ResultDisabled, false},
		{"a source without its secret is 503", func(_ *ingest.Options, r *hook.Route) { r.Settings = nil },
			push(letter("1")), 503, "no", ingest.ResultSettings, true},
		{"a dialect that this build lacks is 503", func(_ *ingest.Options, r *hook.Route) { r.Source.Dialect = "smoke" },
			push(letter("1")), 503, "", ingest.ResultSettings, false},
		{"an allow list that cannot be read lets nobody in", func(_ *ingest.Options, r *hook.Route) { r.Source.AllowFrom = []string{"everyone"} },
			push(letter("1")), 503, "", ingest.ResultSettings, false},
		{"an address that is not allowed is 403", func(_ *ingest.Options, r *hook.Route) { r.Source.AllowFrom = []string{"203.0.113.0/24"} },
			push(letter("1")), 403, "this address may not push here", ingest.ResultAddress, true},
		{"what does not accept is 503", func(o *ingest.Options, _ *hook.Route) { o.Accepting = func() error { return errors.New("stopping") } },
			push(letter("1")), 503, "no", ingest.ResultUnavailable, false},
		{"too much in memory is 503", func(o *ingest.Options, _ *hook.Route) { o.MaxHeld = 10 },
			push(letter("1")), 503, "no", ingest.ResultBusy, false},
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
			if w.Code != tt.status || w.Body.String() != tt.body {
				t.Errorf("answered %d %q, want %d %q", w.Code, w.Body, tt.status, tt.body)
			}
			if got := st.last(t).Result; got != tt.result {
				t.Errorf("counted as %q, want %q", got, tt.result)
			}
			if n := len(st.books.messages(t)); n != 0 {
				t.Errorf("%d messages were stored", n)
			}
			if retry := w.Header().Get("Retry-After"); (tt.status == 503) != (retry == "5") {
				t.Errorf("Retry-After is %q with status %d", retry, tt.status)
			}
			_ = st.door.Close() // writes what is to be kept
			if kept := st.books.refusals(t, st.source); (len(kept) == 1 && kept[0].Reason == string(tt.result)) != tt.kept {
				t.Errorf("kept %v, want kept: %v", kept, tt.kept)
			}
		})
	}
}

func TestOneByteChangedIsRefusedAndCounted(t *testing.T) {
	t.Parallel()
	st := open(t)
	good := letter("1")
	sig := push(good).Header.Get("X-Courier-Signature")
	refused := 0
	for i := range len(good) {
		changed := []byte(good)
		changed[i] ^= 1
		r := push(string(changed))
		r.Header.Set("X-Courier-Signature", sig)
		if w := st.do(r); w.Code != 401 && w.Code != 400 {
			t.Errorf("byte %d: answered %d", i, w.Code)
		}
		refused++
	}
	if n := st.results(); n[ingest.ResultSignature]+n[ingest.ResultNotEnvelope] != refused || n[ingest.ResultSignature] == 0 {
		t.Errorf("%d requests were counted as %v", refused, n)
	}
	if w := st.do(push(good)); w.Code != 200 {
		t.Errorf("the unchanged one: answered %d", w.Code)
	}
}

func TestStoreFailures(t *testing.T) {
	t.Parallel()
	t.Run("a store that is full is 503 in the dialect's words, and the repeat is stored", func(t *testing.T) {
		t.Parallel()
		st := open(t)
		st.books.breakWith(hook.Errorf(hook.KindUnavailable, "the disk is nearly full"))
		w := st.do(push(letter("1")))
		if w.Code != 503 || w.Body.String() != "no" || w.Header().Get("Retry-After") != "5" {
			t.Errorf("answered %d %q %v", w.Code, w.Body, w.Header())
		}
		if st.last(t).Result != ingest.ResultUnavailable {
			t.Errorf("counted as %v", st.last(t).Result)
		}
		st.books.breakWith(nil)
		if w := st.do(push(letter("1"))); w.Code != 200 || w.Body.String() != "ok" {
			t.Errorf("the repeat: answered %d %q", w.Code, w.Body)
		}
	})
	t.Run("a broken store is 503 and logged once a second, not for each push", func(t *testing.T) {
		t.Parallel()
		st := open(t)
		st.books.breakWith(errors.New("disk on fire"))
		for range 50 {
			if w := st.do(push(letter("1"))); w.Code != 503 {
				t.Fatalf("answered %d", w.Code)
			}
		}
		if n := strings.Count(st.logs.String(), "disk on fire"); n < 1 || n > 3 {
			t.Errorf("logged %d times", n)
		}
	})
	t.Run("an application that is gone is 503 and the door is looked up again", func(t *testing.T) {
		t.Parallel()
		st := open(t)
		st.do(push(letter("1")))
		if err := st.books.DeleteApplication(context.Background(), st.app, time.Now()); err != nil {
			t.Fatal(err)
		}
		if w := st.do(push(letter("2"))); w.Code != 503 {
			t.Errorf("answered %d", w.Code)
		}
		if w := st.do(push(letter("2"))); w.Code != 404 {
			t.Errorf("the repeat: answered %d", w.Code)
		}
	})
	t.Run("a look-up that fails is 503", func(t *testing.T) {
		t.Parallel()
		st := open(t, func(o *ingest.Options, _ *hook.Route) {
			o.Routes = func(context.Context, string, time.Time) (hook.Route, error) {
				return hook.Route{}, errors.New("no database")
			}
		})
		if w := st.do(push(letter("1"))); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("answered %d %v", w.Code, w.Header())
		}
	})
}

func TestRefusedRequestsAreKept(t *testing.T) {
	t.Parallel()
	t.Run("with the signature and without credentials", func(t *testing.T) {
		t.Parallel()
		st := open(t)
		r := with(push(letter("1")), "Cookie", "c=hidden1", "Authorization", "Bearer hidden2", "X-Api-Key", "hidden3",
			"X-Session-Token", "hidden4", "Proxy-Authorization", "hidden5", "X-Trace", "shown")
		r.Header.Set("X-Courier-Signature", "abcdef")
		r.URL.RawQuery = "a=%20b&access%5Ftoken=hidden6&c"
		st.do(r)
		_ = st.door.Close()
		kept := st.books.refusals(t, st.source)
		if len(kept) != 1 {
			t.Fatalf("kept %d", len(kept))
		}
		k := kept[0]
		if k.Raw.Header.Get("X-Courier-Signature") != "abcdef" || k.Raw.Header.Get("X-Trace") != "shown" {
			t.Errorf("header %v", k.Raw.Header)
		}
		if string(k.Raw.Body) != letter("1") || k.Raw.Method != "POST" || k.Remote != "192.0.2.1" {
			t.Errorf("kept %+v", k)
		}
		if k.Raw.Query != "a=%20b&access%5Ftoken=%3Credacted%3E&c" {
			t.Errorf("query %q", k.Raw.Query)
		}
		for name, values := range k.Raw.Header {
			if strings.Contains(strings.Join(values, " "), "hidden") {
				t.Errorf("%s is kept", name)
			}
		}
		if strings.Contains(st.logs.String(), "hidden") {
			t.Errorf("a credential is in the log: %s", st.logs)
		}
	})
	t.Run("an Authorization that is the dialect's signature stays", func(t *testing.T) {
		t.Parallel()
		st := open(t, func(o *ingest.Options, _ *hook.Route) {
			o.Dialects["courier"].SignatureHeaders = []string{"authorization"}
		})
		st.do(with(push(letter("1")[1:]), "Authorization", "abcdef"))
		_ = st.door.Close()
		if k := st.books.refusals(t, st.source); len(k) != 1 || k[0].Raw.Header.Get("Authorization") != "abcdef" {
			t.Errorf("kept %+v", k)
		}
	})
	t.Run("a long body is cut at 64 KiB", func(t *testing.T) {
		t.Parallel()
		st := open(t)
		st.do(push(strings.Repeat("x", 100<<10)))
		_ = st.door.Close()
		if k := st.books.refusals(t, st.source); len(k) != 1 || len(k[0].Raw.Body) != 64<<10 {
			t.Errorf("kept %d", len(k))
		}
	})
	t.Run("at most twenty at once and one a second, all of them counted", func(t *testing.T) {
		t.Parallel()
		clock := time.Now()
		recorded := 0
		st := open(t, func(o *ingest.Options, _ *hook.Route) {
			o.Now = func() time.Time { return clock }
			o.Refuse = func(_ context.Context, batch []hook.Refused, keep int) error {
				if keep != 20 {
					t.Errorf("keep %d", keep)
				}
				recorded += len(batch)
				return nil
			}
		})
		for range 500 {
			st.do(push("hello"))
		}
		clock = clock.Add(3 * time.Second)
		for range 500 {
			st.do(push("hello"))
		}
		_ = st.door.Close()
		if recorded != 23 || st.results()[ingest.ResultNotEnvelope] != 1000 {
			t.Errorf("%d were recorded, counted %v", recorded, st.results())
		}
		if n := strings.Count(st.logs.String(), "a push is refused"); n != 23 {
			t.Errorf("%d lines in the log", n)
		}
	})
	t.Run("a store that cannot keep them delays no answer", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		st := open(t, func(o *ingest.Options, r *hook.Route) {
			o.Routes = func(context.Context, string, time.Time) (hook.Route, error) {
				other := *r
				other.Source.ID = hook.NewID[hook.SourceID](o.IDs, time.Now()) // each push at a source of its own
				return other, nil
			}
			o.Refuse = func(context.Context, []hook.Refused, int) error {
				<-release
				return errors.New("no room")
			}
		})
		for range 1000 {
			st.door.Forget()
			if w := st.do(push("hello")); w.Code != 400 {
				t.Fatalf("answered %d", w.Code)
			}
		}
		close(release)
	})
	t.Run("a push after Close is still refused and counted", func(t *testing.T) {
		t.Parallel()
		st := open(t)
		_, _ = st.door.Close(), st.door.Close()
		if w := st.do(push("hello")); w.Code != 400 || st.last(t).Result != ingest.ResultNotEnvelope {
			t.Errorf("answered %d, counted %v", w.Code, st.last(t).Result)
		}
	})
}

func TestAllowList(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::ffff:192.168.0.0/112")}
	tests := []struct {
		name      string
		peer      string
		forwarded []string
		allowed   bool
	}{
		{"a peer on the list comes in", "203.0.113.9:4711", nil, true},
		{"a peer written as IPv6 comes in", "[::ffff:203.0.113.9]:4711", nil, true},
		{"a peer with a zone comes in", "[fe80::1%eth0]:4711", nil, true},
		{"another peer does not", "198.51.100.1:4711", nil, false},
		{"a stranger's X-Forwarded-For is not looked at", "198.51.100.1:4711", []string{"203.0.113.9"}, false},
		{"a trusted proxy names the client", "10.1.2.3:80", []string{"203.0.113.9"}, true},
		{"a trusted proxy that is written as IPv6 too", "[::ffff:10.1.2.3]:80", []string{"203.0.113.9"}, true},
		{"a trusted proxy whose range is written as IPv6 too", "192.168.0.7:80", []string{"203.0.113.9"}, true},
		{"what a client put before his own address is not believed", "10.1.2.3:80", []string{"203.0.113.9, 198.51.100.1"}, false},
		{"nor in a header of its own", "10.1.2.3:80", []string{"203.0.113.9", "198.51.100.1"}, false},
		{"a chain of trusted proxies is followed", "10.1.2.3:80", []string{"198.51.100.1, 203.0.113.9, 10.9.9.9"}, true},
		{"also over several headers", "10.1.2.3:80", []string{"203.0.113.9", "10.9.9.9"}, true},
		{"an entry with a port is read", "10.1.2.3:80", []string{"203.0.113.9:5555"}, true},
		{"an entry that is no address is nobody", "10.1.2.3:80", []string{"203.0.113.9, unknown"}, false},
		{"an empty entry is nobody", "10.1.2.3:80", []string{"203.0.113.9,"}, false},
		{"a trusted proxy itself is not on the list", "10.1.2.3:80", nil, false},
		{"a peer without address is nobody", "@", []string{"203.0.113.9"}, false},
	}
	st := open(t, func(o *ingest.Options, r *hook.Route) {
		o.TrustedProxies = proxies
		r.Source.AllowFrom = []string{"203.0.113.0/24", "fe80::1"}
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := push(letter(tt.name))
			r.RemoteAddr = tt.peer
			for _, f := range tt.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			w := st.do(r)
			if allowed := w.Code == 200; allowed != tt.allowed || !allowed && w.Code != 403 {
				t.Errorf("answered %d, want allowed: %v", w.Code, tt.allowed)
			}
		})
	}
}

func TestTooManyAtOnceIs503(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		st := open(t, func(o *ingest.Options, _ *hook.Route) {
			o.MaxInFlight = 3
			o.Accept = func(_ context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
				<-release
				return []hook.Accepted{{Message: batch[0].Message}}, nil
			}
		})
		codes := make(chan int, 3)
		for range 3 {
			go func() { codes <- st.do(push(letter("1"))).Code }()
		}
		synctest.Wait()
		if st.door.InFlight() != 3 {
			t.Errorf("%d in flight", st.door.InFlight())
		}
		if w := st.do(push(letter("4"))); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("the fourth: answered %d", w.Code)
		}
		if w := st.do(httptest.NewRequest("GET", "/in/d00r", nil)); w.Code != 200 {
			t.Errorf("a probe meanwhile: answered %d", w.Code)
		}
		close(release)
		for range 3 {
			if code := <-codes; code != 200 {
				t.Errorf("one of the three: answered %d", code)
			}
		}
		if st.door.InFlight() != 0 {
			t.Errorf("%d in flight afterwards", st.door.InFlight())
		}
		_ = st.door.Close()
	})
}

func TestNoSecretInTheLog(t *testing.T) {
	t.Parallel()
	st := open(t)
	st.do(push(letter("1")))
	st.do(push("hello"))
	r := push(letter("2"))
	right := r.Header.Get("X-Courier-Signature")
	r.Header.Set("X-Courier-Signature", "00"+right[2:])
	st.do(r)
	st.books.breakWith(errors.New("disk on fire"))
	st.do(push(letter("3")))
	text := st.logs.String()
	if !strings.Contains(text, "a push is refused") || !strings.Contains(text, "disk on fire") {
		t.Fatalf("nothing was logged: %s", text)
	}
	for _, hidden := range []string{secret, right, doorName} {
		if strings.Contains(text, hidden) {
			t.Errorf("%q is in the log: %s", hidden, text)
		}
	}
}
