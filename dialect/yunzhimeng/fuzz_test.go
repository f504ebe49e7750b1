package yunzhimeng

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/waypost/waypost/dialect"
)

// FuzzReceive: never panics, accepts only what was signed, and yields a JSON object.
func FuzzReceive(f *testing.F) {
	keys := pairs(f)
	k := keys["prime256v1"]
	forms := sortedNames(textForms)
	for _, file := range []string{"ecdsa-p256-sha256.json", "ecdsa-secp256k1-sha256.json"} { // the second is never right
		for _, v := range readSignatures(f, file).Vectors {
			f.Add([]byte(v.Body), v.Timestamp, v.Nonce, v.B64, v.Code, slices.Index(forms, v.Form))
		}
	}
	f.Add([]byte(`{"phone":"BA`), "1", "-1", "MAA=", "\x00", 0)
	good := map[string]bool{} // what the platform's key signed, by form
	for _, v := range readSignatures(f, "ecdsa-p256-sha256.json").Vectors {
		good[v.Form+" "+v.CanonicalB64] = true
	}
	f.Fuzz(func(t *testing.T, body []byte, ts, nonce, sig, code string, form int) {
		name := forms[(form%len(forms)+len(forms))%len(forms)]
		s := dialect.Set(setIVSPublic, k.PublicB64, setSignSecret, k.PrivateB64, setSignedText, name)
		in := dialect.Inbound{Method: "POST", Body: body, Now: vectorTime, Header: http.Header{
			"X-Timestamp": {ts}, "X-Nonce": {nonce}, "X-Signature": {sig}, "X-Eventcode": {code},
		}}
		before, header := bytes.Clone(body), in.Header.Clone()
		got, err := receive(s, in)
		if !bytes.Equal(before, body) || !maps.EqualFunc(header, in.Header, slices.Equal) {
			t.Fatal("the request was changed")
		}
		if err != nil {
			return
		}
		stamp, _ := parseNumber(ts)
		n, _ := parseNumber(nonce)
		text := canonical(textForms[name], envelope{stamp, n, body})
		if !good[name+" "+base64.StdEncoding.EncodeToString(text)] {
			t.Fatalf("a text that nobody signed was accepted: %q", text)
		}
		if !json.Valid(got.Payload) || !utf8.Valid(got.Payload) || bytes.TrimLeft(got.Payload, " \t\r\n")[0] != '{' {
			t.Fatalf("the payload is %q", got.Payload)
		}
		if got.EventType == "" && got.Unreadable == "" {
			t.Fatal("readable without an event type")
		}
	})
}

// FuzzKeys: never panics; what is read as a key is usable, and is read the same again.
func FuzzKeys(f *testing.F) {
	for _, k := range pairs(f) {
		for _, text := range []string{k.PublicB64, k.PublicPEM, k.PrivateB64, k.PrivatePEM} {
			f.Add(text)
		}
	}
	f.Add("-----BEGIN EC PARAMETERS-----\nBgg=\n-----END EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\nMA==\n-----END EC PRIVATE KEY-----")
	f.Fuzz(func(t *testing.T, text string) {
		if pub, err := parsePublic(text); err == nil && pub.curve != nil {
			if _, _, ok := pub.curve.point(pub.point); !ok {
				t.Fatal("a public key is no point of its curve")
			}
		}
		if priv, err := parsePrivate(text); err == nil && priv.curve != nil {
			if len(priv.d) != priv.curve.size || !priv.curve.inGroup(new(big.Int).SetBytes(priv.d)) {
				t.Fatal("a private key is no number of its group")
			}
		}
	})
}

// FuzzDER: a signature that is read has no other spelling.
func FuzzDER(f *testing.F) {
	for _, v := range readSignatures(f, "ecdsa-p256-sha256.json").Vectors {
		f.Add(fromBase64(f, v.B64))
	}
	f.Add([]byte{0x30, 0x80, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01, 0, 0})
	f.Add([]byte{0x30, 0x81, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01})
	f.Add([]byte{0x30, 0x07, 0x02, 0x02, 0x00, 0x01, 0x02, 0x01, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, s, ok := parsePair(b); ok && !bytes.Equal(marshalPair(r, s), b) {
			t.Fatalf("%x is read, but is written as %x", b, marshalPair(r, s))
		}
		if point, sum, c, ok := splitSM2(b); ok && len(point) != 65 {
			t.Fatalf("an SM2 ciphertext has the point %x, hash %x and text %x", point, sum, c)
		}
	})
}

// FuzzOpen: no cipher panics on bytes of strangers.
func FuzzOpen(f *testing.F) {
	var ecies eciesFile
	readJSON(f, "field-ecies-bouncycastle.json", &ecies)
	for _, v := range ecies.Vectors {
		f.Add(fromBase64(f, v.Ciphertext))
	}
	for _, n := range []int{0, 1, 61, 64, 65, 81, 85, 97, 98, 256} {
		f.Add(append([]byte{4}, make([]byte, n)...))
		f.Add(append([]byte{0x30}, make([]byte, n)...))
	}
	var openers []opener
	for _, k := range pairs(f) {
		priv, err := parsePrivate(k.PrivateB64)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range sortedNames(fieldCiphers) {
			if c := fieldCiphers[name]; c.fits(priv.curve) && priv.curve != prime239v1 { // too slow to fuzz, and the same code
				openers = append(openers, opener{names: defaultFields, codec: codecs["base64"], keys: []openingKey{{priv, c}}})
			}
		}
	}
	f.Fuzz(func(t *testing.T, sealed []byte) {
		for _, o := range openers {
			plain, s := o.open(base64.StdEncoding.EncodeToString(sealed))
			if s == opened && !utf8.ValidString(plain) {
				t.Fatal("opened to what is not UTF-8")
			}
		}
	})
}

// FuzzFields: of valid JSON, every listed string is replaced and nothing else; of anything, nothing panics.
func FuzzFields(f *testing.F) {
	for _, text := range []string{
		`{"phone":"1"}`, `{"a":[{"phone":"\u4e2d"},"phone"],"idCard":null}`, `{"phone":"`, `"phone":"\`, `{"phone":`, `{"\u0070hone" : ""}`, `{"phone":"phone":"phone"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		const mark = "\u2603replaced"
		got, err := rewrite(text, defaultFields, func(field) (string, bool, error) { return mark, true, nil })
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(text) || !utf8.Valid(text) {
			return
		}
		want, _ := json.Marshal(marked(decoded(t, text), mark))
		if have, _ := json.Marshal(decoded(t, got)); !bytes.Equal(want, have) {
			t.Fatalf("%q became %s, not %s", text, have, want)
		}
	})
}

// decoded reads JSON with its numbers as they are written.
func decoded(t *testing.T, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q is no JSON any more: %v", text, err)
	}
	return v
}

// marked does to a decoded JSON value what rewriting does to its text.
func marked(v any, mark string) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = marked(v[i], mark)
		}
	case map[string]any:
		for name := range v {
			if _, text := v[name].(string); text && slices.Contains(defaultFields, name) {
				v[name] = mark
			} else {
				v[name] = marked(v[name], mark)
			}
		}
	}
	return v
}
