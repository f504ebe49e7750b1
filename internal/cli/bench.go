package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/proof"
	"github.com/waypost/waypost/internal/simulate"
)

// bench measures the front door at a steady rate beside a bare handler. Both get the same requests from the same load
// generator, in turns; the gateway and the sink are processes of their own.
type bench struct {
	s       Streams
	dialect *dialect.Dialect
	rate    int
	seconds int
	rounds  int
	asJSON  bool

	sending, receiving dialect.Settings
	gateway, sink      *proof.Process
	sinkURL, doorURL   string
	sent               int // to the gateway, accepted
	stem               string
}

// benchRound is one turn of both.
type benchRound struct {
	Bare     proof.Latencies `json:"bare"`
	Gateway  proof.Latencies `json:"gateway"`
	EndToEnd proof.Latencies `json:"endToEnd"`
	CPU      float64         `json:"gatewayCpuMicrosPerMessage"`
}

type benchReport struct {
	Dialect string       `json:"dialect"`
	Rate    int          `json:"rate"`
	Seconds int          `json:"secondsPerRound"`
	Rounds  []benchRound `json:"rounds"`
	Memory  int64        `json:"gatewayResidentBytes"`
	Sent    int          `json:"acknowledged"`
	Arrived int          `json:"arrived"`
	Lost    int          `json:"lost"`
	P99     float64      `json:"ackP99Ms"` // median of the rounds
}

const bodyFiller = 800 // bytes that bring a message to about 1 KiB

func benchCommand(s Streams) *cobra.Command {
	b := bench{s: s}
	var name string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure acknowledgement and end-to-end times at a steady rate, beside a bare handler",
		Long: `Start a gateway and a receiving service as processes of their own on a temporary store, push signed
messages of about 1 KiB at a steady rate (an open loop: a slow answer does not slow the load down), and print how long
the durable acknowledgement and the delivery took. In turns with it, the same load goes to a bare handler that verifies
the same signature and forgets: what is between the two is what storing costs.`,
		Example: "  waypost bench --rate 1000 --seconds 10 --rounds 3",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if b.rate < 1 || b.seconds < 1 || b.rounds < 1 {
				return misused("--rate, --seconds and --rounds must be at least 1")
			}
			d, err := findDialect(name)
			if err != nil {
				return err
			}
			b.dialect = d
			return b.run(cmd.Context())
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&name, "dialect", "pandapon", "`DIALECT` of the source: pandapon, douyin or standard; others cost more to sign than to receive")
	fs.IntVar(&b.rate, "rate", 1000, "messages a second")
	fs.IntVar(&b.seconds, "seconds", 10, "length of a round")
	fs.IntVar(&b.rounds, "rounds", 3, "rounds; medians are printed")
	fs.BoolVar(&b.asJSON, "json", false, "print the report as JSON")
	cmd.AddCommand(benchSinkCommand(s))
	return cmd
}

func (b *bench) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "waypost-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := b.start(ctx, dir); err != nil {
		return failed(err, "")
	}
	report := benchReport{Dialect: b.dialect.Name, Rate: b.rate, Seconds: b.seconds}
	for i := range b.rounds {
		r, err := b.round(ctx)
		if err != nil {
			return failed(err, "")
		}
		report.Rounds = append(report.Rounds, r)
		if !b.asJSON {
			fmt.Fprintf(b.s.Err, "round %d of %d: bare p99 %s, durable acknowledgement p99 %s, end to end p99 %s\n",
				i+1, b.rounds, millis(r.Bare.P99), millis(r.Gateway.P99), millis(r.EndToEnd.P99))
		}
	}
	report.Memory, _ = b.gateway.Memory()
	report.Sent = b.sent
	seen, err := b.seen(ctx)
	if err != nil {
		return err
	}
	report.Arrived = seen.Keys
	report.Lost = report.Sent - report.Arrived
	report.P99 = medianMs(report.Rounds, func(r benchRound) proof.Latencies { return r.Gateway }, func(l proof.Latencies) time.Duration { return l.P99 })
	if b.asJSON {
		err = json.NewEncoder(b.s.Out).Encode(report)
	} else {
		err = report.print(b.s)
	}
	if err == nil && report.Lost > 0 {
		return saidNo()
	}
	return err
}

func (b *bench) start(ctx context.Context, dir string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if b.sending, b.receiving, err = simulate.Keys(b.dialect); err != nil {
		return err
	}
	b.stem = strings.ToLower(rand.Text())[:8]
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	settings, err := json.Marshal(b.receiving)
	if err != nil {
		return err
	}
	if b.sink, err = proof.Start(exe, []string{"bench", "sink", "--dialect", b.dialect.Name}, "WAYPOST_BENCH_SETTINGS="+string(settings)); err != nil {
		return err
	}
	if b.sinkURL, err = b.sink.Await(ctx, "sink ", ""); err != nil {
		return err
	}
	token := app.NewToken()
	args := []string{"serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-level", "warn"}
	if b.gateway, err = proof.Start(exe, args, append(serverVariables(), "WAYPOST_TOKEN="+token)...); err != nil {
		return err
	}
	public, err := b.gateway.Await(ctx, "  public  ", "/in/{door}")
	if err != nil {
		return err
	}
	admin, err := b.gateway.Await(ctx, "  admin   ", "/api/v1/")
	if err != nil {
		return err
	}
	return b.setUp(ctx, newClient(admin, token), public)
}

func (b *bench) setUp(ctx context.Context, c *client, public string) error {
	if err := c.call(ctx, http.MethodPost, "/app", map[string]any{"uid": "bench", "name": "bench"}, nil); err != nil {
		return err
	}
	var source struct{ Path string }
	err := c.call(ctx, http.MethodPost, "/app/bench/source", map[string]any{"uid": "in", "dialect": b.dialect.Name, "settings": b.receiving}, &source)
	if err != nil {
		return err
	}
	b.doorURL = public + source.Path
	return c.call(ctx, http.MethodPost, "/app/bench/endpoint", map[string]any{"uid": "out", "url": b.sinkURL + "/deliver", "concurrency": 64}, nil)
}

func (b *bench) stop() error {
	var errs []error
	for _, p := range []*proof.Process{b.gateway, b.sink} {
		if p != nil {
			errs = append(errs, p.Stop(30*time.Second))
		}
	}
	return errors.Join(errs...)
}

func (b *bench) round(ctx context.Context) (benchRound, error) {
	load := proof.Load{Rate: b.rate, For: time.Duration(b.seconds) * time.Second, Make: b.message}
	var r benchRound
	load.URL = b.sinkURL + "/bare"
	r.Bare = load.Run(ctx)
	if r.Bare.Failed > 0 {
		return r, fmt.Errorf("the bare handler failed %d requests: %s", r.Bare.Failed, r.Bare.Error)
	}
	before, _ := b.gateway.CPU()
	load.URL = b.doorURL
	r.Gateway = load.Run(ctx)
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	if r.Gateway.Failed > 0 {
		return r, fmt.Errorf("the gateway failed %d requests: %s", r.Gateway.Failed, r.Gateway.Error)
	}
	b.sent += r.Gateway.Accepted
	seen, err := b.drained(ctx)
	if err != nil {
		return r, err
	}
	r.EndToEnd = seen.Latencies
	after, ok := b.gateway.CPU()
	if ok && r.Gateway.Accepted > 0 {
		r.CPU = float64((after - before).Microseconds()) / float64(r.Gateway.Accepted)
	}
	return r, nil
}

// drained waits until all that was acknowledged has arrived, or nothing more comes.
func (b *bench) drained(ctx context.Context) (proof.Seen, error) {
	var total proof.Seen
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		seen, err := b.seen(ctx)
		if err != nil {
			return total, err
		}
		if seen.Latencies.Accepted > 0 {
			total.Latencies = seen.Latencies
		}
		if seen.Keys >= b.sent || time.Now().After(end) || ctx.Err() != nil {
			return total, ctx.Err()
		}
	}
}

func (b *bench) seen(ctx context.Context) (proof.Seen, error) {
	var seen proof.Seen
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.sinkURL+"/seen", nil)
	if err != nil {
		return seen, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return seen, fmt.Errorf("ask the sink: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	return seen, json.NewDecoder(resp.Body).Decode(&seen)
}

// message makes the next signed request. It is called by many goroutines.
func (b *bench) message(i int, due time.Time) (http.Header, []byte) {
	now := time.Now()
	var seed [32]byte
	_, _ = rand.Read(seed[:])
	payload := fmt.Appendf(nil, `{"key":"%s-%d-%x","sent":%d,"filler":%q}`, b.stem, i, seed[:4], due.UnixNano(), strings.Repeat("运", bodyFiller/3))
	req, err := b.dialect.Sign(b.sending, dialect.Outbound{
		ID: fmt.Sprintf("bench-%x", seed[:8]), EventType: "BENCH", Payload: payload, Created: now, Now: now, Seed: seed,
	})
	if err != nil {
		return http.Header{}, []byte(err.Error()) // is refused, which ends the round with an error
	}
	return req.Header, req.Body
}

func (r benchReport) print(s Streams) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s, %d messages a second, %d rounds of %d s; median of the rounds\n", r.Dialect, r.Rate, len(r.Rounds), r.Seconds)
	fmt.Fprintln(w, "\tp50\tp99\tp99.9\t")
	for _, row := range []struct {
		name string
		of   func(benchRound) proof.Latencies
	}{
		{"bare handler: verify and forget", func(r benchRound) proof.Latencies { return r.Bare }},
		{"waypost: verify, store durably, acknowledge", func(r benchRound) proof.Latencies { return r.Gateway }},
		{"waypost: from the push to the delivery", func(r benchRound) proof.Latencies { return r.EndToEnd }},
	} {
		at := func(q func(proof.Latencies) time.Duration) string {
			return fmt.Sprintf("%.2f ms", medianMs(r.Rounds, row.of, q))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t\n", row.name,
			at(func(l proof.Latencies) time.Duration { return l.P50 }), at(func(l proof.Latencies) time.Duration { return l.P99 }),
			at(func(l proof.Latencies) time.Duration { return l.P999 }))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var cpu []float64
	for _, round := range r.Rounds {
		cpu = append(cpu, round.CPU)
	}
	slices.Sort(cpu)
	_, err := fmt.Fprintf(s.Out, "gateway: %.0f µs of processor time a message, %d MiB resident\nacknowledged %d, arrived %d, lost %d\n",
		cpu[len(cpu)/2], r.Memory>>20, r.Sent, r.Arrived, r.Lost)
	return err
}

func medianMs(rounds []benchRound, of func(benchRound) proof.Latencies, q func(proof.Latencies) time.Duration) float64 {
	var all []time.Duration
	for _, r := range rounds {
		all = append(all, q(of(r)))
	}
	slices.Sort(all)
	return float64(all[len(all)/2].Microseconds()) / 1000
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
