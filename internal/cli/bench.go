package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/bench"
)

func benchCommand(s Streams) *cobra.Command {
	o := bench.Options{Token: app.NewToken(), Dialects: app.Dialects(), ServerVariables: serverVariables(), Fill: fillStore, Progress: s.Err}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure rates, times and costs beside a bare loop and a proxy, in the same run",
		Long: `Start real servers on temporary stores, with a load generator and a receiving service as processes of their own, and
measure each case in turns with what does less: a bare loop, a handler that verifies and forgets, a proxy that stores nothing.
Printed are medians of the rounds: messages a second, times of the acknowledgement and of the arrival, processor time of each
process, allocations, memory, bytes on the disk; and how far they are from the goals in docs/performance.md.

Everything that was acknowledged must have arrived, byte for byte; else the run fails with exit code 3.

The cases are:
` + bench.CaseHelp(),
		Example: "  waypost bench\n  waypost bench --only proxy,flow --rounds 5\n  waypost bench --large --only flow,stored --folder /data",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return misused("%v", err)
			}
			var err error
			if o.Program, err = os.Executable(); err != nil {
				return err
			}
			report, err := bench.Run(cmd.Context(), o)
			if err != nil {
				return benchFailed(cmd.Context(), err)
			}
			if asJSON {
				return json.NewEncoder(s.Out).Encode(report)
			}
			return report.Print(s.Out)
		},
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&o.Only, "only", nil, "`CASE,CASE` to measure; default all")
	fs.BoolVar(&o.Quick, "quick", false, "a few messages of each case: whether all of it works, and no figures to quote")
	fs.IntVar(&o.Rounds, "rounds", 3, "rounds; medians are printed")
	fs.IntVar(&o.Count, "count", 0, "messages of a closed loop in a round, or what 30 s allow; default 12000, with --large 100000")
	fs.IntVar(&o.Seconds, "seconds", 5, "length of a round at a steady rate")
	fs.IntVar(&o.Stored, "stored", 0, "messages stored before the case stored begins; default 1000000 or what a minute allows, with --large 10000000")
	fs.BoolVar(&o.Large, "large", false, "store ten million messages first, and keep them for the next run (some 16 GiB, and a quarter of an hour once)")
	fs.StringVar(&o.Dialect, "dialect", "standard", "`DIALECT` of the source in all cases but ingest")
	fs.StringVar(&o.Folder, "folder", "", "`FOLDER` on the disk to be measured; default the one for temporary files, with --large that for caches")
	fs.StringVar(&o.Profiles, "profiles", "", "`FOLDER` for processor profiles of the gateway, which cost it some per cent")
	fs.BoolVar(&asJSON, "json", false, "print the report as JSON, with every round")
	cmd.AddCommand(benchPartCommand(s))
	return cmd
}

// benchFailed puts the end of a run into words.
func benchFailed(ctx context.Context, err error) error {
	var lost *bench.LostError
	switch {
	case errors.As(err, &lost):
		return &exitError{3, err, "this must never happen: please report it, with the output of the run"}
	case ctx.Err() != nil:
		return failed(fmt.Errorf("interrupted: %w", err), "")
	}
	return failed(err, "")
}

// fillStore accepts messages into the store of a stopped server.
func fillStore(ctx context.Context, folder string, f bench.Filling) (int, error) {
	return app.Fill(ctx, app.Options{Data: folder}, app.Filling(f))
}
