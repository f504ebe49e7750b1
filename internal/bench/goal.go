package bench

import (
	"fmt"
	"io"
	"time"
)

// goal is a line that this program is to reach, as docs/performance.md lists them.
type goal struct {
	title    string
	bar, aim float64 // aim 0 = none beyond the bar
	atMost   bool    // the less the better
	format   string
	measure  func(r *Report) (Spread, bool)
	// work is the same ratio by the processor time of all processes together: what it would be if nothing but that limited both.
	// Other work on the machine disturbs it little. nil = there is none.
	work func(r *Report) (Spread, bool)
}

// Outcome is a goal with what was measured.
type Outcome struct {
	Title    string  `json:"title"`
	Measured Spread  `json:"measured"`
	Bar      float64 `json:"bar"`
	Aim      float64 `json:"aim,omitempty"`
	AtMost   bool    `json:"atMost"`
	Reached  bool    `json:"barReached"`
	Work     *Spread `json:"byProcessorTime,omitempty"` // the same ratio by the processor time of all processes together

	format string
}

// goals is the table. Ratios are of the same round, and the median is that of the ratios.
func goals() []goal {
	rate := func(s Sample) float64 { return s.Rate }
	cpu := func(s Sample) float64 { return s.GatewayCPU }
	ack := func(s Sample) float64 { return ms(s.Ack.P99) }
	arrival := func(s Sample) float64 { return ms(s.EndToEnd.P99) }
	perWork := func(s Sample) float64 { return 1e6 / max(1, s.LoaderCPU+s.GatewayCPU+s.SinkCPU) }
	return []goal{
		{"end to end against ReverseProxy", 1.1, 1.8, false, "%.2f", ratio("flow", "proxy", rate), ratio("flow", "proxy", perWork)},
		{"end to end against nginx", 0.6, 1.0, false, "%.2f", ratio("flow", "nginx", rate), ratio("flow", "nginx", perWork)},
		{"end to end against the pipe without a store", 0.6, 0.8, false, "%.2f", ratio("flow", "pipe", rate), ratio("flow", "pipe", perWork)},
		{"ingest against the bare handler", 0.6, 0.8, false, "%.2f", ratioToBare(rate), ratioToBare(perWork)},
		{"gateway CPU a message, µs", 100, 60, true, "%.0f", of("flow", cpu), nil},
		{"acknowledgement p99 at 1,000 a second, ms", 15, 6, true, "%.1f", of("steady1000", ack), nil},
		{"end to end p99 at 1,000 a second, ms", 25, 8, true, "%.1f", of("steady1000", arrival), nil},
		{"growth of gateway CPU with what is stored", 1.3, 1.1, true, "%.2f", ratio("stored", "flow", cpu), nil},
		{"disk a message delivered once, KiB", 1.3, 0.8, true, "%.2f", once("disk"), nil},
		{"resident memory idle, MiB", 40, 0, true, "%.0f", once("memoryIdle"), nil},
		{"resident memory, all that is stored pending, MiB", 256, 0, true, "%.0f", once("memoryPending"), nil},
		{"others' p99 with one hanging and one dead endpoint among 100", 1.2, 0, true, "%.2f", ratio("sick", "healthy", arrival), nil},
		{"first delivery after kill and restart, s", 2, 0, true, "%.2f", once("recovery"), nil},
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// of is a figure of one row.
func of(name string, figure func(Sample) float64) func(*Report) (Spread, bool) {
	return func(r *Report) (Spread, bool) {
		row := r.row(name)
		if row == nil {
			return Spread{}, false
		}
		return row.spread(figure), true
	}
}

// ratio compares two rows round by round.
func ratio(name, to string, figure func(Sample) float64) func(*Report) (Spread, bool) {
	return func(r *Report) (Spread, bool) {
		a, b := r.row(name), r.row(to)
		if a == nil || b == nil || len(a.Samples) != len(b.Samples) {
			return Spread{}, false
		}
		var all []float64
		for i := range a.Samples {
			under := figure(b.Samples[i])
			if under <= 0 {
				return Spread{}, false
			}
			all = append(all, figure(a.Samples[i])/under)
		}
		return spreadOf(all), true
	}
}

// ratioToBare compares the source of the bench's own dialect with the bare handler of the same.
func ratioToBare(figure func(Sample) float64) func(*Report) (Spread, bool) {
	return func(r *Report) (Spread, bool) { return ratio("ingest-"+r.Dialect, "handler", figure)(r) }
}

// once is what is measured once in a run.
func once(name string) func(*Report) (Spread, bool) {
	return func(r *Report) (Spread, bool) {
		v, ok := r.Figures[name]
		return Spread{v, v, v}, ok
	}
}

// conclude compares with the goals what was measured.
func (r *Report) conclude() {
	r.Goals = nil
	for _, g := range goals() {
		s, ok := g.measure(r)
		if !ok {
			continue
		}
		reached := s.Median >= g.bar
		if g.atMost {
			reached = s.Median <= g.bar
		}
		o := Outcome{Title: g.title, Measured: s, Bar: g.bar, Aim: g.aim, AtMost: g.atMost, Reached: reached, format: g.format}
		if g.work != nil {
			if work, ok := g.work(r); ok {
				o.Work = &work
			}
		}
		r.Goals = append(r.Goals, o)
	}
}

func (o *Outcome) print(w io.Writer) {
	sign, verdict, aim, work := "≥", "", "–", ""
	if o.Work != nil {
		work = o.Work.text(o.format)
	}
	if o.AtMost {
		sign = "≤"
	}
	if !o.Reached {
		verdict = "missed"
	}
	if o.Aim > 0 {
		aim = fmt.Sprintf("%s %g", sign, o.Aim)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s %g\t%s\t%s\n", o.Title, o.Measured.text(o.format), work, sign, o.Bar, aim, verdict)
}
