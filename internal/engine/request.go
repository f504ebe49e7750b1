package engine

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
)

// standardName is the dialect whose endpoints have delivery formats.
const standardName = "standard"

// source is what is needed to read what came in through a source.
type source struct {
	dialect  *dialect.Dialect
	settings dialect.Settings
}

// request makes the request that delivers a message.
func (e *Engine) request(ctx context.Context, t *target, m *hook.Message, now time.Time) (egress.Request, error) {
	format := t.Endpoint.Format
	if t.Endpoint.Dialect != standardName || format == "" || m.Raw == nil && format == hook.FormatOriginal {
		format = hook.FormatPayload
	}
	out := dialect.Outbound{
		ID: m.ID.String(), EventType: m.EventType, EventID: m.EventID, Platform: m.Platform, Created: m.CreatedAt, Now: now,
		Seed: e.seed(m.ID, t.Endpoint.ID),
	}
	unread := m.Unreadable
	if format == hook.FormatOriginal {
		out.Payload = m.Raw.Body
	} else {
		var err error
		if out.Payload, unread, err = e.payload(ctx, m); err != nil {
			return egress.Request{}, err
		}
	}
	signed, err := t.signAt(now)(out)
	if err != nil {
		return egress.Request{}, fmt.Errorf("the message cannot be signed: %w", err)
	}
	r := egress.Request{
		Method: signed.Method, URL: t.Endpoint.URL, To: t.to, Query: signed.Query, Header: signed.Header, Body: signed.Body, Allow: t.allow,
	}
	own := t.ownBeside(signed.Header)
	if t.Endpoint.Dialect == standardName {
		r.Fields = make([]egress.Field, 0, 9+len(m.Platform)+len(own))
		describe(&r, m, unread)
		switch format {
		case hook.FormatCloudEvents:
			cloudEvent(&r, m)
		case hook.FormatOriginal:
			original(&r, m.Raw)
		}
	}
	for _, h := range own {
		replaceHeader(&r, h.name, h.value)
	}
	return r, nil
}

// seed is secret, the same over all attempts of a message to an endpoint, and different otherwise.
func (e *Engine) seed(m hook.MessageID, ep hook.EndpointID) (out [32]byte) {
	s := e.seeds.Get().(*seeder)
	defer e.seeds.Put(s)
	binary.BigEndian.PutUint64(s.text[:], uint64(m))
	binary.BigEndian.PutUint64(s.text[8:], uint64(ep))
	s.mac.Reset()
	s.mac.Write(s.text[:])
	s.mac.Sum(s.out[:0])
	return s.out
}

// seeder is what making a seed takes.
type seeder struct {
	mac  hash.Hash // keyed with SeedKey
	text [16]byte
	out  [32]byte
}

// payload is the business object as it is delivered: decrypted where its platform encrypts. unread says why it is delivered
// as it lies in the store.
func (e *Engine) payload(ctx context.Context, m *hook.Message) (payload []byte, unread string, err error) {
	if m.Source == 0 {
		return m.Payload, m.Unreadable, nil
	}
	s, err := e.source(ctx, m.Source)
	switch {
	case err != nil && hook.KindOf(err) == hook.KindNotFound:
		// Nobody has the key any more, and nobody can tell whether there was one.
		return m.Payload, cmp.Or(m.Unreadable, sourceGone), nil
	case err != nil:
		return nil, "", errors.New("the source of the message could not be read")
	case s.dialect == nil || s.dialect.Decrypt == nil:
		return m.Payload, m.Unreadable, nil
	}
	clear, err := s.dialect.Decrypt(s.settings, m.Payload, m.Platform)
	switch {
	case err == nil:
		return clear, m.Unreadable, nil
	case m.Unreadable != "":
		return m.Payload, m.Unreadable, nil // as was known when it was accepted
	}
	return nil, "", fmt.Errorf("the message cannot be decrypted with the present settings of its source: %w", err)
}

// sourceGone is the mark of a message that outlived its source.
const sourceGone = "its source was deleted: the payload is as it was stored, and what the platform encrypted is still encrypted"

// maxSources is how many sources are kept in memory.
const maxSources = 4096

// source returns a source, from memory when it is known.
func (e *Engine) source(ctx context.Context, id hook.SourceID) (*source, error) {
	e.mu.Lock()
	s, gen := e.sources[id], e.config
	e.mu.Unlock()
	if s != nil {
		return s, nil
	}
	r, err := e.o.Store.SourceRoute(ctx, id)
	if err != nil {
		e.storeFailed(err)
		return nil, err
	}
	s = &source{e.o.Dialects[r.Source.Dialect], dialect.Settings(r.Settings)}
	e.mu.Lock()
	defer e.mu.Unlock()
	if gen == e.config {
		if len(e.sources) >= maxSources {
			clear(e.sources)
		}
		e.sources[id] = s
	}
	return s, nil
}

// describe adds what is known of a message beside its payload, every value as encodeValue writes it:
//
//	waypost-event-type           the event type
//	waypost-event-id             the platform's id of the message, where it has one
//	waypost-source               the source that it came in through
//	waypost-platform-<name>      each field of the platform's envelope, its name as headerName writes it
//	waypost-platform-incomplete  "true" when the envelope is too long for headers and was cut
//	waypost-unreadable           why the payload is, or may be, delivered as it came in
func describe(r *egress.Request, m *hook.Message, unread string) {
	add(r, "waypost-event-type", encodeValue(m.EventType))
	if m.EventID != "" {
		add(r, "waypost-event-id", encodeValue(m.EventID))
	}
	if m.Source != 0 {
		add(r, "waypost-source", m.Source.String())
	}
	if unread != "" {
		add(r, "waypost-unreadable", encodeValue(unread))
	}
	var space [16]string
	names := space[:0]
	for name := range m.Platform {
		names = append(names, name)
	}
	slices.Sort(names)
	room := maxPlatformBytes
	for _, name := range names {
		field, value := "waypost-platform-"+headerName(name), encodeValue(m.Platform[name])
		if room -= len(field) + len(value); room < 0 {
			const cut = "waypost-platform-incomplete" // and no field of the platform is called so beside it
			r.Fields = slices.DeleteFunc(r.Fields, func(f egress.Field) bool { return f.Name == cut })
			add(r, cut, "true")
			return
		}
		add(r, field, value)
	}
}

// maxPlatformBytes bounds what the platform map adds to a request: common servers take 8 KiB of headers in all.
const maxPlatformBytes = 6 << 10

// cloudEvent adds the attributes of CloudEvents 1.0 in the HTTP binary mode; Content-Type is its datacontenttype.
func cloudEvent(r *egress.Request, m *hook.Message) {
	from := "/" + m.App.String()
	if m.Source != 0 {
		from += "/" + m.Source.String()
	}
	add(r, "ce-specversion", "1.0")
	add(r, "ce-id", m.ID.String())
	add(r, "ce-source", from)
	add(r, "ce-type", encodeValue(m.EventType))
	add(r, "ce-time", m.CreatedAt.UTC().Format(time.RFC3339Nano))
}

// original lays our headers over the request that the platform sent.
func original(r *egress.Request, raw *hook.Raw) {
	ours := r.Header
	merged := make(http.Header, len(ours)+len(raw.Header))
	for name, values := range raw.Header {
		lower := strings.ToLower(name)
		switch {
		case stays(lower, raw.Header):
		case lower == "content-type":
			merged[name] = values
		case hasHeader(ours, lower):
			// A platform that signs in the same headers: its own are kept under another name.
			merged["waypost-original-"+lower] = values
		default:
			merged[name] = values
		}
	}
	if dialect.Header(merged, "Content-Type") != "" {
		deleteHeader(ours, "Content-Type") // made for this request, as all that is in it
	}
	maps.Copy(merged, ours)
	r.Header = merged
	if raw.Method != dialect.MethodFrame { // a frame goes on as the body of a POST
		r.Method = raw.Method
	}
	if raw.Query != "" {
		r.Query = raw.Query
	}
}

// stays says whether a header of the platform's request ends here: it belongs to that connection, or to us.
func stays(lower string, h http.Header) bool {
	switch lower {
	case "accept-encoding", "cookie", "proxy-authenticate", "proxy-authorization":
		return true
	}
	if egress.Framing(lower) || strings.HasPrefix(lower, "waypost-") {
		return true
	}
	for _, list := range h.Values("Connection") {
		for name := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(name), lower) {
				return true
			}
		}
	}
	return false
}
