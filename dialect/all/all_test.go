package all

import (
	"os"
	"slices"
	"testing"

	"github.com/waypost/waypost/dialect/dialecttest"
)

// TestVectors runs every vector and every rule of every dialect.
func TestVectors(t *testing.T) {
	t.Parallel()
	for name, d := range Table() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dialecttest.Run(t, d, os.DirFS("../"+name))
		})
	}
}

func TestEveryFolderIsInTheTable(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	table := Table()
	for _, e := range entries {
		if !e.IsDir() || slices.Contains([]string{"all", "dialecttest", "explain"}, e.Name()) {
			continue
		}
		if table[e.Name()] == nil {
			t.Errorf("dialect/%s is not in the table: add its line to dialect/all/all.go, or move the folder elsewhere if it is no dialect", e.Name())
		}
	}
}

func TestNamesAreThoseOfTheTableAndTheFolders(t *testing.T) {
	t.Parallel()
	names := Names()
	if len(names) != len(Table()) {
		t.Errorf("two dialects have one name: %v", names)
	}
	for _, name := range names {
		if _, err := os.Stat("../" + name + "/" + dialecttest.Vectors); err != nil {
			t.Errorf("the dialect %s has no folder of its name with vectors: %v", name, err)
		}
		if _, err := os.Stat("../../docs/dialects/" + name + ".md"); err != nil {
			t.Errorf("the dialect %s has no page: %v", name, err)
		}
	}
}
