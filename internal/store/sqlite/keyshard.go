package sqlite

import (
	"encoding/binary"

	"github.com/waypost/waypost/internal/hook"
)

// keyPlace is what is stored of a key's text.
type keyPlace [24]byte

// binding is what a place is remembered for.
type binding struct {
	message hook.MessageID
	expires int64
}

// A row of key_news and a block hold entries, one after another: the place, the message (8 bytes), and when it runs out
// (Unix milliseconds, 6 bytes).
const entrySize = 24 + 8 + 6

func packKey(b []byte, p *keyPlace, v binding) []byte {
	b = append(b, p[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(v.message))
	e := uint64(max(v.expires, 0))
	return append(b, byte(e>>40), byte(e>>32), byte(e>>24), byte(e>>16), byte(e>>8), byte(e))
}

// entryAt returns the entry that begins a blob.
func entryAt(b []byte) (p keyPlace, v binding) {
	return keyPlace(b), binding{hook.MessageID(binary.BigEndian.Uint64(b[24:])), entryExpires(b)}
}

func entryExpires(b []byte) int64 {
	return int64(binary.BigEndian.Uint64(b[30:]) & (1<<48 - 1))
}

// indexEntry returns where in a block the entry of a place begins, -1 when it has none.
func indexEntry(block []byte, p *keyPlace) int {
	for i := 0; i+entrySize <= len(block); i += entrySize {
		if *(*keyPlace)(block[i:]) == *p {
			return i
		}
	}
	return -1
}

// A shard is what is written of a run at once.
const (
	shardBits   = 8
	shardBlocks = 1 << shardBits
	blockKeys   = 16 // in a block, on average; 11 to 22
	shardKeys   = shardBlocks * blockKeys
	filterLine  = 24 // bytes of a filter for a block
)

// keyShard gathers the entries of a shard.
type keyShard struct {
	blocks [shardBlocks][]byte
	keys   int
}

func (s *keyShard) reset() {
	s.keys = 0
	for i := range s.blocks {
		s.blocks[i] = s.blocks[i][:0]
	}
}

// add takes an entry into a block, unless a newer one of its place is there.
func (s *keyShard) add(block int, entry []byte) {
	b := s.blocks[block]
	if indexEntry(b, (*keyPlace)(entry)) >= 0 {
		return
	}
	s.blocks[block] = append(b, entry[:entrySize]...)
	s.keys++
}

// filter makes the filter of a shard: a line for each block, with some bits set for each place.
func (s *keyShard) filter() []byte {
	f := make([]byte, shardBlocks*filterLine)
	for i, b := range s.blocks {
		line := f[i*filterLine:][:filterLine]
		for ; len(b) >= entrySize; b = b[entrySize:] {
			for _, bit := range traceOf((*keyPlace)(b)) {
				line[bit/8] |= 1 << (bit % 8)
			}
		}
	}
	return f
}

// keyTrace is the bits that a place sets in a filter's line.
type keyTrace [6]uint8

func traceOf(p *keyPlace) (t keyTrace) {
	for i := range t {
		t[i] = uint8(uint32(binary.BigEndian.Uint16(p[8+2*i:])) * (filterLine * 8) >> 16)
	}
	return t
}

// mayHave says whether a filter's line may be of a block with a place of this trace. A no is certain.
func mayHave(line []byte, t *keyTrace) bool {
	for _, bit := range t {
		if line[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return true
}
