package yunzhimeng

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/waypost/waypost/dialect"
)

func TestFieldsThatAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"at the top":                    {`{"phone":"1"}`, "phone=1"},
		"in objects and lists":          {`{"a":[{"b":{"phone":"1"}},{"phone":"2"}],"idCard":"3"}`, "phone=1 phone=2 idCard=3"},
		"with blanks around":            {"{ \"phone\" \t:\r\n \"1\" }", "phone=1"},
		"twice under one name":          {`{"phone":"1","phone":"2"}`, "phone=1 phone=2"},
		"with an escaped name":          {`{"\u0070hone":"1"}`, "phone=1"},
		"with an escaped value":         {`{"phone":"\u4e2d\"\\\/\ud83d\ude9a"}`, "phone=中\"\\/🚚"},
		"empty":                         {`{"phone":""}`, "phone="},
		"no number, null, bool":         {`{"phone":13800138000,"idCard":null,"password":true}`, ""},
		"no list, no object":            {`{"phone":["1","2"],"idCard":{"x":"3"}}`, ""},
		"but members within":            {`{"phone":{"phone":["x",{"phone":"1"}]}}`, "phone=1"},
		"not a value that looks a name": {`{"a":"phone","b":"1"}`, ""},
		"not within a string":           {`{"a":"{\"phone\":\"1\"}"}`, ""},
		"not a longer name":             {`{"phones":"1","xphone":"2","Phone":"3"}`, ""},
		"after a backslash":             {`{"a":"\\","phone":"1"}`, "phone=1"},
		"after a quote":                 {`{"a":"\"","phone":"1"}`, "phone=1"},
		"in a list of texts before":     {`{"a":["phone","idCard"],"phone":"1"}`, "phone=1"},
		"in no text":                    {``, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			eachField([]byte(c.text), defaultFields, func(f field) bool {
				got = append(got, f.name+"="+f.value)
				return true
			})
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("found %q, not %q", s, c.want)
			}
		})
	}
}

func TestRewritingLeavesAllOtherBytes(t *testing.T) {
	t.Parallel()
	text := []byte("{ \"phone\" : \"old\",\"n\":1.0,\t\"x\":\"\\u4e2d\\/\",\"idCard\":\"\",\"a\":[{\"phone\":\"old\"} ] }\n")
	before := bytes.Clone(text)
	got, err := rewrite(text, defaultFields, func(f field) (string, bool, error) { return "新<>\"", f.value == "old", nil })
	want := strings.ReplaceAll(string(text), `"old"`, `"新<>\""`)
	if err != nil || string(got) != want {
		t.Errorf("rewritten as %s, not %s (%v)", got, want, err)
	}
	if !bytes.Equal(text, before) {
		t.Error("the text itself was changed")
	}
	same, err := rewrite(text, defaultFields, func(field) (string, bool, error) { return "", false, nil })
	if err != nil || &same[0] != &text[0] {
		t.Error("a text without a change was copied")
	}
}

// settings of one receiver and one sender, encrypting on a curve.
func encrypting(k keyPair, platform keyPair, more ...string) (sending, receiving dialect.Settings) {
	sending = dialect.Set(append([]string{setIVSPrivate, platform.PrivateB64, setSignPublic, k.PublicB64}, more...)...)
	receiving = dialect.Set(append([]string{setIVSPublic, platform.PublicB64, setSignSecret, k.PrivateB64}, more...)...)
	return sending, receiving
}

func TestEveryCipherOpensWhatItSeals(t *testing.T) {
	t.Parallel()
	keys := pairs(t)
	for name, c := range fieldCiphers {
		for curveName, k := range keys {
			priv, err := parsePrivate(k.PrivateB64)
			if err != nil {
				t.Fatal(err)
			}
			if !c.fits(priv.curve) {
				continue
			}
			t.Run(name+" on "+curveName, func(t *testing.T) {
				t.Parallel()
				pub, err := parsePublic(k.PublicB64)
				if err != nil {
					t.Fatal(err)
				}
				for n, plain := range []string{"x", "y", "z", "11010119900307123X", "张三", strings.Repeat("长", 20)} {
					seal := func() []byte {
						b, err := c.seal(pub, drawFor([32]byte{1}, pub, n, []byte(plain)), []byte(plain))
						if err != nil {
							t.Fatal(err)
						}
						return b
					}
					sealed := seal()
					if !bytes.Equal(sealed, seal()) {
						t.Error("the same seed makes another ciphertext")
					}
					if !c.looks(priv, sealed) {
						t.Error("a ciphertext does not look like one")
					}
					if got, ok := c.open(priv, sealed); !ok || string(got) != plain {
						t.Errorf("%q opens as %q, %v", plain, got, ok)
					}
					for _, i := range []int{0, 1, len(sealed) / 2, len(sealed) - 1} {
						bad := bytes.Clone(sealed)
						bad[i] ^= 1
						if got, ok := c.open(priv, bad); ok && string(got) == plain {
							t.Errorf("a ciphertext with byte %d changed still opens", i)
						}
					}
				}
			})
		}
	}
}

func TestSealingAgainAfterAChangeOfSettingsReusesNoKeyStream(t *testing.T) {
	t.Parallel()
	keys := pairs(t)
	k := keys["prime256v1"]
	pub, _ := parsePublic(k.PublicB64)
	other, _ := parsePublic(keys["secp256k1"].PublicB64)
	points := map[string]bool{}
	for _, key := range []publicKey{pub, other} {
		for occurrence := range 3 {
			for _, plain := range []string{"13800138000", "13900139000"} {
				points[string(drawFor([32]byte{1}, key, occurrence, []byte(plain))(48))] = true
			}
		}
	}
	if len(points) != 12 {
		t.Errorf("12 different fields share %d ephemeral keys", len(points))
	}
}

func TestSM2NeverSendsATextInClear(t *testing.T) {
	t.Parallel()
	k := pairs(t)["sm2p256v1"]
	pub, _ := parsePublic(k.PublicB64)
	priv, _ := parsePrivate(k.PrivateB64)
	c := fieldCiphers["sm2_c1c3c2"]
	for i := range 3000 { // the key stream of one byte is zero once in 256 draws
		sealed, err := c.seal(pub, drawFor([32]byte{}, pub, i, []byte("x")), []byte("x"))
		if err != nil || sealed[len(sealed)-1] == 'x' {
			t.Fatalf("draw %d sent the text itself (%v)", i, err)
		}
		if plain, ok := c.open(priv, sealed); !ok || string(plain) != "x" {
			t.Fatalf("draw %d does not open", i)
		}
	}
}

func TestWhatOpensToNoTextIsNotOpened(t *testing.T) {
	t.Parallel()
	k := pairs(t)["prime256v1"]
	_, s := encrypting(k, k)
	o, err := readOpener(s)
	if err != nil {
		t.Fatal(err)
	}
	pub, _ := parsePublic(k.PublicB64)
	for plain, want := range map[string]sight{"13800138000": opened, "\xff\xfe": sealedShut} {
		sealed, err := fieldCiphers["ecies"].seal(pub, drawFor([32]byte{}, pub, 1, []byte(plain)), []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		if _, got := o.open(o.codec.encode(sealed)); got != want {
			t.Errorf("%q: %d, not %d", plain, got, want)
		}
	}
}

func TestTextsThatCannotBeSealedAreErrors(t *testing.T) {
	t.Parallel()
	keys := pairs(t)
	out := func(text string) dialect.Outbound {
		return dialect.Outbound{EventType: "E", Payload: []byte(`{"phone":"` + text + `"}`), Now: vectorTime}
	}
	onRSA, _ := encrypting(keys["rsa"], keys["prime256v1"])
	if _, err := sign(onRSA, out(strings.Repeat("1", 246))); err == nil {
		t.Error("more than an RSA block was sealed")
	}
	if _, err := sign(onRSA, out(`\ud83d`)); err == nil {
		t.Error("half of a surrogate pair was sealed as something else")
	}
	onCurve, _ := encrypting(keys["prime256v1"], keys["prime256v1"])
	if _, err := sign(onCurve, out(strings.Repeat("1", maxSealed+1))); err == nil {
		t.Error("more than the bound was sealed")
	}
	if _, err := sign(onCurve, dialect.Outbound{EventType: "E", Payload: []byte(`{"phone":`), Now: vectorTime}); err == nil {
		t.Error("fields of a payload that is not JSON were sealed")
	}
}

func TestTrialOpensABoundedNumberOfFields(t *testing.T) {
	t.Parallel()
	k := pairs(t)["prime256v1"]
	_, s := encrypting(k, k)
	o, err := readOpener(s)
	if err != nil {
		t.Fatal(err)
	}
	shutValue := "BA" + strings.Repeat("A", 138) // the shape of a ciphertext, and nothing more
	text := func(n int) []byte {
		return []byte(`{"a":[` + strings.Repeat(`{"phone":"1"},`, n) + `{"phone":"` + shutValue + `"}]}`)
	}
	if got := o.trial(text(maxTrial - 1)); got == "" {
		t.Error("the last field of the trial was not tried")
	}
	if got := o.trial(text(maxTrial)); got != "" {
		t.Errorf("a field beyond the trial was tried: %s", got)
	}
	if _, err := o.payload(text(maxTrial)); err == nil {
		t.Error("delivery did not notice the field that does not open")
	}
}

func TestDeliveryOpensFieldsInPlace(t *testing.T) {
	t.Parallel()
	keys := pairs(t)
	sending, receiving := encrypting(keys["prime239v1"], keys["prime256v1"])
	payload := "{ \"n\" : 1.0,\"password\":\"\",\"phone\":\"13800138000\",\r\n\t\"list\":[{\"idCardNo\":\"中<&>\"}],\"s\":\"\\u4e2d\\/\" } "
	req, err := sign(sending, dialect.Outbound{EventType: "USER_AUDIT", Payload: []byte(payload), Now: vectorTime, Seed: [32]byte{3}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(req.Body, []byte(`"password":"",`)) {
		t.Errorf("an empty field was encrypted: %s", req.Body)
	}
	if !json.Valid(req.Body) || bytes.Contains(req.Body, []byte("13800138000")) || bytes.Contains(req.Body, []byte("<&>")) {
		t.Fatalf("the body is %s", req.Body)
	}
	got, err := decrypt(receiving, req.Body, nil)
	if err != nil || string(got) != payload {
		t.Errorf("opened as %q (%v)", got, err)
	}
	if got, err := decrypt(dialect.Settings{}, req.Body, nil); err != nil || &got[0] != &req.Body[0] {
		t.Errorf("without a key the payload did not stay as it is (%v)", err)
	}
	if _, err := decrypt(dialect.Set(setSignSecret, keys["prime256v1"].PrivateB64), req.Body, nil); err == nil {
		t.Error("fields encrypted to another key went unnoticed")
	}
	if _, err := decrypt(dialect.Set(setSignSecret, "no key"), req.Body, nil); err == nil {
		t.Error("a key that is none went unnoticed")
	}
}
