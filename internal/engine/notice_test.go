package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// operator makes an endpoint of the operator's own at http://operator.example/hook.
func (w *world) operator(change func(*hook.Endpoint)) hook.Endpoint {
	w.t.Helper()
	return w.endpoint("operator", func(e *hook.Endpoint) {
		e.App, e.Concurrency = hook.Operational, 1 // so that what is told arrives in its order
		if change != nil {
			change(e)
		}
	})
}

// except answers the operator 200, and everybody else as h does.
func except(h func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "operator.example" {
			w.WriteHeader(200)
			return
		}
		h(w, r)
	}
}

// told is what arrived at the operator.
type told struct {
	at   time.Duration
	Type string
	Data struct {
		AppID, AppUID, EndpointID, EndpointUID, MsgID, MsgEventID string
		FailSince                                                 time.Time
		LastAttempt                                               struct {
			ID                 string
			ResponseStatusCode int
			Timestamp          time.Time
		}
	}
}

func (w *world) told() []told {
	w.t.Helper()
	var out []told
	for _, a := range w.seen("operator.example") {
		n := told{at: a.at}
		w.must(json.Unmarshal([]byte(a.body), &n))
		if a.header.Get("waypost-event-type") != n.Type || !strings.HasPrefix(a.header.Get("webhook-signature"), "v1,") {
			w.t.Errorf("%+v", a)
		}
		out = append(out, n)
	}
	return out
}

// saying lists types and times.
func saying(list []told) (out []string) {
	for _, n := range list {
		out = append(out, fmt.Sprintf("%s %v", n.Type, n.at))
	}
	return out
}

func everyMinute(n int) func(*hook.Endpoint) {
	return func(e *hook.Endpoint) { e.Schedule = slices.Repeat([]time.Duration{time.Minute}, n) }
}

func TestTheOperatorIsToldOfMessagesThatFail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		retries int
		answer  func(http.ResponseWriter, *http.Request)
		want    []string
	}{
		"after the fourth attempt, and after the last": {5, status(503), []string{"message.attempt.failing 3m0s", "message.attempt.exhausted 5m0s"}},
		"once when the fourth is the last":             {3, status(503), []string{"message.attempt.exhausted 3m0s"}},
		"that have a single attempt":                   {0, status(503), []string{"message.attempt.exhausted 0s"}},
		"that the receiver refuses for good":           {5, withHeader(422, "webhook-delivery", "abort-message"), []string{"message.attempt.exhausted 0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, nil, func(w *world) {
				w.operator(nil)
				w.app = w.newApp(func(a *hook.Application) { a.UID = "shop" })
				ep := w.endpoint("a", everyMinute(c.retries))
				w.answer(except(c.answer))
				m := w.publish(1, func(m *hook.Message) { m.EventID = "order-17" })[0]
				time.Sleep(day)
				list := w.told()
				if got := saying(list); !slices.Equal(got, c.want) {
					t.Errorf("told %q", got)
					return
				}
				attempts := w.attempts(ep)
				for i, n := range list {
					last := attempts[len(attempts)-1]
					if i == 0 && len(list) == 2 {
						last = attempts[3]
					}
					d := n.Data
					if d.AppID != w.app.String() || d.AppUID != "shop" || d.EndpointID != ep.ID.String() || d.MsgID != m.ID.String() || d.MsgEventID != "order-17" {
						t.Errorf("%+v", d)
					}
					if d.LastAttempt.ID != last.ID.String() || d.LastAttempt.ResponseStatusCode != last.Status || !d.LastAttempt.Timestamp.Equal(last.At) {
						t.Errorf("%+v is not %+v", d.LastAttempt, last)
					}
				}
			})
		})
	}
}

func TestTheOperatorIsToldOfMessagesThatRecover(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failures int           // then it succeeds
		resend   time.Duration // 0 = never
		want     []string
	}{
		"not after three failures":           {3, 0, nil},
		"after four failures":                {4, 0, []string{"message.attempt.failing 3m0s", "message.attempt.recovered 4m0s"}},
		"by a resend while they are failing": {4, 200 * time.Second, []string{"message.attempt.failing 3m0s", "message.attempt.recovered 3m20s"}},
		"by a resend after they exhausted": {6, time.Hour, []string{
			"message.attempt.failing 3m0s", "message.attempt.exhausted 5m0s", "message.attempt.recovered 1h0m0s",
		}},
		"not by a resend that fails": {7, time.Hour, []string{"message.attempt.failing 3m0s", "message.attempt.exhausted 5m0s"}},
		"not by a second resend":     {4, time.Hour, []string{"message.attempt.failing 3m0s", "message.attempt.recovered 4m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, nil, func(w *world) {
				w.operator(nil)
				ep := w.endpoint("a", everyMinute(5))
				calls := 0
				w.answer(except(func(rw http.ResponseWriter, _ *http.Request) {
					if calls++; calls <= c.failures {
						rw.WriteHeader(500)
					}
				}))
				m := w.publish(1, nil)[0]
				if c.resend > 0 {
					time.Sleep(c.resend)
					resend(w, m, ep)
				}
				time.Sleep(day)
				list := w.told()
				if got := saying(list); !slices.Equal(got, c.want) {
					t.Errorf("told %q", got)
					return
				}
				if len(list) > 0 && strings.HasSuffix(list[len(list)-1].Type, "recovered") {
					attempts := w.attempts(ep)
					i := slices.IndexFunc(attempts, func(a hook.Attempt) bool { return a.Verdict == hook.Success })
					if last := list[len(list)-1].Data.LastAttempt; last.ID != attempts[i].ID.String() || last.ResponseStatusCode != 200 {
						t.Errorf("%+v", last)
					}
				}
			})
		})
	}
}

func TestTheOperatorIsToldOfEndpointsThatTheServerDisables(t *testing.T) {
	t.Parallel()
	t.Run("because they are gone", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.operator(nil)
			ep := w.endpoint("a", func(e *hook.Endpoint) { e.UID = "hooks" })
			w.answer(except(status(410)))
			w.publish(1, nil)
			time.Sleep(day)
			list := w.told()
			if got := saying(list); !slices.Equal(got, []string{"message.attempt.exhausted 0s", "endpoint.disabled 0s"}) {
				t.Errorf("told %q", got)
				return
			}
			d := list[1].Data
			if d.AppID != w.app.String() || d.EndpointID != ep.ID.String() || d.EndpointUID != "hooks" || d.FailSince.Sub(w.begin).Abs() > time.Second {
				t.Errorf("%+v", d)
			}
		})
	})
	t.Run("because they failed for days", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.operator(func(e *hook.Endpoint) { e.EventTypes = []string{hook.EndpointDisabled} })
			w.endpoint("a", everyMinute(1))
			w.answer(except(status(500)))
			for range 8 {
				w.publish(1, nil)
				time.Sleep(day)
			}
			list := w.told()
			if got := saying(list); !slices.Equal(got, []string{fmt.Sprint("endpoint.disabled ", 5*day+time.Minute)}) {
				t.Errorf("told %q", got)
				return
			}
			if since := list[0].Data.FailSince.Sub(w.begin).Truncate(time.Second); since != time.Minute {
				t.Errorf("failing since %v", since)
			}
		})
	})
	t.Run("once, though several attempts say so", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.operator(func(e *hook.Endpoint) { e.EventTypes = []string{hook.EndpointDisabled} })
			w.endpoint("a", nil)
			w.answer(except(func(rw http.ResponseWriter, r *http.Request) {
				slow(time.Second)(rw, r)
				rw.WriteHeader(200)
			}))
			w.publish(1, nil)
			time.Sleep(time.Minute)
			w.answer(except(func(rw http.ResponseWriter, _ *http.Request) {
				time.Sleep(time.Second)
				rw.WriteHeader(410)
			}))
			w.publish(10, nil)
			time.Sleep(day)
			if n := len(w.seen("a.example")); n != 11 {
				t.Errorf("%d requests", n)
			}
			if got := saying(w.told()); len(got) != 1 {
				t.Errorf("told %q", got)
			}
		})
	})
	t.Run("and not of those that a person disables", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.operator(nil)
			ep := w.endpoint("a", nil)
			w.answer(except(status(500)))
			w.publish(5, nil)
			settled()
			w.update(ep, func(e *hook.Endpoint) { e.Disabled = true })
			time.Sleep(day)
			if got := saying(w.told()); got != nil {
				t.Errorf("told %q", got)
			}
		})
	})
}

func TestWhatBecomesOfTheOperatorsOwnMessagesIsNotTold(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"that fail": status(500), "whose endpoint is gone": status(410), "that nobody answers": hang,
	} {
		t.Run(name, func(t *testing.T) {
			in(t, nil, func(w *world) {
				op := w.operator(func(e *hook.Endpoint) { e.Schedule = slices.Repeat([]time.Duration{time.Minute}, 6) })
				w.endpoint("other", func(e *hook.Endpoint) { e.App = hook.Operational })
				w.endpoint("a", everyMinute(5))
				w.answer(func(rw http.ResponseWriter, r *http.Request) {
					switch r.Host {
					case "operator.example":
						answer(rw, r)
					case "a.example":
						rw.WriteHeader(500)
					}
				})
				w.publish(1, nil)
				time.Sleep(30 * day)
				var types []string
				for _, a := range w.seen("other.example") {
					types = append(types, a.header.Get("waypost-event-type"))
				}
				if !slices.Equal(types, []string{hook.AttemptFailing, hook.AttemptExhausted}) {
					t.Errorf("told %q", types)
				}
				if gone := name == "whose endpoint is gone"; w.stored(op).Disabled != gone {
					t.Errorf("disabled %v because %q", w.stored(op).Disabled, w.stored(op).DisabledReason)
				}
			})
		})
	}
}

func TestTheOperatorIsToldOnlyOfWhatIsRecorded(t *testing.T) {
	t.Parallel()
	t.Run("not of an attempt that is not yet", func(t *testing.T) {
		broken(t, nil, func(w *world, f *flaky) {
			w.operator(nil)
			w.endpoint("a", everyMinute(0))
			w.answer(except(status(500)))
			f.fail(hook.Errorf(hook.KindUnavailable, "the disk is full for a moment"))
			w.publish(1, nil)
			time.Sleep(time.Hour)
			if got := saying(w.told()); got != nil {
				t.Errorf("told %q", got)
			}
			f.fail(nil)
			time.Sleep(time.Hour)
			if got := saying(w.told()); len(got) != 1 {
				t.Errorf("told %q", got)
			}
		})
	})
	t.Run("not of a message that was canceled in flight", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.operator(nil)
			ep := w.endpoint("a", everyMinute(5))
			w.answer(except(func(rw http.ResponseWriter, _ *http.Request) {
				time.Sleep(10 * time.Second)
				rw.WriteHeader(500)
			}))
			m := w.publish(1, nil)[0]
			time.Sleep(3*time.Minute + 35*time.Second) // the fourth is in flight
			n, err := w.db.Cancel(context.Background(), w.app, m.ID, 0, time.Now())
			w.must(err)
			time.Sleep(day)
			if d := w.delivery(m, ep); n != 1 || d.State != hook.Canceled || d.Attempts != 4 || len(w.attempts(ep)) != 4 {
				t.Errorf("%d canceled, %+v", n, d)
			}
			if got := saying(w.told()); got != nil {
				t.Errorf("told %q", got)
			}
		})
	})
	t.Run("and after a restart, once", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.operator(nil)
			w.endpoint("a", everyMinute(5))
			w.answer(except(status(500)))
			w.publish(1, nil)
			for range 10 {
				time.Sleep(50 * time.Second)
				w.close()
				w.open()
			}
			time.Sleep(day)
			types := []string{}
			for _, n := range w.told() {
				types = append(types, n.Type)
			}
			if !slices.Equal(types, []string{hook.AttemptFailing, hook.AttemptExhausted}) {
				t.Errorf("told %q", types)
			}
		})
	})
}

// TestTheOperatorHearsThatAMessageRecoversByAResendThatWasUnderWay has a resend in hand when the operator comes to be told of
// its message.
func TestTheOperatorHearsThatAMessageRecoversByAResendThatWasUnderWay(t *testing.T) {
	t.Parallel()
	for what, attempt := range map[string]struct {
		n, retries int // the one that fails while the resend is in hand
		want       []string
	}{
		"failing":   {4, 5, []string{hook.AttemptFailing, hook.AttemptRecovered}},
		"exhausted": {2, 1, []string{hook.AttemptExhausted, hook.AttemptRecovered}},
	} {
		for name, c := range map[string]struct {
			concurrency int
			reading     bool // the due ones, among them the resend, while the attempt is judged
			unrecorded  bool // as long as they are read
		}{
			"in flight":                              {concurrency: 2},
			"queued":                                 {concurrency: 1},
			"being read":                             {concurrency: 2, reading: true},
			"being read, with the last not recorded": {concurrency: 2, reading: true, unrecorded: true},
		} {
			t.Run(what+", "+name, func(t *testing.T) {
				broken(t, nil, func(w *world, f *flaky) {
					w.operator(nil)
					ep := w.endpoint("a", func(e *hook.Endpoint) { everyMinute(attempt.retries)(e); e.Concurrency = c.concurrency })
					var calls atomic.Int64
					w.answer(except(func(rw http.ResponseWriter, _ *http.Request) {
						if calls.Add(1) <= int64(attempt.n) {
							time.Sleep(10 * time.Second)
							rw.WriteHeader(500)
						} else {
							time.Sleep(14 * time.Second)
						}
					}))
					m := w.publish(1, nil)[0]
					time.Sleep(time.Duration(attempt.n-1)*70*time.Second + 5*time.Second) // it is under way
					free := func() {}
					if c.reading {
						free = held(f)
					}
					resend(w, m, ep)
					settled()
					if c.unrecorded {
						f.fail(hook.Errorf(hook.KindUnavailable, "the disk is full for a moment"))
					}
					time.Sleep(10 * time.Second)
					free()
					time.Sleep(10 * time.Second)
					f.fail(nil)
					time.Sleep(day)
					var types []string
					for _, n := range w.told() {
						types = append(types, n.Type)
					}
					if !slices.Equal(types, attempt.want) || calls.Load() != int64(attempt.n)+1 {
						t.Errorf("told %q after %d requests", types, calls.Load())
					}
				})
			})
		}
	}
}

// TestNoticesAgreeWithAnySequenceOfAttempts answers at random, with resends and cancellations between, and compares what is
// told of each message with what follows from its attempts.
func TestNoticesAgreeWithAnySequenceOfAttempts(t *testing.T) {
	t.Parallel()
	const retries = 5
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			in(t, nil, func(w *world) {
				random := rand.New(rand.NewPCG(seed, 7))
				w.operator(nil)
				ep := w.endpoint("a", func(e *hook.Endpoint) { everyMinute(retries)(e); e.Dialect = "standard" })
				var mu sync.Mutex
				answers := rand.New(rand.NewPCG(seed, 8))
				w.answer(except(func(rw http.ResponseWriter, _ *http.Request) {
					mu.Lock()
					defer mu.Unlock()
					switch n := answers.IntN(20); {
					case n == 0:
						rw.Header().Set("webhook-delivery", "abort-message")
						rw.WriteHeader(400)
					case n < 17:
						rw.WriteHeader(500)
					}
				}))
				list := w.publish(40, nil)
				canceled := map[hook.MessageID]time.Time{}
				for range 200 {
					time.Sleep(time.Duration(1+random.IntN(7)) * time.Second)
					m := list[random.IntN(len(list))]
					if random.IntN(10) == 0 && canceled[m.ID].IsZero() {
						canceled[m.ID] = time.Now()
						_, err := w.db.Cancel(context.Background(), w.app, m.ID, 0, time.Now())
						w.must(err)
					} else {
						resend(w, m, ep)
					}
					settled()
				}
				time.Sleep(day)
				got := map[string][]string{}
				for _, n := range w.told() {
					got[n.Data.MsgID] = append(got[n.Data.MsgID], n.Type)
				}
				byMessage := map[hook.MessageID][]hook.Attempt{}
				for _, a := range w.allAttempts(ep) {
					byMessage[a.Message] = append(byMessage[a.Message], a)
				}
				for _, m := range list {
					want := expected(byMessage[m.ID], retries, canceled[m.ID])
					if !slices.Equal(got[m.ID.String()], want) {
						t.Errorf("%v: told %q, want %q", m.ID, got[m.ID.String()], want)
					}
				}
			})
		})
	}
}

// expected follows the attempts of one message.
func expected(attempts []hook.Attempt, retries int, canceled time.Time) (out []string) {
	state, scheduled, told := hook.Pending, 0, false
	for _, a := range attempts {
		if state == hook.Pending && !canceled.IsZero() && a.At.After(canceled) {
			state = hook.Canceled
		}
		if a.Trigger == hook.Scheduled {
			scheduled++
		}
		switch {
		case a.Verdict == hook.Success:
			if state != hook.Delivered && told {
				out = append(out, hook.AttemptRecovered)
			}
			state = hook.Delivered
		case a.Trigger == hook.Manual || state != hook.Pending:
		case a.Verdict == hook.Refuse || scheduled > retries:
			state, told, out = hook.Failed, true, append(out, hook.AttemptExhausted)
		case scheduled == 4:
			told, out = true, append(out, hook.AttemptFailing)
		}
	}
	return out
}
