package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func statsCommand(s Streams) *cobra.Command {
	var t target
	var appRef string
	var interval time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show how endpoints stand",
		Long: `Show each endpoint of one application, or of all: its state, how many messages of the last 28 days it got, waits
for, did not get, and had withdrawn; and, from two looks with some time between them, how many a second come in for it and are
delivered to it.`,
		Example: "  waypost stats\n  waypost stats --app shop-42 --interval 10s",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < 0 {
				return misused("--interval must not be negative")
			}
			c, err := t.client(s)
			if err != nil {
				return err
			}
			return stats(cmd.Context(), s, c, appRef, interval, asJSON)
		},
	}
	fs := cmd.Flags()
	t.registerServer(fs)
	fs.StringVar(&appRef, "app", "", "id or uid of one application; default all")
	fs.Var(span{&interval}, "interval", "time between the two looks; 0s = one look, no rates")
	_ = fs.Set("interval", "2s")
	fs.Lookup("interval").DefValue = "2s"
	fs.BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

// endpointStats is how an endpoint stands.
type endpointStats struct {
	App       string  `json:"app"`
	Endpoint  string  `json:"endpoint"`
	URL       string  `json:"url"`
	State     string  `json:"state"`
	Delivered int64   `json:"delivered"`
	Pending   int64   `json:"pending"`
	Failed    int64   `json:"failed"`
	Canceled  int64   `json:"canceled"`
	In        float64 `json:"inPerSecond"`
	Out       float64 `json:"outPerSecond"`

	path string
}

func (e *endpointStats) total() int64 { return e.Delivered + e.Pending + e.Failed + e.Canceled }

const unknownApplication = "there is no such application, or the token is of another one: ids and uids are case-sensitive"

func stats(ctx context.Context, s Streams, c *client, appRef string, interval time.Duration, asJSON bool) error {
	all, err := listEndpointStats(ctx, c, appRef)
	if err != nil {
		return c.advised(err, unknownApplication)
	}
	began := time.Now()
	if err := look(ctx, c, all); err != nil {
		return c.advised(err, unknownApplication)
	}
	if interval > 0 && len(all) > 0 {
		before := append([]endpointStats(nil), all...)
		if err := wait(ctx, interval); err != nil {
			return failed(err, "")
		}
		passed := time.Since(began).Seconds()
		if err := look(ctx, c, all); err != nil {
			return c.advised(err, unknownApplication)
		}
		for i := range all {
			all[i].In = float64(max(all[i].total()-before[i].total(), 0)) / passed
			all[i].Out = float64(max(all[i].Delivered-before[i].Delivered, 0)) / passed
		}
	}
	if asJSON {
		return json.NewEncoder(s.Out).Encode(map[string]any{"endpoints": notNil(all)})
	}
	return printStats(s, all, interval > 0)
}

func listEndpointStats(ctx context.Context, c *client, appRef string) ([]endpointStats, error) {
	apps, err := theApplications(ctx, c, appRef)
	if err != nil {
		return nil, err
	}
	var all []endpointStats
	for _, a := range apps {
		list, err := listAll[endpointState](ctx, c, "/app/"+a.ID+"/endpoint")
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			all = append(all, endpointStats{
				App: a.name(), Endpoint: e.name(), URL: e.URL, State: e.state(), path: "/app/" + a.ID + "/endpoint/" + e.ID + "/stats",
			})
		}
	}
	return all, nil
}

// look fills in the counts.
func look(ctx context.Context, c *client, all []endpointStats) error {
	for i := range all {
		var n struct{ Success, Pending, Fail, Canceled int64 }
		if err := c.call(ctx, http.MethodGet, all[i].path, nil, &n); err != nil {
			return err
		}
		all[i].Delivered, all[i].Pending, all[i].Failed, all[i].Canceled = n.Success, n.Pending, n.Fail, n.Canceled
	}
	return nil
}

func printStats(s Streams, all []endpointStats, rates bool) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	head := "application\tendpoint\tstate\tdelivered\tpending\tfailed\tcanceled"
	if rates {
		head += "\tin/s\tout/s"
	}
	fmt.Fprintln(w, head)
	sum := endpointStats{App: "all"}
	row := func(e *endpointStats) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d", e.App, e.Endpoint, e.State, e.Delivered, e.Pending, e.Failed, e.Canceled)
		if rates {
			fmt.Fprintf(w, "\t%.1f\t%.1f", e.In, e.Out)
		}
		fmt.Fprintln(w)
	}
	for i := range all {
		e := &all[i]
		row(e)
		sum.Delivered, sum.Pending, sum.Failed, sum.Canceled = sum.Delivered+e.Delivered, sum.Pending+e.Pending, sum.Failed+e.Failed, sum.Canceled+e.Canceled
		sum.In, sum.Out = sum.In+e.In, sum.Out+e.Out
	}
	if len(all) != 1 {
		sum.Endpoint = fmt.Sprint(len(all))
		row(&sum)
	}
	return w.Flush()
}

// application is what commands need of one.
type application struct{ ID, UID string }

func (a application) name() string { return orID(a.UID, a.ID) }

func orID(uid, id string) string {
	if uid != "" {
		return uid
	}
	return id
}

// theApplications are the one that is asked for, or all.
func theApplications(ctx context.Context, c *client, ref string) ([]application, error) {
	if ref == "" {
		return listAll[application](ctx, c, "/app")
	}
	var a application
	err := c.call(ctx, http.MethodGet, "/app/"+url.PathEscape(ref), nil, &a)
	return []application{a}, err
}

// endpointState is what commands need of an endpoint.
type endpointState struct {
	ID, UID, URL, Transport           string
	Disabled, Paused, RequireVerified bool
	DisabledReason                    string
	FailingSince                      *time.Time
	Verification                      struct{ State string }
}

func (e endpointState) name() string { return orID(e.UID, e.ID) }

func (e endpointState) state() string {
	switch {
	case e.Disabled && e.DisabledReason != "":
		return "disabled: " + e.DisabledReason
	case e.Disabled:
		return "disabled"
	case e.Transport == "poll":
		return "polled"
	case e.RequireVerified && e.Verification.State != "verified":
		return "not verified"
	case e.Paused:
		return "paused"
	case e.FailingSince != nil:
		return "failing since " + e.FailingSince.UTC().Format(time.RFC3339)
	}
	return "ok"
}
