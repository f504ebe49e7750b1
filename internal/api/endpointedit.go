package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

const (
	standardDialect = "standard"
	standardSecret  = "secret" // the standard dialect's setting that holds its signing secrets
	secretBytes     = 32

	// userHeader is spelt as nobody needs to: what is under it came from an address, or may be treated as if it did.
	userHeader = "authorization"
	basicAuth  = "Basic "

	// maxOwnTimeout bounds what an application's token may demand: each attempt holds a place of all endpoints' while it waits.
	maxOwnTimeout = time.Minute
)

// endpointEdit is a request to create or change an endpoint.
type endpointEdit struct {
	url     *string // nil = as it is
	from    string  // the dialect before; set by edit
	in      EndpointFields
	replace bool // Svix's members that are missing get their defaults
}

// edit applies a request to an endpoint and checks what came of it. It shares no list or map with what it was given.
func (h *Handler) edit(ctx context.Context, app hook.Application, e *hook.Endpoint, change endpointEdit) error {
	var p problems
	before := *e
	in, who := change.in, actorOf(ctx)

	change.from = before.Dialect
	fillEndpoint(&p, e, in, change.replace)
	if change.url != nil {
		e.URL = *change.url
		if !sameHost(before.URL, e.URL) && !in.Headers.given() {
			dropUser(e)
		}
		takeUser(&p, e, in.Headers.given())
	}
	d, shared, err := h.chooseDialect(ctx, &p, e, in)
	if err != nil {
		return err
	}
	var merged hook.Settings
	if d != nil {
		merged = h.fillSettings(&p, e, d, shared, change)
		fillTimes(&p, e, in, d)
		if !who.isOrganisation() && e.Timeout > maxOwnTimeout && e.Timeout != before.Timeout {
			p.add("body.timeoutMs", "is at most %d with an application's token", maxOwnTimeout.Milliseconds())
		}
		checkOwnHeaders(&p, e.Headers, d)
		if e.RequireVerified && d.Handshake == nil {
			p.add("body.requireVerified", "can never be fulfilled: the dialect %s has no handshake", d.Name)
		}
		if e.Transport == hook.TransportPoll && d.Name != standardDialect {
			p.add("body.transport", "a polled endpoint gets nothing in the dialect %s: leave dialect out", d.Name)
		}
		h.fillLongConn(&p, e, d, merged)
		if e.Transport == hook.TransportListen && d.Name != standardDialect {
			p.add("body.transport", "an endpoint that is listened for gets the standard dialect only: leave dialect out")
		}
	}
	if !who.isOrganisation() && e.URL != before.URL {
		// What an application points somewhere may not reach into the organisation's networks.
		e.PublicOnly = true
	}
	// A file is judged as a whole: its allow list may have changed although its endpoint has not.
	moved := e.URL != before.URL || e.Transport != before.Transport
	if d != nil && (who.declaring || moved || e.Dialect != before.Dialect || e.Profile != before.Profile) {
		httpsOnly := !h.Dev && d.Policy != nil && d.Policy(dialect.Settings(merged)).HTTPSOnly
		if err := h.checkURL(ctx, &p, app, e, httpsOnly); err != nil {
			return err
		}
	}
	if needsVerification(before, *e) {
		e.Verification = hook.Verification{State: hook.VerificationNone}
	}
	e.UpdatedAt = h.now()
	e.Managed = e.Managed || who.declaring
	if err := p.err(); err != nil {
		return err
	}
	return h.mayEdit(ctx, app, d, &before, e, in)
}

// mayEdit says which part of a request that is right its actor may not ask for.
func (h *Handler) mayEdit(ctx context.Context, app hook.Application, d *dialect.Dialect, before, e *hook.Endpoint, in EndpointFields) error {
	who := actorOf(ctx)
	if before.Dialect != "" && (in.Secret.Set || in.Settings.Set) && secretsDiffer(d, before.Settings, e.Settings) {
		if err := who.may(hook.ManageEndpointSecret); err != nil {
			return err
		}
	}
	if !in.FilterTypes.given() && !in.EventTypes.given() {
		return nil
	}
	// What it listens to already may stay, so that what was read can be written back.
	fresh := slices.DeleteFunc(slices.Clone(e.EventTypes), func(t string) bool { return slices.Contains(before.EventTypes, t) })
	return h.maySubscribe(ctx, who, app, fresh)
}

// secretsDiffer says whether a secret of a dialect is not the same in two settings.
func secretsDiffer(d *dialect.Dialect, a, b hook.Settings) bool {
	differs := func(a, b hook.Settings) bool {
		for name := range a {
			if field(d, name).Secret && !slices.Equal(a[name], b[name]) {
				return true
			}
		}
		return false
	}
	return differs(a, b) || differs(b, a)
}

// fillEndpoint applies the members that stand for themselves.
func fillEndpoint(p *problems, e *hook.Endpoint, in EndpointFields, replace bool) {
	fillUID(p, &e.UID, in.UID)
	in.Description.into(&e.Description, replace)
	checkText(p, "body.description", e.Description)
	in.Metadata.into(&e.Metadata, replace)
	checkMetadata(p, e.Metadata)
	fillRate(p, &e.ThrottleRate, in.RateLimit, in.ThrottleRate, replace)
	if types := eitherTypes(p, in.FilterTypes, in.EventTypes); types.Set || replace {
		checkEventTypes(p, types.Value)
		e.EventTypes = texts(types.Value)
	}
	if in.Channels.Set || replace {
		e.Channels = texts(in.Channels.Value)
	}
	if in.Headers.Set {
		e.Headers = checkHeaders(p, in.Headers.Value)
	}
	in.Version.into(&e.Version, replace)
	if in.Transport.Set {
		switch in.Transport.Value {
		case transportPoll:
			e.Transport = hook.TransportPoll
		case transportListen:
			e.Transport = hook.TransportListen
		case transportLong:
			e.Transport = hook.TransportLongConn
		default:
			e.Transport = hook.TransportHTTP
		}
	}
	wasDisabled := e.Disabled
	in.Disabled.into(&e.Disabled, replace)
	switch {
	case !e.Disabled:
		e.DisabledReason = ""
		if wasDisabled {
			e.FailingSince = time.Time{}
		}
	case !wasDisabled:
		e.DisabledReason = "disabled through the API"
	}
	in.RequireVerified.into(&e.RequireVerified, false)
	in.Paused.into(&e.Paused, false)
	in.Concurrency.into(&e.Concurrency, false)
}

// eitherTypes is the member under the name that was used.
func eitherTypes(p *problems, older, newer optional[[]eventType]) optional[[]eventType] {
	if older.given() && newer.given() && !slices.Equal(older.Value, newer.Value) {
		p.add("body.filterTypes", "is the older name of eventTypes, and says something else: give one of them")
	}
	if newer.given() || !older.Set {
		return newer
	}
	return older
}

// chooseDialect applies dialect and profile. The dialect is nil when they do not go together, which is a problem noted.
func (h *Handler) chooseDialect(ctx context.Context, p *problems, e *hook.Endpoint, in EndpointFields) (*dialect.Dialect, hook.Profile, error) {
	name := e.Dialect
	if in.Dialect.Set {
		name = in.Dialect.Value
	}
	ref, named := e.Profile.String(), in.Profile.Set
	if named {
		ref = in.Profile.Value
		if !in.Dialect.Set {
			name = "" // the new profile's, or the default
		}
	}
	shared, err := h.profileFor(ctx, p, e.Profile, ref)
	if err != nil {
		return nil, shared, err
	}
	if name == "" && shared.Dialect == "" {
		name = standardDialect
	}
	d, name := h.checkDialect(p, name, shared.Dialect)
	if d != nil && d.Sign == nil {
		p.add("body.dialect", "%s cannot send: it has a receiving half only", name)
		return nil, shared, nil
	}
	e.Dialect, e.Profile = name, shared.ID
	return d, shared, nil
}

// profileFor finds the profile of a reference; present is the one that the thing has already. Profiles hold the
// organisation's keys, so an application's token may keep one but not choose one.
func (h *Handler) profileFor(ctx context.Context, p *problems, present hook.ProfileID, ref string) (hook.Profile, error) {
	if ref == "" {
		return hook.Profile{}, nil
	}
	prof, err := h.Store.Profile(ctx, ref)
	if err != nil && hook.KindOf(err) != hook.KindNotFound {
		return prof, err
	}
	if prof.ID != present || err != nil {
		if !actorOf(ctx).isOrganisation() {
			return prof, forbidden("only the organisation's token may choose a profile")
		}
	}
	if err != nil {
		p.add("body.profile", "there is no profile %q", clip(ref))
		return hook.Profile{}, nil
	}
	return prof, nil
}

// fillSettings applies settings and secret, keeps or makes a secret for a standard endpoint that would have none, and lets the
// dialect judge the whole, which it returns.
func (h *Handler) fillSettings(p *problems, e *hook.Endpoint, d *dialect.Dialect, shared hook.Profile, change endpointEdit) hook.Settings {
	in := change.in
	own := hook.Settings{}.Merge(e.Settings)
	if in.Settings.Set {
		own = h.change(p, d.Name, e.Settings, in.Settings.Value, !change.replace)
	}
	shownAt := map[string]string{}
	if in.Secret.given() {
		if _, twice := in.Settings.Value.values[standardSecret]; twice {
			p.add("body.secret", "is given twice: also as settings.secret")
		}
		if d.Name != standardDialect {
			p.add("body.secret", "is of the standard dialect; the dialect %s has its keys in settings", d.Name)
		}
		if in.Secret.Value != redacted {
			own[standardSecret] = []string{in.Secret.Value}
		}
		shownAt[standardSecret] = "body.secret"
	}
	if d.Name == standardDialect && len(own[standardSecret]) == 0 && len(shared.Settings[standardSecret]) == 0 {
		// A secret goes when another is given, not when settings are reset: its receiver would refuse everything from then on.
		if own[standardSecret] = e.Settings[standardSecret]; change.from != standardDialect || len(own[standardSecret]) == 0 {
			own[standardSecret] = []string{newSecret()}
		}
	}
	e.Settings = own
	if d.Name != standardDialect {
		e.OldSecrets = nil // they are secrets of the standard dialect
	}
	merged := shared.Settings.Merge(own)
	h.checkSettings(p, d, merged, dialect.Sending, false, shownAt)
	return merged
}

// newSecret makes a signing secret of the Standard Webhooks form.
func newSecret() string {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}

// fillTimes applies schedule, time-out and format.
func fillTimes(p *problems, e *hook.Endpoint, in EndpointFields, d *dialect.Dialect) {
	if in.RetrySchedule.Set {
		e.Schedule = nil
		if !in.RetrySchedule.Null {
			e.Schedule = make([]time.Duration, 0, len(in.RetrySchedule.Value))
		}
		for _, s := range in.RetrySchedule.Value {
			e.Schedule = append(e.Schedule, time.Duration(s*float64(time.Second)).Round(time.Millisecond))
		}
	}
	if in.TimeoutMs.Set {
		e.Timeout = time.Duration(in.TimeoutMs.Value) * time.Millisecond
	}
	format := string(e.Format)
	in.Format.into(&format, false)
	if format == "" {
		format = string(hook.FormatPayload)
	}
	e.Format = hook.Format(format)
	if d.Name != standardDialect && e.Format != hook.FormatPayload {
		p.add("body.format", "is for the standard dialect; in %s a message has one form only", d.Name)
	}
}

// takeUser moves user and password of an address into the header that they are sent in, which is sealed at rest and shown to
// nobody.
func takeUser(p *problems, e *hook.Endpoint, headersGiven bool) {
	u, err := url.Parse(e.URL)
	if err != nil || u.User == nil {
		return
	}
	scheme, rest, _ := strings.Cut(e.URL, "//")
	end := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = i
	}
	e.URL = scheme + "//" + rest[strings.LastIndexByte(rest[:end], '@')+1:]

	password, _ := u.User.Password()
	value := basicAuth + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	if len(value) > maxHeaderValue {
		p.add("body.url", "has a user and password that are too long for a header")
		return
	}
	headers := maps.Clone(e.Headers)
	if headers == nil {
		headers = map[string]string{}
	}
	if removeHeader(headers, userHeader) && headersGiven {
		p.add("body.url", "has a user and password, and headers has an authorization: give one of them")
		return
	}
	headers[userHeader] = value
	e.Headers = headers
}

// dropUser takes away what takeUser made of an address: a user and password are for the host with which they were given.
func dropUser(e *hook.Endpoint) {
	if strings.HasPrefix(e.Headers[userHeader], basicAuth) {
		e.Headers = maps.Clone(e.Headers)
		delete(e.Headers, userHeader)
	}
}

// sameHost says whether two addresses lead to the same port of the same host by the same scheme.
func sameHost(a, b string) bool {
	x, err := url.Parse(a)
	y, err2 := url.Parse(b)
	return err == nil && err2 == nil && strings.EqualFold(x.Scheme, y.Scheme) && strings.EqualFold(x.Host, y.Host)
}

// checkURL judges the address of an endpoint.
func (h *Handler) checkURL(ctx context.Context, p *problems, app hook.Application, e *hook.Endpoint, httpsOnly bool) error {
	if own := map[hook.Transport]string{hook.TransportListen: ListenURL, hook.TransportLongConn: LongConnURL}[e.Transport]; own != "" {
		if e.URL != "" && e.URL != own {
			p.add("body.url", "does not go with the transport %s: leave it out; set it to null where there was one", showTransport(e.Transport))
		}
		e.URL = own
		return nil
	}
	if e.URL == "" {
		if e.Transport != hook.TransportPoll {
			p.add("body.url", "is needed: only an endpoint whose transport is poll has none")
		}
		return nil
	}
	u, problem := isHTTP(e.URL)
	if problem != "" {
		p.add("body.url", "%s", problem)
		return nil
	}
	if u.Scheme != "https" && httpsOnly {
		p.add("body.url", "must begin with https://: the dialect %s sends to nothing else (a server started with --dev allows it)", e.Dialect)
		return nil
	}
	allow := app.AllowCIDRs
	if e.PublicOnly {
		allow = nil
	}
	if err := h.CheckURL(ctx, e.URL, allow); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		problem := addressProblem(err, actorOf(ctx))
		if e := (*hook.Error)(nil); app.ID == hook.Operational && errors.As(err, &e) && e.Err != nil { // there is a way
			problem = e.Text + "; to allow it, start the server with --operational-allow"
		}
		p.add("body.url", "%s", problem)
	}
	return nil
}

// addressProblem is what is wrong with an address. How to allow it, which may tell of the organisation's networks, is for
// the organisation.
func addressProblem(err error, who actor) string {
	var e *hook.Error
	switch {
	case errors.As(err, &e) && (e.Err == nil || !who.isOrganisation()):
		return e.Text
	case e != nil:
		return e.Text + "; " + e.Err.Error()
	case who.isOrganisation():
		return err.Error()
	}
	return "is not an address that endpoints may have"
}
