package simulate_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/dialect/douyin"
	"github.com/waypost/waypost/dialect/standard"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/simulate"
)

// contract runs a dialect with every habit, a second key and a probe against a receiver; h makes it faulty.
func contract(t *testing.T, d *dialect.Dialect, h func(*receiver) http.Handler, change func(*simulate.Options, *receiver)) simulate.Report {
	t.Helper()
	platform, own, err := simulate.RotatingKeys(d)
	if err != nil {
		t.Fatal(err)
	}
	rc := &receiver{dialect: d, settings: own}
	var handler http.Handler = rc
	if h != nil {
		handler = h(rc)
	}
	o := simulate.Options{
		Dialect: d, Settings: platform, To: "http://receiver.example/in/x", Habits: []string{simulate.AllHabits}, Handshake: true, Speed: 1000,
		Probe: func(context.Context) (int, error) { return rc.has(), nil },
	}
	o.Client, o.Slow = reachBoth(t, handler)
	if len(d.Examples) == 0 {
		o.Events = []dialect.Example{{EventType: "spi", Payload: []byte(`{"order_id":"100000000000000001"}`)}}
	}
	if change != nil {
		change(&o, rc)
	}
	report, err := simulate.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// skipped are the habits that a platform does not have: one that were skipped by mistake would find nothing.
var skipped = map[string]string{
	"standard": "challenge gbk reconnect", "pandapon": "challenge old gbk reconnect", "douyin": "old gbk reconnect", "alipay": "challenge reconnect",
	"yunzhimeng": "challenge gbk reconnect", "aop1688": "challenge gbk reconnect", "douyinspi": "challenge gbk reconnect", "douyinmini": "challenge gbk reconnect",
}

func TestAGoodReceiverPassesEveryHabit(t *testing.T) {
	t.Parallel()
	for _, d := range dialects() {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				report := contract(t, d, nil, nil)
				for _, f := range report.Findings {
					if f.Level != simulate.LevelNote {
						t.Errorf("%+v", f)
					}
				}
				var left []string
				for _, c := range report.Checks {
					switch c.Result {
					case simulate.ResultPassed:
					case simulate.ResultSkipped:
						left = append(left, c.Name)
					default:
						t.Errorf("%+v", c)
					}
				}
				if want, ok := skipped[d.Name]; !ok || strings.Join(left, " ") != want {
					t.Errorf("skipped %v, want %s", left, want)
				}
				if !report.Passed {
					t.Error("not passed")
				}
			})
		})
	}
}

// passes wants a run without an error.
func passes(t *testing.T, report simulate.Report) {
	t.Helper()
	if !report.Passed {
		t.Errorf("not passed: %+v", report.Findings)
	}
}

func TestSlowWorkersAreWaitedFor(t *testing.T) {
	t.Parallel()
	for _, d := range []*dialect.Dialect{&douyin.Dialect, &standard.Dialect} {
		synctest.Test(t, func(t *testing.T) {
			passes(t, contract(t, d, nil, func(o *simulate.Options, rc *receiver) {
				o.Probe = func(context.Context) (n int, _ error) { // what was answered is worked on for two seconds
					rc.mu.Lock()
					defer rc.mu.Unlock()
					for _, at := range rc.at {
						if time.Since(at) >= 2*time.Second {
							n++
						}
					}
					return n, nil
				}
			}))
		})
	}
}

func TestAReceiverThatFailsNowAndThenPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := map[string]int{}
		report := contract(t, &douyin.Dialect, before(func(_ *receiver, w http.ResponseWriter, r *http.Request, _ []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			id := r.Header.Get("Msg-Id")
			if asked[id]++; asked[id] > 1 {
				return false
			}
			w.WriteHeader(503)
			return true
		}), func(o *simulate.Options, _ *receiver) {
			o.Handshake, o.Habits = false, []string{"duplicates", "pretty", "emoji", "event-names", "slow-body"}
		})
		passes(t, report)
		if n := report.Totals.Retried; n != len(douyin.Dialect.Examples) {
			t.Errorf("%d messages were repeated", n)
		}
	})
}

func TestARunThatIsEndedDoesNotPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		platform, own := keys(t, &douyin.Dialect)
		o := simulate.Options{Dialect: &douyin.Dialect, Settings: platform, To: "http://receiver.example/", Habits: []string{"forged", "pretty"}}
		o.Client, o.Slow = reachBoth(t, &receiver{dialect: &douyin.Dialect, settings: own})
		o.Progress = func(s simulate.Step) {
			if s.Kind == simulate.StepForged {
				cancel()
			}
		}
		report, err := simulate.Run(ctx, o)
		if !errors.Is(err, context.Canceled) || report.Passed || !report.Interrupted || report.Totals.Acknowledged == 0 {
			t.Errorf("error %v, passed %v, interrupted %v", err, report.Passed, report.Interrupted)
		}
	})
}

func TestFindingsInChinese(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		report := contract(t, &alipay.Dialect, ignoresSignatures, func(o *simulate.Options, _ *receiver) { o.Lang = simulate.Chinese })
		f := finding(report, "forged_accepted", `应答 HTTP 200 "success"：接受了改动了一个字节的消息`)
		if f == nil || !strings.Contains(f.Mend, "验签") {
			t.Errorf("findings %+v", report.Findings)
		}
		var b strings.Builder
		if err := report.WriteTable(&b); err != nil || !strings.Contains(b.String(), "未通过") || !strings.Contains(b.String(), "建议") {
			t.Errorf("the table is not in Chinese: %v\n%s", err, b.String())
		}
	})
}

func TestRefusedOptions(t *testing.T) {
	t.Parallel()
	platform, _ := keys(t, &douyin.Dialect)
	for name, tt := range map[string]struct {
		change func(*simulate.Options)
		want   string
	}{
		"an unknown habit":    {func(o *simulate.Options) { o.Habits = []string{"duplicate"} }, "there is no habit \"duplicate\"; there are challenge, forged"},
		"an unknown language": {func(o *simulate.Options) { o.Lang = "fr" }, "en, zh"},
		"an unknown finding":  {func(o *simulate.Options) { o.Ignore = []string{"lateness"} }, "there is no finding \"lateness\""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := simulate.Options{Dialect: &douyin.Dialect, Settings: platform, To: "http://8.8.8.8/", Client: egress.New(egress.Options{})}
			tt.change(&o)
			if _, err := simulate.Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAnExpectedFindingDoesNotFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		report := contract(t, &standard.Dialect, reserialises, func(o *simulate.Options, _ *receiver) { o.Ignore = []string{"reserialised"} })
		f := finding(report, "reserialised", "")
		if f == nil || !f.Ignored || !report.Passed {
			t.Errorf("passed %v, %+v", report.Passed, report.Findings)
		}
	})
}

// TestNothingIsSaidAboutAReceiverThatIsNotThere has every habit tried on nobody: that is all there is to say.
func TestNothingIsSaidAboutAReceiverThatIsNotThere(t *testing.T) {
	t.Parallel()
	for _, d := range []*dialect.Dialect{&douyin.Dialect, &alipay.Dialect} {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				report := contract(t, d, func(*receiver) http.Handler { return hangUp(nil) }, nil)
				for _, f := range report.Findings {
					if f.Level != simulate.LevelNote && f.Code != "unreachable" && f.Code != "handshake_failed" {
						t.Errorf("%+v", f)
					}
				}
				for _, c := range report.Checks {
					switch c.Name {
					case "url", "probe", "handshake", "messages":
					default:
						if c.Result != simulate.ResultSkipped {
							t.Errorf("%+v", c)
						}
					}
				}
				if report.Passed {
					t.Error("a receiver that is not there passes")
				}
			})
		})
	}
}
