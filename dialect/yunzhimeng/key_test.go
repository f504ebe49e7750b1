package yunzhimeng

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
)

// pairs returns the key pairs of the files, by the name of their curve, "rsa" for RSA.
func pairs(t testing.TB) map[string]keyPair {
	t.Helper()
	out := map[string]keyPair{}
	for _, f := range signatureFiles {
		name := "rsa"
		if f.curve != nil {
			name = f.curve.name
		}
		out[name] = readSignatures(t, f.name).Keys
	}
	return out
}

func block(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

func TestKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	k := pairs(t)["prime256v1"]
	pub, priv := fromBase64(t, k.PublicB64), fromBase64(t, k.PrivateB64)
	change := func(b []byte, at int) string {
		b = bytes.Clone(b)
		b[(at+len(b))%len(b)] ^= 1
		return base64.StdEncoding.EncodeToString(b)
	}
	zero := bytes.Replace(priv, priv[36:68], make([]byte, 32), 1)
	tooBig := bytes.Replace(priv, priv[36:68], p256.order().Bytes(), 1)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384Public, _ := x509.MarshalPKIXPublicKey(&p384.PublicKey)
	compressed := append(bytes.Clone(pub[:26]), append([]byte{2}, pub[27:59]...)...)
	compressed[1], compressed[24] = byte(len(compressed)-2), 34
	for _, c := range []struct {
		name, text string
		private    bool
		want       error
	}{
		{"text", "not a key", false, errKeyText},
		{"nothing but blanks", " \n\t", false, errKeyText},
		{"base64 of something else", base64.StdEncoding.EncodeToString([]byte("something else")), false, errNotPublic},
		{"base64 of something else for a private key", base64.StdEncoding.EncodeToString([]byte("something else")), true, errNotPrivate},
		{"a PEM block without its end", strings.TrimSuffix(k.PublicPEM, "-----END PUBLIC KEY-----\n"), false, errKeyText},
		{"a longer text than any key", strings.Repeat("A", maxKeyText+4), false, errKeyLong},
		{"a key cut short", k.PublicB64[:len(k.PublicB64)-8], false, errNotPublic},
		{"a key with a byte behind it", base64.StdEncoding.EncodeToString(append(bytes.Clone(pub), 0)), false, errNotPublic},
		{"a point off the curve", change(pub, -1), false, errPoint},
		{"a compressed point", base64.StdEncoding.EncodeToString(compressed), false, errPoint},
		{"another algorithm", change(pub, 10), false, errNotPublic},
		{"a curve that is not known", change(pub, 22), false, errCurve},
		{"a curve of another platform", block("PUBLIC KEY", p384Public), false, errCurve},
		{"the private number zero", base64.StdEncoding.EncodeToString(zero), true, errScalar},
		{"the private number of the order", base64.StdEncoding.EncodeToString(tooBig), true, errScalar},
		{"a private key for a public one", k.PrivateB64, false, errIsPrivate},
		{"a private key in PEM for a public one", k.PrivatePEM, false, errIsPrivate},
		{"a public key for a private one", k.PublicB64, true, errIsPublic},
		{"a public key in PEM for a private one", k.PublicPEM, true, errIsPublic},
		{"a certificate", block("CERTIFICATE", []byte{0x30, 0}), false, errCertificate},
		{"a key under a password", block("ENCRYPTED PRIVATE KEY", []byte{0x30, 0}), true, errEncrypted},
		{"an RSA key that is too short", block("RSA PRIVATE KEY", []byte{0x30, 0}), true, errRSA},
		{"a private key that names two curves", base64.StdEncoding.EncodeToString(twoCurves(priv[36:68])), true, errNotPrivate},
		{"explicit curve parameters", base64.StdEncoding.EncodeToString(explicitCurve()), false, errExplicit},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var err error
			if c.private {
				_, err = parsePrivate(c.text)
			} else {
				_, err = parsePublic(c.text)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("the error is %v, not %v", err, c.want)
			}
		})
	}
}

// explicitCurve is an EC public key whose parameters are a SEQUENCE and not a name.
func explicitCurve() []byte {
	id := appendElement(appendElement(nil, tagOID, oidEC), tagSequence, appendUnsigned(nil, big.NewInt(1)))
	spki := appendElement(appendElement(nil, tagSequence, id), tagBitString, []byte{0, 4})
	return appendElement(nil, tagSequence, spki)
}

// twoCurves is a PKCS#8 key of one curve around an EC key that says another.
func twoCurves(number []byte) []byte {
	id := appendElement(appendElement(nil, tagOID, oidEC), tagOID, p256.oid)
	inner := appendElement(appendUnsigned(nil, big.NewInt(1)), tagOctetString, number)
	inner = appendElement(inner, tagContext0, appendElement(nil, tagOID, sm2p256v1.oid))
	key := appendElement(appendElement([]byte{tagInteger, 1, 0}, tagSequence, id), tagOctetString, appendElement(nil, tagSequence, inner))
	return appendElement(nil, tagSequence, key)
}

func TestKeysAsPeoplePasteThem(t *testing.T) {
	t.Parallel()
	for name, k := range pairs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := parsePublic(k.PublicB64)
			if err != nil {
				t.Fatal(err)
			}
			for what, text := range map[string]string{
				"a line end behind it":       k.PublicB64 + "\r\n",
				"a byte order mark":          "\ufeff" + k.PublicB64,
				"zero-width characters":      k.PublicB64[:9] + "\u200b" + k.PublicB64[9:] + "\u2060",
				"a no-break space":           k.PublicB64 + "\u00a0",
				"broken lines":               k.PublicB64[:40] + "\n  " + k.PublicB64[40:],
				"no padding":                 strings.TrimRight(k.PublicB64, "="),
				"PEM in one line":            strings.ReplaceAll(k.PublicPEM, "\n", " "),
				`PEM with \n for line ends`:  strings.ReplaceAll(k.PublicPEM, "\n", `\n`),
				"PEM with text before it":    "Bag Attributes\n" + k.PublicPEM,
				"PEM with Windows line ends": strings.ReplaceAll(k.PublicPEM, "\n", "\r\n"),
			} {
				got, err := parsePublic(text)
				if err != nil || !bytes.Equal(got.point, want.point) || got.curve != want.curve {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

func TestPrivateKeysOfOpenssl(t *testing.T) {
	t.Parallel()
	for name, k := range pairs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := parsePrivate(k.PrivateB64)
			if err != nil {
				t.Fatal(err)
			}
			_, params, inner, ok := splitPrivate(fromBase64(t, k.PrivateB64))
			if !ok {
				t.Fatal("not PKCS#8")
			}
			if name == "rsa" {
				if got, err := parsePrivate(block("RSA PRIVATE KEY", inner)); err != nil || !got.rsa.Equal(want.rsa) {
					t.Error(err)
				}
				return
			}
			sec1 := der(inner)
			seq, _ := sec1.next(tagSequence)
			version, _ := seq.next(tagInteger)
			number, _ := seq.next(tagOctetString)
			own := appendElement(appendElement(nil, tagInteger, version), tagOctetString, number)
			if _, err := parsePrivate(block("EC PRIVATE KEY", appendElement(nil, tagSequence, own))); !errors.Is(err, errCurve) {
				t.Errorf("an EC key that names no curve: %v", err)
			}
			own = appendElement(nil, tagSequence, appendElement(own, tagContext0, params))
			text := block("EC PARAMETERS", params) + block("EC PRIVATE KEY", own)
			if got, err := parsePrivate(text); err != nil || !bytes.Equal(got.d, want.d) || got.curve != want.curve {
				t.Error(err)
			}
		})
	}
}

func TestCurvesAgreeWithTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for name, k := range pairs(t) {
		pub, err := x509.ParsePKIXPublicKey(fromBase64(t, k.PublicB64))
		if known := name == "rsa" || name == "prime256v1"; known != (err == nil) {
			t.Errorf("%s: crypto/x509 says %v: it may have learned this curve, so that ours can go", name, err)
		}
		if ec, ok := pub.(*ecdsa.PublicKey); ok {
			ours, _ := parsePublic(k.PublicB64)
			if b, _ := ec.Bytes(); !bytes.Equal(b, ours.point) {
				t.Errorf("%s: the points differ", name)
			}
		}
	}
}
