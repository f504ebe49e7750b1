package explain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"github.com/waypost/waypost/dialect"
)

var float = regexp.MustCompile(`[:\[,]\s*-?\d(\.\d+)?[eE]\+?\d+`)

// hints are what can be seen without a proof: enough to break a signature, or often harmless.
func hints(d *dialect.Dialect, c dialect.Case) []Finding {
	out := []Finding{}
	hint := func(sure Sure, code, where string) { out = append(out, finding(code, sure, where)) }
	for _, p := range d.Validate(c.Settings, dialect.Receiving, false) {
		f := finding("setting_problem", Likely, "setting "+p.Field)
		f.Text = Text{f.Text.En + " It " + p.Text + ".", f.Text.Zh + "（原文：" + p.Text + "）"}
		out = append(out, f)
	}
	body := c.Inbound.Body
	if x := d.Explain; x != nil && x.Signature.Get != nil {
		if _, ok := x.Signature.Get(c.Inbound); !ok && len(body) > 0 {
			hint(Likely, "signature_missing", x.Signature.Name)
		} else if ok && len(body) == 0 && dialect.Header(c.Inbound.Header, "Content-Length") != "0" {
			hint(Likely, "body_empty", "body")
		}
	}
	if n, err := strconv.Atoi(dialect.Header(c.Inbound.Header, "Content-Length")); err == nil && n > len(body) {
		hint(Likely, "body_truncated", "body")
	} else if cutShort(body) {
		hint(Likely, "body_truncated", "body")
	}
	for _, lost := range []string{"\uFFFD", "%EF%BF%BD"} {
		if bytes.Contains(body, []byte(lost)) {
			hint(Likely, "charset_lost", "body")
			break
		}
	}
	if bytes.Contains(body, []byte("???")) || bytes.Contains(body, []byte("%3F%3F%3F")) {
		hint(Possible, "charset_question", "body")
	}
	if x := d.Explain; x != nil {
		for _, p := range x.Signed {
			if text, ok := p.Get(c.Inbound); ok && allSorted(text) {
				hint(Possible, "json_sorted", p.Name)
			}
		}
	}
	if float.Match(body) {
		hint(Possible, "json_precision", "body")
	}
	return out
}

// cutShort says whether a body began as JSON and ends before it does.
func cutShort(body []byte) bool {
	body = bytes.TrimLeft(body, blanks)
	if len(body) == 0 || body[0] != '{' && body[0] != '[' || json.Valid(body) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	var value json.RawMessage
	return errors.Is(d.Decode(&value), io.ErrUnexpectedEOF)
}

// next is what to check when nothing is known.
var next = Text{
	"Check next: that the secret or key is this application's and of this environment, that it was not reset since, " +
		"and that the request is what the platform sent, byte for byte.",
	"接下来请检查：密钥是否属于该应用和该环境、是否已被重置、请求是否与平台发送的逐字节一致。",
}

// summary is the explanation in one sentence.
func summary(e *Explanation) Text {
	switch {
	case e.Verified:
		return Text{fmt.Sprintf("The signature is right, by live key %d.", e.Key), fmt.Sprintf("签名正确，使用第 %d 个有效密钥。", e.Key)}
	case e.Proved():
		var out Text
		for i, f := range e.Findings {
			if f.Sure != Certain {
				continue
			}
			if i > 0 {
				out.En += " "
			}
			out.En += f.Text.En
			out.Zh += f.Text.Zh
		}
		return out
	}
	out := Text{
		fmt.Sprintf("No known accident explains this: %d possibilities were tried. ", e.Tried),
		fmt.Sprintf("没有已知的意外能解释：已尝试 %d 种可能。", e.Tried),
	}
	if !e.Whole {
		out.En += "The search met its limit before all of them. "
		out.Zh += "查找在全部试完之前达到了上限。"
	}
	if len(e.Findings) > 0 {
		out.En += "What was noticed is listed, without proof. "
		out.Zh += "已列出注意到的可疑之处，但未证实。"
	}
	return Text{out.En + next.En, out.Zh + next.Zh}
}

const fewest = 4 // members that are hardly sorted by chance

// allSorted says whether the members of every object of a JSON text are in order, of at least a few.
func allSorted(text []byte) bool {
	if !json.Valid(text) {
		return false
	}
	doc, _ := parse(text)
	most := 0
	return doc.sorted(&most) && most >= fewest
}

func (n node) sorted(most *int) bool {
	if n.open == '{' {
		*most = max(*most, len(n.members))
	}
	for i, m := range n.members {
		if n.open == '{' && i > 0 && bytes.Compare(n.members[i-1].name, m.name) > 0 || !m.node.sorted(most) {
			return false
		}
	}
	return true
}
