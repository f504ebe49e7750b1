package alipay

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
)

// FuzzParseFrame holds that reading changes nothing, that what is read and can be written is read again the same, by us
// and by the Java client, and that whatever can be written fits the bounds of the reader.
func FuzzParseFrame(f *testing.F) {
	for _, c := range readLongconn(f).Frames {
		f.Add([]byte(c.Text))
	}
	f.Add([]byte("from-sys-ip:fe80::1\r\n\r\n" + `{"data":{"a":"\\\"}"},"protocol":{"x-type":"message","x-cmd":"A","x-error":"\"data\":{"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		before := slices.Clone(text)
		got, err := ParseFrame(text)
		if !bytes.Equal(before, text) {
			t.Fatal("the text was changed")
		}
		if err != nil {
			if !sameFrame(got, Frame{}) || err.Error() == "" {
				t.Fatalf("refused without a reason, or read in part: %v", err)
			}
			return
		}
		written, err := got.Append(nil)
		if err != nil {
			return // a quote in a member, which JSON can carry and the Java writer cannot
		}
		if again, err := ParseFrame(written); err != nil || !sameFrame(again, got) {
			t.Fatalf("%q is read again as %+v (%v)", written, again, err)
		}
		if java, err := readFrameAsJava(written); err != nil || !sameFrame(java, got) {
			t.Fatalf("the Java client reads %q as %+v (%v)", written, java, err)
		}
	})
}

// FuzzRegisterAnswer holds that a token is read only where the platform's signature holds over the text that has it, and
// that the Java client's scanner never reads another token from the same body.
func FuzzRegisterAnswer(f *testing.F) {
	_, app := longconnSides(f, false)
	key := mustPublic(f, readKeys(f).Alipay.PublicSPKI)
	for _, c := range readLongconn(f).Register[2:] {
		f.Add([]byte(c.HTTPBody))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := ReadRegisterAnswer(app, body)
		if err != nil {
			if token != "" || err.Error() == "" {
				t.Fatalf("refused with the token %q: %v", token, err)
			}
			return
		}
		outer, err := dialect.ReadObject(body)
		if err != nil {
			t.Fatalf("read from what is no JSON: %q", body)
		}
		response := dialect.FindMember(outer, "response")
		sign, err := dialect.Unquote(dialect.FindMember(outer, "sign"))
		if err != nil || key.Verify(RSA2, response, string(sign)) != nil || !bytes.Contains(response, []byte(token)) {
			t.Fatalf("the token %q is not signed in %q", token, body)
		}
		if java := readAnswerAsJava(key, RSA2, "", body); java.err == nil && java.token != token {
			t.Fatalf("the Java client reads %q, not %q", java.token, token)
		}
	})
}

// FuzzReadQuery holds that nothing but the application's own query is verified: what is verified has the signed text
// of the one that was made.
func FuzzReadQuery(f *testing.F) {
	platform, app := longconnSides(f, false)
	made, err := UpgradeQuery(app, "LT", signedAt, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(made)
	f.Add(strings.Replace(made, "charset=UTF-8&", "charset=utf-8&", 1))
	f.Add("a=%26")
	good, err := ReadQuery(made)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := ReadQuery(raw)
		if err != nil || VerifyUpgrade(platform, q, signedAt.Add(time.Minute)) != nil {
			return
		}
		if !bytes.Equal(q.signed, good.signed) || q.LinkToken != "LT" || q.AppID != vectorApp {
			t.Fatalf("verified: %q", raw)
		}
	})
}
