package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/waypost/waypost/internal/hook"
)

// posted is a message as it stands in a request.
type posted struct {
	hook.Message
	application []byte // the member of that name, as it stands there; nil = none
	raw         []byte // transformationsParams.rawPayload; nil = none
	period      time.Duration
	hours       time.Duration
	now         time.Time
	problems    problems
}

const (
	maxPeriodDays  = 90   // Svix's bound of payloadRetentionPeriod
	maxPeriodHours = 2160 // Svix's bound of payloadRetentionHours
	maxDelay       = 30 * 24 * time.Hour
)

// readMessage reads a publication in one pass; now is when it is made. The payload is a slice of the body.
func readMessage(body []byte, now time.Time) (*posted, error) {
	if !json.Valid(body) || !utf8.Valid(body) {
		return nil, newError(http.StatusBadRequest, "bad_request", "the body is not a JSON document in UTF-8")
	}
	return readPosted(body, now)
}

// readPosted is readMessage for a document that is known to be valid.
func readPosted(doc []byte, now time.Time) (*posted, error) {
	m := &posted{now: now}
	m.CreatedAt = now
	if err := members(doc, m.member); err != nil {
		return nil, err
	}
	if m.raw != nil {
		m.Payload = m.raw
	}
	if m.EventType == "" && !m.problems.has("eventType") {
		m.problems.add("body.eventType", "is needed")
	}
	if m.Payload == nil && !m.problems.has("payload") {
		m.problems.add("body.payload", "is needed")
	}
	switch {
	case m.period > 0 && m.hours > 0:
		m.problems.add("body.payloadRetentionHours", "cannot be given together with payloadRetentionPeriod")
	case m.period+m.hours > 0:
		m.ContentUntil = now.Add(m.period + m.hours)
	}
	return m, m.problems.err()
}

// has says whether something is wrong with a member already.
func (p problems) has(member string) bool {
	for _, e := range p {
		if len(e.Loc) > 1 && e.Loc[1] == member {
			return true
		}
	}
	return false
}

// member reads one member of a publication. Names that it does not know are left alone, as Svix does.
func (m *posted) member(name string, value []byte) {
	p := &m.problems
	if string(value) == "null" && name != "payload" && name != "eventType" {
		return
	}
	switch name {
	case "eventType":
		if readText(p, "body.eventType", value, &m.EventType) && !isEventType(m.EventType) {
			p.add("body.eventType", "must have 1 to %d bytes, without control characters or spaces around it", maxEventType)
		}
	case "eventId":
		if readText(p, "body.eventId", value, &m.EventID) {
			checkEventID(p, m.EventID)
		}
	case "payload":
		if value[0] != '{' {
			p.add("body.payload", "must be an object")
		}
		m.Payload = value
	case "channels":
		m.Channels = readNames(p, "body.channels", value, 1, maxChannels, isChannel)
	case "tags":
		m.Tags = readNames(p, "body.tags", value, 0, maxTags, isTag)
	case "platform":
		switch {
		case !checkInner(p, "body.platform", value):
		case json.Unmarshal(value, &m.Platform) != nil:
			p.add("body.platform", "must be an object of texts")
		default:
			checkPlatform(p, m.Platform)
		}
	case "transformationsParams":
		if checkInner(p, "body."+name, value) {
			m.raw = readRaw(p, value)
		}
	case "deliverAt":
		m.DeliverAt = m.readDeliverAt(value)
	case "payloadRetentionPeriod":
		m.period = time.Duration(readCount(p, "body."+name, value, maxPeriodDays)) * 24 * time.Hour
	case "payloadRetentionHours":
		m.hours = time.Duration(readCount(p, "body."+name, value, maxPeriodHours)) * time.Hour
	case "application":
		m.application = value
	}
}

// checkInner looks at a member that is interpreted as other bodies are looked at.
func checkInner(p *problems, loc string, value []byte) bool {
	var f *fault
	if errors.As(checkDocument(loc, value), &f) {
		p.add(f.Loc, "%s", f.Msg)
	}
	return f == nil
}

// readDeliverAt reads when a message is to be sent. What has passed means at once.
func (m *posted) readDeliverAt(value []byte) time.Time {
	var text string
	if !readText(&m.problems, "body.deliverAt", value, &text) {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	switch {
	case err != nil:
		m.problems.add("body.deliverAt", "must be a moment such as 2026-01-31T08:00:00Z")
	case at.Sub(m.now) > maxDelay:
		m.problems.add("body.deliverAt", "must not lie more than 30 days ahead")
	case at.After(m.now):
		return upToMillisecond(at.UTC())
	}
	return time.Time{}
}

// upToMillisecond rounds up to what is stored, so that nothing comes early.
func upToMillisecond(t time.Time) time.Time {
	return t.Add(time.Millisecond - 1).Truncate(time.Millisecond)
}

// readCount reads a whole number from 1 to most.
func readCount(p *problems, loc string, value []byte, most int64) int64 {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < 1 || n > most {
		p.add(loc, "must be a whole number from 1 to %d", most)
		return 0
	}
	return n
}

func checkEventID(p *problems, id string) {
	if !isName(id, maxUID) {
		p.add("body.eventId", "must be made of letters, digits, dash, underscore and dot, at most %d", maxUID)
	} else if hook.LooksLikeID(id) {
		p.add("body.eventId", "looks like one of this server's own ids; choose another")
	}
}

func readText(p *problems, loc string, value []byte, into *string) bool {
	if value[0] != '"' {
		p.add(loc, "must be a text")
		return false
	}
	return json.Unmarshal(value, into) == nil // a valid string
}

func readNames(p *problems, loc string, value []byte, least, most int, ok func(string) bool) []string {
	var list []string
	if json.Unmarshal(value, &list) != nil {
		p.add(loc, "must be a list of texts")
		return nil
	}
	if len(list) < least || len(list) > most {
		p.add(loc, "must have %d to %d items", least, most)
		return nil
	}
	for _, name := range list {
		if !ok(name) {
			p.add(loc, "has an item with other characters than letters, digits, dash, underscore and dot, or more than %d of them",
				maxChannel)
		}
	}
	return texts(list)
}

// readRaw reads the payload that Svix's helpers for preformatted bodies send as a text, because their JSON encoders would
// not keep its bytes.
func readRaw(p *problems, value []byte) []byte {
	var params struct {
		RawPayload *string `json:"rawPayload"`
	}
	if json.Unmarshal(value, &params) != nil {
		p.add("body.transformationsParams", "must be an object")
		return nil
	}
	if params.RawPayload == nil {
		return nil
	}
	raw := []byte(*params.RawPayload)
	if i := skipSpace(raw, 0); !json.Valid(raw) || raw[i] != '{' {
		p.add("body.transformationsParams.rawPayload", "must be a JSON object")
		return nil
	}
	return raw
}
