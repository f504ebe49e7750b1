package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/simulate"
)

func keygenCommand(s Streams) *cobra.Command {
	var asJSON, quiet bool
	cmd := &cobra.Command{
		Use:   "keygen DIALECT | main-key | token",
		Short: "Make secrets and keys",
		Long: `Make what is needed to sign and to verify: for a dialect a matching set, the platform's half and the
receiver's; main-key is for WAYPOST_MAIN_KEY, token for WAYPOST_TOKEN. They are drawn from the system's random
source and are kept nowhere.`,
		Example: "  waypost keygen standard --quiet\n  waypost keygen alipay --json\n  export WAYPOST_TOKEN=$(waypost keygen token)",
		Args:    exactArgs("WHAT"),
		RunE: func(_ *cobra.Command, args []string) error {
			switch args[0] {
			case "main-key":
				_, err := fmt.Fprintln(s.Out, app.NewMainKey())
				return err
			case "token":
				_, err := fmt.Fprintln(s.Out, app.NewToken())
				return err
			}
			d, err := findDialect(args[0])
			if err != nil {
				return err
			}
			platform, receiver, err := simulate.Keys(d)
			if err != nil {
				return failed(err, "its platform gives the keys")
			}
			return printKeys(s, platform, receiver, asJSON, quiet)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "print the value alone, for dialects with one shared secret")
	return cmd
}

func printKeys(s Streams, platform, receiver dialect.Settings, asJSON, quiet bool) error {
	if quiet {
		if len(platform) != 1 {
			return misused("--quiet is for dialects with one shared secret; this one has %s", strings.Join(sortedKeys(platform), ", "))
		}
		for _, v := range platform {
			fmt.Fprintln(s.Out, v[0])
		}
		return nil
	}
	if asJSON {
		return json.NewEncoder(s.Out).Encode(map[string]map[string][]string{"sending": platform, "receiving": receiver})
	}
	for _, half := range []struct {
		title string
		s     dialect.Settings
	}{{"# settings of a source: who receives", receiver}, {"# settings of an endpoint: who sends", platform}} {
		fmt.Fprintln(s.Out, half.title)
		for _, name := range sortedKeys(half.s) {
			fmt.Fprintf(s.Out, "%s: %s\n", name, half.s.Get(name))
		}
	}
	return nil
}
