package api

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/diagnose"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// The story of a message is made of what is stored and of what is configured now; nothing is tried, and nothing guessed.

type factOut struct {
	Code   string            `json:"code" example:"attempt.retry" doc:"What it is; stays the same over languages and versions"`
	Params map[string]string `json:"params" doc:"What the text is made of; times are in UTC"`
	Text   string            `json:"text" doc:"The fact in one sentence"`
}

type changeOut struct {
	Setting string            `json:"setting" doc:"The member to change: of the endpoint, or of the application when it begins with application. \"\" = no setting"`
	Code    string            `json:"code" example:"change.timeout"`
	Params  map[string]string `json:"params"`
	Text    string            `json:"text" doc:"What to do, in one sentence"`
}

type endpointStoryOut struct {
	EndpointID string     `json:"endpointId"`
	UID        *string    `json:"uid"`
	URL        string     `json:"url" doc:"As it is now; \"\" when the endpoint was deleted, or has none"`
	State      string     `json:"state" enum:"none,pending,delivered,failed,canceled" doc:"Of the delivery; none = there is none"`
	Facts      []factOut  `json:"facts" nullable:"false"`
	Change     *changeOut `json:"change" doc:"The one thing to change; null = nothing needs to, or nothing can"`
}

type storyOut struct {
	ID        string             `json:"id" example:"msg_0123456789abc"`
	Lang      string             `json:"lang" enum:"en,zh"`
	Facts     []factOut          `json:"facts" nullable:"false" doc:"Of the message itself"`
	Endpoints []endpointStoryOut `json:"endpoints" nullable:"false" doc:"Those with a delivery first"`
	Complete  bool               `json:"complete" doc:"false = there are more endpoints: ask for one by endpoint_id"`
}

type storyInput struct {
	MessagePath
	Lang     string `query:"lang" enum:"en,zh" default:"en" doc:"The language of the texts"`
	Endpoint string `query:"endpoint_id" maxLength:"256" doc:"Only this endpoint, by id or uid"`
}

const (
	storyEndpoints = 50 // at most in one answer
	storyAttempts  = 20 // of one delivery, the last ones
	storySeen      = 50 // answers of an endpoint that are looked at for how long they take
)

func (h *Handler) stories() {
	within(h, h.lists, operation("message.explain", http.MethodGet, "/app/{app_id}/msg/{msg_id}/explain",
		"Explain a message in sentences: where it came from, where it went and why not elsewhere, every attempt, what is next, what to change (addition)"),
		member, h.explainMessage)
}

// teller tells the story of one message.
type teller struct {
	h       *Handler
	lang    string
	app     hook.Application
	m       hook.Message
	needs   []string // feature flags
	allowed bool     // by them
	now     time.Time
}

func (h *Handler) explainMessage(ctx context.Context, in *storyInput) (*output[storyOut], error) {
	m, err := h.message(ctx, in.MessagePath)
	if err != nil {
		return nil, err
	}
	t := &teller{h: h, lang: in.Lang, m: m, now: h.now()}
	if t.app, err = h.Store.Application(ctx, m.App.String()); err != nil {
		return nil, err
	}
	if t.needs, err = h.needs(ctx, m.EventType); err != nil {
		return nil, err
	}
	t.allowed = hook.Permits(t.app.FeatureFlags, t.needs)
	out := storyOut{ID: m.ID.String(), Lang: in.Lang, Endpoints: []endpointStoryOut{}, Complete: true}
	if out.Facts, err = t.message(ctx); err != nil {
		return nil, err
	}
	if in.Endpoint != "" {
		err = t.one(ctx, in, &out)
	} else {
		err = t.all(ctx, &out)
	}
	return &output[storyOut]{out}, err
}

func (t *teller) fact(code string, pairs ...string) factOut {
	params := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		params[pairs[i]] = pairs[i+1]
	}
	return factOut{code, params, storyText(code, t.lang, t.spoken(params))}
}

// spoken are the parameters as a text says them: a reason, which is stored in English, in the language of the story.
func (t *teller) spoken(params map[string]string) map[string]string {
	reason := params["reason"]
	if t.lang != chinese || reason == "" || reason == storyText("which.noReason", chinese, nil) {
		return params
	}
	said := maps.Clone(params)
	said["reason"] = diagnose.Chinese(reason)
	return said
}

func (t *teller) change(setting, code string, pairs ...string) *changeOut {
	f := t.fact(code, pairs...)
	return &changeOut{setting, f.Code, f.Params, f.Text}
}

func clockText(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// message tells of the message itself.
func (t *teller) message(ctx context.Context) ([]factOut, error) {
	m, at := &t.m, clockText(t.m.CreatedAt)
	var facts []factOut
	if m.Source == 0 {
		facts = append(facts, t.fact("message.published", "at", at, "eventType", m.EventType))
	} else {
		s, err := t.h.Store.Source(ctx, m.App, m.Source.String())
		switch {
		case err == nil:
			name := s.UID
			if name == "" {
				name = s.ID.String()
			}
			facts = append(facts, t.fact("message.received", "at", at, "eventType", m.EventType, "source", name, "dialect", s.Dialect))
		case hook.KindOf(err) == hook.KindNotFound:
			facts = append(facts, t.fact("message.received-gone", "at", at, "eventType", m.EventType, "source", m.Source.String()))
		default:
			return nil, err
		}
	}
	from, err := t.sender(ctx)
	if err != nil {
		return nil, err
	}
	if from != "" {
		facts = append(facts, t.fact("message.from", "remote", from))
	}
	if m.EventID != "" {
		facts = append(facts, t.fact("message.eventId", "eventId", m.EventID))
	}
	if m.Unreadable != "" {
		facts = append(facts, t.fact("message.unreadable", "reason", m.Unreadable))
	}
	if !m.DeliverAt.IsZero() {
		facts = append(facts, t.fact("message.deliverAt", "deliverAt", clockText(m.DeliverAt)))
	}
	if m.Expired {
		facts = append(facts, t.fact("message.expired"))
	}
	return facts, nil
}

// sender is the address that a received message came from, "" where it is not known, or not any more.
func (t *teller) sender(ctx context.Context) (string, error) {
	if t.m.Source == 0 || t.m.Expired {
		return "", nil
	}
	m, err := t.h.Store.Message(ctx, t.m.App, t.m.ID.String(), true)
	if err != nil || m.Raw == nil {
		return "", err
	}
	return m.Raw.Remote, nil
}

// one tells of the endpoint that was asked for.
func (t *teller) one(ctx context.Context, in *storyInput, out *storyOut) error {
	_, e, err := t.h.endpoint(ctx, &EndpointPath{in.AppPath, in.Endpoint})
	if err != nil {
		return err
	}
	list, err := t.h.Store.Deliveries(ctx, t.m.App, t.m.ID)
	if err != nil {
		return err
	}
	for _, d := range list {
		if d.Endpoint == e.ID {
			return t.add(ctx, out, &e, &d)
		}
	}
	return t.add(ctx, out, &e, nil)
}

// all tells of every endpoint, those with a delivery first, up to a number.
func (t *teller) all(ctx context.Context, out *storyOut) error {
	list, err := t.h.Store.Destinations(ctx, t.m.App, t.m.ID, store.Page{Limit: storyEndpoints})
	if err != nil {
		return err
	}
	told := map[hook.EndpointID]bool{}
	for i := range list.Items {
		d := &list.Items[i]
		told[d.Endpoint] = true
		e, err := t.h.Store.Endpoint(ctx, t.m.App, d.Endpoint.String())
		if hook.KindOf(err) == hook.KindNotFound {
			out.Endpoints = append(out.Endpoints, endpointStoryOut{
				EndpointID: d.Endpoint.String(), State: d.State.String(), Facts: []factOut{t.fact("endpoint.deleted")},
			})
			continue
		}
		if err != nil {
			return err
		}
		if err := t.add(ctx, out, &e, d); err != nil {
			return err
		}
	}
	if !list.Done {
		out.Complete = false
		return nil
	}
	others, err := t.h.Store.Endpoints(ctx, t.m.App, store.Page{Limit: 2 * storyEndpoints})
	if err != nil {
		return err
	}
	out.Complete = others.Done
	for i := range others.Items {
		e := &others.Items[i]
		if told[e.ID] {
			continue
		}
		if len(out.Endpoints) >= storyEndpoints {
			out.Complete = false
			break
		}
		if err := t.add(ctx, out, e, nil); err != nil {
			return err
		}
	}
	if len(out.Endpoints) == 0 {
		out.Facts = append(out.Facts, t.fact("message.noEndpoints"))
	}
	return nil
}

// add tells of an endpoint; d is nil when there is no delivery to it.
func (t *teller) add(ctx context.Context, out *storyOut, e *hook.Endpoint, d *hook.Delivery) error {
	s := endpointStoryOut{EndpointID: e.ID.String(), UID: pointer(e.UID), URL: e.URL, State: "none"}
	if d == nil {
		s.Facts, s.Change = t.unmatched(e)
	} else {
		s.State = d.State.String()
		var err error
		if s.Facts, s.Change, err = t.delivery(ctx, e, d); err != nil {
			return err
		}
	}
	if t.m.Expired {
		s.Change = nil // it can never be sent again
	}
	out.Endpoints = append(out.Endpoints, s)
	return nil
}

// unmatched says why there is no delivery, as far as what is configured now can tell.
func (t *teller) unmatched(e *hook.Endpoint) ([]factOut, *changeOut) {
	m, ep := &t.m, e.ID.String()
	if e.CreatedAt.After(m.CreatedAt) {
		return []factOut{t.fact("endpoint.later", "createdAt", clockText(e.CreatedAt))}, t.change("", "change.replay", "endpoint", ep)
	}
	var facts []factOut
	if e.UpdatedAt.After(m.CreatedAt) {
		facts = append(facts, t.fact("endpoint.changed", "updatedAt", clockText(e.UpdatedAt)))
	}
	byType := *e
	byType.Channels = nil
	ofType, _ := byType.Selects(m)
	matches, _ := e.Selects(m)
	switch {
	case e.Transport == hook.TransportPoll:
		return append(facts, t.fact("endpoint.polled")), nil
	case !t.allowed:
		flags := listText(t.needs, t.lang)
		return append(facts, t.fact("endpoint.flag", "eventType", m.EventType, "flags", flags)),
			t.change("application.featureFlags", "change.flag", "flags", flags)
	case e.Disabled:
		return append(facts, t.fact("endpoint.disabled")), t.enable(e)
	case !ofType:
		return append(facts, t.fact("endpoint.type", "eventType", m.EventType, "filterTypes", listText(e.EventTypes, t.lang))),
			t.change("filterTypes", "change.filterTypes", "eventType", m.EventType)
	case !matches:
		return append(facts, t.fact("endpoint.channel", "channels", listText(e.Channels, t.lang), "messageChannels", listText(m.Channels, t.lang))),
			t.change("channels", "change.channels")
	}
	return append(facts, t.fact("endpoint.other")), t.change("", "change.resend", "message", m.ID.String(), "endpoint", ep)
}

// listText shows the beginning of a list.
func listText(list []string, lang string) string {
	const most = 5
	switch {
	case len(list) == 0:
		return storyText("which.all", lang, nil)
	case len(list) > most:
		return strings.Join(list[:most], ", ") + ", …"
	}
	return strings.Join(list, ", ")
}

func (t *teller) enable(e *hook.Endpoint) *changeOut {
	return t.change("disabled", "change.enable", "reason", t.reason(e.DisabledReason))
}

// reason is a text that is known, or that none is. A full stop at its end is the sentence's.
func (t *teller) reason(text string) string {
	if text = strings.TrimRight(strings.TrimSpace(text), "."); text == "" {
		return storyText("which.noReason", t.lang, nil)
	}
	return text
}

// delivery tells what became of a delivery, what is next and what would change it.
func (t *teller) delivery(ctx context.Context, e *hook.Endpoint, d *hook.Delivery) ([]factOut, *changeOut, error) {
	facts := []factOut{t.fact("endpoint.chosen")}
	list, err := t.h.Store.Attempts(ctx, t.m.App, store.AttemptFilter{Message: t.m.ID, Endpoint: e.ID}, store.Page{Limit: storyAttempts, Descending: true})
	if err != nil {
		return nil, nil, err
	}
	if !list.Done {
		facts = append(facts, t.fact("attempts.earlier"))
	}
	for i := len(list.Items) - 1; i >= 0; i-- {
		facts = append(facts, t.attempt(&list.Items[i]))
	}
	var last *hook.Attempt
	if len(list.Items) > 0 {
		last = &list.Items[0]
	}
	policy, err := t.policy(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	facts = append(facts, t.standing(e, d, last, policy))
	change, err := t.mend(ctx, e, d, last, policy)
	return facts, change, err
}

func (t *teller) attempt(a *hook.Attempt) factOut {
	which := storyText("which.manual", t.lang, nil)
	if a.Trigger == hook.Scheduled {
		which = storyText("which.scheduled", t.lang, map[string]string{"n": strconv.Itoa(a.N)})
	}
	code := "attempt.retry"
	switch {
	case a.Verdict == hook.Success:
		code = "attempt.success"
	case a.Status == 0 && a.Verdict == hook.Refuse:
		code = "attempt.unsent"
	case a.Status == 0:
		code = "attempt.silent"
	case a.Verdict == hook.Refuse:
		code = "attempt.refused"
	case a.Verdict == hook.Gone:
		code = "attempt.gone"
	}
	return t.fact(code, "id", a.ID.String(), "which", which, "n", strconv.Itoa(a.N), "at", clockText(a.At), "status", strconv.Itoa(a.Status),
		"ms", strconv.FormatInt(a.Duration.Milliseconds(), 10), "reason", t.reason(a.Reason))
}

// policy is that of the endpoint's dialect under its present settings, with its own schedule and deadline laid over it. A
// schedule that is not known here is nil.
func (t *teller) policy(ctx context.Context, e *hook.Endpoint) (p dialect.Policy, err error) {
	target, err := t.h.Store.Target(ctx, e.ID)
	if err != nil {
		return p, err
	}
	if d := t.h.Dialects[e.Dialect]; d != nil && d.Policy != nil {
		p = d.Policy(dialect.Settings(target.Settings))
	}
	if t.m.Source != 0 && e.Dialect == standardDialect {
		p.Schedule = nil // received messages are tried for longer than the dialect says
	}
	if e.Schedule != nil {
		p.Schedule = e.Schedule
	}
	if e.Timeout > 0 {
		p.Deadline = e.Timeout
	}
	return p, nil
}

// standing says how the delivery stands and what happens next.
func (t *teller) standing(e *hook.Endpoint, d *hook.Delivery, last *hook.Attempt, p dialect.Policy) factOut {
	n, at := strconv.Itoa(d.Attempts+1), clockText(d.NextAt)
	switch {
	case d.State == hook.Delivered:
		return t.fact("state.delivered")
	case d.State == hook.Failed && last != nil && (last.Verdict == hook.Refuse || last.Verdict == hook.Gone):
		return t.fact("state.refused", "message", t.m.ID.String())
	case d.State == hook.Failed:
		return t.fact("state.exhausted", "attempts", strconv.Itoa(d.Attempts), "message", t.m.ID.String())
	case d.State == hook.Canceled:
		return t.fact("state.canceled")
	case e.Paused:
		return t.fact("next.paused", "n", n)
	case e.Holds():
		return t.fact("next.unverified", "n", n)
	case e.Transport == hook.TransportListen && !t.h.Listeners.Listening(e.ID):
		return t.fact("next.unheard", "n", n)
	case e.Transport == hook.TransportLongConn && len(t.h.longConnections(e.ID)) == 0:
		return t.fact("next.unconnected", "n", n, "appId", e.Account)
	case !d.NextAt.After(t.now):
		return t.fact("next.due", "n", n, "at", at)
	case p.Schedule != nil:
		return t.fact("next.plannedOf", "n", n, "at", at, "total", strconv.Itoa(len(p.Schedule)+1))
	}
	return t.fact("next.planned", "n", n, "at", at)
}

// mend names the one thing to change: what holds everything back first, then what the last attempt tells.
func (t *teller) mend(ctx context.Context, e *hook.Endpoint, d *hook.Delivery, last *hook.Attempt, p dialect.Policy) (*changeOut, error) {
	waits := d.State == hook.Pending && !d.NextAt.After(t.now)
	switch {
	case d.State == hook.Delivered:
		return nil, nil
	case e.Disabled:
		return t.enable(e), nil
	case e.Paused:
		return t.change("paused", "change.unpause"), nil
	case e.Holds():
		return t.change("requireVerified", "change.verify", "endpoint", e.ID.String()), nil
	case d.State == hook.Pending && e.Transport == hook.TransportListen && !t.h.Listeners.Listening(e.ID):
		return t.change("", "change.listen", "app", t.m.App.String(), "endpoint", e.ID.String()), nil
	case d.State == hook.Pending && e.Transport == hook.TransportLongConn && len(t.h.longConnections(e.ID)) == 0:
		return t.change("", "change.connect", "appId", e.Account, "host", t.h.publicHost()), nil
	case waits && e.ThrottleRate > 0:
		return t.change("throttleRate", "change.throttle", "rate", strconv.Itoa(e.ThrottleRate)), nil
	case waits && t.app.ThrottleRate > 0:
		return t.change("application.throttleRate", "change.appThrottle", "rate", strconv.Itoa(t.app.ThrottleRate)), nil
	case last != nil && last.Verdict != hook.Success:
		return t.afterFailure(ctx, e, d, last, p)
	case d.State == hook.Pending:
		return nil, nil
	}
	return t.change("", "change.resend", "message", t.m.ID.String(), "endpoint", e.ID.String()), nil
}

// afterFailure reads the last attempt.
func (t *teller) afterFailure(ctx context.Context, e *hook.Endpoint, d *hook.Delivery, last *hook.Attempt, p dialect.Policy) (*changeOut, error) {
	status := strconv.Itoa(last.Status)
	switch {
	case last.Status == 0 && ranOut(last, p.Deadline):
		return t.slower(ctx, e, p.Deadline)
	case last.Status == 0 && last.Verdict == hook.Retry && e.Transport == hook.TransportLongConn:
		return t.change("", "change.client"), nil
	case last.Status == 0 && strings.Contains(last.Reason, "which endpoints may not reach"):
		return t.change("url", "change.address"), nil
	case last.Status == 0 && last.Verdict == hook.Retry && e.Transport == hook.TransportListen:
		return t.change("", "change.forward"), nil
	case last.Status == 0 && last.Verdict == hook.Retry:
		return t.change("url", "change.unreachable", "url", last.URL), nil
	case last.Status == http.StatusUnauthorized || last.Status == http.StatusForbidden:
		setting := "settings"
		if e.Dialect == standardDialect {
			setting = "secret"
		}
		return t.change(setting, "change.credentials", "status", status, "setting", setting), nil
	case e.Transport == hook.TransportListen && (redirected(last) || notThere(last)):
		return t.change("", "change.forwardPath", "status", status), nil
	case redirected(last):
		return t.change("url", "change.redirect", "status", status), nil
	case notThere(last):
		return t.change("url", "change.path", "status", status), nil
	case last.Status == http.StatusTooManyRequests:
		return t.change("throttleRate", "change.rate"), nil
	case d.State == hook.Failed && last.Verdict == hook.Retry:
		return t.change("retrySchedule", "change.recover", "endpoint", e.ID.String()), nil
	}
	return t.change("", "change.receiver"), nil
}

func redirected(a *hook.Attempt) bool { return a.Status >= 300 && a.Status < 400 }

// notThere says whether the path of the URL does not take what is sent.
func notThere(a *hook.Attempt) bool {
	return a.Status == http.StatusNotFound || a.Status == http.StatusMethodNotAllowed || a.Status == http.StatusGone
}

// ranOut says whether an attempt was cut off by its deadline, which may have been another then.
func ranOut(a *hook.Attempt, deadline time.Duration) bool {
	return deadline > 0 && a.Duration >= deadline || strings.Contains(a.Reason, "the deadline passed")
}

// slower compares the deadline with how long answers of the endpoint took.
func (t *teller) slower(ctx context.Context, e *hook.Endpoint, deadline time.Duration) (*changeOut, error) {
	list, err := t.h.Store.Attempts(ctx, e.App, store.AttemptFilter{Endpoint: e.ID}, store.Page{Limit: storySeen, Descending: true})
	if err != nil {
		return nil, err
	}
	var slowest time.Duration
	for _, a := range list.Items {
		if a.Status != 0 {
			slowest = max(slowest, a.Duration)
		}
	}
	ms := strconv.FormatInt(deadline.Milliseconds(), 10)
	if slowest == 0 {
		return t.change("timeoutMs", "change.timeout", "timeoutMs", ms), nil
	}
	return t.change("timeoutMs", "change.timeoutSeen", "timeoutMs", ms, "slowestMs", strconv.FormatInt(slowest.Milliseconds(), 10)), nil
}
