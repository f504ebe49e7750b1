package app

import (
	"os"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// A gateway keeps a few MiB and allocates some 18 KiB for each message that nobody needs a moment later. By itself the runtime collects
// whenever the heap has doubled, which is many times a second here. So the heap is given room: at least heapRoom are allocated between two
// collections, and as ever as much as is in use where that is more. When nothing happens the room is handed back.
const (
	heapRoom     = 32 << 20         // bytes
	leastLive    = 4 << 20          // bytes that count as in use when there are fewer, so that the share stays within reason
	quietTime    = 30 * time.Second // without a collection: fewer than heapRoom were allocated
	worthHanding = 4 << 20          // bytes allocated since memory was handed back for the last time
)

// memoryKeeper sets how often the process collects garbage, and gives memory back to the system when it is quiet. Both are of the process:
// only one should run.
type memoryKeeper struct {
	inUse func() uint64

	mu      sync.Mutex
	before  int // the share that was set when it began
	percent int // that it has set
	ended   bool

	end, done chan struct{}
	once      sync.Once
	handed    atomic.Int64 // how often memory was handed back
}

// keepMemory starts one. It leaves the collector alone where the operator has set GOGC; a limit set by GOMEMLIMIT goes before
// what is set here, as the runtime has it. quiet and inUse are quietTime and bytesInUse but in tests.
func keepMemory(quiet time.Duration, inUse func() uint64) *memoryKeeper {
	k := &memoryKeeper{inUse: inUse, end: make(chan struct{}), done: make(chan struct{})}
	if os.Getenv("GOGC") == "" {
		k.before = debug.SetGCPercent(100)
		k.percent = 100
		k.pace()
		afterCollection(k.pace)
	} else {
		k.ended = true
	}
	go k.watch(quiet)
	return k
}

// stop sets back what was set.
func (k *memoryKeeper) stop() {
	k.once.Do(func() {
		close(k.end)
		k.mu.Lock()
		defer k.mu.Unlock()
		if !k.ended {
			k.ended = true
			debug.SetGCPercent(k.before)
		}
	})
	<-k.done
}

// pace sets the share for the next collection by what the last one found in use. It says whether to go on.
func (k *memoryKeeper) pace() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended {
		return false
	}
	// Each change stops all goroutines for some microseconds.
	if p := percentFor(k.inUse()); p > k.percent+k.percent/8 || p < k.percent-k.percent/8 {
		k.percent = p
		debug.SetGCPercent(p)
	}
	return true
}

// percentFor is the share by which the heap may grow before it is collected again, as in GOGC.
func percentFor(live uint64) int { return int(max(100, heapRoom*100/max(live, leastLive))) }

// watch hands memory back once, for what only the start needed, and whenever there was quiet after work.
func (k *memoryKeeper) watch(quiet time.Duration) {
	defer close(k.done)
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	k.handBack()
	cycles, allocated := collected()
	for last := cycles; ; {
		select {
		case <-k.end:
			return
		case <-tick.C:
		}
		now, total := collected()
		if now == last && total-allocated >= worthHanding {
			k.handBack()
			now, allocated = collected()
		}
		last = now
	}
}

// handBack gives the system what nobody uses: garbage, buffers in pools (which outlive one collection), and pages of the program. Collecting
// touches many of the latter, and takes a while on a busy machine.
func (k *memoryKeeper) handBack() {
	forgetProgram()
	runtime.GC()
	debug.FreeOSMemory()
	forgetProgram()
	k.handed.Add(1)
}

// afterCollection calls f after each collection until it says false.
func afterCollection(f func() bool) {
	type mark struct{ _ *mark } // holds a pointer, so that it has an allocation of its own
	runtime.AddCleanup(new(mark), func(f func() bool) {
		if f() {
			afterCollection(f)
		}
	}, f)
}

// bytesInUse is what the last collection found in use, and what it has to look at besides: what GOGC is a share of.
func bytesInUse() uint64 {
	s := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	runtimemetrics.Read(s)
	return s[0].Value.Uint64() + s[1].Value.Uint64() + s[2].Value.Uint64()
}

// collected returns the number of collections, and of bytes allocated, since the process began.
func collected() (cycles, allocated uint64) {
	s := []runtimemetrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/allocs:bytes"}}
	runtimemetrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}
