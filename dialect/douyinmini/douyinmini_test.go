package douyinmini

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"slices"
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

var now = time.Unix(1760000000, 0)

func reasonOf(err error) dialect.Reason {
	var refusal *dialect.Error
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ""
}

// rsaFile is testdata/miniapp-rsa-byte-signature.json, made with the openssl command line.
type rsaFile struct {
	Private string `json:"test_private_key_pem"`
	Public  string `json:"test_public_key_pem"`
	Answer  string `json:"success_response"`
	Vectors []rsaVector
}

type rsaVector struct {
	Name         string
	Time         string `json:"Byte-Timestamp"`
	Nonce        string `json:"Byte-Nonce-Str"`
	Body         string
	BodyB64      []byte `json:"body_b64"`
	Canonical    string
	CanonicalB64 []byte `json:"canonical_b64"`
	Signature    string `json:"Byte-Signature"`
}

func readFile[T any](t testing.TB, name string) T {
	t.Helper()
	var file T
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestEveryOpensslVectorOfV3(t *testing.T) {
	t.Parallel()
	file := readFile[rsaFile](t, "miniapp-rsa-byte-signature.json")
	if len(file.Vectors) != 7 {
		t.Fatalf("%d vectors", len(file.Vectors))
	}
	s := dialect.Set("platform_public_key", file.Public)
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			if v.Body != string(v.BodyB64) || v.Canonical != string(v.CanonicalB64) || v.Time+"\n"+v.Nonce+"\n"+v.Body+"\n" != v.Canonical {
				t.Fatal("the vector does not agree with itself")
			}
			in := dialect.Inbound{Body: v.BodyB64, Now: now, Header: http.Header{timeHeader: {v.Time}, nonceHeader: {v.Nonce}, signatureHeader: {v.Signature}}}
			got, err := Dialect.Receive(s, in)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			answer := Dialect.Reply(s, dialect.Outcome{Result: dialect.Stored, Received: &got})
			if answer.Status != 200 || !strings.HasSuffix(file.Answer, string(answer.Body)) {
				t.Errorf("answered %d %s, want %s", answer.Status, answer.Body, file.Answer)
			}
			var e struct{ Version, Type, Msg string }
			if json.Unmarshal(v.BodyB64, &e) != nil || strings.ContainsAny(v.Body, "\n") {
				return // not in the spelling that Sign has
			}
			req, err := Dialect.Sign(dialect.Set("platform_private_key", file.Private), dialect.Outbound{
				EventType: e.Type, Payload: []byte(e.Msg), Now: now, Platform: map[string]string{"version": e.Version, nonceHeader: v.Nonce},
			})
			if err != nil || string(req.Body) != v.Body || req.Header[signatureHeader][0] != v.Signature {
				t.Errorf("signed as %s %v, %v", req.Body, req.Header, err)
			}
		})
	}
}

// legacyFile is testdata/miniapp-legacy-pay-sha1.json, made with the openssl command line.
type legacyFile struct {
	Vectors []struct {
		Name, Token, Timestamp, Nonce, Msg string
		Sorted                             []string
		CanonicalB64                       []byte `json:"canonical_b64"`
		Signature                          string `json:"msg_signature"`
		WireBody                           string `json:"wire_body"`
	}
}

func TestEveryOpensslVectorOfLegacy(t *testing.T) {
	t.Parallel()
	file := readFile[legacyFile](t, "miniapp-legacy-pay-sha1.json")
	if len(file.Vectors) != 5 {
		t.Fatalf("%d vectors", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			parts := []string{v.Token, v.Timestamp, v.Nonce, v.Msg}
			slices.Sort(parts)
			if !slices.Equal(parts, v.Sorted) || strings.Join(parts, "") != string(v.CanonicalB64) {
				t.Fatal("the vector does not agree with itself")
			}
			if got := signatureLegacy(v.Msg, v.Nonce, v.Timestamp, v.Token); string(got[:]) != v.Signature {
				t.Fatalf("the signature is %s, openssl says %s", got, v.Signature)
			}
			if !strings.HasPrefix(v.Msg, "{") {
				return // signed so, but nothing that is received or sent
			}
			s := dialect.Set("scheme", "legacy", "token", v.Token)
			if _, err := Dialect.Receive(s, dialect.Inbound{Body: []byte(v.WireBody), Now: now}); err != nil {
				t.Errorf("refused: %v", err)
			}
			req, err := Dialect.Sign(s, dialect.Outbound{EventType: "payment", Payload: []byte(v.Msg), Now: now, Platform: map[string]string{"nonce": v.Nonce}})
			if err != nil || string(req.Body) != v.WireBody {
				t.Errorf("signed as %s, %v", req.Body, err)
			}
		})
	}
}

func TestCheckRefusesKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	file := readFile[rsaFile](t, "miniapp-rsa-byte-signature.json")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecPublic, err := x509.MarshalPKIXPublicKey(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	ecPrivate, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		s     dialect.Settings
		use   dialect.Use
		field string
	}{
		"v3 without a public key":                  {nil, dialect.Receiving, "platform_public_key"},
		"v3 sending without a private key":         {dialect.Set("platform_public_key", file.Public), dialect.Sending, "platform_private_key"},
		"legacy without a token":                   {dialect.Set("scheme", "legacy", "platform_public_key", file.Public), dialect.Receiving, "token"},
		"the private key where the public belongs": {dialect.Set("platform_public_key", file.Private), dialect.Receiving, "platform_public_key"},
		"the public key where the private belongs": {dialect.Set("platform_private_key", file.Public), dialect.Sending, "platform_private_key"},
		"a public key of another kind":             {dialect.Set("platform_public_key", base64.StdEncoding.EncodeToString(ecPublic)), dialect.Receiving, "platform_public_key"},
		"a private key of another kind":            {dialect.Set("platform_private_key", base64.StdEncoding.EncodeToString(ecPrivate)), dialect.Sending, "platform_private_key"},
		"a key that was cut off":                   {dialect.Set("platform_public_key", file.Public[:100]), dialect.Receiving, "platform_public_key"},
		"two keys in one value":                    {dialect.Set("platform_public_key", file.Public+file.Public), dialect.Receiving, "platform_public_key"},
		"a key with a zero-width space behind it":  {dialect.Set("platform_public_key", file.Public+"\u200b"), dialect.Receiving, "platform_public_key"},
		"a key with a byte order mark before it":   {dialect.Set("platform_public_key", "\ufeff"+file.Public), dialect.Receiving, "platform_public_key"},
		"a second key that is none":                {dialect.Settings{"platform_public_key": {file.Public, "AAAA"}}, dialect.Receiving, "platform_public_key"},
		"a token with a line end":                  {dialect.Set("scheme", "legacy", "token", "testpaytoken\n"), dialect.Receiving, "token"},
	} {
		problems := Dialect.Validate(c.s, c.use, false)
		if len(problems) != 1 || problems[0].Field != c.field {
			t.Errorf("%s: %v, want one problem with %s", name, problems, c.field)
		}
		for _, p := range problems {
			if strings.Contains(p.Text, file.Private[60:90]) || strings.Contains(p.Text, "testpaytoken") {
				t.Errorf("%s: the text tells the key", name)
			}
		}
	}
	for name, s := range map[string]dialect.Settings{
		"PEM with blanks around it": dialect.Set("platform_public_key", "\n "+file.Public+" \r\n"),
		"base64 over several lines": dialect.Set("platform_public_key", strings.Join(strings.Split(file.Public, "\n")[1:8], "\r\n")),
		"legacy with a token":       dialect.Set("scheme", "legacy", "token", "testpaytoken"),
	} {
		if problems := Dialect.Validate(s, dialect.Receiving, false); len(problems) != 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func TestTheRequestDoesNotChooseTheScheme(t *testing.T) {
	t.Parallel()
	file := readFile[legacyFile](t, "miniapp-legacy-pay-sha1.json")
	v3 := dialect.Set("platform_public_key", readFile[rsaFile](t, "miniapp-rsa-byte-signature.json").Public, "token", file.Vectors[0].Token)
	if _, err := Dialect.Receive(v3, dialect.Inbound{Body: []byte(file.Vectors[0].WireBody), Now: now}); reasonOf(err) != dialect.ReasonSignature {
		t.Errorf("a callback of the older scheme under v3: %v", err)
	}
}

func TestTwinTellsAReplayUnderAnotherTypeInLegacy(t *testing.T) {
	t.Parallel()
	body := readFile[legacyFile](t, "miniapp-legacy-pay-sha1.json").Vectors[0].WireBody
	s := dialect.Set("scheme", "legacy", "token", "testpaytoken")
	first, err := Dialect.Receive(s, dialect.Inbound{Body: []byte(body), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	other, err := Dialect.Receive(s, dialect.Inbound{Body: []byte(strings.Replace(body, `"payment"`, `"refund"`, 1)), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if first.DedupKey == other.DedupKey || first.Twin != other.Twin || other.TwinMark != "unsignedPartChanged" || other.TwinKeep != 7*24*time.Hour {
		t.Errorf("first %+v, other %+v", first, other)
	}
}

// Nothing stands between the texts that the older scheme signs, so one signature fits many callbacks. Only the one
// that was sent has an object for msg.
func TestNoOtherCallbackIsMadeFromOneOfLegacy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ token, stamp, nonce, msg string }{
		"msg and nonce swapped":               {"", "1760000000", `{"appid":"tt1","status":"SUCCESS"}`, "4321"},
		"msg and nonce swapped, for a number": {"", "1760000000", `{"appid":"tt1","status":"SUCCESS"}`, "4"},
		"msg and timestamp swapped":           {"", `{"appid":"tt1","status":"SUCCESS"}`, "4321", "1760000000"},
		"msg cut short into the nonce":        {"", "1760000000", `{"appid":"tt1","status":`, `"SUCCESS"}`},
		"msg lengthened from the nonce":       {"z", "1760000000", "", `4321{"appid":"tt1","status":"SUCCESS"}`},
		"msg that is a list":                  {"", "1760000000", "4321", `[{"appid":"tt1"}]`},
		"msg that is no JSON":                 {"", "1760000000", "4321", `{"appid":"tt1"`},
		"msg with something behind it":        {"", "1760000000", "4321", `{"appid":"tt1"}x`},
		"an empty msg":                        {"", "1760000000", "4321", ""},
		"no nonce":                            {"", "1760000000", "", `{"appid":"tt1"}`},
		"a nonce with a quote":                {"", "1760000000", `4321"`, `{"appid":"tt1"}`},
		"a nonce with a bracket":              {"", "1760000000", "[4321", `{"appid":"tt1"}`},
		"a nonce with a line end":             {"", "1760000000", "4321\n", `{"appid":"tt1"}`},
		"a long nonce":                        {"", "1760000000", strings.Repeat("4", 65), `{"appid":"tt1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := c.token + "tOkenOfTheMiniApp"
			signature := signatureLegacy(token, c.stamp, c.nonce, c.msg)
			body, err := json.Marshal(map[string]string{
				"timestamp": c.stamp, "nonce": c.nonce, "msg": c.msg, "type": "refund", "msg_signature": string(signature[:]),
			})
			if err != nil {
				t.Fatal(err)
			}
			s := dialect.Set("scheme", "legacy", "token", token)
			got, err := Dialect.Receive(s, dialect.Inbound{Body: body, Now: now})
			if r := reasonOf(err); r != dialect.ReasonSignature && (r != dialect.ReasonReplay || dialect.Digits(c.stamp, 10)) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestLegacyDoesNotSendWhatItWouldRefuse(t *testing.T) {
	t.Parallel()
	s := dialect.Set("scheme", "legacy", "token", "testpaytoken")
	for name, o := range map[string]dialect.Outbound{
		"a payload that is a list":  {EventType: "payment", Payload: []byte("[1]"), Now: now},
		"a nonce that is an object": {EventType: "payment", Payload: []byte("{}"), Now: now, Platform: map[string]string{"nonce": "{}"}},
	} {
		var never *dialect.Error
		if _, err := Dialect.Sign(s, o); !errors.As(err, &never) || never.Reason != dialect.ReasonMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	p := Dialect.Policy(nil)
	if p.Deadline != 5*time.Second || p.Total() != 36*time.Minute || p.DedupFor != 7*24*time.Hour || !p.HTTPSOnly {
		t.Errorf("without settings: %+v", p)
	}
	p = Dialect.Policy(dialect.Set("retry_schedule", "7d", "deadline", "0s"))
	if p.Deadline != 5*time.Second || p.DedupFor != 14*24*time.Hour {
		t.Errorf("with settings: %+v", p)
	}
}

func FuzzReceive(f *testing.F) {
	file := readFile[rsaFile](f, "miniapp-rsa-byte-signature.json")
	for _, v := range file.Vectors {
		f.Add(v.BodyB64, v.Time, v.Nonce, v.Signature, false)
	}
	f.Add([]byte(readFile[legacyFile](f, "miniapp-legacy-pay-sha1.json").Vectors[0].WireBody), "", "", "", true)
	v3 := dialect.Set("platform_public_key", file.Public)
	old := dialect.Set("scheme", "legacy", "token", "testpaytoken")
	known := func(body []byte, stamp, nonce string) bool {
		return slices.ContainsFunc(file.Vectors, func(v rsaVector) bool {
			return bytes.Equal(v.BodyB64, body) && v.Time == stamp && v.Nonce == nonce
		})
	}
	f.Fuzz(func(t *testing.T, body []byte, stamp, nonce, signature string, legacy bool) {
		s := v3
		if legacy {
			s = old
		}
		h := http.Header{timeHeader: {stamp}, nonceHeader: {nonce}, signatureHeader: {signature}}
		got, err := Dialect.Receive(s, dialect.Inbound{Header: h, Body: body, Now: now})
		if err != nil {
			return
		}
		if !legacy && !known(body, stamp, nonce) {
			t.Fatalf("accepted without a right signature: %q", body)
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(got.Payload, &object); err != nil || object == nil || got.EventType == "" && got.Unreadable == "" {
			t.Fatalf("%q became %+v", body, got)
		}
	})
}

func BenchmarkReceive(b *testing.B) {
	file := readFile[rsaFile](b, "miniapp-rsa-byte-signature.json")
	s := dialect.Set("platform_public_key", file.Public)
	v := file.Vectors[0]
	in := dialect.Inbound{Body: v.BodyB64, Now: now, Header: http.Header{timeHeader: {v.Time}, nonceHeader: {v.Nonce}, signatureHeader: {v.Signature}}}
	receive := Dialect.ReceiveWith(s)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := receive(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s := dialect.Set("platform_private_key", readFile[rsaFile](b, "miniapp-rsa-byte-signature.json").Private)
	o := dialect.Outbound{EventType: "payment", Payload: examples[0].Payload, Now: now}
	sign := Dialect.SignWith(s)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sign(o); err != nil {
			b.Fatal(err)
		}
	}
}
