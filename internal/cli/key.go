package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/internal/app"
)

func keyCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Rotate the main key, under which stored secrets are sealed",
		Args:  subcommand, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Example: "  waypost key rotate\n  waypost key status",
	}
	cmd.AddCommand(keyRotate(s), keyStatus(s))
	return cmd
}

func keyRotate(s Streams) *cobra.Command {
	var t target
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the main key and seal every stored secret anew",
		Long: `Replace the main key of a running server (or, with --data, of a stopped one) and seal every stored secret
anew. The server serves all the while; a rotation that is interrupted goes on with the next start, or with this
command. When it is done main.key holds the new key, and the earlier one opens nothing any more.

Backups that were made before need the earlier key, and Waypost keeps it nowhere: copy main.key to where you keep
keys before you rotate it, and the new one afterwards.

A key that stands in WAYPOST_MAIN_KEY cannot be changed from here: start the server with the new key in
WAYPOST_MAIN_KEY and the earlier one in WAYPOST_MAIN_KEY_OLD; it rotates while it serves. On a stopped server this
command does it with the same two variables.`,
		Example: "  waypost key rotate\n  waypost key rotate --data waypost-data   while the server is stopped",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p := &keyProgress{w: s.Err}
			if t.data != "" {
				if err := app.RotateMainKey(cmd.Context(), t.options(s), p.tell); err != nil {
					return failed(err, "")
				}
				now := time.Now()
				k := keyState{State: "steady", Resealed: p.done, Total: p.total, EndedAt: &now}
				return k.print(s, asJSON)
			}
			c, err := t.client(s)
			if err != nil {
				return err
			}
			if err := c.call(cmd.Context(), http.MethodPost, "/main-key/rotate", nil, nil); err != nil {
				return failed(err, "")
			}
			k, err := awaitKey(cmd.Context(), c, p)
			if err != nil {
				return err
			}
			return k.print(s, asJSON)
		},
	}
	t.register(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "the result as JSON")
	return cmd
}

func keyStatus(s Streams) *cobra.Command {
	var t target
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Tell whether a rotation of the main key is under way", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := t.client(s)
			if err != nil {
				return err
			}
			var k keyState
			if err := c.call(cmd.Context(), http.MethodGet, "/main-key", nil, &k); err != nil {
				return failed(err, "")
			}
			return k.print(s, asJSON)
		},
	}
	t.registerServer(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// keyState is what a server says of its main key.
type keyState struct {
	Source    string     `json:"source,omitempty"`
	State     string     `json:"state"`
	Resealed  int64      `json:"resealed"`
	Total     int64      `json:"total"`
	StartedAt *time.Time `json:"startedAt,omitempty"`
	EndedAt   *time.Time `json:"endedAt,omitempty"`
	Problem   string     `json:"problem,omitempty"`
}

func (k keyState) print(s Streams, asJSON bool) (err error) {
	switch {
	case asJSON:
		err = json.NewEncoder(s.Out).Encode(k)
	case k.State == "steady" && k.EndedAt != nil:
		_, err = fmt.Fprintf(s.Out, "the main key is rotated: %d values are sealed anew; keep a copy of the new key apart from the data\n", k.Resealed)
	case k.State == "steady":
		_, err = fmt.Fprintln(s.Out, "no rotation of the main key is under way")
	case k.State == "rotating":
		_, err = fmt.Fprintf(s.Out, "a rotation of the main key is under way: %d of %d values\n", k.Resealed, k.Total)
	default:
		_, err = fmt.Fprintf(s.Out, "a rotation of the main key was interrupted: %s\n", k.Problem)
	}
	return err
}

// awaitKey waits until a server has ended a rotation. Ctrl-C ends the waiting alone.
func awaitKey(ctx context.Context, c *client, p *keyProgress) (k keyState, err error) {
	for {
		if err := c.call(ctx, http.MethodGet, "/main-key", nil, &k); err != nil {
			return k, failed(err, "the rotation goes on in the server, or with its next start: waypost key status")
		}
		switch k.State {
		case "steady":
			return k, nil
		case "interrupted":
			return k, failed(errors.New("the rotation was interrupted: "+k.Problem), "")
		}
		p.tell(k.Resealed, k.Total)
		if err := wait(ctx, 200*time.Millisecond); err != nil {
			return k, failed(err, "the rotation goes on in the server: waypost key status")
		}
	}
}

// keyProgress prints a line a second.
type keyProgress struct {
	w           io.Writer
	shown       time.Time
	done, total int64
}

func (p *keyProgress) tell(done, total int64) {
	p.done, p.total = done, total
	if time.Since(p.shown) < progressEvery {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.w, "%d of %d values sealed anew\n", done, total)
}
