package douyinmini

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
)

// The errors of a key that cannot be read. The parsers' own texts are not passed on: they may quote the key.
var (
	errKeyText = errors.New("is neither PEM nor base64, or something invisible was pasted along: paste the key again")
	errPublic  = errors.New("is not an RSA public key (X.509 or PKCS#1)")
	errPrivate = errors.New("is not an RSA private key (PKCS#8 or PKCS#1)")
)

// keyBytes reads PEM or base64, with any blanks and line ends in it.
func keyBytes(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "-----BEGIN ") {
		block, rest := pem.Decode([]byte(text))
		if block == nil || len(strings.TrimSpace(string(rest))) > 0 {
			return nil, errKeyText
		}
		return block.Bytes, nil
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil || len(der) == 0 {
		return nil, errKeyText
	}
	return der, nil
}

func publicKey(text string) (*rsa.PublicKey, error) {
	der, err := keyBytes(text)
	if err != nil {
		return nil, err
	}
	if parsed, err := x509.ParsePKIXPublicKey(der); err == nil {
		if key, ok := parsed.(*rsa.PublicKey); ok {
			return key, nil
		}
		return nil, errPublic
	}
	key, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		return nil, errPublic
	}
	return key, nil
}

func privateKey(text string) (*rsa.PrivateKey, error) {
	der, err := keyBytes(text)
	if err != nil {
		return nil, err
	}
	if parsed, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if key, ok := parsed.(*rsa.PrivateKey); ok {
			return key, nil
		}
		return nil, errPrivate
	}
	key, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return nil, errPrivate
	}
	return key, nil
}
