package explain

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"iter"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/waypost/waypost/dialect"
)

func halfHours(n int) time.Duration { return time.Duration(n) * 30 * time.Minute }

// methodRepair undoes a method that was changed by a redirect or a proxy.
func methodRepair(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		if c.Inbound.Method == "" || c.Inbound.Method == http.MethodPost {
			return
		}
		c.Inbound.Method = http.MethodPost
		yield(dialect.Candidate{Case: c, Codes: []string{"method"}, Where: "method"})
	}
}

const maxQuery = 32 // parameters of a query that are left out one by one

// queryRepair undoes that parameters were added to the URL: all that is there, or one of them.
func queryRepair(c dialect.Case) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		if c.Inbound.Query == "" || len(c.Inbound.Query) > maxSignature {
			return
		}
		pairs := strings.Split(c.Inbound.Query, "&")
		candidates := []string{""}
		for i := range pairs[:min(len(pairs), maxQuery)] {
			candidates = append(candidates, strings.Join(slices.Delete(slices.Clone(pairs), i, i+1), "&"))
		}
		for _, query := range candidates {
			out := c
			out.Inbound.Query = query
			if !yield(dialect.Candidate{Case: out, Codes: []string{"param_added"}, Where: "query"}) {
				return
			}
		}
	}
}

// A change undoes one accident to a text; nil or an equal text when it did not happen.
type change struct {
	code string
	undo func(text []byte, in dialect.Inbound) []byte
}

// plain is a change that looks at the text alone.
func plain(undo func([]byte) []byte) func([]byte, dialect.Inbound) []byte {
	return func(text []byte, _ dialect.Inbound) []byte { return undo(text) }
}

var (
	bom    = []byte("\xef\xbb\xbf")
	crlf   = []byte("\r\n")
	lf     = []byte("\n")
	nul    = "\x00"
	blanks = " \t\r\n"

	gzipMagic = []byte{0x1f, 0x8b}
)

// changes are the accidents that happen to any text, the likeliest first.
var changes = []change{
	{"line_end_added", plain(func(b []byte) []byte { return bytes.TrimSuffix(bytes.TrimSuffix(b, lf), []byte("\r")) })},
	{"line_end_lost", plain(func(b []byte) []byte { return join(b, lf) })},
	{"line_end_lost", plain(func(b []byte) []byte { return join(b, crlf) })},
	{"blanks_added", plain(func(b []byte) []byte { return bytes.Trim(b, blanks) })},
	{"line_ends_changed", plain(func(b []byte) []byte { return bytes.ReplaceAll(b, crlf, lf) })},
	{"line_ends_changed", plain(func(b []byte) []byte { return bytes.ReplaceAll(bytes.ReplaceAll(b, crlf, lf), lf, crlf) })},
	{"bom_added", plain(func(b []byte) []byte { return bytes.TrimPrefix(b, bom) })},
	{"bom_lost", plain(func(b []byte) []byte { return join(bom, b) })},
	{"nul_added", plain(func(b []byte) []byte { return bytes.TrimRight(b, nul) })},
	{"charset_transcoded", plain(func(b []byte) []byte { return encode(simplifiedchinese.GBK, b) })},
	{"charset_transcoded", plain(func(b []byte) []byte { return decode(simplifiedchinese.GBK, b) })},
	{"charset_transcoded", plain(func(b []byte) []byte { return encode(simplifiedchinese.GB18030, b) })},
	{"charset_mistaken", plain(func(b []byte) []byte { return unmistake(charmap.ISO8859_1, b) })},
	{"charset_mistaken", plain(func(b []byte) []byte { return unmistake(charmap.Windows1252, b) })},
	{"charset_mistaken", plain(func(b []byte) []byte { return unmistake(simplifiedchinese.GBK, b) })},
	{"charset_utf16", plain(fromUTF16)},
	{"html_escaped", plain(func(b []byte) []byte { return []byte(html.UnescapeString(string(b))) })},
	{"html_escaped", plain(unescapeQuotes)},
	{"html_escaped", plain(func(b []byte) []byte { return []byte(html.UnescapeString(html.UnescapeString(string(b)))) })},
	{"slashes_added", plain(unslash)},
	{"json_twice", plain(unquote)},
	{"url_encoded", plain(func(b []byte) []byte { return unescape(url.QueryUnescape, b) })},
	{"url_encoded", plain(func(b []byte) []byte { return unescape(url.PathUnescape, b) })},
	{"plus_lost", plain(func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(" "), []byte("+")) })},
	{"form_wrapped", plain(unform)},
	{"form_wrapped", plain(uncall)},
	{"base64_body", plain(unbase64)},
	{"body_twice", plain(half)},
	{"body_appended", plain(firstJSON)},
	{"body_appended", toLength},
	{"compressed", plain(gunzip)},
	{"chunked", plain(unchunk)},
	{"multipart", unpart},
	{"body_truncated", plain(closeJSON('}'))},
	{"body_truncated", plain(closeJSON('"', '}'))},
	{"body_truncated", plain(closeJSON('}', '}'))},
	{"body_truncated", plain(closeJSON(']', '}'))},
	{"html_unescaped", plain(func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), "&", "&amp;")) })},
}

// textRepair undoes the accidents of a text at a place.
func (r *search) textRepair(p dialect.Place) dialect.Repair {
	return func(c dialect.Case) iter.Seq[dialect.Candidate] {
		return func(yield func(dialect.Candidate) bool) {
			text, ok := p.Get(c.Inbound)
			if !ok {
				return
			}
			if bytes.HasPrefix(text, gzipMagic) {
				r.spend(defaultBody) // what a few bytes of it may unfold to
			}
			for _, ch := range changes {
				if !r.spend(len(text)) {
					return
				}
				if !r.put(c, p, text, ch.undo(text, c.Inbound), ch.code, yield) {
					return
				}
			}
			if !r.deep {
				r.plus(c, p, text, yield)
			}
		}
	}
}

const maxPlus = 12 // blanks that are tried singly

// plus undoes the loss of single plus signs.
func (r *search) plus(c dialect.Case, p dialect.Place, text []byte, yield func(dialect.Candidate) bool) {
	for i, n := 0, 0; i < len(text) && n < maxPlus; i++ {
		if text[i] != ' ' {
			continue
		}
		n++
		mended := bytes.Clone(text)
		mended[i] = '+'
		if !r.spend(len(text)) || !r.put(c, p, text, mended, "plus_lost", yield) {
			return
		}
	}
}

// put yields a case with another text at a place, when it is another.
func (r *search) put(c dialect.Case, p dialect.Place, old, text []byte, code string, yield func(dialect.Candidate) bool) bool {
	if text == nil || bytes.Equal(old, text) {
		return true
	}
	in, ok := p.Put(c.Inbound, text)
	if !ok {
		return true
	}
	out := dialect.Case{Settings: c.Settings, Inbound: in}
	return yield(dialect.Candidate{Case: out, Codes: []string{code}, Where: p.Name})
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// encode writes UTF-8 in a charset, nil when it cannot be.
func encode(e encoding.Encoding, b []byte) []byte {
	if ascii(b) || !utf8.Valid(b) {
		return nil
	}
	out, err := e.NewEncoder().Bytes(b)
	if err != nil {
		return nil
	}
	return out
}

// decode reads a charset into UTF-8, nil when it is not in it.
func decode(e encoding.Encoding, b []byte) []byte {
	if ascii(b) || utf8.Valid(b) {
		return nil
	}
	out, err := e.NewDecoder().Bytes(b)
	if err != nil || bytes.ContainsRune(out, utf8.RuneError) {
		return nil
	}
	return out
}

// unmistake undoes that UTF-8 was taken for another charset and written as UTF-8 again.
func unmistake(e encoding.Encoding, b []byte) []byte {
	out := encode(e, b)
	if !utf8.Valid(out) {
		return nil
	}
	return out
}

func fromUTF16(b []byte) []byte {
	if len(b) < 2 || len(b)%2 != 0 {
		return nil
	}
	big := b[0] == 0xfe && b[1] == 0xff || b[0] == 0
	if !big && b[1] != 0 && (b[0] != 0xff || b[1] != 0xfe) {
		return nil
	}
	units := make([]uint16, 0, len(b)/2)
	for i := 0; i < len(b); i += 2 {
		unit := uint16(b[i]) | uint16(b[i+1])<<8
		if big {
			unit = unit>>8 | unit<<8
		}
		units = append(units, unit)
	}
	if units[0] == 0xfeff {
		units = units[1:]
	}
	return []byte(string(utf16.Decode(units)))
}

func unescapeQuotes(b []byte) []byte {
	return []byte(strings.NewReplacer("&quot;", `"`, "&#34;", `"`, "&#x22;", `"`, "&#39;", "'", "&apos;", "'").Replace(string(b)))
}

func unslash(b []byte) []byte {
	return []byte(strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\'`, `'`, `\0`, nul).Replace(string(b)))
}

// unquote undoes that a text was made a JSON string.
func unquote(b []byte) []byte {
	b = bytes.Trim(b, blanks)
	if len(b) < 2 || b[0] != '"' || !json.Valid(b) {
		return nil
	}
	text, err := dialect.Unquote(b)
	if err != nil {
		return nil
	}
	return text
}

func unescape(by func(string) (string, error), b []byte) []byte {
	if !bytes.ContainsAny(b, "%+") {
		return nil
	}
	text, err := by(string(b))
	if err != nil {
		return nil
	}
	return []byte(text)
}

// unform undoes that JSON was sent or kept as a form: as the name of a parameter, or as the value of the only one.
func unform(b []byte) []byte {
	name, value, ok := bytes.Cut(b, []byte("="))
	if !ok || bytes.IndexByte(b, '&') >= 0 && !bytes.HasPrefix(bytes.TrimLeft(b, blanks), []byte("{")) {
		return nil
	}
	for _, part := range [][]byte{value, name} {
		text, err := url.QueryUnescape(string(part))
		if err == nil && len(text) > 0 && json.Valid([]byte(text)) && (text[0] == '{' || text[0] == '[') {
			return []byte(text)
		}
	}
	if text, whole := bytes.CutSuffix(b, []byte("=")); whole && json.Valid(text) {
		return text
	}
	return nil
}

// uncall undoes a JSONP call around the body.
func uncall(b []byte) []byte {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open || len(b)-end > 2 || bytes.ContainsAny(b[:open], `{"`) {
		return nil
	}
	return bytes.Clone(b[open+1 : end])
}

func unbase64(b []byte) []byte {
	text := strings.Trim(string(b), blanks+`"`)
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if out, err := e.DecodeString(text); err == nil && len(out) > 0 {
			return out
		}
	}
	return nil
}

func half(b []byte) []byte {
	if n := len(b) / 2; n > 0 && len(b)%2 == 0 && bytes.Equal(b[:n], b[n:]) {
		return bytes.Clone(b[:n])
	}
	return nil
}

// firstJSON undoes that something was put behind a JSON value.
func firstJSON(b []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(b))
	var value json.RawMessage
	if d.Decode(&value) != nil || int(d.InputOffset()) == len(b) {
		return nil
	}
	return bytes.Clone(b[:d.InputOffset()])
}

// toLength undoes that more was kept than Content-Length says.
func toLength(b []byte, in dialect.Inbound) []byte {
	n, err := strconv.Atoi(dialect.Header(in.Header, "Content-Length"))
	if err != nil || n <= 0 || n >= len(b) {
		return nil
	}
	return bytes.Clone(b[:n])
}

func gunzip(b []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	out, err := io.ReadAll(io.LimitReader(z, defaultBody+1))
	if err != nil || len(out) > defaultBody {
		return nil
	}
	return out
}

// unchunk undoes that the framing of a chunked body was kept as part of it.
func unchunk(b []byte) []byte {
	var out []byte
	for {
		line, rest, ok := bytes.Cut(b, crlf)
		n, err := strconv.ParseUint(string(line), 16, 31)
		if !ok || err != nil || int(n) > len(rest) {
			return nil
		}
		if n == 0 {
			return out
		}
		out = append(out, rest[:n]...)
		if b, ok = bytes.CutPrefix(rest[n:], crlf); !ok {
			return nil
		}
	}
}

func unpart(b []byte, in dialect.Inbound) []byte {
	kind, params, err := mime.ParseMediaType(dialect.Header(in.Header, "Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return nil
	}
	part, err := multipart.NewReader(bytes.NewReader(b), params["boundary"]).NextRawPart()
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(part)
	if err != nil {
		return nil
	}
	return text
}

// closeJSON undoes that the very end of a JSON text was cut off.
func closeJSON(end ...byte) func([]byte) []byte {
	return func(b []byte) []byte {
		if out := join(b, end); len(b) > 0 && b[0] == '{' && !json.Valid(b) && json.Valid(out) {
			return out
		}
		return nil
	}
}
