package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/s2"

	"github.com/waypost/waypost/internal/hook"
)

// How the rest of a packed blob is written, by its first byte. The values are stored: they never change.
const (
	packedPlain   = 0 // as it is
	packedAlone   = 1 // an S2 block
	packedAgainst = 2 // the number of a dictionary as an unsigned varint, and an S2 block that was made with it
)

const (
	minCompressed   = 64      // bytes below which nothing is compressed
	maxStreams      = 1 << 10 // streams that are watched; what comes beyond has no dictionary
	maxDictionaries = 64      // in a store: each takes up to 32 KiB of memory
)

// packer compresses contents, in the S2 format, each stream against what its messages have in common. A stream is a source, or an application
// for what is published to it.
//
// A dictionary is learned from the first messages of a stream, beside the work, and stored before it is used. Later ones of a
// long stream are looked at too, now and then, and replace it when they are much better served by another.
type packer struct {
	keep func(ctx context.Context, d *dictionary) error // stores a dictionary durably

	mu       sync.RWMutex
	streams  map[int64]*stream
	known    map[int64]*dictionary // by number
	highest  int64
	closed   bool
	learning sync.WaitGroup
	ctx      context.Context
	stop     context.CancelFunc

	plain sync.Pool // of *[]byte
}

// dictionary is what S2 compresses a stream against.
type dictionary struct {
	id      int64
	stream  int64
	content []byte // in the library's form, which has a number in front
	read    *s2.Dict
	table   *dictTable
}

// newDictionary reads a dictionary as it is stored.
func newDictionary(id, stream int64, content []byte) (*dictionary, error) {
	read := s2.NewDict(content)
	_, n := binary.Uvarint(content)
	if read == nil || n <= 0 || len(content)-n > maxDictionary {
		return nil, errContent
	}
	return &dictionary{id: id, stream: stream, content: content, read: read, table: newDictTable(content[n:])}, nil
}

// stream is what is known of the messages that come one way.
type stream struct {
	id   int64
	dict atomic.Pointer[dictionary] // nil = none yet

	pass    atomic.Int64 // messages that pass before the next samples are taken
	mu      sync.Mutex
	samples [][]byte
	rounds  int // of learning so far
}

func newPacker(keep func(context.Context, *dictionary) error) *packer {
	p := &packer{keep: keep, streams: map[int64]*stream{}, known: map[int64]*dictionary{}}
	p.plain.New = func() any { b := make([]byte, 0, 4<<10); return &b }
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// close ends the learning. Packing goes on with what is known.
func (p *packer) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.learning.Wait()
}

// add makes a stored dictionary known; of a stream's several the last counts.
func (p *packer) add(d *dictionary) {
	st := p.streamOf(d.stream)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[d.id] = d
	p.highest = max(p.highest, d.id)
	if st != nil {
		st.dict.Store(d)
	}
}

// streamOf returns nil when there are too many.
func (p *packer) streamOf(id int64) *stream {
	p.mu.RLock()
	st := p.streams[id]
	p.mu.RUnlock()
	if st != nil {
		return st
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if st = p.streams[id]; st == nil && len(p.streams) < maxStreams {
		st = &stream{id: id}
		p.streams[id] = st
	}
	return st
}

// pack returns the content of a message as it is stored, and how many bytes it was before.
func (p *packer) pack(m *hook.Message) (packed []byte, size int) {
	buf := p.plain.Get().(*[]byte)
	defer p.plain.Put(buf)
	plain := layOut((*buf)[:0], m)
	half := len(plain)
	defer func() {
		if cap(plain) <= 64<<10 { // a large one is left to the collector
			*buf = plain[:0]
		}
	}()
	if len(plain) < minCompressed || len(plain) > maxPlain {
		return append([]byte{packedPlain}, plain...), half
	}
	id := int64(m.Source)
	if id == 0 {
		id = int64(m.App)
	}
	st := p.streamOf(id)
	var d *dictionary
	if st != nil {
		if d = st.dict.Load(); st.wants() {
			p.sample(st, plain)
		}
	}
	plain = compress(plain, d)
	if len(plain)-half >= half {
		return append([]byte{packedPlain}, plain[:half]...), half
	}
	return bytes.Clone(plain[half:]), half
}

// compress appends the packed form of plain to it. d may be nil.
func compress(plain []byte, d *dictionary) []byte {
	half := len(plain)
	if half > maxLZ {
		d = nil
	}
	if d == nil {
		plain = append(plain, packedAlone)
	} else {
		plain = binary.AppendUvarint(append(plain, packedAgainst), uint64(d.id))
	}
	start := len(plain)
	if need := start + maxEncoded(half); need > cap(plain) {
		plain = append(make([]byte, 0, need), plain...)
	}
	room := plain[start:cap(plain)]
	if d == nil {
		return plain[:start+len(s2.Encode(room, plain[:half]))]
	}
	return plain[:start+len(d.table.encode(room[:0], plain[:half]))]
}

// unpack reads what pack made. The results share one array that nobody else has.
func (p *packer) unpack(packed []byte) (head, body, payload []byte, err error) {
	if len(packed) == 0 {
		return nil, nil, nil, errContent
	}
	var plain []byte
	switch rest := packed[1:]; packed[0] {
	case packedPlain:
		plain = bytes.Clone(rest)
	case packedAlone:
		if !sane(rest) {
			return nil, nil, nil, errContent
		}
		plain, err = s2.Decode(nil, rest)
	case packedAgainst:
		id, n := binary.Uvarint(rest)
		p.mu.RLock()
		d := p.known[int64(id)]
		p.mu.RUnlock()
		if n <= 0 || d == nil || !sane(rest[n:]) {
			return nil, nil, nil, errContent
		}
		plain, err = d.read.Decode(nil, rest[n:])
	default:
		err = errContent
	}
	if err != nil {
		return nil, nil, nil, errContent
	}
	return takeApart(plain)
}

// maxPlain is more than any message can have: a body and a payload of 64 MiB each. What is larger is not compressed, and a damaged
// row that claims to be larger is not given the memory.
const maxPlain = 256 << 20

// sane says whether a block claims a length that a message can have.
func sane(block []byte) bool {
	n, err := s2.DecodedLen(block)
	return err == nil && n <= maxPlain
}
