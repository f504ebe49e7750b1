package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect/all"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// BenchmarkRequest makes the request of one attempt: signed, with the headers that describe a message of a platform.
func BenchmarkRequest(b *testing.B) {
	client := egress.New(egress.Options{})
	defer client.Close()
	ids := hook.NewGenerator(1, 0)
	e := New(Options{Dialects: all.Table(), Egress: client, IDs: ids, SeedKey: hook.NewSecret("seed")})
	for _, format := range []hook.Format{hook.FormatPayload, hook.FormatCloudEvents} {
		b.Run(string(format), func(b *testing.B) {
			t := e.compile(store.Target{Endpoint: hook.Endpoint{
				ID: 2, App: 1, URL: "https://example.com/hook", Dialect: "standard", Format: format, Headers: map[string]string{"X-Team": "orders"},
			}, Settings: hook.Settings{"secret": {secret}}}, true)
			m := &hook.Message{
				ID: 3, App: 1, EventType: "订单.created", EventID: "e 1", CreatedAt: time.Now(), Payload: fmt.Appendf(nil, `{"text": "%01000d"}`, 7),
				Platform: map[string]string{"client_key": "aw 1", "名": "值", "messagePlatform": "1"},
			}
			b.ReportAllocs()
			for b.Loop() {
				if r, err := e.request(context.Background(), t, m, time.Now()); err != nil || len(r.Body) == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}
