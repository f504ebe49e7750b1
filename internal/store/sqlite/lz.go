package sqlite

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// The encoder of S2 blocks against a dictionary is our own; any S2 decoder reads them. The one of the library clears and
// searches tables for large blocks, 64 KiB on the caller's stack, which for a message of a KiB costs more than all the rest. This one
// has small tables and looks a little further for longer copies.
const (
	lzBits   = 12       // of the table of a message
	dictBits = 14       // of the table of a dictionary
	dictDeep = 4        // places of a dictionary that are tried
	maxLZ    = 32 << 10 // bytes of a message; beyond, a dictionary is worth nothing
	minCopy  = 4
	nearCopy = 1 << 11 // an offset below it takes two bytes, with lengths of 4 to 11
)

// dictTable finds the places of a dictionary at which four bytes stand, the last first. 0 is none, others are one higher.
type dictTable struct {
	text  []byte
	first [1 << dictBits]uint16
	next  []uint16
}

func newDictTable(text []byte) *dictTable {
	t := &dictTable{text: text, next: make([]uint16, len(text))}
	for i := 0; i+minCopy <= len(text); i++ {
		h := hash4(load4(text, i), dictBits)
		t.next[i], t.first[h] = t.first[h], uint16(i+1)
	}
	return t
}

func load4(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(b[i:]) }

func hash4(v uint32, size int) uint32 { return v * 2654435761 >> (32 - size) }

type lzTable [1 << lzBits]uint16

var lzTables = sync.Pool{New: func() any { return new(lzTable) }}

// encode appends src, at most maxLZ bytes, as an S2 block.
func (t *dictTable) encode(dst, src []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(src)))
	seen := lzTables.Get().(*lzTable)
	defer lzTables.Put(seen)
	clear(seen[:])
	written := 0
	for i := 0; i+minCopy <= len(src); {
		offset, length := t.find(seen, src, i)
		if length < minCopy {
			i++
			continue
		}
		if i+1+minCopy <= len(src) { // one byte later there may be a copy that is worth more
			if o, l := t.find(seen, src, i+1); l > length+1 {
				i, offset, length = i+1, o, l
			}
		}
		dst = appendCopy(appendLiteral(dst, src[written:i]), offset, length)
		written = i + length
		for i++; i < written && i+minCopy <= len(src); i++ {
			seen[hash4(load4(src, i), lzBits)] = uint16(i + 1)
		}
		i = written
	}
	return appendLiteral(dst, src[written:])
}

// find returns the longest copy that is found for what stands at i, and notes i.
func (t *dictTable) find(seen *lzTable, src []byte, i int) (offset, length int) {
	v := load4(src, i)
	h := hash4(v, lzBits)
	if at := int(seen[h]) - 1; at >= 0 && at < i && load4(src, at) == v {
		offset, length = i-at, common(src[at:], src[i:])
	}
	seen[h] = uint16(i + 1)
	next := t.first[hash4(v, dictBits)]
	for n := 0; next != 0 && n < dictDeep; n++ {
		at := int(next) - 1
		if load4(t.text, at) == v {
			if l := common(t.text[at:], src[i:]); l > length {
				offset, length = i+len(t.text)-at, l
			}
		}
		next = t.next[at]
	}
	return offset, length
}

// common returns how many bytes two texts begin with together.
func common(a, b []byte) (n int) {
	for n+8 <= len(a) && n+8 <= len(b) {
		if d := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); d != 0 {
			return n + bits.TrailingZeros64(d)/8
		}
		n += 8
	}
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// The elements of a block are those of Snappy's format description, which S2 shares.
const (
	tagLiteral = 0
	tagNear    = 1
	tagFar     = 2
	maxCopy    = 64
)

func appendLiteral(b, text []byte) []byte {
	switch n := len(text) - 1; {
	case n < 0:
		return b
	case n < 60:
		b = append(b, byte(n)<<2|tagLiteral)
	case n < 1<<8:
		b = append(b, 60<<2|tagLiteral, byte(n))
	default:
		b = append(b, 61<<2|tagLiteral, byte(n), byte(n>>8))
	}
	return append(b, text...)
}

func appendCopy(b []byte, offset, length int) []byte {
	for length > maxCopy {
		n := maxCopy
		if length-n < minCopy {
			n -= minCopy
		}
		b = append(b, byte(n-1)<<2|tagFar, byte(offset), byte(offset>>8))
		length -= n
	}
	if offset < nearCopy && length >= minCopy && length < minCopy+8 {
		return append(b, byte(offset>>8)<<5|byte(length-minCopy)<<2|tagNear, byte(offset))
	}
	return append(b, byte(length-1)<<2|tagFar, byte(offset), byte(offset>>8))
}
