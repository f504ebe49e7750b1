package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

func TestFillMakesMessagesThatAreThenDelivered(t *testing.T) {
	t.Parallel()
	o := Options{Data: t.TempDir(), Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Dev: true, LowWater: 1}
	a, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	application := hook.Application{ID: hook.NewID[hook.ApplicationID](a.ids, now), UID: "orders", CreatedAt: now}
	source := hook.Source{ID: hook.NewID[hook.SourceID](a.ids, now), App: application.ID, UID: "in", Dialect: "standard", Door: "door-of-fill", CreatedAt: now}
	endpoint := hook.Endpoint{ID: hook.NewID[hook.EndpointID](a.ids, now), App: application.ID, URL: "http://127.0.0.1:1/", Dialect: "standard", Paused: true, CreatedAt: now}
	err = errors.Join(a.store.CreateApplication(t.Context(), application), a.store.CreateSource(t.Context(), source), a.store.CreateEndpoint(t.Context(), endpoint))
	if err != nil {
		t.Fatal(err)
	}
	f := Filling{App: "orders", Source: "in", Count: 2*fillBatch + 7, Make: func(n int) hook.Accept {
		body := fmt.Appendf(nil, `{"n":%d}`, n)
		return hook.Accept{
			Message: hook.Message{EventType: "filled", Payload: body, Raw: &hook.Raw{Method: http.MethodPost, Body: body}},
			Dedup:   hook.Dedup{Scope: "fill", Key: fmt.Sprint(n), Keep: time.Hour},
		}
	}}
	if _, err := Fill(t.Context(), o, f); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a folder in use: %v", err)
	}
	if err := a.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	told := 0
	f.Progress = func(done int) { told = done }
	if done, err := Fill(t.Context(), o, f); err != nil || done != f.Count || told != f.Count {
		t.Errorf("filled %d, told of %d: %v", done, told, err)
	}
	if _, err := Fill(t.Context(), o, f); err == nil || !strings.Contains(err.Error(), "duplicate") {
		t.Errorf("the same messages again: %v", err)
	}
	f.App = "nobody"
	if _, err := Fill(t.Context(), o, f); hook.KindOf(err) != hook.KindNotFound {
		t.Errorf("an unknown application: %v", err)
	}
	if _, err := Fill(t.Context(), Options{Data: t.TempDir()}, f); err == nil || !strings.Contains(err.Error(), "holds no store") {
		t.Errorf("a folder without a store: %v", err)
	}
	if a, err = Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Stop(context.WithoutCancel(t.Context())) }()
	if c, err := a.store.Counts(t.Context()); err != nil || int(c.Pending) != f.Count {
		t.Errorf("%+v are there, want %d pending (%v)", c, f.Count, err)
	}
}

func TestFillEndsAtItsLimitAndWithItsContext(t *testing.T) {
	t.Parallel()
	o := Options{Data: t.TempDir(), Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", LowWater: 1}
	a, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	application := hook.Application{ID: hook.NewID[hook.ApplicationID](a.ids, now), UID: "orders", CreatedAt: now}
	source := hook.Source{ID: hook.NewID[hook.SourceID](a.ids, now), App: application.ID, UID: "in", Dialect: "standard", Door: "door-of-limit", CreatedAt: now}
	err = errors.Join(a.store.CreateApplication(t.Context(), application), a.store.CreateSource(t.Context(), source), a.Stop(context.WithoutCancel(t.Context())))
	if err != nil {
		t.Fatal(err)
	}
	f := Filling{App: "orders", Source: "in", Count: 1_000_000, Limit: time.Nanosecond, Make: func(int) hook.Accept {
		return hook.Accept{Message: hook.Message{EventType: "filled", Payload: []byte("{}")}}
	}}
	if done, err := Fill(t.Context(), o, f); err != nil || done != fillBatch {
		t.Errorf("after one batch the time is over: %d, %v", done, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.Limit, f.Progress = 0, func(int) { cancel() }
	if done, err := Fill(ctx, o, f); !errors.Is(err, context.Canceled) || done == 0 || done == f.Count {
		t.Errorf("canceled after %d: %v", done, err)
	}
}
