package api

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzReadMessage holds our reader of publications against encoding/json: it must not panic, and what it accepts must be
// what encoding/json sees, with a payload that stands in the body byte for byte.
func FuzzReadMessage(f *testing.F) {
	for _, seed := range []string{
		`{"eventType":"e","payload":{}}`, `{"eventType":"e","payload":{"a":[1,{"b":"}\""}]},"eventId":"x","channels":["a"],"tags":[],"platform":{"a":"b"}}`,
		`{"payload":{},"payload":{}}`, `{"eventType":"\u0065","payload":{"a":"\\"}}`, ` { "eventType" : "e" , "payload" : { } } `, `{}`, `[]`, `null`, `"`,
		`{"eventType":"e","payload":{},"transformationsParams":{"rawPayload":" {} "}}`, `{"eventType":"e","payload":{},"x":1e5,"y":true}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := readMessage(body)
		if err != nil {
			return
		}
		// A map, since encoding/json takes the members of a struct in any case.
		var want map[string]json.RawMessage
		if !utf8.Valid(body) || json.Unmarshal(body, &want) != nil {
			t.Fatalf("accepts what is not a JSON object: %q", body)
		}
		if !json.Valid(m.Payload) || bytes.TrimSpace(m.Payload)[0] != '{' {
			t.Fatalf("the payload is not an object: %q of %q", m.Payload, body)
		}
		if _, replaced := want["transformationsParams"]; !replaced && !bytes.Equal(m.Payload, want["payload"]) {
			t.Fatalf("payload %q, want %q", m.Payload, want["payload"])
		}
		var name string
		if json.Unmarshal(want["eventType"], &name) != nil || name != m.EventType {
			t.Fatalf("event type %q, want %s", m.EventType, want["eventType"])
		}
	})
}

func TestMembersAreTheBytesThatStandThere(t *testing.T) {
	t.Parallel()
	var got []string
	err := members([]byte(" {\"a\" : 1.50 ,\"b\":\"x,}\\\"\", \"c\":[1, {\"d\":null}] ,\"e\\u0066\":true,\"g\":{}}"), func(name string, value []byte) {
		got = append(got, name+"="+string(value))
	})
	want := []string{"a=1.50", `b="x,}\""`, `c=[1, {"d":null}]`, "ef=true", "g={}"}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v %q", err, got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s, want %s", got[i], want[i])
		}
	}
}
