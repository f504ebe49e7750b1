package sqlite

import (
	"encoding/binary"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/s2"
)

// The encoder of S2 blocks against a dictionary is our own; any S2 decoder reads them. The one of the library clears and
// searches tables for large blocks, 64 KiB on the caller's stack, which for a message of a KiB costs more than all the rest. This one
// has one small table, and starts with that of the dictionary.
const (
	lzBits   = 13       // of the table
	lzHashed = 5        // bytes that are looked up together: a copy of fewer hardly pays
	lzAhead  = 8        // bytes that are read at once
	lzHurry  = 5        // the steps through what has no copies grow by one with each 1<<lzHurry bytes
	maxLZ    = 32 << 10 // bytes of a message; beyond, a dictionary is worth nothing
	nearCopy = 1 << 11  // an offset below it takes two bytes, with lengths of 4 to 11
)

// places tells where five bytes stood last, by their hash. 0 also says nowhere: what stands there is compared anyhow.
type places [1 << lzBits]uint16

// dictTable is a dictionary as the encoder needs it.
type dictTable struct {
	text  []byte
	start places // what a message starts with
}

func newDictTable(text []byte) *dictTable {
	t := &dictTable{text: text}
	for i := 0; i+lzAhead <= len(text); i++ {
		t.start[hash5(load8(text, i))] = uint16(i)
	}
	return t
}

func load8(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

func hash5(v uint64) uint64 { return v << (64 - 8*lzHashed) * 0x9E3779B185EBCA87 >> (64 - lzBits) }

// lzWork is what one call of encode works with.
type lzWork struct {
	places
	text []byte // the dictionary, the message, and lzAhead bytes more
}

var lzWorks = sync.Pool{New: func() any { return new(lzWork) }}

// maxEncoded is how long the block of n bytes can be. A copy takes at most three bytes for five; the text after it takes one or
// two for its length, or three if it is longer than 256 bytes.
func maxEncoded(n int) int { return s2.MaxEncodedLen(n) + n>>8 }

// encode appends src, at most maxLZ bytes, as an S2 block.
func (t *dictTable) encode(dst, src []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(src)))
	w := lzWorks.Get().(*lzWork)
	defer lzWorks.Put(w)
	w.places = t.start
	w.text = append(append(append(w.text[:0], t.text...), src...), make([]byte, lzAhead)...)
	b, begin, end := w.text, len(t.text), len(w.text)-lzAhead
	written, before := begin, 0
	for i := begin; i+lzAhead <= end; {
		at, n := w.swap(b, i), 0
		if differ := load8(b, i) ^ load8(b, at); differ<<(64-8*lzHashed) == 0 {
			n = extend(b, at, i, begin, end)
		}
		if n == 0 {
			i += 1 + (i-written)>>lzHurry
			continue
		}
		if n < lzAhead { // a byte later there may be a copy that is worth more
			at2 := w.swap(b, i+1)
			if n2 := extend(b, at2, i+1, begin, end); n2 > n+1 {
				i, at, n = i+1, at2, n2
			}
		}
		for i > written && at > 0 && at != begin && b[i-1] == b[at-1] {
			i, at, n = i-1, at-1, n+1
		}
		dst = appendLiteral(dst, b[written:i])
		if i-at == before {
			dst = appendRepeat(dst, n)
		} else {
			before = i - at
			dst = appendCopy(dst, before, n)
		}
		w.swap(b, i+1)
		i += n
		written = i
		w.swap(b, i-2)
	}
	return appendLiteral(dst, b[written:end])
}

// swap returns the last place of what stands at i, and notes i for it.
func (p *places) swap(b []byte, i int) (at int) {
	h := hash5(load8(b, i))
	at = int(p[h])
	p[h] = uint16(i)
	return at
}

// extend returns how long what stands at i is the same as what stands at the place before it: at least lzHashed bytes, or 0. A copy
// does not go beyond the end of the dictionary: decoders take none that does.
func extend(b []byte, at, i, begin, end int) (n int) {
	if differ := load8(b, at) ^ load8(b, i); differ != 0 {
		n = bits.TrailingZeros64(differ) / 8
	} else {
		n = lzAhead + common(b[at+lzAhead:], b[i+lzAhead:])
	}
	n = min(n, end-i)
	if at < begin {
		n = min(n, begin-at)
	}
	if n < lzHashed {
		return 0
	}
	return n
}

// common returns how many bytes two texts begin with together. a has no fewer bytes than b.
func common(a, b []byte) (n int) {
	for n+8 <= len(b) {
		if d := load8(a, n) ^ load8(b, n); d != 0 {
			return n + bits.TrailingZeros64(d)/8
		}
		n += 8
	}
	for n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// The elements of a block are those of Snappy's format description, and S2's repeat: a near copy whose offset is 0 has that of the copy before it.
const (
	tagLiteral = 0
	tagNear    = 1
	tagFar     = 2
	minCopy    = 4
	maxCopy    = 64 // of one element
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
	switch {
	case offset < nearCopy && length < minCopy+8:
		return append(b, byte(offset>>8)<<5|byte(length-minCopy)<<2|tagNear, byte(offset))
	case offset < nearCopy && length > maxCopy:
		const n = minCopy + 4
		return appendRepeat(append(b, byte(offset>>8)<<5|byte(n-minCopy)<<2|tagNear, byte(offset)), length-n)
	case length > maxCopy:
		const n = maxCopy - minCopy // what is left is long enough for an element
		return appendRepeat(append(b, (n-1)<<2|tagFar, byte(offset), byte(offset>>8)), length-n)
	}
	return append(b, byte(length-1)<<2|tagFar, byte(offset), byte(offset>>8))
}

// appendRepeat is appendCopy with the offset of the copy before.
func appendRepeat(b []byte, length int) []byte {
	const one, two = minCopy + 5, minCopy + 4 + 1<<8 // lengths from which one and two bytes more are needed
	switch {
	case length < one:
		return append(b, byte(length-minCopy)<<2|tagNear, 0)
	case length < two:
		return append(b, 5<<2|tagNear, 0, byte(length-one+1))
	}
	length -= minCopy + 1<<8
	return append(b, 6<<2|tagNear, 0, byte(length), byte(length>>8))
}
