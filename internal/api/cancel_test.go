package api_test

import (
	"testing"

	"github.com/waypost/waypost/internal/hook"
)

func TestAMessageIsCanceled(t *testing.T) {
	t.Parallel()
	s := start(t)
	app, token := s.appToken("a")
	one, two := s.ep(app, object{"uid": "one"}), s.ep(app, object{"uid": "two"})
	third := s.ep(app, object{"uid": "three"})
	msg := s.send(app, object{"eventId": "m1"})
	s.tries(msg, one, nil, hook.Attempt{Status: 200, Verdict: hook.Success})
	s.call(token, "POST", app+"/msg/m1/cancel", nil).refused(403, "permission_denied")
	s.call(token, "POST", app+"/msg/m1/endpoint/two/cancel", nil).refused(403, "permission_denied")
	s.post(app+"/msg/none/cancel", nil).refused(404, "not_found")
	s.post(app+"/msg/m1/endpoint/none/cancel", nil).refused(404, "not_found")
	canceled := func(path string, want float64, headers ...string) {
		t.Helper()
		if o := s.call(s.org, "POST", path, nil, headers...).want(200).json(); o["canceled"] != want {
			t.Errorf("%s: %v, want %v", path, o, want)
		}
	}
	canceled(app+"/msg/m1/endpoint/one/cancel", 0) // delivered stays delivered
	canceled(app+"/msg/m1/endpoint/two/cancel", 1, "Idempotency-Key", "k")
	canceled(app+"/msg/m1/endpoint/two/cancel", 0)
	canceled(app+"/msg/m1/endpoint/two/cancel", 1, "Idempotency-Key", "k") // the first answer
	canceled(app+"/msg/"+msg+"/cancel", 1)
	want := map[string]string{lastPart(one): "delivered", lastPart(two): "canceled", lastPart(third): "canceled"}
	for _, d := range s.get(app + "/msg/m1/delivery").want(200).json().list("data") {
		if d.str("state") != want[d.str("endpointId")] {
			t.Error(d)
		}
	}
	for _, ep := range []string{two, third} {
		id, _ := hook.ParseID[hook.EndpointID](lastPart(ep))
		if work, _, err := s.store.Claim(t.Context(), id, s.now(), 0, 10); err != nil || len(work) != 0 {
			t.Errorf("still to be sent: %v %v", work, err)
		}
	}
	t.Log("it can be sent again by hand")
	s.post(app+"/msg/m1/endpoint/two/resend", nil).want(202)
}
