package engine

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// verified reports whether a request carries a right Standard Webhooks signature.
func verified(w *world, a arrival) bool {
	_, err := w.o.Dialects["standard"].Receive(dialect.Set("secret", secret), dialect.Inbound{
		Method: a.method, Header: a.header, Body: []byte(a.body), Now: time.Now(),
	})
	return err == nil
}

// names lists the headers of a request but for those of every HTTP request.
func names(h http.Header) string {
	var out []string
	for k := range maps.Keys(h) {
		if k != "Content-Length" && k != "User-Agent" {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// raw is a message as a platform pushed it.
func raw(src hook.Source) func(*hook.Message) {
	return func(m *hook.Message) {
		m.Source, m.EventType, m.EventID = src.ID, "订单.created", "e 1"
		m.Platform = map[string]string{"client_key": "aw 1", "名": "值", "messagePlatform": "1"}
		m.Raw = &hook.Raw{Method: "POST", Query: "a=1&b=2", Body: []byte(" {\"n\":\t1.0} "), Header: http.Header{
			"Content-Type": {"application/json; charset=GBK"}, "X-Douyin-Signature": {"abc"}, "Authorization": {"deadbeef"},
			"Webhook-Id": {"theirs"}, "User-Agent": {"platform/1"}, "X-Many": {"1", "2"},
			"Connection": {"keep-alive, X-Hop"}, "X-Hop": {"1"}, "Keep-Alive": {"1"}, "Transfer-Encoding": {"chunked"}, "Te": {"trailers"},
			"Upgrade": {"x"}, "Cookie": {"s=1"}, "Accept-Encoding": {"gzip"}, "Content-Length": {"99"}, "Waypost-Source": {"forged"}, "Proxy-Authorization": {"x"},
		}}
		m.Payload = m.Raw.Body
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	deliver := func(t *testing.T, format hook.Format, received bool, check func(w *world, m hook.Message, a arrival)) {
		in(t, nil, func(w *world) {
			change := func(m *hook.Message) { m.Payload = []byte("{\"b\":1,  \"a\": 1.0, \"e\":\"\\u00e9\"}\n") }
			if received {
				change = raw(w.source("standard", hook.Settings{"secret": {secret}}))
			}
			w.endpoint("a", func(e *hook.Endpoint) { e.Format = format })
			m := w.publish(1, change)[0]
			settled()
			list := w.seen("")
			if len(list) != 1 || !verified(w, list[0]) || list[0].id != m.ID.String() {
				t.Fatalf("%d requests, or a wrong signature", len(list))
			}
			check(w, m, list[0])
		})
	}
	want := func(t *testing.T, h http.Header, name string, values ...string) {
		t.Helper()
		if got := h.Values(name); !slices.Equal(got, values) {
			t.Errorf("header %s is %q, want %q", name, got, values)
		}
	}
	t.Run("a published message is sent byte for byte", func(t *testing.T) {
		deliver(t, hook.FormatPayload, false, func(w *world, m hook.Message, a arrival) {
			if a.body != string(m.Payload) || a.method != "POST" || names(a.header) != "Content-Type Waypost-Event-Type Webhook-Id Webhook-Signature Webhook-Timestamp" {
				t.Errorf("%s %q with %s", a.method, a.body, names(a.header))
			}
			want(t, a.header, "User-Agent", "Waypost/dev")
		})
	})
	t.Run("a published message has no other original", func(t *testing.T) {
		deliver(t, hook.FormatOriginal, false, func(w *world, m hook.Message, a arrival) {
			if a.body != string(m.Payload) {
				t.Errorf("%q", a.body)
			}
		})
	})
	t.Run("payload of a received message", func(t *testing.T) {
		deliver(t, hook.FormatPayload, true, func(w *world, m hook.Message, a arrival) {
			if a.body != string(m.Payload) || a.query != "" {
				t.Errorf("%q ? %q", a.body, a.query)
			}
			want(t, a.header, "Content-Type", "application/json")
			want(t, a.header, "waypost-event-type", "%E8%AE%A2%E5%8D%95.created")
			want(t, a.header, "waypost-event-id", "e%201")
			want(t, a.header, "waypost-source", m.Source.String())
			want(t, a.header, "waypost-platform-client-key", "aw%201")
			want(t, a.header, "waypost-platform-messagePlatform", "1")
			want(t, a.header, "waypost-platform----", "%E5%80%BC")
			want(t, a.header, "X-Douyin-Signature")
		})
	})
	t.Run("original", func(t *testing.T) {
		deliver(t, hook.FormatOriginal, true, func(w *world, m hook.Message, a arrival) {
			if a.body != string(m.Raw.Body) || a.query != "a=1&b=2" {
				t.Errorf("%q ? %q", a.body, a.query)
			}
			want(t, a.header, "Content-Type", "application/json; charset=GBK")
			want(t, a.header, "X-Douyin-Signature", "abc")
			want(t, a.header, "Authorization", "deadbeef")
			want(t, a.header, "User-Agent", "platform/1")
			want(t, a.header, "X-Many", "1", "2")
			want(t, a.header, "waypost-original-webhook-id", "theirs")
			want(t, a.header, "waypost-source", m.Source.String())
			for _, name := range []string{"X-Hop", "Keep-Alive", "Te", "Upgrade", "Cookie", "Accept-Encoding", "Proxy-Authorization"} {
				want(t, a.header, name)
			}
		})
	})
	t.Run("cloudevents", func(t *testing.T) {
		deliver(t, hook.FormatCloudEvents, true, func(w *world, m hook.Message, a arrival) {
			want(t, a.header, "ce-specversion", "1.0")
			want(t, a.header, "ce-id", m.ID.String())
			want(t, a.header, "ce-source", "/"+m.App.String()+"/"+m.Source.String())
			want(t, a.header, "ce-type", "%E8%AE%A2%E5%8D%95.created")
			want(t, a.header, "ce-time", "2026-01-01T00:00:00Z")
			want(t, a.header, "Content-Type", "application/json")
		})
	})
}

func TestOwnHeadersNeverReplaceOurs(t *testing.T) {
	in(t, nil, func(w *world) {
		src := w.source("standard", hook.Settings{"secret": {secret}})
		w.endpoint("a", func(e *hook.Endpoint) {
			e.Format = hook.FormatOriginal
			e.Headers = map[string]string{
				"webhook-id": "x", "Webhook-Signature": "x", "svix-id": "x", "waypost-source": "x", "ce-id": "x", "HOST": "x", "content-length": "1",
				"Transfer-Encoding": "chunked", "authorization": "Bearer mine", "X-Own": "1", "user-agent": "mine",
			}
		})
		m := w.publish(1, raw(src))[0]
		settled()
		a := w.seen("")[0]
		if !verified(w, a) || a.id != m.ID.String() || a.host != "a.example" || a.header.Get("waypost-source") != src.ID.String() || a.header.Get("ce-id") != "" || a.header.Get("svix-id") != "" {
			t.Errorf("%+v", a)
		}
		for name, value := range map[string]string{"Authorization": "Bearer mine", "X-Own": "1", "User-Agent": "mine"} {
			if got := a.header.Values(name); len(got) != 1 || got[0] != value {
				t.Errorf("%s is %q", name, got)
			}
		}
	})
}

func TestALongPlatformMapDoesNotBreakTheRequest(t *testing.T) {
	in(t, nil, func(w *world) {
		src := w.source("standard", hook.Settings{"secret": {secret}})
		w.endpoint("a", nil)
		w.publish(1, func(m *hook.Message) {
			m.Source, m.Platform = src.ID, map[string]string{"a": "1", "long": strings.Repeat("x", 100_000), "line": "a\r\nX-Evil: 1"}
		})
		settled()
		a := w.seen("")[0]
		if a.header.Get("waypost-platform-a") != "1" || a.header.Get("waypost-platform-incomplete") != "true" || a.header.Get("X-Evil") != "" {
			t.Errorf("%.1000v", a.header)
		}
		if got := a.header.Get("waypost-platform-line"); got != "a%0D%0AX-Evil:%201" {
			t.Errorf("%q", got)
		}
	})
}

func TestARepeatDrawsTheSame(t *testing.T) {
	t.Parallel()
	for name := range platforms {
		t.Run(name, func(t *testing.T) {
			in(t, nil, func(w *world) {
				ep, message := platformEndpoint(w, name)
				w.update(ep, func(e *hook.Endpoint) { e.Schedule = []time.Duration{2 * time.Second} })
				w.answer(status(500))
				w.publish(1, message)
				time.Sleep(time.Minute)
				list := w.seen("")
				if len(list) != 2 {
					t.Fatalf("%d requests", len(list))
				}
				for _, key := range []string{"Msg-Id", "X-Nonce", "Webhook-Id"} {
					if list[0].header.Get(key) != list[1].header.Get(key) {
						t.Errorf("%s changes from attempt to attempt", key)
					}
				}
			})
		})
	}
	e := New(Options{SeedKey: hook.NewSecret("a")})
	other := New(Options{SeedKey: hook.NewSecret("b")})
	if first := e.seed(1, 2); e.seed(1, 2) != first || e.seed(1, 2) == e.seed(2, 1) || e.seed(1, 2) == e.seed(1, 3) || e.seed(1, 2) == other.seed(1, 2) {
		t.Error("the seed is not one of message, endpoint and key")
	}
}

func TestEncryptedContentIsDecryptedAtDelivery(t *testing.T) {
	t.Parallel()
	// upside is a dialect whose platform "encrypts" by turning the payload round.
	upside := dialect.Dialect{Name: "upside", Decrypt: func(s dialect.Settings, p []byte, _ map[string]string) ([]byte, error) {
		if s.Get("key") != "right" {
			return nil, dialect.Refuse(dialect.ReasonSettings, "setting key", "is not the right one")
		}
		p = slices.Clone(p)
		slices.Reverse(p)
		return p, nil
	}}
	with := func(o *Options) { o.Dialects["upside"] = &upside }
	t.Run("with the settings of the time of delivery", func(t *testing.T) {
		in(t, with, func(w *world) {
			src := w.source("upside", hook.Settings{"key": {"wrong"}})
			ep := w.endpoint("a", nil)
			m := w.publish(1, func(m *hook.Message) { m.Source, m.Payload = src.ID, []byte(`}1:"a"{`) })[0]
			time.Sleep(time.Second)
			if list := w.attempts(ep); len(w.seen("")) != 0 || len(list) != 1 || !strings.Contains(list[0].Reason, "decrypted") || list[0].Verdict != hook.Retry || list[0].Status != 0 {
				t.Errorf("with the wrong key: %d requests, %+v", len(w.seen("")), list)
			}
			src.Settings = hook.Settings{"key": {"right"}}
			w.must(w.db.UpdateSource(context.Background(), src))
			time.Sleep(5 * time.Second)
			if list := w.seen(""); len(list) != 1 || list[0].body != `{"a":1}` || w.delivery(m, ep).State != hook.Delivered {
				t.Errorf("with the right key: %+v", list)
			}
		})
	})
	t.Run("what was known as unreadable is delivered as it is, and says so", func(t *testing.T) {
		in(t, with, func(w *world) {
			src := w.source("upside", hook.Settings{"key": {"wrong"}})
			w.endpoint("a", nil)
			w.publish(1, func(m *hook.Message) { m.Source, m.Unreadable, m.Payload = src.ID, "no key", []byte(`{"raw":"x"}`) })
			settled()
			if list := w.seen(""); len(list) != 1 || list[0].body != `{"raw":"x"}` || list[0].header.Get("waypost-unreadable") != "no%20key" {
				t.Errorf("%+v", list)
			}
		})
	})
	t.Run("without its source it is delivered as it is, and says so", func(t *testing.T) {
		in(t, with, func(w *world) {
			src := w.source("upside", hook.Settings{"key": {"right"}})
			ep := w.endpoint("a", func(e *hook.Endpoint) { e.Paused = true })
			w.publish(1, func(m *hook.Message) { m.Source = src.ID })
			w.must(w.db.DeleteSource(context.Background(), w.app, src.ID))
			w.update(ep, func(e *hook.Endpoint) { e.Paused = false })
			settled()
			if list := w.seen(""); len(list) != 1 || list[0].body != `{"n": 0}` || !strings.HasPrefix(list[0].header.Get("waypost-unreadable"), "its%20source%20was%20deleted:") {
				t.Errorf("%+v", list)
			}
		})
	})
}

func TestWhatWasUnreadableStaysSoWithoutItsSource(t *testing.T) {
	in(t, nil, func(w *world) {
		src := w.source("standard", hook.Settings{"secret": {secret}})
		ep := w.endpoint("a", func(e *hook.Endpoint) { e.Paused = true })
		w.publish(1, func(m *hook.Message) { m.Source, m.Unreadable = src.ID, "no key" })
		w.must(w.db.DeleteSource(context.Background(), w.app, src.ID))
		w.update(ep, func(e *hook.Endpoint) { e.Paused = false })
		settled()
		if list := w.seen(""); len(list) != 1 || list[0].header.Get("waypost-unreadable") != "no%20key" {
			t.Errorf("%+v", list)
		}
	})
}

func TestAForbiddenAddressIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"10.0.0.0/8", "10.0.0.1", "10.0.0.1/8", "nonsense"} {
		t.Run(line, func(t *testing.T) { forbiddenUntil(t, line) })
	}
}

func forbiddenUntil(t *testing.T, line string) {
	in(t, nil, func(w *world) {
		ep := w.endpoint("a", func(e *hook.Endpoint) { e.URL = "http://10.0.0.1/" })
		w.publish(1, nil)
		time.Sleep(time.Second)
		list := w.attempts(ep)
		if len(list) != 1 || list[0].Verdict != hook.Retry || !strings.Contains(list[0].Reason, "a private address") || strings.Contains(list[0].Reason, "/32") {
			t.Errorf("%+v", list)
		}
		a, err := w.db.Application(context.Background(), w.app.String())
		w.must(err)
		a.AllowCIDRs = []string{line}
		w.must(w.db.UpdateApplication(context.Background(), a))
		time.Sleep(5 * time.Second)
		if got := w.counts(); (got.Delivered == 1) != (line != "nonsense") {
			t.Errorf("after %s was allowed: %+v", line, got)
		}
	})
}

func TestAPasswordIsNotRecorded(t *testing.T) {
	in(t, nil, func(w *world) {
		ep := w.endpoint("a", func(e *hook.Endpoint) { e.URL = "http://user:hunter2@a.example/hook?x=1" })
		w.publish(1, nil)
		settled()
		if a := w.seen("")[0]; a.header.Get("Authorization") != "Basic dXNlcjpodW50ZXIy" {
			t.Errorf("%+v", a)
		}
		if a := w.attempts(ep)[0]; a.URL != "http://a.example/hook?x=1" {
			t.Errorf("%q", a.URL)
		}
	})
}

func TestAnotherSenderTakesItsScheme(t *testing.T) {
	var mu sync.Mutex
	var got []string
	in(t, func(o *Options) {
		o.Senders = map[string]Sender{"longconn": func(_ context.Context, st *store.Target, r egress.Request) (egress.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, st.Endpoint.URL+" "+string(r.Body))
			if len(got) == 1 {
				return egress.Response{}, &egress.Error{Kind: egress.KindConnect, Text: "nobody is connected"}
			}
			return egress.Response{Status: 200}, nil
		}}
	}, func(w *world) {
		ep := w.endpoint("a", func(e *hook.Endpoint) { e.URL = "longconn:app_id" })
		w.publish(1, nil)
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(got, slices.Repeat([]string{`longconn:app_id {"n": 0}`}, 2)) || w.attempts(ep)[0].Reason != "nobody is connected" {
			t.Errorf("%q", got)
		}
	})
}

func TestVerify(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, name string, answer func(http.ResponseWriter, *http.Request), check func(w *world, v hook.Verification, err error)) {
		in(t, nil, func(w *world) {
			w.answer(answer)
			ep, _ := platformEndpoint(w, name)
			st, err := w.db.Target(context.Background(), ep.ID)
			w.must(err)
			v, err := w.e.Verify(context.Background(), st)
			check(w, v, err)
			if len(w.attempts(ep)) != 0 {
				t.Error("a handshake was recorded as an attempt")
			}
		})
	}
	t.Run("passed", func(t *testing.T) {
		run(t, "standard", status(204), func(w *world, v hook.Verification, err error) {
			if err != nil || v.State != hook.VerificationPassed || v.Reason == "" || v.At.IsZero() || !verified(w, w.seen("")[0]) {
				t.Errorf("%+v %v", v, err)
			}
		})
	})
	t.Run("a wrong answer", func(t *testing.T) {
		run(t, "douyin", says("no challenge"), func(w *world, v hook.Verification, err error) {
			if err != nil || v.State != hook.VerificationFailed || v.Reason == "" {
				t.Errorf("%+v %v", v, err)
			}
		})
	})
	t.Run("no answer within the platform's deadline", func(t *testing.T) {
		run(t, "pandapon", hang, func(w *world, v hook.Verification, err error) {
			if err != nil || v.State != hook.VerificationFailed || time.Since(w.begin) != time.Second || !strings.Contains(v.Reason, "deadline") {
				t.Errorf("%+v %v after %v", v, err, time.Since(w.begin))
			}
		})
	})
	t.Run("a dialect without a handshake", func(t *testing.T) {
		in(t, nil, func(w *world) {
			d := *w.o.Dialects["standard"]
			d.Handshake = nil
			w.e.o.Dialects["quiet"] = &d
			ep := w.endpoint("a", func(e *hook.Endpoint) { e.Dialect = "quiet" })
			st, err := w.db.Target(context.Background(), ep.ID)
			w.must(err)
			if _, err := w.e.Verify(context.Background(), st); hook.KindOf(err) != hook.KindInvalid {
				t.Errorf("%v", err)
			}
		})
	})
}

func TestContentThatIsGoneIsNotSent(t *testing.T) {
	broken(t, func(o *Options) { o.CacheBytes = 1 }, func(w *world, f *flaky) {
		f.mu.Lock()
		f.gone = true
		f.mu.Unlock()
		ep := w.endpoint("a", nil)
		m := w.publish(1, nil)[0]
		time.Sleep(24 * time.Hour)
		if list := w.attempts(ep); len(list) != 0 {
			t.Errorf("%+v", list)
		}
		if d := w.delivery(m, ep); d.State != hook.Canceled || len(w.seen("")) != 0 {
			t.Errorf("%+v after %d requests", d, len(w.seen("")))
		}
	})
}

func TestOldMessagesAreSweptInSteps(t *testing.T) {
	in(t, func(o *Options) { o.SweepEvery, o.KeepMessages = time.Hour, 24*time.Hour }, func(w *world) {
		ep := w.endpoint("a", nil)
		for range sized(3, 2) {
			w.publish(sweepLimit, nil)
		}
		pending := w.endpoint("b", func(e *hook.Endpoint) { e.Paused = true })
		kept := w.publish(1, nil)[0]
		time.Sleep(48 * time.Hour)
		l, err := w.db.Messages(context.Background(), w.app, store.MessageFilter{}, store.Page{Limit: 250})
		w.must(err)
		if len(l.Items) != 1 || l.Items[0].ID != kept.ID || w.delivery(kept, pending).State != hook.Pending || len(w.attempts(ep)) != 1 {
			t.Errorf("%d messages left", len(l.Items))
		}
	})
}

func FuzzHeaders(f *testing.F) {
	f.Add("client_key", "a b")
	f.Add("\r\n", "\x00é%")
	f.Fuzz(func(t *testing.T, name, value string) {
		h := headerName(name)
		if strings.ContainsFunc(h, func(r rune) bool {
			return r > 'z' || !strings.ContainsRune("-0123456789", r) && (r < 'A' || r > 'Z' && r < 'a')
		}) {
			t.Errorf("%q became the name %q", name, h)
		}
		v := encodeValue(value)
		if strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%q became the value %q", value, v)
		}
	})
}
