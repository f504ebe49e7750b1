package engine

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// bookkeeper is the real store, and notes the order in which attempts are recorded.
type bookkeeper struct {
	store.Store
	mu  sync.Mutex
	ids []hook.AttemptID
}

func (b *bookkeeper) Finish(ctx context.Context, batch []hook.Outcome) error {
	b.mu.Lock()
	for i := range batch {
		b.ids = append(b.ids, batch[i].Attempt.ID)
	}
	b.mu.Unlock()
	return b.Store.Finish(ctx, batch)
}

func TestIdsOfAttemptsGrowInTheOrderInWhichTheyAreRecorded(t *testing.T) {
	b := &bookkeeper{}
	late := make(chan time.Duration, 3)
	for _, d := range []time.Duration{30 * time.Second, 20 * time.Second, 0} {
		late <- d
	}
	in(t, func(o *Options) {
		o.Store = b
		// The attempt that is judged first is recorded last.
		o.Observe = func(Event) { time.Sleep(<-late) }
	}, func(w *world) {
		w.endpoint("a", nil)
		for range 3 {
			w.publish(1, nil)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		settled()
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.ids) != 3 || !slices.IsSorted(b.ids) || slices.Contains(b.ids, 0) {
			t.Errorf("recorded in the order %v", b.ids)
		}
	})
}

func TestOnlyTheStandardDialectCarriesATrace(t *testing.T) {
	const ours = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var ended []Event
	var mu sync.Mutex
	in(t, func(o *Options) {
		o.Trace = func(*hook.Message, hook.Work, string) (string, func(Event)) {
			return ours, func(e Event) {
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, e)
			}
		}
	}, func(w *world) {
		w.endpoint("plain", func(e *hook.Endpoint) { e.Headers = map[string]string{"TraceParent": "of the endpoint", "X-Own": "1"} })
		w.endpoint("original", func(e *hook.Endpoint) { e.Format = hook.FormatOriginal })
		w.endpoint("panda", func(e *hook.Endpoint) {
			e.Dialect, e.Settings = "pandapon", hook.Settings{"access_secret": {"s"}}
		})
		w.publish(1, func(m *hook.Message) {
			m.Platform = map[string]string{"messagePlatform": "1"}
			m.Raw = &hook.Raw{Method: http.MethodPost, Header: http.Header{"Traceparent": {"of the platform"}, "Tracestate": {"x=y"}}, Body: m.Payload}
		})
		settled()
		for _, host := range []string{"plain.example", "original.example"} {
			list := w.seen(host)
			if len(list) != 1 || !slices.Equal(list[0].header.Values("Traceparent"), []string{ours}) || list[0].header.Get("Tracestate") != "" {
				t.Errorf("%s: %+v", host, list)
			}
		}
		if list := w.seen("panda.example"); len(list) != 1 || list[0].header.Get("Traceparent") != "" {
			t.Errorf("a platform's dialect: %+v", list)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(ended) != 3 || ended[0].Verdict != hook.Success {
			t.Errorf("ended: %+v", ended)
		}
	})
}
