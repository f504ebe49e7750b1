package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

const (
	maxEventType = 256
	maxEventID   = 256
	maxKey       = 256
	// dedupFor is for dialects that do not say how long a key is to be remembered.
	dedupFor = 7 * 24 * time.Hour
	// UnreadableType is the event type of messages that do not show theirs.
	UnreadableType = "unreadable"
)

// push verifies what was read and stores it.
func (v *visit) push() {
	v.now = v.opt.Now() // reading took its time, and signatures have an age
	got, err := v.receive()
	if refusal := (*dialect.Error)(nil); errors.As(err, &refusal) && refusal.Reason == dialect.ReasonReplay {
		if other, ok := v.opt.Otherwise(); ok {
			set := v.now
			v.now = other
			if again, otherwise := v.receive(); otherwise == nil {
				got, err = again, nil // and by that time it is recognised and stored
			} else {
				v.now = set
			}
		}
	}
	switch {
	case err != nil:
		v.judge(err)
	case got.Reply != nil:
		v.reply(ResultHandshake, *got.Reply)
	default:
		v.accept(&got)
	}
}

// receive has the dialect verify and read the request.
func (v *visit) receive() (dialect.Received, error) {
	return v.entry.receive(dialect.Inbound{
		Method: v.r.Method, Query: v.r.URL.RawQuery, Header: v.r.Header, Body: v.body.bytes, Now: v.now,
	})
}

// judge answers a request that the dialect did not accept.
func (v *visit) judge(err error) {
	var refusal *dialect.Error
	if !errors.As(err, &refusal) {
		refusal = &dialect.Error{Reason: dialect.ReasonSettings, Text: err.Error()}
	}
	switch {
	case refusal.Reason == dialect.ReasonNotEnvelope && v.mayProbe():
		v.reply(ResultProbe, dialect.Reply{Status: http.StatusOK})
	case refusal.Reason == dialect.ReasonSettings:
		// The platform is to repeat: it did nothing wrong.
		v.keep(ResultSettings, refusal.Error())
		v.unavailable(ResultSettings)
	default:
		v.refuse(Result(refusal.Reason), refusal.Error())
	}
}

// mayProbe says whether what is no envelope is taken for a console that looks whether somebody is there. What carries a
// signature header is a push, however broken: its sender must hear that it was not stored.
func (v *visit) mayProbe() bool {
	if v.entry.signed(v.r.Header) {
		return false
	}
	return len(v.body.bytes) == 0 || v.now.Before(v.entry.route.Source.VerifyUntil)
}

// accept stores a verified request and acknowledges it. Nothing but the store can stop it any more.
func (v *visit) accept(got *dialect.Received) {
	// A platform that hangs up early must find its message here when it repeats it: what was begun is finished.
	ctx := v.accepting.context(v.r.Context())
	work := v.message(got)
	began := v.opt.Now()
	done, err := v.opt.Accept(ctx, []hook.Accept{work})
	v.seen.Stored = v.opt.Now().Sub(began)
	if err == nil && len(done) != 1 {
		err = fmt.Errorf("%d answers for one message", len(done))
	}
	if err == nil {
		err = done[0].Err
	}
	if err != nil {
		v.notStored(err)
		return
	}
	result, told := ResultStored, dialect.Stored
	switch {
	case done[0].Duplicate:
		result, told = ResultDuplicate, dialect.Duplicate
	case work.Message.Unreadable != "":
		result = ResultUnreadable
	}
	v.reply(result, v.words(dialect.Outcome{Result: told, Received: got}))
}

// patience makes the contexts of pushes that are being stored. Those that come at about the same time share one, for a timer and
// a context for each would cost about as much as the check of its signature: so some have a little longer than others.
type patience struct {
	limit time.Duration

	mu     sync.Mutex
	shared context.Context
	until  time.Time // the last moment at which it is handed out
	end    context.CancelFunc
}

// sharedFor is the part of the limit, one in so many, that a push may have longer than it.
const sharedFor = 64

// context returns a context with the values of another that ends after the limit.
func (p *patience) context(values context.Context) context.Context {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shared == nil || now.After(p.until) {
		more := p.limit / sharedFor
		p.until = now.Add(more)
		p.shared, p.end = context.WithDeadline(context.Background(), p.until.Add(p.limit)) // the one before ends by its time
	}
	return patient{p.shared, values}
}

// close ends the last context. No push is being stored any more.
func (p *patience) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end != nil {
		p.end()
	}
	p.shared, p.end = nil, nil
}

// patient has the end of one context and the values of another.
type patient struct {
	context.Context
	values context.Context
}

// Value is for context.Context.
func (p patient) Value(key any) any { return p.values.Value(key) }

func (v *visit) notStored(err error) {
	v.noted(err)
	v.unavailable(ResultUnavailable)
}

// noted does what follows from a push that was not stored, but for the answer.
func (v *visit) noted(err error) {
	if hook.KindOf(err) == hook.KindNotFound {
		v.Forget() // the application went away after the door was looked up
	}
	if v.accepts.allow(v.now) {
		v.opt.Log.Error("a push is not stored; the platform is told to repeat it", "source", v.entry.route.Source.ID.String(), "err", err)
	}
}

// message makes what is stored of a verified request.
func (v *visit) message(got *dialect.Received) hook.Accept {
	source := &v.entry.route.Source
	m := hook.Message{
		ID:         hook.NewID[hook.MessageID](v.opt.IDs, v.now),
		App:        source.App,
		Source:     source.ID,
		EventType:  got.EventType,
		EventID:    clean(got.EventID, maxEventID),
		Payload:    got.Payload,
		Platform:   got.Platform,
		Unreadable: got.Unreadable,
		CreatedAt:  v.now,
		Raw: &hook.Raw{
			Method: v.r.Method, Query: v.r.URL.RawQuery, Header: storedHeader(v.r.Header), Body: v.body.bytes, Remote: v.remote(),
		},
	}
	if m.EventType == "" {
		m.EventType = UnreadableType
		m.Unreadable = orElse(m.Unreadable, "it names no event type")
	}
	if kept := clean(m.EventType, maxEventType); kept != m.EventType {
		m.EventType = kept
		m.Unreadable = orElse(m.Unreadable, "its event type is over 256 bytes or holds characters that no header can carry")
	}
	if m.Payload == nil {
		m.Payload = dialect.WrapRaw(v.body.bytes)
		m.Unreadable = orElse(m.Unreadable, "it has no payload")
	}
	scope := v.entry.scope
	if got.Account != "" {
		scope = v.entry.scopeOf(got.Account)
	}
	keep := v.entry.policy.DedupFor
	if keep <= 0 {
		keep = dedupFor
	}
	return hook.Accept{Message: m, Dedup: hook.Dedup{
		Scope: scope,
		Key:   key(got.DedupKey),
		Keep:  keep,
		Twin:  key(got.Twin), TwinKeep: got.TwinKeep, TwinMark: got.TwinMark,
	}}
}

func orElse(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}

// clean replaces control characters and broken UTF-8, and cuts at a character's end within n bytes.
func clean(s string, n int) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		s = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || r == utf8.RuneError {
				return '_'
			}
			return r
		}, s)
	}
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// key bounds what is remembered of a dedup key that a platform made long.
func key(s string) string {
	if len(s) <= maxKey {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}
