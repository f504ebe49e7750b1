package longconn_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/longconn"
)

const appID = "2013121700999429"

// pairs are the settings of the platform and of a source that fit together, and those of a stranger.
var pairs = sync.OnceValue(func() (p struct{ platform, source, stranger dialect.Settings }) {
	pair := func() (private, public string) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			panic(err)
		}
		private = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
		return private, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	appPrivate, appPublic := pair()
	platPrivate, platPublic := pair()
	otherPrivate, _ := pair()
	p.platform = dialect.Set("app_id", appID, "platform_private_key", platPrivate, "app_public_key", appPublic)
	p.source = dialect.Set("app_id", appID, "app_private_key", appPrivate, "alipay_public_key", platPublic)
	p.stranger = dialect.Set("app_id", appID, "platform_private_key", otherPrivate, "app_public_key", appPublic)
	return p
})

// platform is Alipay's side, as far as a test wants it: it registers and upgrades whoever signs right, and hands each
// connection over.
type platform struct {
	t     *testing.T
	url   string
	conns chan *call

	mu        sync.Mutex
	registers int
	tokens    map[string]bool
	register  http.HandlerFunc // nil = as it should be
	upgrade   http.HandlerFunc
}

// call is one connection that a source opened.
type call struct {
	*websocket.Conn
	t      *testing.T
	cookie string
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{t: t, conns: make(chan *call, 64), tokens: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+alipay.RegisterPath, func(w http.ResponseWriter, r *http.Request) { p.handler(p.doRegister, &p.register)(w, r) })
	mux.HandleFunc("GET "+alipay.UpgradePath, func(w http.ResponseWriter, r *http.Request) { p.handler(p.doUpgrade, &p.upgrade)(w, r) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *platform) handler(usual http.HandlerFunc, own *http.HandlerFunc) http.HandlerFunc {
	p.mu.Lock()
	defer p.mu.Unlock()
	if *own != nil {
		return *own
	}
	return usual
}

func (p *platform) answerWith(register, upgrade http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.register, p.upgrade = register, upgrade
}

func (p *platform) doRegister(w http.ResponseWriter, r *http.Request) {
	q, err := alipay.ReadQuery(r.URL.RawQuery)
	if err == nil {
		err = alipay.VerifyRegister(pairs().platform, q, time.Now())
	}
	if err != nil {
		_, _ = w.Write(alipay.RegisterRefusal("40002", "Invalid Arguments", "isv.invalid-signature", err.Error()))
		return
	}
	p.mu.Lock()
	p.registers++
	token := "LT-" + strconv.Itoa(p.registers)
	p.tokens[token] = true
	p.mu.Unlock()
	body, err := alipay.RegisterAnswer(pairs().platform, q, token)
	if err != nil {
		p.t.Error(err)
	}
	w.Header().Set("Set-Cookie", alipay.SetZone("GZ00A"))
	_, _ = w.Write(body)
}

func (p *platform) doUpgrade(w http.ResponseWriter, r *http.Request) {
	q, err := alipay.ReadQuery(r.URL.RawQuery)
	if err == nil {
		err = alipay.VerifyUpgrade(pairs().platform, q, time.Now())
	}
	p.mu.Lock()
	fresh := p.tokens[q.LinkToken]
	delete(p.tokens, q.LinkToken)
	p.mu.Unlock()
	if err != nil || !fresh || r.Header.Get("Origin") != "" || r.Header.Get("Sec-WebSocket-Protocol") != "" || r.Header.Get("Sec-WebSocket-Extensions") != "" {
		p.t.Errorf("upgrade: %v, fresh token %v, header %v", err, fresh, r.Header)
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		p.t.Error(err)
		return
	}
	c.SetReadLimit(alipay.MaxFrame)
	p.conns <- &call{c, p.t, r.Header.Get("Cookie")}
}

// next is the next connection that a source opens.
func (p *platform) next() *call {
	p.t.Helper()
	select {
	case c := <-p.conns:
		p.t.Cleanup(func() { _ = c.CloseNow() })
		return c
	case <-time.After(20 * time.Second):
		p.t.Fatal("nobody connected")
		return nil
	}
}

// consume is a signed message.
func consume(t *testing.T, settings dialect.Settings, id, content string) []byte {
	t.Helper()
	data, err := alipay.Data{AppID: appID, MsgAPI: "alipay.open.mini.version.audit.passed", Content: []byte(content)}.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := alipay.SignFrame(settings, alipay.Consume("openchannel", "10.0.0.1", "s"+id, id, time.Now(), data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := f.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (c *call) write(kind websocket.MessageType, text []byte) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.Write(ctx, kind, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *call) send(text []byte) { c.t.Helper(); c.write(websocket.MessageText, text) }

// frame is the next frame that the source sends.
func (c *call) frame() alipay.Frame {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, text, err := c.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	f, err := alipay.ParseFrame(text)
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

// acknowledged wants the next frame to be the answer to a message.
func (c *call) acknowledged(id, status string) {
	c.t.Helper()
	f := c.frame()
	if f.Cmd != alipay.CmdConsumeAck || f.MsgID != id || f.Status != status || f.StreamID != "s"+id || f.FromSys != "openchannel" || f.FromSysIP != "10.0.0.1" || f.Data != nil {
		c.t.Errorf("answered %+v, want %s of %s", f, status, id)
	}
}

// shelf is a store that can be held up and can refuse.
type shelf struct {
	mu      sync.Mutex
	batches int
	taken   []longconn.Arrival
	refuse  bool
	gate    chan struct{} // not nil: each batch waits for a value
	waiting chan struct{} // a value for each batch that came
}

func newShelf() *shelf { return &shelf{waiting: make(chan struct{}, 10_000)} }

func (s *shelf) take(_ context.Context, batch []longconn.Arrival) []bool {
	s.waiting <- struct{}{}
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	s.taken = append(s.taken, batch...)
	out := make([]bool, len(batch))
	for i := range batch {
		out[i] = batch[i].Refused == nil && !s.refuse
	}
	return out
}

func (s *shelf) all() []longconn.Arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken)
}

// quick are the times of a test that does not want to wait.
var quick = longconn.Timing{First: 5 * time.Millisecond, Most: 20 * time.Millisecond}

// dialOut starts a source that dials the platform.
func dialOut(t *testing.T, p *platform, s *shelf, change func(*longconn.DialerOptions)) *longconn.Dialer {
	t.Helper()
	settings := dialect.Settings{}
	for k, v := range pairs().source {
		settings[k] = v
	}
	settings["longconn_server"] = []string{p.url}
	o := longconn.DialerOptions{
		Settings: settings, Egress: egress.New(egress.Options{AllowLoopback: true}), Take: s.take, Timing: quick, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&o)
	}
	d, err := longconn.NewDialer(o)
	if err != nil {
		t.Fatal(err)
	}
	d.Start()
	t.Cleanup(func() { stop(t, d) })
	return d
}

func stop(t *testing.T, d *longconn.Dialer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := d.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came: %s", what)
		}
	}
}

func TestSUCCESSIsSaidOnlyWhenTheMessageIsDurable(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	s.gate = make(chan struct{})
	d := dialOut(t, p, s, nil)
	c := p.next()
	if c.cookie != "zone=GZ00A;" {
		t.Errorf("the zone is repeated as %q", c.cookie)
	}
	text := consume(t, pairs().platform, "1", `{"a" : 1.0,"b":"}\"{"}`)
	c.send(text)
	<-s.waiting
	if n := d.Connection().Counts; n.Success+n.Fail+n.Unanswered != 0 || n.Frames != 1 {
		t.Errorf("before it is durable: %+v", n)
	}
	s.gate <- struct{}{}
	c.acknowledged("1", alipay.StatusSuccess)
	got := s.all()[0]
	if string(got.Received.Payload) != `{"a" : 1.0,"b":"}\"{"}` || got.Received.EventType != "alipay.open.mini.version.audit.passed" ||
		got.Received.DedupKey != alipay.DedupKey(appID, "1") || got.Received.Account != appID || !bytes.Equal(got.Text, text) || !got.Remote.IsLoopback() {
		t.Errorf("taken as %+v", got)
	}
	until(t, "it is counted", func() bool { return d.Connection().Counts.Success == 1 })
	shown := d.Connection()
	if shown.State != hook.ConnectionOpen || shown.Open != 1 || shown.Wanted != 1 || shown.Since.IsZero() || shown.Trouble != "" {
		t.Errorf("shown as %+v", shown)
	}
}

func TestWhatIsNotStoredIsNotAcknowledgedWithSUCCESS(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	d := dialOut(t, p, s, nil)
	c := p.next()
	good := func(id string) []byte { return consume(t, pairs().platform, id, `{}`) }
	flipped := bytes.Replace(good("3"), []byte(`"content":{}`), []byte(`"content":{ }`), 1)

	c.send(consume(t, pairs().stranger, "1", `{}`))
	c.acknowledged("1", alipay.StatusFail)
	c.send(flipped)
	c.acknowledged("3", alipay.StatusFail)
	c.send([]byte(strings.ReplaceAll(string(good("4")), `"x-sign"`, `"x-gone"`)))
	c.acknowledged("4", alipay.StatusFail)
	s.mu.Lock()
	s.refuse = true
	s.mu.Unlock()
	c.send(good("5"))
	c.acknowledged("5", alipay.StatusFail)
	s.mu.Lock()
	s.refuse = false
	s.mu.Unlock()
	c.send([]byte("no frame at all"))
	c.send([]byte(strings.Replace(string(good("6")), `"x-timestamp":"`, `"x-timestamp":1,"y":"`, 1)))
	c.write(websocket.MessageBinary, good("7"))
	c.send([]byte("\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"DANCE"}}`))
	c.send([]byte("stream-id:c1\r\n\r\n" + `{"protocol":{"x-type":"message","x-cmd":"PRODUCE_ACK","x-status":"SUCCESS"}}`))
	c.send(good("8"))
	c.acknowledged("8", alipay.StatusSuccess)

	var refused []string
	for _, a := range s.all() {
		if a.Refused != nil {
			refused = append(refused, string(a.Refused.Reason))
		}
	}
	if want := []string{"signature", "signature", "signature", "malformed", "malformed"}; !slices.Equal(refused, want) {
		t.Errorf("recorded as refused: %v, want %v", refused, want)
	}
	until(t, "the last one is counted", func() bool { return d.Connection().Counts.Success == 1 })
	if n := d.Connection().Counts; n.Fail != 4 || n.Ignored != 5 || n.Unanswered != 0 || n.Frames != 10 {
		t.Errorf("counted as %+v", n)
	}
}

func TestAMessageForAnotherApplicationIsRefused(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	dialOut(t, p, s, nil)
	c := p.next()
	text := consume(t, pairs().platform, "1", `{}`)
	f, err := alipay.ParseFrame(text)
	if err != nil {
		t.Fatal(err)
	}
	f.Data = bytes.ReplaceAll(f.Data, []byte(appID), []byte("2099000000000000"))
	if f, err = alipay.SignFrame(pairs().platform, f); err != nil {
		t.Fatal(err)
	}
	if text, err = f.Append(nil); err != nil {
		t.Fatal(err)
	}
	c.send(text)
	c.acknowledged("1", alipay.StatusFail)
	if a := s.all()[0]; a.Refused == nil || a.Refused.Reason != dialect.ReasonSettings {
		t.Errorf("taken as %+v", a)
	}
}

func TestAWrongSignatureMayBeAnsweredWithNothing(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	d := dialOut(t, p, s, func(o *longconn.DialerOptions) { o.Settings["longconn_bad_signature"] = []string{"silent"} })
	c := p.next()
	c.send(consume(t, pairs().stranger, "1", `{}`))
	c.send(consume(t, pairs().platform, "2", `{}`))
	c.acknowledged("2", alipay.StatusSuccess)
	if n := d.Connection().Counts; n.Unanswered != 1 || n.Fail != 0 || len(s.all()) != 2 {
		t.Errorf("counted as %+v, taken %d", n, len(s.all()))
	}
}

func TestMessagesKeepTheirOrderAndShareCommits(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	s.gate = make(chan struct{})
	dialOut(t, p, s, nil)
	c := p.next()
	const n = 400 // more than one connection may hold
	go func() {
		for i := range n {
			c.send(consume(t, pairs().platform, strconv.Itoa(i), `{}`))
		}
	}()
	<-s.waiting
	close(s.gate)
	for i := range n {
		c.acknowledged(strconv.Itoa(i), alipay.StatusSuccess)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batches >= n {
		t.Errorf("%d commits for %d messages", s.batches, n)
	}
	for i, a := range s.taken {
		if a.Frame.MsgID != strconv.Itoa(i) {
			t.Fatalf("the message %s came at place %d", a.Frame.MsgID, i)
		}
	}
}

func TestAConnectionHoldsOnlySoMuch(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	s.gate = make(chan struct{})
	d := dialOut(t, p, s, nil)
	c := p.next()
	big := `{"x":"` + strings.Repeat("x", 1<<20-64) + `"}`
	const n = 22 // MiB
	var sent sync.WaitGroup
	sent.Go(func() {
		for i := range n {
			c.send(consume(t, pairs().platform, strconv.Itoa(i), big))
		}
	})
	<-s.waiting
	frames := func() int64 { return d.Connection().Counts.Frames }
	last, since := frames(), time.Now()
	until(t, "it stops reading", func() bool {
		if now := frames(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 300*time.Millisecond && last > 0
	})
	if last > 20 {
		t.Errorf("%d MiB are held", last)
	}
	close(s.gate)
	for i := range n {
		c.acknowledged(strconv.Itoa(i), alipay.StatusSuccess)
	}
	sent.Wait()
}

func TestStopAnswersWhatWasTakenAndThenClosesWith1000(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	s.gate = make(chan struct{})
	d := dialOut(t, p, s, nil)
	c := p.next()
	c.send(consume(t, pairs().platform, "1", `{}`))
	<-s.waiting
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		stopped <- d.Stop(ctx)
	}()
	// What comes now is for the platform to repeat.
	until(t, "a message is left alone", func() bool {
		c.send(consume(t, pairs().platform, "late", `{}`))
		return d.Connection().Counts.Unanswered > 0
	})
	close(s.gate)
	c.acknowledged("1", alipay.StatusSuccess)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		_, text, err := c.Read(ctx)
		cancel()
		if err != nil {
			if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				t.Errorf("closed with %v", err)
			}
			break
		}
		f, err := alipay.ParseFrame(text)
		if err != nil || f.MsgID != "late" { // taken before the stop was seen
			t.Errorf("sent %s", text)
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if shown := d.Connection(); shown.State != hook.ConnectionStopped || shown.Open != 0 {
		t.Errorf("shown as %+v", shown)
	}
	d.Start()
	if shown := d.Connection(); shown.State != hook.ConnectionStopped {
		t.Errorf("started again: %+v", shown)
	}
}

func TestAStopThatMayNotWaitCuts(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	s.gate = make(chan struct{})
	d := dialOut(t, p, s, nil)
	c := p.next()
	c.send(consume(t, pairs().platform, "1", `{}`))
	<-s.waiting
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := d.Stop(ctx); err == nil {
		t.Error("nothing was cut")
	}
	_, _, err := c.Read(context.Background())
	if err == nil || websocket.CloseStatus(err) == websocket.StatusNormalClosure {
		t.Errorf("the connection ended with %v", err)
	}
	close(s.gate)
}

func TestALostConnectionIsOpenedAgain(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	d := dialOut(t, p, s, nil)
	for i, end := range []func(c *call){
		func(c *call) { _ = c.Close(websocket.StatusGoingAway, "the platform restarts") },
		func(c *call) { _ = c.CloseNow() },
		func(c *call) { // over the limit of a frame
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			_ = c.Write(ctx, websocket.MessageText, make([]byte, alipay.MaxFrame+1))
			_, _, _ = c.Read(ctx)
		},
	} {
		c := p.next()
		id := strconv.Itoa(i)
		c.send(consume(t, pairs().platform, id, `{}`))
		c.acknowledged(id, alipay.StatusSuccess)
		end(c)
		want := []string{"with 1001 (the platform restarts)", "cut without a goodbye", "a frame of more than"}[i]
		until(t, want, func() bool { return strings.Contains(d.Connection().Trouble, want) })
	}
	p.next()
	until(t, "it is open again", func() bool { return d.Connection().State == hook.ConnectionOpen })
	if n := d.Connection().Counts; n.Connects != 4 || n.Reconnects != 3 {
		t.Errorf("counted as %+v", n)
	}
}

func TestWaitsGrowWhileNothingOpens(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	p.answerWith(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, nil)
	d := dialOut(t, p, s, func(o *longconn.DialerOptions) { o.Timing.First, o.Timing.Most = 5*time.Millisecond, time.Minute })
	until(t, "a longer wait", func() bool {
		shown := d.Connection()
		return shown.State == hook.ConnectionWaiting && shown.NextTry.Sub(shown.TroubleAt) > 100*time.Millisecond
	})
}

func TestASilentPlatformIsLeft(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	d := dialOut(t, p, s, func(o *longconn.DialerOptions) {
		o.Timing.Ping, o.Timing.Silence, o.Timing.Write = 10*time.Millisecond, 100*time.Millisecond, 50*time.Millisecond
	})
	p.next() // nobody reads there, so that no ping is answered
	until(t, "it gives up", func() bool { return strings.Contains(d.Connection().Trouble, "nothing was heard") })
	p.next().CloseRead(context.Background()) // answers pings
	until(t, "it is open again", func() bool { return d.Connection().State == hook.ConnectionOpen })
}

func TestSeveralConnectionsAreHeld(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	d := dialOut(t, p, s, func(o *longconn.DialerOptions) { o.Settings["longconn_connections"] = []string{"3"} })
	var calls []*call
	for range 3 {
		calls = append(calls, p.next())
	}
	for i, c := range calls {
		c.send(consume(t, pairs().platform, strconv.Itoa(i), `{}`))
		c.acknowledged(strconv.Itoa(i), alipay.StatusSuccess)
	}
	until(t, "three are open", func() bool { return d.Connection().Open == 3 })
	p.answerWith(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, nil)
	_ = calls[1].CloseNow()
	until(t, "one is lost", func() bool { n := d.Connection(); return n.Open == 2 && n.State == hook.ConnectionOpen })
}

func TestWhyThereIsNoConnectionIsSaidWithWhatToDo(t *testing.T) {
	t.Parallel()
	say := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	elsewhere := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	}
	tests := []struct {
		name              string
		register, upgrade http.HandlerFunc
		change            func(*longconn.DialerOptions)
		trouble, mend     string
	}{
		{"the registration is refused", say(200, string(alipay.RegisterRefusal("40002", "Invalid Arguments", "isv.invalid-app-id", "no such app"))), nil, nil,
			"isv.invalid-app-id", ""},
		{"a code that nobody knows", say(200, `{"response":{"code":"4711","msg":"no"}}`), nil, nil, "code 4711, no", "documents"},
		{"our key is not the application's", nil, nil, func(o *longconn.DialerOptions) {
			o.Settings["app_private_key"] = pairs().stranger["platform_private_key"]
		}, "upload the public half of app_private_key", ""},
		{"the platform's key is wrong", nil, nil, func(o *longconn.DialerOptions) {
			o.Settings["alipay_public_key"] = pairs().platform["app_public_key"]
		}, "register answer", "set alipay_public_key to the platform's key"},
		{"success without a signature", say(200, `{"response":{"code":"10000","msg":"Success","link_token":"x"}}`), nil, nil, "is not signed", "alipay_public_key"},
		{"no JSON", say(200, `<html>`), nil, nil, "register answer", ""},
		{"too long", say(200, strings.Repeat("x", 100_000)), nil, nil, "too long", ""},
		{"an HTTP error", say(502, ``), nil, nil, "answered the registration with HTTP 502", ""},
		{"not the message service", say(404, ``), nil, nil, "answered the registration with HTTP 404", "check longconn_server"},
		{"a redirect of the registration", elsewhere, nil, nil, "answered the registration with HTTP 302", "check longconn_server"},
		{"a redirect of the upgrade", nil, elsewhere, nil, "answered the upgrade with HTTP 302", "check longconn_server"},
		{"the upgrade is forbidden", nil, say(403, `no`), nil, "answered the upgrade with HTTP 403", "clock"},
		{"no WebSocket", nil, say(200, `hello`), nil, "answered the upgrade with HTTP 200", "check longconn_server"},
		{"an address that may not be reached", nil, nil, func(o *longconn.DialerOptions) {
			o.Egress = egress.New(egress.Options{})
		}, "127.0.0.1 is a loopback address", "allow_cidrs"},
		{"nobody is there", nil, nil, func(o *longconn.DialerOptions) {
			o.Settings["longconn_server"] = []string{"http://127.0.0.1:1"}
		}, "refused the connection", "firewall"},
		{"no TLS", nil, nil, func(o *longconn.DialerOptions) {
			o.Settings["longconn_server"] = []string{strings.Replace(o.Settings.Get("longconn_server"), "http:", "https:", 1)}
		}, "does not speak TLS", "longconn_server"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, s := newPlatform(t), newShelf()
			p.answerWith(tt.register, tt.upgrade)
			d := dialOut(t, p, s, tt.change)
			until(t, tt.trouble, func() bool { return strings.Contains(d.Connection().Trouble, tt.trouble) })
			shown := d.Connection()
			if !strings.Contains(shown.Mend, tt.mend) || tt.mend == "" && shown.Mend != "" || shown.TroubleAt.IsZero() || shown.Open != 0 || shown.Counts.Failures == 0 {
				t.Errorf("shown as %+v", shown)
			}
			text := fmt.Sprintf("%+v", shown)
			for _, secret := range []string{"BEGIN", "sign=", "link_token"} {
				if strings.Contains(text, secret) {
					t.Errorf("it shows %q: %s", secret, text)
				}
			}
			// It goes on trying.
			failures := shown.Counts.Failures
			until(t, "another try", func() bool { return d.Connection().Counts.Failures > failures })
		})
	}
}

func TestTheNameInTheCertificateIsVerified(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.NotFoundHandler()) // for example.com and 127.0.0.1
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(s.Close)
	trusting := func(o *longconn.DialerOptions, host string) {
		o.Egress = egress.New(egress.Options{
			AllowLoopback: true, TLS: s.Client().Transport.(*http.Transport).TLSClientConfig,
			Resolve: func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			},
		})
		o.Settings["longconn_server"] = []string{"https://" + host + s.URL[strings.LastIndexByte(s.URL, ':'):]}
	}
	p := newPlatform(t)
	right := dialOut(t, p, newShelf(), func(o *longconn.DialerOptions) { trusting(o, "example.com") })
	wrong := dialOut(t, p, newShelf(), func(o *longconn.DialerOptions) { trusting(o, "openchannel.example") })
	until(t, "the name is refused", func() bool {
		return strings.Contains(wrong.Connection().Trouble, "the certificate is for another name")
	})
	until(t, "the right name is accepted", func() bool { return strings.Contains(right.Connection().Trouble, "HTTP 404") })
}

func TestProduceIsAnsweredWithWhatThePlatformSaid(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	d := dialOut(t, p, s, func(o *longconn.DialerOptions) { o.Timing.Answer = 2 * time.Second })
	c := p.next()
	until(t, "it is open", func() bool { return d.Connection().Open == 1 })
	answer := func(with func(f alipay.Frame) *alipay.Frame) {
		t.Helper()
		f := c.frame()
		if f.Cmd != alipay.CmdProduce || f.StreamID == "" {
			t.Errorf("produced %+v", f)
		}
		if _, err := alipay.VerifyFrame(pairs().platform, f); err != nil {
			t.Errorf("the signature: %v", err)
		}
		if got, err := alipay.ReadData(f.Data); err != nil || got.AppID != appID || got.MsgAPI != "spi.order.create" || string(got.Content) != `{"n" : 1}` {
			t.Errorf("data %+v %v", got, err)
		}
		if a := with(f); a != nil {
			text, err := a.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			c.send(text)
		}
	}
	var unanswered alipay.Frame
	for _, tt := range []struct {
		name string
		with func(f alipay.Frame) *alipay.Frame
		want hook.Produced
	}{
		{"success", func(f alipay.Frame) *alipay.Frame { a := f.ProduceAck("m1"); return &a }, hook.Produced{OK: true, MessageID: "m1"}},
		{"refusal", func(f alipay.Frame) *alipay.Frame { a := f.ProduceFail("40004", "no such order"); return &a }, hook.Produced{Code: "40004", Text: "no such order"}},
		{"nothing", func(f alipay.Frame) *alipay.Frame { unanswered = f; return nil }, hook.Produced{Unanswered: true, Text: "the platform did not answer in time"}},
		{"another stream", func(f alipay.Frame) *alipay.Frame { a := f.ProduceAck("m1"); a.StreamID = "c0"; return &a },
			hook.Produced{Unanswered: true, Text: "the platform did not answer in time"}},
		{"an answer to the one before", func(alipay.Frame) *alipay.Frame { a := unanswered.ProduceAck("m1"); return &a },
			hook.Produced{Unanswered: true, Text: "the platform did not answer in time"}},
		{"cut", func(alipay.Frame) *alipay.Frame { _ = c.CloseNow(); return nil }, hook.Produced{Unanswered: true, Text: "the connection ended before the platform answered"}},
	} {
		var got hook.Produced
		var err error
		var asked sync.WaitGroup
		asked.Go(func() { got, err = d.Produce(t.Context(), "spi.order.create", []byte(` {"n" : 1} `)) })
		answer(tt.with)
		asked.Wait()
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v %v, want %+v", tt.name, got, err, tt.want)
		}
	}
	if n := d.Connection().Counts; n.Produced != 1 || n.Ignored != 2 {
		t.Errorf("counted as %+v", n)
	}
}

func TestProduceThatCannotBeSent(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	p.answerWith(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, nil)
	d := dialOut(t, p, s, nil)
	until(t, "a failure", func() bool { return d.Connection().Counts.Failures > 0 })
	for name, tt := range map[string]struct {
		api, content string
		kind         hook.Kind
		said         string
	}{
		"no connection":  {"spi.x", `{}`, hook.KindUnavailable, "HTTP 502"},
		"no name":        {"", `{}`, hook.KindInvalid, "msgApi"},
		"a list":         {"spi.x", `[1]`, hook.KindInvalid, "JSON object"},
		"broken JSON":    {"spi.x", `{"a":`, hook.KindInvalid, "JSON object"},
		"too long":       {"spi.x", `{"a":"` + strings.Repeat("x", alipay.MaxFrame) + `"}`, hook.KindInvalid, "longer than"},
		"a strange name": {"spi x", `{}`, hook.KindInvalid, "msgApi"},
	} {
		_, err := d.Produce(t.Context(), tt.api, []byte(tt.content))
		if hook.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.said) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stop(t, d)
	if _, err := d.Produce(t.Context(), "spi.x", []byte(`{}`)); hook.KindOf(err) != hook.KindUnavailable {
		t.Errorf("after the stop: %v", err)
	}
}

func TestOnlySoManyProducesAreUnderWay(t *testing.T) {
	t.Parallel()
	p, s := newPlatform(t), newShelf()
	d := dialOut(t, p, s, nil)
	p.next()
	until(t, "it is open", func() bool { return d.Connection().Open == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for range 300 {
		all.Go(func() {
			_, err := d.Produce(ctx, "spi.x", []byte(`{}`))
			mu.Lock()
			defer mu.Unlock()
			if hook.KindOf(err) == hook.KindUnavailable && err != nil && strings.Contains(err.Error(), "200 messages") {
				refused++
			}
		})
	}
	until(t, "the rest is refused", func() bool { mu.Lock(); defer mu.Unlock(); return refused == 100 })
	cancel()
	all.Wait()
}

func TestSettingsThatCannotDialAreRefused(t *testing.T) {
	t.Parallel()
	_, err := longconn.NewDialer(longconn.DialerOptions{
		Settings: dialect.Set("app_id", appID), Egress: egress.New(egress.Options{}), Take: newShelf().take,
	})
	var p dialect.Problem
	if !errors.As(err, &p) || p.Field != "app_private_key" {
		t.Errorf("%v", err)
	}
	if _, err := longconn.NewDialer(longconn.DialerOptions{}); err == nil {
		t.Error("without anything it is made")
	}
}

func TestNothingIsLeftBehind(t *testing.T) { // not parallel: it counts goroutines
	before := runtime.NumGoroutine()
	p, s := newPlatform(t), newShelf()
	d := dialOut(t, p, s, func(o *longconn.DialerOptions) { o.Settings["longconn_connections"] = []string{"5"} })
	for i := range 30 {
		c := p.next()
		c.send(consume(t, pairs().platform, strconv.Itoa(i), `{}`))
		c.acknowledged(strconv.Itoa(i), alipay.StatusSuccess)
		if i < 25 {
			_ = c.CloseNow()
		} else {
			c.CloseRead(context.Background())
		}
	}
	stop(t, d)
	until(t, "the goroutines are gone", func() bool {
		runtime.GC()
		return runtime.NumGoroutine() <= before+10 // those of the HTTP server of the test
	})
}
