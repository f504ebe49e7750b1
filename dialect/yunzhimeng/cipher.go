package yunzhimeng

import (
	"bytes"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"strconv"

	"github.com/emmansun/gmsm/sm3"

	"github.com/waypost/waypost/dialect"
)

const (
	eciesMACKey = 16 // bytes of the key stream that become the MAC key; they come first
	eciesMAC    = sha1.Size
	cipherAuto  = "auto"
)

var (
	errCipher  = errors.New("does not fit field_cipher; leave that at auto to take it from the key")
	errTooLong = errors.New("the text is too long for one RSA block of this key")
)

// A fieldCipher encrypts one text to a key.
type fieldCipher struct {
	fits func(c *curve) bool // c is the key's curve, nil for RSA
	// looks says whether bytes have the shape of a ciphertext to this key, so that a failure to open them is worth a word.
	looks func(k privateKey, sealed []byte) bool
	open  func(k privateKey, sealed []byte) (plain []byte, ok bool)
	seal  func(k publicKey, draw drawer, plain []byte) ([]byte, error)
}

// The ciphers, by the names of the setting field_cipher. None is confirmed; the manual says elliptic curves and
// BouncyCastle, whose cipher of that name is the first. The second is its form in old releases.
var fieldCiphers = map[string]fieldCipher{
	"ecies":         ecies(8),
	"ecies_tag4":    ecies(4),
	"sm2_c1c3c2":    sm2Cipher(sm2Layout{hashFirst: true}),
	"sm2_c1c2c3":    sm2Cipher(sm2Layout{}),
	"sm2_asn1":      sm2Cipher(sm2Layout{asn1: true}),
	"rsa_pkcs1":     rsaCipher(openPKCS1, padPKCS1),
	"rsa_oaep_sha1": rsaCipher(openOAEP, padOAEP),
}

// cipherFor is the cipher of a key on a curve (nil: RSA) under a setting.
func cipherFor(setting string, c *curve) (fieldCipher, error) {
	if setting == cipherAuto {
		switch c {
		case nil:
			setting = "rsa_pkcs1"
		case sm2p256v1:
			setting = "sm2_c1c3c2"
		default:
			setting = "ecies"
		}
	}
	f, known := fieldCiphers[setting]
	if !known || !f.fits(c) {
		return fieldCipher{}, errCipher
	}
	return f, nil
}

// A drawer yields bytes that look random; each call yields others.
type drawer func(n int) []byte

// drawFor draws from a message's seed, for one field. The text and the key are part of the purpose: should the settings
// change between two attempts, no key stream meets a second text.
func drawFor(seed [32]byte, k publicKey, occurrence int, plain []byte) drawer {
	h := sha256.New()
	_, _ = h.Write(k.point)
	if k.rsa != nil {
		_, _ = h.Write(k.rsa.N.Bytes())
	}
	_, _ = h.Write(plain)
	purpose := Name + "/field/" + strconv.Itoa(occurrence) + "/" + hex.EncodeToString(h.Sum(nil)) + "/"
	calls := 0
	return func(n int) []byte {
		calls++
		return dialect.Derive(seed, purpose+strconv.Itoa(calls), n)
	}
}

// keyStream is the key derivation that ISO 18033-2 calls KDF2 and SM2 uses too: hashes of the secret with a counter.
func keyStream(newHash func() hash.Hash, secret []byte, n int) []byte {
	var counter [4]byte
	h := newHash()
	out := make([]byte, 0, n+h.Size())
	for i := uint32(1); len(out) < n; i++ {
		h.Reset()
		_, _ = h.Write(secret)
		binary.BigEndian.PutUint32(counter[:], i)
		_, _ = h.Write(counter[:])
		out = h.Sum(out)
	}
	return out[:n]
}

// xor returns text XOR stream, in the place of stream.
func xor(stream, text []byte) []byte {
	subtle.XORBytes(stream, stream, text)
	return stream
}

// ecies is BouncyCastle's Cipher "ECIES": the ephemeral point, the text XOR a key stream, and a MAC over that and a
// length tag of zero bytes, eight in today's releases.
func ecies(tagBytes int) fieldCipher {
	keys := func(point, z []byte, n int) (macKey, stream []byte) {
		k := keyStream(sha1.New, append(bytes.Clone(point), z...), eciesMACKey+n)
		return k[:eciesMACKey], k[eciesMACKey:]
	}
	sum := func(macKey, c []byte) []byte {
		m := hmac.New(sha1.New, macKey)
		_, _ = m.Write(c)
		_, _ = m.Write(make([]byte, tagBytes))
		return m.Sum(nil)
	}
	return fieldCipher{
		fits: func(c *curve) bool { return c != nil },
		looks: func(k privateKey, sealed []byte) bool {
			return len(sealed) >= 1+2*k.curve.size+eciesMAC && sealed[0] == 4
		},
		open: func(k privateKey, sealed []byte) ([]byte, bool) {
			point, rest := sealed[:1+2*k.curve.size], sealed[1+2*k.curve.size:]
			c, tag := rest[:len(rest)-eciesMAC], rest[len(rest)-eciesMAC:]
			z, _ := k.curve.shared(k.d, point)
			if z == nil {
				return nil, false
			}
			macKey, stream := keys(point, z, len(c))
			if !hmac.Equal(sum(macKey, c), tag) {
				return nil, false
			}
			return xor(stream, c), true
		},
		seal: func(k publicKey, draw drawer, plain []byte) ([]byte, error) {
			d := k.curve.scalar(draw(k.curve.size + 16))
			point := k.curve.public(d)
			z, _ := k.curve.shared(d, k.point)
			macKey, stream := keys(point, z, len(plain))
			c := xor(stream, plain)
			return append(append(point, c...), sum(macKey, c)...), nil
		},
	}
}

// A sm2Layout is the order in which an SM2 ciphertext holds its point, its hash and its text.
type sm2Layout struct{ asn1, hashFirst bool }

// split cuts a ciphertext into point, hash and text.
func (l sm2Layout) split(sealed []byte) (point, sum, c []byte, ok bool) {
	const head = 1 + 2*32
	if l.asn1 {
		return splitSM2(sealed)
	}
	if len(sealed) <= head+sm3.Size {
		return nil, nil, nil, false
	}
	point, rest := sealed[:head], sealed[head:]
	if l.hashFirst {
		return point, rest[:sm3.Size], rest[sm3.Size:], true
	}
	return point, rest[len(rest)-sm3.Size:], rest[:len(rest)-sm3.Size], true
}

// splitSM2 reads the SEQUENCE of x, y, hash and text.
func splitSM2(sealed []byte) (point, sum, c []byte, ok bool) {
	d := der(sealed)
	seq, ok := d.next(tagSequence)
	if !ok || len(d) > 0 {
		return nil, nil, nil, false
	}
	x, ok1 := seq.unsigned()
	y, ok2 := seq.unsigned()
	sum, ok3 := seq.next(tagOctetString)
	c, ok4 := seq.next(tagOctetString)
	if !ok1 || !ok2 || !ok3 || !ok4 || len(seq) > 0 || x.BitLen() > 256 || y.BitLen() > 256 {
		return nil, nil, nil, false
	}
	return sm2p256v1.marshal(x, y), sum, c, true
}

func (l sm2Layout) join(point, sum, c []byte) []byte {
	if l.asn1 {
		x, y, _ := sm2p256v1.point(point)
		seq := appendUnsigned(appendUnsigned(nil, x), y)
		return appendElement(nil, tagSequence, appendElement(appendElement(seq, tagOctetString, sum), tagOctetString, c))
	}
	if l.hashFirst {
		return append(append(point, sum...), c...)
	}
	return append(append(point, c...), sum...)
}

// sm2Cipher is the public-key encryption of GB/T 32918.4. The library's own is not used: it draws its number from a
// reader of random bytes, and it refuses one in 256 ciphertexts of a single byte.
func sm2Cipher(l sm2Layout) fieldCipher {
	sum := func(shared, plain []byte) []byte {
		h := sm3.New()
		_, _ = h.Write(shared[:32])
		_, _ = h.Write(plain)
		_, _ = h.Write(shared[32:])
		return h.Sum(nil)
	}
	first := byte(4)
	if l.asn1 {
		first = tagSequence
	}
	return fieldCipher{
		fits:  func(c *curve) bool { return c == sm2p256v1 },
		looks: func(_ privateKey, sealed []byte) bool { return len(sealed) > 96 && sealed[0] == first },
		open: func(k privateKey, sealed []byte) ([]byte, bool) {
			point, want, c, ok := l.split(sealed)
			if !ok {
				return nil, false
			}
			x, y := k.curve.shared(k.d, point)
			if x == nil {
				return nil, false
			}
			secret := append(x, y...)
			plain := xor(keyStream(sm3.New, secret, len(c)), c)
			return plain, hmac.Equal(sum(secret, plain), want)
		},
		seal: func(k publicKey, draw drawer, plain []byte) ([]byte, error) {
			for {
				d := k.curve.scalar(draw(k.curve.size + 16))
				x, y := k.curve.shared(d, k.point)
				secret := append(x, y...)
				stream := keyStream(sm3.New, secret, len(plain))
				if bytes.Count(stream, []byte{0}) == len(stream) && len(stream) > 0 {
					continue // would send the text as it is; one in 256 for a single byte
				}
				return l.join(k.curve.public(d), sum(secret, plain), xor(stream, plain)), nil
			}
		},
	}
}

// rsaCipher is RSA with a padding.
func rsaCipher(open func(*rsa.PrivateKey, []byte) ([]byte, error), pad func(*rsa.PublicKey, drawer, []byte) ([]byte, error)) fieldCipher {
	return fieldCipher{
		fits:  func(c *curve) bool { return c == nil },
		looks: func(k privateKey, sealed []byte) bool { return len(sealed) == k.rsa.Size() },
		open: func(k privateKey, sealed []byte) ([]byte, bool) {
			plain, err := open(k.rsa, sealed)
			return plain, err == nil
		},
		seal: func(k publicKey, draw drawer, plain []byte) ([]byte, error) {
			block, err := pad(k.rsa, draw, plain)
			if err != nil {
				return nil, err
			}
			return rawRSA(k.rsa, block), nil
		},
	}
}
