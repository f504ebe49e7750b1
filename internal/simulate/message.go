package simulate

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
)

// answer is what came back for one request, and what the platform takes it for.
type answer struct {
	status  int
	header  http.Header
	body    []byte // at most 16 KiB
	verdict dialect.Verdict
	took    time.Duration
	failed  *egress.Error // why there is no answer; nil = there is one
}

// outbound makes a message. Documented examples, and events that come round again, get ids of their own: a platform that
// has no message id would seem to repeat itself.
func (r *run) outbound(kind string, number int) dialect.Outbound {
	events := r.events()
	e := events[number%len(events)]
	seed := r.seed(kind, number)
	payload := e.Payload
	if again := number >= len(events); again || r.Events == nil {
		first := binary.BigEndian.Uint64(r.derive("vary/"+kind, 8))
		payload = vary(payload, (first%varied+uint64(number))%varied, again)
	}
	now := r.Now()
	return dialect.Outbound{
		ID:        "sim_" + hex.EncodeToString(dialect.Derive(seed, "simulate/id", 10)),
		EventType: e.EventType, Payload: payload, Platform: e.Platform, Created: now, Now: now, Seed: seed,
	}
}

// varied bounds the numbers that vary puts into payloads.
const varied = 1_000_000_000

// vary gives a payload ids of its own: the last nine digits of every long number become those of n, the same in all of
// them, so that what referred to each other still does. A payload without one gets a member "simulated", if it must differ.
func vary(payload []byte, n uint64, must bool) []byte {
	const long = 15
	own := fmt.Sprintf("%09d", n)
	out := bytes.Clone(payload)
	found := false
	for i := 0; i < len(out); {
		end := i
		for end < len(out) && out[end] >= '0' && out[end] <= '9' {
			end++
		}
		if end-i >= long && (i == 0 || out[i-1] != '.') {
			found = true
			copy(out[end-len(own):end], own)
		}
		i = end + 1
	}
	last := bytes.LastIndexByte(out, '}')
	if found || !must || last < 0 {
		return out
	}
	comma := ","
	if bytes.HasSuffix(bytes.TrimRight(out[:last], " \t\r\n"), []byte("{")) {
		comma = ""
	}
	member := comma + `"simulated":"` + own + `"`
	return append(append(bytes.Clone(out[:last]), member...), out[last:]...)
}

// shuffle orders jobs by the seed.
func (r *run) shuffle(jobs []job) {
	draw := rand.New(rand.NewChaCha8([32]byte(r.derive("order", 32))))
	draw.Shuffle(len(jobs), func(i, k int) { jobs[i], jobs[k] = jobs[k], jobs[i] })
}

// deliver sends one message until it is acknowledged, refused for good, or out of attempts.
func (r *run) deliver(ctx context.Context, j job) {
	out := r.outbound(string(StepMessage), j.number)
	rec := Record{Kind: StepMessage, ID: out.ID, EventType: out.EventType}
	r.count(func(t *Totals) { t.Messages++ })
	began := r.Now()
	for {
		rec.Attempts++
		out.Now = r.Now()
		a, ok := r.attempt(ctx, out, &rec)
		if !ok {
			break
		}
		rec.Status, rec.Reason = a.status, a.verdict.Reason
		wait, more := r.next(a, rec.Attempts)
		r.step(StepMessage, &rec, a, wait)
		explained := r.judgeGood(a)
		if a.verdict.Kind == dialect.Accepted {
			rec.Acknowledged, rec.LatencyMs, rec.TookMs = true, ms(a.took), ms(r.Now().Sub(began))
			r.count(func(t *Totals) { t.Acknowledged++ })
			break
		}
		if !more {
			rec.GivenUp, rec.TookMs = true, ms(r.Now().Sub(began))
			r.count(func(t *Totals) { t.GivenUp++ })
			if !explained {
				r.find("gave_up", words{plural(rec.Attempts, "attempt"), fmt.Sprintf("%d 次尝试", rec.Attempts)})
			}
			break
		}
		if sleep(ctx, wait) != nil {
			break
		}
	}
	if !rec.Acknowledged && !rec.GivenUp {
		r.count(func(t *Totals) { t.Unfinished++ })
	}
	r.record(rec)
	if rec.Acknowledged {
		r.repeat(ctx, out, j.again)
	}
}

// attempt signs and sends a message once. ok is false when there was nothing to judge.
func (r *run) attempt(ctx context.Context, out dialect.Outbound, rec *Record) (a answer, ok bool) {
	req, err := r.Dialect.Sign(r.Settings, out)
	if err != nil {
		rec.GivenUp, rec.Reason = true, "cannot be signed: "+err.Error()
		r.count(func(t *Totals) { t.GivenUp++ })
		r.find("not_signed", err.Error())
		return a, false
	}
	a, ok = r.send(ctx, req, r.judge)
	if ok {
		r.count(func(t *Totals) {
			t.Attempts++
			if rec.Attempts > 1 {
				t.Retried++
			}
		})
	}
	return a, ok
}

// next says how long the platform waits after an answer, and whether it tries again at all.
func (r *run) next(a answer, attempts int) (wait time.Duration, more bool) {
	if a.verdict.Kind != dialect.Retry || attempts > len(r.policy.Schedule) {
		return 0, false
	}
	wait = r.policy.Schedule[attempts-1]
	if r.policy.RetryAfter {
		if s, err := strconv.Atoi(a.header.Get("Retry-After")); err == nil && s > 0 && s < 1<<30 {
			wait = min(max(wait, time.Duration(s)*time.Second), 2*wait)
		}
	}
	return time.Duration(float64(wait) / r.Speed), true
}

// repeat sends an acknowledged message again, as platforms do when an answer was lost on its way to them.
func (r *run) repeat(ctx context.Context, out dialect.Outbound, times int) {
	for i := range times {
		rec := Record{Kind: StepDuplicate, ID: out.ID, EventType: out.EventType, Attempts: i + 1}
		out.Now = r.Now()
		req, err := r.Dialect.Sign(r.Settings, out)
		if err != nil {
			return // it could be signed before, and deliver has told when not
		}
		a, ok := r.send(ctx, req, r.judge)
		if !ok {
			return
		}
		rec.Status, rec.Reason, rec.Acknowledged = a.status, a.verdict.Reason, a.verdict.Kind == dialect.Accepted
		rec.LatencyMs = ms(a.took)
		r.step(StepDuplicate, &rec, a, 0)
		r.count(func(t *Totals) {
			t.Duplicates++
			if rec.Acknowledged {
				t.DuplicatesAcknowledged++
			}
		})
		if !rec.Acknowledged {
			r.find("duplicate_refused", a)
		}
		r.record(rec)
	}
}

// handshake does the console's "Verify".
func (r *run) handshake(ctx context.Context) {
	rec := Record{Kind: StepHandshake, Attempts: 1}
	req, judge, err := r.Dialect.Handshake(r.Settings, dialect.Nonce{Now: r.Now(), Seed: r.seed("handshake", 0)})
	if err != nil {
		r.find("handshake_failed", err.Error())
		return
	}
	a, ok := r.send(ctx, req, judge)
	if !ok {
		return
	}
	rec.Status, rec.Reason, rec.Acknowledged, rec.LatencyMs = a.status, a.verdict.Reason, a.verdict.Kind == dialect.Accepted, ms(a.took)
	r.step(StepHandshake, &rec, a, 0)
	switch {
	case rec.Acknowledged:
	case a.failed != nil && a.failed.Kind == egress.KindTimeout:
		r.find("late:none", millis(r.deadline), a.failed.Text)
	case a.status/100 == 3:
		r.find("redirect", a)
	default:
		r.find("handshake_failed", a)
	}
	r.mu.Lock()
	r.report.Handshake = &rec
	r.mu.Unlock()
}

func (r *run) judge(x dialect.Response) dialect.Verdict { return r.Dialect.Judge(r.Settings, x) }

// send sends a request with the platform's deadline. ok is false when the run was ended meanwhile.
func (r *run) send(ctx context.Context, req dialect.Request, judge func(dialect.Response) dialect.Verdict) (a answer, ok bool) {
	if r.Link != nil {
		return r.sendBy(ctx, r.Link.Send, r.deadline, req, judge)
	}
	return r.sendBy(ctx, r.by(r.Client), r.deadline, req, judge)
}

// by sends requests to the receiver's URL.
func (r *run) by(client *egress.Client) func(context.Context, dialect.Request) (dialect.Response, error) {
	return func(ctx context.Context, req dialect.Request) (dialect.Response, error) {
		got, err := client.Do(ctx, egress.Request{
			Method: req.Method, URL: r.To, Query: req.Query, Header: req.Header, Body: req.Body, Allow: r.Allow,
		})
		return dialect.Response{Status: got.Status, Header: got.Header, Body: got.Body, Truncated: got.Truncated}, err
	}
}

// sendSlowly is send, by the slow client if asked; the time that the slowness takes is not the receiver's.
func (r *run) sendSlowly(ctx context.Context, req dialect.Request, slow bool) (answer, bool) {
	if slow {
		return r.sendBy(ctx, r.by(r.Slow.client), r.deadline+4*slowFor, req, r.judge)
	}
	return r.send(ctx, req, r.judge)
}

func (r *run) sendBy(
	ctx context.Context, send func(context.Context, dialect.Request) (dialect.Response, error), deadline time.Duration,
	req dialect.Request, judge func(dialect.Response) dialect.Verdict,
) (a answer, ok bool) {
	if !r.enterSlot(ctx) {
		return a, false
	}
	defer func() { <-r.slots }()
	limited, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	began := r.Now()
	got, err := send(limited, req)
	a.took = r.Now().Sub(began)
	if err != nil {
		if ctx.Err() != nil {
			return a, false
		}
		if !errors.As(err, &a.failed) {
			a.failed = &egress.Error{Kind: egress.KindProtocol, Text: err.Error()}
		}
		a.verdict = dialect.Verdict{Kind: dialect.Retry, Reason: a.failed.Text}
		return a, true
	}
	a.status, a.header, a.body = got.Status, got.Header, got.Body
	a.verdict = judge(got)
	return a, true
}
