package alipay

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
)

// signedAt is just after the time that the signed messages of testdata carry.
var signedAt = time.UnixMilli(1516797622752)

func readTestdata(t testing.TB, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields() // an entry that no test looks at would be a promise that nobody holds
	if err := dec.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// keyPair is one pair of testdata/keys.json in every form in which people hold keys.
type keyPair struct {
	Role          string `json:"role"`
	PrivatePKCS8  string `json:"private_pkcs8_pem"`
	PrivatePKCS8B string `json:"private_pkcs8_b64_one_line"`
	PrivatePKCS1  string `json:"private_pkcs1_pem"`
	PrivatePKCS1B string `json:"private_pkcs1_b64_one_line"`
	PublicSPKI    string `json:"public_spki_pem"`
	PublicSPKIB   string `json:"public_spki_b64_one_line"`
	PublicPKCS1   string `json:"public_pkcs1_pem"`
	PublicPKCS1B  string `json:"public_pkcs1_b64_one_line"`
	SPKISHA256    string `json:"public_spki_sha256_hex"`
}

// testKeys are pairs that were made for tests and are used nowhere else.
type testKeys struct {
	Warning    string  `json:"WARNING"`
	ProducedBy string  `json:"produced_by"`
	Alipay     keyPair `json:"alipay"`
	App        keyPair `json:"app"`
	Other      keyPair `json:"other"`
}

func (k testKeys) by(name string) keyPair {
	return map[string]keyPair{"alipay": k.Alipay, "app": k.App, "other": k.Other}[name]
}

func readKeys(t testing.TB) testKeys {
	t.Helper()
	var k testKeys
	readTestdata(t, "keys.json", &k)
	return k
}

// message is a case of testdata/http_messages.json.
type message struct {
	ID              string      `json:"id"`
	Description     string      `json:"description"`
	Rule            string      `json:"signed_with_rule"`
	SignType        string      `json:"sign_type"`
	Charset         string      `json:"charset"`
	VerifyWith      string      `json:"verify_with"`
	Params          [][2]string `json:"params"`
	CanonicalV1     *string     `json:"canonical_v1"`
	CanonicalV2     *string     `json:"canonical_v2"`
	CanonicalV1Hex  string      `json:"canonical_v1_hex"`
	CanonicalV2Hex  string      `json:"canonical_v2_hex"`
	CanonicalV1Sum  string      `json:"canonical_v1_sha256"`
	CanonicalV2Sum  string      `json:"canonical_v2_sha256"`
	CanonicalSigned string      `json:"canonical_signed"`
	Sign            string      `json:"sign"`
	ContentType     string      `json:"http_content_type"`
	Body            string      `json:"http_body"`
	AESKey          string      `json:"aes_key_b64"`
	Plaintext       string      `json:"plaintext"`
	Expect          struct {
		V1             bool  `json:"v1_verifies"`
		V2             bool  `json:"v2_verifies"`
		V1WithoutEmpty *bool `json:"v1_without_empty_verifies"`
	} `json:"expect"`
	Note string `json:"note"`
}

func (m message) param(name string) string {
	for _, p := range m.Params {
		if p[0] == name {
			return p[1]
		}
	}
	return ""
}

func readMessages(t testing.TB) map[string]message {
	t.Helper()
	var f struct {
		ProducedBy string    `json:"produced_by"`
		Cases      []message `json:"cases"`
	}
	readTestdata(t, "http_messages.json", &f)
	out := map[string]message{}
	for _, m := range f.Cases {
		out[m.ID] = m
	}
	if len(out) != 18 {
		t.Fatalf("there are %d messages, not 18", len(out))
	}
	return out
}

// damaged is a case of testdata/http_negative.json.
type damaged struct {
	ID          string `json:"id"`
	From        string `json:"from"`
	Fault       string `json:"fault"`
	Diagnosis   string `json:"expected_diagnosis"`
	ContentType string `json:"http_content_type"`
	Body        string `json:"http_body"`
}

func readDamaged(t testing.TB) map[string]damaged {
	t.Helper()
	var f struct {
		ProducedBy string    `json:"produced_by"`
		Cases      []damaged `json:"cases"`
	}
	readTestdata(t, "http_negative.json", &f)
	out := map[string]damaged{}
	for _, d := range f.Cases {
		out[d.ID] = d
	}
	if len(out) != 12 {
		t.Fatalf("there are %d damaged messages, not 12", len(out))
	}
	return out
}

// verifiesParams says whether a form's signature holds under a rule, read as leniently as other libraries read it: line
// ends in the signature are skipped and its padding is not needed.
func verifiesParams(t testing.TB, key *PublicKey, rule Rule, params []Param) bool {
	t.Helper()
	signType, sign := RSA2, ""
	for _, p := range params {
		switch p.Name {
		case pSign:
			sign = p.Value
		case pSignType:
			signType = p.Value
		}
	}
	sign = strings.TrimRight(strings.ReplaceAll(sign, "\n", ""), "=")
	for len(sign)%4 != 0 {
		sign += "="
	}
	return key.Verify(signType, Canonical(rule, params), sign) == nil
}

func mustPublic(t testing.TB, text string) *PublicKey {
	t.Helper()
	k, err := ParsePublicKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustPrivate(t testing.TB, text string) *PrivateKey {
	t.Helper()
	k, err := ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func inbound(body string) dialect.Inbound {
	return dialect.Inbound{Method: "POST", Body: []byte(body), Now: signedAt.Add(time.Second)}
}
