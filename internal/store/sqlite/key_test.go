package sqlite

import (
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// Two keys of one hash must stay two keys. A real pair cannot be found, so the hashes are made equal by hand.
func TestKeysOfOneHashAreNotMerged(t *testing.T) {
	t.Parallel()
	sealer, err := store.NewSealer(make([]byte, store.MainKeySize))
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), Options{Dir: t.TempDir(), Sealer: sealer})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	now := time.Now().UnixMilli()
	a := newKey(keySame, 1, "scope", "a", now, time.Hour)
	b := newKey(keySame, 1, "scope", "b", now, time.Hour)
	b.hash = a.hash
	err = db.do(t.Context(), func(tx *tx) error {
		for m, k := range []*key{&a, &b} {
			if earlier, err := tx.recall(k, now); err != nil || earlier != 0 {
				t.Errorf("key %d is taken for the key of message %v (%v)", m, earlier, err)
			}
			if err := tx.rememberAll([]boundKey{{*k, hook.MessageID(m + 1)}}); err != nil {
				return err
			}
		}
		for m, k := range []*key{&a, &b} {
			if earlier, err := tx.recall(k, now); err != nil || earlier != hook.MessageID(m+1) {
				t.Errorf("key %d is remembered for message %v (%v)", m, earlier, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
