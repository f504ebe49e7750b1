package ingest_test

import (
	"context"
	"net"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/all"
	"github.com/waypost/waypost/internal/egress"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
	"github.com/waypost/waypost/internal/simulate"
)

func TestEveryPlatformIsSatisfied(t *testing.T) {
	t.Parallel()
	for _, p := range all.Table() {
		if p.Receive == nil || p.Sign == nil {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { satisfies(t, p) })
		})
	}
}

func TestAnEmptyPostWithoutSignatureIsAProbeInEveryDialect(t *testing.T) {
	t.Parallel()
	for _, p := range all.Table() {
		if p.Receive == nil || p.Sign == nil {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			st, _ := openFor(t, p)
			w := st.do(httptest.NewRequest("POST", ingest.Path+doorName, nil))
			if w.Code != 200 || st.last(t).Result != ingest.ResultProbe || len(st.books.messages(t)) != 0 {
				t.Errorf("answered %d, counted as %q", w.Code, st.last(t).Result)
			}
		})
	}
}

func TestASignedFormInTheQueryIsStored(t *testing.T) {
	t.Parallel()
	p := all.Table()["aop1688"]
	st, platform := openFor(t, p)
	e := p.Examples[0]
	form, err := p.Sign(platform, dialect.Outbound{
		ID: "msg_1", EventType: e.EventType, Payload: e.Payload, Platform: e.Platform, Now: time.Now(), Created: time.Now(), Seed: [32]byte{1},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := st.do(httptest.NewRequest("POST", ingest.Path+doorName+"?"+string(form.Body), nil))
	if w.Code != 200 || st.last(t).Result != ingest.ResultStored || len(st.books.messages(t)) != 1 {
		t.Errorf("answered %d, counted as %q, stored %d", w.Code, st.last(t).Result, len(st.books.messages(t)))
	}
	forged := strings.Replace(string(form.Body), "message=", "message=+", 1)
	w = st.do(httptest.NewRequest("POST", ingest.Path+doorName+"?"+forged, nil))
	if w.Code != 401 || st.last(t).Result != ingest.ResultSignature {
		t.Errorf("a forged one: answered %d, counted as %q", w.Code, st.last(t).Result)
	}
}

// openFor makes a station whose source speaks a dialect of the build, and the settings of the platform's half.
func openFor(t *testing.T, p *dialect.Dialect) (*station, dialect.Settings) {
	t.Helper()
	platform, receiver, err := simulate.Keys(p)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, func(o *ingest.Options, r *hook.Route) {
		o.Dialects[p.Name] = p
		r.Source.Dialect, r.Settings = p.Name, hook.Settings(receiver)
	}), dialect.Settings(platform)
}

func satisfies(t *testing.T, p *dialect.Dialect) {
	st, platform := openFor(t, p)
	dial := serve(t, st)
	client := egress.New(egress.Options{
		Dial: func(context.Context, string, string) (net.Conn, error) { return dial(), nil },
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
		},
	})
	defer client.Close()
	const count, duplicates, forge = 20, 10, 5
	stored := count
	var events []dialect.Example
	if len(p.Examples) == 0 {
		events = []dialect.Example{{EventType: "x", Payload: []byte(`{"order_id":"100000000000000001"}`)}}
	}
	report, err := simulate.Run(context.Background(), simulate.Options{
		Dialect: p, Events: events, Settings: platform, To: "http://waypost.example" + ingest.Path + doorName, Client: client,
		Count: count, Duplicates: duplicates, Forge: forge, Disorder: true, Handshake: true,
		Progress: func(step simulate.Step) {
			if step.Kind == simulate.StepHandshake {
				stored += len(st.books.messages(t)) // some platforms' handshake is a message like any other
			}
		},
	})
	synctest.Wait() // until the last request is counted
	if err != nil {
		t.Fatal(err)
	}
	if !report.Passed || report.Totals.Acknowledged != count || report.Totals.ForgedRefused != report.Totals.Forged {
		t.Errorf("the platform says %+v, %+v", report.Totals, report.Findings)
	}
	if n := len(st.books.messages(t)); n != stored {
		t.Errorf("stored %d messages, want %d", n, stored)
	}
	n := st.results()
	if n[ingest.ResultStored] != stored || n[ingest.ResultDuplicate] != duplicates || n[ingest.ResultSignature] != report.Totals.Forged {
		t.Errorf("counted %v", n)
	}
	for _, m := range st.books.messages(t) {
		if m = st.books.message(t, m.ID); m.Unreadable != "" || m.EventType == "" || len(m.Payload) == 0 {
			t.Errorf("stored %+v", m)
		}
	}
}
