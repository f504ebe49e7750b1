package simulate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/waypost/waypost/dialect"
)

// wrongKeys returns settings with every secret replaced by another of the same form, so that what is signed with them is
// well formed and wrong.
func wrongKeys(d *dialect.Dialect, s dialect.Settings) (dialect.Settings, error) {
	wrong := dialect.Settings{}
	for name, values := range s {
		wrong[name] = slices.Clone(values)
	}
	replaced := 0
	for _, f := range d.Fields {
		if !f.Secret {
			continue
		}
		for i, v := range wrong[f.Name] {
			other, err := another(v)
			if err != nil {
				return nil, fmt.Errorf("setting %s: %w", f.Name, err)
			}
			wrong[f.Name][i] = other
			replaced++
		}
	}
	if replaced == 0 {
		return nil, errors.New("no setting is a secret")
	}
	if problems := d.Validate(wrong, dialect.Sending, false); len(problems) > 0 {
		return nil, fmt.Errorf("another key of the same form could not be made for %s", problems[0].Field)
	}
	return wrong, nil
}

// another makes another secret of the same form.
func another(secret string) (string, error) {
	if der := keyDER(secret); der != nil {
		if other, err := anotherKey(der); err == nil {
			return base64.StdEncoding.EncodeToString(other), nil
		}
	}
	if strings.HasPrefix(secret, ed25519Prefix) {
		_, private, err := ed25519.GenerateKey(nil)
		return ed25519Prefix + base64.StdEncoding.EncodeToString(private), err
	}
	return anotherText(secret)
}

// keyDER returns the bytes of a key given as PEM or as base64 alone, nil for any other text.
func keyDER(secret string) []byte {
	if block, _ := pem.Decode([]byte(secret)); block != nil {
		return block.Bytes
	}
	compact := strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) {
			return -1
		}
		return c
	}, secret)
	der, err := base64.StdEncoding.DecodeString(compact)
	if err != nil || len(der) < 32 || der[0] != 0x30 {
		return nil
	}
	return der
}

// anotherKey makes a private key of the same algorithm and size, in PKCS#8 form.
func anotherKey(der []byte) ([]byte, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if rsaKey, err1 := x509.ParsePKCS1PrivateKey(der); err1 == nil {
			key = rsaKey
		} else if ecKey, err2 := x509.ParseECPrivateKey(der); err2 == nil {
			key = ecKey
		} else {
			return anotherScalar(der) // a curve that the standard library does not know
		}
	}
	var other any
	switch k := key.(type) {
	case *rsa.PrivateKey:
		other, err = rsa.GenerateKey(rand.Reader, k.N.BitLen())
	case *ecdsa.PrivateKey:
		other, err = ecdsa.GenerateKey(k.Curve, rand.Reader)
	case ed25519.PrivateKey:
		_, other, err = ed25519.GenerateKey(nil)
	default:
		return nil, errors.New("a key of an unknown algorithm")
	}
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return x509.MarshalPKCS8PrivateKey(other)
}

type pkcs8 struct {
	Version   int
	Algorithm pkix.AlgorithmIdentifier
	Key       []byte
}

type ecPrivateKey struct {
	Version int
	Scalar  []byte
	Curve   asn1.RawValue  `asn1:"optional,explicit,tag:0"`
	Public  asn1.BitString `asn1:"optional,explicit,tag:1"`
}

// anotherScalar makes a private key on the same curve whatever curve it is: it draws another number and leaves the public
// point out, which may be. A first byte of 1 keeps the number below the order of every curve in use.
func anotherScalar(der []byte) ([]byte, error) {
	var outer pkcs8
	var inner ecPrivateKey
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return nil, fmt.Errorf("read a key: %w", err)
	}
	if _, err := asn1.Unmarshal(outer.Key, &inner); err != nil || len(inner.Scalar) < 16 {
		return nil, errors.New("read a key: it is not on a curve")
	}
	_, _ = rand.Read(inner.Scalar)
	inner.Scalar[0] = 1
	key, err := asn1.Marshal(struct {
		Version int
		Scalar  []byte
	}{inner.Version, inner.Scalar})
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	outer.Key = key
	return asn1.Marshal(outer)
}

// anotherText draws another text of the same length from the characters of the old one. A short prefix such as whsec_ and
// the last letter stay: the one says what the text is, the other carries the unused bits of base64.
func anotherText(secret string) (string, error) {
	head := strings.IndexByte(secret, '_') + 1
	if head > 8 {
		head = 0
	}
	tail := strings.LastIndexFunc(secret, func(c rune) bool { return c < 0x80 && isWord(byte(c)) })
	if tail-head < 4 {
		return "", errors.New("is too short for another one of the same form")
	}
	out := []byte(secret)
	drawn := make([]byte, tail)
	_, _ = rand.Read(drawn)
	for i := head; i < tail; i++ {
		if from := secret[head+int(drawn[i])%(tail-head)]; isWord(out[i]) && isWord(from) {
			out[i] = from
		}
	}
	if bytes.Equal(out, []byte(secret)) {
		if !isWord(out[head]) {
			return "", errors.New("has no letters that could be others")
		}
		out[head] = neighbour(out[head])
	}
	return string(out), nil
}
