package alipay

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"unicode"

	"github.com/waypost/waypost/dialect"
)

// encryptAES is the value of encrypt_type for content in AES-CBC with PKCS#7 padding under an all-zero vector, the
// only cipher that the platform has.
const encryptAES = "AES"

// parseAESKey reads the key as the console shows it. It is not repaired: a key with something behind it is refused.
func parseAESKey(text string) (cipher.Block, error) {
	if strays.Replace(text) != text || strings.ContainsFunc(text, unicode.IsSpace) {
		return nil, errors.New("has blanks, line ends or invisible characters in it; paste only the key")
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != 16 && len(key) != 24 && len(key) != 32 {
		return nil, errors.New("must be the base64 of 16 bytes, as the console shows it")
	}
	return aes.NewCipher(key)
}

// encrypt returns the text that biz_content carries. The vector is all zero: the same content gives the same text.
func encrypt(key string, plain string) (string, error) {
	block, err := parseAESKey(key)
	if err != nil {
		return "", err
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	buf := append([]byte(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(buf, buf)
	return base64.StdEncoding.EncodeToString(buf), nil
}

// decrypt opens the text of biz_content with any live key and returns it in UTF-8. A wrong key passes for right when
// the last byte happens to look like padding, so a key whose result is JSON is preferred to one whose result is text.
func decrypt(keys []string, charset, text string) (string, error) {
	if len(keys) == 0 {
		return "", errors.New("is encrypted; set aes_key to the key of the application's content encryption")
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sealed) == 0 || len(sealed)%aes.BlockSize != 0 {
		return "", errors.New("is said to be encrypted, but is not the base64 of whole AES blocks")
	}
	found, ok := "", false
	for _, key := range keys[:min(len(keys), dialect.MaxLiveSecrets)] {
		block, err := parseAESKey(key)
		if err != nil {
			continue
		}
		plain, err := open(block, charset, sealed)
		if err != nil {
			continue
		}
		if json.Valid([]byte(plain)) {
			return plain, nil
		}
		if !ok {
			found, ok = plain, true
		}
	}
	if !ok {
		return "", errors.New("is encrypted, and no key in aes_key opens it")
	}
	return found, nil
}

func open(block cipher.Block, charset string, sealed []byte) (string, error) {
	buf := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(buf, sealed)
	pad := int(buf[len(buf)-1])
	if pad < 1 || pad > aes.BlockSize || !bytes.HasSuffix(buf, bytes.Repeat([]byte{byte(pad)}, pad)) {
		return "", errors.New("the padding is wrong")
	}
	return toUTF8(charset, string(buf[:len(buf)-pad]))
}

// decryptPayload is the dialect's Decrypt: the ciphertext was stored as {"raw": text}.
func decryptPayload(s dialect.Settings, payload []byte, platform map[string]string) ([]byte, error) {
	switch platform[pEncryptType] {
	case "":
		return payload, nil
	case encryptAES:
	default:
		return nil, errors.New("biz_content is encrypted with a cipher other than AES")
	}
	var stored struct {
		Raw string `json:"raw"`
	}
	if err := json.Unmarshal(payload, &stored); err != nil || stored.Raw == "" {
		return nil, errors.New("biz_content: is not stored as an encrypted text")
	}
	plain, err := decrypt(s.All(fAESKey), platform[pCharset], stored.Raw)
	if err != nil {
		return nil, errors.New("biz_content " + err.Error())
	}
	return dialect.WrapRaw([]byte(plain)), nil
}
