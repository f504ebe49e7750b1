package longconn

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/coder/websocket"

	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/hook"
)

// The ways in which a message is not answered. After ErrNobody and ErrBusy nothing was sent.
var (
	ErrNobody = errors.New("the application has no long connection open")
	ErrBusy   = errors.New("the application's long connections have as many unacknowledged messages as they may")
	ErrCut    = errors.New("the long connection ended before the acknowledgement came")
)

// Parcel is a message on its way to an endpoint.
type Parcel struct {
	Message   hook.MessageID
	MsgID     string // x-msgId
	StreamID  string
	Frame     []byte // the CONSUME
	Broadcast bool   // to all connections
}

// ReadParcel takes a request that Dialect signed apart.
func ReadParcel(header func(string) string, body []byte, broadcast bool) Parcel {
	id, _ := hook.ParseID[hook.MessageID](header(headerMessage))
	return Parcel{Message: id, MsgID: header(headerMsgID), StreamID: header(headerStream), Frame: body, Broadcast: broadcast}
}

// Deliver sends a message to an endpoint and waits for the acknowledgement, until ctx ends: to the connection that has the fewest
// unacknowledged, or to all. In a broadcast the answer is the worst: a FAIL, else an acknowledgement that did not come, else an
// SUCCESS that stands for all who were connected when it was sent.
func (s *Server) Deliver(ctx context.Context, ep hook.EndpointID, m Parcel) (Ack, error) {
	var ack Ack
	var err error
	if m.Broadcast {
		ack, err = s.broadcast(ctx, ep, &m)
	} else {
		ack, err = s.share(ctx, ep, &m)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		s.remember(ep, m.Message)
		s.o.Observe(ServerEvent{EventConsume, "timeout"})
	case errors.Is(err, ErrCut):
		s.o.Observe(ServerEvent{EventConsume, "cut"})
	case err == nil && ack.Status == alipay.StatusSuccess:
		s.forget(ep, m.Message)
		s.o.Observe(ServerEvent{EventConsume, "success"})
	case err == nil:
		s.forget(ep, m.Message)
		s.o.Observe(ServerEvent{EventConsume, "fail"})
	}
	return ack, err
}

// leg is a message on its way over one connection.
type leg struct {
	*peer
	*waiter
}

// share sends to one connection: of those with the fewest unacknowledged messages the next in turn.
func (s *Server) share(ctx context.Context, ep hook.EndpointID, m *Parcel) (Ack, error) {
	for {
		s.mu.Lock()
		list := s.live(ep)
		turn := 0
		if len(list) > 0 {
			s.of[ep].turn++
			turn = s.of[ep].turn
		}
		s.mu.Unlock()
		var best *peer
		fewest := 0
		for i := range list {
			p := list[(turn+i)%len(list)]
			if n := p.inFlight(); best == nil || n < fewest {
				best, fewest = p, n
			}
		}
		if best == nil {
			return Ack{}, ErrNobody
		}
		w, err := best.expect(m.StreamID, m.MsgID)
		switch {
		case err == nil:
			return best.deliver(ctx, m, w)
		case errors.Is(err, ErrBusy), len(list) == 1:
			return Ack{}, err
		}
		s.drop(best)
	}
}

// drop takes a connection that is about to end out of those that are delivered over.
func (s *Server) drop(p *peer) {
	s.mu.Lock()
	c := s.of[p.ep]
	none := false
	if c != nil {
		was := len(c.live)
		c.live = without(c.live, p)
		none = was > 0 && len(c.live) == 0
	}
	s.mu.Unlock()
	if none {
		s.o.Changed(p.ep)
	}
}

// without returns a copy of a list that lacks one.
func without(list []*peer, p *peer) []*peer {
	return slices.DeleteFunc(slices.Clone(list), func(other *peer) bool { return other == p })
}

// broadcast sends to all connections. A connection that has its window full keeps the message from all.
func (s *Server) broadcast(ctx context.Context, ep hook.EndpointID, m *Parcel) (Ack, error) {
	s.mu.Lock()
	list := s.live(ep)
	s.mu.Unlock()
	var legs []leg
	for _, p := range list {
		w, err := p.expect(m.StreamID, m.MsgID)
		if errors.Is(err, ErrBusy) {
			for _, l := range legs {
				l.release(m.StreamID, false)
			}
			return Ack{}, ErrBusy
		}
		if err == nil {
			legs = append(legs, leg{p, w})
		}
	}
	if len(legs) == 0 {
		return Ack{}, ErrNobody
	}
	type result struct {
		Ack
		err error
	}
	results := make(chan result, len(legs))
	for _, l := range legs {
		go func() {
			ack, err := l.deliver(ctx, m, l.waiter)
			results <- result{ack, err}
		}()
	}
	var worst result
	for i := range legs {
		if r := <-results; i == 0 || rank(r.Ack, r.err) > rank(worst.Ack, worst.err) {
			worst = r
		}
	}
	worst.Count = len(legs)
	return worst.Ack, worst.err
}

// rank orders what came of the parts of a broadcast.
func rank(a Ack, err error) int {
	switch {
	case err == nil && a.Status == alipay.StatusSuccess:
		return 0
	case errors.Is(err, ErrCut):
		return 1
	case err == nil:
		return 3
	}
	return 2
}

// deliver writes a frame and waits for its acknowledgement.
func (p *peer) deliver(ctx context.Context, m *Parcel, w *waiter) (Ack, error) {
	if err := p.write(m.Frame); err != nil {
		p.release(m.StreamID, false)
		return Ack{}, ErrCut
	}
	select {
	case a := <-w.answer:
		return a, nil
	case <-ctx.Done():
		p.release(m.StreamID, errors.Is(ctx.Err(), context.DeadlineExceeded))
		return Ack{}, ctx.Err()
	case <-p.gone:
	}
	p.release(m.StreamID, false)
	select {
	case a := <-w.answer: // it came last
		return a, nil
	default:
		return Ack{}, ErrCut
	}
}

// write sends a text frame. A client that does not take it in time is cut off: its buffers and the system's are full.
func (p *peer) write(text []byte) error {
	began := time.Now()
	// Not a deadline of the library's: it would close the connection before it is noted why, and the reader would say so first.
	late := time.AfterFunc(p.s.o.WriteTimeout, func() { p.cut(closedSlow) })
	err := p.ws.Write(context.Background(), websocket.MessageText, text)
	if !late.Stop() && err != nil {
		p.log(slog.LevelWarn, "a client does not read what is sent to it, its long connection is closed", "waited", time.Since(began).Round(time.Millisecond))
	}
	return err
}
