package proof

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"
)

// book is a ledger with one message "m" to one endpoint, filled by hand.
type book struct {
	*Ledger
	start time.Time
}

func newBook() book {
	b := book{NewLedger(), time.Now()}
	b.Add(Destination{Name: "e", Schedule: []time.Duration{100 * time.Millisecond, time.Second}, Concurrency: 1})
	b.Sent("m", "way", "e", []byte("body"))
	b.Acknowledged("m")
	return b
}

func (b book) at(ms int) time.Time { return b.start.Add(time.Duration(ms) * time.Millisecond) }

func (b book) arrive(ms int, accepted bool) visit {
	v := visit{at: b.at(ms), until: b.at(ms), endpoint: "e", body: sha256.Sum256([]byte("body")), accepted: accepted}
	n := b.came("m", v)
	b.messages["m"].arrivals[n-1].accepted = accepted
	return v
}

func (b book) crash(from, to int) { b.Crashed(b.at(from), b.at(to)) }

func TestTheVerdictNamesWhatWentWrong(t *testing.T) {
	for _, c := range []struct {
		name   string
		course func(book)
		want   string // the complaint, "" = none
	}{
		{"delivered at the last attempt", func(b book) { b.arrive(0, false); b.arrive(100, false); b.arrive(1100, true) }, ""},
		{"failed in sight", func(b book) {
			b.arrive(0, false)
			b.arrive(100, false)
			b.arrive(1100, false)
			b.Failed("m")
		}, ""},
		{"never arrived", func(book) {}, "lost"},
		{"arrived and was never accepted", func(b book) { b.arrive(0, false) }, "lost"},
		{"nobody sent it", func(b book) { b.arrive(0, true); b.came("other", visit{at: b.start, endpoint: "e"}) }, "invented"},
		{"it was refused for good", func(b book) {
			b.arrive(0, true)
			b.messages["m"].acked = false
			b.Refused("m")
		}, "invented"},
		{"it was for another endpoint", func(b book) {
			b.arrive(0, true)
			b.messages["m"].arrivals[0].endpoint = "f"
		}, "invented"},
		{"other bytes", func(b book) { b.arrive(0, true); b.messages["m"].arrivals[0].body[0]++ }, "altered"},
		{"a signature that does not hold", func(b book) { b.arrive(0, true); b.messages["m"].arrivals[0].unsigned = "no" }, "unsigned"},
		{"a step that is too short", func(b book) { b.arrive(0, false); b.arrive(90, true) }, "early"},
		{"a second step as short as the first", func(b book) { b.arrive(0, false); b.arrive(100, false); b.arrive(300, true) }, "early"},
		{"again after it was accepted", func(b book) { b.arrive(0, true); b.arrive(5000, true) }, "again"},
		{"one attempt more than the schedule", func(b book) {
			b.arrive(0, false)
			b.arrive(100, false)
			b.arrive(1100, false)
			b.arrive(9000, true)
		}, "too many"},
		{"a resend that was asked for", func(b book) { b.Resent("m"); b.arrive(0, false); b.arrive(50, false); b.arrive(100, true) }, ""},
		{"a crash explains a repeat", func(b book) { b.arrive(0, true); b.crash(1, 20); b.arrive(30, true) }, ""},
		{"a crash between leaves the step unknown", func(b book) {
			b.arrive(0, false)
			b.crash(1, 200)
			b.arrive(210, false)
			b.arrive(310, true)
		}, ""},
		{"a crash before it explains nothing", func(b book) { b.crash(-900, -800); b.arrive(0, true); b.arrive(30, true) }, "again"},
		{"more repeats than crashes explain", func(b book) {
			b.arrive(0, true)
			b.crash(1, 100)
			b.arrive(10, true)
			b.arrive(20, true)
			b.arrive(30, true)
		}, "excess"},
		{"after disable has answered", func(b book) {
			b.Closed("e")
			b.endpoints["e"].closed = b.at(-1000)
			b.arrive(0, true)
		}, "late"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBook()
			c.course(b)
			v := b.Verdict()
			var found []string
			for _, complaint := range v.complaints() {
				if len(complaint.list) > 0 {
					found = append(found, complaint.name)
				}
			}
			if got := strings.Join(found, ", "); !strings.Contains(got, c.want) || v.OK() != (c.want == "") {
				t.Errorf("complaints: %q, want %q (%v)", got, c.want, v)
			}
		})
	}
}
