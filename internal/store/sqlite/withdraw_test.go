package sqlite

import (
	"testing"

	"github.com/waypost/waypost/internal/store"
)

// Expunging leaves the setting of what is overwritten as it was.
func TestExpungingLeavesWhatIsOverwrittenOtherwise(t *testing.T) {
	t.Parallel()
	sealer, err := store.NewSealer(make([]byte, store.MainKeySize))
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), Options{Dir: t.TempDir(), Sealer: sealer, Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, want := range []string{"2", "1", "2"} {
		err := db.do(t.Context(), func(tx *tx) error {
			if err := tx.Exec(map[string]string{"1": `PRAGMA secure_delete=ON`, "2": overwriteCheap}[want]); err != nil {
				return err
			}
			err := tx.erasing(func() error {
				if got, err := tx.one(`PRAGMA secure_delete`); err != nil || got != "1" {
					t.Errorf("while it expunges it is %s, %v", got, err)
				}
				return nil
			})
			if got, e := tx.one(`PRAGMA secure_delete`); e != nil || got != want {
				t.Errorf("afterwards it is %s, %v, want %s", got, e, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
