package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/waypost/waypost/internal/egress"
)

// The patience of a probe: receivers may work after they have answered.
const (
	probeEvery   = 100 * time.Millisecond
	probeStable  = 300 * time.Millisecond
	probeAtMost  = 10 * time.Second
	probeTimeout = 5 * time.Second
	// A receiver may just as well not count a test message.
	probeTestMessage = 3 * time.Second
)

// URLProbe asks a URL of the receiver how many messages it has processed since it began: a whole number as text, or JSON
// with a member count.
func URLProbe(c *egress.Client, url string, allow []netip.Prefix) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		got, err := c.Do(ctx, egress.Request{Method: http.MethodGet, URL: url, Allow: allow})
		if err != nil {
			return 0, err
		}
		if got.Status != http.StatusOK {
			return 0, fmt.Errorf("it answered %d", got.Status)
		}
		var doc struct {
			Count *int `json:"count"`
		}
		if json.Unmarshal(got.Body, &doc) == nil && doc.Count != nil {
			return *doc.Count, nil
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(got.Body)))
		if err != nil {
			return 0, errors.New("its answer is neither a whole number nor JSON with a member count")
		}
		return n, nil
	}
}

// ask asks the probe; the first failure is a finding and ends the asking.
func (r *run) ask(ctx context.Context) (int, bool) {
	if r.Probe == nil {
		return 0, false
	}
	n, err := r.Probe(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.find("probe_failed", err.Error())
		}
		r.Probe = nil
		return 0, false
	}
	return n, true
}

// processed waits until the receiver has processed as many messages as it should have, and then until nothing is added.
func (r *run) processed(ctx context.Context, want int) (int, bool) {
	return r.processedWithin(ctx, want, probeAtMost)
}

// countBefore takes the probe's count before the run. A receiver may count the test message of the handshake, which
// some platforms send, and may do so late.
func (r *run) countBefore(ctx context.Context, start int) int {
	if h := r.report.Handshake; h != nil && h.Acknowledged && slices.Contains(testMessages, r.Dialect.Name) {
		start++
	}
	n, _ := r.processedWithin(ctx, start, probeTestMessage)
	return n
}

// testMessages are the platforms whose handshake is a message like any other.
var testMessages = []string{"standard", "yunzhimeng", "aop1688"}

func (r *run) processedWithin(ctx context.Context, want int, patience time.Duration) (int, bool) {
	n, ok := r.ask(ctx)
	for began := time.Now(); ok && n < want && time.Since(began) < patience; n, ok = r.ask(ctx) {
		if sleep(ctx, probeEvery) != nil {
			return 0, false
		}
	}
	for ok {
		before := n
		if sleep(ctx, probeStable) != nil {
			return 0, false
		}
		if n, ok = r.ask(ctx); n == before {
			break
		}
	}
	return n, ok
}

// judgeWork compares what the receiver processed of the plain messages with what it acknowledged.
func (r *run) judgeWork(ctx context.Context) {
	t := r.report.Totals
	r.expected += t.Acknowledged
	n, ok := r.processed(ctx, r.before+r.expected)
	r.rebase(n)
	n -= r.before
	switch {
	case !ok || t.ForgedAccepted > 0:
	case n > t.Messages && t.Retried > 0:
		r.find("failed_after_work", n, t.Messages)
	case n > t.Messages:
		r.find("processed_twice", n, t.Messages)
	case n < t.Acknowledged:
		r.find("lost", t.Acknowledged, n)
	}
}

// rebase notes a count of the probe: later ones are compared with it, so that one fault is found once.
func (r *run) rebase(count int) { r.base, r.basedOn = count, r.expected }

// align waits until the receiver is done with what it was sent, and returns its count.
func (r *run) align(ctx context.Context) (count int, known bool) {
	count, known = r.processed(ctx, r.base+r.expected-r.basedOn)
	r.rebase(count)
	return count, known
}

// judgeRepeats finds messages that were processed again; fresh is how many there were.
func (r *run) judgeRepeats(ctx context.Context, before int, known bool, fresh int) {
	if !known {
		if r.Probe == nil && r.Confirm == nil {
			r.amend(words{" (whether it processes each once is not known without a probe)", "（没有探针，无法得知是否只处理一次）"})
		}
		return
	}
	n, ok := r.processed(ctx, before)
	r.rebase(n)
	if ok && n > before {
		r.find("processed_twice", fresh+n-before, fresh)
	}
}

// confirm lets a command look at the receiver's books after everything was sent.
func (r *run) confirm(ctx context.Context) {
	if r.Confirm == nil || ctx.Err() != nil {
		return
	}
	r.enter("confirmed", words{"the check command agrees", "检查命令确认无误"})
	if err := r.Confirm(ctx, r.expected); err != nil {
		r.find("check_said_no", err.Error())
	}
}
