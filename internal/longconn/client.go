package longconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
)

// Arrival is a message that came over a connection of ours, or what is to be kept of something that was none.
type Arrival struct {
	Frame  alipay.Frame
	Text   []byte // as it came
	Remote netip.Addr

	Received dialect.Received
	Refused  *dialect.Error // set: it is not to be stored as a message, for this reason
}

// DialerOptions are what a Dialer works with. Settings, Egress and Take must be set.
type DialerOptions struct {
	Settings dialect.Settings // of the source, its profile's beneath
	Egress   *egress.Client   // everything is dialled through it
	Allow    []netip.Prefix   // private networks that may be dialled
	// Take makes messages durable and says of each whether it is. SUCCESS is said only after it has returned true for a message;
	// refused ones are recorded by it, and always false. It must return, and not wait for ever.
	Take func(ctx context.Context, batch []Arrival) []bool

	Now    func() time.Time // for what is signed and shown; nil = time.Now
	Log    *slog.Logger     // nil = nothing is logged
	Timing Timing           // zero members = those of the settings
}

// Timing is when a Dialer does what.
type Timing struct {
	Ping    time.Duration // between pings
	Silence time.Duration // a connection on which nothing came for so long is given up
	Open    time.Duration // for the registration, and again for the upgrade
	Write   time.Duration // for the platform to take one frame
	Answer  time.Duration // for the answer to a PRODUCE

	First   time.Duration // the wait after the first try that opened nothing; after the first loss there is none
	Most    time.Duration // waits double up to this
	Settled time.Duration // a connection that held so long was none of a row of failures
	Java    bool          // waits are those of the Java client instead
}

// The times of the Java client are those of Alipay's Java SDK; the others are ours, but for the 90 s, which both have.
func timingOf(d alipay.Dialing) Timing {
	t := Timing{
		Ping: 20 * time.Second, Silence: 90 * time.Second, Open: 10 * time.Second, Write: 10 * time.Second, Answer: 10 * time.Second,
		First: time.Second, Most: time.Minute, Settled: 30 * time.Second,
	}
	if d.Java {
		t.Ping, t.Settled, t.Java = javaTick, javaTick, true
	}
	return t
}

func (t Timing) over(base Timing) Timing {
	for _, m := range []struct{ own, base *time.Duration }{
		{&t.Ping, &base.Ping}, {&t.Silence, &base.Silence}, {&t.Open, &base.Open}, {&t.Write, &base.Write}, {&t.Answer, &base.Answer},
		{&t.First, &base.First}, {&t.Most, &base.Most}, {&t.Settled, &base.Settled},
	} {
		if *m.own == 0 {
			*m.own = *m.base
		}
	}
	t.Java = t.Java || base.Java
	return t
}

const javaTick = 2 * time.Second

// javaWaits are between connections that opened and died before the next tick.
var javaWaits = [...]time.Duration{0, 5 * time.Second, 10 * time.Second}

// wait is how long to wait before the next try. opened says whether the last one opened a connection, row how many in a row
// did not hold; chance is between 0 and 1.
func (t Timing) wait(opened bool, row int, chance float64) time.Duration {
	switch {
	case t.Java && (!opened || row == 0):
		return javaTick
	case t.Java:
		return javaWaits[(row-1)%len(javaWaits)]
	case opened && row <= 1:
		return 0
	}
	w := t.First
	for i := 1; i < row && w < t.Most; i++ {
		w *= 2
	}
	w = min(w, t.Most)
	return w/2 + time.Duration(chance*float64(w/2))
}

// Dialer holds the connections of one source open until it is stopped.
type Dialer struct {
	o      DialerOptions
	dial   alipay.Dialing
	timing Timing

	process  uint64        // of stream ids
	streams  atomic.Uint64 // their counter
	produces chan struct{} // one for every PRODUCE under way
	pieces   chan struct{} // of what the connections hold together, the taken ones

	begin   sync.Once
	halt    sync.Once
	stop    chan struct{}   // closed: drain and end
	hard    context.Context // over: end now
	end     context.CancelFunc
	running sync.WaitGroup
	counts  counts

	mu    sync.Mutex
	slots []slot
	shown hook.Connection // but for its counts
	told  time.Time       // when trouble was logged
}

// slot is where one connection stands.
type slot struct {
	link *link     // nil = not open
	next time.Time // zero = it is being opened
	off  bool
}

// counts are atomic twins of hook.ConnectionCounts.
type counts struct {
	connects, reconnects, failures, frames, ignored, success, fail, unanswered, produced atomic.Int64
}

// NewDialer makes a Dialer that is not connected yet. An error names the setting that keeps it from connecting.
func NewDialer(o DialerOptions) (*Dialer, error) {
	if o.Egress == nil || o.Take == nil {
		return nil, errors.New("longconn: Egress and Take must be set")
	}
	d, err := alipay.ReadDialing(o.Settings)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Dialer{
		o: o, dial: d, timing: o.Timing.over(timingOf(d)), process: rand.Uint64(), produces: make(chan struct{}, maxProduces), pieces: make(chan struct{}, held),
		stop: make(chan struct{}), slots: make([]slot, d.Connections),
	}
	c.hard, c.end = context.WithCancel(context.Background())
	c.shown = hook.Connection{State: hook.ConnectionConnecting, Since: o.Now(), Wanted: d.Connections}
	return c, nil
}

// Start begins to connect and returns. It does nothing after Stop.
func (c *Dialer) Start() {
	c.begin.Do(func() {
		select {
		case <-c.stop:
			return
		default:
		}
		for i := range c.slots {
			c.running.Go(func() { c.hold(i) })
		}
	})
}

// Stop acknowledges what was taken, closes the connections with 1000 and waits for their end. When ctx ends before, they are
// cut; what was not acknowledged then is repeated by the platform. It may be called twice, and before Start.
func (c *Dialer) Stop(ctx context.Context) error {
	c.halt.Do(func() { close(c.stop) })
	c.begin.Do(func() {}) // a Start that is under way has begun all that there is to wait for
	ended := make(chan struct{})
	go func() {
		c.running.Wait()
		close(ended)
	}()
	defer c.end()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("a long connection was cut: %w", context.Cause(ctx))
	}
}

// hold keeps one connection open.
func (c *Dialer) hold(i int) {
	defer c.set(i, slot{off: true})
	for row := 0; ; {
		c.set(i, slot{})
		opened, held, err := c.connect(i)
		if c.stopped() {
			return
		}
		switch {
		case opened && held >= c.timing.Settled:
			row = 0
		case opened || !c.timing.Java: // tries that open nothing do not move the Java client along its row
			row++
		}
		if !opened {
			c.counts.failures.Add(1)
		}
		wait := c.timing.wait(opened, row, rand.Float64())
		c.trouble(err, wait)
		c.set(i, slot{next: c.o.Now().Add(wait)})
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.stop:
			timer.Stop()
			return
		}
	}
}

// connect opens a connection and serves it to its end. It says whether it was open, and for how long.
func (c *Dialer) connect(i int) (opened bool, held time.Duration, err error) {
	ctx, cancel := c.untilStop()
	l, err := c.open(ctx)
	cancel()
	if err != nil {
		return false, 0, err
	}
	began := time.Now()
	c.set(i, slot{link: l})
	if c.counts.connects.Add(1) > int64(c.dial.Connections) {
		c.counts.reconnects.Add(1)
	}
	c.o.Log.Info("a long connection is open", "server", c.dial.Server, "zone", l.zone, "remote", l.remote)
	err = l.serve()
	return true, time.Since(began), err
}

// untilStop is a context that ends when the client is stopped.
func (c *Dialer) untilStop() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.hard)
	go func() {
		select {
		case <-c.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (c *Dialer) stopped() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// set notes where a connection stands, and what follows for the whole.
func (c *Dialer) set(i int, s slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots[i] = s
	now := hook.Connection{State: hook.ConnectionStopped}
	for _, s := range c.slots {
		switch {
		case s.link != nil:
			now.Open++
		case s.off:
		case s.next.IsZero():
			now.State = hook.ConnectionConnecting
		case now.State != hook.ConnectionConnecting:
			now.State = hook.ConnectionWaiting
			if now.NextTry.IsZero() || s.next.Before(now.NextTry) {
				now.NextTry = s.next
			}
		}
	}
	if now.Open > 0 {
		now.State = hook.ConnectionOpen
	}
	if now.State != hook.ConnectionWaiting {
		now.NextTry = time.Time{}
	}
	if now.State != c.shown.State {
		c.shown.State, c.shown.Since = now.State, c.o.Now()
	}
	c.shown.Open, c.shown.NextTry = now.Open, now.NextTry
}

// Connection says how the source stands with its platform.
func (c *Dialer) Connection() hook.Connection {
	c.mu.Lock()
	out := c.shown
	c.mu.Unlock()
	n := &c.counts
	out.Counts = hook.ConnectionCounts{
		Connects: n.connects.Load(), Reconnects: n.reconnects.Load(), Failures: n.failures.Load(), Frames: n.frames.Load(),
		Ignored: n.ignored.Load(), Success: n.success.Load(), Fail: n.fail.Load(), Unanswered: n.unanswered.Load(), Produced: n.produced.Load(),
	}
	return out
}

// toldEvery is how often the same trouble is logged again.
const toldEvery = time.Minute

// trouble shows why there is no connection, and logs it unless it said the same a moment ago.
func (c *Dialer) trouble(err error, wait time.Duration) {
	text, mend := explain(err)
	now := c.o.Now()
	c.mu.Lock()
	again := text == c.shown.Trouble && now.Sub(c.told) < toldEvery && !now.Before(c.told)
	if !again {
		c.told = now
	}
	c.shown.Trouble, c.shown.Mend, c.shown.TroubleAt = text, mend, now
	c.mu.Unlock()
	if again {
		return
	}
	args := []any{"server", c.dial.Server, "why", text, "next", wait.Round(time.Millisecond).String()}
	if mend != "" {
		args = append(args, "mend", mend)
	}
	c.o.Log.Warn("a long connection is not open", args...)
}

func (c *Dialer) streamID() string {
	return alipay.StreamID(c.o.Now(), c.process, c.streams.Add(1))
}
