package cli

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/app"
	"github.com/waypost/waypost/internal/bench"
	"github.com/waypost/waypost/internal/lean"
	"github.com/waypost/waypost/internal/simulate"
)

// benchPartCommand is one process of a bench. It ends with the process that started it, however that one ended.
func benchPartCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "part", Short: "One process of a bench", Hidden: true, RunE: subcommand, Args: cobra.ArbitraryArgs}
	serve := serveCommand(s)
	serve.Use = "server"
	run := serve.RunE
	serve.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := whileParentLives(cmd.Context())
		defer stop()
		cmd.SetContext(ctx)
		return run(cmd, args)
	}
	cmd.AddCommand(serve,
		benchHandlerCommand(s, "loader", func(context.Context) (http.Handler, error) {
			return (&bench.Loader{Dialects: app.Dialects()}).Handler(), nil
		}),
		benchHandlerCommand(s, "sink", func(context.Context) (http.Handler, error) { return (&bench.Sink{}).Handler(), nil }),
		benchHopCommand(s, "proxy", func(_ context.Context, h bench.Hop, _ *dialect.Dialect) (http.Handler, error) {
			return bench.ReverseProxy(h.To)
		}),
		benchHopCommand(s, "handler", func(_ context.Context, h bench.Hop, d *dialect.Dialect) (http.Handler, error) {
			return bench.BareHandler(d, h.Receiving), nil
		}),
		benchHopCommand(s, "pipe", func(ctx context.Context, h bench.Hop, d *dialect.Dialect) (http.Handler, error) {
			out, err := findDialect("standard")
			if err != nil {
				return nil, err
			}
			signing, _, err := simulate.Keys(out)
			if err != nil {
				return nil, err
			}
			return bench.NewPipe(ctx, d, out, h.Receiving, signing, h.To+"/d/0")
		}),
	)
	return cmd
}

// benchHopCommand is a process between load and sink.
func benchHopCommand(s Streams, role string, handler func(context.Context, bench.Hop, *dialect.Dialect) (http.Handler, error)) *cobra.Command {
	return benchHandlerCommand(s, role, func(ctx context.Context) (http.Handler, error) {
		text, _ := s.Env(bench.HopVariable)
		h, err := bench.ReadHop(text)
		if err != nil {
			return nil, err
		}
		d, err := findDialect(h.Dialect)
		if err != nil {
			return nil, err
		}
		return handler(ctx, h, d)
	})
}

// benchHandlerCommand serves one handler on a free port, which it prints.
func benchHandlerCommand(s Streams, role string, handler func(context.Context) (http.Handler, error)) *cobra.Command {
	return &cobra.Command{
		Use: role, Short: "A process of a bench", Args: noArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := whileParentLives(cmd.Context())
			defer stop()
			h, err := handler(ctx)
			if err != nil {
				return err
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			var srv interface {
				Serve(net.Listener) error
				Close() error
			} = &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
			if role == "pipe" { // it has all of Waypost's own way but the store
				srv = lean.New(srv.(*http.Server))
			}
			done := context.AfterFunc(ctx, func() { _ = srv.Close() })
			defer done()
			fmt.Fprintf(s.Out, "%shttp://%s\n", bench.PartLine, l.Addr())
			if err := srv.Serve(l); err != http.ErrServerClosed {
				return err
			}
			return nil
		},
	}
}

// whileParentLives ends the context when the process that started this one is gone.
func whileParentLives(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	parent := os.Getppid()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(500 * time.Millisecond):
				if os.Getppid() != parent {
					cancel()
				}
			}
		}
	}()
	return ctx, cancel
}
