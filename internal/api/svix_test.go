package api_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// differences are all that a client of Svix's open server may run into, and why it is so. What is taken in addition is no difference:
// more members, wider bounds, more values. op "" is every operation; what is an expression for a place and what is other there.
var differences = []struct{ op, what, why string }{
	// What Svix's server refuses too, and its document does not say.
	{"", "query limit: bounds", "Svix takes 1 to 250 too"},
	{"", "query iterator: bounds", "iterators of ours are shorter; whatever else is none"},
	{"", "path attempt_id: bounds", "ids of ours are shorter; whatever is longer is none"},
	{"PATCH /app/{app_id}/endpoint/{endpoint_id}", "request url: bounds", "as at create, where Svix documents it"},
	{"PATCH /app/{app_id}/endpoint/{endpoint_id}", "request channels: bounds", "as at create, where Svix documents it"},
	{"", "request rateLimit: bounds", "0 would mean that nothing is ever sent: Svix documents 1 at create and 0 at PATCH"},

	// Bounds of ours where Svix has none: what is unbounded can be used to fill the disk.
	{"", "header idempotency-key: bounds", "256 characters; those that libraries make have 41"},
	{"", "query event_types: bounds", "100 event types a request"},
	{"", "request filterTypes: bounds", "1000 event types an endpoint"},
	{"", "request description: bounds", "4096 characters"},
	{"POST /app", "request name: bounds", "256 characters"},
	{"PUT /app/{app_id}", "request name: bounds", "256 characters"},
	{"PATCH /app/{app_id}", "request name: bounds", "256 characters, and not empty, as at create"},
	{"POST /auth/app-portal-access/{app_id}", "request featureFlags: bounds", "100 flags"},

	// Answers.
	{"", "200 .*status: more values", "4 (canceled) is told only to who asks by expanded_statuses=true, as Svix's newest libraries do"},
	{"", `20. .*schemas \*: missing`, "a JSON Schema may also be true or false"},
	{"POST /app/{app_id}/endpoint/{endpoint_id}/recover", "202 task: more values", "one schema for all tasks; here it is always endpoint.recover"},
	{"POST /app/{app_id}/endpoint/{endpoint_id}/recover", "202 status: more values", "one schema for all tasks; here it is always running"},
	{"POST /app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend", "202: type", "{}, as hosted Svix: an empty body breaks libraries from 1.57 on"},
	{"POST /app/{app_id}/endpoint/{endpoint_id}/send-example", "200.*: missing", "202 with the same body, as hosted Svix; libraries take every 2xx"},
	{"GET /health", "204: missing", "Svix documents 204 and answers 200 with a body; so do we, and document it"},
	{"HEAD /health", "operation: missing", "answered as GET, without a body"},
	{"HEAD /health/ping", "operation: missing", "answered as GET"},
	{"POST /event-type/schema/generate-example", "204: missing", "Svix's open server answers 501; here it works as in hosted Svix: 200 with an example"},
	{"POST /event-type/schema/generate-example", "request: is needed", "as in hosted Svix"},
}

// TestOurDocumentAddsToSvixs compares our document with the table of Svix's.
func TestOurDocumentAddsToSvixs(t *testing.T) {
	ours := ourFacts(t)
	used := make([]bool, len(differences))
	for _, d := range compare(svixFacts(t), ours) {
		known := false
		for i, k := range differences {
			if (k.op == "" || k.op == d.op) && regexp.MustCompile("^"+k.what+"$").MatchString(d.what) {
				known, used[i] = true, true
			}
		}
		if !known {
			t.Errorf("%s: %s: theirs %s, ours %s", d.op, d.what, d.theirs, d.ours)
		}
	}
	for i, k := range differences {
		if !used[i] {
			t.Errorf("listed, but there is no such difference: %s %s", k.op, k.what)
		}
	}
}

// TestEveryKindOfDifferenceIsFound holds the comparison itself.
func TestEveryKindOfDifferenceIsFound(t *testing.T) {
	for _, c := range []struct{ place, theirs, ours, want string }{
		{"request a", "string", "string", ""},
		{"request a", "string", "", "request a: missing"},
		{"request a", "string", "integer", "request a: type"},
		{"request a", "string(uri)", "string", ""},
		{"request a", "string", "any", ""},
		{"request a", "string", "string required", "request a: is needed"},
		{"request a", "", "string required", "request a: is needed"},
		{"request a", "", "string", ""},
		{"request a", "string nullable", "string", "request a: must not be null"},
		{"query a", "string nullable", "string", ""},
		{"query a", "", "string required", "query a: is needed"},
		{"request a", "string enum=x|y", "string enum=x|y|z", ""},
		{"request a", "string enum=x|y", "string enum=x", "request a: fewer values"},
		{"request a", "string", "string enum=x", "request a: fewer values"},
		{"query a", "integer enum=0|4", "integer maximum=4", ""},
		{"query a", "integer enum=0|4", "integer maximum=3", "query a: bounds"},
		{"request a", "string pattern=^[a-z]+$", "string pattern=^[a-z.]+$ minLength=1", ""},
		{"request a", "string pattern=^[a-z.]+$", "string pattern=^[a-z]+$", "request a: pattern"},
		{"request a", "string pattern=^x$", "string pattern=^y$", "request a: pattern"},
		{"request a", "string pattern=^[a-z]{2,9}$", "string maxLength=8", "request a: bounds"},
		{"request a", "string", "string maxLength=9", "request a: bounds"},
		{"request a", "string maxLength=9", "string maxLength=8", "request a: bounds"},
		{"request a", "string maxLength=9", "string", ""},
		{"request a", "array minItems=1", "array minItems=2", "request a: bounds"},
		{"200 a", "string required", "string", "200 a: may be missing"},
		{"200 a", "string", "", "200 a: missing"},
		{"200 a", "string required", "string required nullable", "200 a: may be null"},
		{"200 a", "integer required enum=0|1", "integer required enum=0|1|2", "200 a: more values"},
		{"200 a", "integer required enum=0|1", "integer required enum=0", ""},
		{"200 a", "integer required enum=0|1", "integer required", "200 a: more values"},
		{"200 a", "string required maxLength=9", "string required", ""},
		{"200 a", "", "string required", ""},
		{"200", "status", "", "200: missing"},
	} {
		theirs, ours := facts{}, facts{}
		for doc, text := range map[*facts]string{&theirs: c.theirs, &ours: c.ours} {
			doc.add("GET /x", "operation", fact{kind: "operation"})
			doc.add("GET /x", "request", fact{kind: "object", required: true})
			if text != "" {
				doc.add("GET /x", c.place, parseFact(text))
			}
		}
		got := ""
		for _, d := range compare(theirs, ours) {
			got += d.what
		}
		if got != c.want {
			t.Errorf("%s, theirs %q, ours %q: %q, want %q", c.place, c.theirs, c.ours, got, c.want)
		}
	}
	if d := compare(facts{"GET /x": {"operation": {}}}, facts{}); len(d) != 1 || d[0].what != "operation: missing" {
		t.Error(d)
	}
}

func ourFacts(t testing.TB) facts {
	t.Helper()
	text, err := os.ReadFile("../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	return readFacts(t, text)
}

// difference is something that Svix's document promises and ours does not.
type difference struct{ op, what, theirs, ours string }

func compare(theirs, ours facts) []difference {
	var out []difference
	for _, op := range slices.Sorted(maps.Keys(theirs)) {
		if ours[op] == nil {
			out = append(out, difference{op, "operation: missing", "", ""})
			continue
		}
		for _, place := range slices.Sorted(maps.Keys(theirs[op])) {
			their := theirs[op][place]
			our, there := ours[op][place]
			problems := []string{"missing"}
			switch {
			case there:
				problems = their.against(our, asked(place), strings.HasPrefix(place, "query "))
			case asked(place) && strings.HasSuffix(place, " *"):
				problems = nil // any value is taken
			}
			for _, p := range problems {
				out = append(out, difference{op, place + ": " + p, their.String(), our.String()})
			}
		}
		for place, our := range ours[op] {
			_, known := theirs[op][place]
			parent := place[:max(0, strings.LastIndexByte(place, ' '))]
			_, within := theirs[op][parent]
			if asked(place) && !known && our.required && !strings.HasPrefix(place, "path ") && (within || !strings.Contains(parent, " ") && parent != "request") {
				out = append(out, difference{op, place + ": is needed", "", our.String()})
			}
		}
	}
	return out
}

// asked says whether a place is of a request.
func asked(place string) bool { return place[0] < '0' || place[0] > '9' }

// against says in what our fact keeps less than theirs promises. A request must be taken as they take it, an answer must be
// readable by who reads theirs.
func (f fact) against(our fact, asked, inQuery bool) []string {
	var out []string
	note := func(is bool, what string) {
		if is {
			out = append(out, what)
		}
	}
	their := f
	if !asked {
		note(our.kind != their.kind && strings.TrimSuffix(their.kind, "(uri)") != our.kind, "type")
		note(their.required && !our.required, "may be missing")
		note(our.nullable && !their.nullable && their.required, "may be null")
		note(their.enum != "" && !within(our.enum, their.enum), "more values")
		return out
	}
	note(our.kind != their.kind && our.kind != "any" && strings.TrimSuffix(their.kind, "(uri)") != our.kind, "type")
	note(our.required && !their.required, "is needed")
	note(their.nullable && !our.nullable && !inQuery, "must not be null")
	note(our.enum != "" && !within(their.enum, our.enum), "fewer values")
	note(our.pattern != "" && !patternWithin(their.pattern, our.pattern), "pattern")
	note(narrower(our, their), "bounds")
	return out
}

// patternWithin says whether what one pattern takes is taken by another; of different ones it knows those of the form ^[…]+$.
func patternWithin(one, other string) bool {
	if one == other {
		return true
	}
	for _, p := range []string{one, other} {
		if !strings.HasPrefix(p, "^[") || strings.Index(p, "]") != len(p)-3 || !strings.HasSuffix(p, "]+$") {
			return false
		}
	}
	a, b := regexp.MustCompile(one), regexp.MustCompile(other)
	for c := range rune(128) {
		if a.MatchString(string(c)) && !b.MatchString(string(c)) {
			return false
		}
	}
	return true
}

// within says whether every value of a list is one of another, and there are such lists.
func within(list, of string) bool {
	if list == "" {
		return false
	}
	known := strings.Split(of, "|")
	for _, v := range strings.Split(list, "|") {
		if !slices.Contains(known, v) {
			return false
		}
	}
	return true
}

// repeats is the end of a pattern that says how long a text is.
var repeats = regexp.MustCompile(`\{(\d+),(\d+)\}\$$`)

// narrower says whether our bounds exclude what theirs allow.
func narrower(our, their fact) bool {
	allowed := map[string]float64{}
	for _, b := range strings.Fields(their.bounds) {
		name, value, _ := strings.Cut(b, "=")
		allowed[name], _ = strconv.ParseFloat(value, 64)
	}
	if strings.HasSuffix(their.pattern, "+$") {
		allowed["minLength"] = max(allowed["minLength"], 1)
	}
	if m := repeats.FindStringSubmatch(their.pattern); m != nil {
		allowed["maxLength"], _ = strconv.ParseFloat(m[2], 64)
	}
	for _, text := range strings.FieldsFunc(their.enum, func(r rune) bool { return r == '|' }) {
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			allowed["maximum"] = max(allowed["maximum"], v)
		}
	}
	for _, b := range strings.Fields(our.bounds) {
		name, value, _ := strings.Cut(b, "=")
		v, _ := strconv.ParseFloat(value, 64)
		limit, bound := allowed[name]
		if strings.HasPrefix(name, "min") && v > limit || strings.HasPrefix(name, "max") && (!bound || v < limit) {
			return true
		}
	}
	return false
}

// TestTheTableOfOperationsIsWhole holds the table in docs/api.md: each operation has one row, which says whose it is.
func TestTheTableOfOperationsIsWhole(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Operations\n")
	section, _, _ = strings.Cut(section, "\n#")
	theirs, ours, rows := svixFacts(t), ourFacts(t), map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`]*)` \\| (.*) \\|$").FindAllStringSubmatch(section, -1) {
		op, note := row[1], row[2]
		if rows[op] || ours[op] == nil {
			t.Errorf("%s is not there, or there twice", op)
		}
		rows[op] = true
		same, differs := strings.HasPrefix(note, "same"), strings.HasPrefix(note, "differs: ")
		if isTheirs := theirs[op] != nil; isTheirs != (same || differs) || !isTheirs && note != "addition" && !strings.HasPrefix(note, "as hosted Svix") {
			t.Errorf("%s: the row says %q, Svix's open server has it: %v", op, note, isTheirs)
		}
	}
	for op := range ours {
		if !rows[op] {
			t.Errorf("%s has no row in docs/api.md", op)
		}
	}
}
