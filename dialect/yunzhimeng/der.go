package yunzhimeng

import (
	"bytes"
	"math/big"
)

// The DER tags that occur in keys, signatures and SM2 ciphertexts.
const (
	tagInteger     = 0x02
	tagBitString   = 0x03
	tagOctetString = 0x04
	tagNull        = 0x05
	tagOID         = 0x06
	tagSequence    = 0x30
	tagContext0    = 0xa0
)

// der is what is left to read of a DER text. It is strict: one-byte tags, definite lengths in their shortest form. That
// leaves each signature one spelling, so that a changed byte is a refused byte.
type der []byte

// next reads an element that must have the given tag and returns its content.
func (d *der) next(tag byte) (content der, ok bool) {
	b := *d
	if len(b) < 2 || b[0] != tag {
		return nil, false
	}
	size, head := int(b[1]), 2
	if size > 0x7f {
		n := size & 0x7f // 0 would be the indefinite form; more than two bytes of length is more than we read
		if n < 1 || n > 2 || len(b) < 2+n || b[2] == 0 {
			return nil, false
		}
		size, head = 0, 2+n
		for _, c := range b[2:head] {
			size = size<<8 | int(c)
		}
		if size <= 0x7f {
			return nil, false
		}
	}
	if len(b)-head < size {
		return nil, false
	}
	*d = b[head+size:]
	return b[head : head+size], true
}

// has says whether the next element has the tag.
func (d der) has(tag byte) bool { return len(d) > 0 && d[0] == tag }

// unsigned reads an INTEGER that is not negative and is written in its shortest form.
func (d *der) unsigned() (*big.Int, bool) {
	b, ok := d.next(tagInteger)
	if !ok || len(b) == 0 || b[0]&0x80 != 0 || len(b) > 1 && b[0] == 0 && b[1]&0x80 == 0 {
		return nil, false
	}
	return new(big.Int).SetBytes(b), true
}

// small says whether the next element is the INTEGER n, and reads it.
func (d *der) small(n byte) bool {
	b, ok := d.next(tagInteger)
	return ok && bytes.Equal(b, []byte{n})
}

// bits reads a BIT STRING of whole bytes.
func (d *der) bits() ([]byte, bool) {
	b, ok := d.next(tagBitString)
	if !ok || len(b) == 0 || b[0] != 0 {
		return nil, false
	}
	return b[1:], true
}

// parsePair reads a signature: SEQUENCE of two INTEGERs and nothing else.
func parsePair(b []byte) (r, s *big.Int, ok bool) {
	d := der(b)
	seq, ok := d.next(tagSequence)
	if !ok || len(d) > 0 {
		return nil, nil, false
	}
	r, ok1 := seq.unsigned()
	s, ok2 := seq.unsigned()
	return r, s, ok1 && ok2 && len(seq) == 0
}

// appendElement writes an element of at most 65535 bytes.
func appendElement(b []byte, tag byte, content []byte) []byte {
	b = append(b, tag)
	switch n := len(content); {
	case n <= 0x7f:
		b = append(b, byte(n))
	case n <= 0xff:
		b = append(b, 0x81, byte(n))
	default:
		b = append(b, 0x82, byte(n>>8), byte(n))
	}
	return append(b, content...)
}

func appendUnsigned(b []byte, n *big.Int) []byte {
	content := n.Bytes()
	if len(content) == 0 || content[0]&0x80 != 0 {
		content = append([]byte{0}, content...)
	}
	return appendElement(b, tagInteger, content)
}

// marshalPair writes a signature in DER.
func marshalPair(r, s *big.Int) []byte {
	return appendElement(nil, tagSequence, appendUnsigned(appendUnsigned(nil, r), s))
}
