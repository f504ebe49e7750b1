package cli

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"
)

// process runs the command line in a process of its own. kill ends it as kill -9 does.
func process(t *testing.T, env []string, args ...string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), asBinary+"=1"), env...)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	kill = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(kill)
	return kill
}

// TestServerAndListenerAreKilled kills both processes in turn while a program publishes. What the server acknowledged is delivered,
// and nothing comes twice but what was in flight at a kill.
func TestServerAndListenerAreKilled(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := l.Addr().String()
	_ = l.Close()
	c := newClient("http://"+admin, serverToken)
	env := []string{"WAYPOST_SERVER=" + c.base, "WAYPOST_TOKEN=" + serverToken}
	dir := t.TempDir()
	serve := func() func() {
		kill := process(t, env, "serve", "--dev", "--data", dir, "--admin", admin, "--listen", "127.0.0.1:0")
		eventually(t, "a server", func() bool { return c.call(t.Context(), http.MethodGet, "/app?limit=1", nil, nil) == nil })
		return kill
	}
	service := newLocal(t)
	service.answers(func(http.ResponseWriter, *http.Request) { time.Sleep(2 * time.Millisecond) }) // work, so that kills find some in flight
	listen := func() func() { return process(t, env, "listen", "--app", "shop", "--forward", service.URL) }

	killServer := serve()
	listenable(t, c)
	killListener := listen()
	var ids []string
	const rounds = 4
	for range rounds {
		ids = append(ids, c.publish(t, 60)...)
		killListener()
		ids = append(ids, c.publish(t, 60)...)
		killListener = listen()
		so := len(service.times())
		eventually(t, "work", func() bool { return len(service.times()) > so })
		killServer()
		killServer = serve()
	}
	eventually(t, "delivery of all", func() bool { return c.delivered(t, ids) == len(ids) })
	times, repeats := service.times(), 0
	for _, id := range ids {
		if times[id] == 0 {
			t.Errorf("%s counts as delivered and never came", id)
		}
		repeats += max(times[id]-1, 0)
	}
	// A kill of the server may also find as many attempts that were judged and not yet recorded.
	t.Logf("%d messages, %d repeats over %d kills of either side", len(ids), repeats, rounds)
	if limit := rounds * (16 + 2*16); repeats > limit {
		t.Errorf("%d repeats, more than %d", repeats, limit)
	}
}
