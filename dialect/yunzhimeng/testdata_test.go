package yunzhimeng

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
)

// A keyPair is how the files in testdata hold keys.
type keyPair struct {
	PrivatePEM string `json:"private_pem"`
	PublicPEM  string `json:"public_pem"`
	PrivateB64 string `json:"private_pkcs8_b64"`
	PublicB64  string `json:"public_x509_b64"`
}

type signatureFile struct {
	Keys    keyPair `json:"ivs_key"`
	Vectors []struct {
		Name, Form, Body string
		Timestamp        string `json:"X-Timestamp"`
		Nonce            string `json:"X-Nonce"`
		Code             string `json:"X-EventCode"`
		BodyB64          string `json:"body_b64"`
		CanonicalB64     string `json:"canonical_b64"`
		CanonicalSHA256  string `json:"canonical_sha256"`
		B64              string `json:"X-Signature_b64"`
		Hex              string `json:"X-Signature_hex"`
		RawHex           string `json:"X-Signature_raw_r_s_hex"`
	}
	Negative []struct {
		Name         string
		CanonicalB64 string `json:"canonical_b64"`
		SignatureB64 string `json:"signature_b64"`
	}
}

var signatureFiles = []struct {
	name              string
	vectors, negative int
	curve             *curve
}{
	{"ecdsa-p256-sha256.json", 56, 5, p256},
	{"ecdsa-secp256k1-sha256.json", 21, 5, secp256k1Curve},
	{"ecdsa-prime239v1-sha256.json", 21, 5, prime239v1},
	{"sm2-sm3.json", 20, 5, sm2p256v1},
	{"rsa2048-sha256.json", 21, 5, nil},
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func readSignatures(t testing.TB, name string) signatureFile {
	t.Helper()
	var f signatureFile
	readJSON(t, name, &f)
	return f
}

func fromBase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectorTime is the time in the vectors, and a second more.
var vectorTime = time.UnixMilli(1760000001123)

func callback(ts, nonce, sig, code, body string) dialect.Inbound {
	return dialect.Inbound{
		Method: "POST", Body: []byte(body), Now: vectorTime,
		Header: map[string][]string{"X-Timestamp": {ts}, "X-Nonce": {nonce}, "X-Signature": {sig}, "X-Eventcode": {code}},
	}
}

func canonical(f textForm, e envelope) []byte {
	var b bytes.Buffer
	f.write(&b, e)
	return b.Bytes()
}

func TestSignatureFiles(t *testing.T) {
	t.Parallel()
	for _, file := range signatureFiles {
		t.Run(file.name, func(t *testing.T) {
			t.Parallel()
			f := readSignatures(t, file.name)
			if len(f.Vectors) != file.vectors || len(f.Negative) != file.negative {
				t.Fatalf("the file holds %d + %d cases, not %d + %d", len(f.Vectors), len(f.Negative), file.vectors, file.negative)
			}
			f.checkKeys(t, file.curve)
			for i := range f.Vectors {
				f.checkVector(t, i)
			}
			f.checkNegative(t)
		})
	}
}

// checkKeys wants the four texts of a key pair to be the same pair, on the curve that the file is about.
func (f signatureFile) checkKeys(t *testing.T, c *curve) {
	t.Helper()
	pub := f.verifier(t, f.Keys.PublicB64)
	if pem := f.verifier(t, f.Keys.PublicPEM); pub.curve != c || pem.curve != c || !bytes.Equal(pub.point, pem.point) {
		t.Errorf("the public key is on %v and %v", pub.curve, pem.curve)
	}
	for _, text := range []string{f.Keys.PrivateB64, f.Keys.PrivatePEM} {
		priv, err := parsePrivate(text)
		if err != nil || priv.curve != c {
			t.Fatalf("private key: %v", err)
		}
		if c != nil && !bytes.Equal(c.public(priv.d), pub.point) {
			t.Error("the private key does not yield the public one")
		}
		if c == nil && !priv.rsa.PublicKey.Equal(pub.rsa) {
			t.Error("the private RSA key does not hold the public one")
		}
	}
}

func (f signatureFile) verifier(t testing.TB, text string) verifier {
	t.Helper()
	keys, err := readVerifiers(dialect.Set(setIVSPublic, text))
	if err != nil {
		t.Fatal(err)
	}
	return keys[0]
}

// checkVector runs one case: the signed bytes, every encoding of the signature, and every form that it does not have.
func (f signatureFile) checkVector(t *testing.T, i int) {
	v := f.Vectors[i]
	want := fromBase64(t, v.CanonicalB64)
	if sum := sha256.Sum256(want); hex.EncodeToString(sum[:]) != v.CanonicalSHA256 || string(fromBase64(t, v.BodyB64)) != v.Body {
		t.Fatalf("%s: the file contradicts itself", v.Name)
	}
	stamp, _ := parseNumber(v.Timestamp)
	nonce, _ := parseNumber(v.Nonce)
	e := envelope{stamp, nonce, []byte(v.Body)}
	for encoding, sig := range map[string]string{
		"der_base64": v.B64, "der_hex": v.Hex, "raw_hex": v.RawHex,
		"raw_base64": base64.StdEncoding.EncodeToString(fromHex(t, v.RawHex)),
	} {
		if sig == "" {
			continue // RSA has no r and s
		}
		s := dialect.Set(setIVSPublic, f.Keys.PublicB64, setSignedText, v.Form, setSigEncoding, encoding)
		got, err := receive(s, callback(v.Timestamp, v.Nonce, sig, v.Code, v.Body))
		if err != nil || got.EventType != v.Code || got.Unreadable != "" {
			t.Errorf("%s in %s: %v %q %s", v.Name, encoding, err, got.EventType, got.Unreadable)
		}
	}
	key := f.verifier(t, f.Keys.PublicB64)
	for name, form := range textForms {
		text := canonical(form, e)
		if name == v.Form && !bytes.Equal(text, want) {
			t.Errorf("%s: the signed text is %q, not %q", v.Name, text, want)
		}
		if key.verify(sigFormat{}, form, e, fromBase64(t, v.B64)) != bytes.Equal(text, want) {
			t.Errorf("%s: under %s the verdict is wrong", v.Name, name)
		}
	}
}

// checkNegative wants every wrong pair of text and signature refused, whatever the form.
func (f signatureFile) checkNegative(t *testing.T) {
	key := f.verifier(t, f.Keys.PublicB64)
	for _, n := range f.Negative {
		if key.verify(sigFormat{}, textForms["body"], envelope{body: fromBase64(t, n.CanonicalB64)}, fromBase64(t, n.SignatureB64)) {
			t.Errorf("%s verifies", n.Name)
		}
	}
}

type eciesFile struct {
	Keys    map[string]keyPair `json:"recipient_keys"`
	Vectors []struct {
		Name, Curve, Plaintext string
		PlaintextB64           string `json:"plaintext_b64"`
		Tag                    int    `json:"length_tag_bytes"`
		Ephemeral              string `json:"ephemeral_private_pkcs8_b64"`
		Shared                 string `json:"shared_x_hex"`
		V                      string `json:"V_hex"`
		MACKey                 string `json:"mac_key_hex"`
		C                      string `json:"C_hex"`
		T                      string `json:"T_hex"`
		Ciphertext             string `json:"ciphertext_b64"`
	}
}

func TestECIESFile(t *testing.T) {
	t.Parallel()
	var f eciesFile
	readJSON(t, "field-ecies-bouncycastle.json", &f)
	if len(f.Vectors) != 56 {
		t.Fatalf("the file holds %d cases", len(f.Vectors))
	}
	rebuilt := 0
	for i, v := range f.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			sealed := fromBase64(t, v.Ciphertext)
			name, other := "ecies", "ecies_tag4"
			if v.Tag == 4 {
				name, other = other, name
			}
			priv, err := parsePrivate(f.Keys[v.Curve].PrivateB64)
			if err != nil || priv.curve.name != map[string]string{"p256": "prime256v1"}[v.Curve] && priv.curve.name != v.Curve {
				t.Fatal("the key is not on its curve", err)
			}
			plain, ok := fieldCiphers[name].open(priv, sealed)
			if !ok || string(plain) != v.Plaintext || !bytes.Equal(plain, fromBase64(t, v.PlaintextB64)) {
				t.Errorf("opens as %q, %v", plain, ok)
			}
			if _, ok := fieldCiphers[other].open(priv, sealed); ok {
				t.Error("opens with the other length tag too")
			}
			if v.Ephemeral != "" {
				f.rebuild(t, i, fieldCiphers[name])
				rebuilt++
			}
		})
	}
	if rebuilt != 40 {
		t.Errorf("%d ciphertexts were built from their parts, not 40", rebuilt)
	}
}

// rebuild makes a ciphertext from its ephemeral key and compares every step.
func (f eciesFile) rebuild(t *testing.T, i int, c fieldCipher) {
	v := f.Vectors[i]
	ephemeral, err := parsePrivate(v.Ephemeral)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := parsePublic(f.Keys[v.Curve].PublicPEM)
	if err != nil {
		t.Fatal(err)
	}
	z, _ := pub.curve.shared(ephemeral.d, pub.point)
	if hex.EncodeToString(z) != v.Shared {
		t.Errorf("the shared x is %x, not %s", z, v.Shared)
	}
	point := pub.curve.public(ephemeral.d)
	if hex.EncodeToString(point) != v.V {
		t.Errorf("V is %x, not %s", point, v.V)
	}
	if k := keyStream(sha1.New, append(bytes.Clone(point), z...), eciesMACKey); hex.EncodeToString(k) != v.MACKey {
		t.Errorf("the MAC key is %x, not %s", k, v.MACKey)
	}
	sealed, err := c.seal(pub, drawScalar(ephemeral), []byte(v.Plaintext))
	if err != nil || base64.StdEncoding.EncodeToString(sealed) != v.Ciphertext || !strings.HasSuffix(hex.EncodeToString(sealed), v.C+v.T) {
		t.Errorf("sealed as %x, %v", sealed, err)
	}
}

// drawScalar makes a cipher choose a given private number.
func drawScalar(k privateKey) drawer {
	return func(n int) []byte {
		d := new(big.Int).SetBytes(k.d)
		return d.Sub(d, big.NewInt(1)).FillBytes(make([]byte, n))
	}
}

func TestAlternativesFile(t *testing.T) {
	t.Parallel()
	var f struct {
		SM2     keyPair `json:"sm2_key"`
		RSA     keyPair `json:"rsa_key"`
		Vectors []struct {
			Name, Plaintext string
			Ciphertext      string `json:"ciphertext_b64"`
			C1C3C2          string `json:"raw_C1C3C2_hex"`
			C1C2C3          string `json:"raw_C1C2C3_hex"`
		}
	}
	readJSON(t, "field-alternatives-sm2-rsa.json", &f)
	if len(f.Vectors) != 18 {
		t.Fatalf("the file holds %d cases", len(f.Vectors))
	}
	sm2Key, err := parsePrivate(f.SM2.PrivateB64)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := parsePrivate(f.RSA.PrivatePEM)
	if err != nil {
		t.Fatal(err)
	}
	// only wants one cipher of a family to open a text, and the others to refuse it.
	only := func(t *testing.T, k privateKey, right string, family []string, sealed []byte, want string) {
		for _, name := range family {
			plain, ok := fieldCiphers[name].open(k, sealed)
			if ok != (name == right) || ok && string(plain) != want {
				t.Errorf("%s opens as %q, %v", name, plain, ok)
			}
		}
	}
	sm2Family, rsaFamily := []string{"sm2_asn1", "sm2_c1c3c2", "sm2_c1c2c3"}, []string{"rsa_pkcs1", "rsa_oaep_sha1"}
	for _, v := range f.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			sealed := fromBase64(t, v.Ciphertext)
			switch kind, _, _ := strings.Cut(v.Name, "/"); kind {
			case "sm2-asn1-c1c3c2":
				only(t, sm2Key, "sm2_asn1", sm2Family, sealed, v.Plaintext)
				only(t, sm2Key, "sm2_c1c3c2", sm2Family, fromHex(t, v.C1C3C2), v.Plaintext)
				only(t, sm2Key, "sm2_c1c2c3", sm2Family, fromHex(t, v.C1C2C3), v.Plaintext)
			case "rsa2048-pkcs1":
				only(t, rsaKey, "rsa_pkcs1", rsaFamily, sealed, v.Plaintext)
			case "rsa2048-oaep-sha1":
				only(t, rsaKey, "rsa_oaep_sha1", rsaFamily, sealed, v.Plaintext)
			default:
				t.Errorf("nothing opens %s", kind)
			}
		})
	}
}
