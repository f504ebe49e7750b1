package proof

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Verdict is what the ledger shows. Every list names keys and is empty when its promise held.
type Verdict struct {
	Crashes      int            `json:"crashes"`
	Sent         int            `json:"sent"`
	Acknowledged int            `json:"acknowledged"`
	Ways         map[string]int `json:"ways"` // acknowledged, by the way they came
	Delivered    int            `json:"delivered"`
	Failed       int            `json:"failed"` // acknowledged, not delivered, and shown as failed
	Arrivals     int            `json:"arrivals"`
	Repeats      int            `json:"repeats"` // arrivals that only a crash explains

	Lost     []string `json:"lost"`     // acknowledged, neither delivered nor shown as failed
	Invented []string `json:"invented"` // arrived, and was never sent, or refused, or was for another endpoint
	Altered  []string `json:"altered"`  // arrived with other bytes than were sent
	Unsigned []string `json:"unsigned"` // arrived with a signature that does not hold
	Early    []string `json:"early"`    // arrived again before the schedule's step had passed, and no crash explains it
	Again    []string `json:"again"`    // arrived again after it had been accepted, and no crash explains it
	TooMany  []string `json:"tooMany"`  // more attempts than the schedule, resends and crashes allow
	Late     []string `json:"late"`     // arrived after disable, delete or pause had answered
	Excess   []string `json:"excess"`   // endpoints with more repeats than crashes × 2 × concurrency
}

type complaint struct {
	name string
	list []string
}

func (v Verdict) complaints() []complaint {
	return []complaint{
		{"lost", v.Lost}, {"invented", v.Invented}, {"altered", v.Altered}, {"unsigned", v.Unsigned}, {"early", v.Early},
		{"again", v.Again}, {"too many", v.TooMany}, {"late", v.Late}, {"excess", v.Excess},
	}
}

// OK says whether every promise held.
func (v Verdict) OK() bool {
	return !slices.ContainsFunc(v.complaints(), func(c complaint) bool { return len(c.list) > 0 })
}

// String is one line of figures, and the first names of whatever is wrong.
func (v Verdict) String() string {
	const shown = 8
	var b strings.Builder
	fmt.Fprintf(&b, "%d crashes, %d acknowledged, %d delivered, %d failed in sight, %d lost, %d repeats", v.Crashes, v.Acknowledged, v.Delivered, v.Failed, len(v.Lost), v.Repeats)
	for _, c := range v.complaints() {
		if len(c.list) > 0 {
			fmt.Fprintf(&b, "; %s %d: %s", c.name, len(c.list), strings.Join(c.list[:min(shown, len(c.list))], " "))
		}
	}
	b.WriteString(" (acknowledged by way:")
	for _, way := range slices.Sorted(maps.Keys(v.Ways)) {
		fmt.Fprintf(&b, " %s %d", way, v.Ways[way])
	}
	return b.String() + ")"
}

// Verdict judges everything that is noted so far.
func (l *Ledger) Verdict() Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := Verdict{Crashes: len(l.crashes), Sent: len(l.messages), Ways: map[string]int{}, Invented: slices.Clone(l.strangers)}
	repeats := map[string]int{}
	for key, r := range l.messages {
		v.settled(key, r)
		v.faithful(key, r)
		n := l.spaced(&v, key, r)
		repeats[r.endpoint] += n
		v.Repeats += n
	}
	for name, d := range l.endpoints {
		v.Late = append(v.Late, d.late...)
		if limit := len(l.crashes) * 2 * d.Concurrency; repeats[name] > limit {
			v.Excess = append(v.Excess, fmt.Sprintf("%s (%d repeats, %d allowed)", name, repeats[name], limit))
		}
	}
	for _, c := range v.complaints() {
		slices.Sort(c.list)
	}
	return v
}

// settled asks whether an acknowledged message came to its end.
func (v *Verdict) settled(key string, r *record) {
	if !r.acked {
		return
	}
	v.Acknowledged++
	v.Ways[r.way]++
	switch {
	case r.delivered():
		v.Delivered++
	case r.failed:
		v.Failed++
	default:
		v.Lost = append(v.Lost, key)
	}
}

// faithful asks whether what arrived is what was sent.
func (v *Verdict) faithful(key string, r *record) {
	v.Arrivals += len(r.arrivals)
	if r.refused && !r.acked && len(r.arrivals) > 0 {
		v.Invented = append(v.Invented, key)
	}
	for _, a := range r.arrivals {
		switch {
		case a.endpoint != r.endpoint:
			v.Invented = append(v.Invented, key)
		case a.unsigned != "":
			v.Unsigned = append(v.Unsigned, key+" ("+a.unsigned+")")
		case a.body != r.body:
			v.Altered = append(v.Altered, key)
		}
	}
}

// clockSlack is how far two readings of the clock may differ: the server keeps milliseconds, of the wall clock.
const clockSlack = 2 * time.Millisecond

// spaced asks whether the attempts of a message kept the schedule, and returns how many of them only a crash explains.
// An attempt whose record a crash took is made again at once and does not count as a step; whether one was recorded
// cannot be seen from outside, so from the first crash on the step is only known to lie between two numbers.
func (l *Ledger) spaced(v *Verdict, key string, r *record) (repeats int) {
	d := l.endpoints[r.endpoint]
	least, most, resends, spanned, last := 0, 0, r.resends, 0, 0
	for i := 1; i < len(r.arrivals); i++ {
		before, now := r.arrivals[last], r.arrivals[i]
		crash := l.spans(before, now)
		if crash {
			spanned++
		}
		soon := before.until.IsZero() || now.at.Sub(before.until) < shortest(d.Schedule, least, most)-d.Slack-clockSlack
		switch {
		case !before.accepted && !soon:
			most++
			if !crash {
				least++
			}
		case crash:
			repeats++
		case resends > 0:
			resends-- // it does not touch the schedule: the next attempt is still counted from the one before
			continue
		case before.accepted:
			v.Again = append(v.Again, fmt.Sprintf("%s (%s, then %s %v later)", key, before.id, now.id, now.at.Sub(before.until).Round(time.Millisecond)))
		default:
			v.Early = append(v.Early, key)
		}
		last = i
	}
	if len(r.arrivals) > 1+len(d.Schedule)+r.resends+spanned {
		v.TooMany = append(v.TooMany, key)
	}
	return repeats
}

// spans says whether two arrivals may have been sent by two lives of the server, so that a death lies between them. When
// they came does not tell: what a server sent may lie unread in the receiver's socket long after its death, and be read
// after what the next one sent.
func (l *Ledger) spans(a, b visit) bool {
	firstOfA, lastOfA := l.lives(a)
	firstOfB, lastOfB := l.lives(b)
	return firstOfA != lastOfA || firstOfB != lastOfB || firstOfA != firstOfB
}

// lives returns the first and the last life of the server, 0 = before the first death, that may have sent an arrival. A
// connection that was still open was held by the one life that ran at that moment. One that was closed is of a life that
// had ended: the latest, for a request does not lie unread for the whole of a further life. Which death was the latest is
// open only while one is going on.
//
// A server that hangs up without a death and sends again is not told from one that died before: those are counted as
// repeats, whose number is bounded.
func (l *Ledger) lives(v visit) (first, last int) {
	begun, over := 0, 0
	for _, c := range l.crashes {
		if !c.from.After(v.looked) {
			begun++
		}
		if c.to.Before(v.looked) {
			over++
		}
	}
	if !v.orphan {
		return over, over
	}
	return max(over-1, 0), max(begun-1, 0)
}

// shortest returns the least wait among the steps of a schedule from one number to another.
func shortest(schedule []time.Duration, from, to int) time.Duration {
	if from >= len(schedule) {
		return 0 // over the cap, which is another complaint
	}
	return slices.Min(schedule[from:min(to+1, len(schedule))])
}
