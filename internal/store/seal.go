package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// Sealer encrypts what must not stand in the clear on the disk: AES-256-GCM under the main key.
// A sealed text is one version byte, a 12-byte nonce and the ciphertext; the place where it is stored is bound to it, so that
// a row cannot be moved to another.
type Sealer struct {
	aead cipher.AEAD
	seed []byte
}

// MainKeySize is the length of a main key in bytes.
const MainKeySize = 32

const sealVersion = 1

// ErrMainKey means that a sealed text was not sealed under this main key, or was changed.
var ErrMainKey = errors.New("store: cannot unseal: wrong main key, or the data was changed")

// NewSealer makes a Sealer from a main key of MainKeySize bytes.
func NewSealer(mainKey []byte) (*Sealer, error) {
	if len(mainKey) != MainKeySize {
		return nil, fmt.Errorf("store: a main key has %d bytes, not %d", MainKeySize, len(mainKey))
	}
	key, err := hkdf.Key(sha256.New, mainKey, nil, "waypost/seal/1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	seed, err := hkdf.Key(sha256.New, mainKey, nil, "waypost/outbound-seed/1", 32)
	if err != nil {
		return nil, err
	}
	return &Sealer{aead, seed}, nil
}

// EarlySeed is the key that the seeds of outgoing messages were drawn from while a store kept none of its own: it follows
// from the main key. Such a store keeps it from then on.
func (s *Sealer) EarlySeed() []byte { return slices.Clone(s.seed) }

// Same says whether two Sealers are of the same main key.
func (s *Sealer) Same(other *Sealer) bool { return other != nil && hmac.Equal(s.seed, other.seed) }

// Seal encrypts a text for a place such as "endpoint/ep_…/settings".
func (s *Sealer) Seal(text []byte, place string) []byte {
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the process instead
	out := append([]byte{sealVersion}, nonce...)
	return s.aead.Seal(out, nonce, text, []byte(place))
}

// Open decrypts what Seal made for the same place, or fails with ErrMainKey.
func (s *Sealer) Open(sealed []byte, place string) ([]byte, error) {
	n := s.aead.NonceSize()
	if len(sealed) < 1+n || sealed[0] != sealVersion {
		return nil, ErrMainKey
	}
	text, err := s.aead.Open(nil, sealed[1:1+n], sealed[1+n:], []byte(place))
	if err != nil {
		return nil, ErrMainKey
	}
	return text, nil
}
