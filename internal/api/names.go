package api

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/waypost/waypost/internal/hook"
)

// Bounds of what people name things. The patterns and the lengths of uids, event ids, channels and tags are Svix's;
// event types are wider here, since a platform's own names are kept verbatim.
const (
	namePattern     = `^[a-zA-Z0-9\-_.]+$`
	channelPattern  = `^[a-zA-Z0-9\-_.:]+$`
	maxUID          = 256
	maxChannel      = 128
	maxEventType    = 256
	maxName         = 256
	maxDescription  = 4096
	maxFilterTypes  = 1000
	maxChannels     = 10
	maxTags         = 10
	maxMetadata     = 4096 // bytes of all names and values
	maxPlatform     = 64   // members
	maxPlatformText = 4096 // bytes of a value
)

// isName says whether a text is of letters, digits, dash, underscore and dot, and not too long.
func isName(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// isChannel says whether a text may name a channel: as a name, but colons may stand in it too.
func isChannel(s string) bool {
	return isName(strings.ReplaceAll(s, ":", "."), maxChannel)
}

// isTag says whether a text may name a tag.
func isTag(s string) bool { return isName(s, maxChannel) }

// isEventType says whether a text may name a type of event.
func isEventType(s string) bool {
	return s != "" && len(s) <= maxEventType && isText(s) && strings.TrimSpace(s) == s
}

// isText says whether a text is UTF-8 without control characters.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// uid is a user's own id of something.
type uid string

// Schema has the pattern and the length.
func (uid) Schema(huma.Registry) *huma.Schema { return nameSchema(maxUID) }

// channel is the name of a channel.
type channel string

// Schema has the pattern and the length.
func (channel) Schema(huma.Registry) *huma.Schema {
	s := nameSchema(maxChannel)
	s.Pattern = channelPattern
	return s
}

// tag is the name of a tag.
type tag string

// Schema has the pattern and the length.
func (tag) Schema(huma.Registry) *huma.Schema { return nameSchema(maxChannel) }

// eventType is the name of a type of event.
type eventType string

// Schema has the length.
func (eventType) Schema(huma.Registry) *huma.Schema {
	one, most := 1, maxEventType
	return &huma.Schema{Type: huma.TypeString, MinLength: &one, MaxLength: &most}
}

func nameSchema(limit int) *huma.Schema {
	one := 1
	return &huma.Schema{Type: huma.TypeString, Pattern: namePattern, MinLength: &one, MaxLength: &limit}
}

// texts turns a list of a named kind of text into plain ones, sorted and without repeats.
func texts[T ~string](list []T) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, 0, len(list))
	for _, v := range list {
		out = append(out, string(v))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// checkUID refuses a uid that could be taken for an id.
func checkUID(p *problems, u uid) {
	if hook.LooksLikeID(string(u)) {
		p.add("body.uid", "looks like one of this server's own ids; choose another")
	}
}

func checkText(p *problems, loc, text string) {
	if !isText(strings.NewReplacer("\n", " ", "\t", " ", "\r", " ").Replace(text)) {
		p.add(loc, "holds control characters")
	}
}

func checkMetadata(p *problems, m map[string]string) {
	size := 0
	for k, v := range m {
		size += len(k) + len(v)
	}
	if size > maxMetadata {
		p.add("body.metadata", "has %d bytes; at most %d are kept", size, maxMetadata)
	}
}

func checkEventTypes(p *problems, list []eventType) {
	for i, t := range list {
		if !isEventType(string(t)) {
			p.add(fmt.Sprintf("body.filterTypes[%d]", i), "is not a name: it is too long, or holds control characters or spaces around it")
		}
	}
}

// checkPlatform looks at the members of an envelope. They travel as headers, so their names are as strict as those of headers.
func checkPlatform(p *problems, m map[string]string) {
	if len(m) > maxPlatform {
		p.add("body.platform", "has %d members; at most %d are allowed", len(m), maxPlatform)
		return
	}
	for k, v := range m {
		switch {
		case !isName(k, maxChannel):
			p.add("body.platform", "has a member whose name is not made of letters, digits, dash, underscore and dot")
		case len(v) > maxPlatformText || !isText(v):
			p.add("body.platform."+k, "is longer than %d bytes or holds control characters", maxPlatformText)
		}
	}
}
