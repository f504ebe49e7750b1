package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/klauspost/compress/s2"
)

// A dictionary is learned from the pieces that many messages of a stream share: names of members, of headers, addresses of
// servers, words of a platform. Nothing goes into it that does not stand in every fifth of the messages that it is learned from,
// piece by piece, so that it does not keep what a few messages say when they are long gone.
const (
	learnFrom     = 64      // messages
	judgeBy       = 16      // further messages: a dictionary must serve them, too
	sharedBy      = 13      // of learnFrom messages
	gramBytes     = 6       // the shortest piece
	maxDictionary = 8 << 10 // bytes
	maxSample     = 8 << 10 // bytes of a message that are looked at

	firstPass = 4 << 10 // messages between the first and the second look at a stream
	passGrows = 16      // how much longer each further pause is
	maxRounds = 6       // looks at a stream
)

// wants says whether the next message is to be a sample.
func (st *stream) wants() bool {
	left := st.pass.Load()
	if left > 0 {
		st.pass.CompareAndSwap(left, left-1) // one that is missed does not matter
	}
	return left == 0
}

// sample notes a message, and has the stream learn when there are enough.
func (p *packer) sample(st *stream, plain []byte) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.pass.Load() != 0 {
		return
	}
	st.samples = append(st.samples, bytes.Clone(plain[:min(len(plain), maxSample)]))
	if len(st.samples) < learnFrom+judgeBy {
		return
	}
	samples := st.samples
	st.samples = nil
	st.pass.Store(-1)
	if st.rounds++; p.begin() {
		go func() {
			defer p.learning.Done()
			p.learn(st, samples)
			if st.rounds < maxRounds {
				pause := int64(firstPass)
				for range st.rounds - 1 {
					pause *= passGrows
				}
				st.pass.Store(pause)
			}
		}()
	}
}

// begin says whether there may be another dictionary, and counts whoever makes it.
func (p *packer) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.known) >= maxDictionaries {
		return false
	}
	p.learning.Add(1)
	return true
}

// learn makes a dictionary and uses it when it is worth its place.
func (p *packer) learn(st *stream, samples [][]byte) {
	content := shared(samples[:learnFrom])
	made := s2.MakeDict(content, nil)
	if made == nil { // there is next to nothing in common
		return
	}
	p.mu.Lock()
	p.highest++
	id := p.highest
	p.mu.Unlock()
	d, err := newDictionary(id, st.id, made.Bytes())
	if err != nil {
		return
	}
	with, without := 0, 0
	for _, s := range samples[learnFrom:] {
		with += len(compress(s, d)) - len(s)
		without += len(compress(s, st.dict.Load())) - len(s)
	}
	if with*10 > without*9 {
		return
	}
	if err := p.keep(p.ctx, d); err != nil {
		return // another time, perhaps
	}
	p.add(d)
}

// shared returns the pieces that enough of the samples have, what most have at the end, where S2 needs the fewest bytes to
// point at it.
func shared(samples [][]byte) []byte {
	grams := countGrams(samples)
	var pieces []piece
	used := map[gram]bool{}
	for _, s := range samples {
		for at := 0; at+gramBytes <= len(s); at++ {
			p, fresh := longest(s[at:], grams, used)
			if p.text == nil {
				continue
			}
			if fresh {
				pieces = append(pieces, p)
			}
			at += len(p.text) - gramBytes
		}
	}
	slices.SortStableFunc(pieces, func(a, b piece) int { return cmp.Compare(b.by, a.by) })
	size, n := 0, 0
	for n < len(pieces) && size+len(pieces[n].text) <= maxDictionary {
		size += len(pieces[n].text)
		n++
	}
	content := make([]byte, 0, size)
	for _, p := range slices.Backward(pieces[:n]) {
		content = append(content, p.text...)
	}
	return content
}

type gram = [gramBytes]byte

// piece is a run of bytes each part of which is shared by at least by samples.
type piece struct {
	text []byte
	by   int
}

// countGrams counts in how many samples each run of gramBytes stands.
func countGrams(samples [][]byte) map[gram]int {
	type count struct{ in, last int }
	counts := map[gram]count{}
	for i, s := range samples {
		for at := 0; at+gramBytes <= len(s); at++ {
			if c := counts[gram(s[at:])]; c.last != i+1 {
				counts[gram(s[at:])] = count{c.in + 1, i + 1}
			}
		}
	}
	often := map[gram]int{}
	for g, c := range counts {
		if c.in >= sharedBy {
			often[g] = c.in
		}
	}
	return often
}

// longest returns the longest shared piece at the beginning of s, and whether any of it is new.
func longest(s []byte, often map[gram]int, used map[gram]bool) (p piece, fresh bool) {
	p.by = learnFrom
	n := 0
	for ; n+gramBytes <= len(s); n++ {
		g := gram(s[n:])
		in := often[g]
		if in == 0 {
			break
		}
		p.by = min(p.by, in)
		if !used[g] {
			used[g], fresh = true, true
		}
	}
	if n > 0 {
		p.text = s[:n+gramBytes-1]
	}
	return p, fresh
}

// keepDictionary stores a dictionary.
func (db *DB) keepDictionary(ctx context.Context, d *dictionary) error {
	return db.do(ctx, func(t *tx) error {
		return t.query(`INSERT INTO dictionaries (id, stream, content) VALUES (?, ?, ?)`).int(d.id).int(d.stream).blob(d.content).exec()
	})
}

// loadDictionaries reads what was learned before.
func (w *writer) loadDictionaries() error {
	q := w.query(`SELECT id, stream, content FROM dictionaries ORDER BY id`)
	return q.each(func() error {
		d, err := newDictionary(q.getInt(), q.getInt(), q.getBlob())
		if err == nil {
			w.packs.add(d)
		}
		return err
	})
}
