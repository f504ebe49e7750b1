package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	crand "crypto/rand"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/proof"
)

const progressEvery = time.Second

// witnessCommand is the other machine.
func witnessCommand(s Streams) *cobra.Command {
	var listen, path string
	cmd := &cobra.Command{
		Use:   "witness",
		Short: "On another machine: note what the machine under test acknowledges",
		Long: `Wait for one machine under test (waypost selftest --witness) and note every acknowledgement that it reports, in a
new file. A line is confirmed when it is on this machine's disk. The file holds keys and hashes of made-up messages and no
secret; nothing is asked of the caller, so listen on a private network and only for the test.`,
		Example: "  waypost selftest witness --listen :8079 --log acknowledged.log",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				return misused("name a new file for the log with --log FILE")
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return failed(err, "")
			}
			fmt.Fprintf(s.Out, "witness %s\n", l.Addr())
			shown := time.Time{}
			count, err := proof.Witness(cmd.Context(), l, path, func(h proof.Hello, n int) {
				if n == 0 {
					fmt.Fprintf(s.Err, "%s calls from %s\n", h.Run, h.Host)
				} else if time.Since(shown) > progressEvery {
					shown = time.Now()
					fmt.Fprintf(s.Err, "%d acknowledgements\n", n)
				}
			}, func(caller net.Addr, why error) { fmt.Fprintf(s.Err, "turned away %s: %v\n", caller, why) })
			if err != nil && !errors.Is(err, context.Canceled) {
				return failed(err, "")
			}
			_, err = fmt.Fprintf(s.Out, "%s: %d acknowledgements\n", path, count)
			return err
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8079", "`ADDRESS` to wait at")
	cmd.Flags().StringVar(&path, "log", "", "new `FILE` for the acknowledgements")
	return cmd
}

const witnessFolder = "waypost-witness-" // of a run, in the data folder; it stays until it was checked

// endedFile, in a run's folder, says that the run ended by itself: whatever pulls the plug later tests nothing.
const endedFile = "ended-by-itself"

// runWitnessed is the machine under test.
func (t *selftest) runWitnessed(ctx context.Context) (err error) {
	// A scratch folder shows that the data folder can be written; the run's own must outlive this process.
	probe, remove, err := t.scratch()
	if err != nil {
		return err
	}
	disk, err := proof.CheckDisk(ctx, probe, uint64(t.low))
	if err = errors.Join(err, remove()); err != nil {
		return failed(err, "")
	}
	if free := disk.Volume.Free; disk.Volume.Type != "" && free < uint64(t.low) {
		return failed(fmt.Errorf("%d MiB are free in %s, and below %d MiB a server takes no new message: there would be nothing to witness",
			free>>20, t.data, t.low>>20), "make room, or lower --low-water")
	}
	run := strings.ToLower(crand.Text()[:10])
	folder := filepath.Join(t.data, witnessFolder+run)
	host, _ := os.Hostname() // only shown
	call, err := proof.CallWitness(ctx, t.witness, proof.Hello{
		Run: run, Folder: filepath.Base(folder), Host: host, Boot: proof.BootID(), Version: Version, Disk: disk.Volume, Started: time.Now().UTC(),
	})
	if err != nil {
		return failed(err, "")
	}
	fmt.Fprintf(t.s.Err, "run %s in %s\n", run, folder)
	ctx, cancel := context.WithTimeout(ctx, t.lasts)
	defer cancel()
	count, err := t.underLoad(ctx, folder, run, call)
	err = errors.Join(err, call.Close())
	err = errors.Join(err, proof.Mark(filepath.Join(folder, endedFile))) // synced: the plug may be pulled now
	if err != nil {
		return failed(fmt.Errorf("the run ended by itself and certifies nothing: %w", err), "remove "+folder)
	}
	_, err = fmt.Fprintf(t.s.Out, "%d acknowledged and witnessed; nobody pulled the plug, so there is nothing to certify. Remove %s\n", count, folder)
	return err
}

// underLoad runs a server with load on it until the context ends, and tells the witness of what it acknowledges. The
// server runs in this process, so that whatever ends the one ends the other.
func (t *selftest) underLoad(ctx context.Context, folder, run string, call *proof.WitnessCall) (count int, err error) {
	trial, err := newTrial(run)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, trial.close()) }()
	stopped := context.WithoutCancel(ctx)
	server, err := app.Start(stopped, app.Options{
		Data: folder, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Token: trial.token, LowWater: t.low, Dev: true, Version: Version,
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.Stop(stopped)) }()
	trial.at("http://"+server.AdminAddr(), "http://"+server.PublicAddr())
	if err := trial.setUp(ctx); err != nil {
		return 0, err
	}
	trial.pushers.Acknowledged = call.Tell
	fmt.Fprintln(t.s.Err, "under load; every acknowledgement that is counted here is on the witness's disk. Pull the plug: no shutdown, no reset button")
	go tellProgress(ctx, t.s.Err, trial.pushers)
	if err := trial.pushers.Run(ctx); err != nil && ctx.Err() == nil {
		return trial.pushers.Count(), err
	}
	return trial.pushers.Count(), nil
}

func tellProgress(ctx context.Context, w io.Writer, p *proof.Pushers) {
	for wait(ctx, progressEvery) == nil {
		fmt.Fprintf(w, "witnessed %d\n", p.Count())
	}
}

// checkReport is the result of --check.
type checkReport struct {
	heading
	Run          string       `json:"run"`
	RunHost      string       `json:"runHost"`
	RunVersion   string       `json:"runVersion"`
	Started      time.Time    `json:"started"`
	FileSystem   proof.Volume `json:"fileSystem"`
	End          string       `json:"end"`       // of the run, as the witness saw it
	Restarted    string       `json:"restarted"` // whether the machine was started anew since: yes, no, unknown
	Acknowledged int          `json:"acknowledged"`
	Stored       int          `json:"stored"`
	Lost         []string     `json:"lost"`
	Altered      []string     `json:"altered"`
}

func (t *selftest) runCheck(ctx context.Context) error {
	said, err := proof.ReadTestimony(t.check)
	if err != nil {
		return failed(err, "")
	}
	if len(said.Acknowledged) == 0 {
		return failed(fmt.Errorf("the witness saw no acknowledgement: there is nothing to compare"), "")
	}
	stored, err := t.stored(ctx, said.Hello)
	if err != nil {
		return err
	}
	h := said.Hello
	r := checkReport{
		heading: t.heading("what a witness saw, against what is stored"), Run: h.Run, RunHost: h.Host, RunVersion: h.Version, Started: h.Started,
		FileSystem: h.Disk, End: said.End, Restarted: restarted(h.Boot), Acknowledged: len(said.Acknowledged), Stored: len(stored),
	}
	if r.End == "" {
		r.End = "the witness itself was cut off"
	}
	r.Lost, r.Altered = stored.Missing(said.Acknowledged)
	_, err = os.Stat(filepath.Join(t.data, h.Folder, endedFile))
	r.judge(t.server != "", err == nil || said.End == proof.EndedWell || said.End == proof.EndedAlive)
	rows := [][2]string{
		{"run", fmt.Sprintf("%s on %s, waypost %s, %s", r.Run, r.RunHost, r.RunVersion, r.Started.Format(time.RFC3339))},
		{"file system", fmt.Sprintf("%s on %s, from %s (%s)", h.Disk.Type, h.Disk.Mount, h.Disk.Device, strings.Join(h.Disk.Options, ","))},
		{"ended", r.End},
		{"restarted", r.Restarted},
		{"acknowledged", strconv.Itoa(r.Acknowledged)},
		{"stored", strconv.Itoa(r.Stored)},
		{"lost", strconv.Itoa(len(r.Lost))},
		{"altered", strconv.Itoa(len(r.Altered))},
	}
	return t.finish(r, r.heading, rows, len(r.Lost)+len(r.Altered) == 0)
}

// stored reads what there is of a run: from a running server, or from the run's folder.
func (t *selftest) stored(ctx context.Context, h proof.Hello) (proof.Stored, error) {
	if t.server != "" {
		c, err := (&target{server: t.server}).client(t.s)
		if err != nil {
			return nil, err
		}
		stored, err := storedAt(ctx, c, trialApp, nil)
		if err != nil {
			return nil, failed(err, "")
		}
		return stored, nil
	}
	if h.Folder != filepath.Base(h.Folder) || !strings.HasPrefix(h.Folder, witnessFolder) {
		return nil, failed(fmt.Errorf("the log names the folder %q, which no run makes", h.Folder), "")
	}
	folder := filepath.Join(t.data, h.Folder)
	if _, err := os.Stat(folder); err != nil {
		return nil, failed(fmt.Errorf("the run's store is not there: %w", err), "give the same --data as to the run; if the folder was there before the plug was pulled, the disk has lost all of it")
	}
	stored := proof.Stored{}
	if err := app.StoredPayloads(ctx, app.Options{Data: folder}, trialApp, stored.See); err != nil {
		return nil, failed(fmt.Errorf("read the run's store: %w", err),
			"when nobody else uses it and this user may read it, the disk has damaged it: that is no certificate")
	}
	return stored, nil
}

// restarted says whether the machine was started anew since a boot.
func restarted(before string) string {
	switch now := proof.BootID(); {
	case before == "" || now == "":
		return "unknown"
	case before == now:
		return "no"
	}
	return "yes"
}

// judge puts it into words. remote: read from a server somewhere; ended: the run ended before the machine did.
func (r *checkReport) judge(remote, ended bool) {
	bad := len(r.Lost) + len(r.Altered)
	r.ProvesNot = "that it was the plug: a reset and a pulled plug look alike from here. Only you know which it was, and only the plug tests what the disk confirms."
	switch {
	case bad > 0:
		r.Verdict = fmt.Sprintf("%d witnessed acknowledgements are NOT in the store as they were acknowledged", bad)
		r.Proves = "that this machine loses what was acknowledged. When it was the plug: its disk, its controller or its virtual disk confirms what it has not written. Do not run a store on it."
	case remote:
		r.Verdict = "every witnessed acknowledgement is in the store; no certificate, since --server cannot show whether the machine was restarted"
		r.Proves = "that the server holds everything that was acknowledged."
	case r.Restarted != "yes":
		r.Verdict = "every witnessed acknowledgement is in the store; no certificate, since the machine was not restarted (or does not tell)"
		r.Proves = "what survives when the process is killed. That is no test of the disk."
	case ended:
		r.Verdict = "every witnessed acknowledgement is in the store; no certificate, since the run had ended before the machine went down"
		r.Proves = "that a stop or a kill and a restart lose nothing. That is no test of the disk."
	default:
		r.Certificate = true
		r.Verdict = "CERTIFICATE: every witnessed acknowledgement is in the store after the machine went down"
		r.Proves = "that this disk, with this file system and these options, kept everything that it had confirmed when the power went, this time."
	}
}
