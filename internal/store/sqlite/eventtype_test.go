package sqlite

import (
	"fmt"
	"testing"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

// A page looks at a bounded number of rows, and the next one goes on where it stopped.
func TestAListOfEventTypesGoesOnBehindWhatItLeavesOut(t *testing.T) {
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
	const hidden = scanLimit + 10
	err = db.do(t.Context(), func(t *tx) error {
		for i := range hidden + 2 {
			e := hook.EventType{Name: fmt.Sprintf("type-%05d", i), Archived: i > 0 && i <= hidden}
			err := t.query(`INSERT INTO event_types (name, archived, doc, created) VALUES (?, ?, ?, NULL)`).
				text(e.Name).bool(e.Archived).text(eventTypeText(&e)).exec()
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	first, last := "type-00000", fmt.Sprintf("type-%05d", hidden+1)
	for _, c := range []struct {
		name string
		page func(l *store.List[hook.EventType]) store.Page
		want []string
	}{
		{"forward", func(l *store.List[hook.EventType]) store.Page { return store.Page{After: l.Last} }, []string{first, last}},
		{"descending", func(l *store.List[hook.EventType]) store.Page { return store.Page{After: l.Last, Descending: true} }, []string{last, first}},
		{"backward", func(l *store.List[hook.EventType]) store.Page {
			if l.First == "" {
				return store.Page{Before: "z"}
			}
			return store.Page{Before: l.First}
		}, []string{last, first}},
	} {
		var got []string
		var l store.List[hook.EventType]
		pages := 0
		for !l.Done {
			if l, err = db.EventTypes(t.Context(), store.EventTypeFilter{}, c.page(&l)); err != nil {
				t.Fatal(err)
			}
			for _, e := range l.Items {
				got = append(got, e.Name)
			}
			if pages++; pages > 4 {
				t.Fatalf("%s: there is no end", c.name)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) || pages < 2 {
			t.Errorf("%s: %q on %d pages, want %q on more than one", c.name, got, pages, c.want)
		}
	}
}
