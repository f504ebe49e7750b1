package dialecttest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
)

const (
	maxFlips   = 8 << 10 // bytes of a part that are flipped; a longer part is sampled evenly
	shortFlips = 64      // the same with -short

	// cheap is the time of one Receive up to which several bits of a byte are flipped. Elliptic curves take longer.
	cheap = 40 * time.Microsecond
)

// A part is a piece of a request that a stranger can change: its body, its query, or one value of a header.
type part struct {
	in, name string
	bytes    []byte
	short    bool // a header value or a query: each byte may be flipped in several ways
	put      func(in *dialect.Inbound, b []byte)
}

func (p part) String() string { return strings.TrimSpace(p.in + " " + p.name) }

func parts(in dialect.Inbound) []part {
	out := []part{
		{"body", "", in.Body, false, func(in *dialect.Inbound, b []byte) { in.Body = b }},
		{"query", "", []byte(in.Query), true, func(in *dialect.Inbound, b []byte) { in.Query = string(b) }},
	}
	for _, name := range slices.Sorted(maps.Keys(in.Header)) {
		out = append(out, part{"header", name, []byte(in.Header.Get(name)), true, func(in *dialect.Inbound, b []byte) {
			in.Header[name] = []string{string(b)}
		}})
	}
	return out
}

// bits returns which bits of byte i are flipped, each on its own: to a neighbour, to the other case and to no ASCII, or
// one that changes from byte to byte.
func (p part) bits(i int, many bool) []byte {
	if many && p.short {
		return []byte{0x01, 0x20, 0x80}
	}
	return []byte{1 << (i % 8)}
}

// A hole is an unsigned part that the vector lists, and what the flips in it came to.
type hole struct {
	Unsigned
	tried, refused int
}

// flips changes an accepted request in every place and wants each change noticed, without effect, or listed.
func (c *vcase) flips(good dialect.Received, short bool) {
	holes := c.holes()
	start := time.Now()
	_, _ = c.d.Receive(c.settings, c.inbound) // accepted before: only its time is of interest
	many := time.Since(start) < cheap
	for _, p := range parts(c.inbound) {
		stride := len(p.bytes)/maxFlips + 1
		if short {
			stride = len(p.bytes)/shortFlips + 1
		}
		for i := 0; i < len(p.bytes); i += stride {
			for _, bit := range p.bits(i, many) {
				b := slices.Clone(p.bytes)
				b[i] ^= bit
				c.change(good, p, i, b, holes, func() string {
					return fmt.Sprintf("%s with byte %d flipped from %q to %q", p, i, p.bytes[i], b[i])
				})
			}
		}
		c.ends(good, p, holes)
	}
	if short {
		return
	}
	for _, h := range holes {
		if h.tried > 0 && h.tried == h.refused {
			c.addf("%s is listed as unsigned, but every change there is refused", h)
		}
	}
}

// ends makes a part longer and shorter, and leaves it out.
func (c *vcase) ends(good dialect.Received, p part, holes []*hole) {
	last := len(p.bytes) - 1
	if last < 0 {
		return
	}
	for what, b := range map[string][]byte{
		"with 0 behind it":       append(slices.Clone(p.bytes), '0'),
		"with & behind it":       append(slices.Clone(p.bytes), '&'),
		"with a blank behind it": append(slices.Clone(p.bytes), ' '),
		"less its last byte":     p.bytes[:last],
		"left out":               nil,
	} {
		c.change(good, p, last, b, holes, func() string { return p.String() + " " + what })
	}
}

// change puts b in place of a part and judges what comes out.
func (c *vcase) change(good dialect.Received, p part, at int, b []byte, holes []*hole, what func() string) {
	in := c.inbound
	in.Header = maps.Clone(in.Header)
	p.put(&in, b)
	if b == nil && p.in == "header" {
		in.Header = http.Header(maps.Clone(c.inbound.Header))
		delete(in.Header, p.name)
	}
	got, err := c.d.Receive(c.settings, in)
	c.leaks("an error of Receive", err, c.settings, in.Body)
	var refusal *dialect.Error
	if err != nil && !errors.As(err, &refusal) {
		c.addf("%s: the refusal is not a *dialect.Error but a %T", what(), err)
		return
	}
	listed := c.covering(p, at, holes)
	for _, h := range listed {
		h.tried++
		if err != nil {
			h.refused++
		}
	}
	if err != nil {
		return
	}
	if got.Reply != nil {
		c.addf("%s: the message is taken for a handshake", what())
	} else if d := differs(good, got); d != "" && len(listed) == 0 {
		c.addf("%s: accepted as another message (%s differs), and the vector lists no such unsigned part", what(), d)
	}
}

// holes reads the unsigned parts and reports those that are not in the request.
func (c *vcase) holes() []*hole {
	var out []*hole
	for _, u := range c.v.Unsigned {
		known := false
		switch u.In {
		case "body":
			known = u.Text != "" && bytes.Contains(c.inbound.Body, []byte(u.Text))
		case "query":
			known = c.inbound.Query != "" && strings.Contains(c.inbound.Query, u.Text)
		case "header":
			known = len(c.inbound.Header.Values(u.Text)) > 0
		}
		h := &hole{Unsigned: u}
		if !known {
			c.addf("%s is listed as unsigned, but is not in the request", h)
			continue
		}
		out = append(out, h)
	}
	return out
}

func (h *hole) String() string { return fmt.Sprintf("%s %q", h.In, h.Text) }

// covering returns the holes that byte i of a part lies in.
func (c *vcase) covering(p part, i int, holes []*hole) []*hole {
	var out []*hole
	for _, h := range holes {
		if h.In != p.in {
			continue
		}
		if h.In == "header" && strings.EqualFold(h.Text, p.name) || h.In != "header" && within(p.bytes, h.Text, i) {
			out = append(out, h)
		}
	}
	return out
}

// within says whether byte i lies in an occurrence of text; the empty text is everything.
func within(b []byte, text string, i int) bool {
	if text == "" {
		return true
	}
	from := max(0, i-len(text)+1)
	to := min(len(b), i+len(text))
	return bytes.Contains(b[from:to], []byte(text))
}

// differs names the first thing in which two messages are not the same to those who get them.
func differs(a, b dialect.Received) string {
	switch {
	case a.EventType != b.EventType:
		return "the event type"
	case !bytes.Equal(a.Payload, b.Payload):
		return "the payload"
	case !maps.Equal(a.Platform, b.Platform):
		return "platform"
	case a.DedupKey != b.DedupKey:
		return "the dedup key"
	case a.Account != b.Account:
		return "the account"
	case a.EventID != b.EventID:
		return "the event id"
	case (a.Unreadable == "") != (b.Unreadable == ""):
		return "unreadable"
	}
	return ""
}
