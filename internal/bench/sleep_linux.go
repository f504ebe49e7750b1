package bench

import (
	"syscall"
	"time"
)

// sleep waits by the kernel's own timer: the runtime's wakes an idle process to the next whole millisecond, which would
// stand in every latency.
func sleep(d time.Duration) {
	t := syscall.NsecToTimespec(d.Nanoseconds())
	_ = syscall.Nanosleep(&t, nil) // a signal ends it early; the caller looks at the clock again
}
