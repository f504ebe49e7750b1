package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

// history is what is remembered beside a store that was filled, so that it can be used again.
type history struct {
	Stored    int              `json:"stored"`
	Sending   dialect.Settings `json:"sending"`
	Receiving dialect.Settings `json:"receiving"`
	Path      string           `json:"path"` // of the source that is measured
}

const (
	historyFile = "bench.json"
	fillLimit   = time.Minute
	// historyJob is the job in the marks of the stored messages; no turn has it.
	historyJob = 1<<32 - 1
	backlog    = "backlog" // the application that owns the history; all of it is pending for its one endpoint, which is paused
)

// setUpStored measures the same way again in a store with a history.
func setUpStored(ctx context.Context, b *Bench) ([]turn, error) {
	folder, err := b.historyFolder()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(folder, historyFile))
	if errors.Is(err, os.ErrNotExist) {
		if err := b.makeHistory(ctx, folder); err != nil {
			return nil, err
		}
		text, err = os.ReadFile(filepath.Join(folder, historyFile))
	}
	var h history
	if err == nil {
		err = json.Unmarshal(text, &h)
	}
	if err != nil {
		return nil, err
	}
	s, err := b.startServer(ctx, "stored", folder)
	if err != nil {
		return nil, err
	}
	for app, settings := range map[string]map[string]any{"bench": {}, backlog: {"paused": true}} {
		settings["url"] = b.sink.url + "/d/0"
		if err := s.call(ctx, http.MethodPatch, "/app/"+app+"/endpoint/out0", settings, nil); err != nil {
			return nil, err
		}
	}
	b.report.Stored = h.Stored
	j := b.push(s.url + h.Path)
	j.Sending = h.Sending
	return []turn{{name: "stored", title: fmt.Sprintf("end to end, %s stored", thousands(h.Stored)), job: j, of: ofServer(s)}}, nil
}

// historyFolder is where the store with a history is: what Large builds is kept.
func (b *Bench) historyFolder() (string, error) {
	if !b.Large {
		return filepath.Join(b.folder, "stored"), nil
	}
	root := b.Folder
	if root == "" {
		var err error
		if root, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("name the folder for the large store with --folder: %w", err)
		}
	}
	return filepath.Join(root, fmt.Sprintf("waypost-bench-%s-%d", b.Dialect, b.Stored)), nil
}

// makeHistory fills a store. It gets its name when it is whole.
func (b *Bench) makeHistory(ctx context.Context, folder string) error {
	part := folder + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.MkdirAll(part, 0o700); err != nil {
		return err
	}
	b.undo.push(func() error { return os.RemoveAll(part) }) // unless it was renamed
	if err := hasRoom(part, b.Stored); err != nil {
		return err
	}
	s, err := b.startServer(ctx, "filling", part)
	if err != nil {
		return err
	}
	waiting := b.endpoint("/d/0")
	waiting["paused"] = true
	_, err = b.application(ctx, s, backlog, b.dialect, b.receiving, waiting)
	if err != nil {
		return err
	}
	door, err := b.application(ctx, s, "bench", b.dialect, b.receiving, b.endpoint("/d/0"))
	if err != nil {
		return err
	}
	if err := stop(s.Process); err != nil {
		return err
	}
	began := time.Now()
	filling := Filling{App: backlog, Source: "in", Count: b.Stored, Make: b.historic(), Progress: func(done int) {
		if done%100_000 == 0 {
			b.say("stored %s messages in %s", thousands(done), time.Since(began).Round(time.Second))
		}
	}}
	if !b.Large {
		filling.Limit = fillLimit
	}
	stored, err := b.Fill(ctx, part, filling)
	if err != nil {
		return err
	}
	text, err := json.Marshal(history{stored, b.sending, b.receiving, strings.TrimPrefix(door, s.url)})
	if err == nil {
		err = os.WriteFile(filepath.Join(part, historyFile), text, 0o600)
	}
	if err != nil {
		return err
	}
	return os.Rename(part, folder)
}

// historic makes messages as the front door would store them.
func (b *Bench) historic() func(n int) hook.Accept {
	varied := newBodies(1, b.dialect.Examples, 0)
	keep := b.dialect.Policy(b.receiving).DedupFor
	return func(n int) hook.Accept {
		e := varied.next(historyJob, n)
		req, err := varied.sign(b.dialect, b.sending, e)
		if err != nil {
			return hook.Accept{Message: hook.Message{EventType: e.EventType, Payload: e.Payload}}
		}
		got, err := b.dialect.Receive(b.receiving, dialect.Inbound{Method: req.Method, Query: req.Query, Header: req.Header, Body: req.Body, Now: time.Now()})
		if err != nil {
			got = dialect.Received{EventType: e.EventType, Payload: e.Payload, DedupKey: mark(historyJob, n)}
		}
		return hook.Accept{
			Message: hook.Message{
				EventType: got.EventType, EventID: got.EventID, Payload: got.Payload, Platform: got.Platform,
				Raw: &hook.Raw{Method: req.Method, Query: req.Query, Header: req.Header, Body: req.Body},
			},
			Dedup: hook.Dedup{Scope: b.dialect.Name + "/" + backlog, Key: got.DedupKey, Keep: keep},
		}
	}
}

// finishStored kills the server with everything pending and sees how soon it delivers again, and what memory that takes.
func finishStored(ctx context.Context, b *Bench) error {
	s := b.servers["stored"]
	if memory, ok := s.Memory(); ok {
		b.report.figure("memoryWaiting", mib(memory))
	}
	resume := map[string]any{"paused": false, "throttleRate": min(2000, max(1, b.report.Stored/10))} // so that a backlog is left
	if err := s.call(ctx, http.MethodPatch, "/app/"+backlog+"/endpoint/out0", resume, nil); err != nil {
		return err
	}
	if err := s.Kill(); err != nil {
		return err
	}
	if err := call(ctx, http.MethodPost, b.sink.url+"/expect?job=0&count=0&endpoints=1", "", nil, nil); err != nil {
		return err
	}
	began := time.Now()
	again, err := b.startServer(ctx, "stored", s.folder)
	if err != nil {
		return err
	}
	b.report.figure("ready", time.Since(began).Seconds())
	var highest int64
	for first := int64(0); time.Since(began) < b.recoveryFor() || first == 0; {
		var seen Seen
		if err := call(ctx, http.MethodGet, b.sink.url+"/seen", "", nil, &seen); err != nil {
			return err
		}
		if first == 0 && seen.First != 0 {
			first = seen.First
			b.report.figure("recovery", time.Unix(0, first).Sub(began).Seconds())
		}
		if memory, ok := again.Memory(); ok {
			highest = max(highest, memory)
		}
		if first == 0 && time.Since(began) > time.Minute {
			return fmt.Errorf("nothing was delivered within a minute of the restart; if earlier runs have delivered all of it, remove %s", s.folder)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	b.report.figure("memoryPending", mib(highest))
	return again.call(ctx, http.MethodPatch, "/app/"+backlog+"/endpoint/out0", map[string]any{"paused": true}, nil)
}

// recoveryFor is how long memory is watched after the restart, while the backlog is delivered.
func (b *Bench) recoveryFor() time.Duration {
	if b.Quick {
		return time.Second
	}
	return 10 * time.Second
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// thousands writes a number with commas.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
