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

func (b book) arrive(ms int, accepted bool) {
	v := visit{at: b.at(ms), until: b.at(ms), looked: b.at(ms), endpoint: "e", body: sha256.Sum256([]byte("body")), accepted: accepted}
	b.came("m", v)
}

// orphan is an arrival whose sender was gone when it was read.
func (b book) orphan(ms int) {
	b.arrive(ms, true)
	list := b.messages["m"].arrivals
	list[len(list)-1].orphan = true
}

// twice has further messages arrive twice each.
func (b book) twice(first, again int, keys ...string) {
	for _, key := range keys {
		b.Sent(key, "way", "e", []byte("body"))
		for _, ms := range []int{first, again} {
			b.came(key, visit{at: b.at(ms), until: b.at(ms), looked: b.at(ms), endpoint: "e", body: sha256.Sum256([]byte("body")), accepted: true})
		}
	}
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
		}, "lost, invented"},
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
		{"a crash does not explain what the server after it does twice", func(b book) {
			b.crash(1, 20)
			b.arrive(21, true)
			b.arrive(22, true)
		}, "again"},
		{"nor a retry of the server after it that comes too soon", func(b book) {
			b.crash(1, 20)
			b.arrive(21, false)
			b.arrive(30, true)
		}, "early"},
		{"nor what the server before it did twice", func(b book) {
			b.arrive(0, true)
			b.arrive(1, true)
			b.crash(2, 20)
		}, "again"},
		{"nor what it did twice and was read late", func(b book) {
			b.crash(1, 20)
			b.orphan(25)
			b.orphan(26)
		}, "again"},
		{"what a dead server sent and was read late", func(b book) { b.crash(1, 20); b.orphan(400); b.arrive(401, true) }, ""},
		{"what a dead server sent and was read last", func(b book) { b.crash(1, 20); b.arrive(400, true); b.orphan(401) }, ""},
		{"what is read while a server dies may be of the one before", func(b book) {
			b.crash(1, 20)
			b.arrive(30, true)
			b.crash(40, 60)
			b.orphan(50)
		}, ""},
		{"a sender that hangs up is no crash", func(b book) { b.orphan(0); b.arrive(30, true) }, "again"},
		{"as many repeats as a crash explains", func(b book) { b.arrive(0, true); b.crash(1, 20); b.twice(0, 30, "n", "o") }, ""},
		{"more repeats than a crash explains", func(b book) { b.arrive(0, true); b.crash(1, 20); b.twice(0, 30, "n", "o", "p") }, "excess"},
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
			if got := strings.Join(found, ", "); got != c.want || v.OK() != (c.want == "") {
				t.Errorf("complaints: %q, want %q (%v)", got, c.want, v)
			}
			for _, complaint := range v.complaints() {
				for _, named := range complaint.list {
					if id, _, _ := strings.Cut(named, " "); id != "m" && id != "other" && id != "e" {
						t.Errorf("%s names %q", complaint.name, named)
					}
				}
			}
		})
	}
}
