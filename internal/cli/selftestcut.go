package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/waypost/waypost/internal/proof"
)

const (
	maxCuts     = 100
	cutImage    = 1 << 30  // bytes of the image, most of them a hole
	cutEach     = 16 << 20 // and for each cut
	cutFree     = 512 << 20
	cutLowWater = "32MiB"

	// Load between two cuts, and from a cut to the end of the process, which is still running when its disk has gone.
	cutLeast, cutMost = 500 * time.Millisecond, 1500 * time.Millisecond
	cutDying          = 60 * time.Millisecond
	cutStart          = 60 * time.Second
)

// oneCut is what a cut did.
type oneCut struct {
	After        time.Duration `json:"afterNs"`              // under load since the start before
	Acknowledged int           `json:"acknowledged"`         // in all, when the process was dead
	Missing      []string      `json:"missing"`              // of those since the cut before, not in the store after the restart
	Altered      []string      `json:"altered"`              // there with another body
	Unreadable   string        `json:"unreadable,omitempty"` // why the store could not be opened or read; then all is missing
	Restart      time.Duration `json:"restartNs"`            // from the start of the process until it served
	Control      proof.Control `json:"control"`
}

// cutReport is the result of --power-cut.
type cutReport struct {
	heading
	Seed       uint64        `json:"seed"`
	FileSystem string        `json:"fileSystem"`
	On         proof.Volume  `json:"imageLiesOn"`
	Fsync      proof.Syncs   `json:"fsync"`         // on the image
	DataFsync  proof.Syncs   `json:"dataFsync"`     // on the data folder itself
	Cuts       []oneCut      `json:"cuts"`          // one by one
	Control    proof.Control `json:"control"`       // all of them together
	Missing    []string      `json:"missing"`       // of all that was acknowledged, not in the store at the end
	Altered    []string      `json:"altered"`       // there with another body
	Load       proof.Verdict `json:"load"`          // of the checker, at the end
	Lost       int           `json:"lost"`          // acknowledged, and not stored or not delivered
	Allowed    int           `json:"duplicatesMax"` // cuts × 2 × concurrency
	OK         bool          `json:"ok"`
}

// cutRun is one --power-cut.
type cutRun struct {
	*selftest
	rand   *rand.Rand
	exe    string
	image  *proof.Image
	server *proof.Process
	trial  *trial
	found  map[string]bool // acknowledged messages that a cut has been judged by
	report cutReport
}

func (t *selftest) runCuts(ctx context.Context) (err error) {
	if err := proof.CanCut(); err != nil {
		return notHere(err)
	}
	c := &cutRun{selftest: t, rand: rand.New(rand.NewPCG(t.seed, 0)), found: map[string]bool{}}
	c.report = cutReport{heading: t.heading("simulated power cuts"), Seed: t.seed}
	if c.exe, err = os.Executable(); err != nil {
		return failed(err, "")
	}
	dir, remove, err := t.scratch()
	if err != nil {
		return err
	}
	// In this order whatever happens, Ctrl-C included: the server, the file system, the folder.
	defer func() { err = errors.Join(err, remove()) }()
	disk, err := proof.CheckDisk(ctx, dir, uint64(t.low))
	if ctx.Err() != nil {
		return stopped()
	}
	if err != nil {
		return failed(err, "")
	}
	c.report.On, c.report.DataFsync = disk.Volume, disk.Fsync
	if free := disk.Volume.Free; free < cutFree {
		return &exitError{4, fmt.Errorf("%d MiB are free in %s; the test needs %d MiB", free>>20, t.data, cutFree>>20), "make room, or name a folder of another disk with --data"}
	}
	if c.image, err = proof.NewImage(ctx, dir, cutImage+int64(t.cuts)*cutEach); err != nil {
		if ctx.Err() != nil {
			return stopped()
		}
		if errors.Is(err, proof.ErrNotHere) {
			return notHere(err)
		}
		return failed(err, "")
	}
	defer func() { err = errors.Join(err, c.image.Close()) }()
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := c.run(ctx); err != nil {
		if ctx.Err() != nil {
			return stopped()
		}
		if errors.Is(err, proof.ErrNotHere) {
			return notHere(err)
		}
		return failed(fmt.Errorf("the test could not be carried through: %w", err), "nothing is proved by it; "+c.again())
	}
	return c.finish()
}

// again is the command that repeats this run.
func (c *cutRun) again() string {
	return fmt.Sprintf("repeat it with: waypost selftest --power-cut --data %s --cuts %d --seed %d", c.data, c.cuts, c.seed)
}

func (c *cutRun) stop() error {
	if c.server == nil {
		return nil
	}
	p := c.server
	c.server = nil
	return p.Kill()
}

func (c *cutRun) run(ctx context.Context) (err error) {
	if c.report.Fsync, err = proof.MeasureSyncs(ctx, filepath.Join(c.image.Mount, "fsync"), time.Second); err != nil {
		return err
	}
	c.report.FileSystem = "ext4, on a disk that forgets what it was not told to flush (a file and a loop device of its own)"
	if c.trial, err = newTrial("cut" + strconv.FormatUint(c.seed, 36)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.trial.close()) }()
	if _, err := c.start(ctx); err != nil {
		return err
	}
	if err := c.trial.setUp(ctx); err != nil {
		return err
	}
	load := make(chan error, 1)
	loading, done := context.WithCancel(ctx)
	defer done()
	go func() { load <- c.trial.pushers.Run(loading) }()
	for n := 0; n < c.cuts && err == nil && !c.unreadable(); n++ {
		err = c.cut(ctx, n)
	}
	done()
	if err = errors.Join(err, <-load); err != nil || c.unreadable() {
		return err
	}
	// What was acknowledged between a look at the books and the end of a process is looked for here.
	stored, err := storedAt(ctx, c.trial.client(), trialApp, nil)
	if err != nil {
		return err
	}
	c.report.Missing, c.report.Altered = stored.Missing(c.trial.pushers.Keys())
	if err := c.trial.settle(ctx, c.report.Missing); err != nil {
		return err
	}
	p := c.server
	c.server = nil
	return p.Stop(30 * time.Second)
}

// unreadable says whether the last cut left a store that a server cannot serve from: then there is nothing more to cut.
func (c *cutRun) unreadable() bool {
	n := len(c.report.Cuts)
	return n > 0 && c.report.Cuts[n-1].Unreadable != ""
}

// start starts the server on the image and returns how long it took to serve.
func (c *cutRun) start(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, cutStart)
	defer cancel()
	began := time.Now()
	args := []string{"serve", "--dev", "--data", filepath.Join(c.image.Mount, "data"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--low-water", cutLowWater, "--log-level", "warn"}
	p, err := proof.Start(c.exe, args, append(serverVariables(), "WAYPOST_TOKEN="+c.trial.token)...)
	if err != nil {
		return 0, err
	}
	c.server = p
	public, err := p.Await(ctx, "  public  ", "/in/{door}")
	if err != nil {
		return 0, err
	}
	admin, err := p.Await(ctx, "  admin   ", "/api/v1/")
	if err != nil {
		return 0, err
	}
	c.trial.at(admin, public)
	return time.Since(began), nil
}

// cut lets the load run, cuts the power, lets the process die, starts it again, and looks for what was acknowledged.
func (c *cutRun) cut(ctx context.Context, n int) (err error) {
	one := oneCut{After: cutLeast + time.Duration(c.rand.Int64N(int64(cutMost-cutLeast)))}
	dying := time.Duration(c.rand.Int64N(int64(cutDying)))
	if err := wait(ctx, one.After); err != nil {
		return err
	}
	if one.Control, err = c.image.Write(); err != nil {
		return err
	}
	began := time.Now()
	if err := c.image.Cut(); err != nil {
		return err
	}
	if err := wait(ctx, dying); err != nil {
		return err
	}
	if err := c.stop(); err != nil {
		return fmt.Errorf("kill the server: %w", err)
	}
	c.trial.ledger.Crashed(began, time.Now())
	acknowledged := c.trial.pushers.Keys()
	one.Acknowledged = len(acknowledged)
	maps.DeleteFunc(acknowledged, func(key string, _ [32]byte) bool { return c.found[key] }) // at the end all are looked for again
	if err := c.image.Remount(ctx); err != nil {
		return err
	}
	if one.Control, err = c.image.Read(one.Control); err != nil {
		return err
	}
	stored := proof.Stored{} // what cannot be read is lost
	if one.Restart, err = c.start(ctx); err == nil {
		stored, err = storedAt(ctx, c.trial.client(), trialApp, acknowledged)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		one.Unreadable, stored = err.Error(), proof.Stored{}
	}
	one.Missing, one.Altered = stored.Missing(acknowledged)
	for key := range acknowledged {
		c.found[key] = true
	}
	c.report.Cuts = append(c.report.Cuts, one)
	c.report.Control = c.report.Control.Plus(one.Control)
	if !c.asJSON {
		fmt.Fprintf(c.s.Err, "cut %d of %d after %s: acknowledged %d, lost %d; serving again after %s; control: %d of %d unsynced records lost\n",
			n+1, c.cuts, one.After.Round(time.Millisecond), one.Acknowledged, len(one.Missing), one.Restart.Round(time.Millisecond),
			one.Control.Unsynced-one.Control.UnsyncedThere, one.Control.Unsynced)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (c *cutRun) finish() error {
	r := &c.report
	r.Load = c.trial.ledger.Verdict()
	r.Allowed = len(r.Cuts) * 2 * trialConcurrency
	lost, altered, cut := map[string]bool{}, len(r.Altered), true
	count := func(lists ...[]string) {
		for _, list := range lists {
			for _, key := range list {
				lost[key] = true
			}
		}
	}
	for _, one := range r.Cuts {
		count(one.Missing)
		altered += len(one.Altered)
		cut = cut && one.Control.OK()
	}
	count(r.Missing, r.Load.Lost)
	r.Lost = len(lost)
	r.OK = cut && r.Lost == 0 && altered == 0 && r.Load.OK()
	switch {
	case r.OK:
		r.Verdict = "nothing that was acknowledged was lost"
	case c.unreadable():
		r.Verdict = fmt.Sprintf("after cut %d the store could not be read: everything was LOST: %s; %s", len(r.Cuts), r.Cuts[len(r.Cuts)-1].Unreadable, c.again())
	case r.Lost > 0:
		r.Verdict = fmt.Sprintf("%d acknowledged messages were LOST; %s", r.Lost, c.again())
	case !cut:
		r.Verdict = "the cuts did not work as cuts, so this run says NOTHING: what was not synced survived, or what was synced did not"
	default:
		r.Verdict = fmt.Sprintf("a promise was BROKEN: %v; %s", r.Load, c.again())
	}
	r.Proves = "what survives when the kernel stops in the middle of the load (panic, reset, host gone) and an honest disk's cache with it: the kernel's own call shut the disk down in the middle of its work, and what had not been flushed was gone, as the control shows."
	r.ProvesNot = "what a disk does with what it has confirmed. A drive or a virtual disk that answers a flush before it has written (a lying disk) is not found out: only a pulled plug shows that (--witness). The seed repeats the moments of the cuts, not the order in which threads ran."
	rows := [][2]string{
		{"file system", fmt.Sprintf("%s, on %s (%s)", r.FileSystem, r.On.Type, r.On.Device)},
		{"fsync", fmt.Sprintf("p50 %s, p99 %s; on the data folder itself p50 %s, p99 %s", micros(r.Fsync.P50), micros(r.Fsync.P99), micros(r.DataFsync.P50), micros(r.DataFsync.P99))},
		{"cuts", strconv.Itoa(len(r.Cuts))},
		{"acknowledged", strconv.Itoa(r.Load.Acknowledged)},
		{"lost", strconv.Itoa(r.Lost)},
		{"duplicates", fmt.Sprintf("%d, at most %d allowed", r.Load.Repeats, r.Allowed)},
		{"control", fmt.Sprintf("of %d records without fsync %d were lost, of %d with fsync %d",
			r.Control.Unsynced, r.Control.Unsynced-r.Control.UnsyncedThere, r.Control.Synced, r.Control.Synced-r.Control.SyncedThere)},
		{"seed", strconv.FormatUint(r.Seed, 10)},
	}
	return c.selftest.finish(r, r.heading, rows, r.OK)
}

func micros(d time.Duration) string { return d.Round(time.Microsecond).String() }
