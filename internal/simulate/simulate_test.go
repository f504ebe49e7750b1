package simulate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/dialect/douyin"
	"github.com/waypost/waypost/dialect/pandapon"
	"github.com/waypost/waypost/dialect/standard"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/simulate"
)

func always(status int, body string) func(http.Handler) http.Handler {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
}

func TestBadReceivers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		dialect *dialect.Dialect
		handler func(http.Handler) http.Handler
		change  func(*simulate.Options)
		code    string
		text    string // in the finding
	}{
		{"200 to everything is 200 to forgeries", &pandapon.Dialect, always(200, ""), nil,
			"forged_accepted", "answered 200 OK to a message with one byte changed"},
		{"success to everything is success to forgeries", &alipay.Dialect, always(200, "success"), nil,
			"forged_accepted", "answered success to a message with one byte changed"},
		{"the wrong word with a 200 is no acknowledgement", &alipay.Dialect, always(200, "ok"), nil,
			"wrong_words", "something else than the word success"},
		{"the right word in quotes is no acknowledgement", &alipay.Dialect, always(200, `"success"`), nil,
			"wrong_words", "the bare word"},
		{"the right word with a line end is warned of", &alipay.Dialect, behind("\n"), nil, "loose_words", `answered "success\n"`},
		{"201 is no acknowledgement where the platform wants 200", &douyin.Dialect, always(201, ""), nil,
			"wrong_words", "answered 201"},
		{"a redirect is found", &douyin.Dialect, always(302, ""), nil, "redirect", "answered 302"},
		{"a receiver with another key is found", &douyin.Dialect, always(401, ""), nil, "rejected", "do both sides hold the same key"},
		{"a receiver that always fails is given up", &douyin.Dialect, always(500, ""), nil, "gave_up", "after 4 attempts"},
		{"no answer within the limit is found", &pandapon.Dialect, after(1500 * time.Millisecond), nil, "late", "limit is 1000 ms"},
		{"an answer just in time is found", &pandapon.Dialect, after(900 * time.Millisecond), nil,
			"slow", "answered after 900 ms: the platform's limit is 1000 ms"},
		{"a handshake that fails is found", &douyin.Dialect, always(200, "{}"), func(o *simulate.Options) { o.Handshake = true },
			"handshake_failed", "did not pass"},
		{"a duplicate that is refused is found", &douyin.Dialect, refuseRepeats, func(o *simulate.Options) { o.Duplicates = 2 },
			"duplicate_refused", "answered 409"},
		{"a connection that breaks is found", &douyin.Dialect, hangUp, nil, "unreachable", "closed"},
		{"a plain http URL is noted where the platform wants https", &pandapon.Dialect, nil, nil, "https", "https"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				report, _ := simulated(t, tt.dialect, tt.handler, func(o *simulate.Options) {
					o.Forge = 1
					if tt.change != nil {
						tt.change(o)
					}
				})
				f := finding(report, tt.code, tt.text)
				if f == nil {
					t.Fatalf("findings %+v, want %s with %q", report.Findings, tt.code, tt.text)
				}
				if failed := f.Level == simulate.LevelError; failed == report.Passed {
					t.Errorf("passed: %v with %+v", report.Passed, f)
				}
			})
		})
	}
}

// behind puts something behind what a good receiver answers.
func behind(text string) func(http.Handler) http.Handler {
	return func(good http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			good.ServeHTTP(w, r)
			_, _ = w.Write([]byte(text))
		})
	}
}

func after(d time.Duration) func(http.Handler) http.Handler {
	return func(good http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body) // a server sees that a client is gone only when the body is read
			r.Body = io.NopCloser(bytes.NewReader(body))
			select {
			case <-time.After(d):
				good.ServeHTTP(w, r)
			case <-r.Context().Done(): // the platform hung up
			}
		})
	}
}

// refuseRepeats answers 409 to what it has seen, by id.
func refuseRepeats(good http.Handler) http.Handler {
	var seen []string
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := good.(*receiver)
		rc.mu.Lock()
		again := slices.Contains(seen, r.Header.Get("Msg-Id"))
		seen = append(seen, r.Header.Get("Msg-Id"))
		rc.mu.Unlock()
		if again {
			w.WriteHeader(409)
			return
		}
		good.ServeHTTP(w, r)
	})
}

func hangUp(http.Handler) http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

func TestAGoodReceiverPasses(t *testing.T) {
	t.Parallel()
	for _, d := range dialects() {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { takesAll(t, d) })
		})
	}
}

// TestMessagesBeginInTheirOrder has one request at a time under way, so that their order is that in which they began.
func TestMessagesBeginInTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got []string
		simulated(t, &douyin.Dialect, nil, func(o *simulate.Options) {
			o.Count, o.Parallel = 40, 1
			o.Progress = func(s simulate.Step) { got = append(got, s.EventType) }
		})
		if len(got) != 40 {
			t.Fatalf("%d steps", len(got))
		}
		events := douyin.Dialect.Examples
		for i, e := range got {
			if want := events[i%len(events)].EventType; e != want {
				t.Fatalf("message %d was %s, want %s", i, e, want)
			}
		}
	})
}

func takesAll(t *testing.T, d *dialect.Dialect) {
	const count = 20
	report, rc := simulated(t, d, nil, func(o *simulate.Options) {
		o.Count, o.Duplicates, o.Forge, o.Handshake, o.Disorder = count, 25, 3, true, true
	})
	forged := report.Totals.Forged
	want := simulate.Totals{
		Messages: count, Attempts: count, Acknowledged: count, Duplicates: 25, DuplicatesAcknowledged: 25,
		Forged: forged, ForgedRefused: forged,
	}
	if forged != 6 && forged != 9 {
		t.Errorf("%d forgeries", forged)
	}
	if report.Totals != want || !report.Passed {
		t.Errorf("totals %+v, want %+v; passed: %v, findings %+v", report.Totals, want, report.Passed, report.Findings)
	}
	if n := len(rc.got) - rc.handshakes; n != count { // some platforms' handshake is a message like any other
		t.Errorf("the receiver has %d messages, want %d", n, count)
	}
	if d.Handshake != nil && (report.Handshake == nil || !report.Handshake.Acknowledged) {
		t.Errorf("handshake %+v", report.Handshake)
	}
	if n := len(report.Messages); n != count+25+forged {
		t.Errorf("%d records", n)
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	waits := func(at []time.Time) (out []time.Duration) {
		for i := 1; i < len(at); i++ {
			out = append(out, at[i].Sub(at[i-1]))
		}
		return out
	}
	// failing answers 500 until the receiver was asked often enough.
	failing := func(times int32, at *[]time.Time) func(http.Handler) http.Handler {
		return func(good http.Handler) http.Handler {
			var n atomic.Int32
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				*at = append(*at, time.Now())
				if n.Add(1) <= times {
					w.Header().Set("Retry-After", "7")
					w.WriteHeader(500)
					return
				}
				good.ServeHTTP(w, r)
			})
		}
	}
	minutes := func(m ...int) (out []time.Duration) {
		for _, n := range m {
			out = append(out, time.Duration(n)*time.Minute)
		}
		return out
	}
	tests := []struct {
		name    string
		dialect *dialect.Dialect
		speed   float64
		want    []time.Duration
	}{
		{"Alipay repeats for a day", &alipay.Dialect, 1, minutes(2, 10, 10, 60, 120, 360, 900)},
		{"PandaPon repeats every half hour", &pandapon.Dialect, 1, minutes(30, 30, 30, 30, 30)},
		{"speed divides the waits", &pandapon.Dialect, 60, []time.Duration{30 * time.Second, 30 * time.Second, 30 * time.Second, 30 * time.Second, 30 * time.Second}},
		{"Retry-After is honoured where the platform does", &standard.Dialect, 1,
			append([]time.Duration{7 * time.Second}, minutes(5, 30, 120, 300, 600, 600)...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var at []time.Time
				report, rc := simulated(t, tt.dialect, failing(int32(len(tt.want)), &at), func(o *simulate.Options) {
					o.Count, o.Speed = 1, tt.speed
				})
				if got := waits(at); !slices.Equal(got, tt.want) {
					t.Errorf("waited %v, want %v", got, tt.want)
				}
				if len(rc.got) != 1 || !report.Passed || report.Totals.Retried != len(tt.want) || finding(report, "failing", "500") == nil {
					t.Errorf("report %+v", report)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				var at []time.Time
				report, rc := simulated(t, tt.dialect, failing(100, &at), func(o *simulate.Options) { o.Count, o.Speed = 1, tt.speed })
				if len(at) != len(tt.want)+1 || len(rc.got) != 0 || report.Totals.GivenUp != 1 || report.Passed {
					t.Errorf("given up after %d attempts: %+v", len(at), report)
				}
			})
		})
	}
	t.Run("speed leaves the deadline alone unless asked", func(t *testing.T) {
		t.Parallel()
		for _, both := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				report, _ := simulated(t, &pandapon.Dialect, after(300*time.Millisecond), func(o *simulate.Options) {
					o.Count, o.Speed, o.SpeedDeadline = 1, 10, both
				})
				if report.Passed == both {
					t.Errorf("deadline divided: %v, passed: %v, findings %+v", both, report.Passed, report.Findings)
				}
			})
		}
	})
	t.Run("410 ends a message where the platform says so", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			report, _ := simulated(t, &standard.Dialect, always(410, ""), func(o *simulate.Options) { o.Count = 1 })
			if report.Totals.Attempts != 1 || report.Totals.GivenUp != 1 {
				t.Errorf("totals %+v", report.Totals)
			}
		})
	})
	t.Run("a message that waits holds up no other", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var n atomic.Int32
			_, rc := simulated(t, &pandapon.Dialect, func(good http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if n.Add(1) == 1 {
						w.WriteHeader(500)
						return
					}
					good.ServeHTTP(w, r)
				})
			}, func(o *simulate.Options) { o.Count, o.Parallel = 10, 1 })
			if len(rc.at) != 10 || rc.at[8].Sub(began) > time.Second || rc.at[9].Sub(began) < 30*time.Minute {
				t.Errorf("received at %v", rc.at)
			}
		})
	})
	t.Run("a rate spaces the messages", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, rc := simulated(t, &douyin.Dialect, nil, func(o *simulate.Options) { o.Count, o.Rate = 5, 4 })
			if got := fmt.Sprint(waits(rc.at)); got != "[250ms 250ms 250ms 250ms]" {
				t.Errorf("waited %s", got)
			}
		})
	})
}

func TestRuns(t *testing.T) {
	t.Parallel()
	t.Run("nothing is sent with settings that do not fit", func(t *testing.T) {
		t.Parallel()
		_, err := simulate.Run(context.Background(), simulate.Options{
			Dialect: &douyin.Dialect, Settings: dialect.Set("client_secrte", "hush-hush"), To: "http://8.8.8.8/", Client: egress.New(egress.Options{}),
		})
		if err == nil || !strings.Contains(err.Error(), "client_secret") || strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a private address is refused with a hint", func(t *testing.T) {
		t.Parallel()
		platform, _ := keys(t, &douyin.Dialect)
		_, err := simulate.Run(context.Background(), simulate.Options{
			Dialect: &douyin.Dialect, Settings: platform, To: "http://10.0.0.1/", Client: egress.New(egress.Options{}),
		})
		var forbidden *egress.Error
		if !errors.As(err, &forbidden) || forbidden.Kind != egress.KindForbidden {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a run that is ended reports what was done", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			platform, own := keys(t, &pandapon.Dialect)
			var requests atomic.Int32
			client := reach(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if requests.Add(1) <= 2 {
					(&receiver{dialect: &pandapon.Dialect, settings: own}).ServeHTTP(w, r)
					return
				}
				w.WriteHeader(500)
			}))
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			report, err := simulate.Run(ctx, simulate.Options{
				Dialect: &pandapon.Dialect, Settings: platform, To: "http://receiver.example/", Client: client, Count: 5,
			})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
			if got := report.Totals; got.Messages != 5 || got.Acknowledged != 2 || got.Unfinished != 3 || report.Passed {
				t.Errorf("totals %+v, passed %v", got, report.Passed)
			}
		})
	})
	t.Run("the same seed makes the same messages, another one others", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ids := func(seed byte) string {
				var out []string
				simulated(t, &pandapon.Dialect, nil, func(o *simulate.Options) {
					o.Seed, o.Count, o.Parallel, o.Disorder = [32]byte{seed}, 12, 1, false
					o.Progress = func(s simulate.Step) { out = append(out, s.ID) }
				})
				slices.Sort(out)
				return strings.Join(out, " ")
			}
			one, again, other := ids(1), ids(1), ids(2)
			if one != again || one == other {
				t.Error("ids do not follow the seed")
			}
		})
	})
	t.Run("given events are sent as they are, and differ when they come round again", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			given := `{"a":"123456789012345678", "b":1.50}`
			_, rc := simulated(t, &standard.Dialect, nil, func(o *simulate.Options) {
				o.Events, o.Count, o.Parallel = []dialect.Example{{EventType: "x.y", Payload: []byte(given)}, {EventType: "x.z", Payload: []byte(`{}`)}}, 4, 1
				o.Rate = 1e6
			})
			var got []string
			for _, m := range rc.got {
				got = append(got, string(m.Payload))
			}
			if len(got) != 4 || !slices.Contains(got, given) || !slices.Contains(got, `{}`) {
				t.Fatalf("received %q", got)
			}
			slices.Sort(got)
			if len(slices.Compact(got)) != 4 {
				t.Errorf("received %q", got)
			}
			for _, p := range got {
				if !json.Valid([]byte(p)) || strings.HasPrefix(p, `{"a"`) && len(p) != len(given) {
					t.Errorf("received %s", p)
				}
			}
		})
	})
	t.Run("a platform's examples get ids of their own and nothing else", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			_, rc := simulated(t, &pandapon.Dialect, nil, nil)
			if len(rc.got) != len(pandapon.Dialect.Examples) {
				t.Fatalf("received %d", len(rc.got))
			}
			for _, m := range rc.got {
				i := slices.IndexFunc(pandapon.Dialect.Examples, func(e dialect.Example) bool { return e.EventType == m.EventType })
				want := string(pandapon.Dialect.Examples[i].Payload)
				if got := string(m.Payload); got == want || len(got) != len(want) || got[:20] != want[:20] {
					t.Errorf("received %s, made of %s", got, want)
				}
			}
		})
	})
	t.Run("messages go in order, or in another one", func(t *testing.T) {
		t.Parallel()
		var events []dialect.Example
		for i := range 12 {
			events = append(events, dialect.Example{EventType: fmt.Sprintf("e%02d", i), Payload: fmt.Appendf(nil, `{"type":"e%02d"}`, i)})
		}
		for _, disorder := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				_, rc := simulated(t, &standard.Dialect, nil, func(o *simulate.Options) {
					o.Events, o.Disorder, o.Rate, o.Seed = events, disorder, 10, [32]byte{1}
				})
				var types []string
				for _, m := range rc.got {
					types = append(types, m.EventType)
				}
				if len(types) != 12 || slices.IsSorted(types) == disorder {
					t.Errorf("disorder %v: received %v", disorder, types)
				}
			})
		}
	})
	t.Run("more messages than may be under way at once all arrive", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			report, rc := simulated(t, &pandapon.Dialect, nil, func(o *simulate.Options) { o.Count = 5000 })
			if len(rc.got) != 5000 || !report.Passed {
				t.Errorf("received %d, %+v", len(rc.got), report.Totals)
			}
		})
	})
	t.Run("answers are timed", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int64
			report, _ := simulated(t, &standard.Dialect, func(good http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(time.Duration(101-n.Add(1)) * time.Millisecond) // 100 ms to 1 ms
					good.ServeHTTP(w, r)
				})
			}, func(o *simulate.Options) { o.Count, o.Parallel = 100, 1 })
			if l := report.Latency; l.P50 != 51 || l.P90 != 91 || l.P99 != 100 || l.Max != 100 {
				t.Errorf("times %+v", l)
			}
		})
	})
	t.Run("every request is told, one at a time", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			kinds := map[simulate.StepKind]int{}
			simulated(t, &douyin.Dialect, nil, func(o *simulate.Options) {
				o.Count, o.Duplicates, o.Forge, o.Handshake = 30, 10, 2, true
				o.Progress = func(s simulate.Step) { kinds[s.Kind]++ } // the race detector sees two at a time
			})
			want := map[simulate.StepKind]int{simulate.StepHandshake: 1, simulate.StepMessage: 30, simulate.StepDuplicate: 10, simulate.StepForged: 6}
			if fmt.Sprint(kinds) != fmt.Sprint(want) {
				t.Errorf("told %v, want %v", kinds, want)
			}
		})
	})
}

func TestReportKeepsThePasswordOfTheURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		report, _ := simulated(t, &alipay.Dialect, always(500, ""), func(o *simulate.Options) {
			o.To, o.Handshake, o.Forge = "http://me:open-sesame@receiver.example/in/x", true, 1
		})
		var b strings.Builder
		table, junit, doc := report.WriteTable(&b), report.WriteJUnit(&b), json.NewEncoder(&b).Encode(report)
		if err := errors.Join(table, junit, doc); err != nil || !strings.Contains(b.String(), "http://me:xxxxx@receiver.example/in/x") {
			t.Errorf("%v: %s", err, b.String())
		}
		if strings.Contains(b.String(), "open-sesame") {
			t.Errorf("shows the password: %s", b.String())
		}
	})
}

func TestReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		report, _ := simulated(t, &alipay.Dialect, always(200, "success"), func(o *simulate.Options) { o.Forge, o.Duplicates = 1, 1 })
		var b strings.Builder
		if err := report.WriteTable(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"alipay -> http://receiver.example/in/x", "6 sent, 6 acknowledged, 0 retried, 0 given up", "1 sent, 1 acknowledged",
			"2 sent, 0 refused, 2 accepted", "limit 16000 ms", "answered success to a message signed with a wrong key", "verdict      FAILED",
		} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("the table lacks %q:\n%s", want, b.String())
			}
		}
		j, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"passed":false`, `"forgedAccepted":2`, `"code":"forged_accepted"`, `"p99Ms":`} {
			if !strings.Contains(string(j), want) {
				t.Errorf("the document lacks %s: %s", want, j)
			}
		}
	})
}
