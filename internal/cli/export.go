package cli

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/internal/app"
)

func exportCommand(s Streams) *cobra.Command {
	var t target
	var asJSON bool
	var out string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write what a running server holds as a file for apply",
		Long: `Write event types, profiles, applications, sources with their doors (so that the URLs stay), and endpoints
of a running server as a file that apply and serve --config take. Messages, tokens and the operator's own endpoints are not
in it.

Secrets never leave the server by its API, not even for the organisation's token: the file has ${NAME} in their place, and
the names are listed. Put their values into the environment of whoever applies the file.`,
		Example: "  waypost export > waypost.yaml\n  waypost export --out waypost.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := t.client(s)
			if err != nil {
				return err
			}
			x, err := app.Export(cmd.Context(), c.declaring())
			if err != nil {
				return c.advised(err, "")
			}
			if asJSON {
				return json.NewEncoder(s.Out).Encode(map[string]any{"file": string(x.Text), "secrets": notNil(x.Secrets), "notes": notNil(x.Notes)})
			}
			if out != "" {
				if err := writeNew(out, x.Text); err != nil {
					return failed(err, "")
				}
			} else if _, err := s.Out.Write(x.Text); err != nil {
				return failed(err, "")
			}
			if len(x.Secrets) > 0 {
				fmt.Fprintf(s.Err, "%d secrets must be set in the environment before the file is applied:\n", len(x.Secrets))
			}
			for _, v := range x.Secrets {
				fmt.Fprintf(s.Err, "  %s   %s\n", v.Name, v.Where)
			}
			for _, n := range x.Notes {
				fmt.Fprintf(s.Err, "note: %s\n", n)
			}
			return nil
		},
	}
	t.registerServer(cmd.Flags())
	cmd.Flags().StringVar(&out, "out", "", "new `FILE` to write, instead of standard output")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the file, the secrets and the notes as JSON")
	return cmd
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.Write(text); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
