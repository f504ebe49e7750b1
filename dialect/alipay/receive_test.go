package alipay

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/waypost/waypost/dialect"
)

func TestOnlyPostsAreMessages(t *testing.T) {
	t.Parallel()
	s := dialect.Set(fAlipayPublicKey, readKeys(t).Alipay.PublicSPKI)
	in := inbound(readMessages(t)["seed-1"].Body)
	if _, err := receive(s, in); err != nil {
		t.Fatal(err)
	}
	in.Method = "GET"
	var refusal *dialect.Error
	if _, err := receive(s, in); !errors.As(err, &refusal) || refusal.Reason != dialect.ReasonNotEnvelope {
		t.Errorf("got %v", err)
	}
}

// What is signed can be cut into parameters in many ways. None of them is taken for another message.
func TestASignedTextIsOneMessage(t *testing.T) {
	t.Parallel()
	keys := readKeys(t)
	s := dialect.Set(fAlipayPublicKey, keys.Alipay.PublicSPKI)
	for name, memo := range map[string]string{
		"an ampersand":                 "a & b",
		"an invented parameter":        "x&c=1",
		"several invented parameters":  "x&c=1&ca=2&d=&e=3&f==",
		"another name":                 "x&charset=UTF-8&msg_method=evil",
		"another id":                   "x&charset=UTF-8&msg_method=evil&notify_id=1",
		"a whole other message":        "x&charset=UTF-8&msg_method=evil&notify_id=1&utc_timestamp=1516797622752&version=1.1&z=",
		"a whole other message, open":  "x&charset=UTF-8&msg_method=evil&notify_id=1&utc_timestamp=1516797622752&version=1.1&zz=1&zzz=2",
		"an encryption":                "x&charset=UTF-8&encrypt_type=AES&msg_method=evil&notify_id=1&utc_timestamp=1516797622752&z=",
		"the old protocol":             "x&charset=UTF-8&notify_id=1&notify_type=evil&status=z",
		"parameters that are optional": "x&charset=UTF-8&msg_app_id=1&msg_method=evil&msg_type=usr&msg_uid=z",
		"a service":                    "x&charset=UTF-8&service=alipay.service.check&sign_type=RSA2",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			params := []Param{
				{pAppID, "2013121700999429"}, {pBizContent, `{"memo":"` + memo + `"}`}, {pCharset, charsetUTF8}, {pMsgMethod, "a.b.c"},
				{pNotifyID, "77"}, {pUTCTimestamp, "1516797622752"}, {pVersion, "1.1"},
			}
			text := string(Canonical(V1, params))
			sign, err := mustPrivate(t, keys.Alipay.PrivatePKCS8).Sign(RSA2, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			tail := []Param{{pSign, sign}, {pSignType, RSA2}}
			want, err := receive(s, inbound(string(EncodeForm(append(params, tail...)))))
			if err != nil {
				t.Fatalf("the message itself: %v", err)
			}
			cuts := 0
			for _, cut := range everyCut(text) {
				if string(Canonical(V1, cut)) != text {
					continue
				}
				cuts++
				got, err := receive(s, inbound(string(EncodeForm(append(cut, tail...)))))
				if err == nil && (got.EventType != want.EventType || string(got.Payload) != string(want.Payload) ||
					got.DedupKey != want.DedupKey || !maps.Equal(got.Platform, want.Platform)) {
					t.Errorf("%q is accepted as %s with %s", cut, got.EventType, got.Payload)
				}
			}
			if cuts == 0 {
				t.Error("nothing was tried")
			}
		})
	}
}

// everyCut takes each ampersand of a text for a separator or for a piece of a value.
func everyCut(text string) [][]Param {
	pieces := strings.Split(text, "&")
	var out [][]Param
	for mask := range 1 << (len(pieces) - 1) {
		var params []Param
		ok := true
		for i, piece := range pieces {
			if i > 0 && mask>>(i-1)&1 == 0 {
				params[len(params)-1].Value += "&" + piece
				continue
			}
			name, value, found := strings.Cut(piece, "=")
			ok = ok && found && name != ""
			params = append(params, Param{name, value})
		}
		if ok {
			out = append(out, params)
		}
	}
	return out
}

func TestPlatformIsUTF8(t *testing.T) {
	t.Parallel()
	keys := readKeys(t)
	params := []Param{
		{pAppID, "2013121700999429"}, {pBizContent, "{}"}, {pCharset, charsetGBK}, {pMsgMethod, "a.b.c"}, {pNotifyID, "77"},
		{"msg_\xb2\xe2", "\xca\xd4"}, {"msg_uid", "\xff\xffx"},
	}
	sign, err := mustPrivate(t, keys.Alipay.PrivatePKCS8).Sign(RSA2, Canonical(V1, params))
	if err != nil {
		t.Fatal(err)
	}
	params = append(params, Param{pSign, sign}, Param{pSignType, RSA2})
	got, err := receive(dialect.Set(fAlipayPublicKey, keys.Alipay.PublicSPKI), inbound(string(EncodeForm(params))))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		pAppID: "2013121700999429", pCharset: charsetGBK, pNotifyID: "77", pSignType: RSA2, "msg_测": "试", "msg_uid": "\ufffdx",
	}
	if !maps.Equal(got.Platform, want) {
		t.Errorf("got %q, want %q", got.Platform, want)
	}
}
