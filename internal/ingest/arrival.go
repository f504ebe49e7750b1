package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

// Arrival is a push that came in by another way than a request to a door: over a connection that this server opened to the
// platform. Whoever holds the connection has verified and read it.
type Arrival struct {
	Raw    hook.Raw   // as it came; kept with the message
	Remote netip.Addr // who sent it; the zero Addr = unknown

	Received dialect.Received
	Refused  *dialect.Error // set: it is refused for this reason, kept for the explainer, and Received is not looked at
}

// Take stores what came for a source, all of it in one commit, and says in the same order what became of each: like a push at
// a door, it is to be acknowledged only when its result is ResultStored, ResultDuplicate or ResultUnreadable.
func (d *Door) Take(ctx context.Context, r hook.Route, list []Arrival) []Result {
	results := make([]Result, len(list))
	began := d.opt.Now()
	e, err := d.newEntry(r)
	if err != nil {
		if d.settings.allow(began) {
			d.opt.Log.Error("a push cannot be taken", "err", err)
		}
		return d.taken(r.Source.Dialect, list, results, began, 0, ResultSettings)
	}
	visits := make([]*visit, len(list))
	for i := range list {
		visits[i] = d.arrival(e, &list[i], began)
	}
	stored := d.store(ctx, visits, list, results)
	return d.taken(e.dialect.Name, list, results, began, stored, ResultUnavailable)
}

// arrival puts an arrival into the form of a request, so that it is kept and judged as one.
func (d *Door) arrival(e *entry, a *Arrival, now time.Time) *visit {
	header := a.Raw.Header
	if header == nil {
		header = http.Header{}
	}
	return &visit{
		Door: d, now: now, entry: e, client: a.Remote, body: body{bytes: a.Raw.Body},
		r: &http.Request{Method: a.Raw.Method, URL: &url.URL{RawQuery: a.Raw.Query}, Header: header},
	}
}

// store accepts what is not refused, and fills in the results. What stays empty was not stored. It returns how long the store took.
func (d *Door) store(ctx context.Context, visits []*visit, list []Arrival, results []Result) time.Duration {
	var work []hook.Accept
	var at []int // the places of work in the list
	for i, v := range visits {
		if refused := list[i].Refused; refused != nil {
			results[i] = Result(refused.Reason)
			v.keep(results[i], refused.Error())
			continue
		}
		work, at = append(work, v.message(&list[i].Received)), append(at, i)
	}
	if len(work) == 0 {
		return 0
	}
	began := d.opt.Now()
	done, err := d.acceptAll(ctx, work)
	for n, i := range at {
		var own error
		if err == nil {
			own = done[n].Err
		}
		switch {
		case err != nil || own != nil:
			visits[i].noted(errors.Join(err, own))
		case done[n].Duplicate:
			results[i] = ResultDuplicate
		case work[n].Message.Unreadable != "":
			results[i] = ResultUnreadable
		default:
			results[i] = ResultStored
		}
	}
	return d.opt.Now().Sub(began)
}

func (d *Door) acceptAll(ctx context.Context, work []hook.Accept) ([]hook.Accepted, error) {
	if err := d.opt.Accepting(); err != nil {
		return nil, err
	}
	// What was begun is finished, as at the door: the platform repeats what it hears nothing of.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.opt.AcceptTimeout)
	defer cancel()
	done, err := d.opt.Accept(ctx, work)
	if err == nil && len(done) != len(work) {
		err = fmt.Errorf("%d answers for %d messages", len(done), len(work))
	}
	return done, err
}

// taken tells of every arrival; those without a result get the one that is given.
func (d *Door) taken(name string, list []Arrival, results []Result, began time.Time, stored time.Duration, otherwise Result) []Result {
	took := d.opt.Now().Sub(began)
	for i := range results {
		if results[i] == "" {
			results[i] = otherwise
		}
		d.opt.Observe(Observation{Dialect: name, Result: results[i], Bytes: len(list[i].Raw.Body), Duration: took, Stored: stored})
	}
	return results
}
