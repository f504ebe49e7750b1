package longconn_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/cli"
)

const loadToken = "load-test-token-0123456789abcdef" // of the API

// program is the whole program in this process, with its API.
type program struct {
	*app.App
	t *testing.T
}

func newProgram(t *testing.T, dir string) *program {
	t.Helper()
	a, err := app.Start(t.Context(), app.Options{Data: dir, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Dev: true, Token: loadToken, LowWater: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	p := &program{a, t}
	t.Cleanup(p.stop)
	return p
}

func (p *program) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		p.t.Error(err)
	}
}

func (p *program) call(method, path string, in, out any) {
	p.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := http.NewRequest(method, "http://"+p.AdminAddr()+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+loadToken)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 {
		p.t.Fatalf("%s %s: %s %s (%v)", method, path, answer.Status, text, err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			p.t.Fatal(err)
		}
	}
}

// publish sends a message to the application's developer, and returns its id.
func (p *program) publish(n int) string {
	p.t.Helper()
	var m struct{ ID string }
	p.call(http.MethodPost, "/app/shop/msg", map[string]any{"eventType": "a.b", "payload": map[string]any{"n": n}}, &m)
	return m.ID
}

// delivered waits until a message counts as delivered after so many attempts.
func (p *program) delivered(id string, attempts int) {
	p.t.Helper()
	var list struct {
		Data []struct {
			Status int
			Reason string
		}
	}
	ok := 0
	eventually(p.t, id+" is delivered", func() bool {
		p.call(http.MethodGet, "/app/shop/attempt/msg/"+id, nil, &list)
		ok = 0
		for _, a := range list.Data {
			if a.Status == 0 {
				ok++
			}
		}
		return ok > 0
	})
	if ok != 1 || len(list.Data) != attempts {
		p.t.Errorf("the attempts of %s are %+v, not %d", id, list.Data, attempts)
	}
}

type javaMessage struct{ msgID, content string }

// TestTheWholeProgramWithAJavaClient is the life of a message behind the API: it waits for the client, is repeated after a
// FAIL on the schedule, after silence at once when the client is back, and what the client sends is stored.
func TestTheWholeProgramWithAJavaClient(t *testing.T) {
	t.Parallel()
	p := newProgram(t, t.TempDir())
	v := readPeerVectors(t)
	p.call(http.MethodPost, "/app", map[string]any{"uid": "shop", "name": "shop"}, nil)
	p.call(http.MethodPost, "/app/shop/endpoint", map[string]any{
		"uid": "e", "dialect": "alipay", "transport": "longconn", "retrySchedule": []float64{0.2, 3600, 3600}, "timeoutMs": 30_000,
		"settings": map[string][]string{"app_id": {peerApp}, "platform_private_key": {v.platform.private}, "app_public_key": {v.app.public}},
	}, nil)
	got := make(chan javaMessage, 16)
	var mu sync.Mutex
	refusals := 1
	c := &javaClient{addr: p.PublicAddr(), appID: peerApp, key: pemPrivate(v.app.private), platform: &pemPrivate(v.platform.private).PublicKey}
	c.handle = func(_, msgID, content string) error {
		got <- javaMessage{msgID, content}
		mu.Lock()
		defer mu.Unlock()
		if refusals--; refusals >= 0 {
			return errors.New("not now")
		}
		return nil
	}
	connect := func() (*javaLink, chan error) {
		l, err := c.connect()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.conn.Close() })
		ended := make(chan error, 1)
		return l, ended
	}
	receive := func(content string) javaMessage {
		t.Helper()
		select {
		case m := <-got:
			if m.content != content {
				t.Errorf("%s came, not %s", m.content, content)
			}
			return m
		case <-time.After(patient):
			t.Fatalf("%s does not come", content)
		}
		return javaMessage{}
	}

	first := p.publish(1) // nobody is there yet
	l, ended := connect()
	go func() { ended <- l.run(50 * time.Millisecond) }()
	a, b := receive(`{"n":1}`), receive(`{"n":1}`) // FAIL, and again on the schedule
	if a.msgID != b.msgID || a.msgID == "" {
		t.Errorf("the repeat is called %s, not %s", b.msgID, a.msgID)
	}
	p.delivered(first, 2)
	_ = l.bye(1000, "")
	<-ended

	// The first attempt and the one after 200 ms are not answered: the next would be in an hour.
	patience := func(ms int) {
		p.call(http.MethodPatch, "/app/shop/endpoint/e", map[string]any{"timeoutMs": ms}, nil)
	}
	patience(300)
	l, ended = connect()
	second := p.publish(2)
	for range 2 {
		if f, err := l.next(); err != nil || !strings.Contains(f.data, `"n":2`) {
			t.Fatalf("%+v (%v)", f, err)
		}
	}
	var list struct{ Data []struct{ Status int } }
	eventually(t, "both attempts have failed", func() bool {
		p.call(http.MethodGet, "/app/shop/attempt/msg/"+second, nil, &list)
		return len(list.Data) == 2
	})
	patience(30_000)
	_ = l.conn.Close()
	l, _ = connect()
	go func() { ended <- l.run(50 * time.Millisecond) }()
	receive(`{"n":2}`)
	p.delivered(second, 3)

	// What the client sends becomes a message of its application.
	if err := l.text(c.produce("c0R8EWLHsaZ007", "from.the.client", `{"out_no":"1"}`)); err != nil {
		t.Fatal(err)
	}
	var stored struct{ Data []struct{ EventType string } }
	eventually(t, "what the client sent is stored", func() bool {
		p.call(http.MethodGet, "/app/shop/msg", nil, &stored)
		return len(stored.Data) == 3
	})
	if l.badSigns.Load() > 0 || l.dropped.Load() > 0 {
		t.Errorf("%d bad signatures, %d frames that the Java client drops", l.badSigns.Load(), l.dropped.Load())
	}
	p.stop()
	var closed *closedError
	if err := <-ended; !errors.As(err, &closed) || closed.code != 1001 {
		t.Errorf("the connection ends with %v", err)
	}
}

// TestTheWholeProgramTowardsAScriptedPlatform holds that SUCCESS means stored: what was acknowledged is there after a restart,
// and a repeat of it is acknowledged and not stored again.
func TestTheWholeProgramTowardsAScriptedPlatform(t *testing.T) {
	t.Parallel()
	v := readPeerVectors(t)
	platform, err := newScriptedPlatform(peerApp, pemPrivate(v.platform.private), &pemPrivate(v.app.private).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(platform.close)
	dir := t.TempDir()
	p := newProgram(t, dir)
	p.call(http.MethodPost, "/app", map[string]any{"uid": "shop", "name": "shop"}, nil)
	p.call(http.MethodPost, "/app/shop/source", map[string]any{
		"uid": "s", "name": "s", "dialect": "alipay", "transport": "longconn", "settings": map[string][]string{
			"app_id": {peerApp}, "app_private_key": {v.app.private}, "alipay_public_key": {v.platform.public}, "longconn_server": {"http://" + platform.addr()},
		},
	}, nil)
	var s *scriptedSession
	exchange := func(msgID, status string) {
		t.Helper()
		stream, err := s.consume(msgID, "a.b", `{"id":"`+msgID+`"}`)
		if err == nil {
			err = s.acked(stream, msgID, status)
		}
		if err != nil {
			t.Fatalf("%s: %v", msgID, err)
		}
	}
	next := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		defer cancel()
		if s, err = platform.session(ctx); err != nil {
			t.Fatal(err)
		}
	}
	stored := func(n int) {
		t.Helper()
		var list struct{ Data []struct{ EventType string } }
		if p.call(http.MethodGet, "/app/shop/msg", nil, &list); len(list.Data) != n {
			t.Errorf("%d messages are stored, not %d", len(list.Data), n)
		}
	}
	next()
	exchange("m1", "SUCCESS")
	exchange("m2", "SUCCESS")
	exchange("m1", "SUCCESS")
	stored(2)
	right := platform.key
	platform.key = pemPrivate(v.other.private)
	exchange("m3", "FAIL")
	platform.key = right
	stored(2)

	first := p
	done := make(chan struct{})
	go func() { first.stop(); close(done) }()
	var closed *closedError
	if _, err := s.next(patient); !errors.As(err, &closed) || closed.code != 1000 {
		t.Errorf("the connection ends with %v", err)
	}
	<-done
	p = newProgram(t, dir)
	next()
	exchange("m2", "SUCCESS")
	exchange("m4", "SUCCESS")
	stored(3)
	p.call(http.MethodDelete, "/app/shop/source/s", nil, nil)
	if _, err := s.next(patient); !errors.As(err, &closed) || closed.code != 1000 {
		t.Errorf("when the source is deleted the connection ends with %v", err)
	}
	if wrong := platform.wrongs(); len(wrong) > 0 {
		t.Errorf("our client did what it should not: %s", strings.Join(wrong, "; "))
	}
}

// TestTheSimulatorWithAJavaClient is the test of a Java program: everything passes but what the official client does wrong,
// which acknowledges a message that the platform did not sign.
func TestTheSimulatorWithAJavaClient(t *testing.T) {
	t.Parallel()
	v := readPeerVectors(t)
	c := &javaClient{addr: freeAddress(t), appID: peerApp, key: pemPrivate(v.app.private), platform: &pemPrivate(v.platform.private).PublicKey}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() {
		for ctx.Err() == nil {
			l, err := c.connect()
			if err != nil {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			stop := context.AfterFunc(ctx, func() { _ = l.conn.Close() })
			_ = l.run(50 * time.Millisecond)
			stop()
			_ = l.conn.Close()
		}
	})
	var out, errs bytes.Buffer
	code := cli.Main(t.Context(), []string{
		"simulate", "alipay", "--longconn", "--at", c.addr, "--habit", "all", "--expect-finding", "forged_accepted",
		"--set", "app_id=" + peerApp, "--set", "platform_private_key=" + v.platform.private, "--set", "app_public_key=" + v.app.public, "--set", "deadline=1m",
	}, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(string) (string, bool) { return "", false }})
	if code != 0 || !strings.Contains(out.String(), "6 sent, 6 acknowledged") || !strings.Contains(out.String(), "forged_accepted") {
		t.Errorf("code %d\n%s%s", code, out.String(), errs.String())
	}
}
