package explain

import (
	"bytes"
	"encoding/json"
	"iter"
	"math/big"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// A node is a JSON value whose tokens are kept as they came.
type node struct {
	token   []byte // of a string, number or word
	open    byte   // '{' or '[' of what holds others
	members []member
}

// A member is a value in an object, or in an array without a name.
type member struct {
	name []byte // token, with its quotes
	node
}

// parse reads a text that json.Valid found right.
func parse(text []byte) (n node, rest []byte) {
	text = bytes.TrimLeft(text, blanks)
	switch text[0] {
	case '{', '[':
		n.open = text[0]
		for text = bytes.TrimLeft(text[1:], blanks); text[0] != '}' && text[0] != ']'; text = bytes.TrimLeft(text, blanks) {
			if text[0] == ',' {
				text = bytes.TrimLeft(text[1:], blanks)
			}
			var m member
			if n.open == '{' {
				m.name, text = cutString(text)
				text = bytes.TrimLeft(text, blanks)[1:]
			}
			m.node, text = parse(text)
			n.members = append(n.members, m)
		}
		return n, text[1:]
	case '"':
		n.token, rest = cutString(text)
		return n, rest
	}
	end := bytes.IndexAny(text, ",}] \t\r\n")
	if end < 0 {
		end = len(text)
	}
	return node{token: text[:end]}, text[end:]
}

func cutString(text []byte) (token, rest []byte) {
	i := 1
	for ; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return text[:i+1], text[i+1:]
}

// A spacing is the blanks that an encoder writes.
type spacing struct {
	comma, colon string
	indent       string // of one level, "" = on one line
	end          string // behind the whole
	eol          string
}

// spacings are those of the usual encoders, the likeliest first.
var spacings = []spacing{
	{comma: ",", colon: ":"},                                      // Go, Jackson, fastjson, JavaScript, PHP
	{comma: ", ", colon: ": "},                                    // Python
	{comma: ",", colon: ": ", indent: "  ", eol: "\n"},            // two blanks: JavaScript, Go, Python
	{comma: ",", colon: ": ", indent: "    ", eol: "\n"},          // four blanks: PHP, Python
	{comma: ",", colon: " : ", indent: "  ", eol: "\n"},           // Jackson
	{comma: ",", colon: ":", indent: "\t", eol: "\n"},             // fastjson
	{comma: ",", colon: ": ", indent: "\t", eol: "\n"},            // JavaScript with tabs
	{comma: ",", colon: ": ", indent: "  ", eol: "\r\n"},          // .NET
	{comma: ",", colon: ": ", indent: "  ", eol: "\n", end: "\n"}, // jq
	{comma: ",", colon: ":", end: "\n"},                           // Go's encoder
	{comma: ",", colon: ": "},
	{comma: ", ", colon: ":"},
}

// How many of the usual encoders are common enough to be looked for behind another accident.
const (
	commonSpacings = 6
	commonQuotings = 5
)

// quoting writes a string's text as a token.
type quoting func(text []byte) []byte

// escaper makes a quoting that escapes further characters, as \u with the digits given, or by their short form.
func escaper(upper bool, further func(rune) bool, slash bool) quoting {
	digits := "0123456789abcdef"
	if upper {
		digits = "0123456789ABCDEF"
	}
	return func(text []byte) []byte {
		b := []byte{'"'}
		unit := func(u uint16) {
			b = append(b, '\\', 'u', digits[u>>12], digits[u>>8&15], digits[u>>4&15], digits[u&15])
		}
		for _, r := range string(text) {
			switch short := strings.IndexRune("\"\\\b\f\n\r\t", r); {
			case short >= 0:
				b = append(b, '\\', `"\bfnrt`[short])
			case r == '/' && slash:
				b = append(b, '\\', '/')
			case r < ' ' || further(r) && r < 0x10000:
				unit(uint16(r))
			case further(r):
				high, low := utf16.EncodeRune(r)
				unit(uint16(high))
				unit(uint16(low))
			default:
				b = utf8.AppendRune(b, r)
			}
		}
		return append(b, '"')
	}
}

func none(rune) bool       { return false }
func beyond(r rune) bool   { return r >= 0x7f }
func markup(r rune) bool   { return r == '<' || r == '>' || r == '&' || r == 0x2028 || r == 0x2029 }
func gsonHTML(r rune) bool { return markup(r) || r == '=' || r == '\'' }

// quotings are those of the usual encoders, the likeliest first.
var quotings = []quoting{
	escaper(false, none, false),   // Jackson, fastjson, JavaScript, Python with ensure_ascii=False
	escaper(false, beyond, false), // Python
	escaper(false, markup, false), // Go
	escaper(false, beyond, true),  // PHP
	escaper(false, none, true),    // PHP with JSON_UNESCAPED_UNICODE
	escaper(true, beyond, false),  // fastjson BrowserCompatible, Jackson ESCAPE_NON_ASCII
	escaper(false, gsonHTML, false),
	escaper(false, func(r rune) bool { return beyond(r) || markup(r) }, false),
	escaper(true, beyond, true),
}

// A spelling writes a number's token.
type spelling func(string) string

var spellings = []spelling{
	withoutExponent,
	func(s string) string { return strings.TrimSuffix(s, ".0") },
	func(s string) string { // 12.5 was 12.50
		if whole, fraction, ok := strings.Cut(s, "."); ok && len(fraction) == 1 {
			return whole + "." + fraction + "0"
		}
		return s
	},
	func(s string) string { // 1 was 1.0
		if !strings.ContainsAny(s, ".eE") {
			return s + ".0"
		}
		return s
	},
	func(s string) string { // 12 was 12.00
		whole, fraction, _ := strings.Cut(s, ".")
		if strings.ContainsAny(s, "eE") || len(fraction) > 2 {
			return s
		}
		return whole + "." + (fraction + "00")[:2]
	},
}

// withoutExponent writes 1.76e+09 as 1760000000.
func withoutExponent(s string) string {
	if i := strings.IndexAny(s, "eE"); i < 0 || len(s)-i > 4 {
		return s
	}
	if r, ok := new(big.Rat).SetString(s); ok && r.IsInt() {
		return r.Num().String()
	}
	return s
}

// A style is how an encoder writes a document. Zero values mean: as it came, on one line.
type style struct {
	spacing spacing
	quote   quoting
	spell   spelling
	order   func([]member) []member
}

// write writes a document in a style, and counts the work.
func (r *search) write(st style, n node) []byte {
	b := append(st.append(nil, n, 0), st.spacing.end...)
	r.spend(len(b))
	return b
}

func (st style) append(b []byte, n node, depth int) []byte {
	if n.open == 0 {
		return append(b, st.token(n.token)...)
	}
	b = append(b, n.open)
	members := n.members
	if st.order != nil && n.open == '{' {
		members = st.order(slices.Clone(members))
	}
	for i, m := range members {
		if i > 0 {
			b = append(b, st.spacing.comma...)
		}
		b = st.newLine(b, depth+1)
		if n.open == '{' {
			b = append(append(b, st.token(m.name)...), st.spacing.colon...)
		}
		b = st.append(b, m.node, depth+1)
	}
	if len(members) > 0 {
		b = st.newLine(b, depth)
	}
	return append(b, n.open+2) // } and ] stand two behind { and [
}

// maxIndent bounds the levels that are indented: a deep document would otherwise grow with the square of its depth.
const maxIndent = 32

func (st style) newLine(b []byte, depth int) []byte {
	if st.spacing.indent == "" {
		return b
	}
	b = append(b, st.spacing.eol...)
	for range min(depth, maxIndent) {
		b = append(b, st.spacing.indent...)
	}
	return b
}

func (st style) token(token []byte) []byte {
	switch {
	case token[0] == '"' && st.quote != nil:
		if text, err := dialect.Unquote(token); err == nil {
			return st.quote(text)
		}
	case st.spell != nil && (token[0] == '-' || '0' <= token[0] && token[0] <= '9'):
		return []byte(st.spell(string(token)))
	}
	return token
}

func sorted(members []member) []member {
	slices.SortStableFunc(members, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	return members
}

// inOrder puts members in the order of names; others follow as they came.
func inOrder(names []string) func([]member) []member {
	place := func(m member) int {
		if i := slices.Index(names, strings.Trim(string(m.name), `"`)); i >= 0 {
			return i
		}
		return len(names)
	}
	return func(members []member) []member {
		slices.SortStableFunc(members, func(a, b member) int { return place(a) - place(b) })
		return members
	}
}

// A trait is one way in which a rewritten document can differ from what it was.
type trait struct {
	code string
	set  func(*style)
}

// jsonRepair undoes that a JSON text was read and written again, in any of the ways of the usual encoders: one, two or
// three of spacing, escapes, order and numbers at once.
func (r *search) jsonRepair(p dialect.Place) dialect.Repair {
	return func(c dialect.Case) iter.Seq[dialect.Candidate] {
		return func(yield func(dialect.Candidate) bool) {
			text, ok := p.Get(c.Inbound)
			if !ok || !json.Valid(text) || text[0] != '{' && text[0] != '[' || !r.spend(4*len(text)) {
				return
			}
			doc, _ := parse(text)
			base := r.given(doc, text)
			kinds := r.traits(doc, text, base)
			try := func(traits ...trait) bool {
				var st style
				st.spacing = base
				var codes []string
				for _, t := range traits {
					t.set(&st)
					codes = append(codes, t.code)
				}
				written := r.write(st, doc)
				if r.spent {
					return false
				}
				in, ok := p.Put(c.Inbound, written)
				out := dialect.Candidate{Case: dialect.Case{Settings: c.Settings, Inbound: in}, Codes: codes, Where: p.Name}
				return !ok || yield(out)
			}
			combine(kinds, try, r.deep)
		}
	}
}

// combine tries one trait of each kind alone, then of two kinds, then, unless few are wanted, of three.
func combine(kinds [][]trait, try func(...trait) bool, few bool) {
	for _, a := range kinds {
		for _, x := range a {
			if !try(x) {
				return
			}
		}
	}
	for i, a := range kinds {
		for _, b := range kinds[i+1:] {
			for _, x := range a {
				for _, y := range b {
					if !try(x, y) {
						return
					}
				}
			}
		}
	}
	if few {
		return
	}
	for _, x := range kinds[0] {
		for _, y := range kinds[1] {
			for _, z := range kinds[2] {
				if !try(x, y, z) {
					return
				}
			}
		}
	}
}

// given is the spacing of a text, that on one line when it is none of the usual.
func (r *search) given(doc node, text []byte) spacing {
	for _, sp := range spacings {
		if bytes.Equal(r.write(style{spacing: sp}, doc), text) {
			return sp
		}
	}
	return spacings[0]
}

// traits are the ways in which a document may have been written before: spacing, escapes, order, numbers, each way that
// makes a difference once.
func (r *search) traits(doc node, text []byte, base spacing) [][]trait {
	kinds := make([][]trait, 4)
	seen := [][]byte{text}
	differs := func(st style) (out []byte, ok bool) {
		if r.spent {
			return nil, false
		}
		out = r.write(st, doc)
		for _, s := range seen {
			if bytes.Equal(s, out) {
				return nil, false
			}
		}
		seen = append(seen, out)
		return out, true
	}
	spacings, quotings, spellings := spacings, quotings, spellings
	if r.deep {
		spacings, quotings, spellings = spacings[:commonSpacings], quotings[:commonQuotings], nil
	}
	for _, sp := range spacings {
		if _, ok := differs(style{spacing: sp}); ok {
			kinds[0] = append(kinds[0], trait{"json_spacing", func(st *style) { st.spacing = sp }})
		}
	}
	plainText := r.write(style{spacing: base}, doc)
	seen = [][]byte{plainText}
	for _, q := range quotings {
		if out, ok := differs(style{spacing: base, quote: q}); ok {
			kinds[1] = append(kinds[1], trait{escapeCode(plainText, out), func(st *style) { st.quote = q }})
		}
	}
	orders := []func([]member) []member{sorted}
	if len(r.x.Names) > 0 {
		orders = []func([]member) []member{inOrder(r.x.Names), sorted}
	}
	for _, order := range orders {
		if _, ok := differs(style{spacing: base, order: order}); ok {
			kinds[2] = append(kinds[2], trait{"json_order", func(st *style) { st.order = order }})
		}
	}
	for _, sp := range spellings {
		if _, ok := differs(style{spacing: base, spell: sp}); ok {
			kinds[3] = append(kinds[3], trait{"json_numbers", func(st *style) { st.spell = sp }})
		}
	}
	return kinds
}

// escapeCode says whether two texts differ in slashes only.
func escapeCode(a, b []byte) string {
	flat := func(t []byte) []byte { return bytes.ReplaceAll(t, []byte(`\/`), []byte("/")) }
	if bytes.Equal(flat(a), flat(b)) {
		return "json_slashes"
	}
	return "json_escapes"
}
