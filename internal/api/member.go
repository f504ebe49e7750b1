package api

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/waypost/waypost/internal/hook"
)

// members calls f with each member of a JSON object, the value as the bytes that stand there. The document must be valid:
// what it holds is not checked here. Its error is for the caller; f may have been called before it is found.
func members(doc []byte, f func(name string, value []byte)) error {
	i := skipSpace(doc, 0)
	if i == len(doc) || doc[i] != '{' {
		return invalidRequest(wrong("body", "must be an object"))
	}
	var twice problems
	seen := make([]string, 0, 8)
	for i = skipSpace(doc, i+1); doc[i] != '}'; {
		end := skipString(doc, i)
		name := memberName(doc[i:end])
		i = skipSpace(doc, end)
		i = skipSpace(doc, i+1) // the colon
		end = skipValue(doc, i)
		if slices.Contains(seen, name) {
			twice.add("body."+clip(name), "is given twice")
		} else if len(seen) == maxMembers {
			return invalidRequest(wrong("body", "has more than %d members", maxMembers))
		} else {
			seen = append(seen, name)
			f(name, doc[i:end])
		}
		if i = skipSpace(doc, end); doc[i] == ',' {
			i = skipSpace(doc, i+1)
		}
	}
	return twice.err()
}

const maxMembers = 64 // of a publication; far more than there are names

func memberName(quoted []byte) string {
	plain := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(plain, '\\') < 0 {
		return string(plain)
	}
	var name string
	_ = json.Unmarshal(quoted, &name) // a valid string
	return name
}

func skipSpace(doc []byte, i int) int {
	for i < len(doc) && (doc[i] == ' ' || doc[i] == '\n' || doc[i] == '\t' || doc[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index behind the string that begins at i.
func skipString(doc []byte, i int) int {
	for i++; ; i++ {
		switch doc[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// skipValue returns the index behind the value that begins at i.
func skipValue(doc []byte, i int) int {
	switch doc[i] {
	case '"':
		return skipString(doc, i)
	case '{', '[':
		for depth := 0; ; {
			switch doc[i] {
			case '"':
				i = skipString(doc, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			i++
			if depth == 0 {
				return i
			}
		}
	}
	for i < len(doc) && doc[i] != ',' && doc[i] != '}' && doc[i] != ']' && skipSpace(doc, i) == i {
		i++
	}
	return i
}

// readMember reads one member of a publication. Names that it does not know are left alone, as Svix does, but for
// those whose silence would do something else than was asked.
func readMember(p *problems, m *hook.Message, raw *[]byte, name string, value []byte) {
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
		m.Channels = readNames(p, "body.channels", value, 1, maxChannels)
	case "tags":
		m.Tags = readNames(p, "body.tags", value, 0, maxTags)
	case "platform":
		if json.Unmarshal(value, &m.Platform) != nil {
			p.add("body.platform", "must be an object of texts")
		} else {
			checkPlatform(p, m.Platform)
		}
	case "transformationsParams":
		*raw = readRaw(p, value)
	case "deliverAt":
		p.add("body.deliverAt", "is not supported: messages are sent at once")
	}
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

func readNames(p *problems, loc string, value []byte, least, most int) []string {
	var list []channel
	if json.Unmarshal(value, &list) != nil {
		p.add(loc, "must be a list of texts")
		return nil
	}
	if len(list) < least || len(list) > most {
		p.add(loc, "must have %d to %d items", least, most)
		return nil
	}
	for _, c := range list {
		if !isName(string(c), maxChannel) {
			p.add(loc, "has an item that is not made of letters, digits, dash, underscore and dot, at most %d", maxChannel)
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
