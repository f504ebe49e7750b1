package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/longconn"
	"github.com/waypost/waypost/internal/simulate"
)

// dialsIn is a program that keeps a long connection to an address until the end of the test. take says whether a message is processed.
func dialsIn(t *testing.T, addr string, s dialect.Settings, take func(longconn.Arrival) bool) {
	t.Helper()
	own := dialect.Settings{}
	for name, values := range s {
		own[name] = values
	}
	own["longconn_server"] = []string{"http://" + addr}
	client := egress.New(egress.Options{AllowLoopback: true})
	t.Cleanup(client.Close)
	d, err := longconn.NewDialer(longconn.DialerOptions{
		Settings: own, Egress: client, Timing: longconn.Timing{First: 10 * time.Millisecond, Most: 100 * time.Millisecond},
		Take: func(_ context.Context, batch []longconn.Arrival) []bool {
			out := make([]bool, len(batch))
			for i, a := range batch {
				out[i] = a.Refused == nil && take(a)
			}
			return out
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = d.Stop(ctx)
	})
}

func TestSimulateALongConnection(t *testing.T) {
	t.Parallel()
	d := alipay.Dialect
	platform, ours, err := simulate.Keys(&d)
	if err != nil {
		t.Fatal(err)
	}
	sets := []string{"--set", "deadline=1m", "--set", "longconn_mode=share"}
	for name, values := range platform {
		sets = append(sets, "--set", name+"="+values[0])
	}
	run := func(t *testing.T, take func(longconn.Arrival) bool, args ...string) (int, string, string) {
		t.Helper()
		addr := freeAddress(t)
		dialsIn(t, addr, ours, take)
		return command(t, "", nil, append(append([]string{"simulate", "alipay", "--longconn", "--at", addr}, sets...), args...)...)
	}
	t.Run("to a program that does everything right", func(t *testing.T) {
		t.Parallel()
		code, out, errs := run(t, func(longconn.Arrival) bool { return true }, "--habit", "all")
		for _, want := range []string{"6 sent, 6 acknowledged", "passed   connected", "passed   messages", "passed   forged", "passed   duplicates", "passed   reconnect",
			"skipped  corrupted", "skipped  old", "skipped  gbk"} {
			if !strings.Contains(out, want) {
				t.Errorf("the table lacks %q", want)
			}
		}
		if code != 0 || t.Failed() {
			t.Errorf("code %d\n%s%s", code, out, errs)
		}
	})
	t.Run("to a program that answers FAIL", func(t *testing.T) {
		t.Parallel()
		code, out, errs := run(t, func(longconn.Arrival) bool { return false }, "--speed", "1000000", "--count", "1", "--quiet")
		if code != 3 || !strings.Contains(out, "1 given up") || !strings.Contains(out, "FAIL") {
			t.Errorf("code %d\n%s%s", code, out, errs)
		}
	})
	t.Run("to nobody", func(t *testing.T) {
		t.Parallel()
		code, out, errs := command(t, "", nil, "simulate", "alipay", "--longconn", "--at", freeAddress(t), "--wait", "50ms")
		if code != 1 || out != "" || !strings.Contains(errs, "nobody connected") || !strings.Contains(errs, "/websocket/register.do") || !strings.Contains(errs, "app_private_key") {
			t.Errorf("code %d\n%s%s", code, out, errs)
		}
	})
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"another dialect": {[]string{"douyin", "--longconn"}, "of the dialect alipay"},
		"a URL":           {[]string{"alipay", "--longconn", "--to", "http://127.0.0.1:1"}, "neither --to"},
		"no address":      {[]string{"alipay", "--longconn", "--at", "here"}, "--at takes an address"},
		"no time":         {[]string{"alipay", "--longconn", "--wait", "0s"}, "--wait must be above 0"},
		"no developer's key": {[]string{"alipay", "--longconn", "--set", "app_id=2021000000000001", "--set", "platform_private_key=" + platform.Get("platform_private_key")},
			"app_public_key"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := command(t, "", nil, append([]string{"simulate"}, tt.args...)...)
			if code != 2 || !strings.Contains(errs, tt.want) || out != "" {
				t.Errorf("code %d, printed %q, said %q, want %q", code, out, errs, tt.want)
			}
		})
	}
}
