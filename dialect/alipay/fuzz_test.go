package alipay

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// FuzzReceive holds that whatever is accepted verifies by an independent reading of the rules with net/url and
// crypto/rsa, and is stored as a JSON object.
func FuzzReceive(f *testing.F) {
	keys := readKeys(f)
	for _, m := range readMessages(f) {
		f.Add([]byte(m.Body), m.ContentType)
	}
	for _, d := range readDamaged(f) {
		f.Add([]byte(d.Body), d.ContentType)
	}
	f.Add([]byte(`{"a":1}`), "application/json")
	block, _ := pem.Decode([]byte(keys.Alipay.PublicSPKI))
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		f.Fatal(err)
	}
	key := parsed.(*rsa.PublicKey)
	s := dialect.Set(fAlipayPublicKey, keys.Alipay.PublicSPKI, fAppPrivateKey, keys.App.PrivatePKCS8, fAESKey, "AAECAwQFBgcICQoLDA0ODw==")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		before := slices.Clone(body)
		got, err := receive(s, dialect.Inbound{Method: "POST", Header: http.Header{"Content-Type": {contentType}}, Body: body, Now: signedAt.Add(time.Second)})
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		var refusal *dialect.Error
		if err != nil {
			if !errors.As(err, &refusal) || refusal.Text == "" {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		if !independently(key, body) {
			t.Fatalf("accepted without a right signature: %q", body)
		}
		if got.Reply != nil {
			return
		}
		if p := bytes.TrimLeft(got.Payload, " \t\r\n"); !json.Valid(got.Payload) || !utf8.Valid(got.Payload) || p[0] != '{' {
			t.Fatalf("the payload is %q", got.Payload)
		}
		if got.EventType == "" && got.Unreadable == "" || got.Account == "" && got.Unreadable == "" && !bytes.Contains(body, []byte("service")) || got.DedupKey == "" {
			t.Fatalf("incomplete: %+v", got)
		}
		if _, has := got.Platform[pSign]; has {
			t.Fatal("the signature is in platform")
		}
	})
}

// independently verifies a form under V1 or V2 with the standard library alone.
func independently(key *rsa.PublicKey, body []byte) bool {
	values, err := url.ParseQuery(strings.ReplaceAll(string(body), ";", "%3B"))
	if err != nil {
		return false
	}
	sig, err := base64.StdEncoding.DecodeString(values.Get("sign"))
	if err != nil {
		return false
	}
	for _, left := range [][]string{{"sign", "sign_type"}, {"sign"}} {
		var pairs []string
		for name := range values {
			if !slices.Contains(left, name) {
				pairs = append(pairs, name)
			}
		}
		slices.Sort(pairs)
		for i, name := range pairs {
			pairs[i] = name + "=" + values.Get(name)
		}
		text := []byte(strings.Join(pairs, "&"))
		sum2, sum1 := sha256.Sum256(text), sha1.Sum(text)
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum2[:], sig) == nil || rsa.VerifyPKCS1v15(key, crypto.SHA1, sum1[:], sig) == nil {
			return true
		}
	}
	return false
}

// FuzzSignThenReceive holds that what is sent comes back as it was, in either charset and encrypted or not.
func FuzzSignThenReceive(f *testing.F) {
	keys := readKeys(f)
	f.Add([]byte(`{"a":"测试 +%&=~*"}`), "a.b", "usr", byte(0))
	f.Add([]byte(`{"a":"测试"}`), "a.b", "", byte(1))
	f.Add([]byte(`{"a":"😀"}`), "a.b", "x", byte(2))
	f.Add([]byte(`{"a":"&b=1"}`), "a.b", "&version=1", byte(3))
	f.Fuzz(func(t *testing.T, payload []byte, eventType, member string, mode byte) {
		if !json.Valid(payload) || bytes.TrimLeft(payload, " \t\r\n")[0] != '{' {
			return
		}
		send := dialect.Set(fAppID, "2013121700999429", fPlatformKey, keys.Alipay.PrivatePKCS8)
		take := dialect.Set(fAlipayPublicKey, keys.Alipay.PublicSPKI)
		if mode&1 == 1 {
			send[fCharset] = []string{charsetGBK}
		}
		if mode&2 == 2 {
			send[fAESKey] = []string{"AAECAwQFBgcICQoLDA0ODw=="}
			take[fAESKey] = send[fAESKey]
		}
		req, err := sign(send, dialect.Outbound{EventType: eventType, Payload: payload, Platform: map[string]string{"msg_type": member}, Now: signedAt})
		if err != nil {
			return
		}
		got, err := receive(take, dialect.Inbound{Method: req.Method, Header: req.Header, Body: req.Body, Now: signedAt})
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		plain, err := decryptPayload(take, got.Payload, got.Platform)
		if err != nil || !bytes.Equal(plain, payload) || got.EventType != eventType || got.Platform["msg_type"] != member {
			t.Errorf("came back as %s with %q (%v)", got.EventType, plain, err)
		}
	})
}

func BenchmarkReceive(b *testing.B) {
	keys := readKeys(b)
	s := dialect.Set(fAlipayPublicKey, keys.Alipay.PublicSPKI)
	in := inbound(readMessages(b)["seed-5"].Body)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := receive(s, in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s := dialect.Set(fAppID, "2013121700999429", fPlatformKey, readKeys(b).Alipay.PrivatePKCS8)
	o := dialect.Outbound{EventType: examples[4].EventType, Payload: examples[4].Payload, Now: signedAt}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sign(s, o); err != nil {
			b.Fatal(err)
		}
	}
}

// What a message costs beyond this is ours.
func BenchmarkBareRSA(b *testing.B) {
	keys := readKeys(b)
	private, public := mustPrivate(b, keys.Alipay.PrivatePKCS8), mustPublic(b, keys.Alipay.PublicSPKI)
	data := []byte(strings.Repeat("x", 600))
	sign, err := private.Sign(RSA2, data)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			_ = public.Verify(RSA2, data, sign)
		}
	})
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			_, _ = private.Sign(RSA2, data)
		}
	})
}
