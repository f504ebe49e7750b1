package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/simulate"
)

func simulateCommand(s Streams) *cobra.Command {
	var f dialectFlags
	var o simulate.Options
	var events, allow []string
	var file string
	var asJSON, quiet bool
	cmd := &cobra.Command{
		Use:   "simulate DIALECT --to URL [--set NAME=VALUE]…",
		Short: "Be a platform towards any receiver and say what it does wrong",
		Long: `Push a platform's events to a receiver, signed as the platform signs them, with its deadline, its rule
of what an acknowledgement is and its retry schedule (--speed makes the waits shorter). Each event of the
platform's documentation is sent once; --count sends more. --duplicates and --forge do what platforms and
strangers do on bad days. Without keys (--set) a set of test keys is made and the receiver's half of it is printed
before anything is sent. Ends with 0 when the receiver did everything right, else with 3.`,
		Example: `  waypost simulate douyin --to http://localhost:8070/in/coupons --set client_key=aw1 --set client_secret=env:SECRET
  waypost simulate alipay --to http://localhost:9000/notify --handshake --forge 1 --duplicates 2 --speed 1000`,
		Args: exactArgs("DIALECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.name = args[0]
			if o.To == "" {
				return misused("--to URL is needed: whom to push to")
			}
			if o.Speed <= 0 || o.Rate < 0 || o.Count < 0 || o.Parallel < 1 || o.Duplicates < 0 || o.Forge < 0 {
				return misused("--speed must be above 0, --parallel at least 1, and --rate, --count, --duplicates and --forge not negative")
			}
			if file != "" && len(events) != 1 {
				return misused("--file is the payload of one --event: give that too")
			}
			if err := simulated(s, &f, &o); err != nil {
				return err
			}
			if err := chooseEvents(s, &o, events, file); err != nil {
				return err
			}
			var err error
			if o.Allow, err = app.ParsePrefixes(allow); err != nil {
				return misused("--allow: %v", err)
			}
			o.Client = egress.New(egress.Options{AllowLoopback: true, Version: Version, Dial: (&net.Dialer{}).DialContext})
			if !quiet && !asJSON {
				o.Progress = func(step simulate.Step) { printStep(s, step) }
			}
			report, err := simulate.Run(cmd.Context(), o)
			var target *egress.Error
			switch {
			case errors.As(err, &target):
				return failed(err, "addresses that are not public are reached with --allow CIDR; loopback always is")
			case err != nil && report.Dialect == "":
				return failed(err, "")
			}
			if asJSON {
				err = json.NewEncoder(s.Out).Encode(report)
			} else {
				err = report.WriteTable(s.Out)
			}
			if err == nil && !report.Passed {
				return saidNo()
			}
			return err
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&o.To, "to", "", "the receiver's `URL`")
	fs.IntVar(&o.Count, "count", 0, "messages; 0 = one of each event")
	fs.Float64Var(&o.Rate, "rate", 0, "messages begun a second; 0 = as fast as --parallel allows")
	fs.IntVar(&o.Parallel, "parallel", simulate.DefaultParallel, "requests at once")
	fs.Float64Var(&o.Speed, "speed", 1, "divides the waits of the retry schedule")
	fs.IntVar(&o.Duplicates, "duplicates", 0, "messages that are sent again after they were acknowledged")
	fs.IntVar(&o.Forge, "forge", 0, "forged messages of each kind; the receiver must refuse them")
	fs.BoolVar(&o.Disorder, "disorder", false, "begin the messages in another order")
	fs.BoolVar(&o.Handshake, "handshake", false, "do the console's verification step first")
	fs.StringArrayVar(&events, "event", nil, "event `TYPE` to send; may be repeated; default all of the documentation")
	fs.StringVar(&file, "file", "", "payload `FILE` (JSON) for the one --event that is given")
	fs.StringArrayVar(&allow, "allow", nil, "private address or `CIDR` that may be reached")
	fs.BoolVar(&asJSON, "json", false, "print the report as JSON")
	fs.BoolVar(&quiet, "quiet", false, "print the table only")
	f.register(fs)
	return cmd
}

// simulated fills dialect and settings in; without any it makes test keys and says what the receiver must enter.
func simulated(s Streams, f *dialectFlags, o *simulate.Options) error {
	if len(f.sets) > 0 {
		var err error
		o.Dialect, o.Settings, err = f.settings(s, dialect.Sending)
		return err
	}
	d, err := findDialect(f.name)
	if err != nil {
		return err
	}
	platform, receiver, err := simulate.Keys(d)
	if err != nil {
		return failed(err, "give its settings with --set")
	}
	o.Dialect, o.Settings = d, platform
	fmt.Fprintln(s.Err, "made test keys; a receiver that knows other keys will refuse the messages. Its half:")
	for _, name := range sortedKeys(receiver) {
		fmt.Fprintf(s.Err, "  %s: %s\n", name, receiver.Get(name))
	}
	return nil
}

func chooseEvents(s Streams, o *simulate.Options, types []string, file string) error {
	if file != "" {
		payload, err := readInput(s, file)
		if err != nil {
			return failed(err, "")
		}
		if !json.Valid(payload) {
			return failed(fmt.Errorf("%s does not hold JSON", file), "")
		}
		o.Events = []dialect.Example{{EventType: types[0], Payload: payload}}
		return nil
	}
	for _, t := range types {
		before := len(o.Events)
		for _, e := range o.Dialect.Examples {
			if e.EventType == t {
				o.Events = append(o.Events, e)
			}
		}
		if len(o.Events) == before {
			var names []string
			for _, e := range o.Dialect.Examples {
				names = append(names, e.EventType)
			}
			return misused("the dialect %s has no example of %q; give its payload with --file, or use one of %v", o.Dialect.Name, t, names)
		}
	}
	return nil
}

func printStep(s Streams, step simulate.Step) {
	next := ""
	if step.Wait > 0 {
		next = ", again in " + step.Wait.Round(time.Millisecond).String()
	}
	fmt.Fprintf(s.Out, "%-9s %-45s attempt %d: %s (%s)%s\n", step.Kind, step.EventType, step.Attempt, step.Reason,
		step.Took.Round(100*time.Microsecond), next)
}
