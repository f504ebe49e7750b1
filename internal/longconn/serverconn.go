package longconn

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/hook"
)

const (
	smallFrame = 8 << 10          // what is read of a frame before a place for large ones is needed
	largeTime  = 30 * time.Second // for the rest of a large one to come
	maxStoring = 64               // messages of one connection that are being stored
	drainTime  = 10 * time.Second // for them to be, before the connection is closed in good order
)

// pace lets one event a second through.
type pace struct{ last atomic.Int64 }

func (p *pace) allow(now time.Time) bool {
	last, n := p.last.Load(), now.UnixNano()
	return (last == 0 || n-last >= int64(time.Second) || n < last) && p.last.CompareAndSwap(last, n)
}

// peer is one connection of the server.
type peer struct {
	s      *Server
	ws     *websocket.Conn
	ep     hook.EndpointID
	app    hook.ApplicationID
	appID  string
	keys   []string // that the endpoint trusted when it came
	since  time.Time
	remote string
	sdk    string

	heard  atomic.Int64  // when something came last, in nanoseconds since the server began
	pinged atomic.Bool   // since then
	places chan struct{} // one for each message of it that is being stored; made with the first. For its reader alone

	mu      sync.Mutex
	waiting map[string]*waiter // by stream-id
	overdue bool               // an acknowledgement did not come in time, and none has come since
	closing bool               // nothing new begins
	storing int                // messages of it
	stored  chan struct{}      // closed when it is closing and none is left
	gone    chan struct{}      // closed when nothing comes over it any more
	ended   bool
	why     string // it ended, "" = not known yet
}

// waiter waits for the acknowledgement of one frame.
type waiter struct {
	msgID  string
	answer chan Ack // room for one
}

// Ack is a CONSUME_ACK: its status, and its text.
type Ack struct {
	Status string
	Text   []byte
	Count  int // connections that it stands for, in a broadcast; else 0
}

func (p *peer) log(level slog.Level, text string, args ...any) {
	if level > slog.LevelDebug || p.s.o.Log.Enabled(context.Background(), level) {
		p.s.o.Log.Log(context.Background(), level, text, append([]any{"endpoint", p.ep.String(), "app_id", p.appID, "remote", p.remote}, args...)...)
	}
}

// complain logs what a client does wrong, not more than once a second for all of them.
func (p *peer) complain(kind, text string, args ...any) {
	p.s.o.Observe(ServerEvent{EventIgnored, kind})
	if p.s.told.allow(time.Now()) {
		p.log(slog.LevelWarn, text, args...)
	}
}

// hear notes that the other side is alive.
func (p *peer) hear() {
	p.heard.Store(int64(time.Since(p.s.began)))
	p.pinged.Store(false)
}

func (p *peer) inFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

// owes says whether the other side has not acknowledged what it should have, or may still.
func (p *peer) owes() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting) > 0 || p.overdue
}

// stillMay says whether an endpoint would let the connection in as it did when it came.
func (p *peer) stillMay(now *Party) bool {
	if !mayServe(now) || now.Settings.Get("app_id") != p.appID {
		return false
	}
	trusted := now.Settings.All("app_public_key")
	return !slices.ContainsFunc(p.keys, func(key string) bool { return !slices.Contains(trusted, key) })
}

// ping asks whether the other side is alive. The answer is heard by the reader.
func (p *peer) ping() {
	ctx, cancel := context.WithTimeout(context.Background(), p.s.o.WriteTimeout)
	defer cancel()
	_ = p.ws.Ping(ctx)
}

// end is called once nothing comes any more: whoever waits for an acknowledgement waits in vain.
func (p *peer) end(why string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why == "" {
		p.why = why
	}
	if !p.ended {
		p.ended = true
		close(p.gone)
	}
	return p.why
}

// because notes why the connection is about to end. The first cause counts.
func (p *peer) because(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why == "" {
		p.why = why
	}
}

// cut ends the connection without a word.
func (p *peer) cut(why string) {
	p.because(why)
	_ = p.ws.CloseNow()
}

// bye ends the connection in good order: what was sent to us is stored and acknowledged first.
func (p *peer) bye(code websocket.StatusCode, reason, why string) {
	p.because(why)
	p.mu.Lock()
	stored := p.stored
	if !p.closing {
		p.closing, p.stored = true, make(chan struct{})
		stored = p.stored
		if p.storing == 0 {
			close(stored)
		}
	}
	p.mu.Unlock()
	limit := time.NewTimer(drainTime)
	defer limit.Stop()
	select {
	case <-stored:
	case <-p.gone:
	case <-limit.C:
	}
	_ = p.ws.Close(code, reason)
}

// serve reads until the connection ends.
func (p *peer) serve() {
	defer p.s.running.Done() // of its goroutine; that of join is leave's
	p.ws.SetReadLimit(alipay.MaxFrame)
	p.hear()
	if !p.s.enter(p) {
		_ = p.ws.Close(websocket.StatusGoingAway, "the server is stopping")
		p.s.leave(p.ep, nil)
		return
	}
	p.s.Reconsider(p.ep) // what was changed since its query was judged found no connection to close
	p.log(slog.LevelInfo, "a long connection is open", "sdk", p.sdk)
	err := p.read()
	why := p.end(endOf(err))
	_ = p.ws.CloseNow()
	p.s.o.Observe(ServerEvent{EventClose, why})
	p.log(slog.LevelInfo, "a long connection has ended", "why", why, "lasted", time.Since(p.since).Round(time.Millisecond), "err", err)
	p.s.leave(p.ep, p)
}

// endOf says why reading ended. What the network did is the client's; what else the reader did not like is against the protocol.
func endOf(err error) string {
	var network net.Error
	switch code := websocket.CloseStatus(err); {
	case code == websocket.StatusNormalClosure, code == websocket.StatusGoingAway:
		return closedClient
	case code >= 0:
		return closedProtocol
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.As(err, &network):
		return closedClient
	}
	return closedProtocol
}

// read takes frame after frame.
func (p *peer) read() error {
	for {
		kind, r, err := p.ws.Reader(context.Background())
		if err != nil {
			return err
		}
		text, err := p.message(r)
		if err != nil {
			return err
		}
		p.hear()
		if kind != websocket.MessageText {
			p.complain("binary", "a binary frame came over a long connection, it is ignored; only text frames mean something")
			continue
		}
		p.take(text)
	}
}

// message reads one message to its end. Large ones need a place, so that memory is bounded however many come at once.
func (p *peer) message(r io.Reader) ([]byte, error) {
	text := make([]byte, 0, 512)
	for len(text) < smallFrame {
		text = slices.Grow(text, 512)
		n, err := r.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if err == io.EOF {
			return text, nil
		}
		if err != nil {
			return nil, err
		}
	}
	p.s.reading <- struct{}{}
	defer func() { <-p.s.reading }()
	late := time.AfterFunc(largeTime, func() { p.cut(closedSlow) })
	defer late.Stop()
	rest, err := io.ReadAll(r)
	return append(text, rest...), err
}

// take does what a frame asks for.
func (p *peer) take(text []byte) {
	f, err := alipay.ParseFrame(text)
	switch {
	case err != nil:
		p.complain("malformed", "a frame came over a long connection that is none, it is ignored", "err", err)
	case f.Cmd == alipay.CmdConsumeAck:
		p.acknowledge(&f, text)
	case f.Cmd == alipay.CmdProduce:
		p.produce(f)
	default:
		p.complain("command", "a frame with an x-cmd that a platform does not take came over a long connection, it is ignored", "x-cmd", f.Cmd)
	}
}

// expect makes room for the acknowledgement of a frame. It fails when the connection has its window full, or is about to end.
func (p *peer) expect(streamID, msgID string) (*waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch _, twice := p.waiting[streamID]; {
	case p.ended || p.closing:
		return nil, ErrNobody
	case len(p.waiting) >= p.s.o.Window, twice:
		return nil, ErrBusy
	}
	w := &waiter{msgID, make(chan Ack, 1)}
	if p.waiting == nil {
		p.waiting = map[string]*waiter{}
	}
	p.waiting[streamID] = w
	return w, nil
}

// release gives up waiting. late says that the deadline has passed.
func (p *peer) release(streamID string, late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.overdue = p.overdue || late
	if delete(p.waiting, streamID); len(p.waiting) == 0 {
		p.waiting = nil
	}
}

// acknowledge hands an acknowledgement to whoever waits for it: by its stream-id, or, when it has none, by x-msgId.
func (p *peer) acknowledge(f *alipay.Frame, text []byte) {
	p.mu.Lock()
	p.overdue = false
	id := f.StreamID
	if id == "" {
		for stream, w := range p.waiting {
			if w.msgID == f.MsgID {
				id = stream
			}
		}
	}
	w := p.waiting[id]
	known := w != nil && (f.MsgID == "" || f.MsgID == w.msgID)
	if known {
		delete(p.waiting, id)
	}
	p.mu.Unlock()
	if !known {
		p.s.o.Observe(ServerEvent{EventAck, resultUnknown})
		if p.s.told.allow(time.Now()) {
			p.log(slog.LevelInfo, "an acknowledgement came that nothing waits for: too late, twice, or of a message that was not sent over this connection; it is ignored",
				"x-msgId", clip(f.MsgID), "stream-id", clip(f.StreamID), "x-status", clip(f.Status))
		}
		return
	}
	w.answer <- Ack{Status: f.Status, Text: text[:min(len(text), maxAckText)]}
}

const maxAckText = 4 << 10
