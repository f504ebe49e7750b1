// Command waypost receives and sends the messages of open platforms.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/waypost/waypost/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cli.Main(ctx, os.Args[1:], cli.OSStreams()))
}
