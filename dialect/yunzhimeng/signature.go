package yunzhimeng

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"math/big"
	"strings"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
)

// The values of the setting signature_algorithm, by their Java names.
const (
	algorithmAuto   = "auto"
	sha256WithECDSA = "SHA256withECDSA"
	sha1WithECDSA   = "SHA1withECDSA"
	sm3WithSM2      = "SM3withSM2"
	sha256WithRSA   = "SHA256withRSA"
)

const (
	sm2UserID        = "1234567812345678" // the identity that everybody hashes who does not choose one
	maxSignatureText = 4 << 10            // bytes of X-Signature: twice the longest RSA signature in hex
)

var errAlgorithm = errors.New("does not fit signature_algorithm; leave that at auto to take it from the key")

// algorithmFor is the signature algorithm of a key on a curve (nil: RSA) under a setting.
func algorithmFor(setting string, c *curve) (string, error) {
	switch {
	case setting == algorithmAuto && c == nil:
		return sha256WithRSA, nil
	case setting == algorithmAuto && c == sm2p256v1:
		return sm3WithSM2, nil
	case setting == algorithmAuto:
		return sha256WithECDSA, nil
	case (setting == sha256WithRSA) != (c == nil), setting == sm3WithSM2 && c != sm2p256v1:
		return "", errAlgorithm
	}
	return setting, nil
}

// digest hashes the signed text. point is the key's, which SM2 hashes too.
func digest(algorithm string, f textForm, e envelope, point []byte) ([]byte, error) {
	var h hash.Hash
	switch algorithm {
	case sm3WithSM2:
		za, err := sm2.CalculateZA(sm2Public(point), []byte(sm2UserID))
		if err != nil {
			return nil, err
		}
		h = sm3.New()
		_, _ = h.Write(za)
	case sha1WithECDSA:
		h = sha1.New()
	default:
		h = sha256.New()
	}
	f.write(h, e)
	return h.Sum(nil), nil
}

// A sigFormat is how the header X-Signature spells a signature.
type sigFormat struct {
	hex bool // hexadecimal, else standard base64
	raw bool // r and s at full length one after the other, else DER; an RSA signature is the same either way
}

// The formats, by the names of the setting signature_encoding.
var sigFormats = map[string]sigFormat{
	"der_base64": {},
	"der_hex":    {hex: true},
	"raw_base64": {raw: true},
	"raw_hex":    {hex: true, raw: true},
}

// decode reads the header. Base64 must be in its one spelling: padded, no stray bits at the end, no line ends.
func (f sigFormat) decode(text string) ([]byte, bool) {
	if text == "" || len(text) > maxSignatureText {
		return nil, false
	}
	if f.hex {
		b, err := hex.DecodeString(text)
		return b, err == nil
	}
	if strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	return b, err == nil
}

func (f sigFormat) encode(sig []byte) string {
	if f.hex {
		return hex.EncodeToString(sig)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

// pair reads the two numbers of an elliptic-curve signature.
func (f sigFormat) pair(sig []byte, size int) (r, s *big.Int, ok bool) {
	if !f.raw {
		return parsePair(sig)
	}
	if len(sig) != 2*size {
		return nil, nil, false
	}
	return new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:]), true
}

// A verifier is a public key with how it signs.
type verifier struct {
	publicKey
	algorithm string
}

// verify says whether sig, already decoded, is the key's signature of an envelope.
func (v verifier) verify(f sigFormat, t textForm, e envelope, sig []byte) bool {
	sum, err := digest(v.algorithm, t, e, v.point)
	if err != nil {
		return false
	}
	if v.curve == nil {
		return rsa.VerifyPKCS1v15(v.rsa, crypto.SHA256, sum, sig) == nil
	}
	r, s, ok := f.pair(sig, v.curve.size)
	if !ok || !v.curve.inGroup(r) || !v.curve.inGroup(s) {
		return false
	}
	if v.algorithm == sm3WithSM2 {
		return sm2.VerifyASN1(sm2Public(v.point), sum, marshalPair(r, s))
	}
	return v.curve.ecdsaVerify(v.point, sum, r, s)
}

// A signer is a private key with how it signs.
type signer struct {
	privateKey
	algorithm string
}

// sign returns the text of the header X-Signature.
func (k signer) sign(f sigFormat, t textForm, e envelope) (string, error) {
	var point []byte
	if k.algorithm == sm3WithSM2 {
		point = k.curve.public(k.d)
	}
	sum, err := digest(k.algorithm, t, e, point)
	if err != nil {
		return "", err
	}
	if k.curve == nil {
		sig, err := rsa.SignPKCS1v15(nil, k.rsa, crypto.SHA256, sum)
		return f.encode(sig), err
	}
	r, s, err := k.numbers(sum)
	if err != nil {
		return "", err
	}
	if f.raw {
		return f.encode(append(k.curve.bytes(r), k.curve.bytes(s)...)), nil
	}
	return f.encode(marshalPair(r, s)), nil
}

// numbers makes r and s.
func (k signer) numbers(sum []byte) (r, s *big.Int, err error) {
	if k.algorithm != sm3WithSM2 {
		return k.curve.ecdsaSign(k.d, sum)
	}
	sig, err := sm2.SignASN1(rand.Reader, sm2Private(k.d), sum, nil)
	if err != nil {
		return nil, nil, err
	}
	r, s, ok := parsePair(sig)
	if !ok {
		return nil, nil, errors.New("the SM2 library made a signature that is not DER")
	}
	return r, s, nil
}
