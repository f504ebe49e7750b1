package yunzhimeng

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"unicode"
)

const (
	maxKeyText = 16 << 10 // bytes of a key as pasted
	maxRSABits = 8192     // a bigger modulus only costs time
)

// A publicKey is a point of a curve, or an RSA key.
type publicKey struct {
	curve *curve // nil: RSA
	point []byte // uncompressed, known to be on the curve
	rsa   *rsa.PublicKey
}

// A privateKey is a number of a curve's group, or an RSA key.
type privateKey struct {
	curve *curve // nil: RSA
	d     []byte // in full length
	rsa   *rsa.PrivateKey
}

// The contents of the object identifiers of key algorithms.
var (
	oidEC  = []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01}
	oidRSA = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01}
)

// The texts of these errors are read by people after the name of a field.
var (
	errKeyText     = errors.New("is neither a PEM block nor one line of base64; paste the key again, whole")
	errKeyLong     = fmt.Errorf("is longer than %d bytes, which no key is", maxKeyText)
	errNotPublic   = errors.New("is not a public key in X.509 form (SubjectPublicKeyInfo)")
	errNotPrivate  = errors.New("is not a private key in PKCS#8 form, nor in the EC or RSA form of openssl")
	errIsPrivate   = errors.New("holds a private key; the public key belongs here")
	errIsPublic    = errors.New("holds a public key; the private key belongs here")
	errCertificate = errors.New("holds a certificate; paste the public key alone (openssl x509 -pubkey -noout)")
	errEncrypted   = errors.New("holds a private key under a password; remove it first (openssl pkcs8 -topk8 -nocrypt)")
	errExplicit    = errors.New("spells out its curve instead of naming it; write it again with a named curve (openssl ec -param_enc named_curve)")
	errCurve       = errors.New("lies on a curve that is not known here; known are prime256v1, secp256k1, prime239v1 and sm2p256v1")
	errPoint       = errors.New("is not an uncompressed point of its curve (openssl ec -conv_form uncompressed writes one)")
	errScalar      = errors.New("is not a number of its curve's group")
	errRSA         = fmt.Errorf("is not a usable RSA key of 1024 to %d bits", maxRSABits)
)

// keyBytes takes a key as people paste it: PEM, also with its line ends lost or written as \n, or base64 alone. Blanks,
// line ends, byte order marks and zero-width characters are dropped. label is the PEM block's, "" without one.
func keyBytes(text string) (label string, der []byte, err error) {
	if len(text) > maxKeyText {
		return "", nil, errKeyLong
	}
	text = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, text)
	text = strings.NewReplacer(`\r`, "", `\n`, "\n").Replace(text)
	const dashes = "-----"
	for {
		_, rest, found := strings.Cut(text, dashes+"BEGIN ")
		if !found {
			break
		}
		label, rest, _ = strings.Cut(rest, dashes)
		body, after, closed := strings.Cut(rest, dashes+"END "+label+dashes)
		if !closed {
			return "", nil, errKeyText
		}
		if text = body; label != "EC PARAMETERS" { // openssl writes that block before an EC key
			break
		}
		label, text = "", after
	}
	compact := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	der, err = base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(compact, "="))
	if err != nil || len(der) == 0 {
		return "", nil, errKeyText
	}
	return label, der, nil
}

// parsePublic reads a public key in X.509 form.
func parsePublic(text string) (publicKey, error) {
	label, b, err := keyBytes(text)
	switch {
	case err != nil:
		return publicKey{}, err
	case label == "CERTIFICATE":
		return publicKey{}, errCertificate
	case strings.Contains(label, "PRIVATE"):
		return publicKey{}, errIsPrivate
	case label == "RSA PUBLIC KEY":
		return rsaPublic(b)
	}
	algorithm, params, bits, ok := splitPublic(b)
	switch {
	case !ok:
		if _, err := privateFrom("", b); err == nil {
			return publicKey{}, errIsPrivate
		}
		return publicKey{}, errNotPublic
	case bytes.Equal(algorithm, oidRSA):
		return rsaPublic(bits)
	case !bytes.Equal(algorithm, oidEC):
		return publicKey{}, errNotPublic
	}
	c, err := namedCurve(params)
	if err != nil {
		return publicKey{}, err
	}
	if _, _, ok := c.point(bits); !ok {
		return publicKey{}, errPoint
	}
	return publicKey{curve: c, point: bits}, nil
}

// splitPublic takes a SubjectPublicKeyInfo apart.
func splitPublic(b []byte) (algorithm, params, key []byte, ok bool) {
	d := der(b)
	seq, ok := d.next(tagSequence)
	if !ok || len(d) > 0 {
		return nil, nil, nil, false
	}
	algorithm, params, ok1 := seq.algorithm()
	key, ok2 := seq.bits()
	return algorithm, params, key, ok1 && ok2 && len(seq) == 0
}

// algorithm reads an AlgorithmIdentifier; params is what follows its object identifier, unread.
func (d *der) algorithm() (oid, params []byte, ok bool) {
	id, ok := d.next(tagSequence)
	if !ok {
		return nil, nil, false
	}
	oid, ok = id.next(tagOID)
	return oid, id, ok
}

// namedCurve reads the parameters of an EC key. Explicit ones are refused: whoever may write the generator may forge.
func namedCurve(params []byte) (*curve, error) {
	d := der(params)
	if d.has(tagSequence) {
		return nil, errExplicit
	}
	oid, ok := d.next(tagOID)
	if !ok || len(d) > 0 {
		return nil, errCurve
	}
	for _, c := range curves {
		if bytes.Equal(c.oid, oid) {
			return c, nil
		}
	}
	return nil, errCurve
}

func rsaPublic(b []byte) (publicKey, error) {
	key, err := x509.ParsePKCS1PublicKey(b)
	if err != nil || !usableRSA(key) {
		return publicKey{}, errRSA
	}
	return publicKey{rsa: key}, nil
}

func usableRSA(k *rsa.PublicKey) bool {
	return k.N.BitLen() >= 1024 && k.N.BitLen() <= maxRSABits && k.E >= 3 && k.E&1 == 1
}

// parsePrivate reads a private key in PKCS#8 form, or in the EC or RSA form of openssl.
func parsePrivate(text string) (privateKey, error) {
	label, b, err := keyBytes(text)
	switch {
	case err != nil:
		return privateKey{}, err
	case label == "ENCRYPTED PRIVATE KEY":
		return privateKey{}, errEncrypted
	case label == "CERTIFICATE", strings.HasSuffix(label, "PUBLIC KEY"):
		return privateKey{}, errIsPublic
	}
	return privateFrom(label, b)
}

func privateFrom(label string, b []byte) (privateKey, error) {
	switch label {
	case "EC PRIVATE KEY":
		return ecPrivate(b, nil)
	case "RSA PRIVATE KEY":
		return rsaPrivate(b)
	}
	algorithm, params, inner, ok := splitPrivate(b)
	switch {
	case !ok:
		if _, _, _, public := splitPublic(b); public {
			return privateKey{}, errIsPublic
		}
		return privateKey{}, errNotPrivate
	case bytes.Equal(algorithm, oidRSA):
		return rsaPrivate(inner)
	case !bytes.Equal(algorithm, oidEC):
		return privateKey{}, errNotPrivate
	}
	c, err := namedCurve(params)
	if err != nil {
		return privateKey{}, err
	}
	return ecPrivate(inner, c)
}

// splitPrivate takes a PKCS#8 PrivateKeyInfo apart. Attributes behind the key are not looked at.
func splitPrivate(b []byte) (algorithm, params, key []byte, ok bool) {
	d := der(b)
	seq, ok := d.next(tagSequence)
	if !ok || len(d) > 0 {
		return nil, nil, nil, false
	}
	version, ok := seq.next(tagInteger)
	if !ok || len(version) != 1 || version[0] > 1 {
		return nil, nil, nil, false
	}
	algorithm, params, ok1 := seq.algorithm()
	key, ok2 := seq.next(tagOctetString)
	return algorithm, params, key, ok1 && ok2
}

// ecPrivate reads an ECPrivateKey of a curve, or of the curve that it names itself.
func ecPrivate(b []byte, c *curve) (privateKey, error) {
	d := der(b)
	seq, ok := d.next(tagSequence)
	if !ok || len(d) > 0 || !seq.small(1) {
		return privateKey{}, errNotPrivate
	}
	number, ok := seq.next(tagOctetString)
	if !ok {
		return privateKey{}, errNotPrivate
	}
	if seq.has(tagContext0) {
		params, ok := seq.next(tagContext0)
		if !ok {
			return privateKey{}, errNotPrivate
		}
		own, err := namedCurve(params)
		if err != nil {
			return privateKey{}, err
		}
		if c != nil && c != own {
			return privateKey{}, errNotPrivate
		}
		c = own
	}
	if c == nil {
		return privateKey{}, errCurve
	}
	n := new(big.Int).SetBytes(number)
	if !c.inGroup(n) {
		return privateKey{}, errScalar
	}
	return privateKey{curve: c, d: c.bytes(n)}, nil
}

func rsaPrivate(b []byte) (privateKey, error) {
	key, err := x509.ParsePKCS1PrivateKey(b)
	if err != nil || !usableRSA(&key.PublicKey) {
		return privateKey{}, errRSA
	}
	return privateKey{rsa: key}, nil
}
