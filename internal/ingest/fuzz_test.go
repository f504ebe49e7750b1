package ingest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
)

// FuzzSigned pushes rightly signed letters of any type and id: each must be stored under a type that a header can carry.
func FuzzSigned(f *testing.F) {
	f.Add("parcel.sent", "1", []byte(`{}`))
	f.Add("运单\x7f\n", strings.Repeat("é", 300), []byte(`[1]`))
	f.Add("\xff\xfe", "\x00", []byte(`{"a":"\u0000"}`))
	var m hook.Message
	st := open(f, func(o *ingest.Options, _ *hook.Route) {
		o.Accept = func(_ context.Context, batch []hook.Accept) ([]hook.Accepted, error) {
			m = batch[0].Message
			return []hook.Accepted{{Message: m}}, nil
		}
	})
	f.Fuzz(func(t *testing.T, eventType, id string, data []byte) {
		body, err := json.Marshal(map[string]any{"type": eventType, "id": id, "data": json.RawMessage(data)})
		if err != nil {
			t.Skip()
		}
		if json.Valid(data) && strings.HasPrefix(string(body), `{"data":null`) {
			t.Skip() // no letter
		}
		if eventType == "panic" {
			t.Skip() // courier's own fault
		}
		w := st.do(push(string(body)))
		if w.Code != 200 {
			t.Fatalf("answered %d to %s", w.Code, body)
		}
		if m.EventType == "" || len(m.EventType) > 256 || len(m.EventID) > 256 {
			t.Errorf("type %q, id %q", m.EventType, m.EventID)
		}
		for _, s := range []string{m.EventType, m.EventID} {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
				t.Errorf("stored %q", s)
			}
		}
		var sent struct{ Type string }
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Fatal(err)
		}
		if m.EventType != sent.Type && m.Unreadable == "" {
			t.Errorf("type %q became %q without a word", eventType, m.EventType)
		}
		if !json.Valid(m.Payload) || m.Payload[0] != '{' {
			t.Errorf("payload %q", m.Payload)
		}
	})
}

// FuzzForwarded sends any X-Forwarded-For through a trusted proxy that appends the true address: whatever stands in front
// of it must not matter.
func FuzzForwarded(f *testing.F) {
	f.Add("203.0.113.9")
	f.Add("203.0.113.9, ::ffff:10.0.0.1,,[::1]:80, unknown")
	st := open(f, func(o *ingest.Options, r *hook.Route) {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		r.Source.AllowFrom = []string{"203.0.113.0/24"}
	})
	f.Fuzz(func(t *testing.T, claimed string) {
		for sender, want := range map[string]int{"198.51.100.7": http.StatusForbidden, "203.0.113.7": http.StatusOK} {
			r := push(letter("1"))
			r.RemoteAddr = "10.1.1.1:1234"
			r.Header["X-Forwarded-For"] = []string{claimed + ", " + sender}
			if w := st.do(r); w.Code != want {
				t.Errorf("%q, %s: answered %d", claimed, sender, w.Code)
			}
		}
	})
}
