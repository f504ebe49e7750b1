//go:build unix

package sqlite

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// BenchmarkKeys looks for keys that are new and remembers them, 700 in a commit, with more and more of them stored. With
// WAYPOST_LONG=1 up to ten million. Use -benchtime=200000x: a merge goes on for many commits.
func BenchmarkKeys(b *testing.B) {
	stored := []int{10_000, 1_000_000}
	if os.Getenv("WAYPOST_LONG") != "" {
		stored = append(stored, 10_000_000)
	}
	for _, n := range stored {
		var k *keyBench // filled once
		filled := func() *keyBench {
			if k == nil {
				k = newKeyBench(b)
				k.add(2000, n)
			}
			return k
		}
		b.Run(fmt.Sprint("stored=", n), func(b *testing.B) {
			k := filled()
			before := processorTime()
			b.ResetTimer()
			k.add(700, b.N)
			used := processorTime() - before
			b.StopTimer()
			b.ReportMetric(float64(used.Nanoseconds())/1e3/float64(b.N), "cpu-µs/key")
			b.ReportMetric(float64(k.settled())/float64(k.n), "B/key")
		})
		b.Run(fmt.Sprint("known/stored=", n), func(b *testing.B) {
			k := filled()
			before := processorTime()
			b.ResetTimer()
			for done := 0; done < b.N; done += 700 {
				check(b, k.db.do(b.Context(), func(t *tx) error {
					for i := range min(700, b.N-done) {
						key := k.key(uint64(done+i) * 7919 % k.n)
						if m, err := t.recall(&key, k.now); err != nil || m == 0 {
							return fmt.Errorf("key %d of %d: %v, %v", i, k.n, m, err)
						}
					}
					return nil
				}))
			}
			b.ReportMetric(float64((processorTime()-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/key")
		})
		if k != nil {
			check(b, k.db.Close())
		}
	}
}

// keyBench is a store for the benchmarks of one length.
type keyBench struct {
	*testing.B
	db  *DB
	dir string
	now int64
	n   uint64
}

func newKeyBench(b *testing.B) *keyBench {
	k := &keyBench{B: b, dir: b.TempDir(), now: time.Now().UnixMilli()}
	k.db = openWith(b, k.dir, keyOf(b, 1), nil)
	return k
}

func (k *keyBench) key(n uint64) key {
	return keyOfText(binary.BigEndian.AppendUint64([]byte("some scope"), n), k.now+int64(7*24*time.Hour/time.Millisecond))
}

// add remembers new keys, some in a commit.
func (k *keyBench) add(group, keys int) {
	for done := 0; done < keys; done += group {
		all := make([]boundKey, min(group, keys-done))
		for i := range all {
			all[i] = boundKey{k.key(k.n), hook.MessageID(idAt(time.UnixMilli(k.now)) + int64(k.n))}
			k.n++
		}
		check(k, k.db.do(k.Context(), func(t *tx) error {
			for i := range all {
				if m, err := t.recall(&all[i].key, k.now); err != nil || m != 0 {
					return fmt.Errorf("a new key is known as %v, %v", m, err)
				}
			}
			return t.rememberAll(all)
		}))
	}
}

// settled is the size of the file, after the log is moved into it.
func (k *keyBench) settled() int64 {
	check(k, k.db.Close())
	i, err := os.Stat(filepath.Join(k.dir, fileName))
	check(k, err)
	k.db = openWith(k, k.dir, keyOf(k, 1), nil)
	return i.Size()
}

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
