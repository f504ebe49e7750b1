package api

import (
	"sync"
	"time"
)

const (
	cacheAge  = time.Second // other nodes' changes are seen after this at the latest
	cacheSize = 4096
)

// cache remembers what the store said a moment ago. What was read before a clear is never put after it, so a change
// that has been told of is never hidden by an older answer.
type cache[K comparable, V any] struct {
	mu      sync.Mutex
	cleared uint64
	entries map[K]cached[V]
}

type cached[V any] struct {
	value V
	until time.Time
}

func newCache[K comparable, V any]() *cache[K, V] {
	return &cache[K, V]{entries: map[K]cached[V]{}}
}

// get returns what is known, or the turn to give to put with what the store says.
func (c *cache[K, V]) get(k K, now time.Time) (v V, turn uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	return e.value, c.cleared, ok && now.Before(e.until)
}

func (c *cache[K, V]) put(k K, v V, turn uint64, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if turn != c.cleared {
		return
	}
	if len(c.entries) >= cacheSize {
		clear(c.entries)
	}
	c.entries[k] = cached[V]{v, now.Add(cacheAge)}
}

func (c *cache[K, V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cleared++
	clear(c.entries)
}
