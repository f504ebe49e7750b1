package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/waypost/waypost/internal/app"
)

// connect is the server of a long connection, and waits for the receiver to come. leave ends both.
func (f *simulateFlags) connect(ctx context.Context, s Streams) (leave func(), err error) {
	if _, _, err := net.SplitHostPort(f.at); err != nil {
		return nil, misused("--at takes an address such as 127.0.0.1:8090, not %q", f.at)
	}
	// What a client does wrong before it is connected stands in the server's log, and nowhere else.
	log := slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p, err := app.NewLongConnPlatform(f.at, f.o.Settings, log)
	var busy *net.OpError
	switch {
	case errors.As(err, &busy):
		return nil, failed(err, "choose another address with --at")
	case err != nil:
		return nil, &exitError{2, err, "give settings as --set NAME=VALUE"}
	}
	leave = func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = p.Close(limited)
	}
	o := &f.o
	o.Dialect, o.Link, o.Slow, o.To = app.LongConnDialect(), p.Link(), nil, "ws://"+p.Addr()+"/websocket"
	fmt.Fprintf(s.Err, "waiting for the application %s to register at http://%s/websocket/register.do (no TLS; the Java client: setConnector(\"%s\", false))\n",
		o.Settings.Get("app_id"), p.Addr(), p.Addr())
	waiting, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	if err := p.Await(waiting); err != nil {
		leave()
		if ctx.Err() != nil {
			return nil, failed(errors.New("stopped before the receiver connected"), "")
		}
		return nil, failed(fmt.Errorf("nobody connected as %s within %s", o.Settings.Get("app_id"), f.wait),
			"refused tries are told above; a client needs the address of --at and the receiver's half of the keys")
	}
	return leave, nil
}
