package app

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
	"github.com/waypost/waypost/internal/longconn"
	"github.com/waypost/waypost/internal/store"
)

// Changes of configuration come in bursts, and each has the sources looked through: that is done once for those within dialLull.
const (
	dialLull  = 50 * time.Millisecond
	dialAgain = 5 * time.Second // after sources could not be read
	redial    = 5 * time.Second // for connections to drain when their source changed
)

// dialers are the sources that dial out. They follow the configuration.
type dialers struct {
	*App
	client *egress.Client
	wake   chan struct{}
	end    context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	of      map[hook.SourceID]*dialling
	running sync.WaitGroup // changes that are under way
}

// dialling is one source that dials out.
type dialling struct {
	dialer *longconn.Dialer // nil = its settings keep it from dialling
	was    [sha256.Size]byte
	shown  hook.Connection // without a dialer
}

func newDialers(a *App, client *egress.Client) *dialers {
	return &dialers{App: a, client: client, wake: make(chan struct{}, 1), done: make(chan struct{}), of: map[hook.SourceID]*dialling{}}
}

// start dials for the sources that there are, and goes on to follow the configuration.
func (d *dialers) start(ctx context.Context) {
	ctx, d.end = context.WithCancel(context.WithoutCancel(ctx))
	d.reconsider()
	go d.run(ctx)
}

// reconsider has the sources looked through. It waits for nothing.
func (d *dialers) reconsider() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *dialers) run(ctx context.Context) {
	defer close(d.done)
	for {
		select {
		case <-d.wake:
		case <-ctx.Done():
			return
		}
		wait := dialLull
		if err := d.follow(ctx); err != nil && ctx.Err() == nil {
			d.o.Log.Error("the sources that dial out could not be read, will try again", "error", err)
			wait = dialAgain
			d.reconsider()
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// stop drains every connection.
func (d *dialers) stop(ctx context.Context) error {
	d.end()
	<-d.done
	d.mu.Lock()
	all := slices.Collect(maps.Values(d.of))
	d.mu.Unlock()
	errs := make([]error, len(all))
	var stopping sync.WaitGroup
	for i, one := range all {
		if one.dialer != nil {
			stopping.Go(func() { errs[i] = one.dialer.Stop(ctx) })
		}
	}
	stopping.Wait()
	d.running.Wait() // at most for redial
	return errors.Join(errs...)
}

// follow brings what dials in line with what the store says.
func (d *dialers) follow(ctx context.Context) error {
	sources, err := collect(func(p store.Page) (store.List[hook.Source], error) { return d.store.Sources(ctx, 0, p) })
	if err != nil {
		return err
	}
	gone := map[hook.SourceID]bool{}
	d.mu.Lock()
	for id := range d.of {
		gone[id] = true
	}
	d.mu.Unlock()
	for i := range sources {
		if sources[i].Transport != hook.TransportLongConn || sources[i].Disabled {
			continue
		}
		delete(gone, sources[i].ID)
		if err := d.followOne(ctx, sources[i].ID); err != nil {
			return err
		}
	}
	for id := range gone {
		d.replace(id, nil)
	}
	return nil
}

func (d *dialers) followOne(ctx context.Context, id hook.SourceID) error {
	route, err := d.store.SourceRoute(ctx, id)
	if hook.KindOf(err) == hook.KindNotFound {
		return nil // it went meanwhile, which wakes us again
	}
	if err != nil {
		return err
	}
	application, err := d.store.Application(ctx, route.Source.App.String())
	if hook.KindOf(err) == hook.KindNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	next := &dialling{was: fingerprint(route, application)}
	d.mu.Lock()
	now := d.of[id]
	d.mu.Unlock()
	if now != nil && now.was == next.was {
		return nil
	}
	if next.dialer, err = d.newDialer(route, application); err != nil {
		// The API refuses such settings, but a profile may have changed beneath them.
		d.o.Log.Error("a source cannot dial out", "source", id.String(), "error", err)
		next.shown = hook.Connection{
			State: hook.ConnectionStopped, Since: d.clock.Now(), Trouble: err.Error(), Mend: "change the setting that it names", TroubleAt: d.clock.Now(),
		}
	}
	d.replace(id, next)
	return nil
}

// fingerprint changes with everything that a dialer is made of.
func fingerprint(r hook.Route, a hook.Application) [sha256.Size]byte {
	text, err := json.Marshal(struct {
		App      hook.ApplicationID
		Dialect  string
		Settings map[string][]string
		Allow    []string
	}{r.Source.App, r.Source.Dialect, r.Settings, a.AllowCIDRs})
	if err != nil {
		panic("app: settings are texts: " + err.Error())
	}
	return sha256.Sum256(text)
}

// replace stops what a source dials with and then starts what comes in its place; nil = nothing does.
func (d *dialers) replace(id hook.SourceID, next *dialling) {
	d.mu.Lock()
	old := d.of[id]
	if next == nil {
		delete(d.of, id)
	} else {
		d.of[id] = next
	}
	d.mu.Unlock()
	d.running.Go(func() {
		if old != nil && old.dialer != nil {
			ctx, cancel := context.WithTimeout(context.Background(), redial)
			defer cancel()
			if err := old.dialer.Stop(ctx); err != nil {
				d.o.Log.Warn("connections of a source that changed did not drain in time", "source", id.String(), "error", err)
			}
		}
		if next != nil && next.dialer != nil {
			next.dialer.Start()
		}
	})
}

func (d *dialers) newDialer(r hook.Route, a hook.Application) (*longconn.Dialer, error) {
	allow, err := ParsePrefixes(a.AllowCIDRs)
	if err != nil {
		return nil, err
	}
	return longconn.NewDialer(longconn.DialerOptions{
		Settings: dialect.Settings(r.Settings), Egress: d.client, Allow: allow, Now: d.clock.Now,
		Log:  d.o.Log.With("source", r.Source.ID.String()),
		Take: func(ctx context.Context, batch []longconn.Arrival) []bool { return d.take(ctx, r, batch) },
	})
}

// take stores what came over a connection, by the way that pushes take. It returns when all of it is durable, or was refused.
func (d *dialers) take(ctx context.Context, r hook.Route, batch []longconn.Arrival) []bool {
	list := make([]ingest.Arrival, len(batch))
	for i, a := range batch {
		list[i] = ingest.Arrival{Raw: longconn.Raw(a.Text), Remote: a.Remote, Received: a.Received, Refused: a.Refused}
	}
	out := make([]bool, len(batch))
	for i, result := range d.door.Take(ctx, r, list) {
		out[i] = result == ingest.ResultStored || result == ingest.ResultDuplicate || result == ingest.ResultUnreadable
	}
	return out
}

// connection tells how a source stands.
func (d *dialers) connection(id hook.SourceID) (hook.Connection, bool) {
	if d == nil {
		return hook.Connection{}, false
	}
	d.mu.Lock()
	one := d.of[id]
	d.mu.Unlock()
	switch {
	case one == nil:
		return hook.Connection{}, false
	case one.dialer == nil:
		return one.shown, true
	}
	return one.dialer.Connection(), true
}

func (d *dialers) produce(ctx context.Context, s hook.Source, eventType string, content []byte) (hook.Produced, error) {
	switch {
	case s.Transport != hook.TransportLongConn:
		return hook.Produced{}, hook.Errorf(hook.KindConflict, "the source has no connection to its platform: its transport is not longconn")
	case s.Disabled:
		return hook.Produced{}, hook.Errorf(hook.KindConflict, "the source is disabled, and so has no connection to its platform")
	}
	d.mu.Lock()
	one := d.of[s.ID]
	d.mu.Unlock()
	if one == nil || one.dialer == nil {
		return hook.Produced{}, hook.Errorf(hook.KindUnavailable, "the source does not dial out at the moment; its connection says why")
	}
	return one.dialer.Produce(ctx, eventType, content)
}

// outgoing is what the API needs of sources that dial out.
func (d *dialers) outgoing() api.Outgoing {
	return api.Outgoing{Check: d.check, Connection: d.connection, Produce: d.produce}
}

// check says what keeps a source of such settings from dialling out.
func (d *dialers) check(ctx context.Context, dialectName string, s hook.Settings, allow []string) error {
	if dialectName != alipay.Dialect.Name {
		return dialect.Problem{Text: "longconn is Alipay's long connection, which the dialect " + dialectName + " does not have: the dialect must be alipay"}
	}
	prefixes, err := ParsePrefixes(allow)
	if err != nil {
		return err
	}
	return longconn.CheckSource(ctx, dialect.Settings(s), func(ctx context.Context, url string) error {
		return checked(d.client.Check(ctx, url, prefixes))
	})
}

// The metrics of sources that dial out. Their label is the source's id: it comes from the configuration, and never from a request.
var (
	dialOpen     = dialDesc("connections", "Long connections that a source has open.")
	dialConnects = dialDesc("reconnects_total", "Long connections that a source opened after one had ended.")
	dialFailures = dialDesc("failures_total", "Tries of a source that opened no long connection.")
	dialFrames   = dialDesc("frames_total", "Frames that came to a source over its long connections.")
	dialAcks     = dialDesc("acks_total", "Messages over long connections by how they were answered.", "answer")
)

func dialDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("waypost_longconn_source_"+name, help, append([]string{"source"}, labels...), nil)
}

// Describe is part of prometheus.Collector.
func (d *dialers) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{dialOpen, dialConnects, dialFailures, dialFrames, dialAcks} {
		ch <- desc
	}
}

// Collect is part of prometheus.Collector. The counters of a source begin anew when it changes.
func (d *dialers) Collect(ch chan<- prometheus.Metric) {
	d.mu.Lock()
	ids := slices.Collect(maps.Keys(d.of))
	d.mu.Unlock()
	for _, id := range ids {
		c, ok := d.connection(id)
		if !ok {
			continue
		}
		source := id.String()
		counter := func(desc *prometheus.Desc, n int64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), append([]string{source}, labels...)...)
		}
		ch <- prometheus.MustNewConstMetric(dialOpen, prometheus.GaugeValue, float64(c.Open), source)
		counter(dialConnects, c.Counts.Reconnects)
		counter(dialFailures, c.Counts.Failures)
		counter(dialFrames, c.Counts.Frames)
		counter(dialAcks, c.Counts.Success, "success")
		counter(dialAcks, c.Counts.Fail, "fail")
		counter(dialAcks, c.Counts.Unanswered, "none")
	}
}
