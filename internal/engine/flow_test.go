package engine

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

func TestWhatIsStoppedStaysStopped(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(w *world, ep hook.Endpoint){
		"disabled": func(w *world, ep hook.Endpoint) { w.update(ep, func(e *hook.Endpoint) { e.Disabled = true }) },
		"paused":   func(w *world, ep hook.Endpoint) { w.update(ep, func(e *hook.Endpoint) { e.Paused = true }) },
		"deleted": func(w *world, ep hook.Endpoint) {
			w.must(w.db.DeleteEndpoint(context.Background(), ep.App, ep.ID, time.Now()))
		},
		"application deleted": func(w *world, _ hook.Endpoint) {
			w.must(w.db.DeleteApplication(context.Background(), w.app, time.Now()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(o *Options) { o.Concurrency = 4 }, func(w *world) {
				ep := w.endpoint("a", nil)
				w.answer(slow(10 * time.Second))
				w.publish(50, nil)
				time.Sleep(15 * time.Second) // 4 have ended, 4 are in flight
				stop(w, ep)
				before := len(w.seen(""))
				time.Sleep(24 * time.Hour)
				if after := len(w.seen("")); before != 8 || after != before {
					t.Errorf("%d requests before it was %s, %d after", before, name, after)
				}
				if s := w.e.Stats(); s.InFlight != 0 || s.Unrecorded != 0 {
					t.Errorf("%+v", s)
				}
				want := store.Counts{Messages: 50, Delivered: 8, Canceled: 42}
				if name == "paused" {
					want.Pending, want.Canceled = 42, 0
				}
				if got := w.counts(); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
			})
		})
	}
}

func TestHeldDeliveriesGoOutWhenTheyMay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ hold, free func(*hook.Endpoint) }{
		"a paused endpoint": {func(e *hook.Endpoint) { e.Paused = true }, func(e *hook.Endpoint) { e.Paused = false }},
		"an endpoint that is not verified": {
			func(e *hook.Endpoint) { e.RequireVerified = true },
			func(e *hook.Endpoint) { e.Verification.State = hook.VerificationPassed },
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, nil, func(w *world) {
				ep := w.endpoint("a", c.hold)
				w.publish(10, nil)
				time.Sleep(time.Hour)
				w.publish(300, nil)
				time.Sleep(time.Hour)
				if n := len(w.seen("")); n != 0 {
					t.Errorf("%d requests while held", n)
				}
				w.update(ep, c.free)
				settled()
				if list := w.seen(""); len(list) != 310 || list[309].at != 2*time.Hour {
					t.Errorf("%d requests afterwards", len(list))
				}
			})
		})
	}
}

func TestAnAttemptThatWasBeingPreparedDoesNotStart(t *testing.T) {
	broken(t, func(o *Options) { o.CacheBytes = 1 }, func(w *world, f *flaky) {
		ep := w.endpoint("a", nil)
		settled()
		hold := make(chan struct{})
		f.mu.Lock()
		f.hold = hold
		f.mu.Unlock()
		m := w.publish(1, nil)[0]
		settled() // its message is being read
		w.update(ep, func(e *hook.Endpoint) { e.Paused = true })
		close(hold)
		time.Sleep(time.Hour)
		if n := len(w.seen("")); n != 0 || w.delivery(m, ep).State != hook.Pending {
			t.Errorf("%d requests to a paused endpoint, %+v", n, w.delivery(m, ep))
		}
	})
}

func TestADisabledAndEnabledEndpointGetsNothingThatWasCanceled(t *testing.T) {
	t.Parallel()
	offOn := func(w *world, ep hook.Endpoint) {
		ep = w.update(ep, func(e *hook.Endpoint) { e.Disabled = true })
		w.update(ep, func(e *hook.Endpoint) { e.Disabled = false })
	}
	t.Run("of what waits for its next attempt", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.answer(status(500))
			ep := w.endpoint("a", nil)
			w.publish(20, nil)
			time.Sleep(time.Second)
			before := len(w.seen(""))
			offOn(w, ep)
			time.Sleep(24 * time.Hour)
			if after := len(w.seen("")); after != before {
				t.Errorf("%d requests before, %d after", before, after)
			}
		})
	})
	t.Run("of what is queued", func(t *testing.T) {
		in(t, func(o *Options) { o.Concurrency = 1 }, func(w *world) {
			w.answer(slow(time.Second))
			ep := w.endpoint("a", nil)
			w.publish(20, nil)
			time.Sleep(1500 * time.Millisecond)
			offOn(w, ep)
			time.Sleep(time.Hour)
			if n := len(w.seen("")); n != 2 {
				t.Errorf("%d requests, want the one that had ended and the one in flight", n)
			}
		})
	})
	t.Run("of what is being read", func(t *testing.T) {
		broken(t, nil, func(w *world, f *flaky) {
			ep := w.endpoint("a", func(e *hook.Endpoint) { e.Paused = true })
			w.publish(20, nil)
			settled()
			hold := make(chan struct{})
			f.mu.Lock()
			f.hold = hold
			f.mu.Unlock()
			ep = w.update(ep, func(e *hook.Endpoint) { e.Paused = false })
			settled() // the deliveries are read but not yet handed over
			offOn(w, ep)
			close(hold)
			time.Sleep(time.Hour)
			if n := len(w.seen("")); n != 0 {
				t.Errorf("%d requests", n)
			}
		})
	})
}

func TestAChangedEndpointIsUsedAsItIsNow(t *testing.T) {
	in(t, nil, func(w *world) {
		w.answer(status(500))
		ep := w.endpoint("old", nil)
		w.publish(1, nil)
		time.Sleep(time.Second)
		w.answer(status(200))
		w.update(ep, func(e *hook.Endpoint) { e.URL = "http://new.example/" })
		time.Sleep(time.Hour)
		if list := w.seen(""); len(list) != 2 || list[1].host != "new.example" || list[1].at != 5*time.Second {
			t.Errorf("%+v", list)
		}
	})
}

func resend(w *world, m hook.Message, ep hook.Endpoint) {
	w.t.Helper()
	w.must(w.db.Resend(context.Background(), w.app, m.ID, ep.ID, time.Now()))
}

func TestAResendNeverTouchesTheSchedule(t *testing.T) {
	t.Parallel()
	t.Run("one that fails", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.answer(status(500))
			ep := w.endpoint("a", nil)
			m := w.publish(1, nil)[0]
			time.Sleep(time.Minute)
			before := w.delivery(m, ep)
			resend(w, m, ep)
			settled()
			if after := w.delivery(m, ep); after != before {
				t.Errorf("the delivery was %+v and is %+v", before, after)
			}
			list := w.attempts(ep)
			if last := list[len(list)-1]; last.Trigger != hook.Manual || last.N != 0 || !last.NextAt.IsZero() || last.At.Sub(w.begin) != time.Minute {
				t.Errorf("%+v", last)
			}
			time.Sleep(30 * 24 * time.Hour)
			got := times(w.seen(""))
			want := slices.Insert(plan(platforms["standard"].waits, 0), 2, time.Minute)
			if !slices.Equal(got, want) {
				t.Errorf("attempts at %v, want %v", got, want)
			}
			if d := w.delivery(m, ep); d.State != hook.Failed || d.Attempts != 8 {
				t.Errorf("%+v", d)
			}
		})
	})
	t.Run("one that succeeds ends it", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.answer(status(500))
			ep := w.endpoint("a", nil)
			m := w.publish(1, nil)[0]
			time.Sleep(time.Minute)
			w.answer(status(200))
			resend(w, m, ep)
			time.Sleep(30 * 24 * time.Hour)
			if got := times(w.seen("")); !slices.Equal(got, []time.Duration{0, 5 * time.Second, time.Minute}) {
				t.Errorf("attempts at %v", got)
			}
			if d := w.delivery(m, ep); d.State != hook.Delivered {
				t.Errorf("%+v", d)
			}
		})
	})
	t.Run("of a delivered message", func(t *testing.T) {
		in(t, nil, func(w *world) {
			ep := w.endpoint("a", nil)
			m := w.publish(1, nil)[0]
			time.Sleep(time.Minute)
			w.answer(status(500))
			resend(w, m, ep)
			time.Sleep(time.Hour)
			if d := w.delivery(m, ep); d.State != hook.Delivered || len(w.seen("")) != 2 {
				t.Errorf("%+v after %d requests", d, len(w.seen("")))
			}
		})
	})
}

func TestAResendThatSucceededIsNotFollowedByTheScheduledAttempt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		due    time.Duration // of the resend; the scheduled attempt is due at 5 s
		paused bool          // so that both are read at once
	}{
		"that falls due before the success is recorded": {due: 4900 * time.Millisecond},
		"that waited behind it":                         {due: 6 * time.Second, paused: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := &flaky{}
			in(t, func(o *Options) { o.Store, o.Concurrency = f, 1 }, func(w *world) {
				ep := w.endpoint("a", nil)
				w.answer(status(500))
				m := w.publish(1, nil)[0]
				settled()
				if c.paused {
					ep = w.update(w.stored(ep), func(e *hook.Endpoint) { e.Paused = true })
				}
				time.Sleep(c.due - time.Since(w.begin))
				w.answer(status(200))
				f.fail(hook.Errorf(hook.KindUnavailable, "the disk is full for a moment"))
				w.must(w.db.Resend(context.Background(), w.app, m.ID, ep.ID, time.Now()))
				if c.paused {
					w.update(ep, func(e *hook.Endpoint) { e.Paused = false })
				}
				time.Sleep(2 * time.Second)
				f.fail(nil)
				time.Sleep(day)
				if list := w.seen(""); len(list) != 2 || list[1].at != c.due {
					t.Errorf("arrived at %v", times(list))
				}
				if d := w.delivery(m, ep); d.State != hook.Delivered || d.Attempts != 1 {
					t.Errorf("%+v", d)
				}
				if s := w.e.Stats(); s.InHand != 0 || s.CachedBytes != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func TestAResendAmongOtherWork(t *testing.T) {
	t.Parallel()
	t.Run("one that succeeds spares the attempt that is queued", func(t *testing.T) {
		in(t, func(o *Options) { o.Concurrency = 1 }, func(w *world) {
			w.answer(slow(time.Second))
			ep := w.endpoint("a", nil)
			list := w.publish(10, nil)
			time.Sleep(1500 * time.Millisecond)
			resend(w, list[7], ep)
			time.Sleep(time.Hour)
			if n := len(w.seen("")); n != 10 || w.counts().Delivered != 10 {
				t.Errorf("%d requests, %+v", n, w.counts())
			}
		})
	})
	t.Run("it does not wait behind a backlog", func(t *testing.T) {
		in(t, nil, func(w *world) {
			ep := w.endpoint("a", func(e *hook.Endpoint) { e.Concurrency = 1 })
			m := w.publish(1, nil)[0]
			time.Sleep(time.Minute)
			w.answer(slow(time.Second))
			w.publish(500, nil)
			time.Sleep(10 * time.Second)
			resend(w, m, ep)
			time.Sleep(3 * time.Second)
			found := false
			for _, a := range w.seen("")[1:] {
				found = found || a.id == m.ID.String()
			}
			if !found {
				t.Error("not sent within three seconds")
			}
		})
	})
}

func TestStop(t *testing.T) {
	t.Parallel()
	stop := func(w *world, d time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		return w.e.Stop(ctx)
	}
	t.Run("records what is in flight and starts nothing", func(t *testing.T) {
		in(t, func(o *Options) { o.Concurrency = 3 }, func(w *world) {
			w.answer(slow(10 * time.Second))
			ep := w.endpoint("a", nil)
			w.publish(20, nil)
			time.Sleep(time.Second)
			if err := stop(w, time.Minute); err != nil || time.Since(w.begin) != 10*time.Second {
				t.Errorf("%v after %v", err, time.Since(w.begin))
			}
			if n := len(w.seen("")); n != 3 || len(w.attempts(ep)) != 3 {
				t.Errorf("%d requests, %d recorded", n, len(w.attempts(ep)))
			}
		})
	})
	t.Run("cuts off at its deadline, and the next start makes the attempt again", func(t *testing.T) {
		in(t, func(o *Options) { o.Concurrency = 3 }, func(w *world) {
			w.answer(hang)
			ep := w.endpoint("a", nil)
			w.publish(5, nil)
			time.Sleep(time.Second)
			if err := stop(w, 2*time.Second); err != nil || time.Since(w.begin) != 3*time.Second {
				t.Errorf("%v after %v", err, time.Since(w.begin))
			}
			if n := len(w.attempts(ep)); n != 0 || w.counts().Pending != 5 {
				t.Errorf("%d attempts recorded, %+v", n, w.counts())
			}
			w.must(w.db.Close())
			w.answer(status(200))
			w.open()
			time.Sleep(time.Second)
			if got := w.counts(); got.Delivered != 5 {
				t.Errorf("after the start: %+v", got)
			}
		})
	})
	t.Run("twice, at once, and before the start", func(t *testing.T) {
		in(t, nil, func(w *world) {
			w.endpoint("a", nil)
			w.answer(slow(time.Second))
			w.publish(10, nil)
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() { w.must(stop(w, time.Minute)) })
			}
			wg.Wait()
			other := New(w.e.o)
			w.must(other.Stop(context.Background()))
			w.must(other.Start(context.Background()))
			settled()
			if other.Stats().InFlight != 0 {
				t.Error("started after its stop")
			}
		})
	})
}

func TestNothingIsLostOverARestart(t *testing.T) {
	in(t, func(o *Options) { o.BreakAfter = 1000 }, func(w *world) {
		w.answer(status(500))
		ep := w.endpoint("a", nil)
		first := w.publish(100, nil)
		time.Sleep(time.Minute)
		w.close()
		time.Sleep(time.Hour) // the third attempts fall due meanwhile
		w.answer(status(200))
		w.open()
		w.publish(1, nil)
		time.Sleep(time.Second) // a store that was just opened may make a reader wait for a moment
		if got := w.counts(); got.Delivered != 101 {
			t.Errorf("%+v", got)
		}
		if d := w.delivery(first[0], ep); d.Attempts != 3 {
			t.Errorf("%+v", d)
		}
	})
}

func TestARestartKeepsTheSchedule(t *testing.T) {
	in(t, nil, func(w *world) {
		w.answer(status(500))
		w.endpoint("a", nil)
		w.publish(1, nil)
		for range 20 {
			time.Sleep(90 * time.Minute)
			w.close()
			w.open()
		}
		time.Sleep(24 * time.Hour)
		if got, want := times(w.seen("")), plan(platforms["standard"].waits, 0); !slices.Equal(got, want) {
			t.Errorf("attempts at %v, want %v", got, want)
		}
	})
}

func TestADialectThatCannotSendFailsItsAttemptsOnly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*dialect.Dialect)
		reason string
	}{
		"it has no sending half": {func(d *dialect.Dialect) { d.Sign = nil }, "cannot send in the dialect douyin"},
		"it is not known":        {func(d *dialect.Dialect) { *d = dialect.Dialect{} }, "cannot send in the dialect douyin"},
		"it refuses its settings": {func(d *dialect.Dialect) {
			d.Sign = func(dialect.Settings, dialect.Outbound) (dialect.Request, error) {
				return dialect.Request{}, errors.New("no key")
			}
		}, "no key"},
		"it panics when it signs": {func(d *dialect.Dialect) {
			d.Sign = func(dialect.Settings, dialect.Outbound) (dialect.Request, error) { panic("a secret") }
		}, "an error of this server"},
		"it panics when it reads its settings": {func(d *dialect.Dialect) {
			d.Signer = func(dialect.Settings) func(dialect.Outbound) (dialect.Request, error) { panic("a secret") }
		}, "an error of this server"},
		"it panics when it judges": {func(d *dialect.Dialect) {
			d.Judge = func(dialect.Settings, dialect.Response) dialect.Verdict { panic("a secret") }
		}, "an error of this server"},
		"it makes a request that is none": {func(d *dialect.Dialect) {
			d.Sign = func(dialect.Settings, dialect.Outbound) (dialect.Request, error) {
				return dialect.Request{Header: http.Header{"a\r\nb": {"c"}}}, nil
			}
		}, "must not be sent"},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(o *Options) {
				o.Log = nil
				d := *o.Dialects["douyin"]
				c.change(&d)
				if o.Dialects["douyin"] = &d; d.Name == "" {
					delete(o.Dialects, "douyin")
				}
			}, func(w *world) {
				settings, _ := sample(t, "douyin")
				bad := w.endpoint("bad", func(e *hook.Endpoint) { e.Dialect, e.Settings = "douyin", settings })
				good := w.endpoint("good", nil)
				w.publish(1, nil)
				time.Sleep(30 * 24 * time.Hour)
				list := w.attempts(bad)
				if len(list) < 4 || !strings.Contains(list[0].Reason, c.reason) || strings.Contains(list[0].Reason, "secret") || list[0].Verdict != hook.Retry {
					t.Errorf("%d attempts: %+v", len(list), list)
				}
				if list := w.attempts(good); len(list) != 1 {
					t.Errorf("%+v", list)
				}
			})
		})
	}
}

func TestManyStopsAndStarts(t *testing.T) {
	in(t, nil, func(w *world) {
		w.endpoint("a", nil)
		w.answer(func(rw http.ResponseWriter, _ *http.Request) { time.Sleep(3 * time.Millisecond); rw.WriteHeader(200) })
		n := 0
		for range 30 {
			w.publish(7, nil)
			n += 7
			time.Sleep(2 * time.Millisecond)
			w.close()
			w.open()
		}
		time.Sleep(time.Minute)
		if got := w.counts(); got.Delivered != int64(n) {
			t.Errorf("%+v of %d", got, n)
		}
		if seen := len(w.seen("")); seen != n {
			t.Errorf("%d requests for %d messages", seen, n)
		}
	})
}
