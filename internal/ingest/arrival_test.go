package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
)

// arrived is a message of the courier that came over a connection.
func arrived(id string) ingest.Arrival {
	text := letter(id)
	return ingest.Arrival{
		Raw:      hook.Raw{Method: http.MethodPost, Header: http.Header{"Stream-Id": {"s1"}}, Body: []byte(text)},
		Remote:   netip.MustParseAddr("203.0.113.9"),
		Received: dialect.Received{EventType: "parcel.sent", EventID: id, DedupKey: id, Payload: []byte(`{"n":"` + id + `"}`)},
	}
}

func TestArrivalsAreStoredLikePushes(t *testing.T) {
	t.Parallel()
	st := open(t)
	unread := arrived("3")
	unread.Received.Unreadable = "no reason"
	got := st.door.Take(t.Context(), st.route, []ingest.Arrival{arrived("1"), arrived("2"), arrived("1"), unread})
	want := []ingest.Result{ingest.ResultStored, ingest.ResultStored, ingest.ResultDuplicate, ingest.ResultUnreadable}
	if !slices.Equal(got, want) {
		t.Fatalf("results %v, want %v", got, want)
	}
	if w := st.do(push(letter("2"))); w.Code != http.StatusOK || w.Body.String() != "ok again" {
		t.Errorf("the same message at the door: %d %q", w.Code, w.Body)
	}
	st.do(push(letter("4")))
	if again := st.door.Take(t.Context(), st.route, []ingest.Arrival{arrived("4")}); again[0] != ingest.ResultDuplicate {
		t.Errorf("a message that had come to the door: %v", again)
	}
	all := st.books.messages(t)
	if len(all) != 4 {
		t.Fatalf("%d messages are stored", len(all))
	}
	m := st.books.message(t, all[0].ID)
	if m.Source != st.source || m.EventType != "parcel.sent" || string(m.Payload) != `{"n":"1"}` || m.Raw == nil ||
		string(m.Raw.Body) != letter("1") || m.Raw.Header.Get("Stream-Id") != "s1" {
		t.Errorf("stored as %+v with %+v", m, m.Raw)
	}
	if n := st.results(); n[ingest.ResultStored] != 3 || n[ingest.ResultDuplicate] != 3 || n[ingest.ResultUnreadable] != 1 {
		t.Errorf("counted as %v", n)
	}
}

func TestArrivalsThatAreNotStored(t *testing.T) {
	t.Parallel()
	plain := func(*ingest.Options, *hook.Route) {}
	tests := []struct {
		name   string
		change setup
		spoil  func(st *station)
		want   ingest.Result
		said   string
	}{
		{"the store refuses", plain, func(st *station) { st.books.breakWith(errors.New("no room")) }, ingest.ResultUnavailable, "no room"},
		{"the server stops", func(o *ingest.Options, _ *hook.Route) { o.Accepting = func() error { return errors.New("stopping") } },
			func(*station) {}, ingest.ResultUnavailable, "stopping"},
		{"the application is gone", plain, func(st *station) {
			if err := st.books.DeleteApplication(context.Background(), st.app, time.Now()); err != nil {
				t.Error(err)
			}
		}, ingest.ResultUnavailable, "application"},
		{"the dialect is unknown", plain, func(st *station) { st.route.Source.Dialect = "pigeon" }, ingest.ResultSettings, "pigeon"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := open(t, tt.change)
			tt.spoil(st)
			if got := st.door.Take(t.Context(), st.route, []ingest.Arrival{arrived("1"), arrived("2")}); got[0] != tt.want || got[1] != tt.want {
				t.Errorf("results %v, want %s", got, tt.want)
			}
			if !strings.Contains(st.logs.String(), tt.said) {
				t.Errorf("the log does not say %q: %s", tt.said, st.logs)
			}
		})
	}
}

func TestARefusedArrivalIsKeptAndTheOthersAreStored(t *testing.T) {
	t.Parallel()
	st := open(t)
	forged := arrived("2")
	forged.Refused = dialect.Refuse(dialect.ReasonSignature, "letter", "does not match")
	got := st.door.Take(t.Context(), st.route, []ingest.Arrival{arrived("1"), forged, arrived("3")})
	want := []ingest.Result{ingest.ResultStored, ingest.ResultSignature, ingest.ResultStored}
	if !slices.Equal(got, want) || len(st.books.messages(t)) != 2 {
		t.Fatalf("results %v, %d stored", got, len(st.books.messages(t)))
	}
	if err := st.door.Close(); err != nil {
		t.Fatal(err)
	}
	kept := st.books.refusals(t, st.source)
	if len(kept) != 1 || kept[0].Reason != "signature" || kept[0].Remote != "203.0.113.9" || string(kept[0].Raw.Body) != letter("2") {
		text, _ := json.Marshal(kept)
		t.Errorf("kept %s", text)
	}
}
