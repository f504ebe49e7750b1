package longconn_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// scriptedPlatform is a server of the long connection that does what a test tells it, on plain TCP.
type scriptedPlatform struct {
	listener net.Listener
	appID    string
	key      *rsa.PrivateKey // the platform's
	app      *rsa.PublicKey

	// Certificate mode: what the client must send, and what it is told.
	appCertSN, rootCertSN, platformCertSN string

	mu       sync.Mutex
	answer   func(query url.Values) (status int, body string) // of the registration; nil = the right one
	deny     int                                              // the status that an upgrade is refused with, 0 = none
	zone     string
	tokens   map[string]bool
	faults   []string // what clients did that they should not
	sessions chan *scriptedSession
	conns    map[net.Conn]struct{}
	closed   bool
	serving  sync.WaitGroup
	cookies  []string
	count    int // of registrations
}

// scriptedSession is one connection of a client.
type scriptedSession struct {
	*wire
	platform *scriptedPlatform
	streams  int
}

func newScriptedPlatform(appID string, key *rsa.PrivateKey, app *rsa.PublicKey) (*scriptedPlatform, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &scriptedPlatform{
		listener: l, appID: appID, key: key, app: app, zone: "GZ00A", tokens: map[string]bool{}, sessions: make(chan *scriptedSession, 64),
		conns: map[net.Conn]struct{}{},
	}
	p.serving.Go(p.accept)
	return p, nil
}

func (p *scriptedPlatform) addr() string { return p.listener.Addr().String() }

func (p *scriptedPlatform) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			_ = conn.Close()
			return
		}
		p.conns[conn] = struct{}{}
		p.mu.Unlock()
		p.serving.Go(func() { p.serve(conn) })
	}
}

// close ends the listener and every connection, without a word.
func (p *scriptedPlatform) close() {
	p.mu.Lock()
	p.closed = true
	_ = p.listener.Close()
	for conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.serving.Wait()
}

func (p *scriptedPlatform) fault(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// wrongs lists what the clients did that they should not.
func (p *scriptedPlatform) wrongs() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.faults...)
}

func (p *scriptedPlatform) registrations() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// set changes how registrations and upgrades are answered.
func (p *scriptedPlatform) set(answer func(url.Values) (int, string), deny int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer, p.deny = answer, deny
}

// serve answers requests on a connection until one becomes a WebSocket.
func (p *scriptedPlatform) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			_ = conn.Close()
			return
		}
		switch r.URL.Path {
		case "/websocket/register.do":
			p.register(conn, r)
		case "/websocket":
			if p.upgrade(conn, in, r) {
				return
			}
			_ = conn.Close()
			return
		default:
			p.fault("a request for %s", r.URL.Path)
			_, _ = conn.Write([]byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
		}
	}
}

// check holds a query against 3.1 or 3.3: the names, and the signature of the application over all but sign.
func (p *scriptedPlatform) check(r *http.Request, names ...string) url.Values {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || r.Method != http.MethodGet {
		p.fault("%s with the query %q: %v", r.Method, r.URL.RawQuery, err)
	}
	if p.appCertSN != "" {
		names = append(names, "app_cert_sn", "alipay_root_cert_sn")
		if q.Get("app_cert_sn") != p.appCertSN || q.Get("alipay_root_cert_sn") != p.rootCertSN {
			p.fault("the serials are %s and %s", q.Get("app_cert_sn"), q.Get("alipay_root_cert_sn"))
		}
	}
	flat := map[string]string{}
	for name, values := range q {
		if len(values) != 1 || values[0] == "" {
			p.fault("the parameter %s is there %d times, or empty", name, len(values))
		}
		flat[name] = values[0]
	}
	for _, name := range append(names, "sign", "sign_type", "app_id", "charset", "timestamp", "sdk_version") {
		if flat[name] == "" {
			p.fault("%s lacks the parameter %s", r.URL.Path, name)
		}
	}
	if err := verifyRSA2(p.app, canonicalV2(flat), flat["sign"]); err != nil || flat["sign_type"] != "RSA2" || flat["app_id"] != p.appID {
		p.fault("the signature of %s does not hold: %v", r.URL.Path, err)
	}
	if ms, err := strconv.ParseInt(flat["timestamp"], 10, 64); err != nil || time.Since(time.UnixMilli(ms)).Abs() > time.Minute {
		p.fault("the timestamp is %s", flat["timestamp"])
	}
	return q
}

func (p *scriptedPlatform) register(conn net.Conn, r *http.Request) {
	q := p.check(r, "nonce")
	if len(q.Get("nonce")) != 32 {
		p.fault("the nonce is %s", q.Get("nonce"))
	}
	p.mu.Lock()
	p.count++
	answer := p.answer
	p.mu.Unlock()
	status, body := 200, ""
	if answer != nil {
		status, body = answer(q)
	} else {
		var raw [8]byte
		_, _ = rand.Read(raw[:])
		token := "LT-" + hex.EncodeToString(raw[:])
		p.mu.Lock()
		p.tokens[token] = true
		p.mu.Unlock()
		body = p.registered(token)
	}
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d X\r\nContent-Type: text/plain\r\nSet-Cookie: zone=%s; Path=/\r\nContent-Length: %d\r\n\r\n%s", status, p.zone, len(body), body)
}

// registered is the body that gives out a token.
func (p *scriptedPlatform) registered(token string) string {
	response := `{"code":"10000","msg":"Success","link_token":"` + token + `"}`
	body := `{"response":` + response + `,"sign":"` + signRSA2(p.key, response) + `"`
	if p.platformCertSN != "" {
		body += `,"alipay_cert_sn":"` + p.platformCertSN + `"`
	}
	return body + `}`
}

func (p *scriptedPlatform) upgrade(conn net.Conn, in *bufio.Reader, r *http.Request) bool {
	q := p.check(r, "link_token")
	p.mu.Lock()
	known, deny := p.tokens[q.Get("link_token")], p.deny
	delete(p.tokens, q.Get("link_token"))
	p.cookies = append(p.cookies, r.Header.Get("Cookie"))
	p.mu.Unlock()
	if !known {
		p.fault("a link token that was not given out, or is used twice")
	}
	h := r.Header
	key := h.Get("Sec-Websocket-Key")
	if !strings.EqualFold(h.Get("Upgrade"), "websocket") || !strings.Contains(strings.ToLower(h.Get("Connection")), "upgrade") ||
		h.Get("Sec-Websocket-Version") != "13" || len(key) != 24 || h.Get("Origin") != "" || h.Get("Sec-Websocket-Protocol") != "" {
		p.fault("the headers of the upgrade are %v", h)
	}
	if deny != 0 {
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", deny)
		return false
	}
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", acceptOf(key))
	p.sessions <- &scriptedSession{wire: &wire{conn: conn, in: in}, platform: p}
	return true
}

// session waits for the next connection of a client.
func (p *scriptedPlatform) session(ctx context.Context) (*scriptedSession, error) {
	select {
	case s := <-p.sessions:
		return s, nil
	case <-ctx.Done():
		return nil, errors.New("nobody connects")
	}
}

// consumeFrame is a CONSUME; change gets its text to spoil, nil = leave it.
func (p *scriptedPlatform) consumeFrame(streamID, msgID, msgAPI, content string) string {
	data := `{"header":{"appId":"` + p.appID + `","msgApi":"` + msgAPI + `"},"content":` + content + `}`
	return "from-sys:openchannel\r\nfrom-sys-ip:10.0.0.1\r\nstream-id:" + streamID + "\r\n\r\n" +
		`{"protocol":{"x-type":"message","x-cmd":"CONSUME","x-msgId":"` + msgID + `","x-timestamp":"` + strconv.FormatInt(time.Now().UnixMilli(), 10) +
		`","x-version":"1.0","x-charset":"UTF-8","x-signType":"RSA2","x-sign":"` + signRSA2(p.key, data) + `"},"data":` + data + `}`
}

// consume sends a message and returns its stream-id.
func (s *scriptedSession) consume(msgID, msgAPI, content string) (streamID string, err error) {
	s.streams++
	streamID = fmt.Sprintf("s%013d", s.streams)
	return streamID, s.text(s.platform.consumeFrame(streamID, msgID, msgAPI, content))
}

// next reads the next text frame of the client.
func (s *scriptedSession) next(d time.Duration) (javaFrame, error) {
	s.within(d)
	for {
		op, text, err := s.message()
		switch {
		case err != nil:
			return javaFrame{}, err
		case op != opText:
			continue
		}
		return parseJava(string(text))
	}
}

// acked reads a CONSUME_ACK and holds it to the form that the Java client's have, byte for byte.
func (s *scriptedSession) acked(streamID, msgID, status string) error {
	s.within(10 * time.Second)
	for {
		op, text, err := s.message()
		if err != nil {
			return err
		}
		if op != opText {
			continue
		}
		want := "from-sys:openchannel\r\nfrom-sys-ip:10.0.0.1\r\nstream-id:" + streamID + "\r\n\r\n" +
			`{"protocol":{"x-type":"message","x-cmd":"CONSUME_ACK","x-msgId":"` + msgID + `","x-version":"1.0","x-status":"` + status + `"}}`
		if string(text) != want {
			return fmt.Errorf("the acknowledgement is\n%s\nand not\n%s", text, want)
		}
		return nil
	}
}
