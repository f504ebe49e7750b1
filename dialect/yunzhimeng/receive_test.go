package yunzhimeng

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
)

// signed makes a callback with the platform's key and the given settings.
func signed(t testing.TB, s dialect.Settings, code, payload string, at time.Time) dialect.Inbound {
	t.Helper()
	req, err := sign(s, dialect.Outbound{EventType: code, Payload: []byte(payload), Now: at, Seed: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	return dialect.Inbound{Method: req.Method, Header: req.Header, Body: req.Body, Now: at}
}

func reason(t *testing.T, err error) dialect.Reason {
	t.Helper()
	var refusal *dialect.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("not a refusal: %v", err)
	}
	return refusal.Reason
}

func TestTimesOutsideOfTheMemoryAreRefused(t *testing.T) {
	t.Parallel()
	k := pairs(t)["prime256v1"]
	for name, c := range map[string]struct {
		skew string
		off  time.Duration
		ok   bool
	}{
		"just now":                         {"", 0, true},
		"half of the memory ago":           {"", -84 * time.Hour, true},
		"more than half of the memory ago": {"", -84*time.Hour - time.Millisecond, false},
		"beyond the memory":                {"", -8 * 24 * time.Hour, false},
		"half of the memory ahead":         {"", 84 * time.Hour, true},
		"more than that ahead":             {"", 84*time.Hour + time.Millisecond, false},
		"at the chosen skew":               {"5m", -5 * time.Minute, true},
		"over the chosen skew":             {"5m", -5*time.Minute - time.Millisecond, false},
		"over the chosen skew ahead":       {"5m", 5*time.Minute + time.Millisecond, false},
		"a skew over half is half":         {"6d", -4 * 24 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := signed(t, dialect.Set(setIVSPrivate, k.PrivateB64), "ARRIVE", "{}", vectorTime.Add(c.off))
			in.Now = vectorTime
			got, err := receive(dialect.Set(setIVSPublic, k.PublicB64, setMaxSkew, c.skew), in)
			if (err == nil) != c.ok {
				t.Fatalf("the verdict is %v", err)
			}
			if err != nil && reason(t, err) != dialect.ReasonReplay {
				t.Errorf("the reason is %v", err)
			}
			if err == nil && !got.Time.Equal(vectorTime.Add(c.off)) {
				t.Errorf("the time is %s", got.Time)
			}
		})
	}
}

// An unsigned time that is so far off that differences overflow must not slip through.
func TestTimesThatOverflowAreRefused(t *testing.T) {
	t.Parallel()
	k := pairs(t)["prime256v1"]
	in := signed(t, dialect.Set(setIVSPrivate, k.PrivateB64, setSignedText, "body"), "ARRIVE", "{}", vectorTime)
	for _, v := range []int64{0, 1, secondsBelow - 1, secondsBelow, math.MaxInt64 / 2, math.MaxInt64} {
		in.Header["X-Timestamp"] = []string{strconv.FormatInt(v, 10)}
		if _, err := receive(dialect.Set(setIVSPublic, k.PublicB64, setSignedText, "body"), in); err == nil || reason(t, err) != dialect.ReasonReplay {
			t.Errorf("the time %d: %v", v, err)
		}
	}
}

func TestARepeatUnderAnotherCodeIsADuplicate(t *testing.T) {
	t.Parallel()
	k := pairs(t)["prime256v1"]
	s := dialect.Set(setIVSPublic, k.PublicB64)
	in := signed(t, dialect.Set(setIVSPrivate, k.PrivateB64), "ARRIVE", `{"a":1}`, vectorTime)
	first, err := receive(s, in)
	if err != nil {
		t.Fatal(err)
	}
	in.Header["X-EventCode"] = []string{"PAY_WAYBILL"}
	second, err := receive(s, in)
	if err != nil || second.DedupKey != first.DedupKey || second.EventType == first.EventType {
		t.Errorf("%v: %+v", err, second)
	}
	if second.Twin == first.Twin || first.TwinKeep != 10*time.Minute || first.TwinMark != "possibleDuplicateOf" {
		t.Errorf("the twins are %q and %q", first.Twin, second.Twin)
	}
}

func TestTheSameBodyUnderAFreshNonceIsATwin(t *testing.T) {
	t.Parallel()
	k := pairs(t)["prime256v1"]
	s := dialect.Set(setIVSPublic, k.PublicB64)
	var got [2]dialect.Received
	for i := range got {
		req, err := sign(dialect.Set(setIVSPrivate, k.PrivateB64), dialect.Outbound{EventType: "ARRIVE", Payload: []byte("{}"), Now: vectorTime, Seed: [32]byte{byte(i)}})
		if err != nil {
			t.Fatal(err)
		}
		if got[i], err = receive(s, dialect.Inbound{Method: "POST", Header: req.Header, Body: req.Body, Now: vectorTime}); err != nil {
			t.Fatal(err)
		}
	}
	if got[0].DedupKey == got[1].DedupKey || got[0].Twin != got[1].Twin {
		t.Errorf("keys %q %q, twins %q %q", got[0].DedupKey, got[1].DedupKey, got[0].Twin, got[1].Twin)
	}
}

func TestBodiesThatAreNoObject(t *testing.T) {
	t.Parallel()
	k := pairs(t)["prime256v1"]
	for body, want := range map[string]struct {
		payload    string
		unreadable bool
	}{
		"":                         {`{"raw":""}`, false},
		"[1]":                      {`{"raw":[1]}`, false},
		"null":                     {`{"raw":null}`, false},
		" {\"a\":1}\n":             {" {\"a\":1}\n", false},
		"{\"a\":1}{}":              {`{"raw":"{\"a\":1}{}"}`, true},
		"a=1":                      {`{"raw":"a=1"}`, true},
		"\ufeff{}":                 {"{\"raw\":\"\ufeff{}\"}", true},
		"{\"a\":\"\xc4\xe3\"}":     {`{"raw":"eyJhIjoixOMifQ==","encoding":"base64"}`, true}, // GBK
		strings.Repeat("[", 20000): {`{"raw":"` + strings.Repeat("[", 20000) + `"}`, true},
	} {
		in := signed(t, dialect.Set(setIVSPrivate, k.PrivateB64), "ARRIVE", body, vectorTime)
		got, err := receive(dialect.Set(setIVSPublic, k.PublicB64, setSignSecret, k.PrivateB64), in)
		if err != nil || string(got.Payload) != want.payload || (got.Unreadable != "") != want.unreadable {
			t.Errorf("%.40q: payload %.80q, unreadable %q, %v", body, got.Payload, got.Unreadable, err)
		}
	}
}

// After a right signature nothing is refused, not even for a fault in our own settings for decryption.
func TestAFaultInOurDecryptionIsFlaggedAndNotRefused(t *testing.T) {
	t.Parallel()
	k := pairs(t)["prime256v1"]
	in := signed(t, dialect.Set(setIVSPrivate, k.PrivateB64), "ARRIVE", `{"a":1}`, vectorTime)
	for name, s := range map[string]dialect.Settings{
		"a key that is none":       dialect.Set(setIVSPublic, k.PublicB64, setSignSecret, "no key"),
		"a cipher that is none":    dialect.Set(setIVSPublic, k.PublicB64, setSignSecret, k.PrivateB64, setCipher, "rot13"),
		"a cipher of other keys":   dialect.Set(setIVSPublic, k.PublicB64, setSignSecret, k.PrivateB64, setCipher, "rsa_pkcs1"),
		"an encoding that is none": dialect.Set(setIVSPublic, k.PublicB64, setSignSecret, k.PrivateB64, setFieldEncoding, "uu"),
	} {
		got, err := receive(s, in)
		if err != nil || got.Unreadable == "" || string(got.Payload) != `{"a":1}` {
			t.Errorf("%s: %v, unreadable %q", name, err, got.Unreadable)
		}
	}
}

func TestWhatCannotBeJudgedIsUnconfigured(t *testing.T) {
	t.Parallel()
	k := pairs(t)["prime256v1"]
	in := signed(t, dialect.Set(setIVSPrivate, k.PrivateB64), "ARRIVE", `{}`, vectorTime)
	many := dialect.Settings{}
	for range dialect.MaxLiveSecrets + 1 {
		many[setIVSPublic] = append(many[setIVSPublic], k.PublicB64)
	}
	for name, s := range map[string]dialect.Settings{
		"no settings":              nil,
		"an empty key":             dialect.Set(setIVSPublic, ""),
		"more keys than are live":  many,
		"a form that is none":      dialect.Set(setIVSPublic, k.PublicB64, setSignedText, "nonce_ts"),
		"an encoding that is none": dialect.Set(setIVSPublic, k.PublicB64, setSigEncoding, "der"),
		"an RSA algorithm":         dialect.Set(setIVSPublic, k.PublicB64, setAlgorithm, sha256WithRSA),
	} {
		if _, err := receive(s, in); err == nil || reason(t, err) != dialect.ReasonSettings {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHeadersThatAreThereTwiceAreRefused(t *testing.T) {
	t.Parallel()
	k := pairs(t)["prime256v1"]
	s := dialect.Set(setIVSPublic, k.PublicB64)
	good := signed(t, dialect.Set(setIVSPrivate, k.PrivateB64), "ARRIVE", `{}`, vectorTime)
	for _, name := range []string{headerTimestamp, headerNonce, headerSignature, headerEventCode} {
		in := good
		in.Header = http.Header{}
		for n, v := range good.Header {
			in.Header.Add(n, v[0])
		}
		if _, err := receive(s, in); err != nil {
			t.Fatal(err)
		}
		in.Header.Add(name, in.Header.Get(name))
		if _, err := receive(s, in); err == nil || reason(t, err) != dialect.ReasonMalformed {
			t.Errorf("%s twice: %v", name, err)
		}
	}
}

func TestASignatureHasOneSpelling(t *testing.T) {
	t.Parallel()
	k := pairs(t)["rsa"]
	s := dialect.Set(setIVSPublic, k.PublicB64)
	in := signed(t, dialect.Set(setIVSPrivate, k.PrivateB64), "ARRIVE", `{}`, vectorTime)
	good := in.Header["X-Signature"][0] // 256 bytes: its last character before the padding has four spare bits
	spare := good[:len(good)-3] + string(good[len(good)-3]+1) + "=="
	for name, text := range map[string]string{
		"spare bits set": spare, "no padding": strings.TrimRight(good, "="), "a line end": good[:76] + "\n" + good[76:],
		"a blank": good + " ", "the URL alphabet": strings.NewReplacer("+", "-", "/", "_").Replace(good), "empty": "",
		"very long": strings.Repeat("A", maxSignatureText+4),
	} {
		if text == good {
			t.Fatalf("%s: the same text", name)
		}
		in.Header["X-Signature"] = []string{text}
		if _, err := receive(s, in); err == nil || reason(t, err) != dialect.ReasonSignature {
			t.Errorf("%s: %v", name, err)
		}
	}
	in.Header["X-Signature"] = []string{good}
	if _, err := receive(s, in); err != nil {
		t.Errorf("the one spelling: %v", err)
	}
}
