package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/simulate"
)

// demoSide is one platform in one direction: what was sent, and through demoReceiver what arrived.
type demoSide struct {
	*demo
	platform  string
	direction string // receive: the platform pushes to us; send: we are the platform; longconn: both, over a long connection
	dialect   *dialect.Dialect
	sending   dialect.Settings // the platform's half of the keys
	receiving dialect.Settings // the receiver's half
	target    string           // receive: the door's URL; send: the application of the API

	mu         sync.Mutex
	sent       []string // keys
	unanswered int      // messages that were never acknowledged
	duplicates int      // repeats that were acknowledged, or told to be repeats
	refused    int      // forgeries that were refused
	bad        []string // what must not happen
}

type demoNumbers struct{ sent, acknowledged, duplicates, refused, delivered, retried, lost int }

const (
	directionReceive = "receive"
	directionSend    = "send"
	directionLong    = "longconn"
)

// setUp makes what the demo needs through the API, as a user would.
func (d *demo) setUp(ctx context.Context) error {
	service, _, err := simulate.Keys(d.dialects["standard"])
	if err != nil {
		return err
	}
	d.receiver.service = service
	if err := d.make(ctx, "/app", map[string]any{"uid": "services", "name": "The team’s services"}, nil); err != nil {
		return err
	}
	err = d.make(ctx, "/app/services/endpoint", map[string]any{
		"uid": "orders", "url": "http://" + d.receiver.addr + "/service", "settings": service,
		"retrySchedule": []float64{0.1, 0.2, 0.4, 0.8, 0.8, 0.8, 0.8, 0.8}, "timeoutMs": demoTimeout.Milliseconds(), "concurrency": 32,
	}, nil)
	if err != nil {
		return err
	}
	for _, name := range demoPlatforms {
		for _, direction := range []string{directionReceive, directionSend} {
			side := &demoSide{demo: d, platform: name, direction: direction, dialect: d.dialects[name]}
			if side.sending, side.receiving, err = simulate.Keys(side.dialect); err != nil {
				return err
			}
			if err := side.setUp(ctx); err != nil {
				return fmt.Errorf("%s, %s: %w", name, direction, err)
			}
			d.sides = append(d.sides, side)
		}
	}
	return d.setUpLongConn(ctx)
}

// setUpLongConn has the server be both ends of Alipay's long connection: an endpoint that is reached over connections, and a
// source that opens one.
func (d *demo) setUpLongConn(ctx context.Context) error {
	side := &demoSide{demo: d, platform: "alipay", direction: directionLong, dialect: d.dialects["alipay"], target: "partner-alipay"}
	var err error
	if side.sending, side.receiving, err = simulate.Keys(side.dialect); err != nil {
		return err
	}
	side.receiving["longconn_server"] = []string{"http://" + d.server.PublicAddr()}
	for _, step := range []struct {
		path string
		in   map[string]any
	}{
		{"/app", map[string]any{"uid": side.target, "name": "A partner on alipay"}},
		{"/app/" + side.target + "/endpoint", map[string]any{
			"uid": "connection", "dialect": "alipay", "transport": "longconn", "settings": side.sending,
			"retrySchedule": compress(side.dialect.Policy(side.sending).Schedule),
		}},
		{"/app/services/source", map[string]any{"uid": "alipay-longconn", "dialect": "alipay", "transport": "longconn", "settings": side.receiving}},
	} {
		if err := d.make(ctx, step.path, step.in, nil); err != nil {
			return fmt.Errorf("alipay, long connection: %w", err)
		}
	}
	d.sides = append(d.sides, side)
	return nil
}

func (d *demo) make(ctx context.Context, path string, in, out any) error {
	return d.api.call(ctx, http.MethodPost, path, in, out)
}

func (s *demoSide) setUp(ctx context.Context) error {
	if s.direction == directionReceive {
		var source struct{ Path string }
		err := s.demo.make(ctx, "/app/services/source", map[string]any{"uid": s.platform, "dialect": s.platform, "settings": s.receiving}, &source)
		s.target = "http://" + s.server.PublicAddr() + source.Path
		return err
	}
	s.target = "developer-" + s.platform
	s.receiver.callbacks[s.platform] = s
	if err := s.demo.make(ctx, "/app", map[string]any{"uid": s.target, "name": "A developer on " + s.platform}, nil); err != nil {
		return err
	}
	endpoint := "/app/" + s.target + "/endpoint"
	err := s.demo.make(ctx, endpoint, map[string]any{
		"uid": "callback", "url": "http://" + s.receiver.addr + "/callback/" + s.platform, "dialect": s.platform, "settings": s.sending,
		"retrySchedule": compress(s.dialect.Policy(s.sending).Schedule), "timeoutMs": demoTimeout.Milliseconds(), "concurrency": 32,
	}, nil)
	if err != nil || s.dialect.Handshake == nil {
		return err
	}
	var verified struct {
		Verification struct{ State, Reason string }
	}
	if err := s.demo.make(ctx, endpoint+"/callback/verify", nil, &verified); err != nil {
		return err
	}
	s.say(s.platform, "handshake with the developer’s callback: %s (%s)", verified.Verification.State, verified.Verification.Reason)
	return nil
}

// events are the platform's examples, each with a key of its own by which it is recognised when it arrives.
func (s *demoSide) events() (events []dialect.Example, keys []string) {
	for round := range demoRounds {
		for i, e := range s.dialect.Examples {
			key := fmt.Sprintf("%s-%s-%d-%d-%d", s.platform, s.direction, s.round, round, i)
			e.Payload = withKey(e.Payload, key)
			events, keys = append(events, e), append(keys, key)
		}
	}
	return events, keys
}

// withKey adds the member "demo" to an object and leaves its other bytes alone.
func withKey(payload []byte, key string) []byte {
	last := bytes.LastIndexByte(payload, '}')
	return fmt.Appendf(nil, `%s,"demo":%q}`, payload[:last], key)
}

// keyOf returns the key of a payload, or "".
func keyOf(payload []byte) string {
	var mark struct{ Demo string }
	_ = json.Unmarshal(payload, &mark) // what cannot be read has no key, and is a fault where it is counted
	return mark.Demo
}

func (s *demoSide) play(ctx context.Context) error {
	events, keys := s.events()
	s.receiver.expect(events, keys)
	if s.direction == directionReceive {
		return s.push(ctx, events, keys)
	}
	return s.publish(ctx, events, keys)
}

// push is the platform at work: it signs and sends, repeats some, and strangers forge others.
func (s *demoSide) push(ctx context.Context, events []dialect.Example, keys []string) error {
	report, err := simulate.Run(ctx, simulate.Options{
		Dialect: s.dialect, Settings: s.sending, To: s.target, Client: s.egress, Allow: loopback, Events: events, Count: len(events),
		Speed: 1000, Duplicates: len(events) / 2, Forge: demoForgeries, Handshake: s.round == 1, Disorder: true,
	})
	if err != nil {
		return err
	}
	t := report.Totals
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, keys...)
	s.unanswered += t.Messages - t.Acknowledged
	s.duplicates += t.DuplicatesAcknowledged
	s.refused += t.ForgedRefused
	for _, f := range report.Findings {
		if f.Level == simulate.LevelError {
			s.bad = append(s.bad, s.platform+" receive: the simulated platform says: "+f.Text)
		}
	}
	s.say(s.platform, "pushed %d events and %d repeats, %d forgeries; acknowledged within p99 %.1f ms (limit %.0f ms)",
		t.Messages, t.Duplicates, t.Forged, report.Latency.P99, report.DeadlineMs)
	return nil
}

// publish is the platform's back end at work: it posts events to the API, and some of them twice.
func (s *demoSide) publish(ctx context.Context, events []dialect.Example, keys []string) error {
	for i, e := range events {
		in := map[string]any{"eventType": e.EventType, "eventId": keys[i], "payload": json.RawMessage(e.Payload), "platform": e.Platform}
		err := s.demo.make(ctx, "/app/"+s.target+"/msg", in, nil)
		again := i%2 == 0 && err == nil
		var repeated error
		if again {
			repeated = s.demo.make(ctx, "/app/"+s.target+"/msg", in, nil)
		}
		s.mu.Lock()
		s.sent = append(s.sent, keys[i])
		switch {
		case err != nil:
			s.unanswered++
			s.bad = append(s.bad, fmt.Sprintf("%s send: %v", s.platform, err))
		case again && repeated == nil:
			s.bad = append(s.bad, s.platform+" send: a message was accepted twice under one eventId")
		case again:
			s.duplicates++
		}
		s.mu.Unlock()
	}
	to := "to the developer’s callback"
	if s.direction == directionLong {
		to = "over a long connection, which the server has with itself"
	}
	s.say(s.platform, "published %d events %s", len(events), to)
	return ctx.Err()
}

// lost lists the keys that were acknowledged and have not arrived.
func (s *demoSide) lost() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unanswered > 0 {
		return nil // which ones were acknowledged is not known; that they were not all is a fault of its own
	}
	var out []string
	for _, key := range s.sent {
		if !s.receiver.has(key) {
			out = append(out, key)
		}
	}
	return out
}

func (s *demoSide) numbers() demoNumbers {
	lost := len(s.lost())
	s.mu.Lock()
	defer s.mu.Unlock()
	n := demoNumbers{
		sent: len(s.sent), acknowledged: len(s.sent) - s.unanswered, duplicates: s.duplicates, refused: s.refused, lost: lost,
	}
	for _, key := range s.sent {
		delivered, retried := s.receiver.count(key)
		n.delivered += delivered
		n.retried += retried
	}
	return n
}

func (s *demoSide) faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad
}
