package standard

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/waypost/waypost/dialect"
)

// The prefixes that say what a secret is (spec).
const (
	prefixShared  = "whsec_"
	prefixPrivate = "whsk_"
	prefixPublic  = "whpk_"
)

// The length of a shared secret in bytes (spec), and of the longest that is taken: Svix's server takes them too, and keys
// are moved from there.
const (
	minSecret = 24
	maxSecret = 64
	maxTaken  = 75
)

// Made once: Strict copies the tables of its encoding.
var (
	strictBase64   = base64.StdEncoding.Strict()
	strictUnpadded = base64.RawStdEncoding.Strict()
)

// A key is one live secret. Exactly one member is set, but for mac, and it decides which version of signature the key knows: a
// signature of the other version is never tried with it.
type key struct {
	shared  []byte             // signs and verifies v1
	mac     *dialect.HMAC      // of shared
	private ed25519.PrivateKey // signs v1a
	public  ed25519.PublicKey  // verifies v1a
}

// parseSecrets reads every live secret of one direction. Its error is a dialect.Problem that tells which of several
// secrets is wrong and how, and never what it is.
func parseSecrets(s dialect.Settings, use dialect.Use) ([]key, error) {
	values := s["secret"]
	if len(values) == 0 || len(values) > dialect.MaxLiveSecrets {
		return nil, dialect.Problem{Field: "secret", Text: fmt.Sprintf("must hold 1 to %d secrets", dialect.MaxLiveSecrets)}
	}
	keys := make([]key, len(values))
	for i, v := range values {
		k, err := parseSecret(v)
		if err == nil {
			err = k.fits(use)
		}
		if err != nil {
			text := err.Error()
			if len(values) > 1 {
				text = fmt.Sprintf("number %d of %d %s", i+1, len(values), text)
			}
			return nil, dialect.Problem{Field: "secret", Text: text}
		}
		keys[i] = k
	}
	return keys, nil
}

func (k key) fits(use dialect.Use) error {
	switch {
	case use == dialect.Receiving && k.private != nil:
		return errors.New("is the sender's private key (whsk_); a receiver holds the public one (whpk_)")
	case use == dialect.Sending && k.public != nil:
		return errors.New("is a public key (whpk_), which cannot sign; a sender holds the private one (whsk_)")
	}
	return nil
}

// parseSecret reads one secret strictly.
func parseSecret(v string) (key, error) {
	if err := dialect.CheckSecret(v); err != nil {
		return key{}, err
	}
	prefix, text, _ := strings.Cut(v, "_")
	encoding := strictBase64
	if len(text)%4 != 0 {
		encoding = strictUnpadded // the reference libraries allow the padding to be left out
	}
	b, err := encoding.DecodeString(text)
	switch prefix += "_"; {
	case prefix != prefixShared && prefix != prefixPrivate && prefix != prefixPublic:
		return key{}, errors.New("must start with whsec_, whsk_ or whpk_; put whsec_ before a shared secret that came without it")
	case err != nil:
		return key{}, fmt.Errorf("is not standard base64 behind %s", prefix)
	}
	switch prefix {
	case prefixPrivate:
		return parsePrivate(b)
	case prefixPublic:
		if len(b) != ed25519.PublicKeySize {
			return key{}, fmt.Errorf("holds %d bytes; a public key has %d", len(b), ed25519.PublicKeySize)
		}
		return key{public: b}, nil
	}
	if len(b) < minSecret || len(b) > maxTaken {
		return key{}, fmt.Errorf("holds %d bytes; a shared secret has %d to %d", len(b), minSecret, maxSecret)
	}
	return key{shared: b, mac: dialect.NewHMAC(sha256.New, b)}, nil
}

// parsePrivate takes the 32-byte seed (the reference Go library) or seed and public key (Svix). With a public half that
// is not the seed's, signatures would give the private key away, so it is checked.
func parsePrivate(b []byte) (key, error) {
	if len(b) != ed25519.SeedSize && len(b) != ed25519.PrivateKeySize {
		return key{}, fmt.Errorf("holds %d bytes; a private key has %d, or %d with its public half", len(b), ed25519.SeedSize, ed25519.PrivateKeySize)
	}
	private := ed25519.NewKeyFromSeed(b[:ed25519.SeedSize])
	if len(b) == ed25519.PrivateKeySize && !bytes.Equal(private, b) {
		return key{}, errors.New("is damaged: its public half does not belong to its private half")
	}
	return key{private: private}, nil
}

// SharedSecret writes 24 to 64 random bytes as a secret of both sides (whsec_). Draw them from crypto/rand.
func SharedSecret(random []byte) (string, error) {
	if len(random) < minSecret || len(random) > maxSecret {
		return "", fmt.Errorf("making a shared secret: it takes %d to %d random bytes, not %d", minSecret, maxSecret, len(random))
	}
	return prefixShared + base64.StdEncoding.EncodeToString(random), nil
}

// KeyPair makes the Ed25519 secrets of a sender (whsk_, in Svix's form of seed and public key) and of its receivers
// (whpk_) from 32 random bytes. Draw them from crypto/rand.
func KeyPair(random [ed25519.SeedSize]byte) (private, public string) {
	k := ed25519.NewKeyFromSeed(random[:])
	return prefixPrivate + base64.StdEncoding.EncodeToString(k), publicText(k)
}

// ForReceiver returns what a receiver must be given to verify what a sender's secret signs: the public half (whpk_) of a
// private key, and a shared secret as it is.
func ForReceiver(secret string) (string, error) {
	k, err := parseSecret(secret)
	if err != nil {
		return "", fmt.Errorf("the secret %w", err)
	}
	if k.private != nil {
		return publicText(k.private), nil
	}
	return secret, nil
}

func publicText(private ed25519.PrivateKey) string {
	return prefixPublic + base64.StdEncoding.EncodeToString(private[ed25519.SeedSize:])
}
