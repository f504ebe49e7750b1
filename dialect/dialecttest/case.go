package dialecttest

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/waypost/waypost/dialect"
)

// defaultNow is the moment of a vector that names none.
var defaultNow = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var reasons = []dialect.Reason{
	dialect.ReasonSignature, dialect.ReasonReplay, dialect.ReasonMalformed, dialect.ReasonNotEnvelope, dialect.ReasonSettings,
}

var results = map[string]dialect.Result{
	"stored": dialect.Stored, "duplicate": dialect.Duplicate, "forged": dialect.Forged, "malformed": dialect.Malformed,
	"too_large": dialect.TooLarge, "unavailable": dialect.Unavailable, "no_such_door": dialect.NoSuchDoor,
}

var verdicts = map[string]dialect.Kind{
	"accepted": dialect.Accepted, "retry": dialect.Retry, "refused": dialect.Refused, "gone": dialect.Gone,
}

// A vcase is a vector read into the types of a dialect.
type vcase struct {
	findings
	d        *dialect.Dialect
	v        Vector
	now      time.Time
	settings dialect.Settings
	inbound  dialect.Inbound  // for receive and for reply
	outbound dialect.Outbound // for sign
}

func newCase(d *dialect.Dialect, v Vector) (*vcase, error) {
	c := &vcase{d: d, v: v, now: defaultNow, settings: dialect.Settings(v.Settings)}
	var err error
	if v.Now != "" {
		if c.now, err = time.Parse(time.RFC3339, v.Now); err != nil {
			return nil, fmt.Errorf("now: %w", err)
		}
	}
	if v.Refuse != "" && !slices.Contains(reasons, dialect.Reason(v.Refuse)) {
		return nil, fmt.Errorf("refuse: %q is not a reason; there are %v", v.Refuse, reasons)
	}
	if v.Request != nil {
		if c.inbound, err = v.Request.inbound(c.now); err != nil {
			return nil, err
		}
	}
	if v.Message != nil {
		if c.outbound, err = v.Message.outbound(c.now); err != nil {
			return nil, err
		}
	}
	return c, c.complete()
}

// complete says what the vector lacks for what it does.
func (c *vcase) complete() error {
	v := c.v
	switch v.Do {
	case "receive":
		switch {
		case c.d.Receive == nil:
			return errors.New("the dialect does not receive")
		case v.Request == nil:
			return errors.New("receive needs a request")
		case v.Refuse != "" && (v.Want != nil || v.Reply != nil):
			return errors.New("receive has refuse, or want and reply, not both")
		case v.Refuse == "" && v.Want == nil && v.Reply == nil:
			return errors.New("receive needs want, refuse, or the reply of a handshake")
		}
	case "sign":
		switch {
		case c.d.Sign == nil:
			return errors.New("the dialect does not sign")
		case v.Message == nil:
			return errors.New("sign needs a message")
		case v.Request == nil && v.RoundTrip == nil && v.Refuse == "":
			return errors.New("sign needs a request, roundTrip or refuse")
		case v.RoundTrip != nil && c.d.Receive == nil:
			return errors.New("roundTrip needs a dialect that receives")
		}
	case "reply":
		if _, known := results[v.Result]; !known || v.Reply == nil || c.d.Reply == nil {
			return fmt.Errorf("reply needs a dialect that replies, a reply, and a result that is one of %v", sortedKeys(results))
		}
	case "judge":
		if _, known := verdicts[v.Verdict]; !known || v.Response == nil || c.d.Judge == nil {
			return fmt.Errorf("judge needs a dialect that judges, a response, and a verdict that is one of %v", sortedKeys(verdicts))
		}
	default:
		return fmt.Errorf("do is %q; it must be receive, sign, reply or judge", v.Do)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// inbound is the request as net/http hands it over: header names in canonical spelling.
func (r *Request) inbound(now time.Time) (dialect.Inbound, error) {
	body, err := r.body()
	if err != nil {
		return dialect.Inbound{}, err
	}
	in := dialect.Inbound{Method: r.method(), Query: r.Query, Header: http.Header{}, Body: body, Now: now}
	for name, value := range r.Header {
		in.Header.Add(name, value)
	}
	return in, nil
}

func (r *Request) method() string {
	if r.Method == "" {
		return http.MethodPost
	}
	return r.Method
}

func (r *Request) body() ([]byte, error) {
	if r.BodyB64 == "" {
		return []byte(r.Body), nil
	}
	if r.Body != "" {
		return nil, errors.New("request: body and bodyB64 are both set")
	}
	b, err := base64.StdEncoding.DecodeString(r.BodyB64)
	if err != nil {
		return nil, fmt.Errorf("request: bodyB64: %w", err)
	}
	return b, nil
}

func (m *Message) outbound(now time.Time) (dialect.Outbound, error) {
	o := dialect.Outbound{
		ID: m.ID, EventType: m.EventType, EventID: m.EventID, Payload: []byte(m.Payload), Platform: m.Platform,
		Created: now, Now: now,
	}
	if m.Created != "" {
		t, err := time.Parse(time.RFC3339, m.Created)
		if err != nil {
			return o, fmt.Errorf("message: created: %w", err)
		}
		o.Created = t
	}
	if m.Seed != "" {
		seed, err := hex.DecodeString(m.Seed)
		if err != nil || len(seed) != len(o.Seed) {
			return o, fmt.Errorf("message: seed must be %d bytes in hex", len(o.Seed))
		}
		copy(o.Seed[:], seed)
	}
	return o, nil
}
