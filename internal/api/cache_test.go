package api

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

func TestACacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newCache[int, string]()
	now := time.Now()
	for i := range 2*cacheSize + 10 {
		c.put(i, "x", 0, now)
		if n := len(c.entries); n > cacheSize {
			t.Fatalf("%d entries, at most %d are allowed", n, cacheSize)
		}
		if _, _, ok := c.get(i, now); !ok {
			t.Fatalf("entry %d is not there", i)
		}
	}
}

func TestFewCompiledSchemasAreKept(t *testing.T) {
	t.Parallel()
	s := newSchemaShelf()
	for i := range 2*maxShelf + 10 {
		text := json.RawMessage(fmt.Sprintf(`{"1":{"type":"object","title":"%d"}}`, i))
		if c, err := s.take(text); err != nil || c == nil {
			t.Fatalf("schema %d: %v %v", i, c, err)
		}
		if n := len(s.known); n > maxShelf {
			t.Fatalf("%d schemas, at most %d are allowed", n, maxShelf)
		}
	}
}

func TestKeysAreForgottenWithTheirRequests(t *testing.T) {
	t.Parallel()
	w := newTwins()
	for i := range 1000 {
		leave, err := w.enter(t.Context(), [32]byte{byte(i), byte(i >> 8)})
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			leave()
		} else {
			defer leave()
		}
	}
	if n := len(w.doors); n != 500 {
		t.Errorf("%d keys are remembered while 500 requests are under way", n)
	}
}
