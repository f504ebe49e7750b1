package longconn

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/hook"
)

func TestALinkTokenLetsOneConnectionIn(t *testing.T) {
	t.Parallel()
	var k tokens
	k.init(time.Minute)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, token := range []string{"a", "b", "c"} {
		if !k.issue(token, 1, now) {
			t.Fatalf("%s is not issued", token)
		}
	}
	for _, c := range []struct {
		token string
		ep    hook.EndpointID
		after time.Duration
		want  bool
	}{
		{"none", 1, 0, false},
		{"a", 2, 0, false}, // another's: and it stays good
		{"a", 1, time.Second, true},
		{"a", 1, time.Second, false}, // once
		{"b", 1, time.Minute - 1, true},
		{"c", 1, time.Minute, false}, // too late
		{"c", 1, 0, false},
	} {
		if got := k.use(c.token, c.ep, now.Add(c.after)); got != c.want {
			t.Errorf("%s of %d after %s: %v", c.token, c.ep, c.after, got)
		}
	}
	if len(k.out) != 0 || len(k.of) != 0 {
		t.Errorf("%d tokens are left", len(k.out))
	}
}

func TestLinkTokensAreBounded(t *testing.T) {
	t.Parallel()
	var k tokens
	k.init(time.Minute)
	now := time.Now()
	for i := range maxTokensOf {
		if !k.issue("t"+strconv.Itoa(i), 1, now) {
			t.Fatalf("token %d is not issued", i)
		}
	}
	if k.issue("over", 1, now.Add(time.Second)) {
		t.Error("there is no bound for one endpoint")
	}
	if !k.issue("other", 2, now.Add(time.Second)) {
		t.Error("one endpoint takes the tokens of another")
	}
	if !k.issue("later", 1, now.Add(time.Minute)) {
		t.Error("tokens that have run out are in the way")
	}
	k.sweep(now.Add(time.Hour))
	if len(k.out) != 0 || len(k.of) != 0 {
		t.Errorf("%d tokens are left", len(k.out))
	}
}

// newPeer is a connection without a wire.
func newPeer(s *Server) *peer {
	return &peer{s: s, ep: 1, appID: "1", gone: make(chan struct{}), since: time.Now()}
}

func bare(t *testing.T, window int) *Server {
	t.Helper()
	s := NewServer(ServerOptions{
		Party: func(context.Context, hook.EndpointID) (Party, error) { return Party{}, errors.New("none") },
		Log:   slog.New(slog.DiscardHandler), Window: window,
	})
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func TestAConnectionHasAWindow(t *testing.T) {
	t.Parallel()
	s := bare(t, 2)
	p := newPeer(s)
	for _, id := range []string{"a", "b"} {
		if _, err := p.expect(id, "m"+id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.expect("c", "mc"); !errors.Is(err, ErrBusy) {
		t.Errorf("a third one: %v", err)
	}
	p.release("a", false)
	if _, err := p.expect("b", "mb"); !errors.Is(err, ErrBusy) {
		t.Errorf("the same stream twice: %v", err)
	}
	if _, err := p.expect("c", "mc"); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	p.end(closedClient)
	if _, err := p.expect("d", "md"); !errors.Is(err, ErrNobody) {
		t.Errorf("an ended one: %v", err)
	}
}

func TestAnAcknowledgementFindsItsMessage(t *testing.T) {
	t.Parallel()
	s := bare(t, 0)
	for name, c := range map[string]struct {
		ack  alipay.Frame
		want bool
	}{
		"echoed":                   {alipay.Frame{StreamID: "s1", MsgID: "m1", Status: "SUCCESS"}, true},
		"without a stream-id":      {alipay.Frame{MsgID: "m1", Status: "SUCCESS"}, true},
		"without an x-msgId":       {alipay.Frame{StreamID: "s1", Status: "SUCCESS"}, true},
		"of another message":       {alipay.Frame{StreamID: "s1", MsgID: "m2", Status: "SUCCESS"}, false},
		"of another stream":        {alipay.Frame{StreamID: "s2", MsgID: "m1", Status: "SUCCESS"}, false},
		"of nothing":               {alipay.Frame{Status: "SUCCESS"}, false},
		"of an unknown message":    {alipay.Frame{MsgID: "m9", Status: "SUCCESS"}, false},
		"with an unknown x-status": {alipay.Frame{StreamID: "s1", MsgID: "m1", Status: "MAYBE"}, true},
	} {
		p := newPeer(s)
		w, err := p.expect("s1", "m1")
		if err != nil {
			t.Fatal(err)
		}
		p.acknowledge(&c.ack, []byte("text"))
		p.acknowledge(&c.ack, []byte("text")) // a second time, which nobody waits for
		if got := len(w.answer) == 1; got != c.want {
			t.Errorf("%s: found %v", name, got)
		}
	}
}

func TestTheWorstOfABroadcastCounts(t *testing.T) {
	t.Parallel()
	success, fail := Ack{Status: alipay.StatusSuccess}, Ack{Status: alipay.StatusFail}
	for i, c := range []struct{ worse, better int }{
		{rank(fail, nil), rank(Ack{}, context.DeadlineExceeded)},
		{rank(Ack{}, context.DeadlineExceeded), rank(Ack{}, ErrCut)},
		{rank(Ack{}, ErrCut), rank(success, nil)},
	} {
		if c.worse <= c.better {
			t.Errorf("%d: %d is not above %d", i, c.worse, c.better)
		}
	}
}

func TestWhatWasNotAcknowledgedIsRememberedWithinBounds(t *testing.T) {
	t.Parallel()
	s := bare(t, 0)
	for i := range maxRemembered + 10 {
		s.remember(1, hook.MessageID(i+1))
	}
	s.remember(1, 0) // no message
	if n := len(s.remembered[1]); n != maxRemembered {
		t.Errorf("%d are remembered", n)
	}
	s.remember(2, 7)
	s.forget(2, 7)
	s.forget(3, 7)
	if _, there := s.remembered[2]; there {
		t.Error("an endpoint without any is remembered")
	}
}

func TestAProduceIsNotBegunOnAConnectionThatCloses(t *testing.T) {
	t.Parallel()
	p := newPeer(bare(t, 0))
	if !p.beginStoring() {
		t.Fatal("it is not begun")
	}
	p.closing, p.stored = true, make(chan struct{})
	if p.beginStoring() {
		t.Error("another is begun")
	}
	p.endStoring()
	select {
	case <-p.stored:
	default:
		t.Error("who waits for the last is not told")
	}
}

// TestDialectSaysWhatCannotBeSent, for good or until the settings are mended.
func TestDialectSaysWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	out := func(change func(*dialect.Outbound)) dialect.Outbound {
		o := dialect.Outbound{ID: "msg_1", EventType: "a.b", Payload: []byte(`{}`), Now: time.Now(), Created: time.Now()}
		change(&o)
		return o
	}
	settings := dialect.Set("app_id", "2021000000000001", "app_public_key", "k")
	for name, c := range map[string]struct {
		s    dialect.Settings
		o    dialect.Outbound
		want dialect.Reason
	}{
		"no app_id":             {dialect.Set("app_public_key", "k"), out(func(*dialect.Outbound) {}), dialect.ReasonSettings},
		"no developer's key":    {dialect.Set("app_id", "2021000000000001"), out(func(*dialect.Outbound) {}), dialect.ReasonSettings},
		"no key to sign with":   {settings, out(func(*dialect.Outbound) {}), dialect.ReasonSettings},
		"a payload of its own":  {settings, out(func(o *dialect.Outbound) { o.Payload = []byte(`[1]`) }), dialect.ReasonMalformed},
		"no payload":            {settings, out(func(o *dialect.Outbound) { o.Payload = nil }), dialect.ReasonMalformed},
		"a type in Chinese":     {settings, out(func(o *dialect.Outbound) { o.EventType = "订单" }), dialect.ReasonMalformed},
		"an id with a quote":    {settings, out(func(o *dialect.Outbound) { o.Platform = map[string]string{"notify_id": `a"b`} }), dialect.ReasonMalformed},
		"an id that is too big": {settings, out(func(o *dialect.Outbound) { o.Platform = map[string]string{"notify_id": string(make([]byte, 100))} }), dialect.ReasonMalformed},
		"a giant payload": {settings, out(func(o *dialect.Outbound) {
			o.Payload = append(append([]byte(`{"a":"`), make([]byte, 2<<20)...), `"}`...)
			for i := 6; i < len(o.Payload)-2; i++ {
				o.Payload[i] = 'x'
			}
		}), dialect.ReasonMalformed},
	} {
		_, err := Dialect.Sign(c.s, c.o)
		var refused *dialect.Error
		if !errors.As(err, &refused) || refused.Reason != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
