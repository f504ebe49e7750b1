package hook_test

import (
	"fmt"
	"testing"

	"github.com/waypost/waypost/internal/hook"
)

// BenchmarkMatch finds the endpoints of an application that a message goes to: each listens to ten types, one of a hundred to
// the message's own.
func BenchmarkMatch(b *testing.B) {
	for _, endpoints := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("endpoints=%d", endpoints), func(b *testing.B) {
			list := make([]hook.Endpoint, endpoints)
			for i := range list {
				list[i].App = 1
				for k := range 10 {
					list[i].EventTypes = append(list[i].EventTypes, fmt.Sprintf("order.kind%d", (10*i+k)%1000))
				}
			}
			m := hook.Accept{Message: hook.Message{App: 1, EventType: "order.kind7"}}
			b.ReportAllocs()
			for b.Loop() {
				found := 0
				for i := range list {
					if m.GoesTo(&list[i]) {
						found++
					}
				}
				if found != max(1, endpoints/100) {
					b.Fatalf("%d of %d match", found, endpoints)
				}
			}
		})
	}
}
