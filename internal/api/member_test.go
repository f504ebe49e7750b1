package api

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzReadMessage holds our reader of publications against encoding/json: it must not panic, and what it accepts must be
// what encoding/json sees, with a payload that stands in the body byte for byte.
func FuzzReadMessage(f *testing.F) {
	for _, seed := range []string{
		`{"eventType":"e","payload":{}}`, `{"eventType":"e","payload":{"a":[1,{"b":"}\""}]},"eventId":"x","channels":["a"],"tags":[],"platform":{"a":"b"}}`,
		`{"payload":{},"payload":{}}`, `{"eventType":"\u0065","payload":{"a":"\\"}}`, ` { "eventType" : "e" , "payload" : { } } `, `{}`, `[]`, `null`, `"`,
		`{"eventType":"e","payload":{},"deliverAt":"2027-01-20T00:00:00Z","payloadRetentionHours":1,"application":{"name":"x"}}`,
		`{"eventType":"e","payload":{},"transformationsParams":{"rawPayload":" {} "}}`, `{"eventType":"e","payload":{},"x":1e5,"y":true}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := readMessage(body, time.Unix(1_800_000_000, 0))
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

// FuzzReadBatch holds our reader of batches against encoding/json: the same messages, as the same bytes, in the same order.
func FuzzReadBatch(f *testing.F) {
	for _, seed := range []string{
		`{"messages":[{"eventType":"e","payload":{}},7,"x",[1,2],null]}`, `{"messages":[ {"a":"]}"} , {} ]}`, `{"messages":[]}`, `{"messages":{}}`,
		`{"x":[1],"messages":[1]}`, `[]`, `{}`, `{"messages":[1],"messages":[2]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		docs, err := readBatch(body)
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		var list []json.RawMessage
		if json.Unmarshal(body, &want) != nil || json.Unmarshal(want["messages"], &list) != nil {
			t.Fatalf("accepts what is no batch: %q", body)
		}
		if len(docs) != len(list) || len(docs) == 0 || len(docs) > maxBatch {
			t.Fatalf("%d messages, want %d: %q", len(docs), len(list), body)
		}
		for i := range docs {
			if !bytes.Equal(docs[i], list[i]) {
				t.Fatalf("message %d is %q, want %q", i, docs[i], list[i])
			}
			_, _ = readPosted(docs[i], time.Unix(1_800_000_000, 0)) // must not panic
		}
	})
}
