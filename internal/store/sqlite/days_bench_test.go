package sqlite

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// BenchmarkDays is what counting by the day costs an event in the median group of 64, when they are all of one endpoint and when
// each is of another.
func BenchmarkDays(b *testing.B) {
	for _, endpoints := range []int{1, 64} {
		b.Run(fmt.Sprint("endpoints=", endpoints), func(b *testing.B) {
			const group = 64
			sealer, err := store.NewSealer(make([]byte, store.MainKeySize))
			if err != nil {
				b.Fatal(err)
			}
			db, err := Open(b.Context(), Options{Dir: b.TempDir(), Sealer: sealer})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			m := hook.MessageID(idAt(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)))
			var used []time.Duration
			for n := 0; n < b.N; n += group {
				err := db.do(b.Context(), func(t *tx) error {
					began := time.Now()
					for i := range group {
						t.countDay(hook.Pending, 1, m, hook.EndpointID(i%endpoints+1))
					}
					err := t.writeDays(&t.tally)
					used = append(used, time.Since(began))
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(0, "ns/op")
			slices.Sort(used)
			b.ReportMetric(float64(used[len(used)/2].Nanoseconds())/group, "days-ns/event")
		})
	}
}
