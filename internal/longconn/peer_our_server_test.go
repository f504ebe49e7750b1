package longconn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/longconn"
)

// peerServer is our server behind a real HTTP server, for one endpoint.
type peerServer struct {
	*longconn.Server
	t        testing.TB
	addr     string
	vectors  peerVectors
	settings dialect.Settings
	endpoint hook.EndpointID
	ids      *hook.Generator

	mu     sync.Mutex
	log    bytes.Buffer
	stored []hook.Accept
	events map[longconn.ServerEvent]int
	again  []hook.MessageID
	broken error // what Accept fails with
}

func newPeerServer(t testing.TB, change func(*longconn.ServerOptions, dialect.Settings)) *peerServer {
	t.Helper()
	v := readPeerVectors(t)
	s := &peerServer{t: t, vectors: v, ids: hook.NewGenerator(1, 0), events: map[longconn.ServerEvent]int{}}
	s.settings = dialect.Set("app_id", peerApp, "platform_private_key", v.platform.private, "app_public_key", v.app.public)
	s.endpoint = hook.NewID[hook.EndpointID](s.ids, time.Now())
	party := func() longconn.Party {
		return longconn.Party{
			Endpoint: hook.Endpoint{ID: s.endpoint, App: 7, Transport: hook.TransportLongConn}, Settings: s.settings,
		}
	}
	o := longconn.ServerOptions{
		Parties: func(_ context.Context, app string) ([]longconn.Party, error) {
			if app != peerApp {
				return nil, nil
			}
			return []longconn.Party{party()}, nil
		},
		Party: func(context.Context, hook.EndpointID) (longconn.Party, error) { return party(), nil },
		Accept: func(_ context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.broken != nil {
				return nil, s.broken
			}
			s.stored = append(s.stored, batch...)
			out := make([]hook.Accepted, len(batch))
			for i := range batch {
				out[i].Message = batch[i].Message
			}
			return out, nil
		},
		Unacknowledged: func(_ context.Context, _ hook.EndpointID, m []hook.MessageID) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.again = append(s.again, m...)
		},
		Observe: func(e longconn.ServerEvent) { s.mu.Lock(); s.events[e]++; s.mu.Unlock() },
		IDs:     s.ids, Zone: "GZ00A",
		Log: slog.New(slog.NewTextHandler(lockedWriter{&s.mu, &s.log}, nil)),
	}
	if change != nil {
		change(&o, s.settings)
	}
	s.Server = longconn.NewServer(o)
	mux := http.NewServeMux()
	s.Mount(mux)
	door := httptest.NewServer(mux)
	s.addr = door.Listener.Addr().String()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		door.Close()
	})
	return s
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(b)
}

func (s *peerServer) count(kind, result string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events[longconn.ServerEvent{Kind: kind, Result: result}]
}

func (s *peerServer) logged(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.log.String(), text)
}

// client is a Java client of the endpoint.
func (s *peerServer) client() *javaClient {
	return &javaClient{addr: s.addr, appID: peerApp, key: pemPrivate(s.vectors.app.private), platform: &pemPrivate(s.vectors.platform.private).PublicKey}
}

// connect opens a connection, which the test runs.
func (s *peerServer) connect(c *javaClient) *javaLink {
	s.t.Helper()
	l, err := c.connect()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = l.conn.Close() })
	return l
}

// deliver sends a message as the engine does, and waits for its acknowledgement.
func (s *peerServer) deliver(deadline time.Duration, content string, broadcast bool) (longconn.Ack, hook.MessageID, error) {
	id := hook.NewID[hook.MessageID](s.ids, time.Now())
	req, err := longconn.Dialect.Sign(s.settings, dialect.Outbound{
		ID: id.String(), EventType: "a.b.c", Payload: []byte(content), Created: time.Now(), Now: time.Now(), Seed: [32]byte{byte(id), byte(id >> 8)},
	})
	if err != nil {
		return longconn.Ack{}, id, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	ack, err := s.Deliver(ctx, s.endpoint, longconn.ReadParcel(func(name string) string { return req.Header.Get(name) }, req.Body, broadcast))
	return ack, id, err
}

const patient = 30 * time.Second // no test is to wait for it

func (s *peerServer) delivers(content, status string) {
	s.t.Helper()
	if ack, _, err := s.deliver(patient, content, false); err != nil || ack.Status != status {
		s.t.Errorf("the acknowledgement of %s is %q (%v), not %s", content, ack.Status, err, status)
	}
}

func TestTheJavaClientLivesWithOurServer(t *testing.T) {
	t.Parallel()
	for _, certificates := range []bool{false, true} {
		t.Run(map[bool]string{false: "key mode", true: "certificate mode"}[certificates], func(t *testing.T) {
			t.Parallel()
			s := newPeerServer(t, func(_ *longconn.ServerOptions, settings dialect.Settings) {
				settings["platform_cert"] = []string{readPeerVectors(t).certs["alipay-cert"].pem}
				if certificates {
					settings["app_public_key"] = []string{readPeerVectors(t).certs["app-cert"].pem}
				}
			})
			c := s.client()
			if certificates {
				c.appCertSN, c.rootCertSN = s.vectors.certs["app-cert"].sn, s.vectors.certs["root-bundle"].sn
				c.platformCertSN = s.vectors.certs["alipay-cert"].sn
			}
			wholeLife(t, s, c)
		})
	}
}

// wholeLife is register, upgrade, messages with and without acknowledgements, pings, PRODUCE, reconnect and drain.
func wholeLife(t *testing.T, s *peerServer, c *javaClient) {
	type got struct{ msgAPI, msgID, content string }
	taken := make(chan got, 16)
	var mu sync.Mutex
	var refuse error
	c.handle = func(msgAPI, msgID, content string) error {
		taken <- got{msgAPI, msgID, content}
		mu.Lock()
		defer mu.Unlock()
		return refuse
	}
	token, zone, err := c.register()
	if err != nil || zone != "GZ00A" {
		t.Fatalf("register: zone %q, %v", zone, err)
	}
	l, err := c.upgrade(token, zone)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.run(20 * time.Millisecond) }()
	eventually(t, "the server counts the connection", func() bool { return s.Connected(s.endpoint) })

	const content = `{ "t":"brace } quote \" back\\", "n":1.10, "中":{"a":[1,{"b":"}"}]} }`
	s.delivers(content, "SUCCESS")
	if m := <-taken; m.msgAPI != "a.b.c" || m.content != content || m.msgID == "" {
		t.Errorf("the program is given %+v", m)
	}
	mu.Lock()
	refuse = errors.New("no")
	mu.Unlock()
	s.delivers(`{"n":2}`, "FAIL")
	eventually(t, "pings are answered", func() bool { return l.pongs.Load() >= 2 })
	if l.badSigns.Load() > 0 || l.dropped.Load() > 0 {
		t.Errorf("%d bad signatures, %d frames that the Java client drops", l.badSigns.Load(), l.dropped.Load())
	}
	_ = l.bye(1000, "")
	if err := <-ended; err == nil {
		t.Error("the connection ended without a word")
	}
	eventually(t, "the server forgets the connection", func() bool { return !s.Connected(s.endpoint) })
	if _, _, err := s.deliver(patient, `{}`, false); !errors.Is(err, longconn.ErrNobody) {
		t.Errorf("with nobody there: %v", err)
	}

	t.Run("what is not acknowledged in time is to be sent again when the client comes back", func(t *testing.T) {
		silent := s.connect(c)
		eventually(t, "it is connected", func() bool { return s.Connected(s.endpoint) })
		_, id, err := s.deliver(50*time.Millisecond, `{"n":3}`, false)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		_ = silent.conn.Close()
		eventually(t, "it is gone", func() bool { return !s.Connected(s.endpoint) })
		back := s.connect(c)
		defer func() { _ = back.conn.Close() }()
		eventually(t, "the message is named", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return slices.Contains(s.again, id)
		})
	})
	t.Run("a connection that dies before the acknowledgement is told apart at once", func(t *testing.T) {
		eventually(t, "the others are gone", func() bool { return s.Count() == 0 })
		dying := s.connect(c)
		eventually(t, "it is connected", func() bool { return s.Connected(s.endpoint) })
		go func() {
			_, _ = dying.next()
			_ = dying.conn.Close()
		}()
		if _, _, err := s.deliver(patient, `{"n":4}`, false); !errors.Is(err, longconn.ErrCut) {
			t.Errorf("the delivery ends with %v", err)
		}
	})
	t.Run("PRODUCE is stored and answered under its stream-id", func(t *testing.T) {
		l := s.connect(c)
		defer func() { _ = l.conn.Close() }()
		produces(t, s, l)
	})
	t.Run("at the end the server says 1001", func(t *testing.T) {
		last := s.connect(c)
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		defer cancel()
		end := make(chan error, 1)
		go func() { end <- s.Close(ctx) }()
		_, err := last.next()
		var closed *closedError
		if !errors.As(err, &closed) || closed.code != 1001 {
			t.Errorf("the connection ends with %v", err)
		}
		if err := <-end; err != nil || s.Count() != 0 {
			t.Errorf("%d connections are left (%v)", s.Count(), err)
		}
		if _, _, err := c.register(); err == nil || !strings.Contains(err.Error(), "code means fail") {
			t.Errorf("registering afterwards: %v", err)
		}
	})
}

func produces(t *testing.T, s *peerServer, l *javaLink) {
	t.Helper()
	answer := func(text string) javaFrame {
		t.Helper()
		if err := l.text(text); err != nil {
			t.Fatal(err)
		}
		for {
			f, err := l.next()
			if err != nil {
				t.Fatal(err)
			}
			if f.protocol["x-cmd"] == "PRODUCE_ACK" {
				return f
			}
		}
	}
	good := l.produce("c0R8EWLHsaZ007", "alipay.open.app.openbizmock.message.send", `{"out_no":"1", "memo":"测试"}`)
	f := answer(good)
	s.mu.Lock()
	stored := slices.Clone(s.stored)
	s.mu.Unlock()
	if f.headers["stream-id"] != "c0R8EWLHsaZ007" || f.protocol["x-status"] != "SUCCESS" || f.protocol["x-msgId"] == "" || len(stored) != 1 ||
		string(stored[0].Message.Payload) != `{"out_no":"1", "memo":"测试"}` || stored[0].Message.EventType != "alipay.open.app.openbizmock.message.send" {
		t.Errorf("the answer is %+v, stored are %+v", f, stored)
	}
	for name, spoil := range map[string]func(string) string{
		"other content":       func(text string) string { return strings.Replace(text, `"out_no":"1"`, `"out_no":"2"`, 1) },
		"no signature":        func(text string) string { return strings.Replace(text, `"x-sign":`, `"x-none":`, 1) },
		"another application": func(string) string { other := *l.javaClient; other.appID = "1"; return other.produce("s", "a.b", "{}") },
		"content as a text":   func(string) string { return l.produce("s", "a.b", `"{}"`) },
	} {
		if f := answer(spoil(good)); f.protocol["x-status"] != "FAIL" || f.protocol["x-code"] == "" || f.protocol["x-error"] == "" {
			t.Errorf("%s: the answer is %v", name, f.protocol)
		}
	}
	s.mu.Lock()
	s.broken = errors.New("the disk is full")
	s.mu.Unlock()
	if f := answer(good); f.protocol["x-status"] != "FAIL" || strings.Contains(f.protocol["x-error"], "disk") {
		t.Errorf("with a broken store: %v", f.protocol)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = nil
	if len(s.stored) != 1 {
		t.Errorf("%d messages are stored", len(s.stored))
	}
}

func TestSeveralJavaClientsShareOrAllGet(t *testing.T) {
	t.Parallel()
	for _, broadcast := range []bool{false, true} {
		t.Run(map[bool]string{false: "share", true: "broadcast"}[broadcast], func(t *testing.T) {
			t.Parallel()
			s := newPeerServer(t, nil)
			const clients, messages = 3, 30
			var mu sync.Mutex
			var got [clients]int
			bad := -1 // the client that says FAIL
			for i := range clients {
				c := s.client()
				c.handle = func(string, string, string) error {
					mu.Lock()
					defer mu.Unlock()
					if got[i]++; i == bad {
						return errors.New("no")
					}
					return nil
				}
				l := s.connect(c)
				go func() { _ = l.run(time.Second) }()
			}
			eventually(t, "all are connected", func() bool { return len(s.Peers(s.endpoint)) == clients })
			for i := range messages {
				if ack, _, err := s.deliver(patient, fmt.Sprintf(`{"n":%d}`, i), broadcast); err != nil || ack.Status != "SUCCESS" {
					t.Fatalf("%+v (%v)", ack, err)
				}
			}
			mu.Lock()
			seen := got
			bad = 1
			mu.Unlock()
			want := messages / clients
			if broadcast {
				want = messages
			}
			for i, n := range seen {
				if n != want {
					t.Errorf("client %d got %d, not %d: %v", i, n, want, seen)
				}
			}
			if ack, _, err := s.deliver(patient, `{}`, broadcast); broadcast && (err != nil || ack.Status != "FAIL") {
				t.Errorf("one of three says FAIL, and the whole is %+v (%v)", ack, err)
			}
		})
	}
}

func TestTheJavaClientIsTurnedAway(t *testing.T) {
	t.Parallel()
	s := newPeerServer(t, nil)
	for name, c := range map[string]func(*javaClient){
		"another key":         func(c *javaClient) { c.key = pemPrivate(s.vectors.other.private) },
		"another application": func(c *javaClient) { c.appID = "2013121700999430" },
		"a clock far behind":  func(c *javaClient) { c.skew = -time.Hour },
		"certificate mode without the platform's certificate": func(c *javaClient) {
			c.appCertSN, c.rootCertSN, c.platformCertSN = "a", "b", "c"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := s.client()
			c(client)
			if _, _, err := client.register(); err == nil || !strings.Contains(err.Error(), "code means fail") {
				t.Errorf("registering: %v", err)
			}
		})
	}
	t.Run("a link token serves once, and only its application", func(t *testing.T) {
		t.Parallel()
		c := s.client()
		token, zone, err := c.register()
		if err != nil {
			t.Fatal(err)
		}
		l, err := c.upgrade(token, zone)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.conn.Close() }()
		for _, token := range []string{token, "invented"} {
			if _, err := c.upgrade(token, zone); err == nil || !strings.Contains(err.Error(), "403") {
				t.Errorf("the token %q: %v", token, err)
			}
		}
		forged := s.client()
		forged.key = pemPrivate(s.vectors.other.private)
		fresh, _, err := c.register()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := forged.upgrade(fresh, zone); err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("another's key: %v", err)
		}
		again, err := c.upgrade(fresh, zone)
		if err != nil {
			t.Fatalf("somebody else's try has used the token up: %v", err)
		}
		_ = again.conn.Close()
	})
}

// What a client does wrong without harm is passed over, with a line in the log, and the connection goes on.
func TestOurServerPassesOver(t *testing.T) {
	t.Parallel()
	fragments := func(l *javaLink, text string) {
		_ = l.raw(false, opText, true, []byte(text[:7]))
		_ = l.write(opPing, []byte("between"))
		_ = l.raw(false, opContinue, true, []byte(text[7:20]))
		_ = l.raw(true, opContinue, true, []byte(text[20:]))
	}
	const ack = `{"protocol":{"x-type":"message","x-cmd":"CONSUME_ACK","x-msgId":"m","x-version":"1.0","x-status":"SUCCESS"}}`
	for _, c := range []struct {
		name         string
		do           func(*javaLink)
		kind, result string
		logged       string
	}{
		{"a frame without a blank line", func(l *javaLink) { _ = l.text(ack) }, longconn.EventIgnored, "malformed", "CR LF CR LF"},
		{"nothing", func(l *javaLink) { _ = l.text("") }, longconn.EventIgnored, "malformed", "blank line"},
		{"JSON that is cut", func(l *javaLink) { _ = l.text("\r\n\r\n" + ack[:20]) }, longconn.EventIgnored, "malformed", "not one JSON object"},
		{"a number for a text", func(l *javaLink) {
			_ = l.text("\r\n\r\n" + strings.Replace(ack, `"m"`, `7`, 1))
		}, longconn.EventIgnored, "malformed", "x-msgId: is not a JSON string"},
		{"a header without a value", func(l *javaLink) { _ = l.text("stream-id:\r\n\r\n" + ack) }, longconn.EventIgnored, "malformed", "stream-id: has no value"},
		{"a binary frame", func(l *javaLink) { _ = l.write(opBinary, []byte{0, 1, 2}) }, longconn.EventIgnored, "binary", "binary frame"},
		{"an unknown command", func(l *javaLink) {
			_ = l.text("\r\n\r\n" + strings.Replace(ack, "CONSUME_ACK", "DANCE", 1))
		}, longconn.EventIgnored, "command", "DANCE"},
		{"a CONSUME to the platform", func(l *javaLink) {
			_ = l.text("\r\n\r\n" + strings.Replace(ack, "CONSUME_ACK", "CONSUME", 1))
		}, longconn.EventIgnored, "command", "CONSUME"},
		{"an acknowledgement of nothing", func(l *javaLink) { _ = l.text("stream-id:s1\r\n\r\n" + ack) }, longconn.EventAck, "unknown", "nothing waits for"},
		{"an acknowledgement in fragments with a ping between", func(l *javaLink) { fragments(l, "stream-id:s1\r\n\r\n"+ack) }, longconn.EventAck, "unknown", "nothing waits for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newPeerServer(t, nil)
			l := s.connect(s.client())
			eventually(t, "it is connected", func() bool { return s.Connected(s.endpoint) })
			c.do(l)
			eventually(t, "it is counted", func() bool { return s.count(c.kind, c.result) == 1 })
			eventually(t, "the log says "+c.logged, func() bool { return s.logged(c.logged) })
			go func() { _ = l.run(time.Second) }()
			s.delivers(`{"after":"it"}`, "SUCCESS")
		})
	}
}

func TestAcknowledgementsThatComeTwiceOrForAnother(t *testing.T) {
	t.Parallel()
	s := newPeerServer(t, nil)
	l := s.connect(s.client())
	done := make(chan error, 1)
	go func() {
		f, err := l.next()
		if err != nil {
			done <- err
			return
		}
		wrong := javaFrame{headers: f.headers, protocol: map[string]string{"x-msgId": "another"}}
		for _, text := range []string{wrong.ack("SUCCESS"), f.ack("FAIL"), f.ack("SUCCESS"), f.ack("SUCCESS")} {
			if err := l.text(text); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	eventually(t, "it is connected", func() bool { return s.Connected(s.endpoint) })
	s.delivers(`{}`, "FAIL") // the first that is about it counts
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the others are counted", func() bool { return s.count(longconn.EventAck, "unknown") == 3 })
	if n := s.count(longconn.EventConsume, "success"); n != 0 {
		t.Errorf("%d deliveries count as successful", n)
	}
}

// What breaks RFC 6455 or a bound ends the connection with the code that says why; nothing of it is left.
func TestOurServerClosesOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(*javaLink)
		code int // 0 = any end
		why  string
	}{
		{"a giant frame", func(l *javaLink) {
			_ = l.text("\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"PRODUCE"},"data":{"a":"` + strings.Repeat("x", 2<<20) + `"}}`)
		}, 1009, "protocol"},
		{"a giant message in small fragments", func(l *javaLink) {
			_ = l.raw(false, opText, true, make([]byte, 1<<16))
			for range 40 {
				if l.raw(false, opContinue, true, make([]byte, 1<<16)) != nil {
					return
				}
			}
		}, 1009, "protocol"},
		{"a frame without a mask", func(l *javaLink) { _ = l.raw(true, opText, false, []byte("x")) }, 0, "protocol"},
		{"a reserved opcode", func(l *javaLink) { _ = l.write(0x3, []byte("x")) }, 1002, "protocol"},
		{"a continuation of nothing", func(l *javaLink) { _ = l.write(opContinue, []byte("x")) }, 1002, "protocol"},
		{"a ping in fragments", func(l *javaLink) { _ = l.raw(false, opPing, true, []byte("x")) }, 1002, "protocol"},
		{"a cut frame", func(l *javaLink) { _, _ = l.conn.Write([]byte{0x81, 0xfe}); _ = l.conn.(*net.TCPConn).CloseWrite() }, 0, "client"},
		{"a reset", func(l *javaLink) { _ = l.conn.(*net.TCPConn).SetLinger(0); _ = l.conn.Close() }, 0, "client"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newPeerServer(t, nil)
			l := s.connect(s.client())
			eventually(t, "it is connected", func() bool { return s.Connected(s.endpoint) })
			go c.do(l) // the server may stop reading in the middle
			l.within(patient)
			var err error
			for err == nil {
				_, err = l.next()
			}
			var closed *closedError
			if errors.As(err, &closed) && c.code != 0 && closed.code != c.code || c.code != 0 && closed == nil {
				t.Errorf("the connection ends with %v, not %d", err, c.code)
			}
			_ = l.conn.Close()
			eventually(t, "nothing of it is left", func() bool { return s.Count() == 0 && !s.Connected(s.endpoint) })
			eventually(t, "it is counted as "+c.why, func() bool { return s.count(longconn.EventClose, c.why) == 1 })
			eventually(t, "the log says that it ended", func() bool { return s.logged("a long connection has ended") })
		})
	}
}

// A change that comes between the look at a query and the connection finds no connection to close.
func TestOurServerLooksAgainOnceSomebodyIsConnected(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*longconn.Party) error{
		"the endpoint was disabled": func(p *longconn.Party) error { p.Endpoint.Disabled = true; return nil },
		"its key was taken away":    func(p *longconn.Party) error { delete(p.Settings, "app_public_key"); return nil },
		"the endpoint was deleted":  func(*longconn.Party) error { return hook.Errorf(hook.KindNotFound, "it is gone") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newPeerServer(t, func(o *longconn.ServerOptions, _ dialect.Settings) {
				before := o.Party
				o.Party = func(ctx context.Context, ep hook.EndpointID) (longconn.Party, error) {
					p, err := before(ctx, ep)
					p.Settings = maps.Clone(p.Settings)
					return p, errors.Join(err, change(&p))
				}
			})
			l := s.connect(s.client())
			l.within(patient)
			_, err := l.next()
			var closed *closedError
			if !errors.As(err, &closed) || closed.code != 1008 {
				t.Errorf("the connection ends with %v, not 1008", err)
			}
		})
	}
}

func TestOurServerNoticesWhoIsGone(t *testing.T) {
	t.Parallel()
	for name, says := range map[string][]byte{
		"a client that says nothing":                                  nil,
		"a client whose frame is said to be gigantic and never comes": {0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 'x'},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newPeerServer(t, func(o *longconn.ServerOptions, _ dialect.Settings) { o.Silence = 200 * time.Millisecond })
			l := s.connect(s.client())
			_, _ = l.conn.Write(says)
			eventually(t, "it is given up", func() bool { return s.count(longconn.EventClose, "silent") == 1 })
			if s.Count() != 0 || !s.logged("silent") {
				t.Errorf("%d connections are left: %s", s.Count(), s.log.String())
			}
			_ = l.conn.Close()
		})
	}
	t.Run("a client that only pings stays", func(t *testing.T) {
		t.Parallel()
		s := newPeerServer(t, func(o *longconn.ServerOptions, _ dialect.Settings) { o.Silence = 5 * time.Second })
		l := s.connect(s.client())
		ended := make(chan error, 1)
		go func() { ended <- l.run(20 * time.Millisecond) }()
		select {
		case err := <-ended:
			t.Errorf("it was cut off after %d pongs: %v, %v", l.pongs.Load(), err, s.log.String())
		case <-time.After(6 * time.Second): // longer than the silence
		}
	})
	t.Run("a client that owes an acknowledgement and is gone", func(t *testing.T) {
		t.Parallel()
		s := newPeerServer(t, func(o *longconn.ServerOptions, _ dialect.Settings) { o.Doubt = 200 * time.Millisecond })
		l := s.connect(s.client()) // it answers no ping, for nobody reads
		eventually(t, "it is connected", func() bool { return s.Connected(s.endpoint) })
		if _, _, err := s.deliver(patient, `{}`, false); !errors.Is(err, longconn.ErrCut) {
			t.Errorf("the delivery ends with %v", err)
		}
		eventually(t, "it is given up", func() bool { return s.Count() == 0 })
		_ = l.conn.Close()
	})
	t.Run("a client that does not read", func(t *testing.T) {
		t.Parallel()
		s := newPeerServer(t, func(o *longconn.ServerOptions, _ dialect.Settings) { o.WriteTimeout = 200 * time.Millisecond })
		l := s.connect(s.client())
		_ = l.conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		eventually(t, "it is connected", func() bool { return s.Connected(s.endpoint) })
		var wait sync.WaitGroup
		for range 60 {
			wait.Go(func() {
				if _, _, err := s.deliver(patient, `{"a":"`+strings.Repeat("x", 500<<10)+`"}`, false); err == nil {
					t.Error("a message is acknowledged")
				}
			})
		}
		wait.Wait()
		eventually(t, "it is cut off", func() bool { return s.count(longconn.EventClose, "slow") == 1 && s.Count() == 0 })
		_ = l.conn.Close()
	})
}
