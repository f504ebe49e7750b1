package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// openSmallRuns opens a store that makes a run of so few keys.
func openSmallRuns(t testing.TB, dir string, keys int) *DB {
	t.Helper()
	db, err := Open(t.Context(), Options{Dir: dir, Sealer: keyOf(t, 1), LowWater: 1, Faults: Faults{SmallRuns: keys}})
	check(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func numbered(n, expires int64) key {
	return keyOfText(binary.BigEndian.AppendUint64([]byte("some scope"), uint64(n)), expires)
}

// rememberNumbered remembers some keys, for messages of the same numbers.
func rememberNumbered(t testing.TB, db *DB, from, to, now, expires int64) {
	t.Helper()
	check(t, db.do(t.Context(), func(tx *tx) error {
		var all []boundKey
		for n := from; n < to; n++ {
			k := numbered(n, expires)
			if _, err := tx.recall(&k, now); err != nil {
				return err
			}
			all = append(all, boundKey{k, hook.MessageID(n)})
		}
		return tx.rememberAll(all)
	}))
}

// wantNumbered looks for keys.
func wantNumbered(t testing.TB, db *DB, from, to, now int64, known bool) {
	t.Helper()
	check(t, db.do(t.Context(), func(tx *tx) error {
		for n := from; n < to; n++ {
			k := numbered(n, 0)
			want := hook.MessageID(n)
			if !known {
				want = 0
			}
			if got, err := tx.recall(&k, now); err != nil || got != want {
				return fmt.Errorf("key %d at %d is remembered for %d, want %d (%v)", n, now, got, want, err)
			}
		}
		return nil
	}))
}

// keyRows counts what is stored of keys.
func keyRows(t *testing.T, db *DB) (news, runs, blocks, filters int) {
	t.Helper()
	for level := 1; level <= keyLevels; level++ {
		blocks += countRows(t, db, fmt.Sprint(`SELECT count(*) FROM key_blocks`, level))
	}
	return countRows(t, db, `SELECT count(*) FROM key_news`), countRows(t, db, `SELECT count(*) FROM key_runs`), blocks,
		countRows(t, db, `SELECT count(*) FROM key_filters`)
}

// What is remembered is what a map would remember, whatever is swept, taken back or opened again meanwhile.
func TestKeysAreRememberedAsInAMap(t *testing.T) {
	t.Parallel()
	errTakenBack := errors.New("taken back")
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 6))
			dir, small := t.TempDir(), []int{1, 3, 40}[seed%3]
			db := openSmallRuns(t, dir, small)
			type bound struct{ message, expires int64 }
			model := map[int64]bound{}
			now, next, most := int64(1_000_000), int64(1), 0
			for range 400 {
				now += rng.Int64N(200)
				change := map[int64]bound{}
				takeBack := rng.IntN(8) == 0
				err := db.do(t.Context(), func(tx *tx) error {
					clear(change)
					var all []boundKey
					for range 1 + rng.IntN(small*3) {
						n := rng.Int64N(600)
						if _, twice := change[n]; twice && rng.IntN(2) == 0 {
							continue
						}
						k := numbered(n, now+1+rng.Int64N([]int64{500, 20_000}[rng.IntN(2)]))
						known, twice := change[n]
						if !twice {
							known = model[n]
						}
						want := hook.MessageID(0)
						if known.expires > now {
							want = hook.MessageID(known.message)
						}
						if twice { // as it is when some wait in memory: all that is stored is older
							all = append(all, boundKey{k, hook.MessageID(next)})
							if _, err := tx.recall(&all[len(all)-1].key, now); err != nil {
								return err
							}
						} else {
							if got, err := tx.recall(&k, now); err != nil || got != want {
								return fmt.Errorf("key %d is remembered for %d, want %d (%w)", n, got, want, err)
							}
							all = append(all, boundKey{k, hook.MessageID(next)})
						}
						change[n] = bound{next, k.expires}
						next++
					}
					err := tx.rememberAll(all)
					m, err2 := tx.memory()
					if err = errors.Join(err, err2); err != nil {
						return err
					}
					for level := range m.runs {
						if len(m.runs[level]) > 0 {
							most = max(most, level)
						}
					}
					if takeBack {
						return errors.Join(errTakenBack, tx.query(`INSERT INTO counts (one, messages, pending, delivered, failed, canceled, highest)
							VALUES (2, 0, 0, 0, 0, 0, 0)`).exec())
					}
					return nil
				})
				if takeBack {
					if !errors.Is(err, errTakenBack) || !errors.Is(err, sqlite3.CONSTRAINT) {
						t.Fatal(err)
					}
				} else {
					check(t, err)
					for n, b := range change {
						model[n] = b
					}
				}
				switch rng.IntN(10) {
				case 0:
					_, _, err := db.Sweep(t.Context(), store.Sweep{Now: time.UnixMilli(now), Limit: 5})
					check(t, err)
				case 1:
					check(t, db.Close())
					db = openSmallRuns(t, dir, small)
				}
			}
			check(t, db.do(t.Context(), func(tx *tx) error {
				for n := range int64(600) {
					k, want := numbered(n, 0), hook.MessageID(0)
					if b := model[n]; b.expires > now {
						want = hook.MessageID(b.message)
					}
					if got, err := tx.recall(&k, now); err != nil || got != want {
						t.Errorf("in the end key %d is remembered for %d, want %d (%v)", n, got, want, err)
					}
				}
				return nil
			}))
			if most < 3 {
				t.Errorf("only %d levels were reached", most)
			}
			now += 30_000 // everything has run out
			sweepAll(t, db, now)
			if news, runs, blocks, filters := keyRows(t, db); news+runs+blocks+filters != 0 {
				t.Errorf("%d news, %d runs, %d blocks and %d filters are left", news, runs, blocks, filters)
			}
		})
	}
}

func sweepAll(t *testing.T, db *DB, now int64) (keys int) {
	t.Helper()
	for range 10_000 {
		done, more, err := db.Sweep(t.Context(), store.Sweep{Now: time.UnixMilli(now)})
		check(t, err)
		if keys += done.Keys; !more {
			return keys
		}
	}
	t.Fatal("there is always more to sweep")
	return 0
}

// With runs of the size that they really have: three levels, and what has run out is removed when half of a run has.
func TestRunsOfKeysAreMergedAndSwept(t *testing.T) {
	t.Parallel()
	db := openSmallRuns(t, t.TempDir(), 0)
	const now, all = 1_000_000, 20 * newsKeys
	const group = 2048
	for n := int64(0); n < all; n += group {
		expires := int64(now + 1000)
		if n%(4*group) == 0 { // a quarter
			expires += 5000
		}
		rememberNumbered(t, db, n, n+group, now, expires)
	}
	wantNumbered(t, db, 0, all, now, true)
	wantNumbered(t, db, all, 2*all, now, false)
	_, runs, full, filters := keyRows(t, db)
	if runs > 3*keyFan || filters > 2*20 || full < 20*200 || countRows(t, db, `SELECT count(*) FROM key_blocks2`) == 0 {
		t.Errorf("%d runs, %d blocks and %d filters for twenty times the news", runs, full, filters)
	}
	swept, midst := 0, 0
	for more := true; more; {
		var done store.Swept
		var err error
		done, more, err = db.Sweep(t.Context(), store.Sweep{Now: time.UnixMilli(now + 1000)})
		check(t, err)
		swept += done.Keys
		if merging(t, db) > 0 {
			midst++
			for n := int64(0); n < all; n += 4 * group {
				wantNumbered(t, db, n, n+10, now+1000, true)
			}
		}
	}
	if midst < 5 {
		t.Errorf("only %d times a run was looked at while it was written anew", midst)
	}
	if want := all * 3 / 4; swept < want*9/10 || swept > want {
		t.Errorf("swept %d keys, about %d have run out", swept, want)
	}
	if _, _, blocks, _ := keyRows(t, db); blocks > full*3/4 {
		t.Errorf("%d of %d blocks are left though three quarters of the keys have run out", blocks, full)
	}
	for n := int64(0); n < all; n += group {
		wantNumbered(t, db, n, n+10, now+1000, n%(4*group) == 0)
	}
	sweepAll(t, db, now+6000)
	if news, runs, blocks, filters := keyRows(t, db); news+runs+blocks+filters != 0 {
		t.Errorf("%d news, %d runs, %d blocks and %d filters are left", news, runs, blocks, filters)
	}
}

// merging says how many shards of the first merge that goes on are there, 0 when there is none.
func merging(t *testing.T, db *DB) (done int) {
	t.Helper()
	check(t, db.do(t.Context(), func(tx *tx) error {
		m, err := tx.memory()
		if err == nil && len(m.merges) > 0 {
			done = m.merges[0].out.done
		}
		return err
	}))
	return done
}

// In the midst of a merge some keys are in the new run and some still in the others.
func TestKeysAreFoundInTheMidstOfAMerge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openSmallRuns(t, dir, 0)
	const now, expires = 1000, 9000
	all := int64(0)
	for merging(t, db) < 4 {
		rememberNumbered(t, db, all, all+2048, now, expires)
		all += 2048
	}
	wantNumbered(t, db, 0, all, now, true)
	wantNumbered(t, db, all, 2*all, now, false)
	wantNumbered(t, db, 0, 500, expires-1, true)
	rememberNumbered(t, db, 0, 500, now, expires-1000) // for shorter
	wantNumbered(t, db, 0, 500, expires-1001, true)
	wantNumbered(t, db, 0, 500, expires-1000, false)
	check(t, db.Close())
	db = openSmallRuns(t, dir, 0)
	if merging(t, db) == 0 {
		t.Error("the merge does not go on after a start")
	}
	wantNumbered(t, db, 0, all, now, true)
	sweepAll(t, db, expires-1000) // so that they go when the news become a run
	for merging(t, db) > 0 {
		rememberNumbered(t, db, all, all+2048, now, expires)
		all += 2048
	}
	wantNumbered(t, db, 500, all, now, true)
	wantNumbered(t, db, 500, all, expires-1, true)
	wantNumbered(t, db, 0, 500, expires-1000, false)
	for range 8 * newsKeys / 2048 {
		rememberNumbered(t, db, 0, 2048, now, expires+1000) // many times over, and for longer
	}
	wantNumbered(t, db, 0, 2048, expires+999, true)
	sweepAll(t, db, expires)
	wantNumbered(t, db, 0, 2048, expires+999, true)
	sweepAll(t, db, expires+1000)
	if news, runs, blocks, filters := keyRows(t, db); news+runs+blocks+filters != 0 {
		t.Errorf("%d news, %d runs, %d blocks and %d filters are left", news, runs, blocks, filters)
	}
}

// A sweep whose clock is set back does not forget, and merging removes nothing by itself: only Sweep's caller knows a time
// that can be trusted.
func TestOnlyASweepRemovesKeysThatHaveRunOut(t *testing.T) {
	t.Parallel()
	db := openSmallRuns(t, t.TempDir(), 4)
	rememberNumbered(t, db, 0, 100, 1000, 2000)
	rememberNumbered(t, db, 100, 200, 3000, 4000) // by their time the first have run out
	wantNumbered(t, db, 0, 100, 1999, true)
	wantNumbered(t, db, 0, 100, 2000, false)
	if n := sweepAll(t, db, 1999); n != 0 {
		t.Errorf("swept %d keys that have not run out", n)
	}
	wantNumbered(t, db, 0, 100, 1999, true)
	if n := sweepAll(t, db, 2000); n < 90 || n > 100 {
		t.Errorf("swept %d keys, about 100 have run out", n)
	}
}

// What was remembered for longer does not come back when what it was replaced by has run out.
// A sweep by a clock that was ahead costs what it removed, and nothing that comes after.
func TestASweepByAWrongClockForgetsNothingThatComesAfter(t *testing.T) {
	t.Parallel()
	db := openSmallRuns(t, t.TempDir(), 8)
	now := time.Now()
	ahead := now.Add(365 * 24 * time.Hour)
	_, _, err := db.Sweep(t.Context(), store.Sweep{Now: ahead})
	check(t, err)
	rememberNumbered(t, db, 0, 40, now.UnixMilli(), now.Add(24*time.Hour).UnixMilli())
	wantNumbered(t, db, 0, 40, now.UnixMilli(), true)
	_, _, err = db.Sweep(t.Context(), store.Sweep{Now: now})
	check(t, err)
	wantNumbered(t, db, 0, 40, now.UnixMilli(), true)
}

func TestAKeyIsRememberedAsLongAsItWasLast(t *testing.T) {
	t.Parallel()
	for _, small := range []int{1, 3, 0} {
		db := openSmallRuns(t, t.TempDir(), small)
		const now = 10_000
		rememberNumbered(t, db, 0, 100, now, now+9000)
		rememberNumbered(t, db, 0, 100, now, now+10)
		wantNumbered(t, db, 0, 100, now+9, true)
		wantNumbered(t, db, 0, 100, now+10, false)
		sweepAll(t, db, now+10)
		rememberNumbered(t, db, 100, 120, now, now+9000)
		wantNumbered(t, db, 0, 100, now+10, false)
	}
}

// Nobody can choose keys so that they all come into one block.
func TestKeysOfOnePrefixAreSpread(t *testing.T) {
	t.Parallel()
	db := openSmallRuns(t, t.TempDir(), 0)
	check(t, db.do(t.Context(), func(tx *tx) error {
		var all []boundKey
		for n := range int64(newsKeys) {
			k := numbered(n, 1000)
			k.hash &= 1<<40 - 1
			all = append(all, boundKey{k, 1})
		}
		return tx.rememberAll(all)
	}))
	blocks, longest := countRows(t, db, `SELECT count(*) FROM key_blocks1`), countRows(t, db, `SELECT max(length(content)) FROM key_blocks1`)/entrySize
	if blocks < 200 || longest > 200 {
		t.Errorf("%d blocks, the longest of %d keys", blocks, longest)
	}
}

func TestAFilterExcludesNearlyAllAndNothingThatIsThere(t *testing.T) {
	t.Parallel()
	s := &keyShard{}
	place := func(n int64) (p keyPlace, block int) {
		k := numbered(n, 0)
		return k.place(), int(k.rest[15]) // any that does not depend on the bits
	}
	for n := range int64(shardKeys) {
		p, block := place(n)
		s.add(block, packKey(nil, &p, binding{1, 1}))
	}
	f := s.filter()
	wrong := 0
	for n := range int64(2 * shardKeys) {
		p, block := place(n)
		trace := traceOf(&p)
		may := mayHave(f[block*filterLine:][:filterLine], &trace)
		if n < shardKeys && !may {
			t.Fatalf("key %d is there, and excluded", n)
		}
		if n >= shardKeys && may {
			wrong++
		}
	}
	if wrong > shardKeys/50 {
		t.Errorf("%d of %d that are not there are not excluded", wrong, shardKeys)
	}
}

// A filter is never needed: a store without one, and without room for it in memory, remembers the same.
func TestKeysAreFoundWithoutFilters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openSmallRuns(t, dir, 10)
	rememberNumbered(t, db, 0, 1000, 1000, 2000)
	check(t, db.do(t.Context(), func(tx *tx) error {
		return tx.query(`DELETE FROM key_filters WHERE id > ?`).int(0).exec()
	}))
	check(t, db.Close())
	db = openSmallRuns(t, dir, 10)
	wantNumbered(t, db, 0, 1000, 1000, true)
	wantNumbered(t, db, 1000, 2000, 1000, false)
}

// The keys of before schema 6 stay in their table until they run out, and then nobody looks there any more.
func TestKeysOfBeforeAreRememberedUntilTheyRunOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openSmallRuns(t, dir, 2)
	const now = 10_000
	check(t, db.do(t.Context(), func(tx *tx) error {
		for n := range int64(10) {
			k := numbered(n, now+1000)
			text := k.rest[:]
			if n%2 == 0 {
				text = k.full // as before schema 5
			}
			err := tx.query(`INSERT INTO keys (hash, full, message, expires) VALUES (?, ?, ?, ?)`).int(k.hash).blob(text).int(n + 1).int(k.expires).exec()
			if err != nil {
				return err
			}
		}
		return nil
	}))
	check(t, db.Close())
	db = openSmallRuns(t, dir, 2)
	before := func() (known bool) {
		check(t, db.do(t.Context(), func(tx *tx) error {
			for n := int64(4); n < 10; n++ {
				k := numbered(n, 0)
				if got, err := tx.recall(&k, now+1000); err != nil || got != 0 {
					t.Errorf("key %d has run out and is remembered for %d (%v)", n, got, err)
				}
				if got, err := tx.recall(&k, now+999); err != nil || got != hook.MessageID(n+1) {
					t.Errorf("key %d is remembered for %d (%v)", n, got, err)
				}
			}
			m, err := tx.memory()
			known = m.before
			return err
		}))
		return known
	}
	rememberNumbered(t, db, 0, 2, now+1000, now+5000) // they have run out, and are remembered anew
	rememberNumbered(t, db, 2, 4, now, now+10)        // for shorter
	wantNumbered(t, db, 1, 2, now+4999, true)
	wantNumbered(t, db, 2, 4, now+10, false)
	if countRows(t, db, `SELECT count(*) FROM keys`) != 8 {
		t.Error("what is remembered for shorter now is still there for longer")
	}
	sweepAll(t, db, now+999)
	if !before() {
		t.Error("the rows of before are forgotten before their time")
	}
	sweepAll(t, db, now+1000)
	if before := countRows(t, db, `SELECT count(*) FROM keys`); before != 0 {
		t.Errorf("%d rows are left", before)
	}
	check(t, db.do(t.Context(), func(tx *tx) error {
		m, err := tx.memory()
		if err == nil && m.before {
			err = errors.New("the empty table is still looked into")
		}
		return err
	}))
}

func TestDamagedRunsAreAnErrorAndNoPanic(t *testing.T) {
	t.Parallel()
	for _, change := range []string{
		`level = 7`, `level = 0`, `bits = 7`, `bits = 25`, `done = -1`, `done = 2`, `bits = 24, done = 1, target = 1 - id`,
	} {
		dir := t.TempDir()
		db := openSmallRuns(t, dir, 2)
		rememberNumbered(t, db, 0, 6, 1000, 2000)
		check(t, db.Close())
		c, err := sqlite3.Open(filepath.Join(dir, fileName))
		check(t, err)
		check(t, c.Exec(`PRAGMA ignore_check_constraints=ON; UPDATE key_runs SET `+change+` WHERE id = 1; UPDATE key_runs SET target = 1 WHERE id = 2`))
		check(t, c.Close())
		db = openSmallRuns(t, dir, 2)
		err = db.do(t.Context(), func(tx *tx) error {
			k := numbered(1, 0)
			_, err := tx.recall(&k, 1000)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "key_runs is damaged") {
			t.Errorf("%s: %v", change, err)
		}
	}
}

// No statement about keys looks at more than it needs.
func TestNoStatementScansTheKeys(t *testing.T) {
	t.Parallel()
	db := openSmallRuns(t, t.TempDir(), 2)
	for n := int64(0); n < 1000; n += 100 {
		rememberNumbered(t, db, n, n+100, 1000, 9000)
		rememberNumbered(t, db, n, n+100, 1000, 2000)
	}
	sweepAll(t, db, 2000)
	reader := <-db.readers.slots
	defer func() { db.readers.slots <- reader }()
	seen := 0
	for sql := range db.writer.stmts {
		if !strings.Contains(sql, "key_") {
			continue
		}
		seen++
		for _, line := range plan(t, reader, sql) {
			if bad.MatchString(line) && !short.MatchString(line) {
				t.Errorf("%s\n\tin: %s", line, sql)
			}
		}
	}
	if seen < 25 {
		t.Errorf("only %d statements were made", seen)
	}
}
