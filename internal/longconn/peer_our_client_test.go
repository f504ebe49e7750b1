package longconn_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/longconn"
)

// peerDialer is our client, towards a scripted platform.
type peerDialer struct {
	*longconn.Dialer
	t        *testing.T
	platform *scriptedPlatform

	mu      sync.Mutex
	log     bytes.Buffer
	taken   []longconn.Arrival
	durable func(longconn.Arrival) bool // nil = all are
}

func newPeerDialer(t *testing.T, certificates bool, timing longconn.Timing) *peerDialer {
	t.Helper()
	v := readPeerVectors(t)
	p, err := newScriptedPlatform(peerApp, pemPrivate(v.platform.private), &pemPrivate(v.app.private).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	settings := dialect.Set("app_id", peerApp, "app_private_key", v.app.private, "alipay_public_key", v.platform.public, "longconn_server", "http://"+p.addr())
	if certificates {
		p.appCertSN, p.rootCertSN, p.platformCertSN = v.certs["app-cert"].sn, v.certs["root-bundle"].sn, v.certs["alipay-cert"].sn
		settings["alipay_public_key"] = []string{v.certs["alipay-cert"].pem}
		settings["app_cert"], settings["alipay_root_cert"] = []string{v.certs["app-cert"].pem}, []string{v.certs["root-bundle"].pem}
	}
	d := &peerDialer{t: t, platform: p}
	if timing.First == 0 {
		timing.First, timing.Most = 10*time.Millisecond, 100*time.Millisecond
	}
	way := egress.New(egress.Options{AllowLoopback: true})
	t.Cleanup(way.Close)
	d.Dialer, err = longconn.NewDialer(longconn.DialerOptions{
		Settings: settings, Egress: way, Timing: timing,
		Log: slog.New(slog.NewTextHandler(lockedWriter{&d.mu, &d.log}, nil)),
		Take: func(_ context.Context, batch []longconn.Arrival) []bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			out := make([]bool, len(batch))
			for i, a := range batch {
				d.taken = append(d.taken, a)
				out[i] = a.Refused == nil && (d.durable == nil || d.durable(a))
			}
			return out
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Start()
	t.Cleanup(func() {
		p.close() // first, so that our side does not wait for the answer to its goodbye
		d.stop()
		if wrong := p.wrongs(); len(wrong) > 0 {
			t.Errorf("our client did what it should not: %s", strings.Join(wrong, "; "))
		}
	})
	return d
}

// stop ends the client; what it had open is cut after a while.
func (d *peerDialer) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	_ = d.Stop(ctx)
}

func (d *peerDialer) session() *scriptedSession {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	s, err := d.platform.session(ctx)
	if err != nil {
		d.t.Fatalf("%v; %+v", err, d.Connection())
	}
	return s
}

func (d *peerDialer) arrivals() []longconn.Arrival {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]longconn.Arrival(nil), d.taken...)
}

func (d *peerDialer) set(durable func(longconn.Arrival) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.durable = durable
}

// exchange sends a message and wants its acknowledgement.
func (d *peerDialer) exchange(s *scriptedSession, msgID, content, status string) {
	d.t.Helper()
	stream, err := s.consume(msgID, "alipay.open.mini.version.audit.passed", content)
	if err == nil {
		err = s.acked(stream, msgID, status)
	}
	if err != nil {
		d.t.Errorf("%s: %v", msgID, err)
	}
}

func TestOurClientLivesWithAScriptedPlatform(t *testing.T) {
	t.Parallel()
	for _, certificates := range []bool{false, true} {
		t.Run(map[bool]string{false: "key mode", true: "certificate mode"}[certificates], func(t *testing.T) {
			t.Parallel()
			d := newPeerDialer(t, certificates, longconn.Timing{})
			s := d.session()
			const content = `{ "mini_app_id":"20\"}\\", "n":1.10, "中":[{}] }`
			d.exchange(s, "m1", content, "SUCCESS")
			got := d.arrivals()
			if len(got) != 1 || string(got[0].Received.Payload) != content || got[0].Received.EventType != "alipay.open.mini.version.audit.passed" ||
				got[0].Received.EventID != "m1" || got[0].Received.Account != peerApp {
				t.Fatalf("arrived: %+v", got)
			}
			d.set(func(longconn.Arrival) bool { return false })
			d.exchange(s, "m2", `{}`, "FAIL")
			d.set(nil)
			d.exchange(s, "m2", `{}`, "SUCCESS")
			forged(t, d, s)
			produced(t, d, s)
			t.Run("it comes back with a new token, and gets what was not acknowledged", func(t *testing.T) {
				if _, err := s.consume("m3", "a.b", `{}`); err != nil {
					t.Fatal(err)
				}
				_ = s.conn.Close()
				s = d.session()
				d.exchange(s, "m3", `{}`, "SUCCESS")
				if n := d.platform.registrations(); n < 2 {
					t.Errorf("it has registered %d times", n)
				}
				d.platform.mu.Lock()
				defer d.platform.mu.Unlock()
				for _, cookie := range d.platform.cookies {
					if cookie != "zone=GZ00A;" {
						t.Errorf("the cookie is %q", cookie)
					}
				}
			})
			t.Run("at the end it says 1000 behind its acknowledgements", func(t *testing.T) {
				stream, err := s.consume("m4", "a.b", `{}`)
				if err != nil {
					t.Fatal(err)
				}
				eventually(t, "it has arrived", func() bool {
					all := d.arrivals()
					return all[len(all)-1].Frame.MsgID == "m4"
				})
				go d.stop()
				if err := s.acked(stream, "m4", "SUCCESS"); err != nil {
					t.Error(err)
				}
				var closed *closedError
				if _, err := s.next(patient); !errors.As(err, &closed) || closed.code != 1000 {
					t.Errorf("the connection ends with %v", err)
				}
			})
		})
	}
}

// forged is answered FAIL and never taken for a message.
func forged(t *testing.T, d *peerDialer, s *scriptedSession) {
	t.Helper()
	right := d.platform.key
	other := pemPrivate(readPeerVectors(t).other.private)
	change := func(key *rsa.PrivateKey) { d.platform.key = key }
	change(other)
	d.exchange(s, "forged", `{}`, "FAIL")
	change(right)
	unsigned := strings.Replace(d.platform.consumeFrame("s9", "unsigned", "a.b", `{}`), `"x-sign":`, `"x-none":`, 1)
	if err := s.text(unsigned); err != nil {
		t.Fatal(err)
	}
	if err := s.acked("s9", "unsigned", "FAIL"); err != nil {
		t.Error(err)
	}
	for _, a := range d.arrivals() {
		if (a.Frame.MsgID == "forged" || a.Frame.MsgID == "unsigned") && a.Refused == nil {
			t.Errorf("%s is taken", a.Frame.MsgID)
		}
	}
}

// produced sends messages to the platform and holds them to the form that the Java client's have.
func produced(t *testing.T, d *peerDialer, s *scriptedSession) {
	t.Helper()
	type result struct {
		ok, unanswered bool
		id, code       string
		err            error
	}
	for _, c := range []struct {
		name, answer string // the protocol object of it, "" = none
		want         result
	}{
		{"taken", `{"x-type":"message","x-cmd":"PRODUCE_ACK","x-msgId":"MSG1","x-version":"1.0","x-status":"SUCCESS"}`, result{ok: true, id: "MSG1"}},
		{"refused", `{"x-type":"message","x-cmd":"PRODUCE_ACK","x-version":"1.0","x-status":"FAIL","x-code":"40002","x-error":"no"}`, result{code: "40002"}},
	} {
		done := make(chan result, 1)
		go func() {
			r, err := d.Produce(context.Background(), "alipay.open.app.openbizmock.message.send", []byte(`{"out_no":"1","memo":"测试"}`))
			done <- result{r.OK, r.Unanswered, r.MessageID, r.Code, err}
		}()
		f, err := s.next(patient)
		if err != nil {
			t.Fatal(err)
		}
		var data struct {
			Header struct {
				AppID  string `json:"appId"`
				MsgAPI string `json:"msgApi"`
				App    string `json:"app_cert_sn"`
				Root   string `json:"alipay_root_cert_sn"`
			} `json:"header"`
			Content json.RawMessage `json:"content"`
		}
		if err := json.Unmarshal([]byte(f.data), &data); err != nil {
			t.Error(err)
		}
		if f.protocol["x-cmd"] != "PRODUCE" || f.headers["stream-id"] == "" || f.protocol["x-charset"] != "UTF-8" || f.protocol["x-version"] != "1.0" ||
			f.protocol["x-timestamp"] == "" || data.Header.AppID != peerApp || data.Header.MsgAPI != "alipay.open.app.openbizmock.message.send" ||
			data.Header.App != d.platform.appCertSN || data.Header.Root != d.platform.rootCertSN || string(data.Content) != `{"out_no":"1","memo":"测试"}` {
			t.Errorf("%s: the frame is %+v", c.name, f)
		}
		if err := verifyRSA2(d.platform.app, f.data, f.protocol["x-sign"]); err != nil {
			t.Errorf("%s: the signature: %v", c.name, err)
		}
		head := "stream-id:" + f.headers["stream-id"] + "\r\n\r\n"
		for _, text := range []string{"stream-id:unknown\r\n\r\n", head, head} { // for nobody, the answer, and the answer again
			if err := s.text(text + `{"protocol":` + c.answer + `}`); err != nil {
				t.Fatal(err)
			}
		}
		if got := <-done; got != c.want {
			t.Errorf("%s: %+v, not %+v", c.name, got, c.want)
		}
	}
}

// What the platform does wrong without harm is passed over: the connection goes on, and the next message is acknowledged.
func TestOurClientPassesOver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(*peerDialer, *scriptedSession) error
	}{
		{"a frame without a blank line", func(d *peerDialer, s *scriptedSession) error {
			return s.text(strings.Replace(d.platform.consumeFrame("s1", "bad", "a.b", `{}`), "\r\n\r\n", "\r\n", 1))
		}},
		{"an empty frame", func(_ *peerDialer, s *scriptedSession) error { return s.text("") }},
		{"a number for x-timestamp", func(d *peerDialer, s *scriptedSession) error {
			text := d.platform.consumeFrame("s1", "bad", "a.b", `{}`)
			at := strings.Index(text, `"x-timestamp":"`) + len(`"x-timestamp":`)
			end := at + 1 + strings.IndexByte(text[at+1:], '"')
			return s.text(text[:at] + text[at+1:end] + text[end+1:])
		}},
		{"a header without a value", func(d *peerDialer, s *scriptedSession) error {
			return s.text(strings.Replace(d.platform.consumeFrame("s1", "bad", "a.b", `{}`), "openchannel", "", 1))
		}},
		{"a binary frame", func(d *peerDialer, s *scriptedSession) error {
			return s.write(opBinary, []byte(d.platform.consumeFrame("s1", "bad", "a.b", `{}`)))
		}},
		{"an unknown command", func(d *peerDialer, s *scriptedSession) error {
			return s.text(strings.Replace(d.platform.consumeFrame("s1", "bad", "a.b", `{}`), `"CONSUME"`, `"DANCE"`, 1))
		}},
		{"an answer to nothing", func(_ *peerDialer, s *scriptedSession) error {
			return s.text("stream-id:x\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"PRODUCE_ACK","x-status":"SUCCESS"}}`)
		}},
		{"a ping and a pong that nobody asked for", func(_ *peerDialer, s *scriptedSession) error {
			return errors.Join(s.write(opPing, []byte("p")), s.write(opPong, []byte("q")))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newPeerDialer(t, false, longconn.Timing{})
			s := d.session()
			if err := c.do(d, s); err != nil {
				t.Fatal(err)
			}
			d.exchange(s, "m1", `{}`, "SUCCESS")
			for _, a := range d.arrivals() {
				if a.Refused == nil && a.Frame.MsgID != "m1" {
					t.Errorf("it is taken for a message: %+v", a.Frame)
				}
			}
			if n := d.platform.registrations(); n != 1 {
				t.Errorf("it has registered %d times", n)
			}
		})
	}
	t.Run("content that is no object behind a right signature is kept and acknowledged", func(t *testing.T) {
		t.Parallel()
		d := newPeerDialer(t, false, longconn.Timing{})
		d.exchange(d.session(), "m1", `"{}"`, "SUCCESS")
		if got := d.arrivals(); len(got) != 1 || got[0].Received.Unreadable == "" {
			t.Errorf("arrived: %+v", got)
		}
	})
	t.Run("a message in fragments with a ping between", func(t *testing.T) {
		t.Parallel()
		d := newPeerDialer(t, false, longconn.Timing{})
		s := d.session()
		text := d.platform.consumeFrame("s1", "m1", "a.b", `{"中":"文"}`)
		cut := strings.Index(text, "中") + 1 // inside of a character
		err := errors.Join(s.raw(false, opText, false, []byte(text[:5])), s.write(opPing, nil), s.raw(false, opContinue, false, []byte(text[5:cut])),
			s.raw(false, opContinue, false, nil), s.raw(true, opContinue, false, []byte(text[cut:])))
		if err == nil {
			err = s.acked("s1", "m1", "SUCCESS")
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// What breaks RFC 6455 or a bound, and whoever is gone, is answered by a new connection.
func TestOurClientComesBackAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(*peerDialer, *scriptedSession)
		why  string
	}{
		{"a giant frame", func(d *peerDialer, s *scriptedSession) {
			_ = s.text(d.platform.consumeFrame("s1", "giant", "a.b", `{"a":"`+strings.Repeat("x", 2<<20)+`"}`))
		}, "a frame of more than"},
		{"a reserved opcode", func(_ *peerDialer, s *scriptedSession) { _ = s.write(0x3, []byte("x")) }, ""},
		{"a ping in fragments", func(_ *peerDialer, s *scriptedSession) { _ = s.raw(false, opPing, false, nil) }, ""},
		{"a close with 1001", func(_ *peerDialer, s *scriptedSession) { _ = s.bye(1001, "maintenance") }, "1001 (maintenance)"},
		{"a reset", func(_ *peerDialer, s *scriptedSession) {
			_ = s.conn.(*net.TCPConn).SetLinger(0)
			_ = s.conn.Close()
		}, ""},
		{"half of a frame and the end", func(_ *peerDialer, s *scriptedSession) {
			_, _ = s.conn.Write([]byte{0x81, 126, 1})
			_ = s.conn.(*net.TCPConn).CloseWrite()
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newPeerDialer(t, false, longconn.Timing{})
			s := d.session()
			go c.do(d, s) // our side may stop reading in the middle
			next := d.session()
			d.exchange(next, "m1", `{}`, "SUCCESS")
			if got := d.Connection(); got.Trouble == "" || !strings.Contains(got.Trouble, c.why) || got.Counts.Reconnects != 1 {
				t.Errorf("the connection is shown as %+v", got)
			}
			for _, a := range d.arrivals() {
				if a.Frame.MsgID != "m1" {
					t.Errorf("it is taken: %+v", a.Frame)
				}
			}
			_ = s.conn.Close()
		})
	}
	t.Run("a platform that is gone without a word", func(t *testing.T) {
		t.Parallel()
		d := newPeerDialer(t, false, longconn.Timing{Ping: 50 * time.Millisecond, Write: 100 * time.Millisecond, Silence: 300 * time.Millisecond})
		s := d.session() // it reads nothing, so that no ping is answered
		next := d.session()
		defer func() { _ = next.conn.Close() }()
		if got := d.Connection(); !strings.Contains(got.Trouble, "nothing was heard") {
			t.Errorf("the connection is shown as %+v", got)
		}
		_ = s.conn.Close()
	})
	t.Run("registrations and upgrades that are refused", func(t *testing.T) {
		t.Parallel()
		d := newPeerDialer(t, false, longconn.Timing{})
		first := d.session()
		for _, c := range []struct {
			name   string
			answer func(url.Values) (int, string)
			deny   int
			why    string
		}{
			{"in its own words", func(url.Values) (int, string) {
				return 200, `{"response":{"code":"40004","msg":"Business Failed","sub_code":"isv.invalid-app-id"}}`
			}, 0, "isv.invalid-app-id"},
			{"a success that is not signed", func(url.Values) (int, string) {
				return 200, `{"response":{"code":"10000","msg":"Success","link_token":"LT-1"}}`
			}, 0, "not signed"},
			{"a success with another's signature", func(url.Values) (int, string) {
				return 200, `{"response":{"code":"10000","link_token":"LT-1"},"sign":"` + signRSA2(pemPrivate(readPeerVectors(t).other.private), "x") + `"}`
			}, 0, "alipay_public_key"},
			{"a page", func(url.Values) (int, string) { return 200, "<html>" }, 0, "JSON"},
			{"a fault", func(url.Values) (int, string) { return 502, "" }, 0, "502"},
			{"a refused upgrade", nil, 403, "403"},
		} {
			d.platform.set(c.answer, c.deny)
			_ = first.conn.Close()
			eventually(t, c.name, func() bool { return strings.Contains(d.Connection().Trouble, c.why) })
		}
		d.platform.set(nil, 0)
		d.exchange(d.session(), "m1", `{}`, "SUCCESS")
	})
	t.Run("pings are sent as often as is set", func(t *testing.T) {
		t.Parallel()
		d := newPeerDialer(t, false, longconn.Timing{Ping: 10 * time.Millisecond})
		s := d.session()
		s.within(patient)
		for n := 0; n < 3; {
			_, op, payload, err := s.frame()
			if err != nil {
				t.Fatal(err)
			}
			if op == opPing {
				n++
				if err := s.write(opPong, payload); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// When both sides have gone, no goroutine of either is left.
func TestNothingIsLeftOfConnections(t *testing.T) {
	// Not parallel: it counts goroutines of the whole process, while no other test of this package runs.
	count := func() int {
		return goroutines("internal/longconn.") + goroutines("coder/websocket.")
	}
	before := count()
	t.Run("our server", func(t *testing.T) {
		s := newPeerServer(t, nil)
		for i := range 20 {
			l := s.connect(s.client())
			switch i % 4 {
			case 0:
				_ = l.conn.Close()
			case 1:
				_ = l.write(0x3, nil)
			case 2:
				_ = l.bye(1000, "")
			}
		}
		go func() { _, _, _ = s.deliver(patient, `{}`, true) }()
	})
	t.Run("our client", func(t *testing.T) {
		d := newPeerDialer(t, false, longconn.Timing{})
		for i := range 10 {
			s := d.session()
			switch i % 3 {
			case 0:
				_ = s.conn.Close()
			case 1:
				_ = s.write(0x3, nil)
			case 2:
				_ = s.bye(1001, "")
			}
		}
	})
	eventually(t, "all goroutines have ended", func() bool { return count() <= before })
}
