package alipay

import (
	"bytes"
	"net/url"
	"slices"
	"testing"

	"github.com/waypost/waypost/dialect"
)

// flips calls do with every text that differs from the given one in one byte, in three ways.
func flips(text []byte, do func(at int, text []byte)) {
	for at := range text {
		for _, bit := range []byte{1, 0x20, 0x80} {
			changed := slices.Clone(text)
			changed[at] ^= bit
			do(at, changed)
		}
	}
}

// Whatever byte of a frame is changed on its way: it is refused, or what was signed is read unchanged. What may change is the
// unsigned part: the header lines and the members x-msgId, x-timestamp and x-version.
func TestAChangedFrameIsRefusedOrSaysTheSame(t *testing.T) {
	t.Parallel()
	_, app := longconnSides(t, false)
	text := readLongconn(t).frame(t, "consume-3")
	good, err := ParseFrame(text)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ReceiveFrame(app, good)
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	flips(text, func(at int, changed []byte) {
		f, err := ParseFrame(changed)
		if err != nil {
			return
		}
		got, err := ReceiveFrame(app, f)
		if err != nil {
			return
		}
		accepted++
		if !bytes.Equal(f.Data, good.Data) || !bytes.Equal(got.Payload, want.Payload) || got.EventType != want.EventType || got.Account != want.Account {
			t.Errorf("byte %d may be changed: %s", at, changed)
		}
	})
	if accepted == 0 || accepted > 400 { // headers and three members, three ways each
		t.Errorf("%d changes are accepted", accepted)
	}
}

// The same of what opens a connection: there nothing is unsigned but the spelling.
func TestAChangedQueryOrAnswerIsRefusedOrSaysTheSame(t *testing.T) {
	t.Parallel()
	platform, app := longconnSides(t, true)
	v := readLongconn(t)
	u, err := url.Parse(v.Upgrade[1].URL)
	if err != nil {
		t.Fatal(err)
	}
	good, err := ReadQuery(u.RawQuery)
	if err != nil || VerifyUpgrade(platform, good, good.Time) != nil {
		t.Fatal(err, VerifyUpgrade(platform, good, good.Time))
	}
	flips([]byte(u.RawQuery), func(at int, changed []byte) {
		q, err := ReadQuery(string(changed))
		if err == nil && VerifyUpgrade(platform, q, good.Time) == nil && !bytes.Equal(q.signed, good.signed) {
			t.Errorf("byte %d may be changed: %s", at, changed)
		}
	})
	for _, c := range v.Register[2:5] {
		flips([]byte(c.HTTPBody), func(at int, changed []byte) {
			token, err := ReadRegisterAnswer(app, changed)
			if err == nil && token != c.Expect.LinkToken {
				t.Errorf("%s: byte %d may be changed: %s", c.ID, at, changed)
			}
			outer, _ := dialect.ReadObject(changed)
			if err == nil && !bytes.Equal(dialect.FindMember(outer, "response"), []byte(c.SignedText)) {
				t.Errorf("%s: byte %d of the signed text may be changed: %s", c.ID, at, changed)
			}
		})
	}
}
