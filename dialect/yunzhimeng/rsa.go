package yunzhimeng

import (
	"crypto/rsa"
	"crypto/sha1"
	"encoding/binary"
	"math/big"
)

// The paddings are made here because crypto/rsa always draws its own random bytes, and a repeat must have the same body.

// rawRSA is the public operation on a padded block.
func rawRSA(k *rsa.PublicKey, block []byte) []byte {
	c := new(big.Int).Exp(new(big.Int).SetBytes(block), big.NewInt(int64(k.E)), k.N)
	return c.FillBytes(make([]byte, k.Size()))
}

// padPKCS1 makes the block of RFC 8017, 7.2.1: 0, 2, at least eight bytes that are not zero, 0, text.
func padPKCS1(k *rsa.PublicKey, draw drawer, plain []byte) ([]byte, error) {
	size := k.Size()
	if len(plain) > size-11 {
		return nil, errTooLong
	}
	block := make([]byte, 2, size)
	block[1] = 2
	for end := size - len(plain) - 1; len(block) < end; {
		for _, b := range draw(64) {
			if b != 0 && len(block) < end {
				block = append(block, b)
			}
		}
	}
	return append(append(block, 0), plain...), nil
}

func openPKCS1(k *rsa.PrivateKey, sealed []byte) ([]byte, error) {
	//lint:ignore SA1019 other platforms use this padding; only who holds the platform's signing key can send ciphertexts
	return rsa.DecryptPKCS1v15(nil, k, sealed)
}

// padOAEP makes the block of RFC 8017, 7.1.1, with SHA-1 and no label.
func padOAEP(k *rsa.PublicKey, draw drawer, plain []byte) ([]byte, error) {
	size := k.Size()
	if len(plain) > size-2*sha1.Size-2 {
		return nil, errTooLong
	}
	block := make([]byte, size)
	seed, data := block[1:1+sha1.Size], block[1+sha1.Size:]
	label := sha1.Sum(nil)
	copy(data, label[:])
	data[len(data)-len(plain)-1] = 1
	copy(data[len(data)-len(plain):], plain)
	copy(seed, draw(sha1.Size))
	xor(data, mask(seed, len(data)))
	xor(seed, mask(data, len(seed)))
	return block, nil
}

func openOAEP(k *rsa.PrivateKey, sealed []byte) ([]byte, error) {
	return rsa.DecryptOAEP(sha1.New(), nil, k, sealed, nil)
}

// mask is MGF1 of RFC 8017: hashes of the seed with a counter that begins at zero.
func mask(seed []byte, n int) []byte {
	var out []byte
	for i := uint32(0); len(out) < n; i++ {
		sum := sha1.Sum(binary.BigEndian.AppendUint32(append([]byte(nil), seed...), i))
		out = append(out, sum[:]...)
	}
	return out[:n]
}
