package alipay

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/emmansun/gmsm/sm2"
)

// The values of sign_type. Letters count: the platform writes them so.
const (
	RSA2 = "RSA2" // SHA256withRSA, PKCS#1 v1.5
	RSA  = "RSA"  // SHA1withRSA, PKCS#1 v1.5
	SM2  = "SM2"  // SM3withSM2, DER, user id 1234567812345678
)

// maxSign bounds the text of a signature: that of an RSA key of 8192 bits has 1368 characters.
const maxSign = 2048

// The ways in which a signature fails.
var (
	errSignType  = errors.New("the signature type is none of RSA2, RSA and SM2")
	errKeyType   = errors.New("the key is not of the kind that the signature type needs")
	errSignature = errors.New("the signature does not match")
)

// Verify checks the base64 text of a signature over data. The error says which of three things is wrong: the text, the
// kind of key, or the signature.
func (k *PublicKey) Verify(signType string, data []byte, sign string) error {
	sig, err := decodeSign(sign)
	if err != nil {
		return err
	}
	return k.verify(signType, data, sig)
}

func (k *PublicKey) verify(signType string, data, sig []byte) error {
	switch {
	case !knownSignType(signType):
		return errSignType
	case signType == SM2:
		if k.sm2 == nil {
			return errKeyType
		}
		if !sm2.VerifyASN1WithSM2(k.sm2, nil, data, sig) { // nil is the default user id
			return errSignature
		}
		return nil
	case k.rsa == nil:
		return errKeyType
	}
	hash, digest := rsaDigest(signType, data)
	if rsa.VerifyPKCS1v15(k.rsa, hash, digest, sig) != nil {
		return errSignature
	}
	return nil
}

// Sign returns the base64 text of a signature over data. RSA2 and RSA give the same text for the same data; SM2 draws
// from crypto/rand.
func (k *PrivateKey) Sign(signType string, data []byte) (string, error) {
	var sig []byte
	var err error
	switch {
	case !knownSignType(signType):
		return "", errSignType
	case signType == SM2 && k.sm2 == nil, signType != SM2 && k.rsa == nil:
		return "", errKeyType
	case signType == SM2:
		sig, err = k.sm2.SignWithSM2(rand.Reader, nil, data)
	default:
		hash, digest := rsaDigest(signType, data)
		sig, err = rsa.SignPKCS1v15(rand.Reader, k.rsa, hash, digest)
	}
	if err != nil {
		return "", fmt.Errorf("signing with %s: %w", signType, err)
	}
	return base64.StdEncoding.EncodeToString(sig), nil
}

func knownSignType(t string) bool { return t == RSA2 || t == RSA || t == SM2 }

func rsaDigest(signType string, data []byte) (crypto.Hash, []byte) {
	if signType == RSA {
		d := sha1.Sum(data)
		return crypto.SHA1, d[:]
	}
	d := sha256.Sum256(data)
	return crypto.SHA256, d[:]
}

// decodeSign reads a signature as the platform writes it: standard base64 with its padding, on one line. Other forms
// of the same bytes are accidents on the way, and each has a sentence of its own.
func decodeSign(sign string) ([]byte, error) {
	switch {
	case sign == "":
		return nil, errors.New("the signature is empty")
	case len(sign) > maxSign:
		return nil, errors.New("the signature is too long")
	case strings.ContainsRune(sign, ' '):
		return nil, errors.New("the signature has blanks in it: its plus signs were not percent-encoded on the way")
	case strings.ContainsAny(sign, "\r\n"):
		return nil, errors.New("the signature is broken into lines; it must be one line of base64")
	case len(sign)%4 != 0:
		return nil, errors.New("the signature is not base64 with its padding: something was cut off on the way")
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(sign)
	if err != nil {
		return nil, errors.New("the signature is not base64")
	}
	return sig, nil
}
