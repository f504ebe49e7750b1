package explain

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
)

const maxSignature = 8 << 10 // bytes of a signature that is looked into

// signatureRepair undoes what happens to the text of a signature.
func (r *search) signatureRepair(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		p := r.x.Signature
		text, ok := p.Get(c.Inbound)
		if !ok || len(text) > maxSignature {
			return
		}
		for _, step := range r.signatureTexts(string(text)) {
			if !r.put(c, p, text, []byte(step.text), step.code, yield) {
				return
			}
		}
	}
}

type spelled struct{ code, text string }

// signatureTexts are what a signature may have been, the likeliest first. One that is written as the platform writes it
// has had none of these accidents.
func (r *search) signatureTexts(given string) []spelled {
	lead := r.lead()
	if r.wellFormed(given) {
		return nil
	}
	out := []spelled{
		{"signature_blanks", strings.TrimSpace(given)},
		{"plus_lost", strings.ReplaceAll(given, " ", "+")},
		{"signature_blanks", strings.Join(strings.Fields(given), "")},
		{"signature_quotes", strings.Trim(given, `"'`+blanks)},
		{"signature_case", strings.ToLower(given)},
		{"signature_case", strings.ToUpper(given)},
		{"signature_padding", given + "="},
		{"signature_padding", given + "=="},
	}
	if text, err := url.PathUnescape(given); err == nil {
		out = append(out, spelled{"signature_escaped", text})
	}
	for _, mark := range "=:, " {
		before, after, ok := strings.Cut(given, string(mark))
		if ok && before+string(mark) != lead && after != "" && len(before) <= 24 && strings.Trim(after, "=") != "" {
			out = append(out, spelled{"signature_prefix", lead + strings.TrimSpace(after)})
		}
	}
	if r.x.Write == nil {
		return out
	}
	for _, b := range decodings(strings.TrimPrefix(given, lead)) {
		out = append(out, spelled{"signature_encoding", r.x.Write(b)})
		if !printable(b) {
			continue
		}
		out = append(out, spelled{"signature_twice", lead + string(b)})
		for _, inner := range decodings(string(b)) {
			out = append(out, spelled{"signature_twice", r.x.Write(inner)})
		}
	}
	return out
}

// lead is what the platform writes before the signature itself, such as "v1,".
func (r *search) lead() string {
	if r.x.Write == nil {
		return ""
	}
	text := r.x.Write(nil)
	return text[:strings.IndexByte(text, ',')+1]
}

// wellFormed says whether a signature is written as the platform writes it.
func (r *search) wellFormed(given string) bool {
	if r.x.Write == nil || len(given) < 20 {
		return false
	}
	// Hex digits are base64 too, so that only the platform's own way tells what they are.
	bare := strings.TrimPrefix(given, r.lead())
	if _, err := hex.DecodeString(bare); err == nil && !strings.EqualFold(r.x.Write([]byte{0xfb}), "fb") {
		return false
	}
	return slices.ContainsFunc(decodings(bare), func(b []byte) bool {
		return r.x.Write(b) == given && !printable(b)
	})
}

func printable(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c < ' ' || c > '~' })
}

// decodings are the bytes that a text stands for in hex and in the forms of base64.
func decodings(text string) (out [][]byte) {
	text = strings.TrimSpace(text)
	if b, err := hex.DecodeString(text); err == nil {
		out = append(out, b)
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		b, err := e.DecodeString(text)
		if err == nil && !slices.ContainsFunc(out, func(o []byte) bool { return bytes.Equal(o, b) }) {
			out = append(out, b)
		}
	}
	return out
}

// headerRepair undoes that the signature came under another name: in another header, or in the query.
func (r *search) headerRepair(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		p := r.x.Signature
		given, _ := p.Get(c.Inbound)
		if r.wellFormed(string(given)) {
			return
		}
		try := func(text, where string) bool {
			if len(text) < 16 || len(text) > maxSignature || len(where) > maxWhere || text == string(given) {
				return true
			}
			in, ok := p.Put(c.Inbound, []byte(text))
			out := dialect.Case{Settings: c.Settings, Inbound: in}
			return !ok || yield(dialect.Candidate{Case: out, Codes: []string{"signature_name"}, Where: where})
		}
		for i, name := range slices.Sorted(maps.Keys(c.Inbound.Header)) {
			if i == maxHeaders || !try(c.Inbound.Header.Get(name), "header "+name) {
				return
			}
		}
		if len(c.Inbound.Query) > maxSignature {
			return
		}
		query, _ := url.ParseQuery(c.Inbound.Query)
		for i, name := range slices.Sorted(maps.Keys(query)) {
			if i == maxHeaders || !try(query.Get(name), "query parameter "+name) {
				return
			}
		}
	}
}

const (
	maxHeaders = 64
	maxWhere   = 100 // bytes of a name that is repeated
)
