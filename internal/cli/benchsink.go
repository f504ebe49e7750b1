package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/proof"
)

// benchSinkCommand is the other process of a bench: the receiving service, and the bare handler to compare with.
func benchSinkCommand(s Streams) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "sink", Short: "The receiving process of a bench", Args: noArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := findDialect(name)
			if err != nil {
				return err
			}
			text, _ := s.Env("WAYPOST_BENCH_SETTINGS")
			var settings dialect.Settings
			if err := json.Unmarshal([]byte(text), &settings); err != nil {
				return misused("WAYPOST_BENCH_SETTINGS: %v", err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			sink := &proof.Sink{}
			mux := http.NewServeMux()
			mux.Handle("/deliver", sink)
			mux.HandleFunc("/bare", bareHandler(d, settings))
			mux.HandleFunc("/seen", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(sink.Seen()) })
			srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
			go func() {
				<-cmd.Context().Done()
				_ = srv.Close()
			}()
			fmt.Fprintf(s.Out, "sink http://%s\n", l.Addr())
			if err := srv.Serve(l); err != http.ErrServerClosed {
				return err
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "dialect", "", "dialect of the bare handler")
	return cmd
}

// bareHandler verifies and forgets.
func bareHandler(d *dialect.Dialect, settings dialect.Settings) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		got, err := d.Receive(settings, dialect.Inbound{Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, Body: body, Now: time.Now()})
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		write(w, d.Reply(settings, dialect.Outcome{Result: dialect.Stored, Received: &got}))
	}
}
