package sqlite

import (
	"cmp"
	"slices"

	"github.com/waypost/waypost/internal/store"
)

// room is how many keys may be added at once.
func (m *keyMemory) room() int { return max(1, m.limit-m.written) }

// add takes keys among the news, and does the share of the merging that is due for them.
func (m *keyMemory) add(all []boundKey) error {
	content := make([]byte, 0, len(all)*entrySize)
	for i := range all {
		k := &all[i]
		if k.full == nil {
			continue
		}
		p, v := k.place(), binding{k.message, k.expires}
		if k.stored > k.expires {
			if err := m.forget(&k.key, &p); err != nil {
				return err
			}
		}
		m.over = min(m.over, v.expires-1) // one that is new has not run out: the clock of the last sweep was ahead
		content = packKey(content, &p, v)
		m.news[p] = v
		m.written++
	}
	if len(content) == 0 {
		return nil
	}
	if err := m.query(`INSERT INTO key_news (content) VALUES (?)`).blob(content).exec(); err != nil {
		return err
	}
	if m.written >= m.limit {
		if err := m.flush(); err != nil {
			return err
		}
	}
	return m.work(len(all))
}

// flush makes a run of the news.
func (m *keyMemory) flush() error {
	s := m.newShard()
	r := m.newRun(1, shardBits)
	var entry [entrySize]byte
	for p, v := range m.news {
		if v.expires > m.over {
			s.add(r.block(m.spot(&p)), packKey(entry[:0], &p, v))
		}
	}
	if s.keys > 0 {
		if err := m.insertRun(r); err != nil {
			return err
		}
		if err := m.writeShard(r, s); err != nil {
			return err
		}
		m.runs[1] = slices.Insert(m.runs[1], 0, r)
	}
	clear(m.news)
	m.written = 0
	if err := m.query(`DELETE FROM key_news`).exec(); err != nil {
		return err
	}
	return m.startMerges()
}

func (m *keyMemory) newShard() *keyShard {
	if m.shard == nil {
		m.shard = &keyShard{}
	}
	m.shard.reset()
	return m.shard
}

func (m *keyMemory) newRun(level, bits int) *keyRun {
	r := &keyRun{id: m.next, age: m.next, level: level, bits: bits}
	r.filters = make([][]byte, r.shards())
	m.next++
	return r
}

func (m *keyMemory) insertRun(r *keyRun) error {
	return m.query(`INSERT INTO key_runs (id, level, age, bits, keys, half, target, done) VALUES (?, ?, ?, ?, 0, 0, 0, 0)`).
		int(r.id).int(int64(r.level)).int(r.age).int(int64(r.bits)).exec()
}

// writeShard writes the next shard of a run.
func (m *keyMemory) writeShard(r *keyRun, s *keyShard) error {
	first := r.done << shardBits
	for i, b := range s.blocks {
		if len(b) == 0 {
			continue
		}
		if err := m.query(keyBlocks[r.level].insert).int(r.row(first + i)).blob(b).exec(); err != nil {
			return err
		}
	}
	if s.keys > 0 {
		f := s.filter()
		if err := m.query(`INSERT INTO key_filters (id, content) VALUES (?, ?)`).int(r.row(r.done)).blob(f).exec(); err != nil {
			return err
		}
		m.keepFilter(r, r.done, f)
		if r.half == 0 {
			r.half = s.half()
		}
	}
	r.done++
	r.keys += int64(s.keys)
	return m.query(`UPDATE key_runs SET keys = ?, half = ?, done = ? WHERE id = ?`).int(r.keys).int(r.half).int(int64(r.done)).int(r.id).exec()
}

// half is when half of a shard's keys have run out. Which shard a key is in is chance, so that is about when half of its run's have.
func (s *keyShard) half() int64 {
	all := make([]int64, 0, s.keys)
	for _, b := range s.blocks {
		for ; len(b) >= entrySize; b = b[entrySize:] {
			all = append(all, entryExpires(b))
		}
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// startMerges begins what is to be merged.
func (m *keyMemory) startMerges() error {
	for level := 1; level < keyLevels; level++ {
		all := m.runs[level]
		if len(all) < keyFan {
			continue
		}
		if err := m.startMerge(all[len(all)-keyFan:], level+1); err != nil {
			return err
		}
	}
	return nil
}

// startMerge begins to make a run of others, unless one of them is in a merge or one for its level is being made: two that are
// written at once would not go to the end of their table.
func (m *keyMemory) startMerge(from []*keyRun, level int) error {
	if slices.ContainsFunc(from, func(r *keyRun) bool { return r.merge != nil }) ||
		slices.ContainsFunc(m.merges, func(g *keyMerge) bool { return g.out.level == level }) {
		return nil
	}
	keys, most := int64(0), blockIDBits
	for _, r := range from {
		keys, most = keys+r.keys, min(most, r.bits+shardBits) // a step takes whole blocks of each
	}
	if len(from) == 1 {
		keys /= 2 // the others have run out
	}
	g := &keyMerge{out: m.newRun(level, bitsFor(keys, most)), from: slices.Clone(from)}
	if len(from) == 1 {
		g.out.age = from[0].age
	}
	if err := m.insertRun(g.out); err != nil {
		return err
	}
	for _, r := range from {
		r.merge = g
		if err := m.query(`UPDATE key_runs SET target = ? WHERE id = ?`).int(g.out.id).int(r.id).exec(); err != nil {
			return err
		}
	}
	m.merges = append(m.merges, g)
	m.sortMerges()
	return nil
}

func (m *keyMemory) sortMerges() {
	slices.SortFunc(m.merges, func(a, b *keyMerge) int { return cmp.Compare(a.out.level, b.out.level) })
}

// work does the share of the merging that is due for n new keys.
func (m *keyMemory) work(n int) error {
	m.debt += n * keyWork * len(m.merges)
	for m.debt >= m.limit && len(m.merges) > 0 {
		m.debt -= m.limit
		if _, err := m.step(m.merges[0]); err != nil {
			return err
		}
	}
	if len(m.merges) == 0 {
		m.debt = 0
	}
	return nil
}

// step makes the next shard of a merge, and says how many keys were dropped.
func (m *keyMemory) step(g *keyMerge) (dropped int, err error) {
	s, out := m.newShard(), g.out
	taken := 0
	for _, r := range g.from {
		width := r.bits - (out.bits - shardBits) // bits that number the blocks of r which make a shard of out
		first, last := out.done<<width, (out.done+1)<<width-1
		q := m.query(keyBlocks[r.level].list).int(r.row(first)).int(r.row(last))
		err := q.each(func() error {
			for b := q.rawBlob(); len(b) >= entrySize; b = b[entrySize:] {
				taken++
				if entryExpires(b) > m.over {
					s.add(out.block(m.spot((*keyPlace)(b)))%shardBlocks, b)
				}
			}
			return nil
		})
		if err == nil {
			err = m.query(keyBlocks[r.level].remove).int(r.row(first)).int(r.row(last)).exec()
		}
		if err == nil {
			err = m.dropFilters(r, (last+1)>>shardBits)
		}
		if err != nil {
			return 0, err
		}
	}
	if err := m.writeShard(out, s); err != nil {
		return 0, err
	}
	if out.done == out.shards() {
		err = m.endMerge(g)
	}
	return taken - s.keys, err
}

// endMerge puts the new run into the place of the others.
func (m *keyMemory) endMerge(g *keyMerge) error {
	out := g.out
	for _, r := range g.from {
		m.runs[r.level] = slices.DeleteFunc(m.runs[r.level], func(o *keyRun) bool { return o == r })
		if err := m.query(`DELETE FROM key_runs WHERE id = ?`).int(r.id).exec(); err != nil {
			return err
		}
	}
	if out.keys == 0 {
		if err := m.query(`DELETE FROM key_runs WHERE id = ?`).int(out.id).exec(); err != nil {
			return err
		}
	} else {
		all := append(m.runs[out.level], out)
		slices.SortFunc(all, func(a, b *keyRun) int { return cmp.Compare(b.age, a.age) })
		m.runs[out.level] = all
	}
	m.merges = slices.DeleteFunc(m.merges, func(o *keyMerge) bool { return o == g })
	return m.startMerges()
}

// forget removes what is stored of a key in runs and of before, because it would outlive what the key is remembered for from
// now on.
func (m *keyMemory) forget(k *key, p *keyPlace) error {
	if m.before {
		if err := m.forgetBefore(k); err != nil {
			return err
		}
	}
	spot := m.spot(p)
	for _, level := range m.runs {
		for _, r := range level {
			if err := m.forgetIn(r, p, spot); err != nil {
				return err
			}
		}
	}
	for _, g := range m.merges {
		if err := m.forgetIn(g.out, p, spot); err != nil {
			return err
		}
	}
	return nil
}

func (m *keyMemory) forgetIn(r *keyRun, p *keyPlace, spot uint64) error {
	var rest []byte
	found, row := false, r.row(r.block(spot))
	q := m.query(keyBlocks[r.level].read).int(row)
	_, err := q.first(func() {
		block := q.rawBlob()
		if i := indexEntry(block, p); i >= 0 {
			found, rest = true, slices.Concat(block[:i], block[i+entrySize:])
		}
	})
	if err != nil || !found {
		return err
	}
	if len(rest) == 0 {
		return m.query(keyBlocks[r.level].remove).int(row).int(row).exec()
	}
	return m.query(keyBlocks[r.level].update).blob(rest).int(row).exec()
}

// sweep removes keys that have run out, and says how many, and whether there are more. It does not look for every single one:
// news and runs are written anew when enough of them has run out to be worth it.
func (m *keyMemory) sweep(s *store.Sweep) (dropped int, more bool, err error) {
	m.over = s.Now.UnixMilli() // also when it is earlier: the clock of the sweep before may have been wrong
	if dropped, more, err = m.sweepNews(s.Limit); err != nil {
		return 0, false, err
	}
	if r := m.worn(); r != nil {
		n, err := m.sweepRun(r)
		if err != nil {
			return 0, false, err
		}
		dropped += n
		more = more || m.worn() != nil
	}
	return dropped, more, nil
}

// sweepNews writes the news anew without some that have run out, when they are few, or a quarter of them has.
func (m *keyMemory) sweepNews(limit int) (dropped int, more bool, err error) {
	over := 0
	for _, v := range m.news {
		if v.expires <= m.over {
			over++
		}
	}
	if over == 0 || len(m.news) > newsKeys/8 && over < len(m.news)/4 {
		return 0, false, nil
	}
	content := make([]byte, 0, len(m.news)*entrySize)
	for p, v := range m.news {
		if v.expires <= m.over && dropped < limit {
			delete(m.news, p)
			dropped++
		} else {
			content = packKey(content, &p, v)
		}
	}
	m.written = len(m.news)
	err = m.query(`DELETE FROM key_news`).exec()
	if err == nil && len(content) > 0 {
		err = m.query(`INSERT INTO key_news (content) VALUES (?)`).blob(content).exec()
	}
	return dropped, dropped < over, err
}

// worn returns a run of which half has run out.
func (m *keyMemory) worn() *keyRun {
	for _, level := range m.runs {
		for _, r := range level {
			if r.half <= m.over {
				return r
			}
		}
	}
	return nil
}

// sweepRun does a step of writing a run anew without what has run out. When it is in a merge already, or another is made in
// its level, that one goes on.
func (m *keyMemory) sweepRun(r *keyRun) (dropped int, err error) {
	if r.merge == nil {
		if err := m.startMerge([]*keyRun{r}, r.level); err != nil {
			return 0, err
		}
	}
	for _, g := range m.merges {
		if g == r.merge || r.merge == nil && g.out.level == r.level {
			return m.step(g)
		}
	}
	return 0, nil
}
