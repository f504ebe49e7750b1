package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/internal/app"
)

func serveCommand(s Streams) *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service",
		Long: `Run the service until it is told to stop (SIGTERM or Ctrl-C). Every flag may also be set in the
environment as WAYPOST_NAME, or in the file under its name with underscores. The organisation token
and the main key are set with WAYPOST_TOKEN and WAYPOST_MAIN_KEY; without them they are made at the
first start: the token is printed once, the key is kept in the data folder.`,
		Example: "  waypost serve --dev\n  waypost serve --config waypost.yaml --listen :8070",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.resolve(cmd, s); err != nil {
				return err
			}
			o := f.Options
			o.Announce, o.Version, o.Faults = s.Err, Version, s.faults
			err := app.Run(cmd.Context(), o)
			var config *app.ConfigError
			switch {
			case errors.As(err, &config):
				return &exitError{code: 2, err: fmt.Errorf("%s: %w", f.config, err)}
			case errors.Is(err, app.ErrStoreBroken):
				return failed(err, "look at the disk and at the kernel's messages (dmesg), then start it again: "+
					"it recovers what it had acknowledged from the disk")
			case err != nil:
				return failed(err, "")
			}
			return nil
		},
	}
	f.register(cmd.Flags())
	return cmd
}
