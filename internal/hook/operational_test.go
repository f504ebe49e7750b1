package hook

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

func TestNoticesHaveTheShapesOfSvix(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 678_912_345, time.FixedZone("", 8*3600))
	app, ep, msg, attempt := ApplicationID(1<<40), EndpointID(1<<41), MessageID(1<<42), AttemptID(1<<43)
	full := Notice{ID: 1 << 44, Now: now, AppUID: "shop"}
	bare := Notice{ID: 1 << 44, Now: now}
	endpoint := Endpoint{ID: ep, App: app, UID: "hooks"}
	about := `"appId":"` + app.String() + `","appUid":"shop"`
	for name, c := range map[string]struct {
		got  Accept
		want string
	}{
		"endpoint.created": {
			full.Endpoint(EndpointCreated, &endpoint),
			`{"type":"endpoint.created","data":{` + about + `,"endpointId":"` + ep.String() + `","endpointUid":"hooks"}}`,
		},
		"endpoint.deleted": {
			bare.Endpoint(EndpointDeleted, &Endpoint{ID: ep, App: app}),
			`{"type":"endpoint.deleted","data":{"appId":"` + app.String() + `","appUid":null,"endpointId":"` + ep.String() + `","endpointUid":null}}`,
		},
		"endpoint.disabled": {
			full.Disabled(&endpoint, now),
			`{"type":"endpoint.disabled","data":{` + about + `,"endpointId":"` + ep.String() + `","endpointUid":"hooks","failSince":"2026-01-01T19:04:05.678Z"}}`,
		},
		"message.attempt.exhausted": {
			full.Attempt(AttemptExhausted, &Message{ID: msg, App: app, EventID: "evt-1"}, &Attempt{ID: attempt, App: app, Message: msg, Endpoint: ep, Status: 503, At: now}),
			`{"type":"message.attempt.exhausted","data":{` + about + `,"msgId":"` + msg.String() + `","msgEventId":"evt-1","endpointId":"` + ep.String() +
				`","lastAttempt":{"id":"` + attempt.String() + `","responseStatusCode":503,"timestamp":"2026-01-01T19:04:05.678Z"}}}`,
		},
		"message.attempt.failing": {
			bare.Attempt(AttemptFailing, &Message{ID: msg, App: app}, &Attempt{ID: attempt, App: app, Message: msg, Endpoint: ep, At: now}),
			`{"type":"message.attempt.failing","data":{"appId":"` + app.String() + `","appUid":null,"msgId":"` + msg.String() + `","msgEventId":null,"endpointId":"` + ep.String() +
				`","lastAttempt":{"id":"` + attempt.String() + `","responseStatusCode":0,"timestamp":"2026-01-01T19:04:05.678Z"}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := c.got.Message
			if string(m.Payload) != c.want {
				t.Errorf("it is\n%s, want\n%s", m.Payload, c.want)
			}
			if m.ID != 1<<44 || m.App != Operational || m.EventType != name || !m.CreatedAt.Equal(now) || !slices.Contains(OperationalTypes(), name) {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestANoticeIsJSONWhateverItIsAbout(t *testing.T) {
	t.Parallel()
	n := Notice{AppUID: "\xff\"\u2028<"}
	for _, a := range []Accept{
		n.Endpoint(EndpointUpdated, &Endpoint{UID: "\x00"}),
		n.Disabled(&Endpoint{}, time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)),
		n.Attempt(AttemptRecovered, &Message{EventID: "\xc0"}, &Attempt{}),
	} {
		if !json.Valid(a.Message.Payload) {
			t.Errorf("%q", a.Message.Payload)
		}
	}
}
