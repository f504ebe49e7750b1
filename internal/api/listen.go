package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// The scheme and the whole address of an endpoint that is listened for.
const (
	ListenScheme = "listen"
	ListenURL    = ListenScheme + ":"
)

// ListenProtocol is what a listener asks to upgrade its connection to. From then on both sides write ListenFrames, each a JSON
// document on a line of its own.
const ListenProtocol = "waypost-listen"

// The kinds of frames. The server says hello, request, ping and bye; the listener answer, failure and pong.
const (
	FrameHello   = "hello"   // the first one: deliveries follow
	FrameRequest = "request" // deliver this, and answer within TimeoutMs
	FramePing    = "ping"    // every PingEvery
	FrameBye     = "bye"     // the last one: Reason says why
	FrameAnswer  = "answer"  // what the service answered to the request of the same ID
	FrameFailure = "failure" // it did not answer: Reason says why
	FramePong    = "pong"    // to each ping
)

// PingEvery is how often each side hears of the other at least; one that was not heard of for three times as long is gone.
const PingEvery = 15 * time.Second

// ListenFrame is what goes over the connection of a listener.
type ListenFrame struct {
	Kind      string      `json:"kind"`
	ID        int64       `json:"id,omitempty"`
	Method    string      `json:"method,omitempty"`
	Query     string      `json:"query,omitempty"`
	Header    http.Header `json:"header,omitempty"`
	Body      []byte      `json:"body,omitempty"` // base64 in JSON
	TimeoutMs int64       `json:"timeoutMs,omitempty"`
	Status    int         `json:"status,omitempty"`
	Truncated bool        `json:"truncated,omitempty"` // there was more of the body than is kept
	Reason    string      `json:"reason,omitempty"`
	// Again says of a bye that the listener may come back.
	Again bool `json:"again,omitempty"`
}

// ListenRequest is a request to be delivered; ListenAnswer is what the service answered to it.
type ListenRequest struct {
	Method, Query string
	Header        http.Header
	Body          []byte
}

// ListenAnswer is what the service behind a listener answered.
type ListenAnswer struct {
	Status    int
	Header    http.Header
	Body      []byte
	Truncated bool
}

// ErrNobodyListens means that nothing was sent.
var ErrNobodyListens = errors.New("nobody listens for this endpoint")

// errListenerLeft means that the connection broke before the answer came. The service may have got the request.
var errListenerLeft = errors.New("the listener went away before it answered")

// ListenerFailure says why the service behind a listener did not answer.
type ListenerFailure struct{ Reason string }

// Error returns the reason.
func (e *ListenerFailure) Error() string { return "the listener could not deliver it: " + e.Reason }

const (
	maxListeners    = 256              // in all
	maxListenersOf  = 8                // of one endpoint
	maxAnswerFrame  = 128 << 10        // bytes of a frame from a listener
	maxAnswerBody   = 16 << 10         // bytes of an answer's body that are kept
	listenerTimeout = 10 * time.Second // for a listener to take one frame
)

// Listeners are the connections over which endpoints of hook.TransportListen get their messages. Those of one endpoint take
// turns. A nil one has nobody.
type Listeners struct {
	changed func(hook.EndpointID)

	mu      sync.Mutex
	closed  bool
	of      map[hook.EndpointID][]*listener
	turn    map[hook.EndpointID]int
	all     int
	running sync.WaitGroup
}

// NewListeners has nobody yet. changed is told, outside of any lock, when an endpoint is listened for that was not, or the other
// way round.
func NewListeners(changed func(hook.EndpointID)) *Listeners {
	return &Listeners{changed: changed, of: map[hook.EndpointID][]*listener{}, turn: map[hook.EndpointID]int{}}
}

// Listening says whether somebody listens for an endpoint.
func (l *Listeners) Listening(ep hook.EndpointID) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.of[ep]) > 0
}

// Deliver sends a request to one of those who listen for an endpoint and waits for the answer, until ctx ends. ErrNobodyListens
// means that nothing was sent.
func (l *Listeners) Deliver(ctx context.Context, ep hook.EndpointID, r ListenRequest) (ListenAnswer, error) {
	l.mu.Lock()
	list := l.of[ep]
	if len(list) == 0 {
		l.mu.Unlock()
		return ListenAnswer{}, ErrNobodyListens
	}
	l.turn[ep]++
	c := list[l.turn[ep]%len(list)]
	l.mu.Unlock()
	return c.deliver(ctx, r)
}

// Close says goodbye to everybody and waits until they are gone.
func (l *Listeners) Close(context.Context) error {
	l.mu.Lock()
	l.closed = true
	var all []*listener
	for _, list := range l.of {
		all = append(all, list...)
	}
	l.mu.Unlock()
	for _, c := range all {
		c.bye("the server is stopping", true)
	}
	l.running.Wait()
	return nil
}

// join adds a listener. It fails when there are too many, or the server stops.
func (l *Listeners) join(c *listener) error {
	l.mu.Lock()
	switch {
	case l.closed:
		l.mu.Unlock()
		return unavailable("the server is stopping")
	case l.all >= maxListeners, len(l.of[c.ep]) >= maxListenersOf:
		l.mu.Unlock()
		return newError(http.StatusTooManyRequests, "too_many_requests", "too many listen already: at most %d for one endpoint, %d in all", maxListenersOf, maxListeners)
	}
	l.all++
	l.running.Add(1)
	l.mu.Unlock()
	return nil
}

// enter makes a listener that has joined one that is delivered to.
func (l *Listeners) enter(c *listener) {
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.of[c.ep] = append(append([]*listener(nil), l.of[c.ep]...), c)
	}
	l.mu.Unlock()
	if closed {
		c.bye("the server is stopping", true)
		return
	}
	l.changed(c.ep)
}

// leave takes a listener out again.
func (l *Listeners) leave(c *listener) {
	l.mu.Lock()
	var rest []*listener
	for _, other := range l.of[c.ep] {
		if other != c {
			rest = append(rest, other)
		}
	}
	was := len(rest) < len(l.of[c.ep])
	if l.of[c.ep] = rest; len(rest) == 0 {
		delete(l.of, c.ep)
		delete(l.turn, c.ep)
	}
	l.all--
	l.mu.Unlock()
	if was {
		l.changed(c.ep)
	}
	l.running.Done()
}

// listener is one connection.
type listener struct {
	ep    hook.EndpointID
	conn  net.Conn
	write sync.Mutex

	mu      sync.Mutex
	last    int64
	waiting map[int64]chan ListenFrame
	gone    chan struct{} // closed when nothing can be delivered over it any more
	ended   bool
}

func newListener(ep hook.EndpointID, conn net.Conn) *listener {
	return &listener{ep: ep, conn: conn, waiting: map[int64]chan ListenFrame{}, gone: make(chan struct{})}
}

// end closes the connection. What waits for an answer over it ends without one.
func (c *listener) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.ended = true
		close(c.gone)
		_ = c.conn.Close()
	}
}

func (c *listener) bye(reason string, again bool) {
	_ = c.send(ListenFrame{Kind: FrameBye, Reason: reason, Again: again})
	c.end()
}

// send writes a frame. A listener that does not take it in time is gone.
func (c *listener) send(f ListenFrame) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	c.write.Lock()
	defer c.write.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(listenerTimeout))
	if _, err := c.conn.Write(append(b, '\n')); err != nil {
		c.end()
		return errListenerLeft
	}
	return nil
}

func (c *listener) deliver(ctx context.Context, r ListenRequest) (ListenAnswer, error) {
	answered := make(chan ListenFrame, 1)
	c.mu.Lock()
	c.last++
	id := c.last
	c.waiting[id] = answered
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
	}()
	f := ListenFrame{Kind: FrameRequest, ID: id, Method: r.Method, Query: r.Query, Header: r.Header, Body: r.Body}
	if until, ok := ctx.Deadline(); ok {
		f.TimeoutMs = max(time.Until(until).Milliseconds(), 1)
	}
	if err := c.send(f); err != nil {
		return ListenAnswer{}, err
	}
	select {
	case a := <-answered:
		if a.Kind == FrameFailure {
			return ListenAnswer{}, &ListenerFailure{a.Reason}
		}
		return ListenAnswer{a.Status, a.Header, a.Body, a.Truncated}, nil
	case <-c.gone:
		return ListenAnswer{}, errListenerLeft
	case <-ctx.Done():
		return ListenAnswer{}, ctx.Err()
	}
}

// read takes the frames of the other side until it is gone or says what is none.
func (c *listener) read(from *bufio.Reader) {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 0, 4<<10), maxAnswerFrame)
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(3 * PingEvery))
		if !lines.Scan() {
			return
		}
		var f ListenFrame
		if json.Unmarshal(lines.Bytes(), &f) != nil || f.Kind == FrameAnswer && (f.Status < 100 || f.Status > 599) {
			c.bye("that is no frame of this protocol", false)
			return
		}
		if f.Kind == FrameAnswer || f.Kind == FrameFailure {
			c.answer(f)
		}
	}
}

func (c *listener) answer(f ListenFrame) {
	if len(f.Body) > maxAnswerBody {
		f.Body, f.Truncated = f.Body[:maxAnswerBody], true
	}
	const maxReason = 500
	if len(f.Reason) > maxReason {
		f.Reason = f.Reason[:maxReason]
	}
	f.Reason = strings.ToValidUTF8(f.Reason, "\uFFFD")
	c.mu.Lock()
	defer c.mu.Unlock()
	if to := c.waiting[f.ID]; to != nil { // else it comes too late, or twice
		to <- f
		delete(c.waiting, f.ID)
	}
}

// watch pings the other side, and ends the connection once may says that it has no right to it any more.
func (c *listener) watch(may func() error) {
	tick := time.NewTicker(PingEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.gone:
			return
		case <-tick.C:
		}
		if err := may(); err != nil {
			var said *apiError
			c.bye(err.Error(), errors.As(err, &said) && said.status >= http.StatusInternalServerError)
			return
		}
		if c.send(ListenFrame{Kind: FramePing}) != nil {
			return
		}
	}
}
