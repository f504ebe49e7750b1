package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/egress"
)

// demoPlatforms are the platforms of the demo, in the order of its table.
var demoPlatforms = []string{"pandapon", "douyin", "alipay", "yunzhimeng"}

const (
	demoRounds    = 2                      // times that every event is sent, each way
	demoTimeout   = 400 * time.Millisecond // for one delivery: the platforms' own deadlines, compressed
	demoLongest   = 800 * time.Millisecond // the longest wait of a retry schedule, compressed
	demoPatience  = 20 * time.Second       // for the last delivery
	demoPause     = 3 * time.Second        // between the rounds of a demo without end
	demoForgeries = 2                      // of each kind
)

func demoCommand(s Streams) *cobra.Command {
	var once, keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Everything at once, with no set-up: server, platforms, a receiver that fails now and then",
		Long: `Start a server on a temporary store, four simulated platforms that push every event of their
documentation into it, and the sending side that pushes the same events as each of the four platforms to a
receiver that verifies, fails, times out and refuses now and then; and Alipay's long connection, both ends of it.
Times are compressed. With --once it ends
by itself within half a minute with a table and a verdict, and with 0 only if nothing was lost and nothing forged
got in; without, it goes on until Ctrl-C.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return demonstrate(cmd.Context(), s, once, keep) },
	}
	cmd.Flags().BoolVar(&once, "once", false, "one round, a table, a verdict")
	cmd.Flags().BoolVar(&keep, "keep", false, "do not remove the temporary store")
	return cmd
}

// demo is one run.
type demo struct {
	s        Streams
	dialects map[string]*dialect.Dialect
	server   *app.App
	api      *client
	egress   *egress.Client
	receiver *demoReceiver
	sides    []*demoSide
	round    int

	mu sync.Mutex // guards printing
}

func demonstrate(ctx context.Context, s Streams, once, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "waypost-demo-")
	if err != nil {
		return err
	}
	if !keep {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	d := &demo{s: s, dialects: app.Dialects(), egress: egress.New(egress.Options{AllowLoopback: true, Version: Version})}
	d.server, err = app.Start(ctx, app.Options{Data: dir, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Dev: true, Version: Version, LowWater: 16 << 20})
	if err != nil {
		return failed(fmt.Errorf("start the server: %w", err), "")
	}
	defer func() { err = errors.Join(err, d.server.Stop(context.WithoutCancel(ctx))) }()
	d.api = newClient("http://"+d.server.AdminAddr(), d.server.Token())
	d.say("server", "public http://%s, API http://%s, store %s", d.server.PublicAddr(), d.server.AdminAddr(), dir)

	if d.receiver, err = newDemoReceiver(d); err != nil {
		return err
	}
	defer d.receiver.close()
	d.say("receiver", "http://%s: it verifies every signature, and fails, stalls or hangs up on some first attempts", d.receiver.addr)
	if err := d.setUp(ctx); err != nil {
		return failed(fmt.Errorf("set the demo up: %w", err), "")
	}
	if once {
		return d.once(ctx)
	}
	return d.forEver(ctx)
}

func (d *demo) once(ctx context.Context) error {
	if err := d.play(ctx); err != nil {
		return err
	}
	return d.judge()
}

func (d *demo) forEver(ctx context.Context) error {
	d.say("demo", "goes on until Ctrl-C; `waypost demo --once` ends by itself")
	for ctx.Err() == nil {
		if err := d.play(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		if ctx.Err() == nil {
			d.table()
		}
		select {
		case <-ctx.Done():
		case <-time.After(demoPause):
		}
	}
	// What was in flight when Ctrl-C came is still delivered: give it a moment before the verdict.
	d.settle(context.WithoutCancel(ctx))
	return d.judge()
}

// play sends every event of every platform both ways and waits until all of it has arrived.
func (d *demo) play(ctx context.Context) error {
	d.round++
	var wg sync.WaitGroup
	errs := make([]error, len(d.sides))
	for i, side := range d.sides {
		wg.Go(func() { errs[i] = side.play(ctx) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	d.settle(ctx)
	return nil
}

// settle waits until every acknowledged message has arrived, or patience ends.
func (d *demo) settle(ctx context.Context) {
	for end := time.Now().Add(demoPatience); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		missing := 0
		for _, side := range d.sides {
			missing += len(side.lost())
		}
		if missing == 0 {
			return
		}
	}
}

func (d *demo) say(who, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.s.Out, "%-11s %s\n", who, fmt.Sprintf(format, args...))
}

func (d *demo) table() {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := tabwriter.NewWriter(d.s.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nplatform\tdirection\tsent\tacknowledged\tduplicates dropped\trefused (bad signature)\tdelivered\tretried\tlost\t")
	for _, side := range d.sides {
		n := side.numbers()
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", side.platform, side.direction,
			n.sent, n.acknowledged, n.duplicates, n.refused, n.delivered, n.retried, n.lost)
	}
	_ = w.Flush()
	fmt.Fprintln(d.s.Out)
}

// judge prints the table and the verdict, and is an error unless every promise held.
func (d *demo) judge() error {
	d.table()
	faults := d.faults()
	for _, f := range faults {
		d.say("FAULT", "%s", f)
	}
	if len(faults) > 0 {
		d.say("verdict", "FAILED")
		return saidNo()
	}
	d.say("verdict", "passed: nothing was lost, nothing forged got in")
	return nil
}

func (d *demo) faults() []string {
	var out []string
	for _, side := range d.sides {
		n := side.numbers()
		fault := func(format string, args ...any) {
			out = append(out, side.platform+" "+side.direction+": "+fmt.Sprintf(format, args...))
		}
		if n.sent == 0 {
			fault("nothing was sent")
		}
		if n.acknowledged != n.sent {
			fault("%d of %d messages were not acknowledged", n.sent-n.acknowledged, n.sent)
		}
		if lost := side.lost(); len(lost) > 0 {
			fault("%d acknowledged messages did not arrive, among them %s", len(lost), lost[0])
		}
		out = append(out, side.faults()...)
	}
	return append(out, d.receiver.faults()...)
}

// compress shortens a platform's schedule so that its longest wait is demoLongest; the number of attempts stays.
func compress(schedule []time.Duration) []float64 {
	longest := time.Duration(1)
	for _, w := range schedule {
		longest = max(longest, w)
	}
	out := make([]float64, len(schedule))
	for i, w := range schedule {
		out[i] = max(0.02, demoLongest.Seconds()*float64(w)/float64(longest))
	}
	return out
}

// loopback is what the demo's own parts may reach.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
