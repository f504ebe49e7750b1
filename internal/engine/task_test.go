package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// begin starts a task and returns its id.
func begin(w *world, kind hook.TaskKind, ep hook.EndpointID, change func(*hook.Task)) hook.TaskID {
	w.t.Helper()
	t := hook.Task{ID: hook.NewID[hook.TaskID](w.ids, time.Now()), Kind: kind, App: w.app, Endpoint: ep, CreatedAt: time.Now()}
	if kind == hook.TaskBroadcast {
		t.App = 0
	}
	if change != nil {
		change(&t)
	}
	w.must(w.db.StartTask(context.Background(), t))
	return t.ID
}

func (w *world) task(id hook.TaskID) hook.Task {
	w.t.Helper()
	t, err := w.db.Task(context.Background(), id)
	w.must(err)
	return t
}

// failed publishes messages that fail at an endpoint for good.
func failed(w *world, n int) (hook.Endpoint, []hook.Message) {
	w.t.Helper()
	w.answer(withHeader(400, "webhook-delivery", "abort-message"))
	ep := w.endpoint("a", nil)
	list := w.publish(n, nil)
	settled()
	time.Sleep(time.Second)
	if got := w.counts().Failed; got != int64(n) {
		w.t.Fatalf("%d of %d have failed", got, n)
	}
	return ep, list
}

// manual counts the attempts of each message that somebody asked for.
func manual(w *world, ep hook.Endpoint) map[hook.MessageID]int {
	w.t.Helper()
	n := map[hook.MessageID]int{}
	for _, a := range w.allAttempts(ep) {
		if a.Trigger == hook.Manual {
			n[a.Message]++
		}
	}
	return n
}

// once fails unless each of the messages was sent again exactly once.
func once(w *world, ep hook.Endpoint, list []hook.Message) {
	w.t.Helper()
	n := manual(w, ep)
	for _, m := range list {
		if n[m.ID] != 1 {
			w.t.Errorf("%v was sent again %d times", m.ID, n[m.ID])
		}
	}
	if len(n) != len(list) {
		w.t.Errorf("%d messages were sent again, want %d", len(n), len(list))
	}
}

func TestARecoverySendsWhatFailed(t *testing.T) {
	t.Parallel()
	t.Run("once, whatever their number", func(t *testing.T) {
		in(t, nil, func(w *world) {
			ep, list := failed(w, 1000)
			w.answer(status(200))
			w.publish(50, nil)
			settled()
			id := begin(w, hook.TaskRecover, ep.ID, nil)
			time.Sleep(time.Minute)
			if task := w.task(id); task.State != hook.TaskFinished || task.Done != 1000 {
				t.Errorf("%+v", task)
			}
			once(w, ep, list)
			if c := w.counts(); c.Failed != 0 || c.Delivered != 1050 {
				t.Errorf("%+v", c)
			}
			nothingInHand(w)
		})
	})
	t.Run("once, though the server is restarted between", func(t *testing.T) {
		in(t, func(o *Options) { o.Concurrency = 4 }, func(w *world) {
			ep, list := failed(w, 1000)
			w.answer(slow(20 * time.Millisecond))
			id := begin(w, hook.TaskRecover, ep.ID, nil)
			restarts := 0
			for ; w.task(id).State == hook.TaskRunning && restarts < 200; restarts++ {
				time.Sleep(300 * time.Millisecond)
				w.close()
				w.open()
			}
			time.Sleep(time.Minute)
			if restarts < 5 || restarts == 200 {
				t.Errorf("%d restarts", restarts)
			}
			once(w, ep, list)
		})
	})
	t.Run("and leaves room for what is published meanwhile", func(t *testing.T) {
		in(t, func(o *Options) { o.Concurrency = 4 }, func(w *world) {
			ep, _ := failed(w, 1200)
			w.answer(slow(time.Second))
			begin(w, hook.TaskRecover, ep.ID, nil)
			time.Sleep(30 * time.Second)
			published := time.Since(w.begin)
			m := w.publish(1, nil)[0]
			time.Sleep(20 * time.Minute)
			for _, a := range w.seen("") {
				if a.id == m.ID.String() && a.at-published > 90*time.Second {
					t.Errorf("it arrived after %v", a.at-published)
				}
			}
			if c := w.counts(); c.Delivered != 1201 {
				t.Errorf("%+v", c)
			}
		})
	})
	t.Run("not while its endpoint is paused, and then all", func(t *testing.T) {
		in(t, nil, func(w *world) {
			ep, list := failed(w, 1000)
			w.answer(status(200))
			ep = w.update(w.stored(ep), func(e *hook.Endpoint) { e.Paused = true })
			id := begin(w, hook.TaskRecover, ep.ID, nil)
			time.Sleep(day)
			if task := w.task(id); task.State != hook.TaskRunning || task.Done > 2*maxTaskStep {
				t.Errorf("%+v", task)
			}
			w.update(ep, func(e *hook.Endpoint) { e.Paused = false })
			time.Sleep(time.Minute)
			once(w, ep, list)
		})
	})
}

func TestTasksDoNotWaitForThoseOfOtherEndpoints(t *testing.T) {
	in(t, nil, func(w *world) {
		a, list := failed(w, 500)
		b := w.endpoint("b", nil)
		w.answer(status(200))
		a = w.update(w.stored(a), func(e *hook.Endpoint) { e.Paused = true })
		first := begin(w, hook.TaskRecover, a.ID, nil)
		second := begin(w, hook.TaskBulk, a.ID, nil)
		other := begin(w, hook.TaskReplay, b.ID, nil)
		time.Sleep(time.Hour)
		if x, y, z := w.task(first), w.task(second), w.task(other); x.State != hook.TaskRunning || y.Looked != 0 || z.State != hook.TaskFinished || z.Done != 500 {
			t.Errorf("%+v\n%+v\n%+v", x, y, z)
		}
		if n := len(w.seen("b.example")); n != 500 {
			t.Errorf("%d arrived at the other endpoint", n)
		}
		w.update(a, func(e *hook.Endpoint) { e.Paused = false })
		time.Sleep(time.Hour)
		if x, y := w.task(first), w.task(second); x.State != hook.TaskFinished || y.State != hook.TaskFinished || y.Done == 0 {
			t.Errorf("%+v\n%+v", x, y)
		}
		for _, m := range list {
			if d := w.delivery(m, a); d.State != hook.Delivered {
				t.Errorf("%+v", d)
			}
		}
	})
}

func TestTasksOfOneEndpointAreDoneOneAfterTheOther(t *testing.T) {
	in(t, func(o *Options) { o.Concurrency = 20 }, func(w *world) {
		ep, _ := failed(w, 500)
		w.answer(slow(time.Second))
		first := begin(w, hook.TaskRecover, ep.ID, nil)
		second := begin(w, hook.TaskBulk, ep.ID, nil)
		rounds := 0
		for ; w.task(first).State == hook.TaskRunning; rounds++ {
			if task := w.task(second); task.Looked != 0 {
				t.Errorf("it does not wait: %+v", task)
				break
			}
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Minute)
		if task := w.task(second); rounds < 3 || task.State != hook.TaskFinished || task.Looked != 500 {
			t.Errorf("after %d rounds: %+v", rounds, task)
		}
	})
}

func TestAReplaySendsWhatAnEndpointNeverGotOnItsSchedule(t *testing.T) {
	in(t, nil, func(w *world) {
		w.publish(400, nil)
		w.publish(100, func(m *hook.Message) { m.EventType = "order.paid" })
		ep := w.endpoint("a", func(e *hook.Endpoint) { everyMinute(2)(e); e.EventTypes = []string{"order.created"} })
		w.answer(status(500))
		began := time.Now()
		id := begin(w, hook.TaskReplay, ep.ID, nil)
		time.Sleep(90 * time.Second)
		w.answer(status(200))
		time.Sleep(time.Hour)
		if task := w.task(id); task.State != hook.TaskFinished || task.Done != 400 || task.Looked != 500 {
			t.Errorf("%+v", task)
		}
		if c := w.counts(); c.Delivered != 400 || c.Pending != 0 {
			t.Errorf("%+v after %v", c, time.Since(began))
		}
		again := begin(w, hook.TaskReplay, ep.ID, nil)
		time.Sleep(time.Hour)
		if task := w.task(again); task.Done != 0 {
			t.Errorf("a second one: %+v", task)
		}
	})
}

func TestABroadcastReachesEveryApplicationOnce(t *testing.T) {
	in(t, nil, func(w *world) {
		apps := sized(450, maxTaskStep+10) // more than one step
		for i := range apps {
			w.app = w.newApp(nil)
			w.endpoint(fmt.Sprint("e", i), nil)
		}
		id := begin(w, hook.TaskBroadcast, 0, func(t *hook.Task) {
			t.Message = &hook.Accept{Message: hook.Message{EventType: "rules.changed", Payload: []byte(`{"n": 1}`)}}
		})
		settled()
		for range 3 {
			w.close()
			w.open()
			settled()
		}
		time.Sleep(time.Minute)
		if task := w.task(id); task.State != hook.TaskFinished || task.Done != int64(apps+1) {
			t.Errorf("%+v", task)
		}
		hosts := map[string]int{}
		for _, a := range w.seen("") {
			hosts[a.host]++
			if a.body != `{"n": 1}` {
				t.Errorf("%q", a.body)
			}
		}
		for i := range apps {
			if n := hosts[fmt.Sprintf("e%d.example", i)]; n != 1 {
				t.Errorf("application %d got it %d times", i, n)
			}
		}
	})
}

func TestATaskWhoseEndpointGoesEndsVisibly(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *world, ep hook.Endpoint){
		"disabled": func(w *world, ep hook.Endpoint) { w.update(w.stored(ep), func(e *hook.Endpoint) { e.Disabled = true }) },
		"deleted": func(w *world, ep hook.Endpoint) {
			w.must(w.db.DeleteEndpoint(context.Background(), w.app, ep.ID, time.Now()))
		},
		"polled": func(w *world, ep hook.Endpoint) {
			w.update(w.stored(ep), func(e *hook.Endpoint) { e.Transport = hook.TransportPoll })
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, nil, func(w *world) {
				ep, _ := failed(w, 1000)
				w.answer(slow(10 * time.Second))
				id := begin(w, hook.TaskRecover, ep.ID, nil)
				time.Sleep(5 * time.Second)
				end(w, ep)
				time.Sleep(time.Minute)
				if task := w.task(id); task.State != hook.TaskFailed || task.Reason == "" || task.Done == 0 || task.Done > 500 {
					t.Errorf("%+v", task)
				}
				nothingInHand(w)
			})
		})
	}
}

func TestATaskOutlastsTroubleOfTheStore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err   error
		after time.Duration // when the trouble is over it goes on within
	}{
		"that takes nothing for a while": {hook.Errorf(hook.KindUnavailable, "the disk is full for a moment"), errorPause},
		"that nobody foresaw":            {errors.New("an accident"), taskError},
	} {
		t.Run(name, func(t *testing.T) {
			broken(t, nil, func(w *world, f *flaky) {
				ep, list := failed(w, 300)
				w.answer(status(200))
				f.failStep(c.err)
				id := begin(w, hook.TaskRecover, ep.ID, nil)
				time.Sleep(10 * time.Minute)
				if task := w.task(id); task.Looked != 0 || task.State != hook.TaskRunning {
					t.Errorf("%+v", task)
				}
				f.mu.Lock()
				if f.steps > int(10*time.Minute/c.after)+1 {
					t.Errorf("it was tried %d times", f.steps)
				}
				f.mu.Unlock()
				f.failStep(nil)
				time.Sleep(c.after + time.Second)
				if task := w.task(id); task.State != hook.TaskFinished {
					t.Errorf("%+v", task)
				}
				once(w, ep, list)
			})
		})
	}
	t.Run("that cannot record what is sent", func(t *testing.T) {
		broken(t, nil, func(w *world, f *flaky) {
			ep, list := failed(w, 1000)
			w.answer(status(200))
			f.fail(hook.Errorf(hook.KindUnavailable, "the disk is full for a moment"))
			w.endpoint("other", func(e *hook.Endpoint) { e.Channels = []string{"other"} })
			w.publish(1, func(m *hook.Message) { m.Channels = []string{"other"} })
			settled() // what went to the other endpoint cannot be recorded
			id := begin(w, hook.TaskRecover, ep.ID, nil)
			time.Sleep(time.Hour)
			if task := w.task(id); task.Looked != 0 {
				t.Errorf("%+v", task)
			}
			f.fail(nil)
			time.Sleep(time.Minute)
			once(w, ep, list)
		})
	})
	t.Run("that is broken: then everything stops", func(t *testing.T) {
		told := make(chan error, 1)
		broken(t, func(o *Options) { o.Broken = func(err error) { told <- err } }, func(w *world, f *flaky) {
			f.failStep(hook.Errorf(hook.KindUnavailable, "the disk is full for a moment"))
			for i := range 5 {
				begin(w, hook.TaskReplay, w.endpoint(fmt.Sprint("e", i), nil).ID, nil)
			}
			settled()
			f.failStep(errors.Join(store.ErrBroken, errors.New("input/output error")))
			time.Sleep(time.Hour)
			if len(told) != 1 {
				t.Errorf("told %d times", len(told))
			}
			f.mu.Lock()
			if f.steps != 1 {
				t.Errorf("%d steps", f.steps)
			}
			f.mu.Unlock()
			if err := w.e.Stop(context.Background()); !errors.Is(err, store.ErrBroken) {
				t.Errorf("stop: %v", err)
			}
			w.e.err = nil
		})
	})
}

func TestStopDoesNotWaitForATask(t *testing.T) {
	in(t, nil, func(w *world) {
		ep, _ := failed(w, 1200)
		w.answer(slow(time.Second))
		id := begin(w, hook.TaskRecover, ep.ID, nil)
		time.Sleep(100 * time.Millisecond)
		before := time.Now()
		w.close()
		if took := time.Since(before); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		w.open()
		if task := w.task(id); task.State != hook.TaskRunning {
			t.Errorf("%+v", task)
		}
	})
}

func TestATaskThatIsStartedBeforeTheEngineIsDone(t *testing.T) {
	in(t, nil, func(w *world) {
		ep, list := failed(w, 10)
		w.answer(status(200))
		w.must(w.e.Stop(context.Background()))
		id := begin(w, hook.TaskRecover, ep.ID, nil)
		w.close()
		w.open()
		time.Sleep(time.Minute)
		if task := w.task(id); task.State != hook.TaskFinished {
			t.Errorf("%+v", task)
		}
		once(w, ep, list)
	})
}

// Endpoints that do not answer may keep their windows full for days.
func TestTasksGoOnWhileOthersHaveMuchInHand(t *testing.T) {
	in(t, nil, func(w *world) {
		ep, list := failed(w, 500)
		w.answer(status(200))
		const apps = 3 * maxTaskStep
		for range apps {
			w.newApp(nil)
		}
		others := func(n int) {
			w.e.mu.Lock()
			defer w.e.mu.Unlock()
			w.e.hand += n
		}
		others(2 * w.e.o.Hand)
		recovery := begin(w, hook.TaskRecover, ep.ID, nil)
		broadcast := begin(w, hook.TaskBroadcast, 0, func(t *hook.Task) {
			t.Message = &hook.Accept{Message: hook.Message{EventType: "x", Payload: []byte("{}"), CreatedAt: time.Now()}}
		})
		time.Sleep(time.Minute)
		once(w, ep, list)
		for _, id := range []hook.TaskID{recovery, broadcast} {
			if task := w.task(id); task.State != hook.TaskFinished {
				t.Errorf("%+v", task)
			}
		}
		others(-2 * w.e.o.Hand)
	})
}
