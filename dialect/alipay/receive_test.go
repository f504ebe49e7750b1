package alipay

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

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

// What is signed can be cut into parameters in many ways. None of them is taken for another message: all but the
// platform's own are kept as one and the same unreadable text, of which nothing is believed.
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
				if err == nil && got.Unreadable == severalReadings {
					if got.EventType+got.EventID+got.Account != "" || len(got.Platform) > 0 || !got.Time.IsZero() || got.DedupKey != textKey("", []byte(text)) {
						t.Errorf("%q is unreadable, but believed: %+v", cut, got)
					}
					continue
				}
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

// payment is an old notification with its content in flat parameters, signed.
func payment(t *testing.T, more ...Param) (text string, in dialect.Inbound) {
	t.Helper()
	params := append([]Param{
		{pAppID, "2014072300007148"}, {pCharset, "utf-8"}, {pNotifyID, "77"}, {pNotifyTime, "2018-01-24 20:40:22"},
		{pNotifyType, "trade_status_sync"}, {"out_trade_no", "6823789339978248"}, {"trade_status", "TRADE_SUCCESS"}, {pVersion, "1.0"},
	}, more...)
	text = string(Canonical(V1, params))
	return text, inbound(string(EncodeForm(append(params, signOf(t, text)...))))
}

func signOf(t *testing.T, text string) []Param {
	t.Helper()
	sign, err := mustPrivate(t, readKeys(t).Alipay.PrivatePKCS8).Sign(RSA2, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return []Param{{pSign, sign}, {pSignType, RSA2}}
}

func TestTextThatAUserChoseDoesNotMakeAMessageUnreadable(t *testing.T) {
	t.Parallel()
	s := dialect.Set(fAlipayPublicKey, readKeys(t).Alipay.PublicSPKI)
	for name, chosen := range map[string]Param{
		"a name of the message":         {"passback_params", "shop=7&out_trade_no=6823789339978248"},
		"a name of the envelope":        {"subject", "Fish&version=2 chips"},
		"a name that must come later":   {"body", "x&charset=1"},
		"an ampersand":                  {"buyer_memo", "A & B"},
		"names in a descending order":   {"passback_params", "a=1&out_trade_no=2&charset=3&app_id=4"},
		"a name that cannot stand here": {"total_amount", "1&notify_id=2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, in := payment(t, chosen)
			got, err := receive(s, in)
			if err != nil || got.Unreadable != "" || got.EventType != "trade_status_sync" || got.EventID != "77" {
				t.Fatalf("got %+v, %v", got, err)
			}
			var content map[string]string
			if err := json.Unmarshal(got.Payload, &content); err != nil || content[chosen.Name] != chosen.Value || content["out_trade_no"] != "6823789339978248" {
				t.Errorf("the payload is %s", got.Payload)
			}
		})
	}
}

// Whoever may choose passback_params could hide the number of his order in the parameter before it.
func TestASignedTextWithSeveralReadingsIsKeptAsOneUnreadableMessage(t *testing.T) {
	t.Parallel()
	s := dialect.Set(fAlipayPublicKey, readKeys(t).Alipay.PublicSPKI)
	text, in := payment(t, Param{"out_biz_no", "1"}, Param{"passback_params", "x&out_trade_no=9&zz=1"})
	forged := []Param{
		{pAppID, "2014072300007148"}, {pCharset, "utf-8"}, {pNotifyID, "77"}, {pNotifyTime, "2018-01-24 20:40:22"},
		{pNotifyType, "trade_status_sync"}, {"out_biz_no", "1&out_trade_no=6823789339978248&passback_params=x"}, {"out_trade_no", "9&zz=1"},
		{"trade_status", "TRADE_SUCCESS"}, {pVersion, "1.0"},
	}
	if string(Canonical(V1, forged)) != text {
		t.Fatal("the forged message has another text")
	}
	for name, in := range map[string]dialect.Inbound{
		"as it was sent": in,
		"cut anew":       inbound(string(EncodeForm(append(forged, signOf(t, text)...)))),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := receive(s, in)
			if err != nil {
				t.Fatal(err)
			}
			want := dialect.Received{Payload: dialect.WrapRaw([]byte(text)), DedupKey: textKey("", []byte(text)), Unreadable: severalReadings}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if r := reply(s, dialect.Outcome{Result: dialect.Stored, Received: &got}); r.Status != 200 || string(r.Body) != "success" {
				t.Errorf("answered %d %q", r.Status, r.Body)
			}
		})
	}
	t.Run("with a wrong signature it is refused as forged", func(t *testing.T) {
		t.Parallel()
		in := in
		in.Body = []byte(strings.Replace(string(in.Body), "TRADE_SUCCESS", "TRADE_CLOSED", 1))
		var refusal *dialect.Error
		if _, err := receive(s, in); !errors.As(err, &refusal) || refusal.Reason != dialect.ReasonSignature {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a text of more pieces than are looked through is one", func(t *testing.T) {
		t.Parallel()
		_, in := payment(t, Param{"subject", strings.Repeat("&version=2", maxPieces)})
		if got, err := receive(s, in); err != nil || got.Unreadable != severalReadings {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("a name with a separator in it is one", func(t *testing.T) {
		t.Parallel()
		_, in := payment(t, Param{"x&trade_status", "1"})
		if got, err := receive(s, in); err != nil || got.Unreadable != severalReadings {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestWhatIsYoungEnoughToPassIsStillRemembered(t *testing.T) {
	t.Parallel()
	s := dialect.Set(fAlipayPublicKey, readKeys(t).Alipay.PublicSPKI)
	in := inbound(readMessages(t)["seed-1"].Body)
	got, err := receive(s, in)
	if err != nil {
		t.Fatal(err)
	}
	half := policy(s).DedupFor / 2
	for age, want := range map[time.Duration]bool{-half - time.Millisecond: false, -half: true, half: true, half + time.Millisecond: false} {
		in.Now = got.Time.Add(age)
		var refusal *dialect.Error
		if _, err := receive(s, in); (err == nil) != want || err != nil && (!errors.As(err, &refusal) || refusal.Reason != dialect.ReasonReplay) {
			t.Errorf("%v after its time: %v", age, err)
		}
	}
}
