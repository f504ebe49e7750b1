package ingest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
)

// dated is courier with a time in each letter, in the member id and so under the signature, that may be five minutes off.
func dated() *dialect.Dialect {
	d := courier()
	d.Receive = func(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
		got, err := receiveCourier(s, in)
		if err != nil {
			return got, err
		}
		at, err := time.Parse(time.RFC3339, got.EventID)
		if err != nil || in.Now.Sub(at).Abs() > 5*time.Minute {
			return dialect.Received{}, dialect.Refuse(dialect.ReasonReplay, "member id", "is too far from now")
		}
		return got, nil
	}
	return d
}

// TestAClockThatWasSetLately: what the time now finds too old or too new is taken by the time before, and is then
// recognised by that time too.
func TestAClockThatWasSetLately(t *testing.T) {
	t.Parallel()
	before := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, by := range map[string]time.Duration{"ahead": 40 * 24 * time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lately := true
			st := open(t, func(o *ingest.Options, _ *hook.Route) {
				o.Dialects = map[string]*dialect.Dialect{"courier": dated()}
				o.Now = func() time.Time { return before.Add(by) }
				o.Otherwise = func() (time.Time, bool) { return before, lately }
			})
			at := func(at time.Time) *http.Request { return push(letter(at.Format(time.RFC3339))) }
			want := func(what string, r *http.Request, code int, result ingest.Result) {
				t.Helper()
				if got := st.do(r).Code; got != code || st.last(t).Result != result {
					t.Errorf("%s: answered %d and counted as %s, want %d and %s", what, got, st.last(t).Result, code, result)
				}
			}
			want("right by neither time", at(before.Add(by/2)), 401, ingest.ResultReplay)
			forged := at(before)
			forged.Header.Set("X-Courier-Signature", "00")
			want("forged", forged, 401, ingest.ResultSignature)
			want("right by the time before", at(before), 200, ingest.ResultStored)
			want("the same again", at(before), 200, ingest.ResultDuplicate)
			want("right by the time now", at(before.Add(by)), 200, ingest.ResultStored)
			if list := st.books.messages(t); len(list) != 2 || !list[0].CreatedAt.Equal(before) || !list[1].CreatedAt.Equal(before.Add(by)) {
				t.Errorf("stored: %+v", list)
			}
			lately = false
			want("right by the time before, long after", at(before.Add(time.Second)), 401, ingest.ResultReplay)
		})
	}
}
