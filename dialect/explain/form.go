package explain

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"mime"
	"mime/multipart"
	"net/url"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// param is a parameter of a form, decoded.
type param struct{ name, value string }

const maxParams = 256

// parseForm reads a form leniently; ok is false for what is none.
func parseForm(body []byte) (out []param, ok bool) {
	for pair := range strings.SplitSeq(string(body), "&") {
		name, value, found := strings.Cut(pair, "=")
		if !found || len(out) == maxParams {
			return nil, false
		}
		out = append(out, param{lenient(name), lenient(value)})
	}
	return out, true
}

// lenient decodes what can be decoded.
func lenient(s string) string {
	if text, err := url.QueryUnescape(s); err == nil {
		return text
	}
	return s
}

func encodeForm(params []param) []byte {
	var b bytes.Buffer
	for i, p := range params {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value))
	}
	return b.Bytes()
}

// valueChanges are the accidents that happen to the values of a form once it is decoded, the likeliest first.
var valueChanges = []change{
	{"plus_lost", plain(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(" "), []byte("+")) })},
	{"url_encoded", plain(func(b []byte) []byte { return unescape(url.QueryUnescape, b) })},
	{"url_decoded", plain(func(b []byte) []byte { return []byte(url.QueryEscape(string(b))) })},
	{"url_decoded", plain(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("%"), []byte("%25")) })},
	{"html_escaped", plain(unescapeQuotes)},
	{"html_escaped", plain(func(b []byte) []byte {
		return []byte(entities.Replace(string(b)))
	})},
	{"slashes_added", plain(unslash)},
	{"charset_transcoded", plain(func(b []byte) []byte { return changes[charsetAt].undo(b, dialect.Inbound{}) })},
	{"charset_transcoded", plain(func(b []byte) []byte { return changes[charsetAt+1].undo(b, dialect.Inbound{}) })},
	{"charset_mistaken", plain(func(b []byte) []byte { return changes[charsetAt+3].undo(b, dialect.Inbound{}) })},
	{"charset_mistaken", plain(func(b []byte) []byte { return changes[charsetAt+5].undo(b, dialect.Inbound{}) })},
	{"blanks_added", plain(func(b []byte) []byte { return bytes.Trim(b, blanks) })},
	{"json_list", plain(func(b []byte) []byte {
		if len(b) > 4 && bytes.HasPrefix(b, []byte(`["`)) && bytes.HasSuffix(b, []byte(`"]`)) {
			return unquote(b[1 : len(b)-1])
		}
		return nil
	})},
	{"line_ends_changed", plain(func(b []byte) []byte { return bytes.ReplaceAll(b, crlf, lf) })},
}

// entities are those that filters make. In a form others are not looked for: &notify_id would begin with one.
var entities = strings.NewReplacer("&quot;", `"`, "&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">", "&amp;", "&")

var charsetAt = slices.IndexFunc(changes, func(c change) bool { return c.code == "charset_transcoded" })

// formRepair undoes what happens to forms: to all values, to one of them, to the set of parameters, and to the form as
// a whole.
func (r *search) formRepair(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		body := dialect.BodyPlace()
		try := func(code string, text []byte) bool {
			return r.spend(len(c.Inbound.Body)) && r.put(c, body, c.Inbound.Body, text, code, yield)
		}
		for _, whole := range r.wholeForms(c.Inbound) {
			if !try(whole.code, []byte(whole.text)) {
				return
			}
		}
		params, ok := parseForm(c.Inbound.Body)
		if !ok {
			return
		}
		for _, set := range r.paramSets(params) {
			if !try(set.code, encodeForm(set.params)) {
				return
			}
		}
		if r.decodedTwice(params, try) {
			r.values(params, try)
		}
	}
}

func (r *search) values(params []param, try func(string, []byte) bool) {
	for _, ch := range valueChanges {
		all := slices.Clone(params)
		var hit []int
		for i, p := range params {
			if text := ch.undo([]byte(p.value), dialect.Inbound{}); text != nil && string(text) != p.value {
				all[i].value = string(text)
				hit = append(hit, i)
			}
		}
		if len(hit) == 0 {
			continue
		}
		if !try(ch.code, encodeForm(all)) {
			return
		}
		for _, i := range hit {
			one := slices.Clone(params)
			one[i].value = all[i].value
			rest := slices.Clone(all)
			rest[i].value = params[i].value
			if len(hit) > 1 && (!try(ch.code, encodeForm(one)) || !try(ch.code, encodeForm(rest))) {
				return
			}
		}
	}
}

// decodedTwice undoes that plus signs were lost in all values, and a second decoding of all values: what was %2B is a plus
// sign, what was a plus sign is a blank, and which blanks were blanks is tried one by one. In a signature every blank was a
// plus sign.
func (r *search) decodedTwice(params []param, try func(string, []byte) bool) bool {
	lost, twice := slices.Clone(params), slices.Clone(params)
	for i, p := range params {
		if r.isSignature(p) {
			lost[i].value = strings.ReplaceAll(p.value, " ", "+")
			twice[i].value = lost[i].value
		} else {
			twice[i].value = strings.NewReplacer("%", "%25", "+", "%2B").Replace(p.value)
		}
	}
	return r.plusOfForm("plus_lost", lost, try) && r.plusOfForm("url_decoded", twice, try)
}

// plusOfForm tries a mended form, and then one blank of its values after the other as a plus sign.
func (r *search) plusOfForm(code string, mended []param, try func(string, []byte) bool) bool {
	if !try(code, encodeForm(mended)) {
		return false
	}
	for i, p := range mended {
		for at, n := 0, 0; at < len(p.value) && n < maxPlus; at++ {
			if p.value[at] != ' ' {
				continue
			}
			n++
			one := slices.Clone(mended)
			one[i].value = p.value[:at] + "+" + p.value[at+1:]
			if !try(code, encodeForm(one)) {
				return false
			}
		}
	}
	return true
}

// wholeForms undo accidents to the text of a form.
func (r *search) wholeForms(in dialect.Inbound) (out []spelled) {
	body := string(in.Body)
	out = append(out,
		spelled{"plus_lost", strings.ReplaceAll(body, "+", "%2B")},
		spelled{"url_encoded", lenient(body)},
		spelled{"html_escaped", strings.ReplaceAll(body, "&amp;", "&")})
	if in.Query != "" {
		out = append(out, spelled{"query_moved", in.Query}, spelled{"query_moved", strings.Trim(body+"&"+in.Query, "&")})
	}
	for _, blank := range []string{"+", " "} { // what a plus sign of the decoded form is; some decoders leave blanks as +
		if text := r.knownPairs(body, blank); text != "" {
			out = append(out, spelled{"form_decoded", text})
		}
	}
	if params := fromParts(in); params != nil {
		out = append(out, spelled{"multipart", string(encodeForm(params))})
	}
	if params := fromJSON(in.Body); params != nil {
		out = append(out, spelled{"form_as_json", string(encodeForm(params))})
	}
	return append(out,
		spelled{"line_ends_changed", strings.ReplaceAll(strings.TrimSpace(body), "\n", "&")},
		spelled{"form_joint", strings.ReplaceAll(body, ";", "&")})
}

// knownPairs splits a form that was decoded as a whole before the names that the platform uses, and encodes it again.
// plus is what its plus signs are in values other than the signature.
func (r *search) knownPairs(body, plus string) string {
	var params []param
	for pair := range strings.SplitSeq(body, "&") {
		name, value, found := strings.Cut(pair, "=")
		switch {
		case found && slices.Contains(r.x.Names, name):
			params = append(params, param{name, value})
		case len(params) == 0 || len(params) > maxParams:
			return ""
		default:
			params[len(params)-1].value += "&" + pair
		}
	}
	for i, p := range params {
		if !r.isSignature(p) {
			params[i].value = strings.ReplaceAll(p.value, "+", plus)
		}
	}
	return string(encodeForm(params))
}

func (r *search) isSignature(p param) bool {
	_, ok := r.x.Signature.Get(dialect.Inbound{Body: encodeForm([]param{p})})
	return ok
}

// fromParts makes a form of a multipart form without files.
func fromParts(in dialect.Inbound) (out []param) {
	kind, params, err := mime.ParseMediaType(dialect.Header(in.Header, "Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return nil
	}
	parts := multipart.NewReader(bytes.NewReader(in.Body), params["boundary"])
	for len(out) < maxParams {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil || part.FormName() == "" || part.FileName() != "" {
			return nil
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil
		}
		out = append(out, param{part.FormName(), string(value)})
	}
	return nil
}

// fromJSON makes a form of a JSON object of strings, or of lists of one string.
func fromJSON(body []byte) (out []param) {
	members, err := dialect.ReadObject(body)
	if err != nil {
		return nil
	}
	for _, m := range members {
		value := m.Value
		var list []json.RawMessage
		if json.Unmarshal(value, &list) == nil && len(list) == 1 {
			value = list[0]
		}
		text, ok := dialect.MemberText(value)
		if !ok && string(value) != `""` {
			return nil
		}
		out = append(out, param{string(m.Name), text})
	}
	return out
}

type paramSet struct {
	code   string
	params []param
}

// paramSets undo that parameters were added, dropped, repeated or renamed.
func (r *search) paramSets(params []param) (out []paramSet) {
	known := func(p param) bool { return slices.Contains(r.x.Names, p.name) }
	without := func(i int) []param { return slices.Delete(slices.Clone(params), i, i+1) }
	if rest := slices.DeleteFunc(slices.Clone(params), func(p param) bool { return !known(p) }); len(rest) < len(params) {
		out = append(out, paramSet{"param_added", rest})
	}
	first, last, joined := repeats(params)
	if len(first) < len(params) {
		out = append(out, paramSet{"param_twice", first}, paramSet{"param_twice", last}, paramSet{"param_twice", joined})
	}
	for i, p := range params {
		if !known(p) {
			out = append(out, paramSet{"param_added", without(i)})
		}
	}
	for i, p := range params {
		if p.value == "" && known(p) {
			out = append(out, paramSet{"param_empty_added", without(i)})
		}
	}
	for _, name := range r.x.Names {
		if !slices.ContainsFunc(params, func(p param) bool { return p.name == name }) {
			out = append(out, paramSet{"param_empty", append(slices.Clone(params), param{name, ""})})
		}
	}
	renamed := slices.Clone(params)
	for i, p := range renamed {
		for _, name := range r.x.Names {
			if flat(name) == flat(p.name) {
				renamed[i].name = name
			}
		}
	}
	out = append(out, paramSet{"param_name", renamed})
	for i, p := range params {
		if known(p) && len(params) > 2 {
			out = append(out, paramSet{"param_added", without(i)})
		}
	}
	return out
}

// flat is a name without regard to case and underscores.
func flat(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// repeats returns the parameters with the first, with the last and with all values of each name.
func repeats(params []param) (first, last, joined []param) {
	for _, p := range params {
		i := slices.IndexFunc(first, func(q param) bool { return q.name == p.name })
		if i < 0 {
			first, last, joined = append(first, p), append(last, p), append(joined, p)
			continue
		}
		last[i].value = p.value
		joined[i].value += "," + p.value
	}
	return first, last, joined
}
