//go:build !unix

package lean_test

import "time"

func processorTime() time.Duration { return 0 }
