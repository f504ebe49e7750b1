package sqlite

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// What messages are recognised by comes in no order, and is looked for, nearly always in vain, for every message. In one B-tree
// each new key would change a page of its own as soon as there are more pages than fit into memory. So the keys are
// written in order, several times:
//
//   - News: the last newsKeys of them. A row of key_news for each time that some are remembered, and all in memory.
//   - Runs: when there are as many news, they become a run of level 1: blocks of some 16 keys, by their spot. keyFan runs of a
//     level become one of the next, step by step beside the work. A step writes one shard of the new run and removes what it
//     took from the old ones.
//   - Filters: each shard has one, which is read when it is needed first and then stays in memory, up to filterBytes. A filter
//     spares looking into a run; what it does not exclude, or when there is none, a block decides.
//
// All of it is in the same transactions as the messages. What is in memory is what the tables say, and is read again after
// the connection took something back.
//
// A key may stand in several runs. The newest counts, and none that is older runs out later: so what has run out can be
// removed wherever it is met.
const (
	newsKeys    = shardKeys
	keyFan      = 8
	keyLevels   = 6
	keyWork     = 2        // how many keys are merged on each level for one that is new, while there is something to merge
	blockIDBits = 24       // of a row's id are its block, the others its run
	filterBytes = 16 << 20 // in memory
	smallLevel  = 3        // up to which all filters are kept

	spreadRow = "spread" // of meta
)

// keyMemory is the writing goroutine's side of what is remembered.
type keyMemory struct {
	*writer
	news    map[keyPlace]binding
	written int                      // entries in key_news
	limit   int                      // of them: newsKeys
	runs    [keyLevels + 1][]*keyRun // by level, newest first; without those that are not whole yet
	merges  []*keyMerge              // by level
	next    int64                    // id of a run
	debt    int                      // how many keys have to be merged
	before  bool                     // there are rows of before schema 6
	over    int64                    // what had run out by then may be removed (Unix milliseconds)
	filters int                      // bytes in memory
	shard   *keyShard                // that is being made
	spread  uint64                   // see spot
}

// keyRun is a row of key_runs.
type keyRun struct {
	id, age    int64
	level      int
	bits       int
	keys, half int64
	done       int
	merge      *keyMerge // that takes it up
	filters    [][]byte  // by shard; nil = not read
	dropped    int       // how many of them are gone for good
}

func (r *keyRun) shards() int { return 1 << (r.bits - shardBits) }

func (r *keyRun) sound() bool {
	return r.level >= 1 && r.level <= keyLevels && r.bits >= shardBits && r.bits <= blockIDBits && r.done >= 0 && r.done <= r.shards()
}

// block is the number of the block of a spot.
func (r *keyRun) block(spot uint64) int { return int(spot >> (64 - r.bits)) }

func (r *keyRun) row(block int) int64 { return r.id<<blockIDBits | int64(block) }

// keyMerge makes one run of others.
type keyMerge struct {
	out  *keyRun
	from []*keyRun // newest first
}

// has says whether a spot is in the new run already.
func (g *keyMerge) has(spot uint64) bool { return g.out.block(spot)>>shardBits < g.out.done }

// memory returns what is remembered; it is read when it is needed first.
func (w *writer) memory() (*keyMemory, error) {
	if w.remembered != nil {
		return w.remembered, nil
	}
	m := &keyMemory{writer: w, news: map[keyPlace]binding{}, limit: newsKeys}
	if n := w.db.o.Faults.SmallRuns; n > 0 {
		m.limit = n
	}
	w.RollbackHook(func() { w.remembered = nil })
	for _, read := range []func() error{m.readSpread, m.readNews, m.readRuns, m.readBefore} {
		if err := read(); err != nil {
			return nil, fmt.Errorf("read what is remembered: %w", err)
		}
	}
	w.remembered = m
	return m, nil
}

// spot is where in a run a place is. It depends on a number that only this store has, so that nobody can make keys which all
// come into one block.
func (m *keyMemory) spot(p *keyPlace) uint64 { return binary.BigEndian.Uint64(p[:]) * m.spread }

func (m *keyMemory) readSpread() error {
	row, err := m.meta(spreadRow)
	if err != nil {
		return err
	}
	if len(row) != 8 {
		return fmt.Errorf("meta has no number of 64 bits under %q", spreadRow)
	}
	m.spread = binary.BigEndian.Uint64(row) | 1 // so that no two places have the same spot
	return nil
}

func (m *keyMemory) readNews() error {
	q := m.query(`SELECT content FROM key_news ORDER BY id`)
	return q.each(func() error {
		for b := q.rawBlob(); len(b) >= entrySize; b = b[entrySize:] {
			p, v := entryAt(b)
			m.news[p] = v
			m.written++
		}
		return nil
	})
}

func (m *keyMemory) readRuns() error {
	type row struct {
		*keyRun
		target int64
	}
	var all []row
	q := m.query(`SELECT id, level, age, bits, keys, half, target, done FROM key_runs`)
	err := q.each(func() error {
		r := &keyRun{id: q.getInt(), level: int(q.getInt()), age: q.getInt(), bits: int(q.getInt()), keys: q.getInt(), half: q.getInt()}
		all = append(all, row{r, q.getInt()})
		r.done = int(q.getInt())
		if !r.sound() {
			return fmt.Errorf("key_runs is damaged: run %d of level %d has %d bits and %d shards", r.id, r.level, r.bits, r.done)
		}
		r.filters = make([][]byte, r.shards())
		m.next = max(m.next, r.id)
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b row) int { return cmp.Compare(b.age, a.age) })
	m.next++
	merges := map[int64]*keyMerge{}
	for _, r := range all {
		if r.done < r.shards() {
			merges[r.id] = &keyMerge{out: r.keyRun}
		}
	}
	for _, r := range all {
		if merges[r.id] != nil {
			continue
		}
		if g := merges[r.target]; g != nil {
			g.from = append(g.from, r.keyRun)
			r.merge = g
		}
		m.runs[r.level] = append(m.runs[r.level], r.keyRun)
	}
	for _, g := range merges {
		m.merges = append(m.merges, g)
	}
	for _, g := range m.merges {
		if slices.ContainsFunc(g.from, func(r *keyRun) bool { return r.bits+shardBits < g.out.bits }) {
			return fmt.Errorf("key_runs is damaged: run %d is made of runs that are too small", g.out.id)
		}
	}
	m.sortMerges()
	return nil
}

func (m *keyMemory) readBefore() (err error) {
	m.before, err = m.has(`SELECT 1 FROM keys WHERE expires > ? LIMIT 1`, math.MinInt64)
	return err
}

// find returns what a place is remembered for, run out or not.
func (m *keyMemory) find(p *keyPlace) (b binding, found bool, err error) {
	if b, found = m.news[*p]; found {
		return b, true, nil
	}
	spot, trace := m.spot(p), traceOf(p)
	for _, level := range m.runs {
		for _, r := range level {
			if g := r.merge; g != nil && g.has(spot) {
				if r != g.from[0] {
					continue
				}
				r = g.out
			}
			if b, found, err = m.inRun(r, p, spot, &trace); err != nil || found {
				return b, found, err
			}
		}
	}
	return b, false, nil
}

func (m *keyMemory) inRun(r *keyRun, p *keyPlace, spot uint64, trace *keyTrace) (b binding, found bool, err error) {
	n := r.block(spot)
	if f, err := m.filter(r, n>>shardBits); err != nil || f != nil && !mayHave(f[n%shardBlocks*filterLine:][:filterLine], trace) {
		return b, false, err
	}
	q := m.query(keyBlocks[r.level].read).int(r.row(n))
	_, err = q.first(func() {
		block := q.rawBlob()
		if i := indexEntry(block, p); i >= 0 {
			_, b = entryAt(block[i:])
			found = true
		}
	})
	return b, found, err
}

// filter returns the filter of a shard, nil when there is none.
func (m *keyMemory) filter(r *keyRun, n int) ([]byte, error) {
	if f := r.filters[n]; f != nil || !m.filterFits(r) {
		return f, nil
	}
	var f []byte
	q := m.query(`SELECT content FROM key_filters WHERE id = ?`).int(r.row(n))
	if _, err := q.first(func() { f = q.getBlob() }); err != nil {
		return nil, err
	}
	if len(f) != shardBlocks*filterLine {
		return nil, nil
	}
	m.keepFilter(r, n, f)
	return f, nil
}

// filterFits says whether another filter of a run may be kept. Those of small runs always are: they are few.
func (m *keyMemory) filterFits(r *keyRun) bool {
	return r.level <= smallLevel || m.filters+shardBlocks*filterLine <= filterBytes
}

func (m *keyMemory) keepFilter(r *keyRun, n int, f []byte) {
	if m.filterFits(r) {
		r.filters[n] = f
		m.filters += len(f)
	}
}

// dropFilters forgets the filters of a run up to a shard.
func (m *keyMemory) dropFilters(r *keyRun, shards int) error {
	if shards == r.dropped {
		return nil
	}
	for i := r.dropped; i < shards; i++ {
		m.filters -= len(r.filters[i])
		r.filters[i] = nil
	}
	q := m.query(`DELETE FROM key_filters WHERE id BETWEEN ? AND ?`).int(r.row(r.dropped)).int(r.row(shards - 1))
	r.dropped = shards
	return q.exec()
}

// keyBlocks are the statements about the blocks of a level.
var keyBlocks = func() (all [keyLevels + 1]struct{ read, insert, update, list, remove string }) {
	for i := range all {
		table := fmt.Sprint("key_blocks", i)
		all[i].read = `SELECT content FROM ` + table + ` WHERE id = ?`
		all[i].insert = `INSERT INTO ` + table + ` (id, content) VALUES (?, ?)`
		all[i].update = `UPDATE ` + table + ` SET content = ? WHERE id = ?`
		all[i].list = `SELECT content FROM ` + table + ` WHERE id BETWEEN ? AND ?`
		all[i].remove = `DELETE FROM ` + table + ` WHERE id BETWEEN ? AND ?`
	}
	return all
}()

// bitsFor is how many upper bits of a place number the blocks of a run.
func bitsFor(keys int64, most int) int {
	n := bits.Len64(uint64(keys) / (blockKeys * 11 / 8)) // so that a block has 11 to 22
	return min(max(n, shardBits), most, blockIDBits)
}
