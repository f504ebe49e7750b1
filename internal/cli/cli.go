// Package cli owns the commands of the waypost binary: one file a command, each a thin layer over the parts below.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/internal/app"
)

// Version is the release that this binary was built from; the release build sets it.
var Version = "0.1.0-dev"

// Streams are what a command reads, writes and knows of its surroundings.
type Streams struct {
	In  io.Reader
	Out io.Writer // results
	Err io.Writer // progress, warnings and errors
	Env func(string) (string, bool)

	faults app.Faults // for tests of the tests: only the test binary sets them
}

// Main runs the command line and returns the exit code: 0 done, 1 failed, 2 wrong usage, 3 a check said no, 4 this
// machine cannot do it (selftest).
func Main(ctx context.Context, args []string, s Streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	var code *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		if code.err != nil {
			fmt.Fprintf(s.Err, "waypost: %v\n", code.err)
		}
		if code.hint != "" {
			fmt.Fprintf(s.Err, "hint: %s\n", code.hint)
		}
		return code.code
	}
	// What is left are the complaints of the command line's own library, such as an unknown command.
	fmt.Fprintf(s.Err, "waypost: %v\nhint: waypost --help lists the commands\n", err)
	return 2
}

// OSStreams are the process's own.
func OSStreams() Streams {
	return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.LookupEnv}
}

// exitError carries an exit code and a hint to Main.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprint("exit code ", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// failed is an error with advice.
func failed(err error, hint string) error { return &exitError{1, err, hint} }

// misused is an error of the command line itself.
func misused(format string, args ...any) error {
	return &exitError{2, fmt.Errorf(format, args...), "waypost COMMAND --help shows flags and examples"}
}

// saidNo ends a command whose work was done and whose answer is no; what is wrong has been printed.
func saidNo() error { return &exitError{code: 3} }

func newRoot(s Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "waypost",
		Short: "Receives and sends the messages of open platforms, and loses none",
		Long: `Waypost (驿站) is the message service of an open platform and the receiving station for everybody
else's: it receives the pushes of PandaPon, Douyin, Alipay, Yunzhimeng and others in their own
protocols, stores them before it acknowledges them, and delivers them to your services; and it sends
as those platforms do.`,
		Example:       "  waypost demo            everything at once, with no set-up\n  waypost serve --dev     a server on this laptop",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       Version,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misused("%v", err) })
	root.AddCommand(
		serveCommand(s), demoCommand(s), simulateCommand(s), verifyCommand(s), signCommand(s),
		keygenCommand(s), keyCommand(s), tokenCommand(s), applyCommand(s), exportCommand(s), migrateCommand(s), backupCommand(s),
		resendCommand(s), recoverCommand(s), tailCommand(s), listenCommand(s), explainCommand(s), statsCommand(s), benchCommand(s), selftestCommand(s), versionCommand(s),
	)
	return root
}

// subcommand is for commands that only group others.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return misused("%s has no command %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// noArgs and exactArgs give cobra's complaints the exit code of wrong usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return misused("%s takes no argument, but got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return misused("%s takes %d argument(s): %v", cmd.CommandPath(), len(names), names)
		}
		return nil
	}
}
