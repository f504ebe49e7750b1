package simulate

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// A forger makes one kind of request that a receiver must refuse.
type forger struct {
	name     string // in records
	words    words  // in findings
	settings dialect.Settings
	change   func(req *dialect.Request, out dialect.Outbound) bool // nil = nothing to change; false = cannot
}

// makeForgers lists the kinds of forgery that the dialect allows.
func (r *run) makeForgers() []forger {
	byWords := func(en, zh string, s dialect.Settings, change func(*dialect.Request, dialect.Outbound) bool) forger {
		return forger{en, words{en, zh}, s, change}
	}
	forgers := []forger{byWords("with one byte changed", "改动了一个字节", r.Settings, changeByte)}
	wrong, err := wrongKeys(r.Dialect, r.Settings)
	other := byWords("signed with a wrong key", "用错误密钥签名", wrong, nil)
	if err == nil {
		forgers = append(forgers, other)
	} else {
		r.find("not_forged:key", other.words, err.Error())
	}
	if len(r.Dialect.SignatureHeaders) > 0 {
		forgers = append(forgers, byWords("without a signature", "没有签名", r.Settings, r.dropSignature))
	}
	return forgers
}

// forge sends one forgery, once: a platform does not, so there is no schedule to it.
func (r *run) forge(ctx context.Context, j job) {
	out := r.outbound(j.forger.name, j.number)
	rec := Record{Kind: StepForged, ID: out.ID, EventType: out.EventType, Attempts: 1, Forgery: j.forger.name}
	cannot := func(why words) { r.find("not_forged:"+j.forger.name, j.forger.words, why) }
	req, err := r.Dialect.Sign(j.forger.settings, out)
	if err != nil {
		cannot(words{"it cannot be signed", "无法加签"})
		return
	}
	if j.forger.change != nil && !j.forger.change(&req, out) {
		cannot(words{"there is nothing in it to change", "其中没有可改动的内容"})
		return
	}
	a, ok := r.send(ctx, req, r.judge)
	if !ok {
		return
	}
	rec.Status, rec.Reason, rec.LatencyMs = a.status, a.verdict.Reason, ms(a.took)
	rec.Acknowledged = a.verdict.Kind == dialect.Accepted
	r.step(StepForged, &rec, a, 0)
	r.count(func(t *Totals) {
		t.Forged++
		switch {
		case rec.Acknowledged:
			t.ForgedAccepted++
		case a.failed != nil:
			t.ForgedUnanswered++
		default:
			t.ForgedRefused++
		}
	})
	if rec.Acknowledged {
		r.find("forged_accepted:"+j.forger.name, a, j.forger.words)
	} else if a.failed != nil {
		r.find("forged_unanswered:"+j.forger.name, j.forger.words, a.failed.Text)
	}
	r.record(rec)
}

// changeByte changes one character of the payload in the body and leaves the signature as it was. Letters and digits
// stand in a body as they are, whatever envelope or encoding is around the payload; an encrypted payload has none that
// can be found, and the middle of the body is taken.
func changeByte(req *dialect.Request, out dialect.Outbound) bool {
	at := payloadByte(req.Body, out.Payload)
	if at < 0 {
		at = slices.IndexFunc(req.Body[len(req.Body)/2:], isWord)
		if at < 0 {
			return false
		}
		at += len(req.Body) / 2
	}
	body := bytes.Clone(req.Body)
	body[at] = neighbour(body[at])
	req.Body = body
	return true
}

// payloadByte finds a character in the body that certainly comes from the payload, -1 = none.
func payloadByte(body, payload []byte) int {
	words := bytes.FieldsFunc(payload, func(c rune) bool { return c >= 0x80 || !isWord(byte(c)) })
	slices.SortStableFunc(words, func(a, b []byte) int { return len(b) - len(a) })
	for _, w := range words[:min(len(words), 50)] {
		if len(w) >= 4 && bytes.Count(body, w) > 0 && bytes.Count(body, w) == bytes.Count(payload, w) {
			return bytes.Index(body, w) + len(w) - 1
		}
	}
	return -1
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// neighbour is another character of the same class, so that numbers stay numbers.
func neighbour(c byte) byte {
	switch c {
	case '9', 'z', 'Z':
		return c - 1
	}
	return c + 1
}

func (r *run) dropSignature(req *dialect.Request, _ dialect.Outbound) bool {
	h := http.Header{}
	for name, values := range req.Header {
		if !slices.Contains(r.Dialect.SignatureHeaders, strings.ToLower(name)) {
			h[name] = values
		}
	}
	dropped := len(h) < len(req.Header)
	req.Header = h
	return dropped
}
