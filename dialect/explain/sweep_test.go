package explain_test

import (
	"encoding/json"
	"html"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect/all"
	"github.com/waypost/waypost/dialect/explain"
)

// TestSweep lets the commonest accidents happen to the body of every vector that any dialect accepts, and not only to
// those that the corpus picks.
func TestSweep(t *testing.T) {
	t.Parallel()
	accidents := []struct {
		name    string
		happens func(*testing.T, string) string
		want    string
	}{
		{"line end added", after("\n"), "line_end_added|blanks_added|json_spacing"},
		{"byte order mark", before("\ufeff"), "bom_added"},
		{"json.dumps", likePython(true), "json_spacing|json_spacing+json_escapes|json_spacing+json_slashes|json_escapes|line_end_lost+json_spacing|blanks_added+json_spacing"},
		{"compact", compacted, "json_spacing|line_end_lost"},
		{"pretty", indented("  "), "json_spacing|line_ends_changed|line_end_lost+json_spacing"},
		{"slashes escaped", text(phpSlashes), "json_slashes|slashes_added|json_escapes"},
		{"read as Latin-1", text(asLatin1), "charset_mistaken"},
		{"HTML entities", text(html.EscapeString), "html_escaped"},
		{"twice", text(func(s string) string { return s + s }), "body_twice|body_appended"},
	}
	table := all.Table()
	right, count := 0, 0
	for _, name := range []string{"douyin", "standard", "pandapon", "yunzhimeng", "douyinspi", "douyinmini"} {
		seen := map[string]bool{}
		for _, v := range vectors(t, name) {
			if v.Do != "receive" || v.Want == nil {
				continue
			}
			r := fromVector(t, v)
			if seen[string(r.in.Body)] || !json.Valid(r.in.Body) || !strings.HasPrefix(string(r.in.Body), "{") ||
				!utf8.Valid(r.in.Body) || name == "yunzhimeng" && !strings.HasPrefix(v.Name, "p256/") {
				continue
			}
			if got := explain.Request(table[name], r.settings, r.in, explain.Limits{}); !got.Verified {
				continue
			}
			seen[string(r.in.Body)] = true
			for _, a := range accidents {
				broken := r
				broken.in.Body = []byte(a.happens(t, string(r.in.Body)))
				if _, err := table[name].Receive(broken.settings, broken.in); err == nil {
					continue
				}
				count++
				got := explain.Request(table[name], broken.settings, broken.in, explain.Limits{})
				if means(a.want, certain(got)) {
					right++
					continue
				}
				if got.Proved() {
					t.Errorf("%s: %s: %s: said to be %v for certain, want %s", name, v.Name, a.name, certain(got), a.want)
				} else {
					t.Logf("%s: %s: %s: not known, want %s", name, v.Name, a.name, a.want)
				}
			}
		}
	}
	t.Logf("%d of %d diagnosed rightly", right, count)
	if count < 300 || right*100 < count*95 {
		t.Errorf("%d of %d are diagnosed rightly; at least 95 %% of 300 must be", right, count)
	}
}
