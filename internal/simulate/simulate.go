// Package simulate owns being a platform: it sends what a platform sends to any receiver (rightly signed messages,
// repeats on the platform's schedule, duplicates, forgeries), and says what the platform would think of the answers.
package simulate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
)

// The limits of a run.
const (
	MaxCount        = 1_000_000
	DefaultParallel = 8
	maxOutstanding  = 4096 // messages that have begun and are not finished
)

// Options say what to send. Dialect, Settings, and To with Client or Link are required.
type Options struct {
	Dialect  *dialect.Dialect
	Settings dialect.Settings // the platform's half; Keys makes some
	To       string           // the receiver's URL
	Client   *egress.Client
	Allow    []netip.Prefix // addresses that may be reached although they are not public
	Link     *Link          // instead of Client: the receiver has a connection open to us; To is then only shown. nil = HTTP

	Events []dialect.Example // what to send, in turn; nil = the examples of the platform's documentation
	Count  int               // messages; 0 = one of each event
	// Rate is how many messages begin in a second; 0 = as fast as Parallel allows.
	Rate     float64
	Parallel int     // requests at once; 0 = 8
	Speed    float64 // divides the waits of the platform's schedule; 0 = 1
	// SpeedDeadline lets Speed divide the platform's deadline too. Without it a receiver has its full time.
	SpeedDeadline bool
	Duplicates    int  // messages that are sent once more after they were acknowledged
	Forge         int  // forged messages of each kind, all of which must be refused
	Disorder      bool // begin the messages in another order than they were made
	Handshake     bool // do the platform console's "Verify" first, where the platform has one

	// Habits are what platforms and strangers do on bad days, by their names (see HabitNames) or AllHabits. They are
	// tried one after the other when the messages are done; each is a check of its own in the report.
	Habits []string
	Slow   *Slow // for the habit slow-body; nil = it is not tried
	// Probe says how many messages the receiver has processed since it began. nil = nobody knows, and double processing
	// is not found.
	Probe func(context.Context) (int, error)
	// Confirm is asked at the end whether the receiver processed each of the messages once. nil = nobody is asked.
	Confirm func(ctx context.Context, messages int) error

	Lang   string   // of findings and checks: English or Chinese; "" = English
	Ignore []string // codes of findings that are expected: they do not fail the run
	// P99 is most that 99 % of the answers may take, by an agreement of one's own; 0 = the platform's limit alone.
	P99 time.Duration

	// Seed decides ids, nonces and order, so that a run can be repeated. Zero = random. A receiver takes the messages of a
	// repeated run for repeats.
	Seed     [32]byte
	Now      func() time.Time // nil = time.Now
	Progress func(Step)       // told of every request, one at a time; nil = nobody
}

// Step is one request of a run.
type Step struct {
	Kind      StepKind
	Habit     string // for which it was sent, "" = none
	ID        string // of the message
	EventType string
	Attempt   int           // 1 for the first
	Status    int           // HTTP status, 0 = no answer
	Verdict   dialect.Kind  // what the platform takes the answer for
	Reason    string        // one sentence
	Took      time.Duration // until the answer
	Wait      time.Duration // until the next attempt, 0 = there is none
}

// StepKind says what a request was sent for.
type StepKind string

// The kinds of step.
const (
	StepHandshake StepKind = "handshake"
	StepMessage   StepKind = "message"
	StepDuplicate StepKind = "duplicate"
	StepForged    StepKind = "forged"
	StepHabit     StepKind = "habit"
)

// run is one Run under way.
type run struct {
	Options
	policy   dialect.Policy
	deadline time.Duration
	forgers  []forger
	nextKey  dialect.Settings // the second key of the settings alone; nil = there is none
	slots    chan struct{}
	jobs     sync.WaitGroup

	mu       sync.Mutex
	report   Report
	check    string // under way
	findings findings
	took     []time.Duration

	// What the receiver should have processed. Only the goroutine of Run uses these.
	expected      int // messages acknowledged
	before        int // the probe's count when the run began
	base, basedOn int // the probe's last count, and what was expected then
}

// Run sends messages until all are acknowledged or given up, as the platform would, and reports. When the context ends
// before, the report covers what was done and the error is the context's. Any other error means that nothing was sent.
func Run(ctx context.Context, o Options) (Report, error) {
	r, err := prepare(ctx, o)
	if err != nil {
		return Report{}, err
	}
	began := r.Now()
	start := 0
	if r.Probe != nil {
		r.enter("probe", words{"says how much it has processed", "能给出已处理的数量"})
		start, _ = r.ask(ctx)
	}
	if (r.Handshake || r.has("challenge")) && r.Dialect.Handshake != nil {
		r.enter("handshake", words{"passes the platform's verification of the URL", "通过平台的地址验证"})
		r.handshake(ctx)
	}
	r.enter("messages", words{"acknowledges messages in time and in the platform's words", "按平台的要求及时确认消息"})
	r.before = r.countBefore(ctx, start)
	err = r.sendAll(ctx)
	r.jobs.Wait()
	r.judgeWork(ctx)
	if err == nil {
		r.tryHabits(ctx)
		r.confirm(ctx)
		err = ctx.Err()
	}
	return r.finish(began, err != nil), err
}

func prepare(ctx context.Context, o Options) (*run, error) {
	switch {
	case o.Dialect == nil || o.Client == nil && o.Link == nil:
		return nil, errors.New("simulate: a dialect and a client are required")
	case o.Dialect.Sign == nil || o.Dialect.Judge == nil || o.Dialect.Policy == nil:
		return nil, fmt.Errorf("simulate: the dialect %s cannot send", o.Dialect.Name)
	case o.Count < 0 || o.Count > MaxCount:
		return nil, fmt.Errorf("simulate: the count must be 0 to %d", MaxCount)
	case o.Rate < 0 || o.Speed < 0 || o.Forge < 0 || o.Forge > MaxCount || o.Duplicates < 0 || o.Duplicates > MaxCount:
		return nil, fmt.Errorf("simulate: rate, speed, duplicates and forgeries must not be negative, and the latter two at most %d", MaxCount)
	}
	if err := o.checkReport(); err != nil {
		return nil, err
	}
	if problems := o.Dialect.Validate(o.Settings, dialect.Sending, false); len(problems) > 0 {
		return nil, fmt.Errorf("simulate: settings of the platform %s: %w", o.Dialect.Name, problems[0])
	}
	if o.Link == nil {
		if err := o.Client.Check(ctx, o.To, o.Allow); err != nil {
			return nil, fmt.Errorf("simulate: cannot send to that URL: %w", err)
		}
	}
	o.defaults()
	if len(o.events()) == 0 {
		return nil, fmt.Errorf("simulate: the dialect %s has no examples; give events", o.Dialect.Name)
	}
	if o.Count == 0 {
		o.Count = len(o.events())
	}
	r := &run{Options: o, policy: o.Dialect.Policy(o.Settings), slots: make(chan struct{}, o.Parallel)}
	r.deadline = r.policy.Deadline
	if o.SpeedDeadline {
		r.deadline = max(time.Duration(float64(r.deadline)/o.Speed), time.Millisecond)
	}
	r.report = Report{Dialect: o.Dialect.Name, To: shown(o.To), Lang: o.Lang, DeadlineMs: ms(r.deadline)}
	if o.has("rotation") {
		r.Settings, r.nextKey = splitKeys(o.Dialect, o.Settings)
	}
	if r.Link == nil {
		r.enter("url", words{"has a URL that the platform pushes to", "地址符合平台要求"})
	} else {
		r.enter("connected", words{"registers and keeps a long connection", "完成注册并保持长连接"})
	}
	if r.Forge > 0 {
		r.forgers = r.makeForgers()
	}
	r.lookAtURL()
	return r, nil
}

// shown is a URL as reports have it: without the password that may be in it.
func shown(to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

// CheckNames refuses options that name a habit, a finding or a language that there is not.
func CheckNames(o Options) error { return o.checkReport() }

// Wants says whether options ask for a habit.
func Wants(o Options, habit string) bool { return o.has(habit) }

// checkReport looks at what decides the report's form.
func (o *Options) checkReport() error {
	if o.Lang != "" && !slices.Contains(Languages(), o.Lang) {
		return fmt.Errorf("simulate: the language must be one of %s", strings.Join(Languages(), ", "))
	}
	for _, code := range o.Ignore {
		if !slices.Contains(Codes(), code) {
			return fmt.Errorf("simulate: there is no finding %q; there are %s", code, strings.Join(Codes(), ", "))
		}
	}
	return checkHabits(o.Habits)
}

func (o *Options) defaults() {
	if o.Seed == [32]byte{} {
		_, _ = rand.Read(o.Seed[:]) // never fails: crypto/rand ends the process instead
	}
	if o.Parallel <= 0 {
		o.Parallel = DefaultParallel
	}
	if o.Speed == 0 {
		o.Speed = 1
	}
	if o.Lang == "" {
		o.Lang = English
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(Step) {}
	}
}

func (o *Options) events() []dialect.Example {
	if o.Events != nil {
		return o.Events
	}
	return o.Dialect.Examples
}

// job is one message of a run: a good one, or a forgery by one of the run's forgers.
type job struct {
	number int
	forger *forger // nil = a good one
	again  int     // times that it is sent once more after it was acknowledged
}

// plan lists the messages of a run, the forgeries spread among the good ones.
func (r *run) plan() []job {
	forgeries := make([]job, 0, r.Forge*len(r.forgers))
	for i := range r.Forge {
		for f := range r.forgers {
			forgeries = append(forgeries, job{number: i, forger: &r.forgers[f]})
		}
	}
	jobs := make([]job, 0, r.Count+len(forgeries))
	for i := range r.Count {
		again := r.Duplicates / r.Count
		if i < r.Duplicates%r.Count {
			again++
		}
		jobs = append(jobs, job{number: i, again: again})
		for due := len(forgeries) * (i + 1) / r.Count; len(jobs)-i-1 < due; {
			jobs = append(jobs, forgeries[len(jobs)-i-1])
		}
	}
	if r.Disorder {
		r.shuffle(jobs)
	}
	return jobs
}

// sendAll begins every message at its time, and one after the other: each is given the slot of its first request in its turn.
func (r *run) sendAll(ctx context.Context) error {
	outstanding := make(chan struct{}, maxOutstanding)
	began := time.Now()
	for i, j := range r.plan() {
		if r.Rate > 0 {
			due := began.Add(time.Duration(float64(i) / r.Rate * float64(time.Second)))
			if err := sleep(ctx, time.Until(due)); err != nil {
				return err
			}
		}
		select {
		case outstanding <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		first, err := r.reserve(ctx)
		if err != nil {
			return err
		}
		r.jobs.Add(1)
		go func() {
			defer r.jobs.Done()
			defer func() { <-outstanding }()
			defer first.release()
			ctx := context.WithValue(ctx, reservedKey{}, first)
			if j.forger != nil {
				r.forge(ctx, j)
				return
			}
			r.deliver(ctx, j)
		}()
	}
	r.jobs.Wait()
	return ctx.Err()
}

// reserved is a slot that was taken for the next request of a message.
type reserved struct {
	slots chan struct{}
	held  atomic.Bool
}

type reservedKey struct{}

func (r *run) reserve(ctx context.Context) (*reserved, error) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s := &reserved{slots: r.slots}
	s.held.Store(true)
	return s, nil
}

// release gives the slot back, unless a request took it.
func (s *reserved) release() {
	if s.held.CompareAndSwap(true, false) {
		<-s.slots
	}
}

// enterSlot waits until one more request may be under way. The caller takes it out of r.slots again.
func (r *run) enterSlot(ctx context.Context) bool {
	if s, _ := ctx.Value(reservedKey{}).(*reserved); s != nil && s.held.CompareAndSwap(true, false) {
		return true
	}
	select {
	case r.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *run) derive(purpose string, n int) []byte {
	return dialect.Derive(r.Seed, "simulate/"+purpose, n)
}

// seed is a secret of one message, the same over all its attempts.
func (r *run) seed(kind string, number int) (s [32]byte) {
	copy(s[:], r.derive(kind+"/"+strconv.Itoa(number), len(s)))
	return s
}
