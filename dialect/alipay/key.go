package alipay

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

// RSA keys are taken from the shortest that Go's library works with, which Alipay's oldest applications have, to the
// longest that is not itself a way to keep a processor busy.
const (
	minRSABits = 1024
	maxRSABits = 8192
	maxKeyDER  = 16 << 10
)

// PublicKey verifies. It is an RSA key or an SM2 key, and safe for concurrent use.
type PublicKey struct {
	rsa *rsa.PublicKey
	sm2 *ecdsa.PublicKey
}

// PrivateKey signs. It is an RSA key or an SM2 key, and safe for concurrent use.
type PrivateKey struct {
	rsa *rsa.PrivateKey
	sm2 *sm2.PrivateKey
}

// ParsePublicKey reads a public key in any form in which Alipay's console, its tools and openssl give one out: PEM
// (PUBLIC KEY, RSA PUBLIC KEY, CERTIFICATE), or the base64 of the same on one line without armour. Of a file with
// several certificates the first counts. Blanks, line ends, byte order marks, zero-width characters, literal \n and
// quotes around the text are stripped. The error says what was pasted instead, and never holds a piece of it. Whether
// the key is Alipay's or the application's own cannot be seen.
func ParsePublicKey(text string) (*PublicKey, error) {
	return publicKeys.get(text, parsePublicKey)
}

// ParsePrivateKey reads a private key: PEM (PRIVATE KEY, RSA PRIVATE KEY, EC PRIVATE KEY for SM2), or the base64 of
// the same on one line, PKCS#8 as Alipay's tools write it or PKCS#1. It strips what ParsePublicKey strips.
func ParsePrivateKey(text string) (*PrivateKey, error) {
	return privateKeys.get(text, parsePrivateKey)
}

// Parsing an RSA private key takes about a fifth as long as signing with it, a public key about a fifth as long as
// verifying, and both happen once a message. So the keys that are in use are remembered. That stays pure: a text always
// parses to the same key, keys are never changed, errors are not remembered, and the tables have a fixed size.
var (
	publicKeys  keyCache[PublicKey]
	privateKeys keyCache[PrivateKey]
)

// keyCache holds parsed keys by the SHA-256 of their text. Each text has one slot; a later text takes it over.
type keyCache[K any] struct {
	slots [256]atomic.Pointer[cachedKey[K]]
}

type cachedKey[K any] struct {
	sum [sha256.Size]byte
	key *K
}

func (c *keyCache[K]) get(text string, parse func(string) (*K, error)) (*K, error) {
	sum := sha256.Sum256([]byte(text))
	slot := &c.slots[sum[0]]
	if e := slot.Load(); e != nil && e.sum == sum {
		return e.key, nil
	}
	key, err := parse(text)
	if err != nil {
		return nil, err
	}
	slot.Store(&cachedKey[K]{sum, key})
	return key, nil
}

func parsePublicKey(text string) (*PublicKey, error) {
	der, err := keyDER(text)
	if err != nil {
		return nil, err
	}
	if k, err := publicFromDER(der); k != nil || err != nil {
		return k, err
	}
	if cert, err := parseCertificate(der); err == nil {
		k, err := publicFromDER(cert.publicKey)
		if k == nil && err == nil {
			err = errors.New("is a certificate whose key is neither RSA nor SM2")
		}
		return k, err
	}
	if k, _ := privateFromDER(der); k != nil {
		return nil, errors.New("is a private key, but a public key is wanted here")
	}
	return nil, errors.New("is neither a public key (X.509 or PKCS#1) nor a certificate: part of it may be missing")
}

func parsePrivateKey(text string) (*PrivateKey, error) {
	der, err := keyDER(text)
	if err != nil {
		return nil, err
	}
	if k, err := privateFromDER(der); k != nil || err != nil {
		return k, err
	}
	if _, err := parseCertificate(der); err == nil {
		return nil, errors.New("is a certificate, but a private key is wanted here")
	}
	if k, _ := publicFromDER(der); k != nil {
		return nil, errors.New("is a public key, but a private key is wanted here")
	}
	return nil, errors.New("is not a private key (PKCS#8 or PKCS#1): part of it may be missing")
}

// publicFromDER returns nil and no error when der is no public key at all.
func publicFromDER(der []byte) (*PublicKey, error) {
	if k, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return rsaPublic(k)
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil { // Go's library does not know the SM2 curve
		if key, err = smx509.ParsePKIXPublicKey(der); err != nil {
			return nil, nil
		}
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		return rsaPublic(k)
	case *ecdsa.PublicKey:
		if sm2.IsSM2PublicKey(k) {
			return &PublicKey{sm2: k}, nil
		}
	}
	return nil, errors.New("is a public key of another kind; Alipay signs with RSA or SM2")
}

func rsaPublic(k *rsa.PublicKey) (*PublicKey, error) {
	if n := k.N.BitLen(); n < minRSABits || n > maxRSABits {
		return nil, fmt.Errorf("is an RSA key of %d bits; %d to %d are taken", n, minRSABits, maxRSABits)
	}
	return &PublicKey{rsa: k}, nil
}

// privateFromDER returns nil and no error when der is no private key at all.
func privateFromDER(der []byte) (*PrivateKey, error) {
	var key any
	var err error
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(b []byte) (any, error) { return x509.ParsePKCS1PrivateKey(b) },
		smx509.ParsePKCS8PrivateKey,
		func(b []byte) (any, error) { return smx509.ParseSM2PrivateKey(b) },
	} {
		if key, err = parse(der); err == nil {
			break
		}
	}
	if err != nil {
		return nil, nil
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if _, err := rsaPublic(&k.PublicKey); err != nil {
			return nil, err
		}
		return &PrivateKey{rsa: k}, nil
	case *sm2.PrivateKey:
		return &PrivateKey{sm2: k}, nil
	}
	return nil, errors.New("is a private key of another kind; Alipay signs with RSA or SM2")
}

// Public returns the public half.
func (k *PrivateKey) Public() *PublicKey {
	if k.rsa != nil {
		return &PublicKey{rsa: &k.rsa.PublicKey}
	}
	return &PublicKey{sm2: &k.sm2.PublicKey}
}

// Equal says whether both are the same key.
func (k *PublicKey) Equal(o *PublicKey) bool {
	if k.rsa != nil {
		return o.rsa != nil && k.rsa.Equal(o.rsa)
	}
	return o.sm2 != nil && k.sm2.Equal(o.sm2)
}

// SPKI returns the key as Alipay's console shows it: the base64 of its X.509 form on one line.
func (k *PublicKey) SPKI() (string, error) {
	var der []byte
	var err error
	if k.rsa != nil {
		der, err = x509.MarshalPKIXPublicKey(k.rsa)
	} else {
		der, err = smx509.MarshalPKIXPublicKey(k.sm2)
	}
	if err != nil {
		return "", fmt.Errorf("writing a public key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(der), nil
}
