// Package bench owns the measuring of the whole program: processes of its own for the load, the gateway and the sink, the
// cases that are measured in turns, and the report. What it counts it also checks: a message that was acknowledged and did
// not arrive, or arrived as another, fails the run.
package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/proof"
	"github.com/waypost/waypost/internal/simulate"
)

// Options say what is measured and how much of it.
type Options struct {
	Only  []string // names of cases; empty = all
	Quick bool     // some seconds: whether every case works, and no figures to quote
	Large bool     // ten million stored messages, kept in Folder for the next run
	// Stored is how many messages are stored before the case stored begins, as far as that takes no longer than a minute; 0 = a
	// million. With Large it is ten million, whatever that takes.
	Stored int
	Rounds int // 0 = 3
	Count  int // messages of a closed loop in a round; 0 = 12000
	// Seconds is how long a round at a fixed rate lasts; 0 = 5.
	Seconds int
	// Folder is where the stores are made and, but for what Large builds, removed again; "" = the system's for temporary files.
	Folder   string
	Dialect  string // of the source in all cases but ingest; "" = standard
	Profiles string // folder for processor profiles of the gateway; "" = none

	Program         string   // this program: started as `bench part ROLE` and, for bulk loads, `bench fill`
	ServerVariables []string // names of the environment that would configure a server
	Token           string   // the servers' organisation token
	Dialects        map[string]*dialect.Dialect
	Fill            Fill
	Progress        io.Writer
}

// Filling is what is stored before a case begins: Count messages as the front door would hand them over, by one goroutine, into
// an application and a source of it.
type Filling struct {
	App, Source string
	Count       int
	Limit       time.Duration // it ends early after this time; 0 = never
	Make        func(n int) hook.Accept
	Progress    func(done int)
}

// Fill fills the store of a stopped server and says how many messages it took.
type Fill func(ctx context.Context, folder string, f Filling) (done int, err error)

// Bench is one run.
type Bench struct {
	Options
	dialect *dialect.Dialect
	folder  string // made for this run

	sending, receiving dialect.Settings
	loader, sink       *part
	servers            map[string]*server
	jobs               uint32
	undo               stack
	patience           time.Duration // without an arrival, after which what is missing is lost
	report             Report
}

// Validate says what is wrong with the options, and what to do.
func (o *Options) Validate() error {
	if _, err := choose(o.Only); err != nil {
		return err
	}
	switch {
	case o.Rounds < 0 || o.Rounds > 100:
		return errors.New("rounds must be 1 to 100")
	case o.Count < 0 || o.Count > 1_000_000:
		return errors.New("count must be 1 to 1000000")
	case o.Seconds < 0 || o.Seconds > 600:
		return errors.New("seconds must be 1 to 600")
	case o.Stored < 0 || o.Stored > 50_000_000:
		return errors.New("stored must be 1 to 50000000")
	case o.Dialects[cmp.Or(o.Dialect, defaultDialect)] == nil:
		return fmt.Errorf("there is no dialect %q", o.Dialect)
	case onlyIngest[o.Dialect] != "":
		return fmt.Errorf("%s %s: the case ingest measures it, for the others choose another dialect", o.Dialect, onlyIngest[o.Dialect])
	}
	for name, folder := range map[string]string{"folder": o.Folder, "profiles": o.Profiles} {
		if folder == "" {
			continue
		}
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return fmt.Errorf("%s: %s is no folder: make it (mkdir -p), or name another", name, folder)
		}
	}
	return nil
}

const defaultDialect = "standard"

// onlyIngest are the dialects that do not suit every case, and why.
var onlyIngest = map[string]string{
	"douyinspi":  "has one event type, and some cases need many",
	"yunzhimeng": "encrypts fields, so what is delivered is not what was pushed",
}

// Run measures. The report is worth reading also when there is an error: it holds what was measured before.
func Run(ctx context.Context, o Options) (Report, error) {
	if err := o.Validate(); err != nil {
		return Report{}, err
	}
	// A store that is used again remembers the messages of the run before: those of this run must be others.
	b := &Bench{Options: o, servers: map[string]*server{}, jobs: rand.Uint32N(historyJob / 2), patience: 20 * time.Second}
	if err := b.defaults(); err != nil {
		return Report{}, err
	}
	chosen, err := choose(b.Only)
	if err != nil {
		return Report{}, err
	}
	b.report = Report{Machine: ThisMachine(), Rounds: b.Rounds, Dialect: b.Dialect, Quick: b.Quick}
	err = b.measure(ctx, chosen)
	undone := b.undo.unwind(0)
	if ctx.Err() != nil {
		return b.report, ctx.Err() // what else is wrong comes of that
	}
	b.report.Machine.LoadAfter = loadAverage()
	b.report.conclude()
	return b.report, errors.Join(err, undone)
}

func (b *Bench) measure(ctx context.Context, chosen []testCase) error {
	if err := b.start(ctx); err != nil {
		return err
	}
	var turns []turn
	for _, c := range chosen {
		more, err := c.setUp(ctx, b)
		if err != nil {
			return fmt.Errorf("set up %s: %w", c.name, err)
		}
		turns = append(turns, more...)
	}
	messages := 0
	for _, t := range turns {
		if t.of.server != nil {
			messages += t.job.Count * b.Rounds
		}
	}
	if err := hasRoom(b.folder, messages); err != nil {
		return err
	}
	for round := range b.Rounds {
		for i := range turns {
			if err := b.take(ctx, &turns[i], round); err != nil {
				return fmt.Errorf("%s: %w", turns[i].name, err)
			}
		}
	}
	for _, c := range chosen {
		if c.finish == nil {
			continue
		}
		if err := c.finish(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func (b *Bench) defaults() (err error) {
	count, stored := 12_000, 1_000_000
	switch {
	case b.Large:
		count, stored = 100_000, 10_000_000
	case b.Quick:
		stored = 2000
	}
	b.Rounds, b.Seconds = cmp.Or(b.Rounds, 3), cmp.Or(b.Seconds, 5)
	b.Count, b.Stored = cmp.Or(b.Count, count), cmp.Or(b.Stored, stored)
	if b.Quick {
		b.Rounds, b.Count, b.Seconds = 1, 300, 1
	}
	b.Dialect = cmp.Or(b.Dialect, defaultDialect)
	b.dialect = b.Dialects[b.Dialect]
	b.sending, b.receiving, err = simulate.Keys(b.dialect)
	return err
}

func (b *Bench) start(ctx context.Context) error {
	var err error
	if b.folder, err = os.MkdirTemp(b.Folder, "waypost-bench-"); err != nil {
		return err
	}
	b.undo.push(func() error { return os.RemoveAll(b.folder) })
	if b.loader, err = b.startPart(ctx, "loader"); err != nil {
		return err
	}
	if b.sink, err = b.startPart(ctx, "sink"); err != nil {
		return err
	}
	b.say("sink %s", b.sink.url)
	return nil
}

// roomPerMessage is what a stored message may take of the disk at most, log and all, with room to spare.
const roomPerMessage = 3 << 9

// hasRoom refuses to start on a disk that would fill up: the servers would rightly stop taking messages.
func hasRoom(folder string, messages int) error {
	free, ok := proof.FreeSpace(folder)
	if need := uint64(messages)*roomPerMessage + 1<<30; ok && free < need {
		return fmt.Errorf("%s has %d MiB left on its disk and up to %d MiB are needed: name a folder on another disk with --folder, or measure less (--only, --count, --stored)",
			folder, free>>20, need>>20)
	}
	return nil
}

func (b *Bench) say(format string, args ...any) {
	if b.Progress != nil {
		fmt.Fprintf(b.Progress, format+"\n", args...)
	}
}

// turn is what is measured once in each round and becomes one row of the table.
type turn struct {
	name  string
	title string
	job   Job
	of    measured
	how   Reckoning
	// stored means that nothing arrives anywhere: the messages are only accepted.
	stored bool
}

// measured is the process, or processes, between load and sink. Its zero value is no process at all.
type measured struct {
	cpu    func() (time.Duration, bool)
	memory func() (int64, bool)
	server *server
}

func ofPart(p *part) measured { return measured{cpu: p.CPU, memory: p.Memory} }

func ofServer(s *server) measured { return measured{cpu: s.CPU, memory: s.Memory, server: s} }

// take measures one turn.
func (b *Bench) take(ctx context.Context, t *turn, round int) error {
	b.jobs++
	j := t.job
	j.ID = b.jobs
	if j.Workers == 0 {
		j.Workers = Concurrency
	}
	if j.Limit == 0 {
		j.Limit = closedLimit
	}
	if err := call(ctx, http.MethodPost, b.loader.url+"/prepare", "", j, nil); err != nil {
		return err
	}
	expect := url.Values{"job": {strconv.Itoa(int(j.ID))}, "count": {strconv.Itoa(j.Count)}, "endpoints": {strconv.Itoa(max(1, t.how.Endpoints))}}
	if err := call(ctx, http.MethodPost, b.sink.url+"/expect?"+expect.Encode(), "", nil, nil); err != nil {
		return err
	}
	before, err := b.look(ctx, t.of)
	if err != nil {
		return err
	}
	profiled := b.profile(ctx, t, round)
	var pushed Pushed
	err = call(ctx, http.MethodPost, b.loader.url+"/run", "", nil, &pushed)
	if err := errors.Join(err, profiled()); err != nil {
		return err
	}
	if pushed.Failed > 0 && (t.job.Rate == 0 || pushed.Acknowledged == 0) { // a fixed rate may be more than this machine can take now
		return fmt.Errorf("%d of %d requests were not acknowledged: %s", pushed.Failed, pushed.Failed+pushed.Acknowledged, pushed.Error)
	}
	if !t.stored {
		if err := b.await(ctx, t, pushed.Acknowledged); err != nil {
			return err
		}
	}
	after, err := b.look(ctx, t.of)
	if err != nil {
		return err
	}
	s := sampleOf(before, after, pushed)
	if t.of.server != nil {
		t.of.server.stored += pushed.Acknowledged
	}
	if !t.stored {
		if err := b.reckon(ctx, t, &s); err != nil {
			return err
		}
	}
	b.report.add(t.name, t.title, s)
	b.say("round %d of %d  %-24s %s", round+1, b.Rounds, t.name, s)
	return nil
}

// Concurrency is how many requests of a closed loop are under way at once.
const Concurrency = 64

const closedLimit = 30 * time.Second

// await waits until all that was acknowledged has arrived, or nothing more comes.
func (b *Bench) await(ctx context.Context, t *turn, acknowledged int) error {
	want := t.owed(acknowledged)
	var last Seen
	for moved := time.Now(); ; {
		var seen Seen
		if err := call(ctx, http.MethodGet, b.sink.url+"/seen", "", nil, &seen); err != nil {
			return err
		}
		if seen.Arrived >= want {
			return nil
		}
		if seen != last {
			last, moved = seen, time.Now()
		}
		if time.Since(moved) > b.patience {
			return &LostError{Owed: want, Missing: want - seen.Arrived}
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// owed is how many deliveries there must be of the first n messages.
func (t *turn) owed(n int) (owed int64) {
	for i := range n {
		if !ignored(t.job.Kinds, t.how.Ignore, i) {
			owed += int64(max(1, t.how.Endpoints))
		}
	}
	return owed
}

// LostError says that what was acknowledged did not arrive as it was: what must never happen.
type LostError struct {
	Owed    int64 // deliveries
	Missing int64
	Altered int // that arrived with another body
}

func (e *LostError) Error() string {
	return fmt.Sprintf("of %d deliveries that were owed after an acknowledgement %d are lost and %d arrived with another body", e.Owed, e.Missing, e.Altered)
}

// reckon looks at every acknowledged message. What was not acknowledged may have arrived too, and stands in the count that await
// waits for: what is missing at first may be on its way.
func (b *Bench) reckon(ctx context.Context, t *turn, s *Sample) error {
	how := t.how
	how.Sink = b.sink.url
	var got Reckoned
	for began := time.Now(); ; {
		if err := call(ctx, http.MethodPost, b.loader.url+"/reckon", "", how, &got); err != nil {
			return err
		}
		if got.Missing == 0 && got.Altered == 0 {
			break
		}
		if got.Altered > 0 || time.Since(began) > b.patience {
			return &LostError{Owed: t.owed(s.Messages), Missing: int64(got.Missing), Altered: got.Altered}
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	s.EndToEnd = got.EndToEnd
	s.Rate = float64(s.Messages) / got.Took.Seconds()
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// state is what the processes have used so far.
type state struct {
	loader, gateway, sink time.Duration
	memory                int64
	mallocs, bytes        float64
}

func (b *Bench) look(ctx context.Context, m measured) (s state, err error) {
	s.loader, _ = b.loader.CPU()
	s.sink, _ = b.sink.CPU()
	if m.cpu != nil {
		s.gateway, _ = m.cpu()
	}
	if m.memory != nil {
		s.memory, _ = m.memory()
	}
	if m.server != nil {
		if s.mallocs, err = m.server.metric(ctx, "go_memstats_mallocs_total"); err != nil {
			return s, err
		}
		s.bytes, err = m.server.metric(ctx, "go_memstats_alloc_bytes_total")
	}
	return s, err
}

func sampleOf(before, after state, p Pushed) Sample {
	n := float64(max(1, p.Acknowledged))
	micros := func(d time.Duration) float64 { return float64(d.Microseconds()) / n }
	return Sample{
		Messages: p.Acknowledged, NotAcknowledged: p.Failed, Rate: float64(p.Acknowledged) / p.Took.Seconds(), Ack: p.Ack,
		LoaderCPU: micros(after.loader - before.loader), GatewayCPU: micros(after.gateway - before.gateway), SinkCPU: micros(after.sink - before.sink),
		Allocations: (after.mallocs - before.mallocs) / n, AllocatedBytes: (after.bytes - before.bytes) / n, Memory: after.memory,
	}
}
