// Package explain owns the search for the reason why a signature does not match. It undoes known accidents one after the
// other, and then two together, until the dialect's own Receive accepts what comes out: what was undone then is the cause.
//
// It is pure and bounded: it looks at no clock and counts its work. It never makes a request accepted, and neither a
// secret nor a right signature is in what it returns.
package explain

import (
	"errors"
	"hash/maphash"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// Limits bound a search. Zero values mean the defaults.
type Limits struct {
	Tries int // calls of Receive, 3,000 by default
	Bytes int // of texts read and made, 256 MiB by default: about two seconds of one core
	Body  int // longest body that is searched, 1 MiB by default

	// Others are the settings of other sources, such as the sandbox's or another application's, tried in the place of
	// the given ones. Their names are shown.
	Others []Other
}

// Other is the settings of another source.
type Other struct {
	Name     string
	Settings dialect.Settings
}

const (
	defaultTries = 3000
	defaultBytes = 256 << 20
	defaultBody  = 1 << 20
	triedBytes   = 4 << 10 // what a try costs beside its body, in bytes
)

// Sure says how far a finding is proved.
type Sure string

// The degrees of sureness.
const (
	Certain  Sure = "certain"  // the signature matches once this is undone
	Likely   Sure = "likely"   // seen in the request or the settings, and enough to break a signature
	Possible Sure = "possible" // seen, and often harmless
)

// Explanation says why a request is refused.
type Explanation struct {
	Verified bool   `json:"verified"`      // Receive accepts it as it is
	Key      int    `json:"key,omitempty"` // which live secret or key the signature is by, 1 = the first; 0 = none
	Refused  string `json:"refused,omitempty"`

	// Findings are certain ones, all of them together the cause, or hints that are not proved; empty when nothing is known.
	Findings []Finding `json:"findings"`
	Tried    int       `json:"tried"`
	Whole    bool      `json:"whole"` // every known accident was tried: no limit ended the search
	Summary  Text      `json:"summary"`
}

// Finding is one cause.
type Finding struct {
	Code  string `json:"code"`
	Sure  Sure   `json:"sure"`
	Where string `json:"where,omitempty"` // the part of the request, or the setting
	Text  Text   `json:"text"`            // what happened
	Fix   Text   `json:"fix"`             // what to change
}

// Text is a sentence in both languages.
type Text struct {
	En string `json:"en"`
	Zh string `json:"zh"`
}

// Proved says whether the cause is certain.
func (e *Explanation) Proved() bool {
	return slices.ContainsFunc(e.Findings, func(f Finding) bool { return f.Sure == Certain })
}

// Request explains a request under settings. d.Receive alone decides what matches.
func Request(d *dialect.Dialect, s dialect.Settings, in dialect.Inbound, o Limits) Explanation {
	r := newSearch(d, s, o)
	start := dialect.Case{Settings: s, Inbound: in}
	first := r.try(start)
	out := Explanation{Findings: []Finding{}, Refused: first.refused}
	switch {
	case first.matched:
		out.Key = first.key
		out.Verified = len(first.codes) == 0
		out.add(Certain, first.codes, first.where)
		r.zone(&out, start, first)
	case len(in.Body) > o.body():
		out.add(Possible, []string{"body_large"}, "body")
	default:
		if hit, ok := r.search(start); ok {
			out.Key = hit.key
			out.addHit(hit)
			r.zone(&out, hit.Case, hit.result)
		} else {
			out.Findings = hints(d, start)
		}
	}
	out.Tried, out.Whole = r.tried, !r.spent && len(in.Body) <= o.body()
	out.Summary = summary(&out)
	return out
}

func (o Limits) body() int {
	if o.Body > 0 {
		return o.Body
	}
	return defaultBody
}

func (e *Explanation) add(sure Sure, codes []string, where string) {
	for _, code := range codes {
		e.Findings = append(e.Findings, finding(code, sure, where))
	}
}

// hit is a candidate that matched.
type hit struct {
	dialect.Candidate
	result
	steps []dialect.Candidate
}

func (e *Explanation) addHit(h hit) {
	for _, step := range h.steps {
		e.add(Certain, step.Codes, step.Where)
	}
	e.add(Certain, h.result.codes, h.result.where)
}

// search is one run.
type search struct {
	d      *dialect.Dialect
	x      *dialect.Explainer
	o      Limits
	tried  int
	bytes  int
	spent  bool // a limit was met
	deep   bool // pairs are tried: only what happens often is combined
	seed   maphash.Seed
	seen   map[uint64]struct{}
	groups groups
}

// groups are the repairs, sorted by what they mend.
type groups struct{ own, signature, secret, text, json, form, mac []dialect.Repair }

func newSearch(d *dialect.Dialect, s dialect.Settings, o Limits) *search {
	r := &search{d: d, x: d.Explain, o: o, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
	if r.o.Tries <= 0 {
		r.o.Tries = defaultTries
	}
	if r.o.Bytes <= 0 {
		r.o.Bytes = defaultBytes
	}
	if r.x == nil {
		r.x = &dialect.Explainer{Signed: []dialect.Place{dialect.BodyPlace()}}
	}
	g := &r.groups
	g.own = r.x.Own
	if r.x.Signature.Get != nil {
		g.signature = []dialect.Repair{r.signatureRepair, r.headerRepair}
	}
	g.secret = []dialect.Repair{r.secretRepair, r.otherRepair, r.choiceRepair}
	for _, place := range r.x.Signed {
		g.text = append(g.text, r.textRepair(place))
		g.json = append(g.json, r.jsonRepair(place))
	}
	if r.x.Form {
		g.form = []dialect.Repair{r.formRepair}
	}
	if r.x.MAC != nil {
		g.mac = []dialect.Repair{r.macRepair}
	}
	return r
}

// search tries single accidents and then pairs, the likeliest first.
func (r *search) search(start dialect.Case) (hit, bool) {
	g := r.groups
	for _, group := range [][]dialect.Repair{{methodRepair, queryRepair}, g.own, g.signature, g.secret, g.text, g.json, g.form, g.mac} {
		if h, ok := r.single(start, group); ok {
			return h, true
		}
	}
	r.deep = true
	for _, pair := range [][2][]dialect.Repair{
		{g.signature, g.own}, {g.signature, g.text}, {g.signature, g.json}, {g.signature, g.form}, {g.signature, g.mac},
		{g.own, g.signature}, {g.own, g.text}, {g.own, g.json}, {g.own, g.form}, {g.own, g.own}, {g.own, g.mac},
		{g.text, g.text}, {g.text, g.json}, {g.form, g.text}, {g.form, g.json}, {g.text, g.mac}, {g.form, g.form},
		{g.secret, g.signature}, {g.secret, g.own}, {g.secret, g.text}, {g.secret, g.json}, {g.secret, g.form},
		{g.json, g.mac}, {g.json, g.text}, {g.form, g.mac}, {g.secret, g.mac}, {{methodRepair}, g.form},
	} {
		if h, ok := r.pair(start, pair[0], pair[1]); ok {
			return h, true
		}
	}
	return hit{}, false
}

func (r *search) single(start dialect.Case, group []dialect.Repair) (hit, bool) {
	for _, repair := range group {
		for c := range r.bounded(repair(start)) {
			if h, ok := r.attempt(c); ok {
				return h, true
			}
		}
	}
	return hit{}, false
}

func (r *search) pair(start dialect.Case, outer, inner []dialect.Repair) (hit, bool) {
	for _, first := range outer {
		for c := range r.bounded(first(start)) {
			if !r.promising(start, c) {
				continue
			}
			if h, ok := r.single(c.Case, inner); ok {
				h.steps = append([]dialect.Candidate{c}, h.steps...)
				return h, true
			}
		}
	}
	return hit{}, false
}

// promising says whether a second accident can be looked for behind a first: a signature that was changed must now be
// written as the platform writes it.
func (r *search) promising(start dialect.Case, c dialect.Candidate) bool {
	if r.x.Signature.Get == nil || r.x.Write == nil {
		return true
	}
	before, _ := r.x.Signature.Get(start.Inbound)
	now, _ := r.x.Signature.Get(c.Inbound)
	return string(before) == string(now) || r.wellFormed(string(now))
}

// bounded ends a repair when the work is used up, and counts what it makes.
func (r *search) bounded(candidates iter.Seq[dialect.Candidate]) iter.Seq[dialect.Candidate] {
	return func(yield func(dialect.Candidate) bool) {
		if r.spent {
			return
		}
		for c := range candidates {
			if !r.spend(len(c.Inbound.Body)+256) || !yield(c) {
				return
			}
		}
	}
}

// spend counts work and says whether there is more to do it with.
func (r *search) spend(n int) bool {
	r.bytes += n
	r.spent = r.spent || r.bytes > r.o.Bytes || r.tried >= r.o.Tries
	return !r.spent
}

func (r *search) attempt(c dialect.Candidate) (hit, bool) {
	key := r.hash(c.Case)
	if _, twice := r.seen[key]; twice || len(c.Inbound.Body) > 2*r.o.body() {
		return hit{}, false
	}
	r.seen[key] = struct{}{}
	got := r.try(c.Case)
	if !got.matched {
		return hit{}, false
	}
	return hit{Candidate: c, result: got, steps: []dialect.Candidate{c}}, true
}

// result is what Receive says of a case.
type result struct {
	matched bool // the signature is right
	key     int
	codes   []string // what it is refused for nevertheless
	where   string
	refused string
	stale   bool
}

// try asks Receive. A request that is only too old, or for another account, has a right signature.
func (r *search) try(c dialect.Case) result {
	r.tried++
	r.spend(r.cost(c))
	got, refusal := receive(r.d, c)
	out := result{key: got.Key + 1}
	if refusal != nil {
		out.refused = refusal.Error()
	}
	switch {
	case refusal == nil:
		// What a dialect answers without a signature proves nothing of one.
		out.matched = got.Reply == nil || r.signed(c.Inbound)
	case refusal.Reason == dialect.ReasonReplay:
		out.matched, out.stale, out.key = true, true, 0
		out.codes, out.where = []string{"time_far"}, refusal.Part
	case refusal.Reason == dialect.ReasonSettings && slices.Contains(r.x.Answers, strings.TrimPrefix(refusal.Part, "setting ")):
		out.matched, out.key = true, 0
		out.codes, out.where = []string{"setting_answer"}, refusal.Part
	case refusal.Reason == dialect.ReasonSettings && r.x.Account != "" && c.Settings.Get(r.x.Account) != "":
		c.Settings = c.Settings.With(r.x.Account)
		r.spend(r.cost(c))
		got, again := receive(r.d, c)
		if again == nil && got.Reply == nil || again != nil && again.Reason == dialect.ReasonReplay {
			out.matched, out.key = true, got.Key+1
			out.codes, out.where = []string{"account_other"}, "setting "+r.x.Account
		}
	}
	return out
}

// cost is what a try costs: reading the body, and each live key.
func (r *search) cost(c dialect.Case) int {
	n := len(c.Inbound.Body) + triedBytes
	for _, field := range r.x.Keys {
		for _, key := range c.Settings[field] {
			n += len(key)
			if r.x.Cost != nil {
				n += r.x.Cost(key)
			}
		}
	}
	return n
}

func receive(d *dialect.Dialect, c dialect.Case) (dialect.Received, *dialect.Error) {
	got, err := d.Receive(c.Settings, c.Inbound)
	var refusal *dialect.Error
	if err != nil && !errors.As(err, &refusal) {
		refusal = dialect.Refuse(dialect.ReasonMalformed, "", "cannot be read")
	}
	return got, refusal
}

func (r *search) signed(in dialect.Inbound) bool {
	if r.x.Signature.Get == nil {
		return true
	}
	_, ok := r.x.Signature.Get(in)
	return ok
}

// hash tells cases apart, so that none is tried twice.
func (r *search) hash(c dialect.Case) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	text := func(s string) { _, _ = h.WriteString(s); _ = h.WriteByte(0xff) }
	text(c.Inbound.Method)
	text(c.Inbound.Query)
	for _, name := range slices.Sorted(maps.Keys(c.Inbound.Header)) {
		text(name)
		for _, v := range c.Inbound.Header[name] {
			text(v)
		}
	}
	_ = h.WriteByte(0xfe)
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		text(name)
		for _, v := range c.Settings[name] {
			text(v)
		}
	}
	_, _ = h.Write(c.Inbound.Body)
	return h.Sum64()
}

// zone adds that the times differ by whole half hours, when they do and the dialect's tolerance is narrow enough to tell.
func (r *search) zone(out *Explanation, c dialect.Case, got result) {
	if !got.stale {
		return
	}
	for half := -28; half <= 28; half++ {
		shifted := c
		shifted.Inbound.Now = c.Inbound.Now.Add(halfHours(half))
		near := c
		near.Inbound.Now = shifted.Inbound.Now.Add(halfHours(1) / 2)
		if !r.spend(2 * r.cost(c)) {
			return
		}
		_, at := receive(r.d, shifted)
		_, beside := receive(r.d, near)
		if half != 0 && at == nil && beside != nil {
			out.add(Likely, []string{"time_zone"}, got.where)
			return
		}
	}
}
