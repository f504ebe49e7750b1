package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/dialect"
)

func recoverCommand(s Streams) *cobra.Command {
	var t target
	var r recovery
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Send again what an endpoint did not get",
		Long: `Send an endpoint again every message since a moment that was given up; with --missing, every one that matches the
endpoint and was never sent to it. The server does it in the background: the command follows it until it is done, and
Ctrl-C ends the following alone.`,
		Example: "  waypost recover --app shop-42 --endpoint main --since 6h\n  waypost recover --app shop-42 --endpoint main --since 2026-11-22T08:00:00Z --until 2026-11-22T12:00:00Z --missing",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.app == "" || r.endpoint == "" || r.since == "" {
				return misused("--app, --endpoint and --since are needed")
			}
			now := time.Now()
			since, err := moment("--since", r.since, now)
			if err != nil {
				return err
			}
			body := map[string]any{"since": since}
			if r.until != "" {
				if body["until"], err = moment("--until", r.until, now); err != nil {
					return err
				}
			}
			c, err := t.client(s)
			if err != nil {
				return err
			}
			return r.run(cmd.Context(), s, c, body)
		},
	}
	fs := cmd.Flags()
	t.registerServer(fs)
	fs.StringVar(&r.app, "app", "", "id or uid of the application")
	fs.StringVar(&r.endpoint, "endpoint", "", "id or uid of the endpoint")
	fs.StringVar(&r.since, "since", "", "from when on: a `MOMENT` as 2026-11-22T08:00:00Z, or how long ago, as 90m or 7d; at most 14 days")
	fs.StringVar(&r.until, "until", "", "up to which `MOMENT`, likewise; default now")
	fs.BoolVar(&r.missing, "missing", false, "what was never sent to the endpoint, instead of what was given up")
	fs.BoolVar(&r.asJSON, "json", false, "print the result as JSON")
	return cmd
}

type recovery struct {
	app, endpoint, since, until string
	missing, asJSON             bool
}

// backgroundTask is how far a server is with a task.
type backgroundTask struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Task   string `json:"task"`
	Data   struct {
		Looked int64  `json:"looked"`
		Done   int64  `json:"done"`
		Reason string `json:"reason,omitempty"`
	} `json:"data"`
}

func (r *recovery) run(ctx context.Context, s Streams, c *client, body map[string]any) error {
	kind := "recover"
	if r.missing {
		kind = "replay-missing"
	}
	var task backgroundTask
	path := "/app/" + url.PathEscape(r.app) + "/endpoint/" + url.PathEscape(r.endpoint) + "/" + kind
	if err := c.call(ctx, http.MethodPost, path, body, &task); err != nil {
		return c.advised(err, "the application or the endpoint is not there: ids and uids are case-sensitive")
	}
	p := progress{w: s.Err, terminal: isTerminal(s.Err)}
	task, err := follow(ctx, c, task, &p)
	p.end()
	if ctx.Err() != nil {
		return failed(fmt.Errorf("no longer following: the server goes on with task %s", task.ID), "GET /api/v1/background-task/"+task.ID+" says how far it is")
	}
	if err != nil {
		return c.advised(fmt.Errorf("following task %s, with which the server may go on: %w", task.ID, err), "")
	}
	if r.asJSON {
		if err := json.NewEncoder(s.Out).Encode(task); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(s.Out, "%s: %d messages looked at, %d are sent again\n", task.Status, task.Data.Looked, task.Data.Done)
	}
	if task.Status == "failed" {
		return failed(errors.New("the task failed: "+task.Data.Reason), "mend that and start it again: what was sent already is found delivered, and not sent twice")
	}
	return nil
}

// followEvery is the time between two looks at a task, followLost how long a server may not answer meanwhile.
const (
	followEvery = 300 * time.Millisecond
	followLost  = time.Minute
)

// follow waits until a task has ended. A server that restarts meanwhile goes on with it.
func follow(ctx context.Context, c *client, task backgroundTask, p *progress) (backgroundTask, error) {
	answered := time.Now()
	for task.Status == "running" {
		if err := wait(ctx, followEvery); err != nil {
			return task, err
		}
		next := task
		switch err := c.call(ctx, http.MethodGet, "/background-task/"+url.PathEscape(task.ID), nil, &next); {
		case err == nil:
			task, answered = next, time.Now()
			p.tell("%d messages looked at, %d are sent again", task.Data.Looked, task.Data.Done)
		case !passing(err) || time.Since(answered) > followLost:
			return task, err
		}
	}
	return task, nil
}

// moment reads a moment, or how long it is ago.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	ago, err := dialect.ParseDuration(text)
	if err != nil || ago < 0 {
		return time.Time{}, misused("%s takes a moment such as 2026-11-22T08:00:00Z, or how long ago it is, as 90m or 7d, not %q", flag, text)
	}
	return now.Add(-ago), nil
}

// progress shows how far something is: in one line on a terminal, in a line a second elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	shown    time.Time
	open     bool // a line of a terminal is not ended
}

func (p *progress) tell(format string, args ...any) {
	switch line := fmt.Sprintf(format, args...); {
	case p.terminal:
		fmt.Fprintf(p.w, "\r\033[K%s", line)
		p.open = true
	case time.Since(p.shown) >= progressEvery:
		p.shown = time.Now()
		fmt.Fprintln(p.w, line)
	}
}

func (p *progress) end() {
	if p.open {
		fmt.Fprintln(p.w)
		p.open = false
	}
}
