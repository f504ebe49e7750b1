package aop1688

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/dialecttest"
)

func TestVectors(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, &Dialect, os.DirFS("."))
}

const secret = "test-app-secret"

func reasonOf(err error) dialect.Reason {
	var refusal *dialect.Error
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ""
}

// opensslFile is testdata/1688-aop-signature.json, made with the openssl command line.
type opensslFile struct {
	Vectors []struct {
		Name         string
		AppSecret    string `json:"app_secret"`
		Params       map[string]string
		Canonical    string
		CanonicalB64 []byte            `json:"canonical_b64"`
		Signature    string            `json:"_aop_signature"`
		FormBody     string            `json:"form_body"`
		MustNotMatch map[string]string `json:"must_not_match"`
	}
}

func TestEveryOpensslVector(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/1688-aop-signature.json")
	if err != nil {
		t.Fatal(err)
	}
	var file opensslFile
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Vectors) != 9 {
		t.Fatalf("%d vectors, %v", len(file.Vectors), err)
	}
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			form := url.Values{signatureParam: {v.Signature}}
			var params []param
			for name, value := range v.Params {
				form.Set(name, value)
				params = append(params, param{name, value})
			}
			text := signedText(append(params, param{signatureParam, v.Signature}))
			if text != v.Canonical || text != string(v.CanonicalB64) {
				t.Fatalf("the signed text is %q, want %q", text, v.Canonical)
			}
			if got := strings.ToUpper(hex.EncodeToString(signatureOf(v.AppSecret, text))); got != v.Signature {
				t.Fatalf("the signature is %s, openssl says %s", got, v.Signature)
			}
			if v.FormBody != "" && v.FormBody != messageParam+"="+url.QueryEscape(v.Params[messageParam])+"&"+signatureParam+"="+v.Signature {
				t.Error("the form is written in another way")
			}
			s := dialect.Set("app_secret", v.AppSecret)
			born := read(params, v.Params[messageParam], v.Params[messageParam] != "").Time
			for _, body := range []string{v.FormBody, form.Encode()} {
				if _, err := Dialect.Receive(s, dialect.Inbound{Body: []byte(body), Now: born}); body != "" && err != nil {
					t.Errorf("refused: %v", err)
				}
			}
			if _, err := Dialect.Receive(s, dialect.Inbound{Query: form.Encode(), Now: born}); err != nil {
				t.Errorf("refused in the query: %v", err)
			}
			for how, mac := range v.MustNotMatch {
				form.Set(signatureParam, mac)
				if _, err := Dialect.Receive(s, dialect.Inbound{Body: []byte(form.Encode())}); reasonOf(err) != dialect.ReasonSignature {
					t.Errorf("%s: %v", how, err)
				}
			}
		})
	}
}

func TestCheckRefusesAPastedSecret(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", secret + "\n", " " + secret, secret + "\u200b"} {
		if len(Dialect.Validate(dialect.Settings{"app_secret": {"the-first-secret", bad}}, dialect.Receiving, false)) == 0 {
			t.Errorf("%q is let through", bad)
		}
	}
}

func TestPolicyRemembersLongerThanItRepeats(t *testing.T) {
	t.Parallel()
	p := Dialect.Policy(nil)
	if p.Deadline != 5*time.Second || p.Total() != 16*time.Minute || p.DedupFor != 7*24*time.Hour || p.HTTPSOnly {
		t.Errorf("without settings: %+v", p)
	}
	if p = Dialect.Policy(dialect.Set("retry_schedule", "1d,6d", "deadline", "0s")); p.DedupFor != 14*24*time.Hour || p.Deadline != 5*time.Second {
		t.Errorf("with a long schedule: %+v", p)
	}
}

func TestHandshakeIsTheTestMessage(t *testing.T) {
	t.Parallel()
	s := dialect.Set("app_secret", secret)
	now := time.UnixMilli(1779263269913)
	req, judge, err := Dialect.Handshake(s, dialect.Nonce{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Dialect.Receive(s, dialect.Inbound{Method: req.Method, Header: req.Header, Body: req.Body, Now: now})
	if err != nil || got.EventType != testEvent || got.Unreadable != "" {
		t.Errorf("received as %+v, %v", got, err)
	}
	if judge(dialect.Response{Status: 204}).Kind != dialect.Accepted || judge(dialect.Response{Status: 404}).Kind == dialect.Accepted {
		t.Error("204 does not pass, or 404 does")
	}
	if _, _, err := Dialect.Handshake(nil, dialect.Nonce{}); err == nil {
		t.Error("made without a secret")
	}
}

// FuzzOrder holds the order of UTF-16 units against their comparison one by one.
func FuzzOrder(f *testing.F) {
	for _, s := range [][2]string{{"", "a"}, {"ab1", "az"}, {"\U00010000", "\uffe5"}, {"\U00010000", "\U00010001"}, {"\U00010000", "\U0010ffff"}, {"中", "a"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			return
		}
		want := slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		if got := compareUTF16(a, b); got < 0 != (want < 0) || got > 0 != (want > 0) {
			t.Fatalf("%q, %q: %d, want %d", a, b, got, want)
		}
	})
}

func FuzzReceive(f *testing.F) {
	s := dialect.Set("app_secret", secret)
	req, err := Dialect.Sign(s, dialect.Outbound{EventType: "T", Payload: []byte(`{"a":1}`)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("", string(req.Body), false)
	f.Add("a=1&%ff=2", `message={"data":{},"type":"x","msgId":1}`, true)
	f.Fuzz(func(t *testing.T, query, body string, sign bool) {
		if params, err := parseForm(query, body); sign && err == nil {
			body += "&" + signatureParam + "=" + hex.EncodeToString(signatureOf(secret, signedText(params)))
		}
		got, err := Dialect.Receive(s, dialect.Inbound{Query: query, Body: []byte(body)})
		if err != nil {
			return
		}
		params, err := parseForm(query, body)
		if err != nil {
			t.Fatalf("accepted what is no form: %q %q", query, body)
		}
		given, _ := find(params, signatureParam)
		if !strings.EqualFold(given, hex.EncodeToString(signatureOf(secret, signedText(params)))) {
			t.Fatalf("accepted without a right signature: %q %q", query, body)
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(got.Payload, &object); err != nil || object == nil || got.EventType == "" && got.Unreadable == "" || got.DedupKey == "" {
			t.Fatalf("%q %q became %+v", query, body, got)
		}
	})
}

func BenchmarkReceive(b *testing.B) {
	s := dialect.Set("app_secret", secret)
	born := time.UnixMilli(1779263269913)
	req, err := Dialect.Sign(s, dialect.Outbound{EventType: examples[1].EventType, Payload: examples[1].Payload, Created: born})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(req.Body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Dialect.Receive(s, dialect.Inbound{Body: req.Body, Now: born}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s := dialect.Set("app_secret", secret)
	o := dialect.Outbound{EventType: examples[1].EventType, Payload: examples[1].Payload, Created: time.UnixMilli(1779263269913)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Dialect.Sign(s, o); err != nil {
			b.Fatal(err)
		}
	}
}

func TestWhatIsYoungEnoughToPassIsStillRemembered(t *testing.T) {
	t.Parallel()
	s := dialect.Set("app_secret", "shh", "dedup_for", "2h")
	born := time.UnixMilli(1779263269913)
	req, err := Dialect.Sign(s, dialect.Outbound{ID: "msg_1", EventType: "T", Payload: []byte("{}"), Created: born, Now: born})
	if err != nil {
		t.Fatal(err)
	}
	for age, want := range map[time.Duration]dialect.Reason{
		-time.Hour - time.Millisecond: dialect.ReasonReplay, -time.Hour: "", time.Hour: "", time.Hour + time.Millisecond: dialect.ReasonReplay,
	} {
		if _, err := Dialect.Receive(s, dialect.Inbound{Body: req.Body, Now: born.Add(age)}); reasonOf(err) != want {
			t.Errorf("%v after its birth: %v", age, err)
		}
	}
}
