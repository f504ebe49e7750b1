package cli

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// asBinary makes the test binary behave as waypost, so that tests can start, kill and restart real processes without a
// build of their own.
const asBinary = "WAYPOST_TEST_AS_BINARY"

func TestMain(m *testing.M) {
	if os.Getenv(asBinary) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		s := OSStreams()
		s.faults = faultsOf(os.Getenv(testFaults))
		os.Exit(Main(ctx, os.Args[1:], s))
	}
	os.Exit(m.Run())
}

// command runs a command line in this process.
func command(t *testing.T, stdin string, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(t.Context(), args, Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs, Env: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}})
	return code, out.String(), errs.String()
}
