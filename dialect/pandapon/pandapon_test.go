package pandapon

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/dialecttest"
)

func TestVectors(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, &Dialect, os.DirFS("."))
}

const (
	secret = "test-access-secret-0123456789abcdef"
	pushed = `{"messageType":"ORDER_CREATE","messageBody":"{\"orderId\":\"1\"}","messagePlatform":1,"timestamp":"1779263269913"}`
)

func macOf(secret, text string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

func inbound(body, authorization string) dialect.Inbound {
	return dialect.Inbound{Method: http.MethodPost, Header: http.Header{"Authorization": {authorization}}, Body: []byte(body)}
}

// opensslFile is testdata/message-hmac-sha256.json, made with the openssl command line.
type opensslFile struct {
	Vectors []struct {
		Name         string
		AccessSecret string            `json:"access_secret"`
		MessageBody  string            `json:"message_body"`
		BodyB64      string            `json:"message_body_b64"`
		BodyLen      int               `json:"message_body_utf8_len"`
		Lower        string            `json:"authorization_hex_lower"`
		Upper        string            `json:"authorization_hex_upper"`
		WireBodies   map[string]string `json:"wire_bodies"`
		MustNotMatch map[string]string `json:"must_not_match"`
		SliceIsValue bool              `json:"escaped_slice_equals_value"`
	}
}

func TestEveryOpensslVector(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/message-hmac-sha256.json")
	if err != nil {
		t.Fatal(err)
	}
	var file opensslFile
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Vectors) != 16 {
		t.Fatalf("%d vectors, %v", len(file.Vectors), err)
	}
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			s := dialect.Set("access_secret", v.AccessSecret)
			text, err := base64.StdEncoding.DecodeString(v.BodyB64)
			if err != nil || string(text) != v.MessageBody || len(text) != v.BodyLen {
				t.Fatalf("the vector does not agree with itself on messageBody: %v", err)
			}
			if got := macOf(v.AccessSecret, v.MessageBody); got != v.Lower || strings.ToUpper(got) != v.Upper {
				t.Fatal("crypto/hmac and openssl do not agree")
			}
			for spelling, body := range v.WireBodies {
				for _, mac := range []string{v.Lower, v.Upper} {
					got, err := Dialect.Receive(s, inbound(body, mac))
					if err != nil {
						t.Errorf("%s: %v", spelling, err)
					} else if want := dialect.WrapRaw(text); !bytes.Equal(got.Payload, want) || got.Unreadable != "" {
						t.Errorf("%s: payload %q, unreadable %q", spelling, got.Payload, got.Unreadable)
					}
				}
			}
			for how, mac := range v.MustNotMatch {
				if _, err := Dialect.Receive(s, inbound(v.WireBodies["minimal"], mac)); reasonOf(err) != dialect.ReasonSignature {
					t.Errorf("%s: %v", how, err)
				}
			}
			minimal := v.WireBodies["minimal"]
			if got := macOf(v.AccessSecret, minimal); got != v.MustNotMatch["hmac_of_whole_wire_body_minimal"] {
				t.Error("the HMAC of the whole body is not what the vector warns of")
			}
			_, slice, _ := strings.Cut(minimal, `"messageBody":"`)
			slice, _, _ = strings.Cut(slice, `","messagePlatform"`)
			if (slice == v.MessageBody) != v.SliceIsValue {
				t.Error("whether the escaped text equals the value is not as the vector says")
			}
			if got := macOf(v.AccessSecret, slice); !v.SliceIsValue && got != v.MustNotMatch["hmac_of_still_escaped_slice_minimal"] {
				t.Error("the HMAC of the escaped text is not what the vector warns of")
			}
		})
	}
}

func reasonOf(err error) dialect.Reason {
	var refusal *dialect.Error
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ""
}

func TestCheckRefusesWhatWouldFailInSilence(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]dialect.Settings{
		"a secret with a pasted line end":  dialect.Set("access_secret", secret+"\n"),
		"a second secret with a blank":     {"access_secret": {secret, " " + secret}},
		"a secret with a byte order mark":  dialect.Set("access_secret", "\ufeff"+secret),
		"a secret with a zero-width space": dialect.Set("access_secret", secret+"\u200b"),
		"an empty secret":                  dialect.Set("access_secret", ""),
		"no secret":                        {},
		"a platform that is no number":     dialect.Set("access_secret", secret, "message_platform", "-1"),
		"more retries than the bound":      dialect.Set("access_secret", secret, "retry_count", "101"),
		"a content type with a line end":   dialect.Set("access_secret", secret, "content_type", "a\r\nX-Injected: 1"),
		"a probe that nobody knows":        dialect.Set("access_secret", secret, "probe", "put"),
	} {
		problems := Dialect.Validate(s, dialect.Sending, false)
		if len(problems) == 0 {
			t.Errorf("%s is let through", name)
		}
		for _, p := range problems {
			if strings.Contains(p.Error(), secret) {
				t.Errorf("%s: the text tells the secret", name)
			}
		}
	}
	if p := Dialect.Validate(dialect.Settings{"access_secret": {secret, "the-old-one"}}, dialect.Sending, false); len(p) != 0 {
		t.Errorf("two live secrets: %v", p)
	}
}

func TestTwinTellsAReplayUnderOtherUnsignedParts(t *testing.T) {
	t.Parallel()
	s := dialect.Set("access_secret", secret)
	mac := macOf(secret, `{"orderId":"1"}`)
	first, err := Dialect.Receive(s, inbound(pushed, mac))
	if err != nil {
		t.Fatal(err)
	}
	repeat, err := Dialect.Receive(s, inbound(strings.Replace(pushed, "1779263269913", "1779265069913", 1), mac))
	if err != nil || repeat.DedupKey != first.DedupKey {
		t.Errorf("a push repeated half an hour later: key %q, %v; want that of the first, %q", repeat.DedupKey, err, first.DedupKey)
	}
	for _, change := range [][2]string{{"ORDER_CREATE", "ORDER_CANCEL"}, {`"messagePlatform":1`, `"messagePlatform":0`}} {
		got, err := Dialect.Receive(s, inbound(strings.Replace(pushed, change[0], change[1], 1), mac))
		if err != nil || got.DedupKey == first.DedupKey {
			t.Errorf("%s: key %q, %v", change[1], got.DedupKey, err)
		}
		if got.Twin != first.Twin || got.TwinMark != "unsignedPartChanged" || got.TwinKeep != 6*time.Hour {
			t.Errorf("%s: twin %q, mark %q, kept %s", change[1], got.Twin, got.TwinMark, got.TwinKeep)
		}
	}
	if want := time.UnixMilli(1779263269913); !first.Time.Equal(want) {
		t.Errorf("time %s, want %s", first.Time, want)
	}
}

func TestPlatformHoldsTheRestOfTheEnvelope(t *testing.T) {
	t.Parallel()
	s := dialect.Set("access_secret", secret)
	body := strings.Replace(pushed, `"timestamp":`, `"requestId":"r1","none":null,"line":"1\n2","Timestamp":`, 1)
	got, err := Dialect.Receive(s, inbound(body, macOf(secret, `{"orderId":"1"}`)))
	want := map[string]string{"messagePlatform": "1", "timestamp": "1779263269913", "requestId": "r1"}
	if err != nil || !maps.Equal(got.Platform, want) {
		t.Errorf("platform is %v, want %v; %v", got.Platform, want, err)
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		s        dialect.Settings
		deadline time.Duration
		waits    int
		total    time.Duration
		dedup    time.Duration
	}{
		"is the manual's without settings":   {nil, time.Second, 5, 150 * time.Minute, 6 * time.Hour},
		"reads five as five in all":          {dialect.Set("retry_count", "4"), time.Second, 4, 2 * time.Hour, 6 * time.Hour},
		"can be without repeats":             {dialect.Set("retry_count", "0"), time.Second, 0, 0, 6 * time.Hour},
		"remembers longer than it repeats":   {dialect.Set("retry_count", "20"), time.Second, 20, 10 * time.Hour, 11 * time.Hour},
		"takes the settings":                 {dialect.Set("deadline", "3s", "retry_interval", "1m", "dedup_for", "7d"), 3 * time.Second, 5, 5 * time.Minute, 168 * time.Hour},
		"is bounded whatever is asked for":   {dialect.Set("retry_count", "1000000000"), time.Second, 100, 50 * time.Hour, 51 * time.Hour},
		"has no negative number of attempts": {dialect.Set("retry_count", "-3"), time.Second, 0, 0, 6 * time.Hour},
	} {
		p := Dialect.Policy(c.s)
		if p.Deadline != c.deadline || len(p.Schedule) != c.waits || p.Total() != c.total || p.DedupFor != c.dedup {
			t.Errorf("%s: %+v", name, p)
		}
		if !p.HTTPSOnly || p.RetryAfter || p.GoneDisables || p.Breaker || p.AutoDisable || p.Jitter {
			t.Errorf("%s: flags %+v", name, p)
		}
	}
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1779263269913)
	for probe, method := range map[string]string{"": "POST", "post-empty": "POST", "get": "GET", "head": "HEAD"} {
		req, judge, err := Dialect.Handshake(dialect.Set("probe", probe), dialect.Nonce{Now: now})
		if err != nil || req.Method != method || len(req.Body) != 0 || len(req.Header) != 0 {
			t.Errorf("probe %q: %+v, %v", probe, req, err)
			continue
		}
		for status, want := range map[int]dialect.Kind{200: dialect.Accepted, 201: dialect.Retry, 302: dialect.Retry, 404: dialect.Retry} {
			if got := judge(dialect.Response{Status: status}); got.Kind != want {
				t.Errorf("probe %q, answer %d: %v", probe, status, got)
			}
		}
	}
	s := dialect.Set("probe", "post-example", "access_secret", secret)
	req, _, err := Dialect.Handshake(s, dialect.Nonce{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Dialect.Receive(s, dialect.Inbound{Method: req.Method, Header: req.Header, Body: req.Body, Now: now})
	if err != nil || got.EventType != "ORDER_CREATE" {
		t.Errorf("the example is received as %q, %v", got.EventType, err)
	}
	if _, _, err := Dialect.Handshake(dialect.Set("probe", "post-example"), dialect.Nonce{Now: now}); err == nil {
		t.Error("an example is made without a secret")
	}
}

func TestSignRefusesAPayloadWithoutUTF8(t *testing.T) {
	t.Parallel()
	o := dialect.Outbound{EventType: "ORDER_CREATE", Payload: []byte("{\"a\":\"\xff\"}")}
	if _, err := Dialect.Sign(dialect.Set("access_secret", secret), o); err == nil {
		t.Error("signed")
	}
}

func FuzzReceive(f *testing.F) {
	mac := macOf(secret, `{"orderId":"1"}`)
	for _, body := range []string{pushed, "", "{}", `{"messageBody":"\ud83d"}`, `{"messageBody":""}`, strings.ToUpper(pushed), pushed + pushed} {
		f.Add([]byte(body), mac)
		f.Add([]byte(body), "")
	}
	s := dialect.Set("access_secret", secret)
	f.Fuzz(func(t *testing.T, body []byte, authorization string) {
		in := inbound(string(body), authorization)
		got, err := Dialect.Receive(s, in)
		if err != nil {
			return
		}
		// What is accepted has a messageBody that any JSON parser reads the same, and its HMAC.
		var e struct{ MessageBody string }
		if err := json.Unmarshal(body, &e); err != nil || !strings.EqualFold(macOf(secret, e.MessageBody), authorization) {
			t.Fatalf("accepted without a right signature: %q", body)
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(got.Payload, &object); err != nil || object == nil {
			t.Fatalf("the payload is no JSON object: %q", got.Payload)
		}
		if got.EventType == "" && got.Unreadable == "" {
			t.Fatal("no event type, and yet readable")
		}
	})
}

// FuzzReceiveSigned signs whatever messageBody comes, so that the part behind the signature is reached.
func FuzzReceiveSigned(f *testing.F) {
	f.Add(`{"orderId":"1"}`, `"ORDER_CREATE"`, `1`, `"1779263269913"`)
	f.Add("plain", `{"a":1}`, `"1/2"`, `null`)
	s := dialect.Set("access_secret", secret)
	f.Fuzz(func(t *testing.T, text, kind, platform, stamp string) {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Skip()
		}
		var signed string
		_ = json.Unmarshal(quoted, &signed)
		body := `{"messageType":` + kind + `,"messageBody":` + string(quoted) + `,"messagePlatform":` + platform + `,"timestamp":` + stamp + `}`
		got, err := Dialect.Receive(s, inbound(body, macOf(secret, signed)))
		if err != nil {
			return
		}
		if !json.Valid(got.Payload) || got.Payload[bytes.IndexAny(got.Payload, "{")] != '{' || len(got.EventType) > 256 || !strings.HasSuffix(got.DedupKey, got.Twin) {
			t.Fatalf("%q became %+v", body, got)
		}
	})
}

func BenchmarkReceive(b *testing.B) {
	s := dialect.Set("access_secret", secret)
	req, err := Dialect.Sign(s, dialect.Outbound{EventType: "ORDER_CREATE", Payload: examples[0].Payload, Now: time.UnixMilli(1779263269913)})
	if err != nil {
		b.Fatal(err)
	}
	in := dialect.Inbound{Method: req.Method, Header: req.Header, Body: req.Body}
	receive := Dialect.ReceiveWith(s)
	b.SetBytes(int64(len(req.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := receive(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s := dialect.Set("access_secret", secret)
	o := dialect.Outbound{EventType: "ORDER_CREATE", Payload: examples[0].Payload, Platform: examples[0].Platform, Now: time.UnixMilli(1779263269913)}
	sign := Dialect.SignWith(s)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sign(o); err != nil {
			b.Fatal(err)
		}
	}
}
