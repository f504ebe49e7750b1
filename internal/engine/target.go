package engine

import (
	"context"
	"maps"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// target is an endpoint made ready for sending. Beside failingSince it does not change.
type target struct {
	store.Target
	dialect  *dialect.Dialect
	settings dialect.Settings
	policy   dialect.Policy
	schedule []time.Duration
	patient  []time.Duration // for received messages, nil = like the others
	timeout  time.Duration
	signer   func() func(dialect.Outbound) (dialect.Request, error) // what signs under settings, made at the first call
	send     func(context.Context, egress.Request) (egress.Response, error)

	to          *egress.Destination // nil = it is reached by other means than HTTP
	shown       string              // without a password
	allow       []netip.Prefix
	headers     []header // its own, that may be sent
	concurrency int
	receives    bool // its application has sources now
	app         *throttle
	appUID      string
	problem     string // why nothing can be sent, "" = it can

	failingSince time.Time // guarded by the engine's lock
}

type header struct{ name, value string }

// findTarget reads the endpoint of a flight and makes it ready. false means that the flight is over.
func (e *Engine) findTarget(ctx context.Context, f *flight) bool {
	st, app, receives, err := e.readTarget(ctx, f.Delivery.Endpoint)
	switch {
	case err == nil:
	case hook.KindOf(err) == hook.KindNotFound:
		e.forget(f)
		return false
	default:
		if !e.storeFailed(err) && ctx.Err() == nil {
			e.o.Log.Warn("an endpoint could not be read, will try again", "endpoint", f.Delivery.Endpoint.String(), "err", err)
		}
		e.returnJob(f, errorPause)
		return false
	}
	t := e.compile(st, receives)
	now := e.o.Clock.Steady()
	e.mu.Lock()
	l := f.lane
	fresh := l.gen == f.gen
	held := fresh && e.install(f, t, app, now)
	e.settle(l, now) // it may have more in flight, now that its limits are known
	e.dispatch(now)
	e.mu.Unlock()
	if !fresh || held {
		e.returnJob(f, 0)
		return false
	}
	return true
}

func (e *Engine) readTarget(ctx context.Context, ep hook.EndpointID) (t store.Target, app hook.Application, receives bool, err error) {
	if t, err = e.o.Store.Target(ctx, ep); err != nil {
		return t, app, false, err
	}
	if t.Endpoint.App == hook.Operational {
		return t, app, false, nil // it is in no list, and has neither sources nor a rate
	}
	if app, err = e.o.Store.Application(ctx, t.Endpoint.App.String()); err != nil {
		return t, app, false, err
	}
	sources, err := e.o.Store.Sources(ctx, t.Endpoint.App, store.Page{Limit: 1})
	return t, app, len(sources.Items) > 0, err
}

// install gives a flight and its lane their target. held means that the endpoint takes nothing now, or not this one. The
// lock is held.
func (e *Engine) install(f *flight, t *target, app hook.Application, now time.Time) (held bool) {
	l := f.lane
	l.target, f.target = t, t
	if !l.doubt.IsZero() {
		l.decidePause(t)
	}
	l.former = nil
	l.rate = l.rate.withRate(t.Endpoint.ThrottleRate)
	t.app, t.appUID = e.apps[app.ID].withRate(app.ThrottleRate), app.UID
	if e.apps[app.ID] = t.app; t.app == nil {
		delete(e.apps, app.ID)
	}
	if t.Endpoint.Holds() || t.Endpoint.Transport == hook.TransportPoll || e.unheard(&t.Endpoint) {
		l.asleep = true
		e.clearQueue(l)
		return true
	}
	return l.pause.After(now) || f.throttled(now)
}

// reachesLike says whether an attempt would be made just as it would have been made to another target: if that one failed, so will
// this. What an endpoint is called, what it gets and how often changes nothing about that.
func (t *target) reachesLike(o *target) bool {
	a, b := &t.Endpoint, &o.Endpoint
	return a.URL == b.URL && a.Transport == b.Transport && a.Holds() == b.Holds() && a.PublicOnly == b.PublicOnly &&
		a.Dialect == b.Dialect && a.Version == b.Version && a.Format == b.Format && t.timeout == o.timeout &&
		reflect.DeepEqual(a.Headers, b.Headers) && reflect.DeepEqual(a.OldSecrets, b.OldSecrets) &&
		reflect.DeepEqual(t.Settings, o.Settings) && slices.Equal(t.AllowCIDRs, o.AllowCIDRs)
}

// unheard says whether an endpoint's deliveries wait because nobody is there for them.
func (e *Engine) unheard(ep *hook.Endpoint) bool {
	return ep.Connected() && (e.o.Listening == nil || !e.o.Listening(ep.ID))
}

// forget ends the lane of an endpoint that does not exist any more.
func (e *Engine) forget(f *flight) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := f.lane
	e.land(f)
	e.letGo(f)
	e.clearQueue(l)
	l.more, l.next = false, time.Time{}
	now := e.o.Clock.Steady()
	e.settle(l, now)
	e.dispatch(now)
}

// compile works out all that is the same for every attempt.
func (e *Engine) compile(st store.Target, receives bool) *target {
	ep := &st.Endpoint
	t := &target{
		Target: st, settings: dialect.Settings(st.Settings), receives: receives, failingSince: ep.FailingSince,
		concurrency: ep.Concurrency, dialect: e.o.Dialects[ep.Dialect],
	}
	if ep.Transport == hook.TransportLongConn {
		t.dialect = e.o.Connected[ep.Dialect]
	}
	if t.concurrency <= 0 {
		t.concurrency = e.o.Concurrency
	}
	if t.dialect == nil || t.dialect.Sign == nil || t.dialect.Judge == nil {
		t.problem = "this server cannot send in the dialect " + ep.Dialect
	}
	if t.dialect == nil {
		// Whoever runs a server that lacks it needs time to notice: its deliveries keep a schedule.
		t.dialect = &dialect.Dialect{Policy: e.o.Dialects[standardName].Policy}
	}
	t.signer = sync.OnceValue(func() func(dialect.Outbound) (dialect.Request, error) { return t.dialect.SignWith(t.settings) })
	t.policy = t.dialect.Policy(t.settings)
	t.schedule, t.timeout = t.policy.Schedule, t.policy.Deadline
	if ep.Schedule != nil {
		t.schedule = ep.Schedule
	} else if ep.Dialect == standardName && slices.Equal(t.schedule, t.dialect.Policy(nil).Schedule) {
		t.patient = patientSchedule(t.schedule)
	}
	if ep.Timeout > 0 {
		t.timeout = ep.Timeout
	}
	if t.timeout <= 0 {
		t.timeout = defaultTimeout
	}
	for _, text := range st.AllowCIDRs {
		p, err := parseAllowed(text)
		if err != nil {
			t.problem = "the application's list of allowed addresses cannot be read"
			break
		}
		t.allow = append(t.allow, p)
	}
	t.headers = ownHeaders(ep.Headers)
	t.shown = withoutPassword(ep.URL)
	if t.send = e.sender(t); t.send == nil {
		t.to, t.send = egress.Locate(ep.URL), e.o.Egress.Do
	}
	return t
}

// secretField is the setting of the standard dialect that holds what is signed with.
const secretField = "secret"

// signing returns the settings to sign with at a moment: earlier secrets that were rotated away sign too, until their time
// is over. The newest are signed with when there are more than a dialect takes.
func (t *target) signing(now time.Time) dialect.Settings {
	if t.Endpoint.Dialect != standardName {
		return t.settings
	}
	var live []string
	for _, old := range t.Endpoint.OldSecrets {
		if now.Before(old.Until) {
			live = append(live, old.Value)
		}
	}
	if live == nil {
		return t.settings
	}
	s := maps.Clone(t.settings)
	all := slices.Concat(s[secretField], live)
	s[secretField] = all[:min(len(all), dialect.MaxLiveSecrets)]
	return s
}

// signAt returns what signs at a moment. As long as there are earlier secrets, the settings are read anew for each message.
func (t *target) signAt(now time.Time) func(dialect.Outbound) (dialect.Request, error) {
	if len(t.Endpoint.OldSecrets) == 0 {
		return t.signer()
	}
	return t.dialect.SignWith(t.signing(now))
}

// parseAllowed reads a CIDR, or an address, which is the CIDR of itself.
func parseAllowed(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

const defaultTimeout = 15 * time.Second

// sender is how an endpoint is reached by other means than HTTP; nil = it is not.
func (e *Engine) sender(t *target) func(context.Context, egress.Request) (egress.Response, error) {
	scheme, _, _ := strings.Cut(t.Endpoint.URL, ":")
	s := e.o.Senders[strings.ToLower(scheme)]
	if s == nil {
		return nil
	}
	return func(ctx context.Context, r egress.Request) (egress.Response, error) {
		ctx, cancel := context.WithTimeout(ctx, t.timeout)
		defer cancel()
		r.Header, r.Fields = r.Headers(), nil
		return s(ctx, &t.Target, r)
	}
}

func withoutPassword(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	if u.User != nil {
		u.User = nil
		return u.String()
	}
	return raw
}

// The patient schedule of received messages goes on where the standard one ends: the platform counts them as delivered,
// and nobody else will repeat them.
const (
	patientStep  = 12 * time.Hour
	patientTotal = 7 * 24 * time.Hour
)

func patientSchedule(s []time.Duration) []time.Duration {
	out := slices.Clone(s)
	total := dialect.Policy{Schedule: s}.Total()
	for total += patientStep; total <= patientTotal; total += patientStep {
		out = append(out, patientStep)
	}
	return out
}
