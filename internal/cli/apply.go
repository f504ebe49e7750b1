package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/waypost/waypost/internal/app"
)

func applyCommand(s Streams) *cobra.Command {
	var t target
	var o app.ApplyOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make a running server be as a file declares it",
		Long: `Create and change event types, profiles, applications, sources and endpoints of a running server as a
file declares them: the same file that serve takes with --config, whose options of the server itself are not looked at.
${NAME} stands for a variable of this command's environment. Things are found by their uid; what is missing is created,
what is there is overwritten and marked managed. Nothing is removed unless --prune says so, and then only what an earlier
file made. What differs is shown; secrets cannot be compared and are always written again.

The command ends at the first thing that the server refuses. What was written until then stays: mend the file and apply it
again.`,
		Example: "  waypost apply waypost.yaml --dry-run\n  waypost apply waypost.yaml --prune\n  waypost export | waypost apply - --server http://other:8071",
		Args:    exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "-" && t.tokenFile == "-" {
				return misused("only one of the file and the token can come from standard input")
			}
			c, err := t.client(s)
			if err != nil {
				return err
			}
			declared, err := readDeclared(s, args[0])
			if err != nil {
				return err
			}
			return apply(cmd.Context(), s, c, args[0], declared, o, asJSON)
		},
	}
	fs := cmd.Flags()
	t.registerServer(fs)
	fs.BoolVar(&o.DryRun, "dry-run", false, "show what would be done, and do nothing; what the server would refuse is not found out")
	fs.BoolVar(&o.Prune, "prune", false, "delete what an earlier file made and this one does not name")
	fs.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

// readDeclared reads what a configuration file declares. The options of a server may stand in it too.
func readDeclared(s Streams, path string) (app.Declared, error) {
	text, err := readInput(s, path)
	if err != nil {
		return app.Declared{}, &exitError{code: 2, err: err}
	}
	var options []string
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(serverFlags).register(fs)
	fs.VisitAll(func(f *pflag.Flag) { options = append(options, f.Name) })
	name := path
	if path == "-" {
		name = "standard input"
	}
	file, err := app.ParseFile(name, text, options, s.Env)
	if err != nil {
		return app.Declared{}, &exitError{code: 2, err: err}
	}
	return file.Declared, nil
}

func apply(ctx context.Context, s Streams, c *client, name string, declared app.Declared, o app.ApplyOptions, asJSON bool) error {
	if declared.Empty() && !o.Prune {
		return misused("the file declares nothing: no event_types, profiles or applications")
	}
	done := []app.Declares{}
	count := map[string]int{}
	o.Told = func(d app.Declares) {
		done = append(done, d)
		count[d.Action]++
		if !asJSON {
			fmt.Fprintln(s.Out, declaresLine(d))
		}
	}
	err := app.Apply(ctx, c.declaring(), declared, o)
	if asJSON {
		err = errors.Join(json.NewEncoder(s.Out).Encode(map[string]any{"dryRun": o.DryRun, "complete": err == nil, "actions": done}), err)
	} else if err == nil {
		verb := ""
		if o.DryRun {
			verb = "would be "
		}
		fmt.Fprintf(s.Out, "%d %screated, %d %schanged, %d as declared, %d %sdeleted\n",
			count["create"], verb, count["change"], verb, count["keep"], count["delete"], verb)
	}
	var config *app.ConfigError
	if errors.As(err, &config) {
		return &exitError{code: 2, err: fmt.Errorf("%s: %w", name, config), hint: "what was written before this stays; mend the file and apply it again"}
	}
	return c.advised(err, "")
}

func declaresLine(d app.Declares) string {
	line := fmt.Sprintf("%-6s %s", d.Action, d.Name)
	if len(d.Changes) > 0 {
		line += ": " + strings.Join(d.Changes, ", ")
	}
	if d.Secrets {
		line += " (secrets are written again)"
	}
	return line
}

// declaring makes requests whose writes the server marks as managed. A refusal because of the token is an error of its own:
// it is not the file's fault.
func (c *client) declaring() app.Request {
	header := http.Header{app.DeclaringHeader: {"true"}}
	return func(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
		status, answer, err := c.request(ctx, method, path, body, header)
		if err == nil && (status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests) {
			err = &refusal{method + " " + path, status, string(answer)}
		}
		return status, answer, err
	}
}
