package hook

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestWhereAMessageGoes(t *testing.T) {
	m := Message{App: 7, EventType: "order.created", Channels: []string{"east", "north"}}
	e := Endpoint{ID: 8, App: 7}
	with := func(change func(*Endpoint)) Endpoint { e := e; change(&e); return e }
	for name, c := range map[string]struct {
		e             Endpoint
		matches, only bool
		why           string
	}{
		"everything":           {e, true, true, ""},
		"its type":             {with(func(e *Endpoint) { e.EventTypes = []string{"x", "order.created"} }), true, true, ""},
		"another type":         {with(func(e *Endpoint) { e.EventTypes = []string{"order"} }), false, true, "event types"},
		"a channel":            {with(func(e *Endpoint) { e.Channels = []string{"north"} }), true, true, ""},
		"another channel":      {with(func(e *Endpoint) { e.Channels = []string{"west"} }), false, true, "channel"},
		"another application":  {with(func(e *Endpoint) { e.App = 9 }), false, false, "application"},
		"a disabled endpoint":  {with(func(e *Endpoint) { e.Disabled = true }), false, false, "disabled"},
		"a polled endpoint":    {with(func(e *Endpoint) { e.Transport = TransportPoll }), false, false, "polled"},
		"a paused endpoint":    {with(func(e *Endpoint) { e.Paused = true }), true, true, ""},
		"disabled, other type": {with(func(e *Endpoint) { e.Disabled, e.EventTypes = true, []string{"x"} }), false, false, "disabled"},
	} {
		ok, why := c.e.Matches(&m)
		if ok != c.matches || ok != (why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: matches %v, %q", name, ok, why)
		}
		if got := (&Accept{Message: m}).GoesTo(&c.e); got != c.matches {
			t.Errorf("%s: goes there %v, want %v", name, got, c.matches)
		}
		if got := (&Accept{Message: m, Only: c.e.ID}).GoesTo(&c.e); got != c.only {
			t.Errorf("%s: goes there when it goes only there %v, want %v", name, got, c.only)
		}
		if (&Accept{Message: m, Except: c.e.ID}).GoesTo(&c.e) {
			t.Errorf("%s: goes back to where it came from", name)
		}
		if got := (&Accept{Message: m, Except: 99}).GoesTo(&c.e); got != c.matches {
			t.Errorf("%s: goes there though it came from elsewhere %v, want %v", name, got, c.matches)
		}
		if (&Accept{Message: m, Only: 99}).GoesTo(&c.e) {
			t.Errorf("%s: goes there though it goes only elsewhere", name)
		}
	}
}

func TestPermits(t *testing.T) {
	for _, c := range []struct {
		held, needed []string
		want         bool
	}{
		{nil, nil, true}, {nil, []string{"a"}, true},
		{[]string{}, nil, true}, {[]string{}, []string{"a"}, false},
		{[]string{"a"}, []string{"b"}, false}, {[]string{"a", "b"}, []string{"c", "b"}, true}, {[]string{"b"}, []string{}, true},
	} {
		e := EventType{FeatureFlags: c.needed}
		if got := Permits(c.held, c.needed); got != c.want || e.OpenTo(c.held) != c.want {
			t.Errorf("who holds %q of %q: %v, want %v", c.held, c.needed, got, c.want)
		}
	}
}

func TestOldSecretsDoNotPrint(t *testing.T) {
	e := Endpoint{OldSecrets: []OldSecret{{Value: "hunter2-hunter2"}}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "endpoint", e, "secrets", e.OldSecrets)
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %s %q %x", e, e, e, e.OldSecrets, e.OldSecrets, e.OldSecrets[0]), log.String()} {
		if strings.Contains(s, "hunter2") || strings.Contains(s, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("printed: %s", s)
		}
	}
}
