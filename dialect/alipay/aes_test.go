package alipay

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/waypost/waypost/dialect"
)

const testAESKey = "MDEyMzQ1Njc4OWFiY2RlZg=="

func TestEncryptedContent(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"short": `{"a":1}`, "whole blocks": `{"abcdefg":"12"}`, "no JSON": "<xml/>", "nothing": ""} {
		t.Run(name+" comes back", func(t *testing.T) {
			t.Parallel()
			sealed, err := encrypt(testAESKey, text)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := decrypt([]string{testAESKey}, charsetUTF8, sealed); err != nil || got != text {
				t.Errorf("got %q (%v)", got, err)
			}
		})
	}
	t.Run("wrong padding is not content", func(t *testing.T) {
		t.Parallel()
		for _, block := range []string{"aaaaaaaaaaaaaa\x01\x02", "aaaaaaaaaaaaaaa\x00", "aaaaaaaaaaaaaaa\x11", "aaaaaaaaaaaaaaaa"} {
			if got, err := decrypt([]string{testAESKey}, charsetUTF8, rawEncrypt(t, block)); err == nil {
				t.Errorf("%q is read as %q", block, got)
			}
		}
	})
	t.Run("a wrong key that happens to open it gives way to the right one", func(t *testing.T) {
		t.Parallel()
		sealed, err := encrypt(testAESKey, `{"a":1}`)
		if err != nil {
			t.Fatal(err)
		}
		const lucky = "AAAAAAAAAAAAAAAAACf+YQ==" // found by trying
		if wrong, err := decrypt([]string{lucky}, charsetUTF8, sealed); err != nil || wrong == `{"a":1}` {
			t.Fatalf("the wrong key gives %q (%v)", wrong, err)
		}
		if got, err := decrypt([]string{lucky, testAESKey}, charsetUTF8, sealed); err != nil || got != `{"a":1}` {
			t.Errorf("got %q (%v)", got, err)
		}
	})
	t.Run("what is no ciphertext is named", func(t *testing.T) {
		t.Parallel()
		for _, text := range []string{"", "?", "YWJj", base64.StdEncoding.EncodeToString(make([]byte, 17))} {
			if _, err := decrypt([]string{testAESKey}, charsetUTF8, text); err == nil || !strings.Contains(err.Error(), "whole AES blocks") {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

// rawEncrypt encrypts whole blocks without padding them.
func rawEncrypt(t *testing.T, blocks string) string {
	t.Helper()
	block, err := parseAESKey(testAESKey)
	if err != nil {
		t.Fatal(err)
	}
	buf := []byte(blocks)
	cipher.NewCBCEncrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(buf, buf)
	return base64.StdEncoding.EncodeToString(buf)
}

func TestDecryptPayload(t *testing.T) {
	t.Parallel()
	s := dialect.Set(fAESKey, testAESKey)
	sealed, err := encrypt(testAESKey, "<xml/>")
	if err != nil {
		t.Fatal(err)
	}
	encrypted := map[string]string{pEncryptType: encryptAES, pCharset: "UTF-8"}
	for _, c := range []struct {
		name, payload string
		platform      map[string]string
		want          string // "" = an error
	}{
		{"what is not encrypted stays", `{"a":1}`, nil, `{"a":1}`},
		{"what is no object is wrapped", `{"raw":"` + sealed + `"}`, encrypted, `{"raw":"<xml/>"}`},
		{"another cipher", `{"raw":"` + sealed + `"}`, map[string]string{pEncryptType: "SM4"}, ""},
		{"a payload that was not stored so", `{"a":1}`, encrypted, ""},
		{"a payload of numbers", `{"raw":1234}`, encrypted, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := decryptPayload(s, []byte(c.payload), c.platform)
			if (err == nil) != (c.want != "") || !bytes.Equal(got, []byte(c.want)) {
				t.Errorf("got %q (%v)", got, err)
			}
		})
	}
	t.Run("without a key it says which setting is missing", func(t *testing.T) {
		t.Parallel()
		if _, err := decryptPayload(nil, []byte(`{"raw":"`+sealed+`"}`), encrypted); err == nil || !strings.Contains(err.Error(), fAESKey) {
			t.Errorf("got %v", err)
		}
	})
}
