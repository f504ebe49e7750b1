package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Report is what a run found.
type Report struct {
	Machine Machine   `json:"machine"`
	Rounds  int       `json:"rounds"`
	Dialect string    `json:"dialect"`
	Stored  int       `json:"stored"` // before the case stored began, 0 = it was not chosen
	Quick   bool      `json:"quick"`
	Rows    []*Row    `json:"rows"`
	Goals   []Outcome `json:"goals"`
	// Figures are what is measured once: disk (KiB a message), memoryIdle, memoryWaiting (with all that is stored pending, and paused),
	// memoryPending (the highest while it is delivered; MiB), ready and recovery (seconds from the start after a kill to serving,
	// and to the first delivery).
	Figures map[string]float64 `json:"figures"`
}

// Row is one line of the table: what every round measured.
type Row struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Samples []Sample `json:"samples"`
}

// Sample is what one turn measured. The processor times are microseconds a message.
type Sample struct {
	Messages int `json:"messages"` // acknowledged
	// NotAcknowledged is how many requests of a fixed rate were refused, or got no answer; a closed loop fails with one.
	NotAcknowledged int     `json:"notAcknowledged"`
	Rate            float64 `json:"perSecond"` // acknowledged, or arrived where something arrives
	Ack             Times   `json:"ack"`
	EndToEnd        Times   `json:"endToEnd"`
	LoaderCPU       float64 `json:"loaderCpuMicros"`
	GatewayCPU      float64 `json:"gatewayCpuMicros"`
	SinkCPU         float64 `json:"sinkCpuMicros"`
	Allocations     float64 `json:"gatewayAllocations"`
	AllocatedBytes  float64 `json:"gatewayAllocatedBytes"`
	Memory          int64   `json:"gatewayResidentBytes"`
}

func (s Sample) String() string {
	text := fmt.Sprintf("%6.0f/s   CPU µs: load %.0f, gateway %.0f, sink %.0f   ack p99 %s", s.Rate, s.LoaderCPU, s.GatewayCPU, s.SinkCPU, millis(s.Ack.P99))
	if s.EndToEnd.Count > 0 {
		text += ", end to end p99 " + millis(s.EndToEnd.P99)
	}
	if s.NotAcknowledged > 0 {
		text += fmt.Sprintf(", %d not acknowledged", s.NotAcknowledged)
	}
	return text
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

func (r *Report) add(name, title string, s Sample) {
	row := r.row(name)
	if row == nil {
		row = &Row{Name: name, Title: title}
		r.Rows = append(r.Rows, row)
	}
	row.Samples = append(row.Samples, s)
}

func (r *Report) row(name string) *Row {
	for _, row := range r.Rows {
		if row.Name == name {
			return row
		}
	}
	return nil
}

// figure notes what is measured once in a run.
func (r *Report) figure(name string, value float64) {
	if r.Figures == nil {
		r.Figures = map[string]float64{}
	}
	r.Figures[name] = value
}

func (r *Row) spread(of func(Sample) float64) Spread {
	var all []float64
	for _, s := range r.Samples {
		all = append(all, of(s))
	}
	return spreadOf(all)
}

// Print writes the tables for people.
func (r *Report) Print(out io.Writer) error {
	m := r.Machine
	fmt.Fprintf(out, "%s, %d cores, %s, %s; load average before %s, after %s\n", m.CPU, m.Cores, m.OS, m.Go, m.Load, m.LoadAfter)
	fmt.Fprintf(out, "source: %s, bodies around 1 KiB; median of %d rounds (lowest–highest); processor times in µs a message\n", r.Dialect, r.Rounds)
	if r.Quick {
		fmt.Fprintln(out, "a quick run: it shows that every case works, and its figures mean little")
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tmessages/s\tack p50 p99 p99.9 ms\tend to end ms\tgateway CPU\tload\tsink\tallocations\tresident")
	for _, row := range r.Rows {
		row.print(w)
	}
	if err := w.Flush(); err != nil || len(r.Goals) == 0 {
		return err
	}
	fmt.Fprintln(out)
	fmt.Fprintln(w, "\tmeasured\tby processor time\tbar\taim\t")
	for _, g := range r.Goals {
		g.print(w)
	}
	return w.Flush()
}

func (r *Row) print(w io.Writer) {
	cpu := r.spread(func(s Sample) float64 { return s.GatewayCPU })
	median := func(of func(Sample) float64) float64 { return r.spread(of).Median }
	gateway, allocations, memory := "–", "–", "–"
	if cpu.High > 0 {
		gateway = cpu.text("%.0f")
	}
	if m := median(func(s Sample) float64 { return mib(s.Memory) }); m > 0 {
		memory = fmt.Sprintf("%.0f MiB", m)
	}
	if a := median(func(s Sample) float64 { return s.Allocations }); a > 0 {
		allocations = fmt.Sprintf("%.0f (%.1f KiB)", a, median(func(s Sample) float64 { return s.AllocatedBytes })/1024)
	}
	title := r.Title
	if refused := median(func(s Sample) float64 { return float64(s.NotAcknowledged) }); refused > 0 {
		title += fmt.Sprintf(" (%.0f not acknowledged)", refused)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.0f\t%.0f\t%s\t%s\n", title, r.spread(func(s Sample) float64 { return s.Rate }).text("%.0f"),
		r.times(func(s Sample) Times { return s.Ack }), r.times(func(s Sample) Times { return s.EndToEnd }), gateway,
		median(func(s Sample) float64 { return s.LoaderCPU }), median(func(s Sample) float64 { return s.SinkCPU }), allocations, memory)
}

func (r *Row) times(of func(Sample) Times) string {
	if of(r.Samples[0]).Count == 0 {
		return "–"
	}
	at := func(q func(Times) time.Duration) float64 {
		return r.spread(func(s Sample) float64 { return float64(q(of(s)).Microseconds()) / 1000 }).Median
	}
	return fmt.Sprintf("%.1f %.1f %.1f", at(func(t Times) time.Duration { return t.P50 }),
		at(func(t Times) time.Duration { return t.P99 }), at(func(t Times) time.Duration { return t.P999 }))
}

// text writes a spread; one figure alone has none.
func (s Spread) text(format string) string {
	if s.Low == s.High {
		return fmt.Sprintf(format, s.Median)
	}
	return fmt.Sprintf(format+" ("+format+"–"+format+")", s.Median, s.Low, s.High)
}
