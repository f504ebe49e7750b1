package alipay

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html"
	"slices"
	"strings"
	"testing"

	"github.com/waypost/waypost/dialect"
)

func TestSignedMessages(t *testing.T) {
	t.Parallel()
	key := mustPublic(t, readKeys(t).Alipay.PublicSPKI)
	for id, m := range readMessages(t) {
		params, err := ParseForm([]byte(m.Body))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(id+" is decoded to its parameters", func(t *testing.T) {
			t.Parallel()
			var want []Param
			for _, p := range m.Params {
				value, err := fromUTF8(strings.ToUpper(m.Charset), p[1])
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, Param{p[0], value})
			}
			if !slices.Equal(params, want) {
				t.Errorf("got %q, want %q", params, want)
			}
			if got := string(EncodeForm(params)); got != m.Body {
				t.Errorf("encoded again it is %q, not %q", got, m.Body)
			}
		})
		t.Run(id+" has the canonical texts", func(t *testing.T) {
			t.Parallel()
			canonicalIs(t, Canonical(V1, params), m.CanonicalV1, m.CanonicalV1Hex, m.CanonicalV1Sum)
			canonicalIs(t, Canonical(V2, params), m.CanonicalV2, m.CanonicalV2Hex, m.CanonicalV2Sum)
		})
		t.Run(id+" verifies under its rule alone", func(t *testing.T) {
			t.Parallel()
			if v1, v2 := verifiesParams(t, key, V1, params), verifiesParams(t, key, V2, params); v1 != m.Expect.V1 || v2 != m.Expect.V2 {
				t.Errorf("V1 %v, V2 %v; want %v and %v", v1, v2, m.Expect.V1, m.Expect.V2)
			}
		})
	}
}

func canonicalIs(t *testing.T, got []byte, text *string, wantHex, wantSum string) {
	t.Helper()
	if text != nil && string(got) != *text {
		t.Errorf("the canonical text is %q, not %q", got, *text)
	}
	if wantHex == "" { // the message that is signed over another text
		return
	}
	if hex.EncodeToString(got) != wantHex {
		t.Errorf("the canonical text %q has other bytes", got)
	}
	if sum := sha256.Sum256(got); hex.EncodeToString(sum[:]) != wantSum {
		t.Errorf("the digest is %x, not %s", sum, wantSum)
	}
}

func TestEmptyValuesAreSigned(t *testing.T) {
	t.Parallel()
	m := readMessages(t)["empty-value-dropped"]
	params, err := ParseForm([]byte(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	kept := slices.DeleteFunc(slices.Clone(params), func(p Param) bool { return p.Value == "" })
	if got := string(Canonical(V1, kept)); got != m.CanonicalSigned {
		t.Errorf("without empty values the text is %q, not %q", got, m.CanonicalSigned)
	}
	key := mustPublic(t, readKeys(t).Alipay.PublicSPKI)
	if got := verifiesParams(t, key, V1, kept); got != *m.Expect.V1WithoutEmpty {
		t.Errorf("without empty values it verifies: %v", got)
	}
}

// The platform's own bodies come out byte for byte, where the order of the case is the platform's; else what is signed
// and the signature are the same.
func TestSignMakesThePlatformsBytes(t *testing.T) {
	t.Parallel()
	keys := readKeys(t)
	private := mustPrivate(t, keys.Alipay.PrivatePKCS1)
	for id, m := range readMessages(t) {
		if id == "empty-value-dropped" {
			continue // signed over a text that is not its own
		}
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			params, err := ParseForm([]byte(m.Body))
			if err != nil {
				t.Fatal(err)
			}
			rule := V1
			if m.Rule == "V2" {
				rule = V2
			}
			if sign, err := private.Sign(m.SignType, Canonical(rule, params)); err != nil || sign != m.Sign {
				t.Errorf("the signature is %s (%v), not %s", sign, err, m.Sign)
			}
			if id == "empty-value" || id == "prefix-keys" || id == "gateway-check" {
				return // written down with parameters, or in an order, that the sender does not use
			}
			s := dialect.Set(fAppID, m.param(pAppID), fPlatformKey, keys.Alipay.PrivatePKCS8B, fSignType, m.SignType,
				fCharset, m.param(pCharset), fAESKey, m.AESKey)
			if m.Rule == "V2" {
				s[fRuleOverrides] = []string{m.param(pMsgMethod) + "=V2"}
			}
			payload := m.param(pBizContent)
			if m.Plaintext != "" {
				payload = m.Plaintext
			}
			req, err := sign(s, dialect.Outbound{EventType: m.param(pMsgMethod), Payload: []byte(payload),
				Platform: map[string]string{pNotifyID: m.param(pNotifyID)}, Now: signedAt})
			if err != nil {
				t.Fatal(err)
			}
			if string(req.Body) != m.Body {
				t.Errorf("got  %s\nwant %s", req.Body, m.Body)
			}
		})
	}
}

func TestDamagedMessagesAreRefused(t *testing.T) {
	t.Parallel()
	s := dialect.Set(fAlipayPublicKey, readKeys(t).Alipay.PublicSPKI)
	for id, d := range readDamaged(t) {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			want := dialect.ReasonSignature
			if id == "duplicate-param" || id == "sign-type-missing" {
				want = dialect.ReasonMalformed
			}
			_, err := receive(s, inbound(d.Body))
			var refusal *dialect.Error
			if !errors.As(err, &refusal) || refusal.Reason != want {
				t.Errorf("got %v, want a refusal as %s (%s)", err, want, d.Fault)
			}
		})
	}
}

// The damage is what the case says it is: with it undone, the signature holds. (An undone damage never accepts.)
func TestDamagedMessagesVerifyWhenRepaired(t *testing.T) {
	t.Parallel()
	messages := readMessages(t)
	key := mustPublic(t, readKeys(t).Alipay.PublicSPKI)
	repairs := map[string]func(p *Param) bool{ // false removes the parameter
		"sign-plus-not-encoded":  func(p *Param) bool { return replace(p, pSign, " ", "+") },
		"sign-truncated-padding": func(*Param) bool { return true }, // verifies pads
		"sign-wrapped":           func(*Param) bool { return true }, // verifies skips line ends
		"sign-type-missing":      func(*Param) bool { return true }, // verifies takes RSA2
		"html-escaped":           func(p *Param) bool { p.Value = html.UnescapeString(p.Value); return true },
		"backslash-escaped":      func(p *Param) bool { return replace(p, pBizContent, `\`, "") },
		"extra-query-param":      func(p *Param) bool { return p.Name != "tenant" },
		"gbk-as-utf8": func(p *Param) bool {
			text, err := fromUTF8(charsetGBK, p.Value)
			p.Value = text
			return err == nil
		},
		"reserialised-json": func(p *Param) bool {
			original := messages["seed-5"].param(pBizContent)
			if p.Name == pBizContent && sameJSON(t, p.Value, original) {
				p.Value = original
			}
			return true
		},
		"double-decoded": func(p *Param) bool {
			if p.Name == pBizContent || p.Name == pSign {
				p.Value = messages["specials"].param(p.Name)
			}
			return true
		},
		"tampered-biz-content": func(p *Param) bool { return replace(p, pBizContent, `"PASS"`, `"REJECT"`) },
	}
	for id, d := range readDamaged(t) {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			params, err := parsePairs([]byte(d.Body))
			if err != nil {
				t.Fatal(err)
			}
			if id == "duplicate-param" {
				sortByName(params)
				params = slices.Compact(params)
			} else if repairs[id] == nil {
				t.Fatal("no repair is known")
			}
			var repaired []Param
			for _, p := range params {
				if fix := repairs[id]; fix == nil || fix(&p) {
					repaired = append(repaired, p)
				}
			}
			if !verifiesParams(t, key, V1, repaired) {
				t.Errorf("it does not verify (%s)", d.Diagnosis)
			}
		})
	}
}

func replace(p *Param, name, from, to string) bool {
	if p.Name == name {
		p.Value = strings.ReplaceAll(p.Value, from, to)
	}
	return true
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y)); err != nil {
		t.Fatal(err)
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}

func TestLongConnectionSignatures(t *testing.T) {
	t.Parallel()
	keys := readKeys(t)
	var f struct {
		ProducedBy string `json:"produced_by"`
		Note       string `json:"note"`
		Cases      []struct {
			ID         string      `json:"id"`
			SignBy     string      `json:"sign_by"`
			Sign       string      `json:"sign"`
			Canonical  string      `json:"canonical"`
			SignedText string      `json:"signed_text"`
			Params     [][2]string `json:"params"`
			Query      string      `json:"query"`
		} `json:"cases"`
	}
	readTestdata(t, "longconn_signatures.json", &f)
	for _, c := range f.Cases {
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			data := []byte(c.SignedText)
			if c.Query != "" {
				params, err := ParseForm([]byte(c.Query))
				if err != nil {
					t.Fatal(err)
				}
				for i, p := range c.Params {
					if params[i] != (Param{p[0], p[1]}) {
						t.Errorf("parameter %d is %q, not %q", i, params[i], p)
					}
				}
				if data = Canonical(V2, params); string(data) != c.Canonical {
					t.Errorf("the canonical text is %q, not %q", data, c.Canonical)
				}
			}
			pair := keys.by(c.SignBy)
			if err := mustPublic(t, pair.PublicPKCS1).Verify(RSA2, data, c.Sign); err != nil {
				t.Error(err)
			}
			if sign, err := mustPrivate(t, pair.PrivatePKCS8).Sign(RSA2, data); err != nil || sign != c.Sign {
				t.Errorf("the signature is %s (%v), not %s", sign, err, c.Sign)
			}
		})
	}
}
