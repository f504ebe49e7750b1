package app

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/waypost/waypost/internal/engine"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
	"github.com/waypost/waypost/internal/longconn"
	"github.com/waypost/waypost/internal/store"
)

// metrics are what /metrics shows. Labels come from closed sets (dialects, results, verdicts), never from requests.
type metrics struct {
	registry *prometheus.Registry

	pushes     *prometheus.CounterVec   // by dialect and result
	pushTime   *prometheus.HistogramVec // by dialect: from the header to the answer
	storeTime  prometheus.Histogram     // of that: until durable
	attempts   *prometheus.CounterVec   // by dialect and verdict
	attemptDur *prometheus.HistogramVec // by dialect
	clockJumps prometheus.Counter
	longConns  *prometheus.CounterVec // by event and result

	mu    sync.RWMutex
	kinds map[pushKey]*pushCounters // of the pushes that were seen
}

type pushKey struct {
	dialect string
	result  ingest.Result
}

// pushCounters are what is counted of one kind of request.
type pushCounters struct {
	count prometheus.Counter
	time  prometheus.Observer
}

var seconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// newMetrics makes them. idsAhead tells how far ids are ahead of the clock; it is asked when somebody looks.
func newMetrics(st store.Store, version string, idsAhead func() time.Duration) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(), kinds: map[pushKey]*pushCounters{},
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waypost_pushes_total", Help: "Requests at the front door by dialect and what became of them.",
		}, []string{"dialect", "result"}),
		pushTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "waypost_push_seconds", Help: "Time from a push's header to its answer.", Buckets: seconds,
		}, []string{"dialect"}),
		storeTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "waypost_store_seconds", Help: "Part of a push's time until its message was durable.", Buckets: seconds,
		}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waypost_attempts_total", Help: "Delivery attempts by the endpoint's dialect and verdict.",
		}, []string{"dialect", "verdict"}),
		attemptDur: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "waypost_attempt_seconds", Help: "Time of a delivery attempt until its answer was judged.", Buckets: seconds,
		}, []string{"dialect"}),
	}
	m.clockJumps = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "waypost_clock_jumps_total", Help: "How often the system clock was found to have been set by two seconds or more.",
	})
	m.longConns = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "waypost_longconn_events_total", Help: "What happened at the server of long connections, by event and what became of it.",
	}, []string{"event", "result"})
	m.registry.MustRegister(m.longConns)
	ahead := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "waypost_ids_ahead_seconds", Help: "How far the times in new ids are ahead of the clock, which was ahead itself before.",
	}, func() float64 { return idsAhead().Seconds() })
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "waypost_build_info", Help: "1, with the version as label.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(m.pushes, m.pushTime, m.storeTime, m.attempts, m.attemptDur, m.clockJumps, ahead, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &stored{st})
	return m
}

func (m *metrics) pushed(o ingest.Observation) {
	p := m.push(o.Dialect, o.Result)
	p.count.Inc()
	p.time.Observe(o.Duration.Seconds())
	if o.Stored > 0 {
		m.storeTime.Observe(o.Stored.Seconds())
	}
}

// push finds the counters of a kind of request: finding them by their labels takes longer than counting.
func (m *metrics) push(dialect string, result ingest.Result) *pushCounters {
	key := pushKey{dialect, result}
	m.mu.RLock()
	p := m.kinds[key]
	m.mu.RUnlock()
	if p != nil {
		return p
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p = &pushCounters{m.pushes.WithLabelValues(dialect, string(result)), m.pushTime.WithLabelValues(dialect)}
	m.kinds[key] = p
	return p
}

func (m *metrics) longConn(e longconn.ServerEvent) {
	m.longConns.WithLabelValues(e.Kind, e.Result).Inc()
}

// gauge shows a present number.
func (m *metrics) gauge(name, help string, now func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(now()) }))
}

func (m *metrics) attempted(e engine.Event) {
	m.attempts.WithLabelValues(e.Dialect, verdictNames[e.Verdict]).Inc()
	m.attemptDur.WithLabelValues(e.Dialect).Observe(e.Duration.Seconds())
}

var verdictNames = map[hook.Verdict]string{hook.Success: "success", hook.Retry: "retry", hook.Refuse: "refused", hook.Gone: "gone"}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// stored reads the store's counters when somebody looks.
type stored struct{ store store.Store }

var (
	messagesDesc   = prometheus.NewDesc("waypost_messages_total", "Messages accepted since the store was made.", nil, nil)
	deliveriesDesc = prometheus.NewDesc("waypost_deliveries", "Deliveries by state; pending is the present number, the others are totals.", []string{"state"}, nil)
)

func (s *stored) Describe(ch chan<- *prometheus.Desc) { ch <- messagesDesc; ch <- deliveriesDesc }

func (s *stored) Collect(ch chan<- prometheus.Metric) {
	c, err := s.store.Counts(context.Background())
	if err != nil {
		return // the health check says that the store is broken; a scrape must not fail for it
	}
	ch <- prometheus.MustNewConstMetric(messagesDesc, prometheus.CounterValue, float64(c.Messages))
	for state, n := range map[string]int64{"pending": c.Pending, "delivered": c.Delivered, "failed": c.Failed, "canceled": c.Canceled} {
		ch <- prometheus.MustNewConstMetric(deliveriesDesc, prometheus.GaugeValue, float64(n), state)
	}
}
