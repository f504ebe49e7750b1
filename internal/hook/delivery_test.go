package hook

import (
	"testing"
	"time"
)

func TestStep(t *testing.T) {
	sched := []time.Duration{5 * time.Second, 5 * time.Minute}
	pending := Delivery{State: Pending, NextAt: noon}
	with := func(d Delivery, n int) Delivery { d.Attempts = n; return d }
	at := noon.Add(time.Second)
	for _, c := range []struct {
		name    string
		from    Delivery
		verdict Verdict
		trigger Trigger
		after   time.Duration
		want    Delivery
	}{
		{"success delivers", pending, Success, Scheduled, 0, Delivery{State: Delivered, Attempts: 1}},
		{"a failure waits for the first step, counted from the judgement", pending, Retry, Scheduled, 0,
			Delivery{State: Pending, Attempts: 1, NextAt: at.Add(5 * time.Second)}},
		{"the next failure waits for the second step", with(pending, 1), Retry, Scheduled, 0,
			Delivery{State: Pending, Attempts: 2, NextAt: at.Add(5 * time.Minute)}},
		{"the last failure fails", with(pending, 2), Retry, Scheduled, 0, Delivery{State: Failed, Attempts: 3}},
		{"a refusal fails at once", pending, Refuse, Scheduled, 0, Delivery{State: Failed, Attempts: 1}},
		{"gone fails at once", pending, Gone, Scheduled, 0, Delivery{State: Failed, Attempts: 1}},
		{"retry-after below the step is the step", pending, Retry, Scheduled, time.Second,
			Delivery{State: Pending, Attempts: 1, NextAt: at.Add(5 * time.Second)}},
		{"retry-after within twice the step is honoured", pending, Retry, Scheduled, 7 * time.Second,
			Delivery{State: Pending, Attempts: 1, NextAt: at.Add(7 * time.Second)}},
		{"retry-after beyond twice the step is cut", pending, Retry, Scheduled, time.Hour,
			Delivery{State: Pending, Attempts: 1, NextAt: at.Add(10 * time.Second)}},
		{"a manual failure leaves the schedule alone", with(pending, 1), Retry, Manual, 0, with(pending, 1)},
		{"a manual gone leaves the schedule alone", with(pending, 1), Gone, Manual, 0, with(pending, 1)},
		{"a manual success delivers what is pending", with(pending, 1), Success, Manual, 0, Delivery{State: Delivered, Attempts: 1}},
		{"a manual success delivers what had failed", Delivery{State: Failed, Attempts: 3}, Success, Manual, 0, Delivery{State: Delivered, Attempts: 3}},
		{"a manual failure does not wake what had failed", Delivery{State: Failed, Attempts: 3}, Retry, Manual, 0, Delivery{State: Failed, Attempts: 3}},
		{"what was canceled in flight stays canceled", Delivery{State: Canceled}, Retry, Scheduled, 0, Delivery{State: Canceled, Attempts: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.from.Step(c.verdict, c.trigger, at, sched, c.after); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	t.Run("an empty schedule makes exactly one attempt", func(t *testing.T) {
		if got := pending.Step(Retry, Scheduled, at, nil, time.Hour); got.State != Failed || got.Attempts != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestMatches(t *testing.T) {
	m := &Message{App: 1, EventType: "order.paid", Channels: []string{"a", "b"}}
	for name, c := range map[string]struct {
		e    Endpoint
		want bool
	}{
		"no filters takes all":        {Endpoint{App: 1}, true},
		"another application":         {Endpoint{App: 2}, false},
		"disabled":                    {Endpoint{App: 1, Disabled: true}, false},
		"paused still collects":       {Endpoint{App: 1, Paused: true}, true},
		"its event type":              {Endpoint{App: 1, EventTypes: []string{"x", "order.paid"}}, true},
		"another event type":          {Endpoint{App: 1, EventTypes: []string{"order"}}, false},
		"a channel in common":         {Endpoint{App: 1, Channels: []string{"z", "b"}}, true},
		"no channel in common":        {Endpoint{App: 1, Channels: []string{"z"}}, false},
		"event type and channel both": {Endpoint{App: 1, EventTypes: []string{"order.paid"}, Channels: []string{"z"}}, false},
	} {
		if ok, why := c.e.Matches(m); ok != c.want || ok == (why != "") {
			t.Errorf("%s: %v %q, want %v", name, ok, why, c.want)
		}
	}
}
