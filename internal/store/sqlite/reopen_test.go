package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// mayTake is the most that a start may take, whatever is stored. Alone it is a few hundredths of a second, and a tenth or
// two when there is a log of its greatest length to be made certain; a machine that is busy with other tests opens an
// empty store slowly too, and is allowed for by that.
func mayTake(t *testing.T) time.Duration {
	t.Helper()
	start := time.Now()
	db, err := sqlite.Open(t.Context(), sqlite.Options{Dir: t.TempDir(), Sealer: sealer(t, 1)})
	must(t, err)
	empty := time.Since(start)
	must(t, db.Close())
	return 800*time.Millisecond + 10*empty
}

// What is stored does not make a start slower.
//
//	go test ./internal/store/sqlite -run TestAStartDoesNotTakeLonger -v                   # 20,000 messages, 2,000 pending
//	WAYPOST_LONG=1 go test ./internal/store/sqlite -run TestAStartDoesNotTakeLonger -v    # 1,000,000 and 100,000
func TestAStartDoesNotTakeLongerTheMoreIsStored(t *testing.T) {
	t.Parallel()
	messages, endpoints := 20_000, 20
	switch {
	case long():
		messages, endpoints = 1_000_000, 100
	case underRace:
		messages = 2000
	}
	dir := t.TempDir()
	s := newSmall(t, sqlite.Options{Dir: dir})
	for len(manyEndpoints(t, s)) < endpoints {
	}
	began := time.Now()
	fill(t, s, messages)
	t.Logf("stored %d messages in %v", messages, time.Since(began).Round(time.Millisecond))
	dir = abandoned(t, dir)
	runtime.GC()
	for _, name := range []string{"a kill", "a stop in good order"} {
		start := time.Now()
		db, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, Sealer: sealer(t, 1)})
		must(t, err)
		opened := time.Since(start)
		pending, err := db.Pending(t.Context())
		must(t, err)
		known := time.Since(start)
		work, _, err := db.Claim(t.Context(), pending[0].Endpoint, s.now, 0, 100)
		must(t, err)
		claimed := time.Since(start)
		c, err := db.Counts(t.Context())
		must(t, err)
		t.Logf("after %s, %d messages and %d pending deliveries: open %v, with Pending %v, with the first Claim %v",
			name, c.Messages, c.Pending, opened.Round(100*time.Microsecond), known.Round(100*time.Microsecond), claimed.Round(100*time.Microsecond))
		if c.Messages != int64(messages) || c.Pending != int64(messages/10) || len(work) == 0 || len(pending) != endpoints {
			t.Errorf("%+v, %d endpoints have work, %d pieces of it for the first", c, len(pending), len(work))
		}
		must(t, db.Close())
		if limit := mayTake(t); known > limit {
			t.Errorf("it took %v, want at most %v", known, limit)
		}
	}
}

// abandoned returns a folder with what a process that is killed now would leave behind. The store in the first folder
// must not be written to any more.
func abandoned(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.Link(filepath.Join(dir, "waypost.db"), filepath.Join(to, "waypost.db")))
	var log []byte
	for _, name := range []string{"waypost.journal", "waypost.db-wal"} {
		var err error
		log, err = os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(to, name), log, 0o600))
	}
	t.Logf("the log has %d MiB", len(log)>>20)
	return to
}

// manyEndpoints makes one more endpoint, for event types of its own, and returns all.
func manyEndpoints(t *testing.T, s *small) []hook.Endpoint {
	t.Helper()
	list, err := s.Endpoints(t.Context(), s.app.ID, store.Page{Limit: 250})
	must(t, err)
	if len(list.Items) == 1 { // the one that takes everything
		s.ep.EventTypes = []string{"type-0"}
		must(t, s.UpdateEndpoint(t.Context(), s.ep))
	}
	e := s.ep
	e.ID, e.EventTypes = hook.NewID[hook.EndpointID](s.ids, s.now), []string{fmt.Sprint("type-", len(list.Items))}
	must(t, s.CreateEndpoint(t.Context(), e))
	return append(list.Items, e)
}

// fill stores messages of a kibibyte, of which one in ten waits for its next attempt and the others are delivered.
func fill(t *testing.T, s *small, messages int) {
	t.Helper()
	list, err := s.Endpoints(t.Context(), s.app.ID, store.Page{Limit: 250})
	must(t, err)
	const batch = 2000
	payload := fmt.Appendf(nil, `{"fill":"%01000d"}`, 7)
	for done := 0; done < messages; {
		in := make([]hook.Accept, min(batch, messages-done))
		for i := range in {
			in[i] = s.new(fmt.Sprint(done + i))
			in[i].Message.EventType = fmt.Sprint("type-", (done+i)/10%len(list.Items))
			in[i].Message.Payload = payload
		}
		out, err := s.Accept(t.Context(), in)
		must(t, err)
		var outcomes []hook.Outcome
		for i := range out {
			if i%10 != 0 {
				outcomes = append(outcomes, s.outcome(out[i].Deliveries[0], hook.Success))
			}
		}
		must(t, s.Finish(t.Context(), outcomes))
		done += len(in)
		s.now = s.now.Add(time.Second)
	}
}

// The ids of messages grow over a restart too, and when the last message is gone.
func TestTheIDsOfMessagesGrowOverARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSmall(t, sqlite.Options{Dir: dir})
	early := s.new("early")
	s.now = s.now.Add(time.Minute)
	last := s.message(t).Message.ID
	must(t, s.DeleteEndpoint(t.Context(), s.app.ID, s.ep.ID, s.now))
	later := s.now.Add(time.Hour)
	if done, _, err := s.Sweep(t.Context(), store.Sweep{Now: later, Before: later}); err != nil || done.Messages != 1 {
		t.Fatalf("swept %+v, %v", done, err)
	}
	must(t, s.Close())
	s.DB = open(t, sqlite.Options{Dir: dir})
	out, err := s.Accept(t.Context(), []hook.Accept{early})
	must(t, err)
	if out[0].Message.ID <= last {
		t.Errorf("after %d comes %d", last, out[0].Message.ID)
	}
}
