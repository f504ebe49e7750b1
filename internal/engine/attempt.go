package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
)

// ruling is what came of an attempt.
type ruling struct {
	verdict    hook.Verdict
	reason     string
	status     int           // 0 = no answer
	response   []byte        // of the answer's body
	failure    egress.Kind   // why there is no (complete) answer
	retryAfter time.Duration // what the receiver asked for
	cut        bool          // a long connection ended before the answer
}

// maxCuts is how often in a row a message is sent again at once, and uncounted, because its long connection ended before it was
// acknowledged. Beyond that it may be the message that ends them: it goes on by its schedule.
const maxCuts = 10

// fly makes one attempt: the only path there is, for first attempts, retries and resends alike. It returns the next job for
// the same goroutine, nil when there is none.
func (e *Engine) fly(f *flight) (next *flight) {
	ctx := e.flights
	if f.target == nil && !e.findTarget(ctx, f) {
		return nil
	}
	m, err := e.message(ctx, f)
	if err == nil && m.Expired {
		err = e.withdrawExpired(ctx, f)
	}
	if err != nil {
		if !e.storeFailed(err) && ctx.Err() == nil {
			e.o.Log.Warn("a message could not be read, will try again", "message", f.Delivery.Message.String(), "err", err)
		}
		e.returnJob(f, errorPause)
		return nil
	}
	if m.Expired {
		e.returnJob(f, 0)
		return nil
	}
	if !e.carry(f, m) {
		e.returnJob(f, carryPause)
		return nil
	}
	r, ruled := e.prepare(ctx, f, m)
	if !e.begin(f, m) {
		return nil
	}
	e.trace(f, m, &r)
	if ruled == nil {
		ruled = e.attempt(ctx, f, r)
	}
	if ruled.failure == egress.KindCanceled {
		// Cut off by Stop: nobody knows what the receiver made of it, and it is made again after the next start. Or a sender of its
		// own sent nothing, for nobody was there any more.
		e.returnJob(f, errorPause)
		return nil
	}
	return e.landed(f, m, e.judged(f, m, ruled))
}

// trace begins the span of an attempt, and puts its name into the headers of a request in the standard dialect.
func (e *Engine) trace(f *flight, m *hook.Message, r *egress.Request) {
	if e.o.Trace == nil {
		return
	}
	name := f.target.Endpoint.Dialect
	traceparent, end := e.o.Trace(m, f.Work, name)
	f.traced = end
	if name == standardName {
		dropHeader(r, "tracestate") // of the platform's request: it belongs to its own traceparent
		replaceHeader(r, "traceparent", traceparent)
	}
}

// message returns the job's message: from memory on its first attempt, else from the store. One that is gone is marked as
// expired.
func (e *Engine) message(ctx context.Context, f *flight) (*hook.Message, error) {
	if f.msg != nil {
		return &f.msg.Message, nil
	}
	m, err := e.o.Store.Load(ctx, f.Delivery.Message)
	if kind := hook.KindOf(err); err != nil && (kind == hook.KindNotFound || kind == hook.KindGone) {
		return &hook.Message{ID: f.Delivery.Message, App: f.Delivery.App, Expired: true}, nil
	}
	return &m, err
}

// withdrawExpired cancels what can never be sent, because its message has no content any more.
func (e *Engine) withdrawExpired(ctx context.Context, f *flight) error {
	_, err := e.o.Store.Cancel(ctx, f.Delivery.App, f.Delivery.Message, f.Delivery.Endpoint, e.o.Clock.Now())
	return err
}

// prepare makes the request. A ruling means that there is none: something is wrong on our side and may be mended before the
// next attempt, or the message can never be sent to this endpoint.
func (e *Engine) prepare(ctx context.Context, f *flight, m *hook.Message) (r egress.Request, ruled *ruling) {
	defer e.survive(f, &ruled)
	if f.target.problem != "" {
		return r, &ruling{verdict: hook.Retry, reason: f.target.problem}
	}
	r, err := e.request(ctx, f.target, m, e.o.Clock.Now())
	if own := (*dialect.Error)(nil); errors.As(err, &own) && own.Reason == dialect.ReasonMalformed {
		return r, &ruling{verdict: hook.Refuse, reason: err.Error()}
	}
	if err != nil {
		return r, &ruling{verdict: hook.Retry, reason: err.Error()}
	}
	return r, nil
}

// begin is the moment at which an attempt starts. It does not start when the configuration has changed since the job was
// taken, when the job was withdrawn, or when the engine stops: the job then goes back.
//
// To disable an endpoint is to cancel what waits for it. That must not happen to received messages, whether their source
// still exists or not: the platform believes them delivered and will not repeat them.
func (e *Engine) begin(f *flight, m *hook.Message) bool {
	e.mu.Lock()
	l := f.lane
	may := f.gen == l.gen && l.hand[f.key()] == f && e.phase == started && e.broken == nil
	if may {
		// Under the lock, so that the time of no attempt is after that of the call which forbade it.
		f.at, f.began = e.o.Clock.Read()
		f.rates.begin(f.began)
	}
	l.receives = l.receives || m.Source != 0
	f.spared = l.receives || f.target.receives
	e.mu.Unlock()
	if !may {
		e.returnJob(f, 0)
	}
	return may
}

// attempt sends the request and judges the answer, within the deadline.
func (e *Engine) attempt(ctx context.Context, f *flight, r egress.Request) (ruled *ruling) {
	defer e.survive(f, &ruled)
	t := f.target
	r.Deadline = time.Now().Add(t.timeout)
	resp, err := t.send(ctx, r)
	e.o.Faults.At("after-send")
	ruled = &ruling{status: resp.Status, response: resp.Body}
	if err != nil {
		ruled.verdict, ruled.reason, ruled.failure = hook.Retry, err.Error(), egress.KindProtocol
		if own := (*egress.Error)(nil); errors.As(err, &own) {
			ruled.reason, ruled.failure = own.Text, own.Kind
			ruled.cut = own.Kind == egress.KindReset && t.Endpoint.Transport == hook.TransportLongConn
		}
		return ruled
	}
	v := t.dialect.Judge(t.settings, dialect.Response{Status: resp.Status, Header: resp.Header, Body: resp.Body, Truncated: resp.Truncated})
	ruled.verdict, ruled.reason = t.verdict(v.Kind, f.spared), v.Reason
	if t.policy.RetryAfter {
		ruled.retryAfter = e.retryAfter(resp.Header)
	}
	return ruled
}

// survive turns a panic of a dialect into a failed attempt: one message must not take down the service for all.
func (e *Engine) survive(f *flight, ruled **ruling) {
	if p := recover(); p != nil {
		e.o.Log.Error("a dialect panicked", "endpoint", f.Delivery.Endpoint.String(), "message", f.Delivery.Message.String(),
			"panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		*ruled = &ruling{verdict: hook.Retry, reason: "an error of this server, see its log"}
	}
}

// verdict is the dialect's word for what the store keeps. An endpoint that may not be disabled, because it is spared or
// because the dialect's platform does not do so, is never gone: the message is tried again.
func (t *target) verdict(k dialect.Kind, spared bool) hook.Verdict {
	switch k {
	case dialect.Accepted:
		return hook.Success
	case dialect.Refused:
		return hook.Refuse
	case dialect.Gone:
		if t.policy.GoneDisables && !spared {
			return hook.Gone
		}
	}
	return hook.Retry
}

// judged makes the record of an attempt. The next one counts from now.
func (e *Engine) judged(f *flight, m *hook.Message, r *ruling) *outcome {
	wall, now := e.o.Clock.Read()
	t := f.target
	schedule := t.schedule
	if m.Source != 0 && t.patient != nil {
		schedule = t.patient
	}
	d := f.Delivery.Step(r.verdict, f.Trigger, upToMillisecond(now), schedule, r.retryAfter)
	if f.Trigger == hook.Scheduled && d.State == hook.Pending && t.policy.Jitter {
		d.NextAt = e.spread(d, now, schedule)
	}
	if r.cut && e.again(f) {
		d = f.Delivery
		d.NextAt = upToMillisecond(now)
	}
	o := &outcome{flight: f, judged: now, wall: wall}
	o.exhausted = f.Trigger == hook.Scheduled && r.verdict == hook.Retry && f.Delivery.State == hook.Pending && d.State == hook.Failed
	o.Outcome = hook.Outcome{Delivery: d, Resend: f.Resend, Attempt: hook.Attempt{ // its id is given by landed
		App: f.Delivery.App, Message: f.Delivery.Message, Endpoint: f.Delivery.Endpoint, EventType: m.EventType,
		URL: t.shown, Trigger: f.Trigger, At: f.at, Duration: now.Sub(f.began),
		Status: r.status, Verdict: r.verdict, Reason: clip(r.reason), Response: r.response,
	}}
	if f.Trigger == hook.Scheduled {
		o.Attempt.N, o.Attempt.NextAt = f.Delivery.Attempts+1, e.o.Clock.Wall(d.NextAt)
	}
	event := Event{
		Dialect: t.Endpoint.Dialect, Trigger: f.Trigger, Verdict: r.verdict, State: d.State, Status: r.status, Failure: r.failure,
		Duration: o.Attempt.Duration, Late: max(f.began.Sub(f.Delivery.NextAt), 0),
	}
	e.o.Observe(event)
	if f.traced != nil {
		f.traced(event)
	}
	return o
}

// again says whether an attempt that was cut off is made again at once, and counts how often in a row.
func (e *Engine) again(f *flight) bool {
	if f.Trigger != hook.Scheduled || f.Delivery.State != hook.Pending {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	l := f.lane
	if l.cuts[f.Delivery.Message] >= maxCuts {
		return false
	}
	if l.cuts == nil {
		l.cuts = map[hook.MessageID]int{}
	}
	l.cuts[f.Delivery.Message]++
	return true
}

// clip bounds a reason: a dialect may quote the answer in it.
func clip(s string) string {
	const limit = 500
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// spread adds the jitter: never earlier than planned, and never later than a Retry-After may be.
func (e *Engine) spread(d hook.Delivery, judged time.Time, schedule []time.Duration) time.Time {
	wait := schedule[d.Attempts-1]
	latest := upToMillisecond(judged).Add(2 * wait)
	next := d.NextAt.Add(max(e.o.Jitter(wait), 0)).Truncate(time.Millisecond)
	if next.After(latest) {
		next = latest
	}
	if next.Before(d.NextAt) {
		return d.NextAt
	}
	return next
}

// upToMillisecond rounds up to what the store keeps, so that no attempt comes early.
func upToMillisecond(t time.Time) time.Time {
	if floor := t.Truncate(time.Millisecond); floor.Before(t) {
		return floor.Add(time.Millisecond)
	}
	return t
}

// retryAfter reads the header: seconds, or a date.
func (e *Engine) retryAfter(h http.Header) time.Duration {
	v := strings.TrimSpace(dialect.Header(h, "Retry-After"))
	if v == "" {
		return 0 // as nearly always: trying to read it for a date costs a microsecond
	}
	if n, err := strconv.ParseUint(v, 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(e.o.Clock.Now()), 0)
	}
	return 0
}

// landed hands an outcome to the recorder, and returns the next job for the goroutine that made the attempt.
func (e *Engine) landed(f *flight, m *hook.Message, o *outcome) (next *flight) {
	now := o.judged
	e.mu.Lock()
	defer e.mu.Unlock()
	l := f.lane
	e.land(f)
	// Ids are given in the order in which attempts are recorded: who has read one finds no lower one later.
	o.Attempt.ID = hook.NewID[hook.AttemptID](e.o.IDs, o.wall)
	if f.Trigger == hook.Scheduled && o.Outcome.Delivery.Attempts > f.Delivery.Attempts {
		delete(l.cuts, f.Delivery.Message) // it was counted
	}
	o.Events = e.notices(f, m, &o.Outcome)
	o.Health = e.health(l, f.target, o, now)
	if o.Attempt.Verdict == hook.Success && f.Trigger == hook.Manual {
		o.withdraws = e.withdraw(l, f.scheduled())
	}
	l.judged++
	e.outbox.waiting = append(e.outbox.waiting, o)
	e.outbox.some.Signal()
	e.settle(l, now)
	next = e.take(now)
	e.dispatch(now)
	return next
}

// withdraw keeps the scheduled attempt of a message that a resend has delivered from being made: it is taken off the queue,
// or off a flight that has not begun, and stays in hand, because to the store it is pending until the resend is recorded.
// false means that it has begun, or is held back already.
func (e *Engine) withdraw(l *lane, k key) bool {
	f, inHand := l.hand[k]
	switch {
	case !inHand:
		e.hand++
	case f != nil && !f.at.IsZero():
		return false
	case f == nil:
		i := slices.IndexFunc(l.queue, func(j job) bool { return j.key() == k })
		if i < 0 {
			return false
		}
		e.release(&l.queue[i])
		l.queue = slices.Delete(l.queue, i, i+1)
	}
	l.hand[k] = nil
	return true
}
