package alipay

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"strings"
	"sync"
	"testing"
)

func TestKeysInEveryForm(t *testing.T) {
	t.Parallel()
	keys := readKeys(t)
	for name, pair := range map[string]keyPair{"alipay": keys.Alipay, "app": keys.App, "other": keys.Other} {
		public := mustPublic(t, pair.PublicSPKI)
		for form, text := range map[string]string{
			"PKCS#8 PEM": pair.PrivatePKCS8, "PKCS#8 on one line": pair.PrivatePKCS8B,
			"PKCS#1 PEM": pair.PrivatePKCS1, "PKCS#1 on one line": pair.PrivatePKCS1B,
		} {
			for habit, pasted := range pastings(text) {
				t.Run(name+" private "+form+" "+habit, func(t *testing.T) {
					t.Parallel()
					if k, err := ParsePrivateKey(pasted); err != nil || !k.Public().Equal(public) {
						t.Errorf("is not the key: %v", err)
					}
				})
			}
		}
		for form, text := range map[string]string{
			"X.509 PEM": pair.PublicSPKI, "X.509 on one line": pair.PublicSPKIB,
			"PKCS#1 PEM": pair.PublicPKCS1, "PKCS#1 on one line": pair.PublicPKCS1B,
		} {
			for habit, pasted := range pastings(text) {
				t.Run(name+" public "+form+" "+habit, func(t *testing.T) {
					t.Parallel()
					if k, err := ParsePublicKey(pasted); err != nil || !k.Equal(public) {
						t.Errorf("is not the key: %v", err)
					}
				})
			}
		}
		t.Run(name+" is printed as the console shows it", func(t *testing.T) {
			t.Parallel()
			text, err := public.SPKI()
			der, _ := base64.StdEncoding.DecodeString(text)
			if sum := sha256.Sum256(der); err != nil || hex.EncodeToString(sum[:]) != pair.SPKISHA256 || text != strings.TrimSpace(pair.PublicSPKIB) {
				t.Errorf("got %s (%v)", text, err)
			}
		})
	}
}

// pastings are what becomes of a key on its way into a form or an environment file.
func pastings(text string) map[string]string {
	return map[string]string{
		"as it is":               text,
		"with Windows line ends": strings.ReplaceAll(text, "\n", "\r\n"),
		"with literal line ends": strings.ReplaceAll(text, "\n", `\n`),
		"in quotes":              `"` + strings.ReplaceAll(text, "\n", `\r\n`) + `"`,
		"with a byte order mark": "\ufeff" + text,
		"with zero-width blanks": strings.ReplaceAll(text, "A", "A\u200b"),
		"with blanks around":     " \t" + text + "\u00a0\u3000\n",
		"without line ends":      strings.ReplaceAll(text, "\n", ""),
		"indented":               strings.ReplaceAll(text, "\n", "\n    "),
		"without its padding":    strings.ReplaceAll(text, "=", ""),
	}
}

func TestKeyErrorsNameWhatWasPasted(t *testing.T) {
	t.Parallel()
	keys := readKeys(t)
	certificate := readCertificates(t)["alipay-cert"].PEM
	parsePublic := func(s string) error { _, err := ParsePublicKey(s); return err }
	parsePrivate := func(s string) error { _, err := ParsePrivateKey(s); return err }
	for _, c := range []struct {
		name, text, want string
		parse            func(string) error
	}{
		{"private as public", keys.App.PrivatePKCS8, "is a private key", parsePublic},
		{"PKCS#1 private as public", keys.App.PrivatePKCS1B, "is a private key", parsePublic},
		{"public as private", keys.App.PublicSPKIB, "is a public key", parsePrivate},
		{"PKCS#1 public as private", keys.App.PublicPKCS1, "is a public key", parsePrivate},
		{"certificate as private", certificate, "is a certificate", parsePrivate},
		{"nothing", " \u200b\n", "is empty", parsePublic},
		{"no base64", "not a key!", "neither PEM nor base64", parsePublic},
		{"base64 of something else", base64.StdEncoding.EncodeToString([]byte("hello, this is no key")), "is neither a public key", parsePublic},
		{"base64 of something else as private", base64.StdEncoding.EncodeToString([]byte("hello, this is no key")), "is not a private key", parsePrivate},
		{"half a key", keys.App.PublicSPKIB[:200], "may be missing", parsePublic},
		{"half a private key", keys.App.PrivatePKCS8B[:800], "may be missing", parsePrivate},
		{"PEM without its end", keys.App.PublicSPKI[:200], "no END line", parsePublic},
		{"PEM with an open first line", "-----BEGIN PUBLIC KEY", "not closed", parsePublic},
		{"encrypted", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----", "passphrase", parsePrivate},
		{"encrypted in the old way", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----", "passphrase", parsePrivate},
		{"certificate request", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----", "certificate request", parsePublic},
		{"a certificate the size of a file", strings.Repeat("A", 2*maxKeyDER), "too long", parsePrivate},
		{"RSA of 9000 bits", rsa9000Public(t), "9000 bits", parsePublic},
		{"a whole disk", strings.Repeat("A", maxKeyText+1), "too long", parsePublic},
		{"P-256", p256PrivatePEM, "another kind", parsePrivate},
		{"P-256 public", p256PublicPEM, "another kind", parsePublic},
		{"P-256 certificate", p256Certificate(t), "another kind", parsePublic},
		{"RSA of 512 bits", rsa512Public, "512 bits", parsePublic},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := c.parse(c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error that says %q", err, c.want)
			}
			for i := 0; i+12 <= len(c.text); i += 12 {
				if piece := c.text[i : i+12]; strings.Contains(err.Error(), piece) && !strings.Contains(piece, " ") {
					t.Errorf("the error %q holds %q of the text", err, piece)
				}
			}
		})
	}
}

// Made with openssl for this test and used nowhere else.
const (
	p256PrivatePEM = `-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjTQCOr+i8FaDzobG
bf/kxlP8Evm5Kf7OEfnVWzyQS5ChRANCAAQ19eoRCu0kKjpdKS0aHk5oPVGLHyvG
+GnPlNID9nJnnvY6yA4pueZ7VLy5Xtb/Z9CTsg0kkKUoFzGuSssDG/4V
-----END PRIVATE KEY-----`
	p256PublicPEM = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAENfXqEQrtJCo6XSktGh5OaD1Rix8r
xvhpz5TSA/ZyZ572OsgOKbnme1S8uV7W/2fQk7INJJClKBcxrkrLAxv+FQ==
-----END PUBLIC KEY-----`
	rsa512Public = `MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBANHb4M4Hdu3gCGZ41FXjn6GbGpD7eXOUOMkO4MWko+BNo2/3ybUmsbsPUDF/1m4hCahQnpRsGr87MCFwopN/W8kCAwEAAQ==`
)

// rsa9000Public is the shape of a key that is too long; nothing is signed with it.
func rsa9000Public(t *testing.T) string {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), 8999)
	n.SetBit(n, 0, 1)
	text, err := (&PublicKey{rsa: &rsa.PublicKey{N: n, E: 65537}}).SPKI()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSM2Keys(t *testing.T) {
	t.Parallel()
	for form, text := range map[string]string{"PKCS#8": sm2PKCS8, "SEC 1": sm2SEC1} {
		t.Run(form+" signs what its public half verifies", func(t *testing.T) {
			t.Parallel()
			private := mustPrivate(t, text)
			sign, err := private.Sign(SM2, []byte("text"))
			if err != nil {
				t.Fatal(err)
			}
			public := mustPublic(t, sm2Public)
			if !public.Equal(private.Public()) {
				t.Error("the public half is another key")
			}
			if err := public.Verify(SM2, []byte("text"), sign); err != nil {
				t.Error(err)
			}
			if public.Verify(SM2, []byte("texT"), sign) == nil {
				t.Error("verifies another text")
			}
			if spki, err := public.SPKI(); err != nil || !mustPublic(t, spki).Equal(public) {
				t.Errorf("printed as %q (%v)", spki, err)
			}
		})
	}
}

const (
	sm2PKCS8 = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqBHM9VAYItBG0wawIBAQQgXHrqcvc9eVtg8aTy
RFOR6Dp2qJo6p+m+FwFCRHAOEaOhRANCAAQg5R3aR+3zoJSbrXwhugZfy8K0t68p
OLmYMtZPsemJZHmDbnMuOKV9BVHPBFRo2A5IwMR03YTyqz0tqFlsDEg2
-----END PRIVATE KEY-----`
	sm2SEC1 = `-----BEGIN SM2 PRIVATE KEY-----
MHcCAQEEIFx66nL3PXlbYPGk8kRTkeg6dqiaOqfpvhcBQkRwDhGjoAoGCCqBHM9V
AYItoUQDQgAEIOUd2kft86CUm618IboGX8vCtLevKTi5mDLWT7HpiWR5g25zLjil
fQVRzwRUaNgOSMDEdN2E8qs9LahZbAxINg==
-----END SM2 PRIVATE KEY-----`
	sm2Public = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAEIOUd2kft86CUm618IboGX8vCtLev
KTi5mDLWT7HpiWR5g25zLjilfQVRzwRUaNgOSMDEdN2E8qs9LahZbAxINg==
-----END PUBLIC KEY-----`
)

func TestSignTypes(t *testing.T) {
	t.Parallel()
	keys := readKeys(t)
	private, public := mustPrivate(t, keys.App.PrivatePKCS8), mustPublic(t, keys.App.PublicSPKI)
	t.Run("RSA and RSA2 are not taken for each other", func(t *testing.T) {
		t.Parallel()
		for signs, other := range map[string]string{RSA: RSA2, RSA2: RSA} {
			sign, err := private.Sign(signs, []byte("text"))
			if err != nil {
				t.Fatal(err)
			}
			if err := public.Verify(signs, []byte("text"), sign); err != nil {
				t.Errorf("%s: %v", signs, err)
			}
			if public.Verify(other, []byte("text"), sign) == nil {
				t.Errorf("a signature of %s verifies as %s", signs, other)
			}
		}
	})
	t.Run("an unknown type neither signs nor verifies", func(t *testing.T) {
		t.Parallel()
		if _, err := private.Sign("RSA3", nil); err == nil {
			t.Error("signs")
		}
		if public.Verify("rsa2", nil, "AAAA") == nil {
			t.Error("verifies")
		}
	})
	t.Run("a key does not serve the types of another kind", func(t *testing.T) {
		t.Parallel()
		if _, err := private.Sign(SM2, nil); err == nil {
			t.Error("an RSA key signs SM2")
		}
		if public.Verify(SM2, nil, "AAAA") == nil {
			t.Error("an RSA key verifies SM2")
		}
		if _, err := mustPrivate(t, sm2PKCS8).Sign(RSA2, nil); err == nil {
			t.Error("an SM2 key signs RSA2")
		}
		if mustPublic(t, sm2Public).Verify(RSA2, nil, "AAAA") == nil {
			t.Error("an SM2 key verifies RSA2")
		}
		if public.Equal(mustPublic(t, sm2Public)) || mustPublic(t, sm2Public).Equal(public) {
			t.Error("keys of two kinds are equal")
		}
	})
}

// More texts than there are slots, parsed by several at once, always give the key of their text.
func TestRememberedKeysAreTheRightOnes(t *testing.T) {
	t.Parallel()
	var cache keyCache[string]
	parse := func(text string) (*string, error) { return &text, nil }
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 4096 {
				text := strings.Repeat("k", i%1024)
				if got, err := cache.get(text, parse); err != nil || *got != text {
					t.Errorf("the key of %d letters is another (%v)", len(text), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestDamagedSignatureTextsAreNamed(t *testing.T) {
	t.Parallel()
	good := strings.Repeat("AAA+", 8) + "AA=="
	if _, err := decodeSign(good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "empty"},
		{"with blanks for plus signs", strings.ReplaceAll(good, "+", " "), "plus signs"},
		{"in lines of a length that keeps the total even", good[:8] + "\n" + good[8:16] + "\n" + good[16:24] + "\n" + good[24:] + "\n", "broken into lines"},
		{"with Windows line ends", good[:8] + "\r\n\r\n" + good[8:], "broken into lines"},
		{"without padding", strings.TrimRight(good, "="), "cut off"},
		{"with other characters", "A!A=", "not base64"},
		{"in the URL alphabet", strings.ReplaceAll(good, "+", "-"), "not base64"},
		{"with bits behind the last byte", strings.Replace(good, "AA==", "AB==", 1), "not base64"},
		{"endless", strings.Repeat("AAAA", maxSign), "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := decodeSign(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that says %q", err, c.want)
			}
		})
	}
}
