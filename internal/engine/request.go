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
	signed, err := t.dialect.Sign(t.signing(now), out)
	if err != nil {
		return egress.Request{}, fmt.Errorf("the message cannot be signed: %w", err)
	}
	r := egress.Request{Method: signed.Method, URL: t.url, Query: signed.Query, Header: signed.Header, Body: signed.Body, Allow: t.allow}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	own := reservedBy(r.Header)
	if t.Endpoint.Dialect == standardName {
		describe(r.Header, m, unread)
		switch format {
		case hook.FormatCloudEvents:
			cloudEvent(r.Header, m)
		case hook.FormatOriginal:
			original(&r, m.Raw)
		}
	}
	t.addOwn(r.Header, own)
	return r, nil
}

// seed is secret, the same over all attempts of a message to an endpoint, and different otherwise.
func (e *Engine) seed(m hook.MessageID, ep hook.EndpointID) (out [32]byte) {
	var text [16]byte
	binary.BigEndian.PutUint64(text[:], uint64(m))
	binary.BigEndian.PutUint64(text[8:], uint64(ep))
	h := e.seeds.Get().(hash.Hash)
	defer e.seeds.Put(h)
	h.Reset()
	h.Write(text[:])
	h.Sum(out[:0])
	return out
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
func describe(h http.Header, m *hook.Message, unread string) {
	h["waypost-event-type"] = []string{encodeValue(m.EventType)}
	if m.EventID != "" {
		h["waypost-event-id"] = []string{encodeValue(m.EventID)}
	}
	if m.Source != 0 {
		h["waypost-source"] = []string{m.Source.String()}
	}
	if unread != "" {
		h["waypost-unreadable"] = []string{encodeValue(unread)}
	}
	room := maxPlatformBytes
	for _, name := range slices.Sorted(maps.Keys(m.Platform)) {
		field, value := "waypost-platform-"+headerName(name), encodeValue(m.Platform[name])
		if room -= len(field) + len(value); room < 0 {
			h["waypost-platform-incomplete"] = []string{"true"}
			return
		}
		h[field] = append(h[field], value)
	}
}

// maxPlatformBytes bounds what the platform map adds to a request: common servers take 8 KiB of headers in all.
const maxPlatformBytes = 6 << 10

// cloudEvent adds the attributes of CloudEvents 1.0 in the HTTP binary mode; Content-Type is its datacontenttype.
func cloudEvent(h http.Header, m *hook.Message) {
	from := "/" + m.App.String()
	if m.Source != 0 {
		from += "/" + m.Source.String()
	}
	h["ce-specversion"] = []string{"1.0"}
	h["ce-id"] = []string{m.ID.String()}
	h["ce-source"] = []string{from}
	h["ce-type"] = []string{encodeValue(m.EventType)}
	h["ce-time"] = []string{m.CreatedAt.UTC().Format(time.RFC3339Nano)}
}

// original lays our headers over the request that the platform sent.
func original(r *egress.Request, raw *hook.Raw) {
	ours := r.Header
	merged := make(http.Header, len(ours)+len(raw.Header))
	taken := reservedBy(ours)
	for name, values := range raw.Header {
		lower := strings.ToLower(name)
		switch {
		case stays(lower, raw.Header):
		case lower == "content-type":
			merged[name] = values
		case taken[lower]:
			// A platform that signs in the same headers: its own are kept under another name.
			merged["waypost-original-"+lower] = values
		default:
			merged[name] = values
		}
	}
	if dialect.Header(merged, "Content-Type") != "" {
		deleteHeader(ours, "Content-Type")
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
