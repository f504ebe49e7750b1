package app

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/simulate"
)

// TestEveryPlatformsHabitsAreBorne lets the simulator of each platform do its worst to a running server: not even a
// warning may come out of it, and each message must be stored once.
func TestEveryPlatformsHabitsAreBorne(t *testing.T) {
	t.Parallel()
	for name, d := range Dialects() {
		if d.Sign == nil || d.Receive == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			platform, ours, err := simulate.RotatingKeys(d)
			if err != nil {
				t.Fatal(err)
			}
			// The platform's deadline is not what is asked here: a busy machine gets its time.
			platform = maps.Clone(platform)
			platform["deadline"] = []string{"1m"}
			a, _ := started(t, t.TempDir(), "")
			a.post(t, "/app", map[string]any{"uid": "erp", "name": "erp"}, nil)
			var source struct{ Path string }
			a.post(t, "/app/erp/source", map[string]any{"uid": "in", "dialect": name, "settings": ours}, &source)

			options := egress.Options{AllowLoopback: true}
			client, slow := egress.New(options), simulate.NewSlow(options)
			defer client.Close()
			defer slow.Close()
			o := simulate.Options{
				Dialect: d, Settings: platform, To: "http://" + a.PublicAddr() + source.Path, Client: client, Slow: slow,
				Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Speed: 1000, Handshake: true,
				Habits: []string{simulate.AllHabits},
				Probe:  func(context.Context) (int, error) { return a.stored(t, name), nil },
			}
			if len(d.Examples) == 0 {
				o.Events = []dialect.Example{{EventType: "spi", Payload: []byte(`{"order_id":"100000000000000001"}`)}}
			}
			report, err := simulate.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range report.Findings {
				if f.Level != simulate.LevelNote {
					t.Errorf("%+v", f)
				}
			}
			if !report.Passed || report.Totals.Acknowledged == 0 {
				t.Errorf("passed %v, %+v", report.Passed, report.Totals)
			}
		})
	}
}

// stored is how many messages of a platform the server has stored, by its own metrics.
func (a *App) stored(t *testing.T, platform string) int {
	t.Helper()
	head := fmt.Sprintf("waypost_pushes_total{dialect=%q,result=\"stored\"} ", platform)
	for line := range strings.Lines(a.get(t, "/metrics", nil)) {
		if text, ok := strings.CutPrefix(line, head); ok {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}
