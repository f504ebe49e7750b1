package longconn

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/hook"
)

// The bounds of the Java client: PRODUCEs under way, and how long one more waits for its turn.
const (
	maxProduces = 200
	turnWait    = 200 * time.Millisecond
)

// Produce sends a message to the platform over an open connection and waits for what it says. Nothing is kept of it: an error
// of hook.KindUnavailable means that nothing was sent, and Produced.Unanswered that nobody knows whether it arrived.
func (c *Dialer) Produce(ctx context.Context, msgAPI string, content []byte) (hook.Produced, error) {
	f, err := c.produceFrame(msgAPI, content)
	if err != nil {
		return hook.Produced{}, err
	}
	turn := time.NewTimer(turnWait)
	defer turn.Stop()
	select {
	case c.produces <- struct{}{}:
		defer func() { <-c.produces }()
	case <-turn.C:
		return hook.Produced{}, hook.Errorf(hook.KindUnavailable, "%d messages to the platform wait for their answers already; try again", maxProduces)
	case <-ctx.Done():
		return hook.Produced{}, hook.Errorf(hook.KindUnavailable, "given up before anything was sent")
	}
	l := c.anyLink()
	if l == nil {
		shown := c.Connection()
		text := "the source has no connection to the platform"
		if shown.Trouble != "" {
			text += ": " + shown.Trouble
		}
		return hook.Produced{}, hook.Errorf(hook.KindUnavailable, "%s", text)
	}
	return l.produce(ctx, f)
}

func (c *Dialer) produceFrame(msgAPI string, content []byte) (alipay.Frame, error) {
	d := alipay.Data{AppID: c.o.Settings.Get("app_id"), MsgAPI: msgAPI, Content: content}
	var err error
	if d.AppCertSN, d.RootCertSN, err = alipay.AppCertSNs(c.o.Settings); err != nil {
		return alipay.Frame{}, hook.Errorf(hook.KindInvalid, "%v", err)
	}
	data, err := d.Append(nil)
	if err != nil {
		return alipay.Frame{}, hook.Errorf(hook.KindInvalid, "%v", err)
	}
	f, err := alipay.SignFrame(c.o.Settings, alipay.Produce(c.streamID(), c.o.Now(), data))
	if err == nil {
		_, err = f.Append(nil) // over the bounds
	}
	if err != nil {
		return alipay.Frame{}, hook.Errorf(hook.KindInvalid, "%v", err)
	}
	return f, nil
}

// anyLink returns the open connection with the fewest unanswered PRODUCEs, or nil.
func (c *Dialer) anyLink() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	var best *link
	least := 0
	for _, s := range c.slots {
		if s.link == nil {
			continue
		}
		s.link.mu.Lock()
		n, usable := len(s.link.asked), !s.link.draining && s.link.asked != nil
		s.link.mu.Unlock()
		if usable && (best == nil || n < least) {
			best, least = s.link, n
		}
	}
	return best
}

func (l *link) produce(ctx context.Context, f alipay.Frame) (hook.Produced, error) {
	answer := make(chan alipay.Frame, 1)
	l.mu.Lock()
	if l.asked == nil {
		l.mu.Unlock()
		return hook.Produced{}, hook.Errorf(hook.KindUnavailable, "the connection to the platform ended a moment ago; try again")
	}
	l.asked[f.StreamID] = answer
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.asked, f.StreamID)
		l.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(ctx, l.timing.Answer)
	defer cancel()
	_ = l.send(f) // what broke is seen below: a part of it may have arrived
	select {
	case a, ok := <-answer:
		if !ok {
			return hook.Produced{Unanswered: true, Text: "the connection ended before the platform answered"}, nil
		}
		if a.Status != alipay.StatusSuccess {
			return hook.Produced{MessageID: a.MsgID, Code: a.Code, Text: a.Error}, nil
		}
		l.counts.produced.Add(1)
		return hook.Produced{OK: true, MessageID: a.MsgID}, nil
	case <-ctx.Done():
		return hook.Produced{Unanswered: true, Text: "the platform did not answer in time"}, nil
	}
}

// answered hands a PRODUCE_ACK to whoever waits for it.
func (l *link) answered(f alipay.Frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := l.asked[f.StreamID]
	if to == nil {
		l.counts.ignored.Add(1)
		l.o.Log.Debug("an answer comes too late, twice, or to nothing that was sent", "stream", f.StreamID)
		return
	}
	to <- f
	delete(l.asked, f.StreamID)
}

// forsake tells those who wait for an answer that none will come.
func (l *link) forsake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, to := range l.asked {
		close(to)
	}
	l.asked = nil
}

// CheckSource says what keeps a source of these settings from dialling out; allow are private networks that it may reach. The
// error is a dialect.Problem, or that of an address which may not be reached.
func CheckSource(ctx context.Context, s dialect.Settings, check func(ctx context.Context, url string) error) error {
	d, err := alipay.ReadDialing(s)
	if err != nil {
		return err
	}
	if _, _, err := alipay.AppCertSNs(s); err != nil {
		var e *dialect.Error
		if errors.As(err, &e) {
			return dialect.Problem{Field: "app_cert", Text: e.Text}
		}
		return err
	}
	return check(ctx, d.Server)
}

// Raw is a frame as it is kept beside its message.
func Raw(text []byte) hook.Raw {
	return hook.Raw{Method: dialect.MethodFrame, Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, Body: text}
}
