package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/simulate"
)

// simulateFlags are the command line of simulate; a scenario fills in what it leaves open.
type simulateFlags struct {
	dialectFlags
	o             simulate.Options
	events, allow []string
	file          string
	scenario      string
	probe, check  string
	junit         string
	asJSON, quiet bool

	longConn bool
	at       string
	wait     time.Duration
}

func simulateCommand(s Streams) *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate DIALECT --to URL [--set NAME=VALUE]… | simulate alipay --longconn | simulate --scenario FILE",
		Short: "Be a platform towards any receiver and say what it does wrong",
		Long: `Push a platform's events to a receiver, signed as the platform signs them, with its deadline, its rule
of what an acknowledgement is and its retry schedule (--speed makes the waits shorter). Each event of the
platform's documentation is sent once; --count sends more. --habit does what platforms and strangers do on
bad days, one check each: ` + strings.Join(simulate.HabitNames(), ", ") + `; or all.
Without keys (--set) a set of test keys is made and the receiver's half of it is printed before anything
is sent. The table at the end says what the receiver did right, what wrong, and how to mend it.
With --longconn it is the server of Alipay's long connection: a program connects to --at, gets the messages
over the connection and is judged by its acknowledgements.
Ends with 0 when the receiver did everything right, with 3 when not, with 1 when nothing could be tried.`,
		Example: `  waypost simulate douyin --to http://localhost:8070/in/coupons --set client_key=aw1 --set client_secret=env:SECRET
  waypost simulate alipay --to http://localhost:9000/notify --handshake --habit all --speed 1000 --lang zh
  waypost simulate alipay --longconn --at 127.0.0.1:8090 --habit duplicates,forged,reconnect
  waypost simulate --scenario contract.yaml --junit report.xml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && f.scenario != "" {
				return nil
			}
			return exactArgs("DIALECT")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				f.name = args[0]
			}
			if err := f.resolve(cmd, s); err != nil {
				return err
			}
			return f.run(cmd, s)
		},
	}
	fs := cmd.Flags()
	o := &f.o
	fs.StringVar(&o.To, "to", "", "the receiver's `URL`")
	fs.IntVar(&o.Count, "count", 0, "messages; 0 = one of each event")
	fs.Float64Var(&o.Rate, "rate", 0, "messages begun a second; 0 = as fast as --parallel allows")
	fs.IntVar(&o.Parallel, "parallel", simulate.DefaultParallel, "requests at once")
	fs.Float64Var(&o.Speed, "speed", 1, "divides the waits of the retry schedule")
	fs.IntVar(&o.Duplicates, "duplicates", 0, "messages that are sent again after they were acknowledged")
	fs.IntVar(&o.Forge, "forge", 0, "forged messages of each kind; the receiver must refuse them")
	fs.BoolVar(&o.Disorder, "disorder", false, "begin the messages in another order")
	fs.BoolVar(&o.Handshake, "handshake", false, "do the console's verification step first")
	fs.StringSliceVar(&o.Habits, "habit", nil, "bad `HABIT` to try, or all; may be repeated")
	fs.StringVar(&o.Lang, "lang", "", "language of the verdict, "+strings.Join(simulate.Languages(), " or ")+"; default by LC_ALL, LC_MESSAGES or LANG")
	fs.StringSliceVar(&o.Ignore, "expect-finding", nil, "`CODE` of a finding that is known and does not fail the run")
	fs.StringArrayVar(&f.events, "event", nil, "event `TYPE` to send; may be repeated; default all of the documentation")
	fs.StringVar(&f.file, "file", "", "payload `FILE` (JSON) for the one --event that is given")
	fs.StringArrayVar(&f.allow, "allow", nil, "private address or `CIDR` that may be reached")
	fs.StringVar(&f.probe, "probe", "", "`URL` that says how many messages the receiver has processed: finds double processing")
	fs.StringVar(&f.check, "check-command", "", "`COMMAND` of the shell that ends with 0 when each message was processed once; WAYPOST_MESSAGES is their number")
	fs.StringVar(&f.scenario, "scenario", "", "scenario `FILE` (YAML); flags win over it")
	fs.BoolVar(&f.longConn, "longconn", false, "be the server of Alipay's long connection, to which the receiver connects, instead of pushing to --to")
	fs.StringVar(&f.at, "at", "127.0.0.1:8090", "`ADDRESS` of that server")
	fs.DurationVar(&f.wait, "wait", 5*time.Minute, "how long it waits for the receiver to connect")
	fs.StringVar(&f.junit, "junit", "", "write the checks as JUnit XML to `FILE`")
	fs.BoolVar(&f.asJSON, "json", false, "print the report as JSON")
	fs.BoolVar(&f.quiet, "quiet", false, "print the table only")
	f.register(fs)
	return cmd
}

// resolve makes the options of the run from scenario and flags.
func (f *simulateFlags) resolve(cmd *cobra.Command, s Streams) error {
	var events []simulate.ScenarioEvent
	if f.scenario != "" {
		var err error
		if events, err = f.readScenario(cmd, s); err != nil {
			return err
		}
	}
	o := &f.o
	if o.Lang == "" {
		o.Lang = ownLanguage(s.Env)
	}
	switch {
	case f.longConn && (o.To != "" || f.name != "alipay" || o.Handshake):
		return misused("--longconn is of the dialect alipay, and has neither --to nor --handshake: the receiver connects to --at")
	case f.longConn && f.wait <= 0:
		return misused("--wait must be above 0")
	case o.To == "" && !f.longConn:
		return misused("--to URL is needed: whom to push to")
	case o.Speed <= 0 || o.Rate < 0 || o.Count < 0 || o.Parallel < 1 || o.Duplicates < 0 || o.Forge < 0:
		return misused("--speed must be above 0, --parallel at least 1, and --rate, --count, --duplicates and --forge not negative")
	case f.file != "" && len(f.events) != 1:
		return misused("--file is the payload of one --event: give that too")
	}
	if err := simulate.CheckNames(*o); err != nil {
		return misused("%s", strings.TrimPrefix(err.Error(), "simulate: "))
	}
	if err := simulated(s, &f.dialectFlags, o); err != nil {
		return err
	}
	var err error
	if f.file == "" && len(f.events) == 0 && len(events) > 0 {
		err = f.scenarioEvents(s, events)
	} else {
		err = chooseEvents(s, o, f.events, f.file)
	}
	if err != nil {
		return err
	}
	if o.Allow, err = app.ParsePrefixes(f.allow); err != nil {
		return misused("--allow: %v", err)
	}
	return nil
}

// run pushes and reports.
func (f *simulateFlags) run(cmd *cobra.Command, s Streams) error {
	o := &f.o
	client := egress.Options{AllowLoopback: true, Version: Version, Dial: (&net.Dialer{}).DialContext}
	o.Client, o.Slow = egress.New(client), simulate.NewSlow(client)
	defer o.Client.Close()
	defer o.Slow.Close()
	if f.probe != "" {
		if err := o.Client.Check(cmd.Context(), f.probe, o.Allow); err != nil {
			return failed(fmt.Errorf("--probe: %w", err), "addresses that are not public are reached with --allow CIDR; loopback always is")
		}
		o.Probe = simulate.URLProbe(o.Client, f.probe, o.Allow)
	}
	if f.longConn {
		leave, err := f.connect(cmd.Context(), s)
		if err != nil {
			return err
		}
		defer leave()
	}
	if f.check != "" {
		o.Confirm = func(ctx context.Context, messages int) error { return checkCommand(ctx, s, f.check, messages) }
	}
	if !f.quiet && !f.asJSON {
		o.Progress = func(step simulate.Step) { printStep(s, step) }
	}
	report, err := simulate.Run(cmd.Context(), *o)
	var target *egress.Error
	switch {
	case errors.As(err, &target):
		return failed(err, "addresses that are not public are reached with --allow CIDR; loopback always is")
	case err != nil && report.Dialect == "" && len(o.Events)+len(o.Dialect.Examples) == 0:
		return failed(err, "--event TYPE --file FILE gives one")
	case err != nil && report.Dialect == "":
		return failed(err, "")
	}
	if err := f.write(s, report); err != nil {
		return err
	}
	if !report.Passed {
		return saidNo()
	}
	return nil
}

// write writes the report in every form that is asked for, what people read first: a run may have taken long, and a folder
// that cannot be written must not lose it.
func (f *simulateFlags) write(s Streams, report simulate.Report) error {
	show := report.WriteTable
	if f.asJSON {
		show = func(w io.Writer) error { return json.NewEncoder(w).Encode(report) }
	}
	if err := show(s.Out); err != nil || f.junit == "" {
		return err
	}
	var b bytes.Buffer
	if err := report.WriteJUnit(&b); err != nil {
		return failed(err, "")
	}
	if err := os.WriteFile(f.junit, b.Bytes(), 0o644); err != nil {
		return failed(fmt.Errorf("--junit: %w", err), "name a file in a folder that exists and can be written")
	}
	return nil
}

const commandTimeout = time.Minute

// checkCommand runs a command that looks at the receiver's books. What it prints goes to the error stream.
func checkCommand(ctx context.Context, s Streams, command string, messages int) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	shell := []string{"sh", "-c"}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd", "/C"}
	}
	c := exec.CommandContext(ctx, shell[0], shell[1], command)
	c.WaitDelay = time.Second // of a grandchild that keeps the streams open
	c.Env = append(os.Environ(), "WAYPOST_MESSAGES="+strconv.Itoa(messages))
	c.Stdout, c.Stderr = s.Err, s.Err
	err := c.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("it did not end within %s", commandTimeout)
	}
	return err
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
	makeKeys := simulate.Keys
	if simulate.Wants(*o, "rotation") {
		makeKeys = simulate.RotatingKeys
	}
	platform, receiver, err := makeKeys(d)
	if err != nil {
		return failed(err, "give its settings with --set")
	}
	o.Dialect, o.Settings = d, platform
	fmt.Fprintln(s.Err, "made test keys; a receiver that knows other keys will refuse the messages. Its half:")
	for _, name := range sortedKeys(receiver) {
		for _, value := range receiver[name] {
			fmt.Fprintf(s.Err, "  %s: %s\n", name, value)
		}
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
		o.Events = []dialect.Example{{EventType: types[0], Payload: bytes.TrimSpace(payload)}}
		return nil
	}
	for _, t := range types {
		found, err := examplesOf(o.Dialect, t)
		if err != nil {
			return err
		}
		o.Events = append(o.Events, found...)
	}
	return nil
}

// examplesOf are the documented events of a type.
func examplesOf(d *dialect.Dialect, eventType string) (found []dialect.Example, err error) {
	var names []string
	for _, e := range d.Examples {
		names = append(names, e.EventType)
		if e.EventType == eventType {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		return nil, misused("the dialect %s has no example of %q; give its payload with --file, or use one of %v", d.Name, eventType, names)
	}
	return found, nil
}

func printStep(s Streams, step simulate.Step) {
	next := ""
	if step.Wait > 0 {
		next = ", again in " + step.Wait.Round(time.Millisecond).String()
	}
	what := string(step.Kind)
	if step.Habit != "" {
		what = step.Habit
	}
	fmt.Fprintf(s.Out, "%-15s %-45s attempt %d: %s (%s)%s\n", what, step.EventType, step.Attempt, step.Reason,
		step.Took.Round(100*time.Microsecond), next)
}
