package yunzhimeng

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
)

func TestTheNonceHasEighteenDigits(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i := range 1000 {
		var seed [32]byte
		binary.BigEndian.PutUint32(seed[:], uint32(i))
		n := nonce(seed)
		if len(n.text) != nonceDigits || n.text[0] == '0' || n != nonce(seed) {
			t.Fatalf("the nonce is %s", n.text)
		}
		seen[n.text] = true
	}
	if len(seen) != 1000 {
		t.Errorf("1000 seeds give %d nonces", len(seen))
	}
}

func TestARepeatDiffersInTimeAndSignatureOnly(t *testing.T) {
	t.Parallel()
	keys := pairs(t)
	for name, k := range keys {
		sending, _ := encrypting(k, keys["rsa"])
		out := dialect.Outbound{EventType: "USER_AUDIT", Payload: []byte(`{"phone":"1","idCard":"1"}`), Now: vectorTime, Seed: [32]byte{5}}
		first, err := sign(sending, out)
		if err != nil {
			t.Fatal(err)
		}
		out.Now = out.Now.Add(30 * time.Second)
		second, err := sign(sending, out)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Body, second.Body) || first.Header[headerNonce][0] != second.Header[headerNonce][0] {
			t.Errorf("%s: a repeat has another body or nonce", name)
		}
		if first.Header[headerTimestamp][0] == second.Header[headerTimestamp][0] || first.Header[headerSignature][0] == second.Header[headerSignature][0] {
			t.Errorf("%s: a repeat has the old time or signature", name)
		}
		if parts := strings.Split(string(first.Body), `"`); parts[3] == parts[7] {
			t.Errorf("%s: the same text in two fields has the same ciphertext", name)
		}
		out.Seed = [32]byte{6}
		if third, err := sign(sending, out); err != nil || bytes.Equal(first.Body, third.Body) || first.Header[headerNonce][0] == third.Header[headerNonce][0] {
			t.Errorf("%s: another message has the same body or nonce (%v)", name, err)
		}
	}
}

func TestTheFirstOfSeveralKeysSigns(t *testing.T) {
	t.Parallel()
	keys := pairs(t)
	s := dialect.Set(setIVSPrivate, keys["secp256k1"].PrivateB64, setIVSPrivate, keys["prime256v1"].PrivateB64)
	in := signed(t, s, "ARRIVE", "{}", vectorTime)
	if _, err := receive(dialect.Set(setIVSPublic, keys["secp256k1"].PublicB64), in); err != nil {
		t.Error(err)
	}
	if _, err := receive(dialect.Set(setIVSPublic, keys["prime256v1"].PublicB64), in); err == nil {
		t.Error("the second key signed")
	}
}

func TestMessagesThatCannotBeSent(t *testing.T) {
	t.Parallel()
	k := pairs(t)["prime256v1"]
	s := dialect.Set(setIVSPrivate, k.PrivateB64)
	for _, code := range []string{"", " ARRIVE", "ARRIVE\n", "A\x00", "\xff", strings.Repeat("E", 257)} {
		if _, err := sign(s, dialect.Outbound{EventType: code, Payload: []byte("{}"), Now: vectorTime}); err == nil {
			t.Errorf("the event type %q was sent", code)
		}
	}
	s = dialect.Set(setIVSPrivate, k.PrivateB64, setSignedText, "ts_nonce_body")
	if _, err := sign(s, dialect.Outbound{EventType: "ARRIVE", Payload: []byte("1"), Now: vectorTime}); err == nil {
		t.Error("a body was sent that cannot be told from the nonce")
	}
}

func TestTheHandshakeIsASignedTestThatMustBeAcknowledged(t *testing.T) {
	t.Parallel()
	k := pairs(t)["prime256v1"]
	s := dialect.Set(setIVSPrivate, k.PrivateB64, setTestCode, "PING", setSuccess, successCode)
	req, judged, err := handshake(s, dialect.Nonce{Now: vectorTime, Seed: [32]byte{9}})
	if err != nil {
		t.Fatal(err)
	}
	receiving := dialect.Set(setIVSPublic, k.PublicB64)
	got, err := receive(receiving, dialect.Inbound{Method: req.Method, Header: req.Header, Body: req.Body, Now: vectorTime})
	if err != nil || got.EventType != "PING" || string(got.Payload) != "{}" {
		t.Errorf("received as %+v, %v", got, err)
	}
	answer := reply(receiving, dialect.Outcome{Result: dialect.Stored, Received: &got})
	if v := judged(dialect.Response{Status: answer.Status, Body: answer.Body}); v.Kind != dialect.Accepted {
		t.Errorf("our own answer is judged %+v", v)
	}
	if v := judged(dialect.Response{Status: 200, Body: []byte("ok")}); v.Kind != dialect.Retry {
		t.Errorf("an answer against the rule is judged %+v", v)
	}
	if _, _, err := handshake(nil, dialect.Nonce{Now: vectorTime}); err == nil {
		t.Error("a handshake without a key was made")
	}
}

// Whichever rule the platform has, what this receiver says by default satisfies it, but for the bare text.
func TestTheDefaultReplySatisfiesBothRulesOfStatusAndCode(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{successStatus, successCode} {
		for _, r := range []dialect.Result{dialect.Stored, dialect.Duplicate, dialect.Forged, dialect.Malformed, dialect.TooLarge, dialect.Unavailable, dialect.NoSuchDoor} {
			answer := reply(nil, dialect.Outcome{Result: r})
			accepted := judge(dialect.Set(setSuccess, rule), dialect.Response{Status: answer.Status, Body: answer.Body}).Kind == dialect.Accepted
			if accepted != (r == dialect.Stored || r == dialect.Duplicate) {
				t.Errorf("%s: the result %d is accepted: %v", rule, r, accepted)
			}
		}
	}
}

func TestATruncatedAnswerIsNoAcknowledgementByItsBody(t *testing.T) {
	t.Parallel()
	for rule, body := range map[string]string{successCode: `{"code":200}`, successText: "success"} {
		if v := judge(dialect.Set(setSuccess, rule), dialect.Response{Status: 200, Body: []byte(body), Truncated: true}); v.Kind != dialect.Retry {
			t.Errorf("%s: judged %+v", rule, v)
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	p := policy(nil)
	if p.Deadline != 5*time.Second || p.DedupFor != 7*24*time.Hour || !slices.Equal(p.Schedule, []time.Duration{5 * time.Second, 30 * time.Second}) {
		t.Errorf("the defaults are %+v", p)
	}
	if p.HTTPSOnly || p.RetryAfter || p.GoneDisables || p.Breaker || p.AutoDisable || p.Jitter {
		t.Errorf("a flag is set: %+v", p)
	}
	p = policy(dialect.Set(setDeadline, "2s", setSchedule, "1s, 1m", setDedupFor, "1d"))
	if p.Deadline != 2*time.Second || p.DedupFor != 24*time.Hour || !slices.Equal(p.Schedule, []time.Duration{time.Second, time.Minute}) {
		t.Errorf("the settings give %+v", p)
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	t.Parallel()
	keys := pairs(t)
	p, r := keys["prime256v1"], keys["rsa"]
	receiving := func(more ...string) dialect.Settings {
		return dialect.Set(append([]string{setIVSPublic, p.PublicB64}, more...)...)
	}
	sending := func(more ...string) dialect.Settings {
		return dialect.Set(append([]string{setIVSPrivate, p.PrivateB64}, more...)...)
	}
	for name, c := range map[string]struct {
		use   dialect.Use
		s     dialect.Settings
		field string
	}{
		"receiving without a key":          {dialect.Receiving, dialect.Set(setSuccess, successText), setIVSPublic},
		"a private key for the platform's": {dialect.Receiving, dialect.Set(setIVSPublic, p.PrivateB64), setIVSPublic},
		"an empty key":                     {dialect.Receiving, dialect.Set(setIVSPublic, ""), setIVSPublic},
		"a second key that is none":        {dialect.Receiving, receiving(setIVSPublic, "none"), setIVSPublic},
		"a key under another algorithm":    {dialect.Receiving, receiving(setAlgorithm, sm3WithSM2), setIVSPublic},
		"a public key to open with":        {dialect.Receiving, receiving(setSignSecret, p.PublicB64), setSignSecret},
		"a key under another cipher":       {dialect.Receiving, receiving(setSignSecret, p.PrivateB64, setCipher, "sm2_asn1"), setSignSecret},
		"an RSA key under a curve cipher":  {dialect.Receiving, receiving(setSignSecret, r.PrivateB64, setCipher, "ecies"), setSignSecret},
		"a form that is none":              {dialect.Receiving, receiving(setSignedText, "nonce"), setSignedText},
		"a memory shorter than the calls":  {dialect.Receiving, receiving(setDedupFor, "10s"), setDedupFor},
		"a list for a memory":              {dialect.Receiving, receiving(setDedupFor, "1d,2d"), setDedupFor},
		"a skew over half of the memory":   {dialect.Receiving, receiving(setMaxSkew, "4d"), setMaxSkew},
		"two memories":                     {dialect.Receiving, receiving(setDedupFor, "1d", setDedupFor, "2d"), setDedupFor},
		"no skew at all":                   {dialect.Receiving, receiving(setMaxSkew, "0s"), setMaxSkew},
		"sending without a key":            {dialect.Sending, dialect.Set(setSuccess, successText), setIVSPrivate},
		"a public key to sign with":        {dialect.Sending, dialect.Set(setIVSPrivate, p.PublicB64), setIVSPrivate},
		"a second signing key is none":     {dialect.Sending, sending(setIVSPrivate, "none"), setIVSPrivate},
		"a private key to encrypt to":      {dialect.Sending, sending(setSignPublic, p.PrivateB64), setSignPublic},
		"a code that breaks the header":    {dialect.Sending, sending(setTestCode, "A\nB"), setTestCode},
		"a deadline of nothing":            {dialect.Sending, sending(setDeadline, "0s"), setDeadline},
		"a list of deadlines":              {dialect.Sending, sending(setDeadline, "1s,2s"), setDeadline},
		"more calls than are sane":         {dialect.Sending, sending(setSchedule, strings.Repeat("1s,", maxCalls)+"1s"), setSchedule},
		"a setting that is none":           {dialect.Sending, sending("ivs_privat_key", "x"), "ivs_privat_key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			problems := Dialect.Validate(c.s, c.use, false)
			if len(problems) == 0 || problems[0].Field != c.field {
				t.Fatalf("the problems are %v", problems)
			}
			for _, values := range c.s {
				for _, v := range values {
					if len(v) > 20 && strings.Contains(problems[0].Text, v) {
						t.Error("the text holds a value")
					}
				}
			}
		})
	}
	if problems := Dialect.Validate(receiving(setSignSecret, p.PrivateB64), dialect.Receiving, false); len(problems) > 0 {
		t.Errorf("good settings for receiving: %v", problems)
	}
	if problems := Dialect.Validate(sending(setSignPublic, r.PublicB64), dialect.Sending, false); len(problems) > 0 {
		t.Errorf("good settings for sending: %v", problems)
	}
}
