// Package proof owns what shows that Waypost keeps its promises: the load generator with its sink, and the checker that
// compares what was acknowledged with what arrived.
package proof

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Load sends requests at a steady rate, whatever the answers take: an open loop, so that a slow server is measured and
// not waited for.
type Load struct {
	URL      string
	Rate     int           // requests a second
	For      time.Duration // how long
	Workers  int           // requests under way at most; 0 = 512. When all are busy a request starts late, and its latency counts from when it was due
	Make     func(i int, due time.Time) (http.Header, []byte)
	Accepted func(status int) bool // nil = 200
	Client   *http.Client          // nil = one with as many kept connections as workers
}

// Latencies are what a load saw. Times count from the moment at which a request was due.
type Latencies struct {
	Sent     int           `json:"sent"`
	Accepted int           `json:"accepted"`
	Failed   int           `json:"failed"`
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	P999     time.Duration `json:"p999_ns"`
	Max      time.Duration `json:"max_ns"`
	Rate     float64       `json:"per_second"` // accepted a second over the whole run
	Error    string        `json:"error,omitempty"`
}

type shot struct {
	n   int
	due time.Time
}

// Run sends until the time is over or the context ends, waits for the last answers, and reports.
func (l Load) Run(ctx context.Context) Latencies {
	workers := l.Workers
	if workers == 0 {
		workers = 512
	}
	if l.Client == nil {
		l.Client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: workers, MaxIdleConns: workers}}
		defer l.Client.CloseIdleConnections()
	}
	shots := make(chan shot, workers)
	var mu sync.Mutex
	var took []time.Duration
	var out Latencies
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for s := range shots {
				err := l.send(ctx, s)
				d := time.Since(s.due)
				mu.Lock()
				out.Sent++
				if err != nil {
					out.Failed++
					out.Error = err.Error()
				} else {
					out.Accepted++
					took = append(took, d)
				}
				mu.Unlock()
			}
		})
	}
	start := time.Now()
	l.pace(ctx, start, shots)
	close(shots)
	wg.Wait()
	out.Rate = float64(out.Accepted) / time.Since(start).Seconds()
	out.quantiles(took)
	return out
}

// pace hands out shots when they are due.
func (l Load) pace(ctx context.Context, start time.Time, shots chan<- shot) {
	total := int(float64(l.Rate) * l.For.Seconds())
	gap := time.Second / time.Duration(l.Rate)
	for i := range total {
		due := start.Add(time.Duration(i) * gap)
		if wait := time.Until(due); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
		select {
		case shots <- shot{i, due}:
		case <-ctx.Done():
			return
		}
	}
}

func (l Load) send(ctx context.Context, s shot) error {
	header, body := l.Make(s.n, s.due)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header
	resp, err := l.Client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return err
	}
	ok := resp.StatusCode == http.StatusOK
	if l.Accepted != nil {
		ok = l.Accepted(resp.StatusCode)
	}
	if !ok {
		return fmt.Errorf("answered %s", resp.Status)
	}
	return nil
}

func (l *Latencies) quantiles(took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	at := func(q float64) time.Duration { return took[min(len(took)-1, int(q*float64(len(took))))] }
	l.P50, l.P99, l.P999, l.Max = at(.50), at(.99), at(.999), took[len(took)-1]
}
