package ingest

import (
	"fmt"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

func TestFewDoorsAreRemembered(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var r routes
	for i := range 2 * maxRoutes {
		r.put(fmt.Sprint(i), &entry{expires: now.Add(maxRouteAge)}, 0)
	}
	if n := len(r.byDoor); n != maxRoutes {
		t.Errorf("%d doors are remembered, want %d", n, maxRoutes)
	}
	if e, _ := r.get(fmt.Sprint(2*maxRoutes-1), now); e == nil {
		t.Error("the last one is not")
	}
}

func TestFewSourcesAreCounted(t *testing.T) {
	t.Parallel()
	q := newRefusals(Options{})
	defer q.close()
	now := time.Now()
	for i := range hook.SourceID(2*maxSources + 10) {
		if !q.allow(i+1, now) {
			t.Fatalf("the first refusal of source %d is not kept", i)
		}
		if n := len(q.buckets); n > maxSources {
			t.Fatalf("%d sources are counted, at most %d may be", n, maxSources)
		}
	}
}
