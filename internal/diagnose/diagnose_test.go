package diagnose

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/all"
	"github.com/waypost/waypost/dialect/explain"
)

const mark = "not-to-be-shown"

func TestNothingIsFoundWhereNothingIs(t *testing.T) {
	for name, d := range all.Table() {
		if d.Receive == nil {
			continue
		}
		for _, in := range []dialect.Inbound{
			{}, {Method: "POST", Body: []byte("{}")}, {Method: "POST", Header: http.Header{"Authorization": {"x"}}, Body: []byte("a=b")},
		} {
			in.Now = time.Unix(1_760_000_000, 0)
			s := dialect.Settings{}
			for _, f := range d.Fields {
				if f.Secret || f.Kind == dialect.KindKey {
					s[f.Name] = []string{mark}
				}
			}
			out := Request(d, s, in, explain.Limits{Tries: 200})
			if out.Valid && !out.Handshake || !out.Valid && (out.Reason == "" || out.Summary == nil) || out.Dialect != name {
				t.Errorf("%s: %+v", name, out)
			}
			for _, f := range out.Findings {
				if f.Sure == explain.Certain {
					t.Errorf("%s: made up a cause: %+v", name, f)
				}
			}
			if text, err := json.Marshal(out); err != nil || strings.Contains(string(text), mark) {
				t.Errorf("%s: %v: shows a setting: %s", name, err, text)
			}
		}
	}
}

func TestTheRuleNamesSettingsThatThereAre(t *testing.T) {
	for name, d := range all.Table() {
		r := ruleOf(d, dialect.Settings{})
		if d.Receive == nil || r == nil {
			continue
		}
		if r.Signature == "" || len(r.Keys) == 0 {
			t.Errorf("%s: %+v", name, r)
		}
		for _, key := range r.Keys {
			if _, ok := fieldOf(d, key); !ok {
				t.Errorf("%s has no setting %s", name, key)
			}
		}
		for _, setting := range d.Explain.Profile {
			if r.Profile[setting] == "" {
				t.Errorf("%s: no value of %s: %v", name, setting, r.Profile)
			}
		}
	}
}

func TestAnErrorThatIsNoRefusalIsNotShown(t *testing.T) {
	d := &dialect.Dialect{Name: "odd", Receive: func(dialect.Settings, dialect.Inbound) (dialect.Received, error) {
		return dialect.Received{}, errors.New(mark)
	}}
	if out := Request(d, nil, dialect.Inbound{}, explain.Limits{}); out.Valid || out.Reason != "malformed" || strings.Contains(out.Text, mark) {
		t.Errorf("%+v", out)
	}
}

func TestANoteIsGivenOnce(t *testing.T) {
	var d Diagnosis
	d.Note(dialect.Text{En: "a", Zh: "b"}, dialect.Text{En: "a", Zh: "b"})
	d.Note(dialect.Text{En: "a", Zh: "b"}, dialect.Text{En: "c", Zh: "d"})
	if len(d.Notes) != 2 {
		t.Error(d.Notes)
	}
}
