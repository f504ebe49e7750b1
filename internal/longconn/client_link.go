package longconn

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/egress"
)

// What the connections of a source may hold together of messages that are not stored yet. Beyond it nothing is read, and the
// platform feels it.
const (
	held     = 256      // pieces
	piece    = 64 << 10 // bytes; a frame takes as many pieces as it fills, and one at least
	maxBatch = 256      // messages stored in one commit
)

// link is one connection.
type link struct {
	*Dialer
	conn   *websocket.Conn
	zone   string
	remote string
	peer   netip.Addr

	heard atomic.Int64 // when something came last, on the monotonic clock of began
	began time.Time

	queue  chan *Arrival
	broken chan struct{} // closed when nothing comes any more
	err    error         // why; read it after broken is closed

	mu       sync.Mutex
	draining bool
	open     int           // messages that were taken and are not answered yet
	idle     chan struct{} // closed while draining when open is 0
	ended    bool
	asked    map[string]chan alipay.Frame // by stream-id: who waits for a PRODUCE_ACK
}

// open registers and upgrades.
func (c *Dialer) open(ctx context.Context) (*link, error) {
	token, zone, err := c.register(ctx)
	if err != nil {
		return nil, err
	}
	return c.upgrade(ctx, token, zone)
}

// register asks for a link token.
func (c *Dialer) register(ctx context.Context) (token, zone string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timing.Open)
	defer cancel()
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails: crypto/rand ends the process instead
	query, err := alipay.RegisterQuery(c.o.Settings, c.o.Now(), nonce, "")
	if err != nil {
		return "", "", err
	}
	answer, err := c.o.Egress.Do(ctx, egress.Request{
		Method: http.MethodGet, URL: c.dial.Server + alipay.RegisterPath, Query: query, Allow: c.o.Allow,
		Header: http.Header{"Accept": {"text/plain,text/xml,text/javascript,text/html"}, "Content-Type": {formType}},
	})
	switch {
	case err != nil:
		return "", "", err
	case answer.Status != http.StatusOK:
		return "", "", &statusError{"registration", answer.Status}
	case answer.Truncated:
		return "", "", errors.New("the answer to the registration is too long")
	}
	if token, err = alipay.ReadRegisterAnswer(c.o.Settings, answer.Body); err != nil {
		return "", "", err
	}
	if zone = alipay.ReadZone(answer.Header); zone == "" {
		zone = c.dial.Zone
	}
	return token, zone, nil
}

const formType = "application/x-www-form-urlencoded;charset=UTF-8"

// upgrade opens the WebSocket.
func (c *Dialer) upgrade(ctx context.Context, token, zone string) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timing.Open)
	defer cancel()
	query, err := alipay.UpgradeQuery(c.o.Settings, token, c.o.Now(), "")
	if err != nil {
		return nil, err
	}
	header := http.Header{"Content-Type": {formType}}
	if zone != "" {
		header["Cookie"] = []string{alipay.ZoneCookie(zone)}
	}
	l := &link{
		Dialer: c, zone: zone, began: time.Now(), queue: make(chan *Arrival, held),
		broken: make(chan struct{}), idle: make(chan struct{}), asked: map[string]chan alipay.Frame{},
	}
	var dialled error
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := c.o.Egress.Dial(ctx, c.dial.Server, c.o.Allow)
		if err != nil {
			dialled = err
			return nil, err
		}
		l.remote = conn.RemoteAddr().String()
		if ap, err := netip.ParseAddrPort(l.remote); err == nil {
			l.peer = ap.Addr().Unmap()
		}
		return conn, nil
	}
	transport := &http.Transport{DialContext: dial, DialTLSContext: dial, MaxResponseHeaderBytes: 32 << 10}
	defer transport.CloseIdleConnections()
	conn, answer, err := websocket.Dial(ctx, c.dial.Server+alipay.UpgradePath+"?"+query, &websocket.DialOptions{
		HTTPHeader: header,
		HTTPClient: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		OnPingReceived: func(context.Context, []byte) bool { l.hear(); return true },
		OnPongReceived: func(context.Context, []byte) { l.hear() },
	})
	switch {
	case err == nil:
		conn.SetReadLimit(alipay.MaxFrame)
		l.conn = conn
		return l, nil
	case dialled != nil:
		return nil, dialled
	case answer != nil && answer.StatusCode != http.StatusSwitchingProtocols:
		return nil, &statusError{"upgrade", answer.StatusCode}
	case ctx.Err() != nil:
		return nil, fmt.Errorf("the upgrade was not answered within %s", c.timing.Open)
	}
	return nil, fmt.Errorf("the upgrade did not succeed: %w", errUpgrade)
}

// serve reads, stores, acknowledges and pings until the connection ends or the client stops, and says why it ended.
func (l *link) serve() error {
	defer func() { _ = l.conn.CloseNow() }()
	l.hear()
	var parts sync.WaitGroup
	parts.Go(l.read)
	parts.Go(l.store)
	parts.Go(l.watch)
	select {
	case <-l.broken:
	case <-l.stop:
		l.drain()
	}
	parts.Wait()
	l.forsake()
	return l.err
}

func (l *link) hear() { l.heard.Store(int64(time.Since(l.began))) }

// read takes frames until there are no more.
func (l *link) read() {
	defer close(l.broken)
	defer close(l.queue)
	for {
		kind, text, err := l.conn.Read(l.hard)
		if err != nil {
			l.broke(err)
			return
		}
		l.hear()
		l.counts.frames.Add(1)
		if kind != websocket.MessageText {
			l.counts.ignored.Add(1)
			l.o.Log.Debug("a frame is no text and is passed over", "bytes", len(text))
			continue
		}
		if !l.frame(text) {
			return
		}
	}
}

// broke notes why the connection ended, unless that is known.
func (l *link) broke(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

// frame does what a text message asks for. It is false when the connection is over.
func (l *link) frame(text []byte) bool {
	f, err := alipay.ParseFrame(text)
	if err != nil {
		l.counts.ignored.Add(1)
		return l.take(&Arrival{Text: text, Remote: l.peer, Refused: refusal(err)})
	}
	switch f.Cmd {
	case alipay.CmdConsume:
		a := &Arrival{Frame: f, Text: text, Remote: l.peer}
		a.Received, a.Refused = l.receive(f)
		return l.take(a)
	case alipay.CmdProduceAck:
		l.answered(f)
	default:
		l.counts.ignored.Add(1)
		l.o.Log.Debug("a frame has a command that this side does not know and is passed over", "cmd", f.Cmd)
	}
	return true
}

// receive verifies and reads a message. A fault of ours is a reason to refuse one message, and none to end the process.
func (l *link) receive(f alipay.Frame) (got dialect.Received, refused *dialect.Error) {
	defer func() {
		if p := recover(); p != nil {
			l.o.Log.Error("reading a message ended in a panic", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			refused = dialect.Refuse(dialect.ReasonMalformed, "frame", "could not be read because of a fault of this program")
		}
	}()
	got, err := alipay.ReceiveFrame(l.o.Settings, f)
	if err != nil {
		return got, refusal(err)
	}
	return got, nil
}

func refusal(err error) *dialect.Error {
	var e *dialect.Error
	if errors.As(err, &e) {
		return e
	}
	return dialect.Refuse(dialect.ReasonMalformed, "frame", "%v", err)
}

// take hands a message on to be stored, when there is room for it. While the connection drains it is left to be repeated.
func (l *link) take(a *Arrival) bool {
	l.mu.Lock()
	drop := l.draining
	if !drop {
		l.open++
	}
	l.mu.Unlock()
	if drop {
		l.counts.unanswered.Add(1)
		return true
	}
	for range pieces(a) {
		select {
		case l.pieces <- struct{}{}:
		case <-l.hard.Done():
			l.done(1)
			l.broke(context.Canceled)
			return false
		}
	}
	l.queue <- a // never blocks: each message in it holds a piece
	return true
}

func pieces(a *Arrival) int { return min(max((len(a.Text)+piece-1)/piece, 1), held) }

// store makes messages durable in the order in which they came, those that wait together in one commit, and answers them.
func (l *link) store() {
	batch := make([]Arrival, 0, maxBatch)
	for first := range l.queue {
		batch = append(batch[:0], *first)
	more:
		for len(batch) < maxBatch {
			select {
			case a, ok := <-l.queue:
				if !ok {
					break more
				}
				batch = append(batch, *a)
			default:
				break more
			}
		}
		durable := l.o.Take(l.hard, batch)
		for i := range batch {
			l.answer(&batch[i], durable[i])
			for range pieces(&batch[i]) {
				<-l.pieces
			}
		}
		l.done(len(batch))
		clear(batch)
	}
}

// done counts messages as answered.
func (l *link) done(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open -= n
	l.rest()
}

// rest closes idle when there is nothing left to answer. The lock is held.
func (l *link) rest() {
	if l.draining && l.open == 0 && !l.ended {
		l.ended = true
		close(l.idle)
	}
}

// answer says SUCCESS to what is durable and FAIL to the rest, as far as it is a message that can be answered.
func (l *link) answer(a *Arrival, durable bool) {
	silent := a.Frame.Cmd == "" || l.dial.Silent && a.Refused != nil && a.Refused.Reason == dialect.ReasonSignature
	status, count := alipay.StatusFail, &l.counts.fail
	if durable && a.Refused == nil {
		status, count = alipay.StatusSuccess, &l.counts.success
	}
	if a.Frame.Cmd == "" {
		return
	}
	if silent || l.send(a.Frame.Ack(status, l.streamID())) != nil {
		count = &l.counts.unanswered
	}
	count.Add(1)
}

// send writes a frame. A platform that does not take it in time is gone.
func (l *link) send(f alipay.Frame) error {
	text, err := f.Append(nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(l.hard, l.timing.Write)
	defer cancel()
	return l.conn.Write(ctx, websocket.MessageText, text)
}

// watch pings, and gives the connection up when it is silent for too long.
func (l *link) watch() {
	tick := time.NewTicker(l.timing.Ping)
	defer tick.Stop()
	for {
		select {
		case <-l.broken:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(l.hard, min(l.timing.Write, l.timing.Silence))
		_ = l.conn.Ping(ctx) // what did not come is seen by the silence
		cancel()
		if silence := time.Since(l.began) - time.Duration(l.heard.Load()); silence >= l.timing.Silence {
			l.broke(&silenceError{l.timing.Silence})
			_ = l.conn.CloseNow()
		}
	}
}

// drain answers what was taken, takes nothing more, and closes with 1000.
func (l *link) drain() {
	l.mu.Lock()
	l.draining = true
	l.rest()
	l.mu.Unlock()
	select {
	case <-l.idle:
	case <-l.broken:
		return
	case <-l.hard.Done():
		return
	}
	_ = l.conn.Close(websocket.StatusNormalClosure, "")
}
