package alipay

import (
	"encoding/hex"
	"encoding/pem"
	"strings"
	"testing"
)

type certCase struct {
	ID     string `json:"id"`
	PEM    string `json:"pem"`
	Issuer string `json:"issuer_rfc2253"`
	Serial string `json:"serial_decimal"`
	SN     string `json:"sn"`
	RootSN string `json:"root_sn"`
	Note   string `json:"note"`
}

func readCertificates(t testing.TB) map[string]certCase {
	t.Helper()
	var f struct {
		ProducedBy string     `json:"produced_by"`
		Cases      []certCase `json:"cases"`
	}
	readTestdata(t, "cert_sn.json", &f)
	out := map[string]certCase{}
	for _, c := range f.Cases {
		out[c.ID] = c
	}
	return out
}

func TestCertSN(t *testing.T) {
	t.Parallel()
	certs := readCertificates(t)
	for id, c := range certs {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			if c.RootSN != "" {
				if sn, err := RootCertSN(c.PEM, RSA2); err != nil || sn != c.RootSN {
					t.Errorf("the root serial is %s (%v), not %s", sn, err, c.RootSN)
				}
				return
			}
			if sn, err := CertSN(c.PEM); err != nil || sn != c.SN {
				t.Errorf("the serial is %s (%v), not %s", sn, err, c.SN)
			}
			block, _ := pem.Decode([]byte(c.PEM))
			cert, err := parseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if name, err := javaName(cert.issuer); err != nil || name != c.Issuer {
				t.Errorf("the issuer is %s (%v), not %s", name, err, c.Issuer)
			}
			if cert.serial.String() != c.Serial {
				t.Errorf("the number is %s, not %s", cert.serial, c.Serial)
			}
		})
	}
	leaf, root := certs["alipay-cert"], certs["root-rsa"]
	t.Run("of a file with two certificates the first counts", func(t *testing.T) {
		t.Parallel()
		if sn, err := CertSN(leaf.PEM + root.PEM); err != nil || sn != leaf.SN {
			t.Errorf("got %s (%v), not %s", sn, err, leaf.SN)
		}
	})
	t.Run("a certificate without armour and line ends", func(t *testing.T) {
		t.Parallel()
		_, body, _, _ := nextBlock(leaf.PEM)
		if sn, err := CertSN(strings.ReplaceAll(body, "\n", "")); err != nil || sn != leaf.SN {
			t.Errorf("got %s (%v), not %s", sn, err, leaf.SN)
		}
	})
	t.Run("SM2 certificates count for SM2 alone", func(t *testing.T) {
		t.Parallel()
		bundle := certs["root-bundle"]
		sn, err := RootCertSN(bundle.PEM+sm2Certificate, SM2)
		if err != nil || sn != sm2CertificateSN {
			t.Errorf("for SM2 it is %s (%v), not %s", sn, err, sm2CertificateSN)
		}
		if sn, err := RootCertSN(sm2Certificate+bundle.PEM, RSA2); err != nil || sn != bundle.RootSN {
			t.Errorf("for RSA2 it is %s (%v), not %s", sn, err, bundle.RootSN)
		}
	})
	t.Run("the key of an SM2 certificate verifies", func(t *testing.T) {
		t.Parallel()
		if !mustPublic(t, sm2Certificate).Equal(mustPublic(t, sm2Public)) {
			t.Error("it is another key")
		}
	})
}

// A self-signed SM2 certificate, and its serial as a JDK 17 program computes it from the printed issuer and number.
const (
	sm2Certificate = `-----BEGIN CERTIFICATE-----
MIIBsTCCAVegAwIBAgICEJIwCgYIKoEcz1UBg3UwNjELMAkGA1UEBhMCQ04xFDAS
BgNVBAoMC1ZlY3RvciBUZXN0MREwDwYDVQQDDAhTTTIgcm9vdDAgFw0yNjExMjIx
MzUzNDlaGA8yMTI2MTAyOTEzNTM0OVowNjELMAkGA1UEBhMCQ04xFDASBgNVBAoM
C1ZlY3RvciBUZXN0MREwDwYDVQQDDAhTTTIgcm9vdDBZMBMGByqGSM49AgEGCCqB
HM9VAYItA0IABCDlHdpH7fOglJutfCG6Bl/LwrS3ryk4uZgy1k+x6YlkeYNucy44
pX0FUc8EVGjYDkjAxHTdhPKrPS2oWWwMSDajUzBRMB0GA1UdDgQWBBS8UioEbGRY
UBrvYbVavsXxwR22tjAfBgNVHSMEGDAWgBS8UioEbGRYUBrvYbVavsXxwR22tjAP
BgNVHRMBAf8EBTADAQH/MAoGCCqBHM9VAYN1A0gAMEUCIQC6sUXbREVJ/r58J68k
mdxpygCusJk4eEWo291W2++0OgIgBg+SGo+aFzZ+LyBEHT1yR5XuXQ//06iW3ova
g9iowPc=
-----END CERTIFICATE-----
`
	sm2CertificateSN = "e5e94b9c29659aff6df1eea7731980aa"
)

func TestCertSNErrors(t *testing.T) {
	t.Parallel()
	certs := readCertificates(t)
	ec := p256Certificate(t)
	for _, c := range []struct{ name, file, signType, want string }{
		{"no RSA root", ec, RSA2, "none is signed"},
		{"a key instead", readKeys(t).App.PublicSPKI, RSA2, "is not a certificate"},
		{"half a file", certs["root-bundle"].PEM[:900], RSA2, "no END line"},
		{"a certificate of nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", RSA2, "is not a certificate"},
		{"a certificate of no base64", "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----", RSA2, "neither PEM nor base64"},
		{"an unknown type", ec, "RSA3", "signature type"},
		{"too many", strings.Repeat(ec, maxCertificates+1), RSA2, "more than"},
		{"a whole disk", strings.Repeat("A", maxKeyText+1), RSA2, "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := RootCertSN(c.file, c.signType); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that says %q", err, c.want)
			}
		})
	}
	t.Run("CertSN of a key", func(t *testing.T) {
		t.Parallel()
		if _, err := CertSN(readKeys(t).App.PublicSPKI); err == nil {
			t.Error("has a serial")
		}
	})
}

// p256Certificate is the certificate of the bundle that is signed neither with RSA nor with SM2.
func p256Certificate(t testing.TB) string {
	t.Helper()
	end := "-----END CERTIFICATE-----\n"
	first, _, _ := strings.Cut(readCertificates(t)["root-bundle"].PEM, end)
	return first + end
}

func TestNamesAreJavas(t *testing.T) {
	t.Parallel()
	var f struct {
		ProducedBy string `json:"produced_by"`
		Cases      []struct{ DER, Name string }
	}
	readTestdata(t, "java_names.json", &f)
	for _, c := range f.Cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			der, err := hex.DecodeString(c.DER)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := javaName(der); err != nil || got != c.Name {
				t.Errorf("got %q (%v), not %q", got, err, c.Name)
			}
			if _, err := javaName(append(der, 0)); err == nil {
				t.Error("a name with something behind it is read")
			}
		})
	}
}

func FuzzCertSN(f *testing.F) {
	for _, c := range readCertificates(f) {
		f.Add(c.PEM)
	}
	f.Fuzz(func(t *testing.T, file string) {
		sn, err := CertSN(file)
		if (err == nil) != (len(sn) == 32) {
			t.Errorf("the serial is %q, the error %v", sn, err)
		}
		_, _ = RootCertSN(file, RSA2)
		_, _ = ParsePublicKey(file)
		_, _ = ParsePrivateKey(file)
	})
}
