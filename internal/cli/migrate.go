package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/internal/app"
)

func migrateCommand(s Streams) *cobra.Command {
	var t target
	var dryRun, asJSON bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the store of a stopped server to this version's schema",
		Long: `Bring the store of a stopped server to the schema of this version. serve does the same when it starts; this
command does it before, so that the start takes no longer than usual. Each step is one transaction: a crash in the middle leaves
the schema before or after it, and the next run goes on. There is no way back but a backup made before. A store that a newer
version has written is left alone.`,
		Example: "  waypost backup --data waypost-data before.db && waypost migrate --data waypost-data\n  waypost migrate --data waypost-data --dry-run",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if t.data == "" {
				return misused("--data is needed: the folder of the stopped server")
			}
			o := t.options(s)
			o.Faults = s.faults
			m, err := app.Migrate(cmd.Context(), o, dryRun)
			if err != nil {
				return failed(err, "")
			}
			if asJSON {
				return json.NewEncoder(s.Out).Encode(map[string]any{"from": m.From, "to": m.To, "steps": notNil(m.Steps), "dryRun": dryRun})
			}
			verb := "done"
			if dryRun {
				verb = "would run"
			}
			for _, step := range m.Steps {
				fmt.Fprintf(s.Out, "%s: %s\n", verb, step)
			}
			if m.From == m.To {
				_, err = fmt.Fprintf(s.Out, "schema %d: up to date\n", m.To)
			} else {
				_, err = fmt.Fprintf(s.Out, "schema %d → %d\n", m.From, m.To)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&t.data, "data", "", "data `FOLDER` of the stopped server")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be done, and do nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}
