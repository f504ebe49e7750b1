package cli

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/proof"
)

// notHere ends a command that this machine cannot do: it lacks rights or devices, and nothing was found out.
func notHere(err error) error {
	return &exitError{4, err, "without it `waypost selftest` still checks what can be seen from here, and --witness proves more than a simulated cut: it needs no root, but a second machine and a plug"}
}

// selftest is what the kinds of it share.
type selftest struct {
	s      Streams
	data   string
	asJSON bool
	low    int64

	powerCut bool
	cuts     int
	seed     uint64

	witness string
	lasts   time.Duration

	check  string
	server string
}

func selftestCommand(s Streams) *cobra.Command {
	t := selftest{s: s, low: app.Options{}.Defaults().LowWater, lasts: 10 * time.Minute}
	var seed string
	cmd := &cobra.Command{
		Use:   "selftest",
		Short: "Check the disk of the data folder, and prove on it what survives a crash or a pulled plug",
		Long: `Three tests of the disk that a data folder lies on, each proving more than the one before. None touches a store
that is there, so a server may run on the folder meanwhile.

Without flags: what can be seen from outside. File system, mount options, space, how long fsync takes, that the store's
commits are followed by it, clock, limits. Some seconds.

--power-cut (Linux, root): a server under load on a file system of its own, in a file in the data folder, whose power is
cut again and again by the kernel's own call for that; then everything that was acknowledged is looked for. It proves
what survives when the kernel stops. A disk that says "written" and lies is not found out.

--witness ADDRESS: a server under load that reports each acknowledgement to another machine. Pull the plug, start the
machine again, and compare with --check. Only this is a certificate for the disk.`,
		Example: `  waypost selftest --data /var/lib/waypost
  sudo waypost selftest --power-cut --data /var/lib/waypost --cuts 20
  waypost selftest witness --listen :8079 --log acknowledged.log            on another machine
  waypost selftest --witness other:8079 --data /var/lib/waypost             then pull the plug
  waypost selftest --check acknowledged.log --data /var/lib/waypost         after the restart`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := t.resolve(cmd, seed); err != nil {
				return err
			}
			switch ctx := cmd.Context(); {
			case t.check != "":
				return t.runCheck(ctx)
			case t.witness != "":
				return t.runWitnessed(ctx)
			case t.powerCut:
				return t.runCuts(ctx)
			default:
				return t.runLook(ctx)
			}
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&t.data, "data", "waypost-data", "data `FOLDER`, or any folder of the disk that is to be tested (also WAYPOST_DATA); "+
		"while there is none, the working folder, where it would be made")
	fs.Var(size{&t.low}, "low-water", "the server's low-water mark")
	fs.BoolVar(&t.asJSON, "json", false, "print the result as JSON")
	fs.BoolVar(&t.powerCut, "power-cut", false, "cut the power of a file system with a server under load on it (Linux, root)")
	fs.IntVar(&t.cuts, "cuts", 5, "how often --power-cut does it, 1 to 100")
	fs.StringVar(&seed, "seed", "", "of the moments of the cuts (also WAYPOST_SEED); default: drawn, and printed")
	fs.StringVar(&t.witness, "witness", "", "report acknowledgements to the witness at this `ADDRESS`")
	fs.Var(span{&t.lasts}, "for", "how long --witness goes on when nobody pulls the plug")
	fs.StringVar(&t.check, "check", "", "compare a witness's log `FILE` with what the store holds")
	fs.StringVar(&t.server, "server", "", "with --check: API `URL` of the server that was restarted on the folder, with WAYPOST_TOKEN; default: the stopped store in --data")
	cmd.AddCommand(witnessCommand(s))
	return cmd
}

// resolve refuses what makes no sense and fills what the command line left open.
func (t *selftest) resolve(cmd *cobra.Command, seed string) error {
	fs := cmd.Flags()
	if err := t.refuse(fs); err != nil {
		return err
	}
	if err := t.findData(fs.Changed("data")); err != nil {
		return err
	}
	if v, ok := t.s.Env("WAYPOST_SEED"); ok && !fs.Changed("seed") && t.powerCut {
		seed = v
	}
	if seed == "" {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
		t.seed = uint64(binary.LittleEndian.Uint32(b[:]))
		return nil
	}
	var err error
	if t.seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
		return misused("--seed is a number from 0 to %d", uint64(1<<64-1))
	}
	return nil
}

// refuse names what is wrong with the flags.
func (t *selftest) refuse(fs *pflag.FlagSet) error {
	for _, name := range []string{"data", "witness", "check", "server"} {
		if fs.Changed(name) && fs.Lookup(name).Value.String() == "" {
			return misused("--%s is empty: is a variable not set?", name)
		}
	}
	kinds := 0
	for _, chosen := range []bool{t.powerCut, t.witness != "", t.check != ""} {
		if chosen {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return misused("--power-cut, --witness and --check are three different tests: choose one")
	case t.cuts < 1 || t.cuts > maxCuts:
		return misused("--cuts is 1 to %d", maxCuts)
	case (fs.Changed("cuts") || fs.Changed("seed")) && !t.powerCut:
		return misused("--cuts and --seed are for --power-cut")
	case fs.Changed("for") && t.witness == "":
		return misused("--for is for --witness")
	case t.lasts <= 0:
		return misused("--for must be longer than nothing")
	case fs.Changed("server") && t.check == "":
		return misused("--server is for --check: the tests start servers of their own")
	}
	return nil
}

// findData looks for the folder where the flag did not say.
func (t *selftest) findData(said bool) error {
	if said {
		return nil
	}
	if v, ok := t.s.Env("WAYPOST_DATA"); ok {
		if t.data = v; v == "" {
			return misused("WAYPOST_DATA is empty: name the data folder, or unset it")
		}
		return nil
	}
	if _, err := os.Stat(t.data); errors.Is(err, os.ErrNotExist) && t.witness == "" && t.check == "" {
		t.data = "." // where the server would make it
	}
	return nil
}

// heading is what every result starts with, and what it says about itself.
type heading struct {
	Test        string    `json:"test"`
	Version     string    `json:"version"`
	Date        time.Time `json:"date"`
	Host        string    `json:"host"`
	Data        string    `json:"data"`
	Verdict     string    `json:"verdict"`
	Proves      string    `json:"proves"`
	ProvesNot   string    `json:"doesNotProve"`
	Certificate bool      `json:"certificateForTheDisk"`
}

func (t *selftest) heading(test string) heading {
	host, _ := os.Hostname() // only shown
	data, err := filepath.Abs(t.data)
	if err != nil {
		data = t.data
	}
	return heading{Test: test, Version: Version, Date: time.Now().UTC().Truncate(time.Second), Host: host, Data: data}
}

func (h heading) print(s Streams, rows [][2]string) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "waypost %s selftest: %s\n", h.Version, h.Test)
	rows = append([][2]string{{"date", h.Date.Format(time.RFC3339)}, {"host", h.Host}, {"data", h.Data}}, rows...)
	rows = append(rows, [2]string{"verdict", h.Verdict})
	for _, r := range rows {
		fmt.Fprintf(w, "  %s\t%s\n", r[0], r[1])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.Out, "\nIt proves: %s\nIt does not prove: %s\n", h.Proves, h.ProvesNot)
	return err
}

// finish prints a result and says no when it is one.
func (t *selftest) finish(result any, h heading, rows [][2]string, ok bool) error {
	var err error
	if t.asJSON {
		err = json.NewEncoder(t.s.Out).Encode(result)
	} else {
		err = h.print(t.s, rows)
	}
	if err == nil && !ok {
		return saidNo()
	}
	return err
}

// scratch makes the test's own folder, and hands back what removes it.
func (t *selftest) scratch() (dir string, remove func() error, err error) {
	if dir, remove, err = proof.Scratch(t.data); err != nil {
		return "", nil, failed(err, "")
	}
	return dir, remove, nil
}

// stopped ends a test that was interrupted.
func stopped() error {
	return failed(errors.New("the test was stopped before its end: nothing was found out"), "")
}

// lookReport is the result of the test without flags.
type lookReport struct {
	heading
	proof.Disk
	Commits int `json:"commits"`
	Synced  int `json:"commitsFollowedByFsync"`
}

const watchedCommits = 20

func (t *selftest) runLook(ctx context.Context) (err error) {
	dir, remove, err := t.scratch()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	r := lookReport{heading: t.heading("what can be seen of the disk"), Commits: watchedCommits}
	if r.Disk, err = proof.CheckDisk(ctx, dir, uint64(t.low)); ctx.Err() != nil {
		return stopped()
	}
	if err != nil {
		return failed(err, "")
	}
	r.Findings = append(r.Findings, r.commits(ctx, filepath.Join(dir, "store")))
	if ctx.Err() != nil {
		return stopped()
	}
	worst := proof.Worst(r.Findings)
	r.Verdict = map[proof.Grade]string{
		proof.Fine: "fit for a store", proof.Warning: "fit for a store; mind the warnings", proof.Bad: "NOT fit for a store",
	}[worst]
	r.Proves = "that the store works on this disk, and that it calls fsync, and fsync returns, before a commit is answered."
	if r.Synced != r.Commits {
		r.Proves = "that a store on this disk would lose messages."
	}
	r.ProvesNot = "that what was synced is there after a crash. For a stop of the kernel: --power-cut; for a loss of power with this very disk: --witness."
	var rows [][2]string
	for _, f := range r.Findings {
		text := f.Text
		if f.Grade != proof.Fine {
			text = string(f.Grade) + ": " + text
		}
		rows = append(rows, [2]string{f.Check, text})
	}
	return t.finish(r, r.heading, rows, worst != proof.Bad)
}

// commits makes a store of its own and watches what it does.
func (r *lookReport) commits(ctx context.Context, dir string) proof.Finding {
	const check = "store"
	var err error
	r.Synced, err = app.SyncedCommits(ctx, dir, r.Commits)
	switch {
	case err != nil:
		return proof.Finding{Check: check, Grade: proof.Bad, Text: fmt.Sprintf("a store cannot work here: %v", err)}
	case r.Synced != r.Commits:
		return proof.Finding{Check: check, Grade: proof.Bad, Text: fmt.Sprintf("only %d of %d commits were followed by fsync before they were answered", r.Synced, r.Commits)}
	}
	return proof.Finding{Check: check, Grade: proof.Fine, Text: fmt.Sprintf("%d of %d commits were followed by fsync before they were answered", r.Synced, r.Commits)}
}
